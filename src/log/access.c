/* A worker's batch of access lines. Records are formatted into a chunk that belongs to the worker
 * alone, and only a full or a waiting chunk goes to the writer: one short lock for some hundred
 * lines. Loop thread; never waits. */
#include "log/log_priv.h"

#include <stdlib.h>
#include <time.h>

#define BATCH_FULL   (32u << 10) /* handed over when it holds more */
#define BATCH_ROOM   (40u << 10) /* so that the line that fills it mostly still fits */
#define BATCH_AGE_MS 200u        /* handed over when its first line is older */

struct sp_access_batch {
    struct sp_chunk *chunk; /* NULL: nothing waits */
    uint64_t since_ms;      /* of its first line */
    struct sp_stamp stamp;
    enum sp_log_format format; /* that `stamp` was made for */
};

struct sp_access_batch *sp_access_batch_new(void)
{
    return calloc(1, sizeof(struct sp_access_batch));
}

/* A few milliseconds are near enough, and the coarse clock costs a quarter of the exact one. */
static uint64_t coarse_ms(void)
{
    struct timespec now = {0, 0};

    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static void hand_over(struct sp_access_batch *batch)
{
    struct sp_chunk *chunk = batch->chunk;

    batch->chunk = NULL;
    if (chunk != NULL)
        sp_sink_put(SP_SINK_ACCESS, chunk);
}

void sp_access_batch_free(struct sp_access_batch **batch)
{
    if (*batch == NULL)
        return;
    hand_over(*batch);
    free(*batch);
    *batch = NULL;
}

static bool make_room(struct sp_access_batch *batch, size_t bound)
{
    if (batch->chunk != NULL && batch->chunk->cap - batch->chunk->len < bound)
        hand_over(batch);
    if (batch->chunk == NULL) {
        batch->chunk = sp_chunk_new(bound > BATCH_ROOM ? bound : BATCH_ROOM);
        batch->since_ms = coarse_ms();
    }
    return batch->chunk != NULL;
}

bool sp_access_is_wanted(void)
{
    return sp_sink_is_open(SP_SINK_ACCESS);
}

void sp_access_write(struct sp_access_batch *batch, const struct sp_access_record *record)
{
    enum sp_log_format format = sp_log_format_now();
    struct sp_chunk *chunk;

    if (!sp_sink_is_open(SP_SINK_ACCESS))
        return; /* access = "" */
    if (format != batch->format) {
        batch->format = format;
        batch->stamp.valid = false;
    }
    if (!make_room(batch, sp_access_bound(record))) {
        sp_sink_count_dropped(1);
        return;
    }
    chunk = batch->chunk;
    chunk->len += sp_access_format(format, &batch->stamp, record, chunk->bytes + chunk->len);
    chunk->lines++;
    if (chunk->len > BATCH_FULL)
        hand_over(batch);
}

bool sp_access_flush(struct sp_access_batch *batch)
{
    if (batch->chunk != NULL && coarse_ms() - batch->since_ms >= BATCH_AGE_MS)
        hand_over(batch);
    return batch->chunk != NULL;
}
