/* Questions asked of spans: comparing without case, walking a comma-separated list, reading a
 * number. Pure functions over borrowed bytes; any thread. ASCII only, on purpose: field names and
 * host names have no other letters (RFC 9110 5.1, RFC 1035 2.3.3); names of people go through
 * util/text. */
#include "util/span.h"

#include <stdlib.h>

static unsigned char lower(char c)
{
    unsigned char byte = (unsigned char)c;

    return byte >= 'A' && byte <= 'Z' ? (unsigned char)(byte | 0x20) : byte;
}

static bool same_nocase(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (lower(a[i]) != lower(b[i]))
            return false;
    }
    return true;
}

bool sp_span_eq_nocase(struct sp_span a, struct sp_span b)
{
    return a.len == b.len && same_nocase(a.base, b.base, a.len);
}

bool sp_span_starts_nocase(struct sp_span s, struct sp_span prefix)
{
    return s.len >= prefix.len && same_nocase(s.base, prefix.base, prefix.len);
}

bool sp_span_ends_nocase(struct sp_span s, struct sp_span suffix)
{
    /* the empty suffix first: NULL + 0 must not be computed from an absent span */
    if (suffix.len == 0)
        return true;
    return s.len >= suffix.len &&
           same_nocase(s.base + (s.len - suffix.len), suffix.base, suffix.len);
}

/* Where the list element that begins at s ends: at a comma outside a quoted string, or at the
 * end. Inside quotes a backslash takes the next byte with it (RFC 9110 5.6.4). */
static size_t element_end(struct sp_span s)
{
    bool quoted = false;

    for (size_t i = 0; i < s.len; i++) {
        if (quoted && s.base[i] == '\\')
            i++;
        else if (s.base[i] == '"')
            quoted = !quoted;
        else if (s.base[i] == ',' && !quoted)
            return i;
    }
    return s.len;
}

bool sp_span_next_element(struct sp_span *rest, struct sp_span *element_out)
{
    while (rest->len > 0) {
        size_t end = element_end(*rest);
        struct sp_span element = sp_span_trim(sp_span_of(rest->base, end));
        size_t taken = end < rest->len ? end + 1 : end;

        rest->base += taken;
        rest->len -= taken;
        if (element.len > 0) {
            *element_out = element;
            return true;
        }
    }
    return false;
}

enum sp_err sp_span_to_u64(struct sp_span s, uint64_t *value_out)
{
    uint64_t value = 0;
    bool over = false;

    if (s.len == 0)
        return SP_ERR_INVALID;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)(unsigned char)s.base[i] - '0';

        if (digit > 9)
            return SP_ERR_INVALID; /* also behind too many digits: "99999999999999999999x" */
        if (value > (UINT64_MAX - digit) / 10)
            over = true;
        value = value * 10 + digit;
    }
    if (over)
        return SP_ERR_TOO_LARGE;
    *value_out = value;
    return SP_OK;
}

char *sp_span_dup(struct sp_span s)
{
    char *copy = malloc(s.len + 1);

    if (copy == NULL)
        return NULL;
    if (s.len > 0)
        memcpy(copy, s.base, s.len);
    copy[s.len] = '\0';
    return copy;
}
