/* The service identity by Kerberos: a real KDC, and a slapd that takes GSSAPI. */
#include "bench_ldap.h"

#include "support/kdc.h"

/* The GSSAPI mechanism of Cyrus SASL 2.1.28 loses a credential of its own in some binds. Only what
 * is allocated under it is let pass, and whole stacks are needed to tell. */
SP_EXPORT const char *__lsan_default_suppressions(void);
SP_EXPORT const char *__asan_default_options(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:libgssapiv2.so\n";
}

const char *__asan_default_options(void)
{
    return "fast_unwind_on_malloc=0";
}

static struct sp_kdc *kdc;
static struct test_slapd *slapd;
static char uri[64];
static char tls_uri[64];

static int start_both(void **state)
{
    (void)state;
    kdc = sp_kdc_start(NULL);
    sp_kdc_add(kdc, "ldap/localhost", NULL);
    sp_kdc_add(kdc, "proxy", NULL);
    sp_kdc_keytab(kdc, "ldap/localhost", "ldap.keytab", 0);
    sp_kdc_keytab(kdc, "proxy", "proxy.keytab", 0);
    setenv("KRB5_KTNAME", sp_kdc_path(kdc, "ldap.keytab"),
           1); /* for slapd; the plugin has its own */
    slapd = test_slapd_new(&(struct test_slapd_setup){
        .tls_name = "DNS:localhost",
        .global = "sasl-host localhost\nsasl-realm " SP_KDC_REALM "\n",
    });
    unsetenv("KRB5_KTNAME");
    snprintf(uri, sizeof(uri), "ldap://localhost:%u", test_slapd_port(slapd));
    snprintf(tls_uri, sizeof(tls_uri), "%s", test_slapd_tls_uri(slapd));
    return 0;
}

static int stop_both(void **state)
{
    (void)state;
    test_slapd_free(&slapd);
    sp_kdc_stop(&kdc);
    return 0;
}

static struct bench *bench_by_kerberos(const char *server, const char *keytab)
{
    struct bench *b = bench_new(server);

    set(b, "bind_dn", "");
    set(b, "bind_password_file", "");
    set(b, "sasl", "gssapi");
    set(b, "client_keytab", sp_kdc_path(kdc, keytab));
    set(b, "bind_principal", "proxy@" SP_KDC_REALM);
    set(b, "group_base", "ou=groups,dc=test");
    return b;
}

static void the_service_identity_is_proven_by_a_ticket(void **state)
{
    struct bench *b = bench_by_kerberos(uri, "proxy.keytab");
    struct asked a;

    (void)state;
    bench_open(b);
    for (int i = 0; i < 2; i++) {
        login(b, &a, "alice", "alice");
        if (a.verdict != SP_VERDICT_ALLOW)
            fail_msg("%s: %s", a.reason, a.detail);
        assert_string_equal(a.groups, "cn=staff,ou=groups,dc=test;staff;");
    }
    assert_true(test_slapd_count(slapd, "mech=GSSAPI") > 0);
    bench_free(b);
}

static void inside_tls_no_second_layer_is_laid(void **state)
{
    struct bench *b = bench_by_kerberos(tls_uri, "proxy.keytab");
    struct asked a;

    (void)state;
    set(b, "tls_ca", test_slapd_ca(slapd));
    bench_open(b);
    login(b, &a, "alice", "alice");
    if (a.verdict != SP_VERDICT_ALLOW)
        fail_msg("%s: %s", a.reason, a.detail);
    bench_free(b);
}

static void a_keytab_without_the_key_is_dont_know_in_words(void **state)
{
    struct bench *b = bench_by_kerberos(uri, "ldap.keytab");
    struct asked a;

    (void)state;
    bench_open(b);
    login(b, &a, "alice", "alice");
    assert_int_equal(a.verdict, SP_VERDICT_UNAVAILABLE);
    assert_string_equal(a.reason, "the directory refuses the service identity");
    assert_non_null(strstr(a.detail, "no ticket for proxy@" SP_KDC_REALM));
    bench_free(b);
}

/* No login fails on the way, and the connection is a new one before the first ticket ends. */
static void a_ticket_is_renewed_before_it_ends(void **state)
{
    enum { LIFE_S = 10 };
    struct bench *b = bench_by_kerberos(uri, "proxy.keytab");
    unsigned before = test_slapd_count(slapd, "mech=GSSAPI");
    uint64_t began = uv_hrtime();
    struct asked a;

    (void)state;
    sp_kdc_admin(kdc, "modprinc -maxlife 10sec proxy");
    bench_open(b);
    do {
        login(b, &a, "alice", "alice");
        if (a.verdict != SP_VERDICT_ALLOW)
            fail_msg("%s: %s", a.reason, a.detail);
        run_for(b, 100);
    } while (test_slapd_count(slapd, "mech=GSSAPI") <= before + 1 &&
             (uv_hrtime() - began) / 1000000000 < 3 * LIFE_S);
    assert_true(test_slapd_count(slapd, "mech=GSSAPI") > before + 1);
    bench_free(b);
    sp_kdc_admin(kdc, "modprinc -maxlife 1day proxy");
}

/* Neither a refusal nor a wait without end; the thread that asks clears away what it got too late.
 */
static void a_silent_kdc_is_dont_know_until_it_speaks(void **state)
{
    enum { PATIENCE_S = 60 };
    struct bench *b = bench_by_kerberos(uri, "proxy.keytab");
    uint64_t began;
    struct asked a;

    (void)state;
    set(b, "timeout", "500ms");
    bench_open(b);
    sp_kdc_pause(kdc);
    for (int i = 0; i < 3; i++) {
        login(b, &a, "alice", "alice");
        assert_int_equal(a.verdict, SP_VERDICT_UNAVAILABLE);
        assert_string_equal(a.reason, "no KDC answers for the service identity");
        assert_non_null(
            strstr(a.detail, "no ticket for proxy@" SP_KDC_REALM ": the KDC at 127.0.0.1:"));
    }
    sp_kdc_resume(kdc);
    began = uv_hrtime();
    do {
        run_for(b, 100);
        login(b, &a, "alice", "alice");
    } while (a.verdict == SP_VERDICT_UNAVAILABLE &&
             (uv_hrtime() - began) / 1000000000 < PATIENCE_S);
    if (a.verdict != SP_VERDICT_ALLOW)
        fail_msg("%s: %s", a.reason, a.detail);
    bench_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_service_identity_is_proven_by_a_ticket),
        cmocka_unit_test(inside_tls_no_second_layer_is_laid),
        cmocka_unit_test(a_keytab_without_the_key_is_dont_know_in_words),
        cmocka_unit_test(a_ticket_is_renewed_before_it_ends),
        cmocka_unit_test(a_silent_kdc_is_dont_know_until_it_speaks),
    };

    return cmocka_run_group_tests(tests, start_both, stop_both);
}
