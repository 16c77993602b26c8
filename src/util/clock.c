/* The system's clocks. Any thread. Both calls are served by the vDSO and cannot fail with these
 * ids. */
#include "util/clock.h"

#include <time.h>

static uint64_t read_ms(clockid_t id)
{
    struct timespec now = {0, 0};

    (void)clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static uint64_t system_mono_ms(const struct sp_clock *clock)
{
    (void)clock;
    return read_ms(CLOCK_MONOTONIC);
}

static uint64_t system_wall_ms(const struct sp_clock *clock)
{
    (void)clock;
    return read_ms(CLOCK_REALTIME);
}

const struct sp_clock sp_clock_system = {system_mono_ms, system_wall_ms};
