/* The loop side of the ldap backend, shared by its files alone. Everything here belongs to one
 * worker and is touched on its loop thread only.
 *
 *   backend   servers, the clock, the logins that are answered   ldap_backend.c
 *   server    its connections, who waits for one, is it well?    ldap_server.c, ldap_breaker.c,
 *                                                                ldap_renew.c
 *   conn      one wire on the loop, what is in flight on it      ldap_conn.c, ldap_conn_dial.c
 *   login     one question: find, bind, groups                   ldap_login*.c, ldap_groups.c
 *
 * Who calls whom: a login submits itself to a server; the server gives it a conn; the conn delivers
 * the answer, or its loss, to the login; the login goes on, perhaps to another server. A finished
 * login is put on the backend's list and told to its owner in a later turn, so nothing of the
 * owner's ever runs inside these calls. */
#ifndef SP_LDAP_PRIV_H
#define SP_LDAP_PRIV_H

#include "backends/ldap/ldap_config.h"
#include "backends/ldap/ldap_dial.h"
#include "backends/ldap/ldap_pace.h"
#include "util/buf.h"
#include "util/list.h"
#include "util/secret.h"

#include <uv.h>

#define SP_LDAP_QUEUE_MAX    1024 /* logins that wait at one server; more are told "overloaded" */
#define SP_LDAP_FLIGHTS_MAX  64   /* searches in flight: slapd ends a session with 100 pending */
#define SP_LDAP_DIALS_MAX    4    /* at once to one server, so that one cannot fill the work pool */
#define SP_LDAP_CHASES_MAX   4    /* referrals followed at once by one worker, likewise */
#define SP_LDAP_GROUPS_MAX   10000
#define SP_LDAP_GROUPS_PAGE  500
#define SP_LDAP_PEOPLE_LIMIT 2 /* entries asked for: one is an answer, two are one too many */
#define SP_LDAP_NEVER        UINT64_MAX

struct sp_ldap_server;
struct sp_ldap_conn;
struct sp_ldap_login;

/* ---- metrics ---- */

enum sp_ldap_op {
    SP_LDAP_OP_CONNECT,
    SP_LDAP_OP_SERVICE_BIND,
    SP_LDAP_OP_SEARCH,
    SP_LDAP_OP_BIND,
    SP_LDAP_OP_GROUPS,
};
#define SP_LDAP_OPS 5

enum sp_ldap_outcome {
    SP_LDAP_OUTCOME_OK,
    SP_LDAP_OUTCOME_REFUSED, /* the directory said no: a wrong password, an account state */
    SP_LDAP_OUTCOME_ERROR,   /* it answered that it cannot */
    SP_LDAP_OUTCOME_TIMEOUT,
    SP_LDAP_OUTCOME_LOST,
};
#define SP_LDAP_OUTCOMES 5

enum sp_ldap_conn_state {
    SP_LDAP_CONN_DIALLING,
    SP_LDAP_CONN_IDLE,
    SP_LDAP_CONN_BUSY,
    SP_LDAP_CONN_CLOSING,
};
#define SP_LDAP_CONN_STATES 4

struct sp_ldap_metrics {
    const struct sp_auth_host *host;
    const char *server;
    struct sp_auth_metric *connections[SP_LDAP_CONN_STATES];
    struct sp_auth_metric *limit;                                     /* of busy ones, for binds */
    struct sp_auth_metric *operations[SP_LDAP_OPS][SP_LDAP_OUTCOMES]; /* made when first needed */
};

void sp_ldap_metrics_init(struct sp_ldap_metrics *metrics, const struct sp_auth_host *host,
                          const char *server);
void sp_ldap_metrics_conn(struct sp_ldap_metrics *metrics, enum sp_ldap_conn_state state,
                          int64_t delta);
void sp_ldap_metrics_limit(struct sp_ldap_metrics *metrics, int64_t delta);
void sp_ldap_metrics_count(struct sp_ldap_metrics *metrics, enum sp_ldap_op op,
                           enum sp_ldap_outcome outcome);

/* ---- backend ---- */

/* Owned by the core (open, close); freed when its last handle and its last dial are gone. */
struct sp_auth_backend {
    struct sp_auth_config *config;
    const struct sp_auth_host *host;
    uv_timer_t clock;      /* to the earliest deadline of anything */
    uint64_t clock_due_ms; /* SP_LDAP_NEVER: not running */
    uv_idle_t soon;        /* sends what wires hold and tells `answered`, in the next turn */
    struct sp_list answered;
    unsigned parts;  /* uv handles, dials and chases that are still out */
    unsigned chases; /* of referrals, on the work pool */
    unsigned chases_waiting_len;
    struct sp_list chases_waiting;
    bool closing;
    atomic_bool stop; /* read by dials on pool threads */
    sp_auth_closed_cb closed;
    void *closed_owner;
    uint64_t random; /* for jitter; nothing secret */
    size_t servers_len;
    struct sp_ldap_server *servers;
};

uint64_t sp_ldap_now_ms(const struct sp_auth_backend *backend);
/* Something falls due then: the clock will not be later. */
void sp_ldap_backend_wake_at(struct sp_auth_backend *backend, uint64_t due_ms);
void sp_ldap_backend_part_gone(struct sp_auth_backend *backend);
/* The first server, in order of preference, that is not in `tried` (a bit each) and may be asked.
 * Sets probes going on the way. NULL: none. */
struct sp_ldap_server *sp_ldap_backend_pick(struct sp_auth_backend *backend, uint32_t tried);
/* Is another server up that is not in `tried`? Who has failed a login is no help to it, however
 * well it stands in our books: it may have fallen this moment, and the one that fell before have
 * come back unseen. */
bool sp_ldap_backend_other_up(const struct sp_auth_backend *backend,
                              const struct sp_ldap_server *server, uint32_t tried);
/* There is something to send or to tell in the next turn, which will come at once. */
void sp_ldap_backend_soon(struct sp_auth_backend *backend);
void sp_ldap_backend_answered(struct sp_auth_backend *backend, struct sp_ldap_login *login);

/* ---- server ---- */

enum sp_ldap_server_state {
    SP_LDAP_SERVER_UP,      /* as far as is known */
    SP_LDAP_SERVER_DOWN,    /* not asked before retry_at_ms */
    SP_LDAP_SERVER_PROBING, /* one dial is out; logins come here only if no other server is up */
};

/* Lives in its backend's array. */
struct sp_ldap_server {
    struct sp_auth_backend *backend;
    const struct sp_ldap_uri *uri;
    unsigned index;
    enum sp_ldap_server_state state;
    unsigned faults;      /* in a row */
    uint64_t pause_ms;    /* of the breaker, this time */
    uint64_t down_ms;     /* since when, as the pause counts: with jitter */
    uint64_t fell_ms;     /* since when */
    uint64_t answered_ms; /* when it last said anything */
    enum sp_ldap_fault fault;
    char fault_words[320];
    struct sp_list conns; /* for binds, in every state but CLOSING */
    struct sp_list idle;  /* those at rest, the last used first */
    unsigned conns_len;
    unsigned dials;
    unsigned busy; /* conns that carry a bind */
    struct sp_ldap_pace pace;
    struct sp_ldap_conn *service; /* for searches; NULL: none */
    struct sp_ldap_conn *heir;    /* dialled to take its place while it serves; NULL: none */
    struct sp_ldap_conn *retired; /* has answers to come and takes no more; NULL: none */
    struct sp_list bind_queue;    /* of sp_ldap_login.link */
    struct sp_list search_queue;
    struct sp_ldap_login
        *pager; /* the one that reads pages: slapd keeps one such state a connection */
    unsigned queued;
    struct sp_ldap_metrics metrics;
};

void sp_ldap_server_init(struct sp_ldap_server *server, struct sp_auth_backend *backend,
                         unsigned index);
/* Closes every connection. No login is left. */
void sp_ldap_server_close(struct sp_ldap_server *server);
/* All of them; what was in flight has been taken away before. */
void sp_ldap_server_close_conns(struct sp_ldap_server *server);
/* The login waits here for a connection, at the end of its queue or in front. */
void sp_ldap_server_submit(struct sp_ldap_server *server, struct sp_ldap_login *login, bool first);
/* Out of the queue. */
void sp_ldap_server_withdraw(struct sp_ldap_server *server, struct sp_ldap_login *login);
/* Give waiting logins what is free, and dial where more is needed. */
void sp_ldap_server_pump(struct sp_ldap_server *server);
/* Deadlines that have passed are acted upon; returns when the next one falls. */
uint64_t sp_ldap_server_tick(struct sp_ldap_server *server, uint64_t now_ms);

/* ---- is a server well? ---- */

/* Is it time to look whether it is back, for a login that has tried those? */
bool sp_ldap_server_probe_due(const struct sp_ldap_server *server, uint32_t tried);
void sp_ldap_server_probe(struct sp_ldap_server *server);
/* It could not be reached, or broke off, or said that it cannot. May close the server's connections
 * and send all its logins elsewhere. `words` is copied. */
void sp_ldap_server_fault(struct sp_ldap_server *server, enum sp_ldap_fault fault,
                          const char *words);
/* It said something: it does not hang. */
void sp_ldap_server_heard(struct sp_ldap_server *server);
/* It answered what it was asked: whatever was wrong is over. */
void sp_ldap_server_well(struct sp_ldap_server *server);

/* ---- the service connection's succession ---- */

/* The heir takes the place of the service connection that stands. */
void sp_ldap_renew_heir_stands(struct sp_ldap_server *server);
/* There is no heir any more; the one that stands goes on, and another try is made later. */
void sp_ldap_renew_heir_failed(struct sp_ldap_server *server, const char *words);
/* Has the ticket of this service connection ended? Then `end` takes it out of service. */
bool sp_ldap_renew_ended(const struct sp_ldap_conn *conn);
void sp_ldap_renew_end(struct sp_ldap_server *server);
/* A retired one whose last answer has come is closed. */
void sp_ldap_renew_sweep(struct sp_ldap_server *server);
/* As sp_ldap_server_tick. */
uint64_t sp_ldap_renew_tick(struct sp_ldap_server *server, uint64_t now_ms);

/* ---- conn ---- */

/* Owned by its server; freed when its poll handle has closed, or its dial has come home. */
struct sp_ldap_conn {
    struct sp_ldap_server *server;
    enum sp_ldap_conn_state state;
    bool service; /* the service identity is bound: for searches, many at once */
    bool used;    /* has answered before: a loss now may only mean that it was idle too long */
    struct sp_list link;      /* server->conns */
    struct sp_list idle_link; /* server->idle */
    struct sp_ldap_wire *wire;
    uv_poll_t poll;
    int events;
    uint64_t idle_since_ms;
    uint64_t renew_at_ms;   /* service by Kerberos; SP_LDAP_NEVER otherwise */
    uint64_t ends_at_ms;    /* its ticket; likewise */
    bool renew_failed;      /* and that was told */
    struct sp_list flights; /* searches, by sp_ldap_login.link, the oldest first */
    unsigned flights_len;
    struct sp_ldap_login *login; /* whose bind is out; NULL also when its owner has gone */
    int bind_msgid;
    uint64_t bind_sent_ms;
    uint64_t bind_sent_ns; /* for the pace */
    uint64_t bind_due_ms;
};

/* Begin to dial. SP_ERR_FULL, SP_ERR_NOMEM. */
enum sp_err sp_ldap_conn_open(struct sp_ldap_server *server, bool service, bool prove,
                              struct sp_ldap_conn **conn_out) SP_MUST_CHECK;
/* Takes it off its server. What was in flight must have been taken away before. */
void sp_ldap_conn_close(struct sp_ldap_conn **conn);
/* The login's bind, or its search, goes out; SP_ERR_CLOSED: the connection is gone, and nothing was
 * sent; SP_ERR_INVALID: libldap does not take it. */
enum sp_err sp_ldap_conn_send_bind(struct sp_ldap_conn *conn,
                                   struct sp_ldap_login *login) SP_MUST_CHECK;
enum sp_err sp_ldap_conn_send_search(struct sp_ldap_conn *conn,
                                     struct sp_ldap_login *login) SP_MUST_CHECK;
/* What its wire holds goes out. The connection may be gone afterwards. */
void sp_ldap_conn_flush(struct sp_ldap_conn *conn);
/* The login no longer waits for what is in flight for it on its conn. */
void sp_ldap_conn_forget(struct sp_ldap_conn *conn, struct sp_ldap_login *login);
/* The connection broke with what was in flight. */
void sp_ldap_conn_lost(struct sp_ldap_conn *conn, const char *words);

#endif
