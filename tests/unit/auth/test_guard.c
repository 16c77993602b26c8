/* The guard by itself, with a clock of the test's own. */
#include "auth/guard.h"
#include "util/hash.h"
#include "util/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define MINUTE 60000u

static struct sp_guard_options options;
static struct sp_guard *guard;
static struct sp_guard_block block;

static int setup(void **state)
{
    (void)state;
    options = (struct sp_guard_options){.user_failures = 3,
                                        .client_failures = 10,
                                        .window_ms = 30 * MINUTE,
                                        .block_ms = 5 * MINUTE};
    if (sp_hash_setup() != SP_OK)
        return -1;
    guard = sp_guard_new(&options);
    return guard != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    sp_guard_free(&guard);
    return 0;
}

/* Several at once may be in use. */
static struct sp_guard_who *who(const char *user, const char *password, const char *client)
{
    static const char agent[] = "OldPhone/1.0 and much more than is kept of it, since it may be as "
                                "long as a head";
    static struct sp_guard_who made[8];
    static struct sp_digest digests[8];
    static struct sp_addr addrs[8];
    static unsigned next;
    unsigned i = next++ % 8;
    struct sp_span secret = sp_span_cstr(password);

    assert_int_equal(sp_digest_make(&digests[i], &secret, 1), SP_OK);
    assert_int_equal(sp_addr_parse_ip(&addrs[i], sp_span_cstr(client)), SP_OK);
    made[i] = (struct sp_guard_who){.backend = SP_SPAN_LIT("dir"),
                                    .user = sp_span_cstr(user),
                                    .password = &digests[i],
                                    .client = &addrs[i],
                                    .user_agent = sp_span_cstr(agent)};
    return &made[i];
}

static bool try_login(const char *user, const char *password, const char *client,
                      enum sp_guard_end end, uint64_t now_ms)
{
    struct sp_guard_who *w = who(user, password, client);

    if (sp_guard_reserve(guard, w, now_ms, &block) != SP_OK)
        return false;
    (void)sp_guard_settle(guard, w, end, now_ms);
    return true;
}

static bool wrong(const char *password, uint64_t now_ms)
{
    return try_login("alice", password, "10.0.0.1", SP_GUARD_WRONG, now_ms);
}

static void the_limit_of_distinct_wrong_passwords_blocks(void **state)
{
    (void)state;
    assert_true(wrong("a", 0));
    assert_true(wrong("a", 1)); /* the same again: counts once */
    assert_true(wrong("b", 2));
    assert_false(sp_guard_blocked(guard, who("alice", "x", "10.0.0.1"), 3, &block));
    assert_true(wrong("c", 3));
    assert_true(sp_guard_blocked(guard, who("alice", "x", "10.0.0.1"), 4, &block));
    assert_true(block.user);
    assert_int_equal(block.retry_after_s, 300);
    assert_false(wrong("d", 4));
    assert_false(sp_guard_blocked(guard, who("bob", "x", "10.0.0.1"), 4, &block));
    assert_int_equal(sp_guard_count(guard, true, 4), 1);
    assert_int_equal(sp_guard_count(guard, true, 3 + 5 * MINUTE), 0);
}

static void those_that_are_blocked_are_listed(void **state)
{
    struct sp_guard_blocked list[2];

    (void)state;
    assert_int_equal(sp_guard_list(guard, 0, list, 2), 0);
    assert_true(wrong("a", 0));
    assert_true(wrong("b", 0));
    assert_int_equal(sp_guard_list(guard, 0, list, 2), 0);
    assert_true(wrong("c", 0));
    assert_int_equal(sp_guard_list(guard, 1000, list, 2), 1);
    assert_string_equal(list[0].user, "alice");
    assert_string_equal(list[0].backend, "dir");
    assert_int_equal(list[0].left_s, 299);
    assert_int_equal(sp_guard_list(guard, 1000, list, 0), 0);
    assert_int_equal(sp_guard_list(guard, 5 * MINUTE, list, 2), 0);
    sp_guard_forget(guard, SP_SPAN_LIT("alice"));
    assert_int_equal(sp_guard_list(guard, 1000, list, 2), 0);
}

static void a_block_names_who_brought_it_about(void **state)
{
    struct sp_addr culprit;

    (void)state;
    assert_int_equal(sp_addr_parse_ip(&culprit, SP_SPAN_LIT("10.0.0.7")), SP_OK);
    assert_true(wrong("a", 0));
    assert_true(wrong("b", 1));
    assert_true(try_login("alice", "c", "10.0.0.7", SP_GUARD_WRONG, 2));
    assert_false(wrong("d", 3));
    assert_true(block.has_culprit);
    assert_true(sp_addr_same_ip(&block.culprit.client, &culprit));
    assert_int_equal(strlen(block.culprit.user_agent), sizeof(block.culprit.user_agent) - 1);
    assert_memory_equal(block.culprit.user_agent, "OldPhone/1.0 and much", 21);
}

static void after_a_block_one_wrong_password_blocks_anew(void **state)
{
    uint64_t after = 3 + 5 * MINUTE;
    struct sp_guard_who *first = who("alice", "d", "10.0.0.1");

    (void)state;
    assert_true(wrong("a", 1) && wrong("b", 2) && wrong("c", 3));
    assert_int_equal(sp_guard_reserve(guard, first, after, &block), SP_OK);
    assert_int_equal(sp_guard_reserve(guard, who("alice", "e", "10.0.0.1"), after, &block),
                     SP_ERR_DENIED);
    assert_true(sp_guard_settle(guard, first, SP_GUARD_WRONG, after).user_blocked);
    assert_false(wrong("e", after + 1));
    assert_true(try_login("alice", "right", "10.0.0.1", SP_GUARD_HARMLESS, after + 5 * MINUTE));
    assert_false(
        sp_guard_blocked(guard, who("alice", "x", "10.0.0.1"), after + 5 * MINUTE + 1, &block));
}

/* Three devices, each with an old password of its own: a directory that counts every bind sees one
 * for each block, whichever of them it is. */
static void after_a_block_known_wrong_passwords_take_turns_too(void **state)
{
    uint64_t after = 3 + 5 * MINUTE;
    struct sp_guard_who *first = who("alice", "a", "10.0.0.1");

    (void)state;
    assert_true(wrong("a", 1) && wrong("b", 2) && wrong("c", 3));
    assert_int_equal(sp_guard_reserve(guard, first, after, &block), SP_OK);
    assert_false(wrong("b", after));
    assert_true(sp_guard_settle(guard, first, SP_GUARD_WRONG, after).user_blocked);
    assert_false(wrong("b", after + 1));
    assert_false(wrong("c", after + 1));
    assert_true(wrong("c", after + 5 * MINUTE));
    assert_false(wrong("b", after + 5 * MINUTE + 1));
    assert_true(wrong("b", 31 * MINUTE)); /* "b" has left the window: below the limit again */
}

static void the_window_slides(void **state)
{
    (void)state;
    assert_true(wrong("a", 0));
    assert_true(wrong("b", 20 * MINUTE));
    assert_true(wrong("c", 30 * MINUTE)); /* "a" has left */
    assert_false(sp_guard_blocked(guard, who("alice", "x", "10.0.0.1"), 30 * MINUTE, &block));
    assert_true(wrong("d", 31 * MINUTE));
    assert_true(sp_guard_blocked(guard, who("alice", "x", "10.0.0.1"), 31 * MINUTE, &block));
}

static void places_are_reserved_before_the_answer(void **state)
{
    struct sp_guard_who *w[3] = {who("alice", "a", "10.0.0.1"), who("alice", "b", "10.0.0.1"),
                                 who("alice", "c", "10.0.0.1")};

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(sp_guard_reserve(guard, w[i], 0, &block), SP_OK);
    assert_int_equal(sp_guard_reserve(guard, who("alice", "d", "10.0.0.1"), 0, &block),
                     SP_ERR_DENIED);
    (void)sp_guard_settle(guard, w[0], SP_GUARD_HARMLESS, 1);
    assert_int_equal(sp_guard_reserve(guard, w[0], 2, &block), SP_OK); /* given back */
    for (unsigned i = 0; i < 3; i++)
        (void)sp_guard_settle(guard, w[i], SP_GUARD_HARMLESS, 3);
}

static void strangers_count_for_the_client_alone(void **state)
{
    char user[16];

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        (void)snprintf(user, sizeof(user), "n%u", i);
        assert_true(try_login(user, "p", "10.0.0.9", SP_GUARD_STRANGER, i));
    }
    assert_true(sp_guard_blocked(guard, who("bob", "x", "::ffff:10.0.0.9"), 11, &block));
    assert_false(block.user);
    assert_false(sp_guard_blocked(guard, who("bob", "x", "10.0.0.8"), 11, &block));
    assert_int_equal(sp_guard_count(guard, false, 11), 1);
    assert_int_equal(sp_guard_count(guard, true, 11), 0);
    assert_false(sp_guard_blocked(guard, who("bob", "x", "10.0.0.9"), 9 + 5 * MINUTE, &block));
}

static void ipv6_clients_count_by_their_64(void **state)
{
    char client[64];

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        (void)snprintf(client, sizeof(client), "2001:db8:0:1::%x", i + 1);
        assert_true(try_login("n", "p", client, SP_GUARD_STRANGER, i));
    }
    assert_true(sp_guard_blocked(guard, who("b", "x", "2001:db8:0:1:ffff::1"), 11, &block));
    assert_false(sp_guard_blocked(guard, who("b", "x", "2001:db8:0:2::1"), 11, &block));
}

static void a_clients_window_slides_too(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 9; i++)
        assert_true(try_login("n", "p", "10.0.0.9", SP_GUARD_STRANGER, i));
    assert_true(try_login("n", "p", "10.0.0.9", SP_GUARD_STRANGER, 32 * MINUTE));
    assert_false(sp_guard_blocked(guard, who("b", "x", "10.0.0.9"), 32 * MINUTE, &block));
}

static void zero_turns_it_off(void **state)
{
    char password[16];

    (void)state;
    options.user_failures = options.client_failures = 0;
    sp_guard_apply(guard, &options);
    for (unsigned i = 0; i < 50; i++) {
        (void)snprintf(password, sizeof(password), "p%u", i);
        assert_true(wrong(password, i));
    }
    assert_false(sp_guard_blocked(guard, who("alice", "x", "10.0.0.1"), 51, &block));
}

static void forgetting_lifts_the_block(void **state)
{
    (void)state;
    assert_true(wrong("a", 1) && wrong("b", 2) && wrong("c", 3));
    sp_guard_forget(guard, SP_SPAN_LIT("bob"));
    assert_true(sp_guard_blocked(guard, who("alice", "x", "10.0.0.1"), 4, &block));
    sp_guard_forget(guard, SP_SPAN_LIT("alice"));
    assert_false(sp_guard_blocked(guard, who("alice", "x", "10.0.0.1"), 4, &block));
    assert_true(wrong("d", 5) && wrong("e", 6));
    assert_false(sp_guard_blocked(guard, who("alice", "x", "10.0.0.1"), 7, &block));
}

static void a_place_forgotten_while_asked_is_settled_without_harm(void **state)
{
    struct sp_guard_who *w = who("alice", "a", "10.0.0.1");

    (void)state;
    assert_int_equal(sp_guard_reserve(guard, w, 0, &block), SP_OK);
    sp_guard_forget(guard, SP_SPAN_LIT("alice"));
    assert_false(sp_guard_settle(guard, w, SP_GUARD_WRONG, 1).user_blocked);
}

static void memory_stays_bounded(void **state)
{
    char user[32];

    (void)state;
    options.client_failures = 0;
    sp_guard_apply(guard, &options);
    for (unsigned i = 0; i < 100000; i++) {
        (void)snprintf(user, sizeof(user), "user%u", i);
        assert_true(try_login(user, "p", "10.0.0.1", SP_GUARD_WRONG, i));
    }
    assert_true(wrong("a", 100000) && wrong("b", 100000) && wrong("c", 100000));
    assert_true(sp_guard_blocked(guard, who("alice", "x", "10.0.0.1"), 100001, &block));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_limit_of_distinct_wrong_passwords_blocks),
        T(those_that_are_blocked_are_listed),
        T(a_block_names_who_brought_it_about),
        T(after_a_block_one_wrong_password_blocks_anew),
        T(after_a_block_known_wrong_passwords_take_turns_too),
        T(the_window_slides),
        T(places_are_reserved_before_the_answer),
        T(strangers_count_for_the_client_alone),
        T(ipv6_clients_count_by_their_64),
        T(a_clients_window_slides_too),
        T(zero_turns_it_off),
        T(forgetting_lifts_the_block),
        T(a_place_forgotten_while_asked_is_settled_without_harm),
        T(memory_stays_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
