/* What people ask about: an id, a user or an address, compared as a person would. Pure. */
#include "trace/trace_priv.h"

#include "util/span.h"
#include "util/text.h"

#include <string.h>

enum sp_err sp_trace_word_init(struct sp_trace_word *word, struct sp_span text)
{
    size_t len = 0;

    if (text.len == 0 || text.len > sizeof(word->raw))
        return SP_ERR_INVALID;
    memcpy(word->raw, text.base, text.len);
    word->text = sp_span_of(word->raw, text.len);
    word->lower = SP_SPAN_NONE;
    if (sp_text_lower(word->text, word->folded, sizeof(word->folded), &len) == SP_OK)
        word->lower = sp_span_of(word->folded, len);
    word->is_addr = sp_addr_parse_ip(&word->addr, word->text) == SP_OK;
    return SP_OK;
}

/* CORP\alice and alice@corp.test without their domain. */
static struct sp_span local_part(struct sp_span name)
{
    const char *backslash = name.len > 0 ? memchr(name.base, '\\', name.len) : NULL;
    const char *at = name.len > 0 ? memchr(name.base, '@', name.len) : NULL;

    if (backslash != NULL)
        return sp_span_of(backslash + 1, name.len - (size_t)(backslash + 1 - name.base));
    if (at != NULL)
        return sp_span_of(name.base, (size_t)(at - name.base));
    return name;
}

/* Two domains that are both named have to be the same; one that is not named may be any. */
bool sp_trace_word_is_user(const struct sp_trace_word *word, struct sp_span user)
{
    char folded[SP_TRACE_WORD_MAX];
    struct sp_span lower, asked = local_part(word->lower), found;
    size_t len = 0;

    if (user.len == 0 || asked.len == 0 ||
        sp_text_lower(user, folded, sizeof(folded), &len) != SP_OK)
        return false;
    lower = sp_span_of(folded, len);
    if (sp_span_eq(word->lower, lower))
        return true;
    found = local_part(lower);
    return sp_span_eq(asked, found) && (asked.len == word->lower.len || found.len == lower.len);
}

bool sp_trace_word_is_client(const struct sp_trace_word *word, const struct sp_addr *client)
{
    return word->is_addr && sp_addr_same_ip(&word->addr, client);
}
