/* Logins under want of memory: who is let in has proven it, and who is not let in for want of
 * memory is told so (503), never that the password was wrong (407, 403), and no guard counts it.
 * The next question, with memory, is answered as ever. */
#include "support/auth_rig.h"
#include "want/want.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CONFIG                                                           \
    "listen \"127.0.0.1:3128\" { offer = {\"negotiate\", \"basic\"} }\n" \
    "auth { negotiate = {\"krb\"} basic = {\"dir\"} }\n"                 \
    "guard { user_failures = 1 client_failures = 5 }\n"                  \
    "backend \"dir\" { plugin = \"fake\" }\n"                            \
    "backend \"krb\" { plugin = \"faketoken\" groups_from = \"dir\" }\n"
#define ALICE "user=alice principal=alice@CORP.TEST"

static const struct fake_user people[] = {
    {"alice", "secret", NULL, "staff"},
    {NULL, NULL, NULL, NULL},
};

static struct rig rig;
static enum want_whose whose = WANT_OURS;

static void open_rig(void)
{
    fake_worlds_reset();
    fake_world("dir")->users = people;
    rig_open(&rig, CONFIG, NULL);
}

static void close_rig(void)
{
    rig_close(&rig);
    assert_int_equal(fake_world("dir")->live_ops + fake_world("krb")->live_ops, 0);
    assert_int_equal(fake_world("dir")->open + fake_world("krb")->open, 0);
}

/* Yes for the right one, "don't know" otherwise. */
static void must_be_yes_or_unknown(const struct rig_reply *r, bool failed)
{
    if (r->state == SP_AUTH_PASSED) {
        assert_string_equal(r->user, "alice");
        assert_string_equal(r->group, "staff");
        return;
    }
    if (!failed || r->state != SP_AUTH_UNAVAILABLE)
        fail_msg("state %d, reason %s, why %s", (int)r->state, sp_reason_text(r->reason), r->why);
    assert_true(r->reason == SP_REASON_OVERLOADED || r->reason == SP_REASON_DIRECTORY_UNAVAILABLE);
}

static void must_pass(const char *authorization)
{
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r = rig_ask(&rig, &conn, authorization);

    if (r.state != SP_AUTH_PASSED)
        fail_msg("state %d, reason %s, why %s", (int)r.state, sp_reason_text(r.reason), r.why);
    assert_string_equal(r.group, "staff");
    sp_auth_conn_free(&conn);
}

static void basic(void *state)
{
    struct sp_auth_conn *conn = NULL;
    const char *right = rig_basic("alice", "secret");
    struct rig_reply r;
    bool failed;

    (void)state;
    open_rig();
    want_begin();
    r = rig_ask(&rig, &conn, right);
    failed = want_end();
    must_be_yes_or_unknown(&r, failed);
    must_pass(right);
    sp_auth_conn_free(&conn);
    close_rig();
}

/* A wrong password is refused, or nobody knows; and where it was not judged, it is not counted:
 * with one failure allowed, the right one would find a block. */
static void wrong_basic(void *state)
{
    struct sp_auth_conn *conn = NULL;
    const char *wrong = rig_basic("alice", "guess"), *right = rig_basic("alice", "secret");
    struct rig_reply r;
    bool failed;

    (void)state;
    open_rig();
    want_begin();
    r = rig_ask(&rig, &conn, wrong);
    failed = want_end();
    sp_auth_conn_free(&conn);
    assert_int_not_equal(r.state, SP_AUTH_PASSED);
    if (r.state == SP_AUTH_UNAVAILABLE) {
        assert_true(failed);
        must_pass(right);
    } else {
        assert_int_equal(r.state, SP_AUTH_CHALLENGE);
        assert_int_equal(r.reason, SP_REASON_BAD_CREDENTIALS);
    }
    close_rig();
}

static void from_cache(void *state)
{
    struct sp_auth_conn *conn = NULL;
    const char *right = rig_basic("alice", "secret");
    struct rig_reply r;

    (void)state;
    open_rig();
    must_pass(right);
    want_begin();
    r = rig_ask(&rig, &conn, right);
    assert_false(want_end()); /* costs no memory at all */
    must_be_yes_or_unknown(&r, false);
    sp_auth_conn_free(&conn);
    close_rig();
}

static void negotiate(void *state)
{
    struct sp_auth_conn *conn = NULL;
    const char *first = rig_negotiate("legs=2 final=bye " ALICE), *second = rig_negotiate("more");
    struct rig_reply r;
    bool failed;

    (void)state;
    open_rig();
    want_begin();
    r = rig_ask(&rig, &conn, first);
    if (r.state == SP_AUTH_CHALLENGE && r.reason == SP_REASON_HANDSHAKE)
        r = rig_ask(&rig, &conn, second);
    failed = want_end();
    must_be_yes_or_unknown(&r, failed);
    if (r.state == SP_AUTH_PASSED) {
        r = rig_ask(&rig, &conn, NULL); /* pinned, or asked anew: never another state */
        assert_true(r.state == SP_AUTH_PASSED || (failed && r.state == SP_AUTH_CHALLENGE));
    }
    sp_auth_conn_free(&conn);
    must_pass(rig_negotiate(ALICE));
    assert_int_equal(sp_stats_sum(SP_STAT_HANDSHAKES), 0);
    close_rig();
}

static void the_right_password(void **state)
{
    (void)state;
    want_each("a login", whose, 1, basic, NULL);
}

static void a_wrong_password(void **state)
{
    (void)state;
    want_each("a refused login", whose, 1, wrong_basic, NULL);
}

static void a_kept_verdict(void **state)
{
    (void)state;
    want_each("a kept verdict", whose, 1, from_cache, NULL);
}

static void a_handshake(void **state)
{
    (void)state;
    want_each("a handshake", whose, 1, negotiate, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_right_password),
        cmocka_unit_test(a_wrong_password),
        cmocka_unit_test(a_kept_verdict),
        cmocka_unit_test(a_handshake),
    };

    return cmocka_run_group_tests_name("want: auth", tests, NULL, NULL);
}
