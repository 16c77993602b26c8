/* What is new in the rings, and the refusals that came last: for the status page. Main thread. */
#include "trace/trace_priv.h"

#include "util/span.h"

#include <stdlib.h>
#include <string.h>

/* ---- news ---- */

struct sp_trace_news {
    struct sp_trace_book *book;
    bool missed;
    uint64_t at[]; /* of each worker, its telling and its plain ring */
};

struct sp_trace_news *sp_trace_news_new(struct sp_trace_book *book)
{
    struct sp_trace_news *news = calloc(1,
                                        sizeof(*news) + 2 * book->workers_len * sizeof(*news->at));

    if (news != NULL)
        news->book = book;
    return news;
}

void sp_trace_news_free(struct sp_trace_news **news)
{
    free(*news);
    *news = NULL;
}

static void read_ring(struct sp_trace_news *news, struct sp_trace_ring *ring, uint64_t *at,
                      sp_decision_cb each, void *owner)
{
    struct sp_decision d;
    uint64_t before = *at;
    size_t len;

    while ((len = sp_trace_ring_read(ring, at, news->book->slice)) > 0) {
        news->missed |= before > 0 && *at - len != before;
        before = *at;
        for (size_t used = 0; used < len;) {
            const struct sp_trace_record *record =
                (const struct sp_trace_record *)(const void *)(news->book->slice + used);

            if (record->count > 0) {
                sp_trace_record_read(record, &d);
                each(owner, &d);
            }
            used += record->size;
        }
    }
}

bool sp_trace_news_read(struct sp_trace_news *news, sp_decision_cb each, void *owner)
{
    struct sp_trace_book *book = news->book;

    news->missed = false;
    for (unsigned i = 0; i < book->workers_len; i++) {
        read_ring(news, &book->workers[i].telling, &news->at[2 * i], each, owner);
        read_ring(news, &book->workers[i].plain, &news->at[2 * i + 1], each, owner);
    }
    return !news->missed;
}

/* ---- refusals ---- */

struct newest {
    struct sp_trace_record **items; /* the newest first */
    size_t len, max;
};

static bool is_refusal(const struct sp_trace_record *record)
{
    enum sp_reason reason = (enum sp_reason)record->reason;

    return reason != SP_REASON_OK && reason != SP_REASON_CLIENT_GONE && !sp_decision_is_leg(reason);
}

static void keep(void *owner, const struct sp_trace_record *record, unsigned worker)
{
    struct newest *n = owner;
    struct sp_trace_record *copy;
    size_t at = n->len;

    (void)worker;
    if (!is_refusal(record))
        return;
    /* Within a millisecond, the ring's order counts. */
    while (at > 0 && n->items[at - 1]->wall_ms <= record->wall_ms)
        at--;
    if (at == n->max)
        return;
    copy = malloc(record->size);
    if (copy == NULL)
        return; /* one is missing from a list of the last ones */
    memcpy(copy, record, record->size);
    if (n->len == n->max)
        free(n->items[--n->len]);
    memmove(&n->items[at + 1], &n->items[at], (n->len - at) * sizeof(struct sp_trace_record *));
    n->items[at] = copy;
    n->len++;
}

void sp_trace_refusals(struct sp_trace_book *book, size_t max, sp_decision_cb each, void *owner)
{
    struct newest n = {.items = calloc(max, sizeof(struct sp_trace_record *)), .max = max};
    struct sp_decision d;

    if (n.items == NULL)
        return;
    sp_trace_book_scan(book, keep, &n);
    for (size_t i = 0; i < n.len; i++) {
        sp_trace_record_read(n.items[i], &d);
        each(owner, &d);
        free(n.items[i]);
    }
    free(n.items);
}
