/* The replay table: once and never again, over time, when full, and from many threads. */
#include "backends/gssapi/replay.h"
#include "util/hash.h"
#include "util/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#define WINDOW 600u

static enum sp_err enter(struct sp_gss_replay *table, uint64_t number, uint64_t now_s)
{
    return sp_gss_replay_enter(table, sp_span_of((const char *)&number, sizeof number), now_s);
}

static void an_authenticator_passes_once(void **state)
{
    struct sp_gss_replay *table = sp_gss_replay_new(WINDOW, 1000);

    (void)state;
    assert_int_equal(enter(table, 1, 100), SP_OK);
    assert_int_equal(enter(table, 1, 100), SP_ERR_DENIED);
    assert_int_equal(enter(table, 2, 100), SP_OK);
    assert_int_equal(sp_gss_replay_count(table), 2);
    sp_gss_replay_free(&table);
    assert_null(table);
}

/* Wherever in a slice an entry begins, it lives for the whole window. */
static void an_entry_lives_for_the_whole_window_and_not_for_ever(void **state)
{
    (void)state;
    for (uint64_t begun = 0; begun < 2 * WINDOW; begun += 7) {
        struct sp_gss_replay *table = sp_gss_replay_new(WINDOW, 1000);

        assert_int_equal(enter(table, 1, begun), SP_OK);
        for (uint64_t after = 0; after <= WINDOW; after += 50)
            assert_int_equal(enter(table, 1, begun + after), SP_ERR_DENIED);
        assert_int_equal(enter(table, 1, begun + 2 * WINDOW), SP_OK);
        sp_gss_replay_free(&table);
    }
}

static void a_long_pause_forgets_everything_and_costs_nothing(void **state)
{
    struct sp_gss_replay *table = sp_gss_replay_new(WINDOW, 100000);

    (void)state;
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(enter(table, i, 10), SP_OK);
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(enter(table, i, 1000000000), SP_OK);
    assert_int_equal(sp_gss_replay_count(table), 1000);
    sp_gss_replay_free(&table);
}

/* Whatever its age when the window is widened, an entry lives for the wide one. */
static void a_wider_window_counts_for_what_is_held_too(void **state)
{
    (void)state;
    for (uint64_t begun = 0; begun < 2 * WINDOW; begun += 13) {
        for (uint64_t age = 0; age <= WINDOW; age += 50) {
            struct sp_gss_replay *table = sp_gss_replay_new(WINDOW, 1000);

            assert_int_equal(enter(table, 1, begun), SP_OK);
            assert_int_equal(enter(table, 2, begun + age), SP_OK);
            assert_int_equal(sp_gss_replay_widen(table, 3 * WINDOW), SP_OK);
            assert_int_equal(enter(table, 1, begun + 3 * WINDOW), SP_ERR_DENIED);
            assert_int_equal(enter(table, 2, begun + age + 3 * WINDOW), SP_ERR_DENIED);
            assert_int_equal(enter(table, 3, begun + age + 3 * WINDOW), SP_OK);
            assert_int_equal(sp_gss_replay_widen(table, WINDOW), SP_OK); /* it stays wide */
            assert_int_equal(enter(table, 3, begun + age + 6 * WINDOW), SP_ERR_DENIED);
            assert_int_equal(enter(table, 1, begun + 9 * WINDOW), SP_OK);
            sp_gss_replay_free(&table);
        }
    }
}

static void a_full_table_refuses_and_forgets_nobody(void **state)
{
    struct sp_gss_replay *table = sp_gss_replay_new(WINDOW, 64);
    unsigned full = 0;
    uint64_t i;

    (void)state;
    assert_int_equal(enter(table, 0, 10), SP_OK);
    for (i = 1; i < 2000; i++)
        full += enter(table, i, 10) == SP_ERR_FULL;
    assert_true(full > 1800);
    assert_true(sp_gss_replay_count(table) <= 64);
    assert_int_equal(enter(table, 0, 10), SP_ERR_DENIED);
    assert_int_equal(enter(table, i, 10 + 2 * WINDOW), SP_OK); /* time makes room */
    sp_gss_replay_free(&table);
}

/* A thread that read the clock a moment before another may come second. */
static void a_clock_read_a_moment_earlier_loses_nothing(void **state)
{
    struct sp_gss_replay *table = sp_gss_replay_new(WINDOW, 1000);

    (void)state;
    assert_int_equal(enter(table, 1, 1000), SP_OK);
    assert_int_equal(enter(table, 1, 999), SP_ERR_DENIED);
    assert_int_equal(enter(table, 2, 799), SP_OK);
    assert_int_equal(enter(table, 2, 1000), SP_ERR_DENIED);
    assert_int_equal(enter(table, 1, 1000), SP_ERR_DENIED);
    sp_gss_replay_free(&table);
}

struct race {
    struct sp_gss_replay *table;
    atomic_uint passed;
};

static void *run(void *data)
{
    struct race *race = data;

    for (uint64_t i = 0; i < 20000; i++) {
        if (enter(race->table, i, i / 1000) == SP_OK)
            atomic_fetch_add(&race->passed, 1);
    }
    return NULL;
}

static void of_equal_authenticators_at_once_one_passes(void **state)
{
    struct race race = {.table = sp_gss_replay_new(WINDOW, 100000)};
    pthread_t threads[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, &race), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&race.passed), 20000);
    sp_gss_replay_free(&race.table);
}

static void the_shared_table_outlives_its_users(void **state)
{
    struct sp_gss_replay *table = sp_gss_replay_share(WINDOW);

    (void)state;
    assert_non_null(table);
    assert_int_equal(enter(table, 77, 10), SP_OK);
    sp_gss_replay_unshare();
    table = sp_gss_replay_share(WINDOW);
    assert_int_equal(enter(table, 77, 10), SP_ERR_DENIED);
    sp_gss_replay_unshare();
}

static int set_up(void **state)
{
    (void)state;
    return sp_hash_setup() != SP_OK;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_authenticator_passes_once),
        cmocka_unit_test(an_entry_lives_for_the_whole_window_and_not_for_ever),
        cmocka_unit_test(a_long_pause_forgets_everything_and_costs_nothing),
        cmocka_unit_test(a_wider_window_counts_for_what_is_held_too),
        cmocka_unit_test(a_full_table_refuses_and_forgets_nobody),
        cmocka_unit_test(a_clock_read_a_moment_earlier_loses_nothing),
        cmocka_unit_test(of_equal_authenticators_at_once_one_passes),
        cmocka_unit_test(the_shared_table_outlives_its_users),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
