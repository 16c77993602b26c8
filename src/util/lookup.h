/* getaddrinfo(3) within a deadline. The system's resolver has its own (resolv.conf: five seconds a
 * server and try, by default) and cannot be interrupted. Any thread that may wait. */
#ifndef SP_UTIL_LOOKUP_H
#define SP_UTIL_LOOKUP_H

#include "sallyport/base.h"

#include <netdb.h>
#include <stdatomic.h>
#include <stdint.h>

/* SP_OK: it has answered, with a list for freeaddrinfo, or with *failure_out (gai_strerror) and no
 * list. SP_ERR_TIMEOUT, SP_ERR_CLOSED: as in aside.h. SP_ERR_FULL: too many look-ups wait for an
 * answer. SP_ERR_NOMEM. Of `hints` the family, socket type and flags count. `port` may be NULL. */
enum sp_err sp_lookup(const char *host, const char *port, const struct addrinfo *hints,
                      uint64_t due_ns, const atomic_bool *stop, struct addrinfo **list_out,
                      int *failure_out) SP_MUST_CHECK;

#endif
