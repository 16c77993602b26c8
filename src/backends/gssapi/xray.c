/* Reads SPNEGO (RFC 4178 4.2), the GSSAPI frame (RFC 2743 3.1), the Kerberos AP-REQ (RFC 4120
 * 5.5.1, RFC 4121 4.1) and NTLMSSP ([MS-NLMP] 2.2.1) as far as they are in clear. Called by the
 * accept job on a pool thread, and by the fuzzer. Untrusted bytes throughout. */
#include "backends/gssapi/xray.h"

#include "backends/gssapi/der.h"
#include "util/span.h"
#include "util/text.h"

#include <stdio.h>

/* Tags, as their one byte. */
#define TAG_BIT_STRING     0x03
#define TAG_OCTET_STRING   0x04
#define TAG_OID            0x06
#define TAG_ENUMERATED     0x0a
#define TAG_GENERAL_STRING 0x1b
#define TAG_SEQUENCE       0x30
#define TAG_GSS_FRAME      0x60 /* [APPLICATION 0] */
#define TAG_TICKET         0x61 /* [APPLICATION 1] */
#define TAG_AP_REQ         0x6e /* [APPLICATION 14] */
#define TAG_AP_REP         0x6f /* [APPLICATION 15] */
#define TAG_FIELD(n)       ((uint8_t)(0xa0 + (n)))

static const uint8_t OID_SPNEGO[] = {0x2b, 6, 1, 5, 5, 2};
static const uint8_t OID_KRB5[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 1, 2, 2};
/* Windows 2000's slip of a bit, sent first in the list by every Windows since. */
static const uint8_t OID_KRB5_MS[] = {0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 1, 2, 2};
static const uint8_t OID_NTLMSSP[] = {0x2b, 6, 1, 4, 1, 0x82, 0x37, 2, 2, 10};
static const uint8_t OID_NEGOEX[] = {0x2b, 6, 1, 4, 1, 0x82, 0x37, 2, 2, 30};
static const uint8_t OID_IAKERB[] = {0x2b, 6, 1, 5, 2, 5};

static const char NTLMSSP_SIGNATURE[8] = "NTLMSSP"; /* with its NUL */

struct known_mech {
    const uint8_t *oid;
    size_t oid_len;
    const char *name;
    enum sp_gss_inner inner; /* what its first token is */
};

static const struct known_mech known_mechs[] = {
    {OID_KRB5, sizeof OID_KRB5, "krb5", SP_GSS_INNER_AP_REQ},
    {OID_KRB5_MS, sizeof OID_KRB5_MS, "ms-krb5", SP_GSS_INNER_AP_REQ},
    {OID_NTLMSSP, sizeof OID_NTLMSSP, "ntlmssp", SP_GSS_INNER_NTLMSSP},
    {OID_NEGOEX, sizeof OID_NEGOEX, "negoex", SP_GSS_INNER_OTHER},
    {OID_IAKERB, sizeof OID_IAKERB, "iakerb", SP_GSS_INNER_OTHER},
};

static const struct known_mech *mech_find(struct sp_der oid)
{
    for (size_t i = 0; i < sizeof known_mechs / sizeof known_mechs[0]; i++) {
        if (sp_der_is(oid, known_mechs[i].oid, known_mechs[i].oid_len))
            return &known_mechs[i];
    }
    return NULL;
}

/* ---- Kerberos ---- */

/* A field [n] that holds one INTEGER within lo..hi. */
static bool take_number(struct sp_der *in, unsigned n, int64_t lo, int64_t hi, int64_t *value_out)
{
    struct sp_der field;

    return sp_der_take(in, TAG_FIELD(n), &field) && sp_der_integer(field, value_out) &&
           *value_out >= lo && *value_out <= hi;
}

/* PrincipalName ::= SEQUENCE { name-type [0] Int32, name-string [1] SEQUENCE OF KerberosString } */
static bool read_principal(struct sp_der in, struct sp_gss_ticket *ticket)
{
    struct sp_der body, field, names, name;
    int64_t type;

    if (!sp_der_take_last(in, TAG_SEQUENCE, &body) ||
        !take_number(&body, 0, INT32_MIN, INT32_MAX, &type) ||
        !sp_der_take_last(body, TAG_FIELD(1), &field) ||
        !sp_der_take_last(field, TAG_SEQUENCE, &names))
        return false;
    while (names.left > 0) {
        if (ticket->parts_len == sizeof ticket->parts / sizeof ticket->parts[0] ||
            !sp_der_take(&names, TAG_GENERAL_STRING, &name))
            return false;
        ticket->parts[ticket->parts_len++] = sp_der_span(name);
    }
    return ticket->parts_len > 0;
}

/* EncryptedData ::= SEQUENCE { etype [0] Int32, kvno [1] UInt32 OPTIONAL, cipher [2] OCTET STRING
 * }. A kvno past 2^31 stands as a negative number in tickets of some KDCs. */
static bool read_encrypted(struct sp_der in, int32_t *etype_out, bool *has_kvno_out,
                           uint32_t *kvno_out, struct sp_span *cipher_out)
{
    struct sp_der body, field, cipher;
    int64_t number;

    if (!sp_der_take_last(in, TAG_SEQUENCE, &body) ||
        !take_number(&body, 0, INT32_MIN, INT32_MAX, &number))
        return false;
    *etype_out = (int32_t)number;
    *has_kvno_out = sp_der_next_is(&body, TAG_FIELD(1));
    if (*has_kvno_out) {
        if (!take_number(&body, 1, INT32_MIN, UINT32_MAX, &number))
            return false;
        *kvno_out = (uint32_t)number;
    }
    if (!sp_der_take_last(body, TAG_FIELD(2), &field) ||
        !sp_der_take_last(field, TAG_OCTET_STRING, &cipher) || cipher.left == 0)
        return false;
    *cipher_out = sp_der_span(cipher);
    return true;
}

/* Ticket ::= [APPLICATION 1] SEQUENCE { tkt-vno [0], realm [1], sname [2], enc-part [3] } */
static bool read_ticket(struct sp_der in, struct sp_gss_ticket *ticket)
{
    struct sp_der frame, body, field, realm;
    struct sp_span cipher;
    int64_t version;

    if (!sp_der_take_last(in, TAG_TICKET, &frame) ||
        !sp_der_take_last(frame, TAG_SEQUENCE, &body) || !take_number(&body, 0, 5, 5, &version) ||
        !sp_der_take(&body, TAG_FIELD(1), &field) ||
        !sp_der_take_last(field, TAG_GENERAL_STRING, &realm) ||
        !sp_der_take(&body, TAG_FIELD(2), &field) || !read_principal(field, ticket))
        return false;
    ticket->realm = sp_der_span(realm);
    return sp_der_take_last(body, TAG_FIELD(3), &field) &&
           read_encrypted(field, &ticket->etype, &ticket->has_kvno, &ticket->kvno, &cipher);
}

/* AP-REQ ::= [APPLICATION 14] SEQUENCE { pvno [0], msg-type [1], ap-options [2], ticket [3],
 * authenticator [4] } */
static bool read_ap_req(struct sp_der in, struct sp_gss_ticket *ticket)
{
    struct sp_der frame, body, field, options;
    int64_t number;
    uint32_t kvno;
    bool has_kvno;

    if (!sp_der_take_last(in, TAG_AP_REQ, &frame) ||
        !sp_der_take_last(frame, TAG_SEQUENCE, &body) || !take_number(&body, 0, 5, 5, &number) ||
        !take_number(&body, 1, 14, 14, &number) || !sp_der_take(&body, TAG_FIELD(2), &field) ||
        !sp_der_take_last(field, TAG_BIT_STRING, &options) ||
        !sp_der_take(&body, TAG_FIELD(3), &field) || !read_ticket(field, ticket))
        return false;
    ticket->whole = sp_der_span(field);
    return sp_der_take_last(body, TAG_FIELD(4), &field) &&
           read_encrypted(field, &ticket->session_etype, &has_kvno, &kvno, &ticket->authenticator);
}

/* A Kerberos token: in the GSSAPI frame with its two bytes of type (RFC 4121 4.1), or bare, as DCE
 * style sends it. */
static bool read_krb5(struct sp_der in, struct sp_gss_xray *xray)
{
    struct sp_der frame, oid;
    const struct known_mech *mech;

    if (sp_der_next_is(&in, TAG_AP_REP)) {
        xray->inner = SP_GSS_INNER_AP_REP;
        return sp_der_take_last(in, TAG_AP_REP, &frame);
    }
    xray->inner = SP_GSS_INNER_AP_REQ;
    if (sp_der_next_is(&in, TAG_AP_REQ))
        return read_ap_req(in, &xray->ticket);
    if (!sp_der_take_last(in, TAG_GSS_FRAME, &frame) || !sp_der_take(&frame, TAG_OID, &oid))
        return false;
    mech = mech_find(oid);
    if (mech == NULL || mech->inner != SP_GSS_INNER_AP_REQ || frame.left < 2 || frame.at[0] != 1 ||
        frame.at[1] != 0)
        return false;
    return read_ap_req((struct sp_der){frame.at + 2, frame.left - 2}, &xray->ticket);
}

/* ---- NTLMSSP ---- */

static uint32_t le16(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}

static uint32_t le32(const uint8_t *at)
{
    return le16(at) | le16(at + 2) << 16;
}

/* One code point as UTF-8; returns its length. */
static size_t put_utf8(char out[4], uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* The code point at `at`, and how many bytes it took. A lone surrogate reads as U+FFFD. */
static uint32_t get_utf16(const uint8_t *at, size_t left, size_t *took)
{
    uint32_t high = le16(at);
    uint32_t low;

    *took = 2;
    if (high < 0xd800 || high > 0xdfff)
        return high;
    low = left >= 4 ? le16(at + 2) : 0;
    if (high > 0xdbff || low < 0xdc00 || low > 0xdfff)
        return 0xfffd;
    *took = 4;
    return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

/* Text of a message as UTF-8, cut to what fits: UTF-16LE, or the client's OEM code page, of which
 * only ASCII means the same everywhere. */
static void ntlm_text(struct sp_der text, bool unicode, char *out, size_t cap)
{
    size_t used = 0;

    while (text.left >= (unicode ? 2u : 1u)) {
        char letter[4];
        size_t took = 1;
        uint32_t c = unicode ? get_utf16(text.at, text.left, &took) : text.at[0];
        size_t len = put_utf8(letter, !unicode && c > 0x7e ? '?' : c);

        if (used + len >= cap)
            break;
        memcpy(out + used, letter, len);
        used += len;
        text.at += took;
        text.left -= took;
    }
    out[used] = '\0';
}

/* A field descriptor at `at`: length, room, offset ([MS-NLMP] 2.2.1.1). */
static bool ntlm_field(struct sp_der message, size_t at, struct sp_der *field_out)
{
    size_t len, offset;

    if (message.left < at + 8)
        return false;
    len = le16(message.at + at);
    offset = le32(message.at + at + 4);
    if (offset > message.left || len > message.left - offset)
        return false;
    *field_out = (struct sp_der){message.at + offset, len};
    return true;
}

static void read_ntlm_fields(struct sp_der in, struct sp_gss_ntlm *ntlm)
{
    struct sp_der field;
    bool unicode;

    if (ntlm->type == 1) { /* always in the OEM code page, and mostly left out */
        if (ntlm_field(in, 16, &field))
            ntlm_text(field, false, ntlm->domain, sizeof ntlm->domain);
        if (ntlm_field(in, 24, &field))
            ntlm_text(field, false, ntlm->workstation, sizeof ntlm->workstation);
    } else if (ntlm->type == 3) {
        unicode = in.left >= 64 && (le32(in.at + 60) & 1) != 0;
        if (ntlm_field(in, 28, &field))
            ntlm_text(field, unicode, ntlm->domain, sizeof ntlm->domain);
        if (ntlm_field(in, 36, &field))
            ntlm_text(field, unicode, ntlm->user, sizeof ntlm->user);
        if (ntlm_field(in, 44, &field))
            ntlm_text(field, unicode, ntlm->workstation, sizeof ntlm->workstation);
    }
}

static bool is_ntlmssp(struct sp_der in)
{
    return in.left >= sizeof NTLMSSP_SIGNATURE &&
           memcmp(in.at, NTLMSSP_SIGNATURE, sizeof NTLMSSP_SIGNATURE) == 0;
}

static bool read_ntlmssp(struct sp_der in, struct sp_gss_xray *xray)
{
    xray->inner = SP_GSS_INNER_NTLMSSP;
    if (!is_ntlmssp(in) || in.left < sizeof NTLMSSP_SIGNATURE + 4)
        return false;
    xray->ntlm.type = le32(in.at + sizeof NTLMSSP_SIGNATURE);
    read_ntlm_fields(in, &xray->ntlm);
    return xray->ntlm.type == 1 || xray->ntlm.type == 3;
}

/* ---- SPNEGO ---- */

static void note_mech(struct sp_gss_xray *xray, const struct known_mech *mech)
{
    size_t used = strlen(xray->mechs);

    (void)snprintf(xray->mechs + used, sizeof xray->mechs - used, "%s%s", used > 0 ? ", " : "",
                   mech != NULL ? mech->name : "unknown");
    if (mech != NULL && mech->inner == SP_GSS_INNER_AP_REQ)
        xray->lists_krb5 = true;
    if (mech != NULL && mech->inner == SP_GSS_INNER_NTLMSSP) {
        xray->ntlm_first = !xray->lists_krb5;
        xray->lists_ntlm = true;
    }
}

/* MechTypeList; what the first of them sends is what mechToken is meant for (RFC 4178 4.2.1). */
static bool read_mech_list(struct sp_der in, struct sp_gss_xray *xray, enum sp_gss_inner *first_out)
{
    struct sp_der list, oid;
    bool first = true;

    if (!sp_der_take_last(in, TAG_SEQUENCE, &list))
        return false;
    while (list.left > 0) {
        const struct known_mech *mech;

        if (!sp_der_take(&list, TAG_OID, &oid))
            return false;
        mech = mech_find(oid);
        note_mech(xray, mech);
        if (first)
            *first_out = mech != NULL ? mech->inner : SP_GSS_INNER_OTHER;
        first = false;
    }
    return !first;
}

/* [n] OCTET STRING OPTIONAL; absent leaves `out` empty with a NULL base. */
static bool take_octets(struct sp_der *in, unsigned n, struct sp_der *out)
{
    struct sp_der field;

    *out = (struct sp_der){NULL, 0};
    if (!sp_der_next_is(in, TAG_FIELD(n)))
        return true;
    return sp_der_take(in, TAG_FIELD(n), &field) && sp_der_take_last(field, TAG_OCTET_STRING, out);
}

/* [n] anything of that tag OPTIONAL, passed over. */
static bool skip_field(struct sp_der *in, unsigned n, uint8_t tag)
{
    struct sp_der field, value;

    if (!sp_der_next_is(in, TAG_FIELD(n)))
        return true;
    return sp_der_take(in, TAG_FIELD(n), &field) && sp_der_take_last(field, tag, &value);
}

static bool read_inner(struct sp_der token, enum sp_gss_inner expect, struct sp_gss_xray *xray)
{
    if (token.at == NULL)
        return true;
    if (expect == SP_GSS_INNER_AP_REQ)
        return read_krb5(token, xray);
    if (expect == SP_GSS_INNER_NTLMSSP)
        return read_ntlmssp(token, xray);
    xray->inner = SP_GSS_INNER_OTHER;
    return true;
}

/* NegTokenInit: mechTypes [0], reqFlags [1] OPTIONAL, mechToken [2] OPTIONAL, mechListMIC [3]
 * OPTIONAL. The inner token is read as what the first listed mechanism sends, since the library
 * gives it to that one or to none. */
static bool read_init(struct sp_der in, struct sp_gss_xray *xray)
{
    struct sp_der choice, body, field, token, mic;
    enum sp_gss_inner first = SP_GSS_INNER_OTHER;

    if (!sp_der_take_last(in, TAG_FIELD(0), &choice) ||
        !sp_der_take_last(choice, TAG_SEQUENCE, &body) ||
        !sp_der_take(&body, TAG_FIELD(0), &field) || !read_mech_list(field, xray, &first) ||
        !skip_field(&body, 1, TAG_BIT_STRING) || !take_octets(&body, 2, &token) ||
        !take_octets(&body, 3, &mic) || body.left > 0)
        return false;
    return read_inner(token, first, xray);
}

/* NegTokenResp: negState [0], supportedMech [1], responseToken [2], mechListMIC [3], all OPTIONAL.
 * Which mechanism was agreed is not said again, so the token tells it by its first bytes. */
static bool read_resp(struct sp_der in, struct sp_gss_xray *xray)
{
    struct sp_der choice, body, token, mic;
    enum sp_gss_inner expect;

    if (!sp_der_take_last(in, TAG_FIELD(1), &choice) ||
        !sp_der_take_last(choice, TAG_SEQUENCE, &body) || !skip_field(&body, 0, TAG_ENUMERATED) ||
        !skip_field(&body, 1, TAG_OID) || !take_octets(&body, 2, &token) ||
        !take_octets(&body, 3, &mic) || body.left > 0)
        return false;
    expect = is_ntlmssp(token) ? SP_GSS_INNER_NTLMSSP : SP_GSS_INNER_AP_REQ;
    return read_inner(token, expect, xray);
}

static bool read_framed(struct sp_der in, struct sp_gss_xray *xray)
{
    struct sp_der frame, oid;

    if (!sp_der_take_last(in, TAG_GSS_FRAME, &frame) || !sp_der_take(&frame, TAG_OID, &oid))
        return false;
    if (!sp_der_is(oid, OID_SPNEGO, sizeof OID_SPNEGO))
        return read_krb5(in, xray);
    xray->spnego = true;
    return read_init(frame, xray);
}

/* ---- the door ---- */

void sp_gss_xray_read(struct sp_gss_xray *xray, struct sp_span token)
{
    struct sp_der in = sp_der_of(token);

    *xray = (struct sp_gss_xray){.inner = SP_GSS_INNER_NONE};
    if (is_ntlmssp(in)) {
        xray->whole = read_ntlmssp(in, xray);
    } else if (sp_der_next_is(&in, TAG_FIELD(1))) {
        xray->spnego = true;
        xray->whole = read_resp(in, xray);
    } else if (sp_der_next_is(&in, TAG_AP_REQ) || sp_der_next_is(&in, TAG_AP_REP)) {
        xray->whole = read_krb5(in, xray);
    } else {
        xray->whole = read_framed(in, xray);
    }
}
