/* A strict reader of DER, over bytes that it does not own. Header only; pure; any thread.
 *
 * Only what GSSAPI tokens need: one-byte tags, definite lengths in their shortest form
 * (X.690 10.1), at most 2^24 bytes. A function that returns false has moved nothing. */
#ifndef SP_GSSAPI_DER_H
#define SP_GSSAPI_DER_H

#include "sallyport/base.h"

#include <stdbool.h>
#include <string.h>

struct sp_der {
    const uint8_t *at;
    size_t left;
};

static inline struct sp_der sp_der_of(struct sp_span bytes)
{
    return (struct sp_der){(const uint8_t *)bytes.base, bytes.base != NULL ? bytes.len : 0};
}

static inline struct sp_span sp_der_span(struct sp_der der)
{
    return (struct sp_span){(const char *)der.at, der.left};
}

/* The length octets at `at`: how many there are, and what they say. */
static inline bool sp_der_length(const uint8_t *at, size_t left, size_t *octets_out,
                                 size_t *length_out)
{
    size_t count;
    size_t length = 0;

    if (left == 0)
        return false;
    if (at[0] < 0x80) {
        *octets_out = 1;
        *length_out = at[0];
        return true;
    }
    count = at[0] & 0x7fu;
    if (count == 0 || count > 3 || left < 1 + count || at[1] == 0)
        return false; /* indefinite, absurd, cut off, or a leading zero */
    for (size_t i = 1; i <= count; i++)
        length = length << 8 | at[i];
    if (length < 0x80)
        return false; /* the short form had room for it */
    *octets_out = 1 + count;
    *length_out = length;
    return true;
}

/* The next element, if it bears `tag`: its content goes to `inside`, `in` moves past it. */
static inline bool sp_der_take(struct sp_der *in, uint8_t tag, struct sp_der *inside)
{
    size_t octets;
    size_t length;

    if (in->left < 2 || in->at[0] != tag)
        return false;
    if (!sp_der_length(in->at + 1, in->left - 1, &octets, &length) ||
        length > in->left - 1 - octets)
        return false;
    *inside = (struct sp_der){in->at + 1 + octets, length};
    in->at += 1 + octets + length;
    in->left -= 1 + octets + length;
    return true;
}

/* The same for the last element: nothing may follow it. */
static inline bool sp_der_take_last(struct sp_der in, uint8_t tag, struct sp_der *inside)
{
    return sp_der_take(&in, tag, inside) && in.left == 0;
}

static inline bool sp_der_next_is(const struct sp_der *in, uint8_t tag)
{
    return in->left > 0 && in->at[0] == tag;
}

/* An INTEGER alone in `in`, in its shortest form (X.690 8.3.2), at most 64 bits. */
static inline bool sp_der_integer(struct sp_der in, int64_t *value_out)
{
    struct sp_der body;
    uint64_t value;

    if (!sp_der_take_last(in, 0x02, &body) || body.left == 0 || body.left > 8)
        return false;
    if (body.left > 1 &&
        ((body.at[0] == 0x00 && body.at[1] < 0x80) || (body.at[0] == 0xff && body.at[1] >= 0x80)))
        return false;
    value = body.at[0] >= 0x80 ? UINT64_MAX : 0;
    for (size_t i = 0; i < body.left; i++)
        value = value << 8 | body.at[i];
    memcpy(value_out, &value, sizeof *value_out);
    return true;
}

static inline bool sp_der_is(struct sp_der in, const void *bytes, size_t len)
{
    return in.left == len && memcmp(in.at, bytes, len) == 0;
}

#endif
