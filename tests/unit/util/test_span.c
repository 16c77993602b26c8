/* util/span: comparing, trimming, lists, numbers. */
#include "util/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct sp_span s(const char *text)
{
    return sp_span_cstr(text);
}

static void letters_compare_without_case_and_other_bytes_do_not(void **state)
{
    (void)state;
    assert_true(sp_span_eq_nocase(s("Proxy-Authorization"), s("proxy-AUTHORIZATION")));
    assert_false(sp_span_eq_nocase(s("ab"), s("abc")));
    assert_false(sp_span_eq_nocase(s("["), s("{"))); /* 0x20 apart, no letters */
    assert_false(sp_span_eq_nocase(s("@"), s("`")));
    assert_false(sp_span_eq_nocase(s("\xc4"), s("\xe4")));
    assert_true(sp_span_eq_nocase(SP_SPAN_NONE, s("")));
}

static void prefixes_and_suffixes_longer_than_the_text_do_not_match(void **state)
{
    (void)state;
    assert_true(sp_span_starts_nocase(s("BASIC abc"), s("basic ")));
    assert_false(sp_span_starts_nocase(s("bas"), s("basic")));
    assert_true(sp_span_ends_nocase(s("www.Corp.Test"), s(".corp.test")));
    assert_false(sp_span_ends_nocase(s("corp.test"), s(".corp.test")));
    assert_true(sp_span_ends_nocase(SP_SPAN_NONE, SP_SPAN_NONE));
}

static void trim_takes_spaces_and_tabs_only(void **state)
{
    (void)state;
    assert_true(sp_span_eq(sp_span_trim(s(" \t a b\t ")), s("a b")));
    assert_true(sp_span_eq(sp_span_trim(s("\r\na")), s("\r\na")));
    assert_int_equal(sp_span_trim(s("  ")).len, 0);
}

static void a_list_is_walked_past_empty_elements_and_quoted_commas(void **state)
{
    struct sp_span rest = s(" , close ,,\tkeep-alive; x=\"a, \\\" b\" , end");
    struct sp_span element;

    (void)state;
    assert_true(sp_span_next_element(&rest, &element));
    assert_true(sp_span_eq(element, s("close")));
    assert_true(sp_span_next_element(&rest, &element));
    assert_true(sp_span_eq(element, s("keep-alive; x=\"a, \\\" b\"")));
    assert_true(sp_span_next_element(&rest, &element));
    assert_true(sp_span_eq(element, s("end")));
    assert_false(sp_span_next_element(&rest, &element));
    assert_false(sp_span_next_element(&rest, &element));
}

static void an_open_quote_and_a_last_backslash_end_with_the_text(void **state)
{
    struct sp_span rest = s("\"a, b\\");
    struct sp_span element;

    (void)state;
    assert_true(sp_span_next_element(&rest, &element));
    assert_true(sp_span_eq(element, s("\"a, b\\")));
    assert_false(sp_span_next_element(&rest, &element));
}

static void numbers_are_digits_alone_and_fit(void **state)
{
    uint64_t value = 7;

    (void)state;
    assert_int_equal(sp_span_to_u64(s("18446744073709551615"), &value), SP_OK);
    assert_true(value == UINT64_MAX);
    assert_int_equal(sp_span_to_u64(s("18446744073709551616"), &value), SP_ERR_TOO_LARGE);
    assert_int_equal(sp_span_to_u64(s("99999999999999999999x"), &value), SP_ERR_INVALID);
    assert_int_equal(sp_span_to_u64(s(""), &value), SP_ERR_INVALID);
    assert_int_equal(sp_span_to_u64(s("+1"), &value), SP_ERR_INVALID);
    assert_int_equal(sp_span_to_u64(s(" 1"), &value), SP_ERR_INVALID);
    assert_int_equal(sp_span_to_u64(s("0007"), &value), SP_OK);
    assert_true(value == 7);
}

static void a_copy_ends_with_a_nul(void **state)
{
    char *copy = sp_span_dup(sp_span_of("abcdef", 3));
    char *nothing = sp_span_dup(SP_SPAN_NONE);

    (void)state;
    assert_string_equal(copy, "abc");
    assert_string_equal(nothing, "");
    free(copy);
    free(nothing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_compare_without_case_and_other_bytes_do_not),
        cmocka_unit_test(prefixes_and_suffixes_longer_than_the_text_do_not_match),
        cmocka_unit_test(trim_takes_spaces_and_tabs_only),
        cmocka_unit_test(a_list_is_walked_past_empty_elements_and_quoted_commas),
        cmocka_unit_test(an_open_quote_and_a_last_backslash_end_with_the_text),
        cmocka_unit_test(numbers_are_digits_alone_and_fit),
        cmocka_unit_test(a_copy_ends_with_a_nul),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
