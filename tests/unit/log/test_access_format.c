/* log/access_format: each format to the letter, and JSON whatever a client sends. */
#include "log/log_priv.h"

#include "util/addr.h"
#include "util/span.h"
#include "util/text.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static struct sp_addr client;
static struct sp_addr peer;

static struct sp_access_record example(void)
{
    return (struct sp_access_record){
        .ts_ms = 1763985600007ull, /* 2025-11-24T12:00:00.007Z */
        .id = SP_SPAN_LIT("7f3a-1"),
        .client = &client,
        .listener = SP_SPAN_LIT("0.0.0.0:3128"),
        .user = SP_SPAN_LIT("alice"),
        .scheme = SP_SCHEME_NEGOTIATE,
        .mech = SP_SPAN_LIT("krb5"),
        .backend = SP_SPAN_LIT("corp-krb5"),
        .auth = SP_HOW_CONNECTION,
        .method = SP_SPAN_LIT("GET"),
        .target = SP_SPAN_LIT("http://www.test/a?b=c"),
        .minor = 1,
        .status = 200,
        .reason = SP_REASON_OK,
        .rule = SP_SPAN_LIT("staff"),
        .bytes_in = 312,
        .bytes_out = 18446744073709551615ull,
        .ms = 12,
        .auth_ms = 0,
        .connect_ms = 3,
        .referer = SP_SPAN_LIT("http://www.test/"),
        .user_agent = SP_SPAN_LIT("curl/8 \"x\""),
        .peer = &peer,
        .type = SP_SPAN_LIT("text/html; charset=utf-8"),
    };
}

/* In a block of exactly the promised size, so that the sanitizer sees one byte too many. */
static char *format(enum sp_log_format how, const struct sp_access_record *record)
{
    struct sp_stamp stamp = {.valid = false};
    size_t bound = sp_access_bound(record);
    char *out = malloc(bound);
    size_t len;

    assert_non_null(out);
    len = sp_access_format(how, &stamp, record, out);
    assert_true(len < bound);
    assert_int_equal(out[len - 1], '\n');
    out[len] = '\0';
    return out;
}

static void assert_line(enum sp_log_format how, const struct sp_access_record *record,
                        const char *expected)
{
    char *line = format(how, record);

    assert_string_equal(line, expected);
    free(line);
}

static void json_has_all_fields_in_their_order(void **state)
{
    struct sp_access_record record = example();

    (void)state;
    assert_line(SP_LOG_JSON, &record,
                "{\"ts\":\"2025-11-24T12:00:00.007Z\",\"id\":\"7f3a-1\",\"client\":\"10.0.0.1\","
                "\"listener\":\"0.0.0.0:3128\",\"user\":\"alice\",\"scheme\":\"negotiate\","
                "\"mech\":\"krb5\",\"backend\":\"corp-krb5\",\"auth\":\"connection\","
                "\"method\":\"GET\",\"target\":\"http://www.test/a?b=c\",\"status\":200,"
                "\"reason\":\"ok\",\"rule\":\"staff\",\"bytes_in\":312,"
                "\"bytes_out\":18446744073709551615,\"ms\":12,\"auth_ms\":0,\"connect_ms\":3}\n");
}

static void absent_values_are_empty_strings_in_json_and_dashes_elsewhere(void **state)
{
    struct sp_addr loopback;
    struct sp_access_record record = {
        .client = &loopback, .reason = SP_REASON_MALFORMED, .status = 400};

    (void)state;
    assert_int_equal(sp_addr_parse_ip(&loopback, SP_SPAN_LIT("::1")), SP_OK);
    assert_line(SP_LOG_JSON, &record,
                "{\"ts\":\"1970-01-01T00:00:00.000Z\",\"id\":\"\",\"client\":\"::1\","
                "\"listener\":\"\",\"user\":\"\",\"scheme\":\"none\",\"mech\":\"\","
                "\"backend\":\"\",\"auth\":\"none\",\"method\":\"\",\"target\":\"\","
                "\"status\":400,\"reason\":\"malformed\",\"rule\":\"\",\"bytes_in\":0,"
                "\"bytes_out\":0,\"ms\":0,\"auth_ms\":0,\"connect_ms\":0}\n");
    assert_line(SP_LOG_SQUID, &record, "        0.000      0 ::1 NONE/400 0 - - - HIER_NONE/- -\n");
    assert_line(SP_LOG_COMBINED, &record,
                "::1 - - [01/Jan/1970:00:00:00 +0000] \"-\" 400 0 \"-\" \"-\"\n");
}

static void squid_lines_have_ten_fields(void **state)
{
    struct sp_access_record record = example();

    (void)state;
    record.bytes_out = 512;
    assert_line(SP_LOG_SQUID, &record,
                "1763985600.019     12 10.0.0.1 TCP_MISS/200 512 GET http://www.test/a?b=c alice "
                "HIER_DIRECT/203.0.113.7 text/html;%20charset=utf-8\n");
    record.ms = 1234567; /* a tunnel: told when it has ended */
    record.method = SP_SPAN_LIT("CONNECT");
    record.user = SP_SPAN_LIT("a b\n");
    record.target = SP_SPAN_LIT("www.test:443");
    record.type = SP_SPAN_NONE;
    assert_line(SP_LOG_SQUID, &record,
                "1763986834.574 1234567 10.0.0.1 TCP_TUNNEL/200 512 CONNECT www.test:443 a%20b%0a "
                "HIER_DIRECT/203.0.113.7 -\n");
}

static void combined_lines_escape_as_apache_does(void **state)
{
    struct sp_access_record record = example();

    (void)state;
    record.bytes_out = 512;
    record.referer = SP_SPAN_LIT("\xff\n\\");
    assert_line(SP_LOG_COMBINED, &record,
                "10.0.0.1 - alice [24/Nov/2025:12:00:00 +0000] \"GET http://www.test/a?b=c "
                "HTTP/1.1\" 200 512 \"\\xff\\x0a\\\\\" \"curl/8 \\\"x\\\"\"\n");
}

static void a_new_second_is_stamped_anew(void **state)
{
    struct sp_access_record record = example();
    struct sp_stamp stamp = {.valid = false};
    char out[4096];

    (void)state;
    (void)sp_access_format(SP_LOG_JSON, &stamp, &record, out);
    record.ts_ms += 993;
    (void)sp_access_format(SP_LOG_JSON, &stamp, &record, out);
    assert_memory_equal(out, "{\"ts\":\"2025-11-24T12:00:01.000Z\"", 32);
    record.ts_ms -= 1;
    (void)sp_access_format(SP_LOG_JSON, &stamp, &record, out);
    assert_memory_equal(out, "{\"ts\":\"2025-11-24T12:00:00.999Z\"", 32);
}

static void any_bytes_make_a_line_of_valid_json(void **state)
{
    (void)state;
    srand(4);
    for (int round = 0; round < 3000; round++) {
        struct sp_access_record record = example();
        char bytes[60];
        json_error_t error;
        json_t *json;
        char *line;

        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (char)(round % 2 == 0 ? rand() : rand() % 0x30);
        record.target = sp_span_of(bytes, (size_t)rand() % sizeof(bytes));
        record.user = sp_span_of(bytes + 30, 30);
        line = format(SP_LOG_JSON, &record);
        assert_non_null(strchr(line, '\n'));
        assert_int_equal(strchr(line, '\n') - line, strlen(line) - 1);
        record.bytes_out = 1;
        free(line);
        line = format(SP_LOG_JSON, &record);
        json = json_loads(line, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
        if (json == NULL)
            fail_msg("%s in %s", error.text, line);
        assert_int_equal(json_object_size(json), 19);
        json_decref(json);
        free(line);
    }
}

static void utf8_stays_and_other_bytes_become_the_replacement_character(void **state)
{
    struct sp_access_record record = example();
    char *line;

    (void)state;
    record.user = SP_SPAN_LIT("j\xc3\xbcrgen\xff\x1b\x7f\"\\");
    line = format(SP_LOG_JSON, &record);
    assert_non_null(strstr(line, "\"user\":\"j\xc3\xbcrgen\\ufffd\\u001b\\u007f\\\"\\\\\""));
    free(line);
}

/* ---- the scan, eight bytes at a time, against one that looks at each byte ---- */

static char *reference_escape(char *at, enum sp_log_format how, struct sp_span rest, size_t *len)
{
    unsigned byte = (unsigned char)rest.base[0];
    uint32_t letter = 0xfffd;

    *len = 1;
    if (byte >= 0x20 && byte < 0x7f)
        return at + sprintf(at, byte == '"' || byte == '\\' ? "\\%c" : "%c", (int)byte);
    if (how == SP_LOG_COMBINED)
        return at + sprintf(at, "\\x%02x", byte);
    *len = sp_text_decode(rest, &letter);
    if (*len < 2 || letter < 0xa0) {
        *len = *len > 0 ? *len : 1;
        return at + sprintf(at, "\\u%04x", (unsigned)letter);
    }
    memcpy(at, rest.base, *len);
    return at + *len;
}

static void assert_escaped(enum sp_log_format how, struct sp_span value, size_t shift)
{
    struct sp_access_record record = {.user = SP_SPAN_LIT("u")};
    struct sp_stamp stamp = {.valid = false};
    char expected[512];
    char out[2048];
    char *at = expected + sprintf(expected, how == SP_LOG_JSON ? "\"target\":\"" : " 000 0 \"");
    size_t len;

    *(how == SP_LOG_JSON ? &record.target : &record.referer) = value;
    if (how == SP_LOG_COMBINED && value.len == 0)
        at += sprintf(at, "-");
    for (struct sp_span rest = value; rest.len > 0; rest.base += len, rest.len -= len)
        at = reference_escape(at, how, rest, &len);
    at += sprintf(at, how == SP_LOG_JSON ? "\",\"status\":0," : "\" \"-\"\n");
    len = sp_access_format(how, &stamp, &record, out + shift);
    if (memmem(out + shift, len, expected, (size_t)(at - expected)) == NULL)
        fail_msg("not %.*s but %.*s", (int)(at - expected), expected, (int)len, out + shift);
}

/* The value in a block that ends where it ends, so that the sanitizer sees one byte too many read.
 */
static void assert_scanned(const char *bytes, size_t len, size_t shift)
{
    char *block = malloc(shift + len + (shift + len == 0));

    assert_non_null(block);
    if (len > 0)
        memcpy(block + shift, bytes, len);
    assert_escaped(SP_LOG_JSON, sp_span_of(block + shift, len), shift);
    assert_escaped(SP_LOG_COMBINED, sp_span_of(block + shift, len), shift);
    free(block);
}

static void the_scan_finds_each_byte_at_each_place_length_and_alignment(void **state)
{
    static const unsigned char edges[] = {0x00, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x5b, 0x5c,
                                          0x5d, 0x7e, 0x7f, 0x80, 0x9f, 0xc3, 0xff};
    char text[26];

    (void)state;
    for (size_t len = 0; len < sizeof(text); len++) {
        for (size_t shift = 0; shift < 8; shift++) {
            memset(text, 'a', sizeof(text));
            assert_scanned(text, len, shift);
            for (size_t place = 0; place < len; place++) {
                for (size_t i = 0; i < sizeof(edges); i++) {
                    text[place] = (char)edges[i];
                    assert_scanned(text, len, shift);
                }
                text[place] = 'a';
            }
        }
    }
}

/* A carry or a borrow from one byte must not hide what its neighbour is, nor make up anything. */
static void the_scan_is_right_for_each_pair_of_bytes(void **state)
{
    char text[] = "abcdefghij";

    (void)state;
    for (unsigned pair = 0; pair < 0x10000; pair++) {
        text[3] = (char)(pair >> 8);
        text[4] = (char)pair;
        assert_scanned(text, sizeof(text) - 1, 0);
    }
}

static void every_word_is_there(void **state)
{
    (void)state;
    for (int i = 0; i < SP_REASON_COUNT; i++)
        assert_non_null(sp_reason_text((enum sp_reason)i));
    for (int i = 0; i < SP_HOW_COUNT; i++)
        assert_non_null(sp_auth_how_text((enum sp_auth_how)i));
    for (int i = 0; i < SP_SCHEME_COUNT; i++)
        assert_non_null(sp_scheme_text((enum sp_scheme)i));
    assert_string_equal(sp_reason_text(SP_REASON_DIRECTORY_UNAVAILABLE), "directory_unavailable");
    assert_string_equal(sp_reason_text(SP_REASON_CLIENT_GONE), "client_gone");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_has_all_fields_in_their_order),
        cmocka_unit_test(absent_values_are_empty_strings_in_json_and_dashes_elsewhere),
        cmocka_unit_test(squid_lines_have_ten_fields),
        cmocka_unit_test(combined_lines_escape_as_apache_does),
        cmocka_unit_test(a_new_second_is_stamped_anew),
        cmocka_unit_test(any_bytes_make_a_line_of_valid_json),
        cmocka_unit_test(utf8_stays_and_other_bytes_become_the_replacement_character),
        cmocka_unit_test(the_scan_finds_each_byte_at_each_place_length_and_alignment),
        cmocka_unit_test(the_scan_is_right_for_each_pair_of_bytes),
        cmocka_unit_test(every_word_is_there),
    };

    if (sp_addr_parse_ip(&client, SP_SPAN_LIT("10.0.0.1")) != SP_OK ||
        sp_addr_parse_ip(&peer, SP_SPAN_LIT("203.0.113.7")) != SP_OK)
        return 1;
    (void)setenv("TZ", "UTC", 1);
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
