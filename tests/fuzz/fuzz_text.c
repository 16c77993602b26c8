/* Util's small readers of foreign bytes: base 64, UTF-8, lists of HTTP, numbers. What is read is
 * written again as the same, what may stand in a log is one harmless word, and nothing is longer
 * than its room. */
#include "util/base64.h"
#include "util/span.h"
#include "util/text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX 1024u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* Strict: a text that is accepted is the one that its bytes are written as. */
static void base64(struct sp_span text)
{
    char bytes[INPUT_MAX], again[2 * INPUT_MAX];
    size_t len;

    sp_base64_encode(again, text);
    must(sp_base64_decode(sp_span_of(again, sp_base64_encoded_len(text.len)), bytes, &len) ==
         SP_OK);
    must(sp_span_eq(sp_span_of(bytes, len), text));
    if (sp_base64_decode(text, bytes, &len) != SP_OK)
        return;
    must(len <= sp_base64_decoded_max(text.len));
    must(sp_base64_encoded_len(len) == text.len);
    sp_base64_encode(again, sp_span_of(bytes, len));
    must(sp_span_eq(sp_span_of(again, text.len), text));
}

static void letters(struct sp_span text)
{
    char lower[4 * INPUT_MAX], twice[4 * INPUT_MAX], utf8[2 * INPUT_MAX];
    size_t at = 0, len, len_twice;
    uint32_t letter;
    size_t step = 1;

    while (at < text.len && step > 0) {
        step = sp_text_decode(sp_span_of(text.base + at, text.len - at), &letter);
        must(step <= 4 && at + step <= text.len);
        must(step == 0 || (letter <= 0x10ffff && (letter < 0xd800 || letter > 0xdfff)));
        at += step;
    }
    must((at == text.len) == sp_text_is_utf8(text));
    len = sp_text_from_latin1(text, utf8);
    must(len <= 2 * text.len && sp_text_is_utf8(sp_span_of(utf8, len)));
    if (sp_text_lower(text, lower, sizeof(lower), &len) != SP_OK)
        return;
    must(sp_text_is_utf8(text) && sp_text_is_utf8(sp_span_of(lower, len)));
    must(sp_text_lower(sp_span_of(lower, len), twice, sizeof(twice), &len_twice) == SP_OK);
    must(sp_span_eq(sp_span_of(lower, len), sp_span_of(twice, len_twice)));
}

static void harmless(struct sp_span text)
{
    char room[300];

    for (size_t cap = 1; cap <= sizeof(room); cap += 37) {
        struct sp_span safe = sp_span_cstr(sp_text_safe(text, room, cap));

        must(safe.len < cap && sp_text_is_utf8(safe) && !sp_text_has_control(safe));
        must(memchr(safe.base, '"', safe.len) == NULL);
    }
}

static void lists(struct sp_span text)
{
    struct sp_span rest = text, element;
    const char *after = text.base;

    while (sp_span_next_element(&rest, &element)) {
        must(element.len > 0 && element.base >= after);
        must(element.base + element.len <= text.base + text.len);
        must(sp_span_eq(sp_span_trim(element), element));
        after = element.base + element.len;
    }
}

static void numbers(struct sp_span text)
{
    uint64_t value, again;
    char written[24];

    if (sp_span_to_u64(text, &value) != SP_OK)
        return;
    (void)snprintf(written, sizeof(written), "%llu", (unsigned long long)value);
    must(sp_span_to_u64(sp_span_cstr(written), &again) == SP_OK && again == value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct sp_span text = {size > 0 ? (const char *)data : "", size};

    if (size > INPUT_MAX)
        return 0;
    base64(text);
    letters(text);
    harmless(text);
    lists(text);
    numbers(text);
    return 0;
}
