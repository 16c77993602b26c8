/* A hierarchical wheel of timers: five levels of 64 slots, 10 ms to the tick. Starting and stopping
 * are O(1); a timer moves down a level at most four times in its life. Pure: time is given.
 *
 * A slot's bit in `busy` may outlive its last timer (stopping knows no wheel): it is cleared when
 * it is next looked at. */
#ifndef SP_NET_TIMER_WHEEL_H
#define SP_NET_TIMER_WHEEL_H

#include "net/loop.h"

#define SP_WHEEL_LEVELS  5
#define SP_WHEEL_BITS    6
#define SP_WHEEL_SLOTS   (1u << SP_WHEEL_BITS)
#define SP_WHEEL_TICK_MS 10u

struct sp_wheel {
    uint64_t tick; /* everything up to here has been looked at */
    uint64_t busy[SP_WHEEL_LEVELS];
    struct sp_list slots[SP_WHEEL_LEVELS][SP_WHEEL_SLOTS];
};

void sp_wheel_init(struct sp_wheel *wheel, uint64_t now_ms);
/* Puts a timer in by its due_ms. Returns the time at which the wheel must be turned for it. */
uint64_t sp_wheel_add(struct sp_wheel *wheel, struct sp_timer *timer);
/* Moves on to now_ms; timers that are due are appended to `due`, earliest tick first. */
void sp_wheel_turn(struct sp_wheel *wheel, uint64_t now_ms, struct sp_list *due);
/* When it must be turned next; UINT64_MAX when it is empty. */
uint64_t sp_wheel_next_ms(struct sp_wheel *wheel);

#endif
