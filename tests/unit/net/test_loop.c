/* The loop: what runs when in a turn, letters, timers, sleep, and the end. */
#include "net_test.h"

#include <pthread.h>

/* ---- soon ---- */

struct hop {
    struct sp_soon soon;
    struct sp_loop *loop;
    unsigned left;
    unsigned ran;
    bool finished;
};

static void on_hop(struct sp_soon *soon)
{
    struct hop *hop = sp_container_of(soon, struct hop, soon);

    hop->ran++;
    if (--hop->left > 0)
        sp_loop_soon(hop->loop, soon);
    else
        hop->finished = true;
}

/* In place: a list's node points to itself. */
static void hop_init(struct hop *hop, struct sp_loop *loop, unsigned times)
{
    *hop = (struct hop){.loop = loop, .left = times};
    sp_soon_init(&hop->soon, on_hop);
}

static void a_soon_callback_runs_once_and_not_inside_the_call(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    struct hop hop;
    (void)state;

    hop_init(&hop, loop, 1);
    sp_loop_soon(loop, &hop.soon);
    sp_loop_soon(loop, &hop.soon);
    assert_int_equal(hop.ran, 0);
    test_turn_until(loop, &hop.finished);
    assert_int_equal(hop.ran, 1);
    test_loop_end(&loop);
}

static void a_cancelled_soon_callback_does_not_run(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    struct hop gone;
    struct hop hop;
    (void)state;

    hop_init(&gone, loop, 1);
    hop_init(&hop, loop, 1);
    sp_loop_soon(loop, &gone.soon);
    sp_loop_soon(loop, &hop.soon);
    sp_soon_cancel(&gone.soon);
    test_turn_until(loop, &hop.finished);
    assert_int_equal(gone.ran, 0);
    test_loop_end(&loop);
}

struct relay {
    struct sp_soon soon;
    struct sp_loop *loop;
    struct relay *next;
    uint64_t turn;
};

static void on_relay(struct sp_soon *soon)
{
    struct relay *relay = sp_container_of(soon, struct relay, soon);

    relay->turn = relay->loop->turns;
    if (relay->next != NULL)
        sp_loop_soon(relay->loop, &relay->next->soon);
}

static void a_short_chain_of_soon_callbacks_ends_in_its_turn(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    struct relay relays[5] = {0};
    (void)state;

    for (unsigned i = 0; i < 5; i++) {
        sp_soon_init(&relays[i].soon, on_relay);
        relays[i].loop = loop;
        relays[i].next = i < 4 ? &relays[i + 1] : NULL;
    }
    sp_loop_soon(loop, &relays[0].soon);
    sp_loop_turn(loop, true);
    assert_true(relays[4].turn > 0);
    assert_int_equal(relays[4].turn, relays[0].turn);
    test_loop_end(&loop);
}

static void one_that_queues_itself_runs_once_a_turn_and_the_loop_does_not_sleep(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    struct hop hop;
    uint64_t begin = test_now_ms();
    (void)state;

    hop_init(&hop, loop, 1000);
    sp_loop_soon(loop, &hop.soon);
    for (unsigned i = 1; i <= 1000; i++) { /* without any other event to wake it */
        sp_loop_turn(loop, true);
        assert_int_equal(hop.ran, i);
    }
    assert_true(hop.finished);
    assert_true(test_now_ms() - begin < 5000);
    test_loop_end(&loop);
}

static void two_that_queue_each_other_do_not_starve_the_loop(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    struct relay relays[2] = {0};
    (void)state;

    for (unsigned i = 0; i < 2; i++) {
        sp_soon_init(&relays[i].soon, on_relay);
        relays[i].loop = loop;
        relays[i].next = &relays[1 - i];
    }
    sp_loop_soon(loop, &relays[0].soon);
    for (unsigned i = 0; i < 10; i++)
        sp_loop_turn(loop, true); /* returns, each time */
    assert_true(relays[0].turn >= 9 || relays[1].turn >= 9);
    for (unsigned i = 0; i < 2; i++)
        sp_soon_cancel(&relays[i].soon);
    test_loop_end(&loop);
}

/* ---- letters ---- */

#define LETTERS 2000

struct letter {
    struct sp_mail mail;
    unsigned number;
};

static struct {
    struct sp_loop *loop;
    struct letter letters[LETTERS];
    unsigned delivered;
    bool in_order;
    bool all;
} post;

static void on_letter(struct sp_mail *mail)
{
    struct letter *letter = sp_container_of(mail, struct letter, mail);

    if (letter->number != post.delivered)
        post.in_order = false;
    if (++post.delivered == LETTERS)
        post.all = true;
}

static void *post_all(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < LETTERS; i++) {
        post.letters[i] = (struct letter){.mail.deliver = on_letter, .number = i};
        if (sp_loop_post(post.loop, &post.letters[i].mail) != SP_OK)
            abort();
    }
    return NULL;
}

static void letters_from_another_thread_come_in_order(void **state)
{
    pthread_t thread;
    (void)state;

    memset(&post, 0, sizeof(post));
    post.loop = test_loop_new(NULL);
    post.in_order = true;
    assert_int_equal(pthread_create(&thread, NULL, post_all, NULL), 0);
    test_turn_until(post.loop, &post.all);
    pthread_join(thread, NULL);
    assert_true(post.in_order);
    assert_int_equal(post.delivered, LETTERS);
    test_loop_end(&post.loop);
}

static void a_letter_after_the_end_is_refused(void **state)
{
    struct letter letter = {.mail.deliver = on_letter};
    (void)state;

    memset(&post, 0, sizeof(post));
    post.loop = test_loop_new(NULL);
    sp_loop_stop(post.loop);
    sp_loop_run(post.loop);
    assert_int_equal(sp_loop_post(post.loop, &letter.mail), SP_ERR_CLOSED);
    assert_int_equal(post.delivered, 0);
    sp_loop_free(&post.loop);
}

static void a_letter_posted_before_the_end_is_delivered(void **state)
{
    struct letter letter = {.mail.deliver = on_letter};
    (void)state;

    memset(&post, 0, sizeof(post));
    post.loop = test_loop_new(NULL);
    sp_loop_stop(post.loop);
    assert_int_equal(sp_loop_post(post.loop, &letter.mail), SP_OK);
    sp_loop_run(post.loop);
    assert_int_equal(post.delivered, 1);
    sp_loop_free(&post.loop);
}

/* ---- timers ---- */

struct alarm {
    struct sp_timer timer;
    struct sp_loop *loop;
    uint64_t begun;
    uint64_t fired_at;
    unsigned count;
    unsigned again; /* starts itself anew that many times */
    bool fired;
    struct alarm *stops;
};

static void on_alarm(struct sp_timer *timer)
{
    struct alarm *alarm = sp_container_of(timer, struct alarm, timer);

    assert_false(sp_timer_active(timer));
    alarm->count++;
    alarm->fired_at = test_now_ms();
    if (alarm->stops != NULL)
        sp_timer_stop(&alarm->stops->timer);
    if (alarm->again > 0) {
        alarm->again--;
        sp_timer_start(alarm->loop, timer, 0);
        return;
    }
    alarm->fired = true;
}

static void alarm_start(struct alarm *alarm, struct sp_loop *loop, uint64_t ms)
{
    *alarm = (struct alarm){.loop = loop};
    sp_timer_init(&alarm->timer, on_alarm);
    uv_update_time(sp_loop_uv(loop));
    alarm->begun = test_now_ms();
    sp_timer_start(loop, &alarm->timer, ms);
}

static void a_timer_fires_once_and_never_early(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    struct alarm alarms[6];
    static const uint64_t ms[6] = {150, 0, 1, 10, 35, 90};
    (void)state;

    for (unsigned i = 0; i < 6; i++)
        alarm_start(&alarms[i], loop, ms[i]);
    test_turn_until(loop, &alarms[0].fired);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(alarms[i].count, 1);
        assert_true(alarms[i].fired_at - alarms[i].begun + 1 >= ms[i]);
    }
    test_loop_end(&loop);
}

static void a_timer_started_anew_counts_from_then(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    struct alarm alarm;
    uint64_t begun;
    (void)state;

    alarm_start(&alarm, loop, 30);
    test_turn_for(loop, 10);
    uv_update_time(sp_loop_uv(loop)); /* a timer counts from the loop's time */
    begun = test_now_ms();
    sp_timer_start(loop, &alarm.timer, 100);
    test_turn_until(loop, &alarm.fired);
    assert_int_equal(alarm.count, 1);
    assert_true(alarm.fired_at - begun >= 99);
    test_loop_end(&loop);
}

static void a_timer_may_be_stopped_by_another_that_fires_with_it(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    struct alarm first, second, last;
    (void)state;

    alarm_start(&first, loop, 20);
    alarm_start(&second, loop, 20);
    alarm_start(&last, loop, 60);
    first.stops = &second;
    second.stops = &first;
    test_turn_until(loop, &last.fired);
    assert_int_equal(first.count + second.count, 1);
    test_loop_end(&loop);
}

static void a_timer_that_starts_itself_leaves_room_for_others(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    struct alarm alarm;
    (void)state;

    alarm_start(&alarm, loop, 0);
    alarm.again = 5;
    test_turn_until(loop, &alarm.fired);
    assert_int_equal(alarm.count, 6);
    test_loop_end(&loop);
}

/* ---- sleep ---- */

static void *stop_later(void *loop)
{
    usleep(300000);
    sp_loop_stop(loop);
    return NULL;
}

static void a_loop_with_nothing_to_do_sleeps(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    pthread_t thread;
    (void)state;

    assert_int_equal(pthread_create(&thread, NULL, stop_later, loop), 0);
    sp_loop_run(loop);
    pthread_join(thread, NULL);
    assert_true(loop->turns <= 4);
    sp_loop_free(&loop);
}

static void a_stopped_timer_lets_the_loop_sleep(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    struct alarm alarm;
    pthread_t thread;
    (void)state;

    alarm_start(&alarm, loop, 20);
    for (unsigned i = 0; i < 1000; i++) /* a busy connection's deadline, pushed back */
        sp_timer_start(loop, &alarm.timer, 20 + i);
    sp_timer_stop(&alarm.timer);
    assert_int_equal(pthread_create(&thread, NULL, stop_later, loop), 0);
    sp_loop_run(loop);
    pthread_join(thread, NULL);
    assert_int_equal(alarm.count, 0);
    assert_true(loop->turns <= 5);
    sp_loop_free(&loop);
}

static void a_far_timer_wakes_the_loop_seldom(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    struct alarm alarm;
    uint64_t before;
    (void)state;

    alarm_start(&alarm, loop, 400);
    before = loop->turns;
    while (!alarm.fired)
        sp_loop_turn(loop, true);
    assert_true(loop->turns - before <= 6);
    test_loop_end(&loop);
}

/* ---- the end of a turn, and of the loop ---- */

struct thing {
    struct sp_doomed doomed;
    bool *released;
};

static void on_released(struct sp_doomed *doomed)
{
    struct thing *thing = sp_container_of(doomed, struct thing, doomed);

    *thing->released = true;
    free(thing);
}

static void what_is_doomed_is_freed_at_the_end_of_the_turn(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    struct thing *thing = malloc(sizeof(*thing));
    bool released = false;
    (void)state;

    assert_non_null(thing);
    *thing = (struct thing){.doomed.release = on_released, .released = &released};
    sp_loop_doom(loop, &thing->doomed);
    assert_false(released);
    sp_loop_turn(loop, false);
    assert_true(released);
    test_loop_end(&loop);
}

static void count_turn(void *owner)
{
    ++*(unsigned *)owner;
}

static void hooks_run_once_a_turn(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    unsigned count = 0;
    (void)state;

    sp_loop_each_turn(loop, count_turn, &count);
    for (unsigned i = 0; i < 3; i++)
        sp_loop_turn(loop, false);
    assert_int_equal(count, 3);
    test_loop_end(&loop);
}

static void a_hook_that_was_taken_off_leaves_its_place(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    unsigned counts[2] = {0, 0};
    (void)state;

    sp_loop_each_turn(loop, count_turn, &counts[0]);
    for (unsigned i = 0; i < 10; i++) { /* more often than there are places */
        sp_loop_each_turn(loop, count_turn, &counts[1]);
        sp_loop_turn(loop, false);
        sp_loop_no_more_turns(loop, &counts[1]);
    }
    sp_loop_turn(loop, false);
    assert_int_equal(counts[0], 11);
    assert_int_equal(counts[1], 10);
    test_loop_end(&loop);
}

static void a_stopped_loop_goes_on_until_its_timers_are_done(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    struct alarm alarm;
    (void)state;

    alarm_start(&alarm, loop, 50);
    sp_loop_stop(loop);
    sp_loop_run(loop);
    assert_true(alarm.fired);
    sp_loop_free(&loop);
}

static void a_loop_that_never_ran_is_freed_whole(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    (void)state;

    sp_loop_free(&loop);
    assert_null(loop);
    sp_loop_free(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_soon_callback_runs_once_and_not_inside_the_call),
        cmocka_unit_test(a_cancelled_soon_callback_does_not_run),
        cmocka_unit_test(a_short_chain_of_soon_callbacks_ends_in_its_turn),
        cmocka_unit_test(one_that_queues_itself_runs_once_a_turn_and_the_loop_does_not_sleep),
        cmocka_unit_test(two_that_queue_each_other_do_not_starve_the_loop),
        cmocka_unit_test(letters_from_another_thread_come_in_order),
        cmocka_unit_test(a_letter_after_the_end_is_refused),
        cmocka_unit_test(a_letter_posted_before_the_end_is_delivered),
        cmocka_unit_test(a_timer_fires_once_and_never_early),
        cmocka_unit_test(a_timer_started_anew_counts_from_then),
        cmocka_unit_test(a_timer_may_be_stopped_by_another_that_fires_with_it),
        cmocka_unit_test(a_timer_that_starts_itself_leaves_room_for_others),
        cmocka_unit_test(a_loop_with_nothing_to_do_sleeps),
        cmocka_unit_test(a_stopped_timer_lets_the_loop_sleep),
        cmocka_unit_test(a_far_timer_wakes_the_loop_seldom),
        cmocka_unit_test(what_is_doomed_is_freed_at_the_end_of_the_turn),
        cmocka_unit_test(hooks_run_once_a_turn),
        cmocka_unit_test(a_hook_that_was_taken_off_leaves_its_place),
        cmocka_unit_test(a_stopped_loop_goes_on_until_its_timers_are_done),
        cmocka_unit_test(a_loop_that_never_ran_is_freed_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
