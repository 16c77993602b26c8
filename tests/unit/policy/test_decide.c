/* policy/decide: each sentence of what rules and protect mean, one by one. */
#include "policy_help.h"

#include <time.h>

#define ALLOW       SP_POLICY_ALLOW
#define DENY        SP_POLICY_DENY
#define ASK_USER    SP_POLICY_ASK_USER
#define ASK_ADDRESS SP_POLICY_ASK_ADDRESS
#define OUT         "203.0.113.7"

static void without_rules_every_known_user_may_pass(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f, "", NULL, 0);
    ASSERT_VERDICT(&f, ASK_USER, .host = "www.test");
    ASSERT_VERDICT(&f, ASK_USER, .host = OUT);
    ASSERT_VERDICT(&f, ASK_ADDRESS, .user = "alice", .host = "www.test");
    ASSERT_VERDICT(&f, ALLOW, .user = "alice", .host = "www.test", .addr = OUT);
    ASSERT_VERDICT(&f, ALLOW, .user = "alice", .host = OUT);
    fixture_close(&f);
}

static void protect_keeps_its_defaults_without_rules(void **state)
{
    static const char *const inside[] = {"127.0.0.1", "127.9.9.9", "::1", "169.254.1.1",  "fe80::1",
                                         "0.0.0.0",   "0.1.2.3",   "::",  "::ffff:7f00:1"};
    struct fixture f;

    (void)state;
    fixture_open(&f, "", NULL, 0);
    for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++) {
        ASSERT_VERDICT(&f, DENY, .user = "alice", .host = "www.test", .addr = inside[i]);
        ASSERT_VERDICT(&f, DENY, .host = inside[i]);
    }
    ASSERT_VERDICT(&f, DENY, .user = "alice", .host = OUT, .method = "CONNECT", .port = 22);
    ASSERT_VERDICT(&f, DENY, .user = "alice", .host = OUT, .method = "CONNECT", .port = 8443);
    ASSERT_VERDICT(&f, ALLOW, .user = "alice", .host = OUT, .method = "CONNECT", .port = 443);
    ASSERT_VERDICT(&f, ALLOW, .user = "alice", .host = OUT, .port = 8080);
    ASSERT_VERDICT(&f, DENY, .user = "alice", .host = OUT, .port = 25);
    ASSERT_VERDICT(&f, DENY, .host = "www.test", .method = "CONNECT", .port = 22);
    assert_string_equal(decide(&f, (struct ask){.user = "a", .host = "::1"}).why,
                        "destination is protected");
    assert_string_equal(decide(&f, (struct ask){.user = "a", .host = OUT, .port = 25}).why,
                        "port is not allowed");
    fixture_close(&f);
}

/* A translator on the way would take them there. */
static void an_ipv4_address_within_an_ipv6_one_is_kept_from_as_well(void **state)
{
    static const char *const inside[] = {"64:ff9b::127.0.0.1",   "64:ff9b::a9fe:a9fe",
                                         "64:ff9b:1::127.0.0.1", "2002:7f00:1::1",
                                         "2002:a9fe:a9fe::",     "::127.0.0.1",
                                         "64:ff9b::0.0.0.0",     "64:ff9b:1:2:3:4:7f00:1"};
    static const char *const outside[] = {"64:ff9b::203.0.113.7", "2002:cb00:7107::1",
                                          "2001:db8::7f00:1", "64:ff9b:2::7f00:1"};
    struct fixture f;

    (void)state;
    fixture_open(&f, "", NULL, 0);
    for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++) {
        ASSERT_VERDICT(&f, DENY, .user = "alice", .host = "www.test", .addr = inside[i]);
        ASSERT_VERDICT(&f, DENY, .host = inside[i]);
    }
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
        ASSERT_VERDICT(&f, ALLOW, .user = "alice", .host = "www.test", .addr = outside[i]);
    fixture_close(&f);
}

static void rules_that_deny_see_an_embedded_address_and_rules_that_allow_do_not(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f,
                 "rule \"no\" { action = \"deny\" to = {\"10.0.0.0/8\"} }\n"
                 "rule \"inside\" { action = \"allow\" to = {\"192.168.0.0/16\", "
                 "\"127.0.0.0/8\"} }\n"
                 "rule \"six\" { action = \"allow\" to = {\"64:ff9b::/96\"} }\n",
                 NULL, 0);
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = "www.test", .addr = "64:ff9b::10.1.2.3");
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = "2002:a01:203::1");
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = "www.test", .addr = "2002:c0a8:1::1");
    ASSERT_VERDICT(&f, ALLOW, .user = "a", .host = "www.test", .addr = "64:ff9b::192.168.0.1");
    /* who names the very network lifts protect for it, as anywhere */
    ASSERT_VERDICT(&f, ALLOW, .user = "a", .host = "www.test", .addr = "64:ff9b::127.0.0.1");
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = "www.test", .addr = "2002:7f00:1::1");
    fixture_close(&f);
}

static void the_first_rule_that_matches_decides(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f,
                 "rule \"no-ads\" { action = \"deny\" to = {\".ads.test\"} }\n"
                 "rule \"all\" { action = \"allow\" }\n"
                 "rule \"never\" { action = \"deny\" }\n",
                 NULL, 0);
    assert_string_equal(
        decide(&f, (struct ask){.user = "a", .host = "x.ads.test", .addr = OUT}).rule, "no-ads");
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = "x.ads.test", .addr = OUT);
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = "x.ads.test");
    assert_string_equal(decide(&f, (struct ask){.user = "a", .host = "www.test", .addr = OUT}).rule,
                        "all");
    ASSERT_VERDICT(&f, ALLOW, .user = "a", .host = "www.test", .addr = OUT);
    fixture_close(&f);
}

static void with_rules_none_matching_denies(void **state)
{
    struct fixture f;
    struct sp_policy_decision d;

    (void)state;
    fixture_open(&f, "rule \"staff\" { action = \"allow\" groups = {\"Staff\"} }\n", NULL, 0);
    ASSERT_VERDICT(&f, ASK_USER, .host = "www.test");
    ASSERT_VERDICT(&f, DENY, .user = "eve", .host = "www.test");
    d = decide(&f, (struct ask){.user = "eve", .group = "guests", .host = "www.test", .addr = OUT});
    assert_int_equal(d.verdict, DENY);
    assert_string_equal(d.rule, "");
    assert_string_equal(d.why, "no rule matches");
    ASSERT_VERDICT(&f, ALLOW, .user = "eve", .group = "sTAFF", .host = "www.test", .addr = OUT);
    fixture_close(&f);
}

static void a_suffix_matches_its_domain_and_all_below_and_no_lookalike(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f, "rule \"in\" { action = \"allow\" to = {\".Corp.Test.\", \"One.Test\"} }\n",
                 NULL, 0);
    ASSERT_VERDICT(&f, ALLOW, .user = "a", .host = "corp.test", .addr = OUT);
    ASSERT_VERDICT(&f, ALLOW, .user = "a", .host = "a.b.corp.test", .addr = OUT);
    ASSERT_VERDICT(&f, ALLOW, .user = "a", .host = "A.CORP.TEST.", .addr = OUT);
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = "xcorp.test", .addr = OUT);
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = "corp.test.evil", .addr = OUT);
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = "test", .addr = OUT);
    ASSERT_VERDICT(&f, ALLOW, .user = "a", .host = "one.test", .addr = OUT);
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = "www.one.test", .addr = OUT);
    ASSERT_VERDICT(&f, DENY, .host = "elsewhere.test");
    ASSERT_VERDICT(&f, ASK_USER, .host = "corp.test");
    fixture_close(&f);
}

static void a_network_matches_what_a_name_resolves_to(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f,
                 "rule \"no-lab\" { action = \"deny\" to = {\"192.0.2.0/24\"} }\n"
                 "rule \"all\" { action = \"allow\" }\n",
                 NULL, 0);
    ASSERT_VERDICT(&f, ASK_ADDRESS, .user = "a", .host = "www.test");
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = "www.test", .addr = "192.0.2.1");
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = "192.0.2.1");
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = "::ffff:192.0.2.1");
    ASSERT_VERDICT(&f, ALLOW, .user = "a", .host = "www.test", .addr = OUT);
    fixture_close(&f);
}

static void only_an_address_in_to_lifts_protect_never_a_name(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f,
                 "rule \"name\" { action = \"allow\" to = {\"local.test\", \".in.test\"} }\n"
                 "rule \"star\" { action = \"allow\" to = {\"*\"} ports = {\"80\"} }\n"
                 "rule \"net\" { action = \"allow\" to = {\"127.0.0.0/30\"} ports = {\"8080\"} }\n",
                 NULL, 0);
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = "local.test", .addr = "127.0.0.1");
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = "x.in.test", .addr = "127.0.0.1");
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = "127.0.0.1");
    ASSERT_VERDICT(&f, ALLOW, .user = "a", .host = "127.0.0.1", .port = 8080);
    ASSERT_VERDICT(&f, ALLOW, .user = "a", .host = "x.test", .addr = "127.0.0.3", .port = 8080);
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = "127.0.0.4", .port = 8080);
    fixture_close(&f);
}

static void a_rule_that_matches_by_name_lifts_by_its_network(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f, "rule \"r\" { action = \"allow\" to = {\"local.test\", \"127.0.0.1\"} }\n",
                 NULL, 0);
    ASSERT_VERDICT(&f, ALLOW, .user = "a", .host = "local.test", .addr = "127.0.0.1");
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = "local.test", .addr = "127.0.0.2");
    fixture_close(&f);
}

static void only_a_rule_that_names_the_port_lifts_it(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f,
                 "rule \"ssh\" { action = \"allow\" users = {\"Root\"} ports = {\"22\"} }\n"
                 "rule \"all\" { action = \"allow\" }\n",
                 NULL, 0);
    ASSERT_VERDICT(&f, ALLOW, .user = "root", .host = OUT, .method = "CONNECT", .port = 22);
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = OUT, .method = "CONNECT", .port = 22);
    ASSERT_VERDICT(&f, ASK_USER, .host = "www.test", .method = "CONNECT", .port = 22);
    ASSERT_VERDICT(&f, DENY, .host = "www.test", .method = "CONNECT", .port = 23);
    ASSERT_VERDICT(&f, ALLOW, .user = "a", .host = OUT, .method = "CONNECT", .port = 443);
    fixture_close(&f);
}

static void a_denial_nobody_escapes_needs_no_user(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f,
                 "rule \"boss\" { action = \"allow\" users = {\"boss\"} to = {\"bad.test\"} }\n"
                 "rule \"bad\" { action = \"deny\" to = {\"bad.test\", \"worse.test\"} }\n"
                 "rule \"all\" { action = \"allow\" }\n",
                 NULL, 0);
    ASSERT_VERDICT(&f, ASK_USER, .host = "bad.test");
    ASSERT_VERDICT(&f, DENY, .host = "worse.test");
    assert_string_equal(decide(&f, (struct ask){.host = "worse.test"}).rule, "bad");
    ASSERT_VERDICT(&f, ASK_USER, .host = "www.test");
    fixture_close(&f);
}

static void a_rule_without_authentication_decides_before_a_user_is_known(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(
        &f,
        "rule \"staff\" { action = \"allow\" groups = {\"staff\"} }\n"
        "rule \"updates\" { action = \"allow\" to = {\".debian.test\"} authenticate = false }\n"
        "rule \"no-lab\" { action = \"deny\" to = {\"192.0.2.0/24\"} authenticate = false }\n"
        "rule \"no-ads\" { action = \"deny\" to = {\"ads.test\"} authenticate = false }\n",
        NULL, 0);
    ASSERT_VERDICT(&f, ASK_ADDRESS, .host = "deb.debian.test");
    ASSERT_VERDICT(&f, ALLOW, .host = "deb.debian.test", .addr = OUT);
    ASSERT_VERDICT(&f, DENY, .host = "deb.debian.test", .addr = "127.0.0.1");
    ASSERT_VERDICT(&f, DENY, .host = "deb.debian.test", .method = "CONNECT", .port = 22);
    ASSERT_VERDICT(&f, DENY, .host = "ads.test");
    ASSERT_VERDICT(&f, DENY, .host = "192.0.2.9");
    ASSERT_VERDICT(&f, ASK_ADDRESS, .host = "www.test");
    ASSERT_VERDICT(&f, DENY, .host = "www.test", .addr = "192.0.2.9");
    ASSERT_VERDICT(&f, ASK_USER, .host = "www.test", .addr = OUT);
    /* and matches like any other once the user is known, in its place */
    ASSERT_VERDICT(&f, ALLOW, .user = "a", .host = "deb.debian.test", .addr = OUT);
    ASSERT_VERDICT(&f, ALLOW, .user = "a", .group = "staff", .host = "ads.test", .addr = OUT);
    fixture_close(&f);
}

static void a_name_is_open_by_its_first_address_that_is_and_closed_when_all_are(void **state)
{
    static const struct {
        const char *host, *addrs[2];
        enum sp_policy_verdict verdict;
        int at; /* -1: none */
    } cases[] = {
        {"deb.debian.test", {"127.0.0.1", OUT}, SP_POLICY_ALLOW, 1},
        {"deb.debian.test", {OUT, "127.0.0.1"}, SP_POLICY_ALLOW, 0},
        {"deb.debian.test", {"127.0.0.1", "127.0.0.2"}, SP_POLICY_DENY, 1},
        {"www.test", {"192.0.2.9", "192.0.2.10"}, SP_POLICY_DENY, 1},
        {"www.test", {OUT, "192.0.2.9"}, SP_POLICY_ASK_USER, 1},
        {"www.test", {NULL}, SP_POLICY_ASK_USER, -1},
    };
    struct fixture f;

    (void)state;
    fixture_open(
        &f,
        "rule \"staff\" { action = \"allow\" groups = {\"staff\"} }\n"
        "rule \"updates\" { action = \"allow\" to = {\".debian.test\"} authenticate = false }\n"
        "rule \"no-lab\" { action = \"deny\" to = {\"192.0.2.0/24\"} authenticate = false }\n",
        NULL, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sp_addr client = addr_of("10.1.1.1"), addrs[2];
        const struct sp_policy_query query = {.client = &client,
                                              .host = sp_span_cstr(cases[i].host),
                                              .port = 80,
                                              .method = SP_SPAN_LIT("GET"),
                                              .wall_ms = MONDAY_NOON};
        const struct sp_addr *at;
        size_t len = 0;

        for (; len < 2 && cases[i].addrs[len] != NULL; len++)
            addrs[len] = addr_of(cases[i].addrs[len]);
        assert_int_equal(sp_policy_decide_open(f.policy, &query, addrs, len, &at).verdict,
                         cases[i].verdict);
        assert_ptr_equal(at, cases[i].at < 0 ? NULL : &addrs[cases[i].at]);
    }
    fixture_close(&f);
}

static void a_denial_of_everybody_stands_before_later_rules_without_authentication(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f,
                 "rule \"not-bob\" { action = \"deny\" users = {\"bob\"} to = {\".deb.test\"} }\n"
                 "rule \"evil\" { action = \"deny\" to = {\"evil.deb.test\", \"192.0.2.0/24\"} }\n"
                 "rule \"open\" { action = \"allow\" authenticate = false }\n",
                 NULL, 0);
    ASSERT_VERDICT(&f, DENY, .host = "evil.deb.test");
    ASSERT_VERDICT(&f, DENY, .host = "evil.deb.test", .addr = OUT);
    ASSERT_VERDICT(&f, ALLOW, .host = "www.deb.test", .addr = OUT);
    ASSERT_VERDICT(&f, DENY, .host = "www.deb.test", .addr = "192.0.2.9");
    ASSERT_VERDICT(&f, ASK_ADDRESS, .host = "www.deb.test");
    assert_string_equal(decide(&f, (struct ask){.host = "evil.deb.test"}).rule, "evil");
    fixture_close(&f);

    /* but those whom a rule lets in before it must be asked who they are */
    fixture_open(&f,
                 "rule \"staff\" { action = \"allow\" groups = {\"staff\"} }\n"
                 "rule \"evil\" { action = \"deny\" to = {\"evil.deb.test\"} }\n"
                 "rule \"open\" { action = \"allow\" authenticate = false }\n",
                 NULL, 0);
    ASSERT_VERDICT(&f, ASK_USER, .host = "evil.deb.test", .addr = OUT);
    ASSERT_VERDICT(&f, ALLOW, .host = "www.deb.test", .addr = OUT);
    fixture_close(&f);
}

static void users_and_groups_must_both_match(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f,
                 "rule \"r\" { action = \"allow\" users = {\"J\xc3\x9cRGEN\", \"bob\"} groups = "
                 "{\"CN=Staff,DC=corp,DC=test\"} }\n",
                 NULL, 0);
    ASSERT_VERDICT(&f, ALLOW, .user = "j\xc3\xbcrgen", .group = "cn=staff,dc=corp,dc=test",
                   .host = OUT);
    ASSERT_VERDICT(&f, ALLOW, .user = "BOB", .group = "CN=STAFF,DC=CORP,DC=TEST", .host = OUT);
    ASSERT_VERDICT(&f, DENY, .user = "bob", .group = "staff", .host = OUT);
    ASSERT_VERDICT(&f, DENY, .user = "eve", .group = "cn=staff,dc=corp,dc=test", .host = OUT);
    fixture_close(&f);
}

static void clients_methods_and_hours_narrow_a_rule(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f,
                 "rule \"r\" { action = \"allow\" clients = {\"10.0.0.0/8\", \"2001:db8::/32\"} "
                 "methods = {\"GET\", \"HEAD\"} hours = {\"Mo-Fr 08:00-18:00\"} }\n",
                 NULL, 0);
    ASSERT_VERDICT(&f, ALLOW, .user = "a", .host = OUT);
    ASSERT_VERDICT(&f, ALLOW, .user = "a", .host = OUT, .client = "::ffff:10.9.9.9");
    ASSERT_VERDICT(&f, ALLOW, .user = "a", .host = OUT, .client = "2001:db8::9");
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = OUT, .client = "11.0.0.1");
    ASSERT_VERDICT(&f, DENY, .host = OUT, .client = "11.0.0.1");
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = OUT, .method = "POST");
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = OUT, .wall_ms = MONDAY_NOON + 6 * 3600000);
    ASSERT_VERDICT(&f, ALLOW, .user = "a", .host = OUT, .wall_ms = MONDAY_NOON + 6 * 3600000 - 1);
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = OUT, .wall_ms = MONDAY_NOON - 24 * 3600000);
    fixture_close(&f);
}

static void our_own_listeners_are_never_a_destination(void **state)
{
    struct sp_addr own[2];
    struct fixture f;

    (void)state;
    assert_int_equal(sp_addr_parse(&own[0], SP_SPAN_LIT("0.0.0.0:3128")), SP_OK);
    assert_int_equal(sp_addr_parse(&own[1], SP_SPAN_LIT("192.0.2.1:8080")), SP_OK);
    fixture_open(&f,
                 "rule \"r\" { action = \"allow\" to = {\"0.0.0.0/0\", \"::/0\", \"*\"} ports = "
                 "{\"1-65535\"} }\n",
                 own, 2);
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = "127.0.0.1", .port = 3128);
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = "127.77.0.1", .port = 3128);
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = "::1", .port = 3128);
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = "0.0.0.0", .port = 3128);
    ASSERT_VERDICT(&f, DENY, .host = "me.test", .addr = "127.0.0.1", .port = 3128);
    ASSERT_VERDICT(&f, ALLOW, .user = "a", .host = "127.0.0.1", .port = 3129);
    ASSERT_VERDICT(&f, ALLOW, .user = "a", .host = OUT, .port = 3128);
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = "192.0.2.1", .port = 8080);
    ASSERT_VERDICT(&f, ALLOW, .user = "a", .host = "192.0.2.2", .port = 8080);
    fixture_close(&f);
}

static void a_user_of_very_many_groups_is_found_in_the_last(void **state)
{
    char text[16384] = "";
    char names[300][24];
    struct sp_span groups[300];
    struct sp_policy_who who = {SP_SPAN_LIT("a"), groups, 300};
    struct sp_addr client = addr_of("10.0.0.1");
    struct sp_addr literal = addr_of(OUT);
    struct sp_policy_query query = {.who = &who,
                                    .client = &client,
                                    .host = SP_SPAN_LIT(OUT),
                                    .literal = &literal,
                                    .port = 80,
                                    .method = SP_SPAN_LIT("GET"),
                                    .wall_ms = MONDAY_NOON};
    struct fixture f;
    size_t len = 0;

    (void)state;
    for (int i = 0; i < 300; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "group%d", i);
        groups[i] = sp_span_cstr(names[i]);
    }
    for (int i = 0; i < 150; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len,
                                "rule \"r%d\" { action = \"%s\" groups = {\"group%d\"} %s }\n", i,
                                i < 149 ? "deny" : "allow", 2 * i,
                                i < 149 ? "ports = {\"81\"}" : "");
    fixture_open(&f, text, NULL, 0);
    assert_int_equal(sp_policy_decide(f.policy, &query).verdict, ALLOW);
    who.groups_len = 298;
    assert_int_equal(sp_policy_decide(f.policy, &query).verdict, DENY);
    fixture_close(&f);
}

static void a_host_of_any_length_is_decided(void **state)
{
    char host[4000];
    struct fixture f;

    (void)state;
    for (size_t i = 0; i < sizeof(host) - 1; i++)
        host[i] = i % 2 == 0 ? 'a' : '.';
    host[sizeof(host) - 1] = '\0';
    fixture_open(
        &f, "rule \"d\" { action = \"deny\" to = {\".a\"} }\nrule \"a\" { action = \"allow\" }\n",
        NULL, 0);
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = host + sizeof(host) - 1 - 253);
    ASSERT_VERDICT(&f, DENY, .user = "a", .host = host);
    ASSERT_VERDICT(&f, ASK_ADDRESS, .user = "a", .host = "");
    ASSERT_VERDICT(&f, ASK_ADDRESS, .user = "a", .host = ".");
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_rules_every_known_user_may_pass),
        cmocka_unit_test(protect_keeps_its_defaults_without_rules),
        cmocka_unit_test(an_ipv4_address_within_an_ipv6_one_is_kept_from_as_well),
        cmocka_unit_test(rules_that_deny_see_an_embedded_address_and_rules_that_allow_do_not),
        cmocka_unit_test(the_first_rule_that_matches_decides),
        cmocka_unit_test(with_rules_none_matching_denies),
        cmocka_unit_test(a_suffix_matches_its_domain_and_all_below_and_no_lookalike),
        cmocka_unit_test(a_network_matches_what_a_name_resolves_to),
        cmocka_unit_test(only_an_address_in_to_lifts_protect_never_a_name),
        cmocka_unit_test(a_rule_that_matches_by_name_lifts_by_its_network),
        cmocka_unit_test(only_a_rule_that_names_the_port_lifts_it),
        cmocka_unit_test(a_denial_nobody_escapes_needs_no_user),
        cmocka_unit_test(a_rule_without_authentication_decides_before_a_user_is_known),
        cmocka_unit_test(a_name_is_open_by_its_first_address_that_is_and_closed_when_all_are),
        cmocka_unit_test(a_denial_of_everybody_stands_before_later_rules_without_authentication),
        cmocka_unit_test(users_and_groups_must_both_match),
        cmocka_unit_test(clients_methods_and_hours_narrow_a_rule),
        cmocka_unit_test(our_own_listeners_are_never_a_destination),
        cmocka_unit_test(a_user_of_very_many_groups_is_found_in_the_last),
        cmocka_unit_test(a_host_of_any_length_is_decided),
    };

    (void)setenv("TZ", "UTC", 1);
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
