/* The loop's turn: one epoll_wait for everything, then sockets (those of clients behind the
 * others), libuv, timers, "soon" callbacks, hooks, and the freeing of what was closed; and the
 * doors by which its owners get into it. Loop thread. */
#include "net/loop_priv.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>

/* Events of sockets delivered in one turn. When there are more, the kernel keeps them for the next
 * turn, after everybody else had theirs. */
#define EVENTS_PER_TURN 512
/* Of the events of clients' sockets, so many are delivered in one turn, behind all others. */
#define BEHIND_PER_TURN 64
/* A soon callback may queue others (a dial that is done wakes an exchange, which wakes a stream):
 * that many rounds run in one turn. One that queues itself again has more to do than is fair, and
 * waits for the next turn, as does what is left after the last round; that turn comes at once. */
#define SOON_ROUNDS 16

/* ---- the epoll set ---- */

/* A watch that is told behind others is known by the lowest bit of the address that the kernel
 * keeps for it: the watch itself need not be looked at. */
static uint64_t kernel_data(struct sp_watch *watch, bool behind)
{
    return (uint64_t)(uintptr_t)watch | (behind ? 1u : 0u);
}

static struct sp_watch *watch_of(uint64_t data)
{
    return (struct sp_watch *)(uintptr_t)(data & ~UINT64_C(1));
}

static enum sp_err control(struct sp_loop *loop, int op, int fd, uint32_t events,
                           struct sp_watch *watch)
{
    struct epoll_event event = {.events = events & ~SP_WATCH_BEHIND,
                                .data.u64 = kernel_data(watch, (events & SP_WATCH_BEHIND) != 0)};

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

/* ---- the turn ---- */

/* Milliseconds that the loop may sleep for; -1: until something happens. */
static int may_sleep_ms(struct sp_loop *loop)
{
    int uv_ms = uv_backend_timeout(&loop->uv);
    uint64_t now = sp_loop_now_ms(loop);
    uint64_t ms;

    if (uv_ms == 0 || !sp_list_empty(&loop->soon) || loop->behind.len > 0 || loop->wake_ms <= now)
        return 0;
    ms = loop->wake_ms - now; /* UINT64_MAX when there is no timer: far beyond any clock */
    if (loop->wake_ms == UINT64_MAX || ms > INT_MAX)
        return uv_ms;
    return uv_ms < 0 || ms < (uint64_t)uv_ms ? (int)ms : uv_ms;
}

static void tell(struct sp_watch *watch, uint32_t events)
{
    if (watch->on_events != NULL)
        watch->on_events(watch, events);
}

/* What a client asks waits until what was begun has had its events. With little to do that is the
 * same turn. Where thousands ask at once, answers are passed on before more is asked for, so that
 * few exchanges and connections to origins are in use, and those are warm. The others cannot keep
 * clients from being heard: so many of these have their go in every turn. */
static void deliver_behind(struct sp_loop *loop)
{
    for (unsigned i = 0; i < BEHIND_PER_TURN && loop->behind.len > 0; i++) {
        struct sp_queued_event event = sp_event_queue_take(&loop->behind);

        tell(event.watch, event.events);
    }
}

/* No more is fetched than there is room for: what the kernel keeps is not lost. There is some in
 * every turn, since the turn before has made it. */
static int may_fetch(const struct sp_loop *loop)
{
    size_t room = SP_EVENT_QUEUE_SIZE - loop->behind.len;

    assert(room > 0);
    return room < EVENTS_PER_TURN ? (int)room : EVENTS_PER_TURN;
}

static void deliver_events(struct sp_loop *loop, int timeout_ms)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int len = epoll_wait(loop->epoll_fd, events, may_fetch(loop), timeout_ms);

    uv_update_time(&loop->uv);
    for (int i = 0; i < len; i++) { /* -1, a signal came: nothing to deliver */
        struct sp_watch *watch = watch_of(events[i].data.u64);

        if (events[i].data.u64 != kernel_data(watch, false))
            sp_event_queue_put(&loop->behind, watch, events[i].events);
        else
            tell(watch, events[i].events);
    }
    deliver_behind(loop);
}

/* libuv has its turn only when it has something to do: an event of its own, a timer that is due,
 * an active idle handle, a handle to close; or a descriptor to put into its set, which it does in
 * uv_run alone (uv_backend_timeout tells of that from 1.44 on; before, it would never be heard). */
static void run_uv(struct sp_loop *loop)
{
    if (!loop->uv_ready && uv_backend_timeout(&loop->uv) != 0)
        return;
    loop->uv_ready = false;
    uv_run(&loop->uv, UV_RUN_NOWAIT);
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

static void release_all(struct sp_doomed **list)
{
    while (*list != NULL) { /* a release may doom what it held */
        struct sp_doomed *doomed = *list;

        *list = doomed->next;
        doomed->release(doomed);
    }
}

/* An event that waits may name a client's socket that was closed in this turn or the last ones;
 * once all that waited then have been delivered, none does. */
static void release_behind(struct sp_loop *loop)
{
    if (loop->behind.passed < loop->parting_until)
        return;
    release_all(&loop->parting);
    if (loop->behind.len == 0) {
        release_all(&loop->doomed_behind);
    } else if (loop->doomed_behind != NULL) {
        loop->parting = loop->doomed_behind;
        loop->doomed_behind = NULL;
        loop->parting_until = loop->behind.passed + loop->behind.len;
    }
}

void sp_loop_release_rest(struct sp_loop *loop)
{
    release_all(&loop->parting);
    release_all(&loop->doomed_behind);
    release_all(&loop->doomed);
}

void sp_loop_turn(struct sp_loop *loop, bool may_sleep)
{
    deliver_events(loop, may_sleep ? may_sleep_ms(loop) : 0);
    run_uv(loop);
    loop->turns++;
    sp_loop_run_timers(loop);
    run_soon(loop);
    for (unsigned i = 0; i < loop->hooks_len; i++) {
        if (loop->hooks[i].run != NULL)
            loop->hooks[i].run(loop->hooks[i].owner);
    }
    release_behind(loop);
    release_all(&loop->doomed);
}

/* ---- what runs in it ---- */

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

void sp_loop_doom_behind(struct sp_loop *loop, struct sp_doomed *doomed)
{
    doomed->next = loop->doomed_behind;
    loop->doomed_behind = doomed;
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
