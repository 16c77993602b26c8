/* A bounded queue, first in, first out, of events that were fetched from the kernel and wait to be
 * delivered. What it holds it knows by address alone: nothing is read of a watch before its turn,
 * which with thousands of them would be a miss in the processor's caches each. Pure: no clock, no
 * loop. Loop thread. */
#ifndef SP_NET_EVENT_QUEUE_H
#define SP_NET_EVENT_QUEUE_H

#include "sallyport/base.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SP_EVENT_QUEUE_SIZE 16384u

struct sp_watch;

struct sp_queued_event {
    struct sp_watch *watch;
    uint32_t events;
};

/* Begins as zeroes. */
struct sp_event_queue {
    struct sp_queued_event *row;
    size_t first;
    size_t len;
    uint64_t passed; /* taken out since the start */
};

/* SP_ERR_NOMEM. */
enum sp_err sp_event_queue_init(struct sp_event_queue *queue) SP_MUST_CHECK;
void sp_event_queue_fini(struct sp_event_queue *queue);
/* There must be room: len < SP_EVENT_QUEUE_SIZE. */
void sp_event_queue_put(struct sp_event_queue *queue, struct sp_watch *watch, uint32_t events);
/* The oldest, taken out; there must be one. */
struct sp_queued_event sp_event_queue_take(struct sp_event_queue *queue);

#endif
