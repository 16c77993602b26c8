/* The book of decisions: what is found again, what is folded, what stays bounded, and reading while
 * workers write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "trace/trace_priv.h"
#include "util/hash.h"
#include "util/span.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORKERS 2u

static struct sp_trace_book *book;
static atomic_uint wakes;

static void on_wake(void *owner)
{
    (void)owner;
    atomic_fetch_add(&wakes, 1);
}

static int setup(void **state)
{
    (void)state;
    atomic_store(&wakes, 0);
    book = sp_trace_book_new(WORKERS, on_wake, NULL);
    return book == NULL;
}

static int teardown(void **state)
{
    (void)state;
    sp_trace_book_free(&book);
    return 0;
}

/* ---- decisions for the tests ---- */

/* A good one, as most are; its texts live until the next call but seven. */
static struct sp_decision good(unsigned n, const char *user, const char *client)
{
    static char ids[8][SP_TRACE_ID_MAX];
    char *id = ids[n % 8];
    struct sp_decision d = {.conn = n,
                            .ordinal = 1,
                            .first = 1,
                            .wall_ms = 1000 + n,
                            .reason = SP_REASON_OK,
                            .status = 200,
                            .scheme = SP_SCHEME_BASIC,
                            .how = SP_HOW_CACHE,
                            .has_age = true,
                            .age_ms = 5};

    (void)snprintf(id, SP_TRACE_ID_MAX, "id%010u", n);
    assert_int_equal(sp_addr_parse_ip(&d.client, sp_span_cstr(client)), SP_OK);
    d.text[SP_DECISION_ID] = sp_span_cstr(id);
    d.text[SP_DECISION_USER] = sp_span_cstr(user);
    d.text[SP_DECISION_GROUPS] = SP_SPAN_LIT("staff\nweb");
    d.text[SP_DECISION_METHOD] = SP_SPAN_LIT("GET");
    d.text[SP_DECISION_TARGET] = SP_SPAN_LIT("http://example.org/with/a/path/longer/than/32");
    return d;
}

static struct sp_decision refusal(unsigned n, const char *user, const char *client)
{
    struct sp_decision d = good(n, user, client);

    d.reason = SP_REASON_BAD_CREDENTIALS;
    d.status = 407;
    d.text[SP_DECISION_WHY] = SP_SPAN_LIT("wrong password");
    return d;
}

static void add(unsigned worker, struct sp_decision d)
{
    sp_trace_add(sp_trace_of(book, worker), &d);
}

/* ---- what was told, as "id:count " ---- */

static char told[4096];
static struct sp_decision last;
static char last_text[SP_DECISION_TEXTS][1024];

static void note(void *owner, const struct sp_decision *d)
{
    size_t used = strlen(told);

    (void)owner;
    (void)snprintf(told + used, sizeof(told) - used, "%.*s:%u ", SP_SPAN_ARG(d->text[0]), d->count);
    last = *d;
    for (size_t i = 0; i < SP_DECISION_TEXTS; i++)
        (void)snprintf(last_text[i], sizeof(last_text[i]), "%.*s", SP_SPAN_ARG(d->text[i]));
}

static bool find(const char *word, size_t max)
{
    enum sp_err err;

    told[0] = '\0';
    err = sp_trace_find(book, sp_span_cstr(word), max, note, NULL);
    assert_true(err == SP_OK || err == SP_ERR_NOT_FOUND);
    return err == SP_OK;
}

/* ---- the tests ---- */

static void the_last_refusals_come_newest_first(void **state)
{
    struct sp_decision d;

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        char user[16];

        (void)snprintf(user, sizeof(user), "user%u", i);
        add(i % 2, good(10 + i, user, "10.0.0.1"));
        d = refusal(i, user, "10.0.0.1");
        d.wall_ms = 1000 + i;
        add(i % 2, d);
    }
    d = refusal(9, "user4", "10.0.0.1"); /* the row of the last one */
    d.wall_ms = 2000;
    add(0, d);
    told[0] = '\0';
    sp_trace_refusals(book, 3, note, NULL);
    assert_string_equal(told, "id0000000009:2 id0000000003:1 id0000000002:1 ");
}

static void news_are_told_once(void **state)
{
    struct sp_trace_news *news = sp_trace_news_new(book);

    (void)state;
    assert_non_null(news);
    add(0, good(1, "alice", "10.0.0.1"));
    told[0] = '\0';
    assert_true(sp_trace_news_read(news, note, NULL));
    assert_string_equal(told, "id0000000001:1 ");
    add(1, good(2, "alice", "10.0.0.1"));
    add(0, refusal(3, "bob", "10.0.0.2"));
    told[0] = '\0';
    assert_true(sp_trace_news_read(news, note, NULL));
    assert_string_equal(told, "id0000000003:1 id0000000002:1 ");
    told[0] = '\0';
    assert_true(sp_trace_news_read(news, note, NULL));
    assert_string_equal(told, "");
    for (unsigned i = 0; i < 20000; i++) /* more than the ring holds */
        add(0, good(i, "alice", "10.0.0.1"));
    assert_false(sp_trace_news_read(news, note, NULL));
    add(0, good(1, "alice", "10.0.0.1"));
    assert_true(sp_trace_news_read(news, note, NULL));
    sp_trace_news_free(&news);
    assert_null(news);
}

static void a_decision_is_found_by_id_user_and_client_as_it_was(void **state)
{
    struct sp_decision d = good(7, "alice", "10.0.0.1");

    (void)state;
    d.auth_ms = 3;
    d.connect_ms = 4;
    d.ms = UINT64_MAX;
    add(1, d);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(find((const char *[]){"id0000000007", "ALICE", "10.0.0.1"}[i], 5));
        assert_string_equal(told, "id0000000007:1 ");
    }
    assert_string_equal(last_text[SP_DECISION_USER], "alice");
    assert_string_equal(last_text[SP_DECISION_GROUPS], "staff\nweb");
    assert_string_equal(last_text[SP_DECISION_METHOD], "GET");
    assert_string_equal(last_text[SP_DECISION_TARGET],
                        "http://example.org/with/a/path/longer/than/32");
    assert_string_equal(last_text[SP_DECISION_WHY], "");
    assert_int_equal(last.status, 200);
    assert_int_equal(last.wall_ms, 1007);
    assert_int_equal(last.auth_ms, 3);
    assert_int_equal(last.connect_ms, 4);
    assert_int_equal(last.ms, UINT32_MAX);
    assert_true(last.has_age && last.age_ms == 5);
    assert_false(find("bob", 5));
    assert_false(find("10.0.0.2", 5));
    assert_false(find("id000000000", 5));
    assert_false(find("", 5));
}

static void users_are_compared_as_people_mean_them(void **state)
{
    static const char *const same[] = {"alice", "CORP\\Alice", "alice@corp.test"};
    static const char *const others[] = {"alic", "alice2", "@corp.test", "CORP\\"};

    (void)state;
    add(0, good(1, "alice", "10.0.0.1"));
    add(0, good(2, "bob@corp.test", "10.0.0.1"));
    for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++)
        assert_true(find(same[i], 5));
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
        assert_false(find(others[i], 5));
    assert_true(find("bob", 5));
    assert_true(find("BOB@corp.test", 5));
    assert_false(find("bob@other.test", 5)); /* both have a domain, and not the same */
}

static void the_last_ones_come_oldest_first_whichever_worker_had_them(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 20; n++)
        add(n % WORKERS, good(n, "alice", "10.0.0.1"));
    assert_true(find("alice", 3));
    assert_string_equal(told, "id0000000017:1 id0000000018:1 id0000000019:1 ");
}

static void texts_that_are_too_long_are_cut_and_say_so(void **state)
{
    struct sp_decision d = good(1, "alice", "10.0.0.1");
    char target[2000];

    (void)state;
    memset(target, 'x', sizeof(target));
    d.text[SP_DECISION_TARGET] = sp_span_of(target, sizeof(target));
    add(0, d);
    assert_true(find("alice", 1));
    assert_int_equal(strlen(last_text[SP_DECISION_TARGET]), 512);
    assert_string_equal(last_text[SP_DECISION_TARGET] + 508, "x...");
}

static void equal_refusals_of_one_client_are_one_entry_and_keep_their_ids(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 20; n++)
        add(0, refusal(n, "bob", "10.0.0.1"));
    add(0, refusal(30, "bob", "10.0.0.2"));
    add(0, refusal(31, "carol", "10.0.0.1"));
    assert_true(find("bob", 10));
    assert_string_equal(told, "id0000000015:16 id0000000019:4 id0000000030:1 ");
    for (unsigned n = 0; n < 20; n++) {
        char id[SP_TRACE_ID_MAX];

        (void)snprintf(id, sizeof(id), "id%010u", n);
        assert_true(find(id, 10));
    }
    assert_true(find("id0000000016", 10));
    assert_int_equal(last.first_wall_ms, 1016);
    assert_int_equal(last.wall_ms, 1019);
}

static void what_may_differ_by_its_target_is_folded_by_target_only(void **state)
{
    struct sp_decision d = refusal(1, "bob", "10.0.0.1");

    (void)state;
    d.reason = SP_REASON_DENIED;
    add(0, d);
    d.text[SP_DECISION_TARGET] = SP_SPAN_LIT("http://other.test/");
    add(0, d);
    add(0, d);
    assert_true(find("bob", 10)); /* all are of one connection */
    assert_string_equal(told, "id0000000001:1 id0000000001:2 ");
}

static void no_flood_of_good_ones_pushes_out_a_refusal(void **state)
{
    (void)state;
    add(0, refusal(1, "bob", "10.0.0.1"));
    add(0, good(2, "carol", "10.0.0.3"));
    for (unsigned n = 3; n < 20000; n++)
        add(0, good(n, "alice", "10.0.0.2"));
    assert_true(find("bob", 10));
    assert_string_equal(told, "id0000000001:1 ");
    assert_false(find("carol", 10)); /* memory is bounded */
    assert_true(find("alice", 1));
    assert_string_equal(told, "id0000019999:1 ");
}

static void records_of_every_size_go_round_the_ring(void **state)
{
    char steps[SP_TRACE_STEPS_MAX];

    (void)state;
    memset(steps, 's', sizeof(steps));
    for (unsigned n = 0; n < 5000; n++) {
        struct sp_decision d = refusal(n, "bob", "10.0.0.1");
        char why[16];

        (void)snprintf(why, sizeof(why), "%u", n); /* no two fold */
        d.text[SP_DECISION_WHY] = sp_span_cstr(why);
        d.text[SP_DECISION_STEPS] = sp_span_of(steps, (n * 37) % sizeof(steps));
        add(0, d);
        if (n % 97 == 0) {
            assert_true(find("bob", 1));
            assert_string_equal(last_text[SP_DECISION_WHY], why);
        }
    }
}

/* Three legs of a chain, then a request of its own, on one connection. */
static void add_chain(uint64_t conn)
{
    for (unsigned n = 1; n <= 4; n++) {
        struct sp_decision d = good(n, n >= 3 ? "alice" : "", "10.0.0.1");

        d.conn = conn;
        d.ordinal = n;
        d.first = n <= 3 ? 1 : n;
        if (n <= 2) {
            d.reason = n == 1 ? SP_REASON_NO_CREDENTIALS : SP_REASON_HANDSHAKE;
            d.status = 407;
        }
        add(0, d);
    }
}

static void a_chain_is_told_whole_whichever_leg_is_asked_about(void **state)
{
    (void)state;
    add_chain(9);
    add(0, good(7, "bob", "10.0.0.1"));
    assert_true(find("id0000000002", 10));
    assert_string_equal(told, "id0000000001:1 id0000000002:1 id0000000003:1 ");
    assert_true(find("alice", 10));
    assert_string_equal(told, "id0000000001:1 id0000000002:1 id0000000003:1 id0000000004:1 ");
}

/* ---- steps ---- */

static void steps_are_kept_in_order_and_bounded(void **state)
{
    const struct sp_auth_step step = {"bind", NULL, "uid=alice", "wrong password", 42};
    struct sp_auth_step read;
    struct sp_trace_steps steps;
    struct sp_span rest;
    size_t count = 0;
    char longest[2000];

    (void)state;
    sp_trace_steps_init(&steps);
    assert_int_equal(sp_trace_steps_text(&steps).len, 0);
    steps.tracer.step(&steps.tracer, &step);
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    for (unsigned i = 0; i < 100; i++)
        steps.tracer.step(&steps.tracer, &(struct sp_auth_step){.what = "x", .outcome = longest});
    rest = sp_trace_steps_text(&steps);
    assert_true(steps.cut && rest.len <= SP_TRACE_STEPS_MAX);
    assert_true(sp_trace_next_step(&rest, &read));
    assert_string_equal(read.what, "bind");
    assert_string_equal(read.server, "");
    assert_string_equal(read.detail, "uid=alice");
    assert_string_equal(read.outcome, "wrong password");
    assert_int_equal(read.micros, 42);
    while (sp_trace_next_step(&rest, &read))
        count++;
    assert_true(count > 2 && count < 100);
    sp_trace_steps_fini(&steps);
}

/* ---- following ---- */

static bool next(struct sp_trace_follow *f, uint64_t *lost)
{
    told[0] = '\0';
    *lost = sp_trace_follow_lost(f);
    return sp_trace_follow_next(f, note, NULL);
}

static void a_follower_hears_of_its_user_with_the_legs_before(void **state)
{
    struct sp_trace_follow *user = sp_trace_follow_new(book, SP_SPAN_LIT("alice"));
    struct sp_trace_follow *client = sp_trace_follow_new(book, SP_SPAN_LIT("10.0.0.1"));
    uint64_t lost = 9;

    (void)state;
    assert_true(user != NULL && client != NULL);
    assert_false(next(user, &lost));
    add_chain(9);
    add(1, good(7, "bob", "10.0.0.2"));
    assert_int_equal(atomic_load(&wakes), 4);
    assert_true(next(user, &lost));
    assert_string_equal(told, "id0000000001:1 id0000000002:1 id0000000003:1 ");
    assert_true(next(user, &lost));
    assert_string_equal(told, "id0000000004:1 ");
    assert_false(next(user, &lost));
    assert_int_equal(lost, 0);
    for (unsigned i = 0; i < 4; i++)
        assert_true(next(client, &lost));
    assert_false(next(client, &lost));
    sp_trace_follow_free(&user);
    sp_trace_follow_free(&client);
    add_chain(10);
    assert_int_equal(atomic_load(&wakes), 4); /* nobody follows: nobody is woken */
}

static void who_reads_too_slowly_loses_some_and_is_told_how_many(void **state)
{
    struct sp_trace_follow *f = sp_trace_follow_new(book, SP_SPAN_LIT("alice"));
    uint64_t lost = 0;
    unsigned read = 0;

    (void)state;
    for (unsigned n = 0; n < 5000; n++)
        add(0, good(n, "alice", "10.0.0.1"));
    assert_true(next(f, &lost)); /* room for one, which is after those that were lost */
    add(0, good(1, "alice", "10.0.0.1"));
    for (read = 1; sp_trace_follow_lost(f) == 0; read++)
        assert_true(sp_trace_follow_next(f, note, NULL));
    assert_true(read > 100 && read < 5000);
    assert_true(next(f, &lost));
    assert_int_equal(lost, 0); /* that was told */
    assert_false(next(f, &lost));
    for (unsigned n = 0; n < 5000; n++)
        add(0, good(n, "alice", "10.0.0.1"));
    for (unsigned n = 0; n < read; n++)
        assert_true(next(f, &lost) && lost == 0);
    assert_false(next(f, &lost)); /* nothing comes after them, and they are told */
    assert_int_equal(lost + read, 5000);
    sp_trace_follow_free(&f);
}

static void no_more_follow_than_may(void **state)
{
    struct sp_trace_follow *all[SP_TRACE_FOLLOWS];

    (void)state;
    for (unsigned i = 0; i < SP_TRACE_FOLLOWS; i++) {
        all[i] = sp_trace_follow_new(book, SP_SPAN_LIT("alice"));
        assert_non_null(all[i]);
    }
    assert_null(sp_trace_follow_new(book, SP_SPAN_LIT("alice")));
    for (unsigned i = 0; i < SP_TRACE_FOLLOWS; i++)
        sp_trace_follow_free(&all[i]);
    all[0] = sp_trace_follow_new(book, SP_SPAN_LIT("alice"));
    assert_non_null(all[0]);
    sp_trace_follow_free(&all[0]);
}

/* ---- threads ---- */

static atomic_bool stop;

static void *write_all_the_time(void *arg)
{
    unsigned worker = *(unsigned *)arg;
    char id[SP_TRACE_ID_MAX] = "";
    struct sp_decision d = {.reason = SP_REASON_OK, .status = 200};

    for (unsigned n = 0; !atomic_load(&stop); n++) {
        (void)snprintf(id, sizeof(id), "%u-%08u", worker, n % 100000000);
        d.conn = sp_trace_connection(sp_trace_of(book, worker));
        d.ordinal = d.first = 1;
        d.wall_ms = n;
        d.reason = n % 3 == 0 ? SP_REASON_BAD_CREDENTIALS : SP_REASON_OK;
        d.text[SP_DECISION_ID] = sp_span_cstr(id);
        d.text[SP_DECISION_USER] = worker == 0 ? SP_SPAN_LIT("alice") : SP_SPAN_LIT("bob");
        d.text[SP_DECISION_WHY] = sp_span_of("0123456789abcdefghijklmnopqrstuvwxyz", n % 37);
        sp_trace_add(sp_trace_of(book, worker), &d);
    }
    return NULL;
}

static void check_one(void *owner, const struct sp_decision *d)
{
    unsigned *seen = owner;

    (*seen)++;
    assert_true(sp_span_eq(d->text[SP_DECISION_USER], SP_SPAN_LIT("alice")));
    assert_int_equal(d->text[SP_DECISION_ID].base[0], '0');
    assert_int_equal(d->text[SP_DECISION_ID].len, 10);
    assert_int_equal(d->conn % WORKERS, 1);
}

static void reading_while_both_write_sees_whole_decisions(void **state)
{
    unsigned workers[WORKERS] = {0, 1}, seen = 0, heard = 0;
    pthread_t threads[WORKERS];
    struct sp_trace_follow *f = sp_trace_follow_new(book, SP_SPAN_LIT("alice"));

    (void)state;
    assert_non_null(f);
    atomic_store(&stop, false);
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_all_the_time, &workers[i]), 0);
    for (unsigned round = 0; round < 200 || seen == 0 || heard == 0; round++) {
        enum sp_err err = sp_trace_find(book, SP_SPAN_LIT("alice"), 10, check_one, &seen);

        assert_true(err == SP_OK || err == SP_ERR_NOT_FOUND);
        (void)sp_trace_follow_next(f, check_one, &heard);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    sp_trace_follow_free(&f);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_decision_is_found_by_id_user_and_client_as_it_was),
        T(the_last_refusals_come_newest_first),
        T(news_are_told_once),
        T(users_are_compared_as_people_mean_them),
        T(the_last_ones_come_oldest_first_whichever_worker_had_them),
        T(texts_that_are_too_long_are_cut_and_say_so),
        T(equal_refusals_of_one_client_are_one_entry_and_keep_their_ids),
        T(what_may_differ_by_its_target_is_folded_by_target_only),
        T(no_flood_of_good_ones_pushes_out_a_refusal),
        T(records_of_every_size_go_round_the_ring),
        T(a_chain_is_told_whole_whichever_leg_is_asked_about),
        T(steps_are_kept_in_order_and_bounded),
        T(a_follower_hears_of_its_user_with_the_legs_before),
        T(who_reads_too_slowly_loses_some_and_is_told_how_many),
        T(no_more_follow_than_may),
        T(reading_while_both_write_sees_whole_decisions),
    };

    if (sp_hash_setup() != SP_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
