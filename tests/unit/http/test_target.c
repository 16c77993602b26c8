/* Request targets and hosts: one spelling for each place, and no spelling that hides one. */
#include "heads.h"

static struct sp_http_parser *parser;
static struct sp_http_request request;
static struct sp_http_fault fault;
static char head[1024];

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

static enum sp_err read_target(const char *method, const char *target)
{
    (void)snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: x\r\n\r\n", method, target);
    sp_http_parser_reset(parser);
    return sp_http_parse_request(parser, sp_span_cstr(head), &request, &fault);
}

static void check_place(const char *target, const char *host, uint16_t port, const char *path)
{
    if (read_target("GET", target) != SP_OK)
        fail_msg("%s is refused: %s", target, fault.why);
    assert_span(request.target.host, host);
    assert_int_equal(request.target.port, port);
    assert_span(request.target.path, path);
}

static void check_refused(const char *method, const char *target, const char *why)
{
    if (read_target(method, target) != SP_ERR_INVALID)
        fail_msg("%s %s is accepted", method, target);
    assert_int_equal(fault.status, 400);
    if (strstr(fault.why, why) == NULL)
        fail_msg("%s %s: \"%s\" does not say \"%s\"", method, target, fault.why, why);
}

static void one_place_has_one_spelling(void **state)
{
    (void)state;
    check_place("http://example.com/", "example.com", 80, "/");
    check_place("HTTP://EXAMPLE.com:80/", "example.com", 80, "/");
    check_place("http://example.com./x", "example.com", 80, "/x");
    check_place("http://ex%61mple%2Ecom", "example.com", 80, "/");
    check_place("http://EX%41MPLE.com", "example.com", 80, "/");
    check_place("http://example.com:8080?q=/", "example.com", 8080, "/?q=/");
    check_place("http://example.com:/", "example.com", 80, "/");
    check_place("http://a_b-c.test//x", "a_b-c.test", 80, "//x");
}

static void check_address(const char *text)
{
    struct sp_addr expected;

    assert_int_equal(sp_addr_parse_ip(&expected, sp_span_cstr(text)), SP_OK);
    assert_true(request.target.host_is_ip);
    assert_memory_equal(&request.target.addr, &expected, sizeof(expected));
}

static void addresses_are_recognised(void **state)
{
    (void)state;
    check_place("http://127.0.0.1/", "127.0.0.1", 80, "/");
    check_address("127.0.0.1");
    assert_false(request.target.ipv6);
    check_place("http://127.0.0.1./", "127.0.0.1", 80, "/");
    check_place("http://%31%32%37.0.0.1/", "127.0.0.1", 80, "/");
    check_place("http://[::FFFF:127.0.0.1]:81/", "::ffff:127.0.0.1", 81, "/");
    check_address("127.0.0.1");
    assert_true(request.target.ipv6);
    check_place("http://[0:0::00:1]/", "::1", 80, "/");
    check_address("::1");
    check_place("http://1.2.3.4.example/", "1.2.3.4.example", 80, "/");
    assert_false(request.target.host_is_ip);
}

static void spellings_of_ipv4_that_only_inet_aton_knows_are_refused(void **state)
{
    static const char *const odd[] = {
        "http://127.1/",      "http://0177.0.0.1/",     "http://0x7f.0.0.1/",
        "http://0x7f000001/", "http://2130706433/",     "http://127.0.0.01/",
        "http://256.0.0.1/",  "http://1.2.3.4.5/",      "http://127.0.0.0x1",
        "http://0x",          "http://127.1./",         "http://%30x7f.1/",
        "http://example.1/",  "http://127.0.0.1%2e%2e",
    };

    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        check_refused("GET", odd[i], i == 13 ? "label" : "IPv4");
}

static void hosts_that_are_none_are_refused(void **state)
{
    (void)state;
    check_refused("GET", "http:///", "host");
    check_refused("GET", "http://:80/", "empty host");
    check_refused("GET", "http://?", "host");
    check_refused("GET", "http://./", "label");
    check_refused("GET", "http://a..b/", "label");
    check_refused("GET", "http://a.b../", "label");
    check_refused("GET", "http://.a/", "label");
    check_refused("GET", "http://a%2fb/", "character");
    check_refused("GET", "http://a%40b/", "character");
    check_refused("GET", "http://a%3a80/", "character");
    check_refused("GET", "http://a%00b/", "character");
    check_refused("GET", "http://a%0d%0ab/", "character");
    check_refused("GET", "http://a%20b/", "character");
    check_refused("GET", "http://%c3%bc/", "character");
    check_refused("GET", "http://a%2/", "percent");
    check_refused("GET", "http://a%zz/", "percent");
    check_refused("GET", "http://a%", "percent");
    check_refused("GET", "http://a\\b/", "character");
    check_refused("GET", "http://a;b/", "character");
    check_refused("GET", "http://[::1/", "host");
    check_refused("GET", "http://[]/", "bracket");
    check_refused("GET", "http://[::1%25eth0]/", "zone");
    check_refused("GET", "http://[fe80::1%eth0]/", "zone");
    check_refused("GET", "http://[127.0.0.1]/", "IPv6");
    check_refused("GET", "http://[::g]/", "IPv6");
    check_refused("GET", "http://[::1]x/", "host");
    check_refused("GET", "http://::1/", "port");
}

static void names_longer_than_dns_has_room_for_are_refused(void **state)
{
    char target[512];

    (void)state;
    (void)snprintf(target, sizeof target, "http://%064d.test/", 0);
    check_refused("GET", target, "label");
    (void)snprintf(target, sizeof target, "http://%063d.test/", 0);
    assert_int_equal(read_target("GET", target), SP_OK);
    (void)snprintf(target, sizeof target, "http://%061d.%063d.%063d.%063d.a/", 0, 0, 0, 0);
    check_refused("GET", target, "too long");
    (void)snprintf(target, sizeof target, "http://%0300d/", 0);
    check_refused("GET", target, "too long");
}

static void ports_are_1_to_65535(void **state)
{
    (void)state;
    check_place("http://h:65535/", "h", 65535, "/");
    check_refused("GET", "http://h:0/", "port");
    check_refused("GET", "http://h:65536/", "port");
    check_refused("GET", "http://h:080000/", "port");
    check_refused("GET", "http://h:-1/", "port");
    check_refused("GET", "http://h:8 0/", "");
    check_refused("GET", "http://h:80:80/", "port");
}

static void userinfo_fragments_and_foreign_schemes_are_refused(void **state)
{
    (void)state;
    check_refused("GET", "http://user@h/", "userinfo");
    check_refused("GET", "http://user:pw@h/", "userinfo");
    check_refused("GET", "http://@h/", "userinfo");
    check_refused("GET", "http://h/#top", "fragment");
    check_refused("GET", "http://h#", "fragment");
    check_refused("GET", "https://h/", "CONNECT");
    check_refused("GET", "HTTPS://h/", "CONNECT");
    check_refused("GET", "ftp://h/", "scheme");
    check_refused("GET", "file:///etc/passwd", "scheme");
    check_refused("GET", "http:/h/", "scheme");
    check_refused("GET", "http:h", "scheme");
    check_refused("GET", "h", "not a URL");
    check_refused("GET", "h:80", "scheme");
    assert_int_equal(read_target("GET", "http://h/a@b:c"), SP_OK); /* '@' in a path is a path */
}

static void connect_takes_host_and_port_and_nothing_else(void **state)
{
    (void)state;
    assert_int_equal(read_target("CONNECT", "Example.com:443"), SP_OK);
    assert_int_equal(request.target.form, SP_TARGET_AUTHORITY);
    assert_span(request.target.host, "example.com");
    assert_span(request.target.text, "Example.com:443");
    assert_int_equal(request.target.port, 443);
    assert_int_equal(read_target("CONNECT", "[2001:DB8::1]:443"), SP_OK);
    assert_span(request.target.host, "2001:db8::1");
    check_refused("CONNECT", "example.com", "without a port");
    check_refused("CONNECT", "example.com:", "port");
    check_refused("CONNECT", "example.com:0", "port");
    check_refused("CONNECT", "example.com:65536", "port");
    check_refused("CONNECT", "example.com:http", "port");
    check_refused("CONNECT", ":443", "empty host");
    check_refused("CONNECT", "example.com:443/", "path");
    check_refused("CONNECT", "example.com:443?x", "path");
    check_refused("CONNECT", "u@example.com:443", "userinfo");
    check_refused("CONNECT", "http://example.com:443", "path");
    check_refused("CONNECT", "https://example.com/", "path");
    check_refused("CONNECT", "/", "path");
    check_refused("CONNECT", "*", "without a port");
    check_refused("CONNECT", "127.1:443", "IPv4");
    check_refused("CONNECT", "::1:443", "port");
    check_refused("connect", "example.com:443", "scheme"); /* methods have case */
}

static void requests_to_the_proxy_itself_are_told_apart(void **state)
{
    (void)state;
    assert_int_equal(read_target("GET", "/path?q"), SP_OK);
    assert_int_equal(request.target.form, SP_TARGET_ORIGIN);
    assert_null(request.target.host.base);
    assert_span(request.target.path, "/path?q");
    assert_int_equal(read_target("OPTIONS", "*"), SP_OK);
    assert_int_equal(request.target.form, SP_TARGET_ASTERISK);
    check_refused("GET", "*", "OPTIONS");
    assert_int_equal(read_target("OPTIONS", "http://h"), SP_OK);
    assert_span(request.target.path, "*"); /* RFC 9112 3.2.4 */
    assert_int_equal(read_target("OPTIONS", "http://h/"), SP_OK);
    assert_span(request.target.path, "/");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_place_has_one_spelling),
        cmocka_unit_test(addresses_are_recognised),
        cmocka_unit_test(spellings_of_ipv4_that_only_inet_aton_knows_are_refused),
        cmocka_unit_test(hosts_that_are_none_are_refused),
        cmocka_unit_test(names_longer_than_dns_has_room_for_are_refused),
        cmocka_unit_test(ports_are_1_to_65535),
        cmocka_unit_test(userinfo_fragments_and_foreign_schemes_are_refused),
        cmocka_unit_test(connect_takes_host_and_port_and_nothing_else),
        cmocka_unit_test(requests_to_the_proxy_itself_are_told_apart),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
