/* `sallyport doctor` for a gssapi backend: each key of the keytab, what DNS says of its names, and
 * whether the KDC agrees with it. Runs outside any worker and waits for DNS and for the KDC no
 * longer than ANSWER_S each time; who was silent once is not asked again. */
#include "backends/gssapi/gssapi_priv.h"

#include "backends/kdc/kdc.h"
#include "util/lookup.h"
#include "util/span.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#define ETYPE_RC4        23
#define PRINCIPALS_ASKED 8u /* a doctor's visit shall end */
#define OFFSET_WARN_S    60
#define ANSWER_S         5 /* named in the command's help and manual */

static const char clock_remedy[] =
    "set the clock by NTP: tickets are refused when clocks differ by more than clockskew";

struct visit {
    struct sp_auth_config *config;
    struct sp_gss_keys *keys;
    struct sp_auth_findings *findings;
    unsigned ill;
};

static void find(struct visit *visit, bool well, const char *what, const char *state,
                 const char *remedy)
{
    const struct sp_auth_finding finding = {well, what, state, well ? NULL : remedy};

    visit->findings->add(visit->findings, &finding);
    visit->ill += well ? 0 : 1;
}

static uint64_t answer_due_ns(void)
{
    return uv_hrtime() + ANSWER_S * UINT64_C(1000000000);
}

/* ---- what the file says ---- */

static bool same_principal(const struct sp_gss_key *a, const struct sp_gss_key *b)
{
    return strcmp(a->principal, b->principal) == 0;
}

static bool seen_before(const struct sp_gss_key *list, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (same_principal(&list[k], &list[i]))
            return true;
    }
    return false;
}

/* One line a principal: its versions and ciphers; RC4 alone is a fault waiting for its day. */
static void examine_principal(struct visit *visit, const struct sp_gss_key *list, size_t len,
                              size_t first)
{
    char what[320], state[600], scratch[24];
    size_t used = 0;
    bool aes = false;

    for (size_t i = first; i < len && used < sizeof state; i++) {
        if (!same_principal(&list[i], &list[first]))
            continue;
        aes = aes || list[i].etype != ETYPE_RC4;
        used += (size_t)snprintf(state + used, sizeof state - used, "%skvno %u %s",
                                 used > 0 ? ", " : "", list[i].kvno,
                                 sp_gss_etype_name(list[i].etype, scratch));
    }
    (void)snprintf(what, sizeof what, "key of %s", list[first].principal);
    find(visit, aes, what, state,
         "only RC4, which current KDCs no longer issue: let the account use AES, set its password "
         "anew, and export the keytab with AES keys");
}

static void examine_mode(struct visit *visit)
{
    const char *path = visit->config->options->keytab;
    char state[4096 + 32];
    struct stat st;
    bool closed;

    if (stat(path, &st) != 0)
        return; /* the keys in use were read from somewhere: refresh tells of it */
    closed = (st.st_mode & (S_IROTH | S_IWOTH)) == 0;
    (void)snprintf(state, sizeof state, "%s: mode %04o%s", path, (unsigned)(st.st_mode & 07777),
                   closed ? "" : ", open to every user of this machine");
    find(visit, closed, "keytab file", state,
         "who reads it can be the proxy: chmod 0640, with the group that sallyport runs in");
}

/* The host of HTTP/<host>@REALM. False: it is no such principal. */
static bool host_of(const struct sp_gss_key *key, char *out, size_t cap)
{
    const char *realm = strrchr(key->principal, '@');
    int len = realm != NULL ? (int)(realm - key->principal) - 5 : -1;

    if (strncmp(key->principal, "HTTP/", 5) != 0 || len <= 0 || (size_t)len >= cap)
        return false;
    (void)snprintf(out, cap, "%.*s", len, key->principal + 5);
    return true;
}

static bool has_key_for(const struct sp_gss_key *list, size_t len, const char *host)
{
    char have[256];

    for (size_t i = 0; i < len; i++)
        if (host_of(&list[i], have, sizeof have) && strcasecmp(have, host) == 0)
            return true;
    return false;
}

static void examine_service(struct visit *visit, const struct sp_gss_key *list, size_t len)
{
    char host[256];

    for (size_t i = 0; i < len; i++) {
        if (host_of(&list[i], host, sizeof host))
            return; /* examine_principal has told of it */
    }
    find(visit, false, "service name", "no key of the keytab is for HTTP/<host>",
         "browsers and curl ask for HTTP/<the proxy's full name>: add that principal (an SPN, on "
         "AD) to the account, and export the keytab with it");
}

/* ---- what DNS says ---- */

/* Name service has answered, and knows no address of that name. */
static bool is_unknown(int failure)
{
    return failure == EAI_NONAME || failure == EAI_NODATA;
}

/* The name at the end of a chain of CNAMEs. SP_ERR_NOT_FOUND: it has no address; SP_ERR_IO: name
 * service failed, and whether it has one is not known, as after any other failure. *why_out says
 * why. */
static enum sp_err canonical(const char *host, char *out, size_t cap, const char **why_out)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_CANONNAME};
    struct addrinfo *list = NULL;
    int failure = 0;
    enum sp_err err = sp_lookup(host, NULL, &hints, answer_due_ns(), NULL, &list, &failure);

    if (err != SP_OK) {
        *why_out = err == SP_ERR_TIMEOUT ? "DNS does not answer" : "there is no room to ask DNS";
        return err;
    }
    *why_out = failure != 0 ? gai_strerror(failure) : NULL;
    if (failure != 0)
        return is_unknown(failure) ? SP_ERR_NOT_FOUND : SP_ERR_IO;
    (void)snprintf(out, cap, "%s", list->ai_canonname != NULL ? list->ai_canonname : host);
    freeaddrinfo(list);
    return SP_OK;
}

static void find_alias(struct visit *visit, const struct sp_gss_key *list, size_t len,
                       const char *what, const char *host, const char *name)
{
    char state[1200];

    if (strcasecmp(name, host) == 0) {
        find(visit, true, what, "resolves, and is no alias", NULL);
        return;
    }
    (void)snprintf(state, sizeof state,
                   "an alias of %s, so many browsers ask for HTTP/%s; the keytab %s it", name, name,
                   has_key_for(list, len, name) ? "has" : "lacks");
    find(visit, has_key_for(list, len, name), what, state,
         "make the alias an A record of its own, or add that principal (SPN) to the account and "
         "export the keytab with it");
}

/* A browser is told a name of the proxy, and asks for a ticket to HTTP/<that name>, or to the name
 * that DNS gives in its place when it is an alias. False: DNS does not answer, and asking on would
 * only wait. */
static bool examine_host(struct visit *visit, const struct sp_gss_key *list, size_t len,
                         const char *host)
{
    char what[320], state[300], name[512];
    const char *why;
    enum sp_err err = canonical(host, name, sizeof name, &why);

    (void)snprintf(what, sizeof what, "DNS about %s", host);
    if (err == SP_OK) {
        find_alias(visit, list, len, what, host, name);
    } else if (err == SP_ERR_NOT_FOUND) {
        (void)snprintf(state, sizeof state, "does not resolve: %s", why);
        find(visit, false, what, state,
             "clients reach the proxy by the name in its SPN: add an A or AAAA record, or make the "
             "SPN the name that they use");
    } else {
        if (err == SP_ERR_IO)
            (void)snprintf(state, sizeof state, "not known: %s", why);
        else
            (void)snprintf(state, sizeof state, "not known: %s within %d s", why, ANSWER_S);
        find(visit, false, what, state,
             "look whether the name servers in resolv.conf run and can be reached from here");
    }
    return err == SP_OK || err == SP_ERR_NOT_FOUND || err == SP_ERR_IO;
}

static void examine_own_name(struct visit *visit, const struct sp_gss_key *list, size_t len)
{
    char own[256], name[512], state[1000];
    const char *why;

    if (gethostname(own, sizeof own) != 0)
        return;
    own[sizeof own - 1] = '\0';
    if (canonical(own, name, sizeof name, &why) != SP_OK)
        (void)snprintf(state, sizeof state,
                       "%s, which does not resolve (%s); tickets are for the names above", own,
                       why);
    else
        (void)snprintf(state, sizeof state, "%s: %s", name,
                       has_key_for(list, len, name)
                           ? "the keytab has it"
                           : "not in the keytab, so clients must use one of the names above");
    find(visit, true, "name of this machine", state, NULL);
}

static void examine_names(struct visit *visit, const struct sp_gss_key *list, size_t len)
{
    char host[256];
    unsigned asked = 0;

    for (size_t i = 0; i < len && asked < PRINCIPALS_ASKED; i++) {
        if (seen_before(list, i) || !host_of(&list[i], host, sizeof host))
            continue;
        asked++;
        if (!examine_host(visit, list, len, host))
            return;
    }
    examine_own_name(visit, list, len);
}

/* ---- what the KDC says ---- */

static void find_clock(struct visit *visit, int behind_s)
{
    char state[96];

    (void)snprintf(state, sizeof state, "%d s %s the KDC's", behind_s < 0 ? -behind_s : behind_s,
                   behind_s > 0 ? "behind" : "ahead of");
    find(visit, behind_s < OFFSET_WARN_S && behind_s > -OFFSET_WARN_S, "clock", state,
         clock_remedy);
}

/* AD knows a service's name as an SPN, not as somebody who logs in: that is no fault. Nor is the
 * age of its password: tickets for the service are given out all the same. */
static bool says_nothing(krb5_error_code code)
{
    return code == KRB5KDC_ERR_C_PRINCIPAL_UNKNOWN || code == KRB5KDC_ERR_CLIENT_REVOKED ||
           code == KRB5KDC_ERR_POLICY || code == KRB5KDC_ERR_KEY_EXP;
}

static const char *remedy_for(krb5_error_code code)
{
    switch (code) {
    case KRB5KRB_AP_ERR_BAD_INTEGRITY:
    case KRB5KDC_ERR_PREAUTH_FAILED:
    case KRB5_PREAUTH_FAILED:
        return "the key was changed after the keytab was written: export the keytab anew";
    case KRB5KRB_AP_ERR_SKEW:
    case KRB5_KDCREP_SKEW: return clock_remedy;
    default:
        return "look for the account in the realm (its expiry, its ciphers) and at the KDC's log: "
               "clients may get no ticket for it either";
    }
}

static void find_agreement(struct visit *visit, const char *what,
                           const struct sp_kdc_answer *answer)
{
    if (answer->code == 0)
        find(visit, true, what, "agree", NULL);
    else if (says_nothing(answer->code))
        find(visit, true, what, "not comparable: the KDC does not let a service log in", NULL);
    else
        find(visit, false, what, answer->words, remedy_for(answer->code));
}

/* The service logs in with its own key: the shortest proof that KDC and keytab agree. False: no KDC
 * answers, and asking on would only wait. */
static bool examine_with_kdc(struct visit *visit, const char *principal, bool *clock_known)
{
    struct sp_kdc_answer answer;
    enum sp_err err = sp_kdc_ask_until(principal, visit->config->options->keytab, answer_due_ns(),
                                       &answer);
    char what[320], state[SP_KDC_WORDS_MAX + 64];

    (void)snprintf(what, sizeof what, "KDC and keytab about %s", principal);
    if (err == SP_OK && !answer.silent) {
        find_agreement(visit, what, &answer);
        if (answer.code == 0 && !*clock_known) {
            find_clock(visit, answer.behind_s);
            *clock_known = true;
        }
        return true;
    }
    if (err == SP_ERR_TIMEOUT)
        (void)snprintf(state, sizeof state, "not known: %s does not answer within %d s",
                       answer.words, ANSWER_S);
    else
        (void)snprintf(state, sizeof state, "not known: %s",
                       err == SP_OK ? answer.words : "there is no room to ask");
    find(visit, false, what, state,
         "not needed to accept tickets, but clients need it: look whether the realm's KDCs run and "
         "can be reached from here; krb5.conf and DNS name them");
    return false;
}

static void examine_kdc(struct visit *visit, const struct sp_gss_key *list, size_t len)
{
    unsigned asked = 0;
    bool clock_known = false;

    for (size_t i = 0; i < len && asked < PRINCIPALS_ASKED; i++) {
        if (seen_before(list, i))
            continue;
        asked++;
        if (!examine_with_kdc(visit, list[i].principal, &clock_known))
            break;
    }
}

unsigned sp_gss_config_diagnose(struct sp_auth_config *config, struct sp_auth_findings *findings)
{
    struct visit visit = {config, sp_gss_config_keys(config), findings, 0};
    size_t len;
    const struct sp_gss_key *list = sp_gss_keys_list(visit.keys, &len);

    for (size_t i = 0; i < len; i++) {
        if (!seen_before(list, i))
            examine_principal(&visit, list, len, i);
    }
    if (config->krb5) {
        examine_mode(&visit);
        examine_service(&visit, list, len);
        examine_names(&visit, list, len);
        examine_kdc(&visit, list, len);
    }
    if (config->ntlmssp)
        find(&visit, true, "ntlmssp", "gss-ntlmssp is installed and gives a credential", NULL);
    sp_gss_keys_unref(&visit.keys);
    return visit.ill;
}
