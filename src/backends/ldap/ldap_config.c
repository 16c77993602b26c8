/* Checks what the options mean together and makes what all workers share. configure runs at start,
 * on reload and in `check`, never on a worker, and may block. */
#include "backends/ldap/ldap_config.h"

#include "backends/ldap/ldap_text.h"
#include "backends/ldap/ldap_ticket.h"
#include "util/span.h"

#include <ldap.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEMPLATE_MAX 4096

static enum sp_err faulty(struct sp_auth_fault *fault, const char *option, const char *fmt, ...)
    SP_PRINTF(3, 4);

static enum sp_err faulty(struct sp_auth_fault *fault, const char *option, const char *fmt, ...)
{
    va_list args;

    fault->option = option;
    va_start(args, fmt);
    (void)vsnprintf(fault->text, sizeof(fault->text), fmt, args);
    va_end(args);
    return SP_ERR_INVALID;
}

/* ---- servers ---- */

bool sp_ldap_exposes(const struct sp_ldap_options *options, const struct sp_ldap_uri *uri)
{
    return uri->scheme == SP_LDAP_PLAIN && !options->start_tls && !uri->loopback &&
           !options->allow_clear;
}

static enum sp_err check_server(const struct sp_ldap_options *options,
                                const struct sp_ldap_uri *uri, struct sp_auth_fault *fault)
{
    if (sp_ldap_exposes(options, uri))
        return faulty(fault, "uris",
                      "%s would carry passwords over the network in clear: use ldaps://, or "
                      "start_tls = true, or, knowing that, allow_clear = true",
                      uri->text);
    return SP_OK;
}

static enum sp_err take_servers(struct sp_auth_config *config, struct sp_auth_fault *fault)
{
    const struct sp_strings *uris = &config->options->uris;

    if (uris->len == 0)
        return faulty(fault, "uris", "no directory server is named");
    if (uris->len > SP_LDAP_SERVERS_MAX)
        return faulty(fault, "uris", "at most %d servers can be named", SP_LDAP_SERVERS_MAX);
    for (size_t i = 0; i < uris->len; i++) {
        const char *why = NULL;
        struct sp_ldap_uri *uri = &config->servers[i];
        enum sp_err err;

        if (sp_ldap_uri_parse(uri, uris->items[i], &why) != SP_OK)
            return faulty(fault, "uris", "\"%s\" is no directory server: %s", uris->items[i], why);
        err = check_server(config->options, uri, fault);
        if (err != SP_OK)
            return err;
        config->servers_len++;
    }
    return SP_OK;
}

/* Made in any case, so that tls_ca is checked before a server is moved to ldaps. */
static enum sp_err take_tls(struct sp_auth_config *config, struct sp_auth_fault *fault)
{
    const char *ca = config->options->tls_ca;
    int loaded;

    config->tls = SSL_CTX_new(TLS_client_method());
    if (config->tls == NULL || SSL_CTX_set_min_proto_version(config->tls, TLS1_2_VERSION) != 1)
        return faulty(fault, NULL, "OpenSSL cannot make a TLS context");
    SSL_CTX_set_verify(config->tls, SSL_VERIFY_PEER, NULL);
    (void)SSL_CTX_set_session_cache_mode(config->tls, SSL_SESS_CACHE_OFF);
    loaded = ca[0] != '\0' ? SSL_CTX_load_verify_locations(config->tls, ca, NULL)
                           : SSL_CTX_set_default_verify_paths(config->tls);
    if (loaded != 1) {
        const char *words = ERR_reason_error_string(ERR_peek_last_error());
        enum sp_err err = faulty(fault, "tls_ca", "cannot read certificates from %s: %s",
                                 ca[0] != '\0' ? ca : "the system's store",
                                 words != NULL ? words : "it has none");

        ERR_clear_error();
        return err;
    }
    return SP_OK;
}

/* ---- identities ---- */

static enum sp_err check_service(const struct sp_ldap_options *options, struct sp_auth_fault *fault)
{
    bool kerberos = options->sasl == SP_LDAP_SASL_GSSAPI;

    if (kerberos && options->bind_dn[0] != '\0')
        return faulty(fault, "bind_dn", "sasl = \"gssapi\" takes its place: set one of the two");
    if (kerberos && options->client_keytab[0] == '\0')
        return faulty(fault, "client_keytab", "sasl = \"gssapi\" needs a keytab");
    if (kerberos && options->bind_principal[0] == '\0')
        return faulty(fault, "bind_principal",
                      "sasl = \"gssapi\" needs the principal whose key is in client_keytab");
    if (!kerberos && (options->client_keytab[0] != '\0' || options->bind_principal[0] != '\0'))
        return faulty(fault, options->client_keytab[0] != '\0' ? "client_keytab" : "bind_principal",
                      "it is used with sasl = \"gssapi\" alone");
    /* RFC 4513 5.1.2: a name with an empty password is no identity, and a server may say yes. */
    if (options->bind_dn[0] != '\0' && options->bind_password_file.len == 0)
        return faulty(fault, "bind_password_file",
                      "bind_dn needs a password: name a file that holds it");
    if (options->bind_dn[0] == '\0' && options->bind_password_file.text != NULL)
        return faulty(fault, "bind_password_file", "there is no bind_dn that it belongs to");
    return SP_OK;
}

/* ---- templates ---- */

static enum sp_err check_letters(const char *option, const char *tmpl, const char *letters,
                                 struct sp_auth_fault *fault)
{
    struct sp_span offender;

    if (sp_ldap_template_check(tmpl, letters, &offender) != SP_OK)
        return faulty(fault, option, "\"%.*s\" is not known here; known are %s and %%%%",
                      SP_SPAN_ARG(offender), strchr(letters, 'd') != NULL ? "%u, %d" : "%u");
    return SP_OK;
}

static enum sp_err check_filter(const char *option, const char *tmpl, const char *letters,
                                struct sp_auth_fault *fault)
{
    struct sp_buf sample;
    enum sp_err err = check_letters(option, tmpl, letters, fault);

    if (err != SP_OK)
        return err;
    if (!sp_ldap_template_has(tmpl, 'u') && !sp_ldap_template_has(tmpl, letters[1]))
        return faulty(fault, option, "it is the same for everybody: put %%u%s where the name goes",
                      letters[1] != '\0' ? " or %d" : "");
    sp_buf_init(&sample, TEMPLATE_MAX);
    err = sp_ldap_template_fill(&sample, SP_LDAP_IN_FILTER, tmpl, SP_SPAN_LIT("a"),
                                SP_SPAN_LIT("cn=a"));
    if (err == SP_ERR_NOMEM)
        err = faulty(fault, option, "out of memory");
    else if (err != SP_OK || !sp_ldap_filter_sound(sp_buf_span(&sample)))
        err = faulty(fault, option, "\"%s\" is not a filter (RFC 4515): look at its parentheses",
                     tmpl);
    sp_buf_fini(&sample);
    return err;
}

static bool is_dn(struct sp_span text)
{
    char *copy = sp_span_dup(text);
    LDAPDN dn = NULL;
    bool sound = copy != NULL && ldap_str2dn(copy, &dn, LDAP_DN_FORMAT_LDAPV3) == LDAP_SUCCESS;

    ldap_dnfree(dn);
    free(copy);
    return sound;
}

static enum sp_err check_user_dn(const struct sp_ldap_options *options, struct sp_auth_fault *fault)
{
    struct sp_buf sample;
    enum sp_err err = check_letters("user_dn", options->user_dn, "u", fault);

    if (err != SP_OK)
        return err;
    if (!sp_ldap_template_has(options->user_dn, 'u'))
        return faulty(fault, "user_dn",
                      "it is the same for everybody: put %%u where the name goes");
    sp_buf_init(&sample, TEMPLATE_MAX);
    err = sp_ldap_template_fill(&sample, SP_LDAP_IN_DN, options->user_dn, SP_SPAN_LIT("a"),
                                SP_SPAN_NONE);
    if (err != SP_OK || !is_dn(sp_buf_span(&sample)))
        err = faulty(fault, "user_dn", "\"%s\" does not become a DN (RFC 4514)", options->user_dn);
    sp_buf_fini(&sample);
    return err;
}

static enum sp_err check_base(const char *option, const char *base, struct sp_auth_fault *fault)
{
    return is_dn(sp_span_cstr(base)) ? SP_OK
                                     : faulty(fault, option, "\"%s\" is not a DN (RFC 4514)", base);
}

static enum sp_err check_search(const struct sp_ldap_options *options, struct sp_auth_fault *fault)
{
    enum sp_err err = check_base("base", options->base, fault);

    if (options->user_dn[0] != '\0')
        return err == SP_OK ? check_user_dn(options, fault) : err;
    if (options->base[0] == '\0')
        return faulty(fault, "base", "it must say where people are searched (or set user_dn)");
    return err == SP_OK ? check_filter("filter", options->filter, "u", fault) : err;
}

static enum sp_err check_groups(const struct sp_ldap_options *options, struct sp_auth_fault *fault)
{
    enum sp_err err;

    if (options->group_base[0] == '\0')
        return SP_OK;
    err = check_base("group_base", options->group_base, fault);
    if (err != SP_OK)
        return err;
    if (options->group_name[0] == '\0' || strpbrk(options->group_name, " *()=,\\") != NULL)
        return faulty(fault, "group_name", "\"%s\" is not the name of an attribute",
                      options->group_name);
    if (options->group_depth > 0 && !sp_ldap_template_has(options->group_filter, 'd'))
        return faulty(fault, "group_depth",
                      "group_filter has no %%d, so groups within groups cannot be found by it");
    return check_filter("group_filter", options->group_filter, "ud", fault);
}

static enum sp_err check_domains(const struct sp_ldap_options *options, struct sp_auth_fault *fault)
{
    for (size_t i = 0; i < options->domains.len; i++) {
        const char *domain = options->domains.items[i];

        if (domain[0] == '\0' || strpbrk(domain, "\\@ ") != NULL)
            return faulty(fault, "domains", "\"%s\" is not a domain: write CORP or corp.test",
                          domain);
    }
    return SP_OK;
}

/* ---- the whole ---- */

static enum sp_err take_tickets(struct sp_auth_config *config, struct sp_auth_fault *fault)
{
    const struct sp_ldap_options *options = config->options;

    if (options->sasl != SP_LDAP_SASL_GSSAPI)
        return SP_OK;
    config->tickets = sp_ldap_tickets_new(options->client_keytab, options->bind_principal);
    if (config->tickets != NULL)
        return SP_OK;
    (void)faulty(fault, NULL, "out of memory");
    return SP_ERR_NOMEM;
}

static enum sp_err check_all(struct sp_auth_config *config, struct sp_auth_fault *fault)
{
    const struct sp_ldap_options *options = config->options;
    enum sp_err err = take_servers(config, fault);

    if (err == SP_OK)
        err = check_service(options, fault);
    if (err == SP_OK)
        err = check_search(options, fault);
    if (err == SP_OK)
        err = check_groups(options, fault);
    if (err == SP_OK)
        err = check_domains(options, fault);
    if (err == SP_OK)
        err = take_tls(config, fault);
    if (err == SP_OK)
        err = take_tickets(config, fault);
    sp_ldap_spellings_of(&config->spellings, options->filter);
    return err;
}

enum sp_err sp_ldap_configure(const void *options, const struct sp_auth_host *host,
                              struct sp_auth_config **config_out, struct sp_auth_fault *fault)
{
    struct sp_auth_config *config = calloc(1, sizeof(*config));
    enum sp_err err;

    *config_out = NULL;
    if (config == NULL || (config->brake = sp_ldap_brake_new()) == NULL) {
        free(config);
        (void)faulty(fault, NULL, "out of memory");
        return SP_ERR_NOMEM;
    }
    config->options = options;
    config->host = host;
    err = check_all(config, fault);
    if (err != SP_OK)
        sp_ldap_release(&config);
    *config_out = config;
    return err;
}

void sp_ldap_release(struct sp_auth_config **config_ref)
{
    struct sp_auth_config *config = *config_ref;

    *config_ref = NULL;
    if (config == NULL)
        return;
    SSL_CTX_free(config->tls);
    sp_ldap_tickets_free(&config->tickets);
    sp_ldap_brake_free(&config->brake);
    free(config);
}
