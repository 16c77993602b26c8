/* The queue of events that wait: a row that is moved to its beginning when as many have been taken
 * from its front as are left. Each event is moved once on average, and no more memory is ever
 * touched than for twice as many as wait at most. Called by turn.c. */
#include "net/event_queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum sp_err sp_event_queue_init(struct sp_event_queue *queue)
{
    queue->row = calloc(SP_EVENT_QUEUE_SIZE, sizeof(*queue->row));
    return queue->row != NULL ? SP_OK : SP_ERR_NOMEM;
}

void sp_event_queue_fini(struct sp_event_queue *queue)
{
    free(queue->row);
    *queue = (struct sp_event_queue){0};
}

static void to_beginning(struct sp_event_queue *queue)
{
    memmove(queue->row, queue->row + queue->first, queue->len * sizeof(*queue->row));
    queue->first = 0;
}

void sp_event_queue_put(struct sp_event_queue *queue, struct sp_watch *watch, uint32_t events)
{
    assert(queue->len < SP_EVENT_QUEUE_SIZE);
    if (queue->first + queue->len == SP_EVENT_QUEUE_SIZE)
        to_beginning(queue);
    queue->row[queue->first + queue->len++] = (struct sp_queued_event){watch, events};
}

struct sp_queued_event sp_event_queue_take(struct sp_event_queue *queue)
{
    struct sp_queued_event event;

    assert(queue->len > 0);
    event = queue->row[queue->first++];
    queue->len--;
    queue->passed++;
    if (queue->first >= queue->len)
        to_beginning(queue);
    return event;
}
