/* Logins through the ldap backend under want of memory, against a real slapd: right is right or not
 * known, wrong is wrong or not known, and with memory again each is answered as ever. (libldap's
 * own allocations do not fail here: liblber asserts that they did not.) */
#include "unit/backends/ldap/bench_ldap.h"
#include "want/want.h"

static struct test_slapd *slapd;

/* Its answer, or "could not be asked". */
static void try_login(struct bench *b, struct asked *a, const char *password)
{
    struct sp_auth_input input = {.ask = SP_AUTH_PASSWORD,
                                  .user = SP_SPAN_LIT("alice"),
                                  .password = sp_span_cstr(password),
                                  .client = "192.0.2.1",
                                  .id = "test"};
    enum sp_err err;

    memset(a, 0, sizeof(*a));
    a->loop = &b->loop;
    a->verdict = SP_VERDICT_UNAVAILABLE;
    uv_update_time(&b->loop);
    err = sp_auth_backend.start(b->backend, &input, on_done, a, &a->op);
    if (err != SP_OK) {
        assert_true(err == SP_ERR_NOMEM || err == SP_ERR_FULL);
        return;
    }
    wait_for(b, a, 1, 15000);
    assert_int_equal(a->told, 1);
}

static void open_bench(struct bench *b, bool *opened)
{
    struct sp_auth_fault fault = {NULL, ""};
    enum sp_err err = sp_auth_backend.configure(&b->options, test_host_lend(b->host), &b->config,
                                                &fault);

    if (err != SP_OK)
        b->config = NULL;
    *opened = err == SP_OK &&
              sp_auth_backend.open(b->config, test_host_lend(b->host), &b->backend) == SP_OK;
    if (!*opened)
        b->backend = NULL;
}

static void close_bench(struct bench *b)
{
    if (b->backend != NULL) {
        sp_auth_backend.close(&b->backend, on_bench_closed, b);
        uv_run(&b->loop, UV_RUN_DEFAULT);
        assert_true(b->closed);
    }
    if (b->config != NULL)
        sp_auth_backend.release(&b->config);
    test_host_free(&b->host);
    test_options_free(sp_ldap_options, &b->options);
    assert_int_equal(uv_loop_close(&b->loop), 0);
    free(b);
}

/* Everything from reading the options on: connections, TLS contexts, the search, the bind. */
static void login_anew(void *state)
{
    struct bench *b = bench_new(test_slapd_uri(slapd));
    struct asked right = {.verdict = SP_VERDICT_UNAVAILABLE};
    bool opened, failed;

    (void)state;
    set(b, "group_base", "ou=groups,dc=test");
    want_begin();
    open_bench(b, &opened);
    if (opened)
        try_login(b, &right, "alice");
    failed = want_end();
    if (right.verdict == SP_VERDICT_ALLOW)
        assert_string_equal(right.groups, "cn=staff,ou=groups,dc=test;staff;");
    else
        assert_true(failed && right.verdict == SP_VERDICT_UNAVAILABLE);
    close_bench(b);
}

/* On a backend that has its connections. */
static void login_again(void *state)
{
    struct bench *b = state;
    struct asked right, wrong;
    bool failed;

    want_begin();
    try_login(b, &right, "alice");
    try_login(b, &wrong, "not hers");
    failed = want_end();
    assert_true(right.verdict == SP_VERDICT_ALLOW ||
                (failed && right.verdict == SP_VERDICT_UNAVAILABLE));
    assert_true(wrong.verdict == SP_VERDICT_DENY ||
                (failed && wrong.verdict == SP_VERDICT_UNAVAILABLE));
    for (int i = 0; i < 100 && right.verdict != SP_VERDICT_ALLOW; i++) {
        run_for(b, 100); /* a server that could not be reached is tried again after a while */
        try_login(b, &right, "alice");
    }
    assert_int_equal(right.verdict, SP_VERDICT_ALLOW);
}

static void a_login_from_the_beginning(void **state)
{
    (void)state;
    want_each("an ldap login", WANT_OURS, 1, login_anew, NULL);
}

static void a_login_on_connections_that_are_there(void **state)
{
    struct bench *b = bench_new(test_slapd_uri(slapd));
    struct asked a;

    (void)state;
    bench_open(b);
    login(b, &a, "alice", "alice");
    want_each("one more ldap login", WANT_OURS, 1, login_again, b);
    bench_free(b);
}

static int setup(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    slapd = test_slapd_new(&(struct test_slapd_setup){.ldif = NULL});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    test_slapd_free(&slapd);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_login_from_the_beginning),
        cmocka_unit_test(a_login_on_connections_that_are_there),
    };

    return cmocka_run_group_tests_name("want: ldap", tests, setup, teardown);
}
