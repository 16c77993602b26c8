/* The work pool: threads that take jobs from one bounded queue, and send them home as letters to
 * the loop they came from. Jobs are owned by whoever submitted them; run() is called on a pool
 * thread, done() on the submitter's loop. */
#include "net/work.h"

#include "net/loop_priv.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>

struct sp_work_pool {
    pthread_mutex_t lock;
    pthread_cond_t wake; /* there is a job, or the end has come */
    struct sp_work *first;
    struct sp_work *last;
    unsigned waiting; /* in the queue */
    unsigned waiting_max;
    bool ending;
    unsigned threads_len;
    pthread_t threads[];
};

/* ---- a pool thread ---- */

/* The next job, or NULL when the pool ends and nothing is left to do. */
static struct sp_work *take_job(struct sp_work_pool *pool)
{
    struct sp_work *work;

    pthread_mutex_lock(&pool->lock);
    while (pool->first == NULL && !pool->ending)
        pthread_cond_wait(&pool->wake, &pool->lock);
    work = pool->first;
    if (work != NULL) {
        pool->first = work->next;
        if (pool->first == NULL)
            pool->last = NULL;
        pool->waiting--;
    }
    pthread_mutex_unlock(&pool->lock);
    return work;
}

static void *pool_thread(void *arg)
{
    struct sp_work_pool *pool = arg;
    struct sp_work *work;

    while ((work = take_job(pool)) != NULL) {
        struct sp_loop *loop = work->loop;
        enum sp_err err = SP_OK;

        work->run(work); /* without a loop, the job may be gone now */
        if (loop != NULL)
            err = sp_loop_post(loop, &work->mail);
        assert(err == SP_OK); /* a loop with jobs out does not end */
        (void)err;
    }
    return NULL;
}

/* ---- the loops' side ---- */

static void on_home(struct sp_mail *mail)
{
    struct sp_work *work = sp_container_of(mail, struct sp_work, mail);

    sp_loop_let_go(work->loop);
    work->done(work);
}

/* A thread is woken once the lock is free, or it would wake only to wait for it. The pool outlives
 * whoever brings jobs. */
static enum sp_err queue_job(struct sp_work_pool *pool, struct sp_work *work)
{
    enum sp_err err = SP_OK;

    work->next = NULL;
    pthread_mutex_lock(&pool->lock);
    if (pool->ending || pool->waiting >= pool->waiting_max) {
        err = SP_ERR_FULL;
    } else {
        if (pool->last != NULL)
            pool->last->next = work;
        else
            pool->first = work;
        pool->last = work;
        pool->waiting++;
    }
    pthread_mutex_unlock(&pool->lock);
    if (err == SP_OK)
        pthread_cond_signal(&pool->wake);
    return err;
}

enum sp_err sp_work_start(struct sp_loop *loop, struct sp_work *work)
{
    enum sp_err err;

    if (loop->pool == NULL)
        return SP_ERR_FULL;
    work->loop = loop;
    work->mail.next = NULL;
    work->mail.deliver = on_home;
    sp_loop_hold(loop); /* before the job can come home */
    err = queue_job(loop->pool, work);
    if (err != SP_OK)
        sp_loop_let_go(loop);
    return err;
}

enum sp_err sp_work_pool_run(struct sp_work_pool *pool, struct sp_work *work)
{
    work->loop = NULL;
    return queue_job(pool, work);
}

/* ---- from beginning to end ---- */

static void pool_end(struct sp_work_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->threads_len; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

/* Signals are for the main thread: a pool thread inherits a mask that lets none through. */
static bool start_threads(struct sp_work_pool *pool, unsigned threads)
{
    sigset_t all, before;

    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
        return false;
    while (pool->threads_len < threads) {
        pthread_t *thread = &pool->threads[pool->threads_len];

        if (pthread_create(thread, NULL, pool_thread, pool) != 0)
            break;
        (void)pthread_setname_np(*thread, "sp-work"); /* for people who look with ps */
        pool->threads_len++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pool->threads_len == threads;
}

struct sp_work_pool *sp_work_pool_new(unsigned threads, unsigned queue_max)
{
    struct sp_work_pool *pool = calloc(1, sizeof(*pool) + threads * sizeof(pool->threads[0]));

    if (pool == NULL)
        return NULL;
    pool->waiting_max = queue_max;
    if (pthread_mutex_init(&pool->lock, NULL) != 0) {
        free(pool);
        return NULL;
    }
    if (pthread_cond_init(&pool->wake, NULL) != 0) {
        pthread_mutex_destroy(&pool->lock);
        free(pool);
        return NULL;
    }
    if (!start_threads(pool, threads)) {
        pool_end(pool);
        return NULL;
    }
    return pool;
}

void sp_work_pool_free(struct sp_work_pool **pool_ptr)
{
    struct sp_work_pool *pool = *pool_ptr;

    *pool_ptr = NULL;
    if (pool != NULL)
        pool_end(pool);
}

unsigned sp_work_pool_waiting(struct sp_work_pool *pool)
{
    unsigned waiting;

    pthread_mutex_lock(&pool->lock);
    waiting = pool->waiting;
    pthread_mutex_unlock(&pool->lock);
    return waiting;
}
