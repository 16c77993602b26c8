/* Rule numbers by key: what the compiled policy is made of. Filled on the main thread, read by all
 * without a lock. */
#include "policy/policy_priv.h"

#include "util/span.h"

#include <stdlib.h>

/* ---- ordered lists ---- */

/* Rules are added in their order, so a list is sorted by itself, and a double is the last one. */
enum sp_err sp_rules_add(struct sp_rules *rules, uint32_t rule)
{
    if (rules->len > 0 && rules->items[rules->len - 1] == rule)
        return SP_OK;
    if (rules->len == rules->cap) {
        size_t cap = rules->cap > 0 ? 2 * rules->cap : 1;
        uint32_t *items = reallocarray(rules->items, cap, sizeof(*items));

        if (items == NULL)
            return SP_ERR_NOMEM;
        rules->items = items;
        rules->cap = cap;
    }
    rules->items[rules->len++] = rule;
    return SP_OK;
}

void sp_rules_fini(struct sp_rules *rules)
{
    free(rules->items);
    *rules = (struct sp_rules){NULL, 0, 0};
}

/* ---- tables ---- */

uint64_t sp_table_hash(struct sp_span key)
{
    uint64_t hash = SP_TABLE_HASH_SEED;

    for (size_t i = key.len; i > 0; i--)
        hash = sp_table_hash_byte(hash, key.base[i - 1]);
    return hash;
}

/* The product's low bits see only the low bits of each byte's sum; the high ones see all. */
static size_t slot_of(const struct sp_table *table, uint64_t hash)
{
    return (size_t)(hash ^ hash >> 32) & (table->cap - 1);
}

/* The entry of the key, or the free one where it belongs. cap > 0. */
static struct sp_table_entry *place_of(const struct sp_table *table, struct sp_span key,
                                       uint64_t hash)
{
    size_t slot = slot_of(table, hash);

    while (table->entries[slot].key.base != NULL) {
        struct sp_table_entry *entry = &table->entries[slot];

        if (entry->hash == hash && sp_span_eq_nocase(entry->key, key))
            return entry;
        slot = (slot + 1) & (table->cap - 1);
    }
    return &table->entries[slot];
}

static enum sp_err grow(struct sp_table *table)
{
    struct sp_table wider = {.cap = table->cap > 0 ? 2 * table->cap : 16, .len = table->len};

    wider.entries = calloc(wider.cap, sizeof(*wider.entries));
    if (wider.entries == NULL)
        return SP_ERR_NOMEM;
    for (size_t i = 0; i < table->cap; i++) {
        struct sp_table_entry *entry = &table->entries[i];

        if (entry->key.base != NULL)
            *place_of(&wider, entry->key, entry->hash) = *entry;
    }
    free(table->entries);
    *table = wider;
    return SP_OK;
}

void sp_table_add(struct sp_table *table, struct sp_span key, uint32_t rule)
{
    uint64_t hash = sp_table_hash(key);
    struct sp_table_entry *entry;

    if (table->no_memory || (2 * (table->len + 1) > table->cap && grow(table) != SP_OK)) {
        table->no_memory = true;
        return;
    }
    entry = place_of(table, key, hash);
    if (entry->key.base == NULL) {
        char *copy = sp_span_dup(key);

        if (copy == NULL) {
            table->no_memory = true;
            return;
        }
        entry->key = sp_span_of(copy, key.len);
        entry->hash = hash;
        table->len++;
    }
    if (sp_rules_add(&entry->rules, rule) != SP_OK)
        table->no_memory = true;
}

const struct sp_rules *sp_table_find(const struct sp_table *table, struct sp_span key,
                                     uint64_t hash)
{
    const struct sp_table_entry *entry;

    if (table->len == 0)
        return NULL;
    entry = place_of(table, key, hash);
    return entry->key.base != NULL ? &entry->rules : NULL;
}

void sp_table_fini(struct sp_table *table)
{
    for (size_t i = 0; i < table->cap; i++) {
        free((char *)(uintptr_t)table->entries[i].key.base); /* our own copy */
        sp_rules_fini(&table->entries[i].rules);
    }
    free(table->entries);
    *table = (struct sp_table){.cap = 0};
}
