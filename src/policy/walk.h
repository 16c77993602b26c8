/* Between lookup.c, which finds the lists that fit a query, and decide.c, which walks them. */
#ifndef SP_POLICY_WALK_H
#define SP_POLICY_WALK_H

#include "policy/policy_priv.h"

/* How a rule fits in one dimension. */
enum sp_fit {
    SP_FIT_SURE = 1,
    SP_FIT_ADDRESS = 2, /* sure, by a network that holds the address: the rule lifts protect */
    SP_FIT_MAYBE = 4,   /* it depends on what is not known yet */
    SP_FIT_CHECK = 8,   /* it is to be looked up: sp_lookup_in_groups */
    SP_FIT_EMBEDDED =
        16, /* sure for a rule that denies: a network holds the IPv4 address that addr leads to */
};

struct sp_fitting {
    const uint32_t *items; /* rule numbers, rising */
    size_t len;
    size_t at; /* the first that may still come up */
    enum sp_fit fit;
};

/* A name has at most 127 labels, networks 129 lengths, 33 of them of IPv4. A user may be in any
 * number of groups that rules name; past this number they are looked up rule by rule. */
#define SP_GROUPS_MAX   96
#define SP_FITTINGS_MAX (1 + 1 + 127 + 129 + 33 + 1 + 2 + (SP_GROUPS_MAX + 1) + 130)

enum sp_dimension { SP_DIM_WHERE, SP_DIM_USERS, SP_DIM_GROUPS, SP_DIM_FROM };
#define SP_DIMENSIONS (SP_DIM_FROM + 1)

/* One query's walk over the rules that fit it. On the stack of its decision. */
struct sp_walk {
    const struct sp_policy *policy;
    const struct sp_policy_query *query;
    const struct sp_addr *addr; /* resolved, or written in the target; NULL: not known */
    struct sp_addr embedded;    /* the IPv4 address that addr leads to */
    bool has_embedded;
    bool is_protected; /* addr, or what it leads to, is in protect.destinations */
    struct tm tm;      /* of the query's time */
    bool tm_known;
    struct sp_fitting fittings[SP_FITTINGS_MAX];
    size_t fittings_len;
    struct {
        struct sp_fitting *first;
        size_t len;
        bool open; /* no rule asks for anything here: all fit */
    } dimensions[SP_DIMENSIONS];
};

/* Finds the lists of all dimensions. */
void sp_lookup_all(struct sp_walk *walk);
/* Back to the first rule, for another walk. */
void sp_lookup_rewind(struct sp_walk *walk);
/* For SP_FIT_CHECK: does the rule name one of the user's groups? */
bool sp_lookup_in_groups(const struct sp_walk *walk, uint32_t rule);

#endif
