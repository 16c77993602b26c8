/* What the guard's records count.
 *
 * A user's record lists the digests of the last distinct wrong passwords, each with its time or
 * marked as being asked; a client's counts wrong logins in slices of the window, so that it costs
 * the same for a limit of ten and of a million (and forgets up to a sixteenth of the window late,
 * never early). For guard.c alone, which holds the record's lock meanwhile. */
#ifndef SP_AUTH_GUARD_COUNT_H
#define SP_AUTH_GUARD_COUNT_H

#include "util/hash.h"

#include <stdbool.h>
#include <stdint.h>

#define SP_GUARD_SLICES 16u

/* One password tried for a user. */
struct sp_guard_place {
    uint8_t digest[16]; /* enough of the digest to tell passwords apart */
    uint32_t asking;    /* how many ask a backend about it now */
    bool wrong;
    uint64_t at_ms; /* last found wrong */
};

/* Lives in a user's record; all zero at first. */
struct sp_guard_places {
    struct sp_guard_place *items;
    uint32_t len;
    uint32_t room;
};

/* Lives in a client's record; all zero at first. */
struct sp_guard_slices {
    uint32_t slices[SP_GUARD_SLICES]; /* wrong logins, by slice of time */
    uint64_t newest_slice;
};

/* A place for this password, until it is settled. SP_ERR_DENIED: none is left below `limit`, or at
 * the limit another has its turn; SP_ERR_NOMEM. */
enum sp_err sp_guard_places_take(struct sp_guard_places *places, const struct sp_digest *password,
                                 uint64_t limit, uint64_t window_ms, uint64_t now_ms) SP_MUST_CHECK;
/* True: it was wrong, and the limit is met. A place that is not there any more is none. */
bool sp_guard_places_settle(struct sp_guard_places *places, const struct sp_digest *password,
                            bool wrong, uint64_t limit, uint64_t now_ms);
void sp_guard_places_fini(struct sp_guard_places *places);

/* One more wrong login, in that slice of time. Returns how many there are in the window. */
uint64_t sp_guard_slices_add(struct sp_guard_slices *slices, uint64_t slice);

#endif
