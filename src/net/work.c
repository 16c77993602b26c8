/* The work pool: threads that take jobs from a bounded queue, and send them home as letters to the
 * loop they came from. Jobs that wait for somebody outside have a queue and threads of their own: a
 * server that hangs keeps those, and what only needs a CPU goes on. Jobs are owned by whoever
 * submitted them; run() is called on a pool thread, done() on the submitter's loop. */
#include "net/work.h"

#include "net/loop_priv.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>

enum lane_kind { LANE_COMPUTES, LANE_WAITS, LANES };

struct lane {
    struct sp_work_pool *pool;
    pthread_cond_t wake; /* there is a job, or the end has come */
    struct sp_work *first;
    struct sp_work *last;
    unsigned waiting; /* in the queue */
};

struct sp_work_pool {
    pthread_mutex_t lock;
    struct lane lanes[LANES];
    unsigned lanes_len;   /* made */
    unsigned waiting_max; /* in each */
    bool ending;
    unsigned threads_len;
    pthread_t threads[];
};

/* ---- a pool thread ---- */

/* The next job, or NULL when the pool ends and nothing is left to do. */
static struct sp_work *take_job(struct lane *lane)
{
    struct sp_work *work;

    pthread_mutex_lock(&lane->pool->lock);
    while (lane->first == NULL && !lane->pool->ending)
        pthread_cond_wait(&lane->wake, &lane->pool->lock);
    work = lane->first;
    if (work != NULL) {
        lane->first = work->next;
        if (lane->first == NULL)
            lane->last = NULL;
        lane->waiting--;
    }
    pthread_mutex_unlock(&lane->pool->lock);
    return work;
}

static void *pool_thread(void *arg)
{
    struct lane *lane = arg;
    struct sp_work *work;

    while ((work = take_job(lane)) != NULL) {
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
    struct lane *lane = &pool->lanes[work->waits ? LANE_WAITS : LANE_COMPUTES];
    enum sp_err err = SP_OK;

    work->next = NULL;
    pthread_mutex_lock(&pool->lock);
    if (pool->ending || lane->waiting >= pool->waiting_max) {
        err = SP_ERR_FULL;
    } else {
        if (lane->last != NULL)
            lane->last->next = work;
        else
            lane->first = work;
        lane->last = work;
        lane->waiting++;
    }
    pthread_mutex_unlock(&pool->lock);
    if (err == SP_OK)
        pthread_cond_signal(&lane->wake);
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
    for (unsigned i = 0; i < pool->lanes_len; i++)
        pthread_cond_broadcast(&pool->lanes[i].wake);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->threads_len; i++)
        pthread_join(pool->threads[i], NULL);
    while (pool->lanes_len > 0)
        pthread_cond_destroy(&pool->lanes[--pool->lanes_len].wake);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

/* Signals are for the main thread: a pool thread inherits a mask that lets none through. */
static bool start_threads(struct sp_work_pool *pool, unsigned computing, unsigned waiting)
{
    sigset_t all, before;

    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
        return false;
    while (pool->threads_len < computing + waiting) {
        pthread_t *thread = &pool->threads[pool->threads_len];
        bool waits = pool->threads_len >= computing;

        if (pthread_create(thread, NULL, pool_thread,
                           &pool->lanes[waits ? LANE_WAITS : LANE_COMPUTES]) != 0)
            break;
        /* for people who look with ps */
        (void)pthread_setname_np(*thread, waits ? "sp-wait" : "sp-work");
        pool->threads_len++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pool->threads_len == computing + waiting;
}

static bool make_lanes(struct sp_work_pool *pool)
{
    while (pool->lanes_len < LANES) {
        struct lane *lane = &pool->lanes[pool->lanes_len];

        lane->pool = pool;
        if (pthread_cond_init(&lane->wake, NULL) != 0)
            return false;
        pool->lanes_len++;
    }
    return true;
}

struct sp_work_pool *sp_work_pool_new(unsigned computing, unsigned waiting, unsigned queue_max)
{
    struct sp_work_pool *pool = calloc(1, sizeof(*pool) +
                                              (computing + waiting) * sizeof(pool->threads[0]));

    if (pool == NULL)
        return NULL;
    pool->waiting_max = queue_max;
    if (pthread_mutex_init(&pool->lock, NULL) != 0) {
        free(pool);
        return NULL;
    }
    if (!make_lanes(pool) || !start_threads(pool, computing, waiting)) {
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
    waiting = pool->lanes[LANE_COMPUTES].waiting + pool->lanes[LANE_WAITS].waiting;
    pthread_mutex_unlock(&pool->lock);
    return waiting;
}
