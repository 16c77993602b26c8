/* What the block `admin` must not say, as far as only the whole configuration shows it. */
#include "app/load.h"

#include "admin/admin_options.h"
#include "util/addr.h"
#include "util/span.h"

/* The page for machines must not take (or hide behind) a port that people use as their proxy. */
void sp_app_check_admin(const struct sp_config *config, const struct sp_proxy_snapshot *snapshot,
                        struct sp_config_faults *faults)
{
    const struct sp_config_block *block = sp_config_one(config, "admin");
    const struct sp_admin_options *options = block->options;
    const struct sp_listen *listens;
    struct sp_cidr network;
    struct sp_addr addr;
    size_t len;

    for (size_t i = 0; i < options->http_from.len; i++)
        if (sp_cidr_parse(&network, sp_span_cstr(options->http_from.items[i])) != SP_OK)
            sp_config_fault(faults, block, "http_from",
                            "\"%.80s\" is not a network: write \"10.0.0.0/8\" or an address",
                            options->http_from.items[i]);
    if (options->http[0] == '\0')
        return;
    if (sp_addr_parse(&addr, sp_span_cstr(options->http)) != SP_OK || addr.port == 0) {
        sp_config_fault(faults, block, "http",
                        "\"%.80s\" is not an address and port: write \"127.0.0.1:3180\"",
                        options->http);
        return;
    }
    if (snapshot == NULL)
        return;
    listens = sp_proxy_snapshot_listens(snapshot, &len);
    for (size_t i = 0; i < len; i++)
        if (listens[i].addr.port == addr.port &&
            (sp_addr_same_ip(&listens[i].addr, &addr) || sp_addr_is_unspecified(&listens[i].addr) ||
             sp_addr_is_unspecified(&addr)))
            sp_config_fault(faults, block, "http", "the port of \"%s\" is taken by listen \"%s\"",
                            options->http, listens[i].title);
}
