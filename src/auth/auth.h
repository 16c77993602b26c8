/* Authentication: a scheme, a value and a peer go in; an identity, a challenge or a refusal comes
 * out.
 *
 * The engine knows no HTTP. One engine per worker and configuration snapshot; the cache and the
 * guard behind it are one for the process. Asking gives an answer at once (cache, the connection's
 * identity, guard, malformed), or PENDING, and then `done` is called once, in a later turn, unless
 * cancelled. */
#ifndef SP_AUTH_AUTH_H
#define SP_AUTH_AUTH_H

#include "auth/identity.h"
#include "config/config.h"
#include "log/access.h"
#include "log/log.h"
#include "net/loop.h"
#include "sallyport/auth_backend.h"
#include "stats/stats.h"
#include "util/addr.h"

struct sp_auth_options {
    char *realm;
    struct sp_strings negotiate;
    struct sp_strings basic;
    uint64_t handshake_timeout_ms;
    int64_t max_challenges;
};
struct sp_cache_options {
    uint64_t ttl_ms;
    int64_t refresh;
    uint64_t negative_ttl_ms;
    uint64_t grace_ms;
    int64_t max_entries;
};
struct sp_guard_options {
    int64_t user_failures;
    int64_t client_failures;
    uint64_t window_ms;
    uint64_t block_ms;
};
extern const struct sp_option sp_auth_option_table[];
extern const struct sp_option sp_cache_option_table[];
extern const struct sp_option sp_guard_option_table[];

/* ---- what is shared by the whole process ---- */

struct sp_verdict_cache; /* auth/cache.h */
struct sp_guard;         /* auth/guard.h */
struct sp_flights;       /* auth/flight.h: verdicts being asked for, across workers */

struct sp_auth_shared {
    struct sp_verdict_cache *cache;
    struct sp_guard *guard;
    struct sp_flights *flights;
};
/* Made at start, kept over reloads (apply gives new limits). Registers the gauges of cache and
 * guard with stats, so it comes after sp_stats_init, and fini after the last scrape. Main thread.
 */
enum sp_err sp_auth_shared_init(struct sp_auth_shared *shared, const struct sp_cache_options *cache,
                                const struct sp_guard_options *guard) SP_MUST_CHECK;
void sp_auth_shared_apply(struct sp_auth_shared *shared, const struct sp_cache_options *cache,
                          const struct sp_guard_options *guard);
void sp_auth_shared_fini(struct sp_auth_shared *shared);
/* ctl flush: forget one user (cache, groups, guard block), or with an absent user everything. Any
 * thread. */
void sp_auth_shared_flush(struct sp_auth_shared *shared, struct sp_span user);

/* ---- what a configuration snapshot describes ---- */

/* The plan: configured backends, chains per scheme, what each listener offers. Immutable,
 * reference-counted. */
struct sp_auth_plan;

/* Finds plugins: app gives the one that loads shared objects, tests give a table of fakes. */
typedef const struct sp_auth_backend_ops *(*sp_auth_find_plugin_fn)(void *owner,
                                                                    const char *plugin);

/* From the blocks "auth", "backend" and "listen": configures each backend and checks the whole
 * (unknown names, a scheme that a backend cannot serve, nothing left to offer, groups_from). NULL
 * with faults added. Main thread; may block. */
struct sp_auth_plan *sp_auth_plan_new(const struct sp_config *config, sp_auth_find_plugin_fn find,
                                      void *owner, const struct sp_log *log,
                                      struct sp_config_faults *faults) SP_MUST_CHECK;
struct sp_auth_plan *sp_auth_plan_ref(struct sp_auth_plan *plan);
void sp_auth_plan_unref(struct sp_auth_plan **plan);
/* A log line for each backend of `before` whose verdicts serve no more: it has gone, or is another
 * one now. */
void sp_auth_plan_tell_changes(const struct sp_auth_plan *before, const struct sp_auth_plan *now,
                               const struct sp_log *log);
/* A watched file of a backend changed since the last call? Then its refresh runs here. Pool thread,
 * about once a second; never two at a time. */
void sp_auth_plan_poll(struct sp_auth_plan *plan);

/* A watched file as it was last looked at. */
struct sp_auth_file {
    const char *backend, *option, *path; /* as long as the plan */
    bool refused;                        /* what serves was read before it */
    int missing;                         /* errno of looking at it; 0: it is there */
    char why[512];                       /* refused: in the plugin's words */
};
/* Any thread. False: there are not so many. */
bool sp_auth_plan_file(struct sp_auth_plan *plan, size_t index, struct sp_auth_file *file_out);
/* Doctor: every backend's findings in turn. May block. Returns how many are not well. */
unsigned sp_auth_plan_diagnose(struct sp_auth_plan *plan, const char *only,
                               struct sp_auth_findings *findings);

/* ---- one worker's engine ---- */

struct sp_auth_engine;
struct sp_auth_ask; /* one question under way */

/* Opens a backend of each kind on the loop. NULL: out of memory or a backend refused (logged). */
struct sp_auth_engine *sp_auth_engine_new(struct sp_loop *loop, struct sp_auth_plan *plan,
                                          struct sp_auth_shared *shared, struct sp_stats *stats,
                                          const struct sp_log *log) SP_MUST_CHECK;
/* No question is left. `closed` fires once when every backend has closed; the engine is then gone.
 */
void sp_auth_engine_close(struct sp_auth_engine **engine, void (*closed)(void *owner), void *owner);

/* What a client connection carries for the engine: the identity it was given, the handshake under
 * way, the row of refusals. Owned by the session, which keeps a NULL pointer until the engine makes
 * one (so that an idle connection costs nothing), and frees it when it closes. */
struct sp_auth_conn;
void sp_auth_conn_free(struct sp_auth_conn **conn); /* a handshake under way ends */
/* When the handshake under way on this connection must have ended, in the loop's time (the
 * session's timer asks); 0: there is none. */
uint64_t sp_auth_conn_deadline_ms(const struct sp_auth_conn *conn);
/* Whom a finished handshake has pinned to the connection; borrowed; NULL: nobody. */
const struct sp_identity *sp_auth_conn_pinned(const struct sp_auth_conn *conn);

enum sp_auth_state {
    SP_AUTH_PENDING,
    SP_AUTH_PASSED,      /* identity is there */
    SP_AUTH_CHALLENGE,   /* 407 */
    SP_AUTH_REFUSED,     /* 403: account unusable, principal of another realm, loop */
    SP_AUTH_BLOCKED,     /* 429 */
    SP_AUTH_UNAVAILABLE, /* 503: directory down (directory_unavailable) or no room (overloaded) */
    SP_AUTH_MALFORMED,   /* 400: never for a credential that is merely wrong */
};

#define SP_AUTH_CHALLENGES_MAX 2
#define SP_AGE_UNKNOWN         UINT64_MAX

/* The answer. What it points to is good until the next call with the same conn, or until the conn
 * is freed. The identity is borrowed, and where the session's slot is NULL after the answer, good
 * until the engine's next question: ref it to keep it, and with it user, backend and mech, which
 * are its own when PASSED. */
struct sp_auth_answer {
    enum sp_auth_state state;
    enum sp_reason reason;
    const struct sp_identity *identity;                /* PASSED */
    struct sp_span challenges[SP_AUTH_CHALLENGES_MAX]; /* CHALLENGE: "Negotiate [token]", "Basic
                                                          realm=…" in order */
    size_t challenges_len;
    struct sp_span final_token; /* "Negotiate <token>" for the answer to this request, whatever its
                                   status; or absent */
    bool close;                 /* the connection ends after this answer */
    unsigned retry_after_s;
    const char *why; /* words for the log and the page: "password expired"; static or as long as the
                        answer */
    /* for the access line, also when refused */
    enum sp_scheme scheme;
    enum sp_auth_how how;
    uint64_t age_ms;     /* CACHE, GRACE: of the verdict; CONNECTION: of the proof, or its groups */
    struct sp_span user; /* who they say they are; absent when not known */
    struct sp_span backend;
    struct sp_span mech;
};

struct sp_auth_question {
    struct sp_span authorization; /* Proxy-Authorization's value; base NULL: none was sent */
    const struct sp_addr *client;
    unsigned listen_index;           /* which listener: what is offered there */
    struct sp_span channel_bindings; /* of the TLS listener; absent in clear */
    struct sp_span id;               /* the exchange's, for logs */
    struct sp_span user_agent; /* for the log line that names a device at fault; may be absent */
    const struct sp_log *log;
    struct sp_auth_tracer *tracer; /* may be NULL */
};

typedef void (*sp_auth_answered_cb)(void *owner, const struct sp_auth_answer *answer);

/* *answer_out is filled; with PENDING *ask_out is set and `done` comes later. Everything in
 * `question` is borrowed for the call. `conn` is the session's slot. */
void sp_auth_engine_ask(struct sp_auth_engine *engine, struct sp_auth_conn **conn,
                        const struct sp_auth_question *question, sp_auth_answered_cb done,
                        void *owner, struct sp_auth_answer *answer_out,
                        struct sp_auth_ask **ask_out);
/* For a request that is refused whoever sends it: who that is, if it is known without asking
 * anybody (the connection's identity, or a good verdict that is kept). Nothing is counted, renewed
 * or ended by it. True: *answer_out is as when PASSED, and its identity is a reference, yours. */
bool sp_auth_engine_recall(struct sp_auth_engine *engine, const struct sp_auth_conn *conn,
                           const struct sp_auth_question *question,
                           struct sp_auth_answer *answer_out) SP_MUST_CHECK;
/* `done` will not come. Others who wait for the same verdict still get theirs. */
void sp_auth_ask_cancel(struct sp_auth_ask **ask);

#endif
