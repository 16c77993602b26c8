/* Names made of principals, and refusals put in words, without a KDC. */
#include "backends/gssapi/gssapi_priv.h"
#include "unit/backends/gssapi/tokens.h"
#include "util/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>

static bool is(struct sp_span span, const char *text)
{
    return sp_span_eq(span, sp_span_cstr(text));
}

static void a_principal_comes_apart_at_its_last_bare_at_sign(void **state)
{
    struct sp_gss_name name = sp_gss_name_of_krb5(SP_SPAN_LIT("alice@CORP.TEST"));

    (void)state;
    assert_true(is(name.local, "alice") && is(name.realm, "CORP.TEST"));
    name = sp_gss_name_of_krb5(SP_SPAN_LIT("alice\\@corp.test@CORP.TEST"));
    assert_true(is(name.local, "alice\\@corp.test") && is(name.realm, "CORP.TEST"));
    name = sp_gss_name_of_krb5(SP_SPAN_LIT("alice@EVIL\\@CORP.TEST"));
    assert_true(is(name.realm, "EVIL\\@CORP.TEST"));
    name = sp_gss_name_of_krb5(SP_SPAN_LIT("alice"));
    assert_true(is(name.local, "alice") && is(name.realm, ""));
    name = sp_gss_name_of_krb5(SP_SPAN_LIT("alice\\"));
    assert_true(is(name.local, "alice\\"));
}

static void an_ntlm_name_comes_apart_and_loses_its_nul(void **state)
{
    struct sp_gss_name name = sp_gss_name_of_ntlm(sp_span_of("CORP\\bob\0", 9));

    (void)state;
    assert_true(is(name.local, "bob") && is(name.realm, "CORP"));
    name = sp_gss_name_of_ntlm(SP_SPAN_LIT("bob"));
    assert_true(is(name.local, "bob") && is(name.realm, ""));
    name = sp_gss_name_of_ntlm(sp_span_of("\0", 1));
    assert_true(is(name.local, "") && is(name.realm, ""));
}

static char *corp_items[] = {(char *)(uintptr_t) "CORP.TEST", (char *)(uintptr_t) "CORP"};

static void realms_are_compared_as_they_are_and_domains_without_case(void **state)
{
    const struct sp_strings realms = {corp_items, 2};
    const struct sp_strings any = {NULL, 0};

    (void)state;
    assert_true(sp_gss_realm_listed(&realms, SP_SPAN_LIT("CORP.TEST"), false));
    assert_false(sp_gss_realm_listed(&realms, SP_SPAN_LIT("corp.test"), false));
    assert_true(sp_gss_realm_listed(&realms, SP_SPAN_LIT("corp"), true));
    assert_false(sp_gss_realm_listed(&realms, SP_SPAN_LIT(""), true));
    assert_true(sp_gss_realm_listed(&any, SP_SPAN_LIT("ANY"), false));
}

static void user_is(enum sp_gss_username username, size_t realms_len, const char *displayed,
                    const char *mapped, bool ntlm, const char *expected)
{
    struct sp_gssapi_options options = {.username = (int)username,
                                        .realms = {corp_items, realms_len}};
    struct sp_auth_config config = {.options = &options,
                                    .default_realm = (char *)(uintptr_t) "CORP.TEST"};
    struct sp_gss_name name = ntlm ? sp_gss_name_of_ntlm(sp_span_cstr(displayed))
                                   : sp_gss_name_of_krb5(sp_span_cstr(displayed));
    char out[64];

    assert_int_equal(sp_gss_name_user(&config, &name, sp_span_cstr(mapped), ntlm, out, sizeof out),
                     SP_OK);
    assert_string_equal(out, expected);
}

static void the_user_is_named_as_configured(void **state)
{
    (void)state;
    user_is(SP_GSS_USERNAME_LOCAL, 1, "Alice@CORP.TEST", "alice", false, "alice");
    user_is(SP_GSS_USERNAME_LOCAL, 1, "Alice@CORP.TEST", NULL, false, "alice");
    user_is(SP_GSS_USERNAME_LOCAL, 1, "alice/admin@CORP.TEST", NULL, false, "alice/admin");
    user_is(SP_GSS_USERNAME_LOCAL, 1, "x@CORP.TEST", "Mapped", false, "mapped");
    user_is(SP_GSS_USERNAME_PRINCIPAL, 1, "Alice@CORP.TEST", "alice", false, "alice@CORP.TEST");
    user_is(SP_GSS_USERNAME_LOCAL, 1, "CORP\\Bob", NULL, true, "bob");
    user_is(SP_GSS_USERNAME_PRINCIPAL, 1, "CORP\\Bob", NULL, true, "bob@CORP");
}

/* With realms = {} everybody's KDC may vouch for an alice: only ours is called so. */
static void a_stranger_from_an_unlisted_realm_is_not_taken_for_our_user(void **state)
{
    (void)state;
    user_is(SP_GSS_USERNAME_LOCAL, 0, "alice@CORP.TEST", NULL, false, "alice");
    user_is(SP_GSS_USERNAME_LOCAL, 0, "alice@EVIL.TEST", NULL, false, "alice@EVIL.TEST");
}

static void names_that_no_rule_could_hold_are_refused(void **state)
{
    struct sp_gssapi_options options = {.username = SP_GSS_USERNAME_LOCAL};
    struct sp_auth_config config = {.options = &options};
    const char *names[] = {"@CORP.TEST", "a\nb@CORP.TEST", "a\xff@CORP.TEST",
                           "a-name-that-is-longer-than-the-room-there-is-for-it@CORP.TEST"};
    char out[32];

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct sp_gss_name name = sp_gss_name_of_krb5(sp_span_cstr(names[i]));

        assert_int_not_equal(sp_gss_name_user(&config, &name, SP_SPAN_NONE, false, out, sizeof out),
                             SP_OK);
    }
}

/* A generation that holds no key: NTLM alone needs none. */
static struct sp_gss_keys *no_keys;

static int set_up(void **state)
{
    const struct sp_gss_keys_source nothing = {"", "", false, false};
    const char *about;
    char why[256];

    (void)state;
    no_keys = sp_gss_keys_new(&nothing, &about, why, sizeof why);
    return no_keys == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    sp_gss_keys_unref(&no_keys);
    return 0;
}

static void reason_is(struct tok token, OM_uint32 major, OM_uint32 minor, bool ntlmssp,
                      enum sp_verdict verdict, const char *reason)
{
    struct sp_auth_config config = {.krb5 = true, .ntlmssp = ntlmssp};
    struct sp_gss_leg leg = {.config = &config};
    struct sp_gss_xray xray;

    leg.keys = no_keys;
    sp_gss_xray_read(&xray, tok_span(&token));
    (void)sp_gss_xray_words(&xray, leg.sent, sizeof leg.sent);
    sp_gss_explain(&leg, &xray, major, minor);
    assert_int_equal(leg.verdict, verdict);
    assert_string_equal(leg.reason, reason);
    assert_true(leg.detail[0] != '\0');
}

static void each_fault_has_its_words(void **state)
{
    const struct tok krb5 = tok_krb5(tok_ap_req("proxy.corp.test", 18, 5, "a"));
    const struct tok ntlm = tok_ntlm_authenticate("CORP", "alice", "PC7");

    (void)state;
    reason_is(krb5, GSS_S_FAILURE, (OM_uint32)KRB5KRB_AP_ERR_SKEW, false, SP_VERDICT_DENY,
              "clock differs too much");
    reason_is(krb5, GSS_S_FAILURE, (OM_uint32)KRB5KRB_AP_ERR_TKT_EXPIRED, false, SP_VERDICT_DENY,
              "ticket expired");
    reason_is(krb5, GSS_S_BAD_BINDINGS, 0, false, SP_VERDICT_DENY, "channel bindings do not match");
    reason_is(krb5, GSS_S_FAILURE, (OM_uint32)KRB5_KT_NOTFOUND, false, SP_VERDICT_DENY,
              "ticket for another service");
    reason_is(krb5, GSS_S_FAILURE, ENOMEM, false, SP_VERDICT_UNAVAILABLE,
              "the Kerberos library cannot work");
    reason_is(krb5, GSS_S_FAILURE, EMFILE, false, SP_VERDICT_UNAVAILABLE,
              "the Kerberos library cannot work");
    reason_is(ntlm, GSS_S_NO_CRED, 0, false, SP_VERDICT_DENY, "NTLM is not configured");
    reason_is(ntlm, GSS_S_DEFECTIVE_CREDENTIAL, 0, true, SP_VERDICT_DENY, "NTLM refused");
    reason_is(TOK("garbage"), GSS_S_DEFECTIVE_TOKEN, 0, false, SP_VERDICT_DENY, "malformed token");
    reason_is(tok_spnego(TOK("\x06\x02\x2a\x03"), TOK("")), GSS_S_FAILURE, 0, false,
              SP_VERDICT_DENY, "handshake refused");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_principal_comes_apart_at_its_last_bare_at_sign),
        cmocka_unit_test(an_ntlm_name_comes_apart_and_loses_its_nul),
        cmocka_unit_test(realms_are_compared_as_they_are_and_domains_without_case),
        cmocka_unit_test(the_user_is_named_as_configured),
        cmocka_unit_test(a_stranger_from_an_unlisted_realm_is_not_taken_for_our_user),
        cmocka_unit_test(names_that_no_rule_could_hold_are_refused),
        cmocka_unit_test(each_fault_has_its_words),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
