/* What directories answer besides yes and no: limits, "I cannot", Active Directory's words. Each is
 * tried elsewhere or told apart, and none is taken for a wrong password. */
#include "bench_ldap.h"

#include "support/responder.h"

#include <ldap.h>

#define ENTRY "uid=alice,ou=people,dc=test"
#define FINDS                                                                            \
    {                                                                                    \
        .op = LDAP_REQ_SEARCH, .holds = "inetOrgPerson", .entry = ENTRY, .name = "alice" \
    }
#define SERVICE                                  \
    {                                            \
        .op = LDAP_REQ_BIND, .holds = "cn=proxy" \
    }
#define NO_MORE  \
    {            \
        .op = -1 \
    }
#define BIND_RULE  2
#define OTHER_RULE 2

/* A server that finds alice and is of good will. */
static const struct test_rule good[] = {
    SERVICE, FINDS, {.op = LDAP_REQ_BIND, .holds = "uid=alice"}, NO_MORE};

static struct bench *bench_of(struct test_responder *one, struct test_responder *two)
{
    char uris[160];
    struct bench *b;

    snprintf(uris, sizeof(uris), "%s%s%s", test_responder_uri(one), two != NULL ? ", " : "",
             two != NULL ? test_responder_uri(two) : "");
    b = bench_new(uris);
    set(b, "timeout", "2s");
    bench_open(b);
    return b;
}

/* ---- "I cannot" ---- */

struct refusal {
    int result;
    enum sp_verdict verdict; /* with a second server of good will */
    const char *reason;      /* without one */
};

/* 51 and 52 may be otherwise on another server; the rest is a matter of how both are set up. */
static const struct refusal refusals[] = {
    {LDAP_BUSY, SP_VERDICT_ALLOW, "the directory cannot answer"},
    {LDAP_UNAVAILABLE, SP_VERDICT_ALLOW, "the directory cannot answer"},
    {LDAP_UNWILLING_TO_PERFORM, SP_VERDICT_UNAVAILABLE, "directory unwilling"},
    {LDAP_STRONG_AUTH_REQUIRED, SP_VERDICT_UNAVAILABLE,
     "the directory wants a protected connection: use ldaps:// or start_tls = true"},
    {LDAP_CONFIDENTIALITY_REQUIRED, SP_VERDICT_UNAVAILABLE,
     "the directory wants a protected connection: use ldaps:// or start_tls = true"},
    {LDAP_REFERRAL, SP_VERDICT_UNAVAILABLE, "the directory refers to another server"},
    {LDAP_OTHER, SP_VERDICT_UNAVAILABLE, "the directory cannot answer"},
};

static void check_refusal(const struct test_rule *rules, const struct refusal *refusal)
{
    struct test_responder *one = test_responder_new(rules);
    struct test_responder *two = test_responder_new(good);
    struct bench *b = bench_of(one, NULL);
    struct asked a;

    login(b, &a, "alice", "alice");
    assert_int_equal(a.verdict, SP_VERDICT_UNAVAILABLE);
    assert_string_equal(a.reason, refusal->reason);
    assert_non_null(strstr(a.detail, ldap_err2string(refusal->result)));
    bench_free(b);
    b = bench_of(one, two);
    login(b, &a, "alice", "alice");
    assert_int_equal(a.verdict, refusal->verdict);
    assert_int_equal(test_responder_count(two, BIND_RULE),
                     refusal->verdict == SP_VERDICT_ALLOW ? 1 : 0);
    bench_free(b);
    test_responder_free(&one);
    test_responder_free(&two);
}

static void a_bind_that_cannot_be_answered_is_no_wrong_password(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        const struct test_rule rules[] = {
            SERVICE,
            FINDS,
            {.op = LDAP_REQ_BIND, .holds = "uid=alice", .result = refusals[i].result},
            NO_MORE};

        check_refusal(rules, &refusals[i]);
    }
}

static void a_search_that_cannot_be_answered_is_no_unknown_user(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        const struct test_rule rules[] = {
            SERVICE, {.op = LDAP_REQ_SEARCH, .result = refusals[i].result}, NO_MORE};

        check_refusal(rules, &refusals[i]);
    }
}

/* It answers, and is not well for that: three of them in a row, and it is left alone for a while.
 */
static void a_server_that_only_says_that_it_is_busy_is_left_alone(void **state)
{
    const struct test_rule rules[] = {
        SERVICE, {.op = LDAP_REQ_SEARCH, .result = LDAP_BUSY}, NO_MORE};
    struct test_responder *one = test_responder_new(rules);
    struct test_responder *two = test_responder_new(good);
    struct bench *b = bench_of(one, two);
    struct asked a;

    (void)state;
    for (int i = 0; i < 6; i++) {
        login(b, &a, "alice", "alice");
        assert_int_equal(a.verdict, SP_VERDICT_ALLOW);
    }
    assert_int_equal(test_responder_count(one, 1), 3);
    bench_free(b);
    test_responder_free(&one);
    test_responder_free(&two);
}

/* It takes connections, as a balancer does that has nobody behind it. */
static void a_server_that_breaks_at_each_first_request_is_left_alone(void **state)
{
    const struct test_rule rules[] = {{.op = LDAP_REQ_BIND, .does = TEST_HANGS_UP}, NO_MORE};
    const struct test_rule takes_all[] = {NO_MORE};
    struct test_responder *one = test_responder_new(rules);
    struct test_responder *two = test_responder_new(takes_all);
    char uris[160];
    struct bench *b;
    struct asked a;

    (void)state;
    snprintf(uris, sizeof(uris), "%s, %s", test_responder_uri(one), test_responder_uri(two));
    b = bench_new(uris);
    set(b, "user_dn", "uid=%u,ou=people,dc=test");
    bench_open(b);
    for (int i = 0; i < 6; i++) {
        login(b, &a, "alice", "alice");
        assert_int_equal(a.verdict, SP_VERDICT_ALLOW);
    }
    assert_int_equal(test_responder_count(one, 0), 3);
    bench_free(b);
    test_responder_free(&one);
    test_responder_free(&two);
}

/* ---- limits ---- */

static void check_limit(struct test_rule search, enum sp_verdict verdict, const char *reason)
{
    const struct test_rule rules[] = {SERVICE, search, NO_MORE};
    struct test_responder *one = test_responder_new(rules);
    struct bench *b = bench_of(one, NULL);
    struct asked a;

    login(b, &a, "alice", "alice");
    assert_int_equal(a.verdict, verdict);
    assert_string_equal(a.reason, reason);
    bench_free(b);
    test_responder_free(&one);
}

/* One entry and a limit met: the server's own limit is one, so nobody knows whether there are more.
 */
static void a_limit_met_is_dont_know(void **state)
{
    struct test_rule met = {.op = LDAP_REQ_SEARCH, .entry = ENTRY, .name = "alice"};
    static const int limits[] = {LDAP_SIZELIMIT_EXCEEDED, LDAP_TIMELIMIT_EXCEEDED,
                                 LDAP_ADMINLIMIT_EXCEEDED};

    (void)state;
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        met.result = limits[i];
        check_limit(met, SP_VERDICT_UNAVAILABLE, "the directory's limits ended the search");
    }
}

static void a_group_limit_that_paging_does_not_lift_is_dont_know(void **state)
{
    static const struct test_rule rules[] = {
        SERVICE,
        FINDS,
        {.op = LDAP_REQ_SEARCH, .holds = "member", .result = LDAP_SIZELIMIT_EXCEEDED},
        NO_MORE};
    struct test_responder *one = test_responder_new(rules);
    char uri[64];
    struct bench *b;
    struct asked a;

    (void)state;
    snprintf(uri, sizeof(uri), "%s", test_responder_uri(one));
    b = bench_new(uri);
    set(b, "group_base", "ou=groups,dc=test");
    bench_open(b);
    login(b, &a, "alice", "alice");
    assert_int_equal(a.verdict, SP_VERDICT_UNAVAILABLE);
    assert_string_equal(a.reason, "the directory's limits ended the search");
    assert_int_equal(test_responder_count(one, OTHER_RULE), 2); /* once plain, once by pages */
    bench_free(b);
    test_responder_free(&one);
}

/* ---- lost answers ---- */

/* The bind may have been counted before the answer was lost: twice is the most. */
static void a_bind_whose_answer_is_lost_is_repeated_once_at_most(void **state)
{
    static const struct test_rule rules[] = {
        SERVICE,
        FINDS,
        {.op = LDAP_REQ_BIND, .holds = "uid=alice", .does = TEST_HANGS_UP},
        NO_MORE};
    struct test_responder *one = test_responder_new(rules);
    struct test_responder *two = test_responder_new(rules);
    struct test_responder *three = test_responder_new(rules);
    char uris[200];
    struct bench *b;
    struct asked a;

    (void)state;
    snprintf(uris, sizeof(uris), "%s, %s, %s", test_responder_uri(one), test_responder_uri(two),
             test_responder_uri(three));
    b = bench_new(uris);
    bench_open(b);
    login(b, &a, "alice", "alice");
    assert_int_equal(a.verdict, SP_VERDICT_UNAVAILABLE);
    assert_int_equal(test_responder_count(one, BIND_RULE) + test_responder_count(two, BIND_RULE) +
                         test_responder_count(three, BIND_RULE),
                     2);
    bench_free(b);
    test_responder_free(&one);
    test_responder_free(&two);
    test_responder_free(&three);
}

/* ---- slowness ---- */

/* It works on one bind after the other: 16 at once only wait inside it. */
static void a_server_that_queues_is_given_fewer_binds_at_once(void **state)
{
    enum { MANY = 100 };
    static const struct test_rule rules[] = {
        SERVICE, FINDS, {.op = LDAP_REQ_BIND, .holds = "uid=alice", .work_ms = 10}, NO_MORE};
    struct test_responder *one = test_responder_new(rules);
    struct bench *b = bench_new(test_responder_uri(one));
    struct asked *a = calloc(MANY, sizeof(*a));
    char labels[128];

    (void)state;
    assert_non_null(a);
    set(b, "timeout", "60s");
    bench_open(b);
    snprintf(labels, sizeof(labels), "server=\"%s\",state=\"limit\"", test_responder_uri(one));
    for (size_t i = 0; i < 16; i++)
        login(b, &a[i], "alice", "alice");
    assert_int_equal(test_host_metric(b->host, "ldap_connections", labels), 16);
    for (size_t i = 0; i < MANY; i++)
        ask(b, &a[i], "alice", "alice");
    wait_for(b, a, MANY, 60000);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(a[i].verdict, SP_VERDICT_ALLOW);
    assert_in_range(test_host_metric(b->host, "ldap_connections", labels), 1, 15);
    free(a);
    bench_free(b);
    test_responder_free(&one);
}

/* ---- Active Directory ---- */

static void active_directorys_answers_are_understood(void **state)
{
    static const struct {
        const char *data;
        enum sp_verdict verdict;
        const char *reason;
    } known[] = {
        {"52e", SP_VERDICT_DENY, "wrong password"},
        {"525", SP_VERDICT_UNKNOWN_USER, "no such user"},
        {"530", SP_VERDICT_ACCOUNT, "login not allowed at this hour"},
        {"531", SP_VERDICT_ACCOUNT, "login not allowed from this machine"},
        {"532", SP_VERDICT_ACCOUNT, "password expired"},
        {"533", SP_VERDICT_ACCOUNT, "account disabled"},
        {"701", SP_VERDICT_ACCOUNT, "account expired"},
        {"773", SP_VERDICT_ACCOUNT, "password must be changed"},
        {"775", SP_VERDICT_ACCOUNT, "account locked"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        char text[160];
        const struct test_rule rules[] = {SERVICE,
                                          FINDS,
                                          {.op = LDAP_REQ_BIND,
                                           .holds = "uid=alice",
                                           .result = LDAP_INVALID_CREDENTIALS,
                                           .diagnostic = text},
                                          NO_MORE};
        struct test_responder *one;
        struct bench *b;
        struct asked a;

        snprintf(text, sizeof(text),
                 "80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data "
                 "%s, v2580",
                 known[i].data);
        one = test_responder_new(rules);
        b = bench_of(one, NULL);
        login(b, &a, "alice", "alice");
        assert_int_equal(a.verdict, known[i].verdict);
        assert_string_equal(a.reason, known[i].reason);
        assert_non_null(strstr(a.detail, text));
        assert_int_equal(test_responder_count(one, BIND_RULE), 1);
        bench_free(b);
        test_responder_free(&one);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bind_that_cannot_be_answered_is_no_wrong_password),
        cmocka_unit_test(a_search_that_cannot_be_answered_is_no_unknown_user),
        cmocka_unit_test(a_server_that_only_says_that_it_is_busy_is_left_alone),
        cmocka_unit_test(a_server_that_breaks_at_each_first_request_is_left_alone),
        cmocka_unit_test(a_limit_met_is_dont_know),
        cmocka_unit_test(a_group_limit_that_paging_does_not_lift_is_dont_know),
        cmocka_unit_test(a_bind_whose_answer_is_lost_is_repeated_once_at_most),
        cmocka_unit_test(a_server_that_queues_is_given_fewer_binds_at_once),
        cmocka_unit_test(active_directorys_answers_are_understood),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
