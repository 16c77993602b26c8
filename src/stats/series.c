/* The registry of series whose labels are known at run time only: backends, plugins' metrics and
 * gauges that are asked. Series are made once and kept; their cells are moved from any thread. */
#include "stats/stats_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX      "sallyport_"
#define METRICS_MAX 4096u /* labels that grow without end are a fault, and stop here */

struct sp_registry sp_registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const struct {
    const char *name;
    const char *help;
} known[] = {
    {"sallyport_ldap_connections", "Connections to directory servers by state."},
    {"sallyport_ldap_operations_total", "Operations asked of directory servers by result."},
};

/* Names that this room prints by itself: a plugin's series under one of them would make the family
 * appear twice. */
static const char *const taken[] = {
    "sallyport_requests_total",    "sallyport_request_seconds",
    "sallyport_auth_total",        "sallyport_auth_seconds",
    "sallyport_cache_total",       "sallyport_connections",
    "sallyport_tunnels",           "sallyport_bytes_total",
    "sallyport_build_info",        "sallyport_handshakes_in_progress",
    "sallyport_log_dropped_total",
};

static void metric_free(struct sp_auth_metric *metric)
{
    free(metric->name);
    free(metric->labels);
    free(metric);
}

static void backend_free(struct sp_stats_backend *backend)
{
    free(backend->name);
    free(backend->label);
    free(backend);
}

void sp_registry_clear(void)
{
    (void)pthread_mutex_lock(&sp_registry.lock);
    while (sp_registry.backends != NULL) {
        struct sp_stats_backend *backend = sp_registry.backends;

        sp_registry.backends = backend->next;
        backend_free(backend);
    }
    while (sp_registry.metrics != NULL) {
        struct sp_auth_metric *metric = sp_registry.metrics;

        sp_registry.metrics = metric->next;
        metric_free(metric);
    }
    sp_registry.metrics_len = 0;
    (void)pthread_mutex_unlock(&sp_registry.lock);
}

/* ---- labels ---- */

char *sp_stats_label(const char *name, const char *value)
{
    size_t len = strlen(name);
    char *label = malloc(len + 2 * strlen(value) + sizeof("=\"\""));
    char *at = label;

    if (label == NULL)
        return NULL;
    memcpy(at, name, len);
    at += len;
    *at++ = '=';
    *at++ = '"';
    for (; *value != '\0'; value++) {
        if (*value == '\\' || *value == '"' || *value == '\n')
            *at++ = '\\';
        *at++ = *value == '\n' ? 'n' : *value;
    }
    *at++ = '"';
    *at = '\0';
    return label;
}

static bool is_name(char c, bool first)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_')
        return true;
    return !first && c >= '0' && c <= '9';
}

/* Behind one name="value"; NULL: there is none. */
static const char *skip_label(const char *at)
{
    const char *begin = at;

    while (is_name(*at, at == begin))
        at++;
    if (at == begin || at[0] != '=' || at[1] != '"')
        return NULL;
    for (at += 2; *at != '"'; at++) {
        if (*at == '\0' || *at == '\n')
            return NULL;
        if (*at == '\\' && *++at != '\\' && *at != '"' && *at != 'n')
            return NULL;
    }
    return at + 1;
}

bool sp_stats_labels_valid(const char *labels)
{
    if (*labels == '\0')
        return true;
    for (;;) {
        labels = skip_label(labels);
        if (labels == NULL)
            return false;
        if (*labels == '\0')
            return true;
        if (*labels++ != ',')
            return false;
    }
}

/* ---- backends ---- */

static struct sp_stats_backend *backend_new(const char *name)
{
    struct sp_stats_backend *backend = calloc(1, sizeof(*backend));

    if (backend == NULL)
        return NULL;
    backend->name = strdup(name);
    backend->label = sp_stats_label("backend", name);
    if (backend->name == NULL || backend->label == NULL) {
        backend_free(backend);
        return NULL;
    }
    return backend;
}

struct sp_stats_backend *sp_stats_backend(const char *name)
{
    struct sp_stats_backend **at;
    struct sp_stats_backend *found;

    (void)pthread_mutex_lock(&sp_registry.lock);
    for (at = &sp_registry.backends; *at != NULL; at = &(*at)->next) {
        if (strcmp((*at)->name, name) == 0)
            break;
    }
    if (*at == NULL)
        *at = backend_new(name);
    found = *at;
    (void)pthread_mutex_unlock(&sp_registry.lock);
    return found;
}

void sp_stats_auth(struct sp_stats_backend *backend, enum sp_auth_count result, uint64_t micros)
{
    size_t bucket = sp_stats_bucket(micros);

    if (backend == NULL)
        return;
    (void)atomic_fetch_add_explicit(&backend->results[result], 1, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&backend->time.buckets[bucket], 1, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&backend->time.micros, micros, memory_order_relaxed);
}

uint64_t sp_stats_auth_count(const struct sp_stats_backend *backend, enum sp_auth_count result)
{
    return backend != NULL ? atomic_load_explicit(&backend->results[result], memory_order_relaxed)
                           : 0;
}

uint64_t sp_stats_verdicts(enum sp_auth_count result)
{
    uint64_t sum = 0;

    (void)pthread_mutex_lock(&sp_registry.lock);
    for (struct sp_stats_backend *b = sp_registry.backends; b != NULL; b = b->next)
        sum += sp_stats_auth_count(b, result);
    (void)pthread_mutex_unlock(&sp_registry.lock);
    return sum;
}

/* ---- metrics ---- */

static const char *help_of(const char *name, const char *help)
{
    if (help != NULL)
        return help;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].name, name) == 0)
            return known[i].help;
    }
    return "Kept by a backend plugin.";
}

/* "ldap_connections" or "sallyport_ldap_connections": the whole name. NULL: no memory, or a name
 * that is not the caller's to use. */
static char *full_name(const char *name)
{
    bool whole = strncmp(name, PREFIX, sizeof(PREFIX) - 1) == 0;
    char *full;

    for (size_t i = 0; name[i] != '\0'; i++) {
        if (!is_name(name[i], i == 0))
            return NULL;
    }
    if (name[0] == '\0' || asprintf(&full, "%s%s", whole ? "" : PREFIX, name) < 0)
        return NULL;
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        if (strcmp(taken[i], full) == 0) {
            free(full);
            return NULL;
        }
    }
    return full;
}

/* Where a series of this name and labels is, or belongs. */
static struct sp_auth_metric **metric_place(const char *name, const char *labels)
{
    struct sp_auth_metric **at = &sp_registry.metrics;

    while (*at != NULL) {
        int order = strcmp((*at)->name, name);

        if (order == 0)
            order = strcmp((*at)->labels, labels);
        if (order >= 0)
            break;
        at = &(*at)->next;
    }
    return at;
}

static bool kind_agrees(enum sp_metric_kind kind, const char *name)
{
    for (const struct sp_auth_metric *m = sp_registry.metrics; m != NULL; m = m->next) {
        if (strcmp(m->name, name) == 0)
            return m->kind == kind;
    }
    return true;
}

/* Takes `full`. The lock is held. */
static struct sp_auth_metric *find_or_make(enum sp_metric_kind kind, char *full, const char *labels,
                                           const char *help)
{
    struct sp_auth_metric **at = metric_place(full, labels);
    struct sp_auth_metric *metric = *at;
    bool there = metric != NULL && strcmp(metric->name, full) == 0 &&
                 strcmp(metric->labels, labels) == 0;

    if (there || !kind_agrees(kind, full) || sp_registry.metrics_len == METRICS_MAX) {
        free(full);
        return there && metric->kind == kind ? metric : NULL;
    }
    metric = calloc(1, sizeof(*metric));
    if (metric == NULL) {
        free(full);
        return NULL;
    }
    *metric = (struct sp_auth_metric){.kind = kind, .name = full, .next = *at};
    metric->help = help_of(full, help);
    metric->labels = strdup(labels);
    if (metric->labels == NULL) {
        metric_free(metric);
        return NULL;
    }
    *at = metric;
    sp_registry.metrics_len++;
    return metric;
}

struct sp_auth_metric *sp_stats_metric(enum sp_metric_kind kind, const char *name,
                                       const char *labels)
{
    char *full = labels == NULL || sp_stats_labels_valid(labels) ? full_name(name) : NULL;
    struct sp_auth_metric *metric;

    if (full == NULL)
        return NULL;
    (void)pthread_mutex_lock(&sp_registry.lock);
    metric = find_or_make(kind, full, labels != NULL ? labels : "", NULL);
    (void)pthread_mutex_unlock(&sp_registry.lock);
    return metric;
}

void sp_stats_metric_add(struct sp_auth_metric *metric, int64_t delta)
{
    if (metric != NULL)
        (void)atomic_fetch_add_explicit(&metric->value, delta, memory_order_relaxed);
}

/* What is asked for in place of a value that is kept. */
struct asked {
    int64_t (*read)(void *owner);
    void (*list)(void *owner, struct sp_stats_samples *samples);
    void *owner;
};

static enum sp_err ask(enum sp_metric_kind kind, const char *name, const char *labels,
                       const char *help, const struct asked *asked)
{
    char *full = sp_stats_labels_valid(labels) ? full_name(name) : NULL;
    struct sp_auth_metric *metric;

    if (full == NULL)
        return SP_ERR_INVALID;
    (void)pthread_mutex_lock(&sp_registry.lock);
    metric = find_or_make(kind, full, labels, help);
    if (metric != NULL) {
        metric->read = asked->read;
        metric->list = asked->list;
        metric->owner = asked->owner;
    }
    (void)pthread_mutex_unlock(&sp_registry.lock);
    return metric != NULL ? SP_OK : SP_ERR_NOMEM;
}

enum sp_err sp_stats_gauge(const char *name, const char *labels, const char *help,
                           int64_t (*read)(void *owner), void *owner)
{
    return ask(SP_METRIC_GAUGE, name, labels, help, &(struct asked){.read = read, .owner = owner});
}

enum sp_err sp_stats_counter(const char *name, const char *labels, const char *help,
                             int64_t (*read)(void *owner), void *owner)
{
    return ask(SP_METRIC_COUNTER, name, labels, help,
               &(struct asked){.read = read, .owner = owner});
}

enum sp_err sp_stats_gauges(const char *name, const char *help,
                            void (*list)(void *owner, struct sp_stats_samples *samples),
                            void *owner)
{
    return ask(SP_METRIC_GAUGE, name, "", help, &(struct asked){.list = list, .owner = owner});
}
