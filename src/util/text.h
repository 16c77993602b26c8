/* Questions about text that people wrote. Pure; any thread. */
#ifndef SP_UTIL_TEXT_H
#define SP_UTIL_TEXT_H

#include "sallyport/base.h"

#include <stdbool.h>

/* The letter at the front of `s` (not empty) in *letter_out; returns how many bytes it takes, 0
 * when no well-formed sequence stands there. */
size_t sp_text_decode(struct sp_span s, uint32_t *letter_out);
bool sp_text_is_ascii(struct sp_span s);
/* Well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool sp_text_is_utf8(struct sp_span s);
/* A C0 control, DEL or NUL anywhere? */
bool sp_text_has_control(struct sp_span s);
/* ISO 8859-1 to UTF-8; `out` has room for 2 * len. Returns the length written. */
size_t sp_text_from_latin1(struct sp_span s, char *out);
/* Lower case, letter by letter (simple mapping, no locale of the process involved). Writes at most
 * cap bytes; SP_ERR_TOO_LARGE when it does not fit, SP_ERR_INVALID when it is not UTF-8. */
enum sp_err sp_text_lower(struct sp_span s, char *out, size_t cap, size_t *len_out) SP_MUST_CHECK;
/* The text as it may stand in a log value, an error or a terminal: control characters, quotes,
 * backslashes and bytes that are not UTF-8 as \xNN. Cut with "..." at cap. Always NUL-terminated.
 * Returns out. */
const char *sp_text_safe(struct sp_span s, char *out, size_t cap);

#endif
