/* What llhttp 8 alone lets pass (measured on 8.1.0 as Debian ships it, loose mode) and this room
 * does not. Each row is first shown to llhttp alone: when a newer one refuses it, the row says so
 * no longer, and only our own refusal is checked. */
#include "heads.h"

#include <llhttp.h>

#define H   "Host: h\r\n"
#define GET "GET http://h/ HTTP/1.1\r\n" H

static int stop(llhttp_t *llhttp)
{
    (void)llhttp;
    return HPE_PAUSED;
}

static bool llhttp_accepts(struct sp_span bytes, llhttp_type_t type)
{
    static const llhttp_settings_t settings = {.on_headers_complete = stop};
    llhttp_t llhttp;

    llhttp_init(&llhttp, type, &settings);
    return llhttp_execute(&llhttp, bytes.base, bytes.len) == HPE_PAUSED;
}

static void check_leniency(struct sp_span bytes, int status)
{
    if (LLHTTP_VERSION_MAJOR == 8 && LLHTTP_VERSION_MINOR == 1)
        assert_true(llhttp_accepts(bytes, HTTP_REQUEST));
    assert_int_equal(request_fault(bytes, NULL), status);
}

#define LENIENT(text, status) check_leniency(SP_SPAN_LIT(text), status)

static void space_before_the_colon(void **state)
{
    (void)state;
    LENIENT(GET "A : b\r\n\r\n", 400);
    LENIENT("GET http://h/ HTTP/1.1\r\nHost : h\r\n\r\n", 400);
}

static void folded_lines(void **state)
{
    (void)state;
    LENIENT(GET "A: b\r\n c\r\n\r\n", 400);
    LENIENT(GET "A: b\r\n\tc\r\n\r\n", 400);
    LENIENT(GET "A:\r\n b\r\n\r\n", 400);
    LENIENT(GET "Transfer-Encoding:\r\n chunked\r\n\r\n", 400);
}

static void a_head_that_ends_in_cr_and_any_byte(void **state)
{
    (void)state;
    LENIENT(GET "A: b\r\n\rX", 400);
    LENIENT(GET "A: b\r\n\r\r\n", 400);
}

static void a_head_that_ends_in_a_bare_lf(void **state)
{
    (void)state;
    LENIENT(GET "A: b\r\n\n", 400);
}

static void bare_lf_before_the_request_line(void **state)
{
    (void)state;
    LENIENT("\n\nGET http://h/ HTTP/1.1\r\n" H "\r\n", 400);
}

static void several_spaces_in_the_request_line(void **state)
{
    (void)state;
    LENIENT("GET  http://h/ HTTP/1.1\r\n" H "\r\n", 400);
    LENIENT("GET http://h/  HTTP/1.1\r\n" H "\r\n", 400);
}

static void control_and_8_bit_characters_in_the_target(void **state)
{
    (void)state;
    LENIENT("GET http://h/\t HTTP/1.1\r\n" H "\r\n", 400);
    LENIENT("GET http://h/\x0c HTTP/1.1\r\n" H "\r\n", 400);
    LENIENT("GET http://h/\x80 HTTP/1.1\r\n" H "\r\n", 400);
}

static void versions_other_than_1_0_and_1_1(void **state)
{
    (void)state;
    LENIENT("GET http://h/ HTTP/0.9\r\n" H "\r\n", 400);
    LENIENT("GET http://h/ HTTP/2.0\r\n" H "\r\n", 505);
    LENIENT("GET http://h/\r\n\r\n", 400);
}

static void an_empty_transfer_encoding(void **state)
{
    (void)state;
    LENIENT(GET "Transfer-Encoding:\r\n\r\n", 400);
    LENIENT(GET "Transfer-Encoding: \r\nContent-Length: 5\r\n\r\n", 400);
}

static void transfer_codings_that_only_look_like_chunked(void **state)
{
    (void)state;
    LENIENT(GET "Transfer-Encoding: xchunked\r\n\r\n", 501);
    LENIENT(GET "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", 501);
}

static void transfer_encoding_in_http_1_0(void **state)
{
    (void)state;
    LENIENT("POST http://h/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
}

static void userinfo_fragments_and_odd_schemes(void **state)
{
    (void)state;
    LENIENT("GET http://u:p@h/ HTTP/1.1\r\n" H "\r\n", 400);
    LENIENT("GET http://h/#f HTTP/1.1\r\n" H "\r\n", 400);
    LENIENT("GET gopher://h/ HTTP/1.1\r\n" H "\r\n", 400);
}

static void connect_without_port_or_with_a_path(void **state)
{
    (void)state;
    LENIENT("CONNECT h HTTP/1.1\r\n" H "\r\n", 400);
    LENIENT("CONNECT h:1/p HTTP/1.1\r\n" H "\r\n", 400);
}

static void a_repeated_host(void **state)
{
    (void)state;
    LENIENT(GET "Host: i\r\n\r\n", 400);
}

/* ---- responses ---- */

static void check_response_leniency(struct sp_span bytes)
{
    struct sp_http_parser *parser = new_parser();
    struct sp_http_response response;
    struct sp_http_fault fault;

    if (LLHTTP_VERSION_MAJOR == 8 && LLHTTP_VERSION_MINOR == 1)
        assert_true(llhttp_accepts(bytes, HTTP_RESPONSE));
    assert_int_equal(sp_http_parse_response(parser, bytes, SP_HTTP_GET, &response, &fault),
                     SP_ERR_INVALID);
    sp_http_parser_free(&parser);
}

static void status_lines_that_are_loosely_written(void **state)
{
    (void)state;
    check_response_leniency(SP_SPAN_LIT("HTTP/1.1  200 OK\r\nA: b\r\n\r\n"));
    check_response_leniency(SP_SPAN_LIT("HTTP/1.1 20 OK\r\nA: b\r\n\r\n"));
    check_response_leniency(SP_SPAN_LIT("HTTP/1.1 999 OK\r\nA: b\r\n\r\n"));
    check_response_leniency(SP_SPAN_LIT("HTTP/1.1 200 \x01\r\nA: b\r\n\r\n"));
    check_response_leniency(SP_SPAN_LIT("HTTP/1.1 200\rX\r\nA: b\r\n\r\n"));
}

static void responses_whose_coding_nobody_asked_for(void **state)
{
    (void)state;
    check_response_leniency(SP_SPAN_LIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(space_before_the_colon),
        cmocka_unit_test(folded_lines),
        cmocka_unit_test(a_head_that_ends_in_cr_and_any_byte),
        cmocka_unit_test(a_head_that_ends_in_a_bare_lf),
        cmocka_unit_test(bare_lf_before_the_request_line),
        cmocka_unit_test(several_spaces_in_the_request_line),
        cmocka_unit_test(control_and_8_bit_characters_in_the_target),
        cmocka_unit_test(versions_other_than_1_0_and_1_1),
        cmocka_unit_test(an_empty_transfer_encoding),
        cmocka_unit_test(transfer_codings_that_only_look_like_chunked),
        cmocka_unit_test(transfer_encoding_in_http_1_0),
        cmocka_unit_test(userinfo_fragments_and_odd_schemes),
        cmocka_unit_test(connect_without_port_or_with_a_path),
        cmocka_unit_test(a_repeated_host),
        cmocka_unit_test(status_lines_that_are_loosely_written),
        cmocka_unit_test(responses_whose_coding_nobody_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
