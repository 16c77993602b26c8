/* The inside of a loop, for the files of net/ (and its tests) alone. */
#ifndef SP_NET_LOOP_PRIV_H
#define SP_NET_LOOP_PRIV_H

#include "net/event_queue.h"
#include "net/loop.h"
#include "net/timer_wheel.h"

#include <pthread.h>

#define SP_LOOP_HOOKS_MAX 4

/* Beside the events that a descriptor is watched for: what it tells waits behind what all others
 * have told, see turn.c. For the sockets of clients. (Not one of epoll(7)'s; the kernel never sees
 * it.) */
#define SP_WATCH_BEHIND (1u << 16)

/* A descriptor in the loop's epoll set. Embedded in its owner, whose memory goes back through
 * sp_loop_doom: an event of the batch that is being delivered may still name it. */
struct sp_watch {
    void (*on_events)(struct sp_watch *watch, uint32_t events); /* NULL: closed, say nothing */
};

struct sp_loop_hook {
    void (*run)(void *owner);
    void *owner;
};

struct sp_pipe;

struct sp_loop {
    uv_loop_t uv;
    struct sp_clock clock;
    struct sp_work_pool *pool;
    int epoll_fd;   /* sockets, the bell, and libuv's own set: all that can wake the loop */
    int fd_high;    /* descriptors from here on are for serving: not for clients, nor to lie idle */
    unsigned held;  /* streams, listeners, jobs that are out: while any is, the loop goes on */
    uint64_t turns; /* since the start; a loop at rest does not turn */

    struct sp_watch uv_watch; /* libuv's set, as one descriptor in ours */
    bool uv_ready;            /* it has events */
    uv_prepare_t anchor;      /* see begin_uv */

    struct sp_wheel wheel;
    uint64_t wake_ms; /* when the wheel is to be turned; UINT64_MAX: it is empty */
    struct sp_list soon;
    struct sp_list later;         /* those that queued themselves: for the next turn */
    struct sp_soon *running;      /* whose callback we are in; compared only */
    struct sp_event_queue behind; /* what clients' sockets have told, and has not been delivered */
    struct sp_doomed *doomed;
    struct sp_doomed *doomed_behind; /* what `behind` may name */
    struct sp_doomed *parting; /* doomed before those: freed once `behind` has passed so many */
    uint64_t parting_until;
    struct sp_loop_hook hooks[SP_LOOP_HOOKS_MAX];
    unsigned hooks_len;

    struct sp_pipe *pipes; /* a stock of empty ones */
    unsigned pipes_len;

    int bell_fd; /* an eventfd, rung by other threads */
    struct sp_watch bell_watch;
    bool stopping; /* stop_asked, as the loop's thread has seen it */

    pthread_mutex_t lock; /* guards what follows */
    struct sp_mail *mail_first;
    struct sp_mail *mail_last;
    bool stop_asked;
    bool ended; /* no letter is taken any more */
};

/* Adds a descriptor to the epoll set for its whole life; closing it takes it out. `events` may have
 * EPOLLET and SP_WATCH_BEHIND, which stays with it. SP_ERR_NOMEM, SP_ERR_FULL: the kernel has no
 * room for it. */
enum sp_err sp_loop_watch(struct sp_loop *loop, int fd, uint32_t events,
                          struct sp_watch *watch) SP_MUST_CHECK;
enum sp_err sp_loop_rewatch(struct sp_loop *loop, int fd, uint32_t events,
                            struct sp_watch *watch) SP_MUST_CHECK;
void sp_loop_unwatch(struct sp_loop *loop, int fd); /* for a descriptor that someone else closes */

/* The loop does not end while anything holds it. */
void sp_loop_hold(struct sp_loop *loop);
void sp_loop_let_go(struct sp_loop *loop);

/* sp_loop_doom for what was watched with SP_WATCH_BEHIND: an event of earlier turns may wait yet.
 */
void sp_loop_doom_behind(struct sp_loop *loop, struct sp_doomed *doomed);
/* At the end, when nothing is watched any more: frees what was closed. */
void sp_loop_release_rest(struct sp_loop *loop);
/* timer.c: fires what is due, and notes when the next is. */
void sp_loop_run_timers(struct sp_loop *loop);
/* pipe.c: closes the stock. */
void sp_loop_close_pipes(struct sp_loop *loop);

#endif
