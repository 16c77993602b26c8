/* Passwords, tokens and keys: bytes that are wiped before their memory goes back and compared in
 * constant time. One thread at a time. There is no way to print one, and there shall be none.
 *
 * Core dumps are app's business, for the process as a whole: passwords also pass through buffers
 * and libraries, and keeping single blocks out (madvise) costs a page and two system calls each. */
#ifndef SP_UTIL_SECRET_H
#define SP_UTIL_SECRET_H

#include "sallyport/base.h"

#include <stdbool.h>

/* `base` is NUL-terminated one byte past `len` for libraries that want a string. */
struct sp_secret {
    char *base;
    size_t len;
};

/* A wiped-on-fini copy of bytes. SP_ERR_NOMEM. */
enum sp_err sp_secret_set(struct sp_secret *secret, struct sp_span bytes) SP_MUST_CHECK;
/* Room for len bytes, zeroed, to be filled by the caller. */
enum sp_err sp_secret_alloc(struct sp_secret *secret, size_t len) SP_MUST_CHECK;
void sp_secret_fini(struct sp_secret *secret);
/* Takes the same time wherever the first difference stands (lengths are not hidden). */
bool sp_secret_eq(struct sp_span a, struct sp_span b);
/* memset that no optimiser removes. */
void sp_wipe(void *memory, size_t len);

static inline struct sp_span sp_secret_span(const struct sp_secret *secret)
{
    return (struct sp_span){secret->base, secret->len};
}

#endif
