/* Servers that fail: gone, hung, restarted, silent, and those that cannot be trusted. Two real
 * slapds with the same tree. */
#include "bench_ldap.h"

static struct test_slapd *one;
static struct test_slapd *two;

static int start_slapds(void **state)
{
    (void)state;
    one = test_slapd_new(
        &(struct test_slapd_setup){.tls_name = "DNS:localhost,IP:127.0.0.1", .ppolicy = true});
    two = test_slapd_new(&(struct test_slapd_setup){.tls_name = "DNS:elsewhere.test"});
    return 0;
}

static int stop_slapds(void **state)
{
    (void)state;
    test_slapd_free(&one);
    test_slapd_free(&two);
    return 0;
}

static struct bench *bench_of_both(void)
{
    char uris[160];
    struct bench *b;

    snprintf(uris, sizeof(uris), "%s, %s", test_slapd_uri(one), test_slapd_uri(two));
    b = bench_new(uris);
    set(b, "timeout", "800ms");
    set(b, "connect_timeout", "500ms");
    bench_open(b);
    return b;
}

static void ask_many(struct bench *b, struct asked *a, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ask(b, &a[i], "alice", "alice");
}

static void the_first_server_is_preferred(void **state)
{
    struct bench *b = bench_of_both();
    struct asked a;

    (void)state;
    for (int i = 0; i < 3; i++) {
        login(b, &a, "alice", "alice");
        assert_string_equal(a.server, test_slapd_uri(one));
    }
    bench_free(b);
}

static void a_server_that_is_gone_costs_no_login_and_is_taken_back(void **state)
{
    struct bench *b = bench_of_both();
    struct asked a;
    uint64_t began;

    (void)state;
    login(b, &a, "alice", "alice");
    assert_string_equal(a.server, test_slapd_uri(one));
    test_slapd_stop(one);
    for (int i = 0; i < 6; i++) {
        login(b, &a, "alice", "alice");
        assert_int_equal(a.verdict, SP_VERDICT_ALLOW);
        assert_string_equal(a.server, test_slapd_uri(two));
    }
    assert_non_null(strstr(test_host_log(b->host), "event=ldap_server_down"));
    test_slapd_start(one);
    began = uv_hrtime();
    do {
        run_for(b, 200);
        login(b, &a, "alice", "alice");
        assert_int_equal(a.verdict, SP_VERDICT_ALLOW);
        assert_true(uv_hrtime() - began < 12000000000u);
    } while (strcmp(a.server, test_slapd_uri(one)) != 0);
    assert_non_null(strstr(test_host_log(b->host), "event=ldap_server_up"));
    bench_free(b);
}

static void a_hung_server_costs_one_timeout_and_not_one_per_login(void **state)
{
    struct bench *b = bench_of_both();
    struct asked a[20];
    uint64_t began;

    (void)state;
    login(b, &a[0], "alice", "alice");
    test_slapd_pause(one);
    began = uv_hrtime();
    ask_many(b, a, 20);
    wait_for(b, a, 20, 5000);
    assert_in_range((uv_hrtime() - began) / 1000000, 700, 1600);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(a[i].told, 1);
        assert_int_equal(a[i].verdict, SP_VERDICT_ALLOW);
        assert_string_equal(a[i].server, test_slapd_uri(two));
    }
    began = uv_hrtime();
    ask_many(b, a, 20);
    wait_for(b, a, 20, 5000);
    assert_true((uv_hrtime() - began) / 1000000 < 500);
    test_slapd_resume(one);
    bench_free(b);
}

static int64_t conns_of(struct bench *b, const char *state)
{
    char labels[128];

    snprintf(labels, sizeof(labels), "server=\"%s\",state=\"%s\"", test_slapd_uri(one), state);
    return test_host_metric(b->host, "ldap_connections", labels);
}

static void a_login_in_flight_is_cancelled_while_its_server_hangs(void **state)
{
    struct bench *b = bench_of_both();
    struct asked a[3];

    (void)state;
    login(b, &a[0], "alice", "alice");
    test_slapd_pause(one);
    ask_many(b, a, 3);
    assert_int_equal(conns_of(b, "busy"), 1);
    uv_run(&b->loop, UV_RUN_NOWAIT); /* the searches go out */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(a[i].told, 0); /* a login that was told is nobody's to cancel */
        sp_auth_backend.cancel(&a[i].op);
    }
    run_for(b, 1500);
    assert_int_equal(a[0].told + a[1].told + a[2].told, 0);
    test_slapd_resume(one);
    bench_free(b);
}

static void a_login_is_cancelled_while_its_connection_is_dialled(void **state)
{
    struct bench *b = bench_new(test_slapd_uri(one));
    struct asked a;

    (void)state;
    bench_open(b);
    ask(b, &a, "alice", "alice");
    assert_int_equal(conns_of(b, "connecting"), 1);
    assert_int_equal(test_host_jobs(b->host), 1);
    sp_auth_backend.cancel(&a.op);
    wait_for_dials(b);
    assert_int_equal(a.told, 0);
    assert_int_equal(conns_of(b, "connecting"), 0);
    assert_int_equal(conns_of(b, "idle"), 1); /* it stands, for the next */
    login(b, &a, "alice", "alice");
    assert_int_equal(a.verdict, SP_VERDICT_ALLOW);
    bench_free(b);
}

static void the_only_server_hanging_is_dont_know_at_once_for_the_next(void **state)
{
    struct bench *b = bench_new(test_slapd_uri(one));
    struct asked a[8];
    uint64_t began;

    (void)state;
    set(b, "timeout", "500ms");
    bench_open(b);
    test_slapd_pause(one);
    began = uv_hrtime();
    ask_many(b, a, 8);
    wait_for(b, a, 8, 5000);
    assert_in_range((uv_hrtime() - began) / 1000000, 400, 1300);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(a[i].verdict, SP_VERDICT_UNAVAILABLE);
    assert_string_equal(a[0].reason, "the directory does not answer in time");
    began = uv_hrtime();
    ask_many(b, a, 1);
    wait_for(b, a, 1, 5000);
    assert_int_equal(a[0].verdict, SP_VERDICT_UNAVAILABLE);
    assert_true((uv_hrtime() - began) / 1000000 < 200);
    test_slapd_resume(one);
    bench_free(b);
}

static void a_backend_closes_while_its_server_hangs(void **state)
{
    struct bench *b = bench_new(test_slapd_uri(one));
    struct asked a;
    uint64_t began;

    (void)state;
    bench_open(b);
    test_slapd_pause(one);
    ask(b, &a, "alice", "alice");
    run_for(b, 100);
    sp_auth_backend.cancel(&a.op);
    began = uv_hrtime();
    bench_free(b);
    assert_true((uv_hrtime() - began) / 1000000 < 1000); /* not the 5 s of the dial's timeout */
    test_slapd_resume(one);
}

static void connections_that_a_restart_closed_fail_no_login(void **state)
{
    struct bench *b = bench_new(test_slapd_uri(one));
    struct asked a[4];

    (void)state;
    bench_open(b);
    for (int round = 0; round < 3; round++) {
        ask_many(b, a, 4);
        wait_for(b, a, 4, 5000);
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(a[i].verdict, SP_VERDICT_ALLOW);
        wait_for_dials(b);    /* one refused while the server is away would be its honest fault */
        test_slapd_stop(one); /* the loop does not turn meanwhile: it learns of it with the login */
        test_slapd_start(one);
    }
    bench_free(b);
}

static void an_idle_connection_is_closed_after_idle_timeout(void **state)
{
    struct bench *b = bench_new(test_slapd_uri(one));
    struct asked a;

    (void)state;
    set(b, "idle_timeout", "1s");
    bench_open(b);
    login(b, &a, "alice", "alice");
    assert_int_equal(conns_of(b, "idle"), 2);
    run_for(b, 1400);
    assert_int_equal(conns_of(b, "idle"), 0);
    login(b, &a, "alice", "alice");
    assert_int_equal(a.verdict, SP_VERDICT_ALLOW);
    bench_free(b);
}

/* ---- TLS and sockets ---- */

static void login_through(const char *uri, const char *ca, bool start_tls, struct asked *a,
                          char *log, size_t log_cap)
{
    struct bench *b = bench_new(uri);

    set(b, "tls_ca", ca);
    set(b, "start_tls", start_tls ? "true" : "false");
    bench_open(b);
    for (int i = 0; i < 2; i++)
        login(b, a, "alice", "alice");
    snprintf(log, log_cap, "%s", test_host_log(b->host));
    bench_free(b);
}

static void verified_tls_and_a_local_socket_work(void **state)
{
    struct asked a;
    char log[2048];

    (void)state;
    login_through(test_slapd_tls_uri(one), test_slapd_ca(one), false, &a, log, sizeof(log));
    assert_int_equal(a.verdict, SP_VERDICT_ALLOW);
    login_through(test_slapd_uri(one), test_slapd_ca(one), true, &a, log, sizeof(log));
    assert_int_equal(a.verdict, SP_VERDICT_ALLOW);
    login_through(test_slapd_ipc_uri(one), "", false, &a, log, sizeof(log));
    assert_int_equal(a.verdict, SP_VERDICT_ALLOW);
}

static void a_certificate_of_an_unknown_authority_is_dont_know(void **state)
{
    struct asked a;
    char log[2048];

    (void)state;
    login_through(test_slapd_tls_uri(one), test_slapd_ca(two), false, &a, log, sizeof(log));
    assert_int_equal(a.verdict, SP_VERDICT_UNAVAILABLE);
    assert_string_equal(a.reason, "no trusted TLS connection to the directory");
    assert_non_null(strstr(log, "does not verify"));
}

static void a_certificate_of_another_name_is_dont_know(void **state)
{
    struct asked a;
    char log[2048];

    (void)state;
    login_through(test_slapd_tls_uri(two), test_slapd_ca(two), false, &a, log, sizeof(log));
    assert_int_equal(a.verdict, SP_VERDICT_UNAVAILABLE);
    assert_non_null(strstr(log, "ostname mismatch"));
    login_through(test_slapd_uri(two), test_slapd_ca(two), true, &a, log, sizeof(log));
    assert_int_equal(a.verdict, SP_VERDICT_UNAVAILABLE);
    assert_non_null(strstr(log, "mismatch"));
}

static void an_expired_certificate_is_dont_know(void **state)
{
    struct test_slapd *old = test_slapd_new(
        &(struct test_slapd_setup){.tls_name = "DNS:localhost", .tls_expired = true});
    struct asked a;
    char log[2048];

    (void)state;
    login_through(test_slapd_tls_uri(old), test_slapd_ca(old), false, &a, log, sizeof(log));
    assert_int_equal(a.verdict, SP_VERDICT_UNAVAILABLE);
    assert_string_equal(a.reason, "no trusted TLS connection to the directory");
    assert_non_null(strstr(log, "certificate has expired"));
    test_slapd_free(&old);
}

static void a_server_without_starttls_is_dont_know(void **state)
{
    struct test_slapd *clear = test_slapd_new(&(struct test_slapd_setup){.ppolicy = false});
    struct asked a;
    char log[2048];

    (void)state;
    login_through(test_slapd_uri(clear), test_slapd_ca(one), true, &a, log, sizeof(log));
    assert_int_equal(a.verdict, SP_VERDICT_UNAVAILABLE);
    assert_string_equal(a.reason, "no trusted TLS connection to the directory");
    assert_non_null(strstr(log, "the server refuses StartTLS"));
    assert_int_equal(test_slapd_count(clear, "BIND dn="), 0); /* no word went out in clear */
    test_slapd_free(&clear);
}

static void a_server_that_does_not_speak_tls_is_dont_know(void **state)
{
    struct asked a;
    char log[2048];
    char uri[64];

    (void)state;
    snprintf(uri, sizeof(uri), "ldaps://localhost:%u", test_slapd_port(one));
    login_through(uri, test_slapd_ca(one), false, &a, log, sizeof(log));
    assert_int_equal(a.verdict, SP_VERDICT_UNAVAILABLE);
    assert_string_equal(a.reason, "no trusted TLS connection to the directory");
    assert_non_null(strstr(log, "TLS handshake failed"));
}

/* ---- account states ---- */

static void password_policy_states_are_accounts_and_not_wrong_passwords(void **state)
{
    struct bench *b = bench_new(test_slapd_uri(one));
    struct asked a;

    (void)state;
    bench_open(b);
    login(b, &a, "expired", "expired");
    assert_int_equal(a.verdict, SP_VERDICT_ACCOUNT);
    assert_string_equal(a.reason, "password expired");
    login(b, &a, "reset", "reset");
    assert_int_equal(a.verdict, SP_VERDICT_ACCOUNT);
    assert_string_equal(a.reason, "password must be changed");
    for (int i = 0; i < 2; i++) {
        login(b, &a, "bob", "wrong");
        assert_int_equal(a.verdict, SP_VERDICT_DENY);
    }
    /* slapd reads two clocks, and for some milliseconds of a new second holds a lock that it has
     * just set to be one of the future; a right password would take it off. */
    for (int tries = 0; a.verdict == SP_VERDICT_DENY && tries < 1000; tries++)
        login(b, &a, "bob", "wrong");
    login(b, &a, "bob", "bob");
    assert_int_equal(a.verdict, SP_VERDICT_ACCOUNT);
    assert_string_equal(a.reason, "account locked");
    assert_string_equal(a.user, "bob");
    bench_free(b);
}

static void grace_logins_are_logins_and_are_counted_down(void **state)
{
    struct bench *b = bench_new(test_slapd_uri(one));
    struct asked a;

    (void)state;
    bench_open(b);
    for (int left = 1; left >= 0; left--) {
        char words[64];

        snprintf(words, sizeof(words), "password expired, %d grace logins left", left);
        login(b, &a, "grace", "grace");
        assert_int_equal(a.verdict, SP_VERDICT_ALLOW);
        assert_string_equal(a.detail, words);
    }
    login(b, &a, "grace", "grace");
    assert_int_equal(a.verdict, SP_VERDICT_ACCOUNT);
    assert_string_equal(a.reason, "password expired");
    bench_free(b);
}

static void a_password_that_will_expire_is_told_with_the_login(void **state)
{
    struct bench *b = bench_new(test_slapd_uri(one));
    struct asked a;

    (void)state;
    bench_open(b);
    login(b, &a, "soon", "soon");
    assert_int_equal(a.verdict, SP_VERDICT_ALLOW);
    assert_non_null(strstr(a.detail, "password expires in "));
    bench_free(b);
}

/* ---- doctor ---- */

struct findings {
    struct sp_auth_findings base;
    char text[8192];
};

static void on_finding(struct sp_auth_findings *base, const struct sp_auth_finding *finding)
{
    struct findings *f = sp_container_of(base, struct findings, base);
    size_t len = strlen(f->text);

    snprintf(f->text + len, sizeof(f->text) - len, "%s %s: %s (%s)\n", finding->well ? "ok" : "NOT",
             finding->what, finding->state, finding->remedy != NULL ? finding->remedy : "");
}

static void doctor_names_each_servers_fault(void **state)
{
    char uris[200];
    struct findings f = {{on_finding}, ""};
    struct bench *b;

    (void)state;
    snprintf(uris, sizeof(uris), "%s, %s", test_slapd_tls_uri(one), test_slapd_tls_uri(two));
    b = bench_new(uris);
    set(b, "tls_ca", test_slapd_ca(one));
    set(b, "group_base", "ou=missing,dc=test");
    bench_open(b);
    assert_int_equal(sp_auth_backend.diagnose(b->config, &f.base), 2);
    assert_non_null(strstr(f.text, "TLSv1.3, certificate of localhost verified"));
    assert_non_null(strstr(f.text, "ou=missing,dc=test: No such object"));
    assert_non_null(strstr(f.text, "does not verify"));
    bench_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_server_is_preferred),
        cmocka_unit_test(a_server_that_is_gone_costs_no_login_and_is_taken_back),
        cmocka_unit_test(a_hung_server_costs_one_timeout_and_not_one_per_login),
        cmocka_unit_test(a_login_in_flight_is_cancelled_while_its_server_hangs),
        cmocka_unit_test(a_login_is_cancelled_while_its_connection_is_dialled),
        cmocka_unit_test(the_only_server_hanging_is_dont_know_at_once_for_the_next),
        cmocka_unit_test(a_backend_closes_while_its_server_hangs),
        cmocka_unit_test(connections_that_a_restart_closed_fail_no_login),
        cmocka_unit_test(an_idle_connection_is_closed_after_idle_timeout),
        cmocka_unit_test(verified_tls_and_a_local_socket_work),
        cmocka_unit_test(a_certificate_of_an_unknown_authority_is_dont_know),
        cmocka_unit_test(a_certificate_of_another_name_is_dont_know),
        cmocka_unit_test(an_expired_certificate_is_dont_know),
        cmocka_unit_test(a_server_without_starttls_is_dont_know),
        cmocka_unit_test(a_server_that_does_not_speak_tls_is_dont_know),
        cmocka_unit_test(password_policy_states_are_accounts_and_not_wrong_passwords),
        cmocka_unit_test(grace_logins_are_logins_and_are_counted_down),
        cmocka_unit_test(a_password_that_will_expire_is_told_with_the_login),
        cmocka_unit_test(doctor_names_each_servers_fault),
    };

    return cmocka_run_group_tests(tests, start_slapds, stop_slapds);
}
