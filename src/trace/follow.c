/* Followers: whoever watches decisions as they come. Workers push copies into a bounded queue under
 * the book's lock, which is only taken while somebody follows; the main thread takes them out. */
#include "trace/trace_priv.h"

#include "util/span.h"

#include <stdlib.h>
#include <string.h>

struct item {
    struct sp_list link;
    uint64_t lost_before;
    struct sp_trace_record record[];
};

/* Owned by whoever follows; in book->follows. */
struct sp_trace_follow {
    struct sp_list link;
    struct sp_trace_book *book;
    struct sp_trace_word word;
    struct sp_list items;
    size_t bytes;
    uint64_t lost;
};

/* ---- workers: under the book's lock ---- */

static bool wants(const struct sp_trace_follow *f, const struct sp_decision *d)
{
    return sp_trace_word_is_client(&f->word, &d->client) ||
           sp_trace_word_is_user(&f->word, d->text[SP_DECISION_USER]);
}

static void push(struct sp_trace_follow *f, const struct sp_decision *decision)
{
    _Alignas(struct sp_trace_record) char bytes[SP_TRACE_RECORD_MAX];
    size_t size = sp_trace_record_write((struct sp_trace_record *)(void *)bytes, decision, 0);
    struct item *item = NULL;

    if (f->bytes + size <= SP_TRACE_QUEUE)
        item = malloc(sizeof(*item) + size);
    if (item == NULL) {
        f->lost++;
        return;
    }
    memcpy(item->record, bytes, size);
    item->record->seq = 0;
    item->lost_before = f->lost;
    f->lost = 0;
    f->bytes += size;
    sp_list_push(&f->items, &item->link);
}

void sp_trace_publish(struct sp_trace_book *book, const struct sp_decision *decision)
{
    struct sp_list *node;
    bool pushed = false;

    pthread_mutex_lock(&book->lock);
    SP_LIST_EACH (node, &book->follows) {
        struct sp_trace_follow *f = sp_container_of(node, struct sp_trace_follow, link);

        if (wants(f, decision)) {
            push(f, decision);
            pushed = true;
        }
    }
    pthread_mutex_unlock(&book->lock);
    if (pushed)
        book->wake(book->owner);
}

/* ---- main thread ---- */

struct sp_trace_follow *sp_trace_follow_new(struct sp_trace_book *book, struct sp_span word)
{
    struct sp_trace_follow *f;

    if (atomic_load_explicit(&book->follows_len, memory_order_relaxed) >= SP_TRACE_FOLLOWS)
        return NULL;
    f = calloc(1, sizeof(*f));
    if (f == NULL)
        return NULL;
    if (sp_trace_word_init(&f->word, word) != SP_OK) {
        free(f);
        return NULL;
    }
    f->book = book;
    sp_list_init(&f->items);
    pthread_mutex_lock(&book->lock);
    sp_list_push(&book->follows, &f->link);
    pthread_mutex_unlock(&book->lock);
    atomic_fetch_add_explicit(&book->follows_len, 1, memory_order_relaxed);
    return f;
}

void sp_trace_follow_free(struct sp_trace_follow **follow)
{
    struct sp_trace_follow *f = *follow;
    struct sp_list *node;

    *follow = NULL;
    if (f == NULL)
        return;
    atomic_fetch_sub_explicit(&f->book->follows_len, 1, memory_order_relaxed);
    pthread_mutex_lock(&f->book->lock);
    sp_list_remove(&f->link);
    pthread_mutex_unlock(&f->book->lock);
    while ((node = sp_list_shift(&f->items)) != NULL)
        free(sp_container_of(node, struct item, link));
    free(f);
}

uint64_t sp_trace_follow_lost(struct sp_trace_follow *follow)
{
    uint64_t *lost = &follow->lost; /* nothing waits: they went by since the last one */
    uint64_t told;

    pthread_mutex_lock(&follow->book->lock);
    if (!sp_list_empty(&follow->items))
        lost = &sp_container_of(follow->items.next, struct item, link)->lost_before;
    told = *lost;
    *lost = 0;
    pthread_mutex_unlock(&follow->book->lock);
    return told;
}

bool sp_trace_follow_next(struct sp_trace_follow *follow, sp_decision_cb each, void *owner)
{
    struct sp_list *node;
    struct item *item;
    struct sp_decision d;

    pthread_mutex_lock(&follow->book->lock);
    node = sp_list_shift(&follow->items);
    item = node != NULL ? sp_container_of(node, struct item, link) : NULL;
    if (item != NULL)
        follow->bytes -= item->record->size;
    pthread_mutex_unlock(&follow->book->lock);
    if (item == NULL)
        return false;
    sp_trace_record_read(item->record, &d);
    /* A client's legs have been told one by one; a user's name comes with the last one. */
    if (d.ordinal > d.first && !sp_trace_word_is_client(&follow->word, &d.client))
        sp_trace_find_legs(follow->book, d.conn, d.first, d.ordinal, each, owner);
    each(owner, &d);
    free(item);
    return true;
}
