/* Any bytes to the control socket and to the status page's port: an answer of the protocol's form,
 * whatever they are, and the same whether they come at once or bit by bit. Reloads and the like are
 * not done: of the events only those stand that take a word, which is one of text. */
#include "admin/admin_priv.h"
#include "stats/stats.h"
#include "util/span.h"
#include "util/text.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* ---- who is asked about ---- */

static void must_be_a_word(struct sp_span word)
{
    must(word.base != NULL && word.len > 0 && word.len < SP_ADMIN_LINE_MAX);
    must(sp_text_is_utf8(word) && !sp_text_has_control(word));
    must(sp_span_eq(sp_span_trim(word), word));
}

static enum sp_err on_why(void *owner, struct sp_span word, struct sp_buf *words)
{
    (void)owner;
    must_be_a_word(word);
    return word.len % 2 == 0 ? sp_buf_append(words, word) : SP_ERR_NOT_FOUND;
}

static void on_flush(void *owner, struct sp_span user)
{
    (void)owner;
    if (user.base != NULL)
        must_be_a_word(user);
}

static void *on_follow(void *owner, struct sp_span word)
{
    must_be_a_word(word);
    return word.len % 2 == 0 ? owner : NULL;
}

/* ---- a question ---- */

/* How the answer begins, "" while there is none. */
static void ask(enum sp_admin_kind kind, struct sp_span bytes, size_t step, char begins[16])
{
    static const struct sp_http_limits limits = {
        .head_size = SP_ADMIN_HEAD_MAX, .fields = 64, .target_size = 1024};
    static const struct sp_log quiet = {NULL, NULL};
    struct sp_admin admin = {.log = &quiet, .loop = uv_default_loop()};
    int owner = 0;
    struct sp_admin_conn *conn = calloc(1, sizeof(*conn));
    bool whole = false;

    must(conn != NULL);
    sp_list_init(&admin.conns);
    admin.events = (struct sp_admin_events){
        .why = on_why, .flush = on_flush, .follow = on_follow, .owner = &owner};
    conn->admin = &admin;
    conn->kind = kind;
    conn->parser = kind == SP_ADMIN_HTTP ? sp_http_parser_new(&limits) : NULL;
    sp_buf_init(&conn->out, SP_ADMIN_ANSWER_MAX);
    for (size_t at = 0; at < bytes.len && !whole; at += step) {
        size_t len = bytes.len - at < step ? bytes.len - at : step;

        memcpy(conn->in + conn->in_len, bytes.base + at, len);
        conn->in_len += len;
        whole = kind == SP_ADMIN_HTTP ? sp_admin_http_answer(conn) : sp_admin_control_answer(conn);
    }
    memset(begins, 0, 16);
    if (whole && conn->out.len > 0)
        memcpy(begins, sp_buf_span(&conn->out).base, conn->out.len < 12 ? conn->out.len : 12);
    must(!whole || conn->out.len > 0);
    sp_buf_fini(&conn->out);
    sp_http_parser_free(&conn->parser);
    free(conn);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    const struct sp_span bytes = {(const char *)data, size};
    char whole[16], bits[16];

    if (!ready)
        must(sp_stats_init(1) == SP_OK);
    ready = true;
    if (size == 0 || size > 1000)
        return 0;
    ask(SP_ADMIN_CONTROL, bytes, size, whole);
    ask(SP_ADMIN_CONTROL, bytes, 1, bits);
    must(whole[0] == '\0' || memcmp(whole, "ok\n", 3) == 0 || memcmp(whole, "no\n", 3) == 0);
    must(memcmp(whole, bits, 3) == 0);
    ask(SP_ADMIN_HTTP, bytes, size, whole);
    ask(SP_ADMIN_HTTP, bytes, 1, bits);
    must(whole[0] == '\0' || memcmp(whole, "HTTP/1.1 ", 9) == 0);
    /* which of several faults is met first may depend on how they come */
    must(memcmp(whole, bits, 12) == 0 ||
         (memcmp(whole, bits, 10) == 0 && memcmp(whole, "HTTP/1.1 4", 10) == 0));
    return 0;
}
