/* PROXY protocol headers: tables of what is read and what is refused. */
#include "net_test.h"

#include "net/proxy_protocol.h"
#include "util/span.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"

struct good {
    const char *bytes;
    size_t len;
    size_t header_len;
    const char *source; /* NULL: not addressed */
    const char *destination;
};

#define BYTES(s) (s), sizeof(s) - 1

static const struct good goods[] = {
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nGET"), 45, "192.0.2.1:56324",
     "198.51.100.2:443"},
    {BYTES("PROXY TCP6 2001:db8::1 2001:db8::2 0 65535\r\n"), 44, "[2001:db8::1]:0",
     "[2001:db8::2]:65535"},
    {BYTES("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
           "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
     104, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
     "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
    {BYTES("PROXY UNKNOWN\r\n"), 15, NULL, NULL},
    {BYTES("PROXY UNKNOWN whatever it is 1 2\r\nx"), 34, NULL, NULL},
    {BYTES(V2 "\x21\x11\0\x0c\x0a\0\0\1\x0a\0\0\2\x01\x02\x0c\x38rest"), 28, "10.0.0.1:258",
     "10.0.0.2:3128"},
    {BYTES(V2 "\x21\x11\0\x10\x0a\0\0\1\x0a\0\0\2\x01\x02\x0c\x38\x04\0\1z"), 32, "10.0.0.1:258",
     "10.0.0.2:3128"},
    {BYTES(V2 "\x21\x21\0\x24\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
              "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2\0\x50\x01\xbb"),
     52, "[2001:db8::1]:80", "[2001:db8::2]:443"},
    {BYTES(V2 "\x20\0\0\0"), 16, NULL, NULL},
    {BYTES(V2 "\x20\x11\0\3abc"), 19, NULL, NULL}, /* LOCAL: the rest is skipped, whatever */
    {BYTES(V2 "\x21\0\0\0"), 16, NULL, NULL},
};

static void well_formed_headers_are_read_to_their_last_byte(void **state)
{
    (void)state;

    for (size_t i = 0; i < sizeof(goods) / sizeof(goods[0]); i++) {
        const struct good *good = &goods[i];
        struct sp_proxy_header header;
        char text[SP_ADDR_TEXT_MAX];

        assert_int_equal(sp_proxy_header_parse(sp_span_of(good->bytes, good->len), &header), SP_OK);
        assert_int_equal(header.len, good->header_len);
        assert_int_equal(header.addressed, good->source != NULL);
        if (good->source == NULL)
            continue;
        assert_string_equal(sp_addr_text(&header.source, text), good->source);
        assert_string_equal(sp_addr_text(&header.destination, text), good->destination);
    }
}

static void every_beginning_of_one_asks_for_more(void **state)
{
    (void)state;

    for (size_t i = 0; i < sizeof(goods) / sizeof(goods[0]); i++) {
        for (size_t len = 0; len < goods[i].header_len; len++) {
            struct sp_proxy_header header;

            assert_int_equal(sp_proxy_header_parse(sp_span_of(goods[i].bytes, len), &header),
                             SP_ERR_AGAIN);
        }
    }
}

static const struct {
    const char *bytes;
    size_t len;
    enum sp_err err;
} bads[] = {
    {BYTES("GET http://a/ HTTP/1.1\r\n"), SP_ERR_INVALID},
    {BYTES("\x16\x03\x01"), SP_ERR_INVALID},
    {BYTES("PROXY\r\n"), SP_ERR_INVALID},
    {BYTES("proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n"), SP_ERR_INVALID},
    {BYTES("PROXY \r\n"), SP_ERR_INVALID},
    {BYTES("PROXY TCP4\r\n"), SP_ERR_INVALID},
    {BYTES("PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n"), SP_ERR_INVALID},
    {BYTES("PROXY UNKNOWNS\r\n"), SP_ERR_INVALID},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n"), SP_ERR_INVALID},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n"), SP_ERR_INVALID},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n"), SP_ERR_INVALID},
    {BYTES("PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n"), SP_ERR_INVALID},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n"), SP_ERR_INVALID},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2\r1 2\r\n"), SP_ERR_INVALID},
    {BYTES("PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n"), SP_ERR_INVALID},
    {BYTES("PROXY TCP4 192.0.2.1\0 198.51.100.2 1 2\r\n"), SP_ERR_INVALID},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n"), SP_ERR_INVALID},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n"), SP_ERR_INVALID},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n"), SP_ERR_INVALID},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 -1 2\r\n"), SP_ERR_INVALID},
    {BYTES("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n"), SP_ERR_INVALID},
    {BYTES("PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n"), SP_ERR_INVALID},
    {BYTES("PROXY TCP6 [2001:db8::1] 2001:db8::2 1 2\r\n"), SP_ERR_INVALID},
    {BYTES("PROXY TCP6 fe80::1%eth0 2001:db8::2 1 2\r\n"), SP_ERR_INVALID},
    {BYTES("PROXY UNKNOWN "
           "0123456789012345678901234567890123456789012345678901234567890123456789"
           "0123456789012345678901234567890123456789\r\n"),
     SP_ERR_TOO_LARGE},
    {BYTES(V2 "\x11\x11\0\0"), SP_ERR_INVALID},                               /* version 1 in 2 */
    {BYTES(V2 "\x22\x11\0\0"), SP_ERR_INVALID},                               /* no such command */
    {BYTES(V2 "\x21\x11\0\x04\x0a\0\0\1"), SP_ERR_INVALID},                   /* cut addresses */
    {BYTES(V2 "\x21\x12\0\x0c\x0a\0\0\1\x0a\0\0\2\1\2\3\4"), SP_ERR_INVALID}, /* datagrams */
    {BYTES(V2 "\x21\x41\0\0"), SP_ERR_INVALID},                               /* no such family */
    {BYTES(V2 "\x21\x11\0\x0e\x0a\0\0\1\x0a\0\0\2\1\2\3\4\4\0"), SP_ERR_INVALID}, /* cut TLV */
    {BYTES(V2 "\x21\x11\0\x0f\x0a\0\0\1\x0a\0\0\2\1\2\3\4\4\0\1"), SP_ERR_INVALID},
    {BYTES(V2 "\x21\x11\xff\xff"), SP_ERR_TOO_LARGE},
};

static void malformed_headers_are_refused(void **state)
{
    (void)state;

    for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
        struct sp_proxy_header header;
        enum sp_err err = sp_proxy_header_parse(sp_span_of(bads[i].bytes, bads[i].len), &header);

        if (err != bads[i].err)
            print_error("row %zu: %.*s\n", i, (int)bads[i].len, bads[i].bytes);
        assert_int_equal(err, bads[i].err);
        assert_false(header.addressed && err == SP_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed_headers_are_read_to_their_last_byte),
        cmocka_unit_test(every_beginning_of_one_asks_for_more),
        cmocka_unit_test(malformed_headers_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
