/* The last hour of the counters: what each ten seconds brought, in a ring of fixed size. Taken
 * about once a second; the newest sample grows until its ten seconds are over. One thread. */
#ifndef SP_STATS_HISTORY_H
#define SP_STATS_HISTORY_H

#include "stats/stats.h"

#define SP_HISTORY_STEP_MS 10000u
#define SP_HISTORY_LEN     360u

struct sp_history_sample {
    uint64_t wall_ms; /* of its end */
    uint32_t ms;      /* for so long */
    uint32_t requests;
    uint32_t logins;      /* verdicts of backends, but for those below */
    uint32_t unanswered;  /* questions that a backend could not answer */
    uint32_t turned_away; /* requests answered 403, 429 or 503 */
    uint32_t unavailable; /* of these, 503 */
    uint64_t bytes;       /* from and to clients */
    uint64_t log_dropped;
    uint64_t cache_asked, cache_knew;
    uint32_t times[SP_STATS_TIMES][SP_STATS_BUCKETS + 1];
};

struct sp_history;

/* About 330 KiB. What was counted before is in no sample. NULL: no memory. */
struct sp_history *sp_history_new(uint64_t mono_ms) SP_MUST_CHECK;
void sp_history_free(struct sp_history **history);
/* What has been counted since the last call goes into the newest sample. */
void sp_history_take(struct sp_history *history, uint64_t mono_ms, uint64_t wall_ms);
size_t sp_history_len(const struct sp_history *history);
/* 0: the oldest. */
const struct sp_history_sample *sp_history_at(const struct sp_history *history, size_t index);
/* All that the samples which end at `since_wall_ms` or later hold, in one. */
void sp_history_sum(const struct sp_history *history, uint64_t since_wall_ms,
                    struct sp_history_sample *sum_out);

#endif
