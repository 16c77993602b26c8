/* The proxy proper: client connections (sessions), their exchanges, tunnels, and the upstream
 * connections behind them. One struct sp_proxy per worker; everything in it lives on that worker's
 * loop.
 *
 * A snapshot is what a configuration means to the proxy. Each exchange begins under the newest
 * snapshot and keeps it to its end; a handshake keeps the one it began with. Immutable,
 * reference-counted, shared by all workers. */
#ifndef SP_PROXY_PROXY_H
#define SP_PROXY_PROXY_H

#include "auth/auth.h"
#include "config/config.h"
#include "log/log.h"
#include "net/listener.h"
#include "policy/policy.h"
#include "stats/stats.h"
#include "trace/trace.h"

struct sp_limits_options {
    uint64_t header_size;
    int64_t header_count;
    uint64_t uri_size;
    uint64_t client_header_timeout_ms;
    uint64_t keepalive_timeout_ms;
    uint64_t tunnel_idle_timeout_ms;
    uint64_t connect_timeout_ms;
    uint64_t response_timeout_ms;
    int64_t max_connections; /* of clients, all workers together */
};
struct sp_forward_options {
    char *via;
    bool x_forwarded_for;
};
extern const struct sp_option sp_limits_option_table[];
extern const struct sp_option sp_forward_option_table[];

struct sp_proxy_snapshot;

/* Compiles policy and auth plan out of a configuration that has been read. NULL with faults added.
 * Keeps a reference to `config`. `admin` is where the process answers besides its listeners (NULL:
 * nowhere), and no destination either. Main thread; may block. */
struct sp_proxy_snapshot *sp_proxy_snapshot_new(struct sp_config *config,
                                                const struct sp_addr *admin,
                                                sp_auth_find_plugin_fn find, void *owner,
                                                const struct sp_log *log,
                                                struct sp_config_faults *faults) SP_MUST_CHECK;
struct sp_proxy_snapshot *sp_proxy_snapshot_ref(
    struct sp_proxy_snapshot *snapshot);                           /* any thread */
void sp_proxy_snapshot_unref(struct sp_proxy_snapshot **snapshot); /* any thread */
const struct sp_listen *sp_proxy_snapshot_listens(const struct sp_proxy_snapshot *snapshot,
                                                  size_t *len_out);
struct sp_auth_plan *sp_proxy_snapshot_plan(const struct sp_proxy_snapshot *snapshot);
const struct sp_policy *sp_proxy_snapshot_policy(const struct sp_proxy_snapshot *snapshot);
struct sp_config *sp_proxy_snapshot_config(const struct sp_proxy_snapshot *snapshot);

/* One session as plain values, which any thread can read. Texts that are too long are cut, with
 * "..." at their end; "" where there is none. */
struct sp_session_facts {
    uint64_t connection; /* its number: sp_decision's conn */
    struct sp_addr client;
    char listener[64];
    char user[128]; /* who was let in by the exchange, the tunnel or, at rest, the last exchange; or
                       who is pinned to the connection */
    enum sp_scheme scheme;
    bool pinned;
    const char *state;    /* of the session; static */
    const char *exchange; /* SERVING: state of the exchange; static; NULL: none is under way */
    char id[16];          /* the exchange's, or the one that became the tunnel */
    char method[24];
    char target[256]; /* without userinfo */
    uint64_t age_ms;
    uint64_t idle_ms; /* in that state (of the exchange's, while SERVING); TUNNEL: since something
                         moved last */
    bool tunnel;
    uint64_t bytes_in; /* tunnel: so far, heads included */
    uint64_t bytes_out;
};

struct sp_proxy;

/* A listing under way, and then what it found. In the caller's memory, until `done`. */
struct sp_session_listing {
    size_t max; /* items at most */
    void (*done)(struct sp_session_listing *listing);
    struct sp_session_facts *items; /* the oldest connections first; yours to free */
    size_t len;
    size_t left_out; /* sessions beyond those that there was room for */
    /* the proxy's */
    struct sp_proxy *proxy;
    struct sp_list link;
    struct sp_list *at;
    struct sp_soon next;
    uint64_t newest;
    size_t room;
};

/* Loop thread, as all that follow. NULL: out of memory, or a backend would not open (logged). Takes
 * a reference to the snapshot. `shared` and `trace` outlive the proxy. */
struct sp_proxy *sp_proxy_new(struct sp_loop *loop, struct sp_proxy_snapshot *snapshot,
                              struct sp_auth_shared *shared, struct sp_stats *stats,
                              struct sp_trace *trace, const struct sp_log *log) SP_MUST_CHECK;
/* Serve the listener at that place of the snapshot; of one that is being prepared, from its commit
 * on. Takes over the descriptor; an address may have several. */
enum sp_err sp_proxy_listen(struct sp_proxy *proxy, size_t listen_index, int fd) SP_MUST_CHECK;
/* Reload, in two steps, so that all workers take a snapshot up or none does. All that can fail is
 * done by prepare, and by sp_proxy_listen for the listeners that are new; nothing is served by it
 * yet. On failure (logged) abandon it. */
enum sp_err sp_proxy_prepare(struct sp_proxy *proxy,
                             struct sp_proxy_snapshot *snapshot) SP_MUST_CHECK;
/* Exchanges that begin from now on use the prepared snapshot. Listeners are matched by address;
 * those that are gone are closed. */
void sp_proxy_commit(struct sp_proxy *proxy);
/* Let go of what was prepared, if anything. */
void sp_proxy_abandon(struct sp_proxy *proxy);
/* Stop accepting, close idle connections (those just made get a moment for their request), let
 * exchanges finish and tunnels go on until `deadline_ms` of the loop's clock, then cut what is
 * left. `drained` fires once, when nothing of the proxy is left on the loop: free it then. */
void sp_proxy_drain(struct sp_proxy *proxy, uint64_t deadline_ms, void (*drained)(void *owner),
                    void *owner);
/* Copies what its sessions are, some of them each turn. `done` comes once, in a later part of this
 * turn or in a later one, or within sp_proxy_free. */
void sp_proxy_list_sessions(struct sp_proxy *proxy, struct sp_session_listing *listing);
void sp_proxy_free(struct sp_proxy **proxy);

#endif
