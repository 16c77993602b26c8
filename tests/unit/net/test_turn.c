/* Whose events a turn delivers first, how many of the others', and what that keeps alive. */
#include "net_test.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#define PER_TURN 64 /* of clients, see turn.c */

struct bell {
    struct sp_watch watch;
    struct sp_doomed doomed;
    int fd;
    unsigned number;
    unsigned rung;
    bool *released;
};

/* In which order they were heard. */
static unsigned heard[65536];
static unsigned heard_len;
static struct bell *victim; /* closed by the first that is heard */
static struct sp_loop *victims_loop;

static void bell_close(struct sp_loop *loop, struct bell *bell)
{
    close(bell->fd);
    bell->fd = -1;
    bell->watch.on_events = NULL;
    sp_loop_doom_behind(loop, &bell->doomed);
}

static void on_bell(struct sp_watch *watch, uint32_t events)
{
    struct bell *bell = sp_container_of(watch, struct bell, watch);

    assert_int_equal(events, EPOLLIN);
    bell->rung++;
    if (heard_len < sizeof(heard) / sizeof(heard[0]))
        heard[heard_len++] = bell->number;
    if (victim != NULL) {
        struct bell *gone = victim;

        victim = NULL;
        bell_close(victims_loop, gone);
    }
}

static void on_released(struct sp_doomed *doomed)
{
    struct bell *bell = sp_container_of(doomed, struct bell, doomed);

    if (bell->released != NULL)
        *bell->released = true;
    free(bell);
}

static struct bell *bell_new(struct sp_loop *loop, unsigned number, uint32_t how)
{
    struct bell *bell = calloc(1, sizeof(*bell));

    assert_non_null(bell);
    bell->number = number;
    bell->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_true(bell->fd >= 0);
    bell->watch.on_events = on_bell;
    bell->doomed.release = on_released;
    assert_int_equal(
        sp_loop_watch(loop, bell->fd, (uint32_t)(EPOLLIN | EPOLLET) | how, &bell->watch), SP_OK);
    return bell;
}

static void ring(const struct bell *bell)
{
    assert_int_equal(eventfd_write(bell->fd, 1), 0);
}

static void bells_new(struct sp_loop *loop, struct bell **bells, unsigned len)
{
    heard_len = 0;
    for (unsigned i = 0; i < len; i++)
        bells[i] = bell_new(loop, i, SP_WATCH_BEHIND);
}

static void bells_close(struct sp_loop *loop, struct bell **bells, unsigned len)
{
    for (unsigned i = 0; i < len; i++)
        bell_close(loop, bells[i]);
}

static void clients_are_heard_behind_others_and_in_the_same_turn(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    struct bell *bells[3];
    (void)state;

    bells_new(loop, bells, 2);
    bells[2] = bell_new(loop, 2, 0);
    for (unsigned i = 0; i < 3; i++)
        ring(bells[i]);
    sp_loop_turn(loop, true);
    assert_int_equal(heard_len, 3);
    assert_int_equal(heard[0], 2);
    assert_int_equal(heard[1], 0);
    assert_int_equal(heard[2], 1);
    bells_close(loop, bells, 3);
    test_loop_end(&loop);
}

static void of_many_clients_some_are_heard_in_each_turn(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    struct bell *bells[3 * PER_TURN];
    struct bell *other;
    (void)state;

    bells_new(loop, bells, 3 * PER_TURN);
    other = bell_new(loop, 1000, 0);
    for (unsigned i = 0; i < 3 * PER_TURN; i++)
        ring(bells[i]);
    sp_loop_turn(loop, true);
    assert_int_equal(heard_len, PER_TURN);
    ring(other);
    sp_loop_turn(loop, true);
    assert_int_equal(heard_len, 2 * PER_TURN + 1);
    assert_int_equal(heard[PER_TURN], 1000);
    sp_loop_turn(loop, true); /* it does not sleep: nothing would wake it */
    assert_int_equal(heard_len, 3 * PER_TURN + 1);
    for (unsigned i = 0; i < 3 * PER_TURN; i++) /* first come, first served */
        assert_int_equal(heard[i < PER_TURN ? i : i + 1], i);
    bells_close(loop, bells, 3 * PER_TURN);
    bells_close(loop, &other, 1);
    test_loop_end(&loop);
}

static void what_a_waiting_event_names_is_silent_and_still_there(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    struct bell *bells[2 * PER_TURN];
    bool released = false;
    (void)state;

    bells_new(loop, bells, 2 * PER_TURN);
    for (unsigned i = 0; i < 2 * PER_TURN; i++)
        ring(bells[i]);
    victim = bells[2 * PER_TURN - 1];
    victims_loop = loop;
    victim->released = &released;
    sp_loop_turn(loop, true);
    assert_null(victim);
    assert_false(released);
    sp_loop_turn(loop, true); /* looks at it, to find it silent */
    assert_true(released);
    assert_int_equal(heard_len, 2 * PER_TURN - 1);
    bells_close(loop, bells, 2 * PER_TURN - 1);
    test_loop_end(&loop);
}

static void what_is_closed_goes_though_there_is_always_an_event_that_waits(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    struct bell *bells[3 * PER_TURN];
    struct bell *gone;
    bool released = false;
    unsigned turns;
    (void)state;

    bells_new(loop, bells, 3 * PER_TURN);
    gone = bell_new(loop, 1000, 0);
    gone->released = &released;
    for (turns = 0; turns < 100 && !released; turns++) {
        for (unsigned i = 0; i < 3 * PER_TURN; i++)
            ring(bells[i]);
        sp_loop_turn(loop, true);
        assert_true(loop->behind.len > 0);
        if (turns == 3)
            bell_close(loop, gone);
    }
    assert_true(released);
    assert_true(turns > 4);
    bells_close(loop, bells, 3 * PER_TURN);
    test_loop_end(&loop);
}

static void a_full_queue_leaves_events_with_the_kernel(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    struct bell *bells[500];
    (void)state;

    bells_new(loop, bells, 500);
    for (unsigned turn = 0; turn < 60; turn++) { /* 500 more are told, and 64 heard */
        for (unsigned i = 0; i < 500; i++)
            ring(bells[i]);
        sp_loop_turn(loop, false);
        assert_true(loop->behind.len <= SP_EVENT_QUEUE_SIZE);
    }
    assert_true(loop->behind.len + PER_TURN >= SP_EVENT_QUEUE_SIZE);
    for (unsigned i = 0; i < 500; i++) {
        bells[i]->rung = 0;
        ring(bells[i]);
    }
    do
        sp_loop_turn(loop, false);
    while (loop->behind.len > 0);
    for (unsigned i = 0; i < 500; i++)
        assert_true(bells[i]->rung > 0);
    bells_close(loop, bells, 500);
    test_loop_end(&loop);
}

static void one_that_waits_stays_behind_when_it_is_watched_anew(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    struct bell *bells[2];
    (void)state;

    bells_new(loop, bells, 1);
    bells[1] = bell_new(loop, 1, 0);
    assert_int_equal(sp_loop_rewatch(loop, bells[0]->fd,
                                     (uint32_t)(EPOLLIN | EPOLLET) | SP_WATCH_BEHIND,
                                     &bells[0]->watch),
                     SP_OK);
    ring(bells[0]);
    ring(bells[1]);
    sp_loop_turn(loop, true);
    assert_int_equal(heard_len, 2);
    assert_int_equal(heard[0], 1);
    bells_close(loop, bells, 2);
    test_loop_end(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_are_heard_behind_others_and_in_the_same_turn),
        cmocka_unit_test(of_many_clients_some_are_heard_in_each_turn),
        cmocka_unit_test(what_a_waiting_event_names_is_silent_and_still_there),
        cmocka_unit_test(what_is_closed_goes_though_there_is_always_an_event_that_waits),
        cmocka_unit_test(a_full_queue_leaves_events_with_the_kernel),
        cmocka_unit_test(one_that_waits_stays_behind_when_it_is_watched_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
