/* The workers' cells. A cell has one writer, its worker, so adding is a plain load and store on a
 * cache line nobody else writes; readers sum over workers and may be a moment late. */
#include "stats/stats_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct {
    struct sp_stats *workers;
    unsigned len;
} house;

enum sp_err sp_stats_init(unsigned workers)
{
    size_t size = sizeof(struct sp_stats) * (workers > 0 ? workers : 1);

    assert(house.workers == NULL);
    house.workers = aligned_alloc(alignof(struct sp_stats), size);
    if (house.workers == NULL)
        return SP_ERR_NOMEM;
    memset(house.workers, 0, size);
    house.len = workers > 0 ? workers : 1;
    return SP_OK;
}

void sp_stats_fini(void)
{
    sp_registry_clear();
    free(house.workers);
    house.workers = NULL;
    house.len = 0;
}

struct sp_stats *sp_stats_of(unsigned worker)
{
    assert(worker < house.len);
    return &house.workers[worker];
}

unsigned sp_stats_workers(void)
{
    return house.len;
}

/* One writer: no locked instruction is needed, only that a reader never sees half a value. */
static void own_add(atomic_uint_fast64_t *cell, uint64_t more)
{
    uint64_t old = atomic_load_explicit(cell, memory_order_relaxed);

    atomic_store_explicit(cell, old + more, memory_order_relaxed);
}

void sp_stats_add(struct sp_stats *stats, enum sp_stat stat, int64_t delta)
{
    int64_t old = atomic_load_explicit(&stats->cells[stat], memory_order_relaxed);

    atomic_store_explicit(&stats->cells[stat], old + delta, memory_order_relaxed);
}

void sp_stats_request(struct sp_stats *stats, int status, enum sp_scheme scheme, uint64_t micros)
{
    int index = status - SP_STATUS_FIRST;

    if (index < 0 || index >= SP_STATUS_COUNT - 1)
        index = SP_STATUS_COUNT - 1;
    own_add(&stats->requests[index][scheme], 1);
    own_add(&stats->request_time.buckets[sp_stats_bucket(micros)], 1);
    own_add(&stats->request_time.micros, micros);
}

void sp_stats_auth_time(struct sp_stats *stats, uint64_t micros)
{
    own_add(&stats->auth_time.buckets[sp_stats_bucket(micros)], 1);
    own_add(&stats->auth_time.micros, micros);
}

uint64_t sp_stats_answered(int status)
{
    size_t from = status == 0 ? 0 : (size_t)(status - SP_STATUS_FIRST);
    size_t to = status == 0 ? SP_STATUS_COUNT : from + 1;
    uint64_t sum = 0;

    for (size_t i = from; i < to && i < SP_STATUS_COUNT; i++)
        for (int scheme = 0; scheme < SP_SCHEME_COUNT; scheme++)
            sum += sp_stats_requests(i, (enum sp_scheme)scheme);
    return sum;
}

int64_t sp_stats_sum(enum sp_stat stat)
{
    int64_t sum = 0;

    for (unsigned i = 0; i < house.len; i++)
        sum += atomic_load_explicit(&house.workers[i].cells[stat], memory_order_relaxed);
    return sum;
}

uint64_t sp_stats_requests(size_t status, enum sp_scheme scheme)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < house.len; i++)
        sum += atomic_load_explicit(&house.workers[i].requests[status][scheme],
                                    memory_order_relaxed);
    return sum;
}
