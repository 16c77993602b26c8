/* Basic through the whole engine: fake backends, real loops, cache, flights and guard. */
#include "support/auth_rig.h"
#include "util/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LISTEN "listen \"127.0.0.1:3128\" { offer = {\"basic\"} }\n"
#define ONE    LISTEN "auth { basic = {\"dir\"} }\nbackend \"dir\" { plugin = \"fake\" }\n"
#define TWO                                          \
    LISTEN "auth { basic = {\"dir\", \"local\"} }\n" \
           "backend \"dir\" { plugin = \"fake\" }\nbackend \"local\" { plugin = \"fake\" }\n"
#define NO_GUARD "guard { user_failures = 0 client_failures = 0 }\n"

static const struct fake_user people[] = {
    {"alice", "secret", NULL, "staff"},
    {"bob", "hunter2", NULL, NULL},
    {"eve", "old", "password expired", NULL},
    {NULL, NULL, NULL, NULL},
};
static const struct fake_user locals[] = {
    {"printer", "paper", NULL, NULL},
    {NULL, NULL, NULL, NULL},
};

static struct rig rig;
static struct fake_world *dir, *local;

static void open_with(const char *config)
{
    fake_worlds_reset();
    dir = fake_world("dir");
    local = fake_world("local");
    dir->users = people;
    dir->domain = "CORP";
    local->users = locals;
    rig_open(&rig, config, NULL);
}

static void close_all(struct sp_auth_conn **conn)
{
    sp_auth_conn_free(conn);
    rig_close(&rig);
    assert_int_equal(dir->live_ops, 0);
    assert_int_equal(dir->open + local->open, 0);
}

/* Turns until `dir` was asked so often in all, and has answered. */
static void until_answered(unsigned times)
{
    rig_turn_until_count(&rig, &dir->started, times);
    rig_turn_until_count(&rig, &dir->live_ops, 0);
}

static void no_credentials_are_challenged_with_realm_and_charset(void **state)
{
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(LISTEN "auth { realm = \"a \\\"b\\\"\" basic = {\"dir\"} }\n"
                     "backend \"dir\" { plugin = \"fake\" }\n");
    r = rig_ask(&rig, &conn, NULL);
    assert_true(r.at_once);
    assert_int_equal(r.state, SP_AUTH_CHALLENGE);
    assert_int_equal(r.reason, SP_REASON_NO_CREDENTIALS);
    assert_int_equal(r.challenges_len, 1);
    assert_string_equal(r.challenges[0], "Basic realm=\"a \\\"b\\\"\", charset=\"UTF-8\"");
    assert_null(conn);
    close_all(&conn);
}

static void a_right_password_passes_and_the_second_time_from_the_cache(void **state)
{
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(ONE);
    r = rig_ask(&rig, &conn, rig_basic("CORP\\Alice", "secret"));
    assert_false(r.at_once);
    assert_int_equal(r.state, SP_AUTH_PASSED);
    assert_int_equal(r.how, SP_HOW_DIRECTORY);
    assert_string_equal(r.user, "alice");
    assert_string_equal(r.group, "staff");
    assert_string_equal(r.backend, "dir");
    r = rig_ask(&rig, &conn, rig_basic("alice", "secret"));
    assert_true(r.at_once);
    assert_int_equal(r.state, SP_AUTH_PASSED);
    assert_int_equal(r.how, SP_HOW_CACHE);
    assert_string_equal(r.user, "alice");
    assert_int_equal(dir->started, 1);
    assert_int_equal(sp_stats_sum(SP_STAT_CACHE_HIT), 1);
    assert_int_equal(sp_stats_sum(SP_STAT_CACHE_MISS), 1);
    assert_null(conn); /* a happy connection carries nothing */
    close_all(&conn);
}

static void the_scheme_is_read_without_case(void **state)
{
    struct sp_auth_conn *conn = NULL;
    char header[64] = "bAsIc ";

    (void)state;
    open_with(ONE);
    strcat(header, rig_basic("alice", "secret") + 6);
    assert_int_equal(rig_ask(&rig, &conn, header).state, SP_AUTH_PASSED);
    close_all(&conn);
}

static void one_wrong_password_costs_one_bind(void **state)
{
    struct sp_auth_conn *conn = NULL;

    (void)state;
    open_with(ONE);
    for (int i = 0; i < 4; i++) {
        struct rig_reply r = rig_ask(&rig, &conn, rig_basic("alice", "wrong"));

        assert_int_equal(r.state, SP_AUTH_CHALLENGE);
        assert_int_equal(r.reason, SP_REASON_BAD_CREDENTIALS);
        assert_string_equal(r.user, "alice");
        assert_int_equal(r.at_once, i > 0);
        assert_false(r.close);
    }
    assert_int_equal(dir->started, 1);
    assert_int_equal(sp_stats_sum(SP_STAT_CACHE_NEGATIVE_HIT), 3);
    close_all(&conn);
}

static void garbled_credentials_reach_no_backend(void **state)
{
    static const char *const bad[] = {
        "Basic",           "Basic ", "Basic !!!!", "Basic YWxpY2U", "Basic YWxpY2U=", /* no colon */
        "Basic YTo=",     /* empty password */
        "Basic OnB3",     /* empty user */
        "Basic YTpiAA==", /* NUL */
        "Basic YQo6Yg==", /* line feed */
        "Basic YTpi YTpi",
    };
    struct sp_auth_conn *conn = NULL;

    (void)state;
    open_with(ONE "");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct rig_reply r = rig_ask(&rig, &conn, bad[i]);

        assert_true(r.at_once);
        assert_int_equal(r.state, SP_AUTH_CHALLENGE);
        assert_int_equal(r.reason, SP_REASON_BAD_CREDENTIALS);
        sp_auth_conn_free(&conn);
    }
    assert_int_equal(dir->started, 0);
    close_all(&conn);
}

static void names_and_passwords_over_the_limit_reach_no_backend(void **state)
{
    char user[258], password[1026];
    struct sp_auth_conn *conn = NULL;

    (void)state;
    open_with(ONE);
    memset(user, 'u', sizeof(user) - 1);
    user[sizeof(user) - 1] = '\0';
    memset(password, 'p', sizeof(password) - 1);
    password[sizeof(password) - 1] = '\0';
    assert_int_equal(rig_ask(&rig, &conn, rig_basic(user, "x")).state, SP_AUTH_CHALLENGE);
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", password)).state, SP_AUTH_CHALLENGE);
    assert_int_equal(dir->started, 0);
    user[256] = '\0';
    password[1024] = '\0';
    assert_int_equal(rig_ask(&rig, &conn, rig_basic(user, password)).state, SP_AUTH_CHALLENGE);
    assert_int_equal(dir->started, 1); /* at the limit it does */
    close_all(&conn);
}

static void latin1_is_read_as_utf8_once(void **state)
{
    struct sp_auth_conn *conn = NULL;

    (void)state;
    open_with(ONE);
    (void)rig_ask(&rig, &conn, rig_basic("j\xf6rg", "x"));
    assert_string_equal(dir->last_user, "j\xc3\xb6rg");
    (void)rig_ask(&rig, &conn, rig_basic("m\xc3\xb6rg", "x"));
    assert_string_equal(dir->last_user, "m\xc3\xb6rg");
    close_all(&conn);
}

static void other_schemes_get_the_challenges_and_reach_no_backend(void **state)
{
    static const char *const other[] = {"Digest username=\"a\"", "Bearer abc", "NTLM TlRMTVNTUAAB",
                                        "Negotiate YWJj"};
    struct sp_auth_conn *conn = NULL;

    (void)state;
    open_with(ONE);
    for (size_t i = 0; i < 4; i++) {
        struct rig_reply r = rig_ask(&rig, &conn, other[i]);

        assert_int_equal(r.state, SP_AUTH_CHALLENGE);
        assert_int_equal(r.challenges_len, 1);
    }
    close_all(&conn);
}

static void an_unusable_account_is_refused_with_its_reason(void **state)
{
    struct sp_auth_conn *conn = NULL;

    (void)state;
    open_with(ONE);
    for (int i = 0; i < 5; i++) {
        struct rig_reply r = rig_ask(&rig, &conn, rig_basic("eve", "old"));

        assert_int_equal(r.state, SP_AUTH_REFUSED);
        assert_int_equal(r.reason, SP_REASON_ACCOUNT);
        assert_string_equal(r.why, "password expired");
        assert_string_equal(r.user, "eve");
    }
    assert_int_equal(dir->started, 1);
    close_all(&conn);
}

static void a_silent_directory_is_503_and_nothing_is_kept(void **state)
{
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(ONE);
    dir->down = true;
    r = rig_ask(&rig, &conn, rig_basic("alice", "secret"));
    assert_int_equal(r.state, SP_AUTH_UNAVAILABLE);
    assert_int_equal(r.reason, SP_REASON_DIRECTORY_UNAVAILABLE);
    assert_string_equal(r.why, "the fake is down"); /* the backend's own words */
    assert_true(r.retry_after_s > 0);
    dir->down = false;
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "secret")).state, SP_AUTH_PASSED);
    close_all(&conn);
}

static void a_backend_without_room_is_503_overloaded_at_once(void **state)
{
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(ONE);
    dir->start_err = SP_ERR_FULL;
    r = rig_ask(&rig, &conn, rig_basic("alice", "secret"));
    assert_true(r.at_once);
    assert_int_equal(r.state, SP_AUTH_UNAVAILABLE);
    assert_int_equal(r.reason, SP_REASON_OVERLOADED);
    dir->start_err = SP_OK;
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "secret")).state, SP_AUTH_PASSED);
    close_all(&conn);
}

/* ---- chains ---- */

static void an_unknown_user_passes_to_the_next_backend(void **state)
{
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(TWO);
    r = rig_ask(&rig, &conn, rig_basic("printer", "paper"));
    assert_int_equal(r.state, SP_AUTH_PASSED);
    assert_string_equal(r.backend, "local");
    assert_int_equal(dir->started, 1);
    assert_int_equal(local->started, 1);
    r = rig_ask(&rig, &conn, rig_basic("printer", "paper"));
    assert_true(r.at_once); /* past the kept "unknown" to the kept "yes" */
    assert_int_equal(r.how, SP_HOW_CACHE);
    assert_int_equal(dir->started + local->started, 2);
    close_all(&conn);
}

static void a_wrong_password_ends_the_search(void **state)
{
    struct sp_auth_conn *conn = NULL;

    (void)state;
    open_with(TWO);
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("bob", "paper")).state, SP_AUTH_CHALLENGE);
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("eve", "old")).state, SP_AUTH_REFUSED);
    assert_int_equal(local->started, 0);
    close_all(&conn);
}

static void a_silent_backend_is_skipped_and_unknown_elsewhere_is_503(void **state)
{
    struct sp_auth_conn *conn = NULL;

    (void)state;
    open_with(TWO);
    dir->down = true;
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("printer", "paper")).state, SP_AUTH_PASSED);
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "secret")).state, SP_AUTH_UNAVAILABLE);
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("printer", "bad")).state, SP_AUTH_CHALLENGE);
    close_all(&conn);
}

static void unknown_everywhere_is_407(void **state)
{
    struct sp_auth_conn *conn = NULL;

    (void)state;
    open_with(TWO);
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("nobody", "x")).state, SP_AUTH_CHALLENGE);
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("OTHER\\nobody", "x")).state,
                     SP_AUTH_CHALLENGE);
    assert_int_equal(dir->started, 1); /* not for a domain that is not its own */
    close_all(&conn);
}

static void of_a_name_that_no_backend_can_know_nothing_is_kept(void **state)
{
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(ONE);
    for (int i = 0; i < 2; i++) {
        r = rig_ask(&rig, &conn, rig_basic("OTHER\\alice", "secret"));
        assert_int_equal(r.state, SP_AUTH_CHALLENGE);
        assert_int_equal(r.how, SP_HOW_NONE);
    }
    assert_int_equal(dir->started, 0);
    assert_int_equal(sp_stats_sum(SP_STAT_CACHE_NEGATIVE_HIT), 0);
    (void)rig_ask(&rig, &conn, rig_basic("nobody", "x"));
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("nobody", "x")).how, SP_HOW_CACHE);
    assert_int_equal(sp_stats_sum(SP_STAT_CACHE_NEGATIVE_HIT), 1);
    close_all(&conn);
}

static bool recall(const char *authorization, struct sp_auth_answer *answer)
{
    struct sp_addr client = {.port = 1};
    const struct sp_auth_question q = {.authorization = sp_span_cstr(authorization),
                                       .client = &client};

    return sp_auth_engine_recall(rig.engines[0], NULL, &q, answer);
}

static void whom_a_good_verdict_names_is_recalled_without_a_trace(void **state)
{
    struct sp_auth_conn *conn = NULL;
    struct sp_auth_answer known;

    (void)state;
    open_with(TWO);
    assert_false(recall(NULL, &known));
    assert_false(recall(rig_basic("printer", "paper"), &known));
    (void)rig_ask(&rig, &conn, rig_basic("printer", "paper"));
    (void)rig_ask(&rig, &conn, rig_basic("printer", "bad"));
    assert_true(recall(rig_basic("printer", "paper"), &known)); /* of the second in the chain */
    assert_int_equal(known.how, SP_HOW_CACHE);
    assert_int_equal(known.scheme, SP_SCHEME_BASIC);
    assert_true(sp_span_eq(known.user, SP_SPAN_LIT("printer")));
    assert_true(sp_span_eq(known.backend, SP_SPAN_LIT("local")));
    sp_identity_unref(&known.identity);
    assert_false(recall(rig_basic("printer", "bad"), &known));
    assert_false(recall("Basic ???", &known));
    assert_int_equal(sp_stats_sum(SP_STAT_CACHE_HIT), 0);
    assert_int_equal(sp_stats_sum(SP_STAT_CACHE_NEGATIVE_HIT), 0);
    sp_auth_shared_flush(&rig.shared, SP_SPAN_LIT("printer"));
    assert_false(recall(rig_basic("printer", "paper"), &known));
    close_all(&conn);
}

/* ---- time ---- */

static void past_refresh_a_verdict_is_renewed_in_the_background(void **state)
{
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;
    uint64_t before_ms;

    (void)state;
    open_with(ONE "cache { ttl = 20s refresh = 1 }\n");
    (void)rig_ask(&rig, &conn, rig_basic("alice", "secret"));
    rig_turn_ms(&rig, 220);
    before_ms = sp_loop_now_ms(rig.loops[0]);
    r = rig_ask(&rig, &conn, rig_basic("alice", "secret"));
    assert_true(r.at_once);
    assert_int_equal(r.how, SP_HOW_CACHE);
    assert_true(r.age_ms >= 200);
    (void)rig_ask(&rig, &conn, rig_basic("alice", "secret"));
    until_answered(2);
    assert_int_equal(dir->started, 2); /* one renewal, not one a request */
    r = rig_ask(&rig, &conn, rig_basic("alice", "secret"));
    assert_true(r.at_once);
    assert_true(r.age_ms <= sp_loop_now_ms(rig.loops[0]) - before_ms); /* the new verdict's */
    close_all(&conn);
}

static void a_renewal_that_is_refused_ends_the_entry(void **state)
{
    struct sp_auth_conn *conn = NULL;

    (void)state;
    open_with(ONE "cache { ttl = 10s refresh = 1 }\n");
    (void)rig_ask(&rig, &conn, rig_basic("alice", "secret"));
    dir->changed_password = "new";
    rig_turn_ms(&rig, 120);
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "secret")).state, SP_AUTH_PASSED);
    until_answered(2);
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "secret")).state, SP_AUTH_CHALLENGE);
    assert_int_equal(dir->started, 2);
    close_all(&conn);
}

static void grace_serves_only_while_no_directory_answers(void **state)
{
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(ONE "cache { ttl = 50ms refresh = 0 grace = 1h }\n");
    (void)rig_ask(&rig, &conn, rig_basic("alice", "secret"));
    rig_turn_ms(&rig, 60);
    dir->down = true;
    r = rig_ask(&rig, &conn, rig_basic("alice", "secret"));
    assert_int_equal(r.state, SP_AUTH_PASSED);
    assert_int_equal(r.how, SP_HOW_GRACE);
    assert_string_equal(r.user, "alice");
    assert_int_equal(sp_stats_sum(SP_STAT_CACHE_GRACE), 1);
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "other")).state, SP_AUTH_UNAVAILABLE);
    dir->down = false;
    dir->changed_password = "new";
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "secret")).state, SP_AUTH_CHALLENGE);
    dir->down = true; /* the directory has said no: grace is over */
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "secret")).state, SP_AUTH_CHALLENGE);
    close_all(&conn);
}

static void another_password_that_is_right_ends_the_older_one(void **state)
{
    struct sp_auth_conn *conn = NULL;

    (void)state;
    open_with(ONE);
    (void)rig_ask(&rig, &conn, rig_basic("alice", "secret"));
    dir->changed_password = "new";
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "new")).state, SP_AUTH_PASSED);
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "secret")).state, SP_AUTH_CHALLENGE);
    close_all(&conn);
}

static void flush_forgets_the_user_without_case(void **state)
{
    struct sp_auth_conn *conn = NULL;

    (void)state;
    open_with(ONE);
    (void)rig_ask(&rig, &conn, rig_basic("alice", "secret"));
    (void)rig_ask(&rig, &conn, rig_basic("bob", "hunter2"));
    sp_auth_shared_flush(&rig.shared, (struct sp_span){"ALICE", 5});
    assert_false(rig_ask(&rig, &conn, rig_basic("alice", "secret")).at_once);
    assert_true(rig_ask(&rig, &conn, rig_basic("bob", "hunter2")).at_once);
    sp_auth_shared_flush(&rig.shared, (struct sp_span){NULL, 0});
    assert_false(rig_ask(&rig, &conn, rig_basic("bob", "hunter2")).at_once);
    close_all(&conn);
}

/* Whoever has a user forgotten has just changed what is true of her. */
static void what_was_asked_before_a_flush_is_not_kept_after_it(void **state)
{
    struct sp_auth_conn *conns[2] = {NULL, NULL};
    struct rig_reply before, after;

    (void)state;
    open_with(ONE);
    dir->hold = true;
    rig_begin(&rig, &(struct rig_from){0}, &conns[0], rig_basic("alice", "secret"), &before);
    rig_turn_until_count(&rig, &dir->started, 1);
    sp_auth_shared_flush(&rig.shared, SP_SPAN_LIT("alice"));
    rig_begin(&rig, &(struct rig_from){0}, &conns[1], rig_basic("alice", "secret"), &after);
    rig_turn_until_count(&rig, &dir->started, 2); /* not the answer of before */
    sp_auth_ask_cancel(&after.ask);
    sp_auth_shared_flush(&rig.shared, SP_SPAN_LIT("alice"));
    dir->hold = false;
    rig_turn_until(&rig, &before.answered);
    assert_int_equal(before.state, SP_AUTH_PASSED);
    rig_turn_until_count(&rig, &dir->live_ops, 0);
    assert_false(rig_ask(&rig, &conns[1], rig_basic("alice", "secret")).at_once);
    assert_true(rig_ask(&rig, &conns[1], rig_basic("alice", "secret")).at_once);
    sp_auth_conn_free(&conns[0]);
    close_all(&conns[1]);
}

/* ---- flights ---- */

static void equal_questions_on_two_workers_make_one_bind(void **state)
{
    enum { N = 40 };
    struct sp_auth_conn *conns[N] = {NULL};
    struct rig_reply replies[N];

    (void)state;
    open_with(ONE);
    dir->hold = true;
    for (unsigned i = 0; i < N; i++)
        rig_begin(&rig, &(struct rig_from){.worker = i % 2}, &conns[i],
                  rig_basic("alice", "secret"), &replies[i]);
    rig_turn_ms(&rig, 5);
    dir->hold = false;
    for (unsigned i = 0; i < N; i++) {
        rig_turn_until(&rig, &replies[i].answered);
        assert_int_equal(replies[i].calls, 1);
        assert_int_equal(replies[i].state, SP_AUTH_PASSED);
        assert_string_equal(replies[i].user, "alice");
    }
    assert_int_equal(dir->started, 1);
    assert_int_equal(sp_stats_sum(SP_STAT_CACHE_COALESCED), N - 1);
    close_all(&conns[0]);
}

static void the_others_get_theirs_when_the_first_asker_leaves(void **state)
{
    struct sp_auth_conn *conns[3] = {NULL};
    struct rig_reply replies[3];

    (void)state;
    open_with(ONE);
    dir->hold = true;
    for (unsigned i = 0; i < 3; i++)
        rig_begin(&rig, &(struct rig_from){.worker = i % 2}, &conns[i],
                  rig_basic("alice", "secret"), &replies[i]);
    sp_auth_ask_cancel(&replies[0].ask);
    dir->hold = false;
    rig_turn_until(&rig, &replies[1].answered);
    rig_turn_until(&rig, &replies[2].answered);
    assert_false(replies[0].answered);
    assert_int_equal(dir->started, 1);
    assert_int_equal(dir->cancelled, 0);
    close_all(&conns[0]);
}

static void a_flight_with_nobody_left_still_fills_the_cache(void **state)
{
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(ONE);
    rig_begin(&rig, &(struct rig_from){0}, &conn, rig_basic("alice", "secret"), &r);
    sp_auth_ask_cancel(&r.ask);
    until_answered(1);
    assert_false(r.answered);
    assert_true(rig_ask(&rig, &conn, rig_basic("alice", "secret")).at_once);
    close_all(&conn);
}

static void cancel_while_the_letter_is_on_its_way_is_safe(void **state)
{
    struct sp_auth_conn *conns[2] = {NULL};
    struct rig_reply replies[2];

    (void)state;
    open_with(ONE);
    for (unsigned i = 0; i < 2; i++)
        rig_begin(&rig, &(struct rig_from){.worker = i}, &conns[i], rig_basic("alice", "secret"),
                  &replies[i]);
    while (!replies[0].answered) /* only the leader's loop: the other's letter lies in its box */
        sp_loop_turn(rig.loops[0], false);
    sp_auth_ask_cancel(&replies[1].ask);
    rig_turn_ms(&rig, 10);
    assert_false(replies[1].answered);
    close_all(&conns[0]);
}

static void an_engine_that_closes_ends_what_nobody_waits_for(void **state)
{
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(ONE);
    dir->hold = true;
    rig_begin(&rig, &(struct rig_from){0}, &conn, rig_basic("alice", "secret"), &r);
    sp_auth_ask_cancel(&r.ask);
    close_all(&conn); /* would hang if it waited for the answer */
    assert_int_equal(dir->cancelled, 1);
}

static void an_engine_that_closes_lets_others_have_their_answer(void **state)
{
    struct sp_auth_conn *conns[2] = {NULL};
    struct rig_reply replies[2];

    (void)state;
    open_with(ONE);
    dir->hold = true;
    for (unsigned i = 0; i < 2; i++)
        rig_begin(&rig, &(struct rig_from){.worker = i}, &conns[i], rig_basic("alice", "secret"),
                  &replies[i]);
    sp_auth_ask_cancel(&replies[0].ask); /* the leader's worker has nobody left, but leads */
    sp_auth_engine_close(&rig.engines[0], NULL, NULL);
    rig_turn_ms(&rig, 10);
    dir->hold = false;
    rig_turn_until(&rig, &replies[1].answered);
    assert_int_equal(replies[1].state, SP_AUTH_PASSED);
    rig_turn_until_count(&rig, &dir->open, 1); /* the first worker's backend closes */
    rig.closed++;
    close_all(&conns[0]);
}

/* ---- guard ---- */

static void distinct_wrong_passwords_block_the_user_and_not_the_kept_one(void **state)
{
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(ONE);
    (void)rig_ask(&rig, &conn, rig_basic("alice", "secret"));
    for (int i = 0; i < 3; i++) {
        char password[8] = {'w', (char)('0' + i), '\0'};

        assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", password)).state,
                         SP_AUTH_CHALLENGE);
    }
    r = rig_ask(&rig, &conn, rig_basic("alice", "w9"));
    assert_true(r.at_once);
    assert_int_equal(r.state, SP_AUTH_BLOCKED);
    assert_int_equal(r.reason, SP_REASON_BLOCKED);
    assert_true(r.retry_after_s > 290 && r.retry_after_s <= 300);
    assert_string_equal(r.user, "alice");
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "w0")).state, SP_AUTH_BLOCKED);
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "secret")).state, SP_AUTH_PASSED);
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("bob", "hunter2")).state, SP_AUTH_PASSED);
    assert_int_equal(dir->started, 5);
    sp_auth_shared_flush(&rig.shared, (struct sp_span){"alice", 5});
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "secret")).state, SP_AUTH_PASSED);
    close_all(&conn);
}

static void guesses_sent_at_once_do_not_pass_the_limit(void **state)
{
    enum { N = 20 };
    struct sp_auth_conn *conns[N] = {NULL};
    struct rig_reply replies[N];
    unsigned blocked = 0;

    (void)state;
    open_with(ONE);
    dir->hold = true;
    for (unsigned i = 0; i < N; i++) {
        char password[16];

        (void)snprintf(password, sizeof(password), "guess%u", i);
        rig_begin(&rig, &(struct rig_from){.worker = i % 2}, &conns[i],
                  rig_basic("alice", password), &replies[i]);
    }
    dir->hold = false;
    for (unsigned i = 0; i < N; i++) {
        rig_turn_until(&rig, &replies[i].answered);
        blocked += replies[i].state == SP_AUTH_BLOCKED ? 1 : 0;
        sp_auth_conn_free(&conns[i]);
    }
    assert_int_equal(dir->started, 3);
    assert_int_equal(blocked, N - 3);
    close_all(&conns[0]);
}

static void guesses_at_names_block_the_client(void **state)
{
    struct sp_auth_conn *conn = NULL, *other = NULL;
    struct rig_reply r;

    (void)state;
    open_with(ONE "guard { client_failures = 4 }\n");
    (void)rig_ask(&rig, &conn, rig_basic("bob", "hunter2"));
    for (int i = 0; i < 4; i++) {
        char user[8] = {'n', (char)('0' + i), '\0'};

        assert_int_equal(rig_ask(&rig, &conn, rig_basic(user, "x")).state, SP_AUTH_CHALLENGE);
    }
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "secret")).state, SP_AUTH_BLOCKED);
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("bob", "hunter2")).state, SP_AUTH_PASSED);
    rig_begin(&rig, &(struct rig_from){.client = "10.0.0.2"}, &other, rig_basic("alice", "secret"),
              &r);
    rig_turn_until(&rig, &r.answered);
    assert_int_equal(r.state, SP_AUTH_PASSED);
    sp_auth_conn_free(&other);
    close_all(&conn);
}

static void a_blocked_client_passes_with_what_a_later_backend_keeps(void **state)
{
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(TWO "cache { negative_ttl = 1ms }\nguard { client_failures = 1 }\n");
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("printer", "paper")).state, SP_AUTH_PASSED);
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("bob", "bad")).state, SP_AUTH_CHALLENGE);
    rig_turn_ms(&rig, 5);
    r = rig_ask(&rig, &conn, rig_basic("bob", "hunter2"));
    assert_int_equal(r.state, SP_AUTH_BLOCKED);
    assert_string_equal(r.backend, "dir"); /* would have been asked, were it not for the block */
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("printer", "paper")).state, SP_AUTH_PASSED);
    close_all(&conn);
}

/* ---- loops ---- */

static void the_row_of_refusals_ends_in_403_and_close(void **state)
{
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(LISTEN "auth { basic = {\"dir\"} max_challenges = 3 }\n"
                     "backend \"dir\" { plugin = \"fake\" }\n" NO_GUARD);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "bad")).state, SP_AUTH_CHALLENGE);
    r = rig_ask(&rig, &conn, rig_basic("alice", "bad"));
    assert_int_equal(r.state, SP_AUTH_REFUSED);
    assert_int_equal(r.reason, SP_REASON_LOOP);
    assert_true(r.close);
    close_all(&conn);
}

static void a_success_ends_the_row_and_missing_credentials_do_not_count(void **state)
{
    struct sp_auth_conn *conn = NULL;

    (void)state;
    open_with(LISTEN "auth { basic = {\"dir\"} max_challenges = 2 }\n"
                     "backend \"dir\" { plugin = \"fake\" }\n" NO_GUARD);
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 2; k++)
            assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "bad")).state,
                             SP_AUTH_CHALLENGE);
        for (int k = 0; k < 4; k++)
            assert_int_equal(rig_ask(&rig, &conn, NULL).state, SP_AUTH_CHALLENGE);
        assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "secret")).state, SP_AUTH_PASSED);
    }
    close_all(&conn);
}

/* What was told, each step's `what` and a blank. */
static char steps[256];

static void note_step(struct sp_auth_tracer *tracer, const struct sp_auth_step *step)
{
    (void)tracer;
    assert_true(strlen(steps) + strlen(step->what) + 2 < sizeof(steps));
    strcat(steps, step->what);
    strcat(steps, " ");
}

static void steps_are_told_until_the_asker_leaves(void **state)
{
    struct sp_auth_tracer tracer = {note_step};
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;

    (void)state;
    open_with(ONE);
    steps[0] = '\0';
    rig_begin(&rig, &(struct rig_from){.tracer = &tracer}, &conn, rig_basic("alice", "secret"), &r);
    rig_turn_until(&rig, &r.answered);
    assert_string_equal(steps, "cache fake verdict ");
    steps[0] = '\0';
    rig_begin(&rig, &(struct rig_from){.tracer = &tracer}, &conn, rig_basic("bob", "hunter2"), &r);
    sp_auth_ask_cancel(&r.ask);
    rig_turn_ms(&rig, 10);
    assert_string_equal(steps, "cache ");
    close_all(&conn);
}

static void who_joins_a_login_is_told_whose_it_is(void **state)
{
    struct sp_auth_tracer tracer = {note_step};
    struct sp_auth_conn *conns[2] = {NULL, NULL};
    struct rig_reply first, second;

    (void)state;
    open_with(ONE);
    steps[0] = '\0';
    rig_begin(&rig, &(struct rig_from){0}, &conns[0], rig_basic("alice", "secret"), &first);
    rig_begin(&rig, &(struct rig_from){.tracer = &tracer}, &conns[1], rig_basic("alice", "secret"),
              &second);
    rig_turn_until(&rig, &second.answered);
    assert_string_equal(steps, "cache joined ");
    sp_auth_conn_free(&conns[0]);
    close_all(&conns[1]);
}

static void a_reload_ends_the_verdicts_of_what_changed_and_no_others(void **state)
{
#define TWO_WITH(dir)                                                          \
    LISTEN "auth { basic = {\"dir\", \"local\"} }\n"                           \
           "backend \"dir\" { plugin = \"fake\" " dir " }\nbackend \"local\" " \
           "{ plugin = \"fake\" }\n"
    struct sp_auth_conn *conn = NULL;

    (void)state;
    open_with(TWO_WITH(""));
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "secret")).state, SP_AUTH_PASSED);
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "bad")).state, SP_AUTH_CHALLENGE);
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("printer", "paper")).state, SP_AUTH_PASSED);
    assert_int_equal(dir->started, 3);
    assert_int_equal(local->started, 1);
    rig_reload(&rig, TWO_WITH("pace = 2"));
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "secret")).how, SP_HOW_CACHE);
    assert_true(rig_ask(&rig, &conn, rig_basic("alice", "bad")).at_once);
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("printer", "paper")).how, SP_HOW_CACHE);
    assert_int_equal(dir->started, 3);
    rig_reload(&rig, TWO_WITH("pace = 2 persist = \"request\""));
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "secret")).how, SP_HOW_DIRECTORY);
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "bad")).how, SP_HOW_DIRECTORY);
    assert_int_equal(dir->started, 5);
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("printer", "paper")).how, SP_HOW_CACHE);
    assert_int_equal(dir->started, 6);   /* who may know printer now, */
    assert_int_equal(local->started, 1); /* and local's word stands */
    close_all(&conn);
}

static void one_wrong_password_is_one_however_often_somebody_reloads(void **state)
{
#define GUARDED(persist)                                               \
    LISTEN "auth { basic = {\"dir\"} }\nguard { user_failures = 2 }\n" \
           "backend \"dir\" { plugin = \"fake\" persist = \"" persist "\" }\n"
    static const char *const texts[] = {GUARDED("request"), GUARDED("connection")};
    struct sp_auth_conn *conn = NULL;

    (void)state;
    open_with(GUARDED("connection"));
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "bad")).state, SP_AUTH_CHALLENGE);
        rig_reload(&rig, texts[i % 2]);
    }
    assert_int_equal(dir->started, 4); /* asked anew each time, and counted once */
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "secret")).state, SP_AUTH_PASSED);
    close_all(&conn);
}

static void a_watched_file_taken_up_ends_the_verdicts_of_the_one_before(void **state)
{
    char path[] = "/tmp/people-XXXXXX", text[512];
    struct sp_auth_conn *conn = NULL;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    (void)snprintf(text, sizeof(text),
                   LISTEN "auth { basic = {\"dir\"} }\n"
                          "backend \"dir\" { plugin = \"fake\" path = \"%s\" }\n",
                   path);
    open_with(text);
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "secret")).state, SP_AUTH_PASSED);
    sp_auth_plan_poll(rig.plan);
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "secret")).how, SP_HOW_CACHE);
    assert_int_equal(write(fd, "x", 1), 1);
    dir->refresh_refused = "garbled";
    sp_auth_plan_poll(rig.plan); /* what serves was read before */
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "secret")).how, SP_HOW_CACHE);
    assert_int_equal(write(fd, "x", 1), 1);
    dir->refresh_refused = NULL;
    sp_auth_plan_poll(rig.plan);
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "secret")).how, SP_HOW_DIRECTORY);
    rig_reload(&rig, text); /* the same file as it was taken up */
    assert_int_equal(rig_ask(&rig, &conn, rig_basic("alice", "secret")).how, SP_HOW_CACHE);
    (void)close(fd);
    (void)unlink(path);
    close_all(&conn);
}

static void an_answer_from_the_cache_has_its_age(void **state)
{
    struct sp_auth_conn *conn = NULL;
    struct rig_reply r;
    uint64_t kept_ms;

    (void)state;
    open_with(ONE);
    (void)rig_ask(&rig, &conn, rig_basic("alice", "secret"));
    (void)rig_ask(&rig, &conn, rig_basic("alice", "bad"));
    kept_ms = sp_loop_now_ms(rig.loops[0]);
    while (sp_loop_now_ms(rig.loops[0]) < kept_ms + 30)
        rig_turn(&rig);
    r = rig_ask(&rig, &conn, rig_basic("alice", "secret"));
    assert_int_equal(r.how, SP_HOW_CACHE);
    assert_true(r.age_ms >= 30 && r.age_ms != SP_AGE_UNKNOWN);
    r = rig_ask(&rig, &conn, rig_basic("alice", "bad"));
    assert_int_equal(r.how, SP_HOW_CACHE);
    assert_true(r.age_ms >= 30 && r.age_ms != SP_AGE_UNKNOWN);
    close_all(&conn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_credentials_are_challenged_with_realm_and_charset),
        cmocka_unit_test(a_right_password_passes_and_the_second_time_from_the_cache),
        cmocka_unit_test(the_scheme_is_read_without_case),
        cmocka_unit_test(one_wrong_password_costs_one_bind),
        cmocka_unit_test(garbled_credentials_reach_no_backend),
        cmocka_unit_test(names_and_passwords_over_the_limit_reach_no_backend),
        cmocka_unit_test(latin1_is_read_as_utf8_once),
        cmocka_unit_test(other_schemes_get_the_challenges_and_reach_no_backend),
        cmocka_unit_test(an_unusable_account_is_refused_with_its_reason),
        cmocka_unit_test(a_silent_directory_is_503_and_nothing_is_kept),
        cmocka_unit_test(a_backend_without_room_is_503_overloaded_at_once),
        cmocka_unit_test(an_unknown_user_passes_to_the_next_backend),
        cmocka_unit_test(a_wrong_password_ends_the_search),
        cmocka_unit_test(a_silent_backend_is_skipped_and_unknown_elsewhere_is_503),
        cmocka_unit_test(unknown_everywhere_is_407),
        cmocka_unit_test(whom_a_good_verdict_names_is_recalled_without_a_trace),
        cmocka_unit_test(of_a_name_that_no_backend_can_know_nothing_is_kept),
        cmocka_unit_test(past_refresh_a_verdict_is_renewed_in_the_background),
        cmocka_unit_test(a_renewal_that_is_refused_ends_the_entry),
        cmocka_unit_test(grace_serves_only_while_no_directory_answers),
        cmocka_unit_test(another_password_that_is_right_ends_the_older_one),
        cmocka_unit_test(flush_forgets_the_user_without_case),
        cmocka_unit_test(what_was_asked_before_a_flush_is_not_kept_after_it),
        cmocka_unit_test(equal_questions_on_two_workers_make_one_bind),
        cmocka_unit_test(the_others_get_theirs_when_the_first_asker_leaves),
        cmocka_unit_test(a_flight_with_nobody_left_still_fills_the_cache),
        cmocka_unit_test(cancel_while_the_letter_is_on_its_way_is_safe),
        cmocka_unit_test(an_engine_that_closes_ends_what_nobody_waits_for),
        cmocka_unit_test(an_engine_that_closes_lets_others_have_their_answer),
        cmocka_unit_test(distinct_wrong_passwords_block_the_user_and_not_the_kept_one),
        cmocka_unit_test(guesses_sent_at_once_do_not_pass_the_limit),
        cmocka_unit_test(guesses_at_names_block_the_client),
        cmocka_unit_test(a_blocked_client_passes_with_what_a_later_backend_keeps),
        cmocka_unit_test(the_row_of_refusals_ends_in_403_and_close),
        cmocka_unit_test(a_success_ends_the_row_and_missing_credentials_do_not_count),
        cmocka_unit_test(steps_are_told_until_the_asker_leaves),
        cmocka_unit_test(who_joins_a_login_is_told_whose_it_is),
        cmocka_unit_test(a_reload_ends_the_verdicts_of_what_changed_and_no_others),
        cmocka_unit_test(one_wrong_password_is_one_however_often_somebody_reloads),
        cmocka_unit_test(a_watched_file_taken_up_ends_the_verdicts_of_the_one_before),
        cmocka_unit_test(an_answer_from_the_cache_has_its_age),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
