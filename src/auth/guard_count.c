/* What is counted, and no more: no lock, no clock and no table. The guard calls it under its
 * shards' locks; see guard_count.h. */
#include "auth/guard_count.h"

#include "util/secret.h"
#include "util/span.h"

#include <stdlib.h>
#include <string.h>

/* ---- a user's wrong passwords ---- */

static struct sp_guard_place *place_find(struct sp_guard_places *u,
                                         const struct sp_digest *password)
{
    for (uint32_t i = 0; i < u->len; i++)
        if (sp_secret_eq(sp_span_of((const char *)u->items[i].digest, 16),
                         sp_span_of((const char *)password->bytes, 16)))
            return &u->items[i];
    return NULL;
}

static void place_remove(struct sp_guard_places *u, struct sp_guard_place *place)
{
    *place = u->items[--u->len];
}

/* Wrong passwords that have left the window are forgotten. */
static void slide(struct sp_guard_places *u, uint64_t window_ms, uint64_t now_ms)
{
    for (uint32_t i = 0; i < u->len;) {
        struct sp_guard_place *p = &u->items[i];

        if (p->wrong && now_ms >= p->at_ms + window_ms)
            p->wrong = false;
        if (!p->wrong && p->asking == 0)
            place_remove(u, p);
        else
            i++;
    }
}

static uint32_t count_wrong(const struct sp_guard_places *u)
{
    uint32_t wrong = 0;

    for (uint32_t i = 0; i < u->len; i++)
        wrong += u->items[i].wrong ? 1 : 0;
    return wrong;
}

static bool place_add(struct sp_guard_places *u, const struct sp_digest *password)
{
    if (u->len == u->room) {
        uint32_t room = u->room == 0 ? 4 : u->room * 2;
        struct sp_guard_place *grown = realloc(u->items, room * sizeof(*grown));

        if (grown == NULL)
            return false;
        u->items = grown;
        u->room = room;
    }
    u->items[u->len] = (struct sp_guard_place){.asking = 1};
    memcpy(u->items[u->len].digest, password->bytes, 16);
    u->len++;
    return true;
}

/* May this password be tried? Below the limit a new one needs a place. At the limit, after the
 * block, one at a time may, those that were wrong before too: a directory may count every bind. */
static bool may_ask(const struct sp_guard_places *u, const struct sp_guard_place *same,
                    uint64_t limit)
{
    uint32_t others = 0;

    for (uint32_t i = 0; i < u->len; i++)
        others += &u->items[i] != same && u->items[i].asking > 0 ? 1 : 0;
    if (count_wrong(u) >= limit)
        return others == 0;
    return same != NULL || u->len < limit;
}

/* The oldest wrong password makes room where one was let through beyond the limit. */
static void keep_within(struct sp_guard_places *u, uint64_t limit)
{
    while (count_wrong(u) > limit) {
        struct sp_guard_place *oldest = NULL;

        for (uint32_t i = 0; i < u->len; i++) {
            struct sp_guard_place *p = &u->items[i];

            if (p->wrong && (oldest == NULL || p->at_ms < oldest->at_ms))
                oldest = p;
        }
        oldest->wrong = false;
        if (oldest->asking == 0)
            place_remove(u, oldest);
    }
}

enum sp_err sp_guard_places_take(struct sp_guard_places *u, const struct sp_digest *password,
                                 uint64_t limit, uint64_t window_ms, uint64_t now_ms)
{
    struct sp_guard_place *same;

    slide(u, window_ms, now_ms);
    same = place_find(u, password);
    if (!may_ask(u, same, limit))
        return SP_ERR_DENIED;
    if (same == NULL)
        return place_add(u, password) ? SP_OK : SP_ERR_NOMEM;
    same->asking++;
    return SP_OK;
}

bool sp_guard_places_settle(struct sp_guard_places *u, const struct sp_digest *password, bool wrong,
                            uint64_t limit, uint64_t now_ms)
{
    struct sp_guard_place *p = place_find(u, password);

    if (p == NULL)
        return false;
    p->asking -= p->asking > 0 ? 1 : 0;
    if (!wrong) {
        if (!p->wrong && p->asking == 0)
            place_remove(u, p);
        return false;
    }
    p->wrong = true;
    p->at_ms = now_ms;
    keep_within(u, limit);
    return count_wrong(u) >= limit;
}

void sp_guard_places_fini(struct sp_guard_places *u)
{
    free(u->items);
    *u = (struct sp_guard_places){NULL, 0, 0};
}

/* ---- a client's wrong logins ---- */

static void slide_slices(struct sp_guard_slices *c, uint64_t slice)
{
    if (slice >= c->newest_slice + SP_GUARD_SLICES || slice + 1 < c->newest_slice)
        memset(c->slices, 0, sizeof(c->slices));
    else
        for (uint64_t i = c->newest_slice + 1; i <= slice; i++)
            c->slices[i % SP_GUARD_SLICES] = 0;
    if (slice + 1 < c->newest_slice || slice > c->newest_slice) /* back: the window has changed */
        c->newest_slice = slice;
}

uint64_t sp_guard_slices_add(struct sp_guard_slices *c, uint64_t slice)
{
    uint64_t total = 0;

    slide_slices(c, slice);
    if (c->slices[c->newest_slice % SP_GUARD_SLICES] < UINT32_MAX)
        c->slices[c->newest_slice % SP_GUARD_SLICES]++;
    for (unsigned i = 0; i < SP_GUARD_SLICES; i++)
        total += c->slices[i];
    return total;
}
