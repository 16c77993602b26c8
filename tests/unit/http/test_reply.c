/* Answers of the proxy's own: well-formed by our own reading of them, with the words that logs and
 * people look for, and nothing in them that could be taken for markup or a second field. */
#include "heads.h"

#include "http/reply.h"

static struct sp_buf out;
static char text[16384];

static int setup(void **state)
{
    (void)state;
    sp_buf_init(&out, 16384);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sp_buf_fini(&out);
    return 0;
}

/* Writes it, reads it back with the response parser, and leaves it in `text`. */
static void write_reply(const struct sp_http_reply *reply)
{
    struct sp_http_parser *parser = new_parser();
    struct sp_http_response response;
    struct sp_http_fault fault;
    struct sp_span bytes;

    sp_buf_reset(&out);
    assert_int_equal(sp_http_write_reply(&out, reply), SP_OK);
    bytes = sp_buf_span(&out);
    memcpy(text, bytes.base, bytes.len);
    text[bytes.len] = '\0';
    if (sp_http_parse_response(parser, bytes, SP_HTTP_GET, &response, &fault) != SP_OK)
        fail_msg("our own answer is refused (%s):\n%s", fault.why, text);
    assert_int_equal(response.status, reply->status);
    assert_int_equal(response.head.body.kind, SP_BODY_LENGTH);
    if (!reply->head_only)
        assert_int_equal(response.head.size + response.head.body.length, bytes.len);
    sp_http_parser_free(&parser);
}

static void assert_has(const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("no \"%s\" in:\n%s", part, text);
}

static void assert_has_not(const char *part)
{
    if (strstr(text, part) != NULL)
        fail_msg("\"%s\" in:\n%s", part, text);
}

static void a_407_has_one_line_per_challenge_in_order(void **state)
{
    const struct sp_span challenges[] = {SP_SPAN_LIT("Negotiate"),
                                         SP_SPAN_LIT("Basic realm=\"x\", charset=\"UTF-8\"")};
    const struct sp_http_reply reply = {.status = 407,
                                        .reason = "no_credentials",
                                        .challenges = challenges,
                                        .challenges_len = 2,
                                        .final_token = SP_SPAN_LIT("Negotiate never"),
                                        .id = SP_SPAN_LIT("abc-1")};

    (void)state;
    write_reply(&reply);
    assert_has("HTTP/1.1 407 Proxy Authentication Required\r\n");
    assert_has("Proxy-Authenticate: Negotiate\r\n"
               "Proxy-Authenticate: Basic realm=\"x\", charset=\"UTF-8\"\r\n");
    assert_has("Proxy-Status: sallyport; error=proxy_internal_response; "
               "details=\"no_credentials\"; id=\"abc-1\"\r\n");
    assert_has("Cache-Control: no-store\r\n");
    assert_has("Content-Type: text/plain; charset=utf-8\r\n");
    assert_has("reason no_credentials, id abc-1");
    assert_has("\r\nDate: ");
    assert_has_not("Connection:");
    assert_has_not("never");
}

static void a_page_is_html_for_those_who_take_it(void **state)
{
    const struct sp_http_reply reply = {.status = 403,
                                        .reason = "denied",
                                        .details = SP_SPAN_LIT("rule \"staff\""),
                                        .html = true,
                                        .final_token = SP_SPAN_LIT("Negotiate oQ=="),
                                        .close = true};

    (void)state;
    write_reply(&reply);
    assert_has("HTTP/1.1 403 Forbidden\r\n");
    assert_has("Proxy-Authenticate: Negotiate oQ==\r\n");
    assert_has("error=http_request_denied; details=\"denied; rule \\\"staff\\\"\"\r\n");
    assert_has("Connection: close\r\n");
    assert_has("<!DOCTYPE html>");
    assert_has("rule &quot;staff&quot;");
    assert_has("<code>denied</code>");
    assert_has("</html>\n");
}

static void words_end_in_a_whole_letter(void **state)
{
    struct sp_http_reply reply = {.status = 502, .reason = "upstream"};
    char many[600];

    (void)state;
    reply.details = SP_SPAN_LIT("stra\xc3\x9f");
    write_reply(&reply);
    assert_has("\nstra\xc3\x9f\n");
    reply.details = SP_SPAN_LIT("stra\xc3"); /* cut by whoever made it */
    write_reply(&reply);
    assert_has("\nstra\n");
    reply.details = SP_SPAN_LIT("5 \xe2\x82\xac, 6 \xe2\x82");
    write_reply(&reply);
    assert_has("\n5 \xe2\x82\xac, 6 \n");
    memset(many, 'x', sizeof many);
    memcpy(many + 511, "\xc3\xbc", 2); /* the page takes 512 bytes */
    reply.details = sp_span_of(many, sizeof many);
    write_reply(&reply);
    assert_has("xxx\n");
    assert_has_not("\xc3");
}

static void words_from_outside_cannot_become_markup_or_fields(void **state)
{
    struct sp_http_reply reply = {
        .status = 502,
        .reason = "upstream",
        .details = SP_SPAN_LIT("<script>alert(1)</script>\r\nX-Evil: 1\x00\x7f \xc3\xbc \\ &"),
        .id = SP_SPAN_LIT("\"><b>\r\n"),
        .via = SP_SPAN_LIT("our \"door\"\r\n"),
        .html = true};

    (void)state;
    write_reply(&reply);
    assert_null(strstr(strstr(text, "\r\n\r\n"), "<script>"));
    assert_null(strstr(strstr(text, "\r\n\r\n"), "<b>"));
    assert_has_not("\r\nX-Evil");
    assert_has("Proxy-Status: \"our \\\"door\\\"??\"; error=http_protocol_error; ");
    assert_has("details=\"upstream; <script>alert(1)</script>??X-Evil: 1?? ?? \\\\ &\"");
    assert_has("&lt;script&gt;");
    reply.html = false;
    write_reply(&reply);
    assert_has_not("\nX-Evil");
}

static void details_without_end_are_cut_between_characters(void **state)
{
    static char details[20000];
    struct sp_http_reply reply = {.status = 400, .reason = "malformed", .html = true};

    (void)state;
    for (size_t i = 0; i < sizeof details; i++)
        details[i] = i % 2 == 0 ? '\xc3' : '\xbc';
    details[0] = '"';
    details[1] = '<';
    reply.details = sp_span_of(details + 1, sizeof details - 1); /* odd: the cut falls within */
    reply.id = reply.details;
    write_reply(&reply);
    assert_has("</html>\n");
    memset(details, '"', sizeof details);
    write_reply(&reply);
    assert_has("</html>\n");
}

static void head_gets_the_length_and_no_page(void **state)
{
    const struct sp_http_reply reply = {
        .status = 503, .reason = "overloaded", .retry_after_s = 5, .head_only = true};
    struct sp_span bytes;

    (void)state;
    write_reply(&reply);
    bytes = sp_buf_span(&out);
    assert_has("Retry-After: 5\r\n");
    assert_memory_equal(bytes.base + bytes.len - 4, "\r\n\r\n", 4);
    assert_has_not("Content-Length: 0\r\n");
}

static void every_reason_has_words_of_its_own(void **state)
{
    static const char *const reasons[] = {"no_credentials",
                                          "bad_credentials",
                                          "handshake",
                                          "blocked",
                                          "account",
                                          "loop",
                                          "directory_unavailable",
                                          "overloaded",
                                          "denied",
                                          "malformed",
                                          "dns",
                                          "connect_failed",
                                          "timeout",
                                          "upstream"};

    (void)state;
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        const struct sp_http_reply reply = {.status = 502, .reason = reasons[i]};

        write_reply(&reply);
        assert_has(reasons[i]);
        assert_has_not("could not do this"); /* the words for what nobody thought of */
    }
}

static void a_timeout_says_whose_it_was(void **state)
{
    struct sp_http_reply reply = {.status = 408, .reason = "timeout"};

    (void)state;
    write_reply(&reply);
    assert_has("error=http_request_error");
    reply.status = 504;
    write_reply(&reply);
    assert_has("error=connection_timeout");
    reply.error = "http_response_timeout";
    write_reply(&reply);
    assert_has("error=http_response_timeout");
}

static void a_reply_that_does_not_fit_leaves_nothing_behind(void **state)
{
    const struct sp_http_reply reply = {.status = 400, .reason = "malformed"};
    struct sp_buf small;

    (void)state;
    sp_buf_init(&small, 200);
    assert_int_equal(sp_buf_append(&small, SP_SPAN_LIT("before")), SP_OK);
    assert_int_equal(sp_http_write_reply(&small, &reply), SP_ERR_TOO_LARGE);
    assert_span(sp_buf_span(&small), "before");
    sp_buf_fini(&small);
}

static void an_established_tunnel_is_announced_without_a_length(void **state)
{
    (void)state;
    sp_buf_reset(&out);
    assert_int_equal(sp_http_write_established(&out, SP_SPAN_NONE), SP_OK);
    assert_span(sp_buf_span(&out), "HTTP/1.1 200 Connection established\r\n\r\n");
    sp_buf_reset(&out);
    assert_int_equal(sp_http_write_established(&out, SP_SPAN_LIT("Negotiate x")), SP_OK);
    assert_span(sp_buf_span(&out), "HTTP/1.1 200 Connection established\r\n"
                                   "Proxy-Authenticate: Negotiate x\r\n\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_407_has_one_line_per_challenge_in_order),
        cmocka_unit_test(a_page_is_html_for_those_who_take_it),
        cmocka_unit_test(words_end_in_a_whole_letter),
        cmocka_unit_test(words_from_outside_cannot_become_markup_or_fields),
        cmocka_unit_test(details_without_end_are_cut_between_characters),
        cmocka_unit_test(head_gets_the_length_and_no_page),
        cmocka_unit_test(every_reason_has_words_of_its_own),
        cmocka_unit_test(a_timeout_says_whose_it_was),
        cmocka_unit_test(a_reply_that_does_not_fit_leaves_nothing_behind),
        cmocka_unit_test(an_established_tunnel_is_announced_without_a_length),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
