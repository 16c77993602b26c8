/* The resolver's table of answers: by name, bounded, oldest out. Knows no DNS and no loop. */
#include "net/resolve_priv.h"

#include "util/hash.h"
#include "util/span.h"

#include <assert.h>
#include <stdlib.h>

#define BUCKETS 1024 /* a power of two */

static struct sp_list *bucket_of(struct sp_resolve_table *table, struct sp_span name)
{
    return &table->buckets[sp_hash64(name) & table->mask];
}

static struct sp_resolve_entry *of_chain(struct sp_list *link)
{
    return sp_container_of(link, struct sp_resolve_entry, chain);
}

enum sp_err sp_resolve_table_init(struct sp_resolve_table *table)
{
    table->buckets = malloc(BUCKETS * sizeof(*table->buckets));
    if (table->buckets == NULL)
        return SP_ERR_NOMEM;
    for (size_t i = 0; i < BUCKETS; i++)
        sp_list_init(&table->buckets[i]);
    table->mask = BUCKETS - 1;
    sp_list_init(&table->aged);
    table->known = 0;
    return SP_OK;
}

void sp_resolve_table_fini(struct sp_resolve_table *table)
{
    assert(sp_resolve_table_any(table) == NULL);
    free(table->buckets);
    table->buckets = NULL;
}

struct sp_resolve_entry *sp_resolve_table_find(struct sp_resolve_table *table, struct sp_span name)
{
    struct sp_list *bucket = bucket_of(table, name);
    struct sp_list *link;

    SP_LIST_EACH (link, bucket) {
        struct sp_resolve_entry *entry = of_chain(link);

        if (entry->state != SP_RESOLVE_STALE &&
            sp_span_eq(name, sp_span_of(entry->name, entry->name_len)))
            return entry;
    }
    return NULL;
}

void sp_resolve_table_add(struct sp_resolve_table *table, struct sp_resolve_entry *entry)
{
    sp_list_push(bucket_of(table, sp_span_of(entry->name, entry->name_len)), &entry->chain);
}

struct sp_resolve_entry *sp_resolve_table_keep(struct sp_resolve_table *table,
                                               struct sp_resolve_entry *entry)
{
    struct sp_resolve_entry *oldest = NULL;

    if (table->known >= SP_RESOLVE_KNOWN_MAX) {
        oldest = sp_container_of(table->aged.next, struct sp_resolve_entry, aged);
        sp_resolve_table_remove(table, oldest);
    }
    sp_list_push(&table->aged, &entry->aged);
    table->known++;
    return oldest;
}

void sp_resolve_table_remove(struct sp_resolve_table *table, struct sp_resolve_entry *entry)
{
    if (!sp_list_empty(&entry->aged)) {
        sp_list_remove(&entry->aged);
        table->known--;
    }
    sp_list_remove(&entry->chain);
}

struct sp_resolve_entry *sp_resolve_table_any(struct sp_resolve_table *table)
{
    for (size_t i = 0; i <= table->mask; i++) {
        if (!sp_list_empty(&table->buckets[i]))
            return of_chain(table->buckets[i].next);
    }
    return NULL;
}
