/* One decision: which rules fit, in order, and what the first of them says. Any thread; no lock, no
 * allocation, no clock but the query's, and no system call but where a target has the port of our
 * own wildcard listener (own.c).
 *
 * The walk leaps from one rule that stands in a fitting list of every dimension to the next, so its
 * cost follows the number of rules that nearly fit, not the number of rules.
 *
 * What is not known yet - the user before authentication, the address before resolution - makes a
 * rule that names it a "maybe". A maybe that denies decides nothing; a maybe that allows means that
 * the question must be asked. So one walk answers "may they?", "could anybody?" and "does it depend
 * on the address?". */
#include "policy/walk.h"

#include "util/span.h"

#include <assert.h>

static const char why_own[] = "the proxy itself is never a destination";
static const char why_port[] = "port is not allowed";
static const char why_protected[] = "destination is protected";
static const char why_rule[] = "a rule denies it";
static const char why_no_rule[] = "no rule matches";

static struct sp_policy_decision deny(const char *why, const char *rule)
{
    return (struct sp_policy_decision){SP_POLICY_DENY, rule, why};
}

static struct sp_policy_decision answer(enum sp_policy_verdict verdict, const char *rule)
{
    return (struct sp_policy_decision){verdict, rule, NULL};
}

/* ---- from rule to rule ---- */

/* Moves the list to its first rule that is not before `from`: in leaps that double, then by halves
 * within the last one. False: it has none. */
static bool fitting_seek(struct sp_fitting *f, uint32_t from)
{
    size_t step = 1;
    size_t high;

    while (f->at < f->len && f->items[f->at] < from && f->at + step < f->len &&
           f->items[f->at + step] < from) {
        f->at += step;
        step *= 2;
    }
    high = f->at + step < f->len ? f->at + step : f->len;
    while (f->at < high) {
        size_t middle = f->at + (high - f->at) / 2;

        if (f->items[middle] < from)
            f->at = middle + 1;
        else
            high = middle;
    }
    return f->at < f->len;
}

/* The first rule, not before `from`, that fits in the dimension; false: none. */
static bool dimension_seek(struct sp_walk *walk, size_t dimension, uint32_t from, uint32_t *rule)
{
    bool found = false;

    for (size_t i = 0; i < walk->dimensions[dimension].len; i++) {
        struct sp_fitting *f = &walk->dimensions[dimension].first[i];

        if (fitting_seek(f, from) && (!found || f->items[f->at] < *rule)) {
            *rule = f->items[f->at];
            found = true;
        }
    }
    return found;
}

/* The first rule, not before *rule, that fits in all of them. */
static bool walk_seek(struct sp_walk *walk, uint32_t *rule)
{
    size_t agreed = 0;

    for (size_t d = 0; agreed < SP_DIMENSIONS; d = (d + 1) % SP_DIMENSIONS) {
        uint32_t next = *rule;

        if (!walk->dimensions[d].open && !dimension_seek(walk, d, *rule, &next))
            return false;
        agreed = next == *rule ? agreed + 1 : 1;
        *rule = next;
    }
    return true;
}

/* How the rule that the walk stands on fits in a dimension. */
static unsigned fits_in(const struct sp_walk *walk, size_t dimension, uint32_t rule)
{
    unsigned fits = 0;

    if (walk->dimensions[dimension].open)
        return SP_FIT_SURE;
    for (size_t i = 0; i < walk->dimensions[dimension].len; i++) {
        const struct sp_fitting *f = &walk->dimensions[dimension].first[i];

        if (f->at < f->len && f->items[f->at] == rule)
            fits |= (unsigned)f->fit;
    }
    return fits;
}

/* ---- does the rule match? ---- */

static bool port_fits(const struct sp_rule *rule, uint16_t port)
{
    for (size_t i = 0; i < rule->ports_len; i++) {
        if (port >= rule->ports[i].low && port <= rule->ports[i].high)
            return true;
    }
    return rule->ports_len == 0;
}

static bool method_fits(const struct sp_rule *rule, struct sp_span method)
{
    for (size_t i = 0; i < rule->methods.len; i++) {
        if (sp_span_eq(method, sp_span_cstr(rule->methods.items[i])))
            return true;
    }
    return rule->methods.len == 0;
}

static bool hours_fit(struct sp_walk *walk, const struct sp_rule *rule)
{
    if (rule->hours == NULL)
        return true;
    if (!walk->tm_known) {
        time_t now = (time_t)(walk->query->wall_ms / 1000);

        walk->tm_known = localtime_r(&now, &walk->tm) != NULL;
    }
    return walk->tm_known && sp_week_has(rule->hours, &walk->tm);
}

/* A rule that the walk stands on, and how it matches. */
struct match {
    uint32_t number;
    const struct sp_rule *rule;
    bool sure;          /* else it depends on what is not known yet */
    bool whoever;       /* but not on the user */
    bool names_address; /* its `to` has a network that holds the address */
};

static bool match_at(struct sp_walk *walk, uint32_t number, struct match *match)
{
    const struct sp_rule *rule = &walk->policy->rules[number];
    const unsigned sure = SP_FIT_SURE | SP_FIT_ADDRESS | SP_FIT_EMBEDDED;
    unsigned groups = fits_in(walk, SP_DIM_GROUPS, number);
    unsigned where = fits_in(walk, SP_DIM_WHERE, number);

    if (!port_fits(rule, walk->query->port) || !method_fits(rule, walk->query->method) ||
        !hours_fit(walk, rule))
        return false;
    if (where == SP_FIT_EMBEDDED && rule->action == SP_RULE_ALLOW)
        return false;
    if (groups == SP_FIT_CHECK) {
        if (!sp_lookup_in_groups(walk, number))
            return false;
        groups = SP_FIT_SURE;
    }
    *match = (struct match){
        .number = number,
        .rule = rule,
        .whoever = (groups & sure) != 0 && (fits_in(walk, SP_DIM_USERS, number) & sure) != 0,
        .names_address = (where & SP_FIT_ADDRESS) != 0,
    };
    match->sure = match->whoever && (where & sure) != 0;
    return true;
}

/* The next rule that matches, surely or maybe, from `from` on. */
static bool next_match(struct sp_walk *walk, uint32_t from, struct match *match)
{
    for (uint32_t number = from; walk_seek(walk, &number); number++) {
        if (match_at(walk, number, match))
            return true;
    }
    return false;
}

/* ---- protect ---- */

/* What protect has against it, in words; NULL: nothing. `match` is the rule that allows, or NULL
 * where there are no rules. What is not known of the address is asked later. */
static const char *objection(const struct sp_walk *walk, const struct match *match)
{
    const struct sp_policy *policy = walk->policy;
    const struct sp_ports *ports = walk->query->connect ? &policy->connect_ports : &policy->ports;
    bool names_port = match != NULL && match->rule->ports_len > 0; /* and it matched */
    bool names_address = match != NULL && match->names_address;

    if (!names_port && !sp_ports_have(ports, walk->query->port))
        return why_port;
    if (!names_address && walk->is_protected)
        return why_protected;
    return NULL;
}

/* What an allowing rule comes to. */
static struct sp_policy_decision allowed(const struct sp_walk *walk, const char *rule)
{
    if (walk->query->who == NULL)
        return answer(SP_POLICY_ASK_USER, "");
    if (walk->addr == NULL)
        return answer(SP_POLICY_ASK_ADDRESS, "");
    return answer(SP_POLICY_ALLOW, rule);
}

/* ---- the rules ---- */

/* All rules, in order. Before the user is known: could anybody pass? */
static struct sp_policy_decision decide_all(struct sp_walk *walk)
{
    struct match match = {.number = 0};

    for (uint32_t from = 0; next_match(walk, from, &match); from = match.number + 1) {
        const char *against = why_rule;

        if (match.rule->action == SP_RULE_ALLOW) {
            against = objection(walk, &match);
            if (against == NULL)
                return allowed(walk, match.rule->title);
        }
        if (match.sure)
            return deny(against, against == why_rule ? match.rule->title : "");
    }
    return deny(why_no_rule, "");
}

/* The rules with authenticate = false, before anybody is asked who they are. They decide here even
 * where a rule stands before them that would ask, but not where one stands there that denies
 * whoever it is: that one is the first that matches. False: none of them decides. */
static bool decide_before(struct sp_walk *walk, struct sp_policy_decision *decision)
{
    struct match match = {.number = 0};
    bool maybe = false;
    bool shadowed = false; /* a denial of everybody stands before them, at some addresses */

    for (uint32_t from = 0; next_match(walk, from, &match); from = match.number + 1) {
        const char *against = why_rule;

        if (!match.rule->before) {
            if (match.rule->action == SP_RULE_DENY && match.sure)
                break;
            shadowed = shadowed || (match.rule->action == SP_RULE_DENY && match.whoever);
            continue;
        }
        if (match.rule->action == SP_RULE_ALLOW)
            against = objection(walk, &match);
        if (against == NULL) {
            *decision = walk->addr != NULL ? answer(SP_POLICY_ALLOW, match.rule->title)
                                           : answer(SP_POLICY_ASK_ADDRESS, "");
            return true;
        }
        if (match.sure && !shadowed) {
            *decision = deny(against, against == why_rule ? match.rule->title : "");
            return true;
        }
        maybe = true; /* a network, and the name is not resolved: denied, or not concerned */
    }
    *decision = answer(SP_POLICY_ASK_ADDRESS, "");
    return maybe;
}

static struct sp_policy_decision decide_without_rules(const struct sp_walk *walk)
{
    const char *against = objection(walk, NULL);

    return against != NULL ? deny(against, "") : allowed(walk, "");
}

static struct sp_policy_decision decide_by_rules(struct sp_walk *walk)
{
    struct sp_policy_decision decision;

    sp_lookup_all(walk);
    if (walk->query->who == NULL && walk->policy->any_before) {
        if (decide_before(walk, &decision))
            return decision;
        sp_lookup_rewind(walk);
    }
    return decide_all(walk);
}

static bool is_own(const struct sp_walk *walk, const struct sp_addr *addr)
{
    return sp_own_is(&walk->policy->own, addr, walk->query->port);
}

static bool is_protected(const struct sp_walk *walk, const struct sp_addr *addr)
{
    return sp_networks_have(&walk->policy->protected, addr);
}

struct sp_policy_decision sp_policy_decide(const struct sp_policy *policy,
                                           const struct sp_policy_query *query)
{
    struct sp_walk walk; /* not cleared: some kilobytes, of which a query uses a few entries */

    walk.policy = policy;
    walk.query = query;
    walk.addr = query->addr != NULL ? query->addr : query->literal;
    walk.tm_known = false;
    walk.has_embedded = walk.addr != NULL && sp_addr_embedded(walk.addr, &walk.embedded);
    if ((walk.addr != NULL && is_own(&walk, walk.addr)) ||
        (walk.has_embedded && is_own(&walk, &walk.embedded)))
        return deny(why_own, "");
    walk.is_protected = (walk.addr != NULL && is_protected(&walk, walk.addr)) ||
                        (walk.has_embedded && is_protected(&walk, &walk.embedded));
    return policy->rules_len == 0 ? decide_without_rules(&walk) : decide_by_rules(&walk);
}

struct sp_policy_decision sp_policy_decide_open(const struct sp_policy *policy,
                                                const struct sp_policy_query *query,
                                                const struct sp_addr *addrs, size_t len,
                                                const struct sp_addr **at_out)
{
    struct sp_policy_query each = *query;
    struct sp_policy_decision decision = {.verdict = SP_POLICY_ASK_USER, .rule = "", .why = ""};
    bool ask_user = len == 0;

    *at_out = NULL;
    for (size_t i = 0; i < len; i++) {
        each.addr = *at_out = &addrs[i];
        decision = sp_policy_decide(policy, &each);
        if (decision.verdict == SP_POLICY_ALLOW)
            return decision;
        ask_user = ask_user || decision.verdict != SP_POLICY_DENY;
    }
    if (ask_user)
        decision.verdict = SP_POLICY_ASK_USER;
    return decision;
}
