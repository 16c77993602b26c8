/* Tickets of the service identity, fetched from the KDC aside (backends/kdc), one at a time for all
 * workers. Whoever wants a ticket waits within a deadline; while a KDC is known to be silent, only
 * the one who asks waits. Any thread. */
#ifndef SP_LDAP_TICKET_H
#define SP_LDAP_TICKET_H

#include "sallyport/base.h"

#include <stdatomic.h>
#include <stdint.h>

struct sp_ldap_tickets;

/* What came of asking. */
struct sp_ldap_ticket {
    uint32_t lifetime_s; /* never 0 with SP_OK */
    char words[400];     /* why there is none */
};

/* NULL: no memory. The texts are copied. */
struct sp_ldap_tickets *sp_ldap_tickets_new(const char *keytab,
                                            const char *principal) SP_MUST_CHECK;
/* Does not wait for a thread that asks: it ends by itself. */
void sp_ldap_tickets_free(struct sp_ldap_tickets **tickets);

/* A ticket for `principal` from `keytab`, and with it one for ldap/host (NULL: without), into the
 * credential cache of that name, which the caller destroys after SP_OK and nobody else uses.
 * SP_ERR_TIMEOUT: no KDC has answered (or said that it can) by `due_ns` (uv_hrtime);
 * SP_ERR_DENIED: there is none for that identity; SP_ERR_CLOSED: *stop. */
enum sp_err sp_ldap_tickets_fetch(struct sp_ldap_tickets *tickets, const char *cache,
                                  const char *host, uint64_t due_ns, const atomic_bool *stop,
                                  struct sp_ldap_ticket *ticket) SP_MUST_CHECK;
#endif
