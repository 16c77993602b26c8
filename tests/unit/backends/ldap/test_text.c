/* Escaping, templates, filters, names, Active Directory's words, URIs and judgements. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "backends/ldap/ldap_spelling.h"
#include "backends/ldap/ldap_text.h"
#include "backends/ldap/ldap_uri.h"
#include "backends/ldap/ldap_verdict.h"
#include "util/span.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check_escape(enum sp_ldap_place place, struct sp_span value, const char *expected)
{
    struct sp_buf out;

    sp_buf_init(&out, 4096);
    assert_int_equal(sp_ldap_escape(&out, place, value), SP_OK);
    if (!sp_span_eq(sp_buf_span(&out), sp_span_cstr(expected)))
        fail_msg("got %.*s, expected %s", SP_SPAN_ARG(sp_buf_span(&out)), expected);
    sp_buf_fini(&out);
}

static void filter_values_are_escaped_by_rfc_4515(void **state)
{
    (void)state;
    check_escape(SP_LDAP_IN_FILTER, SP_SPAN_LIT("al(i)c*e\\"), "al\\28i\\29c\\2ae\\5c");
    check_escape(SP_LDAP_IN_FILTER, SP_SPAN_LIT("a\0b"), "a\\00b");
    check_escape(SP_LDAP_IN_FILTER, SP_SPAN_LIT("j\xc3\xb6rg, x"), "j\xc3\xb6rg, x");
    check_escape(SP_LDAP_IN_FILTER, SP_SPAN_LIT(""), "");
}

static void dn_values_are_escaped_by_rfc_4514(void **state)
{
    (void)state;
    check_escape(SP_LDAP_IN_DN, SP_SPAN_LIT("a,b+c\"d\\e<f>g;h=i"),
                 "a\\2cb\\2bc\\22d\\5ce\\3cf\\3eg\\3bh\\3di");
    check_escape(SP_LDAP_IN_DN, SP_SPAN_LIT(" a b "), "\\20a b\\20");
    check_escape(SP_LDAP_IN_DN, SP_SPAN_LIT("#a#"), "\\23a#");
    check_escape(SP_LDAP_IN_DN, SP_SPAN_LIT(" "), "\\20");
    check_escape(SP_LDAP_IN_DN, SP_SPAN_LIT("a\0b"), "a\\00b");
}

static void escaping_stops_at_the_buffers_bound(void **state)
{
    struct sp_buf out;

    (void)state;
    sp_buf_init(&out, 4);
    assert_int_equal(sp_ldap_escape(&out, SP_LDAP_IN_FILTER, SP_SPAN_LIT("((")), SP_ERR_TOO_LARGE);
    sp_buf_fini(&out);
}

static void templates_are_filled_and_unknown_sequences_are_named(void **state)
{
    struct sp_span offender;
    struct sp_buf out;

    (void)state;
    sp_buf_init(&out, 4096);
    assert_int_equal(sp_ldap_template_fill(&out, SP_LDAP_IN_FILTER, "(|(uid=%u)(m=%d)(p=100%%))",
                                           SP_SPAN_LIT("a*"), SP_SPAN_LIT("cn=x(y)")),
                     SP_OK);
    assert_true(
        sp_span_eq(sp_buf_span(&out), SP_SPAN_LIT("(|(uid=a\\2a)(m=cn=x\\28y\\29)(p=100%))")));
    sp_buf_fini(&out);
    assert_int_equal(sp_ldap_template_check("(uid=%u)%%", "u", &offender), SP_OK);
    assert_int_equal(sp_ldap_template_check("(uid=%u)(x=%d)", "u", &offender), SP_ERR_INVALID);
    assert_true(sp_span_eq(offender, SP_SPAN_LIT("%d")));
    assert_int_equal(sp_ldap_template_check("uid=%", "u", &offender), SP_ERR_INVALID);
    assert_true(sp_span_eq(offender, SP_SPAN_LIT("%")));
    assert_true(sp_ldap_template_has("%%%u", 'u'));
    assert_false(sp_ldap_template_has("%%u", 'u'));
}

static void filters_are_told_from_what_only_looks_like_one(void **state)
{
    static const char *const sound[] = {"(uid=a)",
                                        "(&(a=b)(|(c=d)(!(e=f))))",
                                        "(a=)",
                                        "(a=*)",
                                        "(member:1.2.840.113556.1.4.1941:=cn=x)",
                                        "(a>=1)",
                                        "(&)",
                                        "(a=\\28\\5c)"};
    static const char *const unsound[] = {
        "",        "uid=a",      "(uid=a",        "(uid=a))", "(uid)",   "()",     "(=a)",
        "(&(a=b)", "(a=b)(c=d)", "(!(a=b)(c=d))", "(a=\\2)",  "(a=(b))", "(&a=b)", "(a=\\zz)"};
    char deep[400];

    (void)state;
    for (size_t i = 0; i < sizeof(sound) / sizeof(sound[0]); i++)
        assert_true(sp_ldap_filter_sound(sp_span_cstr(sound[i])));
    for (size_t i = 0; i < sizeof(unsound) / sizeof(unsound[0]); i++)
        assert_false(sp_ldap_filter_sound(sp_span_cstr(unsound[i])));
    memset(deep, '(', sizeof(deep));
    for (size_t i = 1; i < sizeof(deep); i += 2)
        deep[i] = '!';
    assert_false(sp_ldap_filter_sound(sp_span_of(deep, sizeof(deep))));
}

static void check_name(const struct sp_strings *domains, const char *typed, enum sp_err expected,
                       const char *name)
{
    char out[64];
    size_t len;

    assert_int_equal(sp_ldap_name_of(domains, sp_span_cstr(typed), out, sizeof(out), &len),
                     expected);
    if (expected == SP_OK)
        assert_true(sp_span_eq(sp_span_of(out, len), sp_span_cstr(name)));
}

static void names_lose_a_listed_domain_and_others_are_unknown(void **state)
{
    char corp[] = "CORP";
    char dns[] = "corp.test";
    char *items[] = {corp, dns};
    struct sp_strings domains = {items, 2};

    (void)state;
    check_name(&domains, "Alice", SP_OK, "alice");
    check_name(&domains, "CORP\\Alice", SP_OK, "alice");
    check_name(&domains, "corp\\alice", SP_OK, "alice");
    check_name(&domains, "alice@CORP.test", SP_OK, "alice");
    check_name(&domains, "a@b@corp.test", SP_OK, "a@b");
    check_name(&domains, "OTHER\\alice", SP_ERR_NOT_FOUND, NULL);
    check_name(&domains, "alice@other.test", SP_ERR_NOT_FOUND, NULL);
    check_name(&domains, "CORP\\", SP_ERR_INVALID, NULL);
    check_name(&domains, "@corp.test", SP_ERR_INVALID, NULL);
}

static void without_domains_a_name_is_asked_as_typed(void **state)
{
    struct sp_strings none = {NULL, 0};

    (void)state;
    check_name(&none, "CORP\\Alice", SP_OK, "corp\\alice");
    check_name(&none, "alice@corp.test", SP_OK, "alice@corp.test");
    check_name(&none, "", SP_ERR_INVALID, NULL);
    check_name(&none, "a\nb", SP_ERR_INVALID, NULL);
    check_name(&none, "\xff", SP_ERR_INVALID, NULL);
}

static void spellings_that_a_directory_takes_for_one_are_one_name(void **state)
{
    struct sp_strings none = {NULL, 0};

    (void)state;
    check_name(&none, " alice ", SP_OK, "alice");
    check_name(&none, "alice  b", SP_OK, "alice b");
    check_name(&none, "J\xc3\x96RG", SP_OK, "j\xc3\xb6rg");
    check_name(&none, "   ", SP_ERR_INVALID, NULL);
}

static void names_that_a_directory_may_read_as_others_are_ambiguous(void **state)
{
    static const char *const ambiguous[] = {"u\u017fer", "\uff41lice", "al\u00adice", "\u0133s",
                                            "\u01c9ubo", "o\ufb03ce",  "re\u0301ne",  "\U0001d41a",
                                            "\u2fd4",    "a\u3000b",   "\u1806x",     "caf\u00b2"};
    static const char *const plain[] = {"alice",
                                        "j\u00f6rg",
                                        "\u00e5sa",
                                        "stra\u00dfe",
                                        "\u03c3\u03bf\u03c6\u03af\u03b1",
                                        "\u0438\u0432\u0430\u043d",
                                        "\u5c71\u7530",
                                        "\ubc15",
                                        "\u0e19\u0e33",
                                        "\u0995\u09df",
                                        "\u05d3\u05d5\u05d3",
                                        "\u0645\u062d\u0645\u062f",
                                        "\u30bf\u30ed\u30fc",
                                        "\u01c3a"};

    (void)state;
    for (size_t i = 0; i < sizeof(ambiguous) / sizeof(ambiguous[0]); i++) {
        if (!sp_ldap_ambiguous(sp_span_cstr(ambiguous[i])))
            fail_msg("%s is plain", ambiguous[i]);
    }
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        if (sp_ldap_ambiguous(sp_span_cstr(plain[i])))
            fail_msg("%s is ambiguous", plain[i]);
    }
}

static void sub_codes_are_read_from_active_directorys_own_words(void **state)
{
    (void)state;
    assert_int_equal(sp_ldap_ad_code("80090308: LdapErr: DSID-0C09044E, comment: "
                                     "AcceptSecurityContext error, data 52e, v2580"),
                     0x52e);
    assert_int_equal(sp_ldap_ad_code("... AcceptSecurityContext error, data 775, v1db1"), 0x775);
    assert_int_equal(sp_ldap_ad_code("... AcceptSecurityContext error, data 0, v1db1"), 0);
    assert_int_equal(sp_ldap_ad_code("some data 52e"), 0);
    assert_int_equal(sp_ldap_ad_code("AcceptSecurityContext error, data "), 0);
    assert_int_equal(sp_ldap_ad_code("AcceptSecurityContext error, data 52ezz"), 0);
    assert_int_equal(sp_ldap_ad_code(NULL), 0);
}

static void check_bind(int result, const char *data, LDAPPasswordPolicyError policy,
                       enum sp_verdict verdict, const char *reason)
{
    char text[200];
    struct sp_ldap_judgement judgement;

    snprintf(text, sizeof(text),
             "80090308: LdapErr: DSID-0C09044E, comment: "
             "AcceptSecurityContext error, data %s, v2580",
             data);
    judgement = sp_ldap_judge_bind(result, data[0] != '\0' ? text : NULL, policy);
    assert_int_equal(judgement.verdict, verdict);
    if (reason != NULL)
        assert_string_equal(judgement.reason, reason);
}

static void only_answers_about_the_credential_are_verdicts(void **state)
{
    static const int others[] = {LDAP_BUSY,
                                 LDAP_UNAVAILABLE,
                                 LDAP_UNWILLING_TO_PERFORM,
                                 LDAP_STRONG_AUTH_REQUIRED,
                                 LDAP_OTHER,
                                 LDAP_OPERATIONS_ERROR,
                                 LDAP_SERVER_DOWN,
                                 LDAP_TIMEOUT,
                                 LDAP_CONFIDENTIALITY_REQUIRED,
                                 LDAP_PROTOCOL_ERROR,
                                 LDAP_REFERRAL,
                                 LDAP_DECODING_ERROR,
                                 4242};

    (void)state;
    check_bind(LDAP_SUCCESS, "", PP_noError, SP_VERDICT_ALLOW, NULL);
    check_bind(LDAP_INVALID_CREDENTIALS, "", PP_noError, SP_VERDICT_DENY, "wrong password");
    check_bind(LDAP_INAPPROPRIATE_AUTH, "", PP_noError, SP_VERDICT_DENY, NULL);
    check_bind(LDAP_NO_SUCH_OBJECT, "", PP_noError, SP_VERDICT_DENY, NULL);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        check_bind(others[i], "", PP_noError, SP_VERDICT_UNAVAILABLE, NULL);
}

static void account_states_are_told_apart(void **state)
{
    (void)state;
    check_bind(49, "52e", PP_noError, SP_VERDICT_DENY, "wrong password");
    check_bind(49, "525", PP_noError, SP_VERDICT_UNKNOWN_USER, "no such user");
    check_bind(49, "530", PP_noError, SP_VERDICT_ACCOUNT, "login not allowed at this hour");
    check_bind(49, "531", PP_noError, SP_VERDICT_ACCOUNT, "login not allowed from this machine");
    check_bind(49, "532", PP_noError, SP_VERDICT_ACCOUNT, "password expired");
    check_bind(49, "533", PP_noError, SP_VERDICT_ACCOUNT, "account disabled");
    check_bind(49, "701", PP_noError, SP_VERDICT_ACCOUNT, "account expired");
    check_bind(49, "773", PP_noError, SP_VERDICT_ACCOUNT, "password must be changed");
    check_bind(49, "775", PP_noError, SP_VERDICT_ACCOUNT, "account locked");
    check_bind(49, "999", PP_noError, SP_VERDICT_DENY, "wrong password");
    check_bind(49, "", PP_accountLocked, SP_VERDICT_ACCOUNT, "account locked");
    check_bind(49, "", PP_passwordExpired, SP_VERDICT_ACCOUNT, "password expired");
    check_bind(0, "", PP_changeAfterReset, SP_VERDICT_ACCOUNT, "password must be changed");
    check_bind(53, "", PP_accountLocked, SP_VERDICT_ACCOUNT, "account locked");
}

static void uris_are_read_and_bad_ones_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "dc1",
                                      "http://dc1",
                                      "ldap://",
                                      "ldaps://dc1:99999",
                                      "ldap://dc1/dc=test",
                                      "ldap://dc1/??sub",
                                      "ldaps://proxy@dc1",
                                      "ldaps://dc1 dc2",
                                      "ldaps://dc1%0adc2"};
    struct sp_ldap_uri uri;
    const char *why;

    (void)state;
    assert_int_equal(sp_ldap_uri_parse(&uri, "ldaps://dc1.corp.test", &why), SP_OK);
    assert_int_equal(uri.scheme, SP_LDAP_TLS);
    assert_string_equal(uri.host, "dc1.corp.test");
    assert_string_equal(uri.port, "636");
    assert_false(uri.loopback || uri.literal);
    assert_int_equal(sp_ldap_uri_parse(&uri, "ldap://[::1]:3890", &why), SP_OK);
    assert_string_equal(uri.host, "::1");
    assert_string_equal(uri.port, "3890");
    assert_true(uri.loopback && uri.literal);
    assert_int_equal(sp_ldap_uri_parse(&uri, "ldapi://%2Frun%2Fs", &why), SP_OK);
    assert_string_equal(uri.path, "/run/s");
    assert_int_equal(sp_ldap_uri_parse(&uri, "ldap://127.8.9.1", &why), SP_OK);
    assert_true(uri.loopback);
    assert_int_equal(sp_ldap_uri_parse(&uri, "ldap://localhost", &why), SP_OK);
    assert_true(uri.loopback);
    assert_int_equal(sp_ldap_uri_parse(&uri, "ldap://localhost.evil.test", &why), SP_OK);
    assert_false(uri.loopback);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(sp_ldap_uri_parse(&uri, bad[i], &why), SP_ERR_INVALID);
        assert_non_null(why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filter_values_are_escaped_by_rfc_4515),
        cmocka_unit_test(dn_values_are_escaped_by_rfc_4514),
        cmocka_unit_test(escaping_stops_at_the_buffers_bound),
        cmocka_unit_test(templates_are_filled_and_unknown_sequences_are_named),
        cmocka_unit_test(filters_are_told_from_what_only_looks_like_one),
        cmocka_unit_test(names_lose_a_listed_domain_and_others_are_unknown),
        cmocka_unit_test(without_domains_a_name_is_asked_as_typed),
        cmocka_unit_test(spellings_that_a_directory_takes_for_one_are_one_name),
        cmocka_unit_test(names_that_a_directory_may_read_as_others_are_ambiguous),
        cmocka_unit_test(sub_codes_are_read_from_active_directorys_own_words),
        cmocka_unit_test(only_answers_about_the_credential_are_verdicts),
        cmocka_unit_test(account_states_are_told_apart),
        cmocka_unit_test(uris_are_read_and_bad_ones_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
