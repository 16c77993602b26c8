/* Bytes that grow up to a bound. Embedded in its owner; one thread at a time.
 *
 * Reading takes from the front (`start`), writing adds at the end (`start + len`); the free room is
 * made contiguous when it is asked for. Nothing is allocated until the first byte, and sp_buf_reset
 * gives the memory back. */
#ifndef SP_UTIL_BUF_H
#define SP_UTIL_BUF_H

#include "sallyport/base.h"

struct sp_buf {
    char *base;
    size_t start; /* first unread byte */
    size_t len;   /* unread bytes */
    size_t cap;   /* allocated */
    size_t max;   /* never more than this */
};

void sp_buf_init(struct sp_buf *buf, size_t max);
void sp_buf_fini(struct sp_buf *buf);  /* frees; may be init'ed again */
void sp_buf_wipe(struct sp_buf *buf);  /* overwrites, then frees: for bytes that held a secret */
void sp_buf_reset(struct sp_buf *buf); /* empties and frees, keeps max */

/* At least `room` contiguous free bytes at *room_out. SP_ERR_TOO_LARGE: over max; SP_ERR_NOMEM. */
enum sp_err sp_buf_reserve(struct sp_buf *buf, size_t room, char **room_out) SP_MUST_CHECK;
void sp_buf_commit(struct sp_buf *buf, size_t written);
enum sp_err sp_buf_append(struct sp_buf *buf, struct sp_span bytes) SP_MUST_CHECK;
enum sp_err sp_buf_printf(struct sp_buf *buf, const char *fmt, ...) SP_PRINTF(2, 3) SP_MUST_CHECK;
void sp_buf_consume(struct sp_buf *buf, size_t read);

static inline struct sp_span sp_buf_span(const struct sp_buf *buf)
{
    return (struct sp_span){buf->base != NULL ? buf->base + buf->start : "", buf->len};
}

#endif
