/* The queue of events that wait, as a ring. Called by loop.c. */
#include "net/event_queue.h"

#include <assert.h>
#include <stdlib.h>

enum sp_err sp_event_queue_init(struct sp_event_queue *queue)
{
    queue->ring = calloc(SP_EVENT_QUEUE_SIZE, sizeof(*queue->ring));
    return queue->ring != NULL ? SP_OK : SP_ERR_NOMEM;
}

void sp_event_queue_fini(struct sp_event_queue *queue)
{
    free(queue->ring);
    *queue = (struct sp_event_queue){0};
}

void sp_event_queue_put(struct sp_event_queue *queue, struct sp_watch *watch, uint32_t events)
{
    assert(queue->len < SP_EVENT_QUEUE_SIZE);
    queue->ring[(queue->first + queue->len++) % SP_EVENT_QUEUE_SIZE] = (struct sp_queued_event){
        watch, events};
}

struct sp_queued_event sp_event_queue_take(struct sp_event_queue *queue)
{
    struct sp_queued_event event;

    assert(queue->len > 0);
    event = queue->ring[queue->first];
    queue->passed++;
    /* Empty, it begins at its beginning: with little to do it always uses the same few lines. */
    queue->first = --queue->len > 0 ? (queue->first + 1) % SP_EVENT_QUEUE_SIZE : 0;
    return event;
}
