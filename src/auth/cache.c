/* The verdict cache in this process's memory: shards (cache_shard.c), each under a short lock, and
 * what the options say of how long a verdict serves. A user's entries share one bucket of one
 * shard, whatever their passwords: so ending the older ones, or forgetting the user, is a walk
 * along one chain. Called by every worker; see cache.h. */
#include "auth/cache_shard.h"

#include "util/span.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SHARDS_MAX      64u
#define ENTRIES_A_SHARD 128u /* fewer than this and a shard more is not worth its unevenness */
/* One user's refusals: more distinct wrong passwords than this are not remembered at once, so that
 * no chain grows without bound where guard is off. */
#define REFUSALS_A_USER 32u
#define RENEW_PAUSE_MIN 1000u
#define RENEW_PAUSE_MAX 60000u

/* Owned by struct sp_auth_shared. */
struct sp_verdict_cache {
    _Atomic uint64_t ttl_ms, negative_ttl_ms, grace_ms, refresh;
    _Atomic uint64_t flushes; /* moves before any shard forgets */
    atomic_uint shards_mask;
    struct sp_cache_shard shards[SHARDS_MAX];
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

static struct sp_cache_lives lives_of(struct sp_verdict_cache *cache)
{
    return (struct sp_cache_lives){{[SP_CACHE_GOOD] = load(&cache->ttl_ms) + load(&cache->grace_ms),
                                    [SP_CACHE_BAD] = load(&cache->negative_ttl_ms)}};
}

/* ---- making and resizing ---- */

static unsigned shards_for(uint64_t max_entries)
{
    unsigned n = 1;

    while (n < SHARDS_MAX && max_entries / (n * 2) >= ENTRIES_A_SHARD)
        n *= 2;
    return n;
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
            err = sp_cache_shard_resize(&cache->shards[i], (uint32_t)cap);
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
        sp_cache_shard_fini(&cache->shards[i]);
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
static struct sp_cache_shard *shard_lock(struct sp_verdict_cache *cache, uint64_t user)
{
    for (;;) {
        unsigned mask = atomic_load_explicit(&cache->shards_mask, memory_order_acquire);
        struct sp_cache_shard *s = &cache->shards[user & mask];

        pthread_mutex_lock(&s->lock);
        if (mask == atomic_load_explicit(&cache->shards_mask, memory_order_acquire))
            return s;
        pthread_mutex_unlock(&s->lock);
    }
}

/* Told to one asker; the next is told after a pause, should this one's renewal come to nothing. */
static bool due_for_renewal(struct sp_cache_entry *e, uint64_t ttl_ms, uint64_t now_ms)
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
    struct sp_cache_shard *s = shard_lock(cache, key->user);
    uint32_t slot = sp_cache_find(s, key);
    struct sp_cache_entry *e = slot != SP_CACHE_NOBODY ? &s->entries[slot] : NULL;
    const struct sp_cache_lives lives = lives_of(cache);

    *kept = (struct sp_kept){.state = SP_KEPT_NOTHING};
    if (e != NULL && sp_cache_is_over(e, &lives, now_ms)) {
        sp_cache_drop(s, slot);
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
static void make_way(struct sp_cache_shard *s, const struct sp_verdict_key *key,
                     enum sp_verdict verdict)
{
    uint32_t slot = *sp_cache_bucket(s, key->user);
    uint32_t oldest = SP_CACHE_NOBODY;
    unsigned refusals = 0;

    while (slot != SP_CACHE_NOBODY) {
        struct sp_cache_entry *e = &s->entries[slot];
        uint32_t next = e->next;

        if (e->user == key->user && e->family == key->family) {
            if (e->verdict != SP_VERDICT_ALLOW) {
                refusals++;
                if (oldest == SP_CACHE_NOBODY || e->born_ms < s->entries[oldest].born_ms)
                    oldest = slot;
            } else if (verdict == SP_VERDICT_ALLOW) {
                sp_cache_drop(s, slot);
            }
        }
        slot = next;
    }
    if (verdict != SP_VERDICT_ALLOW && refusals >= REFUSALS_A_USER)
        sp_cache_drop(s, oldest);
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

void sp_verdict_cache_store(struct sp_verdict_cache *cache, const struct sp_verdict_key *key,
                            enum sp_verdict verdict, const struct sp_identity *identity,
                            const char *reason, uint64_t now_ms)
{
    struct sp_cache_entry fresh = {
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
    const struct sp_cache_lives lives = lives_of(cache);
    struct sp_cache_shard *s;
    uint32_t old;

    if (verdict == SP_VERDICT_UNAVAILABLE || verdict == SP_VERDICT_MORE)
        return; /* says nothing about what is kept */
    s = shard_lock(cache, key->user);
    if (key->flushes == load(&cache->flushes)) {
        old = sp_cache_find(s, key);
        if (old != SP_CACHE_NOBODY)
            sp_cache_drop(s, old);
        if (worth_keeping(cache, verdict)) {
            make_way(s, key, verdict);
            sp_cache_put(s, &fresh, &lives);
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
    struct sp_cache_shard *s;
    uint32_t slot;
    size_t gone = 0;

    atomic_fetch_add(&cache->flushes, 1);
    s = shard_lock(cache, hash);
    slot = *sp_cache_bucket(s, hash);
    while (slot != SP_CACHE_NOBODY) {
        uint32_t next = s->entries[slot].next;

        if (s->entries[slot].user == hash) {
            sp_cache_drop(s, slot);
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
        struct sp_cache_shard *s = &cache->shards[i];

        pthread_mutex_lock(&s->lock);
        gone += s->count;
        if (s->buckets != NULL)
            sp_cache_shard_clear(s);
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
