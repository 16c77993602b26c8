/* The service identity: the bind that comes before searches, by password or by Kerberos; and the
 * small question that proves a server alive. Runs on a pool thread. */
#include "backends/ldap/ldap_dial_priv.h"

#include "backends/ldap/ldap_brake.h"
#include "backends/ldap/ldap_config.h"

#include <stdio.h>
#include <string.h>
#include <uv.h>

uint64_t sp_ldap_dial_due_ns(const struct sp_ldap_dialling *d)
{
    uint64_t due_ns = uv_hrtime() + d->config->options->timeout_ms * 1000000;

    return due_ns < d->latest_ns ? due_ns : d->latest_ns;
}

static const char *hint_of(int result)
{
    switch (result) {
    case LDAP_INVALID_CREDENTIALS: return "; look at bind_dn and bind_password_file";
    case LDAP_STRONG_AUTH_REQUIRED:
    case LDAP_CONFIDENTIALITY_REQUIRED:
        return "; the server wants a protected connection: use ldaps:// or start_tls = true";
    case LDAP_NO_SUCH_OBJECT:
    case LDAP_INVALID_DN_SYNTAX: return "; look at bind_dn";
    default: return "";
    }
}

/* Busy and unavailable say nothing about the identity, nor does what libldap, SASL or the Kerberos
 * library make of it by themselves (RFC 4511 knows no result below zero); every other refusal does.
 */
static enum sp_ldap_fault fault_of(int result)
{
    if (result < 0 && result != LDAP_NO_MEMORY)
        return SP_LDAP_FAULT_UNPROVEN;
    switch (result) {
    case LDAP_NO_MEMORY: return SP_LDAP_FAULT_FULL;
    case LDAP_BUSY:
    case LDAP_UNAVAILABLE:
    case LDAP_OTHER:
    case LDAP_OPERATIONS_ERROR: return SP_LDAP_FAULT_ANSWER;
    default: return SP_LDAP_FAULT_SERVICE;
    }
}

enum sp_err sp_ldap_dial_bound(struct sp_ldap_dialling *d, int result, const char *diagnostic)
{
    bool more = diagnostic != NULL && diagnostic[0] != '\0';

    if (result == LDAP_SUCCESS) {
        sp_ldap_dial_well(d, "success");
        return SP_OK;
    }
    return sp_ldap_dial_fail(d, fault_of(result), "the service bind %s: %s (%d)%s%s%s",
                             result < 0 ? "failed here" : "was refused", ldap_err2string(result),
                             result, more ? ": " : "", more ? diagnostic : "", hint_of(result));
}

/* Waits for the answer to msgid and takes it apart. */
static enum sp_err answer_of(struct sp_ldap_dialling *d, int msgid, int *result_out,
                             char **diagnostic_out)
{
    LDAPMessage *answer = NULL;
    enum sp_err err = sp_ldap_wire_await(d->report->wire, msgid, sp_ldap_dial_due_ns(d), d->stop,
                                         &answer);

    if (err != SP_OK)
        return sp_ldap_dial_wait_failed(d, err);
    if (ldap_parse_result(sp_ldap_wire_handle(d->report->wire), answer, result_out, NULL,
                          diagnostic_out, NULL, NULL, 1) != LDAP_SUCCESS)
        return sp_ldap_dial_fail(d, SP_LDAP_FAULT_LOST, "the server's answer is not LDAP");
    return SP_OK;
}

static enum sp_err simple_bind(struct sp_ldap_dialling *d)
{
    const struct sp_ldap_options *options = d->config->options;
    struct berval password = {options->bind_password_file.len, options->bind_password_file.text};
    char *diagnostic = NULL;
    int result = LDAP_OTHER;
    int msgid = 0;
    enum sp_err err;

    if (ldap_sasl_bind(sp_ldap_wire_handle(d->report->wire), options->bind_dn, LDAP_SASL_SIMPLE,
                       &password, NULL, NULL, &msgid) != LDAP_SUCCESS)
        return sp_ldap_dial_wait_failed(d, SP_ERR_CLOSED);
    err = answer_of(d, msgid, &result, &diagnostic);
    if (err == SP_OK)
        err = sp_ldap_dial_bound(d, result, diagnostic);
    ldap_memfree(diagnostic);
    return err;
}

static bool is_anonymous(const struct sp_ldap_options *options)
{
    return options->sasl == SP_LDAP_SASL_NONE && options->bind_dn[0] == '\0';
}

/* An anonymous service identity needs no bind, but a server that is probed must speak. */
enum sp_err sp_ldap_dial_unbraked(struct sp_ldap_dialling *d)
{
    const struct sp_ldap_options *options = d->config->options;
    struct sp_ldap_dial_step *step;

    if (is_anonymous(options))
        return sp_ldap_dial_prove(d);
    step = sp_ldap_dial_step(d, SP_LDAP_STEP_BIND);
    if (options->sasl == SP_LDAP_SASL_GSSAPI) {
        snprintf(step->detail, sizeof(step->detail), "GSSAPI, %s", options->bind_principal);
        return sp_ldap_dial_sasl(d);
    }
    snprintf(step->detail, sizeof(step->detail), "%s", options->bind_dn);
    return simple_bind(d);
}

_Static_assert(SP_LDAP_SERVERS_MAX < SP_LDAP_BRAKE_PLACES, "each server has a place");

/* Its place at the brake: that of a server of ours, or the one for those that referrals name. */
static unsigned place_of(const struct sp_ldap_dialling *d)
{
    for (unsigned i = 0; i < d->config->servers_len; i++)
        if (d->uri == &d->config->servers[i])
            return i;
    return SP_LDAP_BRAKE_PLACES - 1;
}

static enum sp_err not_entered(struct sp_ldap_dialling *d, enum sp_err err)
{
    (void)sp_ldap_dial_step(d, SP_LDAP_STEP_WAIT);
    if (err == SP_ERR_DENIED)
        return sp_ldap_dial_fail(d, SP_LDAP_FAULT_SERVICE,
                                 "the service identity was refused a moment ago");
    return sp_ldap_dial_wait_failed(d, err);
}

enum sp_err sp_ldap_dial_service(struct sp_ldap_dialling *d)
{
    enum sp_ldap_service_verdict verdict = SP_LDAP_SERVICE_UNKNOWN;
    unsigned place = place_of(d);
    enum sp_err err;

    if (is_anonymous(d->config->options))
        return sp_ldap_dial_unbraked(d);
    d->latest_ns = sp_ldap_dial_due_ns(d); /* waiting and binding together */
    err = sp_ldap_brake_enter(d->config->brake, place, d->latest_ns, d->stop);
    if (err != SP_OK)
        return not_entered(d, err);
    err = sp_ldap_dial_unbraked(d);
    if (err == SP_OK)
        verdict = SP_LDAP_SERVICE_TAKEN;
    else if (d->report->fault == SP_LDAP_FAULT_SERVICE)
        verdict = SP_LDAP_SERVICE_REFUSED;
    d->report->service_news = sp_ldap_brake_leave(d->config->brake, place, verdict, uv_hrtime());
    return err;
}

/* The root DSE without attributes. A refusal is an answer too: the server lives. */
enum sp_err sp_ldap_dial_prove(struct sp_ldap_dialling *d)
{
    char no_attributes[] = LDAP_NO_ATTRS;
    char *attributes[] = {no_attributes, NULL};
    char *diagnostic = NULL;
    int result = LDAP_OTHER;
    int msgid = 0;
    enum sp_err err;

    sp_ldap_dial_step(d, "search");
    if (ldap_search_ext(sp_ldap_wire_handle(d->report->wire), "", LDAP_SCOPE_BASE,
                        "(objectClass=*)", attributes, 0, NULL, NULL, NULL, 1,
                        &msgid) != LDAP_SUCCESS)
        return sp_ldap_dial_wait_failed(d, SP_ERR_CLOSED);
    err = answer_of(d, msgid, &result, &diagnostic);
    if (err == SP_OK)
        sp_ldap_dial_well(d, "it answers");
    ldap_memfree(diagnostic);
    return err;
}
