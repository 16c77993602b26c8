/* The queue of events that wait: order, its bound, and how much memory it walks over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/event_queue.h"
#include "net/loop_priv.h"

static struct sp_watch watches[SP_EVENT_QUEUE_SIZE];

static void events_come_out_as_they_went_in(void **state)
{
    struct sp_event_queue queue = {0};
    struct sp_queued_event event;
    (void)state;

    assert_int_equal(sp_event_queue_init(&queue), SP_OK);
    for (uint32_t i = 0; i < SP_EVENT_QUEUE_SIZE; i++)
        sp_event_queue_put(&queue, &watches[i], i);
    assert_int_equal(queue.len, SP_EVENT_QUEUE_SIZE);
    for (uint32_t i = 0; i < SP_EVENT_QUEUE_SIZE; i++) {
        event = sp_event_queue_take(&queue);
        assert_ptr_equal(event.watch, &watches[i]);
        assert_int_equal(event.events, i);
    }
    assert_int_equal(queue.len, 0);
    assert_int_equal(queue.passed, SP_EVENT_QUEUE_SIZE);
    sp_event_queue_fini(&queue);
}

static void order_holds_while_it_is_never_empty(void **state)
{
    struct sp_event_queue queue = {0};
    uint32_t in = 0, out = 0;
    (void)state;

    assert_int_equal(sp_event_queue_init(&queue), SP_OK);
    while (out < 3 * SP_EVENT_QUEUE_SIZE) { /* never empty, never full */
        for (unsigned i = 0; i < 1000; i++, in++)
            sp_event_queue_put(&queue, &watches[in % SP_EVENT_QUEUE_SIZE], in);
        while (queue.len > 500) {
            struct sp_queued_event event = sp_event_queue_take(&queue);

            assert_ptr_equal(event.watch, &watches[out % SP_EVENT_QUEUE_SIZE]);
            assert_int_equal(event.events, out);
            out++;
        }
    }
    assert_int_equal(queue.passed, out);
    sp_event_queue_fini(&queue);
}

static void few_that_wait_use_little_of_the_row(void **state)
{
    struct sp_event_queue queue = {0};
    (void)state;

    assert_int_equal(sp_event_queue_init(&queue), SP_OK);
    for (uint32_t i = 0; i < 10; i++)
        sp_event_queue_put(&queue, &watches[i], i);
    for (uint32_t i = 10; i < 1000; i++) { /* ten wait, always */
        assert_int_equal(sp_event_queue_take(&queue).events, i - 10);
        sp_event_queue_put(&queue, &watches[i], i);
        assert_true(queue.first + queue.len <= 20);
    }
    assert_null(queue.row[20].watch);
    sp_event_queue_fini(&queue);
    sp_event_queue_fini(&queue);
}

static void a_full_one_that_loses_one_takes_one(void **state)
{
    struct sp_event_queue queue = {0};
    uint32_t in = 0;
    (void)state;

    assert_int_equal(sp_event_queue_init(&queue), SP_OK);
    while (queue.len < SP_EVENT_QUEUE_SIZE) {
        sp_event_queue_put(&queue, &watches[in % SP_EVENT_QUEUE_SIZE], in);
        in++;
    }
    for (uint32_t out = 0; out < 10; out++, in++) {
        assert_int_equal(sp_event_queue_take(&queue).events, out);
        sp_event_queue_put(&queue, &watches[in % SP_EVENT_QUEUE_SIZE], in);
    }
    assert_int_equal(queue.len, SP_EVENT_QUEUE_SIZE);
    sp_event_queue_fini(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_out_as_they_went_in),
        cmocka_unit_test(order_holds_while_it_is_never_empty),
        cmocka_unit_test(few_that_wait_use_little_of_the_row),
        cmocka_unit_test(a_full_one_that_loses_one_takes_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
