/* The compiled policy against a naive one that walks every rule and compares every string:
 * thousands of random policies and queries. Where something is not known yet (the user, the
 * address) the naive one tries all there are, and the compiled one may ask, but must never decide
 * otherwise. */
#include "policy_help.h"

#include "policy/policy_priv.h"

#include <time.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- the small world that both know ---- */

static const char *const users[] = {"alice", "bob", "j\xc3\xbcrgen"};
static const char *const groups[] = {"staff", "cn=a,dc=b", "admins"};
static const char *const clients[] = {"10.1.2.3", "192.0.2.9", "2001:db8::5"};
static const char *const client_nets[] = {"10.0.0.0/8", "192.0.2.9", "2001:db8::/32", "::/0"};
static const char *const hosts[] = {"a.test", "b.a.test", "c.b.a.test",
                                    "x.test", "ba.test",  "test"};
static const char *const addresses[] = {"203.0.113.7", "127.0.0.1",   "10.1.1.1",
                                        "10.9.9.9",    "2001:db8::1", "::1"};
static const char *const places[] = {"*",           ".a.test",       "a.test",     ".test",
                                     "B.A.Test.",   ".b.a.test",     "10.0.0.0/8", "127.0.0.0/8",
                                     "10.1.0.0/16", "2001:db8::/32", "::/0",       "203.0.113.7"};
static const uint16_t ports[] = {22, 80, 443, 8080};
static const char *const port_texts[] = {"22", "80", "443-8080", "1-65535"};
static const char *const methods[] = {"GET", "CONNECT", "POST"};

struct naive_rule {
    bool allow;
    bool authenticate;
    unsigned users, groups, clients, to, ports, methods; /* bits into the tables above */
};

struct naive_query {
    int user; /* -1: nobody */
    unsigned groups;
    size_t client;
    const char *host;
    const char *addr;
    uint16_t port;
    size_t method;
};

static unsigned dice(unsigned sides)
{
    return (unsigned)rand() % sides;
}

static unsigned some(size_t of, unsigned one_in)
{
    return dice(one_in) == 0
               ? 1u << dice((unsigned)of) | (dice(3) == 0 ? 1u << dice((unsigned)of) : 0)
               : 0;
}

static struct naive_rule make_rule(void)
{
    struct naive_rule r = {
        .allow = dice(2) == 0,
        .authenticate = dice(4) != 0,
        .clients = some(COUNT(client_nets), 4),
        .to = some(COUNT(places), 1) | some(COUNT(places), 2),
        .ports = some(COUNT(port_texts), 3),
        .methods = some(COUNT(methods), 4),
    };

    if (dice(6) == 0)
        r.to = 0;
    if (r.authenticate) {
        r.users = some(COUNT(users), 3);
        r.groups = some(COUNT(groups), 3);
    }
    return r;
}

static size_t write_list(char *out, size_t cap, const char *key, const char *const *texts,
                         size_t texts_len, unsigned set)
{
    size_t len = (size_t)snprintf(out, cap, " %s = {", key);
    bool first = true;

    for (size_t i = 0; i < texts_len; i++) {
        if ((set >> i & 1) == 0)
            continue;
        len += (size_t)snprintf(out + len, cap - len, "%s\"%s\"", first ? "" : ", ", texts[i]);
        first = false;
    }
    return len + (size_t)snprintf(out + len, cap - len, "}");
}

static void write_rule(char *text, size_t cap, const struct naive_rule *r, size_t number)
{
    size_t len = strlen(text);

    len += (size_t)snprintf(text + len, cap - len, "rule \"r%zu\" { action = \"%s\"", number,
                            r->allow ? "allow" : "deny");
#define LIST(key, texts, set) \
    if ((set) != 0)           \
    len += write_list(text + len, cap - len, key, texts, COUNT(texts), set)
    LIST("users", users, r->users);
    LIST("groups", groups, r->groups);
    LIST("clients", client_nets, r->clients);
    LIST("to", places, r->to);
    LIST("ports", port_texts, r->ports);
    LIST("methods", methods, r->methods);
#undef LIST
    (void)snprintf(text + len, cap - len, "%s }\n", r->authenticate ? "" : " authenticate = false");
}

/* ---- the naive policy ---- */

static bool net_has(const char *net, const char *address)
{
    struct sp_cidr cidr;
    struct sp_addr addr = addr_of(address);

    return sp_cidr_parse(&cidr, sp_span_cstr(net)) == SP_OK && sp_cidr_has(&cidr, &addr);
}

static bool place_has(const char *place, const struct naive_query *q)
{
    struct sp_span name = sp_span_cstr(place);
    struct sp_span host = sp_span_cstr(q->host);
    struct sp_cidr cidr;
    struct sp_addr addr;

    if (strcmp(place, "*") == 0)
        return true;
    if (sp_cidr_parse(&cidr, name) == SP_OK)
        return net_has(place, q->addr);
    if (sp_addr_parse_ip(&addr, host) == SP_OK)
        return false;
    if (name.base[name.len - 1] == '.')
        name.len--;
    if (name.base[0] != '.')
        return sp_span_eq_nocase(name, host);
    return sp_span_ends_nocase(host, name) ||
           sp_span_eq_nocase(sp_span_of(name.base + 1, name.len - 1), host);
}

static bool port_has(const char *text, uint16_t port)
{
    unsigned low = 0;
    unsigned high = 0;

    if (sscanf(text, "%u-%u", &low, &high) == 1)
        high = low;
    return port >= low && port <= high;
}

static bool naive_matches(const struct naive_rule *r, const struct naive_query *q)
{
    bool hit;

    if (r->users != 0 && (q->user < 0 || (r->users >> q->user & 1) == 0))
        return false;
    if (r->groups != 0 && (q->user < 0 || (r->groups & q->groups) == 0))
        return false;
    if (r->methods != 0 && (r->methods >> q->method & 1) == 0)
        return false;
    hit = r->clients == 0;
    for (size_t i = 0; i < COUNT(client_nets); i++)
        hit = hit || ((r->clients >> i & 1) != 0 && net_has(client_nets[i], clients[q->client]));
    if (!hit)
        return false;
    hit = r->ports == 0;
    for (size_t i = 0; i < COUNT(port_texts); i++)
        hit = hit || ((r->ports >> i & 1) != 0 && port_has(port_texts[i], q->port));
    if (!hit)
        return false;
    hit = r->to == 0;
    for (size_t i = 0; i < COUNT(places); i++)
        hit = hit || ((r->to >> i & 1) != 0 && place_has(places[i], q));
    return hit;
}

static bool names_address(const struct naive_rule *r, const char *address)
{
    for (size_t i = 0; i < COUNT(places); i++) {
        struct sp_cidr cidr;

        if ((r->to >> i & 1) != 0 && sp_cidr_parse(&cidr, sp_span_cstr(places[i])) == SP_OK &&
            net_has(places[i], address))
            return true;
    }
    return false;
}

static bool naive_protects(const struct naive_rule *r, const struct naive_query *q)
{
    bool connect = strcmp(methods[q->method], "CONNECT") == 0;
    bool port_ok = q->port == 80 || q->port == 443 || (!connect && q->port >= 1025);
    bool inside = net_has("127.0.0.0/8", q->addr) || net_has("::1/128", q->addr);

    if (!port_ok && r->ports == 0)
        return true;
    return inside && !names_address(r, q->addr);
}

/* Everything known. -1: no rule, else its number; *allow_out says what came of it. `only_before`:
 * nobody is asked, and a rule that would ask is passed over, unless it denies whoever it is. */
static int naive_decide(const struct naive_rule *rules, size_t len, const struct naive_query *q,
                        bool only_before, bool *allow_out)
{
    *allow_out = false;
    for (size_t i = 0; i < len; i++) {
        if (!naive_matches(&rules[i], q) ||
            (only_before && rules[i].authenticate && rules[i].allow))
            continue;
        if (only_before && rules[i].authenticate)
            return -1;
        *allow_out = rules[i].allow && !naive_protects(&rules[i], q);
        return (int)i;
    }
    return -1;
}

/* Could any user pass, to this address? */
static bool naive_anybody(const struct naive_rule *rules, size_t len, struct naive_query q)
{
    for (q.user = 0; q.user < (int)COUNT(users) + 1; q.user++) {
        for (q.groups = 0; q.groups < 1u << COUNT(groups); q.groups++) {
            bool allow;

            (void)naive_decide(rules, len, &q, false, &allow);
            if (allow)
                return true;
        }
    }
    return false;
}

/* ---- side by side ---- */

static struct sp_policy_decision compiled(const struct fixture *f, const struct naive_query *q)
{
    struct sp_span names[COUNT(groups)];
    struct sp_policy_who who = {.groups = names};
    struct sp_addr client = addr_of(clients[q->client]);
    struct sp_addr addr;
    struct sp_policy_query query = {.client = &client,
                                    .host = sp_span_cstr(q->host),
                                    .port = q->port,
                                    .method = sp_span_cstr(methods[q->method]),
                                    .wall_ms = MONDAY_NOON};

    for (size_t i = 0; i < COUNT(groups); i++) {
        if ((q->groups >> i & 1) != 0)
            names[who.groups_len++] = sp_span_cstr(groups[i]);
    }
    who.user = sp_span_cstr(q->user >= 0 && q->user < (int)COUNT(users) ? users[q->user] : "eve");
    query.who = q->user >= 0 ? &who : NULL;
    query.connect = strcmp(methods[q->method], "CONNECT") == 0;
    if (sp_addr_parse_ip(&addr, query.host) == SP_OK) {
        query.literal = &addr;
    } else if (q->addr != NULL) {
        addr = addr_of(q->addr);
        query.addr = &addr;
    }
    return sp_policy_decide(f->policy, &query);
}

static void check_known(const struct fixture *f, const struct naive_rule *rules, size_t len,
                        const struct naive_query *q)
{
    struct sp_policy_decision d = compiled(f, q);
    bool allow;
    int rule = naive_decide(rules, len, q, false, &allow);
    char title[24] = "";

    /* a denial by protect has no rule's name */
    if (rule >= 0 && (allow || !rules[rule].allow))
        (void)snprintf(title, sizeof(title), "r%d", rule);
    assert_int_equal(d.verdict, allow ? SP_POLICY_ALLOW : SP_POLICY_DENY);
    assert_string_equal(d.rule, title);
}

static unsigned asked_in_vain;
static unsigned asked;

static void check_before(const struct fixture *f, const struct naive_rule *rules, size_t len,
                         const struct naive_query *q)
{
    struct naive_query nobody = *q;
    struct sp_policy_decision d;
    bool allow;

    nobody.user = -1;
    nobody.groups = 0;
    d = compiled(f, &nobody);
    if (naive_decide(rules, len, &nobody, true, &allow) >= 0) {
        assert_int_equal(d.verdict, allow ? SP_POLICY_ALLOW : SP_POLICY_DENY);
        return;
    }
    assert_true(d.verdict == SP_POLICY_ASK_USER || d.verdict == SP_POLICY_DENY);
    allow = naive_anybody(rules, len, *q);
    if (allow)
        assert_int_equal(d.verdict, SP_POLICY_ASK_USER);
    asked += d.verdict == SP_POLICY_ASK_USER;
    asked_in_vain += d.verdict == SP_POLICY_ASK_USER && !allow;
}

/* A name that is not resolved: all addresses are tried by the naive one. */
static void check_unresolved(const struct fixture *f, const struct naive_rule *rules, size_t len,
                             struct naive_query q)
{
    struct sp_policy_decision known;
    struct sp_policy_decision nobody;
    bool any_allow = false, before_allow = false, before_some = false, before_all = true;
    bool anybody = false;

    q.addr = NULL;
    known = compiled(f, &q);
    for (size_t i = 0; i < COUNT(addresses); i++) {
        struct naive_query at = q;
        bool allow;

        at.addr = addresses[i];
        (void)naive_decide(rules, len, &at, false, &allow);
        any_allow = any_allow || allow;
        anybody = anybody || naive_anybody(rules, len, at);
        at.user = -1;
        at.groups = 0;
        if (naive_decide(rules, len, &at, true, &allow) >= 0) {
            before_some = true;
            before_allow = before_allow || allow;
        } else {
            before_all = false;
        }
    }
    assert_true(known.verdict == SP_POLICY_ASK_ADDRESS || known.verdict == SP_POLICY_DENY);
    if (any_allow)
        assert_int_equal(known.verdict, SP_POLICY_ASK_ADDRESS);
    q.user = -1;
    q.groups = 0;
    nobody = compiled(f, &q);
    assert_int_not_equal(nobody.verdict, SP_POLICY_ALLOW);
    if (before_allow || (before_some && !before_all))
        assert_int_equal(nobody.verdict, SP_POLICY_ASK_ADDRESS);
    else if (before_some)
        assert_true(nobody.verdict == SP_POLICY_ASK_ADDRESS || nobody.verdict == SP_POLICY_DENY);
    else if (anybody)
        assert_true(nobody.verdict == SP_POLICY_ASK_USER ||
                    nobody.verdict == SP_POLICY_ASK_ADDRESS);
}

static struct naive_query make_query(void)
{
    struct naive_query q = {
        .user = (int)dice(COUNT(users) + 1),
        .groups = dice(1u << COUNT(groups)),
        .client = dice(COUNT(clients)),
        .addr = addresses[dice(COUNT(addresses))],
        .port = ports[dice(COUNT(ports))],
        .method = dice(COUNT(methods)),
    };

    q.host = dice(4) == 0 ? q.addr : hosts[dice(COUNT(hosts))];
    return q;
}

static void the_compiled_policy_decides_as_the_naive_one(void **state)
{
    static char text[65536];

    (void)state;
    srand(20);
    for (int round = 0; round < 400; round++) {
        struct naive_rule rules[24];
        size_t len = 1 + dice(round % 4 == 0 ? 24 : 6);
        struct fixture f;

        text[0] = '\0';
        for (size_t i = 0; i < len; i++) {
            rules[i] = make_rule();
            write_rule(text, sizeof(text), &rules[i], i);
        }
        fixture_open(&f, text, NULL, 0);
        assert_non_null(f.policy);
        for (int i = 0; i < 60; i++) {
            struct naive_query q = make_query();

            check_known(&f, rules, len, &q);
            check_before(&f, rules, len, &q);
            if (q.host != q.addr && i % 4 == 0)
                check_unresolved(&f, rules, len, q);
        }
        fixture_close(&f);
    }
    /* asking where nobody could pass is allowed, but must stay the exception */
    assert_true(asked > 1000);
    assert_true(asked_in_vain * 10 < asked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_compiled_policy_decides_as_the_naive_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
