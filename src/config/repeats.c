/* Blocks that repeat an earlier one: the same section and, where it has titles, the same title.
 * They are found by sorting, since rules may come in tens of thousands. */
#include "config/config_priv.h"

#include <stdlib.h>
#include <string.h>

static int compare_names(const struct sp_config_draft *a, const struct sp_config_draft *b)
{
    int sections = strcmp(a->section, b->section);

    if (sections != 0)
        return sections;
    return strcmp(a->title != NULL ? a->title : "", b->title != NULL ? b->title : "");
}

/* The order as read is the last key: the first of equal names is the one that stands. */
static int compare(const void *left, const void *right)
{
    const struct sp_config_draft *a = *(struct sp_config_draft *const *)left;
    const struct sp_config_draft *b = *(struct sp_config_draft *const *)right;
    int names = compare_names(a, b);

    return names != 0 ? names : (a->order > b->order) - (a->order < b->order);
}

void sp_config_repeats_find(struct sp_config_reader *reader)
{
    struct sp_config_draft **sorted;
    const struct sp_config_draft *first = NULL;
    size_t n = 0;

    if (reader->drafts_len == 0)
        return;
    sorted = calloc(reader->drafts_len, sizeof(struct sp_config_draft *));
    if (sorted == NULL) {
        reader->no_memory = true;
        return;
    }
    for (struct sp_config_draft *d = reader->drafts; d != NULL; d = d->next)
        sorted[n++] = d;
    qsort(sorted, n, sizeof(struct sp_config_draft *), compare);
    for (size_t i = 0; i < n; i++) {
        if (first == NULL || compare_names(first, sorted[i]) != 0)
            first = sorted[i];
        else
            sorted[i]->first = first;
    }
    free(sorted);
}
