/* May this person go there? A pure function of (who, where, when) over a compiled, immutable set of
 * rules.
 *
 * Order: protect before rules, except where the rule that allows lifts it; the first rule that
 * matches decides; with rules, none matching denies; with none at all, every authenticated user may
 * pass. Compiled once per snapshot on the main thread; decided on any thread, without a lock. */
#ifndef SP_POLICY_POLICY_H
#define SP_POLICY_POLICY_H

#include "config/config.h"
#include "util/addr.h"

struct sp_policy; /* immutable after compile */

extern const struct sp_option sp_rule_option_table[];
extern const struct sp_option sp_protect_option_table[];
extern const size_t sp_rule_options_size;
extern const size_t sp_protect_options_size;

/* From the blocks "protect" and "rule". Our own listeners' addresses are never a destination; the
 * unspecified address stands for every address of this machine. NULL with faults added. */
struct sp_policy *sp_policy_compile(const struct sp_config *config, const struct sp_addr *listeners,
                                    size_t listeners_len,
                                    struct sp_config_faults *faults) SP_MUST_CHECK;
void sp_policy_free(struct sp_policy **policy);

struct sp_policy_who {
    struct sp_span user;          /* as the engine names them; absent: not known yet */
    const struct sp_span *groups; /* names and whole DNs */
    size_t groups_len;
};

struct sp_policy_query {
    const struct sp_policy_who *who; /* NULL: before authentication */
    const struct sp_addr *client;
    struct sp_span host; /* lower case, as http gives it */
    uint16_t port;
    const struct sp_addr *literal; /* the address that host spells; NULL: it is a name */
    bool connect;
    struct sp_span method;
    const struct sp_addr *addr; /* the resolved address in question; NULL: not resolved (yet) */
    uint64_t wall_ms;           /* for `hours`, in the process's time zone */
};

enum sp_policy_verdict {
    SP_POLICY_ALLOW,
    SP_POLICY_DENY,
    SP_POLICY_ASK_USER,    /* who == NULL: it depends on the user: authenticate */
    SP_POLICY_ASK_ADDRESS, /* addr == NULL: it depends on the address: resolve, then ask for each */
};

struct sp_policy_decision {
    enum sp_policy_verdict verdict;
    /* title of the rule that decided; "" when none did; lives as long as the policy */
    const char *rule;
    const char *why; /* DENY: static words: "destination is protected", "no rule matches", "port is
                        not allowed" */
};

/* With who == NULL only rules with authenticate = false decide ALLOW, and DENY also where no user
 * could pass; a host that is an address literal is decided at once, `addr` or not. */
struct sp_policy_decision sp_policy_decide(const struct sp_policy *policy,
                                           const struct sp_policy_query *query);
/* Where that said ASK_ADDRESS before anybody is asked who they are, and the name resolves to these
 * (none: it does not): ALLOW, a rule without a user lets everybody go to *at_out; DENY, nobody may
 * go to any of them; else ASK_USER, and then each address is decided on its own. *at_out is the
 * address that the decision is about. `query` has no who and no addr. */
struct sp_policy_decision sp_policy_decide_open(const struct sp_policy *policy,
                                                const struct sp_policy_query *query,
                                                const struct sp_addr *addrs, size_t len,
                                                const struct sp_addr **at_out);

#endif
