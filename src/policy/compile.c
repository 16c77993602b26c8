/* From the blocks `protect` and `rule` to the compiled policy. Main thread, at start, on reload and
 * in `check`; every bad value is a fault where it stands, and all are told. */
#include "policy/policy_priv.h"

#include "util/span.h"
#include "util/text.h"

#include <stdlib.h>

/* What compiling needs at hand. */
struct compiling {
    struct sp_policy *policy;
    struct sp_config_faults *faults;
    const struct sp_config_block *block; /* that is read now */
    uint32_t rule;                       /* its number */
    bool no_memory;
    unsigned wrong; /* faults of ours */
};

static void bad(struct compiling *c, const char *option, const char *value, const char *why)
{
    char shown[128];

    sp_config_fault(c->faults, c->block, option, "%s: \"%s\": %s", option,
                    sp_text_safe(sp_span_cstr(value), shown, sizeof(shown)), why);
    c->wrong++;
}

static void put(struct compiling *c, struct sp_rules *rules)
{
    if (sp_rules_add(rules, c->rule) != SP_OK)
        c->no_memory = true;
}

/* ---- one key after the other ---- */

/* Names compare without case: they are kept in lower case, and a query's are folded to it. */
static void add_name(struct compiling *c, struct sp_names *names, const char *option,
                     const char *text)
{
    char lower[1024];
    size_t len;

    if (text[0] == '\0') {
        bad(c, option, text, "empty; leave the key out to mean everybody");
        return;
    }
    if (sp_text_lower(sp_span_cstr(text), lower, sizeof(lower), &len) != SP_OK) {
        bad(c, option, text, "not UTF-8, or too long");
        return;
    }
    sp_table_add(&names->table, sp_span_of(lower, len), c->rule);
    names->filter[len % 64] |= 1ull << (lower[len - 1] & 0x3f);
}

static void add_names(struct compiling *c, struct sp_names *names, const char *option,
                      const struct sp_strings *list)
{
    put(c, list->len == 0 ? &names->any : &names->named);
    for (size_t i = 0; i < list->len; i++)
        add_name(c, names, option, list->items[i]);
}

static void add_clients(struct compiling *c, const struct sp_strings *list)
{
    char why[SP_POLICY_WHY];

    if (list->len == 0)
        put(c, &c->policy->from.any);
    for (size_t i = 0; i < list->len; i++) {
        struct sp_cidr network;

        if (sp_network_parse(list->items[i], &network, why))
            sp_networks_add(&c->policy->from.networks, &network, c->rule);
        else
            bad(c, "clients", list->items[i], why);
    }
}

static void add_place(struct compiling *c, const struct sp_place *place)
{
    struct sp_where *where = &c->policy->where;
    struct sp_span name = sp_span_of(place->name, place->name_len);

    switch (place->kind) {
    case SP_PLACE_ANY: put(c, &where->any); break;
    case SP_PLACE_HOST: sp_table_add(&where->hosts, name, c->rule); break;
    case SP_PLACE_SUFFIX:
        sp_table_add(&where->suffixes, name, c->rule);
        if (where->suffix_max < name.len)
            where->suffix_max = name.len;
        break;
    case SP_PLACE_NETWORK:
        sp_networks_add(&where->networks, &place->network, c->rule);
        put(c, &where->with_network);
        break;
    }
}

static void add_places(struct compiling *c, const struct sp_strings *list)
{
    char why[SP_POLICY_WHY];

    if (list->len == 0)
        put(c, &c->policy->where.any);
    for (size_t i = 0; i < list->len; i++) {
        struct sp_place place;

        if (sp_place_parse(list->items[i], &place, why))
            add_place(c, &place);
        else
            bad(c, "to", list->items[i], why);
    }
}

static void add_ports(struct compiling *c, struct sp_rule *rule, const struct sp_strings *list)
{
    char why[SP_POLICY_WHY];

    if (list->len == 0)
        return;
    rule->ports = calloc(list->len, sizeof(*rule->ports));
    if (rule->ports == NULL) {
        c->no_memory = true;
        return;
    }
    rule->ports_len = list->len;
    for (size_t i = 0; i < list->len; i++) {
        if (!sp_ports_parse(list->items[i], &rule->ports[i], why))
            bad(c, "ports", list->items[i], why);
    }
}

static void add_methods(struct compiling *c, struct sp_rule *rule, const struct sp_strings *list)
{
    char why[SP_POLICY_WHY];

    if (list->len == 0)
        return;
    rule->methods.items = calloc(list->len, sizeof(*rule->methods.items));
    if (rule->methods.items == NULL) {
        c->no_memory = true;
        return;
    }
    for (size_t i = 0; i < list->len; i++) {
        char *copy = strdup(list->items[i]);

        if (copy == NULL) {
            c->no_memory = true;
            return;
        }
        rule->methods.items[rule->methods.len++] = copy;
        if (!sp_method_check(copy, why))
            bad(c, "methods", copy, why);
    }
}

static void add_hours(struct compiling *c, struct sp_rule *rule, const struct sp_strings *list)
{
    char why[SP_POLICY_WHY];

    if (list->len == 0)
        return;
    rule->hours = calloc(1, sizeof(*rule->hours));
    if (rule->hours == NULL) {
        c->no_memory = true;
        return;
    }
    for (size_t i = 0; i < list->len; i++) {
        if (!sp_hours_parse(list->items[i], rule->hours, why))
            bad(c, "hours", list->items[i], why);
    }
}

/* A rule that decides before the client is asked cannot look at who it is. */
static void check_before(struct compiling *c, const struct sp_rule_options *options)
{
    static const char text[] =
        "%s: a rule with authenticate = false decides before anybody is known; leave %s out, or "
        "authenticate = false";

    if (options->users.len > 0) {
        sp_config_fault(c->faults, c->block, "users", text, "users", "users");
        c->wrong++;
    }
    if (options->groups.len > 0) {
        sp_config_fault(c->faults, c->block, "groups", text, "groups", "groups");
        c->wrong++;
    }
}

static void compile_rule(struct compiling *c, struct sp_rule *rule)
{
    const struct sp_rule_options *options = c->block->options;

    rule->action = options->action == SP_RULE_ALLOW ? SP_RULE_ALLOW : SP_RULE_DENY;
    rule->title = strdup(c->block->title);
    if (rule->title == NULL)
        c->no_memory = true;
    add_names(c, &c->policy->users, "users", &options->users);
    add_names(c, &c->policy->groups, "groups", &options->groups);
    add_clients(c, &options->clients);
    add_places(c, &options->to);
    add_ports(c, rule, &options->ports);
    add_methods(c, rule, &options->methods);
    add_hours(c, rule, &options->hours);
    if (!options->authenticate) {
        rule->before = true;
        c->policy->any_before = true;
        check_before(c, options);
    }
}

static void compile_rules(struct compiling *c, const struct sp_config *config)
{
    size_t len;
    const struct sp_config_block *blocks = sp_config_all(config, "rule", &len);

    c->policy->rules = calloc(len + 1, sizeof(*c->policy->rules));
    if (c->policy->rules == NULL || len > UINT32_MAX) {
        c->no_memory = true;
        return;
    }
    c->policy->rules_len = len;
    for (size_t i = 0; i < len; i++) {
        c->block = &blocks[i];
        c->rule = (uint32_t)i;
        compile_rule(c, &c->policy->rules[i]);
    }
}

/* ---- protect ---- */

static void compile_port_set(struct compiling *c, const char *option, struct sp_ports *ports,
                             const struct sp_strings *list)
{
    char why[SP_POLICY_WHY];

    for (size_t i = 0; i < list->len; i++) {
        struct sp_port_range range;

        if (!sp_ports_parse(list->items[i], &range, why)) {
            bad(c, option, list->items[i], why);
            continue;
        }
        for (unsigned port = range.low; port <= range.high; port++)
            ports->bits[port / 8] |= (uint8_t)(1u << (port % 8));
    }
}

static void compile_protect(struct compiling *c, const struct sp_config *config)
{
    const struct sp_protect_options *options;
    char why[SP_POLICY_WHY];

    c->block = sp_config_one(config, "protect");
    c->rule = 0;
    options = c->block->options;
    for (size_t i = 0; i < options->destinations.len; i++) {
        const char *text = options->destinations.items[i];
        struct sp_cidr network;

        if (sp_network_parse(text, &network, why))
            sp_networks_add(&c->policy->protected, &network, 0);
        else
            bad(c, "destinations", text, why);
    }
    compile_port_set(c, "connect_ports", &c->policy->connect_ports, &options->connect_ports);
    compile_port_set(c, "ports", &c->policy->ports, &options->ports);
}

/* ---- the whole ---- */

static bool tables_lack_memory(const struct sp_policy *p)
{
    return p->where.hosts.no_memory || p->where.suffixes.no_memory || p->where.networks.no_memory ||
           p->users.table.no_memory || p->groups.table.no_memory || p->from.networks.no_memory ||
           p->protected.no_memory;
}

static void collect_own(struct compiling *c, const struct sp_addr *listeners, size_t listeners_len)
{
    if (sp_own_collect(&c->policy->own, listeners, listeners_len) != SP_OK)
        c->no_memory = true;
}

struct sp_policy *sp_policy_compile(const struct sp_config *config, const struct sp_addr *listeners,
                                    size_t listeners_len, struct sp_config_faults *faults)
{
    struct compiling c = {.faults = faults};

    c.policy = calloc(1, sizeof(*c.policy));
    c.block = sp_config_one(config, "protect");
    if (c.policy == NULL) {
        sp_config_fault(faults, c.block, NULL, "out of memory");
        return NULL;
    }
    compile_rules(&c, config);
    compile_protect(&c, config);
    collect_own(&c, listeners, listeners_len);
    if (c.no_memory || tables_lack_memory(c.policy)) {
        sp_config_fault(faults, c.block, NULL, "out of memory");
        c.wrong++;
    }
    if (c.wrong > 0)
        sp_policy_free(&c.policy);
    return c.policy;
}

static void rule_fini(struct sp_rule *rule)
{
    for (size_t i = 0; i < rule->methods.len; i++)
        free(rule->methods.items[i]);
    free(rule->methods.items);
    free(rule->title);
    free(rule->ports);
    free(rule->hours);
}

static void names_fini(struct sp_names *names)
{
    sp_rules_fini(&names->any);
    sp_rules_fini(&names->named);
    sp_table_fini(&names->table);
}

void sp_policy_free(struct sp_policy **policy)
{
    struct sp_policy *p = *policy;

    *policy = NULL;
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->rules_len; i++)
        rule_fini(&p->rules[i]);
    free(p->rules);
    sp_rules_fini(&p->where.any);
    sp_table_fini(&p->where.hosts);
    sp_table_fini(&p->where.suffixes);
    sp_networks_fini(&p->where.networks);
    sp_rules_fini(&p->where.with_network);
    names_fini(&p->users);
    names_fini(&p->groups);
    sp_rules_fini(&p->from.any);
    sp_networks_fini(&p->from.networks);
    sp_networks_fini(&p->protected);
    sp_own_fini(&p->own);
    free(p);
}
