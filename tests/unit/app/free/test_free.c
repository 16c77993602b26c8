/* app/free: what was in a block is gone with it. Looks at memory after it was given back, which is
 * still there but for the allocator's own notes at both ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECRET 0xa5
#define NOTES  64u

/* A block with a neighbour above it, or what is free there would go back to the system. */
static unsigned char *block_of(size_t len)
{
    unsigned char *block = malloc(len);
    void *volatile neighbour = malloc(len);

    assert_non_null(block);
    assert_non_null(neighbour);
    memset(block, SECRET, len);
    return block;
}

/* The compiler knows what one may not do with a block that was given back. */
static const volatile unsigned char *place_of(const void *block)
{
    volatile uintptr_t place = (uintptr_t)block;

    return (const volatile unsigned char *)place;
}

static size_t count_secret(const volatile unsigned char *place, size_t from, size_t to)
{
    size_t count = 0;

    for (size_t i = from; i < to; i++)
        count += place[i] == SECRET ? 1 : 0;
    return count;
}

static void what_is_freed_is_wiped(void **state)
{
    unsigned char *block = block_of(1000);
    const volatile unsigned char *place = place_of(block);
    (void)state;

    assert_int_equal(count_secret(place, 0, 1000), 1000);
    free(block);
    assert_int_equal(count_secret(place, NOTES, 1000 - NOTES), 0);
}

static void what_grows_takes_all_along(size_t len)
{
    unsigned char *block = block_of(len);
    const volatile unsigned char *place = place_of(block);
    unsigned char *grown = realloc(block, 2 * len);

    assert_non_null(grown);
    assert_int_equal(count_secret(grown, 0, len), len);
    assert_int_equal(count_secret(place, NOTES, len - NOTES), 0);
    free(grown);
}

static void a_block_that_grows_leaves_nothing_behind(void **state)
{
    (void)state;
    what_grows_takes_all_along(1000);
}

/* Once a mapping was freed, the C library has blocks of its size in the heap, where they stay. */
static void nor_does_one_that_could_have_been_a_mapping(void **state)
{
    void *volatile mapping = malloc(4u << 20); /* else the compiler leaves both calls out */
    (void)state;

    assert_non_null(mapping);
    free(mapping);
    what_grows_takes_all_along(500u * 1024);
}

static void a_block_that_shrinks_keeps_only_its_part(void **state)
{
    unsigned char *block = block_of(1000);
    const volatile unsigned char *place = place_of(block);
    unsigned char *shrunk = realloc(block, 400);
    (void)state;

    assert_non_null(shrunk);
    assert_int_equal(count_secret(shrunk, 0, 400), 400);
    assert_int_equal(count_secret(place, 400 + NOTES, 1000 - NOTES), 0);
    free(shrunk);
}

static void nothing_is_left_of_one_that_shrinks_to_nothing(void **state)
{
    unsigned char *block = block_of(1000);
    const volatile unsigned char *place = place_of(block);
    volatile size_t none = 0;
    (void)state;

    assert_null(realloc(block, none));
    assert_int_equal(count_secret(place, NOTES, 1000 - NOTES), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_freed_is_wiped),
        cmocka_unit_test(a_block_that_grows_leaves_nothing_behind),
        cmocka_unit_test(nor_does_one_that_could_have_been_a_mapping),
        cmocka_unit_test(a_block_that_shrinks_keeps_only_its_part),
        cmocka_unit_test(nothing_is_left_of_one_that_shrinks_to_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
