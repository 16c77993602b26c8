/* The guard's records: one table of users, one of clients, each in shards under short locks. What a
 * record counts, and how, is in guard_count.c. Called by every worker; see guard.h. */
#include "auth/guard.h"

#include "auth/guard_count.h"
#include "util/list.h"
#include "util/span.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SHARDS          16u
#define BUCKETS         1024u
#define RECORDS_A_SHARD 4096u /* of each kind */

/* Owned by its shard's bucket and, by age, its list. */
struct record {
    struct record *next;
    struct sp_list age;
    uint64_t hash;                   /* of what it is about */
    uint64_t name_hash;              /* users: of the name alone, for flush */
    uint64_t blocked_till_ms;        /* 0: not blocked */
    struct sp_guard_culprit culprit; /* of the last block */
    struct sp_guard_blocked *told;   /* who that is, for people; NULL: no memory for it */
    union {
        struct sp_guard_places user;
        struct sp_guard_slices client;
    };
};

struct shard {
    pthread_mutex_t lock;
    struct record *buckets[BUCKETS];
    struct sp_list ages; /* oldest first */
    uint32_t count;
};

/* Owned by struct sp_auth_shared. */
struct sp_guard {
    _Atomic uint64_t user_failures, client_failures, window_ms, block_ms;
    struct shard users[SHARDS];
    struct shard clients[SHARDS];
};

static uint64_t load(_Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

/* ---- keys ---- */

static uint64_t user_hash(const struct sp_guard_who *who)
{
    char bytes[512];
    size_t backend_len = who->backend.len < 128 ? who->backend.len : 128;
    size_t user_len = who->user.len < 256 ? who->user.len : 256;

    memcpy(bytes, who->backend.base, backend_len);
    bytes[backend_len] = '\0';
    memcpy(bytes + backend_len + 1, who->user.base, user_len);
    return sp_hash64(sp_span_of(bytes, backend_len + 1 + user_len));
}

/* An IPv6 client owns its /64 and may change the rest at will; an IPv4 one is its whole address. */
static uint64_t client_hash(const struct sp_addr *client)
{
    size_t len = sp_addr_is_v4(client) ? 16 : 8;

    return sp_hash64(sp_span_of((const char *)client->ip, len));
}

/* ---- records: under the shard's lock ---- */

static struct shard *shard_lock(struct shard *shards, uint64_t hash)
{
    struct shard *s = &shards[hash % SHARDS];

    pthread_mutex_lock(&s->lock);
    return s;
}

static struct record **link_of(struct shard *s, uint64_t hash)
{
    struct record **link = &s->buckets[(hash / SHARDS) % BUCKETS];

    while (*link != NULL && (*link)->hash != hash)
        link = &(*link)->next;
    return link;
}

static void record_drop(struct sp_guard *guard, struct shard *s, struct record **link)
{
    struct record *r = *link;

    *link = r->next;
    sp_list_remove(&r->age);
    if (s >= guard->users && s < guard->users + SHARDS)
        sp_guard_places_fini(&r->user);
    free(r->told);
    free(r);
    s->count--;
}

static struct record *record_of(struct sp_guard *guard, struct shard *s, uint64_t hash)
{
    struct record **link = link_of(s, hash);
    struct record *r = *link;

    if (r != NULL)
        return r;
    if (s->count >= RECORDS_A_SHARD) {
        struct record *oldest = sp_container_of(s->ages.next, struct record, age);

        record_drop(guard, s, link_of(s, oldest->hash));
        link = link_of(s, hash);
    }
    r = calloc(1, sizeof(*r));
    if (r == NULL)
        return NULL;
    r->hash = hash;
    *link = r;
    sp_list_push(&s->ages, &r->age);
    s->count++;
    return r;
}

static void touch(struct shard *s, struct record *r)
{
    sp_list_remove(&r->age);
    sp_list_push(&s->ages, &r->age);
}

static void copy_cut(char *out, size_t cap, struct sp_span text)
{
    size_t len = text.len < cap ? text.len : cap - 1;

    if (len > 0)
        memcpy(out, text.base, len);
    out[len] = '\0';
}

static void tell_record(struct record *r, const struct sp_guard_who *who, bool user)
{
    if (r->told == NULL)
        r->told = calloc(1, sizeof(*r->told));
    if (r->told == NULL)
        return;
    copy_cut(r->told->user, sizeof(r->told->user), user ? who->user : SP_SPAN_NONE);
    copy_cut(r->told->backend, sizeof(r->told->backend), user ? who->backend : SP_SPAN_NONE);
}

static void block_record(struct record *r, const struct sp_guard_who *who, uint64_t till_ms)
{
    size_t len = who->user_agent.len;

    if (len >= sizeof(r->culprit.user_agent))
        len = sizeof(r->culprit.user_agent) - 1;
    r->blocked_till_ms = till_ms;
    r->culprit.client = *who->client;
    if (len > 0)
        memcpy(r->culprit.user_agent, who->user_agent.base, len);
    r->culprit.user_agent[len] = '\0';
}

static unsigned seconds_left(uint64_t till_ms, uint64_t now_ms)
{
    return till_ms > now_ms ? (unsigned)((till_ms - now_ms + 999) / 1000) : 1;
}

static struct sp_guard_block block_of(const struct record *r, bool user, uint64_t now_ms)
{
    return (struct sp_guard_block){.user = user,
                                   .retry_after_s = seconds_left(r->blocked_till_ms, now_ms),
                                   .has_culprit = r->blocked_till_ms > now_ms,
                                   .culprit = r->culprit};
}

/* ---- users ---- */

/* Want of memory is neither yes nor no: a login that was let through uncounted could lock its
 * account, and one that is called blocked has done nothing wrong. */
static enum sp_err reserve_user(struct sp_guard *guard, const struct sp_guard_who *who,
                                uint64_t limit, uint64_t now_ms, struct sp_guard_block *block)
{
    uint64_t hash = user_hash(who);
    struct shard *s = shard_lock(guard->users, hash);
    struct record *r = record_of(guard, s, hash);
    enum sp_err err = SP_ERR_NOMEM;

    if (r != NULL) {
        r->name_hash = sp_hash64(who->user);
        *block = block_of(r, true, now_ms);
        err = r->blocked_till_ms > now_ms ? SP_ERR_DENIED
                                          : sp_guard_places_take(&r->user, who->password, limit,
                                                                 load(&guard->window_ms), now_ms);
    }
    pthread_mutex_unlock(&s->lock);
    return err;
}

/* Returns whether the user has just been blocked. */
static bool settle_user(struct sp_guard *guard, const struct sp_guard_who *who, bool wrong,
                        uint64_t limit, uint64_t now_ms)
{
    uint64_t hash = user_hash(who);
    struct shard *s = shard_lock(guard->users, hash);
    struct record **link = link_of(s, hash);
    struct record *r = *link;
    bool blocked = false;

    if (r != NULL) { /* else flushed, or pushed out, meanwhile */
        if (wrong)
            touch(s, r);
        if (sp_guard_places_settle(&r->user, who->password, wrong, limit, now_ms)) {
            blocked = r->blocked_till_ms <= now_ms;
            tell_record(r, who, true);
            block_record(r, who, now_ms + load(&guard->block_ms));
        }
        if (r->user.len == 0)
            record_drop(guard, s, link);
    }
    pthread_mutex_unlock(&s->lock);
    return blocked;
}

/* ---- clients ---- */

static uint64_t slice_ms(struct sp_guard *guard)
{
    uint64_t ms = load(&guard->window_ms) / SP_GUARD_SLICES;

    return ms > 0 ? ms : 1;
}

static bool settle_client(struct sp_guard *guard, const struct sp_guard_who *who, uint64_t limit,
                          uint64_t now_ms)
{
    uint64_t hash = client_hash(who->client);
    struct shard *s = shard_lock(guard->clients, hash);
    struct record *r = record_of(guard, s, hash);
    bool blocked = false;

    if (r != NULL) {
        touch(s, r);
        if (sp_guard_slices_add(&r->client, now_ms / slice_ms(guard)) >= limit) {
            blocked = r->blocked_till_ms <= now_ms;
            tell_record(r, who, false);
            block_record(r, who, now_ms + load(&guard->block_ms));
        }
    }
    pthread_mutex_unlock(&s->lock);
    return blocked;
}

/* ---- the door ---- */

static bool is_blocked(struct shard *shards, bool user, uint64_t hash, uint64_t now_ms,
                       struct sp_guard_block *block)
{
    struct shard *s = shard_lock(shards, hash);
    struct record *r = *link_of(s, hash);
    bool blocked = r != NULL && r->blocked_till_ms > now_ms;

    if (blocked)
        *block = block_of(r, user, now_ms);
    pthread_mutex_unlock(&s->lock);
    return blocked;
}

bool sp_guard_blocked(struct sp_guard *guard, const struct sp_guard_who *who, uint64_t now_ms,
                      struct sp_guard_block *block)
{
    if (load(&guard->client_failures) > 0 &&
        is_blocked(guard->clients, false, client_hash(who->client), now_ms, block))
        return true;
    return load(&guard->user_failures) > 0 && who->user.len > 0 &&
           is_blocked(guard->users, true, user_hash(who), now_ms, block);
}

enum sp_err sp_guard_reserve(struct sp_guard *guard, const struct sp_guard_who *who,
                             uint64_t now_ms, struct sp_guard_block *block)
{
    uint64_t limit = load(&guard->user_failures);

    if (load(&guard->client_failures) > 0 &&
        is_blocked(guard->clients, false, client_hash(who->client), now_ms, block))
        return SP_ERR_DENIED;
    return limit == 0 ? SP_OK : reserve_user(guard, who, limit, now_ms, block);
}

struct sp_guard_news sp_guard_settle(struct sp_guard *guard, const struct sp_guard_who *who,
                                     enum sp_guard_end end, uint64_t now_ms)
{
    uint64_t user_limit = load(&guard->user_failures);
    uint64_t client_limit = load(&guard->client_failures);
    struct sp_guard_news news = {false, false};

    news.user_blocked = settle_user(guard, who, user_limit > 0 && end == SP_GUARD_WRONG, user_limit,
                                    now_ms);
    if (end != SP_GUARD_HARMLESS && client_limit > 0)
        news.client_blocked = settle_client(guard, who, client_limit, now_ms);
    return news;
}

static void forget_in(struct sp_guard *guard, struct shard *shards, const uint64_t *name_hash)
{
    for (unsigned i = 0; i < SHARDS; i++) {
        struct shard *s = &shards[i];
        struct sp_list *node, *after;

        pthread_mutex_lock(&s->lock);
        SP_LIST_EACH_SAFE (node, after, &s->ages) {
            struct record *r = sp_container_of(node, struct record, age);

            if (name_hash == NULL || r->name_hash == *name_hash)
                record_drop(guard, s, link_of(s, r->hash));
        }
        pthread_mutex_unlock(&s->lock);
    }
}

void sp_guard_forget(struct sp_guard *guard, struct sp_span user)
{
    uint64_t hash;

    if (user.base == NULL) {
        forget_in(guard, guard->users, NULL);
        forget_in(guard, guard->clients, NULL);
        return;
    }
    hash = sp_hash64(user);
    forget_in(guard, guard->users, &hash);
}

size_t sp_guard_count(struct sp_guard *guard, bool users, uint64_t now_ms)
{
    struct shard *shards = users ? guard->users : guard->clients;
    size_t blocked = 0;

    for (unsigned i = 0; i < SHARDS; i++) {
        struct sp_list *node;

        pthread_mutex_lock(&shards[i].lock);
        SP_LIST_EACH (node, &shards[i].ages) {
            struct record *r = sp_container_of(node, struct record, age);

            blocked += r->blocked_till_ms > now_ms ? 1 : 0;
        }
        pthread_mutex_unlock(&shards[i].lock);
    }
    return blocked;
}

static size_t list_shard(struct shard *s, uint64_t now_ms, struct sp_guard_blocked *items,
                         size_t len, size_t max)
{
    struct sp_list *node;

    pthread_mutex_lock(&s->lock);
    SP_LIST_EACH (node, &s->ages) {
        struct record *r = sp_container_of(node, struct record, age);

        if (len == max)
            break;
        if (r->blocked_till_ms <= now_ms || r->told == NULL)
            continue;
        items[len] = *r->told;
        items[len].left_s = seconds_left(r->blocked_till_ms, now_ms);
        items[len++].culprit = r->culprit;
    }
    pthread_mutex_unlock(&s->lock);
    return len;
}

size_t sp_guard_list(struct sp_guard *guard, uint64_t now_ms, struct sp_guard_blocked *items,
                     size_t max)
{
    size_t len = 0;

    for (unsigned i = 0; i < SHARDS; i++)
        len = list_shard(&guard->users[i], now_ms, items, len, max);
    for (unsigned i = 0; i < SHARDS; i++)
        len = list_shard(&guard->clients[i], now_ms, items, len, max);
    return len;
}

static void shards_init(struct shard *shards)
{
    for (unsigned i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&shards[i].lock, NULL);
        sp_list_init(&shards[i].ages);
    }
}

static void shards_fini(struct shard *shards)
{
    for (unsigned i = 0; i < SHARDS; i++)
        pthread_mutex_destroy(&shards[i].lock);
}

struct sp_guard *sp_guard_new(const struct sp_guard_options *options)
{
    struct sp_guard *guard = calloc(1, sizeof(*guard));

    if (guard == NULL)
        return NULL;
    shards_init(guard->users);
    shards_init(guard->clients);
    sp_guard_apply(guard, options);
    return guard;
}

void sp_guard_free(struct sp_guard **guard_in)
{
    struct sp_guard *guard = *guard_in;

    *guard_in = NULL;
    if (guard == NULL)
        return;
    sp_guard_forget(guard, SP_SPAN_NONE);
    shards_fini(guard->users);
    shards_fini(guard->clients);
    free(guard);
}

void sp_guard_apply(struct sp_guard *guard, const struct sp_guard_options *options)
{
    atomic_store(&guard->user_failures, (uint64_t)options->user_failures);
    atomic_store(&guard->client_failures, (uint64_t)options->client_failures);
    atomic_store(&guard->window_ms, options->window_ms);
    atomic_store(&guard->block_ms, options->block_ms);
}
