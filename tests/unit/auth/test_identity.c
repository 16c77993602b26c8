/* Identities, and what the core lends to a plugin. */
#include "auth/auth_priv.h"
#include "util/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void an_identity_owns_copies_and_tells_absent_from_empty(void **state)
{
    char user[] = "alice";
    struct sp_span groups[2] = {SP_SPAN_LIT("staff"), SP_SPAN_LIT("")};
    const struct sp_identity *identity;
    const struct sp_identity *second;
    size_t len = 0;

    (void)state;
    identity = sp_identity_new(sp_span_cstr(user), SP_SPAN_NONE, SP_SPAN_LIT("dir"),
                               SP_SCHEME_BASIC, SP_SPAN_LIT(""), groups, 2);
    assert_non_null(identity);
    memset(user, 'x', 5);
    second = sp_identity_ref(identity);
    sp_identity_unref(&identity);
    assert_null(identity);
    assert_string_equal(sp_identity_user(second).base, "alice");
    assert_null(sp_identity_principal(second).base);
    assert_non_null(sp_identity_mech(second).base);
    assert_int_equal(sp_identity_mech(second).len, 0);
    assert_string_equal(sp_identity_groups(second, &len)[0].base, "staff");
    assert_int_equal(len, 2);
    sp_identity_unref(&second);
    sp_identity_unref(&second); /* NULL by now: harmless */
}

static void a_plugins_metric_carries_its_backends_name(void **state)
{
    struct sp_log log = {NULL, NULL};
    struct sp_auth_lent lent;
    struct sp_auth_metric *metric;
    struct sp_buf out;

    (void)state;
    assert_int_equal(sp_stats_init(1), SP_OK);
    sp_auth_lent_init(&lent, "a\"b", NULL, &log);
    metric = lent.host.metric(&lent.host, SP_METRIC_GAUGE, "fake_things", "state=\"idle\"");
    assert_non_null(metric);
    lent.host.add(metric, 3);
    lent.host.add(NULL, 3);
    sp_buf_init(&out, 1 << 20);
    assert_int_equal(sp_stats_write(&out), SP_OK);
    assert_int_equal(sp_buf_append(&out, sp_span_of("", 1)), SP_OK);
    assert_non_null(strstr(sp_buf_span(&out).base,
                           "sallyport_fake_things{backend=\"a\\\"b\",state=\"idle\"} 3"));
    sp_buf_fini(&out);
    sp_stats_fini();
}

static void a_config_has_no_loop_to_work_for(void **state)
{
    struct sp_log log = {NULL, NULL};
    struct sp_auth_work work = {0};
    struct sp_auth_lent lent;

    (void)state;
    sp_auth_lent_init(&lent, "dir", NULL, &log);
    assert_null(lent.host.loop);
    assert_int_equal(lent.host.work(&lent.host, &work), SP_ERR_INVALID);
}

static void challenges_quote_the_realm_and_encode_the_token(void **state)
{
    char *basic = sp_challenge_basic("a\\\"\n");
    char *negotiate = sp_challenge_negotiate(SP_SPAN_LIT("abc"));

    (void)state;
    assert_string_equal(basic, "Basic realm=\"a\\\\\\\" \", charset=\"UTF-8\"");
    assert_string_equal(negotiate, "Negotiate YWJj");
    free(basic);
    free(negotiate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_identity_owns_copies_and_tells_absent_from_empty),
        cmocka_unit_test(a_plugins_metric_carries_its_backends_name),
        cmocka_unit_test(a_config_has_no_loop_to_work_for),
        cmocka_unit_test(challenges_quote_the_realm_and_encode_the_token),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
