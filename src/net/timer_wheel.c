/* The arithmetic of the timer wheel: which slot a due time belongs to, and what is due by when.
 * Called by timer.c on the loop's thread; knows no clock and no loop. */
#include "net/timer_wheel.h"

/* Farther away than this, a timer is put at this distance and looked at again there. One top slot
 * less than a full round, so that a slot never holds timers of two rounds. */
#define SPAN_MAX                                   \
    ((1ull << (SP_WHEEL_BITS * SP_WHEEL_LEVELS)) - \
     (1ull << (SP_WHEEL_BITS * (SP_WHEEL_LEVELS - 1))) - 1)

static struct sp_timer *timer_of(struct sp_list *link)
{
    return sp_container_of(link, struct sp_timer, link);
}

/* The first tick at which the timer may fire: never early, so rounded up. */
static uint64_t due_tick(const struct sp_wheel *wheel, const struct sp_timer *timer)
{
    uint64_t due = (timer->due_ms + SP_WHEEL_TICK_MS - 1) / SP_WHEEL_TICK_MS;

    if (due <= wheel->tick)
        return wheel->tick + 1;
    if (due - wheel->tick > SPAN_MAX)
        return wheel->tick + SPAN_MAX;
    return due;
}

/* The level is where the due tick and the present one first differ, seen from the top: all timers
 * of one slot are ahead of us by that digit, and are looked at when it comes up. */
static unsigned level_of(uint64_t due, uint64_t tick)
{
    unsigned level = (63u - (unsigned)__builtin_clzll(due ^ tick)) / SP_WHEEL_BITS;

    return level < SP_WHEEL_LEVELS ? level : SP_WHEEL_LEVELS - 1;
}

void sp_wheel_init(struct sp_wheel *wheel, uint64_t now_ms)
{
    wheel->tick = now_ms / SP_WHEEL_TICK_MS;
    for (unsigned level = 0; level < SP_WHEEL_LEVELS; level++) {
        wheel->busy[level] = 0;
        for (unsigned slot = 0; slot < SP_WHEEL_SLOTS; slot++)
            sp_list_init(&wheel->slots[level][slot]);
    }
}

uint64_t sp_wheel_add(struct sp_wheel *wheel, struct sp_timer *timer)
{
    uint64_t due = due_tick(wheel, timer);
    unsigned level = level_of(due, wheel->tick);
    unsigned shift = level * SP_WHEEL_BITS;
    unsigned slot = (unsigned)(due >> shift) & (SP_WHEEL_SLOTS - 1);

    sp_list_push(&wheel->slots[level][slot], &timer->link);
    wheel->busy[level] |= 1ull << slot;
    return ((due >> shift) << shift) * SP_WHEEL_TICK_MS;
}

/* The next tick at which a slot of this level comes up that is not empty; UINT64_MAX: none. */
static uint64_t level_next(struct sp_wheel *wheel, unsigned level)
{
    unsigned shift = level * SP_WHEEL_BITS;
    uint64_t place = wheel->tick >> shift;

    for (unsigned ahead = 1; wheel->busy[level] != 0 && ahead <= SP_WHEEL_SLOTS; ahead++) {
        unsigned turn = (unsigned)(place + ahead) & (SP_WHEEL_SLOTS - 1);
        uint64_t busy = wheel->busy[level];
        uint64_t seen = turn == 0 ? busy : (busy >> turn) | (busy << (SP_WHEEL_SLOTS - turn));

        ahead += (unsigned)__builtin_ctzll(seen);
        turn = (unsigned)(place + ahead) & (SP_WHEEL_SLOTS - 1);
        if (!sp_list_empty(&wheel->slots[level][turn]))
            return (place + ahead) << shift;
        wheel->busy[level] &= ~(1ull << turn);
    }
    return UINT64_MAX;
}

static uint64_t wheel_next(struct sp_wheel *wheel)
{
    uint64_t next = UINT64_MAX;

    for (unsigned level = 0; level < SP_WHEEL_LEVELS; level++) {
        uint64_t tick = level_next(wheel, level);

        if (tick < next)
            next = tick;
    }
    return next;
}

/* The slot of this level that has just come up: its timers move down, or are due. */
static void open_slot(struct sp_wheel *wheel, unsigned level, struct sp_list *due)
{
    unsigned slot = (unsigned)(wheel->tick >> (level * SP_WHEEL_BITS)) & (SP_WHEEL_SLOTS - 1);
    struct sp_list moved;
    struct sp_list *link;

    sp_list_init(&moved);
    sp_list_move_all(&moved, &wheel->slots[level][slot]);
    wheel->busy[level] &= ~(1ull << slot);
    while ((link = sp_list_shift(&moved)) != NULL) {
        if (timer_of(link)->due_ms <= wheel->tick * SP_WHEEL_TICK_MS)
            sp_list_push(due, link);
        else
            (void)sp_wheel_add(wheel, timer_of(link));
    }
}

void sp_wheel_turn(struct sp_wheel *wheel, uint64_t now_ms, struct sp_list *due)
{
    uint64_t goal = now_ms / SP_WHEEL_TICK_MS;

    while (wheel->tick < goal) {
        uint64_t next = wheel_next(wheel);

        if (next > goal) {
            wheel->tick = goal;
            return;
        }
        wheel->tick = next;
        for (unsigned level = SP_WHEEL_LEVELS; level-- > 0;) {
            if ((next & ((1ull << (level * SP_WHEEL_BITS)) - 1)) == 0)
                open_slot(wheel, level, due);
        }
    }
}

uint64_t sp_wheel_next_ms(struct sp_wheel *wheel)
{
    uint64_t tick = wheel_next(wheel);

    return tick == UINT64_MAX ? UINT64_MAX : tick * SP_WHEEL_TICK_MS;
}
