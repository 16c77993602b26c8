/* Servers that say goodbye: a notice of disconnection (RFC 4511 4.4.1) in place of an answer. */
#include "bench_ldap.h"

#include "support/responder.h"

#include <ldap.h>

/* libldap 2.5 loses the diagnostic text of each notice, which it reads into a request that it does
 * not have. Only texts read in this way are let pass, in this program alone, and whole stacks are
 * needed to tell. */
SP_EXPORT const char *__lsan_default_suppressions(void);
SP_EXPORT const char *__asan_default_options(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:ber_get_stringbv_null\n";
}

const char *__asan_default_options(void)
{
    return "fast_unwind_on_malloc=0";
}

#define SERVICE                                  \
    {                                            \
        .op = LDAP_REQ_BIND, .holds = "cn=proxy" \
    }
#define FINDS                                                                                    \
    {                                                                                            \
        .op = LDAP_REQ_SEARCH, .holds = "inetOrgPerson", .entry = "uid=alice,ou=people,dc=test", \
        .name = "alice"                                                                          \
    }
#define NO_MORE  \
    {            \
        .op = -1 \
    }

static const struct test_rule good[] = {
    SERVICE, FINDS, {.op = LDAP_REQ_BIND, .holds = "uid=alice"}, NO_MORE};

static struct bench *bench_of(const char *one, const char *two)
{
    char uris[160];
    struct bench *b;

    snprintf(uris, sizeof(uris), "%s, %s", one, two);
    b = bench_new(uris);
    bench_open(b);
    return b;
}

static void a_goodbye_fails_no_login_where_another_server_is(void **state)
{
    static const struct test_rule rules[] = {SERVICE,
                                             FINDS,
                                             {.op = LDAP_REQ_BIND,
                                              .holds = "uid=alice",
                                              .does = TEST_SAYS_GOODBYE,
                                              .result = LDAP_UNAVAILABLE,
                                              .diagnostic = "shutting down"},
                                             NO_MORE};
    struct test_responder *one = test_responder_new(rules);
    struct test_responder *two = test_responder_new(good);
    struct bench *b = bench_of(test_responder_uri(one), test_responder_uri(two));
    struct asked a;

    (void)state;
    login(b, &a, "alice", "alice");
    assert_int_equal(a.verdict, SP_VERDICT_ALLOW);
    assert_string_equal(a.server, test_responder_uri(two));
    assert_non_null(strstr(test_host_log(b->host), "event=ldap_goodbye"));
    assert_non_null(strstr(test_host_log(b->host),
                           "notice of disconnection: Server is unavailable (52): shutting down"));
    bench_free(b);
    test_responder_free(&one);
    test_responder_free(&two);
}

static void a_goodbye_and_no_other_server_is_dont_know(void **state)
{
    static const struct test_rule rules[] = {
        SERVICE,
        {.op = LDAP_REQ_SEARCH, .does = TEST_SAYS_GOODBYE, .result = LDAP_STRONG_AUTH_REQUIRED},
        NO_MORE};
    struct test_responder *one = test_responder_new(rules);
    struct bench *b = bench_of(test_responder_uri(one), test_responder_uri(one));
    struct asked a;

    (void)state;
    login(b, &a, "alice", "alice");
    assert_int_equal(a.verdict, SP_VERDICT_UNAVAILABLE);
    assert_non_null(strstr(a.detail, "notice of disconnection"));
    bench_free(b);
    test_responder_free(&one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_goodbye_fails_no_login_where_another_server_is),
        cmocka_unit_test(a_goodbye_and_no_other_server_is_dont_know),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
