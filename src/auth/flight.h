/* Flights: verdicts that are being asked for, so that equal questions asked at once, by whichever
 * worker, make one call to a backend.
 *
 * Whoever finds no flight under a key starts one and leads it; others join and wait. When the
 * leader's backend has answered it lands the flight: each waiter is told on its own loop's thread,
 * through that loop's mailbox. A waiter may leave at any time; the flight goes on without it. Any
 * thread; nothing is called while a lock is held. */
#ifndef SP_AUTH_FLIGHT_H
#define SP_AUTH_FLIGHT_H

#include "auth/auth.h"
#include "auth/cache.h"
#include "util/list.h"

#define SP_FLIGHT_ID_MAX 20u

/* What a flight brings home; also how an answer is handed about inside this room. */
struct sp_outcome {
    enum sp_verdict verdict; /* not MORE */
    enum sp_auth_how how;
    bool blocked;                       /* the guard kept it from being asked */
    bool overloaded;                    /* UNAVAILABLE for lack of room */
    uint64_t age_ms;                    /* CACHE, GRACE, CONNECTION; SP_AGE_UNKNOWN */
    unsigned retry_after_s;             /* blocked */
    const struct sp_identity *identity; /* ALLOW: a reference, owned with the outcome */
    const char *reason;                 /* lives as long as the process; NULL: none */
};
void sp_outcome_fini(struct sp_outcome *outcome);

/* Embedded in the leader's operation; its owner frees it after it has landed or been withdrawn. */
struct sp_flight {
    struct sp_flight *next;
    char id[SP_FLIGHT_ID_MAX]; /* the exchange's that began it; "" in the background */
    struct sp_digest digest;
    uint64_t basis, flushes;
    struct sp_list waiters;
    unsigned waiters_len;
};

/* Embedded in who waits. Its memory stays until `landed` has been called, or leave() said true. */
struct sp_flight_waiter {
    struct sp_list link;
    struct sp_mail mail;
    struct sp_loop *loop;
    unsigned shard;
    char leader[SP_FLIGHT_ID_MAX]; /* JOINED: the flight's id */
    bool posted;                   /* under the shard's lock: the letter is on its way */
    /* Filled before `landed`, which is called once, on the loop's thread, and takes it over. */
    struct sp_outcome outcome;
    void (*landed)(struct sp_flight_waiter *waiter);
};

enum sp_flight_role {
    SP_FLIGHT_NONE,   /* join: there is no such flight */
    SP_FLIGHT_LEADS,  /* board: yours is under way now */
    SP_FLIGHT_JOINED, /* you wait with the others; `landed` will come */
    SP_FLIGHT_FULL,   /* too many wait, or too many flights */
};

struct sp_flights *sp_flights_new(void) SP_MUST_CHECK;
void sp_flights_free(struct sp_flights **flights); /* no flight is left */

/* Wait with a flight under this key, if there is one. */
enum sp_flight_role sp_flights_join(struct sp_flights *flights, const struct sp_verdict_key *key,
                                    struct sp_flight_waiter *waiter) SP_MUST_CHECK;
/* Announce `flight`, unless another is under way: then `waiter` joins that (with a NULL waiter:
 * JOINED, and nothing will come). With LEADS the waiter is not added. */
enum sp_flight_role sp_flights_board(struct sp_flights *flights, const struct sp_verdict_key *key,
                                     struct sp_flight *flight,
                                     struct sp_flight_waiter *waiter) SP_MUST_CHECK;
/* The flight is over: each waiter gets its own reference to the outcome. Waiters of the loop `here`
 * are told in this call; with NULL all are told by mail (a caller that must not call back). */
void sp_flights_land(struct sp_flights *flights, struct sp_flight *flight,
                     const struct sp_outcome *outcome, struct sp_loop *here);
/* True: nobody waited, and the flight is out of the table. False: it goes on. */
bool sp_flights_withdraw(struct sp_flights *flights, struct sp_flight *flight) SP_MUST_CHECK;
/* True: `landed` will not come. False: it is on its way and the memory must stay. */
bool sp_flights_leave(struct sp_flights *flights, struct sp_flight_waiter *waiter) SP_MUST_CHECK;

#endif
