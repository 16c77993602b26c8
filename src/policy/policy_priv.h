/* Between the files of policy: the compiled form of rules.
 *
 * For each of the dimensions that can have thousands of values (where to, who, from where) the
 * policy keeps, for each value that occurs, the ordered list of the rules that name it, and one
 * list of the rules that name none. A decision looks up the few lists that fit the query and walks
 * only the rules that stand in one list of every dimension; ports, methods and hours are looked at
 * on those alone. */
#ifndef SP_POLICY_POLICY_PRIV_H
#define SP_POLICY_POLICY_PRIV_H

#include "policy/policy.h"

#include <time.h>

/* ---- options.c ---- */

enum sp_rule_action { SP_RULE_ALLOW, SP_RULE_DENY };

struct sp_rule_options {
    int action; /* enum sp_rule_action */
    struct sp_strings users;
    struct sp_strings groups;
    struct sp_strings clients;
    struct sp_strings to;
    struct sp_strings ports;
    struct sp_strings methods;
    struct sp_strings hours;
    bool authenticate;
};

struct sp_protect_options {
    struct sp_strings destinations;
    struct sp_strings connect_ports;
    struct sp_strings ports;
};

/* ---- index.c: rule numbers by key ---- */

/* Rising, without doubles. */
struct sp_rules {
    uint32_t *items;
    size_t len;
    size_t cap;
};

/* Out of memory is remembered in the table, and asked for once when all is put in. */
struct sp_table_entry {
    uint64_t hash;
    struct sp_span key; /* owned */
    struct sp_rules rules;
};

struct sp_table {
    struct sp_table_entry *entries;
    size_t len;
    size_t cap; /* a power of two, at most half of it used */
    bool no_memory;
};

enum sp_err sp_rules_add(struct sp_rules *rules, uint32_t rule) SP_MUST_CHECK;
void sp_rules_fini(struct sp_rules *rules);

/* Keys come from the configuration, so the hash needs no secret; letters count without case. A key
 * is hashed from its end, so that a host's suffixes are met on the way to the whole. */
#define SP_TABLE_HASH_SEED 0xcbf29ce484222325u
static inline uint64_t sp_table_hash_byte(uint64_t hash, char c)
{
    unsigned char byte = (unsigned char)c;

    if (byte >= 'A' && byte <= 'Z')
        byte |= 0x20;
    return (hash ^ byte) * 0x100000001b3u;
}
uint64_t sp_table_hash(struct sp_span key);
void sp_table_add(struct sp_table *table, struct sp_span key, uint32_t rule);
/* NULL: no rule has that key. */
const struct sp_rules *sp_table_find(const struct sp_table *table, struct sp_span key,
                                     uint64_t hash);
void sp_table_fini(struct sp_table *table);

/* ---- networks.c: rule numbers by network ---- */

#define SP_NETWORKS_FEW 16 /* compared one after another; more are looked up by hash */
#define SP_NETWORK_NONE UINT32_MAX

struct sp_network {
    uint64_t ip[2]; /* the bytes of an address, read as words */
    uint64_t mask[2];
    struct sp_rules rules;
    uint8_t bits;
};

/* Out of memory is remembered, as in a table. */
struct sp_networks {
    struct sp_network *items; /* each once */
    size_t len;
    size_t cap;
    uint32_t *slots;   /* numbers of items by hash; NULL: they are few */
    size_t slots_cap;  /* a power of two, at most half of it used */
    uint8_t bits[129]; /* the lengths that occur */
    size_t bits_len;
    bool no_memory;
};

void sp_networks_add(struct sp_networks *networks, const struct sp_cidr *cidr, uint32_t rule);
/* One after another, in no order, the networks that hold the address: their rules; NULL: that was
 * the last. *at is the caller's place, 0 to begin with. No more than 129 hold one. */
const struct sp_rules *sp_networks_next(const struct sp_networks *networks,
                                        const struct sp_addr *addr, size_t *at);
bool sp_networks_have(const struct sp_networks *networks, const struct sp_addr *addr);
void sp_networks_fini(struct sp_networks *networks);

/* ---- values.c: what stands in an option; each false fills why (256 bytes) ---- */

#define SP_POLICY_WHY 256

struct sp_port_range {
    uint16_t low, high;
};

#define SP_WEEK_MINUTES (7 * 24 * 60)
struct sp_week { /* a bit for each minute, Sunday 00:00 first */
    uint8_t bits[SP_WEEK_MINUTES / 8];
};

enum sp_place_kind { SP_PLACE_ANY, SP_PLACE_HOST, SP_PLACE_SUFFIX, SP_PLACE_NETWORK };

struct sp_place {
    enum sp_place_kind kind;
    char name[256]; /* HOST, SUFFIX (without its dot): lower case, no trailing dot */
    size_t name_len;
    struct sp_cidr network;
};

bool sp_ports_parse(const char *text, struct sp_port_range *range, char *why);
bool sp_method_check(const char *text, char *why);
bool sp_hours_parse(const char *text, struct sp_week *week, char *why);
bool sp_place_parse(const char *text, struct sp_place *place, char *why);
bool sp_network_parse(const char *text, struct sp_cidr *cidr, char *why);

static inline bool sp_week_has(const struct sp_week *week, const struct tm *tm)
{
    unsigned minute = (unsigned)((tm->tm_wday * 24 + tm->tm_hour) * 60 + tm->tm_min);

    return (week->bits[minute / 8] & (1u << (minute % 8))) != 0;
}

/* ---- own.c ---- */

/* Where the proxy itself listens. */
struct sp_own {
    struct sp_addr *listeners;
    size_t listeners_len;
};

enum sp_err sp_own_collect(struct sp_own *own, const struct sp_addr *listeners,
                           size_t listeners_len) SP_MUST_CHECK;
void sp_own_fini(struct sp_own *own);
bool sp_own_is(const struct sp_own *own, const struct sp_addr *addr, uint16_t port);

/* ---- the compiled policy ---- */

struct sp_ports { /* a bit for each port */
    uint8_t bits[65536 / 8];
};

static inline bool sp_ports_have(const struct sp_ports *ports, uint16_t port)
{
    return (ports->bits[port / 8] & (1u << (port % 8))) != 0;
}

struct sp_rule {
    char *title;
    enum sp_rule_action action;
    bool before;                 /* authenticate = false */
    struct sp_port_range *ports; /* none: any */
    size_t ports_len;
    struct sp_strings methods; /* none: any */
    struct sp_week *hours;     /* NULL: any */
};

/* One dimension: who names what, and who names nothing. */
struct sp_where {
    struct sp_rules any; /* no `to`, or "*" */
    struct sp_table hosts;
    struct sp_table suffixes;
    size_t suffix_max; /* length of the longest: what is longer need not be looked up */
    struct sp_networks networks;
    struct sp_rules with_network; /* all that name a network */
};

/* Users, or groups: a rule that has both keys must match in both. */
struct sp_names {
    struct sp_rules any;   /* no name given */
    struct sp_rules named; /* some given */
    struct sp_table table;
    /* a bit for each (length, last letter) that occurs: most of a user's groups stand in no rule,
     * and are passed over without hashing a DN */
    uint64_t filter[64];
};

struct sp_from {
    struct sp_rules any;
    struct sp_networks networks;
};

struct sp_policy {
    struct sp_rule *rules;
    size_t rules_len;
    struct sp_where where;
    struct sp_names users;
    struct sp_names groups;
    struct sp_from from;
    bool any_before; /* some rule has authenticate = false */
    struct sp_networks protected;
    struct sp_ports connect_ports;
    struct sp_ports ports;
    struct sp_own own;
};

#endif
