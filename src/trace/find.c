/* Looking decisions up: first which chains are meant, then all of each. Main thread; the rings are
 * read twice, and what was pushed out in between is gone. */
#include "trace/trace_priv.h"

#include "util/span.h"

#include <stdlib.h>
#include <string.h>

struct chain {
    uint64_t conn;
    uint32_t first;
    uint64_t wall_ms; /* of its last decision that matched */
    uint64_t seq;
};

/* The newest chains, oldest first. */
struct chains {
    struct chain *items;
    size_t len;
    size_t max;
};

/* ---- first: which ---- */

static bool is_older(const struct chain *a, const struct chain *b)
{
    return a->wall_ms != b->wall_ms ? a->wall_ms < b->wall_ms : a->seq < b->seq;
}

static void remove_at(struct chains *c, size_t at)
{
    memmove(&c->items[at], &c->items[at + 1], (c->len - at - 1) * sizeof(*c->items));
    c->len--;
}

static void insert(struct chains *c, const struct chain *chain)
{
    size_t at = c->len;

    for (size_t i = 0; i < c->len; i++) {
        if (c->items[i].conn != chain->conn || c->items[i].first != chain->first)
            continue;
        if (is_older(chain, &c->items[i]))
            return;
        remove_at(c, i);
        break;
    }
    if (c->len == c->max) {
        if (is_older(chain, &c->items[0]))
            return;
        remove_at(c, 0);
    }
    for (at = c->len; at > 0 && is_older(chain, &c->items[at - 1]); at--)
        c->items[at] = c->items[at - 1];
    c->items[at] = *chain;
    c->len++;
}

struct search {
    struct sp_trace_word word;
    struct chains found[SP_TRACE_CLASSES];
};

static void look(void *owner, const struct sp_trace_record *record, unsigned worker)
{
    struct search *search = owner;
    const struct chain chain = {record->conn, record->first, record->wall_ms, record->seq};
    struct sp_decision d;

    (void)worker;
    sp_trace_record_read(record, &d);
    if (sp_trace_record_has_id(record, search->word.text))
        insert(&search->found[SP_TRACE_BY_ID], &chain);
    if (sp_trace_word_is_user(&search->word, d.text[SP_DECISION_USER]))
        insert(&search->found[SP_TRACE_BY_USER], &chain);
    if (sp_trace_word_is_client(&search->word, &d.client))
        insert(&search->found[SP_TRACE_BY_CLIENT], &chain);
}

/* ---- then: all of each ---- */

/* A copy of a record, and which of the chains it is of. */
struct piece {
    size_t chain;
    struct sp_trace_record *record;
};

struct pieces {
    const struct chains *chains;
    uint32_t before; /* only ordinals below */
    struct piece *items;
    size_t len, max;
    bool no_memory; /* some are missing */
};

static void gather(void *owner, const struct sp_trace_record *record, unsigned worker)
{
    struct pieces *p = owner;

    (void)worker;
    for (size_t i = 0; i < p->chains->len && p->len < p->max; i++) {
        const struct chain *chain = &p->chains->items[i];
        struct sp_trace_record *copy;

        if (chain->conn != record->conn || chain->first != record->first ||
            record->ordinal >= p->before)
            continue;
        copy = malloc(record->size);
        if (copy == NULL) {
            p->no_memory = true;
            return;
        }
        memcpy(copy, record, record->size);
        p->items[p->len++] = (struct piece){i, copy};
    }
}

static int compare(const void *left, const void *right)
{
    const struct piece *a = left, *b = right;

    if (a->chain != b->chain)
        return a->chain < b->chain ? -1 : 1;
    return a->record->ordinal < b->record->ordinal ? -1 : a->record->ordinal > b->record->ordinal;
}

/* In their order, and gone. */
static void tell_pieces(struct pieces *pieces, sp_decision_cb each, void *owner)
{
    qsort(pieces->items, pieces->len, sizeof(*pieces->items), compare);
    for (size_t i = 0; i < pieces->len; i++) {
        struct sp_decision d;

        sp_trace_record_read(pieces->items[i].record, &d);
        each(owner, &d);
        free(pieces->items[i].record);
    }
    free(pieces->items);
}

static enum sp_err tell(struct sp_trace_book *book, const struct chains *chains,
                        sp_decision_cb each, void *owner)
{
    struct pieces pieces = {
        .chains = chains, .before = UINT32_MAX, .max = chains->len * SP_TRACE_CHAIN_MAX};

    pieces.items = calloc(pieces.max, sizeof(*pieces.items));
    if (pieces.items == NULL)
        return SP_ERR_NOMEM;
    sp_trace_book_scan(book, gather, &pieces);
    tell_pieces(&pieces, each, owner);
    return pieces.no_memory ? SP_ERR_NOMEM : SP_OK;
}

void sp_trace_find_legs(struct sp_trace_book *book, uint64_t conn, uint32_t first, uint32_t ordinal,
                        sp_decision_cb each, void *owner)
{
    struct chain chain = {.conn = conn, .first = first};
    const struct chains one = {&chain, 1, 1};
    struct pieces pieces = {.chains = &one, .before = ordinal, .max = SP_TRACE_CHAIN_MAX};

    pieces.items = calloc(pieces.max, sizeof(*pieces.items));
    if (pieces.items == NULL)
        return; /* without memory they are missing */
    sp_trace_book_scan_conn(book, conn, gather, &pieces);
    tell_pieces(&pieces, each, owner);
}

enum sp_err sp_trace_find(struct sp_trace_book *book, struct sp_span word, size_t max,
                          sp_decision_cb each, void *owner)
{
    struct search search;
    struct chain *items;
    enum sp_err err = SP_ERR_NOT_FOUND;

    if (sp_trace_word_init(&search.word, word) != SP_OK)
        return SP_ERR_NOT_FOUND; /* longer than anything that is remembered */
    items = calloc(SP_TRACE_CLASSES * max, sizeof(*items));
    if (items == NULL)
        return SP_ERR_NOMEM;
    for (size_t i = 0; i < SP_TRACE_CLASSES; i++)
        search.found[i] = (struct chains){items + i * max, 0, max};
    sp_trace_book_scan(book, look, &search);
    for (size_t i = 0; i < SP_TRACE_CLASSES && err == SP_ERR_NOT_FOUND; i++) {
        if (search.found[i].len > 0)
            err = tell(book, &search.found[i], each, owner);
    }
    free(items);
    return err;
}
