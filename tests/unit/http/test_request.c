/* Request heads: what is accepted and how it is understood, and what is refused with which status.
 * Every head is read at once and byte by byte. */
#include "heads.h"

#define H   "Host: h\r\n"
#define GET "GET http://h/ HTTP/1.1\r\n" H

static void a_plain_get_is_understood(void **state)
{
    static const char head[] = "GET http://Example.COM:8080/a/b?c=d HTTP/1.1\r\n"
                               "Host: example.com:8080\r\n"
                               "User-Agent:curl/8\r\n"
                               "Accept: \t */* \t\r\n"
                               "X-Empty:\r\n"
                               "\r\nGET next";
    struct sp_http_parser *parser = new_parser();
    struct sp_http_request request;
    struct sp_http_fault fault;

    (void)state;
    assert_int_equal(sp_http_parse_request(parser, sp_span_cstr(head), &request, &fault), SP_OK);
    assert_int_equal(request.method, SP_HTTP_GET);
    assert_int_equal(request.head.size, strlen(head) - strlen("GET next"));
    assert_int_equal(request.head.minor, 1);
    assert_int_equal(request.head.fields_len, 4);
    assert_int_equal(request.head.body.kind, SP_BODY_NONE);
    assert_true(request.head.keep_alive);
    assert_int_equal(request.target.form, SP_TARGET_ABSOLUTE);
    assert_span(request.target.host, "example.com");
    assert_span(request.target.path, "/a/b?c=d");
    assert_span(request.target.text, "http://Example.COM:8080/a/b?c=d");
    assert_int_equal(request.target.port, 8080);
    assert_false(request.target.default_port);
    assert_span(sp_http_find(&request.head, SP_FIELD_ACCEPT)->value, "*/*");
    assert_span(request.head.fields[3].value, "");
    assert_null(request.authorization.base);
    sp_http_parser_free(&parser);
}

static void empty_lines_before_a_request_are_skipped_and_counted(void **state)
{
    static const char head[] = "\r\n\r\nGET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n";
    struct sp_http_parser *parser = new_parser();
    struct sp_http_request request;
    struct sp_http_fault fault;

    (void)state;
    assert_int_equal(sp_http_parse_request(parser, sp_span_cstr(head), &request, &fault), SP_OK);
    assert_int_equal(request.head.size, strlen(head));
    assert_span(request.method_text, "GET");
    assert_int_equal(request_fault(sp_span_cstr(head), NULL), 0);
    sp_http_parser_free(&parser);
}

static void a_parser_reads_one_head_after_another(void **state)
{
    static const char both[] = GET "A: 1\r\n\r\nPOST http://i/x HTTP/1.1\r\nHost: i\r\n"
                                   "Content-Length: 5\r\n\r\nhello";
    struct sp_http_parser *parser = new_parser();
    struct sp_http_request request;
    struct sp_http_fault fault;
    struct sp_span rest = sp_span_cstr(both);

    (void)state;
    assert_int_equal(sp_http_parse_request(parser, rest, &request, &fault), SP_OK);
    rest = sp_span_of(rest.base + request.head.size, rest.len - request.head.size);
    sp_http_parser_reset(parser);
    assert_int_equal(sp_http_parse_request(parser, rest, &request, &fault), SP_OK);
    assert_int_equal(request.method, SP_HTTP_POST);
    assert_span(request.target.host, "i");
    assert_int_equal(request.head.body.kind, SP_BODY_LENGTH);
    assert_int_equal(request.head.body.length, 5);
    assert_int_equal(rest.len - request.head.size, 5);
    sp_http_parser_free(&parser);
}

/* A copy of the request, as it goes on. */
static void write_on(const struct sp_http_request *request, struct sp_buf *out)
{
    const struct sp_http_forward forward = {.via = SP_SPAN_LIT("p"), .upgrade = true, .minor = 1};

    sp_buf_init(out, 65536);
    assert_int_equal(sp_http_write_request(out, request, &forward), SP_OK);
}

/* The least room in which it settles; `room` gets it, `odd` bytes behind where malloc begins. */
static size_t settle(const struct sp_http_parser *parser, struct sp_http_request *request,
                     char **room, size_t odd)
{
    const struct sp_http_request before = *request;
    size_t size = 0;

    for (;; size++) {
        *room = malloc(odd + size > 0 ? odd + size : 1); /* no byte more */
        assert_non_null(*room);
        if (sp_http_request_settle(parser, request, *room + odd, size))
            return size;
        assert_memory_equal(request, &before, sizeof before);
        free(*room);
    }
}

static void check_settled(const char *head, size_t odd)
{
    struct sp_http_parser *parser = new_parser();
    struct sp_http_request request;
    struct sp_http_fault fault;
    struct sp_buf before;
    struct sp_buf after;
    char *room;

    assert_int_equal(sp_http_parse_request(parser, sp_span_cstr(head), &request, &fault), SP_OK);
    write_on(&request, &before);
    assert_in_range(settle(parser, &request, &room, odd), 0,
                    request.head.fields_len * sizeof(struct sp_http_field) + 64);
    sp_http_parser_free(&parser);
    write_on(&request, &after);
    assert_true(sp_span_eq(sp_buf_span(&after), sp_buf_span(&before)));
    sp_buf_fini(&before);
    sp_buf_fini(&after);
    free(room);
}

static void a_settled_request_needs_no_parser(void **state)
{
    (void)state;
    for (size_t odd = 0; odd < 9; odd++) {
        check_settled(GET "A: 1\r\nUser-Agent: x\r\n\r\n", odd);
        check_settled("GET http://EXAMPLE.test?query HTTP/1.1\r\n" H "\r\n", odd); /* "/" is made */
        check_settled("OPTIONS http://h HTTP/1.0\r\n\r\n", odd);                   /* no fields */
        check_settled("GET /path HTTP/1.1\r\n" H "\r\n", odd);                     /* no host */
    }
}

static void a_head_cut_anywhere_wants_more(void **state)
{
    struct sp_span head = SP_SPAN_LIT(GET "Content-Length: 12\r\nTE: trailers\r\n\r\n");

    (void)state;
    assert_int_equal(request_fault(head, NULL), 0);
    for (size_t len = 0; len < head.len; len++)
        assert_int_equal(request_fault(sp_span_of(head.base, len), NULL), -1);
}

static void any_method_that_is_a_token_is_accepted(void **state)
{
    static const struct head_case cases[] = {
        HEAD("BREW http://h/ HTTP/1.1\r\n" H "\r\n", 0, NULL),
        HEAD("M-SEARCH http://h/ HTTP/1.1\r\n" H "\r\n", 0, NULL),
        HEAD("get http://h/ HTTP/1.1\r\n" H "\r\n", 0, NULL),
        HEAD("VERSION-CONTROL http://h/ HTTP/1.0\r\n\r\n", 0, NULL),
    };

    (void)state;
    CHECK_REQUESTS(cases);
}

static void odd_request_lines_are_refused(void **state)
{
    static const struct head_case cases[] = {
        HEAD("GET\r\n\r\n", 400, "HTTP/0.9"),
        HEAD("GET http://h/\r\n\r\n", 400, "HTTP/0.9"),
        HEAD("GET  http://h/ HTTP/1.1\r\n" H "\r\n", 400, "more than one space"),
        HEAD("GET http://h/  HTTP/1.1\r\n" H "\r\n", 400, "version"),
        HEAD("GET http://h/ HTTP/1.1 \r\n" H "\r\n", 400, "version"),
        HEAD("GET http://h/ x HTTP/1.1\r\n" H "\r\n", 400, "version"),
        HEAD(" GET http://h/ HTTP/1.1\r\n" H "\r\n", 400, "method"),
        HEAD("GET\thttp://h/ HTTP/1.1\r\n" H "\r\n", 400, "method"),
        HEAD("G\x01T http://h/ HTTP/1.1\r\n" H "\r\n", 400, "method"),
        HEAD("G(T http://h/ HTTP/1.1\r\n" H "\r\n", 400, "method"),
        HEAD("G\0T http://h/ HTTP/1.1\r\n" H "\r\n", 400, "method"),
        HEAD("\x16\x03\x01\x02", 400, "method"), /* a TLS handshake at a plain port */
        HEAD("GET http://h/\x01 HTTP/1.1\r\n" H "\r\n", 400, "percent-encoded"),
        HEAD("GET http://h/\0 HTTP/1.1\r\n" H "\r\n", 400, "percent-encoded"),
        HEAD("GET http://h/\x7f HTTP/1.1\r\n" H "\r\n", 400, "percent-encoded"),
        HEAD("GET http://h/\xc3\xbc HTTP/1.1\r\n" H "\r\n", 400, "percent-encoded"),
        HEAD("GET http://h/\ta HTTP/1.1\r\n" H "\r\n", 400, "percent-encoded"),
        HEAD("GET http://h/\ra HTTP/1.1\r\n" H "\r\n", 400, NULL),
        HEAD("GET http://h/ HTTP/1.1\n" H "\r\n", 400, "bare LF"),
        HEAD("GET http://h/ HTTP/1.1\r\r\n" H "\r\n", 400, "version"),
        HEAD("\nGET http://h/ HTTP/1.1\r\n" H "\r\n", 400, "bare LF"),
        HEAD("\rGET http://h/ HTTP/1.1\r\n" H "\r\n", 400, "bare CR"),
    };

    (void)state;
    CHECK_REQUESTS(cases);
}

static void versions_are_read_to_the_letter(void **state)
{
    static const struct head_case cases[] = {
        HEAD("GET http://h/ http/1.1\r\n" H "\r\n", 400, "version"),
        HEAD("GET http://h/ Http/1.1\r\n" H "\r\n", 400, "version"),
        HEAD("GET http://h/ HTTP/1\r\n" H "\r\n", 400, "version"),
        HEAD("GET http://h/ HTTP/1.\r\n" H "\r\n", 400, "version"),
        HEAD("GET http://h/ HTTP/1.10\r\n" H "\r\n", 400, "version"),
        HEAD("GET http://h/ HTTP/11.1\r\n" H "\r\n", 400, "version"),
        HEAD("GET http://h/ HTTP/0.9\r\n" H "\r\n", 400, "before HTTP/1.0"),
        HEAD("GET http://h/ ICE/1.0\r\n" H "\r\n", 400, "version"),
        HEAD("GET http://h/ HTTP/2.0\r\n" H "\r\n", 505, "HTTP/2"),
        HEAD("GET http://h/ HTTP/3\r\n" H "\r\n", 505, "HTTP/2"),
        HEAD("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/2"),
        HEAD("GET http://h/ HTTP/1.9\r\n" H "\r\n", 0, NULL),
    };

    (void)state;
    CHECK_REQUESTS(cases);
}

static void odd_field_lines_are_refused(void **state)
{
    static const struct head_case cases[] = {
        HEAD(GET "A : 1\r\n\r\n", 400, "space before the colon"),
        HEAD(GET "A\t: 1\r\n\r\n", 400, "space before the colon"),
        HEAD(GET "Content-Length : 1\r\n\r\n", 400, "space before the colon"),
        HEAD(GET " A: 1\r\n\r\n", 400, "folded"),
        HEAD(GET "A: 1\r\n 2\r\n\r\n", 400, "folded"),
        HEAD(GET "A: 1\r\n\t2\r\n\r\n", 400, "folded"),
        HEAD("GET http://h/ HTTP/1.1\r\n Host: h\r\n\r\n", 400, NULL),
        HEAD("GET http://h/ HTTP/1.1\r\n\tHost: h\r\n\r\n", 400, NULL),
        HEAD(GET "A: 1\n\r\n", 400, "bare LF"),
        HEAD(GET "A: 1\nB: 2\r\n\r\n", 400, "bare LF"),
        HEAD(GET "A: 1\r\n\n", 400, "bare LF"),
        HEAD(GET "\n", 400, "bare LF"),
        HEAD(GET "A: 1\r2\r\n\r\n", 400, "bare CR"),
        HEAD(GET "A: 1\r\r\n\r\n", 400, NULL),
        HEAD(GET "A:\r 1\r\n\r\n", 400, NULL),
        HEAD(GET "A: \0\r\n\r\n", 400, "control"),
        HEAD(GET "A: b\x01"
                 "c\r\n\r\n",
             400, "control"),
        HEAD(GET "A: b\x0b\r\n\r\n", 400, "control"),
        HEAD(GET "A: 12345678901234567890\x7f\r\n\r\n", 400, "control"),
        HEAD(GET "\0: 1\r\n\r\n", 400, "token"),
        HEAD(GET ": 1\r\n\r\n", 400, "token"),
        HEAD(GET "A\r\n\r\n", 400, "token"),
        HEAD(GET "A(b): 1\r\n\r\n", 400, "token"),
        HEAD(GET "A b: 1\r\n\r\n", 400, "space before the colon"),
        HEAD(GET "\"A\": 1\r\n\r\n", 400, "token"),
        HEAD(GET "A\x80: 1\r\n\r\n", 400, "token"),
        HEAD(GET "A: obs\xfftext\twith a tab and more\r\n\r\n", 0, NULL),
    };

    (void)state;
    CHECK_REQUESTS(cases);
}

static void bodies_that_two_readers_could_measure_differently_are_refused(void **state)
{
    static const struct head_case cases[] = {
        HEAD(GET "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "together"),
        HEAD(GET "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400, "together"),
        HEAD(GET "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400, "Content-Length"),
        HEAD(GET "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400, "Content-Length"),
        HEAD(GET "Content-Length: 5, 5\r\n\r\n", 400, NULL),
        HEAD(GET "Content-Length: +5\r\n\r\n", 400, NULL),
        HEAD(GET "Content-Length: -5\r\n\r\n", 400, NULL),
        HEAD(GET "Content-Length: 0x5\r\n\r\n", 400, NULL),
        HEAD(GET "Content-Length: 5 5\r\n\r\n", 400, NULL),
        HEAD(GET "Content-Length: 5;\r\n\r\n", 400, NULL),
        HEAD(GET "Content-Length: \r\n\r\n", 400, NULL),
        HEAD(GET "Content-Length:\r\n\r\n", 400, NULL),
        HEAD(GET "Content-Length: five\r\n\r\n", 400, NULL),
        HEAD(GET "Content-Length: 18446744073709551616\r\n\r\n", 400, NULL),
        HEAD(GET "Content-Length: 9223372036854775808\r\n\r\n", 400, "larger"),
        HEAD(GET "Content-Length: 99999999999999999999999\r\n\r\n", 400, NULL),
        HEAD(GET "Content-Length: 9223372036854775807\r\n\r\n", 0, NULL),
        HEAD(GET "Transfer-Encoding: gzip\r\n\r\n", 501, "coding"),
        HEAD(GET "Transfer-Encoding: identity\r\n\r\n", 501, "coding"),
        HEAD(GET "Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "coding"),
        HEAD(GET "Transfer-Encoding: xchunked\r\n\r\n", 501, "coding"),
        HEAD(GET "Transfer-Encoding: chunked, gzip\r\n\r\n", 400, "last"),
        HEAD(GET "Transfer-Encoding: chunked, chunked\r\n\r\n", 400, "last"),
        HEAD(GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400, NULL),
        HEAD(GET "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", 501, "coding"),
        HEAD(GET "Transfer-Encoding: chunked;a=b\r\n\r\n", 400, NULL),
        HEAD(GET "Transfer-Encoding: \"chunked\"\r\n\r\n", 400, NULL),
        HEAD(GET "Transfer-Encoding: chunked,\r\n\r\n", 400, NULL),
        HEAD(GET "Transfer-Encoding: ,chunked\r\n\r\n", 400, NULL),
        HEAD(GET "Transfer-Encoding: ch unked\r\n\r\n", 400, NULL),
        HEAD(GET "Transfer-Encoding:\r\n\r\n", 400, NULL),
        HEAD(GET "Transfer-Encoding: Chunked\r\n\r\n", 0, NULL),
        HEAD("POST http://h/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "1.0"),
        HEAD("CONNECT h:443 HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\n", 400, "body"),
        HEAD("CONNECT h:443 HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 400, "body"),
        HEAD("CONNECT h:443 HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", 0, NULL),
        HEAD("TRACE http://h/ HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\n", 400, "body"),
    };

    (void)state;
    CHECK_REQUESTS(cases);
}

static void hosts_and_credentials_stand_once(void **state)
{
    static const struct head_case cases[] = {
        HEAD("GET http://h/ HTTP/1.1\r\n\r\n", 400, "no Host"),
        HEAD("GET http://h/ HTTP/1.0\r\n\r\n", 0, NULL),
        HEAD(GET "Host: h\r\n\r\n", 400, "Host is repeated"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost: other\r\n\r\n", 0, NULL),
        HEAD("GET http://h/ HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "Host"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost: a,b\r\n\r\n", 400, "Host"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost: u@h\r\n\r\n", 400, "Host"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost: h/\r\n\r\n", 400, "Host"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost: h:x\r\n\r\n", 400, "Host"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost: h:99999\r\n\r\n", 400, "Host"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost:\r\n\r\n", 400, "Host"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0, NULL),
        HEAD(GET "Proxy-Authorization: Basic YTpi\r\n\r\n", 0, NULL),
        HEAD(GET "Proxy-Authorization: Basic YTpi\r\nProxy-Authorization: Basic YTpi\r\n\r\n", 400,
             "Proxy-Authorization is repeated"),
    };

    (void)state;
    CHECK_REQUESTS(cases);
}

static void connection_cannot_take_out_what_matters(void **state)
{
    static const struct head_case cases[] = {
        HEAD(GET "Connection: host\r\n\r\n", 400, "Connection names"),
        HEAD(GET "Connection: close, Content-Length\r\n\r\n", 400, "Connection names"),
        HEAD(GET "Connection: transfer-encoding\r\n\r\n", 400, "Connection names"),
        HEAD(GET "Connection: Authorization\r\n\r\n", 400, "Connection names"),
        HEAD(GET "Connection: proxy-authorization\r\n\r\n", 400, "Connection names"),
        HEAD(GET "Connection: cookie\r\n\r\n", 400, "Connection names"),
        HEAD(GET "Connection: \"close\"\r\n\r\n", 400, "tokens"),
        HEAD(GET "Connection: a b\r\n\r\n", 400, "tokens"),
        HEAD(GET "Connection: a1,a2,a3,a4,a5,a6,a7,a8,a9,b1,b2,b3,b4,b5,b6,b7,b8,b9,c1,c2,c3,c4,c5,"
                 "c6,c7,c8,c9,d1,d2,d3,d4,d5,d6\r\n\r\n",
             400, "too many"),
        HEAD(GET "Connection: keep-alive, X-Mine, TE\r\n\r\n", 0, NULL),
        HEAD(GET "Connection:\r\n\r\n", 0, NULL),
    };

    (void)state;
    CHECK_REQUESTS(cases);
}

/* ---- limits ---- */

static char *repeated(const char *before, char c, size_t times, const char *after)
{
    size_t before_len = strlen(before);
    char *text = malloc(before_len + times + strlen(after) + 1);

    assert_non_null(text);
    memcpy(text, before, before_len);
    memset(text + before_len, c, times);
    memcpy(text + before_len + times, after, strlen(after) + 1);
    return text;
}

static void check_repeated(const char *before, size_t times, const char *after, int status)
{
    char *text = repeated(before, 'a', times, after);
    int got = request_fault(sp_span_cstr(text), NULL);

    free(text);
    assert_int_equal(got, status);
}

static void a_target_at_the_limit_passes_and_one_longer_is_414(void **state)
{
    size_t at_limit = usual_limits.target_size - strlen("http://h/");

    (void)state;
    check_repeated("GET http://h/", at_limit, " HTTP/1.1\r\n" H "\r\n", 0);
    check_repeated("GET http://h/", at_limit + 1, " HTTP/1.1\r\n" H "\r\n", 414);
}

static void a_target_that_never_ends_is_414_before_its_line_is_whole(void **state)
{
    (void)state;
    check_repeated("GET http://h/", usual_limits.target_size - 9, "", -1);
    check_repeated("GET http://h/", usual_limits.target_size + 64, "", 414);
}

static void a_head_that_is_too_large_is_431_as_soon_as_that_is_certain(void **state)
{
    size_t around = strlen(GET "A: \r\n\r\n");

    (void)state;
    check_repeated(GET "A: ", usual_limits.head_size - around, "\r\n\r\n", 0);
    check_repeated(GET "A: ", usual_limits.head_size - around + 1, "\r\n\r\n", 431);
    check_repeated(GET "A: ", usual_limits.head_size, "", 431);
    check_repeated("", 65, "", 400); /* no method is that long */
}

static void endless_empty_lines_are_431(void **state)
{
    char *text = malloc(usual_limits.head_size);

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < usual_limits.head_size; i++)
        text[i] = i % 2 == 0 ? '\r' : '\n';
    assert_int_equal(request_fault(sp_span_of(text, usual_limits.head_size), NULL), 431);
    free(text);
}

static void one_field_too_many_is_431(void **state)
{
    char text[4096];
    size_t len = 0;

    (void)state;
    len += (size_t)snprintf(text, sizeof text, "%s", GET);
    for (size_t i = 1; i < usual_limits.fields; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "A%zu: 1\r\n", i);
    (void)snprintf(text + len, sizeof text - len, "\r\n");
    assert_int_equal(request_fault(sp_span_cstr(text), NULL), 0);
    (void)snprintf(text + len, sizeof text - len, "B: 1\r\n\r\n");
    assert_int_equal(request_fault(sp_span_cstr(text), NULL), 431);
}

/* ---- what the connection and the client want ---- */

static void check_keep_alive(const char *head, bool keep_alive)
{
    struct sp_http_parser *parser = new_parser();
    struct sp_http_request request;
    struct sp_http_fault fault;

    assert_int_equal(sp_http_parse_request(parser, sp_span_cstr(head), &request, &fault), SP_OK);
    if (request.head.keep_alive != keep_alive)
        fail_msg("keep_alive is %d for:\n%s", request.head.keep_alive, head);
    sp_http_parser_free(&parser);
}

static void persistence_is_what_version_and_connection_say(void **state)
{
    (void)state;
    check_keep_alive(GET "\r\n", true);
    check_keep_alive(GET "Connection: close\r\n\r\n", false);
    check_keep_alive(GET "Connection: keep-alive, close\r\n\r\n", false);
    check_keep_alive(GET "Connection: keep-alive\r\nConnection: Close\r\n\r\n", false);
    check_keep_alive(GET "Proxy-Connection: close\r\n\r\n", false);
    check_keep_alive("GET http://h/ HTTP/1.0\r\n\r\n", false);
    check_keep_alive("GET http://h/ HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true);
    check_keep_alive("GET http://h/ HTTP/1.0\r\nProxy-Connection: Keep-Alive\r\n\r\n", true);
}

static bool has_upgrade(const char *head)
{
    struct sp_http_parser *parser = new_parser();
    struct sp_http_request request;
    struct sp_http_fault fault;
    bool has;

    assert_int_equal(sp_http_parse_request(parser, sp_span_cstr(head), &request, &fault), SP_OK);
    has = request.head.upgrade.base != NULL;
    sp_http_parser_free(&parser);
    return has;
}

static void an_upgrade_counts_only_when_connection_names_it(void **state)
{
    (void)state;
    assert_true(has_upgrade(GET "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"));
    assert_false(has_upgrade(GET "Upgrade: websocket\r\n\r\n"));
    assert_false(has_upgrade(GET "Connection: upgrade\r\n\r\n"));
    assert_false(
        has_upgrade("GET http://h/ HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"));
}

static void an_offer_of_http2_behind_our_back_is_not_heard(void **state)
{
    (void)state;
    assert_false(has_upgrade(GET "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                                 "HTTP2-Settings: AAMAAABkAAQ\r\n\r\n"));
    assert_false(has_upgrade(GET "Connection: upgrade\r\nUpgrade: websocket, h2c\r\n\r\n"));
    assert_false(
        has_upgrade(GET "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n"));
}

static void check_html(const char *accept, bool html)
{
    struct sp_http_parser *parser = new_parser();
    struct sp_http_request request;
    struct sp_http_fault fault;
    char head[512];

    (void)snprintf(head, sizeof head, GET "%s\r\n", accept);
    assert_int_equal(sp_http_parse_request(parser, sp_span_cstr(head), &request, &fault), SP_OK);
    if (request.accepts_html != html)
        fail_msg("accepts_html is %d for %s", request.accepts_html, accept);
    sp_http_parser_free(&parser);
}

static void only_who_names_html_gets_a_page(void **state)
{
    (void)state;
    check_html("", false);
    check_html("Accept: */*\r\n", false);
    check_html("Accept: text/plain\r\n", false);
    check_html("Accept: text/html\r\n", true);
    check_html("Accept: text/plain;q=0.5, Text/HTML;q=0.9\r\n", true);
    check_html("Accept: application/xhtml+xml\r\n", true);
    check_html("Accept: text/html;q=0\r\n", false);
    check_html("Accept: text/html; q=0.000\r\n", false);
    check_html("Accept: text/html;q=0.001\r\n", true);
    check_html("Accept: text/plain\r\nAccept: text/html\r\n", true);
}

static bool expects(const char *head)
{
    struct sp_http_parser *parser = new_parser();
    struct sp_http_request request;
    struct sp_http_fault fault;
    bool expected;

    assert_int_equal(sp_http_parse_request(parser, sp_span_cstr(head), &request, &fault), SP_OK);
    expected = request.expect_continue;
    sp_http_parser_free(&parser);
    return expected;
}

static void an_expectation_counts_in_http_1_1_alone(void **state)
{
    (void)state;
    assert_true(expects(GET "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n"));
    assert_false(expects(GET "\r\n"));
    assert_false(expects("GET http://h/ HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"));
}

static void expect_logged(const char *method, const char *target, const char *want)
{
    struct sp_http_parser *parser = new_parser();
    struct sp_http_request request;
    struct sp_http_fault fault;
    char head[256];

    (void)snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: h\r\n\r\n", method, target);
    assert_int_equal(sp_http_parse_request(parser, sp_span_cstr(head), &request, &fault),
                     SP_ERR_INVALID);
    assert_int_equal(fault.status, 400);
    assert_span(request.target.text, want);
    assert_span(request.method_text, method);
    sp_http_parser_free(&parser);
}

static void a_refused_request_leaves_the_log_its_target_without_userinfo(void **state)
{
    (void)state;
    expect_logged("GET", "http://alice:s3cret@h/x@y", "http://h/x@y");
    expect_logged("GET", "http://alice:s3@cret@h/", "http://h/");
    expect_logged("GET", "https://alice:s3cret@h?x@y", "https://h?x@y");
    expect_logged("CONNECT", "alice:s3cret@h:443", "h:443");
    expect_logged("GET", "alice:s3cret@h/", "h/");
    /* as people mistype it */
    expect_logged("GET", "http:///alice:s3cret@h/", "http:///h/");
    expect_logged("GET", "http:/alice:s3cret@h/", "http:/h/");
    expect_logged("GET", "http:\\\\alice:s3cret@h\\x", "http:\\\\h\\x");
    expect_logged("GET", "http://alice:s3/cr?et@h/x", "http://h/x");
    expect_logged("CONNECT", "alice:s3/cret@h:443", "h:443");
    /* no userinfo */
    expect_logged("GET", "https://h:443/x@y", "https://h:443/x@y");
    expect_logged("GET", "https://[::1]/x@y", "https://[::1]/x@y");
    expect_logged("CONNECT", "h/x@y", "h/x@y");
    expect_logged("GET", "*", "*");
    expect_logged("GET", "x:", "x:");
    expect_logged("GET", "x:/", "x:/");
}

static void a_refused_head_stays_refused_until_reset(void **state)
{
    struct sp_http_parser *parser = new_parser();
    struct sp_http_request request;
    struct sp_http_fault fault;

    (void)state;
    assert_int_equal(
        sp_http_parse_request(parser, SP_SPAN_LIT(GET "A : 1\r\n\r\n"), &request, &fault),
        SP_ERR_INVALID);
    fault.status = 0;
    assert_int_equal(sp_http_parse_request(parser, SP_SPAN_LIT(GET "A : 1\r\n\r\n" GET "\r\n"),
                                           &request, &fault),
                     SP_ERR_INVALID);
    assert_int_equal(fault.status, 400);
    sp_http_parser_reset(parser);
    assert_int_equal(sp_http_parse_request(parser, SP_SPAN_LIT(GET "\r\n"), &request, &fault),
                     SP_OK);
    sp_http_parser_free(&parser);
    sp_http_parser_free(&parser); /* freeing nothing is harmless */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_get_is_understood),
        cmocka_unit_test(empty_lines_before_a_request_are_skipped_and_counted),
        cmocka_unit_test(a_parser_reads_one_head_after_another),
        cmocka_unit_test(a_settled_request_needs_no_parser),
        cmocka_unit_test(a_head_cut_anywhere_wants_more),
        cmocka_unit_test(any_method_that_is_a_token_is_accepted),
        cmocka_unit_test(odd_request_lines_are_refused),
        cmocka_unit_test(versions_are_read_to_the_letter),
        cmocka_unit_test(odd_field_lines_are_refused),
        cmocka_unit_test(bodies_that_two_readers_could_measure_differently_are_refused),
        cmocka_unit_test(hosts_and_credentials_stand_once),
        cmocka_unit_test(connection_cannot_take_out_what_matters),
        cmocka_unit_test(a_target_at_the_limit_passes_and_one_longer_is_414),
        cmocka_unit_test(a_target_that_never_ends_is_414_before_its_line_is_whole),
        cmocka_unit_test(a_head_that_is_too_large_is_431_as_soon_as_that_is_certain),
        cmocka_unit_test(endless_empty_lines_are_431),
        cmocka_unit_test(one_field_too_many_is_431),
        cmocka_unit_test(persistence_is_what_version_and_connection_say),
        cmocka_unit_test(an_upgrade_counts_only_when_connection_names_it),
        cmocka_unit_test(an_offer_of_http2_behind_our_back_is_not_heard),
        cmocka_unit_test(only_who_names_html_gets_a_page),
        cmocka_unit_test(an_expectation_counts_in_http_1_1_alone),
        cmocka_unit_test(a_refused_request_leaves_the_log_its_target_without_userinfo),
        cmocka_unit_test(a_refused_head_stays_refused_until_reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
