/* Histograms: which bucket a time belongs to, and what share of all times lies below which. */
#include "stats/stats_priv.h"

#define DECADE(x) \
    x * 10, x * 25 / 2, x * 16, x * 20, x * 25, x * 63 / 2, x * 40, x * 50, x * 63, x * 80

/* ISO 3, R10. Half a microsecond more or less does not matter. */
const uint64_t sp_stats_bounds[SP_STATS_BUCKETS] = {
    DECADE(1u),     DECADE(10u),     DECADE(100u),     DECADE(1000u),
    DECADE(10000u), DECADE(100000u), DECADE(1000000u), 100000000u,
};

/* On the path of every request: the first bucket for each number of bits, then three steps at most
 * (a doubling has three bounds). */
static const uint8_t first_of[28] = {0,  0,  0,  0,  0,  2,  6,  9,  12, 15, 18, 21, 24, 27,
                                     30, 33, 36, 39, 42, 45, 48, 51, 54, 57, 60, 63, 66, 69};

size_t sp_stats_bucket(uint64_t micros)
{
    unsigned bits = micros > 0 ? 64 - (unsigned)__builtin_clzll(micros) : 0;
    size_t i;

    if (micros > sp_stats_bounds[SP_STATS_BUCKETS - 1])
        return SP_STATS_BUCKETS;
    i = first_of[bits];
    while (micros > sp_stats_bounds[i])
        i++;
    return i;
}

void sp_histogram_add_to(const struct sp_histogram *from, uint64_t *counts, uint64_t *micros)
{
    for (size_t i = 0; i <= SP_STATS_BUCKETS; i++)
        counts[i] += atomic_load_explicit(&from->buckets[i], memory_order_relaxed);
    *micros += atomic_load_explicit(&from->micros, memory_order_relaxed);
}

void sp_stats_times(enum sp_stats_time which, uint64_t counts[SP_STATS_BUCKETS + 1])
{
    uint64_t micros = 0;

    for (size_t i = 0; i <= SP_STATS_BUCKETS; i++)
        counts[i] = 0;
    switch (which) {
    case SP_STATS_TIME_REQUEST:
        for (unsigned i = 0; i < sp_stats_workers(); i++)
            sp_histogram_add_to(&sp_stats_of(i)->request_time, counts, &micros);
        break;
    case SP_STATS_TIME_AUTH:
        for (unsigned i = 0; i < sp_stats_workers(); i++)
            sp_histogram_add_to(&sp_stats_of(i)->auth_time, counts, &micros);
        break;
    case SP_STATS_TIME_DIRECTORY:
        (void)pthread_mutex_lock(&sp_registry.lock);
        for (struct sp_stats_backend *b = sp_registry.backends; b != NULL; b = b->next)
            sp_histogram_add_to(&b->time, counts, &micros);
        (void)pthread_mutex_unlock(&sp_registry.lock);
        break;
    case SP_STATS_TIMES: break;
    }
}

uint64_t sp_stats_percentile(const uint32_t counts[SP_STATS_BUCKETS + 1], double share)
{
    uint64_t total = 0, below = 0;
    double wanted;

    for (size_t i = 0; i <= SP_STATS_BUCKETS; i++)
        total += counts[i];
    wanted = share * (double)total;
    for (size_t i = 0; i < SP_STATS_BUCKETS && total > 0; i++) {
        uint64_t from = i > 0 ? sp_stats_bounds[i - 1] : 0;

        if (counts[i] > 0 && (double)(below + counts[i]) >= wanted)
            return from + (uint64_t)((double)(sp_stats_bounds[i] - from) *
                                     (wanted - (double)below) / (double)counts[i]);
        below += counts[i];
    }
    return total > 0 ? sp_stats_bounds[SP_STATS_BUCKETS - 1] : 0;
}
