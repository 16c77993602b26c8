/* Time, injected: durations come from the loop's monotonic milliseconds, hours and dates from the
 * wall. A test gives its own struct with its own functions. */
#ifndef SP_UTIL_CLOCK_H
#define SP_UTIL_CLOCK_H

#include <stdint.h>

struct sp_clock {
    uint64_t (*mono_ms)(
        const struct sp_clock *clock); /* never goes back; only differences mean anything */
    uint64_t (*wall_ms)(const struct sp_clock *clock); /* since the epoch */
};

/* The system's clocks. Any thread. */
extern const struct sp_clock sp_clock_system;

static inline uint64_t sp_clock_mono_ms(const struct sp_clock *clock)
{
    return clock->mono_ms(clock);
}

static inline uint64_t sp_clock_wall_ms(const struct sp_clock *clock)
{
    return clock->wall_ms(clock);
}

#endif
