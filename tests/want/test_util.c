/* Util under want of memory: what asks for some says that there is none, keeps what it had, and
 * gives everything back. */
#include "util/arena.h"
#include "util/buf.h"
#include "util/hash.h"
#include "util/secret.h"
#include "util/span.h"
#include "want/want.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void fill_buffer(void *state)
{
    static const char text[] = "0123456789abcdef0123456789abcdef";
    struct sp_buf buf;
    enum sp_err err = SP_OK;
    size_t whole = 0;

    (void)state;
    sp_buf_init(&buf, 1u << 20);
    want_begin();
    for (int i = 0; i < 500 && err == SP_OK; i++) {
        err = i % 2 == 0 ? sp_buf_append(&buf, SP_SPAN_LIT(text)) : sp_buf_printf(&buf, "%s", text);
        whole += err == SP_OK ? sizeof(text) - 1 : 0;
    }
    assert_int_equal(err, want_end() ? SP_ERR_NOMEM : SP_OK);
    assert_int_equal(buf.len, whole); /* nothing half written, and nothing lost */
    assert_int_equal(sp_buf_append(&buf, SP_SPAN_LIT(text)), SP_OK);
    assert_memory_equal(sp_buf_span(&buf).base, text, sizeof(text) - 1);
    sp_buf_fini(&buf);
}

static void fill_arena(void *state)
{
    struct sp_arena arena;
    bool all = true;

    (void)state;
    sp_arena_init(&arena, 1u << 20);
    want_begin();
    for (int i = 0; i < 300; i++) {
        all = sp_arena_alloc(&arena, 100) != NULL && all;
        all = sp_arena_dup(&arena, SP_SPAN_LIT("some words")).base != NULL && all;
        all = sp_arena_printf(&arena, "%d words", i) != NULL && all;
    }
    all = sp_arena_alloc(&arena, 100000) != NULL && all;
    assert_int_equal(all, !want_end());
    assert_non_null(sp_arena_alloc(&arena, 5000));
    sp_arena_fini(&arena);
}

static void keep_secret(void *state)
{
    struct sp_secret secret = {0};
    enum sp_err err;
    char *copy;

    (void)state;
    want_begin();
    copy = sp_span_dup(SP_SPAN_LIT("words"));
    err = sp_secret_set(&secret, SP_SPAN_LIT("hush"));
    if (want_end()) {
        assert_true(copy == NULL || err == SP_ERR_NOMEM);
        assert_true(err == SP_OK || secret.base == NULL);
    } else {
        assert_non_null(copy);
        assert_int_equal(err, SP_OK);
    }
    free(copy);
    sp_secret_fini(&secret);
    assert_int_equal(sp_secret_set(&secret, SP_SPAN_LIT("hush")), SP_OK);
    sp_secret_fini(&secret);
}

static void make_digest(void *state)
{
    const struct sp_span parts[] = {SP_SPAN_LIT("alice"), SP_SPAN_LIT("secret")};
    struct sp_digest digest;

    (void)state;
    want_begin();
    assert_int_equal(sp_digest_make(&digest, parts, 2), SP_OK);
    assert_false(want_end()); /* nothing was asked for */
}

static void a_buffer_keeps_what_it_had(void **state)
{
    (void)state;
    want_each("buffer", WANT_OURS, 1, fill_buffer, NULL);
}

static void an_arena_says_that_there_is_none(void **state)
{
    (void)state;
    want_each("arena", WANT_OURS, 1, fill_arena, NULL);
}

static void a_secret_is_kept_whole_or_not_at_all(void **state)
{
    (void)state;
    want_each("secret", WANT_OURS, 1, keep_secret, NULL);
}

static void a_digest_costs_no_memory(void **state)
{
    (void)state;
    assert_int_equal(sp_hash_setup(), SP_OK);
    want_each("digest", WANT_ALL, 1, make_digest, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_keeps_what_it_had),
        cmocka_unit_test(an_arena_says_that_there_is_none),
        cmocka_unit_test(a_secret_is_kept_whole_or_not_at_all),
        cmocka_unit_test(a_digest_costs_no_memory),
    };

    return cmocka_run_group_tests_name("want: util", tests, NULL, NULL);
}
