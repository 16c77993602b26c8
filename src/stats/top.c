/* See top.h. A name is found by its hash; a pane is searched from its beginning, to which frequent
 * names move, so that they are found at once. */
#include "stats/top.h"

#include "util/hash.h"
#include "util/span.h"

#include <stdlib.h>
#include <string.h>

struct place {
    uint64_t hash;
    struct sp_top_item item;
};

struct pane {
    uint64_t number; /* of its five minutes; 0: none yet */
    size_t len;
    struct place places[SP_TOP_NAMES];
};

struct sp_top {
    struct pane panes[SP_TOP_PANES];
};

static uint64_t number_of(uint64_t mono_ms)
{
    return mono_ms / SP_TOP_PANE_MS + 1;
}

/* `len`: it is not there. */
static size_t find(const struct place *places, size_t len, uint64_t hash)
{
    size_t i = 0;

    while (i < len && places[i].hash != hash)
        i++;
    return i;
}

static size_t rarest(const struct pane *pane)
{
    size_t found = 0;

    for (size_t i = 1; i < pane->len; i++)
        if (pane->places[i].item.count < pane->places[found].item.count)
            found = i;
    return found;
}

static void take_place(struct place *place, struct sp_span name, uint64_t hash)
{
    place->hash = hash;
    place->item.excess = place->item.count; /* the last one's */
    memcpy(place->item.name, name.base, name.len);
    place->item.name[name.len] = '\0';
}

/* By one place, where it has come more often than its neighbour. */
static void move_forward(const struct place *first, struct place *place)
{
    struct place before;

    if (place == first || place[-1].item.count >= place->item.count)
        return;
    before = place[-1];
    place[-1] = *place;
    *place = before;
}

struct sp_top *sp_top_new(void)
{
    return calloc(1, sizeof(struct sp_top));
}

void sp_top_free(struct sp_top **top)
{
    free(*top);
    *top = NULL;
}

void sp_top_add(struct sp_top *top, struct sp_span name, uint64_t mono_ms)
{
    uint64_t number = number_of(mono_ms);
    struct pane *pane = &top->panes[number % SP_TOP_PANES];
    uint64_t hash;
    size_t at;

    if (name.len == 0)
        return;
    if (name.len > SP_TOP_NAME_MAX)
        name.len = SP_TOP_NAME_MAX;
    hash = sp_hash64(name);
    if (pane->number != number) {
        memset(pane, 0, sizeof(*pane));
        pane->number = number;
    }
    at = find(pane->places, pane->len, hash);
    if (at == pane->len) {
        at = pane->len < SP_TOP_NAMES ? pane->len++ : rarest(pane);
        take_place(&pane->places[at], name, hash);
    }
    pane->places[at].item.count++;
    move_forward(&pane->places[0], &pane->places[at]);
}

static int compare(const void *left, const void *right)
{
    const struct place *a = left, *b = right;

    if (a->item.count != b->item.count)
        return a->item.count < b->item.count ? 1 : -1;
    return strcmp(a->item.name, b->item.name);
}

static size_t merge(const struct pane *pane, struct place *all, size_t len)
{
    for (size_t i = 0; i < pane->len; i++) {
        size_t same = find(all, len, pane->places[i].hash);

        if (same == len) {
            all[len++] = pane->places[i];
        } else {
            all[same].item.count += pane->places[i].item.count;
            all[same].item.excess += pane->places[i].item.excess;
        }
    }
    return len;
}

/* Who has no place in a full pane came there as often as the rarest that has one, at most. */
static void add_missed(const struct pane *pane, struct place *all, size_t len)
{
    uint64_t most = pane->places[rarest(pane)].item.count;

    for (size_t i = 0; i < len && pane->len == SP_TOP_NAMES; i++) {
        if (find(pane->places, pane->len, all[i].hash) < pane->len)
            continue;
        all[i].item.count += most;
        all[i].item.excess += most;
    }
}

static bool is_of_the_hour(const struct pane *pane, uint64_t newest)
{
    return pane->number > 0 && pane->number + SP_TOP_PANES > newest;
}

size_t sp_top_list(struct sp_top *top, uint64_t mono_ms, struct sp_top_item *items, size_t max)
{
    struct place *all = malloc(sizeof(*all) * SP_TOP_PANES * SP_TOP_NAMES);
    uint64_t newest = number_of(mono_ms);
    size_t len = 0;

    if (all == NULL)
        return 0;
    for (size_t i = 0; i < SP_TOP_PANES; i++)
        if (is_of_the_hour(&top->panes[i], newest))
            len = merge(&top->panes[i], all, len);
    for (size_t i = 0; i < SP_TOP_PANES; i++)
        if (is_of_the_hour(&top->panes[i], newest))
            add_missed(&top->panes[i], all, len);
    qsort(all, len, sizeof(*all), compare);
    len = len < max ? len : max;
    for (size_t i = 0; i < len; i++)
        items[i] = all[i].item;
    free(all);
    return len;
}
