/* The verdict cache in this process's memory: shards, each a small hash table under a short lock.
 *
 * A user's entries share one bucket (of one shard), whatever their passwords: so ending the older
 * ones, or forgetting the user, is a walk along one chain. Entries are numbered slots of one array
 * per shard, linked by number: compact, and no allocation for most stores. Good and bad verdicts
 * stand in two lists by age, so that the first of each is the next to expire: what is over goes
 * first, then the oldest. Called by every worker; see cache.h. */
#include "auth/cache.h"

#include "util/secret.h"
#include "util/span.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SHARDS_MAX      64u
#define ENTRIES_A_SHARD 128u /* fewer than this and a shard more is not worth its unevenness */
#define NOBODY          UINT32_MAX
/* One user's refusals: more distinct wrong passwords than this are not remembered at once, so that
 * no chain grows without bound where guard is off. */
#define REFUSALS_A_USER 32u
#define RENEW_PAUSE_MIN 1000u
#define RENEW_PAUSE_MAX 60000u

enum { AGE_GOOD, AGE_BAD, AGES };

struct entry {
    uint64_t user;
    uint64_t family;
    uint64_t basis;
    struct sp_digest digest;
    const struct sp_identity *identity; /* a reference; ALLOW only */
    const char *reason;
    uint64_t born_ms;
    uint64_t renew_ms; /* when somebody is next told to renew it */
    uint32_t next;     /* in its bucket, or in the free list */
    uint32_t older, newer;
    uint8_t verdict; /* enum sp_verdict */
};

struct age_list {
    uint32_t oldest, newest;
};

struct shard {
    alignas(64) pthread_mutex_t lock;
    uint32_t *buckets;
    uint32_t buckets_mask;
    struct entry *entries; /* grows up to cap */
    uint32_t room;         /* slots allocated */
    uint32_t used;         /* slots ever taken */
    uint32_t cap;
    uint32_t free_slot;
    uint32_t count;
    struct age_list ages[AGES];
};

/* Owned by struct sp_auth_shared. */
struct sp_verdict_cache {
    _Atomic uint64_t ttl_ms, negative_ttl_ms, grace_ms, refresh;
    _Atomic uint64_t flushes; /* moves before any shard forgets */
    atomic_uint shards_mask;
    struct shard shards[SHARDS_MAX];
};

enum sp_err sp_verdict_key_make(struct sp_verdict_key *key, struct sp_span kind,
                                struct sp_span backend, uint64_t family, struct sp_span user,
                                struct sp_span secret)
{
    const struct sp_span parts[] = {kind, backend, user, secret};

    key->user = sp_hash64(user);
    key->family = family;
    key->basis = key->flushes = 0;
    return sp_digest_make(&key->digest, parts, sizeof(parts) / sizeof(parts[0]));
}

static uint64_t load(_Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

/* ---- slots, chains and ages: under the shard's lock ---- */

static unsigned age_of(const struct entry *e)
{
    return e->verdict == SP_VERDICT_ALLOW ? AGE_GOOD : AGE_BAD;
}

static uint32_t *bucket_of(struct shard *s, uint64_t user)
{
    return &s->buckets[(user >> 8) & s->buckets_mask]; /* the low bits chose the shard */
}

static void age_append(struct shard *s, uint32_t slot)
{
    struct entry *e = &s->entries[slot];
    struct age_list *list = &s->ages[age_of(e)];

    e->older = list->newest;
    e->newer = NOBODY;
    if (list->newest != NOBODY)
        s->entries[list->newest].newer = slot;
    else
        list->oldest = slot;
    list->newest = slot;
}

static void age_remove(struct shard *s, uint32_t slot)
{
    struct entry *e = &s->entries[slot];
    struct age_list *list = &s->ages[age_of(e)];

    if (e->older != NOBODY)
        s->entries[e->older].newer = e->newer;
    else
        list->oldest = e->newer;
    if (e->newer != NOBODY)
        s->entries[e->newer].older = e->older;
    else
        list->newest = e->older;
}

static void drop(struct shard *s, uint32_t slot)
{
    struct entry *e = &s->entries[slot];
    uint32_t *link = bucket_of(s, e->user);

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

static uint64_t lifetime_ms(struct sp_verdict_cache *cache, unsigned age)
{
    if (age == AGE_GOOD)
        return load(&cache->ttl_ms) + load(&cache->grace_ms);
    return load(&cache->negative_ttl_ms);
}

static bool is_over(struct sp_verdict_cache *cache, const struct entry *e, uint64_t now_ms)
{
    uint64_t age_ms = now_ms > e->born_ms ? now_ms - e->born_ms : 0;

    return age_ms >= lifetime_ms(cache, age_of(e));
}

/* What is over goes first, then the oldest of all. The shard is not empty. */
static void drop_oldest(struct sp_verdict_cache *cache, struct shard *s, uint64_t now_ms)
{
    uint32_t good = s->ages[AGE_GOOD].oldest;
    uint32_t bad = s->ages[AGE_BAD].oldest;

    if (good == NOBODY || (bad != NOBODY && is_over(cache, &s->entries[bad], now_ms)))
        drop(s, bad);
    else if (bad == NOBODY || is_over(cache, &s->entries[good], now_ms))
        drop(s, good);
    else
        drop(s, s->entries[good].born_ms <= s->entries[bad].born_ms ? good : bad);
}

static uint32_t take_slot(struct sp_verdict_cache *cache, struct shard *s, uint64_t now_ms)
{
    uint32_t slot;

    while (s->count > 0 && s->count >= s->cap)
        drop_oldest(cache, s, now_ms);
    if (s->free_slot != NOBODY) {
        slot = s->free_slot;
        s->free_slot = s->entries[slot].next;
        return slot;
    }
    if (s->used == s->room) {
        uint32_t room = s->room == 0 ? 16 : s->room * 2;
        struct entry *grown;

        if (room > s->cap)
            room = s->cap;
        grown = realloc(s->entries, room * sizeof(*grown));
        if (grown == NULL)
            return NOBODY;
        s->entries = grown;
        s->room = room;
    }
    return s->used++;
}

static uint32_t find(struct shard *s, const struct sp_verdict_key *key)
{
    const struct sp_span wanted = {(const char *)key->digest.bytes, sizeof(key->digest.bytes)};
    uint32_t slot = *bucket_of(s, key->user);

    for (; slot != NOBODY; slot = s->entries[slot].next) {
        const struct entry *e = &s->entries[slot];

        if (e->user == key->user && e->family == key->family &&
            sp_secret_eq(wanted, sp_span_of((const char *)e->digest.bytes, wanted.len)))
            return slot;
    }
    return NOBODY;
}

/* ---- making and resizing ---- */

static uint32_t power_of_two(uint64_t at_least)
{
    uint32_t n = 1;

    while (n < at_least && n < (1u << 30))
        n *= 2;
    return n;
}

static unsigned shards_for(uint64_t max_entries)
{
    unsigned n = 1;

    while (n < SHARDS_MAX && max_entries / (n * 2) >= ENTRIES_A_SHARD)
        n *= 2;
    return n;
}

static void shard_clear(struct shard *s)
{
    for (unsigned age = 0; age < AGES; age++)
        while (s->ages[age].oldest != NOBODY)
            drop(s, s->ages[age].oldest);
}

/* Empties the shard and gives it room for `cap` entries; cap 0 gives its memory back. */
static enum sp_err shard_resize(struct shard *s, uint32_t cap)
{
    uint32_t buckets_len = power_of_two(cap);
    uint32_t *buckets = cap == 0 ? NULL : malloc(buckets_len * sizeof(*buckets));

    if (cap > 0 && buckets == NULL)
        return SP_ERR_NOMEM;
    if (s->buckets != NULL)
        shard_clear(s);
    free(s->buckets);
    free(s->entries);
    s->buckets = buckets;
    s->buckets_mask = buckets_len - 1;
    for (uint32_t i = 0; buckets != NULL && i < buckets_len; i++)
        buckets[i] = NOBODY;
    s->entries = NULL;
    s->room = s->used = s->count = 0;
    s->cap = cap;
    s->free_slot = NOBODY;
    for (unsigned age = 0; age < AGES; age++)
        s->ages[age] = (struct age_list){NOBODY, NOBODY};
    return SP_OK;
}

static enum sp_err resize(struct sp_verdict_cache *cache, uint64_t max_entries)
{
    unsigned shards = shards_for(max_entries);
    enum sp_err err = SP_OK;

    for (unsigned i = 0; i < SHARDS_MAX; i++)
        pthread_mutex_lock(&cache->shards[i].lock);
    for (unsigned i = 0; i < SHARDS_MAX && err == SP_OK; i++) {
        uint64_t cap = i < shards ? max_entries / shards : 0;

        if (cache->shards[i].cap != cap || cache->shards[i].buckets == NULL)
            err = shard_resize(&cache->shards[i], (uint32_t)cap);
    }
    if (err == SP_OK)
        atomic_store(&cache->shards_mask, shards - 1);
    for (unsigned i = 0; i < SHARDS_MAX; i++)
        pthread_mutex_unlock(&cache->shards[i].lock);
    return err;
}

static void take_durations(struct sp_verdict_cache *cache, const struct sp_cache_options *options)
{
    atomic_store(&cache->ttl_ms, options->ttl_ms);
    atomic_store(&cache->negative_ttl_ms, options->negative_ttl_ms);
    atomic_store(&cache->grace_ms, options->grace_ms);
    atomic_store(&cache->refresh, (uint64_t)options->refresh);
}

struct sp_verdict_cache *sp_verdict_cache_new(const struct sp_cache_options *options)
{
    struct sp_verdict_cache *cache = aligned_alloc(64, sizeof(*cache));

    if (cache == NULL)
        return NULL;
    memset(cache, 0, sizeof(*cache));
    for (unsigned i = 0; i < SHARDS_MAX; i++)
        pthread_mutex_init(&cache->shards[i].lock, NULL);
    take_durations(cache, options);
    if (resize(cache, (uint64_t)options->max_entries) != SP_OK)
        sp_verdict_cache_free(&cache);
    return cache;
}

void sp_verdict_cache_free(struct sp_verdict_cache **cache_in)
{
    struct sp_verdict_cache *cache = *cache_in;

    *cache_in = NULL;
    if (cache == NULL)
        return;
    for (unsigned i = 0; i < SHARDS_MAX; i++) {
        (void)shard_resize(&cache->shards[i], 0);
        pthread_mutex_destroy(&cache->shards[i].lock);
    }
    free(cache);
}

/* Another max_entries empties the shards that change size: the price of a reload that few make. */
void sp_verdict_cache_apply(struct sp_verdict_cache *cache, const struct sp_cache_options *options)
{
    take_durations(cache, options);
    (void)resize(cache, (uint64_t)options->max_entries); /* no memory: the old size serves on */
}

/* ---- the interface ---- */

/* Locked. The number of shards may change under a reload, so it is looked at again behind the lock.
 */
static struct shard *shard_lock(struct sp_verdict_cache *cache, uint64_t user)
{
    for (;;) {
        unsigned mask = atomic_load_explicit(&cache->shards_mask, memory_order_acquire);
        struct shard *s = &cache->shards[user & mask];

        pthread_mutex_lock(&s->lock);
        if (mask == atomic_load_explicit(&cache->shards_mask, memory_order_acquire))
            return s;
        pthread_mutex_unlock(&s->lock);
    }
}

/* Told to one asker; the next is told after a pause, should this one's renewal come to nothing. */
static bool due_for_renewal(struct entry *e, uint64_t ttl_ms, uint64_t now_ms)
{
    uint64_t pause_ms = ttl_ms / 10;

    if (now_ms < e->renew_ms)
        return false;
    pause_ms = pause_ms < RENEW_PAUSE_MIN ? RENEW_PAUSE_MIN : pause_ms;
    e->renew_ms = now_ms + (pause_ms > RENEW_PAUSE_MAX ? RENEW_PAUSE_MAX : pause_ms);
    return true;
}

void sp_verdict_cache_lookup(struct sp_verdict_cache *cache, const struct sp_verdict_key *key,
                             uint64_t now_ms, struct sp_kept *kept)
{
    struct shard *s = shard_lock(cache, key->user);
    uint32_t slot = find(s, key);
    struct entry *e = slot != NOBODY ? &s->entries[slot] : NULL;

    *kept = (struct sp_kept){.state = SP_KEPT_NOTHING};
    if (e != NULL && is_over(cache, e, now_ms)) {
        drop(s, slot);
    } else if (e != NULL && e->basis == key->basis) {
        uint64_t ttl_ms = load(&cache->ttl_ms);

        kept->age_ms = now_ms > e->born_ms ? now_ms - e->born_ms : 0;
        kept->state = SP_KEPT_FRESH;
        kept->verdict = (enum sp_verdict)e->verdict;
        kept->reason = e->reason;
        if (kept->verdict == SP_VERDICT_ALLOW) {
            kept->identity = sp_identity_ref(e->identity);
            if (kept->age_ms >= ttl_ms)
                kept->state = SP_KEPT_STALE;
            else
                kept->renew = due_for_renewal(e, ttl_ms, now_ms);
        }
    }
    pthread_mutex_unlock(&s->lock);
}

/* Room for one more of this user: an ALLOW ends the family's other ALLOWs; refusals past the bound
 * push out the user's oldest one. */
static void make_way(struct shard *s, const struct sp_verdict_key *key, enum sp_verdict verdict)
{
    uint32_t slot = *bucket_of(s, key->user);
    uint32_t oldest = NOBODY;
    unsigned refusals = 0;

    while (slot != NOBODY) {
        struct entry *e = &s->entries[slot];
        uint32_t next = e->next;

        if (e->user == key->user && e->family == key->family) {
            if (e->verdict != SP_VERDICT_ALLOW) {
                refusals++;
                if (oldest == NOBODY || e->born_ms < s->entries[oldest].born_ms)
                    oldest = slot;
            } else if (verdict == SP_VERDICT_ALLOW) {
                drop(s, slot);
            }
        }
        slot = next;
    }
    if (verdict != SP_VERDICT_ALLOW && refusals >= REFUSALS_A_USER)
        drop(s, oldest);
}

static uint64_t first_renewal_ms(struct sp_verdict_cache *cache, uint64_t now_ms)
{
    uint64_t refresh = load(&cache->refresh);

    return refresh == 0 ? UINT64_MAX : now_ms + load(&cache->ttl_ms) * refresh / 100;
}

static bool worth_keeping(struct sp_verdict_cache *cache, enum sp_verdict verdict)
{
    switch (verdict) {
    case SP_VERDICT_ALLOW: return load(&cache->ttl_ms) > 0;
    case SP_VERDICT_DENY:
    case SP_VERDICT_UNKNOWN_USER:
    case SP_VERDICT_ACCOUNT: return load(&cache->negative_ttl_ms) > 0;
    case SP_VERDICT_MORE:
    case SP_VERDICT_UNAVAILABLE: return false;
    }
    return false;
}

static void insert(struct sp_verdict_cache *cache, struct shard *s,
                   const struct sp_verdict_key *key, const struct entry *fresh)
{
    uint32_t slot = take_slot(cache, s, fresh->born_ms);
    uint32_t *bucket = bucket_of(s, key->user);

    if (slot == NOBODY)
        return;
    s->entries[slot] = *fresh;
    if (fresh->identity != NULL)
        s->entries[slot].identity = sp_identity_ref(fresh->identity);
    s->entries[slot].next = *bucket;
    *bucket = slot;
    age_append(s, slot);
    s->count++;
}

void sp_verdict_cache_store(struct sp_verdict_cache *cache, const struct sp_verdict_key *key,
                            enum sp_verdict verdict, const struct sp_identity *identity,
                            const char *reason, uint64_t now_ms)
{
    struct entry fresh = {
        .user = key->user,
        .family = key->family,
        .basis = key->basis,
        .digest = key->digest,
        .identity = verdict == SP_VERDICT_ALLOW ? identity : NULL,
        .reason = reason,
        .born_ms = now_ms,
        .renew_ms = first_renewal_ms(cache, now_ms),
        .verdict = (uint8_t)verdict,
    };
    struct shard *s;
    uint32_t old;

    if (verdict == SP_VERDICT_UNAVAILABLE || verdict == SP_VERDICT_MORE)
        return; /* says nothing about what is kept */
    s = shard_lock(cache, key->user);
    if (key->flushes == load(&cache->flushes)) {
        old = find(s, key);
        if (old != NOBODY)
            drop(s, old);
        if (worth_keeping(cache, verdict)) {
            make_way(s, key, verdict);
            insert(cache, s, key, &fresh);
        }
    }
    pthread_mutex_unlock(&s->lock);
}

uint64_t sp_verdict_cache_flushes(struct sp_verdict_cache *cache)
{
    return load(&cache->flushes);
}

size_t sp_verdict_cache_forget_user(struct sp_verdict_cache *cache, struct sp_span user)
{
    uint64_t hash = sp_hash64(user);
    struct shard *s;
    uint32_t slot;
    size_t gone = 0;

    atomic_fetch_add(&cache->flushes, 1);
    s = shard_lock(cache, hash);
    slot = *bucket_of(s, hash);
    while (slot != NOBODY) {
        uint32_t next = s->entries[slot].next;

        if (s->entries[slot].user == hash) {
            drop(s, slot);
            gone++;
        }
        slot = next;
    }
    pthread_mutex_unlock(&s->lock);
    return gone;
}

size_t sp_verdict_cache_forget_all(struct sp_verdict_cache *cache)
{
    size_t gone = 0;

    atomic_fetch_add(&cache->flushes, 1);
    for (unsigned i = 0; i < SHARDS_MAX; i++) {
        struct shard *s = &cache->shards[i];

        pthread_mutex_lock(&s->lock);
        gone += s->count;
        if (s->buckets != NULL)
            shard_clear(s);
        pthread_mutex_unlock(&s->lock);
    }
    return gone;
}

uint64_t sp_verdict_cache_ttl_ms(struct sp_verdict_cache *cache)
{
    return load(&cache->ttl_ms);
}

size_t sp_verdict_cache_count(struct sp_verdict_cache *cache)
{
    size_t count = 0;

    for (unsigned i = 0; i < SHARDS_MAX; i++) {
        pthread_mutex_lock(&cache->shards[i].lock);
        count += cache->shards[i].count;
        pthread_mutex_unlock(&cache->shards[i].lock);
    }
    return count;
}
