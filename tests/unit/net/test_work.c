/* The work pool: jobs run elsewhere and come home, the queue is bounded, nobody is left behind. */
#include "net_test.h"

#include "net/work.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

struct job {
    struct sp_work work;
    atomic_bool may_end;
    atomic_bool runs;
    bool blocks;
    bool signals_blocked;
    pthread_t ran_on;
    unsigned done;
    bool came_home;
    bool detached; /* its submitter has gone: done() frees it */
};

static void on_run(struct sp_work *work)
{
    struct job *job = sp_container_of(work, struct job, work);
    sigset_t mask;

    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    job->signals_blocked = sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGHUP) == 1;
    job->ran_on = pthread_self();
    atomic_store(&job->runs, true);
    while (job->blocks && !atomic_load(&job->may_end))
        usleep(1000);
}

static void on_done(struct sp_work *work)
{
    struct job *job = sp_container_of(work, struct job, work);

    if (job->detached) {
        free(job);
        return;
    }
    job->done++;
    job->came_home = true;
}

static void job_init(struct job *job, bool blocks)
{
    memset(job, 0, sizeof(*job));
    job->work.run = on_run;
    job->work.done = on_done;
    job->blocks = blocks;
}

static void a_job_runs_on_another_thread_and_comes_home_once(void **state)
{
    struct sp_work_pool *pool = sp_work_pool_new(2, 1, 4);
    struct sp_loop *loop = test_loop_new(pool);
    struct job job;
    (void)state;

    job_init(&job, false);
    assert_int_equal(sp_work_start(loop, &job.work), SP_OK);
    assert_int_equal(job.done, 0);
    test_turn_until(loop, &job.came_home);
    assert_int_equal(job.done, 1);
    assert_false(pthread_equal(job.ran_on, pthread_self()));
    assert_true(job.signals_blocked);
    test_loop_end(&loop);
    sp_work_pool_free(&pool);
    assert_null(pool);
}

static void a_full_queue_refuses_and_never_calls_done(void **state)
{
    struct sp_work_pool *pool = sp_work_pool_new(1, 1, 2);
    struct sp_loop *loop = test_loop_new(pool);
    struct job jobs[8];
    unsigned taken = 0, home = 0;
    (void)state;

    for (unsigned i = 0; i < 8; i++)
        job_init(&jobs[i], true);
    assert_int_equal(sp_work_start(loop, &jobs[0].work), SP_OK);
    while (!atomic_load(&jobs[0].runs)) /* the one thread has it then */
        usleep(1000);
    for (unsigned i = 1; i < 8; i++)
        taken += sp_work_start(loop, &jobs[i].work) == SP_OK;
    assert_int_equal(taken, 2);
    for (unsigned i = 0; i < 8; i++)
        atomic_store(&jobs[i].may_end, true);
    test_turn_until(loop, &jobs[2].came_home);
    test_turn_for(loop, 20);
    for (unsigned i = 0; i < 8; i++)
        home += jobs[i].done;
    assert_int_equal(home, 3);
    test_loop_end(&loop);
    sp_work_pool_free(&pool);
}

/* Whoever waits outside holds up others that wait, and never what computes. */
static void jobs_that_wait_keep_none_from_running_that_computes(void **state)
{
    struct sp_work_pool *pool = sp_work_pool_new(1, 2, 8);
    struct sp_loop *loop = test_loop_new(pool);
    struct job waiting[6], computing;
    (void)state;

    for (unsigned i = 0; i < 6; i++) {
        job_init(&waiting[i], true);
        waiting[i].work.waits = true;
        assert_int_equal(sp_work_start(loop, &waiting[i].work), SP_OK);
    }
    job_init(&computing, false);
    assert_int_equal(sp_work_start(loop, &computing.work), SP_OK);
    test_turn_until(loop, &computing.came_home);
    for (unsigned i = 0; i < 6; i++)
        assert_false(waiting[i].came_home);
    for (unsigned i = 0; i < 6; i++)
        atomic_store(&waiting[i].may_end, true);
    for (unsigned i = 0; i < 6; i++)
        test_turn_until(loop, &waiting[i].came_home);
    test_loop_end(&loop);
    sp_work_pool_free(&pool);
}

static void *let_end(void *arg)
{
    struct job *job = arg;

    usleep(100000);
    atomic_store(&job->may_end, true);
    return NULL;
}

static void a_loop_waits_for_its_jobs_before_it_ends(void **state)
{
    struct sp_work_pool *pool = sp_work_pool_new(1, 1, 2);
    struct sp_loop *loop = test_loop_new(pool);
    pthread_t thread;
    struct job job;
    (void)state;

    job_init(&job, true);
    assert_int_equal(sp_work_start(loop, &job.work), SP_OK);
    assert_int_equal(pthread_create(&thread, NULL, let_end, &job), 0);
    sp_loop_stop(loop);
    sp_loop_run(loop);
    assert_int_equal(job.done, 1);
    pthread_join(thread, NULL);
    sp_loop_free(&loop);
    sp_work_pool_free(&pool);
}

static void a_job_whose_owner_left_frees_itself_at_home(void **state)
{
    struct sp_work_pool *pool = sp_work_pool_new(1, 1, 2);
    struct sp_loop *loop = test_loop_new(pool);
    struct job *job = malloc(sizeof(*job));
    (void)state;

    assert_non_null(job);
    job_init(job, false);
    assert_int_equal(sp_work_start(loop, &job->work), SP_OK);
    job->detached = true;
    test_loop_end(&loop); /* the leak checker is the judge */
    sp_work_pool_free(&pool);
}

static atomic_uint forgotten;

static void on_forgotten(struct sp_work *work)
{
    atomic_fetch_add(&forgotten, 1);
    free(work);
}

static void jobs_without_a_loop_are_run_before_the_pool_ends(void **state)
{
    struct sp_work_pool *pool = sp_work_pool_new(1, 1, 8);
    (void)state;

    for (unsigned i = 0; i < 5; i++) {
        struct sp_work *work = calloc(1, sizeof(*work));

        assert_non_null(work);
        work->run = on_forgotten;
        assert_int_equal(sp_work_pool_run(pool, work), SP_OK);
    }
    sp_work_pool_free(&pool);
    assert_int_equal(atomic_load(&forgotten), 5);
}

static void a_loop_without_a_pool_refuses_jobs(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    struct job job;
    (void)state;

    job_init(&job, false);
    assert_int_equal(sp_work_start(loop, &job.work), SP_ERR_FULL);
    test_loop_end(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_runs_on_another_thread_and_comes_home_once),
        cmocka_unit_test(a_full_queue_refuses_and_never_calls_done),
        cmocka_unit_test(jobs_that_wait_keep_none_from_running_that_computes),
        cmocka_unit_test(a_loop_waits_for_its_jobs_before_it_ends),
        cmocka_unit_test(a_job_whose_owner_left_frees_itself_at_home),
        cmocka_unit_test(jobs_without_a_loop_are_run_before_the_pool_ends),
        cmocka_unit_test(a_loop_without_a_pool_refuses_jobs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
