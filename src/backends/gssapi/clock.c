/* How far a client's clock is off, for the explanation of a ticket that was refused for it. The
 * time stands in the authenticator, under the session key, under the service's key: the library
 * has read it and does not tell, so both are opened once more. Called by the accept job on a pool
 * thread, after the library has said no. */
#include "backends/gssapi/gssapi_priv.h"

#include "backends/gssapi/der.h"
#include "util/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TAG_GENERALIZED_TIME 0x18
#define TAG_SEQUENCE         0x30
#define TAG_AUTHENTICATOR    0x62 /* [APPLICATION 2] */
#define TAG_FIELD(n)         ((uint8_t)(0xa0 + (n)))
#define FIELD_CTIME          5
#define TIME_LEN             15u /* 20261124194200Z */

/* KerberosTime (RFC 4120 5.2.3): always whole seconds in UTC. */
static bool read_time(struct sp_der text, int64_t *seconds_out)
{
    char digits[TIME_LEN + 1];
    struct tm parts;
    const char *end;

    if (text.left != TIME_LEN)
        return false;
    memcpy(digits, text.at, TIME_LEN);
    digits[TIME_LEN] = '\0';
    memset(&parts, 0, sizeof parts);
    end = strptime(digits, "%Y%m%d%H%M%SZ", &parts);
    if (end == NULL || *end != '\0')
        return false;
    *seconds_out = timegm(&parts);
    return true;
}

/* Authenticator ::= [APPLICATION 2] SEQUENCE { ..., ctime [5] KerberosTime, ... }. Some ciphers pad
 * behind it. */
static bool read_authenticator(struct sp_span plain, int64_t *seconds_out)
{
    struct sp_der in = sp_der_of(plain), frame, body, field, text;

    if (!sp_der_take(&in, TAG_AUTHENTICATOR, &frame) ||
        !sp_der_take_last(frame, TAG_SEQUENCE, &body))
        return false;
    for (uint8_t n = 0; n < FIELD_CTIME; n++)
        (void)sp_der_take(&body, TAG_FIELD(n), &field); /* some are optional */
    return sp_der_take(&body, TAG_FIELD(FIELD_CTIME), &field) &&
           sp_der_take_last(field, TAG_GENERALIZED_TIME, &text) && read_time(text, seconds_out);
}

static bool open_authenticator(krb5_context krb5, const krb5_keyblock *session,
                               const struct sp_gss_ticket *seen, int64_t *seconds_out)
{
    krb5_enc_data sealed = {0};
    struct sp_secret plain = {NULL, 0};
    krb5_data out = {0};
    bool read = false;

    sealed.enctype = seen->session_etype;
    sealed.ciphertext.data = (char *)(uintptr_t)seen->authenticator.base;
    sealed.ciphertext.length = (unsigned)seen->authenticator.len;
    if (sp_secret_alloc(&plain, seen->authenticator.len) != SP_OK)
        return false;
    out.data = plain.base;
    out.length = (unsigned)plain.len;
    if (krb5_c_decrypt(krb5, session, KRB5_KEYUSAGE_AP_REQ_AUTH, NULL, &sealed, &out) == 0)
        read = read_authenticator((struct sp_span){out.data, out.length}, seconds_out);
    sp_secret_fini(&plain);
    return read;
}

static bool open_ticket(krb5_context krb5, const char *keytab, const struct sp_gss_ticket *seen,
                        int64_t *seconds_out)
{
    const krb5_data bytes = {0, (unsigned)seen->whole.len, (char *)(uintptr_t)seen->whole.base};
    krb5_ticket *ticket = NULL;
    krb5_keytab keys = NULL;
    bool read = false;

    if (krb5_decode_ticket(&bytes, &ticket) == 0 && krb5_kt_resolve(krb5, keytab, &keys) == 0 &&
        krb5_server_decrypt_ticket_keytab(krb5, keys, ticket) == 0)
        read = open_authenticator(krb5, ticket->enc_part2->session, seen, seconds_out);
    if (keys != NULL)
        (void)krb5_kt_close(krb5, keys);
    if (ticket != NULL)
        krb5_free_ticket(krb5, ticket);
    return read;
}

bool sp_gss_clock_ahead(const struct sp_gss_keys *keys, const struct sp_gss_ticket *seen,
                        int64_t *seconds_out)
{
    krb5_context krb5;
    int64_t theirs;
    bool read;

    if (krb5_init_context(&krb5) != 0)
        return false;
    read = open_ticket(krb5, sp_gss_keys_memory(keys), seen, &theirs);
    krb5_free_context(krb5);
    if (read)
        *seconds_out = theirs - (int64_t)time(NULL);
    return read;
}

const char *sp_gss_clock_words(int64_t ahead_s, char *out, size_t cap)
{
    const uint64_t off = ahead_s < 0 ? -(uint64_t)ahead_s : (uint64_t)ahead_s;
    const uint64_t hour = 3600, minute = 60;
    const char *unit = off >= 2 * hour ? "h" : off >= 2 * minute ? "min" : "s";
    const uint64_t in_unit = off >= 2 * hour     ? (off + hour / 2) / hour
                             : off >= 2 * minute ? (off + minute / 2) / minute
                                                 : off;

    (void)snprintf(out, cap, "%llu %s %s the proxy's", (unsigned long long)in_unit, unit,
                   ahead_s < 0 ? "behind" : "ahead of");
    return out;
}
