/* Small questions asked of spans. Pure; any thread. */
#ifndef SP_UTIL_SPAN_H
#define SP_UTIL_SPAN_H

#include "sallyport/base.h"

#include <stdbool.h>
#include <string.h>

#define SP_SPAN_LIT(text) ((struct sp_span){(text), sizeof(text) - 1})
#define SP_SPAN_NONE      ((struct sp_span){NULL, 0})
/* For printf's "%.*s". */
#define SP_SPAN_ARG(s) ((int)(s).len), ((s).base != NULL ? (s).base : "")

static inline struct sp_span sp_span_of(const char *base, size_t len)
{
    return (struct sp_span){base, len};
}

static inline struct sp_span sp_span_cstr(const char *text)
{
    return (struct sp_span){text, text != NULL ? strlen(text) : 0};
}

static inline bool sp_span_eq(struct sp_span a, struct sp_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.base, b.base, a.len) == 0);
}

/* ASCII letters compared without case (RFC 9110 field names, host names). */
bool sp_span_eq_nocase(struct sp_span a, struct sp_span b);
bool sp_span_starts_nocase(struct sp_span s, struct sp_span prefix);
bool sp_span_ends_nocase(struct sp_span s, struct sp_span suffix);
/* Without leading and trailing SP and HTAB (RFC 9110 5.6.3, OWS). Here, since every field's value
 * is trimmed, and most have one space to lose. */
static inline struct sp_span sp_span_trim(struct sp_span s)
{
    while (s.len > 0 && (s.base[0] == ' ' || s.base[0] == '\t')) {
        s.base++;
        s.len--;
    }
    while (s.len > 0 && (s.base[s.len - 1] == ' ' || s.base[s.len - 1] == '\t'))
        s.len--;
    return s;
}
/* The next element of a comma-separated list (RFC 9110 5.6.1), trimmed, empty ones skipped; `rest`
 * is moved on. False: the list is at its end. Quoted strings are respected. */
bool sp_span_next_element(struct sp_span *rest, struct sp_span *element_out);
/* Decimal digits only, no sign; SP_ERR_INVALID for anything else, SP_ERR_TOO_LARGE past UINT64_MAX.
 */
enum sp_err sp_span_to_u64(struct sp_span s, uint64_t *value_out) SP_MUST_CHECK;
/* A NUL-terminated copy, for free(); NULL when out of memory. */
char *sp_span_dup(struct sp_span s) SP_MUST_CHECK;

#endif
