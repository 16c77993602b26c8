/* util/text and util/secret: what people wrote, and what must not be seen. */
#include "util/text.h"

#include "util/secret.h"
#include "util/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *safe(struct sp_span s, size_t cap)
{
    static char out[200];

    memset(out, 'z', sizeof(out));
    return sp_text_safe(s, out, cap);
}

static void only_well_formed_sequences_are_utf8(void **state)
{
    static const char *const good[] = {"",
                                       "abc",
                                       "\xc3\xa9",
                                       "\xe2\x82\xac",
                                       "\xf0\x9f\x98\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {
        "\x80",
        "\xc0\xaf",
        "\xc1\xbf",
        "\xe0\x9f\xbf",
        "\xed\xa0\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xc3",
        "\xe2\x82",
        "\xc3(",
        "\xff",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(sp_text_is_utf8(sp_span_cstr(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(sp_text_is_utf8(sp_span_cstr(bad[i])));
}

static void lower_case_reaches_past_ascii(void **state)
{
    char out[64];
    size_t len;

    (void)state;
    assert_int_equal(sp_text_lower(SP_SPAN_LIT("J\xc3\x9cRGEN.\xce\xa9.\xd0\x96.\xc4\x80\xc4\x81"),
                                   out, sizeof(out), &len),
                     SP_OK);
    assert_true(sp_span_eq(sp_span_of(out, len),
                           SP_SPAN_LIT("j\xc3\xbcrgen.\xcf\x89.\xd0\xb6.\xc4\x81\xc4\x81")));
    assert_int_equal(sp_text_lower(SP_SPAN_LIT("\xc3\x97\xc3\xb7\xc3\x9f"), out, sizeof(out), &len),
                     SP_OK);
    assert_true(sp_span_eq(sp_span_of(out, len), SP_SPAN_LIT("\xc3\x97\xc3\xb7\xc3\x9f")));
    assert_int_equal(sp_text_lower(SP_SPAN_LIT("A\xff"), out, sizeof(out), &len), SP_ERR_INVALID);
    assert_int_equal(sp_text_lower(SP_SPAN_LIT("ABCD"), out, 3, &len), SP_ERR_TOO_LARGE);
    assert_int_equal(sp_text_lower(SP_SPAN_NONE, out, 0, &len), SP_OK);
    assert_int_equal(len, 0);
}

/* U+023A is two bytes, its small letter U+2C65 three. */
static void a_small_letter_may_be_longer_than_its_capital(void **state)
{
    char out[3];
    size_t len;

    (void)state;
    assert_int_equal(sp_text_lower(SP_SPAN_LIT("\xc8\xba"), out, 2, &len), SP_ERR_TOO_LARGE);
    assert_int_equal(sp_text_lower(SP_SPAN_LIT("\xc8\xba"), out, 3, &len), SP_OK);
    assert_int_equal(len, 3);
}

/* A byte past ASCII is seen wherever it stands, in whatever length. */
static void only_ascii_is_ascii(void **state)
{
    char text[40];

    (void)state;
    for (size_t len = 0; len < sizeof(text); len++) {
        memset(text, 0x7f, sizeof(text));
        assert_true(sp_text_is_ascii(sp_span_of(text, len)));
        for (size_t i = 0; i < sizeof(text); i++) {
            text[i] = (char)0x80;
            assert_int_equal(sp_text_is_ascii(sp_span_of(text, len)), i >= len);
            text[i] = 0x7f;
        }
    }
}

static void latin1_becomes_utf8(void **state)
{
    char out[8];
    size_t len = sp_text_from_latin1(SP_SPAN_LIT("J\xfc\xff"), out);

    (void)state;
    assert_true(sp_span_eq(sp_span_of(out, len), SP_SPAN_LIT("J\xc3\xbc\xc3\xbf")));
}

static void controls_are_found(void **state)
{
    (void)state;
    assert_true(sp_text_has_control(SP_SPAN_LIT("a\0b")));
    assert_true(sp_text_has_control(SP_SPAN_LIT("a\x7f")));
    assert_true(sp_text_has_control(SP_SPAN_LIT("a\tb")));
    assert_false(sp_text_has_control(SP_SPAN_LIT("a b\xc3\xa9")));
}

static void what_could_forge_a_line_is_escaped(void **state)
{
    (void)state;
    assert_string_equal(safe(SP_SPAN_LIT("a\"b\\c\r\n\x1b[0m\0"), 200),
                        "a\\x22b\\x5cc\\x0d\\x0a\\x1b[0m\\x00");
    assert_string_equal(safe(SP_SPAN_LIT("\xc3\xa9\xff\xc2\x9b"), 200), "\xc3\xa9\\xff\\xc2\\x9b");
    assert_string_equal(safe(SP_SPAN_NONE, 200), "");
}

static void a_long_text_is_cut_between_letters(void **state)
{
    char tiny[4];

    (void)state;
    assert_string_equal(safe(SP_SPAN_LIT("abcdef"), 7), "abcdef");
    assert_string_equal(safe(SP_SPAN_LIT("abcdefg"), 7), "abc...");
    assert_string_equal(safe(SP_SPAN_LIT("ab\xe2\x82\xac\xe2\x82\xac"), 8), "ab...");
    assert_string_equal(safe(SP_SPAN_LIT("abcdef"), 1), "");
    assert_string_equal(sp_text_safe(SP_SPAN_LIT("abcdef"), tiny, 3), "..");
}

static void secrets_are_copies_that_end_with_a_nul(void **state)
{
    struct sp_secret secret;
    char bytes[] = "hunter2";

    (void)state;
    assert_int_equal(sp_secret_set(&secret, sp_span_cstr(bytes)), SP_OK);
    sp_wipe(bytes, sizeof(bytes));
    assert_int_equal(bytes[0], 0);
    assert_string_equal(secret.base, "hunter2");
    assert_true(sp_secret_eq(sp_secret_span(&secret), SP_SPAN_LIT("hunter2")));
    assert_false(sp_secret_eq(sp_secret_span(&secret), SP_SPAN_LIT("hunter3")));
    assert_false(sp_secret_eq(sp_secret_span(&secret), SP_SPAN_LIT("hunter")));
    sp_secret_fini(&secret);
    assert_null(secret.base);
    sp_secret_fini(&secret);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_well_formed_sequences_are_utf8),
        cmocka_unit_test(lower_case_reaches_past_ascii),
        cmocka_unit_test(a_small_letter_may_be_longer_than_its_capital),
        cmocka_unit_test(only_ascii_is_ascii),
        cmocka_unit_test(latin1_becomes_utf8),
        cmocka_unit_test(controls_are_found),
        cmocka_unit_test(what_could_forge_a_line_is_escaped),
        cmocka_unit_test(a_long_text_is_cut_between_letters),
        cmocka_unit_test(secrets_are_copies_that_end_with_a_nul),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
