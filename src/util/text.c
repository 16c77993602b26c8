/* Text that people wrote: is it UTF-8, does it hold controls, in lower case, made safe for a log.
 * Pure; any thread. Asked about every user name on its way in, and every untrusted value on its way
 * into a line. */
#include "util/text.h"

#include "util/text_priv.h"

#include <string.h>

/* The bounds of the second byte are those of RFC 3629 4. */
size_t sp_text_decode(struct sp_span s, uint32_t *letter_out)
{
    const unsigned char *b = (const unsigned char *)s.base;
    unsigned low = 0x80, high = 0xbf;
    size_t len;
    uint32_t letter;

    if (b[0] < 0x80) {
        *letter_out = b[0];
        return 1;
    }
    if (b[0] < 0xc2 || b[0] > 0xf4)
        return 0;
    len = b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;
    if (s.len < len)
        return 0;
    low = b[0] == 0xe0 ? 0xa0 : b[0] == 0xf0 ? 0x90 : low;
    high = b[0] == 0xed ? 0x9f : b[0] == 0xf4 ? 0x8f : high;
    if (b[1] < low || b[1] > high)
        return 0;
    letter = (uint32_t)(b[0] & (0xff >> (len + 1))) << 6 | (b[1] & 0x3f);
    for (size_t i = 2; i < len; i++) {
        if ((b[i] & 0xc0) != 0x80)
            return 0;
        letter = letter << 6 | (b[i] & 0x3f);
    }
    *letter_out = letter;
    return len;
}

static size_t encode(uint32_t letter, char *out)
{
    if (letter < 0x80) {
        out[0] = (char)letter;
        return 1;
    }
    if (letter < 0x800) {
        out[0] = (char)(0xc0 | letter >> 6);
        out[1] = (char)(0x80 | (letter & 0x3f));
        return 2;
    }
    if (letter < 0x10000) {
        out[0] = (char)(0xe0 | letter >> 12);
        out[1] = (char)(0x80 | (letter >> 6 & 0x3f));
        out[2] = (char)(0x80 | (letter & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | letter >> 18);
    out[1] = (char)(0x80 | (letter >> 12 & 0x3f));
    out[2] = (char)(0x80 | (letter >> 6 & 0x3f));
    out[3] = (char)(0x80 | (letter & 0x3f));
    return 4;
}

/* Eight bytes at a time: it is asked of each name, and of each of a user's groups. */
bool sp_text_is_ascii(struct sp_span s)
{
    uint64_t bits = 0;
    uint64_t word;
    size_t i = 0;

    for (; i + sizeof(word) <= s.len; i += sizeof(word)) {
        memcpy(&word, s.base + i, sizeof(word));
        bits |= word;
    }
    for (; i < s.len; i++)
        bits |= (unsigned char)s.base[i];
    return (bits & 0x8080808080808080u) == 0;
}

bool sp_text_is_utf8(struct sp_span s)
{
    size_t at = 0;
    uint32_t letter;

    if (sp_text_is_ascii(s))
        return true; /* as nearly all is */
    while (at < s.len) {
        size_t len = sp_text_decode((struct sp_span){s.base + at, s.len - at}, &letter);

        if (len == 0)
            return false;
        at += len;
    }
    return true;
}

bool sp_text_has_control(struct sp_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char byte = (unsigned char)s.base[i];

        if (byte < 0x20 || byte == 0x7f)
            return true;
    }
    return false;
}

size_t sp_text_from_latin1(struct sp_span s, char *out)
{
    size_t len = 0;

    for (size_t i = 0; i < s.len; i++)
        len += encode((unsigned char)s.base[i], out + len);
    return len;
}

enum sp_err sp_text_lower(struct sp_span s, char *out, size_t cap, size_t *len_out)
{
    size_t at = 0;
    size_t written = 0;

    while (at < s.len) {
        char small[4];
        size_t small_len;
        uint32_t letter;
        size_t len = sp_text_decode((struct sp_span){s.base + at, s.len - at}, &letter);

        if (len == 0)
            return SP_ERR_INVALID;
        if (letter >= 'A' && letter <= 'Z')
            letter |= 0x20;
        else if (letter >= 0x80)
            letter = sp_text_lower_one(letter);
        small_len = encode(letter, small);
        if (small_len > cap - written)
            return SP_ERR_TOO_LARGE;
        memcpy(out + written, small, small_len);
        written += small_len;
        at += len;
    }
    *len_out = written;
    return SP_OK;
}

/* May the letter stand in a line as it is? C1 controls may not: some terminals obey U+009B as they
 * obey ESC [. */
static bool is_plain(size_t len, uint32_t letter)
{
    if (len == 0 || letter < 0x20 || (letter >= 0x7f && letter <= 0x9f))
        return false;
    return letter != '"' && letter != '\\';
}

static void put_hex(unsigned char byte, char *out)
{
    static const char digits[] = "0123456789abcdef";

    out[0] = '\\';
    out[1] = 'x';
    out[2] = digits[byte >> 4];
    out[3] = digits[byte & 0x0f];
}

/* The next piece of s as it may stand, in piece (16 bytes); returns how many bytes of s it took. */
static size_t safe_piece(struct sp_span s, char *piece, size_t *piece_len)
{
    uint32_t letter = 0;
    size_t len = sp_text_decode(s, &letter);

    if (is_plain(len, letter)) {
        memcpy(piece, s.base, len);
        *piece_len = len;
        return len;
    }
    len = len > 0 ? len : 1;
    for (size_t i = 0; i < len; i++)
        put_hex((unsigned char)s.base[i], piece + 4 * i);
    *piece_len = 4 * len;
    return len;
}

const char *sp_text_safe(struct sp_span s, char *out, size_t cap)
{
    static const char dots[] = "...";
    size_t at = 0;
    size_t written = 0;
    size_t cut = 0; /* where "..." still fits */

    if (cap == 0)
        return out;
    while (at < s.len) {
        char piece[16];
        size_t piece_len;
        size_t taken = safe_piece((struct sp_span){s.base + at, s.len - at}, piece, &piece_len);

        if (written + piece_len > cap - 1) {
            size_t dots_len = cap - 1 - cut < 3 ? cap - 1 - cut : 3;

            memcpy(out + cut, dots, dots_len);
            written = cut + dots_len;
            break;
        }
        memcpy(out + written, piece, piece_len);
        written += piece_len;
        at += taken;
        if (written + 3 <= cap - 1)
            cut = written;
    }
    out[written] = '\0';
    return out;
}
