/* Sessions gathered from workers that answer, answer late, or not while anybody waits. The workers
 * here are letters that the test answers when it likes. */
#include "app/gather.h"

#include "app/sessions.h"
#include "net/work.h"
#include "util/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WORKERS 3

static struct sp_work_pool *pool;
static struct sp_loop *loop;
static struct sp_app_worker_list *with[WORKERS]; /* letters that a worker has */
static unsigned underway;
static unsigned told;
static char lines[4096];

/* In the place of the real one, which would need a proxy. */
void sp_app_worker_list(struct sp_app_worker *worker, struct sp_app_worker_list *list)
{
    with[(uintptr_t)worker - 1] = list;
}

static void on_gathered(void *owner, struct sp_span text)
{
    assert_ptr_equal(owner, &told);
    told++;
    (void)snprintf(lines, sizeof(lines), "%.*s", SP_SPAN_ARG(text));
}

static struct sp_app_gathering *gather(uint64_t wait_ms)
{
    static struct sp_app_worker *workers[WORKERS];
    struct sp_app_gather g = {.loop = loop,
                              .workers = workers,
                              .workers_len = WORKERS,
                              .wait_ms = wait_ms,
                              .underway = &underway,
                              .gathered = on_gathered,
                              .owner = &told};
    struct sp_app_gathering *gathering;

    for (uintptr_t i = 0; i < WORKERS; i++)
        workers[i] = (struct sp_app_worker *)(i + 1); /* a name, never followed */
    gathering = sp_app_gather(&g);
    assert_non_null(gathering);
    assert_int_equal(underway, 1);
    return gathering;
}

static void answer(unsigned worker, size_t len, size_t left_out)
{
    struct sp_session_listing *listing = &with[worker]->listing;

    listing->items = len > 0 ? calloc(len, sizeof(*listing->items)) : NULL;
    assert_true(len == 0 || listing->items != NULL);
    for (size_t i = 0; i < len; i++) {
        listing->items[i].state = "waiting";
        listing->items[i].connection = worker * 100 + i;
    }
    listing->len = len;
    listing->left_out = left_out;
    with[worker]->listed(with[worker]);
}

static int setup(void **state)
{
    (void)state;
    pool = sp_work_pool_new(1, 1, 4);
    assert_non_null(pool);
    loop = sp_loop_new(pool);
    assert_non_null(loop);
    told = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(underway, 0);
    sp_loop_free(&loop);
    sp_work_pool_free(&pool);
    return 0;
}

static void assert_line(const char *part)
{
    if (strstr(lines, part) == NULL)
        fail_msg("no %s in:\n%s", part, lines);
}

static void when_all_have_answered_it_is_told(void **state)
{
    (void)state;
    (void)gather(60000);
    assert_int_equal(with[0]->listing.max, SP_APP_GATHER_MAX / WORKERS);
    answer(2, 2, 0);
    answer(0, 1, 7);
    assert_int_equal(told, 0);
    answer(1, 0, 0);
    assert_int_equal(told, 1);
    assert_int_equal(strncmp(lines, "{\"connections\":0,\"tunnels\":0,\"handshakes\":0}\n", 44), 0);
    assert_line("{\"connection\":0,\"worker\":0,");
    assert_line("{\"left_out\":7,\"worker\":0}\n");
    assert_line("{\"connection\":201,\"worker\":2,");
    assert_null(strstr(lines, "silent"));
}

static void who_does_not_answer_in_time_is_named(void **state)
{
    (void)state;
    (void)gather(1);
    answer(0, 1, 0);
    answer(2, 0, 0);
    while (told == 0)
        sp_loop_turn(loop, true);
    assert_line("{\"connection\":0,\"worker\":0,");
    assert_line("{\"silent\":1}\n");
    assert_null(strstr(lines, "\"silent\":2"));
    assert_int_equal(underway, 1); /* its letter is still out */
    answer(1, 5, 0);
    assert_int_equal(told, 1);
}

static void what_is_forgotten_is_not_told(void **state)
{
    struct sp_app_gathering *gathering = gather(60000);

    (void)state;
    answer(0, 1, 0);
    sp_app_gather_forget(gathering);
    answer(1, 1, 0);
    assert_int_equal(underway, 1);
    answer(2, 1, 0);
    assert_int_equal(told, 0);
}

static void people_see_a_row_for_each_line(void **state)
{
    struct sp_app_printer printer;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    const char *shown[] = {
        "{\"connections\":3,\"tunnels\":1,\"handshakes\":0}",
        "{\"client\":\"10.0.0.1\",\"user\":\"al\\u001b[31m\",\"scheme\":\"basic\",\"state\":"
        "\"tunnel\","
        "\"age_ms\":61500,\"target\":\"h:443\",\"bytes_in\":5,\"bytes_out\":6}",
        "{\"client\":\"10.0.0.2\",\"state\":\"serving\",\"exchange\":\"connecting\"}",
        "{\"left_out\":7,\"worker\":1}",
        "{\"silent\":2}",
    };

    (void)state;
    assert_non_null(out);
    sp_app_printer_init(&printer, out, false);
    for (size_t i = 0; i < sizeof(shown) / sizeof(*shown); i++)
        assert_true(sp_app_sessions_show(&printer, sp_span_cstr(shown[i])));
    assert_false(sp_app_sessions_show(&printer, SP_SPAN_LIT("hello")));
    assert_int_equal(fclose(out), 0);
    (void)snprintf(lines, sizeof(lines), "%s", text);
    free(text);
    assert_int_equal(strncmp(lines, "client connections ", 19), 0);
    assert_line("al\\x1b[31m");
    assert_line(" tunnel ");
    assert_line(" 61.5 ");
    assert_line("h:443  5 in, 6 out\n");
    assert_line("serving connecting");
    assert_line("7 more of worker 1 are not shown\n");
    assert_line("worker 2 did not answer in time");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static int group_setup(void **state)
{
    (void)state;
    return sp_stats_init(1) == SP_OK ? 0 : -1;
}

static int group_teardown(void **state)
{
    (void)state;
    sp_stats_fini();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(when_all_have_answered_it_is_told),
        TEST(who_does_not_answer_in_time_is_named),
        TEST(what_is_forgotten_is_not_told),
        cmocka_unit_test(people_see_a_row_for_each_line),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
