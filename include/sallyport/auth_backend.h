/* The contract between sallyport and an authentication backend (a plugin: NAME.so in plugin_dir).
 *
 * A plugin is a shared object that exports one symbol, `sp_auth_backend` (SP_AUTH_BACKEND_SYMBOL),
 * a constant struct sp_auth_backend_ops. It is written against the headers in include/sallyport/,
 * libc and libuv alone; everything it needs of sallyport reaches it through struct sp_auth_host.
 *
 * Three lifetimes:
 *   - config: one per backend block and configuration snapshot; shared by all workers, so it must
 *     be thread-safe.
 *   - backend: one per config and worker; lives on that worker's loop thread and nowhere else.
 *   - op: one authentication: one password, one Negotiate handshake (of one or more legs), one
 *     look-up of groups.
 *
 * Promises a plugin keeps:
 *   - It never blocks a loop thread. What may block (name resolution, a connect, a library that
 *     does its own reading and writing, disk) goes to host->work(), or is watched through
 *     host->loop.
 *   - For each start() that returned SP_OK, and each step() that returned SP_OK, `done` is called
 *     exactly once, on the loop thread, in a later turn of the loop (never inside start, step or
 *     any other call into the plugin), unless cancel() came first. A failure to begin is the
 *     return value, and then `done` is not called.
 *   - "No" and "don't know" are different verdicts. What was not decided by the authority is
 *     UNAVAILABLE.
 *   - No password, token or key goes into a log line, a trace or a reason. */
#ifndef SALLYPORT_AUTH_BACKEND_H
#define SALLYPORT_AUTH_BACKEND_H

#include "sallyport/base.h"
#include "sallyport/option.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <uv.h>

/* Checked when the plugin is loaded: another number is refused. Raised when anything here changes.
 */
#define SP_AUTH_ABI_VERSION    3u
#define SP_AUTH_BACKEND_SYMBOL "sp_auth_backend"

enum sp_verdict {
    SP_VERDICT_ALLOW,        /* the identity is proven (or, for GROUPS, the groups are known) */
    SP_VERDICT_DENY,         /* asked and refused: may be kept, counts as a wrong login */
    SP_VERDICT_UNKNOWN_USER, /* this backend has no such user: the next backend is asked */
    SP_VERDICT_ACCOUNT, /* the credential is right, the account is unusable: a prompt would not help
                         */
    SP_VERDICT_MORE,    /* another leg is needed: result->token goes to the client */
    SP_VERDICT_UNAVAILABLE, /* could not ask: never kept, never counted */
};

/* What a backend can be asked; a bit set in ops->abilities. */
enum sp_auth_ability {
    SP_AUTH_PASSWORD = 1, /* user and password (Basic) */
    SP_AUTH_TOKEN = 2,    /* GSSAPI tokens (Negotiate) */
    SP_AUTH_GROUPS = 4,   /* the groups of a user who is known by other proof */
};

/* One thing that was done on the way to a verdict, for `login`, `why` and `ctl trace`. Borrowed for
 * the call. */
struct sp_auth_step {
    const char *what;    /* short and fixed: "connect", "tls", "service_bind", "search", "bind",
                            "groups", "accept" ... */
    const char *server;  /* who was asked, as configured; NULL: nobody outside */
    const char *detail;  /* what was asked, in words: a filter as sent, a DN, a token's kind; NULL:
                            nothing to add */
    const char *outcome; /* what came back, in words */
    uint64_t micros;     /* how long it took */
};

/* Where steps are told. Loop thread only; valid until `done` fires or cancel returns. */
struct sp_auth_tracer {
    void (*step)(struct sp_auth_tracer *tracer, const struct sp_auth_step *step);
};

/* What is asked. Everything it points to is borrowed for the call of start(): a plugin copies what
 * it keeps, and wipes its copy of the password. */
struct sp_auth_input {
    enum sp_auth_ability ask; /* exactly one */
    /* PASSWORD, GROUPS: the name as ops->name_of() gave it; UTF-8, no control characters */
    struct sp_span user;
    /* GROUPS: the proven principal (alice@CORP.TEST); absent when there is none */
    struct sp_span principal;
    struct sp_span password;         /* PASSWORD: never empty, no NUL; UTF-8 */
    struct sp_span token;            /* TOKEN: the first token, decoded */
    struct sp_span channel_bindings; /* TOKEN: RFC 5929 "tls-server-end-point:<hash>"; absent on a
                                        clear listener */
    const char *client;              /* the client's address in text, for the log */
    const char *id;                  /* the exchange's id, for the log */
    struct sp_auth_tracer *tracer;   /* NULL: nobody listens */
};

/* What came out. Borrowed for the length of the done callback. */
struct sp_auth_result {
    enum sp_verdict verdict;
    /* ALLOW, ACCOUNT: the name for rules and logs, as ops->name_of() would give it */
    struct sp_span user;
    struct sp_span principal; /* ALLOW by a ticket: alice@CORP.TEST; else absent */
    const char *mech;         /* TOKEN: "krb5" or "ntlmssp"; static; NULL when not known (yet) */
    /* ALLOW: each group by its name and, where it has one, also by its whole DN */
    const struct sp_span *groups;
    size_t groups_len;
    struct sp_span token; /* MORE: goes to the client; ALLOW: the acceptor's final token, absent
                             when there is none */
    const char *reason;   /* static or owned by the plugin for its life; short words for log and
                             people: "password expired", "wrong password", "no server answers" */
    /* more words for the log only, borrowed; NULL: nothing to add. No secrets. */
    const char *detail;
    const char *server;    /* which server answered, borrowed; NULL: none */
    bool denied_principal; /* DENY by a ticket that is sound but whose realm may not come in: 403,
                              not 407 */
};

struct sp_auth_config;  /* the plugin's own, see above */
struct sp_auth_backend; /* the plugin's own, see above */

/* The base of a plugin's operation: embed it, and go back with sp_container_of. */
struct sp_auth_op {
    struct sp_auth_backend *backend;
};

typedef void (*sp_auth_done_cb)(void *owner, const struct sp_auth_result *result);
typedef void (*sp_auth_closed_cb)(void *owner);

/* A job that may block. Embed it; run() is called on a pool thread, then done() on the loop thread
 * that submitted it. It cannot be taken back: whoever cancels marks its own struct as detached and
 * frees it in done(). run() owns copies of all it touches. */
struct sp_auth_work {
    void (*run)(struct sp_auth_work *work);
    void (*done)(struct sp_auth_work *work);
    bool waits;        /* mostly for somebody outside, such as a server that may hang: it is run
                          where it keeps no job from running that only computes */
    void *reserved[7]; /* the host's */
};

/* A counter or a gauge, kept by the host and shown at /metrics. Add from any thread. */
struct sp_auth_metric;

enum sp_metric_kind { SP_METRIC_COUNTER, SP_METRIC_GAUGE };

/* What the host lends. One per config (loop == NULL; only log and metric may be called) and one per
 * backend. Valid as long as the config or backend it was given to. */
struct sp_auth_host {
    uint32_t abi_version;
    const char *backend; /* the block's title in the configuration */
    /* The worker's loop. The host runs it without waiting, when it has an event, a timer that is
     * due, an active idle handle or a handle to close; prepare and check handles run only then. */
    uv_loop_t *loop;

    /* A line in the error log. Untrusted text is escaped by the host. Any thread. */
    void (*log)(const struct sp_auth_host *host, enum sp_log_level level, const char *fmt, ...)
        SP_PRINTF(3, 4);

    /* Queue a job for the bounded pool. SP_ERR_FULL: no room; answer UNAVAILABLE, never wait. Loop
     * thread. */
    enum sp_err (*work)(const struct sp_auth_host *host, struct sp_auth_work *work) SP_MUST_CHECK;

    /* The metric `sallyport_<name>{backend="…",<labels>}`, made at the first call; labels such as
     * `server="ldaps://dc1",state="idle"`. NULL: out of memory (add() takes NULL). Not for a hot
     * path: keep it. */
    struct sp_auth_metric *(*metric)(const struct sp_auth_host *host, enum sp_metric_kind kind,
                                     const char *name, const char *labels);
    void (*add)(struct sp_auth_metric *metric, int64_t delta);
};

/* Why configure() refused: the option at fault, so that the core can name file and line. */
struct sp_auth_fault {
    const char *option; /* a name in the table; NULL: the block as a whole */
    char text[512];     /* what is wrong and what to do, NUL-terminated */
};

/* One line of `sallyport doctor`. Borrowed for the call. */
struct sp_auth_finding {
    bool well;
    const char *what;   /* what was looked at */
    const char *state;  /* what was found */
    const char *remedy; /* what to do; NULL when well */
};

/* Where findings go. Any one thread at a time. */
struct sp_auth_findings {
    void (*add)(struct sp_auth_findings *findings, const struct sp_auth_finding *finding);
};

/* How one of those who are asked does just now. Borrowed for the call. */
struct sp_auth_sight {
    const char *server; /* as configured */
    bool well;          /* it can be asked */
    const char *words;  /* what is wrong; NULL when well. No secrets. */
    uint64_t micros;    /* how long its answer took, or was waited for */
};

/* Where sights go, and whether they are still wanted. */
struct sp_auth_looking {
    void (*seen)(struct sp_auth_looking *looking, const struct sp_auth_sight *sight);
    const atomic_bool *stop; /* true: end early */
};

/* What the engine needs to know of a config. */
struct sp_auth_traits {
    const char *groups_from; /* name of a backend with SP_AUTH_GROUPS that is asked after ALLOW; ""
                                or NULL: none */
    bool per_request; /* TOKEN: every request needs a token of its own (persist = "request") */
};

struct sp_auth_backend_ops {
    uint32_t abi_version; /* SP_AUTH_ABI_VERSION */
    uint32_t ops_size;    /* sizeof(struct sp_auth_backend_ops) */
    const char *name;     /* as in plugin = "name" */
    const char *summary;  /* one line for the manual page */
    unsigned abilities;   /* enum sp_auth_ability */

    const struct sp_option *options; /* ends with SP_OPT_END */
    size_t options_size;             /* of the struct the rows point into */

    /* Check the options and make what all workers share. May block (it runs at start, on reload and
     * in `check`, never on a worker). `options` stays valid until release(). On failure fills
     * `fault`. */
    enum sp_err (*configure)(const void *options, const struct sp_auth_host *host,
                             struct sp_auth_config **config_out,
                             struct sp_auth_fault *fault) SP_MUST_CHECK;
    /* All backends made from it are closed. Sets *config to NULL. */
    void (*release)(struct sp_auth_config **config);
    /* Fill `traits`; what it points to lives as long as the config. */
    void (*traits)(const struct sp_auth_config *config, struct sp_auth_traits *traits);
    /* A watched file has changed. Runs on a pool thread, may block, and must not disturb workers
     * that use the config: a bad file changes nothing, is logged, and fills `fault`, whose words
     * stand on the status page until a good one is taken up. NULL: nothing is watched. */
    enum sp_err (*refresh)(struct sp_auth_config *config,
                           struct sp_auth_fault *fault) SP_MUST_CHECK;

    /* What this backend calls the person who typed `typed`: lower case, a listed domain taken off.
     * Writes at most `cap` bytes, sets *len_out. SP_ERR_NOT_FOUND: a name that this backend cannot
     * know; SP_ERR_INVALID: no name at all. Pure and quick; any thread. NULL in a backend without
     * PASSWORD. */
    enum sp_err (*name_of)(const struct sp_auth_config *config, struct sp_span typed, char *out,
                           size_t cap, size_t *len_out);

    /* A backend for one worker. Does not wait for any server: it opens connections when they are
     * needed. */
    enum sp_err (*open)(struct sp_auth_config *config, const struct sp_auth_host *host,
                        struct sp_auth_backend **backend_out) SP_MUST_CHECK;
    /* No op is left when this is called, never inside `done`. Closes handles; `closed` fires once,
     * in a later turn, when nothing of the backend is left on the loop. Sets *backend to NULL. */
    void (*close)(struct sp_auth_backend **backend, sp_auth_closed_cb closed, void *owner);

    /* Begin one authentication. On SP_OK *op_out is yours until free or cancel, and `done` will
     * fire once. */
    enum sp_err (*start)(struct sp_auth_backend *backend, const struct sp_auth_input *input,
                         sp_auth_done_cb done, void *owner,
                         struct sp_auth_op **op_out) SP_MUST_CHECK;
    /* The next leg, only after MORE. `token` is borrowed; `tracer` may be NULL. `done` fires once
     * more. */
    enum sp_err (*step)(struct sp_auth_op *op, struct sp_span token,
                        struct sp_auth_tracer *tracer) SP_MUST_CHECK;
    /* While an answer is awaited: `done` will not fire, the op frees itself when it can. Sets *op
     * to NULL. */
    void (*cancel)(struct sp_auth_op **op);
    /* At rest (after done): gone at once. May be called inside done. Sets *op to NULL. */
    void (*free)(struct sp_auth_op **op);

    /* Look at everything that can be wrong and say what to do (`sallyport doctor`). May block, runs
     * outside any worker. NULL: nothing to look at. Returns how many findings were not well. */
    unsigned (*diagnose)(struct sp_auth_config *config, struct sp_auth_findings *findings);

    /* Can those who are asked be asked now? Tells of each of them once, whether people come or not:
     * every few seconds while something is wrong, else some times a minute. Runs on a pool thread,
     * may block, ends within a bound of its own, proves no person's password and disturbs no
     * worker. NULL: nobody outside is asked, so this backend can always answer. */
    void (*look)(struct sp_auth_config *config, struct sp_auth_looking *looking);
};

#endif
