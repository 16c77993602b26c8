/* The keytab: tickets for keys that it lacks, its rotation under handshakes, what configure
 * refuses, and what the doctor says of it. */
#include "unit/backends/gssapi/proxy.h"

#include <unistd.h>

/* ---- tickets for the wrong key ---- */

static struct answer ask_for(const char *service, const char *keytab, const char *own_service)
{
    struct proxy proxy;
    struct initiator in = initiator_of(service, &mech_spnego, 0);
    struct answer answer;

    proxy_set(&proxy, keytab);
    proxy.options.service = (char *)(uintptr_t)own_service;
    proxy_open(&proxy);
    initiator_step(&in, SP_SPAN_NONE);
    assert_false(in.failed);
    answer = ask_once(&proxy, initiator_token(&in), NULL);
    if (answer.verdict == SP_VERDICT_DENY)
        assert_memory_equal(answer.detail, "client sent SPNEGO (", 20);
    initiator_fini(&in);
    proxy_close(&proxy);
    return answer;
}

static void a_ticket_for_a_service_without_key_is_explained(void **state)
{
    struct answer answer = ask_for("HTTP@alias.test", "proxy.keytab", "");

    (void)state;
    assert_int_equal(answer.verdict, SP_VERDICT_DENY);
    assert_string_equal(answer.reason, "ticket for another service");
    assert_non_null(strstr(answer.detail, "a ticket for HTTP/alias.test@" SP_KDC_REALM " kvno 1"));
    assert_non_null(
        strstr(answer.detail, "the keytab has HTTP/proxy.test@" SP_KDC_REALM " kvno 2"));
}

static void a_ticket_of_a_version_that_the_keytab_lacks_is_explained_with_both(void **state)
{
    struct answer answer = ask_for("HTTP@rekeyed.test", "rekeyed-old.keytab", "");

    (void)state;
    assert_int_equal(answer.verdict, SP_VERDICT_DENY);
    assert_string_equal(answer.reason, "ticket for another key version");
    assert_non_null(strstr(answer.detail, "kvno 3"));
    assert_non_null(strstr(answer.detail, "kvno 2"));
    assert_non_null(strstr(answer.detail, "export the keytab anew (Request ticket server "));
}

static void a_key_that_differs_under_the_same_version_is_explained(void **state)
{
    struct answer answer = ask_for("HTTP@moved.test", "moved-old.keytab", "");

    (void)state;
    assert_int_equal(answer.verdict, SP_VERDICT_DENY);
    assert_string_equal(answer.reason, "ticket does not decrypt");
}

static void a_named_service_takes_its_own_tickets_only(void **state)
{
    (void)state;
    assert_int_equal(ask_for("HTTP@proxy.test", "both.keytab", "HTTP@proxy.test").verdict,
                     SP_VERDICT_ALLOW);
    assert_int_equal(
        ask_for("HTTP@proxy.test", "both.keytab", "HTTP/proxy.test@" SP_KDC_REALM).verdict,
        SP_VERDICT_ALLOW);
    assert_int_equal(ask_for("HTTP@alias.test", "both.keytab", "HTTP@proxy.test").verdict,
                     SP_VERDICT_DENY);
    assert_int_equal(ask_for("HTTP@alias.test", "both.keytab", "").verdict, SP_VERDICT_ALLOW);
}

/* ---- a keytab that changes ---- */

static void copy_file(const char *from, const char *to)
{
    char line[512];

    (void)snprintf(line, sizeof line, "cp '%s' '%s.new' && mv '%s.new' '%s'",
                   sp_kdc_path(kdc, from), sp_kdc_path(kdc, to), sp_kdc_path(kdc, to),
                   sp_kdc_path(kdc, to));
    assert_int_equal(system(line), 0);
}

static void a_new_keytab_is_taken_up_and_a_bad_one_changes_nothing(void **state)
{
    struct sp_auth_fault fault = {0};
    struct proxy proxy;

    (void)state;
    copy_file("rekeyed-old.keytab", "rotating.keytab");
    proxy_set(&proxy, "rotating.keytab");
    proxy_open(&proxy);
    assert_int_equal(ask_now(&proxy, "HTTP@rekeyed.test"), SP_VERDICT_DENY);
    copy_file("rekeyed-new.keytab", "rotating.keytab");
    assert_int_equal(OPS->refresh(proxy.config, &fault), SP_OK);
    assert_true(lender_logged(&proxy.lender, "event=keytab_taken_up"));
    assert_true(lender_logged(&proxy.lender, "HTTP/rekeyed.test@" SP_KDC_REALM " kvno 3 ("));
    assert_int_equal(ask_now(&proxy, "HTTP@rekeyed.test"), SP_VERDICT_ALLOW);
    copy_file("output.log", "rotating.keytab"); /* no keytab at all */
    assert_int_equal(OPS->refresh(proxy.config, &fault), SP_ERR_INVALID);
    assert_string_equal(fault.option, "keytab");
    assert_non_null(strstr(fault.text, "rotating.keytab"));
    assert_true(lender_logged(&proxy.lender, "event=keytab_refused"));
    assert_int_equal(ask_now(&proxy, "HTTP@rekeyed.test"), SP_VERDICT_ALLOW);
    (void)unlink(sp_kdc_path(kdc, "rotating.keytab"));
    assert_int_equal(OPS->refresh(proxy.config, &fault), SP_ERR_INVALID);
    assert_string_equal(fault.option, "keytab");
    assert_non_null(strstr(fault.text, "rotating.keytab"));
    assert_int_equal(ask_now(&proxy, "HTTP@rekeyed.test"), SP_VERDICT_ALLOW);
    proxy_close(&proxy);
}

static void a_handshake_under_way_survives_a_rotation(void **state)
{
    struct sp_auth_fault fault = {0};
    struct proxy proxy;
    struct initiator in = initiator_of(SERVICE, &mech_krb5, GSS_C_MUTUAL_FLAG | GSS_C_DCE_STYLE);
    struct answer answer = {0};
    struct sp_auth_op *op = NULL;
    struct sp_auth_input input;

    (void)state;
    copy_file("proxy.keytab", "rotating.keytab");
    proxy_set(&proxy, "rotating.keytab");
    proxy_open(&proxy);
    initiator_step(&in, SP_SPAN_NONE);
    input = input_of(initiator_token(&in));
    assert_int_equal(OPS->start(proxy.backend, &input, on_done, &answer, &op), SP_OK);
    proxy_run(&proxy);
    assert_int_equal(answer.verdict, SP_VERDICT_MORE);
    copy_file("rekeyed-new.keytab", "rotating.keytab");
    assert_int_equal(OPS->refresh(proxy.config, &fault), SP_OK);
    initiator_step(&in, answer_token(&answer));
    assert_int_equal(OPS->step(op, initiator_token(&in), NULL), SP_OK);
    proxy_run(&proxy);
    assert_int_equal(answer.verdict, SP_VERDICT_ALLOW);
    OPS->free(&op);
    initiator_fini(&in);
    proxy_close(&proxy);
}

/* refresh on its own thread, as the host runs it */
static void *rotate(void *data)
{
    struct proxy *proxy = data;
    struct sp_auth_fault fault = {0};

    for (int i = 0; i < 40; i++)
        assert_int_equal(OPS->refresh(proxy->config, &fault), SP_OK);
    return NULL;
}

static void rotation_under_load_disturbs_no_handshake(void **state)
{
    enum { ROUNDS = 10, AT_ONCE = 16 };
    struct proxy proxy;
    pthread_t thread;

    (void)state;
    proxy_set(&proxy, "proxy.keytab");
    proxy_open(&proxy);
    assert_int_equal(pthread_create(&thread, NULL, rotate, &proxy), 0);
    for (int round = 0; round < ROUNDS; round++) {
        struct initiator in[AT_ONCE];
        struct answer answers[AT_ONCE];
        struct sp_auth_op *ops[AT_ONCE] = {NULL};

        memset(answers, 0, sizeof answers);
        for (int i = 0; i < AT_ONCE; i++) {
            struct sp_auth_input input;

            in[i] = initiator_of(SERVICE, i % 2 ? &mech_spnego : &mech_krb5, GSS_C_MUTUAL_FLAG);
            initiator_step(&in[i], SP_SPAN_NONE);
            input = input_of(initiator_token(&in[i]));
            assert_int_equal(OPS->start(proxy.backend, &input, on_done, &answers[i], &ops[i]),
                             SP_OK);
        }
        proxy_run(&proxy);
        for (int i = 0; i < AT_ONCE; i++) {
            assert_int_equal(answers[i].verdict, SP_VERDICT_ALLOW);
            OPS->free(&ops[i]);
            initiator_fini(&in[i]);
        }
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    proxy_close(&proxy);
}

/* ---- what configure refuses ---- */

static void refused_with(struct proxy *proxy, const char *option, const char *words)
{
    struct sp_auth_fault fault = {NULL, ""};

    assert_int_not_equal(
        OPS->configure(&proxy->options, &proxy->lender.host, &proxy->config, &fault), SP_OK);
    assert_non_null(fault.option);
    assert_string_equal(fault.option, option);
    if (strstr(fault.text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", fault.text, words);
    assert_int_equal(lender_fini(&proxy->lender), 0);
}

static void a_keytab_that_cannot_serve_is_a_fault_of_keytab(void **state)
{
    struct proxy proxy;

    (void)state;
    proxy_set(&proxy, "nowhere.keytab");
    refused_with(&proxy, "keytab", "No such file");
    proxy_set(&proxy, "output.log");
    refused_with(&proxy, "keytab", "not a keytab that can be read");
    proxy_set(&proxy, "empty.keytab");
    refused_with(&proxy, "keytab", "holds no key");
}

static void a_service_or_mechanism_that_is_not_there_is_a_fault_of_its_option(void **state)
{
    struct proxy proxy;

    (void)state;
    proxy_set(&proxy, "proxy.keytab");
    proxy.options.service = (char *)(uintptr_t) "HTTP@elsewhere.test";
    refused_with(&proxy, "service", "has no key for HTTP@elsewhere.test");
    proxy_set(&proxy, "proxy.keytab");
    proxy.mechanisms[0] = (char *)(uintptr_t) "ntlm";
    refused_with(&proxy, "mechanisms", "\"ntlm\" is no mechanism");
    proxy_set(&proxy, "proxy.keytab");
    proxy.options.mechanisms.len = 0;
    refused_with(&proxy, "mechanisms", "at least one");
}

/* ---- doctor ---- */

struct report {
    struct sp_auth_findings base;
    char text[8192];
};

static void on_finding(struct sp_auth_findings *base, const struct sp_auth_finding *finding)
{
    struct report *report = sp_container_of(base, struct report, base);
    size_t used = strlen(report->text);

    (void)snprintf(report->text + used, sizeof report->text - used, "%s %s: %s\n",
                   finding->well ? "well" : "ILL", finding->what, finding->state);
    assert_true(finding->well == (finding->remedy == NULL));
}

static unsigned examine(const char *keytab, struct report *report)
{
    struct proxy proxy;
    unsigned ill;

    *report = (struct report){.base = {on_finding}};
    proxy_set(&proxy, keytab);
    proxy_open(&proxy);
    ill = OPS->diagnose(proxy.config, &report->base);
    proxy_close(&proxy);
    return ill;
}

static void doctor_compares_keytab_and_kdc(void **state)
{
    struct report report;

    (void)state;
    assert_int_equal(examine("proxy.keytab", &report), 1);
    assert_non_null(
        strstr(report.text, "ILL DNS about proxy.test: does not resolve")); /* RFC 6761 */
    assert_non_null(strstr(report.text, "well KDC and keytab about HTTP/proxy.test"));
    assert_non_null(strstr(report.text, "well clock"));
    assert_true(examine("moved-old.keytab", &report) > 0);
    assert_non_null(strstr(report.text, "ILL KDC and keytab about HTTP/moved.test"));
}

/* A keytab of its two bytes of version, and nothing more. */
static int write_empty_keytab(const char *path)
{
    FILE *out = fopen(path, "w");

    if (out == NULL)
        return 1;
    (void)fwrite("\x05\x02", 1, 2, out);
    return fclose(out);
}

static void add_service(const char *service, const char *keytab)
{
    sp_kdc_add(kdc, service, NULL);
    sp_kdc_keytab(kdc, service, keytab, 0);
}

static int set_up(void **state)
{
    (void)state;
    kdc = sp_kdc_start(NULL);
    sp_kdc_add(kdc, "alice", "wonder");
    add_service("HTTP/proxy.test", "proxy.keytab");
    sp_kdc_keytab(kdc, "HTTP/proxy.test", "both.keytab", 1);
    sp_kdc_add(kdc, "HTTP/alias.test", NULL);
    sp_kdc_keytab(kdc, "HTTP/alias.test", "both.keytab", 1);
    add_service("HTTP/rekeyed.test", "rekeyed-old.keytab");
    sp_kdc_keytab(kdc, "HTTP/rekeyed.test", "rekeyed-new.keytab", 0);
    add_service("HTTP/moved.test", "moved-old.keytab");
    sp_kdc_admin(kdc, "delprinc -force HTTP/moved.test");
    add_service("HTTP/moved.test", "moved-new.keytab");
    sp_kdc_login(kdc, "alice", "wonder", NULL);
    return write_empty_keytab(sp_kdc_path(kdc, "empty.keytab"));
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
        cmocka_unit_test(a_ticket_for_a_service_without_key_is_explained),
        cmocka_unit_test(a_ticket_of_a_version_that_the_keytab_lacks_is_explained_with_both),
        cmocka_unit_test(a_key_that_differs_under_the_same_version_is_explained),
        cmocka_unit_test(a_named_service_takes_its_own_tickets_only),
        cmocka_unit_test(a_new_keytab_is_taken_up_and_a_bad_one_changes_nothing),
        cmocka_unit_test(a_handshake_under_way_survives_a_rotation),
        cmocka_unit_test(rotation_under_load_disturbs_no_handshake),
        cmocka_unit_test(a_keytab_that_cannot_serve_is_a_fault_of_keytab),
        cmocka_unit_test(a_service_or_mechanism_that_is_not_there_is_a_fault_of_its_option),
        cmocka_unit_test(doctor_compares_keytab_and_kdc),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
