/* The brake on the service identity, so that a wrong password in the file does not lock its account
 * out. All workers of one ldap block share it.
 *
 * At one server one bind of the identity is under way at a time: whoever comes meanwhile waits for
 * what it hears. Once the identity is refused, nobody binds; it is tried again after 10 s, doubling
 * to 5 min, by whoever comes first. Any thread; times are uv_hrtime's. */
#ifndef SP_LDAP_BRAKE_H
#define SP_LDAP_BRAKE_H

#include "sallyport/base.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SP_LDAP_BRAKE_PLACES 17 /* the servers of a block, and one for all others */

struct sp_ldap_brake;

enum sp_ldap_service_verdict {
    SP_LDAP_SERVICE_TAKEN,
    SP_LDAP_SERVICE_REFUSED,
    SP_LDAP_SERVICE_UNKNOWN, /* no answer, or none about the identity */
};

/* NULL: no memory. */
struct sp_ldap_brake *sp_ldap_brake_new(void) SP_MUST_CHECK;
void sp_ldap_brake_free(struct sp_ldap_brake **brake);

/* Has the identity been refused, and not been taken since? */
bool sp_ldap_brake_is_on(struct sp_ldap_brake *brake);
/* Is it worth to dial for it? Where it was refused, the first who asks after the pause is told so,
 * and nobody else until the next. */
bool sp_ldap_brake_may_try(struct sp_ldap_brake *brake, uint64_t now_ns);

/* Before a bind; blocks, until `due_ns` (uv_hrtime) at most. SP_OK: bind, then leave.
 * SP_ERR_DENIED: it was refused meanwhile. SP_ERR_TIMEOUT; SP_ERR_CLOSED: `stop` (NULL: never) is
 * set. */
enum sp_err sp_ldap_brake_enter(struct sp_ldap_brake *brake, unsigned place, uint64_t due_ns,
                                const atomic_bool *stop) SP_MUST_CHECK;
/* What it came to. True: it is news. */
bool sp_ldap_brake_leave(struct sp_ldap_brake *brake, unsigned place,
                         enum sp_ldap_service_verdict verdict, uint64_t now_ns);

#endif
