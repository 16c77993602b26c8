/* What all workers share of one ldap block: the checked options, the servers, the TLS context, and
 * the brake on the service identity. Made by configure, immutable but for the brake, which has its
 * own lock. Everything else of the plugin borrows it: it outlives all backends made from it. */
#ifndef SP_LDAP_CONFIG_H
#define SP_LDAP_CONFIG_H

#include "sallyport/auth_backend.h"
#include "backends/ldap/ldap_brake.h"
#include "backends/ldap/ldap_options.h"
#include "backends/ldap/ldap_spelling.h"
#include "backends/ldap/ldap_uri.h"

#include <openssl/ssl.h>

#define SP_LDAP_SERVERS_MAX 16

struct sp_ldap_tickets;

struct sp_auth_config {
    const struct sp_ldap_options *options;
    const struct sp_auth_host *host;
    SSL_CTX *tls;
    struct sp_ldap_tickets *tickets;    /* of the service identity by Kerberos, else NULL */
    struct sp_ldap_spellings spellings; /* of a name, by the filter */
    struct sp_ldap_brake *brake;        /* on the service identity */
    size_t servers_len;
    struct sp_ldap_uri servers[SP_LDAP_SERVERS_MAX];
};

enum sp_err sp_ldap_configure(const void *options, const struct sp_auth_host *host,
                              struct sp_auth_config **config_out, struct sp_auth_fault *fault);
void sp_ldap_release(struct sp_auth_config **config);

/* Would passwords cross a network in clear to that server, and nobody said that they may? */
bool sp_ldap_exposes(const struct sp_ldap_options *options, const struct sp_ldap_uri *uri);

#endif
