/* Names to addresses (c-ares), one resolver per loop: answers are kept for their TTL (bounded,
 * negative ones briefly), equal questions asked at once make one query. /etc/hosts counts. */
#ifndef SP_NET_RESOLVE_H
#define SP_NET_RESOLVE_H

#include "net/loop.h"
#include "util/addr.h"

struct sp_resolver;
struct sp_resolve; /* one question under way */

/* Borrowed for the callback. Addresses in the order RFC 6724 gives, families interleaved by the
 * dialler, port 0. */
struct sp_resolved {
    enum sp_err err; /* SP_OK; SP_ERR_NOT_FOUND: no such name or no address; SP_ERR_TIMEOUT;
                        SP_ERR_IO; SP_ERR_NOMEM */
    const struct sp_addr *addrs;
    size_t addrs_len;
    const char *why; /* the resolver's words when err */
};
typedef void (*sp_resolved_cb)(void *owner, const struct sp_resolved *resolved);

struct sp_resolver *sp_resolver_new(struct sp_loop *loop) SP_MUST_CHECK;
/* Nobody may be waiting any more. */
void sp_resolver_free(struct sp_resolver **resolver);
/* Silent: five questions in a row, each about another name than the one before, have ended without
 * an answer, `why` being what became of the last. Not silent: one has been answered since. May be
 * called inside any call here. */
typedef void (*sp_resolver_heard_cb)(void *owner, bool silent, const char *why);
void sp_resolver_watch(struct sp_resolver *resolver, sp_resolver_heard_cb changed, void *owner);
/* A fresh answer in the cache is given at once: returns SP_OK, *addrs_out is borrowed until the
 * next turn, and `done` is never called. Otherwise SP_ERR_AGAIN, and `done` comes once in a later
 * turn, unless cancelled. SP_ERR_NOT_FOUND: a kept negative answer. SP_ERR_NOMEM; SP_ERR_FULL: too
 * many questions under way. `host`: a lower-case DNS name. */
enum sp_err sp_resolve_start(struct sp_resolver *resolver, struct sp_span host, sp_resolved_cb done,
                             void *owner, const struct sp_addr **addrs_out, size_t *addrs_len_out,
                             struct sp_resolve **resolve_out) SP_MUST_CHECK;
void sp_resolve_cancel(struct sp_resolve **resolve);

#endif
