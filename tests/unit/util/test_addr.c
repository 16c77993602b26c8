/* util/addr: one spelling for one address, and networks that hold what they say. */
#include "util/addr.h"

#include "util/span.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct sp_addr ip(const char *text)
{
    struct sp_addr addr;

    assert_int_equal(sp_addr_parse_ip(&addr, sp_span_cstr(text)), SP_OK);
    return addr;
}

static bool has(const char *network, const char *address)
{
    struct sp_cidr cidr;
    struct sp_addr addr = ip(address);

    assert_int_equal(sp_cidr_parse(&cidr, sp_span_cstr(network)), SP_OK);
    return sp_cidr_has(&cidr, &addr);
}

static void addresses_that_other_parsers_read_otherwise_are_refused(void **state)
{
    static const char *const bad[] = {
        "",           "1.2.3",
        "127.1",      "0x7f.0.0.1",
        "0177.0.0.1", "2130706433",
        "1.2.3.4.",   " 1.2.3.4",
        "1.2.3.4 ",   "256.0.0.1",
        "[1.2.3.4]",  "[::1",
        "::1]",       "[]",
        "::g",        "1.2.3.4/8",
        "::1%lo",     "fe80::1%",
        ":",          "[::1]:80",
        "fe80::1%0",  "fe80::1%nosuchinterface0",
    };
    struct sp_addr addr;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(sp_addr_parse_ip(&addr, sp_span_cstr(bad[i])), SP_ERR_INVALID);
    assert_int_equal(sp_addr_parse_ip(&addr, sp_span_of("1.2.3.4\0x", 9)), SP_ERR_INVALID);
    assert_int_equal(sp_addr_parse_ip(&addr, sp_span_of("::1\0", 4)), SP_ERR_INVALID);
    assert_int_equal(sp_addr_parse_ip(&addr, SP_SPAN_NONE), SP_ERR_INVALID);
}

static void a_mapped_address_is_the_ipv4_address(void **state)
{
    struct sp_addr a = ip("127.0.0.1");
    struct sp_addr b = ip("[::ffff:7f00:1]");
    char text[SP_ADDR_TEXT_MAX];

    (void)state;
    assert_true(sp_addr_same_ip(&a, &b));
    assert_true(sp_addr_is_v4(&b));
    assert_string_equal(sp_addr_ip_text(&b, text), "127.0.0.1");
}

static void text_and_back_is_the_same_address(void **state)
{
    static const char *const texts[] = {"10.0.0.1:3128", "[::1]:0", "[2001:db8::17]:65535",
                                        "[fe80::1%7]:443", "0.0.0.0:1"};
    char text[SP_ADDR_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct sp_addr addr;
        struct sp_addr again;
        struct sockaddr_storage ss;

        assert_int_equal(sp_addr_parse(&addr, sp_span_cstr(texts[i])), SP_OK);
        assert_string_equal(sp_addr_text(&addr, text), texts[i]);
        assert_true(sp_addr_to_sockaddr(&addr, &ss) > 0);
        assert_int_equal(sp_addr_from_sockaddr(&again, (struct sockaddr *)&ss), SP_OK);
        assert_memory_equal(&addr, &again, sizeof(addr));
    }
}

static void an_address_with_a_port_needs_exactly_that(void **state)
{
    static const char *const bad[] = {"10.0.0.1", "10.0.0.1:", "10.0.0.1:65536", ":80",
                                      "[::1]",    "::1:3128",  "[::1]:x",        "[::1]3128",
                                      "",         "host:3128", "10.0.0.1:-1",    "10.0.0.1:1:2"};
    struct sp_addr addr;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(sp_addr_parse(&addr, sp_span_cstr(bad[i])), SP_ERR_INVALID);
}

static void the_longest_address_fits_its_text(void **state)
{
    struct sp_addr addr = {.scope = UINT32_MAX, .port = UINT16_MAX};
    char text[SP_ADDR_TEXT_MAX];

    (void)state;
    memset(addr.ip, 0xfe, sizeof(addr.ip));
    assert_string_equal(sp_addr_text(&addr, text),
                        "[fefe:fefe:fefe:fefe:fefe:fefe:fefe:fefe%4294967295]:65535");
}

/* Every octet in every place, against the C library. */
static void an_ipv4_address_is_written_as_the_library_does(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4 * 256; i++) {
        struct sp_addr addr;
        char expected[INET_ADDRSTRLEN];
        char text[SP_ADDR_TEXT_MAX];

        assert_int_equal(sp_addr_parse_ip(&addr, SP_SPAN_LIT("10.200.0.99")), SP_OK);
        addr.ip[12 + i / 256] = (uint8_t)(i % 256);
        assert_non_null(inet_ntop(AF_INET, addr.ip + 12, expected, sizeof(expected)));
        assert_string_equal(sp_addr_ip_text(&addr, text), expected);
    }
}

static void a_unix_address_is_no_network_address(void **state)
{
    struct sockaddr sa = {.sa_family = AF_UNIX};
    struct sp_addr addr;

    (void)state;
    assert_int_equal(sp_addr_from_sockaddr(&addr, &sa), SP_ERR_INVALID);
}

static void networks_hold_their_addresses_and_no_other(void **state)
{
    (void)state;
    assert_true(has("10.0.0.0/8", "10.255.255.255"));
    assert_false(has("10.0.0.0/8", "11.0.0.0"));
    assert_true(has("10.0.0.0/8", "::ffff:10.1.2.3"));
    assert_true(has("10.64.0.0/10", "10.127.0.1"));
    assert_false(has("10.64.0.0/10", "10.128.0.1"));
    assert_true(has("192.0.2.1", "192.0.2.1"));
    assert_false(has("192.0.2.1", "192.0.2.2"));
    assert_true(has("fe80::/10", "febf::1"));
    assert_false(has("fe80::/10", "fec0::1"));
    assert_true(has("::1/128", "::1"));
    assert_true(has("0.0.0.0/0", "203.0.113.9"));
    assert_false(has("0.0.0.0/0", "2001:db8::1"));
    assert_true(has("::/0", "2001:db8::1"));
}

static void ipv6_networks_do_not_take_ipv4_in_through_the_mapped_form(void **state)
{
    (void)state;
    assert_false(has("::/0", "203.0.113.9"));
    assert_false(has("::/80", "127.0.0.1"));
    assert_true(has("::ffff:0:0/96", "127.0.0.1"));
    assert_true(has("::ffff:10.0.0.0/104", "10.9.9.9"));
}

static void networks_with_bits_past_the_prefix_are_refused(void **state)
{
    static const char *const bad[] = {
        "10.0.0.1/8", "10.0.0.0/33", "::1/64",    "::/129", "10.0.0.0/",
        "/8",         "10.0.0.0/8x", "10.0/16",   "",       "10.0.0.0/-1",
        "fe80::1%1",  "corp.test",   "0.0.0.1/0", "*"};
    struct sp_cidr cidr;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(sp_cidr_parse(&cidr, sp_span_cstr(bad[i])), SP_ERR_INVALID);
}

static void loopback_and_unspecified_addresses_are_told_in_either_family(void **state)
{
    static const struct {
        const char *text;
        bool loopback, unspecified;
    } all[] = {
        {"127.0.0.1", true, false},        {"127.255.0.9", true, false},
        {"::ffff:127.0.0.1", true, false}, {"::1", true, false},
        {"0.0.0.0", false, true},          {"::", false, true},
        {"::ffff:0.0.0.0", false, true},   {"128.0.0.1", false, false},
        {"0.0.0.1", false, false},         {"::2", false, false},
        {"::127.0.0.1", false, false},     {"10.0.0.127", false, false},
        {"7f00::1", false, false},         {"::ffff:0:0:1", false, false},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct sp_addr addr = ip(all[i].text);

        assert_int_equal(sp_addr_is_loopback(&addr), all[i].loopback);
        assert_int_equal(sp_addr_is_unspecified(&addr), all[i].unspecified);
    }
}

static void a_socket_is_an_address_a_scope_and_a_port(void **state)
{
    struct sp_addr a = ip("fe80::1"), b = a;
    (void)state;

    assert_true(sp_addr_same_socket(&a, &b));
    b.scope = 2;
    assert_true(sp_addr_same_ip(&a, &b)); /* which takes an unknown scope for any */
    assert_false(sp_addr_same_socket(&a, &b));
    b = a;
    b.port = 1;
    assert_false(sp_addr_same_socket(&a, &b));
    b = ip("fe80::2");
    assert_false(sp_addr_same_socket(&a, &b));
}

static void what_an_ipv6_address_leads_to_is_told(void **state)
{
    static const struct {
        const char *six, *four; /* NULL: nowhere */
    } cases[] = {
        {"64:ff9b::10.1.2.3", "10.1.2.3"},
        {"64:ff9b:1:ffff::10.1.2.3", "10.1.2.3"},
        {"2002:a01:203:4::5", "10.1.2.3"},
        {"::10.1.2.3", "10.1.2.3"},
        {"::", NULL},
        {"::1", NULL},
        {"::ffff:10.1.2.3", NULL}, /* is IPv4 */
        {"10.1.2.3", NULL},
        {"64:ff9b::1:10.1.2.3", NULL},
        {"2001:db8::10.1.2.3", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sp_addr six, four, found;

        assert_int_equal(sp_addr_parse_ip(&six, sp_span_cstr(cases[i].six)), SP_OK);
        assert_int_equal(sp_addr_embedded(&six, &found), cases[i].four != NULL);
        if (cases[i].four == NULL)
            continue;
        assert_int_equal(sp_addr_parse_ip(&four, sp_span_cstr(cases[i].four)), SP_OK);
        assert_true(sp_addr_same_ip(&four, &found));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_an_ipv6_address_leads_to_is_told),
        cmocka_unit_test(a_socket_is_an_address_a_scope_and_a_port),
        cmocka_unit_test(loopback_and_unspecified_addresses_are_told_in_either_family),
        cmocka_unit_test(addresses_that_other_parsers_read_otherwise_are_refused),
        cmocka_unit_test(a_mapped_address_is_the_ipv4_address),
        cmocka_unit_test(text_and_back_is_the_same_address),
        cmocka_unit_test(an_address_with_a_port_needs_exactly_that),
        cmocka_unit_test(the_longest_address_fits_its_text),
        cmocka_unit_test(an_ipv4_address_is_written_as_the_library_does),
        cmocka_unit_test(a_unix_address_is_no_network_address),
        cmocka_unit_test(networks_hold_their_addresses_and_no_other),
        cmocka_unit_test(ipv6_networks_do_not_take_ipv4_in_through_the_mapped_form),
        cmocka_unit_test(networks_with_bits_past_the_prefix_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
