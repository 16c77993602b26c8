/* The pool of idle upstreams, over real sockets. */
#include "proxy/proxy_priv.h"

#include "util/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static int setup(void **state)
{
    struct sp_proxy *proxy = calloc(1, sizeof(*proxy));

    assert_non_null(proxy);
    assert_int_equal(sp_hash_setup(), SP_OK);
    proxy->loop = sp_loop_new(NULL);
    assert_non_null(proxy->loop);
    sp_list_init(&proxy->pool);
    *state = proxy;
    return 0;
}

static int teardown(void **state)
{
    struct sp_proxy *proxy = *state;

    sp_upstream_close_idle(proxy);
    sp_loop_free(&proxy->loop);
    free(proxy);
    return 0;
}

static const struct sp_addr nowhere;

static struct sp_upstream *connected(struct sp_proxy *proxy, uint16_t port, int *origin_out)
{
    struct sp_stream *stream;
    struct sp_upstream *upstream;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    stream = sp_stream_new(proxy->loop, pair[0]);
    assert_non_null(stream);
    upstream = sp_upstream_new(proxy, &stream, SP_SPAN_LIT("origin"), port, &nowhere);
    assert_non_null(upstream);
    *origin_out = pair[1];
    return upstream;
}

static bool fits(void *owner, const struct sp_addr *addr)
{
    (void)owner;
    (void)addr;
    return true;
}

static bool is_pooled(struct sp_proxy *proxy, uint16_t port)
{
    struct sp_upstream *upstream = sp_upstream_take(proxy, NULL, SP_SPAN_LIT("origin"), port, fits,
                                                    NULL);

    if (upstream == NULL)
        return false;
    sp_upstream_close(&upstream, false);
    return true;
}

/* Two become idle while `at_work` others are lent out to `clients`. */
static void keep_two(struct sp_proxy *proxy, size_t at_work, size_t clients)
{
    int origins[2];
    struct sp_upstream *first = connected(proxy, 1, &origins[0]);
    struct sp_upstream *second = connected(proxy, 2, &origins[1]);

    proxy->upstreams_len += at_work;
    proxy->sessions_len = clients;
    sp_upstream_keep(&first, NULL, 60000);
    sp_upstream_keep(&second, NULL, 60000);
    proxy->upstreams_len -= at_work;
    close(origins[0]);
    close(origins[1]);
}

static void each_client_may_have_left_a_connection(void **state)
{
    struct sp_proxy *proxy = *state;

    keep_two(proxy, 2 * POOL_MAX, POOL_MAX + 2);
    assert_true(is_pooled(proxy, 1));
    assert_true(is_pooled(proxy, 2));
}

static void the_oldest_idle_one_gives_way(void **state)
{
    struct sp_proxy *proxy = *state;

    keep_two(proxy, 2 * POOL_MAX, POOL_MAX + 1);
    assert_false(is_pooled(proxy, 1));
    assert_true(is_pooled(proxy, 2));
}

/* Takes all descriptors up to `last`; returns how many. */
static int take_up_to(int last, int *taken)
{
    int len = 0;

    while ((taken[len] = dup(STDERR_FILENO)) >= 0 && taken[len] < last)
        len++;
    assert_int_equal(taken[len], last);
    return len + 1;
}

static void one_of_the_last_descriptors_is_not_kept_idle(void **state)
{
    struct sp_proxy *proxy = *state;
    struct sp_loop *loop = proxy->loop;
    struct sp_upstream *scarce;
    struct rlimit before;
    struct rlimit few;
    int taken[64];
    int taken_len;
    int origin;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 64; /* of which the last four are kept */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    proxy->loop = sp_loop_new(NULL);
    assert_non_null(proxy->loop);
    keep_two(proxy, 0, 2);
    taken_len = take_up_to(59, taken);
    scarce = connected(proxy, 3, &origin);
    sp_upstream_keep(&scarce, NULL, 60000);
    while (taken_len > 0)
        close(taken[--taken_len]);
    close(origin);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(is_pooled(proxy, 1));
    assert_true(is_pooled(proxy, 2));
    assert_false(is_pooled(proxy, 3));
    sp_loop_free(&proxy->loop);
    proxy->loop = loop;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(each_client_may_have_left_a_connection),
        CASE(the_oldest_idle_one_gives_way),
        CASE(one_of_the_last_descriptors_is_not_kept_idle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
