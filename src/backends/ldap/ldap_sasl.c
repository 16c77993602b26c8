/* The service identity by Kerberos: a ticket from client_keytab for bind_principal, in a credential
 * cache in memory that lives for one bind, and SASL's GSSAPI mechanism with it (RFC 4752). No
 * environment variable and no default cache of the process takes part. The bind runs aside, with
 * the wire: the libraries below it look names up (this machine's, and the server's as krb5.conf
 * says), and no name service's silence may hold a pool thread. Runs on a pool thread, which waits
 * for the KDC, and then for the bind, no longer than `timeout` each. */
#include "backends/ldap/ldap_dial_priv.h"

#include "backends/kdc/kdc.h"
#include "backends/ldap/ldap_config.h"
#include "backends/ldap/ldap_ticket.h"
#include "util/aside.h"

#include <gssapi/gssapi_krb5.h>
#include <sasl/sasl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
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
    d->report->ends_after_ms = (uint64_t)ticket.lifetime_s * 1000;
    return SP_OK;
}

/* A bind on its thread, which has the wire to itself meanwhile. */
struct bind {
    struct sp_aside aside;
    struct sp_ldap_wire *wire;
    char cache[SP_KDC_CACHE_NAME_MAX];
    bool inside; /* TLS, or a local socket */
    int result;
    char *diagnostic;
    const char *fault; /* static; NULL: there is a result */
};

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

static void bind_on(struct bind *bind)
{
    LDAP *ld = sp_ldap_wire_handle(bind->wire);
    ber_len_t strength = 0;

    if (ldap_set_option(ld, LDAP_OPT_X_SASL_SECPROPS, properties(bind->inside)) !=
        LDAP_OPT_SUCCESS) {
        bind->fault = "libldap has no SASL GSSAPI here";
        return;
    }
    bind->result = ldap_sasl_interactive_bind_s(ld, NULL, "GSSAPI", NULL, NULL, LDAP_SASL_QUIET,
                                                answer_nothing, NULL);
    (void)ldap_get_option(ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &bind->diagnostic);
    if (ldap_get_option(ld, LDAP_OPT_X_SASL_SSF, &strength) == LDAP_OPT_SUCCESS && strength > 0)
        sp_ldap_wire_set_layered(bind->wire);
}

/* SASL's mechanism takes the default credential: for this thread, that is the cache. */
static void bind_run(struct sp_aside *aside)
{
    struct bind *bind = sp_container_of(aside, struct bind, aside);
    OM_uint32 minor;

    if (GSS_ERROR(gss_krb5_ccache_name(&minor, bind->cache, NULL)))
        bind->fault = "the ticket cannot be used";
    else
        bind_on(bind);
    (void)gss_krb5_ccache_name(&minor, NULL, NULL);
    sp_kdc_cache_destroy(bind->cache);
}

static void bind_free(struct sp_aside *aside)
{
    struct bind *bind = sp_container_of(aside, struct bind, aside);

    ldap_memfree(bind->diagnostic);
    sp_ldap_wire_free(&bind->wire);
    free(bind);
}

static enum sp_err bind_ended(struct sp_ldap_dialling *d, struct bind *bind)
{
    d->report->wire = bind->wire;
    bind->wire = NULL;
    if (bind->fault != NULL)
        return sp_ldap_dial_fail(d, SP_LDAP_FAULT_UNPROVEN, "%s", bind->fault);
    if (bind->result == LDAP_SERVER_DOWN)
        return sp_ldap_dial_wait_failed(d, SP_ERR_CLOSED);
    if (bind->result == LDAP_TIMEOUT)
        return sp_ldap_dial_wait_failed(d, SP_ERR_TIMEOUT);
    return sp_ldap_dial_bound(d, bind->result, bind->diagnostic);
}

static struct bind *bind_new(struct sp_ldap_dialling *d, const char *cache)
{
    struct bind *bind = calloc(1, sizeof(*bind));

    if (bind == NULL)
        return NULL;
    bind->aside.run = bind_run;
    bind->aside.free = bind_free;
    snprintf(bind->cache, sizeof(bind->cache), "%s", cache);
    bind->inside = sp_ldap_wire_tls(d->report->wire) != NULL || d->uri->scheme == SP_LDAP_IPC;
    bind->wire = d->report->wire;
    d->report->wire = NULL;
    return bind;
}

/* The cache is the bind's once that has begun. */
static enum sp_err bind_by_ticket(struct sp_ldap_dialling *d, const char *cache)
{
    struct bind *bind = bind_new(d, cache);
    struct sp_aside *aside = bind != NULL ? &bind->aside : NULL;
    enum sp_err err;

    if (aside == NULL || sp_aside_start(aside) != SP_OK) {
        sp_kdc_cache_destroy(cache);
        if (aside != NULL)
            bind_free(aside);
        return sp_ldap_dial_fail(d, SP_LDAP_FAULT_FULL, "no room for a bind by Kerberos");
    }
    err = sp_aside_wait(aside, sp_ldap_dial_due_ns(d), d->stop);
    err = err == SP_OK ? bind_ended(d, bind) : sp_ldap_dial_wait_failed(d, err);
    sp_aside_leave(&aside);
    return err;
}

enum sp_err sp_ldap_dial_sasl(struct sp_ldap_dialling *d)
{
    static atomic_uint serial;
    char cache[SP_KDC_CACHE_NAME_MAX];
    enum sp_err err;

    snprintf(cache, sizeof(cache), "MEMORY:sallyport-ldap-%u", atomic_fetch_add(&serial, 1u));
    err = acquire(d, cache);
    return err == SP_OK ? bind_by_ticket(d, cache) : err;
}
