/* The test host: see host.h. Loop-side functions on the test's thread; run() of jobs on threads
 * made here, which bring their jobs home through a uv_async_t. */
#include "support/host.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS     4
#define QUEUE_MAX   256
#define METRICS_MAX 128
#define LOG_MAX     (256 * 1024)

struct sp_auth_metric {
    char name[64];
    char labels[256];
    int64_t value;
};

struct test_host {
    struct sp_auth_host host;
    pthread_mutex_t lock;
    pthread_cond_t more;
    pthread_t threads[THREADS];
    bool ending;
    bool refuse;
    struct sp_auth_work *queue[QUEUE_MAX];
    size_t queue_len;
    struct sp_auth_work *home[QUEUE_MAX];
    size_t home_len;
    unsigned jobs;
    uv_async_t *wake;
    char log[LOG_MAX];
    size_t log_len;
    struct sp_auth_metric metrics[METRICS_MAX];
    size_t metrics_len;
};

static void must(bool well, const char *what)
{
    if (!well) {
        fprintf(stderr, "test host: %s\n", what);
        abort();
    }
}

static struct test_host *host_of(const struct sp_auth_host *host)
{
    return (struct test_host *)(uintptr_t)host; /* the first member; the lent pointer is const */
}

/* ---- log and metrics: any thread ---- */

static void host_log(const struct sp_auth_host *lent, enum sp_log_level level, const char *fmt, ...)
    SP_PRINTF(3, 4);

static void host_log(const struct sp_auth_host *lent, enum sp_log_level level, const char *fmt, ...)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    struct test_host *host = host_of(lent);
    char line[1024];
    va_list args;
    int len;

    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    pthread_mutex_lock(&host->lock);
    len = snprintf(host->log + host->log_len, LOG_MAX - host->log_len, "%s: %s\n", names[level],
                   line);
    if (len > 0 && (size_t)len < LOG_MAX - host->log_len)
        host->log_len += (size_t)len;
    pthread_mutex_unlock(&host->lock);
}

static struct sp_auth_metric *find_metric(struct test_host *host, const char *name,
                                          const char *labels)
{
    for (size_t i = 0; i < host->metrics_len; i++) {
        struct sp_auth_metric *m = &host->metrics[i];

        if (strcmp(m->name, name) == 0 && strcmp(m->labels, labels) == 0)
            return m;
    }
    return NULL;
}

static struct sp_auth_metric *host_metric(const struct sp_auth_host *lent, enum sp_metric_kind kind,
                                          const char *name, const char *labels)
{
    struct test_host *host = host_of(lent);
    struct sp_auth_metric *m;

    (void)kind;
    pthread_mutex_lock(&host->lock);
    m = find_metric(host, name, labels);
    if (m == NULL) {
        must(host->metrics_len < METRICS_MAX, "too many metrics");
        m = &host->metrics[host->metrics_len++];
        snprintf(m->name, sizeof(m->name), "%s", name);
        snprintf(m->labels, sizeof(m->labels), "%s", labels);
    }
    pthread_mutex_unlock(&host->lock);
    return m;
}

static void host_add(struct sp_auth_metric *metric, int64_t delta)
{
    if (metric != NULL)
        __atomic_add_fetch(&metric->value, delta, __ATOMIC_RELAXED);
}

const char *test_host_log(struct test_host *host)
{
    return host->log;
}

int64_t test_host_metric(struct test_host *host, const char *name, const char *labels)
{
    struct sp_auth_metric *m = find_metric(host, name, labels);

    return m != NULL ? __atomic_load_n(&m->value, __ATOMIC_RELAXED) : 0;
}

/* ---- work ---- */

static void *thread_main(void *arg)
{
    struct test_host *host = arg;

    pthread_mutex_lock(&host->lock);
    for (;;) {
        struct sp_auth_work *work;

        while (host->queue_len == 0 && !host->ending)
            pthread_cond_wait(&host->more, &host->lock);
        if (host->queue_len == 0)
            break;
        work = host->queue[0];
        memmove(host->queue, host->queue + 1, --host->queue_len * sizeof(host->queue[0]));
        pthread_mutex_unlock(&host->lock);
        work->run(work);
        pthread_mutex_lock(&host->lock);
        host->home[host->home_len++] = work;
        uv_async_send(host->wake);
    }
    pthread_mutex_unlock(&host->lock);
    return NULL;
}

static void on_wake(uv_async_t *async)
{
    struct test_host *host = async->data;
    struct sp_auth_work *home[QUEUE_MAX];
    size_t len;

    pthread_mutex_lock(&host->lock);
    len = host->home_len;
    memcpy(home, host->home, len * sizeof(home[0]));
    host->home_len = 0;
    pthread_mutex_unlock(&host->lock);
    for (size_t i = 0; i < len; i++) {
        if (--host->jobs == 0)
            uv_unref((uv_handle_t *)host->wake); /* a loop with no job may end */
        home[i]->done(home[i]);
    }
}

static enum sp_err host_work(const struct sp_auth_host *lent, struct sp_auth_work *work)
{
    struct test_host *host = host_of(lent);
    bool room;

    pthread_mutex_lock(&host->lock);
    room = !host->refuse && host->jobs < QUEUE_MAX;
    if (room) {
        host->queue[host->queue_len++] = work;
        if (host->jobs++ == 0)
            uv_ref((uv_handle_t *)host->wake);
        pthread_cond_signal(&host->more);
    }
    pthread_mutex_unlock(&host->lock);
    return room ? SP_OK : SP_ERR_FULL;
}

void test_host_refuse_work(struct test_host *host, bool refuse)
{
    host->refuse = refuse;
}

unsigned test_host_jobs(const struct test_host *host)
{
    return host->jobs;
}

/* ---- life ---- */

static void start_threads(struct test_host *host, uv_loop_t *loop)
{
    host->wake = calloc(1, sizeof(*host->wake));
    must(host->wake != NULL && uv_async_init(loop, host->wake, on_wake) == 0, "no async handle");
    host->wake->data = host;
    uv_unref((uv_handle_t *)host->wake);
    for (size_t i = 0; i < THREADS; i++)
        must(pthread_create(&host->threads[i], NULL, thread_main, host) == 0, "no thread");
}

struct test_host *test_host_new(uv_loop_t *loop, const char *backend)
{
    struct test_host *host = calloc(1, sizeof(*host));

    must(host != NULL, "out of memory");
    host->host = (struct sp_auth_host){
        .abi_version = SP_AUTH_ABI_VERSION,
        .backend = backend,
        .loop = loop,
        .log = host_log,
        .work = host_work,
        .metric = host_metric,
        .add = host_add,
    };
    pthread_mutex_init(&host->lock, NULL);
    pthread_cond_init(&host->more, NULL);
    if (loop != NULL)
        start_threads(host, loop);
    return host;
}

static void on_wake_closed(uv_handle_t *handle)
{
    free(handle);
}

void test_host_free(struct test_host **ref)
{
    struct test_host *host = *ref;

    *ref = NULL;
    if (host == NULL)
        return;
    must(host->jobs == 0, "freed with jobs out");
    pthread_mutex_lock(&host->lock);
    host->ending = true;
    pthread_cond_broadcast(&host->more);
    pthread_mutex_unlock(&host->lock);
    if (host->wake != NULL) {
        for (size_t i = 0; i < THREADS; i++)
            pthread_join(host->threads[i], NULL);
        uv_close((uv_handle_t *)host->wake, on_wake_closed);
        uv_run(host->host.loop, UV_RUN_DEFAULT);
    }
    pthread_cond_destroy(&host->more);
    pthread_mutex_destroy(&host->lock);
    free(host);
}

const struct sp_auth_host *test_host_lend(struct test_host *host)
{
    return &host->host;
}

/* ---- options ---- */

static uint64_t scaled(const char *value)
{
    static const struct {
        const char *unit;
        uint64_t factor;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {"", 1}};
    char *end;
    uint64_t number = strtoull(value, &end, 10);

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].unit) == 0)
            return number * units[i].factor;
    }
    must(false, "a time that is none");
    return 0;
}

static void drop_list(struct sp_strings *list)
{
    for (size_t i = 0; i < list->len; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct sp_strings){NULL, 0};
}

static void fill_list(struct sp_strings *list, const char *value)
{
    char *copy = strdup(value);
    char *rest = copy;
    char *item;

    drop_list(list);
    while ((item = strsep(&rest, ",")) != NULL) {
        item += strspn(item, " ");
        if (*item == '\0')
            continue;
        list->items = realloc(list->items, (list->len + 1) * sizeof(char *));
        must(list->items != NULL, "out of memory");
        list->items[list->len++] = strdup(item);
    }
    free(copy);
}

static int choice_of(const struct sp_option *row, const char *value)
{
    for (int i = 0; row->choices[i] != NULL; i++) {
        if (strcmp(row->choices[i], value) == 0)
            return i;
    }
    must(false, "a choice that is none");
    return 0;
}

static void set_secret(struct sp_secret_text *secret, const char *value)
{
    free(secret->text);
    secret->text = value[0] != '\0' ? strdup(value) : NULL;
    secret->len = strlen(value);
}

static void set_row(const struct sp_option *row, void *options, const char *value)
{
    void *field = (char *)options + row->offset;

    switch (row->type) {
    case SP_OPTION_STRING:
    case SP_OPTION_PATH:
        free(*(char **)field);
        *(char **)field = strdup(value);
        break;
    case SP_OPTION_BOOL: *(bool *)field = strcmp(value, "true") == 0; break;
    case SP_OPTION_INT: *(int64_t *)field = strtoll(value, NULL, 10); break;
    case SP_OPTION_MILLIS: *(uint64_t *)field = scaled(value); break;
    case SP_OPTION_SIZE: *(uint64_t *)field = strtoull(value, NULL, 10); break;
    case SP_OPTION_LIST:
    case SP_OPTION_PATHS: fill_list(field, value); break;
    case SP_OPTION_CHOICE: *(int *)field = choice_of(row, value); break;
    case SP_OPTION_SECRET: set_secret(field, value); break;
    }
}

void test_options_default(const struct sp_option *table, void *options)
{
    for (const struct sp_option *row = table; row->name != NULL; row++)
        set_row(row, options, row->fallback != NULL ? row->fallback : "");
}

void test_options_set(const struct sp_option *table, void *options, const char *name,
                      const char *value)
{
    for (const struct sp_option *row = table; row->name != NULL; row++) {
        if (strcmp(row->name, name) == 0) {
            set_row(row, options, value);
            return;
        }
    }
    must(false, "an option that is none");
}

void test_options_free(const struct sp_option *table, void *options)
{
    for (const struct sp_option *row = table; row->name != NULL; row++) {
        void *field = (char *)options + row->offset;

        if (row->type == SP_OPTION_STRING || row->type == SP_OPTION_PATH)
            free(*(char **)field);
        else if (row->type == SP_OPTION_LIST || row->type == SP_OPTION_PATHS)
            drop_list(field);
        else if (row->type == SP_OPTION_SECRET)
            free(((struct sp_secret_text *)field)->text);
    }
}
