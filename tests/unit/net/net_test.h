/* What the tests of net/ share: a loop that is turned by hand until something has happened, and
 * connected sockets. */
#ifndef SP_TESTS_UNIT_NET_TEST_H
#define SP_TESTS_UNIT_NET_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/loop_priv.h"
#include "net/work.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static inline uint64_t test_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static inline void test_on_guard(uv_timer_t *guard)
{
    (void)guard;
}

/* Turns the loop until *flag, for 5 s at most. */
static inline void test_turn_until(struct sp_loop *loop, const bool *flag)
{
    uint64_t end = test_now_ms() + 5000;
    uv_timer_t guard; /* so that a turn never sleeps for longer */

    uv_timer_init(sp_loop_uv(loop), &guard);
    uv_timer_start(&guard, test_on_guard, 20, 20);
    while (!*flag && test_now_ms() < end)
        sp_loop_turn(loop, true);
    uv_close((uv_handle_t *)&guard, NULL);
    sp_loop_turn(loop, false);
    assert_true(*flag);
}

/* Turns the loop for that long, whatever happens. */
static inline void test_turn_for(struct sp_loop *loop, uint64_t ms)
{
    uint64_t end = test_now_ms() + ms;

    while (test_now_ms() < end) {
        sp_loop_turn(loop, false);
        usleep(1000);
    }
}

static inline struct sp_loop *test_loop_new(struct sp_work_pool *pool)
{
    struct sp_loop *loop = sp_loop_new(pool);

    assert_non_null(loop);
    return loop;
}

/* Everything must have been closed by now: the loop ends at once and without a leak. */
static inline void test_loop_end(struct sp_loop **loop)
{
    uint64_t begin = test_now_ms();

    sp_loop_stop(*loop);
    sp_loop_run(*loop);
    assert_true(test_now_ms() - begin < 2000);
    sp_loop_free(loop);
    assert_null(*loop);
}

/* Two ends of one TCP connection over loopback, non-blocking. */
static inline void test_tcp_pair(int fds[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fds[0], (struct sockaddr *)&at, sizeof(at)), 0);
    fds[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fds[1] >= 0);
    assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    close(listener);
}

#endif
