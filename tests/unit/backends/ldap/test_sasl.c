/* The service identity by Kerberos: a real KDC, and a slapd that takes GSSAPI. */
#include "bench_ldap.h"

#include "backends/ldap/ldap_ticket.h"
#include "support/kdc.h"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

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

enum { PATIENCE_S = 60 };

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

/* The KDC has no ldap/127.0.0.1, so the bind there never leaves this machine: no directory has said
 * anything about the identity, and the next server is asked. */
static void a_server_that_the_realm_lacks_is_no_refusal(void **state)
{
    char uris[160];
    struct bench *b;
    struct asked a;

    (void)state;
    snprintf(uris, sizeof(uris), "ldap://127.0.0.1:%u, %s", test_slapd_port(slapd), uri);
    b = bench_by_kerberos(uris, "proxy.keytab");
    bench_open(b);
    login(b, &a, "alice", "alice");
    if (a.verdict != SP_VERDICT_ALLOW)
        fail_msg("%s: %s", a.reason, a.detail);
    bench_free(b);

    snprintf(uris, sizeof(uris), "ldap://127.0.0.1:%u", test_slapd_port(slapd));
    b = bench_by_kerberos(uris, "proxy.keytab");
    bench_open(b);
    login(b, &a, "alice", "alice");
    assert_int_equal(a.verdict, SP_VERDICT_UNAVAILABLE);
    assert_string_equal(a.reason, "the service identity cannot be proven to the directory");
    assert_non_null(strstr(a.detail, "ldap/127.0.0.1"));
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

static void the_kdc_speaks_and_alice_passes(struct bench *b)
{
    uint64_t began = uv_hrtime();
    struct asked a;

    sp_kdc_resume(kdc);
    do {
        run_for(b, 100);
        login(b, &a, "alice", "alice");
    } while (a.verdict == SP_VERDICT_UNAVAILABLE &&
             (uv_hrtime() - began) / 1000000000 < PATIENCE_S);
    if (a.verdict != SP_VERDICT_ALLOW)
        fail_msg("%s: %s", a.reason, a.detail);
}

/* With a KDC that is silent, logins go on for as long as the ticket lasts. Then they are "don't
 * know", and pass again when it speaks. */
static void without_a_kdc_a_ticket_serves_to_its_end(void **state)
{
    enum { LIFE_S = 10 };
    struct bench *b = bench_by_kerberos(uri, "proxy.keytab");
    uint64_t began;
    struct asked a;

    (void)state;
    set(b, "timeout", "500ms");
    sp_kdc_admin(kdc, "modprinc -maxlife 10sec proxy");
    bench_open(b);
    began = uv_hrtime();
    login(b, &a, "alice", "alice");
    assert_int_equal(a.verdict, SP_VERDICT_ALLOW);
    sp_kdc_pause(kdc);
    do {
        run_for(b, 50);
        login(b, &a, "alice", "alice");
    } while (a.verdict == SP_VERDICT_ALLOW &&
             (uv_hrtime() - began) / 1000000000 < LIFE_S + PATIENCE_S);
    assert_int_equal(a.verdict, SP_VERDICT_UNAVAILABLE);
    assert_string_equal(a.reason, "no KDC answers for the service identity");
    if ((uv_hrtime() - began) / 1000000 < (LIFE_S - 1) * 1000) /* a ticket's times are seconds */
        fail_msg("it served only %u ms", (unsigned)((uv_hrtime() - began) / 1000000));
    assert_non_null(strstr(test_host_log(b->host), "event=ldap_not_renewed"));
    login(b, &a, "alice", "wrong");
    assert_int_equal(a.verdict, SP_VERDICT_UNAVAILABLE);
    the_kdc_speaks_and_alice_passes(b);
    bench_free(b);
    sp_kdc_admin(kdc, "modprinc -maxlife 1day proxy");
}

/* Neither a refusal nor a wait without end; the thread that asks clears away what it got too late.
 */
static void a_silent_kdc_is_dont_know_until_it_speaks(void **state)
{
    struct bench *b = bench_by_kerberos(uri, "proxy.keytab");
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
    the_kdc_speaks_and_alice_passes(b);
    bench_free(b);
}

/* ---- who is named ---- */

struct fetching {
    struct sp_ldap_tickets *tickets;
    struct sp_ldap_ticket ticket;
    enum sp_err err;
};

static void *fetch(void *arg)
{
    struct fetching *f = arg;

    f->err = sp_ldap_tickets_fetch(f->tickets, "MEMORY:named", NULL,
                                   uv_hrtime() + 1000 * UINT64_C(1000000), NULL, &f->ticket);
    return NULL;
}

/* A port of this machine that refuses connections until somebody listens. */
static int closed_port(struct sockaddr_in *at)
{
    socklen_t len = sizeof(*at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(fd, (struct sockaddr *)at, sizeof(*at)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)at, &len), 0);
    return fd;
}

static void realm_at(const char *path, unsigned port)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    (void)fprintf(f,
                  "[libdefaults]\ndefault_realm = " SP_KDC_REALM "\nudp_preference_limit = 1\n"
                  "dns_lookup_kdc = false\n[realms]\n" SP_KDC_REALM " = {\nkdc = 127.0.0.1:%u\n}\n",
                  port);
    assert_int_equal(fclose(f), 0);
    setenv("KRB5_CONFIG", path, 1);
}

/* It refused connections, and now takes them and says nothing: whoever need not wait is told whom
 * the others wait for. */
static void who_does_not_wait_for_a_silent_kdc_is_told_which(void **state)
{
    char *before = strdup(getenv("KRB5_CONFIG"));
    struct sp_ldap_tickets *tickets = sp_ldap_tickets_new(sp_kdc_path(kdc, "proxy.keytab"),
                                                          "proxy@" SP_KDC_REALM);
    struct fetching waits = {.tickets = tickets}, other = {.tickets = tickets};
    struct sockaddr_in at;
    int fd = closed_port(&at);
    pthread_t thread;

    (void)state;
    realm_at(sp_kdc_path(kdc, "named.conf"), ntohs(at.sin_port));
    (void)fetch(&other);
    assert_int_equal(other.err, SP_ERR_TIMEOUT);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(pthread_create(&thread, NULL, fetch, &waits), 0);
    (void)poll(NULL, 0, 200);
    (void)fetch(&other);
    assert_int_equal(other.err, SP_ERR_TIMEOUT);
    assert_non_null(strstr(other.ticket.words, "the KDC at 127.0.0.1:"));
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(waits.err, SP_ERR_TIMEOUT);
    close(fd);
    sp_ldap_tickets_free(&tickets);
    setenv("KRB5_CONFIG", before, 1);
    free(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_service_identity_is_proven_by_a_ticket),
        cmocka_unit_test(inside_tls_no_second_layer_is_laid),
        cmocka_unit_test(a_keytab_without_the_key_is_dont_know_in_words),
        cmocka_unit_test(a_server_that_the_realm_lacks_is_no_refusal),
        cmocka_unit_test(a_ticket_is_renewed_before_it_ends),
        cmocka_unit_test(without_a_kdc_a_ticket_serves_to_its_end),
        cmocka_unit_test(a_silent_kdc_is_dont_know_until_it_speaks),
        cmocka_unit_test(who_does_not_wait_for_a_silent_kdc_is_told_which),
    };

    return cmocka_run_group_tests(tests, start_both, stop_both);
}
