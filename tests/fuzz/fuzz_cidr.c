/* Addresses, networks and the values of rules: no input may crash them, and what is taken must be
 * written and read back as the same. */
#include "policy/policy_priv.h"

#include "util/span.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void addresses(struct sp_span text)
{
    char written[SP_ADDR_TEXT_MAX];
    struct sp_addr addr, again;
    struct sp_cidr cidr;

    if (sp_addr_parse(&addr, text) == SP_OK) {
        must(sp_addr_parse(&again, sp_span_cstr(sp_addr_text(&addr, written))) == SP_OK);
        must(memcmp(&addr, &again, sizeof(addr)) == 0);
    }
    if (sp_addr_parse_ip(&addr, text) == SP_OK) {
        must(sp_addr_parse_ip(&again, sp_span_cstr(sp_addr_ip_text(&addr, written))) == SP_OK);
        must(sp_addr_same_ip(&addr, &again));
    }
    if (sp_cidr_parse(&cidr, text) == SP_OK) {
        memcpy(addr.ip, cidr.ip, sizeof(addr.ip));
        /* ::/80 and its like hold ::ffff:0:0 by their bits, and no IPv4 all the same */
        must(sp_cidr_has(&cidr, &addr) || (cidr.bits < 96 && sp_addr_is_v4(&addr)));
    }
}

static void values(const char *text)
{
    char why[SP_POLICY_WHY];
    struct sp_port_range range;
    struct sp_week week = {{0}};
    struct sp_place place;

    if (sp_ports_parse(text, &range, why))
        must(range.low >= 1 && range.low <= range.high);
    (void)sp_hours_parse(text, &week, why);
    (void)sp_method_check(text, why);
    if (sp_place_parse(text, &place, why) && place.kind == SP_PLACE_HOST)
        must(place.name_len > 0 && place.name_len < sizeof(place.name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_span text = sp_span_of((const char *)data, size);
    char *copy = sp_span_dup(text);

    if (copy == NULL)
        return 0;
    addresses(text);
    values(copy);
    free(copy);
    return 0;
}
