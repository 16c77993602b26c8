/* What the tests of util/hash reach: the functions under a key that is known. */
#ifndef SP_UTIL_HASH_PRIV_H
#define SP_UTIL_HASH_PRIV_H

#include "util/hash.h"

#include <stdbool.h>

/* Before any hash is made. False: the library failed. */
bool sp_hash_set_keys(const uint64_t sip[2], const uint8_t hmac[64]) SP_MUST_CHECK;
uint64_t sp_siphash(const uint64_t key[2], struct sp_span bytes);

#endif
