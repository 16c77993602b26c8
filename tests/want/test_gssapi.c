/* Tickets under want of memory: a good one is accepted, or nobody knows. It is not called a bad
 * one, and where it was not judged it is no replay the next time. (krb5's own allocations are not
 * tried: its acceptor crashes without them.) */
#include "unit/backends/gssapi/proxy.h"
#include "util/hash.h"
#include "want/want.h"

struct leg {
    bool replay; /* the token has been accepted before */
};

static struct answer ask(struct proxy *proxy, struct sp_span token)
{
    const struct sp_auth_input input = input_of(token);
    struct answer answer = {.verdict = SP_VERDICT_UNAVAILABLE};
    struct sp_auth_op *op = NULL;

    if (OPS->start(proxy->backend, &input, on_done, &answer, &op) != SP_OK) {
        assert_null(op);
        return answer;
    }
    proxy_run(proxy);
    assert_int_equal(answer.calls, 1);
    OPS->free(&op);
    return answer;
}

static void judge(void *state)
{
    const struct leg *leg = state;
    struct initiator in = initiator_of(SERVICE, &mech_spnego, 0);
    struct answer answer;
    struct proxy proxy;
    bool failed;

    proxy_set(&proxy, "proxy.keytab");
    proxy_open(&proxy);
    initiator_step(&in, SP_SPAN_NONE);
    if (leg->replay)
        assert_int_equal(ask(&proxy, initiator_token(&in)).verdict, SP_VERDICT_ALLOW);
    want_begin();
    answer = ask(&proxy, initiator_token(&in));
    failed = want_end();
    if (leg->replay) {
        assert_int_not_equal(answer.verdict, SP_VERDICT_ALLOW);
        assert_int_not_equal(ask(&proxy, initiator_token(&in)).verdict, SP_VERDICT_ALLOW);
    } else if (answer.verdict == SP_VERDICT_ALLOW) {
        assert_string_equal(answer.user, "alice");
    } else if (!failed || answer.verdict != SP_VERDICT_UNAVAILABLE) {
        fail_msg("verdict %d, %s: %s", (int)answer.verdict, answer.reason, answer.detail);
    }
    assert_int_equal(ask_now(&proxy, SERVICE), SP_VERDICT_ALLOW); /* with memory */
    initiator_fini(&in);
    proxy_close(&proxy);
}

static void configure(void *state)
{
    struct sp_auth_fault fault = {NULL, ""};
    struct proxy proxy;
    enum sp_err err;

    (void)state;
    proxy_set(&proxy, "proxy.keytab");
    want_begin();
    err = OPS->configure(&proxy.options, &proxy.lender.host, &proxy.config, &fault);
    if (err == SP_OK)
        err = OPS->open(proxy.config, &proxy.lender.host, &proxy.backend);
    if (!want_end())
        assert_int_equal(err, SP_OK);
    assert_true(proxy.config != NULL || fault.text[0] != '\0');
    if (proxy.backend != NULL) {
        proxy_close(&proxy);
        return;
    }
    if (proxy.config != NULL)
        OPS->release(&proxy.config);
    assert_int_equal(lender_fini(&proxy.lender), 0);
}

static void a_ticket_passes_or_nobody_knows(void **state)
{
    struct leg leg = {false};

    (void)state;
    want_each("a ticket", WANT_OURS, 1, judge, &leg);
}

static void a_replay_never_passes(void **state)
{
    struct leg leg = {true};

    (void)state;
    want_each("a replay", WANT_OURS, 1, judge, &leg);
}

static void a_backend_opens_or_says_why_not(void **state)
{
    (void)state;
    want_each("a keytab", WANT_OURS, 1, configure, NULL);
}

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(sp_hash_setup(), SP_OK);
    kdc = sp_kdc_start(NULL);
    sp_kdc_add(kdc, "HTTP/proxy.test", NULL);
    sp_kdc_keytab(kdc, "HTTP/proxy.test", "proxy.keytab", 0);
    sp_kdc_add(kdc, "alice", "wonder");
    sp_kdc_login(kdc, "alice", "wonder", NULL);
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
        cmocka_unit_test(a_backend_opens_or_says_why_not),
        cmocka_unit_test(a_ticket_passes_or_nobody_knows),
        cmocka_unit_test(a_replay_never_passes),
    };

    return cmocka_run_group_tests_name("want: gssapi", tests, set_up, tear_down);
}
