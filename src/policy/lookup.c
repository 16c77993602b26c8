/* The few lists of rules that fit a query, dimension by dimension: a walk up the host's labels, the
 * networks that hold the address, a look-up for the user and for those of the user's groups that a
 * rule may name. Called by decide.c for each decision; no allocation. */
#include "policy/walk.h"

#include "util/span.h"
#include "util/text.h"

#include <assert.h>

static void begin(struct sp_walk *walk, enum sp_dimension dimension, bool open)
{
    walk->dimensions[dimension].first = &walk->fittings[walk->fittings_len];
    walk->dimensions[dimension].len = 0;
    walk->dimensions[dimension].open = open;
}

static void add(struct sp_walk *walk, enum sp_dimension dimension, const struct sp_rules *rules,
                enum sp_fit fit)
{
    if (rules == NULL || rules->len == 0)
        return;
    assert(walk->fittings_len < SP_FITTINGS_MAX);
    walk->fittings[walk->fittings_len++] = (struct sp_fitting){
        .items = rules->items, .len = rules->len, .at = 0, .fit = fit};
    walk->dimensions[dimension].len++;
}

static void add_networks(struct sp_walk *walk, enum sp_dimension dimension,
                         const struct sp_networks *networks, const struct sp_addr *addr,
                         enum sp_fit fit)
{
    const struct sp_rules *rules;
    size_t at = 0;

    while ((rules = sp_networks_next(networks, addr, &at)) != NULL)
        add(walk, dimension, rules, fit);
}

/* ---- where ---- */

/* From the last label up: the hash of ".test", "corp.test", ... grows by a label each time. */
static void add_host(struct sp_walk *walk, struct sp_span host)
{
    const struct sp_where *where = &walk->policy->where;
    bool whole = host.len <= 255; /* no name in the configuration or the DNS is longer */
    uint64_t hash = SP_TABLE_HASH_SEED;

    for (size_t i = host.len; i > 0 && (whole || host.len - i < where->suffix_max); i--) {
        struct sp_span tail = sp_span_of(host.base + i - 1, host.len - (i - 1));

        hash = sp_table_hash_byte(hash, host.base[i - 1]);
        if (tail.len <= where->suffix_max && (i == 1 || host.base[i - 2] == '.'))
            add(walk, SP_DIM_WHERE, sp_table_find(&where->suffixes, tail, hash), SP_FIT_SURE);
    }
    if (whole)
        add(walk, SP_DIM_WHERE, sp_table_find(&where->hosts, host, hash), SP_FIT_SURE);
}

static void find_where(struct sp_walk *walk)
{
    const struct sp_where *where = &walk->policy->where;
    struct sp_span host = walk->query->host;

    begin(walk, SP_DIM_WHERE, false);
    add(walk, SP_DIM_WHERE, &where->any, SP_FIT_SURE);
    if (host.len > 0 && host.base[host.len - 1] == '.')
        host.len--;
    if (walk->query->literal == NULL)
        add_host(walk, host);
    if (walk->addr == NULL)
        add(walk, SP_DIM_WHERE, &where->with_network, SP_FIT_MAYBE);
    else
        add_networks(walk, SP_DIM_WHERE, &where->networks, walk->addr, SP_FIT_ADDRESS);
    if (walk->has_embedded)
        add_networks(walk, SP_DIM_WHERE, &where->networks, &walk->embedded, SP_FIT_EMBEDDED);
}

/* ---- who ---- */

/* Could a rule name it? Most of a user's groups are told apart here, without a hash. */
static bool passes_filter(const struct sp_names *names, struct sp_span lower)
{
    unsigned char last = (unsigned char)lower.base[lower.len - 1];

    if (last >= 'A' && last <= 'Z')
        last |= 0x20;
    return (names->filter[lower.len % 64] >> (last & 0x3f) & 1) != 0;
}

/* The rules that name this user or group. Tables compare ASCII without case; what has other letters
 * is put in lower case first. */
static const struct sp_rules *find_name(const struct sp_names *names, struct sp_span name)
{
    char lower[1024];
    size_t len;

    if (name.len == 0)
        return NULL;
    if (!sp_text_is_ascii(name)) {
        if (sp_text_lower(name, lower, sizeof(lower), &len) != SP_OK || len == 0)
            return NULL;
        name = sp_span_of(lower, len);
    }
    if (!passes_filter(names, name))
        return NULL;
    return sp_table_find(&names->table, name, sp_table_hash(name));
}

static void find_users(struct sp_walk *walk)
{
    const struct sp_names *users = &walk->policy->users;
    const struct sp_policy_who *who = walk->query->who;

    begin(walk, SP_DIM_USERS, users->named.len == 0);
    if (users->named.len == 0)
        return;
    add(walk, SP_DIM_USERS, &users->any, SP_FIT_SURE);
    if (who == NULL)
        add(walk, SP_DIM_USERS, &users->named, SP_FIT_MAYBE);
    else
        add(walk, SP_DIM_USERS, find_name(users, who->user), SP_FIT_SURE);
}

/* A user in more groups that rules name than there is room for: every rule that names a group is
 * met, and looked up then. */
static void find_many_groups(struct sp_walk *walk)
{
    walk->fittings_len -= walk->dimensions[SP_DIM_GROUPS].len;
    begin(walk, SP_DIM_GROUPS, false);
    add(walk, SP_DIM_GROUPS, &walk->policy->groups.any, SP_FIT_SURE);
    add(walk, SP_DIM_GROUPS, &walk->policy->groups.named, SP_FIT_CHECK);
}

static void find_groups(struct sp_walk *walk)
{
    const struct sp_names *groups = &walk->policy->groups;
    const struct sp_policy_who *who = walk->query->who;

    begin(walk, SP_DIM_GROUPS, groups->named.len == 0);
    if (groups->named.len == 0)
        return;
    add(walk, SP_DIM_GROUPS, &groups->any, SP_FIT_SURE);
    if (who == NULL)
        add(walk, SP_DIM_GROUPS, &groups->named, SP_FIT_MAYBE);
    for (size_t i = 0; who != NULL && i < who->groups_len; i++) {
        if (walk->dimensions[SP_DIM_GROUPS].len > SP_GROUPS_MAX) {
            find_many_groups(walk);
            return;
        }
        add(walk, SP_DIM_GROUPS, find_name(groups, who->groups[i]), SP_FIT_SURE);
    }
}

static bool has_rule(const struct sp_rules *rules, uint32_t rule)
{
    size_t low = 0;
    size_t high = rules->len;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (rules->items[middle] < rule)
            low = middle + 1;
        else
            high = middle;
    }
    return low < rules->len && rules->items[low] == rule;
}

bool sp_lookup_in_groups(const struct sp_walk *walk, uint32_t rule)
{
    const struct sp_policy_who *who = walk->query->who;

    for (size_t i = 0; i < who->groups_len; i++) {
        const struct sp_rules *rules = find_name(&walk->policy->groups, who->groups[i]);

        if (rules != NULL && has_rule(rules, rule))
            return true;
    }
    return false;
}

/* ---- from where ---- */

static void find_from(struct sp_walk *walk)
{
    const struct sp_from *from = &walk->policy->from;

    begin(walk, SP_DIM_FROM, from->networks.len == 0);
    if (from->networks.len == 0)
        return;
    add(walk, SP_DIM_FROM, &from->any, SP_FIT_SURE);
    add_networks(walk, SP_DIM_FROM, &from->networks, walk->query->client, SP_FIT_SURE);
}

void sp_lookup_all(struct sp_walk *walk)
{
    walk->fittings_len = 0;
    find_where(walk);
    find_users(walk);
    find_groups(walk);
    find_from(walk);
}

void sp_lookup_rewind(struct sp_walk *walk)
{
    for (size_t i = 0; i < walk->fittings_len; i++)
        walk->fittings[i].at = 0;
}
