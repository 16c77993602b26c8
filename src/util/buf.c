/* A growing byte buffer with a bound: read from the front, write at the end. Used by every reader
 * and writer of the wire. One thread at a time; nothing here touches a descriptor.
 *
 * A block that is outgrown is wiped before it is freed, so that sp_buf_wipe at the end is enough
 * for a buffer that held a password: no earlier copy is left in the heap. */
#include "util/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_FIRST 512u /* the smallest block asked of malloc */

void sp_buf_init(struct sp_buf *buf, size_t max)
{
    *buf = (struct sp_buf){.max = max};
}

void sp_buf_reset(struct sp_buf *buf)
{
    free(buf->base);
    *buf = (struct sp_buf){.max = buf->max};
}

void sp_buf_fini(struct sp_buf *buf)
{
    sp_buf_reset(buf);
}

void sp_buf_wipe(struct sp_buf *buf)
{
    if (buf->base != NULL)
        explicit_bzero(buf->base, buf->cap);
    sp_buf_reset(buf);
}

/* A block of at least `need` bytes, doubled from the old one so that many small writes cost
 * little, and never over max. */
static size_t grown_cap(const struct sp_buf *buf, size_t need)
{
    size_t cap = buf->cap > 0 ? buf->cap : BUF_FIRST;

    while (cap < need && cap <= SIZE_MAX / 2)
        cap *= 2;
    if (cap < need)
        cap = need;
    return cap < buf->max ? cap : buf->max;
}

static enum sp_err grow(struct sp_buf *buf, size_t need)
{
    size_t cap = grown_cap(buf, need);
    char *base = malloc(cap);

    if (base == NULL)
        return SP_ERR_NOMEM;
    if (buf->base != NULL) {
        memcpy(base, buf->base + buf->start, buf->len);
        explicit_bzero(buf->base, buf->cap);
        free(buf->base);
    }
    buf->base = base;
    buf->start = 0;
    buf->cap = cap;
    return SP_OK;
}

enum sp_err sp_buf_reserve(struct sp_buf *buf, size_t room, char **room_out)
{
    if (room > buf->max || buf->len > buf->max - room)
        return SP_ERR_TOO_LARGE;
    if (buf->base == NULL || buf->len + room > buf->cap) {
        enum sp_err err = grow(buf, buf->len + room);

        if (err != SP_OK)
            return err;
    } else if (room > buf->cap - buf->start - buf->len) {
        memmove(buf->base, buf->base + buf->start, buf->len);
        buf->start = 0;
    }
    *room_out = buf->base + buf->start + buf->len;
    return SP_OK;
}

void sp_buf_commit(struct sp_buf *buf, size_t written)
{
    assert(written <= buf->cap - buf->start - buf->len);
    buf->len += written;
}

enum sp_err sp_buf_append(struct sp_buf *buf, struct sp_span bytes)
{
    char *room;
    enum sp_err err;

    if (bytes.len == 0)
        return SP_OK;
    err = sp_buf_reserve(buf, bytes.len, &room);
    if (err != SP_OK)
        return err;
    memcpy(room, bytes.base, bytes.len);
    sp_buf_commit(buf, bytes.len);
    return SP_OK;
}

/* The text did not fit on the stack: format it once more, into a block of its own. */
static enum sp_err append_long(struct sp_buf *buf, size_t len, const char *fmt, va_list args)
{
    enum sp_err err;
    char *text;

    if (len > buf->max)
        return SP_ERR_TOO_LARGE;
    text = malloc(len + 1);
    if (text == NULL)
        return SP_ERR_NOMEM;
    (void)vsnprintf(text, len + 1, fmt, args);
    err = sp_buf_append(buf, (struct sp_span){text, len});
    free(text);
    return err;
}

enum sp_err sp_buf_printf(struct sp_buf *buf, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_list again;
    enum sp_err err;
    int len;

    va_start(args, fmt);
    va_copy(again, args);
    len = vsnprintf(text, sizeof(text), fmt, args);
    if (len < 0)
        err = SP_ERR_INVALID;
    else if ((size_t)len < sizeof(text))
        err = sp_buf_append(buf, (struct sp_span){text, (size_t)len});
    else
        err = append_long(buf, (size_t)len, fmt, again);
    va_end(again);
    va_end(args);
    return err;
}

void sp_buf_consume(struct sp_buf *buf, size_t read)
{
    assert(read <= buf->len);
    buf->len -= read;
    buf->start = buf->len > 0 ? buf->start + read : 0; /* empty: the whole block is free again */
}
