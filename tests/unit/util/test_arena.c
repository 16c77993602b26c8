/* util/arena: alignment, the limit, and chunks of every size (the sanitizers watch the edges). */
#include "util/arena.h"

#include "util/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdalign.h>
#include <stdlib.h>

#include <cmocka.h>

static void blocks_are_aligned_and_do_not_overlap(void **state)
{
    struct sp_arena arena;
    unsigned char *blocks[300];
    size_t sizes[300];

    (void)state;
    sp_arena_init(&arena, 1u << 20);
    srand(2);
    for (size_t i = 0; i < 300; i++) {
        sizes[i] = (size_t)rand() % (i % 50 == 0 ? 9000 : 200);
        blocks[i] = sp_arena_alloc(&arena, sizes[i]);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % alignof(max_align_t), 0);
        memset(blocks[i], (int)(i & 0xff), sizes[i]);
    }
    for (size_t i = 0; i < 300; i++) {
        for (size_t k = 0; k < sizes[i]; k++)
            assert_int_equal(blocks[i][k], i & 0xff);
    }
    sp_arena_fini(&arena);
}

static void the_limit_holds_whatever_is_asked(void **state)
{
    struct sp_arena arena;
    size_t got = 0;

    (void)state;
    sp_arena_init(&arena, 1000);
    assert_null(sp_arena_alloc(&arena, SIZE_MAX));
    assert_null(sp_arena_alloc(&arena, SIZE_MAX - 15));
    assert_null(sp_arena_alloc(&arena, 1001));
    while (sp_arena_alloc(&arena, 100) != NULL)
        got += 100;
    assert_true(got >= 800 && got <= 1000);
    assert_null(sp_arena_dup(&arena, sp_span_of("x", SIZE_MAX)).base);
    sp_arena_fini(&arena);
}

static void copies_and_formatted_text_end_with_a_nul(void **state)
{
    struct sp_arena arena;
    struct sp_span copy;

    (void)state;
    sp_arena_init(&arena, 10000);
    copy = sp_arena_dup(&arena, sp_span_of("hello world", 5));
    assert_string_equal(copy.base, "hello");
    assert_int_equal(copy.len, 5);
    assert_string_equal(sp_arena_dup(&arena, SP_SPAN_NONE).base, "");
    assert_string_equal(sp_arena_printf(&arena, "%d-%s", 5, "x"), "5-x");
    assert_null(sp_arena_printf(&arena, "%20000d", 5));
    sp_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_and_do_not_overlap),
        cmocka_unit_test(the_limit_holds_whatever_is_asked),
        cmocka_unit_test(copies_and_formatted_text_end_with_a_nul),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
