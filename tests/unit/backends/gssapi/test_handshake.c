/* Whole handshakes of every kind against a real KDC, through the plugin's table as the engine calls
 * it. */
#include "backends/gssapi/gssapi_priv.h"
#include "support/kdc.h"
#include "unit/backends/gssapi/initiator.h"
#include "unit/backends/lender.h"
#include "util/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

extern const struct sp_auth_backend_ops sp_auth_backend;

#define OPS     (&sp_auth_backend)
#define SERVICE "HTTP@proxy.test"

static struct sp_kdc *kdc;

/* ---- a proxy with one gssapi backend ---- */

struct proxy {
    struct lender lender;
    struct sp_gssapi_options options;
    struct sp_auth_config *config;
    struct sp_auth_backend *backend;
    char *mechanisms[2];
    char *realms[2];
};

/* What done() was given, kept. */
struct answer {
    unsigned calls;
    enum sp_verdict verdict;
    char user[SP_GSS_NAME_MAX];
    char principal[SP_GSS_NAME_MAX];
    char mech[16];
    char reason[80];
    char detail[2048];
    char token[8192];
    size_t token_len;
    bool denied_principal;
};

static void keep_span(char *out, size_t cap, struct sp_span text)
{
    size_t len = text.len < cap ? text.len : cap - 1;

    if (len > 0)
        memcpy(out, text.base, len);
    out[len] = '\0';
}

static void on_done(void *owner, const struct sp_auth_result *result)
{
    struct answer *answer = owner;

    answer->calls++;
    answer->verdict = result->verdict;
    answer->denied_principal = result->denied_principal;
    keep_span(answer->user, sizeof answer->user, result->user);
    keep_span(answer->principal, sizeof answer->principal, result->principal);
    keep_span(answer->mech, sizeof answer->mech, sp_span_cstr(result->mech));
    keep_span(answer->reason, sizeof answer->reason, sp_span_cstr(result->reason));
    keep_span(answer->detail, sizeof answer->detail, sp_span_cstr(result->detail));
    answer->token_len = result->token.len;
    if (result->token.len > 0) {
        assert_true(result->token.len <= sizeof answer->token);
        memcpy(answer->token, result->token.base, result->token.len);
    }
}

static struct sp_span answer_token(const struct answer *answer)
{
    return answer->token_len > 0 ? sp_span_of(answer->token, answer->token_len) : SP_SPAN_NONE;
}

static void proxy_set(struct proxy *proxy, const char *keytab)
{
    memset(proxy, 0, sizeof *proxy);
    lender_init(&proxy->lender, "corp-krb5");
    proxy->mechanisms[0] = (char *)(uintptr_t) "krb5";
    proxy->mechanisms[1] = (char *)(uintptr_t) "ntlmssp";
    proxy->realms[0] = (char *)(uintptr_t)SP_KDC_REALM;
    proxy->realms[1] = (char *)(uintptr_t) "CORP";
    proxy->options = (struct sp_gssapi_options){
        .keytab = (char *)(uintptr_t)sp_kdc_path(kdc, keytab),
        .service = (char *)(uintptr_t) "",
        .mechanisms = {proxy->mechanisms, 1},
        .realms = {proxy->realms, 1},
        .groups_from = (char *)(uintptr_t) "",
        .channel_bindings = SP_GSS_BINDINGS_ALLOW,
    };
}

static void proxy_open(struct proxy *proxy)
{
    struct sp_auth_fault fault = {NULL, ""};

    if (OPS->configure(&proxy->options, &proxy->lender.host, &proxy->config, &fault) != SP_OK)
        fail_msg("configure: %s: %s", fault.option != NULL ? fault.option : "-", fault.text);
    assert_int_equal(OPS->open(proxy->config, &proxy->lender.host, &proxy->backend), SP_OK);
}

static void on_closed(void *owner)
{
    (*(unsigned *)owner)++;
}

static void proxy_close(struct proxy *proxy)
{
    unsigned closed = 0;

    OPS->close(&proxy->backend, on_closed, &closed);
    assert_null(proxy->backend);
    assert_int_equal(closed, 0); /* in a later turn */
    assert_int_equal(lender_fini(&proxy->lender), 0);
    assert_int_equal(closed, 1);
    OPS->release(&proxy->config);
    assert_null(proxy->config);
}

static void proxy_run(struct proxy *proxy)
{
    (void)uv_run(&proxy->lender.loop, UV_RUN_DEFAULT);
}

static struct sp_auth_input input_of(struct sp_span token)
{
    return (struct sp_auth_input){
        .ask = SP_AUTH_TOKEN, .token = token, .client = "10.1.2.3:4711", .id = "x1"};
}

/* One token, one answer; the operation is freed. */
static struct answer ask_once(struct proxy *proxy, struct sp_span token, const char *bindings)
{
    struct sp_auth_input input = input_of(token);
    struct answer answer = {0};
    struct sp_auth_op *op = NULL;

    input.channel_bindings = sp_span_cstr(bindings);
    assert_int_equal(OPS->start(proxy->backend, &input, on_done, &answer, &op), SP_OK);
    assert_int_equal(answer.calls, 0); /* never inside start */
    proxy_run(proxy);
    assert_int_equal(answer.calls, 1);
    OPS->free(&op);
    return answer;
}

/* A whole handshake; how many legs it took is in *legs. */
static struct answer shake_hands(struct proxy *proxy, struct initiator *in, const char *bindings,
                                 unsigned *legs)
{
    struct answer answer = {0};
    struct sp_auth_op *op = NULL;

    *legs = 0;
    initiator_step(in, SP_SPAN_NONE);
    do {
        struct sp_auth_input input = input_of(initiator_token(in));

        assert_false(in->failed);
        input.channel_bindings = sp_span_cstr(bindings);
        answer.calls = 0;
        if (op == NULL)
            assert_int_equal(OPS->start(proxy->backend, &input, on_done, &answer, &op), SP_OK);
        else
            assert_int_equal(OPS->step(op, initiator_token(in), NULL), SP_OK);
        proxy_run(proxy);
        assert_int_equal(answer.calls, 1);
        (*legs)++;
        if (answer.token_len > 0)
            initiator_step(in, answer_token(&answer));
    } while (answer.verdict == SP_VERDICT_MORE && *legs < 8);
    OPS->free(&op);
    return answer;
}

/* ---- handshakes that succeed ---- */

static void a_spnego_ticket_is_accepted_in_one_leg_with_a_final_token(void **state)
{
    struct proxy proxy;
    struct initiator in = initiator_of(SERVICE, &mech_spnego, GSS_C_MUTUAL_FLAG);
    struct answer answer;
    unsigned legs;

    (void)state;
    proxy_set(&proxy, "proxy.keytab");
    proxy_open(&proxy);
    answer = shake_hands(&proxy, &in, NULL, &legs);
    assert_int_equal(answer.verdict, SP_VERDICT_ALLOW);
    assert_int_equal(legs, 1);
    assert_true(answer.token_len > 0);
    assert_true(in.complete);
    assert_string_equal(answer.user, "alice");
    assert_string_equal(answer.principal, "alice@" SP_KDC_REALM);
    assert_string_equal(answer.mech, "krb5");
    initiator_fini(&in);
    proxy_close(&proxy);
}

static void a_raw_kerberos_token_is_accepted(void **state)
{
    struct proxy proxy;
    struct initiator in = initiator_of(SERVICE, &mech_krb5, 0);
    struct answer answer;
    unsigned legs;

    (void)state;
    proxy_set(&proxy, "proxy.keytab");
    proxy_open(&proxy);
    answer = shake_hands(&proxy, &in, NULL, &legs);
    assert_int_equal(answer.verdict, SP_VERDICT_ALLOW);
    assert_int_equal(legs, 1);
    assert_int_equal(answer.token_len, 0);
    assert_string_equal(answer.user, "alice");
    initiator_fini(&in);
    proxy_close(&proxy);
}

static void dce_style_takes_three_tokens(void **state)
{
    struct proxy proxy;
    struct initiator in = initiator_of(SERVICE, &mech_krb5, GSS_C_MUTUAL_FLAG | GSS_C_DCE_STYLE);
    struct answer answer;
    unsigned legs;

    (void)state;
    proxy_set(&proxy, "proxy.keytab");
    proxy_open(&proxy);
    answer = shake_hands(&proxy, &in, NULL, &legs);
    assert_int_equal(answer.verdict, SP_VERDICT_ALLOW);
    assert_int_equal(legs, 2);
    assert_string_equal(answer.user, "alice");
    assert_string_equal(answer.mech, "krb5");
    initiator_fini(&in);
    proxy_close(&proxy);
}

static void dce_style_within_spnego_is_accepted(void **state)
{
    struct proxy proxy;
    struct initiator in = initiator_of(SERVICE, &mech_spnego, GSS_C_MUTUAL_FLAG | GSS_C_DCE_STYLE);
    struct answer answer;
    unsigned legs;

    (void)state;
    proxy_set(&proxy, "proxy.keytab");
    proxy_open(&proxy);
    answer = shake_hands(&proxy, &in, NULL, &legs);
    if (answer.verdict != SP_VERDICT_ALLOW)
        fail_msg("%s: %s", answer.reason, answer.detail);
    assert_true(legs >= 2);
    assert_string_equal(answer.user, "alice");
    initiator_fini(&in);
    proxy_close(&proxy);
}

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
    if (answer->verdict == SP_VERDICT_ALLOW)
        assert_int_equal(legs, 2);
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

static int set_up(void **state)
{
    FILE *users;

    (void)state;
    kdc = sp_kdc_start(NULL);
    sp_kdc_add(kdc, "alice", "wonder");
    sp_kdc_add(kdc, "HTTP/proxy.test", NULL);
    sp_kdc_keytab(kdc, "HTTP/proxy.test", "proxy.keytab", 0);
    sp_kdc_login(kdc, "alice", "wonder", NULL);
    users = fopen(sp_kdc_path(kdc, "ntlm.users"), "w");
    if (users == NULL)
        return 1;
    (void)fprintf(users, "CORP:bob:Bobs-Secret\nOTHER:eve:Eves-Secret\n");
    (void)fclose(users);
    (void)setenv("NTLM_USER_FILE", sp_kdc_path(kdc, "ntlm.users"), 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sp_kdc_stop(&kdc);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_spnego_ticket_is_accepted_in_one_leg_with_a_final_token),
        cmocka_unit_test(a_raw_kerberos_token_is_accepted),
        cmocka_unit_test(dce_style_takes_three_tokens),
        cmocka_unit_test(dce_style_within_spnego_is_accepted),
        cmocka_unit_test(ntlm_within_spnego_takes_two_client_tokens),
        cmocka_unit_test(raw_ntlm_is_accepted_where_configured),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
