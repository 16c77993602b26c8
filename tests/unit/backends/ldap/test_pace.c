/* The limit on binds at once, before servers that exist only as a formula: so many binds are worked
 * on at once, the others wait. Time is counted, not waited for. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "backends/ldap/ldap_pace.h"

#define MS 1000u

/* `width` binds at once take `work_us` each after a way of `way_us`; more wait in turn. */
struct model {
    unsigned width;
    uint64_t work_us;
    uint64_t way_us;
};

/* Binds without end, always as many at once as the limit lets, or `offered`. */
static void run(struct sp_ldap_pace *pace, const struct model *m, unsigned offered, unsigned binds)
{
    while (binds > 0) {
        unsigned at_once = offered < pace->limit ? offered : pace->limit;

        if (offered > pace->limit)
            sp_ldap_pace_full(pace);
        for (unsigned i = 0; i < at_once && binds > 0; i++, binds--) {
            /* In a steady flow each waits for the round before it. */
            uint64_t turns = (at_once + m->width - 1) / m->width;

            (void)sp_ldap_pace_ended(pace, m->way_us + turns * m->work_us);
        }
    }
}

static void a_quick_server_is_given_all(void **state)
{
    const struct model near = {2, 300, 0};
    struct sp_ldap_pace pace;

    (void)state;
    sp_ldap_pace_init(&pace, 16);
    assert_int_equal(pace.limit, 16);
    run(&pace, &near, 64, 5000);
    assert_int_equal(pace.limit, 16);
}

static void a_far_server_is_given_all(void **state)
{
    const struct model far = {2, 300, 10 * MS};
    struct sp_ldap_pace pace;

    (void)state;
    sp_ldap_pace_init(&pace, 64);
    run(&pace, &far, 64, 5000);
    assert_int_equal(pace.limit, 64);
}

/* Known from quiet times to take 20 ms, 4 at once: 64 would wait 320 ms each. */
static void a_server_that_queues_is_given_what_it_can_work_on(void **state)
{
    const struct model slow = {4, 20 * MS, 0};
    struct sp_ldap_pace pace;

    (void)state;
    sp_ldap_pace_init(&pace, 64);
    run(&pace, &slow, 1, 64);
    run(&pace, &slow, 200, 1500);
    assert_in_range(pace.limit, 4, 12);
}

static void a_server_that_is_quick_again_is_given_all_again(void **state)
{
    const struct model slow = {1, 50 * MS, 0};
    const struct model well = {16, 1 * MS, 0};
    struct sp_ldap_pace pace;

    (void)state;
    sp_ldap_pace_init(&pace, 16);
    run(&pace, &well, 200, 100);
    run(&pace, &slow, 200, 100);
    assert_in_range(pace.limit, 1, 8);
    run(&pace, &well, 200, 1000);
    assert_int_equal(pace.limit, 16);
}

static void one_slow_login_shrinks_nothing(void **state)
{
    struct sp_ldap_pace pace;

    (void)state;
    sp_ldap_pace_init(&pace, 16);
    for (unsigned i = 0; i < 1600; i++) {
        bool changed = sp_ldap_pace_ended(&pace, i % 5 == 0 ? 4000 * MS : 1 * MS);

        assert_false(changed);
    }
    assert_int_equal(pace.limit, 16);
}

static void the_limit_stays_within_its_bounds(void **state)
{
    struct sp_ldap_pace pace;
    uint64_t took_us = 1;

    (void)state;
    sp_ldap_pace_init(&pace, 3);
    for (unsigned i = 0; i < 200; i++) {
        took_us = took_us < 1000000000 ? took_us * 8 : took_us; /* ever slower */
        (void)sp_ldap_pace_ended(&pace, took_us);
        assert_in_range(pace.limit, 1, 3);
    }
    for (unsigned i = 0; i < 200; i++) {
        sp_ldap_pace_full(&pace);
        (void)sp_ldap_pace_ended(&pace, 0);
        assert_in_range(pace.limit, 1, 3);
    }
    assert_int_equal(pace.limit, 3);
}

static void what_is_not_used_does_not_grow(void **state)
{
    struct sp_ldap_pace pace;

    (void)state;
    sp_ldap_pace_init(&pace, 16);
    pace.limit = 4;
    for (unsigned i = 0; i < 400; i++)
        assert_false(sp_ldap_pace_ended(&pace, 1 * MS));
    sp_ldap_pace_full(&pace);
    for (unsigned i = 0; i < 4; i++)
        (void)sp_ldap_pace_ended(&pace, 1 * MS);
    assert_int_equal(pace.limit, 5);
}

static void a_server_slower_for_good_is_not_held_back_for_ever(void **state)
{
    const struct model before = {16, 1 * MS, 0};
    const struct model moved = {16, 1 * MS, 40 * MS};
    struct sp_ldap_pace pace;
    unsigned least = 16;

    (void)state;
    sp_ldap_pace_init(&pace, 16);
    run(&pace, &before, 200, 160);
    for (unsigned i = 0; i < 2000; i++) {
        run(&pace, &moved, 200, 1);
        least = pace.limit < least ? pace.limit : least;
    }
    assert_int_equal(least, 1);
    assert_int_equal(pace.limit, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quick_server_is_given_all),
        cmocka_unit_test(a_far_server_is_given_all),
        cmocka_unit_test(a_server_that_queues_is_given_what_it_can_work_on),
        cmocka_unit_test(a_server_that_is_quick_again_is_given_all_again),
        cmocka_unit_test(one_slow_login_shrinks_nothing),
        cmocka_unit_test(the_limit_stays_within_its_bounds),
        cmocka_unit_test(what_is_not_used_does_not_grow),
        cmocka_unit_test(a_server_slower_for_good_is_not_held_back_for_ever),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
