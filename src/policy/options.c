/* The blocks `rule` and `protect` of the configuration. */
#include "policy/policy_priv.h"

static const char *const actions[] = {"allow", "deny", NULL};

const struct sp_option sp_rule_option_table[] = {
    {"action", SP_OPTION_CHOICE, offsetof(struct sp_rule_options, action), NULL, 0, 0, actions,
     SP_OPTION_REQUIRED, "What a request that matches every key of the rule gets."},
    SP_OPT_LIST(struct sp_rule_options, users, NULL,
                "Names of users, compared without case; none: everybody."),
    SP_OPT_LIST(struct sp_rule_options, groups, NULL,
                "Groups by name or whole DN, compared without case; the user must be in one."),
    SP_OPT_LIST(struct sp_rule_options, clients, NULL,
                "Networks (10.0.0.0/8, 2001:db8::/32) or addresses the client may come from."),
    SP_OPT_LIST(struct sp_rule_options, to, NULL,
                "Where to: a host, a .suffix (the domain and all below it), a network or address, "
                "or *."),
    SP_OPT_LIST(struct sp_rule_options, ports, NULL,
                "Destination ports: \"443\" or \"1025-65535\". An allowing rule that names a port "
                "lifts protect's port lists for it."),
    SP_OPT_LIST(struct sp_rule_options, methods, NULL, "Methods, such as CONNECT or GET."),
    SP_OPT_LIST(struct sp_rule_options, hours, NULL,
                "When, in the process's time zone: \"Mo-Fr 08:00-18:00\", \"Sa,Su\", "
                "\"22:00-06:00\" (past midnight)."),
    SP_OPT_BOOL(struct sp_rule_options, authenticate, "true",
                "false: the rule decides before the client is asked who it is."),
    SP_OPT_END};
const size_t sp_rule_options_size = sizeof(struct sp_rule_options);

const struct sp_option sp_protect_option_table[] = {
    SP_OPT_LIST(struct sp_protect_options, destinations,
                "127.0.0.0/8, ::1/128, 169.254.0.0/16, fe80::/10, 0.0.0.0/8, ::/128",
                "Networks nobody is let into, tested on the resolved address, unless the rule that "
                "allows names the address or a network around it."),
    SP_OPT_LIST(struct sp_protect_options, connect_ports, "443, 80",
                "Ports that CONNECT may go to, unless the rule that allows names the port."),
    SP_OPT_LIST(struct sp_protect_options, ports, "80, 443, 1025-65535",
                "Ports that other methods may go to, unless the rule that allows names the port."),
    SP_OPT_END};
const size_t sp_protect_options_size = sizeof(struct sp_protect_options);
