/* The classes of bytes that HTTP's grammar speaks of, as one table. Pure; any thread. */
#include "http/http_priv.h"

#include <string.h>

#define T SP_CHAR_TOKEN
#define R SP_CHAR_TARGET
#define V SP_CHAR_VALUE
#define H SP_CHAR_HOST
#define D SP_CHAR_DIGIT
#define X SP_CHAR_HEX
#define U SP_CHAR_UPPER

/* clang-format off */
const uint8_t sp_http_chars[256] = {
    ['\t'] = V, [' '] = V,
    ['!'] = T|R|V, ['"'] = R|V, ['#'] = T|V, ['$'] = T|R|V, ['%'] = T|R|V, ['&'] = T|R|V,
    ['\''] = T|R|V, ['('] = R|V, [')'] = R|V, ['*'] = T|R|V, ['+'] = T|R|V, [','] = R|V,
    ['-'] = T|R|V|H, ['.'] = T|R|V|H, ['/'] = R|V,
    ['0'] = T|R|V|H|D|X, ['1'] = T|R|V|H|D|X, ['2'] = T|R|V|H|D|X, ['3'] = T|R|V|H|D|X,
    ['4'] = T|R|V|H|D|X, ['5'] = T|R|V|H|D|X, ['6'] = T|R|V|H|D|X, ['7'] = T|R|V|H|D|X,
    ['8'] = T|R|V|H|D|X, ['9'] = T|R|V|H|D|X,
    [':'] = R|V, [';'] = R|V, ['<'] = R|V, ['='] = R|V, ['>'] = R|V, ['?'] = R|V, ['@'] = R|V,
    ['A'] = T|R|V|H|X|U, ['B'] = T|R|V|H|X|U, ['C'] = T|R|V|H|X|U, ['D'] = T|R|V|H|X|U,
    ['E'] = T|R|V|H|X|U, ['F'] = T|R|V|H|X|U,
    ['G'] = T|R|V|H|U, ['H'] = T|R|V|H|U, ['I'] = T|R|V|H|U, ['J'] = T|R|V|H|U, ['K'] = T|R|V|H|U,
    ['L'] = T|R|V|H|U, ['M'] = T|R|V|H|U, ['N'] = T|R|V|H|U, ['O'] = T|R|V|H|U, ['P'] = T|R|V|H|U,
    ['Q'] = T|R|V|H|U, ['R'] = T|R|V|H|U, ['S'] = T|R|V|H|U, ['T'] = T|R|V|H|U, ['U'] = T|R|V|H|U,
    ['V'] = T|R|V|H|U, ['W'] = T|R|V|H|U, ['X'] = T|R|V|H|U, ['Y'] = T|R|V|H|U, ['Z'] = T|R|V|H|U,
    ['['] = R|V, ['\\'] = R|V, [']'] = R|V, ['^'] = T|R|V, ['_'] = T|R|V|H, ['`'] = T|R|V,
    ['a'] = T|R|V|H|X, ['b'] = T|R|V|H|X, ['c'] = T|R|V|H|X, ['d'] = T|R|V|H|X,
    ['e'] = T|R|V|H|X, ['f'] = T|R|V|H|X,
    ['g'] = T|R|V|H, ['h'] = T|R|V|H, ['i'] = T|R|V|H, ['j'] = T|R|V|H, ['k'] = T|R|V|H,
    ['l'] = T|R|V|H, ['m'] = T|R|V|H, ['n'] = T|R|V|H, ['o'] = T|R|V|H, ['p'] = T|R|V|H,
    ['q'] = T|R|V|H, ['r'] = T|R|V|H, ['s'] = T|R|V|H, ['t'] = T|R|V|H, ['u'] = T|R|V|H,
    ['v'] = T|R|V|H, ['w'] = T|R|V|H, ['x'] = T|R|V|H, ['y'] = T|R|V|H, ['z'] = T|R|V|H,
    ['{'] = R|V, ['|'] = T|R|V, ['}'] = R|V, ['~'] = T|R|V,
    [0x80 ... 0xff] = V, /* obs-text: opaque, but no harm in a value */
};
/* clang-format on */

bool sp_http_all(struct sp_span s, unsigned char_class)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!sp_http_char_is(s.base[i], char_class))
            return false;
    }
    return true;
}

bool sp_http_is_token(struct sp_span s)
{
    return s.len > 0 && sp_http_all(s, SP_CHAR_TOKEN);
}

/* Some byte of the word is below SP, or is DEL. HTAB is found too: the caller looks again. */
static inline bool word_is_suspect(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t tops = ones << 7;
    uint64_t below_space = (word - ones * 0x20) & ~word & tops;
    uint64_t not_del = word ^ (ones * 0x7f);
    uint64_t is_del = (not_del - ones) & ~not_del & tops;

    return (below_space | is_del) != 0;
}

static inline bool word_is_value(const char *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof word);
    return !word_is_suspect(word) || sp_http_all(sp_span_of(at, sizeof word), SP_CHAR_VALUE);
}

bool sp_http_is_value(struct sp_span s)
{
    if (s.len < sizeof(uint64_t))
        return sp_http_all(s, SP_CHAR_VALUE);
    for (size_t i = 0; i + sizeof(uint64_t) <= s.len; i += sizeof(uint64_t)) {
        if (!word_is_value(s.base + i))
            return false;
    }
    return word_is_value(s.base + s.len - sizeof(uint64_t)); /* the rest, and some of it twice */
}

unsigned sp_http_hex(char c)
{
    if (c <= '9')
        return (unsigned)(c - '0');
    return (unsigned)((c | 0x20) - 'a') + 10;
}
