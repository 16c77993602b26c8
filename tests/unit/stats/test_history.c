/* The ring of samples and the sketch of the busiest names, in time of their own. */
#include "stats/history.h"
#include "stats/stats_priv.h"
#include "stats/top.h"

#include "util/hash.h"
#include "util/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WALL 1700000000000u /* of a moment's beginning */

static int open_stats(void **state)
{
    (void)state;
    return sp_hash_setup() == SP_OK && sp_stats_init(2) == SP_OK ? 0 : -1;
}

static int close_stats(void **state)
{
    (void)state;
    sp_stats_fini();
    return 0;
}

/* ---- history ---- */

static void a_sample_holds_what_has_come_since_the_last_one(void **state)
{
    struct sp_history *h;
    const struct sp_history_sample *s;

    (void)state;
    sp_stats_request(sp_stats_of(0), 200, SP_SCHEME_NONE, 100); /* before: in no sample */
    h = sp_history_new(1000);
    assert_non_null(h);
    sp_stats_request(sp_stats_of(0), 200, SP_SCHEME_BASIC, 100);
    sp_stats_request(sp_stats_of(1), 503, SP_SCHEME_BASIC, 100);
    sp_stats_request(sp_stats_of(1), 403, SP_SCHEME_BASIC, 100);
    sp_stats_add(sp_stats_of(0), SP_STAT_BYTES_IN, 30);
    sp_stats_add(sp_stats_of(1), SP_STAT_BYTES_OUT, 12);
    sp_history_take(h, 2000, WALL + 2000);
    assert_int_equal(sp_history_len(h), 1);
    s = sp_history_at(h, 0);
    assert_int_equal(s->ms, 1000);
    assert_int_equal(s->requests, 3);
    assert_int_equal(s->turned_away, 2);
    assert_int_equal(s->unavailable, 1);
    assert_int_equal(s->bytes, 42);
    assert_int_equal(s->times[SP_STATS_TIME_REQUEST][sp_stats_bucket(100)], 3);
    sp_history_take(h, 3000, WALL + 3000); /* nothing new: the same sample has grown in time */
    assert_int_equal(sp_history_len(h), 1);
    assert_int_equal(s->ms, 2000);
    assert_int_equal(s->requests, 3);
    sp_history_free(&h);
    assert_null(h);
}

static void the_ring_keeps_an_hour(void **state)
{
    struct sp_history *h = sp_history_new(0);
    struct sp_history_sample sum;
    uint64_t now = 0;

    (void)state;
    assert_non_null(h);
    for (unsigned i = 0; i < 500; i++) {
        for (unsigned k = 0; k < i; k++)
            sp_stats_request(sp_stats_of(0), 200, SP_SCHEME_NONE, 100);
        now += SP_HISTORY_STEP_MS;
        sp_history_take(h, now, WALL + now);
    }
    assert_int_equal(sp_history_len(h), SP_HISTORY_LEN);
    assert_int_equal(sp_history_at(h, SP_HISTORY_LEN - 1)->wall_ms, WALL + now);
    for (size_t i = 1; i < SP_HISTORY_LEN; i++)
        assert_true(sp_history_at(h, i)->wall_ms > sp_history_at(h, i - 1)->wall_ms);
    assert_int_equal(sp_history_at(h, SP_HISTORY_LEN - 1)->requests, 499);
    assert_int_equal(sp_history_at(h, SP_HISTORY_LEN - 2)->requests, 498);
    sp_history_sum(h, 0, &sum);
    assert_int_equal(sum.ms, 3600000);
    sp_history_sum(h, WALL + now - 30000, &sum);
    assert_int_equal(sum.requests, 496 + 497 + 498 + 499);
    sp_history_sum(h, WALL + now + 1, &sum);
    assert_int_equal(sum.requests, 0);
    sp_history_free(&h);
}

static void a_late_reader_loses_nothing(void **state)
{
    struct sp_history *h = sp_history_new(0);
    struct sp_history_sample sum;

    (void)state;
    assert_non_null(h);
    for (unsigned i = 0; i < 7; i++)
        sp_stats_request(sp_stats_of(0), 200, SP_SCHEME_NONE, 100);
    sp_history_take(h, 95000, WALL + 95000); /* the machine slept */
    sp_history_sum(h, 0, &sum);
    assert_int_equal(sum.requests, 7);
    assert_int_equal(sum.ms, 95000);
    sp_history_free(&h);
}

/* ---- the busiest ---- */

static void add(struct sp_top *top, const char *name, unsigned times, uint64_t now_ms)
{
    for (unsigned i = 0; i < times; i++)
        sp_top_add(top, sp_span_cstr(name), now_ms);
}

static void the_busiest_come_first(void **state)
{
    struct sp_top *top = sp_top_new();
    struct sp_top_item items[3];

    (void)state;
    assert_non_null(top);
    assert_int_equal(sp_top_list(top, 0, items, 3), 0);
    add(top, "alice", 5, 1000);
    add(top, "bob", 9, 2000);
    add(top, "carol", 1, 3000);
    add(top, "dave", 2, 3000);
    add(top, "", 50, 3000);                      /* nobody */
    add(top, "alice", 6, 4000 + SP_TOP_PANE_MS); /* panes are added up */
    assert_int_equal(sp_top_list(top, 5000 + SP_TOP_PANE_MS, items, 3), 3);
    assert_string_equal(items[0].name, "alice");
    assert_int_equal(items[0].count, 11);
    assert_int_equal(items[0].excess, 0);
    assert_string_equal(items[1].name, "bob");
    assert_int_equal(items[1].count, 9);
    assert_string_equal(items[2].name, "dave");
    sp_top_free(&top);
    assert_null(top);
}

static void an_hour_later_it_is_forgotten(void **state)
{
    struct sp_top *top = sp_top_new();
    struct sp_top_item items[3];

    (void)state;
    assert_non_null(top);
    add(top, "alice", 5, 0);
    add(top, "bob", 3, (uint64_t)(SP_TOP_PANES - 1) * SP_TOP_PANE_MS);
    assert_int_equal(sp_top_list(top, (uint64_t)SP_TOP_PANES * SP_TOP_PANE_MS - 1, items, 3), 2);
    assert_int_equal(sp_top_list(top, (uint64_t)SP_TOP_PANES * SP_TOP_PANE_MS, items, 3), 1);
    assert_string_equal(items[0].name, "bob");
    add(top, "carol", 1, (uint64_t)SP_TOP_PANES * SP_TOP_PANE_MS); /* takes alice's pane */
    assert_int_equal(sp_top_list(top, (uint64_t)SP_TOP_PANES * SP_TOP_PANE_MS, items, 3), 2);
    assert_int_equal(sp_top_list(top, (uint64_t)100 * SP_TOP_PANE_MS, items, 3), 0);
    sp_top_free(&top);
}

/* What space-saving promises: a name with more than 1/128 of all is there, its count is never too
 * small, and too great by its excess at most. */
static void frequent_names_survive_a_flood_of_rare_ones(void **state)
{
    struct sp_top *top = sp_top_new();
    struct sp_top_item items[10];
    char name[32];

    (void)state;
    assert_non_null(top);
    for (unsigned i = 0; i < 20000; i++) {
        (void)snprintf(name, sizeof name, "rare-%u", i);
        add(top, name, 1, 0);
        if (i % 10 == 0)
            add(top, "alice", 1, 0);
        if (i % 20 == 0)
            add(top, "bob", 1, 0);
    }
    assert_int_equal(sp_top_list(top, 0, items, 10), 10);
    assert_string_equal(items[0].name, "alice");
    assert_string_equal(items[1].name, "bob");
    assert_true(items[0].count >= 2000 && items[0].count - items[0].excess <= 2000);
    assert_true(items[1].count >= 1000 && items[1].count - items[1].excess <= 1000);
    assert_true(items[0].excess <= 23000 / SP_TOP_NAMES);
    sp_top_free(&top);
}

/* Where another pane had no place for it, it may have come as often as the rarest that has one. */
static void a_count_is_not_too_small_where_a_pane_was_full(void **state)
{
    struct sp_top *top = sp_top_new();
    struct sp_top_item items[1];
    char name[32];

    (void)state;
    assert_non_null(top);
    add(top, "alice", 3, 0);
    for (unsigned i = 0; i < SP_TOP_NAMES; i++) {
        (void)snprintf(name, sizeof name, "other-%u", i);
        add(top, name, 7, 0);
    }
    add(top, "alice", 1000, SP_TOP_PANE_MS);
    assert_int_equal(sp_top_list(top, SP_TOP_PANE_MS, items, 1), 1);
    assert_string_equal(items[0].name, "alice");
    assert_true(items[0].count >= 1003 && items[0].count - items[0].excess <= 1003);
    sp_top_free(&top);
}

static void a_long_name_is_cut(void **state)
{
    struct sp_top *top = sp_top_new();
    struct sp_top_item items[2];
    char name[500];

    (void)state;
    assert_non_null(top);
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    add(top, name, 2, 0);
    name[sizeof name - 2] = 'y'; /* the same where it is cut */
    add(top, name, 1, 0);
    assert_int_equal(sp_top_list(top, 0, items, 2), 1);
    assert_int_equal(items[0].count, 3);
    assert_int_equal(strlen(items[0].name), SP_TOP_NAME_MAX);
    sp_top_free(&top);
}

#define OPENED(test) cmocka_unit_test_setup_teardown(test, open_stats, close_stats)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OPENED(a_sample_holds_what_has_come_since_the_last_one),
        OPENED(the_ring_keeps_an_hour),
        OPENED(a_late_reader_loses_nothing),
        OPENED(the_busiest_come_first),
        OPENED(an_hour_later_it_is_forgotten),
        OPENED(frequent_names_survive_a_flood_of_rare_ones),
        OPENED(a_count_is_not_too_small_where_a_pane_was_full),
        OPENED(a_long_name_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
