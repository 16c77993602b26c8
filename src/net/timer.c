/* Timers on a loop: the wheel, and the time at which it must be turned next, which bounds the
 * loop's sleep. That time is moved only when something is due earlier, so a timer that is pushed
 * back at each request costs two list operations. Loop thread. */
#include "net/loop_priv.h"

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

    if (now < loop->wake_ms)
        return;
    sp_list_init(&due);
    sp_wheel_turn(&loop->wheel, now, &due);
    /* Before the callbacks: they start timers, and compare with this. */
    loop->wake_ms = sp_wheel_next_ms(&loop->wheel);
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
    /* Nothing in the wheel comes up before wake_ms, so it may be brought up to date for free: a
     * wheel that lags behind would put the timer a level too high. */
    if (now < loop->wake_ms && loop->wheel.tick < now / SP_WHEEL_TICK_MS)
        loop->wheel.tick = now / SP_WHEEL_TICK_MS;
    wake = sp_wheel_add(&loop->wheel, timer);
    if (wake < loop->wake_ms)
        loop->wake_ms = wake;
}

void sp_timer_stop(struct sp_timer *timer)
{
    sp_list_remove(&timer->link);
}

bool sp_timer_active(const struct sp_timer *timer)
{
    return !sp_list_empty(&timer->link);
}
