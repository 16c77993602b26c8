/* Reading Proxy-Authorization values: what is taken, and what is not. */
#include "auth/credential.h"
#include "util/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void assert_kind(const char *value, enum sp_credential_kind kind, const char *token)
{
    struct sp_credential c;

    sp_credential_parse(sp_span_cstr(value), &c);
    assert_int_equal(c.kind, kind);
    assert_true(sp_span_eq(c.token, sp_span_cstr(token)));
}

static void schemes_are_told_apart_without_case(void **state)
{
    (void)state;
    assert_kind(NULL, SP_CREDENTIAL_NONE, "");
    assert_kind("", SP_CREDENTIAL_NONE, "");
    assert_kind("  \t ", SP_CREDENTIAL_NONE, "");
    assert_kind("Basic abc", SP_CREDENTIAL_BASIC, "abc");
    assert_kind("BASIC   abc  ", SP_CREDENTIAL_BASIC, "abc");
    assert_kind("basic", SP_CREDENTIAL_BASIC, "");
    assert_kind("Basicabc", SP_CREDENTIAL_OTHER, "");
    assert_kind("negotiate abc=", SP_CREDENTIAL_NEGOTIATE, "abc=");
    assert_kind("NTLM abc", SP_CREDENTIAL_OTHER, "abc");
}

static bool decodes(const char *token, const char *user, const char *password)
{
    struct sp_basic basic;
    const char *why = NULL;
    bool same = sp_basic_decode(&basic, sp_span_cstr(token), &why) &&
                sp_span_eq(basic.user, sp_span_cstr(user)) &&
                sp_span_eq(basic.password, sp_span_cstr(password));

    if (!same)
        assert_non_null(why);
    sp_basic_fini(&basic);
    return same;
}

static void the_user_ends_at_the_first_colon(void **state)
{
    (void)state;
    assert_true(decodes("YTpi", "a", "b"));
    assert_true(decodes("YTo6Yjo=", "a", ":b:"));
    assert_true(decodes("w6Q6w7Y=", "\xc3\xa4", "\xc3\xb6"));
    assert_true(decodes("5Dr2", "\xc3\xa4", "\xc3\xb6")); /* ISO 8859-1 */
}

static void nothing_of_a_wiped_credential_is_left(void **state)
{
    struct sp_basic basic;
    const char *why = NULL;

    (void)state;
    assert_true(sp_basic_decode(&basic, SP_SPAN_LIT("YWxpY2U6c2VjcmV0"), &why));
    sp_basic_fini(&basic);
    for (size_t i = 0; i < 12; i++)
        assert_int_equal(basic.raw[i], 0);
    assert_null(basic.password.base);
}

static void what_is_odd_is_refused(void **state)
{
    static const char *const odd[] = {
        "",         "YTpi=",    "YTp", "Y Tpi", "YTpi\n", "YWI=", /* ab */
        "OmI=",                                                   /* :b */
        "YTo=",                                                   /* a: */
        "AGE6Yg==",                                               /* NUL a:b */
        "YTpiAA==", "YTpif2M=",                                   /* DEL in the password */
        "G2E6Yg==",                                               /* ESC in the user */
    };
    struct sp_basic basic;
    const char *why;

    (void)state;
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        why = NULL;
        assert_false(sp_basic_decode(&basic, sp_span_cstr(odd[i]), &why));
        assert_non_null(why);
        sp_basic_fini(&basic);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schemes_are_told_apart_without_case),
        cmocka_unit_test(the_user_ends_at_the_first_colon),
        cmocka_unit_test(nothing_of_a_wiped_credential_is_left),
        cmocka_unit_test(what_is_odd_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
