/* Base 64 (RFC 4648 4), strict: no white space, padding required, no trailing bits. Pure; any
 * thread. */
#ifndef SP_UTIL_BASE64_H
#define SP_UTIL_BASE64_H

#include "sallyport/base.h"

static inline size_t sp_base64_encoded_len(size_t len)
{
    return (len + 2) / 3 * 4;
}

static inline size_t sp_base64_decoded_max(size_t len)
{
    return len / 4 * 3;
}

/* Writes sp_base64_encoded_len(len) bytes, no NUL. */
void sp_base64_encode(char *out, struct sp_span bytes);
/* `out` has room for sp_base64_decoded_max bytes. SP_ERR_INVALID: not base 64. */
enum sp_err sp_base64_decode(struct sp_span text, char *out, size_t *len_out) SP_MUST_CHECK;

#endif
