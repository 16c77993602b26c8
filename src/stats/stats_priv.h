/* Between the files of stats: histograms, the workers' cells, and the registry of series. */
#ifndef SP_STATS_STATS_PRIV_H
#define SP_STATS_STATS_PRIV_H

#include "stats/stats.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Counts of their own bucket alone; they are summed up when they are printed. */
struct sp_histogram {
    atomic_uint_fast64_t buckets[SP_STATS_BUCKETS + 1];
    atomic_uint_fast64_t micros;
};

#define SP_STATUS_FIRST 100
#define SP_STATUS_COUNT 501 /* 100..599, and the last for "none of these" */

/* Written by its worker alone; cells of two workers never share a cache line. */
struct sp_stats {
    alignas(64) atomic_int_fast64_t cells[SP_STAT_COUNT];
    atomic_uint_fast64_t requests[SP_STATUS_COUNT][SP_SCHEME_COUNT];
    struct sp_histogram request_time;
    struct sp_histogram auth_time;
};

#define SP_AUTH_COUNTS (SP_COUNT_UNAVAILABLE + 1)

/* Owned by the registry, until sp_stats_fini. */
struct sp_stats_backend {
    struct sp_stats_backend *next;
    char *label; /* backend="…", escaped */
    char *name;
    atomic_uint_fast64_t results[SP_AUTH_COUNTS];
    struct sp_histogram time;
};

/* One series with labels: a plugin's metric, or a gauge that is asked. Owned by the registry. */
struct sp_auth_metric {
    struct sp_auth_metric *next; /* sorted by name, so that a family stands together */
    enum sp_metric_kind kind;
    char *name; /* in full */
    char *labels;
    const char *help; /* static */
    atomic_int_fast64_t value;
    int64_t (*read)(void *owner);                                /* NULL: `value` is it */
    void (*list)(void *owner, struct sp_stats_samples *samples); /* in place of all that; or NULL */
    void *owner;
};

struct sp_registry {
    pthread_mutex_t lock; /* held for a look-up or a scrape, never by what a request does */
    struct sp_stats_backend *backends;
    struct sp_auth_metric *metrics;
    size_t metrics_len;
};
extern struct sp_registry sp_registry;

void sp_registry_clear(void);
/* A label's value with backslash, quote and line end escaped (text format 0.0.4). NULL: no memory.
 */
char *sp_stats_label(const char *name, const char *value) SP_MUST_CHECK;
/* Is this what may stand between braces: name="value",…? */
bool sp_stats_labels_valid(const char *labels);

/* ---- histogram.c ---- */
size_t sp_stats_bucket(uint64_t micros);
/* Adds what the histogram has to counts (SP_STATS_BUCKETS + 1) and micros. */
void sp_histogram_add_to(const struct sp_histogram *from, uint64_t *counts, uint64_t *micros);

/* ---- process.c: what the kernel counts of this process; -1: it cannot be read ---- */
struct sp_process_figures {
    double started;     /* seconds since the epoch */
    double cpu_seconds; /* user and system */
    int64_t open_fds;
    int64_t max_fds;
    int64_t resident_bytes;
    int64_t threads;
};
void sp_process_figures_read(struct sp_process_figures *figures);

/* ---- expose.c ---- */
/* What could not be read is absent. */
enum sp_err sp_stats_write_process(struct sp_buf *out,
                                   const struct sp_process_figures *figures) SP_MUST_CHECK;

unsigned sp_stats_workers(void);
uint64_t sp_stats_requests(size_t status, enum sp_scheme scheme);

#endif
