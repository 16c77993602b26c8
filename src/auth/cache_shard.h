/* One shard of the verdict cache. Entries are numbered slots of one array, linked by number:
 * compact, and no allocation for most stores. A user's entries share one bucket, whatever their
 * passwords. Good and bad verdicts stand in two lists by age, so that the first of each is the next
 * to expire. For cache.c alone, which holds the shard's lock meanwhile. */
#ifndef SP_AUTH_CACHE_SHARD_H
#define SP_AUTH_CACHE_SHARD_H

#include "auth/cache.h"

#include <pthread.h>
#include <stdalign.h>

#define SP_CACHE_NOBODY UINT32_MAX

enum { SP_CACHE_GOOD, SP_CACHE_BAD, SP_CACHE_AGES };

struct sp_cache_entry {
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

struct sp_cache_ages {
    uint32_t oldest, newest;
};

struct sp_cache_shard {
    alignas(64) pthread_mutex_t lock;
    uint32_t *buckets;
    uint32_t buckets_mask;
    struct sp_cache_entry *entries; /* grows up to cap */
    uint32_t room;                  /* slots allocated */
    uint32_t used;                  /* slots ever taken */
    uint32_t cap;
    uint32_t free_slot;
    uint32_t count;
    struct sp_cache_ages ages[SP_CACHE_AGES];
};

/* How long good and bad verdicts live, by the options of this moment. */
struct sp_cache_lives {
    uint64_t ms[SP_CACHE_AGES];
};

static inline unsigned sp_cache_age_of(const struct sp_cache_entry *e)
{
    return e->verdict == SP_VERDICT_ALLOW ? SP_CACHE_GOOD : SP_CACHE_BAD;
}

static inline bool sp_cache_is_over(const struct sp_cache_entry *e,
                                    const struct sp_cache_lives *lives, uint64_t now_ms)
{
    uint64_t age_ms = now_ms > e->born_ms ? now_ms - e->born_ms : 0;

    return age_ms >= lives->ms[sp_cache_age_of(e)];
}

/* Empties the shard and gives it room for `cap` entries; cap 0 gives its memory back. */
enum sp_err sp_cache_shard_resize(struct sp_cache_shard *shard, uint32_t cap) SP_MUST_CHECK;
void sp_cache_shard_clear(struct sp_cache_shard *shard);
void sp_cache_shard_fini(struct sp_cache_shard *shard);

/* The first slot of the user's chain, or NOBODY; each entry's `next` leads on. */
uint32_t *sp_cache_bucket(struct sp_cache_shard *shard, uint64_t user);
/* On whatever basis; NOBODY: it is not there. */
uint32_t sp_cache_find(struct sp_cache_shard *shard, const struct sp_verdict_key *key);
void sp_cache_drop(struct sp_cache_shard *shard, uint32_t slot);
/* A copy of `fresh`, with a reference to its identity of its own. A full shard drops what is over
 * first, then the oldest. Out of memory: nothing is kept. */
void sp_cache_put(struct sp_cache_shard *shard, const struct sp_cache_entry *fresh,
                  const struct sp_cache_lives *lives);

#endif
