/* Whole handshakes of every kind against a real KDC, through the plugin's table as the engine calls
 * it. */
#include "unit/backends/gssapi/proxy.h"

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

/* ---- names and realms ---- */

static struct answer ask_as(const char *who, enum sp_gss_username username, size_t realms_len,
                            const char *realm)
{
    struct proxy proxy;
    struct initiator in = initiator_of(SERVICE, &mech_spnego, 0);
    struct answer answer;

    sp_kdc_use(kdc, who);
    proxy_set(&proxy, "proxy.keytab");
    proxy.options.username = (int)username;
    proxy.realms[0] = (char *)(uintptr_t)realm;
    proxy.options.realms.len = realms_len;
    proxy_open(&proxy);
    initiator_step(&in, SP_SPAN_NONE);
    answer = ask_once(&proxy, initiator_token(&in), NULL);
    sp_kdc_use(kdc, "alice");
    initiator_fini(&in);
    proxy_close(&proxy);
    return answer;
}

static void an_instance_is_not_taken_for_the_person(void **state)
{
    struct answer answer = ask_as("alice/admin", SP_GSS_USERNAME_LOCAL, 1, SP_KDC_REALM);

    (void)state;
    assert_int_equal(answer.verdict, SP_VERDICT_ALLOW);
    assert_string_equal(answer.user, "alice/admin");
}

static void a_principal_keeps_its_realm_where_that_is_wanted(void **state)
{
    struct answer answer = ask_as("Carol", SP_GSS_USERNAME_PRINCIPAL, 0, NULL);

    (void)state;
    assert_int_equal(answer.verdict, SP_VERDICT_ALLOW);
    assert_string_equal(answer.user, "carol@" SP_KDC_REALM);
    assert_string_equal(answer.principal, "Carol@" SP_KDC_REALM);
}

static void a_name_is_in_lower_case(void **state)
{
    (void)state;
    assert_string_equal(ask_as("Carol", SP_GSS_USERNAME_LOCAL, 0, NULL).user, "carol");
}

static void a_realm_not_listed_is_refused_as_a_principal(void **state)
{
    struct answer answer = ask_as("alice", SP_GSS_USERNAME_LOCAL, 1, "OTHER.TEST");

    (void)state;
    assert_int_equal(answer.verdict, SP_VERDICT_DENY);
    assert_true(answer.denied_principal);
    assert_non_null(strstr(answer.detail, SP_KDC_REALM));
}

/* ---- replays ---- */

static void a_token_is_accepted_once_by_all_workers_and_over_a_reload(void **state)
{
    struct proxy first, second, reloaded;
    struct initiator in = initiator_of(SERVICE, &mech_spnego, GSS_C_MUTUAL_FLAG);
    struct answer answer;

    (void)state;
    proxy_set(&first, "proxy.keytab");
    proxy_set(&second, "proxy.keytab");
    proxy_set(&reloaded, "proxy.keytab");
    proxy_open(&first);
    proxy_open(&second);
    initiator_step(&in, SP_SPAN_NONE);
    assert_int_equal(ask_once(&first, initiator_token(&in), NULL).verdict, SP_VERDICT_ALLOW);
    answer = ask_once(&first, initiator_token(&in), NULL);
    assert_int_equal(answer.verdict, SP_VERDICT_DENY);
    assert_string_equal(answer.reason, "replayed ticket");
    assert_int_equal(answer.token_len, 0); /* a replayer learns nothing */
    assert_int_equal(ask_once(&second, initiator_token(&in), NULL).verdict, SP_VERDICT_DENY);
    proxy_close(&first);
    proxy_close(&second);
    proxy_open(&reloaded);
    assert_int_equal(ask_once(&reloaded, initiator_token(&in), NULL).verdict, SP_VERDICT_DENY);
    proxy_close(&reloaded);
    initiator_fini(&in);
}

static void a_spnego_token_is_a_replay_of_its_ticket_raw(void **state)
{
    struct proxy proxy;
    struct initiator in = initiator_of(SERVICE, &mech_spnego, GSS_C_MUTUAL_FLAG);
    struct sp_span token;
    size_t at = 0;

    (void)state;
    proxy_set(&proxy, "proxy.keytab");
    proxy_open(&proxy);
    initiator_step(&in, SP_SPAN_NONE);
    token = initiator_token(&in);
    assert_int_equal(ask_once(&proxy, token, NULL).verdict, SP_VERDICT_ALLOW);
    /* the inner token begins with the second frame [APPLICATION 0] of Kerberos' OID */
    for (size_t i = 1; i + 20 < token.len && at == 0; i++) {
        if (memcmp(token.base + i, "\x60\x82", 2) == 0 &&
            memcmp(token.base + i + 4, "\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02", 11) == 0)
            at = i;
    }
    assert_true(at > 0);
    assert_int_equal(ask_once(&proxy, sp_span_of(token.base + at, token.len - at), NULL).verdict,
                     SP_VERDICT_DENY);
    initiator_fini(&in);
    proxy_close(&proxy);
}

static void of_two_replays_at_once_one_passes(void **state)
{
    struct proxy proxy;

    (void)state;
    proxy_set(&proxy, "proxy.keytab");
    proxy_open(&proxy);
    for (int round = 0; round < 20; round++) {
        struct initiator in = initiator_of(SERVICE, &mech_krb5, 0);
        struct sp_auth_op *ops[4] = {NULL, NULL, NULL, NULL};
        struct answer answers[4];
        unsigned passed = 0;

        initiator_step(&in, SP_SPAN_NONE);
        memset(answers, 0, sizeof answers);
        for (int i = 0; i < 4; i++) {
            struct sp_auth_input input = input_of(initiator_token(&in));

            assert_int_equal(OPS->start(proxy.backend, &input, on_done, &answers[i], &ops[i]),
                             SP_OK);
        }
        proxy_run(&proxy);
        for (int i = 0; i < 4; i++) {
            passed += answers[i].verdict == SP_VERDICT_ALLOW;
            OPS->free(&ops[i]);
        }
        assert_int_equal(passed, 1);
        initiator_fini(&in);
    }
    proxy_close(&proxy);
}

static void two_tokens_of_one_ticket_are_no_replay(void **state)
{
    struct proxy proxy;

    (void)state;
    proxy_set(&proxy, "proxy.keytab");
    proxy_open(&proxy);
    for (int i = 0; i < 5; i++) {
        struct initiator in = initiator_of(SERVICE, &mech_spnego, 0);

        initiator_step(&in, SP_SPAN_NONE);
        assert_int_equal(ask_once(&proxy, initiator_token(&in), NULL).verdict, SP_VERDICT_ALLOW);
        initiator_fini(&in);
    }
    proxy_close(&proxy);
}

/* ---- tokens that are none ---- */

static void a_token_cut_off_at_any_length_is_refused(void **state)
{
    struct proxy proxy;
    struct initiator in = initiator_of(SERVICE, &mech_spnego, GSS_C_MUTUAL_FLAG);
    struct sp_span token;

    (void)state;
    proxy_set(&proxy, "proxy.keytab");
    proxy_open(&proxy);
    initiator_step(&in, SP_SPAN_NONE);
    token = initiator_token(&in);
    for (size_t len = 0; len < token.len; len++) {
        struct answer answer = ask_once(&proxy, sp_span_of(token.base, len), NULL);

        if (answer.verdict != SP_VERDICT_DENY)
            fail_msg("%zu of %zu bytes: verdict %d", len, token.len, (int)answer.verdict);
        lender_forget(&proxy.lender);
    }
    assert_int_equal(ask_once(&proxy, token, NULL).verdict, SP_VERDICT_ALLOW);
    initiator_fini(&in);
    proxy_close(&proxy);
}

/* Whatever byte changes: never a second acceptance, which would be a replay in disguise. */
static void no_changed_byte_makes_a_replay_pass(void **state)
{
    struct proxy proxy;
    struct initiator in = initiator_of(SERVICE, &mech_spnego, GSS_C_MUTUAL_FLAG);
    struct sp_span token;
    char *changed;

    (void)state;
    proxy_set(&proxy, "proxy.keytab");
    proxy_open(&proxy);
    initiator_step(&in, SP_SPAN_NONE);
    token = initiator_token(&in);
    changed = malloc(token.len + 1);
    assert_non_null(changed);
    assert_int_equal(ask_once(&proxy, token, NULL).verdict, SP_VERDICT_ALLOW);
    for (size_t i = 0; i < token.len; i++) {
        memcpy(changed, token.base, token.len);
        changed[i] = (char)(changed[i] ^ (1 << (i % 8)));
        assert_int_not_equal(ask_once(&proxy, sp_span_of(changed, token.len), NULL).verdict,
                             SP_VERDICT_ALLOW);
        lender_forget(&proxy.lender);
    }
    memcpy(changed, token.base, token.len);
    changed[token.len] = '\0'; /* bytes behind the end change nothing either */
    assert_int_not_equal(ask_once(&proxy, sp_span_of(changed, token.len + 1), NULL).verdict,
                         SP_VERDICT_ALLOW);
    free(changed);
    initiator_fini(&in);
    proxy_close(&proxy);
}

static void a_token_over_the_limit_is_refused_and_one_at_it_is_read(void **state)
{
    struct proxy proxy;
    char *bytes = calloc(1, SP_GSS_TOKEN_MAX + 1);
    struct answer answer;

    (void)state;
    assert_non_null(bytes);
    proxy_set(&proxy, "proxy.keytab");
    proxy_open(&proxy);
    answer = ask_once(&proxy, sp_span_of(bytes, SP_GSS_TOKEN_MAX + 1), NULL);
    assert_int_equal(answer.verdict, SP_VERDICT_DENY);
    assert_string_equal(answer.reason, "token too long");
    answer = ask_once(&proxy, sp_span_of(bytes, SP_GSS_TOKEN_MAX), NULL);
    assert_int_equal(answer.verdict, SP_VERDICT_DENY);
    assert_string_equal(answer.reason, "malformed token");
    free(bytes);
    proxy_close(&proxy);
}

/* ---- channel bindings ---- */

static enum sp_verdict bind_with(gss_OID mech, enum sp_gss_bindings setting, const char *theirs,
                                 const char *ours)
{
    struct proxy proxy;
    struct initiator in = initiator_of(SERVICE, mech, 0);
    struct answer answer;

    proxy_set(&proxy, "proxy.keytab");
    proxy.options.channel_bindings = (int)setting;
    proxy_open(&proxy);
    in.bindings = theirs;
    initiator_step(&in, SP_SPAN_NONE);
    answer = ask_once(&proxy, initiator_token(&in), ours);
    initiator_fini(&in);
    proxy_close(&proxy);
    return answer.verdict;
}

static void channel_bindings_are_judged_as_configured(void **state)
{
    static const char ours[] = "tls-server-end-point:0123456789abcdef0123456789abcdef";
    static const char wrong[] = "tls-server-end-point:ffffffffffffffffffffffffffffffff";
    static const struct {
        enum sp_gss_bindings setting;
        const char *theirs;
        const char *ours;
        enum sp_verdict verdict;
    } rows[] = {
        {SP_GSS_BINDINGS_ALLOW, ours, ours, SP_VERDICT_ALLOW},
        {SP_GSS_BINDINGS_ALLOW, wrong, ours, SP_VERDICT_DENY},
        {SP_GSS_BINDINGS_ALLOW, NULL, ours, SP_VERDICT_ALLOW},
        {SP_GSS_BINDINGS_ALLOW, wrong, NULL, SP_VERDICT_ALLOW}, /* a clear listener */
        {SP_GSS_BINDINGS_REQUIRE, ours, ours, SP_VERDICT_ALLOW},
        {SP_GSS_BINDINGS_REQUIRE, wrong, ours, SP_VERDICT_DENY},
        {SP_GSS_BINDINGS_REQUIRE, NULL, ours, SP_VERDICT_DENY},
        {SP_GSS_BINDINGS_REQUIRE, NULL, NULL, SP_VERDICT_ALLOW}, /* a clear listener */
        {SP_GSS_BINDINGS_OFF, wrong, ours, SP_VERDICT_ALLOW},
        {SP_GSS_BINDINGS_OFF, NULL, ours, SP_VERDICT_ALLOW},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum sp_verdict spnego = bind_with(&mech_spnego, rows[i].setting, rows[i].theirs,
                                           rows[i].ours);
        enum sp_verdict raw = bind_with(&mech_krb5, rows[i].setting, rows[i].theirs, rows[i].ours);

        if (spnego != rows[i].verdict || raw != rows[i].verdict)
            fail_msg("row %zu: %d, raw %d", i, (int)spnego, (int)raw);
    }
}

static void clients_without_bindings_are_told_once_a_minute(void **state)
{
    struct proxy proxy;

    (void)state;
    proxy_set(&proxy, "proxy.keytab");
    proxy_open(&proxy);
    sp_gss_unbound_note(proxy.config, "10.0.0.1", 1000);
    assert_non_null(strstr(proxy.lender.log, "absent handshakes=1 client=10.0.0.1\n"));
    for (uint64_t s = 1000; s < 1060; s++)
        sp_gss_unbound_note(proxy.config, "10.0.0.2", s);
    assert_null(strstr(proxy.lender.log, "10.0.0.2"));
    sp_gss_unbound_note(proxy.config, "10.0.0.3", 1060);
    assert_non_null(strstr(proxy.lender.log, "absent handshakes=61 client=10.0.0.3\n"));
    sp_gss_unbound_note(proxy.config, "10.0.0.4", 1119);
    sp_gss_unbound_note(proxy.config, "10.0.0.5", 1119);
    proxy_close(&proxy); /* what was not told yet */
    assert_non_null(strstr(proxy.lender.log, "absent handshakes=2 client=10.0.0.5\n"));
}

/* ---- cancel, close, no room ---- */

static void a_handshake_cancelled_in_flight_is_never_answered(void **state)
{
    struct proxy proxy;
    struct initiator in = initiator_of(SERVICE, &mech_spnego, GSS_C_MUTUAL_FLAG);
    struct answer answer = {0};
    struct sp_auth_op *op = NULL;
    struct sp_auth_input input;

    (void)state;
    proxy_set(&proxy, "proxy.keytab");
    proxy_open(&proxy);
    proxy.lender.hold = true;
    initiator_step(&in, SP_SPAN_NONE);
    input = input_of(initiator_token(&in));
    input.channel_bindings = SP_SPAN_LIT("tls-server-end-point:x");
    assert_int_equal(OPS->start(proxy.backend, &input, on_done, &answer, &op), SP_OK);
    OPS->cancel(&op);
    assert_null(op);
    lender_release(&proxy.lender);
    proxy_run(&proxy);
    assert_int_equal(answer.calls, 0);
    initiator_fini(&in);
    proxy_close(&proxy);
}

static void a_second_leg_cancelled_in_flight_is_never_answered(void **state)
{
    struct proxy proxy;
    struct initiator in = initiator_of(SERVICE, &mech_krb5, GSS_C_MUTUAL_FLAG | GSS_C_DCE_STYLE);
    struct answer answer = {0};
    struct sp_auth_op *op = NULL;
    struct sp_auth_input input;

    (void)state;
    proxy_set(&proxy, "proxy.keytab");
    proxy_open(&proxy);
    initiator_step(&in, SP_SPAN_NONE);
    input = input_of(initiator_token(&in));
    assert_int_equal(OPS->start(proxy.backend, &input, on_done, &answer, &op), SP_OK);
    proxy_run(&proxy);
    assert_int_equal(answer.verdict, SP_VERDICT_MORE);
    initiator_step(&in, answer_token(&answer));
    proxy.lender.hold = true;
    assert_int_equal(OPS->step(op, initiator_token(&in), NULL), SP_OK);
    OPS->cancel(&op);
    lender_release(&proxy.lender);
    proxy_run(&proxy);
    assert_int_equal(answer.calls, 1);
    initiator_fini(&in);
    proxy_close(&proxy);
}

static void a_handshake_at_rest_between_legs_may_be_freed(void **state)
{
    struct proxy proxy;
    struct initiator in = initiator_of(SERVICE, &mech_krb5, GSS_C_MUTUAL_FLAG | GSS_C_DCE_STYLE);
    struct answer answer = {0};
    struct sp_auth_op *op = NULL;
    struct sp_auth_input input;

    (void)state;
    proxy_set(&proxy, "proxy.keytab");
    proxy_open(&proxy);
    initiator_step(&in, SP_SPAN_NONE);
    input = input_of(initiator_token(&in));
    assert_int_equal(OPS->start(proxy.backend, &input, on_done, &answer, &op), SP_OK);
    proxy_run(&proxy);
    assert_int_equal(answer.verdict, SP_VERDICT_MORE);
    OPS->free(&op);
    assert_null(op);
    initiator_fini(&in);
    proxy_close(&proxy);
}

static void the_owner_may_close_while_a_cancelled_job_is_out(void **state)
{
    struct proxy proxy;
    struct initiator in = initiator_of(SERVICE, &mech_spnego, 0);
    struct answer answer = {0};
    struct sp_auth_op *op = NULL;
    struct sp_auth_input input;
    unsigned closed = 0;

    (void)state;
    proxy_set(&proxy, "proxy.keytab");
    proxy_open(&proxy);
    proxy.lender.hold = true;
    initiator_step(&in, SP_SPAN_NONE);
    input = input_of(initiator_token(&in));
    assert_int_equal(OPS->start(proxy.backend, &input, on_done, &answer, &op), SP_OK);
    OPS->cancel(&op);
    OPS->close(&proxy.backend, on_closed, &closed);
    (void)uv_run(&proxy.lender.loop, UV_RUN_NOWAIT);
    assert_int_equal(closed, 0); /* the job still holds the backend */
    lender_release(&proxy.lender);
    assert_int_equal(lender_fini(&proxy.lender), 0);
    assert_int_equal(closed, 1);
    assert_int_equal(answer.calls, 0);
    OPS->release(&proxy.config);
    initiator_fini(&in);
}

static void a_full_pool_is_the_return_value_at_start_and_at_step(void **state)
{
    struct proxy proxy;
    struct initiator in = initiator_of(SERVICE, &mech_krb5, GSS_C_MUTUAL_FLAG | GSS_C_DCE_STYLE);
    struct answer answer = {0};
    struct sp_auth_op *op = NULL;
    struct sp_auth_input input;

    (void)state;
    proxy_set(&proxy, "proxy.keytab");
    proxy_open(&proxy);
    initiator_step(&in, SP_SPAN_NONE);
    input = input_of(initiator_token(&in));
    proxy.lender.full = true;
    assert_int_equal(OPS->start(proxy.backend, &input, on_done, &answer, &op), SP_ERR_FULL);
    assert_null(op);
    proxy.lender.full = false;
    assert_int_equal(OPS->start(proxy.backend, &input, on_done, &answer, &op), SP_OK);
    proxy_run(&proxy);
    assert_int_equal(answer.verdict, SP_VERDICT_MORE);
    initiator_step(&in, answer_token(&answer));
    proxy.lender.full = true;
    assert_int_equal(OPS->step(op, initiator_token(&in), NULL), SP_ERR_FULL);
    proxy_run(&proxy);
    assert_int_equal(answer.calls, 1);
    OPS->free(&op); /* still at rest */
    initiator_fini(&in);
    proxy_close(&proxy);
}

/* ---- what is traced ---- */

struct tracer {
    struct sp_auth_tracer base;
    unsigned steps;
    char detail[512];
    char outcome[80];
};

static void on_step(struct sp_auth_tracer *base, const struct sp_auth_step *step)
{
    struct tracer *tracer = sp_container_of(base, struct tracer, base);

    assert_string_equal(step->what, "accept");
    tracer->steps++;
    (void)snprintf(tracer->detail, sizeof tracer->detail, "%s", step->detail);
    (void)snprintf(tracer->outcome, sizeof tracer->outcome, "%s", step->outcome);
}

static void a_leg_is_traced_in_words(void **state)
{
    struct proxy proxy;
    struct initiator in = initiator_of(SERVICE, &mech_spnego, 0);
    struct tracer tracer = {.base = {on_step}};
    struct answer answer = {0};
    struct sp_auth_op *op = NULL;
    struct sp_auth_input input;

    (void)state;
    proxy_set(&proxy, "proxy.keytab");
    proxy_open(&proxy);
    initiator_step(&in, SP_SPAN_NONE);
    input = input_of(initiator_token(&in));
    input.tracer = &tracer.base;
    assert_int_equal(OPS->start(proxy.backend, &input, on_done, &answer, &op), SP_OK);
    proxy_run(&proxy);
    OPS->free(&op);
    assert_int_equal(tracer.steps, 1);
    /* which mechanisms a client offers behind krb5 is its own affair */
    assert_memory_equal(tracer.detail, "SPNEGO (krb5", 12);
    assert_non_null(strstr(tracer.detail, ") with a ticket for HTTP/proxy.test@" SP_KDC_REALM
                                          " kvno 2 aes256-cts-hmac-sha1-96"));
    assert_string_equal(tracer.outcome, "accepted");
    initiator_fini(&in);
    proxy_close(&proxy);
}

static int set_up(void **state)
{
    (void)state;
    kdc = sp_kdc_start(NULL);
    sp_kdc_add(kdc, "HTTP/proxy.test", NULL);
    sp_kdc_keytab(kdc, "HTTP/proxy.test", "proxy.keytab", 0);
    sp_kdc_add(kdc, "alice/admin", "wonder2");
    sp_kdc_add(kdc, "Carol", "sing");
    sp_kdc_add(kdc, "alice", "wonder");
    sp_kdc_login(kdc, "alice/admin", "wonder2", NULL);
    sp_kdc_login(kdc, "Carol", "sing", NULL);
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
        cmocka_unit_test(a_spnego_ticket_is_accepted_in_one_leg_with_a_final_token),
        cmocka_unit_test(a_raw_kerberos_token_is_accepted),
        cmocka_unit_test(dce_style_takes_three_tokens),
        cmocka_unit_test(dce_style_within_spnego_is_accepted),
        cmocka_unit_test(an_instance_is_not_taken_for_the_person),
        cmocka_unit_test(a_principal_keeps_its_realm_where_that_is_wanted),
        cmocka_unit_test(a_name_is_in_lower_case),
        cmocka_unit_test(a_realm_not_listed_is_refused_as_a_principal),
        cmocka_unit_test(a_token_is_accepted_once_by_all_workers_and_over_a_reload),
        cmocka_unit_test(a_spnego_token_is_a_replay_of_its_ticket_raw),
        cmocka_unit_test(of_two_replays_at_once_one_passes),
        cmocka_unit_test(two_tokens_of_one_ticket_are_no_replay),
        cmocka_unit_test(a_token_cut_off_at_any_length_is_refused),
        cmocka_unit_test(no_changed_byte_makes_a_replay_pass),
        cmocka_unit_test(a_token_over_the_limit_is_refused_and_one_at_it_is_read),
        cmocka_unit_test(channel_bindings_are_judged_as_configured),
        cmocka_unit_test(clients_without_bindings_are_told_once_a_minute),
        cmocka_unit_test(a_handshake_cancelled_in_flight_is_never_answered),
        cmocka_unit_test(a_second_leg_cancelled_in_flight_is_never_answered),
        cmocka_unit_test(a_handshake_at_rest_between_legs_may_be_freed),
        cmocka_unit_test(the_owner_may_close_while_a_cancelled_job_is_out),
        cmocka_unit_test(a_full_pool_is_the_return_value_at_start_and_at_step),
        cmocka_unit_test(a_leg_is_traced_in_words),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
