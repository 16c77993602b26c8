/* The replay table. Time is cut into slices; a shard holds one hash set per slice, and a slice is
 * dropped whole when everything in it is older than the window. So nothing is ever swept, no entry
 * carries a time, and an entry costs eight bytes. Called by accept jobs on pool threads. */
#include "backends/gssapi/replay.h"

#include "util/hash.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#define SHARDS    64u /* power of two */
#define SLICES    4u  /* the newest is being filled; three full ones cover the window */
#define SLOTS_MIN 16u

/* An open-addressing set of hashes; 0 marks a free slot. Grows at three quarters. */
struct hash_set {
    uint64_t *slots;
    size_t slots_len; /* power of two, or 0 */
    size_t used;
};

struct shard {
    pthread_mutex_t lock;
    uint64_t slice_s;
    uint64_t slice; /* the number of the slice being filled */
    struct hash_set sets[SLICES];
};

struct sp_gss_replay {
    size_t shard_max;
    struct shard shards[SHARDS];
};

/* ---- one set ---- */

static bool set_has(const struct hash_set *set, uint64_t hash)
{
    if (set->slots_len == 0)
        return false;
    for (size_t i = hash & (set->slots_len - 1);; i = (i + 1) & (set->slots_len - 1)) {
        if (set->slots[i] == hash)
            return true;
        if (set->slots[i] == 0)
            return false;
    }
}

static void set_put(struct hash_set *set, uint64_t hash)
{
    size_t i = hash & (set->slots_len - 1);

    while (set->slots[i] != 0)
        i = (i + 1) & (set->slots_len - 1);
    set->slots[i] = hash;
    set->used++;
}

static enum sp_err set_grow(struct hash_set *set)
{
    struct hash_set bigger = {.slots_len = set->slots_len == 0 ? SLOTS_MIN : set->slots_len * 2};

    bigger.slots = calloc(bigger.slots_len, sizeof *bigger.slots);
    if (bigger.slots == NULL)
        return SP_ERR_NOMEM;
    for (size_t i = 0; i < set->slots_len; i++) {
        if (set->slots[i] != 0)
            set_put(&bigger, set->slots[i]);
    }
    free(set->slots);
    *set = bigger;
    return SP_OK;
}

static enum sp_err set_add(struct hash_set *set, uint64_t hash)
{
    if ((set->used + 1) * 4 > set->slots_len * 3 && set_grow(set) != SP_OK)
        return SP_ERR_NOMEM;
    set_put(set, hash);
    return SP_OK;
}

static void set_clear(struct hash_set *set)
{
    free(set->slots);
    *set = (struct hash_set){NULL, 0, 0};
}

/* ---- one shard ---- */

/* The slice that `now` falls into becomes the newest; those past the window go. */
static void shard_turn(struct shard *shard, uint64_t now_s)
{
    uint64_t slice = now_s / shard->slice_s;
    uint64_t gone;

    if (slice <= shard->slice)
        return; /* another thread read the clock a moment later, and was here first */
    gone = slice - shard->slice;
    for (uint64_t i = 1; i <= gone && i <= SLICES; i++)
        set_clear(&shard->sets[(shard->slice + i) % SLICES]);
    shard->slice = slice;
}

/* All that is held goes into the slice that the newest of it falls into by the new measure, and so
 * lives for the new window from its own time on. SP_ERR_NOMEM: nothing has changed. */
static enum sp_err shard_widen(struct shard *shard, uint64_t slice_s)
{
    struct hash_set all = {NULL, 0, 0};

    for (unsigned i = 0; i < SLICES; i++) {
        for (size_t k = 0; k < shard->sets[i].slots_len; k++) {
            if (shard->sets[i].slots[k] != 0 && set_add(&all, shard->sets[i].slots[k]) != SP_OK) {
                set_clear(&all);
                return SP_ERR_NOMEM;
            }
        }
    }
    for (unsigned i = 0; i < SLICES; i++)
        set_clear(&shard->sets[i]);
    shard->slice = ((shard->slice + 1) * shard->slice_s - 1) / slice_s;
    shard->slice_s = slice_s;
    shard->sets[shard->slice % SLICES] = all;
    return SP_OK;
}

static size_t shard_count(const struct shard *shard)
{
    size_t count = 0;

    for (unsigned i = 0; i < SLICES; i++)
        count += shard->sets[i].used;
    return count;
}

static enum sp_err shard_enter(struct shard *shard, uint64_t hash, size_t max)
{
    for (unsigned i = 0; i < SLICES; i++) {
        if (set_has(&shard->sets[i], hash))
            return SP_ERR_DENIED;
    }
    if (shard_count(shard) >= max)
        return SP_ERR_FULL;
    return set_add(&shard->sets[shard->slice % SLICES], hash);
}

/* ---- the table ---- */

/* Three of them cover the window. */
static uint64_t slice_of(uint64_t window_s)
{
    return window_s / (SLICES - 1) + 1;
}

struct sp_gss_replay *sp_gss_replay_new(uint64_t window_s, size_t entries_max)
{
    struct sp_gss_replay *table = calloc(1, sizeof *table);

    if (table == NULL)
        return NULL;
    table->shard_max = entries_max / SHARDS > 0 ? entries_max / SHARDS : 1;
    for (unsigned i = 0; i < SHARDS; i++) {
        int err = pthread_mutex_init(&table->shards[i].lock, NULL);

        assert(err == 0); /* a default mutex needs nothing that could run out on Linux */
        (void)err;
        table->shards[i].slice_s = slice_of(window_s);
    }
    return table;
}

enum sp_err sp_gss_replay_widen(struct sp_gss_replay *table, uint64_t window_s)
{
    enum sp_err err = SP_OK;

    for (unsigned i = 0; i < SHARDS && err == SP_OK; i++) {
        struct shard *shard = &table->shards[i];

        (void)pthread_mutex_lock(&shard->lock);
        if (slice_of(window_s) > shard->slice_s)
            err = shard_widen(shard, slice_of(window_s));
        (void)pthread_mutex_unlock(&shard->lock);
    }
    return err;
}

void sp_gss_replay_free(struct sp_gss_replay **table)
{
    if (*table == NULL)
        return;
    for (unsigned i = 0; i < SHARDS; i++) {
        for (unsigned k = 0; k < SLICES; k++)
            set_clear(&(*table)->shards[i].sets[k]);
        (void)pthread_mutex_destroy(&(*table)->shards[i].lock);
    }
    free(*table);
    *table = NULL;
}

enum sp_err sp_gss_replay_enter(struct sp_gss_replay *table, struct sp_span authenticator,
                                uint64_t now_s)
{
    uint64_t hash = sp_hash64(authenticator);
    struct shard *shard = &table->shards[hash >> 58 & (SHARDS - 1)]; /* slots use the low bits */
    enum sp_err err;

    if (hash == 0)
        hash = 1; /* 0 marks a free slot */
    (void)pthread_mutex_lock(&shard->lock);
    shard_turn(shard, now_s);
    err = shard_enter(shard, hash, table->shard_max);
    (void)pthread_mutex_unlock(&shard->lock);
    return err;
}

size_t sp_gss_replay_count(struct sp_gss_replay *table)
{
    size_t count = 0;

    for (unsigned i = 0; i < SHARDS; i++) {
        (void)pthread_mutex_lock(&table->shards[i].lock);
        count += shard_count(&table->shards[i]);
        (void)pthread_mutex_unlock(&table->shards[i].lock);
    }
    return count;
}

/* ---- the process's own ---- */

static struct {
    pthread_mutex_t lock;
    struct sp_gss_replay *table;
    unsigned users;
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct sp_gss_replay *sp_gss_replay_share(uint64_t window_s)
{
    struct sp_gss_replay *table;

    (void)pthread_mutex_lock(&shared.lock);
    if (shared.table == NULL)
        shared.table = sp_gss_replay_new(window_s, SP_GSS_REPLAY_MAX);
    table = shared.table;
    if (table != NULL && sp_gss_replay_widen(table, window_s) != SP_OK)
        table = NULL;
    if (table != NULL)
        shared.users++;
    (void)pthread_mutex_unlock(&shared.lock);
    return table;
}

/* The last user does not free it: a reload may take the last backend away and the next bring it
 * back, and what was used in between must still be known. */
void sp_gss_replay_unshare(void)
{
    (void)pthread_mutex_lock(&shared.lock);
    assert(shared.users > 0);
    shared.users--;
    (void)pthread_mutex_unlock(&shared.lock);
}

/* The plugin is being unloaded, or the process ends. While a config is alive its jobs may run. */
__attribute__((destructor)) static void shared_fini(void)
{
    if (shared.users == 0)
        sp_gss_replay_free(&shared.table);
}
