/* The verdict cache by itself, with a clock of the test's own. */
#include "auth/cache.h"
#include "util/hash.h"
#include "util/span.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define FAMILY 7u

static struct sp_cache_options options = {
    .ttl_ms = 1000, .refresh = 50, .negative_ttl_ms = 500, .grace_ms = 300, .max_entries = 100};
static struct sp_verdict_cache *cache;

static int setup(void **state)
{
    (void)state;
    options.max_entries = 100;
    options.ttl_ms = 1000;
    if (sp_hash_setup() != SP_OK)
        return -1;
    cache = sp_verdict_cache_new(&options);
    return cache != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    sp_verdict_cache_free(&cache);
    return 0;
}

static struct sp_verdict_key key_of(const char *user, const char *password)
{
    struct sp_verdict_key key;

    assert_int_equal(sp_verdict_key_make(&key, SP_SPAN_LIT("basic"), SP_SPAN_LIT("dir"), FAMILY,
                                         sp_span_cstr(user), sp_span_cstr(password)),
                     SP_OK);
    key.flushes = sp_verdict_cache_flushes(cache);
    return key;
}

static void store(const char *user, const char *password, enum sp_verdict verdict, uint64_t now_ms)
{
    struct sp_verdict_key key = key_of(user, password);
    const struct sp_identity *identity = sp_identity_new(sp_span_cstr(user), SP_SPAN_NONE,
                                                         SP_SPAN_LIT("dir"), SP_SCHEME_BASIC,
                                                         SP_SPAN_NONE, NULL, 0);

    assert_non_null(identity);
    sp_verdict_cache_store(cache, &key, verdict, identity, "words", now_ms);
    sp_identity_unref(&identity);
}

static struct sp_kept look(const char *user, const char *password, uint64_t now_ms)
{
    struct sp_verdict_key key = key_of(user, password);
    struct sp_kept kept;

    sp_verdict_cache_lookup(cache, &key, now_ms, &kept);
    sp_identity_unref(&kept.identity);
    return kept;
}

static void a_good_verdict_is_fresh_then_stale_then_gone(void **state)
{
    (void)state;
    store("a", "p", SP_VERDICT_ALLOW, 100);
    assert_int_equal(look("a", "p", 1099).state, SP_KEPT_FRESH);
    assert_int_equal(look("a", "p", 1100).state, SP_KEPT_STALE);
    assert_int_equal(look("a", "p", 1399).state, SP_KEPT_STALE);
    assert_int_equal(look("a", "p", 1400).state, SP_KEPT_NOTHING);
    assert_int_equal(sp_verdict_cache_count(cache), 0);
}

static void a_refusal_is_kept_for_negative_ttl_without_grace(void **state)
{
    struct sp_kept kept;

    (void)state;
    store("a", "p", SP_VERDICT_ACCOUNT, 0);
    kept = look("a", "p", 499);
    assert_int_equal(kept.verdict, SP_VERDICT_ACCOUNT);
    assert_string_equal(kept.reason, "words");
    assert_int_equal(look("a", "p", 500).state, SP_KEPT_NOTHING);
}

static void do_not_know_is_never_kept_and_replaces_nothing(void **state)
{
    (void)state;
    store("a", "p", SP_VERDICT_UNAVAILABLE, 0);
    assert_int_equal(sp_verdict_cache_count(cache), 0);
    store("a", "p", SP_VERDICT_ALLOW, 0);
    store("a", "p", SP_VERDICT_UNAVAILABLE, 1);
    assert_int_equal(look("a", "p", 2).state, SP_KEPT_FRESH);
}

static void a_verdict_on_another_basis_does_not_serve_and_is_replaced(void **state)
{
    struct sp_verdict_key key = key_of("a", "p");
    struct sp_kept kept;

    (void)state;
    store("a", "p", SP_VERDICT_ALLOW, 0); /* on basis 0 */
    key.basis = 1;
    sp_verdict_cache_lookup(cache, &key, 1, &kept);
    assert_int_equal(kept.state, SP_KEPT_NOTHING);
    assert_null(kept.identity);
    sp_verdict_cache_lookup(cache, &key, 1100, &kept); /* nor for grace */
    assert_int_equal(kept.state, SP_KEPT_NOTHING);
    assert_int_equal(look("a", "p", 1).state,
                     SP_KEPT_FRESH); /* who still asks as before finds it */
    sp_verdict_cache_store(cache, &key, SP_VERDICT_DENY, NULL, "words", 2);
    assert_int_equal(look("a", "p", 2).state, SP_KEPT_NOTHING);
    assert_int_equal(sp_verdict_cache_count(cache), 1);
}

static void a_proven_password_ends_the_older_ones_on_any_basis(void **state)
{
    struct sp_verdict_key key = key_of("a", "new");
    const struct sp_identity *identity = sp_identity_new(
        SP_SPAN_LIT("a"), SP_SPAN_NONE, SP_SPAN_LIT("dir"), SP_SCHEME_BASIC, SP_SPAN_NONE, NULL, 0);

    (void)state;
    store("a", "old", SP_VERDICT_ALLOW, 0);
    key.basis = 1;
    sp_verdict_cache_store(cache, &key, SP_VERDICT_ALLOW, identity, NULL, 1);
    sp_identity_unref(&identity);
    assert_int_equal(look("a", "old", 2).state,
                     SP_KEPT_NOTHING); /* should the old basis come back */
}

static void renewal_is_told_to_one_asker_and_again_after_a_pause(void **state)
{
    (void)state;
    options.ttl_ms = 100000;
    sp_verdict_cache_apply(cache, &options);
    store("a", "p", SP_VERDICT_ALLOW, 0);
    assert_false(look("a", "p", 49999).renew);
    assert_true(look("a", "p", 50000).renew);
    assert_false(look("a", "p", 50001).renew);
    assert_true(look("a", "p", 60000).renew);
    store("a", "p", SP_VERDICT_ALLOW, 60001);
    assert_false(look("a", "p", 60002).renew);
}

static void another_right_password_ends_the_older_but_no_refusal(void **state)
{
    (void)state;
    store("a", "old", SP_VERDICT_ALLOW, 0);
    store("a", "wrong", SP_VERDICT_DENY, 0);
    store("b", "old", SP_VERDICT_ALLOW, 0);
    store("a", "new", SP_VERDICT_ALLOW, 1);
    assert_int_equal(look("a", "old", 2).state, SP_KEPT_NOTHING);
    assert_int_equal(look("a", "wrong", 2).verdict, SP_VERDICT_DENY);
    assert_int_equal(look("b", "old", 2).state, SP_KEPT_FRESH);
    assert_int_equal(look("a", "new", 2).state, SP_KEPT_FRESH);
}

static void forgetting_a_user_leaves_the_others(void **state)
{
    (void)state;
    store("a", "p", SP_VERDICT_ALLOW, 0);
    store("a", "q", SP_VERDICT_DENY, 0);
    store("b", "p", SP_VERDICT_ALLOW, 0);
    assert_int_equal(sp_verdict_cache_forget_user(cache, SP_SPAN_LIT("a")), 2);
    assert_int_equal(look("a", "p", 1).state, SP_KEPT_NOTHING);
    assert_int_equal(look("b", "p", 1).state, SP_KEPT_FRESH);
    assert_int_equal(sp_verdict_cache_forget_all(cache), 1);
    assert_int_equal(sp_verdict_cache_count(cache), 0);
}

static void fill(unsigned from, unsigned to, uint64_t now_ms)
{
    char user[16];

    for (unsigned i = from; i < to; i++) {
        (void)snprintf(user, sizeof(user), "u%u", i);
        store(user, "p", SP_VERDICT_ALLOW, now_ms + i);
    }
}

static void the_oldest_goes_when_there_is_no_room(void **state)
{
    (void)state;
    fill(0, 101, 0);
    assert_int_equal(sp_verdict_cache_count(cache), 100);
    assert_int_equal(look("u0", "p", 200).state, SP_KEPT_NOTHING);
    assert_int_equal(look("u1", "p", 200).state, SP_KEPT_FRESH);
}

static void what_is_over_goes_before_what_is_older(void **state)
{
    (void)state;
    fill(0, 99, 0);
    store("x", "p", SP_VERDICT_DENY, 150); /* younger, but over at 650 */
    store("new", "p", SP_VERDICT_ALLOW, 700);
    assert_int_equal(look("u0", "p", 700).state, SP_KEPT_FRESH);
    assert_int_equal(look("x", "p", 649).state, SP_KEPT_NOTHING);
    assert_int_equal(sp_verdict_cache_count(cache), 100);
}

static void refusals_of_one_user_are_bounded(void **state)
{
    char password[16];

    (void)state;
    for (unsigned i = 0; i < 80; i++) {
        (void)snprintf(password, sizeof(password), "p%u", i);
        store("a", password, SP_VERDICT_DENY, i);
    }
    assert_true(sp_verdict_cache_count(cache) <= 33);
    assert_int_equal(look("a", "p79", 80).state, SP_KEPT_FRESH);
    assert_int_equal(look("a", "p0", 80).state, SP_KEPT_NOTHING);
}

static void a_smaller_limit_takes_effect_at_once(void **state)
{
    (void)state;
    options.max_entries = 5000;
    sp_verdict_cache_apply(cache, &options);
    fill(0, 1000, 0);
    assert_int_equal(sp_verdict_cache_count(cache), 1000);
    options.max_entries = 3;
    sp_verdict_cache_apply(cache, &options);
    fill(0, 50, 0);
    assert_int_equal(sp_verdict_cache_count(cache), 3);
    assert_int_equal(look("u49", "p", 60).state, SP_KEPT_FRESH);
}

static void *hammer(void *seed_in)
{
    unsigned seed = *(unsigned *)seed_in;
    char user[16], password[16];

    for (unsigned i = 0; i < 20000; i++) {
        seed = seed * 1103515245u + 12345u;
        (void)snprintf(user, sizeof(user), "u%u", (seed >> 8) % 40);
        (void)snprintf(password, sizeof(password), "p%u", (seed >> 16) % 4);
        if (seed % 5 == 0)
            store(user, password, (seed >> 3) % 2 ? SP_VERDICT_ALLOW : SP_VERDICT_DENY, i / 20);
        else
            (void)look(user, password, i / 20);
        if (seed % 4001 == 0)
            (void)sp_verdict_cache_forget_user(cache, sp_span_cstr(user));
        if (seed % 9001 == 0) {
            struct sp_cache_options other = options;

            other.max_entries = 10 + seed % 2000;
            sp_verdict_cache_apply(cache, &other);
        }
    }
    return NULL;
}

static void four_threads_at_once_lose_nothing(void **state)
{
    unsigned seeds[4] = {1, 2, 3, 4};
    pthread_t threads[4];

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &seeds[i]), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    (void)sp_verdict_cache_forget_all(cache);
    assert_int_equal(sp_verdict_cache_count(cache), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_good_verdict_is_fresh_then_stale_then_gone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_refusal_is_kept_for_negative_ttl_without_grace, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(do_not_know_is_never_kept_and_replaces_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_verdict_on_another_basis_does_not_serve_and_is_replaced,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_proven_password_ends_the_older_ones_on_any_basis, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(renewal_is_told_to_one_asker_and_again_after_a_pause, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(another_right_password_ends_the_older_but_no_refusal, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(forgetting_a_user_leaves_the_others, setup, teardown),
        cmocka_unit_test_setup_teardown(the_oldest_goes_when_there_is_no_room, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_over_goes_before_what_is_older, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals_of_one_user_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(a_smaller_limit_takes_effect_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(four_threads_at_once_lose_nothing, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
