/* Reads the URLs of referrals. They come from a directory that is trusted to say who people are,
 * but not to lower the guard that the administrator set: what `uris` would be refused for is
 * refused here too, and a URL may move a question elsewhere, never change it. */
#include "backends/ldap/ldap_referral.h"

#include "util/span.h"

#include <ldap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ldap_url_parse takes a scope that is left out for "base": ldap://host/dn?attributes?scope. */
static bool names_scope(const char *url)
{
    const char *at = strchr(url, '?');

    at = at != NULL ? strchr(at + 1, '?') : NULL;
    return at != NULL && at[1] != '\0' && at[1] != '?';
}

static enum sp_err take_server(struct sp_ldap_lead *lead, const LDAPURLDesc *parts,
                               const struct sp_ldap_options *options, const char **why_out)
{
    const char *host = parts->lud_host != NULL ? parts->lud_host : "";
    bool bare_six = strchr(host, ':') != NULL && host[0] != '[';
    char text[400];

    *why_out = "it does not lead to an ldap:// or ldaps:// server";
    if (strcasecmp(parts->lud_scheme, "ldap") != 0 && strcasecmp(parts->lud_scheme, "ldaps") != 0)
        return SP_ERR_INVALID;
    if ((size_t)snprintf(text, sizeof(text), "%s://%s%s%s:%d", parts->lud_scheme,
                         bare_six ? "[" : "", host, bare_six ? "]" : "",
                         parts->lud_port) >= sizeof(text))
        return SP_ERR_INVALID;
    if (sp_ldap_uri_parse(&lead->uri, text, why_out) != SP_OK)
        return SP_ERR_INVALID;
    *why_out = "it would carry passwords over the network in clear: start_tls = true protects "
               "ldap:// referrals too";
    return sp_ldap_exposes(options, &lead->uri) ? SP_ERR_INVALID : SP_OK;
}

static enum sp_err take_place(struct sp_ldap_lead *lead, const LDAPURLDesc *parts, const char *url,
                              const char **why_out)
{
    *why_out = "it would change what is asked";
    if (parts->lud_filter != NULL || parts->lud_exts != NULL)
        return SP_ERR_INVALID;
    lead->scope = names_scope(url) ? parts->lud_scope : LDAP_SCOPE_DEFAULT;
    if (parts->lud_dn == NULL || parts->lud_dn[0] == '\0')
        return SP_OK;
    *why_out = "out of memory";
    lead->dn = sp_span_dup(sp_span_cstr(parts->lud_dn));
    return lead->dn != NULL ? SP_OK : SP_ERR_NOMEM;
}

enum sp_err sp_ldap_lead_read(struct sp_ldap_lead *lead, const char *url,
                              const struct sp_ldap_options *options, const char **why_out)
{
    LDAPURLDesc *parts = NULL;
    enum sp_err err;

    memset(lead, 0, sizeof(*lead));
    *why_out = "it is no LDAP URL";
    if (ldap_url_parse(url, &parts) != LDAP_URL_SUCCESS)
        return SP_ERR_INVALID;
    err = take_server(lead, parts, options, why_out);
    if (err == SP_OK)
        err = take_place(lead, parts, url, why_out);
    ldap_free_urldesc(parts);
    return err;
}

void sp_ldap_lead_fini(struct sp_ldap_lead *lead)
{
    free(lead->dn);
    lead->dn = NULL;
}

bool sp_ldap_lead_same(const struct sp_ldap_lead *a, const struct sp_ldap_lead *b,
                       const char *asked)
{
    return a->uri.scheme == b->uri.scheme && strcasecmp(a->uri.host, b->uri.host) == 0 &&
           strcmp(a->uri.port, b->uri.port) == 0 && strcmp(a->uri.path, b->uri.path) == 0 &&
           strcasecmp(a->dn != NULL ? a->dn : asked, b->dn != NULL ? b->dn : asked) == 0;
}
