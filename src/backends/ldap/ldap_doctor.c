/* What `sallyport doctor` looks at in a directory: each server by itself, with the same dialling
 * that logins use, and then whether the bases exist. Blocks; runs outside any worker. */
#include "backends/ldap/ldap_doctor.h"

#include "backends/ldap/ldap_config.h"
#include "backends/ldap/ldap_dial.h"

#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define EXPIRES_SOON_DAYS 14
#define CLOCK_WARN_S      60

struct examination {
    struct sp_auth_config *config;
    struct sp_auth_findings *findings;
    unsigned ill;
};

static void tell(struct examination *e, bool well, const char *what, const char *state,
                 const char *remedy)
{
    struct sp_auth_finding finding = {well, what, state, well ? NULL : remedy};

    if (!well)
        e->ill++;
    e->findings->add(e->findings, &finding);
}

static const char *remedy_of(enum sp_ldap_fault fault)
{
    switch (fault) {
    case SP_LDAP_FAULT_CONNECT:
        return "look at the name and port in uris, at DNS, and whether the server runs";
    case SP_LDAP_FAULT_TIMEOUT:
        return "look whether the server hangs, or a firewall stands between";
    case SP_LDAP_FAULT_TLS:
        return "give the server a certificate that is in date and carries the name in uris, and "
               "let tls_ca name the authority that signed it";
    case SP_LDAP_FAULT_KDC:
        return "look whether the realm's KDCs run and can be reached from here: krb5.conf and DNS "
               "name them";
    case SP_LDAP_FAULT_UNPROVEN:
        return "look whether the realm has the principal ldap/HOST for the name in uris, at the "
               "clocks, and whether the server offers GSSAPI";
    case SP_LDAP_FAULT_SERVICE:
        return "give bind_password_file the account's password and bind_dn its whole DN (with "
               "sasl: client_keytab and bind_principal), and reload";
    case SP_LDAP_FAULT_NONE:
    case SP_LDAP_FAULT_STOPPED:
    case SP_LDAP_FAULT_FULL:
    case SP_LDAP_FAULT_LOST:
    case SP_LDAP_FAULT_ANSWER:
    case SP_LDAP_FAULT_GARBLED: break;
    }
    return "look at the server's own log";
}

static void tell_steps(struct examination *e, const struct sp_ldap_uri *uri,
                       const struct sp_ldap_dial_report *report)
{
    for (size_t i = 0; i < report->steps_len; i++) {
        const struct sp_ldap_dial_step *step = &report->steps[i];
        char what[600];
        char state[680];

        snprintf(what, sizeof(what), "%s %s", uri->text, step->what);
        snprintf(state, sizeof(state), "%s%s%s", step->detail, step->detail[0] != '\0' ? ": " : "",
                 step->outcome);
        tell(e, step->well, what, state, remedy_of(report->fault));
    }
}

/* What a search of one entry gave: its result code, and the answer, for ldap_msgfree. */
static int read_entry(struct examination *e, struct sp_ldap_wire *wire, const char *base,
                      char *attribute, LDAPMessage **answer_out)
{
    LDAP *ld = sp_ldap_wire_handle(wire);
    char *attributes[] = {attribute, NULL};
    uint64_t deadline_ns = uv_hrtime() + e->config->options->timeout_ms * 1000000;
    int result = LDAP_SERVER_DOWN;
    int msgid = 0;

    *answer_out = NULL;
    if (ldap_search_ext(ld, base, LDAP_SCOPE_BASE, "(objectClass=*)", attributes, 0, NULL, NULL,
                        NULL, 1, &msgid) == LDAP_SUCCESS &&
        sp_ldap_wire_await(wire, msgid, deadline_ns, NULL, answer_out) == SP_OK &&
        ldap_parse_result(ld, *answer_out, &result, NULL, NULL, NULL, NULL, 0) != LDAP_SUCCESS)
        result = LDAP_DECODING_ERROR;
    return result;
}

static void examine_base(struct examination *e, const struct sp_ldap_uri *uri,
                         struct sp_ldap_wire *wire, const char *key, const char *base)
{
    char no_attributes[] = LDAP_NO_ATTRS;
    LDAPMessage *answer;
    int result;
    char what[600];
    char state[400];

    if (base[0] == '\0')
        return;
    result = read_entry(e, wire, base, no_attributes, &answer);
    (void)ldap_msgfree(answer);
    snprintf(what, sizeof(what), "%s %s", uri->text, key);
    snprintf(state, sizeof(state), "%s: %s", base,
             result == LDAP_SUCCESS ? "exists" : ldap_err2string(result));
    tell(e, result == LDAP_SUCCESS, what, state,
         "correct that DN in the configuration, or let the service identity read its entry");
}

/* A certificate that has expired already did not verify: tell of one that will soon. */
static void examine_certificate(struct examination *e, const struct sp_ldap_uri *uri,
                                struct sp_ldap_wire *wire)
{
    SSL *tls = sp_ldap_wire_tls(wire);
    X509 *certificate = tls != NULL ? SSL_get1_peer_certificate(tls) : NULL;
    int days = 0, seconds = 0;
    char what[600];
    char state[64];

    if (certificate != NULL &&
        ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate)) == 1) {
        snprintf(what, sizeof(what), "%s certificate", uri->text);
        snprintf(state, sizeof(state), "expires in %d days", days);
        tell(e, days >= EXPIRES_SOON_DAYS, what, state,
             "renew it: from that day on nobody gets in by this server");
    }
    X509_free(certificate);
}

/* Active Directory tells its time in the root DSE (MS-ADTS 3.1.1.3.2.6). False: this server does
 * not, or not in a form that is understood. */
static bool read_clock(struct examination *e, struct sp_ldap_wire *wire, time_t *time_out)
{
    LDAP *ld = sp_ldap_wire_handle(wire);
    char attribute[] = "currentTime";
    LDAPMessage *answer;
    LDAPMessage *entry = NULL;
    struct berval **values = NULL;
    struct tm tm = {0};
    bool known;

    if (read_entry(e, wire, "", attribute, &answer) == LDAP_SUCCESS)
        entry = ldap_first_entry(ld, answer);
    if (entry != NULL)
        values = ldap_get_values_len(ld, entry, attribute);
    known = values != NULL && values[0] != NULL &&
            strptime(values[0]->bv_val, "%Y%m%d%H%M%S", &tm) != NULL;
    if (known)
        *time_out = timegm(&tm);
    ldap_value_free_len(values);
    (void)ldap_msgfree(answer);
    return known;
}

static void examine_clock(struct examination *e, const struct sp_ldap_uri *uri,
                          struct sp_ldap_wire *wire)
{
    time_t theirs = 0;
    long long ahead;
    char what[600];
    char state[80];

    if (!read_clock(e, wire, &theirs))
        return;
    ahead = (long long)time(NULL) - (long long)theirs;
    snprintf(what, sizeof(what), "%s clock", uri->text);
    snprintf(state, sizeof(state), "this machine's is %lld s %s the server's",
             ahead < 0 ? -ahead : ahead, ahead < 0 ? "behind" : "ahead of");
    tell(e, ahead > -CLOCK_WARN_S && ahead < CLOCK_WARN_S, what, state,
         "set the clocks by NTP: Kerberos refuses tickets when they differ by more than 5 minutes");
}

static void examine(struct examination *e, const struct sp_ldap_uri *uri)
{
    const struct sp_ldap_options *options = e->config->options;
    bool service = options->user_dn[0] == '\0' || options->group_base[0] != '\0';
    struct sp_ldap_dial_report report;

    sp_ldap_dial(e->config, uri, service ? SP_LDAP_DIAL_JUDGE : SP_LDAP_DIAL_PROVE, NULL, &report);
    tell_steps(e, uri, &report);
    if (report.wire == NULL)
        return;
    examine_certificate(e, uri, report.wire);
    examine_clock(e, uri, report.wire);
    examine_base(e, uri, report.wire, "base", options->base);
    examine_base(e, uri, report.wire, "group_base", options->group_base);
    sp_ldap_wire_free(&report.wire);
}

unsigned sp_ldap_diagnose(struct sp_auth_config *config, struct sp_auth_findings *findings)
{
    struct examination e = {config, findings, 0};

    for (size_t i = 0; i < config->servers_len; i++)
        examine(&e, &config->servers[i]);
    return e.ill;
}
