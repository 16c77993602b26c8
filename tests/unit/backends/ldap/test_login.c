/* Logins against a real slapd: search and bind, bind by template, names, groups, verdicts. */
#include "bench_ldap.h"

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

static void a_right_password_is_allowed_after_search_and_bind(void **state)
{
    struct bench *b = bench_new(test_slapd_uri(slapd));
    struct asked a;

    (void)state;
    bench_open(b);
    login(b, &a, "alice", "alice");
    assert_int_equal(a.verdict, SP_VERDICT_ALLOW);
    assert_string_equal(a.user, "alice");
    assert_string_equal(a.server, test_slapd_uri(slapd));
    assert_non_null(strstr(a.steps, "connect["));
    assert_non_null(strstr(a.steps, "service_bind[cn=proxy,dc=test]=success"));
    assert_non_null(strstr(a.steps, "search[(&(objectClass=inetOrgPerson)(uid=alice))]=1 match"));
    assert_non_null(strstr(a.steps, "bind[uid=alice,ou=people,dc=test]=success"));
    bench_free(b);
}

static void a_wrong_password_is_denied_and_never_tried_twice(void **state)
{
    struct bench *b = bench_new(test_slapd_uri(slapd));
    unsigned before;
    struct asked a;

    (void)state;
    before = test_slapd_count(slapd, "BIND dn=\"uid=bob,ou=people,dc=test\" method=128");
    bench_open(b);
    login(b, &a, "bob", "wrong");
    assert_int_equal(a.verdict, SP_VERDICT_DENY);
    assert_string_equal(a.reason, "wrong password");
    assert_int_equal(test_slapd_count(slapd, "BIND dn=\"uid=bob,ou=people,dc=test\" method=128"),
                     before + 1);
    bench_free(b);
}

static void nobody_and_more_than_one_are_unknown_users(void **state)
{
    struct bench *b = bench_new(test_slapd_uri(slapd));
    struct asked a;

    (void)state;
    bench_open(b);
    login(b, &a, "nobody", "x");
    assert_int_equal(a.verdict, SP_VERDICT_UNKNOWN_USER);
    assert_string_equal(a.reason, "no such user");
    login(b, &a, "twin", "twin");
    assert_int_equal(a.verdict, SP_VERDICT_UNKNOWN_USER);
    assert_string_equal(a.reason, "name is not unique");
    login(b, &a, "*", "alice");
    assert_int_equal(a.verdict, SP_VERDICT_UNKNOWN_USER);
    login(b, &a, "alice)(uid=*", "alice");
    assert_int_equal(a.verdict, SP_VERDICT_UNKNOWN_USER);
    bench_free(b);
}

/* slapd finds alice by each of these (RFC 4518); for rules and guard they would be somebody else.
 */
static void look_alikes_of_a_name_are_not_that_person(void **state)
{
    static const char *const alikes[] = {"\xef\xbd\x81lice", "\xe2\x93\x90lice"};
    struct bench *b = bench_new(test_slapd_uri(slapd));
    struct bench *by_template = bench_new(test_slapd_uri(slapd));
    struct asked a;

    (void)state;
    set(by_template, "user_dn", "uid=%u,ou=people,dc=test");
    bench_open(b);
    bench_open(by_template);
    for (size_t i = 0; i < sizeof(alikes) / sizeof(alikes[0]); i++) {
        login(by_template, &a, alikes[i], "alice");
        assert_int_equal(a.verdict, SP_VERDICT_UNKNOWN_USER);
        login(b, &a, alikes[i], "alice");
        assert_int_equal(a.verdict, SP_VERDICT_UNKNOWN_USER);
        if (strstr(a.detail, "spells its name otherwise") == NULL)
            fail_msg("alike %zu: %s", i, a.detail);
    }
    bench_free(by_template);
    bench_free(b);
}

/* A filter that compares something else than the whole name leaves nothing to compare with, and
 * U+017F, an old form of s, finds the star. */
static void look_alikes_are_nobody_where_no_spelling_is_shown(void **state)
{
    struct bench *b = bench_new(test_slapd_uri(slapd));
    struct bench *by_template = bench_new(test_slapd_uri(slapd));
    struct asked a;

    (void)state;
    set(b, "filter", "(&(objectClass=inetOrgPerson)(uid:caseIgnoreMatch:=%u))");
    set(by_template, "user_dn", "uid=%u,ou=people,dc=test");
    bench_open(b);
    bench_open(by_template);
    login(b, &a, "alice", "alice");
    assert_int_equal(a.verdict, SP_VERDICT_ALLOW);
    login(b, &a, "\xef\xbd\x81lice", "alice");
    assert_int_equal(a.verdict, SP_VERDICT_UNKNOWN_USER);
    login(b, &a, "\xc5\xbf(t)a*r", "star");
    assert_int_equal(a.verdict, SP_VERDICT_UNKNOWN_USER);
    login(by_template, &a, "\xc5\xbf(t)a*r", "star");
    assert_int_equal(a.verdict, SP_VERDICT_UNKNOWN_USER);
    bench_free(by_template);
    bench_free(b);
}

static void odd_names_are_found_and_bound(void **state)
{
    static const char *const people[][2] = {{"j\xc3\xb6rg", "p\xc3\xa4ss"},
                                            {"a,b+c\"d\\e", "odd"},
                                            {"s(t)a*r", "star"},
                                            {"#hash", "hash"}};
    struct asked a;

    (void)state;
    for (int template = 0; template <2; template ++) {
        struct bench *b = bench_new(test_slapd_uri(slapd));

        if (template)
            set(b, "user_dn", "uid=%u,ou=people,dc=test");
        bench_open(b);
        for (size_t i = 0; i < sizeof(people) / sizeof(people[0]); i++) {
            login(b, &a, people[i][0], people[i][1]);
            assert_int_equal(a.verdict, SP_VERDICT_ALLOW);
            login(b, &a, people[i][0], "wrong");
            assert_int_equal(a.verdict, SP_VERDICT_DENY);
        }
        bench_free(b);
    }
}

static void a_template_binds_without_a_search(void **state)
{
    struct bench *b = bench_new(test_slapd_uri(slapd));
    struct asked a;

    (void)state;
    set(b, "user_dn", "uid=%u,ou=people,dc=test");
    set(b, "bind_dn", "");
    set(b, "bind_password_file", "");
    bench_open(b);
    login(b, &a, "alice", "alice");
    assert_int_equal(a.verdict, SP_VERDICT_ALLOW);
    assert_null(strstr(a.steps, "search"));
    login(b, &a, "nobody", "alice");
    assert_int_equal(a.verdict, SP_VERDICT_DENY);
    bench_free(b);
}

static void an_empty_password_is_refused_before_any_bind(void **state)
{
    struct bench *b = bench_new(test_slapd_uri(slapd));
    unsigned before = test_slapd_count(slapd, "BIND dn");
    struct asked a;

    (void)state;
    bench_open(b);
    login(b, &a, "alice", "");
    assert_int_equal(a.verdict, SP_VERDICT_DENY);
    assert_int_equal(test_slapd_count(slapd, "BIND dn"), before);
    bench_free(b);
}

static void groups_come_with_the_login_by_name_and_by_dn(void **state)
{
    struct bench *b = bench_new(test_slapd_uri(slapd));
    struct asked a;

    (void)state;
    set(b, "group_base", "ou=groups,dc=test");
    bench_open(b);
    login(b, &a, "alice", "alice");
    assert_int_equal(a.verdict, SP_VERDICT_ALLOW);
    assert_string_equal(a.groups, "cn=staff,ou=groups,dc=test;staff;");
    login(b, &a, "alice", "wrong");
    assert_int_equal(a.verdict, SP_VERDICT_DENY);
    assert_string_equal(a.groups, "");
    bench_free(b);
}

static void groups_within_groups_are_walked_and_cycles_end(void **state)
{
    struct bench *b = bench_new(test_slapd_uri(slapd));
    struct asked a;

    (void)state;
    set(b, "group_base", "ou=groups,dc=test");
    set(b, "group_depth", "5");
    bench_open(b);
    login(b, &a, "alice", "alice");
    assert_string_equal(a.groups, "cn=staff,ou=groups,dc=test;staff;cn=all,ou=groups,dc=test;all;");
    login(b, &a, "bob", "bob");
    assert_string_equal(a.groups,
                        "cn=ring-a,ou=groups,dc=test;ring-a;cn=ring-b,ou=groups,dc=test;ring-b;");
    bench_free(b);
}

/* One person, in so many groups of that name and a number. Free it. */
static char *tree_of_groups(int groups, const char *name)
{
    size_t cap = 1024 * 1024;
    char *ldif = malloc(cap);
    size_t len;

    assert_non_null(ldif);
    len = (size_t)snprintf(
        ldif, cap,
        "dn: dc=test\nobjectClass: dcObject\nobjectClass: organization\no: test\n\n"
        "dn: cn=proxy,dc=test\nobjectClass: organizationalRole\n"
        "objectClass: simpleSecurityObject\nuserPassword: proxy-secret\n\n"
        "dn: ou=people,dc=test\nobjectClass: organizationalUnit\n\n"
        "dn: uid=alice,ou=people,dc=test\nobjectClass: inetOrgPerson\ncn: A\nsn: A\n"
        "userPassword: alice\n\n");
    for (int i = 0; i < groups; i++)
        len += (size_t)snprintf(ldif + len, cap - len,
                                "dn: cn=%s%d,dc=test\nobjectClass: groupOfNames\n"
                                "member: uid=alice,ou=people,dc=test\n\n",
                                name, i);
    assert_true(len < cap);
    return ldif;
}

/* A tree of its own: one person in 1,250 groups, a server that gives 100 at once. */
static void more_groups_than_the_servers_size_limit_come_by_pages(void **state)
{
    enum { GROUPS = 1250 };
    struct test_slapd *big;
    struct bench *b;
    struct asked a[3];
    char *ldif;

    (void)state;
    ldif = tree_of_groups(GROUPS, "g");
    big = test_slapd_new(&(struct test_slapd_setup){
        .ldif = ldif,
        .extra =
            "limits * size.soft=100 size.hard=100 size.pr=unlimited size.prtotal=unlimited\n"});
    b = bench_new(test_slapd_uri(big));
    set(b, "group_base", "dc=test");
    bench_open(b);
    for (size_t i = 0; i < 3; i++) /* at once: pages of one search must not mix with another's */
        ask(b, &a[i], "alice", "alice");
    wait_for(b, a, 3, 15000);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(a[i].verdict, SP_VERDICT_ALLOW);
        assert_int_equal(a[i].groups_len, 2 * GROUPS);
    }
    bench_free(b);
    test_slapd_free(&big);
    free(ldif);
}

/* A server works on several requests of one connection at once, and their answers come mixed: much
 * may have come before the first of them is whole. */
static void answers_that_come_mixed_are_waited_for(void **state)
{
    enum { GROUPS = 3000, LOGINS = 24 };
    struct test_slapd *big;
    struct bench *b;
    struct asked a[LOGINS];
    char *ldif;

    (void)state;
    ldif = tree_of_groups(GROUPS,
                          "everybody who works in the department of number and in no other one ");
    big = test_slapd_new(
        &(struct test_slapd_setup){.ldif = ldif, .extra = "limits * size=unlimited\n"});
    b = bench_new(test_slapd_uri(big));
    set(b, "group_base", "dc=test");
    set(b, "timeout", "30s");
    bench_open(b);
    for (size_t i = 0; i < LOGINS; i++)
        ask(b, &a[i], "alice", "alice");
    wait_for(b, a, LOGINS, 60000);
    for (size_t i = 0; i < LOGINS; i++) {
        if (a[i].verdict != SP_VERDICT_ALLOW)
            fail_msg("%zu: %s: %s", i, a[i].reason, a[i].detail);
        assert_int_equal(a[i].groups_len, 2 * GROUPS);
    }
    bench_free(b);
    test_slapd_free(&big);
    free(ldif);
}

static void groups_of_a_person_known_by_other_proof(void **state)
{
    struct bench *b = bench_new(test_slapd_uri(slapd));
    struct asked a;

    (void)state;
    set(b, "group_base", "ou=groups,dc=test");
    bench_open(b);
    ask_for(b, &a, SP_AUTH_GROUPS, "alice", NULL);
    wait_for(b, &a, 1, 10000);
    assert_int_equal(a.verdict, SP_VERDICT_ALLOW);
    assert_string_equal(a.groups, "cn=staff,ou=groups,dc=test;staff;");
    ask_for(b, &a, SP_AUTH_GROUPS, "nobody", NULL);
    wait_for(b, &a, 1, 10000);
    assert_int_equal(a.verdict, SP_VERDICT_UNKNOWN_USER);
    bench_free(b);
}

static void a_group_search_that_fails_is_no_login(void **state)
{
    struct bench *b = bench_new(test_slapd_uri(slapd));
    struct asked a;

    (void)state;
    set(b, "group_base", "ou=missing,dc=test");
    bench_open(b);
    login(b, &a, "alice", "alice");
    assert_int_equal(a.verdict, SP_VERDICT_UNAVAILABLE);
    assert_string_equal(a.reason, "the search base does not exist");
    bench_free(b);
}

static void many_logins_at_once_are_all_answered(void **state)
{
    enum { MANY = 200 };
    struct bench *b = bench_new(test_slapd_uri(slapd));
    struct asked *a = calloc(MANY, sizeof(*a));

    (void)state;
    set(b, "connections", "4");
    bench_open(b);
    for (size_t i = 0; i < MANY; i++)
        ask(b, &a[i], i % 2 == 0 ? "alice" : "bob",
            i % 3 == 0   ? "wrong"
            : i % 2 == 0 ? "alice"
                         : "bob");
    wait_for(b, a, MANY, 20000);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(a[i].told, 1);
        assert_int_equal(a[i].verdict, i % 3 == 0 ? SP_VERDICT_DENY : SP_VERDICT_ALLOW);
    }
    free(a);
    bench_free(b);
}

static void a_refused_service_identity_cannot_answer(void **state)
{
    struct bench *b = bench_new(test_slapd_uri(slapd));
    struct asked a;
    unsigned before;

    (void)state;
    set(b, "bind_password_file", "not-the-password");
    bench_open(b);
    before = test_slapd_count(slapd, "BIND dn=\"cn=proxy,dc=test\" method=128");
    login(b, &a, "alice", "alice");
    assert_int_equal(a.verdict, SP_VERDICT_UNAVAILABLE);
    assert_string_equal(a.reason, "the directory refuses the service identity");
    login(b, &a, "alice", "alice");
    assert_int_equal(a.verdict, SP_VERDICT_UNAVAILABLE);
    assert_int_equal(test_slapd_count(slapd, "BIND dn=\"cn=proxy,dc=test\" method=128"),
                     before + 1);
    assert_non_null(strstr(test_host_log(b->host), "error: event=ldap_service_refused"));
    assert_null(strstr(test_host_log(b->host), "not-the-password"));
    bench_free(b);
}

static void a_login_cancelled_at_any_moment_is_never_told(void **state)
{
    struct bench *b = bench_new(test_slapd_uri(slapd));
    struct asked a[40];

    (void)state;
    set(b, "group_base", "ou=groups,dc=test");
    set(b, "connections", "2");
    bench_open(b);
    for (int turns = 0; turns < 40; turns++) {
        ask(b, &a[turns], "alice", "alice");
        for (int i = 0; i < turns && a[turns].told == 0; i++)
            uv_run(&b->loop, UV_RUN_NOWAIT);
        if (a[turns].told == 0) {
            sp_auth_backend.cancel(&a[turns].op);
            assert_null(a[turns].op);
            run_for(b, 5);
            assert_int_equal(a[turns].told, 0);
        }
    }
    login(b, &a[0], "alice", "alice");
    assert_int_equal(a[0].verdict, SP_VERDICT_ALLOW);
    bench_free(b);
}

static void a_backend_closes_while_it_dials(void **state)
{
    struct bench *b = bench_new(test_slapd_uri(slapd));
    struct asked a;

    (void)state;
    bench_open(b);
    ask(b, &a, "alice", "alice");
    sp_auth_backend.cancel(&a.op);
    bench_free(b); /* checks that closed fires, and that the loop is empty */
}

static void connections_are_counted_by_state(void **state)
{
    struct bench *b = bench_new(test_slapd_uri(slapd));
    struct asked a;
    char labels[160];

    (void)state;
    bench_open(b);
    login(b, &a, "alice", "alice");
    snprintf(labels, sizeof(labels), "server=\"%s\",state=\"idle\"", test_slapd_uri(slapd));
    assert_int_equal(test_host_metric(b->host, "ldap_connections", labels), 2);
    snprintf(labels, sizeof(labels), "server=\"%s\",state=\"limit\"", test_slapd_uri(slapd));
    assert_int_equal(test_host_metric(b->host, "ldap_connections", labels), 16);
    snprintf(labels, sizeof(labels), "server=\"%s\",op=\"bind\",result=\"ok\"",
             test_slapd_uri(slapd));
    assert_int_equal(test_host_metric(b->host, "ldap_operations_total", labels), 1);
    bench_free(b);
}

static void a_full_work_pool_is_an_answer(void **state)
{
    struct bench *b = bench_new(test_slapd_uri(slapd));
    struct asked a;

    (void)state;
    bench_open(b);
    test_host_refuse_work(b->host, true);
    login(b, &a, "alice", "alice");
    assert_int_equal(a.verdict, SP_VERDICT_UNAVAILABLE);
    assert_string_equal(a.reason, "overloaded");
    test_host_refuse_work(b->host, false);
    login(b, &a, "alice", "alice");
    assert_int_equal(a.verdict, SP_VERDICT_ALLOW);
    bench_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_password_is_allowed_after_search_and_bind),
        cmocka_unit_test(a_wrong_password_is_denied_and_never_tried_twice),
        cmocka_unit_test(nobody_and_more_than_one_are_unknown_users),
        cmocka_unit_test(look_alikes_of_a_name_are_not_that_person),
        cmocka_unit_test(look_alikes_are_nobody_where_no_spelling_is_shown),
        cmocka_unit_test(odd_names_are_found_and_bound),
        cmocka_unit_test(a_template_binds_without_a_search),
        cmocka_unit_test(an_empty_password_is_refused_before_any_bind),
        cmocka_unit_test(groups_come_with_the_login_by_name_and_by_dn),
        cmocka_unit_test(groups_within_groups_are_walked_and_cycles_end),
        cmocka_unit_test(more_groups_than_the_servers_size_limit_come_by_pages),
        cmocka_unit_test(answers_that_come_mixed_are_waited_for),
        cmocka_unit_test(groups_of_a_person_known_by_other_proof),
        cmocka_unit_test(a_group_search_that_fails_is_no_login),
        cmocka_unit_test(many_logins_at_once_are_all_answered),
        cmocka_unit_test(a_refused_service_identity_cannot_answer),
        cmocka_unit_test(a_login_cancelled_at_any_moment_is_never_told),
        cmocka_unit_test(a_backend_closes_while_it_dials),
        cmocka_unit_test(connections_are_counted_by_state),
        cmocka_unit_test(a_full_work_pool_is_an_answer),
    };

    return cmocka_run_group_tests(tests, start_slapd, stop_slapd);
}
