/* Any bytes as the URL of a referral, under every setting of the keys that guard it: it is refused
 * with words, or leads to a server that the settings allow, at a port, and to the same place
 * whenever it is read. */
#include "backends/ldap/ldap_referral.h"
#include "util/addr.h"
#include "util/span.h"

#include <ldap.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static bool is_loopback(const char *host)
{
    struct sp_addr addr;

    if (sp_addr_parse_ip(&addr, sp_span_cstr(host)) == SP_OK)
        return sp_addr_is_loopback(&addr);
    return strcasecmp(host, "localhost") == 0;
}

static void must_be_sound(const struct sp_ldap_lead *lead, const struct sp_ldap_options *options)
{
    const struct sp_ldap_uri *uri = &lead->uri;
    uint64_t port;

    must(uri->scheme != SP_LDAP_IPC && uri->path[0] == '\0'); /* no socket of this machine's */
    must(uri->host[0] != '\0' && uri->loopback == is_loopback(uri->host));
    must(sp_span_to_u64(sp_span_cstr(uri->port), &port) == SP_OK && port > 0 && port <= 65535);
    must(uri->scheme == SP_LDAP_TLS || options->start_tls || options->allow_clear || uri->loopback);
    must(lead->dn == NULL || lead->dn[0] != '\0');
    must(lead->scope == LDAP_SCOPE_DEFAULT || lead->scope == LDAP_SCOPE_BASE ||
         lead->scope == LDAP_SCOPE_ONELEVEL || lead->scope == LDAP_SCOPE_SUBTREE ||
         lead->scope == LDAP_SCOPE_SUBORDINATE);
}

static void read_twice(const char *url, const struct sp_ldap_options *options)
{
    struct sp_ldap_lead lead, again;
    const char *why = NULL, *why_again = NULL;
    enum sp_err err = sp_ldap_lead_read(&lead, url, options, &why);

    must(sp_ldap_lead_read(&again, url, options, &why_again) == err);
    must(err == SP_OK || (why != NULL && why[0] != '\0'));
    if (err == SP_OK) {
        must_be_sound(&lead, options);
        must(sp_ldap_lead_same(&lead, &again, "dc=corp,dc=test"));
    }
    sp_ldap_lead_fini(&lead);
    sp_ldap_lead_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_ldap_options options = {.start_tls = false};
    char url[2049];

    if (size >= sizeof(url))
        return 0;
    memcpy(url, data, size);
    url[size] = '\0';
    for (int setting = 0; setting < 4; setting++) {
        options.start_tls = (setting & 1) != 0;
        options.allow_clear = (setting & 2) != 0;
        read_twice(url, &options);
    }
    return 0;
}
