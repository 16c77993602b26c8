/* Bodies: payload told from framing however the bytes arrive, and chunk grammar that is not RFC
 * 9112 7.1 refused. */
#include "heads.h"

/* Everything fed in pieces of `step` bytes; payload and trailers collected. */
struct outcome {
    enum sp_err err;
    const char *why;
    bool done;
    size_t used;
    char payload[4096];
    size_t payload_len;
    char trailer[2048];
};

static void feed_piece(struct sp_http_body *body, struct sp_span piece, struct outcome *out)
{
    struct sp_span data;
    size_t used = 1;

    while (out->err == SP_OK && used > 0 && !body->done) {
        out->err = sp_http_body_feed(body, piece, &used, &data, &out->why);
        if (out->err != SP_OK)
            return;
        assert_in_range(used, 0, piece.len);
        if (data.len > 0) {
            assert_true(data.base >= piece.base && data.base + data.len <= piece.base + piece.len);
            assert_in_range(out->payload_len + data.len, 0, sizeof out->payload);
            memcpy(out->payload + out->payload_len, data.base, data.len);
            out->payload_len += data.len;
        }
        out->used += used;
        piece = sp_span_of(piece.base + used, piece.len - used);
    }
}

static void feed(struct sp_http_framing framing, struct sp_span bytes, size_t step,
                 struct outcome *out)
{
    struct sp_http_body body;
    struct sp_span trailer;

    memset(out, 0, sizeof *out);
    sp_http_body_init(&body, framing);
    for (size_t at = 0; at < bytes.len && out->err == SP_OK && !body.done; at += step) {
        size_t len = bytes.len - at < step ? bytes.len - at : step;
        struct sp_span piece = exactly(sp_span_of(bytes.base + at, len));

        feed_piece(&body, piece, out);
        release(piece);
    }
    trailer = sp_buf_span(&body.trailer);
    assert_in_range(trailer.len, 0, sizeof out->trailer - 1);
    memcpy(out->trailer, trailer.base, trailer.len);
    out->done = body.done;
    sp_http_body_fini(&body);
}

static const struct sp_http_framing chunked = {SP_BODY_CHUNKED, 0};

static void check_chunked(struct sp_span bytes, const char *payload, const char *trailer,
                          size_t rest)
{
    struct outcome out;

    for (size_t step = 1; step <= bytes.len; step++) {
        feed(chunked, bytes, step, &out);
        if (out.err != SP_OK || !out.done)
            fail_msg("step %zu: %s, done %d", step, out.why != NULL ? out.why : "no fault",
                     out.done);
        assert_span(sp_span_of(out.payload, out.payload_len), payload);
        assert_string_equal(out.trailer, trailer);
        assert_int_equal(out.used, bytes.len - rest);
    }
}

static void check_refused(struct sp_span bytes, const char *why)
{
    struct outcome out;

    for (size_t step = 1; step <= bytes.len; step++) {
        feed(chunked, bytes, step, &out);
        if (out.err != SP_ERR_INVALID)
            fail_msg("accepted with step %zu: %.*s", step, SP_SPAN_ARG(bytes));
        if (strstr(out.why, why) == NULL)
            fail_msg("\"%s\" does not say \"%s\": %.*s", out.why, why, SP_SPAN_ARG(bytes));
    }
}

#define CHUNKED(bytes, payload, trailer, rest) \
    check_chunked(SP_SPAN_LIT(bytes), payload, trailer, rest)
#define REFUSED(bytes, why) check_refused(SP_SPAN_LIT(bytes), why)

static void chunks_are_unwrapped_however_they_arrive(void **state)
{
    (void)state;
    CHUNKED("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world", "", 0);
    CHUNKED("0\r\n\r\n", "", "", 0);
    CHUNKED("A\r\n0123456789\r\n0a\r\n0123456789\r\n000\r\n\r\n", "01234567890123456789", "", 0);
    CHUNKED("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", "", 0);
}

static void what_follows_the_body_is_not_touched(void **state)
{
    (void)state;
    CHUNKED("1\r\nx\r\n0\r\n\r\nGET http://next/ HTTP/1.1\r\n", "x", "", 27);
}

static void well_formed_extensions_are_skipped(void **state)
{
    (void)state;
    CHUNKED("1;a\r\nx\r\n0\r\n\r\n", "x", "", 0);
    CHUNKED("1;a=b;c\r\nx\r\n0;last\r\n\r\n", "x", "", 0);
    CHUNKED("1;a=\"q;\\\"\\\\ \"\r\nx\r\n0\r\n\r\n", "x", "", 0);
}

static void odd_sizes_are_refused(void **state)
{
    (void)state;
    REFUSED("\r\n", "without a hexadecimal size");
    REFUSED("x\r\n", "without a hexadecimal size");
    REFUSED("-1\r\n", "without a hexadecimal size");
    REFUSED("+1\r\n", "without a hexadecimal size");
    REFUSED(" 1\r\n", "without a hexadecimal size");
    REFUSED("0x1\r\nx\r\n", "not a hexadecimal number");
    REFUSED("1 \r\nx\r\n", "not a hexadecimal number");
    REFUSED("1\t;a\r\nx\r\n", "not a hexadecimal number");
    REFUSED("1g\r\n", "not a hexadecimal number");
    REFUSED("1_0\r\n", "not a hexadecimal number");
    REFUSED("1\nx\r\n", "not a hexadecimal number");
    REFUSED("1\rx", "bare CR");
    REFUSED("1\r\r\n", "bare CR");
    REFUSED("8000000000000000\r\n", "larger than any");
    REFUSED("ffffffffffffffff\r\n", "larger than any");
    REFUSED("10000000000000000\r\n", "too many digits");
    REFUSED("00000000000000001\r\n", "too many digits");
}

static void odd_extensions_are_refused(void **state)
{
    (void)state;
    REFUSED("1;\r\nx\r\n", "extension");
    REFUSED("1; a\r\nx\r\n", "extension");
    REFUSED("1;a \r\nx\r\n", "extension");
    REFUSED("1;a=\r\nx\r\n", "extension");
    REFUSED("1;a =b\r\nx\r\n", "extension");
    REFUSED("1;a==b\r\nx\r\n", "extension");
    REFUSED("1;a=b\nx\r\n", "extension");
    REFUSED("1;\n\r\n", "extension");
    REFUSED("1;a=\"b\r\nx\r\n", "extension");
    REFUSED("1;a=\"b\"c\r\nx\r\n", "extension");
    REFUSED("1;a=\"b\\\n\"\r\n", "extension");
    REFUSED("1;a\0\r\nx\r\n", "extension");
    REFUSED("1;a\x7f\r\nx\r\n", "extension");
    REFUSED("1;\x80\r\nx\r\n", "extension");
}

/* TERM.EXT, EXT.TERM, TERM.SPILL: where a line ends for one reader and an extension goes on for
 * another, or a chunk has more behind it than its CRLF. */
static void line_ends_in_and_around_chunks_are_refused(void **state)
{
    (void)state;
    REFUSED("1;\nx\r\n0\r\n\r\n", "extension");
    REFUSED("1;a\nx\r\n0\r\n\r\n", "extension");
    REFUSED("1;a\rx\r\n0\r\n\r\n", "bare CR");
    REFUSED("1;a\r\r\nx\r\n", "bare CR");
    REFUSED("1;a=\"\r\nx\"\r\n", "extension");
    REFUSED("1;a=b\n;c\r\nx\r\n", "extension");
    REFUSED("1\n;a\r\nx\r\n", "not a hexadecimal number");
    REFUSED("1\r;a\r\nx\r\n", "bare CR");
    REFUSED("1\r\nxAB0\r\n\r\n", "longer than its size");
    REFUSED("1\r\nx\r\r\n0\r\n\r\n", "bare CR");
    REFUSED("1\r\nx\n\r\n0\r\n\r\n", "longer than its size");
    REFUSED("1\r\nx\r\n\r\n0\r\n\r\n", "without a hexadecimal size");
    REFUSED("0\r\n\rX\r\n", "colon");
    REFUSED("0;a\n\r\n", "extension");
}

static void chunks_that_are_not_as_long_as_they_say_are_refused(void **state)
{
    (void)state;
    REFUSED("1\r\nxy\r\n", "longer than its size");
    REFUSED("1\r\nx\n0\r\n\r\n", "longer than its size");
    REFUSED("1\r\nx0\r\n\r\n", "longer than its size");
    REFUSED("1\r\nx\rX", "bare CR");
}

static void an_extension_without_end_is_refused(void **state)
{
    char line[2048];
    struct outcome out;

    (void)state;
    memset(line, 'a', sizeof line);
    memcpy(line, "1;", 2);
    feed(chunked, sp_span_of(line, sizeof line), sizeof line, &out);
    assert_int_equal(out.err, SP_ERR_INVALID);
    assert_non_null(strstr(out.why, "too long"));
}

static void trailers_are_kept_but_for_those_that_change_the_message(void **state)
{
    (void)state;
    CHUNKED("0\r\nX-Sum: 1\r\n\r\n", "", "X-Sum: 1\r\n", 0);
    CHUNKED("0\r\nA: 1\r\nContent-Length: 5\r\nB: 2\r\n\r\n", "", "A: 1\r\nB: 2\r\n", 0);
    CHUNKED("0\r\nTransfer-Encoding: chunked\r\nHost: evil\r\nProxy-Authorization: x\r\n"
            "Set-Cookie: a\r\nConnection: close\r\n\r\nrest",
            "", "", 4);
    CHUNKED("0\r\nContent_Length: 5\r\ntransfer_encoding: x\r\nIf-Match: a\r\nX-Real-IP: b\r\n\r\n",
            "", "", 0);
}

static void odd_trailers_are_refused(void **state)
{
    (void)state;
    REFUSED("0\r\nA : 1\r\n\r\n", "token");
    REFUSED("0\r\n A: 1\r\n\r\n", "token");
    REFUSED("0\r\n: 1\r\n\r\n", "token");
    REFUSED("0\r\nA\r\n\r\n", "colon");
    REFUSED("0\r\nA: 1\n\r\n", "bare LF");
    REFUSED("0\r\n\n", "bare LF");
    REFUSED("0\r\nA: 1\r\n 2\r\n\r\n", "colon");
    REFUSED("0\r\nA: 1\r2\r\n\r\n", "control");
    REFUSED("0\r\nA: \0\r\n\r\n", "control");
    REFUSED("0\r\nGET http://h/ HTTP/1.1\r\n\r\n", "token");
}

static void a_trailer_section_without_end_is_refused(void **state)
{
    static const char *const lines[] = {"A: 0123456789\r\n", "Content-Length: 1\r\n"};

    (void)state;
    for (size_t kind = 0; kind < 2; kind++) { /* kept, and dropped: both count */
        struct sp_http_body body;
        struct sp_span data;
        const char *why;
        size_t used;
        enum sp_err err;

        sp_http_body_init(&body, chunked);
        assert_int_equal(sp_http_body_feed(&body, SP_SPAN_LIT("0\r\n"), &used, &data, &why), SP_OK);
        for (unsigned i = 0; i < 2000; i++) {
            err = sp_http_body_feed(&body, sp_span_cstr(lines[kind]), &used, &data, &why);
            if (err != SP_OK)
                break;
        }
        assert_int_equal(err, SP_ERR_INVALID);
        assert_non_null(strstr(why, "too large"));
        sp_http_body_fini(&body);
    }
}

static void a_body_of_known_length_ends_there(void **state)
{
    struct outcome out;

    (void)state;
    for (size_t step = 1; step < 8; step++) {
        feed((struct sp_http_framing){SP_BODY_LENGTH, 5}, SP_SPAN_LIT("helloGET"), step, &out);
        assert_true(out.done);
        assert_span(sp_span_of(out.payload, out.payload_len), "hello");
        assert_int_equal(out.used, 5);
    }
    feed((struct sp_http_framing){SP_BODY_LENGTH, 6}, SP_SPAN_LIT("hello"), 2, &out);
    assert_false(out.done);
}

static enum sp_err close_after(struct sp_http_framing framing, const char *text, bool *done_out)
{
    struct sp_http_body body;
    struct sp_span data;
    const char *why;
    size_t used;
    enum sp_err err;

    sp_http_body_init(&body, framing);
    assert_int_equal(sp_http_body_feed(&body, sp_span_cstr(text), &used, &data, &why), SP_OK);
    err = sp_http_body_feed(&body, SP_SPAN_NONE, &used, &data, &why);
    assert_int_equal(used, 0);
    *done_out = body.done;
    sp_http_body_fini(&body);
    return err;
}

static void a_close_ends_only_a_body_without_length(void **state)
{
    bool done;

    (void)state;
    assert_int_equal(close_after((struct sp_http_framing){SP_BODY_UNTIL_CLOSE, 0}, "abc", &done),
                     SP_OK);
    assert_true(done);
    assert_int_equal(close_after((struct sp_http_framing){SP_BODY_LENGTH, 4}, "abc", &done),
                     SP_ERR_CLOSED);
    assert_false(done);
    assert_int_equal(close_after((struct sp_http_framing){SP_BODY_LENGTH, 3}, "abc", &done), SP_OK);
    assert_true(done);
    assert_int_equal(close_after(chunked, "1\r\nx", &done), SP_ERR_CLOSED);
    assert_false(done);
}

static void no_body_is_done_at_once(void **state)
{
    struct sp_http_body body;

    (void)state;
    sp_http_body_init(&body, (struct sp_http_framing){SP_BODY_NONE, 0});
    assert_true(body.done);
    sp_http_body_fini(&body);
    sp_http_body_init(&body, (struct sp_http_framing){SP_BODY_LENGTH, 0});
    assert_true(body.done);
    sp_http_body_fini(&body);
}

static void check_chunk_head(uint64_t len, const char *text)
{
    char head[20];

    assert_span(sp_span_of(head, sp_http_chunk_head(len, head)), text);
}

static void chunk_heads_are_written_in_hexadecimal(void **state)
{
    (void)state;
    check_chunk_head(0, "0\r\n");
    check_chunk_head(15, "f\r\n");
    check_chunk_head(16, "10\r\n");
    check_chunk_head(0x1f4, "1f4\r\n");
    check_chunk_head(UINT64_MAX, "ffffffffffffffff\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_are_unwrapped_however_they_arrive),
        cmocka_unit_test(what_follows_the_body_is_not_touched),
        cmocka_unit_test(well_formed_extensions_are_skipped),
        cmocka_unit_test(odd_sizes_are_refused),
        cmocka_unit_test(odd_extensions_are_refused),
        cmocka_unit_test(line_ends_in_and_around_chunks_are_refused),
        cmocka_unit_test(chunks_that_are_not_as_long_as_they_say_are_refused),
        cmocka_unit_test(an_extension_without_end_is_refused),
        cmocka_unit_test(trailers_are_kept_but_for_those_that_change_the_message),
        cmocka_unit_test(odd_trailers_are_refused),
        cmocka_unit_test(a_trailer_section_without_end_is_refused),
        cmocka_unit_test(a_body_of_known_length_ends_there),
        cmocka_unit_test(a_close_ends_only_a_body_without_length),
        cmocka_unit_test(no_body_is_done_at_once),
        cmocka_unit_test(chunk_heads_are_written_in_hexadecimal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
