/* The insides of the authentication room: plan, engine, questions, handshakes. For src/auth and its
 * unit tests only. */
#ifndef SP_AUTH_AUTH_PRIV_H
#define SP_AUTH_AUTH_PRIV_H

#include "auth/auth.h"
#include "auth/cache.h"
#include "auth/credential.h"
#include "auth/flight.h"
#include "auth/guard.h"
#include "util/secret.h"
#include "util/span.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#define SP_AUTH_NAME_MAX     512u /* what name_of may write: domains and UTF-8 make names longer */
#define SP_AUTH_RETRY_S      5u   /* Retry-After while no directory answers */
#define SP_AUTH_WAIT_MS      60000u /* no backend is waited for longer, whatever its own limits */
#define SP_AUTH_BACKENDS_MAX 64u

/* ---- host: what a plugin may call (host.c) ---- */

/* Embedded in a plan's or an engine's backend; lives as long. */
struct sp_auth_lent {
    struct sp_auth_host host;
    struct sp_loop *loop; /* NULL: for a config */
    struct sp_log log;
    char fields[160]; /* log's: backend="..." */
};
void sp_auth_lent_init(struct sp_auth_lent *lent, const char *backend, struct sp_loop *loop,
                       const struct sp_log *log);

/* ---- plan ---- */

/* What stat(2) tells two files apart by. Changed owners and modes count: a file that could not be
 * read may be readable now. */
struct sp_file_mark {
    struct timespec mtime, ctime;
    off_t size;
    ino_t inode;
};

/* A file that the core watches for a backend. */
struct sp_plan_watch {
    const struct sp_option *option;
    const char *path;         /* the options' */
    struct sp_file_mark mark; /* poll's alone, */
    bool changed;             /* as is this */
    bool refused;             /* under the plan's lock: it is not what serves */
    int missing;              /* under the plan's lock: errno of the last look; 0: it is there */
};

struct sp_plan_backend {
    const char *name; /* the block's title */
    const struct sp_config_block *block;
    const struct sp_auth_backend_ops *ops;
    struct sp_auth_config *config;
    struct sp_auth_lent lent;
    struct sp_auth_traits traits;
    struct sp_plan_backend *groups_from; /* NULL: none */
    struct sp_stats_backend *series;
    uint64_t basic_family, groups_family; /* of verdict keys */
    struct sp_digest configured;          /* of all that the block says */
    _Atomic uint64_t basis;               /* of verdict keys, see basis.c */
    struct sp_plan_watch *watches;
    size_t watches_len;
    char refused[512];      /* under the plan's lock: why, of those that are */
    unsigned polls_refused; /* poll's alone: since that was last found */
    size_t index;
    bool used; /* by a scheme or for groups: engines open it */
};

/* The backends of one scheme, in the order asked. */
struct sp_plan_chain {
    struct sp_plan_backend **items;
    size_t len;
};

/* What one listener offers. The spans live as long as the plan. */
struct sp_plan_offer {
    bool schemes[SP_SCHEME_COUNT];
    struct sp_span challenges[SP_AUTH_CHALLENGES_MAX];
    size_t challenges_len;
};

/* Immutable after sp_auth_plan_new, but for the watches: what poll finds is under `lock`. */
struct sp_auth_plan {
    atomic_uint refs;
    pthread_mutex_t lock;
    struct sp_config *config;
    const struct sp_auth_options *options;
    struct sp_plan_backend *backends;
    size_t backends_len;
    struct sp_plan_chain negotiate;
    struct sp_plan_chain basic;
    char *basic_challenge;
    struct sp_plan_offer *offers; /* by listen_index */
    size_t offers_len;
};

/* `Basic realm="...", charset="UTF-8"`, for free(); NULL: out of memory. (challenge.c) */
char *sp_challenge_basic(const char *realm) SP_MUST_CHECK;
/* `Negotiate <base64>`, for free(); NULL: out of memory. */
char *sp_challenge_negotiate(struct sp_span token) SP_MUST_CHECK;
/* Fills offers from the listen blocks, with faults. (offer.c) */
enum sp_err sp_plan_offers_make(struct sp_auth_plan *plan,
                                struct sp_config_faults *faults) SP_MUST_CHECK;
enum sp_err sp_plan_watches_make(struct sp_plan_backend *backend) SP_MUST_CHECK;

/* ---- what a backend's answers rest on (basis.c) ---- */

/* Fills `configured` and `basis`, once the watches are made. */
enum sp_err sp_plan_basis_make(struct sp_plan_backend *backend) SP_MUST_CHECK;
/* What it would be with watched files as they are now; set once they have been taken up. */
uint64_t sp_plan_basis_now(const struct sp_plan_backend *backend);
void sp_plan_basis_set(struct sp_plan_backend *backend, uint64_t basis);
uint64_t sp_plan_basis(const struct sp_plan_backend *backend); /* any thread */

/* ---- engine ---- */

struct sp_engine_backend {
    const struct sp_plan_backend *plan;
    struct sp_auth_engine *engine;
    struct sp_auth_backend *handle;
    struct sp_auth_lent lent;
    bool silent; /* its last answer was "don't know": said once in the log */
};

/* One per worker and plan; its loop's thread only. Owned by the proxy's epoch until close, then by
 * itself. */
struct sp_auth_engine {
    uint32_t magic;
    struct sp_loop *loop;
    struct sp_auth_plan *plan;
    struct sp_auth_shared *shared;
    struct sp_stats *stats;
    const struct sp_log *log;
    struct sp_engine_backend *backends; /* as in the plan */
    struct sp_list logins;              /* flights that we lead */
    const struct sp_identity *held; /* of the last answer to a connection that carries nothing */
    unsigned busy;                  /* questions, handshakes and flights that are ours */
    unsigned open;                  /* backends not yet closed */
    bool closing;
    struct sp_soon soon;
    void (*closed)(void *owner);
    void *owner;
};
void sp_engine_hold(struct sp_auth_engine *engine);    /* one more that is under way */
void sp_engine_release(struct sp_auth_engine *engine); /* and one less: may end a closing engine */
struct sp_engine_backend *sp_engine_backend(struct sp_auth_engine *engine,
                                            const struct sp_plan_backend *backend);
/* The log line "does not answer" when a backend falls silent, and its end. */
void sp_engine_backend_heard(struct sp_engine_backend *backend,
                             const struct sp_auth_result *result);
enum sp_auth_count sp_auth_count_of(enum sp_verdict verdict);

/* ---- logins: flights that this engine leads (login.c) ---- */

/* Passes a login's steps on to the question that began it, as long as both are there. */
struct sp_login_relay {
    struct sp_auth_tracer tracer;
    struct sp_auth_tracer *to;        /* NULL: nobody listens (any more) */
    struct sp_login_relay **listener; /* where the question has its pointer to this; NULL: none */
};

/* What to ask of which backend. Borrowed for the call. */
struct sp_login_spec {
    enum sp_auth_ability ask; /* PASSWORD or GROUPS */
    struct sp_plan_backend *backend;
    const struct sp_verdict_key *key;
    struct sp_span user; /* as the backend's name_of gives it */
    struct sp_span password;
    const struct sp_identity *proven; /* GROUPS: by a ticket; without groups */
    const struct sp_addr *client;
    struct sp_span id;
    struct sp_span user_agent;
    struct sp_auth_tracer *tracer;
    struct sp_login_relay **relay; /* with a tracer: where the question keeps whom it listens to */
    bool strangers_count;          /* "unknown" ends the search: a wrong login of this client's */
};

enum sp_login_begun {
    SP_LOGIN_WAITING,  /* the waiter will be told */
    SP_LOGIN_ANSWERED, /* *outcome_out says it at once */
};
/* Join the flight under way for this key or lead one. `waiter` NULL: in the background, and the
 * outcome is nobody's. */
enum sp_login_begun sp_login_begin(struct sp_auth_engine *engine, const struct sp_login_spec *spec,
                                   struct sp_flight_waiter *waiter, struct sp_outcome *outcome_out);
/* Those that nobody waits for end now. */
void sp_logins_end_idle(struct sp_auth_engine *engine);
/* The listener goes: the login under way tells nobody from now on. */
void sp_login_unhear(struct sp_login_relay **relay);

/* ---- steps that the engine itself tells (tell.c) ---- */

/* `tracer` NULL: nobody listens; as are server and detail absent when NULL. */
void sp_tell(struct sp_auth_tracer *tracer, const char *what, const char *server,
             const char *detail, const char *fmt, ...) SP_PRINTF(5, 6);
void sp_tell_block(struct sp_auth_tracer *tracer, const struct sp_guard_block *block);
/* What a backend has answered; `micros` since it was asked. */
void sp_tell_verdict(struct sp_auth_tracer *tracer, const char *backend,
                     const struct sp_auth_result *result, uint64_t micros);

/* ---- connections, questions, handshakes ---- */

struct sp_handshake;

/* Owned by the session. */
struct sp_auth_conn {
    const struct sp_identity *pinned; /* by a finished handshake; NULL: none */
    const struct sp_identity *proven; /* pinned, as the ticket has it: with its own groups only */
    uint64_t pinned_ms;               /* when its groups were last known; 0: by grace only */
    uint64_t prover_basis, groups_basis; /* what they rested on */
    const struct sp_identity *held;      /* the last answer's */
    struct sp_handshake *handshake;      /* under way; NULL: none */
    char *said;                          /* the last answer's user, refused */
    char *token;                         /* the last answer's "Negotiate <token>" */
    size_t token_len;
    int64_t refusals; /* 407s in a row that refused credentials */
};
/* The connection's, made when there is none; NULL: out of memory. */
struct sp_auth_conn *sp_auth_conn_get(struct sp_auth_conn **slot);
void sp_auth_conn_unpin(struct sp_auth_conn *conn);
/* Keeps base64 of the token as conn->token. */
enum sp_err sp_auth_conn_keep_token(struct sp_auth_conn *conn, struct sp_span token) SP_MUST_CHECK;

/* A Basic credential on its way along the chain. Lives on the stack while answers come at once. */
struct sp_basic_walk {
    struct sp_span typed;
    struct sp_span password;
    size_t at;           /* in the chain */
    bool ready;          /* key and name are those of `at`, and nothing is kept for it */
    bool skipped;        /* a backend could not answer */
    bool overloaded;     /* for lack of room */
    const char *silence; /* why it could not, in its words; NULL: it has none */
    bool asked;          /* not from the cache alone */
    uint64_t age_ms;     /* of what the cache said last */
    const char *backend; /* the last one that was looked at or asked; NULL: none */
    struct sp_verdict_key key;
    size_t name_len;
    char name[SP_AUTH_NAME_MAX];
};

enum sp_ask_state {
    SP_ASK_BASIC,  /* waits for a flight along the chain */
    SP_ASK_LEG,    /* waits for a backend's answer to a token */
    SP_ASK_GROUPS, /* waits for a flight that brings groups */
    SP_ASK_LEFT,   /* cancelled; a letter is still on its way */
};

/* Owned by the engine until answered; the session keeps a pointer for cancel. */
struct sp_auth_ask {
    uint32_t magic;
    enum sp_ask_state state;
    struct sp_auth_engine *engine;
    struct sp_auth_conn **conn; /* the session's slot */
    sp_auth_answered_cb done;
    void *owner;
    struct sp_flight_waiter waiter;
    unsigned listen_index;
    struct sp_addr client;
    struct sp_auth_tracer *tracer;
    struct sp_login_relay *relay;     /* of the login that this question began; NULL: none */
    struct sp_span id;                /* into text */
    struct sp_span user_agent;        /* into text */
    struct sp_secret secret;          /* BASIC: the typed name, then the password */
    struct sp_basic_walk walk;        /* BASIC */
    struct sp_handshake *handshake;   /* LEG */
    const struct sp_identity *proven; /* GROUPS: by the ticket */
    const struct sp_plan_backend *prover;
    uint64_t prover_basis; /* GROUPS: what its proof rests on */
    bool by_pin; /* GROUPS: for a request without a token, whose connection has an identity */
    struct sp_verdict_key groups_key;
    char text[384];
};
/* A copy of the question, without its credential. NULL: out of memory. */
struct sp_auth_ask *sp_ask_new(struct sp_auth_engine *engine, struct sp_auth_conn **conn,
                               const struct sp_auth_question *q, sp_auth_answered_cb done,
                               void *owner, enum sp_ask_state state) SP_MUST_CHECK;
void sp_ask_free(struct sp_auth_ask **ask);
/* Answers, and frees the question first: the owner may do anything in `done`. */
void sp_ask_answer(struct sp_auth_ask *ask, const struct sp_auth_answer *answer);

/* Basic (basic.c) and Negotiate (negotiate.c, groups.c, pin.c): fill *answer; PENDING with
 * *ask_out. */
void sp_basic_ask(struct sp_auth_engine *engine, struct sp_auth_conn **conn,
                  const struct sp_auth_question *q, struct sp_span token, sp_auth_answered_cb done,
                  void *owner, struct sp_auth_answer *answer, struct sp_auth_ask **ask_out);
void sp_negotiate_ask(struct sp_auth_engine *engine, struct sp_auth_conn **conn,
                      const struct sp_auth_question *q, struct sp_span token,
                      sp_auth_answered_cb done, void *owner, struct sp_auth_answer *answer,
                      struct sp_auth_ask **ask_out);
/* A good verdict that is kept for this credential; nobody is asked. */
bool sp_basic_recall(struct sp_auth_engine *engine, struct sp_span token,
                     struct sp_outcome *outcome);
/* Has the connection an identity, and is the backend that proved it still there, configured as it
 * was then, and its scheme offered here? */
bool sp_negotiate_is_pinned(const struct sp_auth_engine *engine, unsigned listen_index,
                            const struct sp_auth_conn *conn);
/* Where the last of it is not so, the connection's identity ends. */
void sp_negotiate_check_pin(struct sp_auth_engine *engine, unsigned listen_index,
                            struct sp_auth_conn *conn);
/* A request without a header on a connection that has an identity. Its groups are looked at again
 * when they are older than the cache's ttl. */
void sp_negotiate_ask_pinned(struct sp_auth_engine *engine, struct sp_auth_conn **conn,
                             const struct sp_auth_question *q, sp_auth_answered_cb done,
                             void *owner, struct sp_auth_answer *answer,
                             struct sp_auth_ask **ask_out);
/* A ticket has proven `ask->proven`: find its groups, then finish. True: *answer is filled. */
bool sp_groups_find(struct sp_auth_ask *ask, struct sp_auth_answer *answer);
/* The end of a handshake that has proven an identity, with its groups; the outcome is taken over.
 */
void sp_negotiate_finish(struct sp_auth_ask *ask, struct sp_outcome *outcome,
                         struct sp_auth_answer *answer);
/* The handshake ends now, whatever its state; *handshake is NULL then. */
void sp_handshake_end(struct sp_handshake **handshake);
uint64_t sp_handshake_deadline_ms(const struct sp_handshake *handshake);

/* ---- answers (answer.c) ---- */

/* Who it is about, for the access line; spans outlive the answer or are copied into the conn. */
struct sp_answer_about {
    enum sp_scheme scheme;
    struct sp_span user;
    const char *backend; /* NULL: none */
    const char *mech;    /* static; NULL: none */
};
/* PASSED, as this identity, which stays the caller's. */
void sp_answer_identity(const struct sp_identity *identity, enum sp_auth_how how, uint64_t age_ms,
                        struct sp_auth_answer *answer);
/* PASSED; the outcome's reference moves to the connection or the engine. */
void sp_answer_pass(struct sp_auth_engine *engine, struct sp_auth_conn **conn,
                    struct sp_outcome *outcome, struct sp_auth_answer *answer);
/* A 407 for want of credentials, or because a scheme is not ours. */
void sp_answer_challenge(struct sp_auth_engine *engine, unsigned listen_index,
                         struct sp_auth_answer *answer);
/* A 407 that refuses credentials, or 403 `loop` when the row is too long. */
void sp_answer_refuse(struct sp_auth_engine *engine, struct sp_auth_conn **conn,
                      unsigned listen_index, const struct sp_answer_about *about, const char *why,
                      struct sp_auth_answer *answer);
/* The log line for an answer that ended a row of refusals: which credentials the last of them
 * refused, and why. */
void sp_answer_tell_loop(const struct sp_auth_engine *engine, struct sp_span id,
                         const struct sp_addr *from, struct sp_span user_agent,
                         const struct sp_auth_answer *answer);
/* 403, 429 and 503. */
void sp_answer_forbid(struct sp_auth_conn **conn, enum sp_reason reason,
                      const struct sp_answer_about *about, const char *why,
                      struct sp_auth_answer *answer);
void sp_answer_blocked(struct sp_auth_conn **conn, unsigned retry_after_s,
                       const struct sp_answer_about *about, const char *why,
                       struct sp_auth_answer *answer);
void sp_answer_unavailable(struct sp_auth_conn **conn, bool overloaded,
                           const struct sp_answer_about *about, const char *why,
                           struct sp_auth_answer *answer);
/* The acceptor's last token, where the connection has one: it goes along whatever the answer is. */
void sp_answer_final_token(const struct sp_auth_conn *conn, struct sp_auth_answer *answer);

#endif
