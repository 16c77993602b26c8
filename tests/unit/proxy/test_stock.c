/* What the proxy keeps for use again: heads in memory of their size. */
#include "proxy/proxy_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int setup(void **state)
{
    struct sp_proxy *proxy = calloc(1, sizeof(*proxy));

    assert_non_null(proxy);
    *state = proxy;
    return 0;
}

static int teardown(void **state)
{
    struct sp_proxy *proxy = *state;

    sp_stocks_free(proxy);
    free(proxy);
    return 0;
}

static void fill(struct sp_proxy *proxy, struct sp_buf *buf, size_t len)
{
    char *room;

    assert_int_equal(sp_slab_lend(proxy, buf, SLAB_SIZE), SP_OK);
    assert_int_equal(sp_buf_reserve(buf, len, &room), SP_OK);
    memset(room, 'x', len);
    sp_buf_commit(buf, len);
}

static void a_head_moves_and_leaves_nothing_behind(void **state)
{
    struct sp_proxy *proxy = *state;
    char nothing[HEAD_SIZE] = {0};
    char all[HEAD_SIZE];
    struct sp_buf buf = {0};
    const char *slab;

    memset(all, 'x', sizeof(all));
    fill(proxy, &buf, HEAD_SIZE);
    slab = buf.base;
    sp_slab_shrink(proxy, &buf);
    assert_int_equal(buf.cap, HEAD_SIZE);
    assert_int_equal(buf.len, HEAD_SIZE);
    assert_memory_equal(buf.base, all, HEAD_SIZE);
    assert_int_equal(proxy->spare_slabs_len, 1);
    assert_ptr_equal(proxy->spare_slabs[0], slab);
    assert_memory_equal(slab, nothing, HEAD_SIZE);
    sp_slab_return(proxy, &buf);
    assert_int_equal(proxy->spare_heads_len, 1);
}

static void a_head_that_was_returned_is_used_again(void **state)
{
    struct sp_proxy *proxy = *state;
    struct sp_buf buf = {0};
    const void *spare;

    fill(proxy, &buf, 1);
    sp_slab_shrink(proxy, &buf);
    spare = buf.base;
    sp_slab_return(proxy, &buf);
    fill(proxy, &buf, 100);
    sp_slab_shrink(proxy, &buf);
    assert_ptr_equal(buf.base, spare);
    assert_int_equal(buf.len, 100);
    assert_int_equal(proxy->spare_heads_len, 0);
    sp_slab_return(proxy, &buf);
}

static void a_long_head_stays_where_it_is(void **state)
{
    struct sp_proxy *proxy = *state;
    struct sp_buf buf = {0};
    const char *slab;

    fill(proxy, &buf, HEAD_SIZE + 1);
    slab = buf.base;
    sp_slab_shrink(proxy, &buf);
    assert_ptr_equal(buf.base, slab);
    assert_int_equal(buf.len, HEAD_SIZE + 1);
    sp_slab_return(proxy, &buf);
}

/* After a burst of many requests at once its memory goes back. */
static void spare_heads_are_bounded_by_what_is_under_way(void **state)
{
    struct sp_proxy *proxy = *state;
    static struct sp_buf bufs[EXCHANGES_KEPT + 20];
    const size_t len = sizeof(bufs) / sizeof(bufs[0]);

    for (size_t i = 0; i < len; i++) {
        fill(proxy, &bufs[i], 1);
        sp_slab_shrink(proxy, &bufs[i]);
    }
    proxy->exchanges_len = 10;
    for (size_t i = 0; i < len; i++)
        sp_slab_return(proxy, &bufs[i]);
    assert_int_equal(proxy->spare_heads_len, EXCHANGES_KEPT + 10);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_head_moves_and_leaves_nothing_behind),
        CASE(a_head_that_was_returned_is_used_again),
        CASE(a_long_head_stays_where_it_is),
        CASE(spare_heads_are_bounded_by_what_is_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
