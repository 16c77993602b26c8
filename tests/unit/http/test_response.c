/* Response heads: how long the body is, and what an origin may not send. */
#include "heads.h"

static struct sp_http_parser *parser;
static struct sp_http_response response;
static struct sp_http_fault fault;

static int setup(void **state)
{
    (void)state;
    parser = sp_http_parser_new(&usual_limits);
    return parser != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    sp_http_parser_free(&parser);
    return 0;
}

static enum sp_err read_response(enum sp_http_method method, struct sp_span head)
{
    enum sp_err err = SP_ERR_AGAIN;

    sp_http_parser_reset(parser);
    for (size_t len = 0; len < head.len && err == SP_ERR_AGAIN; len++) {
        struct sp_span some = exactly(sp_span_of(head.base, len));

        err = sp_http_parse_response(parser, some, method, &response, &fault);
        release(some);
    }
    if (err == SP_ERR_AGAIN)
        err = sp_http_parse_response(parser, head, method, &response, &fault);
    return err;
}

static void check_body(enum sp_http_method method, const char *head, enum sp_http_framing_kind kind,
                       uint64_t length)
{
    if (read_response(method, sp_span_cstr(head)) != SP_OK)
        fail_msg("refused (%s):\n%s", fault.why, head);
    if (response.head.body.kind != kind || response.head.body.length != length)
        fail_msg("kind %d, length %llu:\n%s", (int)response.head.body.kind,
                 (unsigned long long)response.head.body.length, head);
    assert_int_equal(response.head.size, strlen(head));
}

#define OK "HTTP/1.1 200 OK\r\n"

static void a_body_is_as_long_as_its_head_says(void **state)
{
    (void)state;
    check_body(SP_HTTP_GET, OK "Content-Length: 12\r\n\r\n", SP_BODY_LENGTH, 12);
    check_body(SP_HTTP_GET, OK "Content-Length: 0\r\n\r\n", SP_BODY_LENGTH, 0);
    check_body(SP_HTTP_GET, OK "Transfer-Encoding: chunked\r\n\r\n", SP_BODY_CHUNKED, 0);
    check_body(SP_HTTP_GET, OK "\r\n", SP_BODY_UNTIL_CLOSE, 0);
    assert_false(response.head.keep_alive);
    check_body(SP_HTTP_GET, "HTTP/1.0 200 OK\r\n\r\n", SP_BODY_UNTIL_CLOSE, 0);
}

static void answers_that_never_have_a_body_have_none(void **state)
{
    (void)state;
    check_body(SP_HTTP_HEAD, OK "Content-Length: 12\r\n\r\n", SP_BODY_NONE, 0);
    check_body(SP_HTTP_HEAD, OK "Transfer-Encoding: chunked\r\n\r\n", SP_BODY_NONE, 0);
    check_body(SP_HTTP_HEAD, OK "\r\n", SP_BODY_NONE, 0);
    check_body(SP_HTTP_GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 12\r\n\r\n", SP_BODY_NONE,
               0);
    check_body(SP_HTTP_GET, "HTTP/1.1 204 No Content\r\n\r\n", SP_BODY_NONE, 0);
    check_body(SP_HTTP_GET, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", SP_BODY_NONE,
               0);
    check_body(SP_HTTP_GET, "HTTP/1.1 100 Continue\r\n\r\n", SP_BODY_NONE, 0);
    check_body(SP_HTTP_GET,
               "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "
               "websocket\r\n\r\n",
               SP_BODY_NONE, 0);
    assert_span(response.head.upgrade, "websocket");
    assert_true(response.head.keep_alive);
}

static void status_and_reason_are_read(void **state)
{
    (void)state;
    check_body(SP_HTTP_GET, "HTTP/1.1 404 Not  Found \xe4\r\nContent-Length: 0\r\n\r\n",
               SP_BODY_LENGTH, 0);
    assert_int_equal(response.status, 404);
    assert_span(response.reason, "Not  Found \xe4");
    check_body(SP_HTTP_GET, "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", SP_BODY_LENGTH, 0);
    assert_span(response.reason, "");
    check_body(SP_HTTP_GET, "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", SP_BODY_LENGTH, 0);
    assert_span(response.reason, "");
}

static void answers_that_could_be_split_or_smuggled_in_are_refused(void **state)
{
    static const struct sp_span bad[] = {
        SP_SPAN_LIT(OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        SP_SPAN_LIT(OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
        SP_SPAN_LIT(OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"),
        SP_SPAN_LIT(OK "Content-Length: 5, 5\r\n\r\n"),
        SP_SPAN_LIT(OK "Content-Length: +5\r\n\r\n"),
        SP_SPAN_LIT(OK "Content-Length:\r\n\r\n"),
        SP_SPAN_LIT(OK "Transfer-Encoding: gzip, chunked\r\n\r\n"),
        SP_SPAN_LIT(OK "Transfer-Encoding: chunked, gzip\r\n\r\n"),
        SP_SPAN_LIT(OK "Transfer-Encoding: identity\r\n\r\n"),
        SP_SPAN_LIT("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        SP_SPAN_LIT("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n"),
        SP_SPAN_LIT("HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n"),
        SP_SPAN_LIT("HTTP/1.1 100 Go\r\nContent-Length: 5\r\n\r\n"),
        SP_SPAN_LIT(OK "A: b\nC: d\r\n\r\n"),
        SP_SPAN_LIT(OK "A: b\r\n c\r\n\r\n"),
        SP_SPAN_LIT(OK "A: b\rc\r\n\r\n"),
        SP_SPAN_LIT(OK "A: b\0c\r\n\r\n"),
        SP_SPAN_LIT(OK "A : b\r\n\r\n"),
        SP_SPAN_LIT(OK "A: b\r\n\rX"),
        SP_SPAN_LIT("HTTP/1.1 200 OK\nA: b\r\n\r\n"),
        SP_SPAN_LIT("HTTP/2.0 200 OK\r\nA: b\r\n\r\n"),
        SP_SPAN_LIT("http/1.1 200 OK\r\nA: b\r\n\r\n"),
        SP_SPAN_LIT("HTTP/1.1 2x0 OK\r\nA: b\r\n\r\n"),
        SP_SPAN_LIT("HTTP/1.1 099 OK\r\nA: b\r\n\r\n"),
        SP_SPAN_LIT("HTTP/1.1 600 OK\r\nA: b\r\n\r\n"),
        SP_SPAN_LIT("HTTP/1.1 200OK\r\nA: b\r\n\r\n"),
        SP_SPAN_LIT("HTTP/1.1\r\nA: b\r\n\r\n"),
        SP_SPAN_LIT("\r\nHTTP/1.1 200 OK\r\n\r\n"),
        SP_SPAN_LIT("hello, this is no HTTP"),
        SP_SPAN_LIT("SSH-2.0-OpenSSH_9.2\r\n"),
        SP_SPAN_LIT(OK "Connection: content-length\r\nContent-Length: 5\r\n\r\n"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (read_response(SP_HTTP_GET, bad[i]) != SP_ERR_INVALID)
            fail_msg("accepted: case %zu\n%.*s", i, SP_SPAN_ARG(bad[i]));
        assert_non_null(fault.why);
    }
}

static void an_answer_head_that_is_too_large_is_refused(void **state)
{
    struct sp_span head = {malloc(usual_limits.head_size), usual_limits.head_size};

    (void)state;
    assert_non_null(head.base);
    memset((void *)(uintptr_t)head.base, 'a', head.len);
    memcpy((void *)(uintptr_t)head.base, OK "A: ", strlen(OK "A: "));
    sp_http_parser_reset(parser);
    assert_int_equal(sp_http_parse_response(parser, head, SP_HTTP_GET, &response, &fault),
                     SP_ERR_INVALID);
    release(head);
}

static bool binds(const char *head)
{
    assert_int_equal(read_response(SP_HTTP_GET, sp_span_cstr(head)), SP_OK);
    return response.connection_auth;
}

#define UNAUTHORIZED "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n"

static void an_origin_that_asks_for_ntlm_or_negotiate_binds_the_connection(void **state)
{
    (void)state;
    assert_true(binds(UNAUTHORIZED "WWW-Authenticate: Negotiate\r\n\r\n"));
    assert_true(binds(UNAUTHORIZED "WWW-Authenticate: NTLM TlRMTVNTUAACAAAA=\r\n\r\n"));
    assert_true(binds(UNAUTHORIZED "www-authenticate: Basic realm=\"a, b\", ntlm\r\n\r\n"));
    assert_true(binds(UNAUTHORIZED
                      "WWW-Authenticate: Basic realm=x\r\nWWW-Authenticate: negotiate\r\n\r\n"));
    assert_false(binds(UNAUTHORIZED "WWW-Authenticate: Basic realm=\"NTLM, ntlm\"\r\n\r\n"));
    assert_false(binds(UNAUTHORIZED "WWW-Authenticate: NTLMv9\r\n\r\n"));
    assert_false(binds("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nWWW-Authenticate: NTLM\r\n\r\n"));
    assert_false(binds("HTTP/1.1 403 F\r\nContent-Length: 0\r\nWWW-Authenticate: NTLM\r\n\r\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_is_as_long_as_its_head_says),
        cmocka_unit_test(answers_that_never_have_a_body_have_none),
        cmocka_unit_test(status_and_reason_are_read),
        cmocka_unit_test(answers_that_could_be_split_or_smuggled_in_are_refused),
        cmocka_unit_test(an_answer_head_that_is_too_large_is_refused),
        cmocka_unit_test(an_origin_that_asks_for_ntlm_or_negotiate_binds_the_connection),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
