/* From a host and a port to a connected stream: resolve, ask whether each address may be connected
 * to, and race them (happy eyeballs, RFC 8305: families interleaved, the next attempt after 250 ms
 * or at a failure). When nothing succeeds, the most telling error wins: denied < dns <
 * refused/unreachable < timeout is how far one got. */
#ifndef SP_NET_DIAL_H
#define SP_NET_DIAL_H

#include "net/resolve.h"
#include "net/stream.h"

struct sp_dial;

struct sp_dial_target {
    /* lower-case name, or an address literal without brackets; borrowed for the call */
    struct sp_span host;
    uint16_t port;
    uint64_t timeout_ms; /* for all of it */
    /* May this address be connected to? Called once for each before any connect to it, from start
     * or from the loop. */
    bool (*allow)(void *owner, const struct sp_addr *addr);
};

struct sp_dialed {
    /* SP_OK; SP_ERR_DENIED: no address allowed; SP_ERR_NOT_FOUND: does not resolve (dns);
     * SP_ERR_IO: connect failed; SP_ERR_TIMEOUT; SP_ERR_NOMEM; SP_ERR_FULL */
    enum sp_err err;
    struct sp_stream *stream; /* on SP_OK: yours */
    struct sp_addr addr;      /* the one connected to, or the last tried */
    const char *why;          /* words for the log; borrowed */
};
typedef void (*sp_dialed_cb)(void *owner, const struct sp_dialed *dialed);

/* `done` comes once, in a later turn, unless cancelled. SP_ERR_NOMEM: not begun. */
enum sp_err sp_dial_start(struct sp_loop *loop, struct sp_resolver *resolver,
                          const struct sp_dial_target *target, sp_dialed_cb done, void *owner,
                          struct sp_dial **dial_out) SP_MUST_CHECK;
void sp_dial_cancel(struct sp_dial **dial);

#endif
