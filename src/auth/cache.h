/* Verdicts kept: one interface, whatever the home. Any thread.
 *
 * Kept are ALLOW (for ttl from its answer), and DENY, UNKNOWN_USER and ACCOUNT (for negative_ttl).
 * UNAVAILABLE never is. A key is a keyed hash: no password can be read from the cache. Durations
 * are judged at the look-up by the options of that moment, so that a reload takes effect at once;
 * so is the basis, so that no verdict outlives the configuration of the backend that gave it.
 * No look-up waits for more than one short lock, and none allocates. */
#ifndef SP_AUTH_CACHE_H
#define SP_AUTH_CACHE_H

#include "auth/auth.h"
#include "util/hash.h"

struct sp_verdict_key {
    struct sp_digest digest; /* over kind, backend, user and secret */
    uint64_t user;           /* hash of the user's name: finds all that is kept of one user */
    uint64_t family;         /* hash of kind and backend: entries that replace each other */
    uint64_t basis;   /* what the backend's answers rest on now (basis.c): a verdict under another
                         one does not serve, but is replaced */
    uint64_t flushes; /* of the cache, when this was made: what is asked for under it is not kept
                         after the next one */
};

/* `secret` is the password, or for groups what else tells two proofs apart. `basis` and
 * `flushes` are left to the caller. */
enum sp_err sp_verdict_key_make(struct sp_verdict_key *key, struct sp_span kind,
                                struct sp_span backend, uint64_t family, struct sp_span user,
                                struct sp_span secret) SP_MUST_CHECK;

enum sp_kept_state {
    SP_KEPT_NOTHING,
    SP_KEPT_FRESH, /* serves */
    SP_KEPT_STALE, /* an ALLOW past ttl but within grace: serves only while no directory answers */
};

struct sp_kept {
    enum sp_kept_state state;
    enum sp_verdict verdict;
    const struct sp_identity *identity; /* ALLOW: a reference, yours */
    const char *reason;                 /* lives as long as the process; NULL: none */
    uint64_t age_ms;
    bool renew; /* past `refresh`: ask again in the background. Told to one asker at a time. */
};

/* Options are read at once. NULL: out of memory. */
struct sp_verdict_cache *sp_verdict_cache_new(const struct sp_cache_options *options) SP_MUST_CHECK;
void sp_verdict_cache_free(struct sp_verdict_cache **cache);
void sp_verdict_cache_apply(struct sp_verdict_cache *cache, const struct sp_cache_options *options);

void sp_verdict_cache_lookup(struct sp_verdict_cache *cache, const struct sp_verdict_key *key,
                             uint64_t now_ms, struct sp_kept *kept_out);
/* Replaces what is kept under the key. ALLOW takes a reference to `identity`, and ends the other
 * ALLOWs of this user and family: another password has just been proven. UNAVAILABLE and MORE are
 * not kept. Out of memory: nothing is kept, and nothing else happens. */
void sp_verdict_cache_store(struct sp_verdict_cache *cache, const struct sp_verdict_key *key,
                            enum sp_verdict verdict, const struct sp_identity *identity,
                            const char *reason, uint64_t now_ms);
/* How often somebody has had the cache forget, a user or all. */
uint64_t sp_verdict_cache_flushes(struct sp_verdict_cache *cache);
/* Everything kept of a user, in whatever family. Returns how many entries went. */
size_t sp_verdict_cache_forget_user(struct sp_verdict_cache *cache, struct sp_span user);
size_t sp_verdict_cache_forget_all(struct sp_verdict_cache *cache);
/* How long a good verdict serves, as configured now. */
uint64_t sp_verdict_cache_ttl_ms(struct sp_verdict_cache *cache);
/* Entries now, expired ones that nobody has met yet included. */
size_t sp_verdict_cache_count(struct sp_verdict_cache *cache);

#endif
