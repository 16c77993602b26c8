/* The server's life: set up what is shared, start the workers, wait, drain, take everything down
 * again in the opposite order. */
#include "app/server_priv.h"

#include "app/process.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define WATCH_MS      1000
#define WORK_QUEUE    1024
#define COMPUTING_MIN 2u /* threads: one long job shall not hold all others up */
#define WAITERS       16 /* threads: as many dials as four servers that hang may have */

#define NO_MEANS                                                                                  \
    "no memory, or no threads: look at what the unit allows (MemoryMax, TasksMax), or set fewer " \
    "workers"

static const char *const state_names[] = {"starting", "serving", "reloading", "draining", "ended"};

/* may_enter[from][to] */
static const bool may_enter[5][5] = {
    [SP_SERVER_STARTING] =
        {[SP_SERVER_SERVING] = true, [SP_SERVER_DRAINING] = true, [SP_SERVER_ENDED] = true},
    [SP_SERVER_SERVING] =
        {[SP_SERVER_RELOADING] = true, [SP_SERVER_DRAINING] = true, [SP_SERVER_ENDED] = true},
    [SP_SERVER_RELOADING] =
        {[SP_SERVER_SERVING] = true, [SP_SERVER_DRAINING] = true, [SP_SERVER_ENDED] = true},
    [SP_SERVER_DRAINING] = {[SP_SERVER_ENDED] = true},
};

void sp_server_enter(struct sp_server *server, enum sp_server_state next)
{
    assert(may_enter[server->state][next]);
    sp_log_debug(&server->log, "event=state what=server from=%s to=%s", state_names[server->state],
                 state_names[next]);
    server->state = next;
}

unsigned sp_server_workers(const struct sp_app_options *options)
{
    return options->workers > 0 ? (unsigned)options->workers : sp_process_cpus();
}

/* ---- watched files ---- */

static void run_watch(struct sp_work *work)
{
    struct sp_server *server = sp_container_of(work, struct sp_server, watch_work);

    sp_auth_plan_poll(server->watch_plan);
    sp_app_files_look(server->watch_files);
    sp_auth_plan_unref(&server->watch_plan);
    sp_app_files_unref(&server->watch_files);
    atomic_store_explicit(&server->watch_busy, false, memory_order_release);
}

static void on_watch(struct sp_timer *timer)
{
    struct sp_server *server = sp_container_of(timer, struct sp_server, watch_timer);

    sp_timer_start(server->loop, &server->watch_timer, WATCH_MS);
    if (atomic_load_explicit(&server->watch_busy, memory_order_acquire))
        return; /* a slow disk: the next look is soon enough */
    server->watch_plan = sp_auth_plan_ref(sp_proxy_snapshot_plan(server->snapshot));
    server->watch_files = sp_app_files_ref(server->files);
    server->watch_work = (struct sp_work){.run = run_watch};
    atomic_store_explicit(&server->watch_busy, true, memory_order_relaxed);
    if (sp_work_pool_run(server->pool, &server->watch_work) != SP_OK) {
        sp_auth_plan_unref(&server->watch_plan);
        sp_app_files_unref(&server->watch_files);
        atomic_store_explicit(&server->watch_busy, false, memory_order_relaxed);
    }
}

/* ---- the end ---- */

static void end(struct sp_server *server)
{
    sp_server_enter(server, SP_SERVER_ENDED);
    sp_timer_stop(&server->watch_timer);
    sp_server_vitals_close(server);
    sp_server_signals_close(server);
    sp_admin_close(&server->admin);
    sp_loop_stop(server->loop);
}

static void drain_workers(struct sp_server *server, uint64_t timeout_ms)
{
    for (unsigned i = 0; i < server->workers_len; i++)
        sp_app_worker_drain(server->workers[i], timeout_ms);
}

void sp_server_drain(struct sp_server *server)
{
    const struct sp_app_options *options = sp_app_options_of(
        sp_proxy_snapshot_config(server->snapshot));

    if (server->state == SP_SERVER_ENDED)
        return;
    if (server->state == SP_SERVER_DRAINING) {
        sp_log_warning(&server->log, "event=cut detail=\"asked twice: what is left is cut\"");
        drain_workers(server, 0);
        return;
    }
    sp_server_enter(server, SP_SERVER_DRAINING);
    sp_server_reload_ends(server);
    sp_process_tell("STOPPING=1\nSTATUS=Draining: requests and tunnels may finish");
    sp_log_info(&server->log, "event=draining timeout_ms=%llu",
                (unsigned long long)options->shutdown_timeout_ms);
    drain_workers(server, options->shutdown_timeout_ms);
}

/* ---- what workers say ---- */

static void log_listening(struct sp_server *server)
{
    size_t len;
    const struct sp_listen *listens = sp_proxy_snapshot_listens(server->snapshot, &len);

    for (size_t i = 0; i < len; i++)
        sp_log_info(&server->log, "event=listening listener=%s tls=%s", listens[i].title,
                    listens[i].tls != NULL ? "true" : "false");
}

static void on_up(void *owner)
{
    struct sp_server *server = owner;

    if (++server->workers_up < server->workers_len || server->state != SP_SERVER_STARTING)
        return;
    sp_server_enter(server, SP_SERVER_SERVING);
    log_listening(server);
    sp_log_info(&server->log, "event=ready workers=%u version=" SP_VERSION, server->workers_len);
    sp_server_tell_serving(server, "READY=1\n");
    sp_server_reload_again(server);
}

static void on_ended(void *owner)
{
    struct sp_server *server = owner;

    server->workers_ended++;
    if (server->state != SP_SERVER_DRAINING && server->state != SP_SERVER_ENDED) {
        server->failed = true;
        sp_log_error(&server->log, "event=worker_ended detail=\"a worker could not go on; "
                                   "sallyport ends\"");
        sp_server_drain(server);
    }
    if (server->workers_ended == server->workers_len && server->state == SP_SERVER_DRAINING)
        end(server);
}

/* ---- setting up and taking down ---- */

static enum sp_err start_workers(struct sp_server *server, struct sp_app_sockets *sockets)
{
    struct sp_app_worker_events events = {.up = on_up,
                                          .applied = sp_server_on_applied,
                                          .settled = sp_server_on_settled,
                                          .ended = on_ended,
                                          .owner = server};
    unsigned wanted = sockets->workers;

    server->workers = calloc(wanted, sizeof(struct sp_app_worker *));
    if (server->workers == NULL)
        return SP_ERR_NOMEM;
    for (unsigned i = 0; i < wanted; i++) {
        server->workers[i] = sp_app_worker_start(
            i, server->loop, server->pool, server->snapshot, sockets, &server->shared,
            sp_trace_of(server->traces, i), &server->log, &events);
        if (server->workers[i] == NULL)
            return SP_ERR_NOMEM;
        server->workers_len = i + 1;
    }
    return SP_OK;
}

static enum sp_err set_up(struct sp_server *server, unsigned workers)
{
    const struct sp_config *config = sp_proxy_snapshot_config(server->snapshot);
    unsigned cpus = sp_process_cpus();

    /* more threads than processors would only meet at the locks of the Kerberos libraries */
    server->pool = sp_work_pool_new(cpus > COMPUTING_MIN ? cpus : COMPUTING_MIN, WAITERS,
                                    WORK_QUEUE);
    if (server->pool == NULL)
        return SP_ERR_NOMEM;
    server->loop = sp_loop_new(server->pool);
    if (server->loop == NULL)
        return SP_ERR_NOMEM;
    server->traces = sp_trace_book_new(workers, sp_server_on_traced, server);
    if (server->traces == NULL)
        return SP_ERR_NOMEM;
    if (sp_auth_shared_init(&server->shared, sp_config_one(config, "cache")->options,
                            sp_config_one(config, "guard")->options) != SP_OK)
        return SP_ERR_NOMEM;
    server->files = sp_app_files_new(sp_proxy_snapshot_config(server->snapshot));
    if (server->files == NULL)
        return SP_ERR_NOMEM;
    return sp_server_figures_register(server);
}

static void take_down(struct sp_server *server)
{
    for (unsigned i = 0; i < server->workers_len; i++)
        sp_app_worker_free(&server->workers[i]);
    free(server->workers);
    if (server->loop != NULL)
        sp_loop_free(&server->loop);
    if (server->pool != NULL)
        sp_work_pool_free(&server->pool); /* waits for a look at watched files */
    sp_trace_book_free(&server->traces);
    sp_auth_shared_fini(&server->shared);
    if (server->next != NULL)
        sp_proxy_snapshot_unref(&server->next);
    sp_proxy_snapshot_unref(&server->snapshot);
    sp_app_files_unref(&server->files);
    sp_app_files_unref(&server->next_files);
    sp_config_words_unref(&server->started);
}

static void tell_no_start(struct sp_server *server, const char *why)
{
    server->failed = true;
    sp_log_error(&server->log, "event=start_failed detail=\"%s\"", why);
}

static void tell_no_admin(struct sp_server *server)
{
    const struct sp_config_block *admin = sp_config_one(sp_proxy_snapshot_config(server->snapshot),
                                                        "admin");

    server->failed = true;
    sp_log_error(&server->log,
                 "event=start_failed detail=\"%s:%u: its socket or address cannot be opened: the "
                 "line before says why\"",
                 admin->file, admin->line);
}

/* False: told. */
static bool start(struct sp_server *server, struct sp_app_sockets *sockets)
{
    if (sp_server_signals_open(server) != SP_OK || sp_server_vitals_open(server) != SP_OK)
        tell_no_start(server, NO_MEANS);
    else if (sp_server_control_open(server) != SP_OK)
        tell_no_admin(server);
    else if (start_workers(server, sockets) != SP_OK)
        tell_no_start(server, NO_MEANS);
    return !server->failed;
}

/* The loop runs even if not all could be started: those that were have to end on it. */
static void serve(struct sp_server *server, struct sp_app_sockets *sockets)
{
    if (start(server, sockets))
        sp_timer_start(server->loop, &server->watch_timer, WATCH_MS);
    else if (server->workers_len > 0)
        sp_server_drain(server);
    else
        end(server);
    sp_loop_run(server->loop);
}

bool sp_server_run(struct sp_app_loader *loader, struct sp_proxy_snapshot **snapshot,
                   struct sp_app_sockets *sockets)
{
    struct sp_server server = {
        .state = SP_SERVER_STARTING,
        .loader = loader,
        .snapshot = *snapshot,
        .started = sp_config_words_ref(sp_proxy_snapshot_config(*snapshot)),
        .traced_posted = ATOMIC_FLAG_INIT,
        .started_wall_ms = sp_clock_wall_ms(&sp_clock_system),
        .loaded_wall_ms = sp_clock_wall_ms(&sp_clock_system),
    };

    *snapshot = NULL;
    sp_timer_init(&server.watch_timer, on_watch);
    sp_list_init(&server.askers);
    if (set_up(&server, sockets->workers) == SP_OK) {
        serve(&server, sockets);
        sp_log_info(&server.log, "event=ended well=%s", server.failed ? "false" : "true");
    } else {
        tell_no_start(&server, NO_MEANS);
    }
    take_down(&server);
    return !server.failed;
}
