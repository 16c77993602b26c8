/* libldap sets itself up at its first use, without a lock, and asks the name service about this
 * machine's own name as it does. So that is done aside (util/aside.h), once for the process and by
 * nobody else; whoever is about to make a handle waits until it is done. It begins with the first
 * who does, and not with the configuration: a thread that stood before privileges are given up
 * would keep them. */
#ifndef SP_LDAP_READY_H
#define SP_LDAP_READY_H

#include "sallyport/base.h"

#include <stdatomic.h>
#include <stdint.h>

/* Of the other functions of libldap only those on texts may be called before this has said SP_OK.
 * As sp_aside_wait; and SP_ERR_FULL, SP_ERR_NOMEM: it could not be begun. Any thread that may
 * wait. */
enum sp_err sp_ldap_ready_wait(uint64_t due_ns, const atomic_bool *stop) SP_MUST_CHECK;

#endif
