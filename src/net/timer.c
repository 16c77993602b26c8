/* Timers on a loop: the wheel, and the one libuv timer that turns it. That timer is set only when
 * something is due earlier than it would ring, so a timer that is pushed back at each request costs
 * two list operations; with nothing to wait for it is not set at all. Loop thread. */
#include "net/loop_priv.h"

#include <assert.h>

static void on_tick(uv_timer_t *tick)
{
    sp_loop_run_timers(tick->data);
}

static void tick_at(struct sp_loop *loop, uint64_t ms)
{
    uint64_t now = sp_loop_now_ms(loop);
    int rc;

    loop->tick_ms = ms;
    if (ms == UINT64_MAX)
        rc = uv_timer_stop(&loop->tick);
    else
        rc = uv_timer_start(&loop->tick, on_tick, ms > now ? ms - now : 0, 0);
    assert(rc == 0); /* it fails for a closing handle or without a callback only */
    (void)rc;
}

static void fire_due(struct sp_list *due)
{
    struct sp_list *link;

    while ((link = sp_list_shift(due)) != NULL) {
        struct sp_timer *timer = sp_container_of(link, struct sp_timer, link);

        timer->fire(timer);
    }
}

void sp_loop_run_timers(struct sp_loop *loop)
{
    uint64_t now = sp_loop_now_ms(loop);
    struct sp_list due;

    if (now < loop->tick_ms)
        return;
    sp_list_init(&due);
    sp_wheel_turn(&loop->wheel, now, &due);
    /* Before the callbacks: they start timers, and compare with this. */
    tick_at(loop, sp_wheel_next_ms(&loop->wheel));
    fire_due(&due);
}

void sp_timer_init(struct sp_timer *timer, void (*fire)(struct sp_timer *timer))
{
    sp_list_init(&timer->link);
    timer->due_ms = 0;
    timer->fire = fire;
}

void sp_timer_start(struct sp_loop *loop, struct sp_timer *timer, uint64_t ms)
{
    uint64_t now = sp_loop_now_ms(loop);
    uint64_t wake;

    sp_list_remove(&timer->link);
    /* One more, since `now` was rounded down when it was read: never early. */
    timer->due_ms = ms < UINT64_MAX / 2 - now ? now + ms + 1 : UINT64_MAX / 2;
    /* Nothing in the wheel comes up before the tick, so it may be brought up to date for free: a
     * wheel that lags behind would put the timer a level too high. */
    if (now < loop->tick_ms && loop->wheel.tick < now / SP_WHEEL_TICK_MS)
        loop->wheel.tick = now / SP_WHEEL_TICK_MS;
    wake = sp_wheel_add(&loop->wheel, timer);
    if (wake < loop->tick_ms)
        tick_at(loop, wake);
}

void sp_timer_stop(struct sp_timer *timer)
{
    sp_list_remove(&timer->link);
}

bool sp_timer_active(const struct sp_timer *timer)
{
    return !sp_list_empty(&timer->link);
}
