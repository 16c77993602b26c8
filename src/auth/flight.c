/* The table of flights: shards of chained buckets, each under a short lock. See flight.h. */
#include "auth/flight.h"

#include "util/secret.h"
#include "util/span.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SHARDS           16u
#define BUCKETS          256u
#define FLIGHTS_A_SHARD  1024u  /* what is asked for at once, times 16 */
#define WAITERS_A_FLIGHT 65536u /* as many as connections by default */

struct shard {
    pthread_mutex_t lock;
    struct sp_flight *buckets[BUCKETS];
    unsigned count;
};

/* Owned by struct sp_auth_shared. */
struct sp_flights {
    struct shard shards[SHARDS];
};

void sp_outcome_fini(struct sp_outcome *outcome)
{
    sp_identity_unref(&outcome->identity);
}

static unsigned shard_of(const struct sp_digest *digest)
{
    return digest->bytes[0] % SHARDS;
}

/* A question to a backend as it was configured before, or asked before somebody had the cache
 * forget, is another question. */
static struct sp_flight **link_of(struct shard *s, const struct sp_digest *digest, uint64_t basis,
                                  uint64_t flushes)
{
    struct sp_flight **link = &s->buckets[digest->bytes[1] % BUCKETS];

    while (*link != NULL &&
           ((*link)->basis != basis || (*link)->flushes != flushes ||
            !sp_secret_eq(sp_span_of((const char *)(*link)->digest.bytes, sizeof(digest->bytes)),
                          sp_span_of((const char *)digest->bytes, sizeof(digest->bytes)))))
        link = &(*link)->next;
    return link;
}

static enum sp_flight_role add_waiter(struct sp_flight *flight, struct sp_flight_waiter *waiter)
{
    if (waiter == NULL)
        return SP_FLIGHT_JOINED;
    if (flight->waiters_len >= WAITERS_A_FLIGHT)
        return SP_FLIGHT_FULL;
    waiter->shard = shard_of(&flight->digest);
    waiter->posted = false;
    memcpy(waiter->leader, flight->id, sizeof(waiter->leader));
    sp_list_push(&flight->waiters, &waiter->link);
    flight->waiters_len++;
    return SP_FLIGHT_JOINED;
}

enum sp_flight_role sp_flights_join(struct sp_flights *flights, const struct sp_verdict_key *key,
                                    struct sp_flight_waiter *waiter)
{
    struct shard *s = &flights->shards[shard_of(&key->digest)];
    enum sp_flight_role role = SP_FLIGHT_NONE;
    struct sp_flight *flight;

    pthread_mutex_lock(&s->lock);
    flight = *link_of(s, &key->digest, key->basis, key->flushes);
    if (flight != NULL)
        role = add_waiter(flight, waiter);
    pthread_mutex_unlock(&s->lock);
    return role;
}

enum sp_flight_role sp_flights_board(struct sp_flights *flights, const struct sp_verdict_key *key,
                                     struct sp_flight *flight, struct sp_flight_waiter *waiter)
{
    struct shard *s = &flights->shards[shard_of(&key->digest)];
    enum sp_flight_role role;
    struct sp_flight **link;

    pthread_mutex_lock(&s->lock);
    link = link_of(s, &key->digest, key->basis, key->flushes);
    if (*link != NULL) {
        role = add_waiter(*link, waiter);
    } else if (s->count >= FLIGHTS_A_SHARD) {
        role = SP_FLIGHT_FULL;
    } else {
        flight->digest = key->digest;
        flight->basis = key->basis;
        flight->flushes = key->flushes;
        flight->waiters_len = 0;
        sp_list_init(&flight->waiters);
        flight->next = NULL;
        *link = flight;
        s->count++;
        role = SP_FLIGHT_LEADS;
    }
    pthread_mutex_unlock(&s->lock);
    return role;
}

static void take_out(struct shard *s, struct sp_flight *flight)
{
    struct sp_flight **link = link_of(s, &flight->digest, flight->basis, flight->flushes);

    assert(*link == flight);
    *link = flight->next;
    s->count--;
}

static void deliver(struct sp_mail *mail)
{
    struct sp_flight_waiter *waiter = sp_container_of(mail, struct sp_flight_waiter, mail);

    waiter->landed(waiter);
}

/* `outcome` may be the last thing that keeps its identity: each waiter takes its own reference. */
static void fill(struct sp_flight_waiter *waiter, const struct sp_outcome *outcome)
{
    waiter->outcome = *outcome;
    if (outcome->identity != NULL)
        waiter->outcome.identity = sp_identity_ref(outcome->identity);
    waiter->mail.deliver = deliver;
}

/* A loop does not end while a question is open on it: its engine's close waits for the letter. */
static void post(struct sp_flight_waiter *waiter)
{
    enum sp_err err = sp_loop_post(waiter->loop, &waiter->mail);

    assert(err == SP_OK);
    (void)err;
}

void sp_flights_land(struct sp_flights *flights, struct sp_flight *flight,
                     const struct sp_outcome *outcome, struct sp_loop *here)
{
    struct shard *s = &flights->shards[shard_of(&flight->digest)];
    struct sp_list all, ours, *node;

    sp_list_init(&all);
    sp_list_init(&ours);
    pthread_mutex_lock(&s->lock);
    take_out(s, flight);
    sp_list_move_all(&all, &flight->waiters);
    SP_LIST_EACH (node, &all)
        sp_container_of(node, struct sp_flight_waiter, link)->posted = true;
    pthread_mutex_unlock(&s->lock);

    while ((node = sp_list_shift(&all)) != NULL) {
        struct sp_flight_waiter *waiter = sp_container_of(node, struct sp_flight_waiter, link);

        fill(waiter, outcome);
        if (waiter->loop == here)
            sp_list_push(&ours, node);
        else
            post(waiter);
    }
    while ((node = sp_list_shift(&ours)) != NULL)
        deliver(&sp_container_of(node, struct sp_flight_waiter, link)->mail);
}

bool sp_flights_withdraw(struct sp_flights *flights, struct sp_flight *flight)
{
    struct shard *s = &flights->shards[shard_of(&flight->digest)];
    bool alone;

    pthread_mutex_lock(&s->lock);
    alone = sp_list_empty(&flight->waiters);
    if (alone)
        take_out(s, flight);
    pthread_mutex_unlock(&s->lock);
    return alone;
}

bool sp_flights_leave(struct sp_flights *flights, struct sp_flight_waiter *waiter)
{
    struct shard *s = &flights->shards[waiter->shard];
    bool left;

    pthread_mutex_lock(&s->lock);
    left = !waiter->posted; /* waiters_len only bounds: it need not come down */
    if (left)
        sp_list_remove(&waiter->link);
    pthread_mutex_unlock(&s->lock);
    return left;
}

struct sp_flights *sp_flights_new(void)
{
    struct sp_flights *flights = calloc(1, sizeof(*flights));

    if (flights == NULL)
        return NULL;
    for (unsigned i = 0; i < SHARDS; i++)
        pthread_mutex_init(&flights->shards[i].lock, NULL);
    return flights;
}

void sp_flights_free(struct sp_flights **flights_in)
{
    struct sp_flights *flights = *flights_in;

    *flights_in = NULL;
    if (flights == NULL)
        return;
    for (unsigned i = 0; i < SHARDS; i++) {
        assert(flights->shards[i].count == 0);
        pthread_mutex_destroy(&flights->shards[i].lock);
    }
    free(flights);
}
