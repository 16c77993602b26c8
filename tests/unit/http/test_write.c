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

static void a_name_for_via_is_one_word(void **state)
{
    static const char *const well[] = {"sallyport", "proxy.corp.test:3128", "a_b-c"};
    static const char *const ill[] = {"", "a b", "a,b", "a\"b", "(a)", "a:b", ":80", "[::1]:80"};

    (void)state;
    for (size_t i = 0; i < sizeof well / sizeof *well; i++)
        assert_true(sp_http_is_pseudonym(sp_span_cstr(well[i])));
    for (size_t i = 0; i < sizeof ill / sizeof *ill; i++)
        assert_false(sp_http_is_pseudonym(sp_span_cstr(ill[i])));
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

static void an_answer_without_a_date_gets_the_time_it_came(void **state)
{
    struct sp_http_forward forward = as("");

    (void)state;
    forward.received = 784111777;
    check_response("HTTP/1.1 200 OK\r\nA: 1\r\nContent-Length: 3\r\n\r\n", forward,
                   "HTTP/1.1 200 OK\r\nA: 1\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                   "Content-Length: 3\r\n\r\n");
    check_response("HTTP/1.1 404 No\r\ndate: long ago\r\nContent-Length: 3\r\n\r\n", forward,
                   "HTTP/1.1 404 No\r\ndate: long ago\r\nContent-Length: 3\r\n\r\n");
    /* taken out with the hop, it is missing too */
    check_response("HTTP/1.1 204 \r\nDate: x\r\nConnection: date\r\n\r\n", forward,
                   "HTTP/1.1 204 \r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
    check_response("HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n", forward,
                   "HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n");
    forward.received = 951868799; /* the last second of a leap day, of a year that has one */
    check_response("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", forward,
                   "HTTP/1.1 200 OK\r\nDate: Tue, 29 Feb 2000 23:59:59 GMT\r\n"
                   "Content-Length: 0\r\n\r\n");
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

/* ---- whatever came in: what goes on says the same, and is such as the judges take ---- */

static const char *const some_fields[] = {
    "",
    "A:b\r\n",
    "X: \377\t \" ; , : \r\nX_Y:\r\n",
    "Connection: close, A\r\n",
    "Connection: upgrade\r\nUpgrade: websocket\r\n",
    "TE: trailers\r\nKeep-Alive: 5\r\nConnection: te,\r\n",
    "Proxy-Authorization: Basic eDp5\r\nProxy-X: 1\r\nProxy-Connection: keep-alive\r\n",
    "Via: 1.0 a\r\nX-Forwarded-For: 1.1.1.1\r\n",
    "Expect: 100-continue\r\n",
    "Max-Forwards: 3\r\n",
    "Host2: i\r\nX-Content-Length: 5\r\n",
};
static const char *const some_framings[] = {"", "Content-Length: 0007\r\n",
                                            "transfer-encoding:\tCHUNKED \r\n"};
static const char *const some_targets[] = {
    "GET http://H.test./",      "POST http://h:8080?q=\\",     "OPTIONS http://h",
    "TRACE http://[0::1]:81/x", "HEAD http://h:/a%0d%0ab@c:d", "B! http://ex%61mple.com:80/..//|",
};
static const char *const some_statuses[] = {"200 OK",    "204",  "304 \344 x",
                                            "103 Hints", "404 ", "206 x"};

#define LEN(table) (sizeof(table) / sizeof *(table))

static void has_no_byte_that_a_judge_refuses(struct sp_span written)
{
    assert_true(written.len > 4);
    for (size_t i = 0; i < written.len; i++) {
        unsigned char c = (unsigned char)written.base[i];
        bool behind_cr = i > 0 && written.base[i - 1] == '\r';

        assert_true((c >= 0x20 && c != 0x7f) || c == '\t' || c == '\r' || c == '\n');
        assert_int_equal(c == '\n', behind_cr);
        if (i >= 3 && memcmp(written.base + i - 3, "\r\n\r\n", 4) == 0)
            assert_int_equal(i, written.len - 1); /* one head, and nothing behind it */
    }
}

static void has_nothing_of_the_hop(const struct sp_http_head *head)
{
    for (size_t i = 0; i < head->fields_len; i++) {
        assert_false(sp_span_starts_nocase(head->fields[i].name, SP_SPAN_LIT("proxy-")));
        assert_int_not_equal(head->fields[i].id, SP_FIELD_KEEP_ALIVE);
        assert_false(head->fields[i].hop && head->fields[i].id == SP_FIELD_OTHER);
    }
}

static void bodies_are_the_same(const struct sp_http_head *one, const struct sp_http_head *other)
{
    assert_int_equal(one->body.kind, other->body.kind);
    assert_int_equal(one->body.length, other->body.length);
}

/* What the Host field of a head in origin form makes of it. */
static void host_is_that_of(const struct sp_http_head *head, const struct sp_http_target *target)
{
    struct sp_http_parser *third = new_parser();
    struct sp_http_request asked;
    char text[512];

    assert_int_equal(head->fields[0].id, SP_FIELD_HOST);
    (void)snprintf(text, sizeof text, "GET http://%.*s/ HTTP/1.0\r\n\r\n",
                   SP_SPAN_ARG(head->fields[0].value));
    assert_int_equal(sp_http_parse_request(third, sp_span_cstr(text), &asked, &fault), SP_OK);
    assert_true(sp_span_eq(asked.target.host, target->host));
    assert_int_equal(asked.target.port, target->port);
    sp_http_parser_free(&third);
}

/* True: it was accepted, and so written and read back. */
static bool request_says_the_same_behind_us(const char *head, struct sp_http_forward forward)
{
    struct sp_http_parser *second;
    struct sp_http_request again;

    sp_http_parser_reset(parser);
    sp_buf_reset(&out);
    if (sp_http_parse_request(parser, sp_span_cstr(head), &request, &fault) != SP_OK)
        return false;
    forward.chunked = request.head.body.kind == SP_BODY_CHUNKED;
    assert_int_equal(sp_http_write_request(&out, &request, &forward), SP_OK);
    has_no_byte_that_a_judge_refuses(sp_buf_span(&out));
    second = new_parser();
    if (sp_http_parse_request(second, sp_buf_span(&out), &again, &fault) != SP_OK)
        fail_msg("%s: %.*s", fault.why, SP_SPAN_ARG(sp_buf_span(&out)));
    assert_int_equal(again.head.size, out.len);
    assert_true(sp_span_eq(again.method_text, request.method_text));
    assert_true(sp_span_eq(again.target.path, request.target.path));
    assert_int_equal(again.expect_continue, request.expect_continue);
    bodies_are_the_same(&again.head, &request.head);
    has_nothing_of_the_hop(&again.head);
    host_is_that_of(&again.head, &request.target);
    sp_http_parser_free(&second);
    return true;
}

static struct sp_http_forward some_forward(size_t variant)
{
    return (struct sp_http_forward){
        .via = variant & 1 ? SP_SPAN_LIT("door") : SP_SPAN_NONE,
        .forwarded_for = variant & 1 ? SP_SPAN_LIT("10.0.0.1") : SP_SPAN_NONE,
        .upgrade = variant & 2,
        .close = variant & 2,
        .minor = 1,
    };
}

static void requests_say_the_same_behind_us(void **state)
{
    char head[1024];
    size_t same = 0;

    (void)state;
    for (size_t i = 0; i < LEN(some_targets) * LEN(some_framings) * 8; i++) {
        const char *target = some_targets[i / (8 * LEN(some_framings))];
        const char *framing = some_framings[i / 8 % LEN(some_framings)];

        for (size_t j = 0; j < LEN(some_fields) * LEN(some_fields); j++) {
            (void)snprintf(head, sizeof head, "%s HTTP/1.%c\r\n%sHost: other\r\n%s%s\r\n", target,
                           i & 4 ? '1' : '0', some_fields[j % LEN(some_fields)], framing,
                           some_fields[j / LEN(some_fields)]);
            same += request_says_the_same_behind_us(head, some_forward(i & 3));
        }
    }
    assert_in_range(same, 8000, 17424); /* not all: two expectations, TRACE with a body ... */
}

static bool answer_says_the_same_behind_us(const char *head, enum sp_http_method method,
                                           struct sp_http_forward forward)
{
    struct sp_http_parser *second;
    struct sp_http_response again;

    sp_http_parser_reset(parser);
    sp_buf_reset(&out);
    if (sp_http_parse_response(parser, sp_span_cstr(head), method, &response, &fault) != SP_OK)
        return false;
    forward.chunked = response.head.body.kind == SP_BODY_CHUNKED;
    assert_int_equal(sp_http_write_response(&out, &response, &forward), SP_OK);
    has_no_byte_that_a_judge_refuses(sp_buf_span(&out));
    second = new_parser();
    if (sp_http_parse_response(second, sp_buf_span(&out), method, &again, &fault) != SP_OK)
        fail_msg("%s: %.*s", fault.why, SP_SPAN_ARG(sp_buf_span(&out)));
    assert_int_equal(again.head.size, out.len);
    assert_int_equal(again.status, response.status);
    assert_true(sp_span_eq(again.reason, response.reason));
    bodies_are_the_same(&again.head, &response.head);
    has_nothing_of_the_hop(&again.head);
    sp_http_parser_free(&second);
    return true;
}

static void answers_say_the_same_behind_us(void **state)
{
    char head[1024];
    size_t same = 0;

    (void)state;
    for (size_t i = 0; i < LEN(some_statuses) * LEN(some_framings) * 8; i++) {
        const char *status = some_statuses[i / (8 * LEN(some_framings))];
        const char *framing = some_framings[i / 8 % LEN(some_framings)];

        for (size_t j = 0; j < LEN(some_fields) * LEN(some_fields); j++) {
            (void)snprintf(head, sizeof head, "HTTP/1.%c %s\r\n%s%s%s\r\n", i & 4 ? '1' : '0',
                           status, some_fields[j % LEN(some_fields)], framing,
                           some_fields[j / LEN(some_fields)]);
            same += answer_says_the_same_behind_us(head, i & 1 ? SP_HTTP_GET : SP_HTTP_HEAD,
                                                   some_forward(i & 3));
        }
    }
    assert_in_range(same, 8000, 17424);
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
        cmocka_unit_test(a_name_for_via_is_one_word),
        cmocka_unit_test(an_answer_goes_on_without_its_hop),
        cmocka_unit_test(an_answer_without_a_date_gets_the_time_it_came),
        cmocka_unit_test(an_answer_of_unknown_length_goes_out_chunked_or_to_the_end),
        cmocka_unit_test(a_304_keeps_the_length_it_speaks_of_and_a_204_has_none),
        cmocka_unit_test(final_tokens_and_session_authentication_are_announced),
        cmocka_unit_test(a_protocol_switch_keeps_its_upgrade),
        cmocka_unit_test(a_head_that_does_not_fit_is_not_written_at_all),
        cmocka_unit_test(requests_say_the_same_behind_us),
        cmocka_unit_test(answers_say_the_same_behind_us),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
