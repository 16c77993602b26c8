/* Sessions listed some each turn, while others come and go. */
#include "net/work.h"
#include "proxy/proxy_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SESSIONS 1000
#define FEW      10

static struct sp_work_pool *pool;
static struct sp_proxy *proxy;
static struct sp_session *sessions;
static const struct sp_listen listen_block = {.title = "127.0.0.1:3128"};
static unsigned dones;

static void add(struct sp_session *session, uint64_t number)
{
    session->number = number;
    session->proxy = proxy;
    session->listen = &listen_block;
    session->state = SP_SESSION_WAITING;
    sp_list_push(&proxy->sessions, &session->link);
    proxy->sessions_len++;
}

static void take_off(struct sp_session *session)
{
    sp_listings_pass(session);
    sp_list_remove(&session->link);
    proxy->sessions_len--;
}

static int setup(void **state)
{
    (void)state;
    pool = sp_work_pool_new(1, 1, 4);
    proxy = calloc(1, sizeof(*proxy));
    sessions = calloc(SESSIONS + 1, sizeof(*sessions));
    assert_true(pool != NULL && proxy != NULL && sessions != NULL);
    proxy->loop = sp_loop_new(pool);
    assert_non_null(proxy->loop);
    sp_list_init(&proxy->sessions);
    sp_list_init(&proxy->listings);
    dones = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sp_loop_free(&proxy->loop);
    sp_work_pool_free(&pool);
    free(proxy);
    free(sessions);
    return 0;
}

static void on_done(struct sp_session_listing *listing)
{
    assert_true(sp_list_empty(&listing->link));
    dones++;
}

static unsigned turns_until_done(void)
{
    unsigned turns = 0;

    while (dones == 0) {
        sp_loop_turn(proxy->loop, false);
        assert_true(++turns < 100);
    }
    return turns;
}

static void many_take_several_turns_and_the_oldest_come_first(void **state)
{
    struct sp_session_listing listing = {.max = SESSIONS, .done = on_done};

    (void)state;
    for (size_t i = 0; i < SESSIONS; i++)
        add(&sessions[i], i + 1);
    sp_proxy_list_sessions(proxy, &listing);
    assert_int_equal(dones, 0); /* never within the call */
    assert_true(turns_until_done() >= 3);
    assert_int_equal(listing.len, SESSIONS);
    assert_int_equal(listing.left_out, 0);
    for (size_t i = 0; i < SESSIONS; i++)
        assert_int_equal(listing.items[i].connection, i + 1);
    assert_string_equal(listing.items[0].state, "waiting");
    assert_string_equal(listing.items[0].listener, "127.0.0.1:3128");
    assert_null(listing.items[0].exchange);
    free(listing.items);
}

static void sessions_may_close_and_come_in_between(void **state)
{
    struct sp_session_listing listing = {.max = SESSIONS, .done = on_done};
    uint64_t next;

    (void)state;
    for (size_t i = 0; i < SESSIONS; i++)
        add(&sessions[i], i + 1);
    sp_proxy_list_sessions(proxy, &listing);
    sp_loop_turn(proxy->loop, false);
    next = listing.len;
    assert_true(next > 0 && next < SESSIONS - 2);
    take_off(&sessions[next]);     /* where it stands */
    take_off(&sessions[next + 1]); /* where it stands then */
    take_off(&sessions[0]);        /* what it has seen */
    add(&sessions[SESSIONS], SESSIONS + 1);
    (void)turns_until_done();
    assert_int_equal(listing.len, SESSIONS - 2);
    assert_int_equal(listing.items[next].connection, next + 3);
    assert_int_equal(listing.items[listing.len - 1].connection, SESSIONS);
    free(listing.items);
}

static void the_last_one_may_close_in_between(void **state)
{
    struct sp_session_listing listing = {.max = SESSIONS, .done = on_done};

    (void)state;
    for (size_t i = 0; i < SESSIONS; i++)
        add(&sessions[i], i + 1);
    sp_proxy_list_sessions(proxy, &listing);
    sp_loop_turn(proxy->loop, false);
    for (size_t i = 0; i < SESSIONS; i++)
        take_off(&sessions[i]);
    (void)turns_until_done();
    assert_true(listing.len < SESSIONS);
    free(listing.items);
}

static void what_has_no_room_is_counted(void **state)
{
    struct sp_session_listing listing = {.max = 4, .done = on_done};

    (void)state;
    for (size_t i = 0; i < FEW; i++)
        add(&sessions[i], i + 1);
    sp_proxy_list_sessions(proxy, &listing);
    (void)turns_until_done();
    assert_int_equal(listing.len, 4);
    assert_int_equal(listing.left_out, FEW - 4);
    free(listing.items);
}

static void no_sessions_are_an_empty_list(void **state)
{
    struct sp_session_listing listing = {.max = 4, .done = on_done};

    (void)state;
    sp_proxy_list_sessions(proxy, &listing);
    (void)turns_until_done();
    assert_int_equal(listing.len + listing.left_out, 0);
    assert_null(listing.items);
}

static void the_proxys_end_ends_every_listing(void **state)
{
    struct sp_session_listing first = {.max = SESSIONS, .done = on_done};
    struct sp_session_listing second = {.max = SESSIONS, .done = on_done};

    (void)state;
    for (size_t i = 0; i < SESSIONS; i++)
        add(&sessions[i], i + 1);
    sp_proxy_list_sessions(proxy, &first);
    sp_loop_turn(proxy->loop, false);
    sp_proxy_list_sessions(proxy, &second);
    sp_listings_end(proxy);
    assert_int_equal(dones, 2);
    assert_true(first.len > 0 && first.len < SESSIONS && second.len == 0);
    sp_loop_turn(proxy->loop, false); /* nothing of them is left on the loop */
    assert_int_equal(dones, 2);
    free(first.items);
    free(second.items);
}

static void a_text_is_cut_between_letters(void **state)
{
    char text[8];

    (void)state;
    sp_listing_text(text, sizeof(text), SP_SPAN_LIT("seven.."));
    assert_string_equal(text, "seven..");
    sp_listing_text(text, sizeof(text), SP_SPAN_LIT("eight..."));
    assert_string_equal(text, "eigh...");
    sp_listing_text(text, sizeof(text),
                    SP_SPAN_LIT("abc\xc3\xa9"
                                "fgh"));
    assert_string_equal(text, "abc...");
    sp_listing_text(text, sizeof(text), SP_SPAN_NONE);
    assert_string_equal(text, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(many_take_several_turns_and_the_oldest_come_first),
        TEST(sessions_may_close_and_come_in_between),
        TEST(the_last_one_may_close_in_between),
        TEST(what_has_no_room_is_counted),
        TEST(no_sessions_are_an_empty_list),
        TEST(the_proxys_end_ends_every_listing),
        cmocka_unit_test(a_text_is_cut_between_letters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
