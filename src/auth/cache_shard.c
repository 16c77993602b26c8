/* One shard of the verdict cache: numbered slots, chains from buckets, and two lists by age. Knows
 * no lock, no clock and no options; see cache_shard.h. */
#include "auth/cache_shard.h"

#include "util/secret.h"
#include "util/span.h"

#include <assert.h>
#include <stdlib.h>

/* ---- chains and ages ---- */

uint32_t *sp_cache_bucket(struct sp_cache_shard *s, uint64_t user)
{
    return &s->buckets[(user >> 8) & s->buckets_mask]; /* the low bits chose the shard */
}

static void age_append(struct sp_cache_shard *s, uint32_t slot)
{
    struct sp_cache_entry *e = &s->entries[slot];
    struct sp_cache_ages *list = &s->ages[sp_cache_age_of(e)];

    e->older = list->newest;
    e->newer = SP_CACHE_NOBODY;
    if (list->newest != SP_CACHE_NOBODY)
        s->entries[list->newest].newer = slot;
    else
        list->oldest = slot;
    list->newest = slot;
}

static void age_remove(struct sp_cache_shard *s, uint32_t slot)
{
    struct sp_cache_entry *e = &s->entries[slot];
    struct sp_cache_ages *list = &s->ages[sp_cache_age_of(e)];

    if (e->older != SP_CACHE_NOBODY)
        s->entries[e->older].newer = e->newer;
    else
        list->oldest = e->newer;
    if (e->newer != SP_CACHE_NOBODY)
        s->entries[e->newer].older = e->older;
    else
        list->newest = e->older;
}

void sp_cache_drop(struct sp_cache_shard *s, uint32_t slot)
{
    struct sp_cache_entry *e = &s->entries[slot];
    uint32_t *link = sp_cache_bucket(s, e->user);

    while (*link != slot)
        link = &s->entries[*link].next;
    *link = e->next;
    age_remove(s, slot);
    sp_identity_unref(&e->identity);
    sp_wipe(&e->digest, sizeof(e->digest));
    e->next = s->free_slot;
    s->free_slot = slot;
    s->count--;
}

/* What is over goes first, then the oldest of all. The shard is not empty. */
static void drop_oldest(struct sp_cache_shard *s, const struct sp_cache_lives *lives,
                        uint64_t now_ms)
{
    uint32_t good = s->ages[SP_CACHE_GOOD].oldest;
    uint32_t bad = s->ages[SP_CACHE_BAD].oldest;

    if (good == SP_CACHE_NOBODY ||
        (bad != SP_CACHE_NOBODY && sp_cache_is_over(&s->entries[bad], lives, now_ms)))
        sp_cache_drop(s, bad);
    else if (bad == SP_CACHE_NOBODY || sp_cache_is_over(&s->entries[good], lives, now_ms))
        sp_cache_drop(s, good);
    else
        sp_cache_drop(s, s->entries[good].born_ms <= s->entries[bad].born_ms ? good : bad);
}

static uint32_t take_slot(struct sp_cache_shard *s, const struct sp_cache_lives *lives,
                          uint64_t now_ms)
{
    uint32_t slot;

    while (s->count > 0 && s->count >= s->cap)
        drop_oldest(s, lives, now_ms);
    if (s->free_slot != SP_CACHE_NOBODY) {
        slot = s->free_slot;
        s->free_slot = s->entries[slot].next;
        return slot;
    }
    if (s->used == s->room) {
        uint32_t room = s->room == 0 ? 16 : s->room * 2;
        struct sp_cache_entry *grown;

        if (room > s->cap)
            room = s->cap;
        grown = realloc(s->entries, room * sizeof(*grown));
        if (grown == NULL)
            return SP_CACHE_NOBODY;
        s->entries = grown;
        s->room = room;
    }
    return s->used++;
}

uint32_t sp_cache_find(struct sp_cache_shard *s, const struct sp_verdict_key *key)
{
    const struct sp_span wanted = {(const char *)key->digest.bytes, sizeof(key->digest.bytes)};
    uint32_t slot = *sp_cache_bucket(s, key->user);

    for (; slot != SP_CACHE_NOBODY; slot = s->entries[slot].next) {
        const struct sp_cache_entry *e = &s->entries[slot];

        if (e->user == key->user && e->family == key->family &&
            sp_secret_eq(wanted, sp_span_of((const char *)e->digest.bytes, wanted.len)))
            return slot;
    }
    return SP_CACHE_NOBODY;
}

void sp_cache_put(struct sp_cache_shard *s, const struct sp_cache_entry *fresh,
                  const struct sp_cache_lives *lives)
{
    uint32_t slot = take_slot(s, lives, fresh->born_ms);
    uint32_t *bucket = sp_cache_bucket(s, fresh->user);

    if (slot == SP_CACHE_NOBODY)
        return;
    s->entries[slot] = *fresh;
    if (fresh->identity != NULL)
        s->entries[slot].identity = sp_identity_ref(fresh->identity);
    s->entries[slot].next = *bucket;
    *bucket = slot;
    age_append(s, slot);
    s->count++;
}

/* ---- making and resizing ---- */

static uint32_t power_of_two(uint64_t at_least)
{
    uint32_t n = 1;

    while (n < at_least && n < (1u << 30))
        n *= 2;
    return n;
}

void sp_cache_shard_clear(struct sp_cache_shard *s)
{
    for (unsigned age = 0; age < SP_CACHE_AGES; age++)
        while (s->ages[age].oldest != SP_CACHE_NOBODY)
            sp_cache_drop(s, s->ages[age].oldest);
}

enum sp_err sp_cache_shard_resize(struct sp_cache_shard *s, uint32_t cap)
{
    uint32_t buckets_len = power_of_two(cap);
    uint32_t *buckets = cap == 0 ? NULL : malloc(buckets_len * sizeof(*buckets));

    if (cap > 0 && buckets == NULL)
        return SP_ERR_NOMEM;
    if (s->buckets != NULL)
        sp_cache_shard_clear(s);
    free(s->buckets);
    free(s->entries);
    s->buckets = buckets;
    s->buckets_mask = buckets_len - 1;
    for (uint32_t i = 0; buckets != NULL && i < buckets_len; i++)
        buckets[i] = SP_CACHE_NOBODY;
    s->entries = NULL;
    s->room = s->used = s->count = 0;
    s->cap = cap;
    s->free_slot = SP_CACHE_NOBODY;
    for (unsigned age = 0; age < SP_CACHE_AGES; age++)
        s->ages[age] = (struct sp_cache_ages){SP_CACHE_NOBODY, SP_CACHE_NOBODY};
    return SP_OK;
}

void sp_cache_shard_fini(struct sp_cache_shard *s)
{
    enum sp_err err = sp_cache_shard_resize(s, 0);

    assert(err == SP_OK); /* it only gives back */
    (void)err;
}
