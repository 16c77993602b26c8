/* How many binds one worker puts to one server at once: adapts to how long the server takes for
 * them, within `connections`. Pure: no clock, no thread, no memory of its own.
 *
 * A directory has so many threads and CPUs; more binds at once only wait inside it, where they can
 * no longer be cancelled or sent elsewhere. So the limit shrinks by an eighth for each round of
 * binds (as many as the limit) that took more than twice the usual and 5 ms, and grows by one for
 * each that did not and used all of it; never below 1, never above `connections`. What counts is
 * the *least* time of a round: one slow login, whatever its reason, makes no round slow. The usual
 * is the least time seen: it falls at once, and rises only where the limit is down to 1 and binds
 * are slow all the same, so that a server that became slower for good is not held back for ever. */
#ifndef SP_LDAP_PACE_H
#define SP_LDAP_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct sp_ldap_pace {
    unsigned limit; /* binds at once, 1..max */
    unsigned max;
    uint64_t usual_us; /* the least time seen; 0: no round has ended */
    uint64_t least_us; /* of this round; 0: no bind has ended in it */
    unsigned ended;    /* binds of this round */
    bool full;         /* one of this round found the limit used up */
};

/* Begins with all that is allowed: a server is slowed down when it shows that it is slow. */
void sp_ldap_pace_init(struct sp_ldap_pace *pace, unsigned max);
/* A bind has to wait: the limit is used up. */
void sp_ldap_pace_full(struct sp_ldap_pace *pace);
/* A bind succeeded after so long. (Others are no measure: a directory says no to somebody it does
 * not know without any work. So while nothing but wrong passwords comes, a lowered limit stays.)
 * True: the limit has changed. */
bool sp_ldap_pace_ended(struct sp_ldap_pace *pace, uint64_t took_us);

#endif
