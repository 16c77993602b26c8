/* The service identity by Kerberos: a ticket from client_keytab for bind_principal, in a credential
 * cache in memory that lives for one bind, and SASL's GSSAPI mechanism with it (RFC 4752). No
 * environment variable and no default cache of the process takes part. Runs on a pool thread, which
 * waits for the KDC no longer than `timeout` (ldap_ticket.h). */
#include "backends/ldap/ldap_dial_priv.h"

#include "backends/ldap/ldap_config.h"
#include "backends/ldap/ldap_ticket.h"

#include <gssapi/gssapi_krb5.h>
#include <sasl/sasl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#define RENEW_MARGIN_S 300 /* before the ticket ends: the usual clock skew */

/* A ticket too short for the margin is renewed at half its life. */
static uint64_t renew_after_ms(uint32_t lifetime_s)
{
    uint64_t lifetime_ms = (uint64_t)lifetime_s * 1000;

    return lifetime_s > 2 * RENEW_MARGIN_S ? lifetime_ms - RENEW_MARGIN_S * 1000 : lifetime_ms / 2;
}

static enum sp_err no_ticket(struct sp_ldap_dialling *d, enum sp_err err, const char *words)
{
    const struct sp_ldap_options *options = d->config->options;

    if (err == SP_ERR_CLOSED)
        return sp_ldap_dial_wait_failed(d, err);
    if (err == SP_ERR_TIMEOUT)
        return sp_ldap_dial_fail(d, SP_LDAP_FAULT_KDC, "no ticket for %s: %s",
                                 options->bind_principal, words);
    if (err == SP_ERR_DENIED)
        return sp_ldap_dial_fail(d, SP_LDAP_FAULT_SERVICE, "no ticket for %s from %s: %s",
                                 options->bind_principal, options->client_keytab, words);
    return sp_ldap_dial_fail(d, SP_LDAP_FAULT_FULL, "no room to fetch a ticket");
}

static enum sp_err acquire(struct sp_ldap_dialling *d, const char *cache)
{
    const char *host = d->uri->scheme == SP_LDAP_IPC ? NULL : d->uri->host;
    struct sp_ldap_ticket ticket;
    enum sp_err err = sp_ldap_tickets_fetch(d->config->tickets, cache, host, sp_ldap_dial_due_ns(d),
                                            d->stop, &ticket);

    if (err != SP_OK)
        return no_ticket(d, err, ticket.words);
    d->report->renew_after_ms = renew_after_ms(ticket.lifetime_s);
    return SP_OK;
}

/* GSSAPI has its identity from the ticket: every question gets the default, or nothing. */
static int answer_nothing(LDAP *ld, unsigned flags, void *defaults, void *questions)
{
    (void)ld;
    (void)flags;
    (void)defaults;
    for (sasl_interact_t *q = questions; q->id != SASL_CB_LIST_END; q++) {
        q->result = q->defresult != NULL ? q->defresult : "";
        q->len = (unsigned)strlen(q->result);
    }
    return LDAP_SUCCESS;
}

/* Active Directory refuses a SASL layer inside TLS; on a clear wire, one is required. */
static const char *properties(bool inside)
{
    return inside ? "noplain,noanonymous,minssf=0,maxssf=0" : "noplain,noanonymous,minssf=1";
}

static enum sp_err bind_by_ticket(struct sp_ldap_dialling *d)
{
    LDAP *ld = sp_ldap_wire_handle(d->report->wire);
    bool inside = sp_ldap_wire_tls(d->report->wire) != NULL || d->uri->scheme == SP_LDAP_IPC;
    char *diagnostic = NULL;
    ber_len_t strength = 0;
    enum sp_err err;
    int result;

    if (ldap_set_option(ld, LDAP_OPT_X_SASL_SECPROPS, properties(inside)) != LDAP_OPT_SUCCESS)
        return sp_ldap_dial_fail(d, SP_LDAP_FAULT_SERVICE, "libldap has no SASL GSSAPI here");
    result = ldap_sasl_interactive_bind_s(ld, NULL, "GSSAPI", NULL, NULL, LDAP_SASL_QUIET,
                                          answer_nothing, NULL);
    if (result == LDAP_SERVER_DOWN)
        return sp_ldap_dial_wait_failed(d, SP_ERR_CLOSED);
    if (result == LDAP_TIMEOUT)
        return sp_ldap_dial_wait_failed(d, SP_ERR_TIMEOUT);
    (void)ldap_get_option(ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &diagnostic);
    err = sp_ldap_dial_bound(d, result, diagnostic);
    ldap_memfree(diagnostic);
    if (ldap_get_option(ld, LDAP_OPT_X_SASL_SSF, &strength) == LDAP_OPT_SUCCESS && strength > 0)
        sp_ldap_wire_set_layered(d->report->wire);
    return err;
}

enum sp_err sp_ldap_dial_sasl(struct sp_ldap_dialling *d)
{
    static atomic_uint serial;
    char cache[SP_LDAP_CACHE_NAME_MAX];
    OM_uint32 minor;
    enum sp_err err;

    snprintf(cache, sizeof(cache), "MEMORY:sallyport-ldap-%u", atomic_fetch_add(&serial, 1u));
    err = acquire(d, cache);
    if (err != SP_OK)
        return err;
    /* SASL's mechanism takes the default credential: for this thread, that is the cache above. */
    if (GSS_ERROR(gss_krb5_ccache_name(&minor, cache, NULL)))
        err = sp_ldap_dial_fail(d, SP_LDAP_FAULT_SERVICE, "the ticket cannot be used");
    else
        err = bind_by_ticket(d);
    (void)gss_krb5_ccache_name(&minor, NULL, NULL);
    sp_ldap_ticket_destroy(cache);
    return err;
}
