/* Two keyed hashes, with a key made at random when the process starts. Any thread after
 * sp_hash_setup.
 *
 *   - sp_hash64, for tables whose keys come from outside (so that nobody can aim at one bucket):
 *     SipHash.
 *   - sp_digest, for what must not be turned back: HMAC-SHA-256 over the parts, each with its
 *     length, so that no two different lists of parts give the same bytes. */
#ifndef SP_UTIL_HASH_H
#define SP_UTIL_HASH_H

#include "sallyport/base.h"

struct sp_digest {
    uint8_t bytes[32];
};

/* Once, on the main thread, before any other call. SP_ERR_IO: no randomness or no HMAC. */
enum sp_err sp_hash_setup(void) SP_MUST_CHECK;
uint64_t sp_hash64(struct sp_span bytes);
/* SP_ERR_NOMEM when the library fails. Costs no allocation. */
enum sp_err sp_digest_make(struct sp_digest *digest, const struct sp_span *parts,
                           size_t parts_len) SP_MUST_CHECK;
/* Random bytes, or SP_ERR_IO. */
enum sp_err sp_random(void *out, size_t len) SP_MUST_CHECK;

#endif
