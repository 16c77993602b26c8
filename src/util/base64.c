/* Base 64 (RFC 4648 4), strict in what it takes: each value has exactly one spelling, so that one
 * credential has one spelling too. Pure; any thread. Called for every Basic and Negotiate
 * request. */
#include "util/base64.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#define NO 0xff /* not a letter of the alphabet */

/* clang-format off */
static const uint8_t values[256] = {
    NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,
    NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,62,NO,NO,NO,63,52,53,54,55,56,57,58,59,60,61,NO,NO,NO,NO,NO,NO,
    NO, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,NO,NO,NO,NO,NO,
    NO,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,51,NO,NO,NO,NO,NO,
    NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,
    NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,
    NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,
    NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,NO,
};
/* clang-format on */

void sp_base64_encode(char *out, struct sp_span bytes)
{
    const unsigned char *in = (const unsigned char *)bytes.base;
    size_t len = bytes.len;

    for (; len >= 3; len -= 3, in += 3) {
        *out++ = letters[in[0] >> 2];
        *out++ = letters[(in[0] & 0x03) << 4 | in[1] >> 4];
        *out++ = letters[(in[1] & 0x0f) << 2 | in[2] >> 6];
        *out++ = letters[in[2] & 0x3f];
    }
    if (len == 0)
        return;
    *out++ = letters[in[0] >> 2];
    *out++ = letters[(in[0] & 0x03) << 4 | (len == 2 ? in[1] >> 4 : 0)];
    *out++ = len == 2 ? letters[(in[1] & 0x0f) << 2] : '=';
    *out++ = '=';
}

/* The last four letters, where padding may stand. Returns how many bytes came out, 0 if none can:
 * the bits that padding leaves over must be zero (RFC 4648 3.5). */
static size_t decode_last(const unsigned char *in, char *out)
{
    unsigned a = values[in[0]];
    unsigned b = values[in[1]];
    unsigned c = in[2] == '=' && in[3] == '=' ? 0 : values[in[2]];
    unsigned d = in[3] == '=' ? 0 : values[in[3]];

    if ((a | b | c | d) > 63)
        return 0;
    out[0] = (char)(a << 2 | b >> 4);
    if (in[2] == '=')
        return (b & 0x0f) == 0 ? 1 : 0;
    out[1] = (char)(b << 4 | c >> 2);
    if (in[3] == '=')
        return (c & 0x03) == 0 ? 2 : 0;
    out[2] = (char)(c << 6 | d);
    return 3;
}

enum sp_err sp_base64_decode(struct sp_span text, char *out, size_t *len_out)
{
    const unsigned char *in = (const unsigned char *)text.base;
    char *at = out;
    size_t last;

    *len_out = 0;
    if (text.len == 0)
        return SP_OK;
    if (text.len % 4 != 0)
        return SP_ERR_INVALID;
    for (size_t left = text.len; left > 4; left -= 4, in += 4) {
        unsigned a = values[in[0]], b = values[in[1]], c = values[in[2]], d = values[in[3]];

        if ((a | b | c | d) > 63)
            return SP_ERR_INVALID;
        *at++ = (char)(a << 2 | b >> 4);
        *at++ = (char)(b << 4 | c >> 2);
        *at++ = (char)(c << 6 | d);
    }
    last = decode_last(in, at);
    if (last == 0)
        return SP_ERR_INVALID;
    *len_out = (size_t)(at - out) + last;
    return SP_OK;
}
