/* Inside the server: its one struct, shared by server.c (life), signals.c and reload.c. */
#ifndef SP_APP_SERVER_PRIV_H
#define SP_APP_SERVER_PRIV_H

#include "admin/admin.h"
#include "app/files.h"
#include "app/server.h"
#include "app/worker.h"
#include "net/loop.h"
#include "net/work.h"

#include <stdatomic.h>
#include <uv.h>

#define SP_SERVER_SIGNALS    4
#define SP_SERVER_FAULTS_MAX 3072u /* of a refused reload; the log has all */

enum sp_server_state {
    SP_SERVER_STARTING,  /* workers set up their proxies */
    SP_SERVER_SERVING,   /* all of them are up */
    SP_SERVER_RELOADING, /* workers take up a new snapshot */
    SP_SERVER_DRAINING,  /* nothing new is accepted */
    SP_SERVER_ENDED,     /* no worker is left */
};

enum sp_server_reload_end {
    SP_SERVER_RELOAD_OK,
    SP_SERVER_RELOAD_REFUSED,    /* a fault in it: nothing has changed */
    SP_SERVER_RELOAD_INCOMPLETE, /* a worker had no means to take it up, so none did */
    SP_SERVER_RELOAD_ENDS
};

/* On sp_server_run's stack. */
struct sp_server {
    enum sp_server_state state;
    struct sp_app_loader *loader;
    struct sp_proxy_snapshot *snapshot; /* the newest */
    struct sp_proxy_snapshot *next;     /* workers get it ready; NULL: none */
    struct sp_app_files *next_files;
    struct sp_config *started; /* its words: what needs a restart is as it says */
    struct sp_log log;

    struct sp_loop *loop;
    struct sp_work_pool *pool;
    struct sp_auth_shared shared;
    struct sp_trace_book *traces;
    struct sp_mail traced; /* somebody who follows has something to read */
    atomic_flag traced_posted;
    struct sp_app_worker **workers;
    unsigned workers_len;   /* started */
    unsigned workers_up;    /* serve, or did */
    unsigned workers_ended; /* are no more */
    bool failed;            /* a worker could not start, or ended unasked */

    unsigned replies_due;  /* of workers that take up a snapshot */
    bool apply_failed;     /* one of them could not */
    bool reload_again;     /* HUP came meanwhile */
    struct sp_list askers; /* of a reload, who wait for what comes of it */
    uint64_t reloads[SP_SERVER_RELOAD_ENDS];
    enum sp_server_reload_end last_reload;
    uint64_t reload_wall_ms; /* when that was; 0: never */
    uint64_t started_wall_ms;
    uint64_t loaded_wall_ms;                  /* when the configuration that serves was read */
    char reload_faults[SP_SERVER_FAULTS_MAX]; /* of the last one; "": it was not for a fault */
    struct sp_app_files *files;               /* of the snapshot */
    unsigned certificates_worn;               /* as was last told */

    uv_signal_t signals[SP_SERVER_SIGNALS];
    unsigned signals_open;
    unsigned gatherings;    /* of sessions, under way */
    struct sp_admin *admin; /* NULL: none was asked for, or it could not be */

    struct sp_server_vitals *vitals; /* vitals.c's own */

    struct sp_timer watch_timer;
    struct sp_work watch_work; /* looks at watched files; one at a time */
    struct sp_auth_plan *watch_plan;
    struct sp_app_files *watch_files;
    atomic_bool watch_busy;
};

/* ---- server.c ---- */
void sp_server_enter(struct sp_server *server, enum sp_server_state next);
/* Begins, or hurries, the end. */
void sp_server_drain(struct sp_server *server);

/* ---- signals.c ---- */
enum sp_err sp_server_signals_open(struct sp_server *server) SP_MUST_CHECK;
/* From here on to the end of the process no signal does anything: it is ending already. */
void sp_server_signals_close(struct sp_server *server);

/* ---- control.c ---- */
/* The admin listener and the control socket. SP_ERR_IO: told in the log. */
enum sp_err sp_server_control_open(struct sp_server *server) SP_MUST_CHECK;

/* Any worker's thread: those who follow decisions have something to read. */
void sp_server_on_traced(void *owner);

/* ---- vitals.c ---- */
enum sp_err sp_server_vitals_open(struct sp_server *server) SP_MUST_CHECK;
/* Its loop waits for what is under way. */
void sp_server_vitals_close(struct sp_server *server);
/* What `systemctl status` shows of who serves, after other lines for the service manager. */
void sp_server_tell_serving(const struct sp_server *server, const char *before);
/* As struct sp_admin_events has them; `words` of the first may be NULL. */
bool sp_server_is_ready(void *owner, struct sp_buf *words);
bool sp_server_is_alive(void *owner, struct sp_buf *words);

/* ---- overview.c ---- */
void sp_server_overview(void *owner, struct sp_overview *overview);

/* ---- figures.c ---- */
/* The metrics of what is the server's own. Called when all of it stands. */
enum sp_err sp_server_figures_register(struct sp_server *server) SP_MUST_CHECK;

/* ---- upkeep.c ---- */
void sp_server_troubles(const struct sp_server *server, struct sp_overview *overview);
/* Now and then: the log hears of those that end. */
void sp_server_certificates_tell(struct sp_server *server);
enum sp_err sp_server_upkeep_register(struct sp_server *server) SP_MUST_CHECK;

/* ---- reload.c ---- */
/* Reads everything anew. A fault is logged and changes nothing. */
void sp_server_reload(struct sp_server *server);
/* The same, for somebody who waits: as struct sp_admin_events has it. */
void *sp_server_reload_for(struct sp_server *server, struct sp_admin_conn *asker,
                           struct sp_buf *words);
void sp_server_reload_forget(struct sp_server *server, void *reload);
/* One that was put off, if there is one. */
void sp_server_reload_again(struct sp_server *server);
/* Nothing comes of it any more: the server ends. */
void sp_server_reload_ends(struct sp_server *server);
/* A worker is, or is not, ready to take up the snapshot. */
void sp_server_on_applied(void *owner, bool well);
/* It has taken it up, or let go of it. */
void sp_server_on_settled(void *owner);

#endif
