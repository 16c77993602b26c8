/* Reading credentials. Whatever is odd is wrong, and a backend never hears of it. See credential.h.
 */
#include "auth/credential.h"

#include "util/base64.h"
#include "util/secret.h"
#include "util/span.h"
#include "util/text.h"

#include <string.h>

void sp_credential_parse(struct sp_span value, struct sp_credential *credential)
{
    struct sp_span trimmed = sp_span_trim(value);
    size_t end = 0;

    *credential = (struct sp_credential){.kind = SP_CREDENTIAL_NONE};
    if (value.base == NULL || trimmed.len == 0)
        return;
    while (end < trimmed.len && trimmed.base[end] != ' ' && trimmed.base[end] != '\t')
        end++;
    credential->scheme = sp_span_of(trimmed.base, end);
    credential->token = sp_span_trim(sp_span_of(trimmed.base + end, trimmed.len - end));
    if (sp_span_eq_nocase(credential->scheme, SP_SPAN_LIT("Basic")))
        credential->kind = SP_CREDENTIAL_BASIC;
    else if (sp_span_eq_nocase(credential->scheme, SP_SPAN_LIT("Negotiate")))
        credential->kind = SP_CREDENTIAL_NEGOTIATE;
    else
        credential->kind = SP_CREDENTIAL_OTHER;
}

/* The user ends at the first colon: a password may have colons, a user name may not (RFC 7617 2).
 */
static bool split(struct sp_basic *basic, struct sp_span text)
{
    const char *colon = memchr(text.base, ':', text.len);

    if (colon == NULL)
        return false;
    basic->user = sp_span_of(text.base, (size_t)(colon - text.base));
    basic->password = sp_span_of(colon + 1, text.len - basic->user.len - 1);
    return true;
}

static bool refuse(const char **why_out, const char *why)
{
    *why_out = why;
    return false;
}

bool sp_basic_decode(struct sp_basic *basic, struct sp_span token, const char **why_out)
{
    struct sp_span text;

    basic->user = basic->password = SP_SPAN_NONE;
    basic->raw_len = basic->utf8_len = 0;
    if (sp_base64_decoded_max(token.len) > sizeof(basic->raw))
        return refuse(why_out, "user and password are too long");
    basic->raw_len = sizeof(basic->raw); /* a decoder that fails has written some of it */
    if (token.len == 0 || sp_base64_decode(token, basic->raw, &text.len) != SP_OK)
        return refuse(why_out, "not base64");
    basic->raw_len = text.len;
    text.base = basic->raw;
    if (text.len > SP_BASIC_BYTES_MAX)
        return refuse(why_out, "user and password are too long");
    if (!sp_text_is_utf8(text)) { /* an old client: ISO 8859-1, once and for both */
        text.len = basic->utf8_len = sp_text_from_latin1(text, basic->utf8);
        text.base = basic->utf8;
    }
    if (!split(basic, text))
        return refuse(why_out, "no colon between user and password");
    if (sp_text_has_control(text))
        return refuse(why_out, "control characters in user or password");
    if (basic->user.len == 0)
        return refuse(why_out, "empty user name");
    /* a simple bind with an empty password succeeds and proves nothing (RFC 4513 5.1.2) */
    if (basic->password.len == 0)
        return refuse(why_out, "empty password");
    if (basic->user.len > SP_BASIC_USER_MAX || basic->password.len > SP_BASIC_PASSWORD_MAX)
        return refuse(why_out, "user or password is too long");
    return true;
}

void sp_basic_fini(struct sp_basic *basic)
{
    sp_wipe(basic->raw, basic->raw_len);
    sp_wipe(basic->utf8, basic->utf8_len);
    basic->user = basic->password = SP_SPAN_NONE;
}
