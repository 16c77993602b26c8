/* The wheel against a plain list that does the same slowly. */
#include "net_test.h"

#include "net/timer_wheel.h"

static void never(struct sp_timer *timer)
{
    (void)timer;
}

static void timer_set(struct sp_timer *timer, uint64_t due_ms)
{
    sp_timer_init(timer, never);
    timer->due_ms = due_ms;
}

static void a_timer_comes_up_at_its_tick_and_not_before(void **state)
{
    static const uint64_t after[] = {
        1, 9, 10, 11, 630, 640, 650, 40950, 40960, 2621440, 3600000, 86400000, 7 * 86400000ull};
    (void)state;

    for (size_t i = 0; i < sizeof(after) / sizeof(after[0]); i++) {
        struct sp_wheel wheel;
        struct sp_list due;
        struct sp_timer timer;
        uint64_t now = 123456789;
        unsigned looks = 0;

        sp_wheel_init(&wheel, now);
        sp_list_init(&due);
        timer_set(&timer, now + after[i]);
        sp_wheel_add(&wheel, &timer);
        while (sp_list_empty(&due)) {
            uint64_t next = sp_wheel_next_ms(&wheel);

            assert_true(next > now);
            assert_true(next < timer.due_ms + SP_WHEEL_TICK_MS);
            sp_wheel_turn(&wheel, next - 1, &due);
            assert_true(sp_list_empty(&due));
            now = next;
            sp_wheel_turn(&wheel, now, &due);
            assert_true(++looks <= SP_WHEEL_LEVELS);
        }
        assert_true(now >= timer.due_ms);
        assert_true(sp_wheel_next_ms(&wheel) == UINT64_MAX);
    }
}

static void a_timer_farther_away_than_the_wheel_reaches_is_kept(void **state)
{
    struct sp_wheel wheel;
    struct sp_list due;
    struct sp_timer timer;
    uint64_t now = 5;
    (void)state;

    sp_wheel_init(&wheel, now);
    sp_list_init(&due);
    timer_set(&timer, 400ull * 86400000u);
    sp_wheel_add(&wheel, &timer);
    while (sp_list_empty(&due)) {
        now = sp_wheel_next_ms(&wheel);
        assert_true(now < timer.due_ms + SP_WHEEL_TICK_MS);
        sp_wheel_turn(&wheel, now, &due);
    }
    assert_true(now >= timer.due_ms);
}

static void a_stopped_timer_causes_no_later_turn(void **state)
{
    struct sp_wheel wheel;
    struct sp_timer timer;
    (void)state;

    sp_wheel_init(&wheel, 1000);
    timer_set(&timer, 3000);
    sp_wheel_add(&wheel, &timer);
    assert_true(sp_wheel_next_ms(&wheel) < UINT64_MAX);
    sp_list_remove(&timer.link);
    assert_true(sp_wheel_next_ms(&wheel) == UINT64_MAX);
}

#define MANY 400

static uint64_t random_wait(unsigned *seed)
{
    unsigned shift = (unsigned)rand_r(seed) % 31;

    return ((uint64_t)(unsigned)rand_r(seed)) & ((1ull << shift) - 1);
}

static void check_due(struct sp_timer *timers, struct sp_list *due, uint64_t now)
{
    uint64_t last = 0;
    struct sp_list *link;

    while ((link = sp_list_shift(due)) != NULL) {
        struct sp_timer *timer = sp_container_of(link, struct sp_timer, link);

        assert_true(timer->due_ms <= now);
        assert_true(timer->due_ms / SP_WHEEL_TICK_MS + 1 >= last);
        last = timer->due_ms / SP_WHEEL_TICK_MS;
    }
    for (unsigned i = 0; i < MANY; i++) {
        if (!sp_list_empty(&timers[i].link)) /* what stayed is not due in whole ticks */
            assert_true(timers[i].due_ms > now - now % SP_WHEEL_TICK_MS);
    }
}

static void many_timers_agree_with_a_plain_list(void **state)
{
    static struct sp_timer timers[MANY];
    struct sp_wheel wheel;
    struct sp_list due;
    unsigned seed = 42;
    uint64_t now = (1ull << 30) * 10 - 50000; /* near the wheel's own turn-over */
    (void)state;

    sp_wheel_init(&wheel, now);
    sp_list_init(&due);
    for (unsigned i = 0; i < MANY; i++)
        timer_set(&timers[i], 0);
    for (unsigned step = 0; step < 3000; step++) {
        for (unsigned i = 0; i < 20; i++) {
            struct sp_timer *timer = &timers[(unsigned)rand_r(&seed) % MANY];

            sp_list_remove(&timer->link);
            if (rand_r(&seed) % 4 == 0)
                continue;
            timer->due_ms = now + 1 + random_wait(&seed);
            sp_wheel_add(&wheel, timer);
        }
        now += random_wait(&seed) % 100000;
        sp_wheel_turn(&wheel, now, &due);
        check_due(timers, &due, now);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_timer_comes_up_at_its_tick_and_not_before),
        cmocka_unit_test(a_timer_farther_away_than_the_wheel_reaches_is_kept),
        cmocka_unit_test(a_stopped_timer_causes_no_later_turn),
        cmocka_unit_test(many_timers_agree_with_a_plain_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
