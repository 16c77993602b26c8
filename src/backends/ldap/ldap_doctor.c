/* What `sallyport doctor` looks at in a directory: each server by itself, with the same dialling
 * that logins use, and then whether the bases exist. Blocks; runs outside any worker. */
#include "backends/ldap/ldap_doctor.h"

#include "backends/ldap/ldap_config.h"
#include "backends/ldap/ldap_dial.h"

#include <stdio.h>
#include <string.h>

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
        return "give the server a certificate that carries the name in uris, and let tls_ca name "
               "the authority that signed it";
    case SP_LDAP_FAULT_SERVICE:
        return "look at bind_dn and bind_password_file (or client_keytab and bind_principal)";
    case SP_LDAP_FAULT_NONE:
    case SP_LDAP_FAULT_STOPPED:
    case SP_LDAP_FAULT_FULL:
    case SP_LDAP_FAULT_LOST:
    case SP_LDAP_FAULT_ANSWER: break;
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

static void examine_base(struct examination *e, const struct sp_ldap_uri *uri,
                         struct sp_ldap_wire *wire, const char *key, const char *base)
{
    LDAP *ld = sp_ldap_wire_handle(wire);
    char no_attributes[] = LDAP_NO_ATTRS;
    char *attributes[] = {no_attributes, NULL};
    LDAPMessage *answer = NULL;
    int result = LDAP_SERVER_DOWN;
    int msgid = 0;
    char what[600];
    char state[400];

    if (base[0] == '\0')
        return;
    if (ldap_search_ext(ld, base, LDAP_SCOPE_BASE, "(objectClass=*)", attributes, 0, NULL, NULL,
                        NULL, 1, &msgid) == LDAP_SUCCESS &&
        sp_ldap_wire_await(wire, msgid, uv_hrtime() + e->config->options->timeout_ms * 1000000,
                           NULL, &answer) == SP_OK &&
        ldap_parse_result(ld, answer, &result, NULL, NULL, NULL, NULL, 1) != LDAP_SUCCESS)
        result = LDAP_DECODING_ERROR;
    snprintf(what, sizeof(what), "%s %s", uri->text, key);
    snprintf(state, sizeof(state), "%s: %s", base,
             result == LDAP_SUCCESS ? "exists" : ldap_err2string(result));
    tell(e, result == LDAP_SUCCESS, what, state,
         "correct the key, or let the service identity read that entry");
}

static void examine(struct examination *e, const struct sp_ldap_uri *uri)
{
    const struct sp_ldap_options *options = e->config->options;
    bool service = options->user_dn[0] == '\0' || options->group_base[0] != '\0';
    struct sp_ldap_dial_report report;

    sp_ldap_dial(e->config, uri, service ? SP_LDAP_DIAL_SERVICE : SP_LDAP_DIAL_PROVE, NULL,
                 &report);
    tell_steps(e, uri, &report);
    if (report.wire == NULL)
        return;
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
