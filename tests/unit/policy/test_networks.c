/* networks.c against a walk over all networks with sp_cidr_has: sets that are compared and sets
 * that are looked up by hash, as they are before, at and past the bound between the two. */
#include "policy_help.h"

#include "policy/policy_priv.h"

#define NETWORKS_MAX 700

struct pair {
    struct sp_cidr network;
    uint32_t rule;
};

/* What a naive set knows: every pair that was added, in order. */
struct naive {
    struct pair pairs[2 * NETWORKS_MAX];
    size_t len;
};

static unsigned dice(unsigned sides)
{
    return (unsigned)rand() % sides;
}

/* Bytes of few values, so that addresses and networks meet. */
static void roll_ip(uint8_t *ip)
{
    static const uint8_t v4[12] = {[10] = 0xff, [11] = 0xff};

    for (size_t i = 0; i < 16; i++)
        ip[i] = (uint8_t)(dice(2) == 0 ? 0 : dice(3) == 0 ? 0xff : 1u << dice(8));
    if (dice(2) == 0)
        memcpy(ip, v4, sizeof(v4));
}

static struct sp_cidr roll_network(void)
{
    struct sp_cidr cidr;
    unsigned bits = dice(4) == 0 ? dice(129) : 96 + dice(33);

    roll_ip(cidr.ip);
    cidr.bits = (uint8_t)bits;
    for (unsigned i = bits; i < 128; i++)
        cidr.ip[i / 8] &= (uint8_t) ~(0x80u >> (i % 8));
    return cidr;
}

/* An address at random, or one inside a network that is there. */
static struct sp_addr roll_addr(const struct naive *naive)
{
    struct sp_addr addr = {.port = 80};
    const struct sp_cidr *in;

    roll_ip(addr.ip);
    if (naive->len == 0 || dice(4) == 0)
        return addr;
    in = &naive->pairs[dice((unsigned)naive->len)].network;
    for (unsigned i = 0; i < in->bits; i++) {
        uint8_t bit = (uint8_t)(0x80u >> (i % 8));

        addr.ip[i / 8] = (uint8_t)((addr.ip[i / 8] & ~bit) | (in->ip[i / 8] & bit));
    }
    return addr;
}

static void both_add(struct sp_networks *networks, struct naive *naive, struct sp_cidr cidr,
                     uint32_t rule)
{
    sp_networks_add(networks, &cidr, rule);
    naive->pairs[naive->len++] = (struct pair){cidr, rule};
}

static unsigned held; /* addresses that some network held */

static void check_addr(const struct sp_networks *networks, const struct naive *naive,
                       const struct sp_addr *addr)
{
    bool expected[2 * NETWORKS_MAX] = {false};
    bool found[2 * NETWORKS_MAX] = {false};
    const struct sp_rules *rules;
    bool any = false;
    size_t lists = 0;
    size_t at = 0;

    for (size_t i = 0; i < naive->len; i++) {
        if (sp_cidr_has(&naive->pairs[i].network, addr))
            any = expected[naive->pairs[i].rule] = true;
    }
    while ((rules = sp_networks_next(networks, addr, &at)) != NULL) {
        lists++;
        assert_true(rules->len > 0);
        for (size_t i = 0; i < rules->len; i++) {
            assert_true(i == 0 || rules->items[i - 1] < rules->items[i]);
            found[rules->items[i]] = true;
        }
    }
    assert_memory_equal(found, expected, sizeof(found));
    assert_true(lists <= 129);
    assert_int_equal(sp_networks_have(networks, addr), any);
    held += any;
}

/* Each network now and then named by two rules, as rules do. */
static void check_set(size_t size)
{
    static struct naive naive;
    struct sp_networks networks = {.len = 0};
    uint32_t rule = 0;

    naive.len = 0;
    while (networks.len < size) {
        struct sp_cidr cidr = roll_network();

        both_add(&networks, &naive, cidr, rule);
        both_add(&networks, &naive, cidr, dice(3) == 0 ? ++rule : rule);
        if (dice(4) == 0 && naive.len < 2 * NETWORKS_MAX - 4) /* one from long ago, once more */
            both_add(&networks, &naive, naive.pairs[dice((unsigned)naive.len)].network, rule);
        rule++;
        assert_true(naive.len < 2 * NETWORKS_MAX - 2);
        assert_false(networks.no_memory);
        assert_int_equal(networks.slots != NULL, networks.len > SP_NETWORKS_FEW);
    }
    for (int i = 0; i < 400; i++) {
        struct sp_addr addr = roll_addr(&naive);

        check_addr(&networks, &naive, &addr);
    }
    sp_networks_fini(&networks);
    assert_null(networks.items);
}

static void both_forms_find_what_a_naive_walk_finds(void **state)
{
    static const size_t sizes[] = {0, 1, 2, 6, 15, 16, 17, 18, 32, 33, 64, 65, 200, 400};

    (void)state;
    srand(3);
    held = 0;
    for (int round = 0; round < 5; round++) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
            check_set(sizes[i]);
    }
    assert_true(held > 10000 && held < 27000); /* of 28,000: both answers came up */
}

/* The walk of a decision has room for one list of each length. */
static void an_address_in_a_network_of_every_length_is_in_129(void **state)
{
    struct sp_networks networks = {.len = 0};
    struct sp_addr addr = addr_of("2001:db8:a5a5:5a5a:ffff:1:8000:7");
    size_t lists = 0;
    size_t at = 0;

    (void)state;
    for (unsigned bits = 0; bits <= 128; bits++) {
        struct sp_cidr cidr = {.bits = (uint8_t)bits};

        memcpy(cidr.ip, addr.ip, sizeof(cidr.ip));
        for (unsigned i = bits; i < 128; i++)
            cidr.ip[i / 8] &= (uint8_t) ~(0x80u >> (i % 8));
        sp_networks_add(&networks, &cidr, bits);
    }
    while (sp_networks_next(&networks, &addr, &at) != NULL)
        lists++;
    assert_int_equal(lists, 129);
    sp_networks_fini(&networks);
}

/* "::/0" is all of IPv6 to whoever writes it; "0.0.0.0/0" all of IPv4. */
static void a_network_of_ipv6_holds_no_ipv4_address(void **state)
{
    struct sp_addr v4 = addr_of("192.0.2.1");
    struct sp_addr v6 = addr_of("2001:db8::1");

    (void)state;
    for (size_t size = 1; size <= 2 * SP_NETWORKS_FEW; size += 2 * SP_NETWORKS_FEW - 1) {
        struct sp_networks networks = {.len = 0};
        struct sp_cidr cidr;

        assert_int_equal(sp_cidr_parse(&cidr, sp_span_cstr("::/0")), SP_OK);
        sp_networks_add(&networks, &cidr, 0);
        for (size_t i = 1; i < size; i++) {
            assert_int_equal(sp_cidr_parse(&cidr, sp_span_cstr("10.0.0.0/32")), SP_OK);
            cidr.ip[15] = (uint8_t)i;
            sp_networks_add(&networks, &cidr, 0);
        }
        assert_int_equal(networks.len, size);
        assert_false(sp_networks_have(&networks, &v4));
        assert_true(sp_networks_have(&networks, &v6));
        assert_int_equal(sp_cidr_parse(&cidr, sp_span_cstr("0.0.0.0/0")), SP_OK);
        sp_networks_add(&networks, &cidr, 0);
        assert_true(sp_networks_have(&networks, &v4));
        sp_networks_fini(&networks);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms_find_what_a_naive_walk_finds),
        cmocka_unit_test(an_address_in_a_network_of_every_length_is_in_129),
        cmocka_unit_test(a_network_of_ipv6_holds_no_ipv4_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
