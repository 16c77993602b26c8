/* Referrals: of a search, beside entries, of a bind; followed, and not followed. Scripted servers,
 * whose words say where to go, and a slapd that holds the people. */
#include "bench_ldap.h"

#include "backends/ldap/ldap_priv.h"
#include "backends/ldap/ldap_referral.h"
#include "support/responder.h"

#include <ldap.h>

#define SERVICE                                  \
    {                                            \
        .op = LDAP_REQ_BIND, .holds = "cn=proxy" \
    }
#define NO_MORE  \
    {            \
        .op = -1 \
    }
#define ALICE "uid=alice,ou=people,dc=test"

static struct test_slapd *slapd;

static int start_slapd(void **state)
{
    (void)state;
    slapd = test_slapd_new(&(struct test_slapd_setup){.ppolicy = false});
    return 0;
}

static int stop_slapd(void **state)
{
    (void)state;
    test_slapd_free(&slapd);
    return 0;
}

static struct bench *bench_at(struct test_responder *r, bool follows)
{
    struct bench *b = bench_new(test_responder_uri(r));

    set(b, "timeout", "2s");
    set(b, "follow_referrals", follows ? "true" : "false");
    return b;
}

/* One login at a server with these rules. */
static void login_at(const struct test_rule *rules, bool follows, const char *password,
                     struct asked *a)
{
    struct test_responder *r = test_responder_new(rules);
    struct bench *b = bench_at(r, follows);

    bench_open(b);
    login(b, a, "alice", password);
    bench_free(b);
    test_responder_free(&r);
}

static unsigned binds_of_alice(void)
{
    return test_slapd_count(slapd, "BIND dn=\"" ALICE "\" method=128");
}

/* ---- off ---- */

static void off_a_reference_is_ignored_and_a_referral_is_dont_know(void **state)
{
    const struct test_rule beside[] = {SERVICE,
                                       {.op = LDAP_REQ_SEARCH,
                                        .entry = ALICE,
                                        .name = "alice",
                                        .reference = test_slapd_uri(slapd)},
                                       NO_MORE};
    const struct test_rule alone[] = {
        SERVICE, {.op = LDAP_REQ_SEARCH, .reference = test_slapd_uri(slapd)}, NO_MORE};
    const struct test_rule instead[] = {
        SERVICE,
        {.op = LDAP_REQ_SEARCH, .result = LDAP_REFERRAL, .refers = test_slapd_uri(slapd)},
        NO_MORE};
    unsigned before = binds_of_alice();
    struct asked a;

    (void)state;
    login_at(beside, false, "alice", &a);
    assert_int_equal(a.verdict, SP_VERDICT_ALLOW);
    login_at(alone, false, "alice", &a);
    assert_int_equal(a.verdict, SP_VERDICT_UNKNOWN_USER);
    login_at(instead, false, "alice", &a);
    assert_int_equal(a.verdict, SP_VERDICT_UNAVAILABLE);
    assert_string_equal(a.reason, "the directory refers to another server");
    assert_int_equal(binds_of_alice(), before);
}

/* ---- on ---- */

static void a_person_is_found_and_bound_where_a_referral_leads(void **state)
{
    const struct test_rule refers[] = {
        SERVICE,
        {.op = LDAP_REQ_SEARCH, .result = LDAP_REFERRAL, .refers = test_slapd_uri(slapd)},
        {.op = LDAP_REQ_BIND},
        NO_MORE};
    const struct test_rule references[] = {
        SERVICE, {.op = LDAP_REQ_SEARCH, .reference = test_slapd_uri(slapd)}, NO_MORE};
    unsigned before = binds_of_alice();
    struct asked a;

    (void)state;
    login_at(refers, true, "alice", &a);
    if (a.verdict != SP_VERDICT_ALLOW)
        fail_msg("%s: %s", a.reason, a.detail);
    assert_non_null(strstr(a.steps, "referral["));
    login_at(references, true, "alice", &a);
    assert_int_equal(a.verdict, SP_VERDICT_ALLOW);
    login_at(references, true, "wrong", &a);
    assert_int_equal(a.verdict, SP_VERDICT_DENY);
    assert_string_equal(a.reason, "wrong password");
    assert_int_equal(binds_of_alice(), before + 3); /* each once, and at the server of the entry */
}

static void a_bind_is_sent_on_where_its_referral_leads(void **state)
{
    const struct test_rule rules[] = {
        SERVICE,
        {.op = LDAP_REQ_SEARCH, .entry = ALICE, .name = "alice"},
        {.op = LDAP_REQ_BIND, .result = LDAP_REFERRAL, .refers = test_slapd_uri(slapd)},
        NO_MORE};
    struct asked a;

    (void)state;
    login_at(rules, true, "alice", &a);
    assert_int_equal(a.verdict, SP_VERDICT_ALLOW);
    login_at(rules, true, "wrong", &a);
    assert_int_equal(a.verdict, SP_VERDICT_DENY);
    login_at(rules, false, "alice", &a);
    assert_int_equal(a.verdict, SP_VERDICT_UNAVAILABLE);
}

static void a_match_here_and_one_there_are_two(void **state)
{
    const struct test_rule rules[] = {SERVICE,
                                      {.op = LDAP_REQ_SEARCH,
                                       .entry = "uid=alice,ou=elsewhere,dc=test",
                                       .name = "alice",
                                       .reference = test_slapd_uri(slapd)},
                                      NO_MORE};
    struct asked a;

    (void)state;
    login_at(rules, true, "alice", &a);
    assert_int_equal(a.verdict, SP_VERDICT_UNKNOWN_USER);
    assert_string_equal(a.reason, "name is not unique");
}

static void groups_come_from_both_sides_of_a_reference(void **state)
{
    const struct test_rule rules[] = {
        SERVICE,
        {.op = LDAP_REQ_SEARCH, .holds = "inetOrgPerson", .entry = ALICE, .name = "alice"},
        {.op = LDAP_REQ_SEARCH,
         .entry = "cn=here,ou=groups,dc=test",
         .name = "here",
         .reference = test_slapd_uri(slapd)},
        NO_MORE};
    struct test_responder *r = test_responder_new(rules);
    struct bench *b = bench_at(r, true);
    struct asked a;

    (void)state;
    set(b, "group_base", "ou=groups,dc=test");
    bench_open(b);
    login(b, &a, "alice", "alice");
    assert_int_equal(a.verdict, SP_VERDICT_ALLOW);
    assert_string_equal(a.groups,
                        "cn=here,ou=groups,dc=test;here;cn=staff,ou=groups,dc=test;staff;");
    bench_free(b);
    test_responder_free(&r);
}

#define PAGES "1.2.840.113556.1.4.319"

/* One login at a time reads pages of a server. This one goes away while it does, and the server
 * falls meanwhile, so that it goes on at another: what it held there it must have given back. */
static void who_goes_on_elsewhere_reads_no_more_pages_here(void **state)
{
    const struct test_rule there[] = {{.op = LDAP_REQ_SEARCH, .work_ms = 3000}, NO_MORE};
    const struct test_rule other[] = {NO_MORE};
    struct test_responder *far = test_responder_new(there);
    struct test_responder *two = test_responder_new(other);
    const struct test_rule rules[] = {
        {.op = LDAP_REQ_BIND, .holds = "cn=proxy", .times = 1},
        {.op = LDAP_REQ_BIND, .holds = "cn=proxy", .result = LDAP_BUSY},
        {.op = LDAP_REQ_SEARCH,
         .holds = "inetOrgPerson",
         .times = 1,
         .entry = ALICE,
         .name = "alice"},
        {.op = LDAP_REQ_SEARCH, .holds = "inetOrgPerson", .does = TEST_HANGS_UP},
        {.op = LDAP_REQ_SEARCH,
         .holds = PAGES,
         .entry = "cn=here,ou=groups,dc=test",
         .name = "here",
         .reference = test_responder_uri(far)},
        {.op = LDAP_REQ_SEARCH, .result = LDAP_SIZELIMIT_EXCEEDED},
        NO_MORE};
    struct test_responder *one = test_responder_new(rules);
    struct asked first, others[3];
    struct bench *b;
    char uris[160];

    (void)state;
    snprintf(uris, sizeof(uris), "%s, %s", test_responder_uri(one), test_responder_uri(two));
    b = bench_new(uris);
    set(b, "follow_referrals", "true");
    set(b, "group_base", "ou=groups,dc=test");
    set(b, "group_depth", "1");
    bench_open(b);
    ask(b, &first, "alice", "alice");
    for (int i = 0; test_responder_count(far, 0) == 0 && i < 1000; i++)
        run_for(b, 10);
    assert_ptr_not_equal(b->backend->servers[0].pager, NULL);
    for (size_t i = 0; i < 3; i++) {
        login(b, &others[i], "bob", "bob");
        assert_int_equal(others[i].verdict, SP_VERDICT_UNKNOWN_USER); /* said by the other */
    }
    assert_int_equal(b->backend->servers[0].state, SP_LDAP_SERVER_DOWN);
    assert_int_equal(first.told, 0);
    wait_for(b, &first, 1, 15000);
    if (first.verdict != SP_VERDICT_ALLOW)
        fail_msg("%s: %s", first.reason, first.detail);
    assert_ptr_equal(b->backend->servers[0].pager, NULL);
    assert_ptr_equal(b->backend->servers[1].pager, NULL);
    bench_free(b);
    test_responder_free(&one);
    test_responder_free(&two);
    test_responder_free(&far);
}

/* ---- bounds ---- */

/* Servers that refer on in a row, each to the next, and the last to the slapd. */
static void check_row(size_t len, enum sp_verdict verdict)
{
    struct test_rule rules[8][3];
    struct test_responder *row[8];
    struct bench *b;
    struct asked a;

    assert_true(len <= 8);
    for (size_t i = len; i-- > 0;) {
        rules[i][0] = (struct test_rule)SERVICE;
        rules[i][1] = (struct test_rule){.op = LDAP_REQ_SEARCH,
                                         .result = LDAP_REFERRAL,
                                         .refers = i + 1 < len ? test_responder_uri(row[i + 1])
                                                               : test_slapd_uri(slapd)};
        rules[i][2] = (struct test_rule)NO_MORE;
        row[i] = test_responder_new(rules[i]);
    }
    b = bench_at(row[0], true);
    bench_open(b);
    login(b, &a, "alice", "alice");
    assert_int_equal(a.verdict, verdict);
    if (verdict != SP_VERDICT_ALLOW)
        assert_string_equal(a.reason, "too many referrals in a row");
    bench_free(b);
    for (size_t i = 0; i < len; i++)
        test_responder_free(&row[i]);
}

static void three_referrals_in_a_row_are_followed_and_four_are_not(void **state)
{
    (void)state;
    check_row(3, SP_VERDICT_ALLOW);
    check_row(4, SP_VERDICT_UNAVAILABLE);
}

/* The rules name the server itself, so they are filled in when it is known. */
static void a_circle_of_referrals_ends(void **state)
{
    struct test_rule rules[] = {SERVICE, {.op = LDAP_REQ_SEARCH, .times = 1}, NO_MORE};
    struct test_responder *r = test_responder_new(rules);
    struct bench *b = bench_at(r, true);
    struct asked a;

    (void)state;
    rules[1] = (struct test_rule){
        .op = LDAP_REQ_SEARCH, .result = LDAP_REFERRAL, .refers = test_responder_uri(r)};
    bench_open(b);
    login(b, &a, "alice", "alice");
    assert_int_equal(a.verdict, SP_VERDICT_UNAVAILABLE);
    assert_string_equal(a.reason, "a referral cannot be followed");
    assert_non_null(strstr(a.detail, "lead back to"));
    assert_int_equal(test_responder_count(r, 1), 1);
    bench_free(b);
    test_responder_free(&r);
}

static void a_referral_that_leads_nowhere_is_dont_know(void **state)
{
    static const struct test_rule nowhere[] = {
        SERVICE, {.op = LDAP_REQ_SEARCH, .reference = "ldap://127.0.0.1:1"}, NO_MORE};
    static const struct test_rule clear[] = {
        SERVICE, {.op = LDAP_REQ_SEARCH, .reference = "ldap://dc9.corp.test/dc=test"}, NO_MORE};
    struct asked a;

    (void)state;
    login_at(nowhere, true, "alice", &a);
    assert_int_equal(a.verdict, SP_VERDICT_UNAVAILABLE);
    assert_string_equal(a.reason, "a referral cannot be followed");
    assert_non_null(strstr(a.detail, "cannot connect"));
    login_at(clear, true, "alice", &a);
    assert_int_equal(a.verdict, SP_VERDICT_UNAVAILABLE);
    assert_non_null(strstr(a.detail, "in clear"));
}

static void a_silent_server_costs_its_own_login_one_timeout(void **state)
{
    static const struct test_rule silent[] = {
        SERVICE, {.op = LDAP_REQ_SEARCH, .does = TEST_IS_SILENT}, NO_MORE};
    struct test_responder *hung = test_responder_new(silent);
    const struct test_rule rules[] = {
        SERVICE,
        {.op = LDAP_REQ_SEARCH, .holds = "nobody", .reference = test_responder_uri(hung)},
        {.op = LDAP_REQ_SEARCH, .entry = ALICE, .name = "alice"},
        NO_MORE};
    struct test_responder *r = test_responder_new(rules);
    struct bench *b = bench_at(r, true);
    struct asked slow;
    struct asked a;

    (void)state;
    bench_open(b);
    ask(b, &slow, "nobody", "x");
    login(b, &a, "alice", "alice");
    assert_int_equal(a.verdict, SP_VERDICT_ALLOW);
    assert_int_equal(slow.told, 0);
    wait_for(b, &slow, 1, 15000);
    assert_int_equal(slow.verdict, SP_VERDICT_UNAVAILABLE);
    assert_string_equal(slow.reason, "the directory does not answer in time");
    bench_free(b);
    test_responder_free(&r);
    test_responder_free(&hung);
}

/* More at once than are followed at once: those that wait are cancelled in the queue, the others
 * in flight, and the backend closes while jobs are out. */
static void logins_are_cancelled_while_they_follow(void **state)
{
    enum { MANY = 9 };
    static const struct test_rule silent[] = {
        SERVICE, {.op = LDAP_REQ_SEARCH, .does = TEST_IS_SILENT}, NO_MORE};
    struct test_responder *hung = test_responder_new(silent);
    const struct test_rule rules[] = {
        SERVICE, {.op = LDAP_REQ_SEARCH, .reference = test_responder_uri(hung)}, NO_MORE};
    struct test_responder *r = test_responder_new(rules);
    struct bench *b = bench_at(r, true);
    struct asked a[MANY];

    (void)state;
    bench_open(b);
    for (size_t i = 0; i < MANY; i++)
        ask(b, &a[i], "alice", "alice");
    while (test_responder_count(hung, 1) == 0)
        run_for(b, 10);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(a[i].told, 0);
        sp_auth_backend.cancel(&a[i].op);
    }
    bench_free(b);
    test_responder_free(&r);
    test_responder_free(&hung);
}

static void many_that_follow_are_all_answered(void **state)
{
    enum { MANY = 40 };
    const struct test_rule rules[] = {
        SERVICE, {.op = LDAP_REQ_SEARCH, .reference = test_slapd_uri(slapd)}, NO_MORE};
    struct test_responder *r = test_responder_new(rules);
    struct bench *b = bench_at(r, true);
    struct asked *a = calloc(MANY, sizeof(*a));

    (void)state;
    assert_non_null(a);
    set(b, "timeout", "20s");
    bench_open(b);
    for (size_t i = 0; i < MANY; i++)
        ask(b, &a[i], "alice", i % 2 == 0 ? "alice" : "wrong");
    wait_for(b, a, MANY, 30000);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(a[i].verdict, i % 2 == 0 ? SP_VERDICT_ALLOW : SP_VERDICT_DENY);
    free(a);
    bench_free(b);
    test_responder_free(&r);
}

/* ---- URLs ---- */

static enum sp_err read_url(const char *url, bool start_tls, struct sp_ldap_lead *lead)
{
    struct sp_ldap_options options = {.start_tls = start_tls};
    const char *why = NULL;
    enum sp_err err = sp_ldap_lead_read(lead, url, &options, &why);

    assert_non_null(why);
    return err;
}

static void urls_move_a_question_and_do_not_change_it(void **state)
{
    static const char *const bad[] = {"",
                                      "http://dc1/",
                                      "ldapi://%2Frun%2Fs",
                                      "ldap:///dc=test",
                                      "ldap://dc1.corp.test",
                                      "ldaps://dc1/dc=test??sub?(uid=root)",
                                      "ldaps://dc1/dc=test??\?\?!1.2.3=x"};
    struct sp_ldap_lead lead;
    struct sp_ldap_lead other;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (read_url(bad[i], false, &lead) != SP_ERR_INVALID)
            fail_msg("taken: %s", bad[i]);
        sp_ldap_lead_fini(&lead);
    }
    assert_int_equal(read_url("ldaps://DC1/dc=x%20y,dc=test??one", false, &lead), SP_OK);
    assert_string_equal(lead.uri.host, "DC1");
    assert_string_equal(lead.uri.port, "636");
    assert_string_equal(lead.dn, "dc=x y,dc=test");
    assert_int_equal(lead.scope, LDAP_SCOPE_ONELEVEL);
    assert_int_equal(read_url("ldaps://dc1:636/DC=x%20y,dc=test", false, &other), SP_OK);
    assert_int_equal(other.scope, LDAP_SCOPE_DEFAULT);
    assert_true(sp_ldap_lead_same(&lead, &other, "dc=other"));
    sp_ldap_lead_fini(&other);
    assert_int_equal(read_url("ldaps://dc1", false, &other), SP_OK);
    assert_null(other.dn);
    assert_true(sp_ldap_lead_same(&lead, &other, "dc=x y,dc=test"));
    assert_false(sp_ldap_lead_same(&lead, &other, "dc=test"));
    sp_ldap_lead_fini(&other);
    sp_ldap_lead_fini(&lead);
    assert_int_equal(read_url("ldap://[2001:db8::1]:3890/dc=test", true, &lead), SP_OK);
    assert_string_equal(lead.uri.host, "2001:db8::1");
    assert_string_equal(lead.uri.port, "3890");
    sp_ldap_lead_fini(&lead);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(off_a_reference_is_ignored_and_a_referral_is_dont_know),
        cmocka_unit_test(a_person_is_found_and_bound_where_a_referral_leads),
        cmocka_unit_test(a_bind_is_sent_on_where_its_referral_leads),
        cmocka_unit_test(a_match_here_and_one_there_are_two),
        cmocka_unit_test(groups_come_from_both_sides_of_a_reference),
        cmocka_unit_test(who_goes_on_elsewhere_reads_no_more_pages_here),
        cmocka_unit_test(three_referrals_in_a_row_are_followed_and_four_are_not),
        cmocka_unit_test(a_circle_of_referrals_ends),
        cmocka_unit_test(a_referral_that_leads_nowhere_is_dont_know),
        cmocka_unit_test(a_silent_server_costs_its_own_login_one_timeout),
        cmocka_unit_test(logins_are_cancelled_while_they_follow),
        cmocka_unit_test(many_that_follow_are_all_answered),
        cmocka_unit_test(urls_move_a_question_and_do_not_change_it),
    };

    return cmocka_run_group_tests(tests, start_slapd, stop_slapd);
}
