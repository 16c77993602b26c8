/* The loop's turn: libuv's events, the epoll set of sockets, timers, "soon" callbacks, hooks, and
 * the freeing of what was closed. Also the mailbox, the one door for other threads, and the end:
 * sp_loop_run returns when it was asked to stop and its owners have closed everything. */
#include "net/loop_priv.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

/* Events of sockets delivered in one turn. When there are more, libuv finds the epoll set still
 * readable in the next turn, after everybody else had theirs. */
#define EVENTS_PER_TURN 512
/* A soon callback may queue others (a dial that is done wakes an exchange, which wakes a stream):
 * that many rounds run in one turn. One that queues itself again has more to do than is fair, and
 * waits for the next turn, as does what is left after the last round; that turn comes at once. */
#define SOON_ROUNDS 16

/* ---- the turn ---- */

static void on_sockets(uv_poll_t *poll, int status, int readable)
{
    struct sp_loop *loop = poll->data;
    struct epoll_event events[EVENTS_PER_TURN];
    int len;

    (void)readable;
    if (status < 0)
        return;
    len = epoll_wait(loop->epoll_fd, events, EVENTS_PER_TURN, 0);
    for (int i = 0; i < len; i++) {
        struct sp_watch *watch = events[i].data.ptr;

        if (watch->on_events != NULL)
            watch->on_events(watch, events[i].events);
    }
}

static void run_soon(struct sp_loop *loop)
{
    struct sp_list round;
    struct sp_list *link;

    sp_list_init(&round);
    for (unsigned i = 0; i < SOON_ROUNDS && !sp_list_empty(&loop->soon); i++) {
        sp_list_move_all(&round, &loop->soon);
        while ((link = sp_list_shift(&round)) != NULL) {
            loop->running = sp_container_of(link, struct sp_soon, link);
            loop->running->run(loop->running);
        }
    }
    loop->running = NULL;
    sp_list_move_all(&loop->soon, &loop->later);
}

static void release_doomed(struct sp_loop *loop)
{
    while (loop->doomed != NULL) { /* a release may doom what it held */
        struct sp_doomed *doomed = loop->doomed;

        loop->doomed = doomed->next;
        doomed->release(doomed);
    }
}

/* Does anything of ours that libuv cannot see keep the loop going? */
static bool is_needed(struct sp_loop *loop)
{
    bool stop_asked;

    if (loop->held > 0 || !sp_list_empty(&loop->soon))
        return true;
    pthread_mutex_lock(&loop->lock);
    stop_asked = loop->stop_asked;
    pthread_mutex_unlock(&loop->lock);
    return !stop_asked || sp_wheel_next_ms(&loop->wheel) != UINT64_MAX;
}

static void on_after(uv_check_t *after)
{
    struct sp_loop *loop = after->data;

    loop->turns++;
    sp_loop_run_timers(loop);
    run_soon(loop);
    for (unsigned i = 0; i < loop->hooks_len; i++) {
        if (loop->hooks[i].run != NULL)
            loop->hooks[i].run(loop->hooks[i].owner);
    }
    release_doomed(loop);
}

static void on_awake(uv_idle_t *awake)
{
    (void)awake; /* being active is all it does */
}

/* Callbacks may wait that came too late for the turn's own drain (from libuv's timers, from closing
 * handles, beyond the last round): then libuv must look for events, but not sleep. */
static void on_before(uv_prepare_t *before)
{
    struct sp_loop *loop = before->data;

    if (!sp_list_empty(&loop->soon))
        uv_idle_start(&loop->awake, on_awake);
    else if (uv_is_active((const uv_handle_t *)&loop->awake))
        uv_idle_stop(&loop->awake);
    if (is_needed(loop))
        uv_ref((uv_handle_t *)&loop->mailbox);
    else
        uv_unref((uv_handle_t *)&loop->mailbox);
}

/* ---- letters ---- */

static struct sp_mail *take_mail(struct sp_loop *loop)
{
    struct sp_mail *first;

    pthread_mutex_lock(&loop->lock);
    first = loop->mail_first;
    loop->mail_first = NULL;
    loop->mail_last = NULL;
    pthread_mutex_unlock(&loop->lock);
    return first;
}

static void on_mail(uv_async_t *mailbox)
{
    struct sp_mail *mail = take_mail(mailbox->data);

    while (mail != NULL) {
        struct sp_mail *next = mail->next; /* the letter may be gone after its delivery */

        mail->deliver(mail);
        mail = next;
    }
}

/* The bell is rung under the lock: once it is let go, the loop may deliver this letter, end and be
 * freed, and then there is no bell any more. */
enum sp_err sp_loop_post(struct sp_loop *loop, struct sp_mail *mail)
{
    enum sp_err err = SP_OK;

    mail->next = NULL;
    pthread_mutex_lock(&loop->lock);
    if (loop->ended) {
        err = SP_ERR_CLOSED;
    } else if (loop->mail_last != NULL) {
        loop->mail_last->next = mail; /* whoever posted the first has rung */
        loop->mail_last = mail;
    } else {
        loop->mail_first = mail;
        loop->mail_last = mail;
        uv_async_send(&loop->mailbox);
    }
    pthread_mutex_unlock(&loop->lock);
    return err;
}

void sp_loop_stop(struct sp_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    loop->stop_asked = true;
    if (!loop->ended)
        uv_async_send(&loop->mailbox);
    pthread_mutex_unlock(&loop->lock);
}

/* ---- the small doors ---- */

uv_loop_t *sp_loop_uv(struct sp_loop *loop)
{
    return &loop->uv;
}

uint64_t sp_loop_now_ms(const struct sp_loop *loop)
{
    return uv_now(&loop->uv);
}

uint64_t sp_loop_now_us(const struct sp_loop *loop)
{
    struct timespec now;

    (void)loop;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
        return uv_hrtime() / 1000; /* cannot be: the clock is always there on Linux */
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

const struct sp_clock *sp_loop_clock(const struct sp_loop *loop)
{
    return &loop->clock;
}

void sp_soon_init(struct sp_soon *soon, void (*run)(struct sp_soon *soon))
{
    sp_list_init(&soon->link);
    soon->run = run;
}

void sp_loop_soon(struct sp_loop *loop, struct sp_soon *soon)
{
    if (sp_list_empty(&soon->link))
        sp_list_push(soon == loop->running ? &loop->later : &loop->soon, &soon->link);
}

void sp_soon_cancel(struct sp_soon *soon)
{
    sp_list_remove(&soon->link);
}

void sp_loop_doom(struct sp_loop *loop, struct sp_doomed *doomed)
{
    doomed->next = loop->doomed;
    loop->doomed = doomed;
}

void sp_loop_each_turn(struct sp_loop *loop, void (*run)(void *owner), void *owner)
{
    unsigned place = 0;

    while (place < loop->hooks_len && loop->hooks[place].run != NULL)
        place++; /* one that was left, or the next */
    assert(place < SP_LOOP_HOOKS_MAX);
    if (place == SP_LOOP_HOOKS_MAX)
        return;
    loop->hooks[place] = (struct sp_loop_hook){run, owner};
    if (place == loop->hooks_len)
        loop->hooks_len++;
}

void sp_loop_no_more_turns(struct sp_loop *loop, const void *owner)
{
    for (unsigned i = 0; i < loop->hooks_len; i++) {
        if (loop->hooks[i].owner == owner)
            loop->hooks[i].run = NULL; /* the place stays: a turn may be going through them */
    }
}

/* ---- the epoll set ---- */

static enum sp_err control(struct sp_loop *loop, int op, int fd, uint32_t events,
                           struct sp_watch *watch)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};

    if (epoll_ctl(loop->epoll_fd, op, fd, &event) == 0)
        return SP_OK;
    if (errno == ENOMEM)
        return SP_ERR_NOMEM;
    return errno == ENOSPC ? SP_ERR_FULL : SP_ERR_IO;
}

enum sp_err sp_loop_watch(struct sp_loop *loop, int fd, uint32_t events, struct sp_watch *watch)
{
    return control(loop, EPOLL_CTL_ADD, fd, events, watch);
}

enum sp_err sp_loop_rewatch(struct sp_loop *loop, int fd, uint32_t events, struct sp_watch *watch)
{
    return control(loop, EPOLL_CTL_MOD, fd, events, watch);
}

void sp_loop_unwatch(struct sp_loop *loop, int fd)
{
    enum sp_err err = control(loop, EPOLL_CTL_DEL, fd, 0, NULL);

    (void)err; /* already out: that is what was wanted */
}

void sp_loop_hold(struct sp_loop *loop)
{
    loop->held++;
}

void sp_loop_let_go(struct sp_loop *loop)
{
    assert(loop->held > 0);
    loop->held--;
}

/* ---- from beginning to end ---- */

static uint64_t clock_mono_ms(const struct sp_clock *clock)
{
    return uv_now(&sp_container_of(clock, const struct sp_loop, clock)->uv);
}

static uint64_t clock_wall_ms(const struct sp_clock *clock)
{
    (void)clock;
    return sp_clock_wall_ms(&sp_clock_system);
}

static void close_handle(uv_handle_t *handle, void *loop)
{
    (void)loop;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* Our own handles, each if it was begun: a handle has its `data` from then on. */
static void close_own_handles(struct sp_loop *loop)
{
    uv_handle_t *own[] = {(uv_handle_t *)&loop->sockets, (uv_handle_t *)&loop->mailbox,
                          (uv_handle_t *)&loop->tick,    (uv_handle_t *)&loop->before,
                          (uv_handle_t *)&loop->after,   (uv_handle_t *)&loop->awake};

    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (own[i]->data != NULL)
            close_handle(own[i], NULL);
    }
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

/* All but the mailbox are unreferenced: they serve the loop and are no reason for it to go on. */
static bool open_own_handles(struct sp_loop *loop)
{
    uv_loop_t *uv = &loop->uv;

    if (uv_async_init(uv, &loop->mailbox, on_mail) != 0)
        return false;
    loop->mailbox.data = loop;
    if (uv_poll_init(uv, &loop->sockets, loop->epoll_fd) != 0)
        return false;
    loop->sockets.data = loop;
    uv_timer_init(uv, &loop->tick);
    loop->tick.data = loop;
    uv_prepare_init(uv, &loop->before);
    loop->before.data = loop;
    uv_check_init(uv, &loop->after);
    loop->after.data = loop;
    uv_idle_init(uv, &loop->awake);
    loop->awake.data = loop;
    uv_unref((uv_handle_t *)&loop->sockets);
    uv_unref((uv_handle_t *)&loop->tick);
    uv_unref((uv_handle_t *)&loop->before);
    uv_unref((uv_handle_t *)&loop->after);
    uv_unref((uv_handle_t *)&loop->awake);
    uv_prepare_start(&loop->before, on_before);
    uv_check_start(&loop->after, on_after);
    return uv_poll_start(&loop->sockets, UV_READABLE, on_sockets) == 0;
}

static void loop_destroy(struct sp_loop *loop)
{
    close(loop->epoll_fd);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}

struct sp_loop *sp_loop_new(struct sp_work_pool *pool)
{
    struct sp_loop *loop = calloc(1, sizeof(*loop));

    if (loop == NULL)
        return NULL;
    loop->pool = pool;
    loop->clock = (struct sp_clock){clock_mono_ms, clock_wall_ms};
    loop->tick_ms = UINT64_MAX;
    sp_list_init(&loop->soon);
    sp_list_init(&loop->later);
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0 || pthread_mutex_init(&loop->lock, NULL) != 0) {
        if (loop->epoll_fd >= 0)
            close(loop->epoll_fd);
        free(loop);
        return NULL;
    }
    if (uv_loop_init(&loop->uv) != 0) {
        loop_destroy(loop);
        return NULL;
    }
    sp_wheel_init(&loop->wheel, sp_loop_now_ms(loop));
    if (!open_own_handles(loop)) {
        close_own_handles(loop);
        (void)uv_loop_close(&loop->uv);
        loop_destroy(loop);
        return NULL;
    }
    return loop;
}

/* Writing to a socket that the peer has reset raises SIGPIPE: send(2) can be told not to, splice(2)
 * and OpenSSL cannot. Blocked, it stays a return value. */
static void block_sigpipe(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* From here on letters are refused; false when one came in just before. */
static bool shut_mailbox(struct sp_loop *loop)
{
    bool shut;

    pthread_mutex_lock(&loop->lock);
    shut = loop->stop_asked && loop->mail_first == NULL;
    loop->ended = shut;
    pthread_mutex_unlock(&loop->lock);
    return shut;
}

void sp_loop_run(struct sp_loop *loop)
{
    block_sigpipe();
    do {
        uv_ref((uv_handle_t *)&loop->mailbox);
        uv_run(&loop->uv, UV_RUN_DEFAULT);
    } while (is_needed(loop) || uv_loop_alive(&loop->uv) || !shut_mailbox(loop));
    close_own_handles(loop);
    release_doomed(loop);
}

void sp_loop_free(struct sp_loop **loop_ptr)
{
    struct sp_loop *loop = *loop_ptr;
    int rc;

    *loop_ptr = NULL;
    if (loop == NULL)
        return;
    assert(loop->held == 0);
    if (!loop->ended)
        close_own_handles(loop); /* it never ran */
    release_doomed(loop);
    sp_loop_close_pipes(loop);
    rc = uv_loop_close(&loop->uv);
    assert(rc == 0); /* an owner has left a handle open */
    if (rc == 0)
        loop_destroy(loop); /* else a leak is the lesser evil */
}
