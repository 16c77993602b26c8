/* Reads ldap://, ldaps:// and ldapi:// URIs (RFC 4516 2, and OpenLDAP's ldapi). Called by configure
 * and, for referrals, on a pool thread. */
#include "backends/ldap/ldap_uri.h"

#include "util/addr.h"
#include "util/span.h"

#include <ldap.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_SOCKET "/var/run/slapd/ldapi" /* where Debian's slapd listens */

static bool copy_text(char *out, size_t cap, const char *text)
{
    size_t len = strlen(text);

    if (len >= cap)
        return false;
    memcpy(out, text, len + 1);
    return true;
}

/* An address, with its zone where it has one, or a name as the DNS has it. */
static bool is_host(struct sp_span host)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = host.base[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c != '\0' && strchr("-._:%", c) != NULL)))
            return false;
    }
    return host.len > 0;
}

static enum sp_err take_host(struct sp_ldap_uri *uri, const LDAPURLDesc *url, const char **why_out)
{
    struct sp_span host = sp_span_cstr(url->lud_host != NULL ? url->lud_host : "");
    struct sp_addr addr;

    if (host.len >= 2 && host.base[0] == '[' && host.base[host.len - 1] == ']')
        host = sp_span_of(host.base + 1, host.len - 2);
    if (host.len == 0 || host.len >= sizeof(uri->host)) {
        *why_out = "it names no host";
        return SP_ERR_INVALID;
    }
    if (!is_host(host)) {
        *why_out = "its host is neither a name nor an address";
        return SP_ERR_INVALID;
    }
    memcpy(uri->host, host.base, host.len);
    uri->host[host.len] = '\0';
    if (url->lud_port < 0 || url->lud_port > 65535) {
        *why_out = "its port is not within 1..65535";
        return SP_ERR_INVALID;
    }
    snprintf(uri->port, sizeof(uri->port), "%d",
             url->lud_port != 0           ? url->lud_port
             : uri->scheme == SP_LDAP_TLS ? LDAPS_PORT
                                          : LDAP_PORT);
    uri->literal = sp_addr_parse_ip(&addr, host) == SP_OK;
    uri->loopback = uri->literal ? sp_addr_is_loopback(&addr)
                                 : sp_span_eq_nocase(host, SP_SPAN_LIT("localhost"));
    return SP_OK;
}

static enum sp_err take_parts(struct sp_ldap_uri *uri, const LDAPURLDesc *url, const char **why_out)
{
    if (url->lud_filter != NULL || url->lud_attrs != NULL || url->lud_exts != NULL ||
        url->lud_scope != LDAP_SCOPE_BASE || (url->lud_dn != NULL && url->lud_dn[0] != '\0')) {
        *why_out = "it goes on after the host; a base or a filter has its own key";
        return SP_ERR_INVALID;
    }
    if (strcasecmp(url->lud_scheme, "ldapi") == 0) {
        const char *path = url->lud_host != NULL && url->lud_host[0] != '\0' ? url->lud_host
                                                                             : DEFAULT_SOCKET;

        uri->scheme = SP_LDAP_IPC;
        uri->loopback = true;
        *why_out = "the path of its socket is too long";
        return copy_text(uri->path, sizeof(uri->path), path) ? SP_OK : SP_ERR_INVALID;
    }
    uri->scheme = strcasecmp(url->lud_scheme, "ldaps") == 0 ? SP_LDAP_TLS : SP_LDAP_PLAIN;
    return take_host(uri, url, why_out);
}

enum sp_err sp_ldap_uri_parse(struct sp_ldap_uri *uri, const char *text, const char **why_out)
{
    LDAPURLDesc *url = NULL;
    enum sp_err err;

    memset(uri, 0, sizeof(*uri));
    *why_out = "it is too long";
    if (!copy_text(uri->text, sizeof(uri->text), text))
        return SP_ERR_INVALID;
    *why_out = "it is not of the form ldaps://host, ldap://host:port or ldapi://%2Fpath";
    if (ldap_url_parse(text, &url) != LDAP_URL_SUCCESS)
        return SP_ERR_INVALID;
    err = strcasecmp(url->lud_scheme, "ldap") == 0 || strcasecmp(url->lud_scheme, "ldaps") == 0 ||
                  strcasecmp(url->lud_scheme, "ldapi") == 0
              ? take_parts(uri, url, why_out)
              : SP_ERR_INVALID;
    ldap_free_urldesc(url);
    return err;
}
