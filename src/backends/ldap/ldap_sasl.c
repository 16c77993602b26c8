/* The service identity by Kerberos: a ticket from client_keytab for bind_principal, in a credential
 * cache in memory that lives for one bind, and SASL's GSSAPI mechanism with it (RFC 4752). No
 * environment variable and no default cache of the process takes part. Runs on a pool thread: the
 * KDC is asked here. */
#include "backends/ldap/ldap_dial_priv.h"

#include "backends/ldap/ldap_config.h"
#include "util/span.h"

#include <gssapi/gssapi_ext.h>
#include <gssapi/gssapi_krb5.h>
#include <krb5.h>
#include <sasl/sasl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#define RENEW_MARGIN_S 300 /* before the ticket ends: the usual clock skew */

/* A ticket too short for the margin is renewed at half its life. */
static uint64_t renew_after_ms(OM_uint32 lifetime_s)
{
    uint64_t lifetime_ms = (uint64_t)lifetime_s * 1000;

    if (lifetime_s > 2 * RENEW_MARGIN_S)
        return lifetime_ms - RENEW_MARGIN_S * 1000;
    return lifetime_s > 0 ? lifetime_ms / 2 : 1; /* it has ended already: at once. 0 says never. */
}

static const char *gss_words(OM_uint32 major, OM_uint32 minor, char *out, size_t cap)
{
    OM_uint32 more = 0;
    OM_uint32 ignored;
    gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
    bool by_library = minor != 0;

    if (gss_display_status(&ignored, by_library ? minor : major,
                           by_library ? GSS_C_MECH_CODE : GSS_C_GSS_CODE, GSS_C_NO_OID, &more,
                           &text) != GSS_S_COMPLETE) {
        snprintf(out, cap, "unknown failure");
        return out;
    }
    snprintf(out, cap, "%.*s", (int)text.length, (const char *)text.value);
    gss_release_buffer(&ignored, &text);
    return out;
}

/* A ticket for the principal, from the keytab, into the cache of that name. */
static enum sp_err acquire(struct sp_ldap_dialling *d, const char *cache)
{
    const struct sp_ldap_options *options = d->config->options;
    gss_key_value_element_desc elements[] = {{"client_keytab", options->client_keytab},
                                             {"ccache", cache}};
    gss_key_value_set_desc store = {2, elements};
    gss_buffer_desc text = {strlen(options->bind_principal), options->bind_principal};
    gss_OID_set_desc krb5 = {1, (gss_OID)(uintptr_t)gss_mech_krb5};
    gss_cred_id_t cred = GSS_C_NO_CREDENTIAL;
    gss_name_t name = GSS_C_NO_NAME;
    OM_uint32 major, minor, ignored, lifetime = 0;
    char words[200];

    major = gss_import_name(&minor, &text, (gss_OID)(uintptr_t)GSS_KRB5_NT_PRINCIPAL_NAME, &name);
    if (!GSS_ERROR(major))
        major = gss_acquire_cred_from(&minor, name, GSS_C_INDEFINITE, &krb5, GSS_C_INITIATE, &store,
                                      &cred, NULL, NULL);
    if (!GSS_ERROR(major)) /* this fetches the ticket, which acquiring alone may put off */
        major = gss_inquire_cred(&minor, cred, NULL, &lifetime, NULL, NULL);
    gss_release_name(&ignored, &name);
    gss_release_cred(&ignored, &cred);
    if (GSS_ERROR(major) || lifetime == 0)
        return sp_ldap_dial_fail(d, SP_LDAP_FAULT_SERVICE, "no ticket for %s from %s: %s",
                                 options->bind_principal, options->client_keytab,
                                 GSS_ERROR(major) ? gss_words(major, minor, words, sizeof(words))
                                                  : "it has ended already");
    if (lifetime != GSS_C_INDEFINITE)
        d->report->renew_after_ms = renew_after_ms(lifetime);
    return SP_OK;
}

/* A cache in memory lives until it is destroyed by name. */
static void destroy_cache(const char *cache)
{
    krb5_context context = NULL;
    krb5_ccache handle = NULL;

    if (krb5_init_context(&context) != 0)
        return;
    if (krb5_cc_resolve(context, cache, &handle) == 0)
        (void)krb5_cc_destroy(context, handle);
    krb5_free_context(context);
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
    char cache[64];
    OM_uint32 minor;
    enum sp_err err;

    snprintf(cache, sizeof(cache), "MEMORY:sallyport-ldap-%u", atomic_fetch_add(&serial, 1u));
    err = acquire(d, cache);
    /* SASL's mechanism takes the default credential: for this thread, that is the cache above. */
    if (err == SP_OK && GSS_ERROR(gss_krb5_ccache_name(&minor, cache, NULL)))
        err = sp_ldap_dial_fail(d, SP_LDAP_FAULT_SERVICE, "the ticket cannot be used");
    if (err == SP_OK)
        err = bind_by_ticket(d);
    (void)gss_krb5_ccache_name(&minor, NULL, NULL);
    destroy_cache(cache);
    return err;
}
