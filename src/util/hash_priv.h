/* What the tests of util/hash reach: the function without the process's key. */
#ifndef SP_UTIL_HASH_PRIV_H
#define SP_UTIL_HASH_PRIV_H

#include "util/hash.h"

uint64_t sp_siphash(const uint64_t key[2], struct sp_span bytes);

#endif
