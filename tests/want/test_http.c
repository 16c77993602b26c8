/* Http under want of memory: a head is understood whole or said to want memory, never refused as
 * malformed and never half understood; what is written is whole or not there. */
#include "http/http.h"
#include "http/reply.h"
#include "unit/http/heads.h"
#include "want/want.h"

/* More fields than the parser has room for at first, and names that need room of their own. */
static const char request_head[] =
    "GET http://ex%61mple.ORG:8080/path?q HTTP/1.1\r\nHost: example.org:8080\r\n"
    "Connection: x-one, x-two\r\nX-One: 1\r\nX-Two: 2\r\nVia: 1.1 other\r\nUpgrade: a\r\n"
    "Proxy-Authorization: Basic YTpi\r\nTE: trailers\r\nX-Forwarded-For: 192.0.2.1\r\n"
    "F1: a\r\nF2: a\r\nF3: a\r\nF4: a\r\nF5: a\r\nF6: a\r\nF7: a\r\nF8: a\r\nF9: a\r\n"
    "G1: a\r\nG2: a\r\nG3: a\r\nG4: a\r\nG5: a\r\nG6: a\r\nG7: a\r\nG8: a\r\nG9: a\r\n"
    "H1: a\r\nH2: a\r\nH3: a\r\nH4: a\r\nH5: a\r\nH6: a\r\nH7: a\r\nH8: a\r\nH9: a\r\n\r\n";
static const char response_head[] =
    "HTTP/1.1 401 Who\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive, x-one\r\n"
    "X-One: 1\r\nWWW-Authenticate: Negotiate\r\nContent-Type: text/plain\r\n\r\n";
static const char chunks[] =
    "5;ext=1\r\nhello\r\n1\r\n!\r\n0\r\nX-Trailer: one\r\nX-Other: two\r\n\r\n";

static const struct sp_http_limits limits = {.head_size = 8192, .fields = 100, .target_size = 2048};
static const struct sp_http_forward forward = {
    .via = SP_SPAN_LIT("p"), .chunked = true, .minor = 1};

static void must_be_understood(const struct sp_http_request *request)
{
    assert_span(request->target.host, "example.org");
    assert_int_equal(request->target.port, 8080);
    assert_int_equal(request->head.fields_len, 36);
    assert_span(request->authorization, "Basic YTpi");
    assert_span(request->head.fields[35].name, "H9");
    assert_true(request->head.fields[2].hop && request->head.fields[3].hop);
}

static void read_and_write_request(void *state)
{
    struct sp_http_parser *parser;
    struct sp_http_request request;
    struct sp_http_fault fault;
    enum sp_err err = SP_ERR_NOMEM, written = SP_ERR_NOMEM;
    struct sp_buf out;

    (void)state;
    sp_buf_init(&out, 65536);
    want_begin();
    parser = sp_http_parser_new(&limits);
    if (parser != NULL)
        err = sp_http_parse_request(parser, SP_SPAN_LIT(request_head), &request, &fault);
    if (err == SP_OK)
        written = sp_http_write_request(&out, &request, &forward);
    if (want_end())
        assert_true(err == SP_ERR_NOMEM || written == SP_ERR_NOMEM);
    else
        assert_true(err == SP_OK && written == SP_OK);
    if (err == SP_OK)
        must_be_understood(&request);
    if (parser != NULL) { /* and the next head is read by the same parser */
        sp_http_parser_reset(parser);
        assert_int_equal(sp_http_parse_request(parser, SP_SPAN_LIT(request_head), &request, &fault),
                         SP_OK);
        must_be_understood(&request);
    }
    sp_http_parser_free(&parser);
    sp_buf_fini(&out);
}

static void read_and_write_response(void *state)
{
    struct sp_http_parser *parser;
    struct sp_http_response response;
    struct sp_http_fault fault;
    enum sp_err err = SP_ERR_NOMEM, written = SP_ERR_NOMEM;
    struct sp_buf out;

    (void)state;
    sp_buf_init(&out, 65536);
    want_begin();
    parser = sp_http_parser_new(&limits);
    if (parser != NULL)
        err = sp_http_parse_response(parser, SP_SPAN_LIT(response_head), SP_HTTP_GET, &response,
                                     &fault);
    if (err == SP_OK)
        written = sp_http_write_response(&out, &response, &forward);
    if (want_end())
        assert_true(err == SP_ERR_NOMEM || written == SP_ERR_NOMEM);
    else
        assert_true(err == SP_OK && written == SP_OK);
    if (err == SP_OK) {
        assert_int_equal(response.head.body.kind, SP_BODY_CHUNKED);
        assert_true(response.connection_auth);
    }
    sp_http_parser_free(&parser);
    sp_buf_fini(&out);
}

static void read_chunks(void *state)
{
    struct sp_span rest = SP_SPAN_LIT(chunks), data;
    struct sp_http_body body;
    enum sp_err err = SP_OK;
    const char *why;
    size_t used = 1, payload = 0;

    (void)state;
    want_begin();
    sp_http_body_init(&body, (struct sp_http_framing){SP_BODY_CHUNKED, 0});
    while (err == SP_OK && used > 0 && !body.done) {
        err = sp_http_body_feed(&body, rest, &used, &data, &why);
        if (err == SP_OK) {
            payload += data.len;
            rest = sp_span_of(rest.base + used, rest.len - used);
        }
    }
    assert_int_equal(err, want_end() ? SP_ERR_NOMEM : SP_OK);
    assert_true(err != SP_OK || (body.done && payload == 6 && rest.len == 0));
    sp_http_body_fini(&body);
}

static void write_replies(void *state)
{
    const struct sp_span challenges[] = {SP_SPAN_LIT("Negotiate"),
                                         SP_SPAN_LIT("Basic realm=\"x\"")};
    const struct sp_http_reply reply = {.status = 407,
                                        .reason = "no_credentials",
                                        .details = SP_SPAN_LIT("who are you?"),
                                        .id = SP_SPAN_LIT("abc"),
                                        .challenges = challenges,
                                        .challenges_len = 2,
                                        .html = true};
    enum sp_err err, established;
    struct sp_buf out;

    (void)state;
    sp_buf_init(&out, 65536);
    want_begin();
    err = sp_http_write_reply(&out, &reply);
    established = sp_http_write_established(&out, SP_SPAN_LIT("Negotiate abcd"));
    if (want_end())
        assert_true(err == SP_ERR_NOMEM || established == SP_ERR_NOMEM);
    else
        assert_true(err == SP_OK && established == SP_OK);
    sp_buf_fini(&out);
}

static void a_request_is_understood_or_wants_memory(void **state)
{
    (void)state;
    want_each("a request", WANT_ALL, 1, read_and_write_request, NULL);
}

static void a_response_is_understood_or_wants_memory(void **state)
{
    (void)state;
    want_each("a response", WANT_ALL, 1, read_and_write_response, NULL);
}

static void trailers_are_kept_or_want_memory(void **state)
{
    (void)state;
    want_each("chunks", WANT_ALL, 1, read_chunks, NULL);
}

static void an_answer_is_whole_or_wants_memory(void **state)
{
    (void)state;
    want_each("answers", WANT_OURS, 1, write_replies, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_understood_or_wants_memory),
        cmocka_unit_test(a_response_is_understood_or_wants_memory),
        cmocka_unit_test(trailers_are_kept_or_want_memory),
        cmocka_unit_test(an_answer_is_whole_or_wants_memory),
    };

    return cmocka_run_group_tests_name("want: http", tests, NULL, NULL);
}
