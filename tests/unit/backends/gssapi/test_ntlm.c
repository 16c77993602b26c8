/* NTLM through gss-ntlmssp: two client tokens, within SPNEGO and raw, and refusals in words. */
#include "unit/backends/gssapi/proxy.h"

static void ntlm_in(gss_OID mech, const char *user, const char *password, struct answer *answer)
{
    struct proxy proxy;
    struct initiator in = initiator_of(SERVICE, mech, 0);
    unsigned legs;

    proxy_set(&proxy, "proxy.keytab");
    proxy.options.mechanisms.len = 2;
    proxy.options.realms.len = 2;
    proxy_open(&proxy);
    initiator_ntlm(&in, user, password);
    *answer = shake_hands(&proxy, &in, NULL, &legs);
    assert_int_equal(legs, 2);
    assert_int_equal(proxy.lender.waits, 2);
    initiator_fini(&in);
    proxy_close(&proxy);
}

static void ntlm_within_spnego_takes_two_client_tokens(void **state)
{
    struct answer answer;

    (void)state;
    ntlm_in(&mech_spnego, "CORP\\bob", "Bobs-Secret", &answer);
    if (answer.verdict != SP_VERDICT_ALLOW)
        fail_msg("%s: %s", answer.reason, answer.detail);
    assert_string_equal(answer.user, "bob");
    assert_string_equal(answer.principal, "");
    assert_string_equal(answer.mech, "ntlmssp");
}

static void raw_ntlm_is_accepted_where_configured(void **state)
{
    struct answer answer;

    (void)state;
    ntlm_in(&mech_ntlmssp, "CORP\\bob", "Bobs-Secret", &answer);
    if (answer.verdict != SP_VERDICT_ALLOW)
        fail_msg("%s: %s", answer.reason, answer.detail);
    assert_string_equal(answer.user, "bob");
    assert_string_equal(answer.mech, "ntlmssp");
}

static void an_ntlm_domain_not_listed_is_refused_as_a_principal(void **state)
{
    struct answer answer;

    (void)state;
    ntlm_in(&mech_spnego, "OTHER\\eve", "Eves-Secret", &answer);
    assert_int_equal(answer.verdict, SP_VERDICT_DENY);
    assert_true(answer.denied_principal);
    assert_string_equal(answer.reason, "domain not allowed");
}

static void a_wrong_ntlm_password_is_refused(void **state)
{
    struct answer answer;

    (void)state;
    ntlm_in(&mech_spnego, "CORP\\bob", "guess", &answer);
    assert_int_equal(answer.verdict, SP_VERDICT_DENY);
    assert_false(answer.denied_principal);
    assert_non_null(strstr(answer.detail, "NTLM type 3 (domain CORP, user bob"));
}

static void ntlm_where_it_is_not_configured_is_explained(void **state)
{
    struct proxy proxy;
    struct initiator in = initiator_of(SERVICE, &mech_ntlmssp, 0);
    struct answer answer;

    (void)state;
    proxy_set(&proxy, "proxy.keytab");
    proxy_open(&proxy);
    initiator_ntlm(&in, "CORP\\bob", "Bobs-Secret");
    initiator_step(&in, SP_SPAN_NONE);
    answer = ask_once(&proxy, initiator_token(&in), NULL);
    assert_int_equal(answer.verdict, SP_VERDICT_DENY);
    assert_string_equal(answer.mech, "ntlmssp");
    assert_string_equal(answer.reason, "NTLM is not configured");
    assert_non_null(strstr(answer.detail, "client sent NTLM type 1"));
    assert_non_null(strstr(answer.detail, "by address or short name"));
    initiator_fini(&in);
    proxy_close(&proxy);
}

static enum sp_verdict bind_with(enum sp_gss_bindings setting, const char *theirs, const char *ours)
{
    struct proxy proxy;
    struct initiator in = initiator_of(SERVICE, &mech_spnego, 0);
    struct answer answer;
    unsigned legs;

    proxy_set(&proxy, "proxy.keytab");
    proxy.options.mechanisms.len = 2;
    proxy.options.realms.len = 2;
    proxy.options.channel_bindings = (int)setting;
    proxy_open(&proxy);
    initiator_ntlm(&in, "CORP\\bob", "Bobs-Secret");
    in.bindings = theirs;
    answer = shake_hands(&proxy, &in, ours, &legs);
    initiator_fini(&in);
    proxy_close(&proxy);
    return answer.verdict;
}

static void channel_bindings_are_judged_for_ntlm_too(void **state)
{
    static const char ours[] = "tls-server-end-point:0123456789abcdef0123456789abcdef";
    static const char wrong[] = "tls-server-end-point:ffffffffffffffffffffffffffffffff";

    (void)state;
    assert_int_equal(bind_with(SP_GSS_BINDINGS_ALLOW, ours, ours), SP_VERDICT_ALLOW);
    assert_int_equal(bind_with(SP_GSS_BINDINGS_ALLOW, wrong, ours), SP_VERDICT_DENY);
    assert_int_equal(bind_with(SP_GSS_BINDINGS_OFF, wrong, ours), SP_VERDICT_ALLOW);
    assert_int_equal(bind_with(SP_GSS_BINDINGS_ALLOW, NULL, ours), SP_VERDICT_ALLOW);
    assert_int_equal(bind_with(SP_GSS_BINDINGS_REQUIRE, NULL, ours), SP_VERDICT_DENY);
    assert_int_equal(bind_with(SP_GSS_BINDINGS_REQUIRE, ours, ours), SP_VERDICT_ALLOW);
}

/* A domain controller that hangs must not keep tickets from being looked at. */
static void a_ticket_computes_where_ntlm_is_configured_too(void **state)
{
    struct proxy proxy;
    struct initiator in;
    unsigned legs;

    (void)state;
    sp_kdc_add(kdc, "alice", "wonder");
    sp_kdc_login(kdc, "alice", "wonder", NULL);
    in = initiator_of(SERVICE, &mech_spnego, 0);
    proxy_set(&proxy, "proxy.keytab");
    proxy.options.mechanisms.len = 2;
    proxy_open(&proxy);
    assert_int_equal(shake_hands(&proxy, &in, NULL, &legs).verdict, SP_VERDICT_ALLOW);
    assert_int_equal(proxy.lender.jobs, 1);
    assert_int_equal(proxy.lender.waits, 0);
    initiator_fini(&in);
    proxy_close(&proxy);
}

static int set_up(void **state)
{
    FILE *users;

    (void)state;
    kdc = sp_kdc_start(NULL);
    sp_kdc_add(kdc, "HTTP/proxy.test", NULL);
    sp_kdc_keytab(kdc, "HTTP/proxy.test", "proxy.keytab", 0);
    users = fopen(sp_kdc_path(kdc, "ntlm.users"), "w");
    if (users == NULL)
        return 1;
    (void)fprintf(users, "CORP:bob:Bobs-Secret\nOTHER:eve:Eves-Secret\n");
    (void)setenv("NTLM_USER_FILE", sp_kdc_path(kdc, "ntlm.users"), 1);
    return fclose(users);
}

static int tear_down(void **state)
{
    (void)state;
    sp_kdc_stop(&kdc);
    return 0;
}

/* gss-ntlmssp 1.2 leaks an OpenSSL library context with each handshake, on either side. */
SP_EXPORT const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:gssntlmssp.so\n";
}

/* its frames are found only by the slow unwinder */
SP_EXPORT const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "fast_unwind_on_malloc=0";
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ntlm_within_spnego_takes_two_client_tokens),
        cmocka_unit_test(raw_ntlm_is_accepted_where_configured),
        cmocka_unit_test(an_ntlm_domain_not_listed_is_refused_as_a_principal),
        cmocka_unit_test(a_wrong_ntlm_password_is_refused),
        cmocka_unit_test(ntlm_where_it_is_not_configured_is_explained),
        cmocka_unit_test(channel_bindings_are_judged_for_ntlm_too),
        cmocka_unit_test(a_ticket_computes_where_ntlm_is_configured_too),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
