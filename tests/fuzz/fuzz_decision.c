/* Decisions whose texts are any bytes: remembered they are what they were, as far as there is room;
 * they are found again; as `ctl` tells them they are one line of JSON; and what people are shown of
 * it, or of any line that is no decision, gives a terminal no orders.
 *
 * The input is cut at bytes of 0xff into the texts of a decision. */
#include "app/decision.h"
#include "trace/trace_priv.h"
#include "util/hash.h"
#include "util/span.h"
#include "util/text.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOOK_MAX 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void cut(struct sp_span bytes, struct sp_decision *d)
{
    *d = (struct sp_decision){.conn = 7, .ordinal = 2, .first = 2, .status = 407, .ms = UINT64_MAX};
    d->wall_ms = 1700000000000;
    if (bytes.len > 0) {
        d->scheme = (enum sp_scheme)((unsigned char)bytes.base[0] % 3);
        d->how = (enum sp_auth_how)((unsigned char)bytes.base[0] / 3 % 5);
        d->reason = (enum sp_reason)((unsigned char)bytes.base[bytes.len - 1] % SP_REASON_COUNT);
        memcpy(d->client.ip, bytes.base, bytes.len < 16 ? bytes.len : 16);
    }
    for (size_t i = 0; i < SP_DECISION_TEXTS; i++) {
        const char *end = bytes.len > 0 ? memchr(bytes.base, 0xff, bytes.len) : NULL;
        size_t len = end != NULL ? (size_t)(end - bytes.base) : bytes.len;

        d->text[i] = sp_span_of(bytes.base, len);
        bytes.base += len + (end != NULL ? 1 : 0);
        bytes.len -= len + (end != NULL ? 1 : 0);
    }
}

/* ---- remembered ---- */

static void must_begin_alike(struct sp_span kept, struct sp_span whole)
{
    if (kept.len == whole.len) {
        must(sp_span_eq(kept, whole));
        return;
    }
    must(kept.len < whole.len && kept.len >= 3);
    must(memcmp(kept.base, whole.base, kept.len - 3) == 0);
    must(memcmp(kept.base + kept.len - 3, "...", 3) == 0);
}

static void remember(const struct sp_decision *d)
{
    static union {
        struct sp_trace_record record;
        char room[SP_TRACE_RECORD_MAX];
    } memory;
    uint64_t fold = sp_trace_fold_of(d);
    struct sp_decision again;

    must(sp_trace_record_write(&memory.record, d, fold) <= SP_TRACE_RECORD_MAX);
    for (unsigned i = 1; fold != 0 && i < SP_TRACE_FOLDED; i++)
        sp_trace_record_fold(&memory.record, d);
    sp_trace_record_read(&memory.record, &again);
    must(again.count == (fold != 0 ? SP_TRACE_FOLDED : 1) && again.status == d->status);
    must(memcmp(&again.client, &d->client, sizeof(again.client)) == 0);
    must(again.ms == UINT32_MAX && again.reason == d->reason && again.how == d->how);
    for (size_t i = SP_DECISION_ID + 1; i < SP_DECISION_TEXTS; i++)
        must_begin_alike(again.text[i], d->text[i]);
}

static void note(void *owner, const struct sp_decision *d)
{
    bool *found = owner;

    (void)d;
    *found = true;
}

static void look_up(const struct sp_decision *d, struct sp_span word)
{
    static struct sp_trace_book *book;
    static unsigned added;
    struct sp_span id = d->text[SP_DECISION_ID];
    bool found = false;

    if (added++ % BOOK_MAX == 0) { /* a full one takes long to be searched */
        sp_trace_book_free(&book);
        book = sp_trace_book_new(1, NULL, NULL);
    }
    must(book != NULL);
    sp_trace_add(sp_trace_of(book, 0), d);
    if (id.len > 0 && id.len <= SP_TRACE_ID_MAX && memchr(id.base, '\0', id.len) == NULL) {
        must(sp_trace_find(book, id, 10, note, &found) == SP_OK);
        must(found);
    }
    (void)sp_trace_find(book, word, 10, note, &found);
}

/* ---- told ---- */

static void must_give_no_orders(struct sp_span shown)
{
    uint32_t letter = 0;
    size_t step;

    for (size_t at = 0; at < shown.len; at += step) {
        step = sp_text_decode(sp_span_of(shown.base + at, shown.len - at), &letter);
        must(step > 0);
        must(letter == '\n' || (letter >= 0x20 && (letter < 0x7f || letter > 0x9f)));
    }
}

static bool show(struct sp_span line)
{
    struct sp_app_printer printer;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    bool well;

    must(out != NULL);
    sp_app_printer_init(&printer, out, false);
    well = sp_app_decision_show(&printer, line);
    sp_app_printer_fini(&printer);
    must(fclose(out) == 0);
    must_give_no_orders(sp_span_of(text, len));
    free(text);
    return well;
}

static void tell(const struct sp_decision *d)
{
    struct sp_span user = d->text[SP_DECISION_USER];
    struct sp_buf lines;
    struct sp_span line;
    json_t *object;

    sp_buf_init(&lines, 1024 * 1024);
    must(sp_app_decision_write(&lines, d) == SP_OK);
    line = sp_buf_span(&lines);
    must(memchr(line.base, '\n', line.len) == line.base + line.len - 1);
    object = json_loadb(line.base, line.len, JSON_REJECT_DUPLICATES, NULL);
    must(json_is_object(object));
    if (user.len < 200 && sp_text_is_utf8(user) && memchr(user.base, '\0', user.len) == NULL)
        must(sp_span_eq(sp_span_cstr(json_string_value(json_object_get(object, "user"))), user));
    json_decref(object);
    must(show(line));
    sp_buf_fini(&lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    const struct sp_span bytes = {size > 0 ? (const char *)data : "", size};
    struct sp_decision d;

    if (!ready)
        must(sp_hash_setup() == SP_OK);
    ready = true;
    if (size > 8192)
        return 0;
    cut(bytes, &d);
    remember(&d);
    look_up(&d, d.text[SP_DECISION_USER]);
    tell(&d);
    (void)show(bytes);
    return 0;
}
