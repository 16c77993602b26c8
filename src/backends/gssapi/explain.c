/* Why a handshake was refused, in words that name the fault and its usual cause. Called by the
 * accept job on a pool thread, after the library has said no. The X-ray's view of the token is
 * compared with what the keytab holds; the library's own words are appended. */
#include "backends/gssapi/gssapi_priv.h"

#include "util/span.h"
#include "util/text.h"

#include <errno.h>
#include <stdio.h>

const char *sp_gss_status_words(OM_uint32 major, OM_uint32 minor, char *out, size_t cap)
{
    const OM_uint32 codes[] = {major, minor};
    const int types[] = {GSS_C_GSS_CODE, GSS_C_MECH_CODE};
    size_t used = 0;

    out[0] = '\0';
    for (int i = 0; i < 2 && used < cap; i++) {
        gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
        OM_uint32 more = 0, ignored;
        char safe[240];

        if (codes[i] == 0 ||
            GSS_ERROR(gss_display_status(&ignored, codes[i], types[i], GSS_C_NO_OID, &more, &text)))
            continue;
        /* it may quote names out of the token */
        (void)sp_text_safe(sp_span_of(text.value, text.length), safe, sizeof safe);
        /* GSS_S_FAILURE says no more than that the minor code may: it has spoken */
        if (i == 1 && GSS_ROUTINE_ERROR(major) == GSS_S_FAILURE)
            used = 0;
        used += (size_t)snprintf(out + used, cap - used, "%s%s", used > 0 ? ": " : "", safe);
        (void)gss_release_buffer(&ignored, &text);
    }
    return out;
}

/* keytab: "", or what it has and a semicolon. */
static void put_refusal(struct sp_gss_leg *leg, const char *reason, const char *keytab,
                        const char *cause, const char *library)
{
    leg->verdict = SP_VERDICT_DENY;
    leg->reason = reason;
    (void)snprintf(leg->detail, sizeof leg->detail, "client sent %s; %s%s%s%s%s", leg->sent, keytab,
                   cause, library[0] != '\0' ? " (" : "", library, library[0] != '\0' ? ")" : "");
}

/* A refusal that does not depend on what the keytab has. */
static void refuse(struct sp_gss_leg *leg, const char *reason, const char *cause,
                   const char *library)
{
    put_refusal(leg, reason, "", cause, library);
}

/* A refusal that does. */
static void refuse_key(struct sp_gss_leg *leg, const char *reason, const char *cause,
                       const char *library)
{
    char keys[320]; /* the cause that follows must not be cut off the log line */
    char keytab[360];

    (void)snprintf(keytab, sizeof keytab, "the keytab has %s; ",
                   sp_gss_keys_words(leg->keys, keys, sizeof keys));
    put_refusal(leg, reason, keytab, cause, library);
}

/* ---- a ticket against the keytab ---- */

/* How near the keytab comes to the key that a ticket asks for. */
struct nearness {
    bool principal; /* a key of that name */
    bool newer;     /* ... or of a higher version than the ticket's */
    bool kvno;      /* ... of that version too */
    bool etype;     /* ... and of that cipher */
};

static struct nearness look_for(const struct sp_gss_keys *keys, const struct sp_gss_ticket *ticket)
{
    struct nearness near = {0};
    char service[300];
    size_t len;
    const struct sp_gss_key *list = sp_gss_keys_list(keys, &len);

    (void)sp_gss_xray_service(ticket, service, sizeof service);
    for (size_t i = 0; i < len; i++) {
        if (strcmp(list[i].principal, service) != 0)
            continue;
        near.principal = true;
        near.newer = near.newer || (ticket->has_kvno && list[i].kvno > ticket->kvno);
        if (ticket->has_kvno && list[i].kvno != ticket->kvno)
            continue;
        near.kvno = true;
        near.etype = near.etype || list[i].etype == ticket->etype;
    }
    return near;
}

static void explain_key(struct sp_gss_leg *leg, const struct sp_gss_ticket *ticket,
                        const char *library)
{
    struct nearness near = look_for(leg->keys, ticket);

    if (!near.principal)
        refuse_key(leg, "ticket for another service",
                   "the client knows the proxy by a name (an alias, a load balancer's) whose key "
                   "the keytab lacks: add that key, or set the client to a name that the keytab "
                   "has",
                   library);
    else if (!near.kvno && near.newer)
        refuse_key(leg, "ticket for another key version",
                   "the client got its ticket before the key was changed: get a new one (klist "
                   "purge, or log on anew), or keep the old key in the keytab too",
                   library);
    else if (!near.kvno)
        refuse_key(leg, "ticket for another key version",
                   "the key was changed after the keytab was written: export the keytab anew",
                   library);
    else if (!near.etype)
        refuse_key(leg, "ticket with another cipher",
                   "the keytab lacks the key of that cipher: export the keytab with all ciphers "
                   "of the account, or let the account use what the keytab has",
                   library);
    else
        refuse_key(leg, "ticket does not decrypt",
                   "name, version and cipher match but the key differs: the keytab was made "
                   "before the password was last set, or for another account of that name; export "
                   "it anew",
                   library);
}

/* ---- what the library said ---- */

struct known_minor {
    krb5_error_code code;
    const char *reason;
    const char *cause; /* NULL: told from the ticket */
};

static const struct known_minor known_minors[] = {
    {KRB5KRB_AP_ERR_SKEW, "clock differs too much", NULL},
    {KRB5KRB_AP_ERR_TKT_EXPIRED, "ticket expired",
     "the client holds a ticket past its end: it must get a new one (kinit, or lock and unlock "
     "the screen); if it has one, compare the clocks"},
    {KRB5KRB_AP_ERR_TKT_NYV, "ticket not yet valid",
     "the ticket begins in the future: compare the clocks of KDC, client and proxy"},
    {KRB5KRB_AP_ERR_REPEAT, "replayed ticket", "the same token was sent before"},
    {KRB5KRB_AP_ERR_BADADDR, "ticket for another address",
     "the ticket is bound to another address than the client's: switch address-bound tickets off "
     "(noaddresses = true)"},
    {KRB5_NOPERM_ETYPE, "cipher not permitted",
     "krb5.conf here does not permit that cipher (permitted_enctypes, allow_weak_crypto, "
     "allow_rc4): give the account AES keys"},
    {KRB5_BAD_ENCTYPE, "cipher not supported",
     "the library here does not support that cipher: give the account AES keys"},
    {KRB5KDC_ERR_ETYPE_NOSUPP, "cipher not supported",
     "the library here does not support that cipher: give the account AES keys"},
};

static const struct known_minor *find_minor(OM_uint32 minor)
{
    for (size_t i = 0; i < sizeof known_minors / sizeof known_minors[0]; i++) {
        if ((OM_uint32)known_minors[i].code == minor)
            return &known_minors[i];
    }
    return NULL;
}

/* Troubles of ours: the client's token has not been judged. */
static const krb5_error_code local_troubles[] = {
    ENOMEM, EMFILE, ENFILE, KRB5_CONFIG_CANTOPEN, KRB5_CONFIG_BADFORMAT, KRB5_KT_IOERR};

static bool is_local_trouble(OM_uint32 major, OM_uint32 minor)
{
    for (size_t i = 0; i < sizeof local_troubles / sizeof local_troubles[0]; i++) {
        if ((OM_uint32)local_troubles[i] == minor)
            return true;
    }
    return GSS_ROUTINE_ERROR(major) == GSS_S_UNAVAILABLE;
}

/* MIT's library gives each mechanism's codes numbers of their own where two mechanisms use the
 * same, and SPNEGO passes on those of Kerberos: what comes through SPNEGO is 100001 and the like.
 * The words are still those of the code, so they tell which it was; a code that the library has not
 * met has none. */
static OM_uint32 own_minor(OM_uint32 minor)
{
    const size_t troubles = sizeof local_troubles / sizeof local_troubles[0];
    const size_t known = sizeof known_minors / sizeof known_minors[0];
    char words[240], own[240];

    (void)sp_gss_status_words(0, minor, words, sizeof words);
    for (size_t i = 0; words[0] != '\0' && i < troubles + known; i++) {
        OM_uint32 code = (OM_uint32)(i < troubles ? local_troubles[i]
                                                  : known_minors[i - troubles].code);

        if (strcmp(sp_gss_status_words(0, code, own, sizeof own), words) == 0)
            return code;
    }
    return minor;
}

static void explain_ntlm(struct sp_gss_leg *leg, const char *library)
{
    leg->verdict = SP_VERDICT_DENY;
    if (leg->config->ntlmssp) {
        leg->reason = "NTLM refused";
        (void)snprintf(leg->detail, sizeof leg->detail,
                       "client sent %s; wrong password, unknown user, or a domain that the "
                       "machine cannot verify (%s)",
                       leg->sent, library);
        return;
    }
    leg->reason = "NTLM is not configured";
    (void)snprintf(
        leg->detail, sizeof leg->detail,
        "client sent %s where Kerberos is expected; usual causes: the client is set to the proxy "
        "by address or short name instead of its full name; no account holds the SPN HTTP/<that "
        "name>, or two do; the client is not joined to the domain, or cannot reach a KDC",
        leg->sent);
}

static void explain_malformed(struct sp_gss_leg *leg, const char *library)
{
    leg->verdict = SP_VERDICT_DENY;
    leg->reason = "malformed token";
    (void)snprintf(leg->detail, sizeof leg->detail,
                   "client sent %s of %zu bytes, garbled, cut off or out of turn (%s)", leg->sent,
                   leg->token.len, library);
}

static void explain_bindings(struct sp_gss_leg *leg, const char *library)
{
    leg->verdict = SP_VERDICT_DENY;
    leg->reason = "channel bindings do not match";
    (void)snprintf(leg->detail, sizeof leg->detail,
                   "client sent %s bound to another TLS connection: something between client and "
                   "proxy ends TLS (a balancer, an inspecting box), or an attacker relays; where "
                   "it is yours, set channel_bindings to off (%s)",
                   leg->sent, library);
}

static void explain_clock(struct sp_gss_leg *leg, const char *reason,
                          const struct sp_gss_ticket *ticket, const char *library)
{
    char cause[256], words[64] = "off";
    int64_t ahead_s;

    if (sp_gss_clock_ahead(leg->keys, ticket, &ahead_s))
        (void)sp_gss_clock_words(ahead_s, words, sizeof words);
    (void)snprintf(
        cause, sizeof cause,
        "the client's clock is %s, and krb5.conf's clockskew allows %llu s: keep both in "
        "time with NTP",
        words, (unsigned long long)leg->config->clockskew_s);
    refuse(leg, reason, cause, library);
}

void sp_gss_explain(struct sp_gss_leg *leg, const struct sp_gss_xray *xray, OM_uint32 major,
                    OM_uint32 minor)
{
    const OM_uint32 own = own_minor(minor);
    const struct known_minor *known = find_minor(own);
    char library[480];

    (void)sp_gss_status_words(major, minor, library, sizeof library);
    if (is_local_trouble(major, own)) {
        leg->verdict = SP_VERDICT_UNAVAILABLE;
        leg->reason = "the Kerberos library cannot work";
        (void)snprintf(leg->detail, sizeof leg->detail, "%s", library);
    } else if (xray->inner == SP_GSS_INNER_NTLMSSP) {
        explain_ntlm(leg, library);
    } else if (GSS_ROUTINE_ERROR(major) == GSS_S_BAD_BINDINGS) {
        explain_bindings(leg, library);
    } else if (!xray->whole) {
        explain_malformed(leg, library);
    } else if (known != NULL && known->cause == NULL) {
        explain_clock(leg, known->reason, &xray->ticket, library);
    } else if (known != NULL) {
        refuse(leg, known->reason, known->cause, library);
    } else if (xray->inner == SP_GSS_INNER_AP_REQ) {
        explain_key(leg, &xray->ticket, library);
    } else {
        refuse_key(leg, "handshake refused", "no mechanism that is configured here can use it",
                   library);
    }
}
