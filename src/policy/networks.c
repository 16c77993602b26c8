/* Rule numbers by network. Filled on the main thread, read by all without a lock.
 *
 * A few networks, as most configurations have them, are compared one after another: a mask and two
 * words each. Many are looked up by hash, once for each prefix length that occurs. Which of the two
 * it is nobody outside can tell. */
#include "policy/policy_priv.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

/* ---- words ---- */

/* A prefix of an address: as two words, in whatever order this machine reads them. */
struct prefix {
    uint64_t word[2];
};

static struct prefix prefix_of(const uint8_t *ip, const uint64_t *mask)
{
    struct prefix prefix;

    memcpy(prefix.word, ip, sizeof(prefix.word));
    prefix.word[0] &= mask[0];
    prefix.word[1] &= mask[1];
    return prefix;
}

/* The first `bits` of a word that was read from an address. */
static uint64_t mask_word(unsigned bits)
{
    if (bits == 0)
        return 0;
    return bits < 64 ? htobe64(UINT64_MAX << (64 - bits)) : UINT64_MAX;
}

static void make_mask(uint64_t *mask, unsigned bits)
{
    mask[0] = mask_word(bits);
    mask[1] = mask_word(bits > 64 ? bits - 64 : 0);
}

static bool is_prefix(const struct sp_network *network, const struct prefix *prefix)
{
    return ((network->ip[0] ^ prefix->word[0]) | (network->ip[1] ^ prefix->word[1])) == 0;
}

/* As sp_cidr_has: a network of fewer than 96 bits names IPv6 addresses alone. */
static bool names_family(unsigned bits, const struct sp_addr *addr)
{
    return bits >= 96 || !sp_addr_is_v4(addr);
}

/* ---- many: by hash ---- */

/* Networks come from the configuration, so the hash needs no secret. Multiplication carries upwards
 * alone, and what tells networks apart may stand in any byte: so the high half comes down. */
static size_t slot_of(const struct sp_networks *networks, const struct prefix *prefix,
                      unsigned bits)
{
    uint64_t hash = (prefix->word[0] + bits) * 0x9e3779b97f4a7c15u;

    hash = ((hash ^ hash >> 32) + prefix->word[1]) * 0xd6e8feb86659fd93u;
    return (size_t)(hash ^ hash >> 32) & (networks->slots_cap - 1);
}

/* The network's number, or SP_NETWORK_NONE; *slot_out: where it stands or belongs. */
static uint32_t find_slot(const struct sp_networks *networks, const struct prefix *prefix,
                          unsigned bits, size_t *slot_out)
{
    size_t slot = slot_of(networks, prefix, bits);

    while (networks->slots[slot] != SP_NETWORK_NONE) {
        const struct sp_network *network = &networks->items[networks->slots[slot]];

        if (network->bits == bits && is_prefix(network, prefix))
            break;
        slot = (slot + 1) & (networks->slots_cap - 1);
    }
    *slot_out = slot;
    return networks->slots[slot];
}

/* Room for all there are, and for as many again. */
static enum sp_err index_all(struct sp_networks *networks)
{
    size_t cap = 4 * networks->len; /* a power of two: len is one whenever this is called */
    uint32_t *slots = reallocarray(networks->slots, cap, sizeof(*slots));

    if (slots == NULL)
        return SP_ERR_NOMEM;
    networks->slots = slots;
    networks->slots_cap = cap;
    for (size_t i = 0; i < cap; i++)
        slots[i] = SP_NETWORK_NONE;
    for (uint32_t i = 0; i < networks->len; i++) {
        const struct sp_network *network = &networks->items[i];
        struct prefix prefix = {{network->ip[0], network->ip[1]}};
        size_t slot;

        (void)find_slot(networks, &prefix, network->bits, &slot);
        slots[slot] = i;
    }
    return SP_OK;
}

/* ---- filling ---- */

static struct sp_network *find_exact(const struct sp_networks *networks,
                                     const struct prefix *prefix, unsigned bits)
{
    size_t slot;

    if (networks->slots != NULL) {
        uint32_t number = find_slot(networks, prefix, bits, &slot);

        return number != SP_NETWORK_NONE ? &networks->items[number] : NULL;
    }
    for (size_t i = 0; i < networks->len; i++) {
        if (networks->items[i].bits == bits && is_prefix(&networks->items[i], prefix))
            return &networks->items[i];
    }
    return NULL;
}

static bool grow(struct sp_networks *networks)
{
    size_t cap = networks->cap > 0 ? 2 * networks->cap : SP_NETWORKS_FEW;
    struct sp_network *items = reallocarray(networks->items, cap, sizeof(*items));

    if (items == NULL)
        return false;
    networks->items = items;
    networks->cap = cap;
    return networks->len == 0 || index_all(networks) == SP_OK;
}

static struct sp_network *append(struct sp_networks *networks, const struct sp_cidr *cidr,
                                 const uint64_t *mask)
{
    struct prefix prefix = prefix_of(cidr->ip, mask);
    struct sp_network *network;
    size_t slot;

    if (networks->len == networks->cap && !grow(networks))
        return NULL;
    if (networks->slots != NULL) {
        (void)find_slot(networks, &prefix, cidr->bits, &slot);
        networks->slots[slot] = (uint32_t)networks->len;
    }
    network = &networks->items[networks->len++];
    *network = (struct sp_network){
        .ip = {prefix.word[0], prefix.word[1]}, .mask = {mask[0], mask[1]}, .bits = cidr->bits};
    if (memchr(networks->bits, cidr->bits, networks->bits_len) == NULL)
        networks->bits[networks->bits_len++] = cidr->bits;
    return network;
}

void sp_networks_add(struct sp_networks *networks, const struct sp_cidr *cidr, uint32_t rule)
{
    uint64_t mask[2];
    struct prefix prefix;
    struct sp_network *network;

    if (networks->no_memory)
        return;
    make_mask(mask, cidr->bits);
    prefix = prefix_of(cidr->ip, mask);
    network = find_exact(networks, &prefix, cidr->bits);
    if (network == NULL)
        network = append(networks, cidr, mask);
    if (network == NULL || sp_rules_add(&network->rules, rule) != SP_OK)
        networks->no_memory = true;
}

/* ---- asking ---- */

static const struct sp_rules *next_of_few(const struct sp_networks *networks,
                                          const struct sp_addr *addr, size_t *at)
{
    while (*at < networks->len) {
        const struct sp_network *network = &networks->items[(*at)++];
        struct prefix prefix = prefix_of(addr->ip, network->mask);

        if (is_prefix(network, &prefix) && names_family(network->bits, addr))
            return &network->rules;
    }
    return NULL;
}

static const struct sp_rules *next_of_many(const struct sp_networks *networks,
                                           const struct sp_addr *addr, size_t *at)
{
    while (*at < networks->bits_len) {
        unsigned bits = networks->bits[(*at)++];
        uint64_t mask[2];
        struct prefix prefix;
        uint32_t number;
        size_t slot;

        if (!names_family(bits, addr))
            continue;
        make_mask(mask, bits);
        prefix = prefix_of(addr->ip, mask);
        number = find_slot(networks, &prefix, bits, &slot);
        if (number != SP_NETWORK_NONE)
            return &networks->items[number].rules;
    }
    return NULL;
}

const struct sp_rules *sp_networks_next(const struct sp_networks *networks,
                                        const struct sp_addr *addr, size_t *at)
{
    return networks->slots == NULL ? next_of_few(networks, addr, at)
                                   : next_of_many(networks, addr, at);
}

bool sp_networks_have(const struct sp_networks *networks, const struct sp_addr *addr)
{
    size_t at = 0;

    return sp_networks_next(networks, addr, &at) != NULL;
}

void sp_networks_fini(struct sp_networks *networks)
{
    for (size_t i = 0; i < networks->len; i++)
        sp_rules_fini(&networks->items[i].rules);
    free(networks->items);
    free(networks->slots);
    *networks = (struct sp_networks){.len = 0};
}
