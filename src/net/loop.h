/* A worker's event loop: an epoll set of its own, in which libuv's whole loop is one descriptor.
 *
 * Sockets of clients and upstreams are not libuv handles: they sit in that epoll set themselves
 * (edge-triggered, registered once for their whole life). libuv's uv_poll_t would cost five
 * epoll_ctl calls a socket and two more at each change of interest, and its uv_tcp_t keeps the
 * descriptor to itself, so that splice(2) could not serve a tunnel. What plugins and the control
 * socket need (directory connections, files that are watched, signals) are ordinary libuv handles;
 * libuv is run, without waiting, when it has something to do: an event, a timer that is due, an
 * active idle handle, a handle to close. (Its prepare and check handles run only then.)
 *
 * A turn: one epoll_wait; sockets' events are delivered, those of clients behind the others;
 * libuv's; timers that are due fire; "soon" callbacks run until none is left; what was closed is
 * freed. Objects closed in a turn stay readable until its end.
 *
 * Thread: all functions belong to the loop's own thread, except sp_loop_post, sp_loop_stop and
 * new/free. */
#ifndef SP_NET_LOOP_H
#define SP_NET_LOOP_H

#include "sallyport/base.h"
#include "util/clock.h"
#include "util/list.h"

#include <stdbool.h>
#include <uv.h>

struct sp_loop;
struct sp_work_pool;

/* `pool` is shared and outlives the loop. NULL: out of memory or no epoll. */
struct sp_loop *sp_loop_new(struct sp_work_pool *pool) SP_MUST_CHECK;
/* After sp_loop_run has returned. Asserts (debug) that nothing was left open. */
void sp_loop_free(struct sp_loop **loop);
/* Runs on the calling thread until sp_loop_stop and until every handle has been closed. */
void sp_loop_run(struct sp_loop *loop);
/* One turn, for who drives a loop by hand (a test). It sleeps only if it may and nothing waits. */
void sp_loop_turn(struct sp_loop *loop, bool may_sleep);
/* Any thread. The loop goes on until its owners have closed what they have on it. */
void sp_loop_stop(struct sp_loop *loop);

uv_loop_t *sp_loop_uv(struct sp_loop *loop);
/* Monotonic milliseconds, read once a turn. */
uint64_t sp_loop_now_ms(const struct sp_loop *loop);
/* Monotonic microseconds, read now. */
uint64_t sp_loop_now_us(const struct sp_loop *loop);
const struct sp_clock *sp_loop_clock(const struct sp_loop *loop);

/* A callback in a later part of this turn: never inside the call that asked for it. Embed it;
 * adding one that is already queued does nothing. One that adds itself again while it runs comes in
 * the next turn, so that others get theirs; the loop does not sleep in between. */
struct sp_soon {
    struct sp_list link;
    void (*run)(struct sp_soon *soon);
};
void sp_soon_init(struct sp_soon *soon, void (*run)(struct sp_soon *soon));
void sp_loop_soon(struct sp_loop *loop, struct sp_soon *soon);
void sp_soon_cancel(struct sp_soon *soon); /* it will not run */

/* Memory to be freed with free() at the end of the turn, when no event of this turn can name it any
 * more. It is embedded in the object; release() gets it then. */
struct sp_doomed {
    struct sp_doomed *next;
    void (*release)(struct sp_doomed *doomed);
};
void sp_loop_doom(struct sp_loop *loop, struct sp_doomed *doomed);

/* A letter from another thread: `deliver` runs on the loop's thread, in order, once. The letter is
 * the sender's and must live until then. Any thread. SP_ERR_CLOSED: the loop has ended; not
 * delivered. */
struct sp_mail {
    struct sp_mail *next;
    void (*deliver)(struct sp_mail *mail);
};
enum sp_err sp_loop_post(struct sp_loop *loop, struct sp_mail *mail) SP_MUST_CHECK;

/* Called at the end of each turn (flush the access log's batch, say). At most 4 hooks. */
void sp_loop_each_turn(struct sp_loop *loop, void (*run)(void *owner), void *owner);
/* Not any more: every hook of that owner is taken off. May be called from within one. */
void sp_loop_no_more_turns(struct sp_loop *loop, const void *owner);

/* Timers: cheap to start, stop and start again (no system call, no allocation), 10 ms coarse, never
 * early. */
struct sp_timer {
    struct sp_list link;
    uint64_t due_ms;
    void (*fire)(struct sp_timer *timer);
};
void sp_timer_init(struct sp_timer *timer, void (*fire)(struct sp_timer *timer));
/* Starts, or starts anew. Fires once. */
void sp_timer_start(struct sp_loop *loop, struct sp_timer *timer, uint64_t ms);
void sp_timer_stop(struct sp_timer *timer);
bool sp_timer_active(const struct sp_timer *timer);

#endif
