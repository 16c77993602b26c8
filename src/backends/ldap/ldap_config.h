/* What all workers share of one ldap block: the checked options, the servers, the TLS context, and
 * the brake on the service identity. Made by configure, immutable but for the brake, which has its
 * own lock. Everything else of the plugin borrows it: it outlives all backends made from it. */
#ifndef SP_LDAP_CONFIG_H
#define SP_LDAP_CONFIG_H

#include "sallyport/auth_backend.h"
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
    uv_mutex_t lock;                    /* of the two below */
    uint64_t service_pause_ms;          /* 0: the service identity was not refused */
    uint64_t service_not_before_ns;     /* uv_hrtime */
    size_t servers_len;
    struct sp_ldap_uri servers[SP_LDAP_SERVERS_MAX];
};

enum sp_err sp_ldap_configure(const void *options, const struct sp_auth_host *host,
                              struct sp_auth_config **config_out, struct sp_auth_fault *fault);
void sp_ldap_release(struct sp_auth_config **config);

/* Would passwords cross a network in clear to that server, and nobody said that they may? */
bool sp_ldap_exposes(const struct sp_ldap_options *options, const struct sp_ldap_uri *uri);

/* The brake: a refused service identity is tried again after 10 s, doubling to 5 min, by whichever
 * worker comes first, so that a wrong password in the file does not lock the account out. Any
 * thread. */
bool sp_ldap_service_may_try(struct sp_auth_config *config);
/* True: this refusal is news (none was known). */
bool sp_ldap_service_refused(struct sp_auth_config *config);
/* True: the identity is taken again after refusals. */
bool sp_ldap_service_accepted(struct sp_auth_config *config);

#endif
