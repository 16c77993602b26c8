/* The guard: keeps guesses and stale passwords from locking people out of the directory.
 *
 * It counts distinct wrong passwords per user of a backend, and wrong logins per client address
 * (IPv6 by its /64), in a sliding window. At the limit the user, or the client, is blocked for
 * `block`; when a block is over and the window still holds the limit, one password at a time is let
 * through, and a wrong one blocks anew. A place is reserved before a backend is asked, so that
 * guesses sent at once cannot pass the limit either. Bounded memory, oldest out. Any thread. */
#ifndef SP_AUTH_GUARD_H
#define SP_AUTH_GUARD_H

#include "auth/auth.h"
#include "util/hash.h"

struct sp_guard_who {
    struct sp_span backend;
    struct sp_span user;              /* as the backend's name_of gives it */
    const struct sp_digest *password; /* the verdict key's digest: equal for equal credentials */
    const struct sp_addr *client;
    struct sp_span user_agent; /* what a device at fault is named by; may be absent */
};

/* Whose wrong login brought the block about. */
struct sp_guard_culprit {
    struct sp_addr client;
    char user_agent[64]; /* cut; as it was sent */
};

struct sp_guard_block {
    bool user; /* else the client */
    unsigned retry_after_s;
    bool has_culprit; /* false: places are taken by logins that are being asked about */
    struct sp_guard_culprit culprit;
};

/* What became of a place. */
enum sp_guard_end {
    SP_GUARD_HARMLESS, /* right, account unusable, or not asked: nothing counts */
    SP_GUARD_WRONG,    /* a wrong password: counts for user and client */
    SP_GUARD_STRANGER, /* an unknown user: counts for the client */
};

/* What a wrong login has brought about, for the log. */
struct sp_guard_news {
    bool user_blocked;
    bool client_blocked;
};

/* One that is blocked now. */
struct sp_guard_blocked {
    char user[128]; /* "": it is the client that is blocked */
    char backend[64];
    unsigned left_s;
    struct sp_guard_culprit culprit;
};

struct sp_guard *sp_guard_new(const struct sp_guard_options *options) SP_MUST_CHECK;
void sp_guard_free(struct sp_guard **guard);
void sp_guard_apply(struct sp_guard *guard, const struct sp_guard_options *options);

/* Is the user or the client blocked now? Reserves nothing. */
bool sp_guard_blocked(struct sp_guard *guard, const struct sp_guard_who *who, uint64_t now_ms,
                      struct sp_guard_block *block_out);
/* Reserves a place for this password before a backend is asked. SP_ERR_DENIED: none is left (or
 * blocked), *block_out says which; SP_ERR_NOMEM. Each reserved place is settled exactly once. */
enum sp_err sp_guard_reserve(struct sp_guard *guard, const struct sp_guard_who *who,
                             uint64_t now_ms, struct sp_guard_block *block_out) SP_MUST_CHECK;
struct sp_guard_news sp_guard_settle(struct sp_guard *guard, const struct sp_guard_who *who,
                                     enum sp_guard_end end, uint64_t now_ms);
/* Lifts the user's block, in all backends, and forgets the count. Absent: every user and client. */
void sp_guard_forget(struct sp_guard *guard, struct sp_span user);
/* Those that are blocked now, users first, `max` of them at most. Returns how many. */
size_t sp_guard_list(struct sp_guard *guard, uint64_t now_ms, struct sp_guard_blocked *items,
                     size_t max);
/* Users, or clients, blocked now. */
size_t sp_guard_count(struct sp_guard *guard, bool users, uint64_t now_ms);

#endif
