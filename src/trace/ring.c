/* A ring of records of any size. Its worker adds, the main thread reads slices; the lock is held
 * for one copy. A record never wraps: filler takes the rest of the memory's end. */
#include "trace/trace_priv.h"

#include "util/span.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum sp_err sp_trace_ring_init(struct sp_trace_ring *ring, size_t size)
{
    assert(size % 8 == 0 && size >= 2 * SP_TRACE_SLICE);
    memset(ring, 0, sizeof(*ring));
    ring->base = malloc(size);
    if (ring->base == NULL)
        return SP_ERR_NOMEM;
    if (pthread_mutex_init(&ring->lock, NULL) != 0) {
        free(ring->base);
        ring->base = NULL;
        return SP_ERR_NOMEM;
    }
    ring->size = size;
    return SP_OK;
}

void sp_trace_ring_fini(struct sp_trace_ring *ring)
{
    if (ring->base == NULL)
        return;
    pthread_mutex_destroy(&ring->lock);
    free(ring->base);
    ring->base = NULL;
}

/* ---- adding: under the lock ---- */

static struct sp_trace_record *record_at(const struct sp_trace_ring *ring, uint64_t at)
{
    return (struct sp_trace_record *)(void *)(ring->base + at % ring->size);
}

/* Room for any record in one piece, the oldest ones given up for it. */
static struct sp_trace_record *make_room(struct sp_trace_ring *ring)
{
    size_t to_end = ring->size - ring->head % ring->size;
    size_t filler = to_end < SP_TRACE_RECORD_MAX ? to_end : 0;

    while (ring->head + filler + SP_TRACE_RECORD_MAX - ring->tail > ring->size)
        ring->tail += record_at(ring, ring->tail)->size;
    if (filler > 0) {
        struct sp_trace_record *rest = record_at(ring, ring->head);

        rest->size = (uint32_t)filler;
        rest->count = 0;
        ring->head += filler;
    }
    return record_at(ring, ring->head);
}

static bool fold_into_row(struct sp_trace_ring *ring, const struct sp_decision *decision,
                          uint64_t fold)
{
    const struct sp_trace_recent *recent = &ring->recent[fold & (SP_TRACE_RECENT - 1)];
    struct sp_trace_record *row;

    if (recent->fold != fold || recent->at < ring->tail)
        return false;
    row = record_at(ring, recent->at);
    if (row->count >= SP_TRACE_FOLDED)
        return false;
    sp_trace_record_fold(row, decision);
    return true;
}

static void append(struct sp_trace_ring *ring, const struct sp_decision *decision, uint64_t fold,
                   uint64_t seq)
{
    struct sp_trace_record *at = make_room(ring);
    size_t size = sp_trace_record_write(at, decision, fold);

    assert(size <= SP_TRACE_RECORD_MAX);
    at->seq = seq;
    if (fold != 0)
        ring->recent[fold & (SP_TRACE_RECENT - 1)] = (struct sp_trace_recent){fold, ring->head};
    ring->head += size;
}

void sp_trace_ring_add(struct sp_trace_ring *ring, const struct sp_decision *decision,
                       uint64_t fold, uint64_t seq)
{
    pthread_mutex_lock(&ring->lock);
    if (fold == 0 || !fold_into_row(ring, decision, fold))
        append(ring, decision, fold, seq);
    pthread_mutex_unlock(&ring->lock);
}

/* ---- reading ---- */

size_t sp_trace_ring_read(struct sp_trace_ring *ring, uint64_t *at, char *slice)
{
    size_t len = 0;

    pthread_mutex_lock(&ring->lock);
    if (*at < ring->tail)
        *at = ring->tail;
    while (*at + len < ring->head) {
        size_t next = record_at(ring, *at + len)->size;

        if (len > 0 && (*at + len) % ring->size == 0)
            break; /* the memory's end: what follows is at its beginning */
        if (len + next > SP_TRACE_SLICE)
            break;
        len += next;
    }
    memcpy(slice, ring->base + *at % ring->size, len);
    pthread_mutex_unlock(&ring->lock);
    *at += len;
    return len;
}
