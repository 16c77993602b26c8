/* What the core lends to a plugin: log lines in the backend's name, the bounded work pool, and
 * metrics labelled with the backend. Called by plugins, on the threads that auth_backend.h names.
 */
#include "auth/auth_priv.h"

#include "net/work.h"
#include "util/text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A plugin's job carries the room for ours, so that submitting one allocates nothing. */
static_assert(sizeof(struct sp_work) <= sizeof(((struct sp_auth_work *)0)->reserved),
              "struct sp_auth_work must have room for struct sp_work");
static_assert(_Alignof(struct sp_work) <= _Alignof(void *), "and be aligned for it");

static const struct sp_auth_lent *lent_of(const struct sp_auth_host *host)
{
    return sp_container_of((struct sp_auth_host *)(uintptr_t)host, struct sp_auth_lent, host);
}

static void host_log(const struct sp_auth_host *host, enum sp_log_level level, const char *fmt, ...)
{
    char line[2048];
    va_list args;
    size_t len = 0;

    if (!sp_log_enabled(level))
        return;
    va_start(args, fmt);
    if (vsnprintf(line, sizeof(line), fmt, args) < 0)
        line[0] = '\0';
    va_end(args);
    for (char *c = line; *c != '\0'; c++) /* one call, one line: whatever a server has sent */
        line[len++] = (unsigned char)*c < 0x20 || *c == 0x7f ? ' ' : *c;
    sp_log_line(&lent_of(host)->log, level, "%s", line);
}

static struct sp_work *work_in(struct sp_auth_work *work)
{
    return (struct sp_work *)(void *)work->reserved;
}

static struct sp_auth_work *work_around(struct sp_work *work)
{
    return sp_container_of((void *)work, struct sp_auth_work, reserved);
}

static void run_work(struct sp_work *work)
{
    struct sp_auth_work *job = work_around(work);

    job->run(job);
}

static void work_done(struct sp_work *work)
{
    struct sp_auth_work *job = work_around(work);

    job->done(job);
}

static enum sp_err host_work(const struct sp_auth_host *host, struct sp_auth_work *job)
{
    struct sp_work *work = work_in(job);

    if (lent_of(host)->loop == NULL)
        return SP_ERR_INVALID; /* a config has no loop to come home to */
    memset(job->reserved, 0, sizeof(job->reserved));
    work->run = run_work;
    work->done = work_done;
    work->waits = job->waits;
    return sp_work_start(lent_of(host)->loop, work);
}

/* A label's value: backslash, quote and line feed escaped (Prometheus text format 0.0.4). */
static void escape_label(const char *value, char *out, size_t cap)
{
    size_t len = 0;

    for (; *value != '\0' && len + 3 < cap; value++) {
        if (*value == '\\' || *value == '"' || *value == '\n')
            out[len++] = '\\';
        out[len++] = *value == '\n' ? 'n' : *value;
    }
    out[len] = '\0';
}

static struct sp_auth_metric *host_metric(const struct sp_auth_host *host, enum sp_metric_kind kind,
                                          const char *name, const char *labels)
{
    bool more = labels != NULL && labels[0] != '\0';
    char backend[256], full[128], all[1024];

    escape_label(host->backend, backend, sizeof(backend));
    if (snprintf(full, sizeof(full), "sallyport_%s", name) >= (int)sizeof(full) ||
        snprintf(all, sizeof(all), "backend=\"%s\"%s%s", backend, more ? "," : "",
                 more ? labels : "") >= (int)sizeof(all))
        return NULL;
    return sp_stats_metric(kind, full, all);
}

static void host_add(struct sp_auth_metric *metric, int64_t delta)
{
    if (metric != NULL)
        sp_stats_metric_add(metric, delta);
}

void sp_auth_lent_init(struct sp_auth_lent *lent, const char *backend, struct sp_loop *loop,
                       const struct sp_log *log)
{
    char safe[128];

    *lent = (struct sp_auth_lent){
        .host = {.abi_version = SP_AUTH_ABI_VERSION,
                 .backend = backend,
                 .loop = loop != NULL ? sp_loop_uv(loop) : NULL,
                 .log = host_log,
                 .work = host_work,
                 .metric = host_metric,
                 .add = host_add},
        .loop = loop,
    };
    (void)snprintf(lent->fields, sizeof(lent->fields), "backend=\"%s\"",
                   sp_text_safe(sp_span_cstr(backend), safe, sizeof(safe)));
    lent->log = (struct sp_log){.parent = log, .fields = lent->fields};
}
