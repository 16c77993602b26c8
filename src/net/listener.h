/* Listening sockets. They are bound on the main thread, before privileges are dropped, one
 * descriptor per worker (SO_REUSEPORT), and then handed to their workers' loops.
 *
 * PROXY protocol and TLS are dealt with here, under their own deadline: what `accepted` gets is a
 * stream of HTTP bytes, and the address of the client as the nearest trusted party gave it. */
#ifndef SP_NET_LISTENER_H
#define SP_NET_LISTENER_H

#include "log/log.h"
#include "net/stream.h"
#include "net/tls.h"

struct sp_listen_options {
    struct sp_strings tls_certificate;
    struct sp_strings tls_key;             /* of each, in the same order */
    struct sp_strings offer;               /* for auth: names of schemes; empty = default */
    struct sp_strings proxy_protocol_from; /* CIDRs */
};
extern const struct sp_option sp_listen_option_table[];

/* One `listen` block, checked. Immutable, shared by all workers; its configuration owns it. */
struct sp_listen {
    const char *title; /* "0.0.0.0:3128" as written; the log's `listener` */
    struct sp_addr addr;
    struct sp_tls_server *tls; /* NULL: in clear */
    const struct sp_cidr *proxy_from;
    size_t proxy_from_len;
    unsigned index; /* position in the configuration */
};

#define SP_LISTEN_BACKLOG 4096 /* connections that wait to be accepted, at most */

/* listen_socket.c: bind and listen on one descriptor. SP_ERR_IO: errno tells. Main thread. */
enum sp_err sp_listen_bind(const struct sp_addr *addr, int *fd_out) SP_MUST_CHECK;
/* A socket that somebody else has bound (systemd, or the process before this one): listens on an
 * address? Then it is made ready for sp_listener_open. `shared_out`: further sockets may be bound
 * beside it. SP_ERR_INVALID: it is none of ours. Main thread. */
enum sp_err sp_listen_adopt(int fd, struct sp_addr *addr_out, bool *shared_out) SP_MUST_CHECK;

/* One accepted connection, given over: borrowed for the call, but for the stream. */
struct sp_accepted {
    struct sp_stream *stream; /* yours now */
    const struct sp_listen *listen;
    struct sp_addr client; /* who the log, rules and guard see */
    struct sp_addr local;  /* the address that was connected to */
};
typedef void (*sp_accepted_cb)(void *owner, const struct sp_accepted *accepted);

struct sp_listener; /* on one loop */

struct sp_listener_options {
    uint64_t handshake_ms;  /* deadline for PROXY header and TLS */
    unsigned greetings_max; /* connections under that deadline at once, which the owner does not
                               count yet: the oldest gives way. Not 0 */
    /* Asked before each accept is taken further, and again after a handshake; false: the connection
     * is closed at once (max_connections). */
    bool (*admit)(void *owner);
    sp_accepted_cb accepted;
    void *owner;
    const struct sp_log *log;
};
/* Takes over the descriptor, and accepts nothing yet: that may wait for others to be ready too.
 * `listen` outlives the listener. NULL: out of memory or epoll. Loop thread. */
struct sp_listener *sp_listener_open(struct sp_loop *loop, int fd, const struct sp_listen *listen,
                                     const struct sp_listener_options *options) SP_MUST_CHECK;
/* Accepts from now on; cannot fail. When descriptors run short it stops accepting until some are
 * free again and says so in the log, once; it never spins. */
void sp_listener_start(struct sp_listener *listener);
/* Takes what waits to be accepted, and then no more: the descriptor is closed. Handshakes under way
 * go on. */
void sp_listener_stop(struct sp_listener *listener);
/* Is any handshake or PROXY header under way? */
bool sp_listener_is_busy(const struct sp_listener *listener);
/* Accepts no more; handshakes under way are cut. Idempotent, sets *listener to NULL. */
void sp_listener_close(struct sp_listener **listener);
/* The same address with a new certificate, new networks or a new deadline (reload): for connections
 * accepted from now on. */
void sp_listener_update(struct sp_listener *listener, const struct sp_listen *listen,
                        uint64_t handshake_ms);

#endif
