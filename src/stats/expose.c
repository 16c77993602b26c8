/* All counters as Prometheus text, format 0.0.4: a family's HELP and TYPE once, its series under
 * them. Called by admin for each scrape; any thread. A counter whose labels are known is there from
 * the start, at 0, so that a rate over its first increase can be computed. */
#include "stats/stats_priv.h"

#include "log/log.h"
#include "util/span.h"

#include <stdlib.h>

/* The statuses the proxy itself answers with, and 200. */
static const int own_statuses[] = {200, 400, 403, 407, 408, 414, 429, 431, 501, 502, 503, 504, 505};

/* A writer that remembers its first failure, so that each line need not be asked. */
struct page {
    struct sp_buf *out;
    enum sp_err err;
};

#define LINE(page, ...)                                            \
    do {                                                           \
        if ((page)->err == SP_OK)                                  \
            (page)->err = sp_buf_printf((page)->out, __VA_ARGS__); \
    } while (0)

static void family(struct page *page, const char *name, const char *type, const char *help)
{
    LINE(page, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* ---- requests ---- */

static bool is_own(int status)
{
    for (size_t i = 0; i < sizeof(own_statuses) / sizeof(own_statuses[0]); i++) {
        if (own_statuses[i] == status)
            return true;
    }
    return false;
}

static void request_series(struct page *page, size_t index)
{
    bool none = index == SP_STATUS_COUNT - 1; /* no status was sent, or an odd one */
    int status = none ? 0 : (int)index + SP_STATUS_FIRST;

    for (int scheme = 0; scheme < SP_SCHEME_COUNT; scheme++) {
        uint64_t count = sp_stats_requests(index, (enum sp_scheme)scheme);

        if (count > 0 || is_own(status))
            LINE(page, "sallyport_requests_total{status=\"%d\",scheme=\"%s\"} %llu\n", status,
                 sp_scheme_text((enum sp_scheme)scheme), (unsigned long long)count);
    }
}

static void requests(struct page *page)
{
    family(page, "sallyport_requests_total", "counter",
           "Requests by the status the client was sent (0: none) and by scheme.");
    for (size_t i = 0; i < SP_STATUS_COUNT; i++)
        request_series(page, i);
}

/* ---- histograms ---- */

/* A scrape has fewer buckets than the histogram. */
static bool is_shown(uint64_t bound)
{
    static const uint64_t shown[] = {500,    1000,   2500,   5000,    10000,   25000,   50000,
                                     100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000};

    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
        if (shown[i] == bound)
            return true;
    }
    return false;
}

/* Counts are read once and summed here: le="+Inf" and _count must agree within a scrape. */
static void histogram(struct page *page, const char *name, const char *label,
                      const uint64_t *counts, uint64_t micros)
{
    const char *comma = label[0] != '\0' ? "," : "";
    const char *open = label[0] != '\0' ? "{" : "";
    const char *close = label[0] != '\0' ? "}" : "";
    uint64_t sum = 0;

    for (size_t i = 0; i < SP_STATS_BUCKETS; i++) {
        sum += counts[i];
        if (is_shown(sp_stats_bounds[i]))
            LINE(page, "%s_bucket{%s%sle=\"%g\"} %llu\n", name, label, comma,
                 (double)sp_stats_bounds[i] / 1e6, (unsigned long long)sum);
    }
    sum += counts[SP_STATS_BUCKETS];
    LINE(page, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, label, comma, (unsigned long long)sum);
    LINE(page, "%s_sum%s%s%s %llu.%06llu\n", name, open, label, close,
         (unsigned long long)(micros / 1000000), (unsigned long long)(micros % 1000000));
    LINE(page, "%s_count%s%s%s %llu\n", name, open, label, close, (unsigned long long)sum);
}

static void request_seconds(struct page *page)
{
    uint64_t counts[SP_STATS_BUCKETS + 1] = {0};
    uint64_t micros = 0;

    family(page, "sallyport_request_seconds", "histogram",
           "Time from the last byte of a request's head to the end of its exchange.");
    for (unsigned i = 0; i < sp_stats_workers(); i++)
        sp_histogram_add_to(&sp_stats_of(i)->request_time, counts, &micros);
    histogram(page, "sallyport_request_seconds", "", counts, micros);
}

/* ---- backends ---- */

static void auth_total(struct page *page)
{
    static const char *const results[SP_AUTH_COUNTS] = {
        [SP_COUNT_ACCEPT] = "accept",           [SP_COUNT_REJECT] = "reject",
        [SP_COUNT_UNKNOWN] = "unknown",         [SP_COUNT_ACCOUNT] = "account",
        [SP_COUNT_UNAVAILABLE] = "unavailable",
    };

    if (sp_registry.backends == NULL)
        return; /* no series yet: a family without any is noise */
    family(page, "sallyport_auth_total", "counter", "Verdicts of backends.");
    for (struct sp_stats_backend *b = sp_registry.backends; b != NULL; b = b->next) {
        for (size_t i = 0; i < SP_AUTH_COUNTS; i++)
            LINE(page, "sallyport_auth_total{%s,result=\"%s\"} %llu\n", b->label, results[i],
                 (unsigned long long)atomic_load_explicit(&b->results[i], memory_order_relaxed));
    }
}

static void auth_seconds(struct page *page)
{
    if (sp_registry.backends == NULL)
        return;
    family(page, "sallyport_auth_seconds", "histogram", "How long backends took for a verdict.");
    for (struct sp_stats_backend *b = sp_registry.backends; b != NULL; b = b->next) {
        uint64_t counts[SP_STATS_BUCKETS + 1] = {0};
        uint64_t micros = 0;

        sp_histogram_add_to(&b->time, counts, &micros);
        histogram(page, "sallyport_auth_seconds", b->label, counts, micros);
    }
}

/* ---- the plain ones ---- */

static void cell(struct page *page, const char *name, const char *labels, enum sp_stat stat)
{
    LINE(page, "%s%s %lld\n", name, labels, (long long)sp_stats_sum(stat));
}

static void cache_total(struct page *page)
{
    static const char name[] = "sallyport_cache_total";

    family(page, name, "counter", "Questions asked of the verdict cache by what it knew.");
    cell(page, name, "{result=\"hit\"}", SP_STAT_CACHE_HIT);
    cell(page, name, "{result=\"miss\"}", SP_STAT_CACHE_MISS);
    cell(page, name, "{result=\"negative_hit\"}", SP_STAT_CACHE_NEGATIVE_HIT);
    cell(page, name, "{result=\"grace\"}", SP_STAT_CACHE_GRACE);
    cell(page, name, "{result=\"coalesced\"}", SP_STAT_CACHE_COALESCED);
}

static void gauges(struct page *page)
{
    family(page, "sallyport_connections", "gauge", "Client connections that are open.");
    cell(page, "sallyport_connections", "", SP_STAT_CONNECTIONS);
    family(page, "sallyport_tunnels", "gauge", "CONNECT tunnels that are open.");
    cell(page, "sallyport_tunnels", "", SP_STAT_TUNNELS);
    family(page, "sallyport_handshakes_in_progress", "gauge",
           "Negotiate handshakes that wait for their client's next token.");
    cell(page, "sallyport_handshakes_in_progress", "", SP_STAT_HANDSHAKES);
    family(page, "sallyport_names_unanswered", "gauge",
           "Workers whose last five questions to name servers got no answer.");
    cell(page, "sallyport_names_unanswered", "", SP_STAT_NAMES_UNHEARD);
}

static void bytes_total(struct page *page)
{
    family(page, "sallyport_bytes_total", "counter",
           "Bytes read from clients (in) and written to them (out).");
    cell(page, "sallyport_bytes_total", "{direction=\"in\"}", SP_STAT_BYTES_IN);
    cell(page, "sallyport_bytes_total", "{direction=\"out\"}", SP_STAT_BYTES_OUT);
}

/* ---- the registry ---- */

/* A family whose samples are listed; without any it is not there. */
struct sp_stats_samples {
    struct page *page;
    const struct sp_auth_metric *metric;
    bool begun;
};

void sp_stats_sample(struct sp_stats_samples *samples, const char *const *labels, int64_t value)
{
    struct page *page = samples->page;

    if (!samples->begun)
        family(page, samples->metric->name, "gauge", samples->metric->help);
    samples->begun = true;
    LINE(page, "%s{", samples->metric->name);
    for (size_t i = 0; labels[i] != NULL; i += 2) {
        char *label = sp_stats_label(labels[i], labels[i + 1]);

        if (label == NULL && page->err == SP_OK)
            page->err = SP_ERR_NOMEM;
        LINE(page, "%s%s", i > 0 ? "," : "", label);
        free(label);
    }
    LINE(page, "} %lld\n", (long long)value);
}

static void metric_line(struct page *page, struct sp_auth_metric *m)
{
    int64_t value = m->read != NULL ? m->read(m->owner)
                                    : atomic_load_explicit(&m->value, memory_order_relaxed);

    if (m->labels[0] != '\0')
        LINE(page, "%s{%s} %lld\n", m->name, m->labels, (long long)value);
    else
        LINE(page, "%s %lld\n", m->name, (long long)value);
}

static void metrics(struct page *page)
{
    const char *last = "";

    for (struct sp_auth_metric *m = sp_registry.metrics; m != NULL; m = m->next) {
        if (m->list != NULL) {
            struct sp_stats_samples samples = {page, m, false};

            m->list(m->owner, &samples);
            continue;
        }
        if (strcmp(last, m->name) != 0)
            family(page, m->name, m->kind == SP_METRIC_COUNTER ? "counter" : "gauge", m->help);
        last = m->name;
        metric_line(page, m);
    }
}

static void about(struct page *page)
{
    family(page, "sallyport_log_dropped_total", "counter", "Log lines that could not be written.");
    LINE(page, "sallyport_log_dropped_total %llu\n", (unsigned long long)sp_log_dropped());
    family(page, "sallyport_build_info", "gauge", "The version that runs.");
    LINE(page, "sallyport_build_info{version=\"%s\"} 1\n", SP_VERSION);
}

/* The names that Prometheus's own client libraries use. */

static void seconds(struct page *page, const char *name, const char *type, const char *help,
                    double value)
{
    if (value < 0)
        return;
    family(page, name, type, help);
    LINE(page, "%s %.2f\n", name, value);
}

static void whole(struct page *page, const char *name, const char *help, int64_t value)
{
    if (value < 0)
        return;
    family(page, name, "gauge", help);
    LINE(page, "%s %lld\n", name, (long long)value);
}

enum sp_err sp_stats_write_process(struct sp_buf *out, const struct sp_process_figures *f)
{
    struct page page = {out, SP_OK};

    seconds(&page, "process_start_time_seconds", "gauge", "When it started, in seconds since 1970.",
            f->started);
    seconds(&page, "process_cpu_seconds_total", "counter", "User and system time in seconds.",
            f->cpu_seconds);
    whole(&page, "process_open_fds", "Descriptors that are open.", f->open_fds);
    whole(&page, "process_max_fds", "Descriptors that may be open.", f->max_fds);
    whole(&page, "process_resident_memory_bytes", "Memory that is resident.", f->resident_bytes);
    whole(&page, "process_threads", "Threads.", f->threads);
    return page.err;
}

enum sp_err sp_stats_write(struct sp_buf *out)
{
    struct page page = {out, SP_OK};
    struct sp_process_figures figures;

    requests(&page);
    request_seconds(&page);
    cache_total(&page);
    gauges(&page);
    bytes_total(&page);
    (void)pthread_mutex_lock(&sp_registry.lock);
    auth_total(&page);
    auth_seconds(&page);
    metrics(&page);
    (void)pthread_mutex_unlock(&sp_registry.lock);
    about(&page);
    sp_process_figures_read(&figures);
    return page.err != SP_OK ? page.err : sp_stats_write_process(out, &figures);
}
