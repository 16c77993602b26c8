/* util/aside and util/lookup: whoever waits is not held longer than he will be, and nothing is lost
 * or freed twice. Also what a sanitizer says of it counts. */
#include "util/aside.h"
#include "util/lookup.h"

#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_S 60

static atomic_uint freed;

/* Ends when a byte comes, or at once. */
struct job {
    struct sp_aside aside;
    int wait_for; /* -1: nothing */
    unsigned result;
    bool deaf; /* to signals */
};

static void job_run(struct sp_aside *aside)
{
    struct job *job = sp_container_of(aside, struct job, aside);
    sigset_t mask;
    char byte;

    job->deaf = pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0 && sigismember(&mask, SIGTERM) == 1;
    if (job->wait_for >= 0 && read(job->wait_for, &byte, 1) != 1)
        abort();
    job->result = 42;
}

static void job_free(struct sp_aside *aside)
{
    free(sp_container_of(aside, struct job, aside));
    atomic_fetch_add(&freed, 1u);
}

static struct job *job_new(int wait_for)
{
    struct job *job = calloc(1, sizeof(*job));

    assert_non_null(job);
    job->aside.run = job_run;
    job->aside.free = job_free;
    job->wait_for = wait_for;
    return job;
}

static uint64_t in_ms(uint64_t ms)
{
    struct timespec now;

    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec + ms * 1000000u;
}

static void until_freed(unsigned count)
{
    const struct timespec moment = {0, 1000000};
    uint64_t end = in_ms(PATIENCE_S * 1000u);

    while (atomic_load(&freed) < count && in_ms(0) < end)
        (void)nanosleep(&moment, NULL);
    assert_int_equal(atomic_load(&freed), count);
}

static int set_up(void **state)
{
    static int ends[2];

    assert_int_equal(pipe(ends), 0);
    atomic_store(&freed, 0u);
    *state = ends;
    return 0;
}

static int tear_down(void **state)
{
    const int *ends = *state;

    return close(ends[0]) + close(ends[1]);
}

static void release(void **state, unsigned count)
{
    const int *ends = *state;

    for (unsigned i = 0; i < count; i++)
        assert_int_equal(write(ends[1], "x", 1), 1);
}

static void what_has_ended_can_be_read_and_is_freed_once(void **state)
{
    struct job *job = job_new(-1);
    struct sp_aside *aside = &job->aside;

    (void)state;
    assert_int_equal(sp_aside_start(aside), SP_OK);
    assert_int_equal(sp_aside_wait(aside, in_ms(PATIENCE_S * 1000u), NULL), SP_OK);
    assert_int_equal(job->result, 42);
    assert_int_equal(sp_aside_wait(aside, 0, NULL), SP_OK); /* it has ended, whatever the time */
    sp_aside_leave(&aside);
    assert_null(aside);
    assert_int_equal(atomic_load(&freed), 1);
}

static void signals_are_for_others(void **state)
{
    struct job *job = job_new(-1);
    struct sp_aside *aside = &job->aside;
    sigset_t mask;

    (void)state;
    assert_int_equal(sp_aside_start(aside), SP_OK);
    assert_int_equal(sp_aside_wait(aside, in_ms(PATIENCE_S * 1000u), NULL), SP_OK);
    assert_true(job->deaf);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    assert_int_equal(sigismember(&mask, SIGTERM), 0);
    sp_aside_leave(&aside);
}

static void what_is_silent_is_left_to_its_end(void **state)
{
    const int *ends = *state;
    struct sp_aside *aside = &job_new(ends[0])->aside;

    assert_int_equal(sp_aside_start(aside), SP_OK);
    assert_int_equal(sp_aside_wait(aside, in_ms(20), NULL), SP_ERR_TIMEOUT);
    sp_aside_leave(&aside);
    assert_int_equal(atomic_load(&freed), 0);
    release(state, 1);
    until_freed(1);
}

static void one_who_is_told_to_stop_waits_no_longer(void **state)
{
    const int *ends = *state;
    struct sp_aside *aside = &job_new(ends[0])->aside;
    atomic_bool stop = true;

    assert_int_equal(sp_aside_start(aside), SP_OK);
    assert_int_equal(sp_aside_wait(aside, in_ms(PATIENCE_S * 1000u), &stop), SP_ERR_CLOSED);
    release(state, 1);
    assert_int_equal(sp_aside_wait(aside, in_ms(PATIENCE_S * 1000u), NULL), SP_OK);
    sp_aside_leave(&aside);
    assert_int_equal(atomic_load(&freed), 1);
}

/* The thread of a test before may still be on its way out, and counts until then. */
static enum sp_err start_when_there_is_room(struct sp_aside *aside)
{
    enum sp_err err = sp_aside_start(aside);

    for (unsigned i = 0; i < PATIENCE_S * 100u && err == SP_ERR_FULL; i++) {
        (void)poll(NULL, 0, 10);
        err = sp_aside_start(aside);
    }
    return err;
}

/* A name service that is silent for hours makes no more of them. */
static void there_are_only_so_many(void **state)
{
    const int *ends = *state;
    struct job *more = job_new(ends[0]);

    for (unsigned i = 0; i < SP_ASIDE_MAX; i++) {
        struct sp_aside *aside = &job_new(ends[0])->aside;

        assert_int_equal(start_when_there_is_room(aside), SP_OK);
        sp_aside_leave(&aside);
    }
    assert_int_equal(sp_aside_start(&more->aside), SP_ERR_FULL);
    job_free(&more->aside); /* it is ours as before */
    release(state, SP_ASIDE_MAX);
    until_freed(SP_ASIDE_MAX + 1);
}

static void a_name_is_looked_up(void **state)
{
    const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    int failure;

    (void)state;
    assert_int_equal(
        sp_lookup("127.0.0.2", "389", &hints, in_ms(PATIENCE_S * 1000u), NULL, &list, &failure),
        SP_OK);
    assert_int_equal(failure, 0);
    assert_int_equal(((const struct sockaddr_in *)(const void *)list->ai_addr)->sin_port,
                     htons(389));
    freeaddrinfo(list);
    assert_int_equal(
        sp_lookup("no such name", NULL, &hints, in_ms(PATIENCE_S * 1000u), NULL, &list, &failure),
        SP_OK);
    assert_int_not_equal(failure, 0);
    assert_null(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_has_ended_can_be_read_and_is_freed_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(signals_are_for_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_silent_is_left_to_its_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_who_is_told_to_stop_waits_no_longer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(there_are_only_so_many, set_up, tear_down),
        cmocka_unit_test(a_name_is_looked_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
