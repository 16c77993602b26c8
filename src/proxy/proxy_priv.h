/* What the files of this room share. Nobody outside includes it (unit tests do).
 *
 * - sp_proxy: one worker's proxy. Owned by app's worker.
 * - sp_epoch: what one snapshot is on this worker, its engine above all. Counted: by sessions,
 *   exchanges, tunnels and the proxy.
 * - sp_session: one client connection. In proxy->sessions until it closes.
 * - sp_exchange: one request and its answer. Its session's; from a stock, and back to it.
 * - sp_upstream: one connection to an origin. An exchange's, a tunnel's, a session's or the pool's.
 * - sp_tunnel: two sockets joined. Its session's.
 *
 * All of it lives on one loop thread. Sessions and upstreams that were closed stay readable to the
 * end of the turn. */
#ifndef SP_PROXY_PRIV_H
#define SP_PROXY_PRIV_H

#include "http/http.h"
#include "http/reply.h"
#include "net/dial.h"
#include "proxy/proxy.h"
#include "trace/trace.h"
#include "util/buf.h"
#include "util/span.h"

#include <assert.h>
#include <stdatomic.h>

#define SESSION_MAGIC  0x5e55104eu
#define EXCHANGE_MAGIC 0xe8c4a49eu
#define UPSTREAM_MAGIC 0x0b57ea40u

#define SLAB_SIZE      ((size_t)32 * 1024) /* what one read takes at most */
#define SLABS_KEPT     256                 /* per worker */
#define HEAD_SIZE      ((size_t)2 * 1024)  /* what a head that waits is kept in, if it fits */
#define EXCHANGES_KEPT 256                 /* per worker, and as many as are under way */
#define PARSERS_KEPT   16                  /* per worker */
#define ANSWER_PEEK    ((size_t)4 * 1024)  /* read of an answer before it is known how long it is */
#define DRAIN_MAX      ((size_t)1024 * 1024)
#define LINGER_MS      2000
#define SILENCE_MS     10000                 /* of a tunnel, before its ends are looked after */
#define DEAD_END_MS    5000                  /* what a dead end of a tunnel had sent may wait */
#define GREETINGS_MAX  4096                  /* handshakes under way, per listener and worker */
#define POOL_BUCKETS   1024                  /* a power of two */
#define POOL_MAX       1024                  /* upstream connections beyond one for each client */
#define BOUND_MAX      8                     /* upstream connections that belong to one client */
#define INTERIM_MAX    256                   /* 1xx answers to one request */
#define RELAY_BUDGET   16                    /* moves in one go before others get their turn */
#define SPLICE_FROM    ((uint64_t)16 * 1024) /* bodies at least that long go by the kernel */
#define RETRY_AFTER_S  5
#define ACCESS_WAIT_MS 250 /* an access line is on its way to the file by then */
#define ID_LEN         12

/* What a step of a state machine says to its driver. */
enum sp_step { SP_STEP_NEXT, SP_STEP_WAIT, SP_STEP_DONE };

/* ---- snapshot.c ---- */

struct sp_proxy_snapshot {
    _Atomic unsigned refs;
    struct sp_config *config;
    struct sp_policy *policy;
    struct sp_auth_plan *plan;
    const struct sp_limits_options *limits; /* in config */
    const struct sp_forward_options *forward;
    struct sp_span via;
    struct sp_http_limits http_limits;
    struct sp_listen *listens;
    size_t listens_len;
};

/* ---- proxy.c ---- */

struct sp_epoch {
    struct sp_list link; /* in proxy->epochs */
    struct sp_proxy *proxy;
    struct sp_proxy_snapshot *snapshot;
    struct sp_auth_engine *engine;
    unsigned refs;
};

struct sp_proxy {
    struct sp_loop *loop;
    struct sp_stats *stats;
    const struct sp_log *log;
    struct sp_auth_shared *shared;
    struct sp_trace *trace;
    struct sp_resolver *resolver;
    struct sp_access_batch *access;
    struct sp_timer
        access_timer;       /* makes a turn come, so that the last lines of a burst do not wait */
    struct sp_epoch *epoch; /* the newest */
    struct sp_list epochs;
    struct sp_list sessions;
    size_t sessions_len;
    struct sp_list *sweep;    /* room.c: the session to look at next; NULL: the first */
    uint64_t room_told_ms;    /* when the log last heard of it */
    unsigned room_made;       /* since then */
    struct sp_list listings;  /* of sessions, under way */
    struct sp_list listeners; /* struct proxy_listener, see proxy.c */

    struct sp_list pool; /* idle upstreams, oldest first */
    struct sp_upstream *pool_bucket[POOL_BUCKETS];
    size_t upstreams_len; /* alive, idle or not */

    struct sp_exchange *spare_exchanges;
    size_t spare_exchanges_len;
    size_t exchanges_len;                               /* under way */
    struct sp_http_parser *spare_parsers[PARSERS_KEPT]; /* they know the newest epoch's limits */
    size_t spare_parsers_len;
    struct spare_head *spare_heads;
    size_t spare_heads_len;
    char *spare_slabs[SLABS_KEPT];
    size_t spare_slabs_len;

    uint64_t id_base; /* random: ids of two runs do not meet */
    uint32_t id_next;

    bool draining;
    struct sp_epoch *next_epoch;   /* prepared; NULL: none */
    struct sp_list next_listeners; /* its new ones; they accept nothing yet */
    struct sp_timer fresh_timer;   /* draining: connections just made get a moment */
    struct sp_timer drain_timer;
    struct sp_soon drained_soon;
    void (*drained)(void *owner);
    void *drained_owner;
};

struct sp_epoch *sp_epoch_ref(struct sp_epoch *epoch);
void sp_epoch_unref(struct sp_epoch **epoch); /* the last one closes the engine, in its own time */
/* The listener with that address in the epoch's snapshot; NULL: it is gone. */
const struct sp_listen *sp_epoch_find_listen(const struct sp_epoch *epoch,
                                             const struct sp_listen *like);
/* Called when a session, an upstream or an epoch has gone: a drain may now be complete. */
void sp_proxy_check_drained(struct sp_proxy *proxy);
void sp_proxy_write_access(struct sp_proxy *proxy, const struct sp_access_record *record);

/* ---- stock.c ---- */

/* Give `buf`, which must be empty, a slab to grow from; and take it back (whatever it holds is
 * dropped). */
enum sp_err sp_slab_lend(struct sp_proxy *proxy, struct sp_buf *buf, size_t max) SP_MUST_CHECK;
void sp_slab_return(struct sp_proxy *proxy, struct sp_buf *buf);
/* What `buf` holds moves into memory of about its size, if it is little: a request waits for its
 * origin much longer than it takes to read the next one. */
void sp_slab_shrink(struct sp_proxy *proxy, struct sp_buf *buf);
struct sp_exchange;
/* A parser for one of the exchange's heads, reset, if *parser is not one already. False: out of
 * memory. */
bool sp_parser_lend(struct sp_exchange *exchange, struct sp_http_parser **parser) SP_MUST_CHECK;
/* Nothing points into it any more. Sets *parser to NULL, which it may have been. */
void sp_parser_return(struct sp_exchange *exchange, struct sp_http_parser **parser);
/* A new epoch may have other limits than the spare parsers know. */
void sp_stock_forget_limits(struct sp_proxy *proxy);
/* Zeroed. NULL: out of memory. */
struct sp_exchange *sp_exchange_lend(struct sp_proxy *proxy) SP_MUST_CHECK;
void sp_exchange_return(struct sp_proxy *proxy, struct sp_exchange *exchange);
/* All that is kept for use again, at the end. */
void sp_stocks_free(struct sp_proxy *proxy);

/* ---- upstream.c ---- */

struct sp_upstream {
    unsigned magic;
    struct sp_exchange *exchange; /* whom it is lent to; NULL: idle */
    struct sp_proxy *proxy;
    struct sp_stream *stream;
    struct sp_buf in;
    struct sp_buf out;
    struct sp_list link;       /* proxy->pool or session->bound */
    struct sp_upstream *chain; /* in its bucket */
    struct sp_timer idle;
    struct sp_doomed doomed;
    struct sp_addr addr;
    uint64_t key; /* hash of host and port */
    bool pooled;  /* in the pool's table */
    bool reused;  /* it has answered before: a silent close may only mean that it had been idle too
                     long */
    bool bound; /* it belongs to one client: an origin authenticates the connection (RFC 4559 6) */
    uint16_t port;
    uint16_t host_len;
    char host[];
};

/* Takes the stream over. NULL: out of memory (the stream is closed). */
struct sp_upstream *sp_upstream_new(struct sp_proxy *proxy, struct sp_stream **stream,
                                    struct sp_span host, uint16_t port,
                                    const struct sp_addr *addr) SP_MUST_CHECK;
/* Gone at once, wherever it is. Sets *upstream to NULL. */
void sp_upstream_close(struct sp_upstream **upstream, bool reset);
/* An idle one to that place: one of `bound` or, where that is NULL, one of the pool that `fits`.
 * NULL: none. */
struct sp_upstream *sp_upstream_take(struct sp_proxy *proxy, struct sp_list *bound,
                                     struct sp_span host, uint16_t port,
                                     bool (*fits)(void *owner, const struct sp_addr *addr),
                                     void *owner);
/* At rest, ready for the next request: to the pool or, when it is bound, to that list. Sets
 * *upstream to NULL. */
void sp_upstream_keep(struct sp_upstream **upstream, struct sp_list *bound, uint64_t idle_ms);
void sp_upstream_close_idle(struct sp_proxy *proxy);
void sp_upstream_close_bound(struct sp_list *bound);

/* ---- session.c ---- */

enum sp_session_state {
    SP_SESSION_WAITING,   /* between requests: nothing of the next head is here */
    SP_SESSION_SERVING,   /* an exchange is under way, from the first byte of its head */
    SP_SESSION_DRAINING,  /* answered; the rest of the request's body is read and dropped */
    SP_SESSION_TUNNEL,    /* bytes go through */
    SP_SESSION_LINGERING, /* our side has ended; the client's last bytes are read, so that no reset
                             eats our answer */
    SP_SESSION_CLOSED,
};

struct sp_session {
    unsigned magic;
    enum sp_session_state state;
    struct sp_list link; /* proxy->sessions */
    struct sp_doomed doomed;
    struct sp_proxy *proxy;
    struct sp_epoch *epoch;         /* whose listener and engine it uses */
    const struct sp_listen *listen; /* in epoch's snapshot */
    struct sp_tls_server *tls;      /* whose certificate the client saw; NULL in clear */
    struct sp_span end_point;       /* of that certificate, in the context's memory */
    struct sp_stream *client;
    struct sp_timer timer; /* the one deadline of whatever state it is in */
    struct sp_soon next;   /* the next request is already here */
    struct sp_addr client_addr;
    struct sp_buf in;  /* read, not used yet; has memory only while it has bytes */
    struct sp_buf out; /* to be written; likewise */
    struct sp_auth_conn *auth;
    const struct sp_identity *known; /* whom the last exchange let in, for listings; NULL: nobody */
    struct sp_exchange *exchange;
    struct sp_tunnel *tunnel;
    struct sp_list bound;       /* upstreams that belong to this client */
    struct sp_http_body unread; /* DRAINING: what is left of the request's body */
    size_t dropped;             /* DRAINING, LINGERING: bytes read and dropped */
    uint64_t number;            /* of this connection, in the process */
    uint64_t began_ms;
    uint64_t entered_ms; /* its state */
    uint32_t exchanges;  /* begun so far */
    uint32_t chain;      /* the ordinal of the 407 chain's first; 0: none is under way */
    bool first;          /* nothing has been served yet */
    bool last;           /* closes after this exchange */
};

void sp_session_accepted(void *owner,
                         const struct sp_accepted *accepted); /* owner: struct sp_proxy */
/* The exchange is over and its answer is on its way out of `out`. `reusable`: the connection can go
 * on. */
void sp_session_served(struct sp_session *session, bool reusable);
/* The same when part of the request's body has not been read: it is drained up to a bound. */
void sp_session_drain(struct sp_session *session, struct sp_http_body *unread);
/* Ends our direction and waits briefly for the client's. */
void sp_session_linger(struct sp_session *session);
/* The exchange has become the session's tunnel. */
void sp_session_tunnel(struct sp_session *session);
/* Gone at once: exchange, tunnel and all. Idempotent. */
void sp_session_close(struct sp_session *session);
/* More bytes into `in`. SP_ERR_AGAIN; SP_ERR_CLOSED: the client has ended or is gone;
 * SP_ERR_TOO_LARGE: `in` is full. */
enum sp_err sp_session_fill(struct sp_session *session, size_t max) SP_MUST_CHECK;
/* Writes what is in `out`. SP_OK: all is gone (and its memory too); SP_ERR_AGAIN; SP_ERR_CLOSED. */
enum sp_err sp_session_flush(struct sp_session *session) SP_MUST_CHECK;

/* ---- relay.c: a body from one connection to another ---- */

enum sp_relay_result {
    SP_RELAY_DONE,
    SP_RELAY_WAIT_SOURCE,
    SP_RELAY_WAIT_SINK,
    SP_RELAY_YIELD,         /* more could be done at once; let others have their turn */
    SP_RELAY_SOURCE_FAILED, /* reset, or ended before the body did */
    SP_RELAY_SINK_FAILED,
    SP_RELAY_MALFORMED, /* the source broke the chunk grammar */
    SP_RELAY_NO_MEMORY,
};

struct sp_relay {
    struct sp_proxy *proxy;
    struct sp_stream *from;
    struct sp_stream *to;
    struct sp_buf *in;  /* read from `from`, not used yet */
    struct sp_buf *out; /* goes before any payload: heads, chunk sizes */
    struct sp_http_body body;
    struct sp_span data;  /* payload in `in` that is being written */
    size_t held;          /* bytes of `in` to let go once data is written */
    struct sp_pipe *pipe; /* only while bytes are in it */
    uint64_t taken;       /* bytes of the body as it came, framing included */
    uint64_t written;     /* all bytes written to `to`, heads included */
    const char *why;      /* MALFORMED: words */
    bool chunked;         /* goes out in chunks */
    bool begun;           /* a chunk has gone out: the next begins with the CRLF that ends it */
    bool ended;           /* everything has been put into `out` */
};

void sp_relay_init(struct sp_relay *relay, struct sp_proxy *proxy, struct sp_stream *from,
                   struct sp_buf *in, struct sp_stream *to, struct sp_buf *out,
                   struct sp_http_framing framing, bool chunked);
void sp_relay_fini(struct sp_relay *relay);
/* Bytes wait for the sink: it, and not the source, is who keeps it from going on. */
bool sp_relay_holds(const struct sp_relay *relay);
/* The body goes on behind what was read of it, and not by the kernel. */
bool sp_relay_reads_on(const struct sp_relay *relay);
enum sp_relay_result sp_relay_run(struct sp_relay *relay) SP_MUST_CHECK;

/* ---- exchange.c ---- */

enum sp_exchange_state {
    SP_EXCHANGE_READING,        /* its head */
    SP_EXCHANGE_OPENING,        /* rules that decide before authentication */
    SP_EXCHANGE_RESOLVING,      /* such a rule depends on the target's address */
    SP_EXCHANGE_AUTHENTICATING, /* the engine is asking */
    SP_EXCHANGE_DECIDING,       /* rules, with the user known */
    SP_EXCHANGE_CONNECTING,     /* to the target */
    SP_EXCHANGE_FORWARDING,     /* request out, answer back */
    SP_EXCHANGE_ANSWERING,      /* an answer of our own is on its way */
    SP_EXCHANGE_DONE,
    SP_EXCHANGE_STATES
};

/* When and how long; microseconds of the loop's clock, 0: not reached. */
struct sp_exchange_times {
    uint64_t head_us; /* the head's last byte */
    uint64_t auth_us; /* spent */
    uint64_t connect_us;
    uint64_t mark_us; /* the wait under way began */
    uint64_t wall_ms;
};

struct sp_exchange {
    unsigned magic;
    enum sp_exchange_state state;
    uint64_t entered_ms;       /* that state */
    struct sp_exchange *spare; /* in the stock */
    struct sp_session *session;
    struct sp_epoch *epoch; /* policy and limits */
    struct sp_soon again;

    struct sp_http_parser *parser;          /* lent while the request's head comes */
    struct sp_http_parser *response_parser; /* lent while an answer's head comes */
    struct sp_buf head; /* the request's bytes and what was found in them: `request` points here */
    struct sp_http_request request;
    bool has_head;

    struct sp_auth_ask *ask;
    struct sp_auth_answer auth;
    const struct sp_identity *identity;
    struct sp_trace_steps steps; /* on the way to that answer */

    struct sp_resolve *resolve;
    struct sp_dial *dial;
    struct sp_policy_decision decision;
    struct sp_addr decided; /* the address that an ALLOW in `decision` is about */
    bool open;              /* passed without authentication */

    struct sp_upstream *upstream;
    struct sp_relay up;   /* request's body, client to origin */
    struct sp_relay down; /* answer's body, origin to client */
    unsigned interims;    /* 1xx answers so far */
    bool up_done;
    bool up_ready; /* `up` and the head in upstream->out stand */
    bool down_ready;
    bool responded; /* a final status has been put into session->out */
    bool retried;
    bool client_wants_close;
    bool switching; /* 200 to CONNECT, or 101: becomes a tunnel */
    bool logged;    /* the tunnel writes the access line */
    struct sp_http_response response;

    struct sp_exchange_times times;
    int status;
    enum sp_reason reason;
    uint64_t bytes_in;
    uint64_t bytes_out;
    struct sp_addr peer;
    bool has_peer;
    uint32_t ordinal; /* on its connection */
    char id[ID_LEN + 1];
    /* the last two: their first bytes alone are zeroed in the stock */
    char type[64];   /* the answer's content type, for squid's format */
    char words[160]; /* details of our own answer */
};

struct sp_exchange *sp_exchange_new(struct sp_session *session) SP_MUST_CHECK;
/* Cancels what is under way, gives everything back, writes the access line when there was a head.
 */
void sp_exchange_free(struct sp_exchange **exchange);
/* The request's credential has been judged: wipe it where it was read. */
void sp_exchange_forget_credential(struct sp_exchange *exchange);
/* Something may have become possible. */
void sp_exchange_run(struct sp_exchange *exchange);
void sp_exchange_enter(struct sp_exchange *exchange, enum sp_exchange_state next);
const char *sp_exchange_state_text(enum sp_exchange_state state);
/* The session's deadline has passed. */
void sp_exchange_timed_out(struct sp_exchange *exchange);
/* The client's connection is dead. */
void sp_exchange_client_gone(struct sp_exchange *exchange);
/* Put an answer of our own into session->out and go on to ANSWERING. */
enum sp_step sp_exchange_answer(struct sp_exchange *exchange, int status, enum sp_reason reason,
                                const char *words);

/* exchange_auth.c: the steps that ask who and whether */
enum sp_step sp_exchange_step_opening(struct sp_exchange *exchange);
enum sp_step sp_exchange_step_authenticating(struct sp_exchange *exchange);
enum sp_step sp_exchange_step_deciding(struct sp_exchange *exchange);
bool sp_exchange_may_connect(void *owner, const struct sp_addr *addr);

/* connect.c: the step that gets an upstream */
enum sp_step sp_exchange_step_connecting(struct sp_exchange *exchange);

/* forward.c: the steps with an upstream */
enum sp_step sp_exchange_step_forwarding(struct sp_exchange *exchange);
void sp_exchange_upstream_ready(struct sp_exchange *exchange, unsigned events);
/* The client of an answer that is under way was told neither a length nor chunks, and takes a clean
 * end for the body's. */
bool sp_exchange_ends_by_close(const struct sp_exchange *exchange);

/* answer.c */
/* What the access line will say; it points into the session, the exchange, its identity and its
 * epoch. */
void sp_exchange_record(const struct sp_exchange *exchange, struct sp_access_record *record);
void sp_exchange_write_access(struct sp_exchange *exchange);

/* decision.c */
/* Remembers what it came to, for those who ask why. Once, at its end or when it becomes a tunnel.
 */
void sp_exchange_remember(struct sp_exchange *exchange, uint64_t elapsed_us);

/* ---- tunnel.c ---- */

struct sp_tunnel;
/* Takes the exchange's upstream and what its access line needs; the exchange is over. What is in
 * session->out is written to the client first, what is in session->in goes to the upstream. False:
 * out of memory. */
bool sp_tunnel_start(struct sp_session *session, struct sp_exchange *exchange) SP_MUST_CHECK;
void sp_tunnel_run(struct sp_tunnel *tunnel);
void sp_tunnel_client_gone(struct sp_tunnel *tunnel);
/* The session's timer: it has been silent for a while, or for too long. */
void sp_tunnel_timed_out(struct sp_tunnel *tunnel);
/* It has had its time, silent or not. */
void sp_tunnel_cut(struct sp_tunnel *tunnel);
/* Ends it and writes its access line. Called by the session. */
void sp_tunnel_free(struct sp_tunnel **tunnel);
/* What it is for, what has gone through, and since when nothing has. */
void sp_tunnel_list(const struct sp_tunnel *tunnel, struct sp_session_facts *facts);

/* ---- room.c ---- */

/* There are as many connections as may be: a stranger's gives way to a new one. False: none may. */
bool sp_proxy_make_room(struct sp_proxy *proxy) SP_MUST_CHECK;
/* The session is about to leave the proxy's list. */
void sp_proxy_pass_sweep(struct sp_proxy *proxy, const struct sp_session *session);

/* ---- listing.c ---- */

/* The session is about to leave the proxy's list: no listing goes on from it. */
void sp_listings_pass(struct sp_session *session);
/* None goes on: each is done with what it has. */
void sp_listings_end(struct sp_proxy *proxy);
/* Cut to `size`, at the end of a letter. */
void sp_listing_text(char *to, size_t size, struct sp_span text);

#endif
