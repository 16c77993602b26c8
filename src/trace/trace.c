/* The book: both rings of every worker, and who writes into which. */
#include "trace/trace_priv.h"

#include <stdlib.h>

/* ---- writing: each worker its own ---- */

struct sp_trace *sp_trace_of(struct sp_trace_book *book, unsigned worker)
{
    return &book->workers[worker];
}

uint64_t sp_trace_connection(struct sp_trace *trace)
{
    return trace->conns++ * trace->book->workers_len + trace->index + 1;
}

static bool is_telling(const struct sp_decision *d)
{
    return d->text[SP_DECISION_STEPS].len > 0 ||
           (d->reason != SP_REASON_OK && d->reason != SP_REASON_NO_CREDENTIALS &&
            d->reason != SP_REASON_CLIENT_GONE) ||
           d->how == SP_HOW_DIRECTORY || d->how == SP_HOW_GRACE;
}

void sp_trace_add(struct sp_trace *trace, const struct sp_decision *decision)
{
    if (is_telling(decision))
        sp_trace_ring_add(&trace->telling, decision, sp_trace_fold_of(decision), ++trace->seq);
    else
        sp_trace_ring_add(&trace->plain, decision, 0, ++trace->seq);
    if (atomic_load_explicit(&trace->book->follows_len, memory_order_relaxed) > 0)
        sp_trace_publish(trace->book, decision);
}

/* ---- reading ---- */

static void scan_ring(struct sp_trace_book *book, struct sp_trace_ring *ring, unsigned worker,
                      sp_trace_record_cb each, void *owner)
{
    uint64_t at = 0;
    size_t len;

    while ((len = sp_trace_ring_read(ring, &at, book->slice)) > 0) {
        for (size_t used = 0; used < len;) {
            const struct sp_trace_record *record =
                (const struct sp_trace_record *)(const void *)(book->slice + used);

            if (record->count > 0)
                each(owner, record, worker);
            used += record->size;
        }
    }
}

static void scan_worker(struct sp_trace_book *book, unsigned worker, sp_trace_record_cb each,
                        void *owner)
{
    scan_ring(book, &book->workers[worker].telling, worker, each, owner);
    scan_ring(book, &book->workers[worker].plain, worker, each, owner);
}

void sp_trace_book_scan(struct sp_trace_book *book, sp_trace_record_cb each, void *owner)
{
    for (unsigned i = 0; i < book->workers_len; i++)
        scan_worker(book, i, each, owner);
}

void sp_trace_book_scan_conn(struct sp_trace_book *book, uint64_t conn, sp_trace_record_cb each,
                             void *owner)
{
    scan_worker(book, (unsigned)((conn - 1) % book->workers_len), each, owner);
}

/* ---- life ---- */

static enum sp_err worker_init(struct sp_trace *trace, struct sp_trace_book *book, unsigned index)
{
    enum sp_err err;

    trace->book = book;
    trace->index = index;
    err = sp_trace_ring_init(&trace->plain, SP_TRACE_PLAIN_SIZE);
    if (err == SP_OK)
        err = sp_trace_ring_init(&trace->telling, SP_TRACE_TELLING_SIZE);
    return err;
}

struct sp_trace_book *sp_trace_book_new(unsigned workers, void (*wake)(void *owner), void *owner)
{
    struct sp_trace_book *book = calloc(1, sizeof(*book) + workers * sizeof(struct sp_trace));
    enum sp_err err;

    if (book == NULL)
        return NULL;
    book->wake = wake;
    book->owner = owner;
    sp_list_init(&book->follows);
    if (pthread_mutex_init(&book->lock, NULL) != 0) {
        free(book);
        return NULL;
    }
    book->slice = malloc(SP_TRACE_SLICE);
    err = book->slice != NULL ? SP_OK : SP_ERR_NOMEM;
    for (; err == SP_OK && book->workers_len < workers; book->workers_len++)
        err = worker_init(&book->workers[book->workers_len], book, book->workers_len);
    if (err != SP_OK)
        sp_trace_book_free(&book);
    return book;
}

void sp_trace_book_free(struct sp_trace_book **book)
{
    struct sp_trace_book *gone = *book;

    *book = NULL;
    if (gone == NULL)
        return;
    for (unsigned i = 0; i < gone->workers_len; i++) {
        sp_trace_ring_fini(&gone->workers[i].plain);
        sp_trace_ring_fini(&gone->workers[i].telling);
    }
    pthread_mutex_destroy(&gone->lock);
    free(gone->slice);
    free(gone);
}
