/* Negotiate through the whole engine: handshakes on connections, pins, groups, deadlines. */
#include "support/auth_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LISTEN "listen \"127.0.0.1:3128\" { offer = {\"negotiate\", \"basic\"} }\n"
#define DIR    "backend \"dir\" { plugin = \"fake\" }\n"
#define ONE                                                         \
    LISTEN "auth { negotiate = {\"krb\"} basic = {\"dir\"} }\n" DIR \
           "backend \"krb\" { plugin = \"faketoken\" }\n"
#define GROUPS                                                      \
    LISTEN "auth { negotiate = {\"krb\"} basic = {\"dir\"} }\n" DIR \
           "backend \"krb\" { plugin = \"faketoken\" groups_from = \"dir\" }\n"
#define ALICE "user=alice principal=alice@CORP.TEST"

static const struct fake_user people[] = {
    {"alice", "secret", NULL, "staff"},
    {"eve", "old", "account disabled", "staff"},
    {NULL, NULL, NULL, NULL},
};

static struct rig rig;
static struct fake_world *dir, *krb, *krb2;

static void open_with(const char *config)
{
    fake_worlds_reset();
    dir = fake_world("dir");
    krb = fake_world("krb");
    krb2 = fake_world("krb2");
    dir->users = people;
    rig_open(&rig, config, NULL);
}

static void close_all(struct sp_auth_conn **conn)
{
    sp_auth_conn_free(conn);
    rig_close(&rig);
    assert_int_equal(krb->live_ops + krb2->live_ops + dir->live_ops, 0);
    assert_int_equal(krb->open + krb2->open + dir->open, 0);
    assert_int_equal(krb->started + krb2->started > 0, true);
}

static void one_leg_passes_and_pins_the_connection(void **state)
{
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(ONE);
    r = rig_ask(&rig, &conn, NULL);
    assert_int_equal(r.challenges_len, 2);
    assert_string_equal(r.challenges[0], "Negotiate");
    r = rig_ask(&rig, &conn, rig_negotiate(ALICE " final=bye"));
    assert_int_equal(r.state, SP_AUTH_PASSED);
    assert_int_equal(r.how, SP_HOW_DIRECTORY);
    assert_int_equal(r.scheme, SP_SCHEME_NEGOTIATE);
    assert_string_equal(r.user, "alice");
    assert_string_equal(r.mech, "krb5");
    assert_string_equal(r.final_token, "Negotiate Ynll");
    r = rig_ask(&rig, &conn, NULL);
    assert_true(r.at_once);
    assert_int_equal(r.state, SP_AUTH_PASSED);
    assert_int_equal(r.how, SP_HOW_CONNECTION);
    assert_string_equal(r.user, "alice");
    assert_string_equal(r.final_token, "");
    assert_int_equal(sp_stats_sum(SP_STAT_HANDSHAKES), 0);
    close_all(&conn);
}

static void several_legs_stay_on_their_connection(void **state)
{
    struct sp_auth_conn *conn = NULL, *other = NULL;
    struct rig_reply r;

    (void)state;
    open_with(ONE);
    r = rig_ask(&rig, &conn, rig_negotiate("legs=3 mech=ntlmssp " ALICE));
    assert_int_equal(r.state, SP_AUTH_CHALLENGE);
    assert_int_equal(r.reason, SP_REASON_HANDSHAKE);
    assert_int_equal(r.challenges_len, 1);
    assert_string_equal(r.challenges[0], "Negotiate bW9yZTI=");
    assert_int_equal(sp_stats_sum(SP_STAT_HANDSHAKES), 1);
    assert_true(sp_auth_conn_deadline_ms(conn) > 0);
    r = rig_ask(&rig, &other, rig_negotiate("verdict=deny")); /* its second leg, elsewhere */
    assert_int_equal(r.reason, SP_REASON_BAD_CREDENTIALS);
    r = rig_ask(&rig, &conn, rig_negotiate("anything"));
    assert_string_equal(r.challenges[0], "Negotiate bW9yZTE=");
    r = rig_ask(&rig, &conn, rig_negotiate("anything"));
    assert_int_equal(r.state, SP_AUTH_PASSED);
    assert_string_equal(r.mech, "ntlmssp");
    assert_string_equal(r.final_token, "");
    assert_int_equal(krb->started, 2);
    assert_int_equal(krb->stepped, 2);
    assert_int_equal(sp_auth_conn_deadline_ms(conn), 0);
    sp_auth_conn_free(&other);
    close_all(&conn);
}

static void no_credentials_in_a_handshake_end_it(void **state)
{
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(ONE);
    (void)rig_ask(&rig, &conn, rig_negotiate("legs=2 " ALICE));
    r = rig_ask(&rig, &conn, NULL);
    assert_int_equal(r.reason, SP_REASON_NO_CREDENTIALS);
    assert_int_equal(r.challenges_len, 2);
    assert_int_equal(sp_stats_sum(SP_STAT_HANDSHAKES), 0);
    (void)rig_ask(&rig, &conn, rig_negotiate("legs=2 " ALICE));
    r = rig_ask(&rig, &conn, rig_basic("alice", "secret")); /* and so does Basic */
    assert_int_equal(r.state, SP_AUTH_PASSED);
    assert_int_equal(r.scheme, SP_SCHEME_BASIC);
    assert_int_equal(sp_stats_sum(SP_STAT_HANDSHAKES), 0);
    close_all(&conn);
}

static void a_new_token_must_name_the_same_principal(void **state)
{
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(ONE);
    (void)rig_ask(&rig, &conn, rig_negotiate(ALICE));
    r = rig_ask(&rig, &conn, rig_negotiate(ALICE " final=x"));
    assert_int_equal(r.state, SP_AUTH_PASSED);
    assert_int_equal(r.how, SP_HOW_DIRECTORY);
    assert_int_equal(krb->started, 2);
    r = rig_ask(&rig, &conn, rig_negotiate("user=mallory principal=mallory@CORP.TEST"));
    assert_int_equal(r.state, SP_AUTH_CHALLENGE);
    assert_true(r.close);
    assert_string_equal(r.user, "mallory");
    assert_int_equal(rig_ask(&rig, &conn, NULL).state, SP_AUTH_CHALLENGE); /* and the pin is gone */
    close_all(&conn);
}

static void a_bad_token_on_a_pinned_connection_closes_it(void **state)
{
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(ONE);
    (void)rig_ask(&rig, &conn, rig_negotiate(ALICE));
    r = rig_ask(&rig, &conn, rig_negotiate("verdict=deny"));
    assert_int_equal(r.state, SP_AUTH_CHALLENGE);
    assert_true(r.close);
    close_all(&conn);
}

/* Of a realm that may not come in, or whose account is unusable: 403, and nobody's connection. */
static void a_forbidden_token_on_a_pinned_connection_ends_the_pin(void **state)
{
    static const char *const tokens[] = {"verdict=denied user=mallory principal=mallory@EVIL.TEST",
                                         "verdict=account user=eve principal=eve@CORP.TEST"};
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(ONE);
    for (size_t i = 0; i < 2; i++) {
        (void)rig_ask(&rig, &conn, rig_negotiate(ALICE));
        r = rig_ask(&rig, &conn, rig_negotiate(tokens[i]));
        assert_int_equal(r.state, SP_AUTH_REFUSED);
        assert_true(r.close);
        assert_int_equal(rig_ask(&rig, &conn, NULL).state, SP_AUTH_CHALLENGE);
    }
    close_all(&conn);
}

static void basic_on_a_pinned_connection_decides_and_ends_the_pin(void **state)
{
    struct sp_auth_conn *conn = NULL;

    (void)state;
    open_with(ONE);
    (void)rig_ask(&rig, &conn, rig_negotiate(ALICE));
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "bad")).state, SP_AUTH_CHALLENGE);
    assert_int_equal(rig_ask(&rig, &conn, NULL).state, SP_AUTH_CHALLENGE);
    close_all(&conn);
}

static void per_request_pins_nothing(void **state)
{
    struct sp_auth_conn *conn = NULL;

    (void)state;
    open_with(LISTEN "auth { negotiate = {\"krb\"} basic = {\"dir\"} }\n" DIR
                     "backend \"krb\" { plugin = \"faketoken\" persist = \"request\" }\n");
    assert_int_equal(rig_ask(&rig, &conn, rig_negotiate(ALICE)).state, SP_AUTH_PASSED);
    assert_int_equal(rig_ask(&rig, &conn, NULL).state, SP_AUTH_CHALLENGE);
    assert_int_equal(rig_ask(&rig, &conn, rig_negotiate(ALICE " final=x")).state, SP_AUTH_PASSED);
    assert_int_equal(rig_ask(&rig, &conn, NULL).state, SP_AUTH_CHALLENGE);
    close_all(&conn);
}

static void verdicts_become_their_statuses(void **state)
{
    static const struct {
        const char *token;
        enum sp_auth_state state;
        enum sp_reason reason;
    } rows[] = {
        {"verdict=deny", SP_AUTH_CHALLENGE, SP_REASON_BAD_CREDENTIALS},
        {"verdict=unknown", SP_AUTH_CHALLENGE, SP_REASON_BAD_CREDENTIALS},
        {"verdict=denied user=a principal=a@B", SP_AUTH_REFUSED, SP_REASON_DENIED},
        {"verdict=account user=a", SP_AUTH_REFUSED, SP_REASON_ACCOUNT},
        {"verdict=down", SP_AUTH_UNAVAILABLE, SP_REASON_DIRECTORY_UNAVAILABLE},
    };

    struct sp_auth_conn *none = NULL;

    (void)state;
    open_with(ONE);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sp_auth_conn *conn = NULL;
        struct rig_reply r = rig_ask(&rig, &conn, rig_negotiate(rows[i].token));

        assert_int_equal(r.state, rows[i].state);
        assert_int_equal(r.reason, rows[i].reason);
        assert_false(r.close);
        assert_int_equal(rig_ask(&rig, &conn, NULL).state, SP_AUTH_CHALLENGE);
        sp_auth_conn_free(&conn);
    }
    close_all(&none);
}

static void garbled_tokens_are_refused_and_long_ones_close(void **state)
{
    struct sp_auth_conn *conn = NULL;
    char *text = malloc(100000);
    struct rig_reply r;

    (void)state;
    assert_non_null(text);
    open_with(ONE);
    (void)rig_ask(&rig, &conn, rig_negotiate("legs=2 " ALICE));
    r = rig_ask(&rig, &conn, "Negotiate !!!");
    assert_int_equal(r.reason, SP_REASON_BAD_CREDENTIALS);
    assert_false(r.close);
    assert_int_equal(sp_stats_sum(SP_STAT_HANDSHAKES), 0);
    assert_int_equal(rig_ask(&rig, &conn, "Negotiate").reason, SP_REASON_BAD_CREDENTIALS);
    memset(text, 'A', 100000);
    memcpy(text, "Negotiate ", 10);
    text[10 + 87384] = '\0'; /* 65,538 bytes decoded */
    r = rig_ask(&rig, &conn, text);
    assert_int_equal(r.reason, SP_REASON_BAD_CREDENTIALS);
    assert_true(r.close);
    memcpy(text + 10 + 87384 - 2, "==", 3); /* 65,536 */
    r = rig_ask(&rig, &conn, text); /* the longest: the backend hears of it, and knows no user */
    assert_false(r.at_once);
    assert_int_equal(r.state, SP_AUTH_UNAVAILABLE);
    free(text);
    close_all(&conn);
}

static void a_token_that_is_not_for_the_first_backend_goes_to_the_next(void **state)
{
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(LISTEN "auth { negotiate = {\"krb\", \"krb2\"} basic = {\"dir\"} }\n" DIR
                     "backend \"krb\" { plugin = \"faketoken\" }\n"
                     "backend \"krb2\" { plugin = \"faketoken\" }\n");
    krb->down = true;
    r = rig_ask(&rig, &conn, rig_negotiate(ALICE));
    assert_int_equal(r.state, SP_AUTH_PASSED);
    assert_string_equal(r.backend, "krb2");
    sp_auth_conn_free(&conn);
    r = rig_ask(&rig, &conn, rig_negotiate("verdict=unknown"));
    assert_int_equal(r.state, SP_AUTH_UNAVAILABLE); /* one did not know, the other cannot say */
    krb->down = false;
    krb->start_err = SP_ERR_FULL;
    sp_auth_conn_free(&conn);
    r = rig_ask(&rig, &conn, rig_negotiate(ALICE));
    assert_string_equal(r.backend, "krb2");
    krb->start_err = SP_OK;
    sp_auth_conn_free(&conn);
    r = rig_ask(&rig, &conn, rig_negotiate("verdict=deny"));
    assert_string_equal(r.backend, "krb"); /* a "no" ends the search */
    close_all(&conn);
}

/* What each backend was told to have said, a line each: "krb: unknown user". */
static char verdicts[256];

static void note_verdict(struct sp_auth_tracer *tracer, const struct sp_auth_step *step)
{
    size_t used = strlen(verdicts);

    (void)tracer;
    if (strcmp(step->what, "verdict") == 0)
        (void)snprintf(verdicts + used, sizeof(verdicts) - used, "%s: %s\n", step->server,
                       step->outcome);
}

static void each_backends_verdict_is_told_once(void **state)
{
    struct sp_auth_tracer tracer = {note_verdict};
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(LISTEN "auth { negotiate = {\"krb\", \"krb2\"} basic = {\"dir\"} }\n" DIR
                     "backend \"krb\" { plugin = \"faketoken\" }\n"
                     "backend \"krb2\" { plugin = \"faketoken\" }\n");
    verdicts[0] = '\0';
    rig_begin(&rig, &(struct rig_from){.tracer = &tracer}, &conn, rig_negotiate("verdict=unknown"),
              &r);
    rig_turn_until(&rig, &r.answered);
    assert_int_equal(r.state, SP_AUTH_CHALLENGE);
    assert_string_equal(verdicts, "krb: as scripted\nkrb2: as scripted\n");
    krb2->start_err = SP_ERR_FULL; /* the next one cannot be asked: the first one's stands */
    verdicts[0] = '\0';
    rig_begin(&rig, &(struct rig_from){.tracer = &tracer}, &conn, rig_negotiate("verdict=unknown"),
              &r);
    rig_turn_until(&rig, &r.answered);
    assert_string_equal(verdicts, "krb: as scripted\n");
    close_all(&conn);
}

/* ---- deadlines, cancel, close ---- */

static void a_leg_that_takes_too_long_is_503(void **state)
{
    struct sp_auth_tracer tracer = {note_verdict};
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;
    uint64_t before;

    (void)state;
    open_with(LISTEN "auth { negotiate = {\"krb\"} basic = {\"dir\"} handshake_timeout = 1s }\n" DIR
                     "backend \"krb\" { plugin = \"faketoken\" }\n");
    krb->hold = true;
    before = sp_stats_auth_count(sp_stats_backend("krb"), SP_COUNT_UNAVAILABLE);
    verdicts[0] = '\0';
    rig_begin(&rig, &(struct rig_from){.tracer = &tracer}, &conn, rig_negotiate(ALICE), &r);
    rig_turn_until(&rig, &r.answered);
    assert_int_equal(r.state, SP_AUTH_UNAVAILABLE);
    assert_int_equal(r.reason, SP_REASON_DIRECTORY_UNAVAILABLE);
    assert_int_equal(krb->cancelled, 1);
    assert_string_equal(verdicts, "krb: the handshake took too long\n");
    assert_int_equal(sp_stats_auth_count(sp_stats_backend("krb"), SP_COUNT_UNAVAILABLE),
                     before + 1);
    assert_int_equal(sp_stats_sum(SP_STAT_HANDSHAKES), 0);
    krb->hold = false;
    assert_int_equal(rig_ask(&rig, &conn, rig_negotiate(ALICE)).state, SP_AUTH_PASSED);
    close_all(&conn);
}

static void a_client_that_owes_a_token_too_long_starts_afresh(void **state)
{
    struct sp_auth_conn *conn = NULL;

    (void)state;
    open_with(LISTEN "auth { negotiate = {\"krb\"} basic = {\"dir\"} handshake_timeout = 1s }\n" DIR
                     "backend \"krb\" { plugin = \"faketoken\" }\n");
    (void)rig_ask(&rig, &conn, rig_negotiate("legs=2 " ALICE));
    rig_turn_ms(&rig, 1100);
    assert_int_equal(sp_stats_sum(SP_STAT_HANDSHAKES), 0);
    assert_int_equal(krb->live_ops, 0);
    assert_int_equal(rig_ask(&rig, &conn, rig_negotiate("legs=2 " ALICE)).reason,
                     SP_REASON_HANDSHAKE);
    assert_int_equal(krb->started, 2);
    close_all(&conn);
}

static void cancel_in_flight_ends_the_handshake(void **state)
{
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(ONE);
    rig_begin(&rig, &(struct rig_from){0}, &conn, rig_negotiate(ALICE), &r);
    sp_auth_ask_cancel(&r.ask);
    rig_turn_until_count(&rig, &krb->cancelled, 1);
    assert_false(r.answered);
    assert_int_equal(sp_stats_sum(SP_STAT_HANDSHAKES), 0);
    close_all(&conn);
}

static void a_connection_freed_in_flight_frees_nothing_twice(void **state)
{
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(GROUPS);
    rig_begin(&rig, &(struct rig_from){0}, &conn, rig_negotiate(ALICE), &r);
    sp_auth_conn_free(&conn);
    rig_turn_ms(&rig, 5);
    sp_auth_ask_cancel(&r.ask);
    assert_false(r.answered);
    dir->hold = true;
    rig_begin(&rig, &(struct rig_from){0}, &conn, rig_negotiate(ALICE), &r);
    rig_turn_until_count(&rig, &dir->started, 1); /* waits for groups now */
    sp_auth_conn_free(&conn);
    sp_auth_ask_cancel(&r.ask);
    close_all(&conn);
}

static void a_connection_freed_between_legs_frees_its_handshake(void **state)
{
    struct sp_auth_conn *conn = NULL;

    (void)state;
    open_with(ONE);
    (void)rig_ask(&rig, &conn, rig_negotiate("legs=2 " ALICE));
    sp_auth_conn_free(&conn);
    assert_int_equal(sp_stats_sum(SP_STAT_HANDSHAKES), 0);
    close_all(&conn);
}

static void an_engine_that_closes_waits_for_its_handshakes(void **state)
{
    struct sp_auth_conn *conn = NULL;

    (void)state;
    open_with(ONE);
    (void)rig_ask(&rig, &conn, rig_negotiate("legs=2 " ALICE));
    sp_auth_engine_close(&rig.engines[0], NULL, NULL);
    rig_turn_ms(&rig, 5);
    assert_int_equal(krb->open, 2);
    sp_auth_conn_free(&conn);
    rig_turn_until_count(&rig, &krb->open, 1);
    rig.closed++;
    close_all(&conn);
}

/* ---- groups ---- */

static void groups_come_from_another_backend_and_are_kept(void **state)
{
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(GROUPS);
    r = rig_ask(&rig, &conn, rig_negotiate(ALICE " final=bye"));
    assert_int_equal(r.state, SP_AUTH_PASSED);
    assert_int_equal(r.groups_len, 1);
    assert_string_equal(r.group, "staff");
    assert_string_equal(r.backend, "krb");
    assert_string_equal(r.final_token, "Negotiate Ynll");
    sp_auth_conn_free(&conn);
    r = rig_ask(&rig, &conn, rig_negotiate(ALICE));
    assert_string_equal(r.group, "staff");
    assert_int_equal(dir->started, 1);
    assert_int_equal(krb->started, 2); /* the ticket itself is verified each time */
    sp_auth_shared_flush(&rig.shared, (struct sp_span){"alice", 5});
    sp_auth_conn_free(&conn);
    (void)rig_ask(&rig, &conn, rig_negotiate(ALICE));
    assert_int_equal(dir->started, 2);
    close_all(&conn);
}

static void somebody_unknown_there_has_no_groups(void **state)
{
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(GROUPS);
    r = rig_ask(&rig, &conn, rig_negotiate("user=guest principal=guest@CORP.TEST"));
    assert_int_equal(r.state, SP_AUTH_PASSED);
    assert_int_equal(r.groups_len, 0);
    r = rig_ask(&rig, &conn, rig_negotiate("user=eve principal=eve@CORP.TEST"));
    assert_true(r.close); /* another principal */
    sp_auth_conn_free(&conn);
    r = rig_ask(&rig, &conn, rig_negotiate("user=eve principal=eve@CORP.TEST final=f"));
    assert_int_equal(r.state, SP_AUTH_REFUSED);
    assert_int_equal(r.reason, SP_REASON_ACCOUNT);
    assert_string_equal(r.why, "account disabled");
    assert_string_equal(r.final_token, "Negotiate Zg==");
    assert_int_equal(rig_ask(&rig, &conn, NULL).state, SP_AUTH_CHALLENGE);
    close_all(&conn);
}

static void without_an_answer_about_groups_it_is_grace_or_503(void **state)
{
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(GROUPS "cache { ttl = 30ms refresh = 0 grace = 1h }\n");
    dir->down = true;
    r = rig_ask(&rig, &conn, rig_negotiate(ALICE " final=bye"));
    assert_int_equal(r.state, SP_AUTH_UNAVAILABLE);
    assert_string_equal(r.final_token, "Negotiate Ynll");
    assert_string_equal(r.mech, "krb5");
    dir->down = false;
    sp_auth_conn_free(&conn);
    (void)rig_ask(&rig, &conn, rig_negotiate(ALICE));
    rig_turn_ms(&rig, 40);
    dir->down = true;
    sp_auth_conn_free(&conn);
    r = rig_ask(&rig, &conn, rig_negotiate(ALICE));
    assert_int_equal(r.state, SP_AUTH_PASSED);
    assert_int_equal(r.how, SP_HOW_GRACE);
    assert_string_equal(r.group, "staff");
    assert_int_equal(rig_ask(&rig, &conn, NULL).how, SP_HOW_GRACE); /* asked again each time */
    dir->down = false;
    assert_int_equal(rig_ask(&rig, &conn, NULL).how, SP_HOW_CONNECTION);
    close_all(&conn);
}

static void equal_questions_about_groups_make_one_search(void **state)
{
    enum { N = 10 };
    struct sp_auth_conn *conns[N] = {NULL};
    struct rig_reply replies[N];

    (void)state;
    open_with(GROUPS);
    dir->hold = true;
    for (unsigned i = 0; i < N; i++)
        rig_begin(&rig, &(struct rig_from){.worker = i % 2}, &conns[i], rig_negotiate(ALICE),
                  &replies[i]);
    rig_turn_until_count(&rig, &dir->started, 1);
    sp_auth_ask_cancel(&replies[0].ask);
    dir->hold = false;
    for (unsigned i = 1; i < N; i++) {
        rig_turn_until(&rig, &replies[i].answered);
        assert_string_equal(replies[i].group, "staff");
    }
    assert_int_equal(dir->started, 1);
    for (unsigned i = 0; i < N; i++)
        sp_auth_conn_free(&conns[i]);
    close_all(&conns[0]);
}

static void kept_groups_are_renewed_in_the_background(void **state)
{
    struct sp_auth_conn *conn = NULL;

    (void)state;
    open_with(GROUPS "cache { ttl = 10s refresh = 1 }\n");
    (void)rig_ask(&rig, &conn, rig_negotiate(ALICE));
    rig_turn_ms(&rig, 110);
    (void)rig_ask(&rig, &conn, rig_negotiate(ALICE));
    (void)rig_ask(&rig, &conn, rig_negotiate(ALICE));
    rig_turn_until_count(&rig, &dir->started, 2);
    rig_turn_until_count(&rig, &dir->live_ops, 0);
    assert_int_equal(dir->started, 2);
    close_all(&conn);
}

/* Has a ttl passed that began no earlier? Then a slow machine is to blame, and nothing is said. */
static bool is_past(uint64_t since_ms, uint64_t ttl_ms)
{
    return sp_loop_now_ms(rig.loops[0]) - since_ms >= ttl_ms;
}

static void groups_of_a_pinned_identity_are_looked_up_again_after_ttl(void **state)
{
    static const struct fake_user moved[] = {{"alice", "secret", NULL, "sales"},
                                             {NULL, NULL, NULL, NULL}};
    static const struct fake_user disabled[] = {{"alice", "secret", "account disabled", NULL},
                                                {NULL, NULL, NULL, NULL}};
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;
    uint64_t since_ms;

    (void)state;
    open_with(GROUPS "cache { ttl = 50ms refresh = 0 }\n");
    since_ms = sp_loop_now_ms(rig.loops[0]);
    (void)rig_ask(&rig, &conn, rig_negotiate(ALICE));
    r = rig_ask(&rig, &conn, NULL);
    assert_true(r.at_once || is_past(since_ms, 50));
    assert_string_equal(r.group, "staff");
    dir->users = moved;
    rig_turn_ms(&rig, 60);
    since_ms = sp_loop_now_ms(rig.loops[0]);
    r = rig_ask(&rig, &conn, NULL);
    assert_int_equal(r.state, SP_AUTH_PASSED);
    assert_int_equal(r.how, SP_HOW_CONNECTION);
    assert_string_equal(r.group, "sales");
    r = rig_ask(&rig, &conn, NULL);
    assert_true(r.at_once || is_past(since_ms, 50));
    rig_turn_ms(&rig, 60);
    dir->down = true;
    assert_int_equal(rig_ask(&rig, &conn, NULL).state, SP_AUTH_UNAVAILABLE);
    dir->down = false; /* the identity itself is still proven */
    assert_int_equal(rig_ask(&rig, &conn, NULL).state, SP_AUTH_PASSED);
    rig_turn_ms(&rig, 60);
    dir->users = disabled;
    assert_int_equal(rig_ask(&rig, &conn, NULL).state, SP_AUTH_REFUSED);
    assert_int_equal(rig_ask(&rig, &conn, NULL).state, SP_AUTH_CHALLENGE);
    assert_int_equal(krb->started, 1);
    close_all(&conn);
}

static void groups_of_the_ticket_last_as_long_as_its_identity(void **state)
{
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(ONE "cache { ttl = 20ms refresh = 0 }\n");
    r = rig_ask(&rig, &conn, rig_negotiate(ALICE " group=S-1-5-21-1"));
    assert_string_equal(r.group, "S-1-5-21-1");
    rig_turn_ms(&rig, 30); /* past ttl, and nobody is asked */
    r = rig_ask(&rig, &conn, NULL);
    assert_true(r.at_once);
    assert_string_equal(r.group, "S-1-5-21-1");
    assert_int_equal(dir->started, 0);
    close_all(&conn);
}

static void groups_of_ticket_and_directory_are_joined_and_not_mixed(void **state)
{
    static const struct fake_user moved[] = {{"alice", "secret", NULL, "sales"},
                                             {NULL, NULL, NULL, NULL}};
    struct sp_auth_conn *conn = NULL, *other = NULL;
    uint64_t since_ms;

    (void)state;
    open_with(GROUPS "cache { ttl = 50ms refresh = 0 }\n");
    since_ms = sp_loop_now_ms(rig.loops[0]);
    assert_string_equal(rig_ask(&rig, &conn, rig_negotiate(ALICE " group=S-1-5-21-1")).group,
                        "staff,S-1-5-21-1");
    /* what is kept is the directory's part: another ticket brings its own, or none */
    assert_string_equal(rig_ask(&rig, &other, rig_negotiate(ALICE " group=S-1-5-21-2")).group,
                        "staff,S-1-5-21-2");
    assert_string_equal(rig_ask(&rig, &other, rig_negotiate(ALICE)).group, "staff");
    assert_true(dir->started == 1 || is_past(since_ms, 50));
    dir->users = moved;
    rig_turn_ms(&rig, 60);
    assert_string_equal(rig_ask(&rig, &conn, NULL).group, "sales,S-1-5-21-1");
    assert_string_equal(rig_ask(&rig, &other, NULL).group, "sales");
    sp_auth_conn_free(&other);
    assert_string_equal(
        rig_ask(&rig, &other, rig_negotiate("user=guest principal=g@X group=S-1-5-21-3")).group,
        "S-1-5-21-3"); /* unknown to the directory */
    sp_auth_conn_free(&other);
    close_all(&conn);
}

/* What proved it is asked otherwise now: the client brings another ticket. */
static void a_reload_ends_the_identities_of_what_changed(void **state)
{
    struct sp_auth_conn *conn = NULL, *other = NULL;

    (void)state;
    open_with(GROUPS);
    (void)rig_ask(&rig, &conn, rig_negotiate(ALICE));
    (void)rig_ask(&rig, &other, rig_negotiate(ALICE));
    rig_reload(&rig, GROUPS "cache { ttl = 6m }\n");
    assert_int_equal(rig_ask(&rig, &conn, NULL).how, SP_HOW_CONNECTION);
    rig_reload(&rig, LISTEN "auth { negotiate = {\"krb\"} basic = {\"dir\"} }\n" DIR
                            "backend \"krb\" { plugin = \"faketoken\" }\n"); /* no groups */
    assert_int_equal(rig_ask(&rig, &conn, NULL).state, SP_AUTH_CHALLENGE);
    assert_int_equal(rig_ask(&rig, &conn, rig_negotiate(ALICE)).state, SP_AUTH_PASSED);
    assert_int_equal(rig_ask(&rig, &conn, NULL).groups_len, 0);
    /* nothing binds the new ticket to what the old one said */
    assert_int_equal(rig_ask(&rig, &other, rig_negotiate("user=a@X principal=alice@X")).state,
                     SP_AUTH_PASSED);
    sp_auth_conn_free(&other);
    close_all(&conn);
}

static void an_identity_ends_where_its_scheme_is_offered_no_more(void **state)
{
    struct sp_auth_conn *conn = NULL;

    (void)state;
    open_with(ONE);
    (void)rig_ask(&rig, &conn, rig_negotiate(ALICE));
    rig_reload(&rig, "listen \"127.0.0.1:3128\" { offer = {\"basic\"} }\n"
                     "auth { negotiate = {\"krb\"} basic = {\"dir\"} }\n" DIR
                     "backend \"krb\" { plugin = \"faketoken\" }\n");
    assert_int_equal(rig_ask(&rig, &conn, NULL).state, SP_AUTH_CHALLENGE);
    close_all(&conn);
}

static void a_reload_of_who_knows_groups_looks_them_up_again(void **state)
{
    static const struct fake_user moved[] = {{"alice", "secret", NULL, "sales"},
                                             {NULL, NULL, NULL, NULL}};
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(GROUPS);
    assert_string_equal(rig_ask(&rig, &conn, rig_negotiate(ALICE)).group, "staff");
    dir->users = moved;
    rig_reload(&rig, GROUPS "cache { ttl = 6m }\n");
    assert_string_equal(rig_ask(&rig, &conn, NULL).group, "staff");
    rig_reload(&rig, LISTEN "auth { negotiate = {\"krb\"} basic = {\"dir\"} }\n"
                            "backend \"dir\" { plugin = \"fake\" persist = \"request\" }\n"
                            "backend \"krb\" { plugin = \"faketoken\" groups_from = \"dir\" }\n");
    dir->down = true;
    assert_int_equal(rig_ask(&rig, &conn, NULL).state, SP_AUTH_UNAVAILABLE);
    dir->down = false;
    r = rig_ask(&rig, &conn, NULL);
    assert_int_equal(r.how, SP_HOW_CONNECTION);
    assert_string_equal(r.group, "sales");
    assert_true(rig_ask(&rig, &conn, NULL).at_once);
    assert_int_equal(krb->started, 1);
    close_all(&conn);
}

/* A ticket is judged while `held` is asked, whose file (the configuration has its path between
 * `before` and `after`) changes and is taken up meanwhile. */
static void prove_while_a_file_changes(struct fake_world *held, const char *before,
                                       const char *after, struct sp_auth_conn **conn)
{
    char path[] = "/tmp/people-XXXXXX", text[512];
    struct rig_reply r;
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    (void)snprintf(text, sizeof(text), "%s%s%s", before, path, after);
    open_with(text);
    held->hold = true;
    rig_begin(&rig, &(struct rig_from){0}, conn, rig_negotiate(ALICE), &r);
    rig_turn_until_count(&rig, &held->started, 1);
    assert_int_equal(write(fd, "x", 1), 1);
    sp_auth_plan_poll(rig.plan);
    held->hold = false;
    rig_turn_until(&rig, &r.answered);
    assert_int_equal(r.state, SP_AUTH_PASSED);
    (void)close(fd);
    (void)unlink(path);
}

/* What the directory's file said when they were asked for is not what it says when they come. */
static void groups_on_their_way_while_a_file_is_taken_up_are_looked_up_again(void **state)
{
    struct sp_auth_conn *conn = NULL;

    (void)state;
    prove_while_a_file_changes(dir,
                               LISTEN
                               "auth { negotiate = {\"krb\"} basic = {\"dir\"} }\n"
                               "backend \"krb\" { plugin = \"faketoken\" groups_from = \"dir\" }\n"
                               "backend \"dir\" { plugin = \"fake\" path = \"",
                               "\" }\n", &conn);
    assert_int_equal(rig_ask(&rig, &conn, NULL).how, SP_HOW_CONNECTION);
    assert_int_equal(dir->started, 2);
    assert_true(rig_ask(&rig, &conn, NULL).at_once);
    close_all(&conn);
}

/* A backend that verifies passwords with a file, too: what it said of a ticket before the file was
 * taken up serves no longer than what it said of a password. */
static void a_proof_on_its_way_while_a_file_is_taken_up_is_not_pinned_for_long(void **state)
{
    struct sp_auth_conn *conn = NULL;

    (void)state;
    prove_while_a_file_changes(
        krb,
        LISTEN "auth { negotiate = {\"krb\"} basic = {\"krb\"} }\n" DIR
               "backend \"krb\" { plugin = \"fakeboth\" groups_from = \"dir\" path = \"",
        "\" }\n", &conn);
    assert_int_equal(rig_ask(&rig, &conn, NULL).state, SP_AUTH_CHALLENGE);
    assert_int_equal(rig_ask(&rig, &conn, rig_negotiate(ALICE)).state, SP_AUTH_PASSED);
    assert_int_equal(rig_ask(&rig, &conn, NULL).how, SP_HOW_CONNECTION);
    close_all(&conn);
}

static void guard_does_not_touch_negotiate(void **state)
{
    struct sp_auth_conn *conn = NULL;

    (void)state;
    open_with(GROUPS "guard { user_failures = 1 client_failures = 1 }\n");
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "bad")).state, SP_AUTH_CHALLENGE);
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "secret")).state, SP_AUTH_BLOCKED);
    assert_int_equal(rig_ask(&rig, &conn, rig_negotiate(ALICE)).state, SP_AUTH_PASSED);
    close_all(&conn);
}

static void handshake_legs_do_not_count_as_refusals(void **state)
{
    struct sp_auth_conn *conn = NULL;

    (void)state;
    open_with(LISTEN "auth { negotiate = {\"krb\"} basic = {\"dir\"} max_challenges = 2 }\n" DIR
                     "backend \"krb\" { plugin = \"faketoken\" }\n");
    (void)rig_ask(&rig, &conn, rig_negotiate("legs=9 verdict=deny"));
    for (int i = 0; i < 7; i++)
        assert_int_equal(rig_ask(&rig, &conn, rig_negotiate("x")).reason, SP_REASON_HANDSHAKE);
    assert_int_equal(rig_ask(&rig, &conn, rig_negotiate("x")).state, SP_AUTH_CHALLENGE);
    assert_int_equal(rig_ask(&rig, &conn, rig_negotiate("verdict=deny")).state, SP_AUTH_CHALLENGE);
    assert_int_equal(rig_ask(&rig, &conn, rig_negotiate("verdict=deny")).reason, SP_REASON_LOOP);
    close_all(&conn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_leg_passes_and_pins_the_connection),
        cmocka_unit_test(several_legs_stay_on_their_connection),
        cmocka_unit_test(no_credentials_in_a_handshake_end_it),
        cmocka_unit_test(a_new_token_must_name_the_same_principal),
        cmocka_unit_test(a_bad_token_on_a_pinned_connection_closes_it),
        cmocka_unit_test(a_forbidden_token_on_a_pinned_connection_ends_the_pin),
        cmocka_unit_test(basic_on_a_pinned_connection_decides_and_ends_the_pin),
        cmocka_unit_test(per_request_pins_nothing),
        cmocka_unit_test(verdicts_become_their_statuses),
        cmocka_unit_test(garbled_tokens_are_refused_and_long_ones_close),
        cmocka_unit_test(a_token_that_is_not_for_the_first_backend_goes_to_the_next),
        cmocka_unit_test(each_backends_verdict_is_told_once),
        cmocka_unit_test(a_leg_that_takes_too_long_is_503),
        cmocka_unit_test(a_client_that_owes_a_token_too_long_starts_afresh),
        cmocka_unit_test(cancel_in_flight_ends_the_handshake),
        cmocka_unit_test(a_connection_freed_in_flight_frees_nothing_twice),
        cmocka_unit_test(a_connection_freed_between_legs_frees_its_handshake),
        cmocka_unit_test(an_engine_that_closes_waits_for_its_handshakes),
        cmocka_unit_test(groups_come_from_another_backend_and_are_kept),
        cmocka_unit_test(somebody_unknown_there_has_no_groups),
        cmocka_unit_test(without_an_answer_about_groups_it_is_grace_or_503),
        cmocka_unit_test(equal_questions_about_groups_make_one_search),
        cmocka_unit_test(kept_groups_are_renewed_in_the_background),
        cmocka_unit_test(groups_of_a_pinned_identity_are_looked_up_again_after_ttl),
        cmocka_unit_test(groups_of_the_ticket_last_as_long_as_its_identity),
        cmocka_unit_test(groups_of_ticket_and_directory_are_joined_and_not_mixed),
        cmocka_unit_test(a_reload_ends_the_identities_of_what_changed),
        cmocka_unit_test(an_identity_ends_where_its_scheme_is_offered_no_more),
        cmocka_unit_test(a_reload_of_who_knows_groups_looks_them_up_again),
        cmocka_unit_test(groups_on_their_way_while_a_file_is_taken_up_are_looked_up_again),
        cmocka_unit_test(a_proof_on_its_way_while_a_file_is_taken_up_is_not_pinned_for_long),
        cmocka_unit_test(guard_does_not_touch_negotiate),
        cmocka_unit_test(handshake_legs_do_not_count_as_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
