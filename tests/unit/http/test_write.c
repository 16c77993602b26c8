/* Heads as they go on: written anew, nothing of the hop before in them. */
#include "heads.h"

static struct sp_http_parser *parser;
static struct sp_http_request request;
static struct sp_http_response response;
static struct sp_http_fault fault;
static struct sp_buf out;

static int setup(void **state)
{
    (void)state;
    parser = sp_http_parser_new(&usual_limits);
    sp_buf_init(&out, 65536);
    return parser != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    sp_http_parser_free(&parser);
    sp_buf_fini(&out);
    return 0;
}

static void check_request(const char *head, struct sp_http_forward forward, const char *want)
{
    sp_http_parser_reset(parser);
    sp_buf_reset(&out);
    if (sp_http_parse_request(parser, sp_span_cstr(head), &request, &fault) != SP_OK)
        fail_msg("refused (%s): %s", fault.why, head);
    assert_int_equal(sp_http_write_request(&out, &request, &forward), SP_OK);
    assert_span(sp_buf_span(&out), want);
}

static void check_response(const char *head, struct sp_http_forward forward, const char *want)
{
    sp_http_parser_reset(parser);
    sp_buf_reset(&out);
    if (sp_http_parse_response(parser, sp_span_cstr(head), SP_HTTP_GET, &response, &fault) != SP_OK)
        fail_msg("refused (%s): %s", fault.why, head);
    assert_int_equal(sp_http_write_response(&out, &response, &forward), SP_OK);
    assert_span(sp_buf_span(&out), want);
}

static struct sp_http_forward as(const char *via)
{
    return (struct sp_http_forward){.via = sp_span_cstr(via), .minor = 1};
}

static void host_is_regenerated_from_the_target(void **state)
{
    (void)state;
    check_request("GET http://Real.test:8080/x HTTP/1.1\r\nHost: other\r\n\r\n", as(""),
                  "GET /x HTTP/1.1\r\nHost: real.test:8080\r\n\r\n");
    check_request("GET http://h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n", as(""),
                  "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    check_request("GET http://[2001:DB8::1]:81/ HTTP/1.1\r\nHost: h\r\n\r\n", as(""),
                  "GET / HTTP/1.1\r\nHost: [2001:db8::1]:81\r\n\r\n");
    check_request("GET http://h HTTP/1.0\r\n\r\n", as(""), "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
}

static void fields_go_on_in_order_and_without_stray_white_space(void **state)
{
    (void)state;
    check_request("GET http://h/ HTTP/1.1\r\nB:2 \r\nHost: h\r\nA: \t1\t\r\nb:\r\n\r\n", as(""),
                  "GET / HTTP/1.1\r\nHost: h\r\nB: 2\r\nA: 1\r\nb: \r\n\r\n");
}

static void what_belongs_to_the_hop_stays_behind(void **state)
{
    (void)state;
    check_request("GET http://h/ HTTP/1.1\r\nHost: h\r\nConnection: close, X-Mine\r\n"
                  "X-Mine: 1\r\nx-mine: 2\r\nKeep-Alive: 5\r\nProxy-Connection: keep-alive\r\n"
                  "TE: gzip\r\nUpgrade: h2c\r\nProxy-Authorization: Basic c2VjcmV0\r\n"
                  "Proxy-Foo: 1\r\nAuthorization: Bearer t\r\n\r\n",
                  as(""), "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer t\r\n\r\n");
}

static void via_is_appended_behind_the_last(void **state)
{
    (void)state;
    check_request("GET http://h/ HTTP/1.1\r\nHost: h\r\nA: 1\r\n\r\n", as("door"),
                  "GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nVia: 1.1 door\r\n\r\n");
    check_request("GET http://h/ HTTP/1.0\r\nVia: 1.0 a\r\nVia: 1.1 b, 1.1 c\r\nA: 1\r\n\r\n",
                  as("door"),
                  "GET / HTTP/1.1\r\nHost: h\r\nVia: 1.0 a\r\nVia: 1.1 b, 1.1 c, 1.0 door\r\n"
                  "A: 1\r\n\r\n");
}

static void the_clients_address_is_appended_only_on_request(void **state)
{
    struct sp_http_forward forward = as("");

    (void)state;
    check_request("GET http://h/ HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n", forward,
                  "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n");
    forward.forwarded_for = SP_SPAN_LIT("10.0.0.1");
    check_request("GET http://h/ HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n", forward,
                  "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1, 10.0.0.1\r\n\r\n");
    check_request("GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", forward,
                  "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n");
}

static void framing_is_written_from_what_was_understood(void **state)
{
    struct sp_http_forward forward = as("");

    (void)state;
    check_request("POST http://h/ HTTP/1.1\r\nContent-Length: 0005\r\nHost: h\r\n\r\n", forward,
                  "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n");
    check_request("POST http://h/ HTTP/1.1\r\nContent-Length: 0\r\nHost: h\r\n\r\n", forward,
                  "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    forward.chunked = true;
    check_request("POST http://h/ HTTP/1.1\r\nTransfer-Encoding: CHUNKED\r\nHost: h\r\n\r\n",
                  forward, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
}

static void connection_options_share_one_line(void **state)
{
    struct sp_http_forward forward = as("");

    (void)state;
    forward.upgrade = true;
    check_request("GET http://h/ HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, TE\r\n"
                  "TE: Trailers\r\nUpgrade: websocket\r\n\r\n",
                  forward,
                  "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade, TE\r\n"
                  "Upgrade: websocket\r\nTE: trailers\r\n\r\n");
    forward.close = true;
    check_request("GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", forward,
                  "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
}

static void max_forwards_goes_down_for_options_and_trace(void **state)
{
    uint64_t left = 7;

    (void)state;
    check_request("OPTIONS http://h HTTP/1.1\r\nHost: h\r\nMax-Forwards: 10\r\n\r\n", as(""),
                  "OPTIONS * HTTP/1.1\r\nHost: h\r\nMax-Forwards: 9\r\n\r\n");
    assert_true(sp_http_max_forwards(&request, &left));
    assert_int_equal(left, 10);
    check_request("GET http://h/ HTTP/1.1\r\nHost: h\r\nMax-Forwards: 10\r\n\r\n", as(""),
                  "GET / HTTP/1.1\r\nHost: h\r\nMax-Forwards: 10\r\n\r\n");
    assert_false(sp_http_max_forwards(&request, &left));
}

static void expect_goes_on_from_http_1_1_alone(void **state)
{
    (void)state;
    check_request("PUT http://h/ HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                  "Content-Length: 1\r\n\r\n",
                  as(""),
                  "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
    check_request("PUT http://h/ HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
                  as(""), "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n");
}

static void a_request_that_was_here_before_is_known_by_its_via(void **state)
{
    (void)state;
    check_request("GET http://h/ HTTP/1.1\r\nHost: h\r\nVia: 1.0 a, 1.1 Door (x)\r\n\r\n", as(""),
                  "GET / HTTP/1.1\r\nHost: h\r\nVia: 1.0 a, 1.1 Door (x)\r\n\r\n");
    assert_true(sp_http_via_has(&request.head, SP_SPAN_LIT("door")));
    assert_false(sp_http_via_has(&request.head, SP_SPAN_LIT("doo")));
    assert_false(sp_http_via_has(&request.head, SP_SPAN_LIT("1.1")));
    check_request("GET http://h/ HTTP/1.1\r\nHost: h\r\nVia: \"1.0 a, 1.1 door\r\n\r\n", as(""),
                  "GET / HTTP/1.1\r\nHost: h\r\nVia: \"1.0 a, 1.1 door\r\n\r\n");
    assert_true(sp_http_via_has(&request.head, SP_SPAN_LIT("door"))); /* behind an open quote */
}

static void an_answer_goes_on_without_its_hop(void **state)
{
    (void)state;
    check_response("HTTP/1.0 200 Fine\r\nServer: x\r\nConnection: close, X-Y\r\nX-Y: 1\r\n"
                   "Keep-Alive: 3\r\nProxy-Authenticate: Basic\r\nProxy-Status: cdn\r\n"
                   "WWW-Authenticate: Basic\r\nContent-Length: 3\r\n\r\n",
                   as("door"),
                   "HTTP/1.1 200 Fine\r\nServer: x\r\nProxy-Status: cdn\r\n"
                   "WWW-Authenticate: Basic\r\nVia: 1.0 door\r\nContent-Length: 3\r\n\r\n");
}

static void an_answer_of_unknown_length_goes_out_chunked_or_to_the_end(void **state)
{
    struct sp_http_forward forward = as("");

    (void)state;
    forward.chunked = true;
    check_response("HTTP/1.1 200 OK\r\n\r\n", forward,
                   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    forward.chunked = false;
    forward.close = true;
    check_response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", forward,
                   "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
}

static void a_304_keeps_the_length_it_speaks_of_and_a_204_has_none(void **state)
{
    (void)state;
    check_response("HTTP/1.1 304 Not Modified\r\nContent-Length: 12\r\nETag: x\r\n\r\n", as(""),
                   "HTTP/1.1 304 Not Modified\r\nContent-Length: 12\r\nETag: x\r\n\r\n");
    check_response("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", as(""),
                   "HTTP/1.1 204 No Content\r\n\r\n");
}

static void final_tokens_and_session_authentication_are_announced(void **state)
{
    struct sp_http_forward forward = as("");

    (void)state;
    forward.session_auth = true;
    forward.keep_alive = true;
    forward.proxy_authenticate = SP_SPAN_LIT("Negotiate oQcwBaADCgEA");
    check_response("HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n",
                   forward,
                   "HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM\r\n"
                   "Proxy-Authenticate: Negotiate oQcwBaADCgEA\r\nContent-Length: 0\r\n"
                   "Connection: keep-alive, Proxy-Support\r\n"
                   "Proxy-Support: Session-Based-Authentication\r\n\r\n");
}

static void a_protocol_switch_keeps_its_upgrade(void **state)
{
    struct sp_http_forward forward = as("");

    (void)state;
    forward.upgrade = true;
    check_response("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                   "Connection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
                   forward,
                   "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n"
                   "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n");
}

static void a_head_that_does_not_fit_is_not_written_at_all(void **state)
{
    struct sp_http_forward forward = as("");
    struct sp_buf small;

    (void)state;
    check_request("GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", forward,
                  "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    sp_buf_init(&small, 16);
    assert_int_equal(sp_http_write_request(&small, &request, &forward), SP_ERR_TOO_LARGE);
    assert_int_equal(small.len, 0);
    sp_buf_fini(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_is_regenerated_from_the_target),
        cmocka_unit_test(fields_go_on_in_order_and_without_stray_white_space),
        cmocka_unit_test(what_belongs_to_the_hop_stays_behind),
        cmocka_unit_test(via_is_appended_behind_the_last),
        cmocka_unit_test(the_clients_address_is_appended_only_on_request),
        cmocka_unit_test(framing_is_written_from_what_was_understood),
        cmocka_unit_test(connection_options_share_one_line),
        cmocka_unit_test(max_forwards_goes_down_for_options_and_trace),
        cmocka_unit_test(expect_goes_on_from_http_1_1_alone),
        cmocka_unit_test(a_request_that_was_here_before_is_known_by_its_via),
        cmocka_unit_test(an_answer_goes_on_without_its_hop),
        cmocka_unit_test(an_answer_of_unknown_length_goes_out_chunked_or_to_the_end),
        cmocka_unit_test(a_304_keeps_the_length_it_speaks_of_and_a_204_has_none),
        cmocka_unit_test(final_tokens_and_session_authentication_are_announced),
        cmocka_unit_test(a_protocol_switch_keeps_its_upgrade),
        cmocka_unit_test(a_head_that_does_not_fit_is_not_written_at_all),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
