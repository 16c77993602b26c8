/* The brake on the service identity: one bind at a time at a server, none once it is refused, and
 * one after each pause. Pauses are on a clock of the test. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "backends/ldap/ldap_brake.h"

#include <pthread.h>
#include <uv.h>

#define SECOND  UINT64_C(1000000000)
#define WAITERS 8

struct waiter {
    struct sp_ldap_brake *brake;
    const atomic_bool *stop;
    pthread_t thread;
    enum sp_err err;
};

static void *wait_in_line(void *arg)
{
    struct waiter *w = arg;

    w->err = sp_ldap_brake_enter(w->brake, 0, uv_hrtime() + 30 * SECOND, w->stop);
    if (w->err == SP_OK)
        (void)sp_ldap_brake_leave(w->brake, 0, SP_LDAP_SERVICE_TAKEN, 0);
    return NULL;
}

static void begin(struct waiter *waiters, struct sp_ldap_brake *brake, const atomic_bool *stop)
{
    for (unsigned i = 0; i < WAITERS; i++) {
        waiters[i] = (struct waiter){.brake = brake, .stop = stop};
        assert_int_equal(pthread_create(&waiters[i].thread, NULL, wait_in_line, &waiters[i]), 0);
    }
}

static void all_heard(struct waiter *waiters, enum sp_err err)
{
    for (unsigned i = 0; i < WAITERS; i++) {
        pthread_join(waiters[i].thread, NULL);
        assert_int_equal(waiters[i].err, err);
    }
}

static enum sp_err enter(struct sp_ldap_brake *brake, unsigned place)
{
    return sp_ldap_brake_enter(brake, place, uv_hrtime(), NULL);
}

static void one_binds_at_a_server_and_others_elsewhere(void **state)
{
    struct sp_ldap_brake *brake = sp_ldap_brake_new();

    (void)state;
    assert_int_equal(enter(brake, 0), SP_OK);
    assert_int_equal(enter(brake, 0), SP_ERR_TIMEOUT);
    assert_int_equal(enter(brake, 1), SP_OK);
    assert_false(sp_ldap_brake_leave(brake, 0, SP_LDAP_SERVICE_UNKNOWN, 0));
    assert_int_equal(enter(brake, 0), SP_OK);
    assert_false(sp_ldap_brake_leave(brake, 0, SP_LDAP_SERVICE_TAKEN, 0));
    assert_false(sp_ldap_brake_leave(brake, 1, SP_LDAP_SERVICE_TAKEN, 0));
    sp_ldap_brake_free(&brake);
}

static void those_who_wait_bind_one_after_another(void **state)
{
    struct sp_ldap_brake *brake = sp_ldap_brake_new();
    struct waiter waiters[WAITERS];

    (void)state;
    assert_int_equal(enter(brake, 0), SP_OK);
    begin(waiters, brake, NULL);
    (void)sp_ldap_brake_leave(brake, 0, SP_LDAP_SERVICE_TAKEN, 0);
    all_heard(waiters, SP_OK);
    sp_ldap_brake_free(&brake);
}

static void a_refusal_is_for_all_who_wait_and_all_who_come(void **state)
{
    struct sp_ldap_brake *brake = sp_ldap_brake_new();
    struct waiter waiters[WAITERS];

    (void)state;
    assert_int_equal(enter(brake, 0), SP_OK);
    begin(waiters, brake, NULL);
    assert_true(sp_ldap_brake_leave(brake, 0, SP_LDAP_SERVICE_REFUSED, 0)); /* news */
    all_heard(waiters, SP_ERR_DENIED);
    assert_int_equal(enter(brake, 0), SP_ERR_DENIED);
    assert_int_equal(enter(brake, 1), SP_ERR_DENIED);
    assert_true(sp_ldap_brake_is_on(brake));
    sp_ldap_brake_free(&brake);
}

static void whoever_is_stopped_waits_no_longer(void **state)
{
    struct sp_ldap_brake *brake = sp_ldap_brake_new();
    struct waiter waiters[WAITERS];
    atomic_bool stop = false;

    (void)state;
    assert_int_equal(enter(brake, 0), SP_OK);
    begin(waiters, brake, &stop);
    atomic_store(&stop, true);
    all_heard(waiters, SP_ERR_CLOSED);
    (void)sp_ldap_brake_leave(brake, 0, SP_LDAP_SERVICE_UNKNOWN, 0);
    sp_ldap_brake_free(&brake);
}

/* One bind after each pause, however many ask; each refusal doubles the next. */
static void pauses_double_up_to_five_minutes(void **state)
{
    static const unsigned pauses[] = {10, 20, 40, 80, 160, 300, 300};
    struct sp_ldap_brake *brake = sp_ldap_brake_new();
    uint64_t now = 5 * SECOND;

    (void)state;
    assert_true(sp_ldap_brake_may_try(brake, now));
    assert_int_equal(enter(brake, 0), SP_OK);
    for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
        assert_int_equal(sp_ldap_brake_leave(brake, 0, SP_LDAP_SERVICE_REFUSED, now), i == 0);
        assert_false(sp_ldap_brake_may_try(brake, now + pauses[i] * SECOND - 1));
        now += pauses[i] * SECOND;
        assert_true(sp_ldap_brake_may_try(brake, now));
        assert_false(sp_ldap_brake_may_try(brake, now));
        assert_int_equal(enter(brake, 0), SP_OK);
        assert_int_equal(enter(brake, 1), SP_ERR_DENIED);
    }
    assert_true(sp_ldap_brake_leave(brake, 0, SP_LDAP_SERVICE_TAKEN, now)); /* news again */
    assert_false(sp_ldap_brake_is_on(brake));
    assert_true(sp_ldap_brake_may_try(brake, now));
    assert_true(sp_ldap_brake_may_try(brake, now));
    sp_ldap_brake_free(&brake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_binds_at_a_server_and_others_elsewhere),
        cmocka_unit_test(those_who_wait_bind_one_after_another),
        cmocka_unit_test(a_refusal_is_for_all_who_wait_and_all_who_come),
        cmocka_unit_test(whoever_is_stopped_waits_no_longer),
        cmocka_unit_test(pauses_double_up_to_five_minutes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
