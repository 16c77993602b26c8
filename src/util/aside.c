/* Threads that nobody joins: see aside.h. */
#include "util/aside.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define STOP_LOOK_NS 100000000u /* how soon one who waits sees *stop */
#define SECOND_NS    1000000000u

static atomic_uint threads;

/* At the end of the process, before libraries take themselves apart: not under a thread that is
 * inside of them. */
static void end_at_once(int status, void *unused)
{
    (void)unused;
    if (atomic_load(&threads) == 0)
        return;
    (void)fflush(NULL);
    _exit(status);
}

static bool know_of_the_end(void)
{
    static atomic_flag known = ATOMIC_FLAG_INIT;

    if (atomic_flag_test_and_set(&known))
        return true;
    if (on_exit(end_at_once, NULL) == 0)
        return true;
    atomic_flag_clear(&known);
    return false;
}

/* ---- the two that have it ---- */

static enum sp_err init(struct sp_aside *aside)
{
    pthread_condattr_t attr;
    int failure = pthread_condattr_init(&attr);

    aside->done = false;
    aside->left = false;
    if (failure != 0)
        return SP_ERR_NOMEM;
    failure = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (failure == 0)
        failure = pthread_cond_init(&aside->news, &attr);
    (void)pthread_condattr_destroy(&attr);
    if (failure != 0)
        return SP_ERR_NOMEM;
    if (pthread_mutex_init(&aside->lock, NULL) == 0)
        return SP_OK;
    (void)pthread_cond_destroy(&aside->news);
    return SP_ERR_NOMEM;
}

static void fini(struct sp_aside *aside)
{
    (void)pthread_cond_destroy(&aside->news);
    (void)pthread_mutex_destroy(&aside->lock);
}

static void *run(void *arg)
{
    struct sp_aside *aside = arg;
    bool left;

    aside->run(aside);
    (void)pthread_mutex_lock(&aside->lock);
    aside->done = true;
    left = aside->left;
    (void)pthread_cond_broadcast(&aside->news);
    (void)pthread_mutex_unlock(&aside->lock);
    if (left) {
        fini(aside);
        aside->free(aside);
    }
    atomic_fetch_sub(&threads, 1u);
    return NULL;
}

void sp_aside_leave(struct sp_aside **ref)
{
    struct sp_aside *aside = *ref;
    bool done;

    *ref = NULL;
    (void)pthread_mutex_lock(&aside->lock);
    done = aside->done;
    aside->left = true;
    (void)pthread_mutex_unlock(&aside->lock);
    if (!done)
        return;
    fini(aside);
    aside->free(aside);
}

/* ---- beginning ---- */

/* Signals are for the thread that handles them: here one would interrupt a library, or end the
 * process where the others hold it back. */
static int create(const pthread_attr_t *attr, struct sp_aside *aside)
{
    pthread_t thread;
    sigset_t all, before;
    int failure;

    (void)sigfillset(&all);
    failure = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (failure != 0)
        return failure;
    failure = pthread_create(&thread, attr, run, aside);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure;
}

static enum sp_err start_thread(struct sp_aside *aside)
{
    pthread_attr_t attr;
    int failure = pthread_attr_init(&attr);

    if (failure != 0)
        return SP_ERR_FULL;
    failure = pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (failure == 0)
        failure = create(&attr, aside);
    (void)pthread_attr_destroy(&attr);
    return failure == 0 ? SP_OK : SP_ERR_FULL;
}

enum sp_err sp_aside_start(struct sp_aside *aside)
{
    enum sp_err err = know_of_the_end() ? init(aside) : SP_ERR_NOMEM;

    if (err != SP_OK)
        return err;
    if (atomic_fetch_add(&threads, 1u) >= SP_ASIDE_MAX)
        err = SP_ERR_FULL;
    else
        err = start_thread(aside);
    if (err != SP_OK) {
        atomic_fetch_sub(&threads, 1u);
        fini(aside);
    }
    return err;
}

/* ---- waiting ---- */

static uint64_t now_ns(void)
{
    struct timespec now = {0, 0};

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static struct timespec time_of(uint64_t ns)
{
    return (struct timespec){(time_t)(ns / SECOND_NS), (long)(ns % SECOND_NS)};
}

enum sp_err sp_aside_wait(struct sp_aside *aside, uint64_t due_ns, const atomic_bool *stop)
{
    enum sp_err err = SP_OK;

    (void)pthread_mutex_lock(&aside->lock);
    while (!aside->done && err == SP_OK) {
        uint64_t now = now_ns();
        uint64_t left = due_ns > now ? due_ns - now : 0;
        struct timespec until = time_of(now + (left < STOP_LOOK_NS ? left : STOP_LOOK_NS));

        if (stop != NULL && atomic_load(stop))
            err = SP_ERR_CLOSED;
        else if (left == 0)
            err = SP_ERR_TIMEOUT;
        else
            (void)pthread_cond_timedwait(&aside->news, &aside->lock, &until);
    }
    (void)pthread_mutex_unlock(&aside->lock);
    return err;
}
