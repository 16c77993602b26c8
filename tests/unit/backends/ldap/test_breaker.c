/* How long a server that failed is left alone, on a clock that the test moves: nothing is waited
 * for, and no server is there. */
#include "bench_ldap.h"

#include "backends/ldap/ldap_priv.h"

#define GONE "ldap://127.0.0.1:1" /* nobody is dialled: the loop never turns */
#define TOO  "ldap://127.0.0.2:1"

static struct bench *open_bench(const char *uris)
{
    struct bench *b = bench_new(uris);

    set(b, "user_dn", "uid=%u,ou=people,dc=test"); /* so that no service identity is needed */
    set(b, "bind_dn", "");
    set(b, "bind_password_file", "");
    set(b, "group_base", "");
    bench_open(b);
    return b;
}

static struct sp_ldap_server *server_of(struct bench *b, unsigned index)
{
    return &b->backend->servers[index];
}

/* libuv's time of this turn, which is all that the backend asks. */
static void pass(struct bench *b, uint64_t ms)
{
    b->loop.time += ms;
}

static void fall(struct sp_ldap_server *server)
{
    sp_ldap_server_fault(server, SP_LDAP_FAULT_TIMEOUT, "no answer");
    assert_int_equal(server->state, SP_LDAP_SERVER_DOWN);
}

/* Looked at when it is due, and still not well. */
static void fail_probe(struct sp_ldap_server *server)
{
    assert_true(sp_ldap_server_probe_due(server, 0));
    sp_ldap_server_probe(server);
    assert_int_equal(server->state, SP_LDAP_SERVER_PROBING);
    assert_false(sp_ldap_server_probe_due(server, 0));
    sp_ldap_server_fault(server, SP_LDAP_FAULT_CONNECT, "refused");
    assert_int_equal(server->state, SP_LDAP_SERVER_DOWN);
}

/* Not before three quarters of the pause, surely after five. */
static void is_left_alone_for(struct bench *b, struct sp_ldap_server *server, uint64_t least_ms,
                              uint64_t most_ms)
{
    pass(b, least_ms - 1);
    assert_false(sp_ldap_server_probe_due(server, 0));
    pass(b, most_ms - least_ms + 1);
    assert_true(sp_ldap_server_probe_due(server, 0));
}

static void silence_and_garble_open_it_at_once_and_a_refusal_at_the_third(void **state)
{
    struct bench *b = open_bench(GONE ", " TOO);
    struct sp_ldap_server *server = server_of(b, 0);

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        sp_ldap_server_fault(server, SP_LDAP_FAULT_CONNECT, "refused");
        assert_int_equal(server->state, SP_LDAP_SERVER_UP);
    }
    sp_ldap_server_well(server); /* they must come in a row */
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(server->state, SP_LDAP_SERVER_UP);
        sp_ldap_server_fault(server, SP_LDAP_FAULT_CONNECT, "refused");
    }
    assert_int_equal(server->state, SP_LDAP_SERVER_DOWN);
    sp_ldap_server_fault(server_of(b, 1), SP_LDAP_FAULT_GARBLED, "no LDAP");
    assert_int_equal(server_of(b, 1)->state, SP_LDAP_SERVER_DOWN);
    bench_free(b);
}

static void pauses_double_up_to_half_a_minute_while_another_answers(void **state)
{
    struct bench *b = open_bench(GONE ", " TOO);
    struct sp_ldap_server *server = server_of(b, 0);

    (void)state;
    fall(server);
    is_left_alone_for(b, server, 3750, 6250);
    fail_probe(server);
    is_left_alone_for(b, server, 7500, 12500);
    fail_probe(server);
    is_left_alone_for(b, server, 15000, 25000);
    fail_probe(server);
    is_left_alone_for(b, server, 20000, 40000); /* 30 s, and the scatter of 40 */
    for (unsigned i = 0; i < 3; i++) {
        fail_probe(server);
        is_left_alone_for(b, server, 15000, 45000); /* 30 s, and the scatter of 60 */
    }
    bench_free(b);
}

static void nobody_is_left_alone_for_long_while_no_other_answers(void **state)
{
    struct bench *b = open_bench(GONE ", " TOO);
    struct sp_ldap_server *server = server_of(b, 0);

    (void)state;
    fall(server);
    fall(server_of(b, 1));
    for (unsigned i = 0; i < 6; i++) {
        is_left_alone_for(b, server, 2000, 2000);
        fail_probe(server);
    }
    sp_ldap_server_well(server_of(b, 1)); /* and from now on there is time */
    assert_false(sp_ldap_server_probe_due(server, 0));
    bench_free(b);
}

/* Two fell, one after the other, and the first has come back: nobody knows yet, and the second is
 * up in our books until it has failed three times. */
static void one_is_looked_at_for_a_login_that_the_other_failed(void **state)
{
    struct bench *b = open_bench(GONE ", " TOO);
    struct sp_ldap_server *server = server_of(b, 0);

    (void)state;
    fall(server);
    pass(b, 1999);
    assert_ptr_equal(sp_ldap_backend_pick(b->backend, 1u << 1), NULL);
    pass(b, 1);
    assert_ptr_equal(sp_ldap_backend_pick(b->backend, 0), server_of(b, 1));
    assert_int_equal(server->state, SP_LDAP_SERVER_DOWN);
    assert_ptr_equal(sp_ldap_backend_pick(b->backend, 1u << 1), server);
    assert_int_equal(server->state, SP_LDAP_SERVER_PROBING);
    bench_free(b);
}

static void whoever_was_well_begins_anew_with_the_shortest_pause(void **state)
{
    struct bench *b = open_bench(GONE ", " TOO);
    struct sp_ldap_server *server = server_of(b, 0);

    (void)state;
    fall(server);
    is_left_alone_for(b, server, 3750, 6250);
    fail_probe(server);
    is_left_alone_for(b, server, 7500, 12500);
    sp_ldap_server_probe(server);
    sp_ldap_server_well(server);
    assert_int_equal(server->state, SP_LDAP_SERVER_UP);
    fall(server);
    is_left_alone_for(b, server, 3750, 6250);
    bench_free(b);
}

/* Else all workers and machines would knock in step. */
static void pauses_are_scattered(void **state)
{
    struct bench *b = open_bench(GONE ", " TOO);
    struct sp_ldap_server *server = server_of(b, 0);
    unsigned early = 0;

    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        fall(server);
        pass(b, 5000);
        early += sp_ldap_server_probe_due(server, 0);
        sp_ldap_server_well(server);
    }
    assert_true(early > 0 && early < 40);
    bench_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence_and_garble_open_it_at_once_and_a_refusal_at_the_third),
        cmocka_unit_test(pauses_double_up_to_half_a_minute_while_another_answers),
        cmocka_unit_test(nobody_is_left_alone_for_long_while_no_other_answers),
        cmocka_unit_test(one_is_looked_at_for_a_login_that_the_other_failed),
        cmocka_unit_test(whoever_was_well_begins_anew_with_the_shortest_pause),
        cmocka_unit_test(pauses_are_scattered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
