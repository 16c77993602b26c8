/* A proxy with one gssapi backend, called through the plugin's table as the engine calls it, and
 * the KDC that its clients have their tickets from. For the tests of this folder; header only. */
#ifndef SP_TESTS_GSSAPI_PROXY_H
#define SP_TESTS_GSSAPI_PROXY_H

#include "backends/gssapi/gssapi_priv.h"
#include "support/kdc.h"
#include "unit/backends/gssapi/initiator.h"
#include "unit/backends/lender.h"
#include "util/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

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
    char groups[2048]; /* each with a space after it */
    char token[8192];
    size_t token_len;
    bool denied_principal;
};

static inline void keep_span(char *out, size_t cap, struct sp_span text)
{
    size_t len = text.len < cap ? text.len : cap - 1;

    if (len > 0)
        memcpy(out, text.base, len);
    out[len] = '\0';
}

static inline void keep_groups(struct answer *answer, const struct sp_auth_result *result)
{
    size_t used = 0;

    answer->groups[0] = '\0';
    for (size_t i = 0; i < result->groups_len; i++) {
        used += (size_t)snprintf(answer->groups + used, sizeof answer->groups - used, "%.*s ",
                                 SP_SPAN_ARG(result->groups[i]));
        assert_true(used < sizeof answer->groups);
    }
}

static inline void on_done(void *owner, const struct sp_auth_result *result)
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
    keep_groups(answer, result);
    answer->token_len = result->token.len;
    if (result->token.len > 0) {
        assert_true(result->token.len <= sizeof answer->token);
        memcpy(answer->token, result->token.base, result->token.len);
    }
}

static inline struct sp_span answer_token(const struct answer *answer)
{
    return answer->token_len > 0 ? sp_span_of(answer->token, answer->token_len) : SP_SPAN_NONE;
}

static inline void proxy_set(struct proxy *proxy, const char *keytab)
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

static inline void proxy_open(struct proxy *proxy)
{
    struct sp_auth_fault fault = {NULL, ""};

    if (OPS->configure(&proxy->options, &proxy->lender.host, &proxy->config, &fault) != SP_OK)
        fail_msg("configure: %s: %s", fault.option != NULL ? fault.option : "-", fault.text);
    assert_int_equal(OPS->open(proxy->config, &proxy->lender.host, &proxy->backend), SP_OK);
}

static inline void on_closed(void *owner)
{
    (*(unsigned *)owner)++;
}

static inline void proxy_close(struct proxy *proxy)
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

static inline void proxy_run(struct proxy *proxy)
{
    (void)uv_run(&proxy->lender.loop, UV_RUN_DEFAULT);
}

static inline struct sp_auth_input input_of(struct sp_span token)
{
    return (struct sp_auth_input){
        .ask = SP_AUTH_TOKEN, .token = token, .client = "10.1.2.3:4711", .id = "x1"};
}

/* One token, one answer; the operation is freed. */
static inline struct answer ask_once(struct proxy *proxy, struct sp_span token,
                                     const char *bindings)
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
static inline struct answer shake_hands(struct proxy *proxy, struct initiator *in,
                                        const char *bindings, unsigned *legs)
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

static inline enum sp_verdict ask_now(struct proxy *proxy, const char *service)
{
    struct initiator in = initiator_of(service, &mech_spnego, 0);
    struct answer answer;

    initiator_step(&in, SP_SPAN_NONE);
    answer = ask_once(proxy, initiator_token(&in), NULL);
    initiator_fini(&in);
    return answer.verdict;
}

#endif
