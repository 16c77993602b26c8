/* A host for one plugin under test: a loop, a pool (libuv's own, which is bounded enough for a
 * test), a log that is kept, and switches to make it refuse. Header only; one thread. */
#ifndef SP_TESTS_LENDER_H
#define SP_TESTS_LENDER_H

#include "sallyport/auth_backend.h"
#include "util/list.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lender {
    struct sp_auth_host host;
    uv_loop_t loop;
    bool full;           /* work() answers SP_ERR_FULL */
    bool hold;           /* jobs wait in `held` until lender_release */
    struct sp_list held; /* of struct lent */
    unsigned jobs;       /* how many were taken */
    unsigned waits;      /* of them, for somebody outside */
    pthread_mutex_t lock;
    char log[16384]; /* all lines; any thread writes */
};

struct lent {
    struct sp_list node;
    uv_work_t request;
    struct lender *lender;
    struct sp_auth_work *work;
};

static inline void lender_log(const struct sp_auth_host *host, enum sp_log_level level,
                              const char *fmt, ...)
{
    struct lender *lender = sp_container_of(host, struct lender, host);
    size_t used;
    va_list args;

    (void)level;
    (void)pthread_mutex_lock(&lender->lock);
    used = strlen(lender->log);
    va_start(args, fmt);
    (void)vsnprintf(lender->log + used, sizeof lender->log - used, fmt, args);
    va_end(args);
    used = strlen(lender->log);
    (void)snprintf(lender->log + used, sizeof lender->log - used, "\n");
    (void)pthread_mutex_unlock(&lender->lock);
}

static inline void lent_run(uv_work_t *request)
{
    struct lent *lent = request->data;

    lent->work->run(lent->work);
}

static inline void lent_done(uv_work_t *request, int status)
{
    struct lent *lent = request->data;
    struct sp_auth_work *work = lent->work;

    (void)status;
    free(lent);
    work->done(work);
}

static inline void lent_start(struct lent *lent)
{
    if (uv_queue_work(&lent->lender->loop, &lent->request, lent_run, lent_done) != 0)
        abort();
}

static inline enum sp_err lender_work(const struct sp_auth_host *host, struct sp_auth_work *work)
{
    struct lender *lender = sp_container_of(host, struct lender, host);
    struct lent *lent;

    if (lender->full)
        return SP_ERR_FULL;
    lent = calloc(1, sizeof *lent);
    if (lent == NULL)
        return SP_ERR_NOMEM;
    lent->lender = lender;
    lent->work = work;
    lent->request.data = lent;
    lender->jobs++;
    lender->waits += work->waits;
    if (lender->hold)
        sp_list_push(&lender->held, &lent->node);
    else
        lent_start(lent);
    return SP_OK;
}

/* The jobs that waited begin. */
static inline void lender_release(struct lender *lender)
{
    struct sp_list *node;

    lender->hold = false;
    while ((node = sp_list_shift(&lender->held)) != NULL)
        lent_start(sp_container_of(node, struct lent, node));
}

static inline struct sp_auth_metric *lender_metric(const struct sp_auth_host *host,
                                                   enum sp_metric_kind kind, const char *name,
                                                   const char *labels)
{
    (void)host;
    (void)kind;
    (void)name;
    (void)labels;
    return NULL;
}

static inline void lender_add(struct sp_auth_metric *metric, int64_t delta)
{
    (void)metric;
    (void)delta;
}

static inline void lender_init(struct lender *lender, const char *backend)
{
    memset(lender, 0, sizeof *lender);
    sp_list_init(&lender->held);
    if (uv_loop_init(&lender->loop) != 0 || pthread_mutex_init(&lender->lock, NULL) != 0)
        abort();
    lender->host = (struct sp_auth_host){.abi_version = SP_AUTH_ABI_VERSION,
                                         .backend = backend,
                                         .loop = &lender->loop,
                                         .log = lender_log,
                                         .work = lender_work,
                                         .metric = lender_metric,
                                         .add = lender_add};
}

/* 0, or UV_EBUSY where a handle was left on the loop. */
static inline int lender_fini(struct lender *lender)
{
    int err;

    (void)uv_run(&lender->loop, UV_RUN_DEFAULT);
    err = uv_loop_close(&lender->loop);
    (void)pthread_mutex_destroy(&lender->lock);
    return err;
}

static inline bool lender_logged(struct lender *lender, const char *words)
{
    bool found;

    (void)pthread_mutex_lock(&lender->lock);
    found = strstr(lender->log, words) != NULL;
    (void)pthread_mutex_unlock(&lender->lock);
    return found;
}

static inline void lender_forget(struct lender *lender)
{
    (void)pthread_mutex_lock(&lender->lock);
    lender->log[0] = '\0';
    (void)pthread_mutex_unlock(&lender->lock);
}

#endif
