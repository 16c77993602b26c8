/* A worker's thread. Everything of it but the letters below is touched by that thread alone; a
 * letter belongs to whoever posted it until it is delivered. */
#include "app/worker.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct sp_app_worker {
    unsigned index;
    struct sp_loop *loop;
    struct sp_loop *main_loop;
    struct sp_auth_shared *shared;
    struct sp_trace *trace;
    struct sp_app_worker_events events;
    struct sp_log log;
    char log_fields[24];
    pthread_t thread;

    /* the worker's thread */
    struct sp_proxy *proxy;
    struct sp_proxy_snapshot *first; /* what it starts with; unref'ed when it has */

    struct sp_app_socket *sockets; /* to take up; fd -1: has been */
    size_t sockets_len;
    struct sp_proxy_snapshot *next; /* apply */
    bool apply_well;
    bool apply_posted; /* main thread */
    bool take;         /* settle */

    atomic_uint_least64_t drain_ms;
    bool drain_posted; /* main thread */
    bool hurry_posted; /* main thread */

    atomic_bool beat_posted;
    uint64_t beat_ms; /* main thread: of its clock */

    /* letters: to the worker, and to the main thread */
    struct sp_mail apply, settle, drain, hurry, beat;
    struct sp_mail up, applied, settled, ended;
};

/* ---- on the worker's thread ---- */

/* The main loop ends after all workers, so its mailbox is open. */
static void tell_main(struct sp_app_worker *worker, struct sp_mail *mail)
{
    enum sp_err err = sp_loop_post(worker->main_loop, mail);

    assert(err == SP_OK);
    (void)err;
}

static void close_sockets(struct sp_app_worker *worker)
{
    for (size_t i = 0; i < worker->sockets_len; i++)
        if (worker->sockets[i].fd >= 0)
            (void)close(worker->sockets[i].fd);
    free(worker->sockets);
    worker->sockets = NULL;
    worker->sockets_len = 0;
}

static bool open_listeners(struct sp_app_worker *worker)
{
    bool well = true;

    for (size_t i = 0; i < worker->sockets_len; i++) {
        struct sp_app_socket *socket = &worker->sockets[i];
        int fd = socket->fd;

        socket->fd = -1;
        if (sp_proxy_listen(worker->proxy, socket->listen, fd) != SP_OK) {
            sp_log_error(&worker->log, "event=listen_failed listener=%zu", socket->listen);
            well = false;
        }
    }
    close_sockets(worker);
    return well;
}

static void on_drained(void *owner)
{
    struct sp_app_worker *worker = owner;

    sp_proxy_free(&worker->proxy);
    sp_loop_stop(worker->loop);
}

static void drain_proxy(struct sp_app_worker *worker)
{
    uint64_t deadline = sp_loop_now_ms(worker->loop) +
                        atomic_load_explicit(&worker->drain_ms, memory_order_relaxed);

    if (worker->proxy != NULL)
        sp_proxy_drain(worker->proxy, deadline, on_drained, worker);
}

static void on_drain(struct sp_mail *mail)
{
    drain_proxy(sp_container_of(mail, struct sp_app_worker, drain));
}

static void on_hurry(struct sp_mail *mail)
{
    drain_proxy(sp_container_of(mail, struct sp_app_worker, hurry));
}

static void on_beat(struct sp_mail *mail)
{
    struct sp_app_worker *worker = sp_container_of(mail, struct sp_app_worker, beat);

    atomic_store_explicit(&worker->beat_posted, false, memory_order_release);
}

static void on_apply(struct sp_mail *mail)
{
    struct sp_app_worker *worker = sp_container_of(mail, struct sp_app_worker, apply);

    worker->apply_well = worker->proxy != NULL &&
                         sp_proxy_prepare(worker->proxy, worker->next) == SP_OK &&
                         open_listeners(worker);
    close_sockets(worker);
    sp_proxy_snapshot_unref(&worker->next);
    tell_main(worker, &worker->applied);
}

static void on_settle(struct sp_mail *mail)
{
    struct sp_app_worker *worker = sp_container_of(mail, struct sp_app_worker, settle);

    if (worker->proxy != NULL && worker->take)
        sp_proxy_commit(worker->proxy);
    else if (worker->proxy != NULL)
        sp_proxy_abandon(worker->proxy);
    tell_main(worker, &worker->settled);
}

static void on_listed(struct sp_session_listing *listing)
{
    struct sp_app_worker_list *list = sp_container_of(listing, struct sp_app_worker_list, listing);

    tell_main(list->worker, &list->answer);
}

static void on_list(struct sp_mail *mail)
{
    struct sp_app_worker_list *list = sp_container_of(mail, struct sp_app_worker_list, ask);

    if (list->worker->proxy != NULL)
        sp_proxy_list_sessions(list->worker->proxy, &list->listing);
    else
        tell_main(list->worker, &list->answer);
}

static bool start_proxy(struct sp_app_worker *worker)
{
    worker->proxy = sp_proxy_new(worker->loop, worker->first, worker->shared,
                                 sp_stats_of(worker->index), worker->trace, &worker->log);
    sp_proxy_snapshot_unref(&worker->first);
    if (worker->proxy == NULL) {
        sp_log_error(&worker->log, "event=worker_failed detail=\"the proxy cannot be set up\"");
        close_sockets(worker);
        return false;
    }
    return open_listeners(worker);
}

static void *thread_main(void *arg)
{
    struct sp_app_worker *worker = arg;

    if (start_proxy(worker))
        tell_main(worker, &worker->up);
    else if (worker->proxy != NULL)
        sp_proxy_drain(worker->proxy, 0, on_drained, worker);
    else
        sp_loop_stop(worker->loop);
    sp_loop_run(worker->loop);
    tell_main(worker, &worker->ended);
    return NULL;
}

/* ---- on the main thread ---- */

static void on_up(struct sp_mail *mail)
{
    struct sp_app_worker *worker = sp_container_of(mail, struct sp_app_worker, up);

    worker->events.up(worker->events.owner);
}

static void on_applied(struct sp_mail *mail)
{
    struct sp_app_worker *worker = sp_container_of(mail, struct sp_app_worker, applied);

    worker->apply_posted = false;
    worker->events.applied(worker->events.owner, worker->apply_well);
}

static void on_settled(struct sp_mail *mail)
{
    struct sp_app_worker *worker = sp_container_of(mail, struct sp_app_worker, settled);

    worker->events.settled(worker->events.owner);
}

static void on_list_answer(struct sp_mail *mail)
{
    struct sp_app_worker_list *list = sp_container_of(mail, struct sp_app_worker_list, answer);

    list->listed(list);
}

static void on_ended(struct sp_mail *mail)
{
    struct sp_app_worker *worker = sp_container_of(mail, struct sp_app_worker, ended);

    worker->events.ended(worker->events.owner);
}

/* This worker's. False: no memory. */
static bool take_sockets(struct sp_app_worker *worker, struct sp_app_sockets *sockets)
{
    struct sp_app_socket socket = {.worker = worker->index};

    worker->sockets = malloc((sockets->len + 1) * sizeof(*worker->sockets));
    if (worker->sockets == NULL)
        return false;
    while ((socket.fd = sp_app_sockets_take(sockets, worker->index, &socket.listen)) >= 0)
        worker->sockets[worker->sockets_len++] = socket;
    return true;
}

/* Signals are the main thread's. */
static bool start_thread(struct sp_app_worker *worker)
{
    sigset_t all, before;
    int status;

    sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    status = pthread_create(&worker->thread, NULL, thread_main, worker);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status == 0;
}

static void worker_destroy(struct sp_app_worker *worker)
{
    if (worker->first != NULL)
        sp_proxy_snapshot_unref(&worker->first);
    if (worker->next != NULL)
        sp_proxy_snapshot_unref(&worker->next);
    close_sockets(worker);
    if (worker->loop != NULL)
        sp_loop_free(&worker->loop);
    free(worker);
}

struct sp_app_worker *sp_app_worker_start(unsigned index, struct sp_loop *main_loop,
                                          struct sp_work_pool *pool,
                                          struct sp_proxy_snapshot *snapshot,
                                          struct sp_app_sockets *sockets,
                                          struct sp_auth_shared *shared, struct sp_trace *trace,
                                          const struct sp_log *log,
                                          const struct sp_app_worker_events *events)
{
    struct sp_app_worker *worker = calloc(1, sizeof(*worker));

    if (worker == NULL)
        return NULL;
    worker->index = index;
    worker->main_loop = main_loop;
    worker->shared = shared;
    worker->trace = trace;
    worker->events = *events;
    worker->apply.deliver = on_apply;
    worker->drain.deliver = on_drain;
    worker->hurry.deliver = on_hurry;
    worker->beat.deliver = on_beat;
    worker->up.deliver = on_up;
    worker->applied.deliver = on_applied;
    worker->settle.deliver = on_settle;
    worker->settled.deliver = on_settled;
    worker->ended.deliver = on_ended;
    snprintf(worker->log_fields, sizeof(worker->log_fields), "worker=%u", index);
    worker->log = (struct sp_log){.parent = log, .fields = worker->log_fields};
    worker->first = sp_proxy_snapshot_ref(snapshot);
    worker->loop = sp_loop_new(pool);
    if (worker->loop == NULL || !take_sockets(worker, sockets) || !start_thread(worker)) {
        worker_destroy(worker);
        return NULL;
    }
    return worker;
}

/* The loop may have ended meanwhile; then nothing is left to apply to. */
static bool post(struct sp_app_worker *worker, struct sp_mail *mail)
{
    return sp_loop_post(worker->loop, mail) == SP_OK;
}

void sp_app_worker_apply(struct sp_app_worker *worker, struct sp_proxy_snapshot *snapshot,
                         struct sp_app_sockets *sockets)
{
    assert(!worker->apply_posted);
    worker->apply_posted = true;
    worker->next = sp_proxy_snapshot_ref(snapshot);
    worker->apply_well = false;
    if (!take_sockets(worker, sockets) || !post(worker, &worker->apply)) {
        close_sockets(worker);
        sp_proxy_snapshot_unref(&worker->next);
        tell_main(worker, &worker->applied); /* in a later turn, like any other answer */
    }
}

void sp_app_worker_settle(struct sp_app_worker *worker, bool take)
{
    worker->take = take;
    if (!post(worker, &worker->settle))
        tell_main(worker, &worker->settled); /* in a later turn, like any other answer */
}

void sp_app_worker_drain(struct sp_app_worker *worker, uint64_t timeout_ms)
{
    atomic_store_explicit(&worker->drain_ms, timeout_ms, memory_order_relaxed);
    if (!worker->drain_posted) {
        worker->drain_posted = true;
        (void)post(worker, &worker->drain);
    } else if (!worker->hurry_posted) {
        worker->hurry_posted = true;
        (void)post(worker, &worker->hurry);
    }
}

void sp_app_worker_list(struct sp_app_worker *worker, struct sp_app_worker_list *list)
{
    list->worker = worker;
    list->listing.done = on_listed;
    list->ask.deliver = on_list;
    list->answer.deliver = on_list_answer;
    if (!post(worker, &list->ask))
        tell_main(worker, &list->answer); /* in a later turn, like any other answer */
}

void sp_app_worker_beat(struct sp_app_worker *worker)
{
    if (atomic_load_explicit(&worker->beat_posted, memory_order_acquire))
        return;
    worker->beat_ms = sp_loop_now_ms(worker->main_loop);
    atomic_store_explicit(&worker->beat_posted, true, memory_order_relaxed);
    if (!post(worker, &worker->beat))
        atomic_store_explicit(&worker->beat_posted, false, memory_order_relaxed);
}

uint64_t sp_app_worker_silent_ms(const struct sp_app_worker *worker)
{
    if (!atomic_load_explicit(&worker->beat_posted, memory_order_acquire))
        return 0;
    return sp_loop_now_ms(worker->main_loop) - worker->beat_ms;
}

void sp_app_worker_free(struct sp_app_worker **worker)
{
    struct sp_app_worker *gone = *worker;

    *worker = NULL;
    if (gone == NULL)
        return;
    (void)pthread_join(gone->thread, NULL);
    worker_destroy(gone);
}
