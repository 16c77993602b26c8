/* Counters: written by their worker without a lock, summed when somebody reads. Their names stay as
 * they are: dashboards know them.
 *
 * Each worker owns one struct sp_stats; a handful of plain functions move its cells. Reading
 * (admin) sums over all workers with relaxed loads: a scrape may be a moment old, never torn.
 * Series whose labels are only known at run time (a backend's, a plugin's metrics) live in the
 * registry of series. */
#ifndef SP_STATS_STATS_H
#define SP_STATS_STATS_H

#include "log/access.h"
#include "sallyport/auth_backend.h"
#include "util/buf.h"

enum sp_stat {
    SP_STAT_CONNECTIONS,   /* gauge: client connections now */
    SP_STAT_TUNNELS,       /* gauge */
    SP_STAT_HANDSHAKES,    /* gauge: Negotiate handshakes in progress */
    SP_STAT_NAMES_UNHEARD, /* gauge: workers whose last questions to name servers got no answer */
    SP_STAT_BYTES_IN,      /* counter: read from clients */
    SP_STAT_BYTES_OUT,     /* counter: written to clients */
    SP_STAT_CACHE_HIT,
    SP_STAT_CACHE_MISS,
    SP_STAT_CACHE_NEGATIVE_HIT,
    SP_STAT_CACHE_GRACE,
    SP_STAT_CACHE_COALESCED,
    SP_STAT_COUNT
};

/* ---- histograms ----
 *
 * Bounds are preferred numbers, ten a decade, from 10 us to 100 s: fine enough for a percentile
 * that is off by an eighth at most. /metrics shows fourteen of them. */
#define SP_STATS_BUCKETS 71 /* the one without a bound comes on top */

/* The upper bounds in microseconds. */
extern const uint64_t sp_stats_bounds[SP_STATS_BUCKETS];
/* The time within which that share (0..1) of all that was counted was done, in microseconds, by
 * interpolation in its bucket; counts are of their own bucket alone. 0: nothing was counted. */
uint64_t sp_stats_percentile(const uint32_t counts[SP_STATS_BUCKETS + 1], double share);

enum sp_stats_time {
    SP_STATS_TIME_REQUEST,   /* from a request's head to the end of its exchange */
    SP_STATS_TIME_AUTH,      /* of that, what it took to know who asks */
    SP_STATS_TIME_DIRECTORY, /* from a question to a backend to its verdict */
    SP_STATS_TIMES
};
/* All workers', since the start. Any thread. */
void sp_stats_times(enum sp_stats_time which, uint64_t counts_out[SP_STATS_BUCKETS + 1]);

enum sp_auth_count {
    SP_COUNT_ACCEPT,
    SP_COUNT_REJECT,
    SP_COUNT_UNKNOWN,
    SP_COUNT_ACCOUNT,
    SP_COUNT_UNAVAILABLE
};

struct sp_stats; /* one worker's cells; owned by the process, freed by sp_stats_fini */

/* Main thread, before the workers: room for `workers` of them. */
enum sp_err sp_stats_init(unsigned workers) SP_MUST_CHECK;
void sp_stats_fini(void);
struct sp_stats *sp_stats_of(unsigned worker);

/* On the worker's own thread. */
void sp_stats_add(struct sp_stats *stats, enum sp_stat stat, int64_t delta);
void sp_stats_request(struct sp_stats *stats, int status, enum sp_scheme scheme, uint64_t micros);
void sp_stats_auth_time(struct sp_stats *stats, uint64_t micros);
/* The histogram sallyport_auth_seconds and the counter sallyport_auth_total; `backend` is a series
 * made once. */
struct sp_stats_backend;
struct sp_stats_backend *sp_stats_backend(
    const char *name); /* any thread; the same for the same name; NULL: no memory */
void sp_stats_auth(struct sp_stats_backend *backend, enum sp_auth_count result,
                   uint64_t micros); /* any thread */
uint64_t sp_stats_auth_count(const struct sp_stats_backend *backend,
                             enum sp_auth_count result); /* any thread; 0 where NULL */

/* The plugin's metrics (struct sp_auth_host), `name` with or without "sallyport_", `labels`
 * complete and escaped. The same series for the same name and labels. NULL: out of memory, or what
 * would spoil the page: labels that are none, a name of this room's own, another kind. Any thread.
 */
struct sp_auth_metric *sp_stats_metric(enum sp_metric_kind kind, const char *name,
                                       const char *labels);
void sp_stats_metric_add(struct sp_auth_metric *metric, int64_t delta);

/* A gauge that is asked for when somebody reads, such as the cache's entries; `read` runs on the
 * reader's thread and calls nothing of this room. Asked again, it is replaced. Main thread, before
 * the workers. `name` as in "sallyport_cache_entries", `labels` such as "kind=\"user\"" or "". */
enum sp_err sp_stats_gauge(const char *name, const char *labels, const char *help,
                           int64_t (*read)(void *owner), void *owner) SP_MUST_CHECK;

/* The same for what only grows; `name` ends in "_total". */
enum sp_err sp_stats_counter(const char *name, const char *labels, const char *help,
                             int64_t (*read)(void *owner), void *owner) SP_MUST_CHECK;

/* Gauges whose labels come and go, such as one for each listener's certificate: `list` is asked
 * when somebody reads, as `read` is above, and gives each sample by sp_stats_sample. A value that
 * is not known is not given. */
struct sp_stats_samples;
enum sp_err sp_stats_gauges(const char *name, const char *help,
                            void (*list)(void *owner, struct sp_stats_samples *samples),
                            void *owner) SP_MUST_CHECK;
/* `labels`: name, value, name, value, ..., NULL. Values are anybody's text. */
void sp_stats_sample(struct sp_stats_samples *samples, const char *const *labels, int64_t value);

/* Summed over workers. Any thread. */
int64_t sp_stats_sum(enum sp_stat stat);
/* Requests so far, by the status that was sent: all of them for status 0. */
uint64_t sp_stats_answered(int status);
/* Verdicts so far, of all backends. */
uint64_t sp_stats_verdicts(enum sp_auth_count result);
/* The whole of /metrics, Prometheus text format 0.0.4 with HELP and TYPE. Any thread. */
enum sp_err sp_stats_write(struct sp_buf *out) SP_MUST_CHECK;

#endif
