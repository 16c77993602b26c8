/* Decisions remembered, looked up and followed under want of memory: what is told is true, and what
 * could not be told is not said to be unknown. And the counters: a page of them is whole, or it is
 * none. */
#include "stats/history.h"
#include "stats/top.h"
#include "trace/trace.h"
#include "util/hash.h"
#include "util/span.h"
#include "want/want.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define DECISIONS 5

struct told {
    unsigned count;
};

static void on_decision(void *owner, const struct sp_decision *decision)
{
    struct told *told = owner;

    assert_true(sp_span_eq(decision->text[SP_DECISION_USER], SP_SPAN_LIT("alice")));
    told->count++;
}

static struct sp_decision decision_of(unsigned number)
{
    static char id[8];
    struct sp_decision d = {.conn = 1, .ordinal = number, .first = number, .status = 200};

    id[0] = (char)('a' + number);
    d.text[SP_DECISION_ID] = sp_span_cstr(id);
    d.text[SP_DECISION_USER] = SP_SPAN_LIT("alice");
    d.how = SP_HOW_DIRECTORY;
    d.wall_ms = 1700000000000 + number;
    return d;
}

static void add_all(struct sp_trace_book *book)
{
    const struct sp_auth_step bind = {"bind", "dc1", NULL, "well", 10};

    for (unsigned i = 0; i < DECISIONS; i++) {
        struct sp_decision d = decision_of(i);
        struct sp_trace_steps steps;

        sp_trace_steps_init(&steps);
        steps.tracer.step(&steps.tracer, &bind);
        d.text[SP_DECISION_STEPS] = sp_trace_steps_text(&steps);
        sp_trace_add(sp_trace_of(book, 0), &d);
        sp_trace_steps_fini(&steps);
    }
}

static void on_wake(void *owner)
{
    (void)owner;
}

static void remember_and_tell(void *state)
{
    struct sp_trace_book *book;
    struct sp_trace_follow *follow = NULL;
    struct sp_trace_news *news = NULL;
    struct told found = {0}, followed = {0}, read = {0};
    enum sp_err err = SP_ERR_NOMEM;
    bool whole = false, failed;

    (void)state;
    want_begin();
    book = sp_trace_book_new(2, on_wake, NULL);
    if (book != NULL) {
        follow = sp_trace_follow_new(book, SP_SPAN_LIT("alice"));
        news = sp_trace_news_new(book);
        add_all(book);
        err = sp_trace_find(book, SP_SPAN_LIT("alice"), 10, on_decision, &found);
        whole = news != NULL && sp_trace_news_read(news, on_decision, &read);
    }
    failed = want_end();
    assert_true(err == SP_OK ? found.count == DECISIONS : failed && err == SP_ERR_NOMEM);
    assert_true(!whole || read.count == DECISIONS);
    if (follow != NULL) {
        uint64_t lost = sp_trace_follow_lost(follow);

        while (sp_trace_follow_next(follow, on_decision, &followed))
            lost += sp_trace_follow_lost(follow);
        assert_true(followed.count + lost == DECISIONS);
        sp_trace_follow_free(&follow);
    }
    sp_trace_news_free(&news);
    if (book != NULL) { /* and with memory all is told that is there */
        found.count = 0;
        assert_int_equal(sp_trace_find(book, SP_SPAN_LIT("alice"), 10, on_decision, &found), SP_OK);
        assert_int_equal(found.count, DECISIONS);
    }
    sp_trace_book_free(&book);
}

static int64_t three(void *owner)
{
    (void)owner;
    return 3;
}

static void must_be_a_page(struct sp_span page)
{
    assert_true(page.len > 0 && page.base[page.len - 1] == '\n');
    assert_non_null(memmem(page.base, page.len, "sallyport_connections 1\n", 24));
}

static void count_and_show(void *state)
{
    struct sp_auth_metric *metric = NULL;
    struct sp_stats_backend *backend = NULL;
    struct sp_history *history = NULL;
    struct sp_top *top = NULL;
    struct sp_top_item items[4];
    struct sp_buf page;
    enum sp_err err, shown = SP_ERR_NOMEM, gauge = SP_ERR_NOMEM;
    bool failed;

    (void)state;
    sp_buf_init(&page, (size_t)1024 * 1024);
    want_begin();
    err = sp_stats_init(2);
    if (err == SP_OK) {
        sp_stats_add(sp_stats_of(1), SP_STAT_CONNECTIONS, 1);
        backend = sp_stats_backend("corp");
        if (backend != NULL)
            sp_stats_auth(backend, SP_COUNT_REJECT, 10);
        metric = sp_stats_metric(SP_METRIC_COUNTER, "things_total", "server=\"a\"");
        if (metric != NULL)
            sp_stats_metric_add(metric, 2);
        gauge = sp_stats_gauge("sallyport_things", "", "Things.", three, NULL);
        shown = sp_stats_write(&page);
        history = sp_history_new(1000);
        if (history != NULL)
            sp_history_take(history, 2000, 1700000000000);
        top = sp_top_new();
        if (top != NULL) {
            sp_top_add(top, SP_SPAN_LIT("example.org"), 1000);
            assert_true(sp_top_list(top, 1000, items, 4) <= 1);
        }
    }
    failed = want_end();
    assert_true(failed || (shown == SP_OK && gauge == SP_OK && backend != NULL && metric != NULL &&
                           history != NULL && top != NULL));
    if (shown == SP_OK)
        must_be_a_page(sp_buf_span(&page));
    assert_int_equal(sp_stats_auth_count(backend, SP_COUNT_REJECT), backend != NULL ? 1 : 0);
    if (err == SP_OK) { /* and with memory */
        sp_buf_reset(&page);
        assert_int_equal(sp_stats_write(&page), SP_OK);
        must_be_a_page(sp_buf_span(&page));
    }
    sp_top_free(&top);
    sp_history_free(&history);
    sp_buf_fini(&page);
    sp_stats_fini();
}

static void what_is_told_of_decisions_is_true(void **state)
{
    (void)state;
    want_each("decisions", WANT_ALL, 1, remember_and_tell, NULL);
}

static void a_page_of_counters_is_whole_or_none(void **state)
{
    (void)state;
    want_each("counters", WANT_ALL, 1, count_and_show, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_told_of_decisions_is_true),
        cmocka_unit_test(a_page_of_counters_is_whole_or_none),
    };

    if (sp_hash_setup() != SP_OK)
        return 1;
    return cmocka_run_group_tests_name("want: trace and stats", tests, NULL, NULL);
}
