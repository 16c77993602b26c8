/* Names that come in any order and at any pace: what is told of the most frequent holds against an
 * exact count, and no name is told twice. Each byte below 0xf0 is a name's coming; one above it
 * lets time go by. A second pass has names of any bytes. */
#include "stats/top.h"
#include "util/hash.h"
#include "util/span.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES      0xf0
#define ITEMS_MAX  (SP_TOP_PANES * SP_TOP_NAMES)
#define EVENTS_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct event {
    uint8_t name;
    uint64_t pane;
};

static struct event events[EVENTS_MAX];
static size_t events_len;
static struct sp_top_item items[ITEMS_MAX];

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* How often each has come in the panes that are looked at. */
static void count_exactly(uint64_t now_ms, uint64_t counts[NAMES])
{
    uint64_t newest = now_ms / SP_TOP_PANE_MS;

    memset(counts, 0, NAMES * sizeof(*counts));
    for (size_t i = 0; i < events_len; i++)
        counts[events[i].name] += events[i].pane + SP_TOP_PANES > newest;
}

static void must_be_true(struct sp_top *top, uint64_t now_ms)
{
    size_t len = sp_top_list(top, now_ms, items, ITEMS_MAX);
    bool told[NAMES] = {false};
    uint64_t exact[NAMES];

    count_exactly(now_ms, exact);
    for (size_t i = 0; i < len; i++) {
        unsigned name = NAMES;

        must(sscanf(items[i].name, "name-%u", &name) == 1 && name < NAMES && !told[name]);
        told[name] = true;
        must(i == 0 || items[i - 1].count >= items[i].count);
        must(items[i].excess <= items[i].count);
        must(items[i].count - items[i].excess <= exact[name]);
    }
    /* who has come in more than 1/128 of a pane's events has a place in it */
    for (unsigned name = 0; name < NAMES; name++)
        must(told[name] || exact[name] <= events_len / SP_TOP_NAMES + SP_TOP_PANES);
}

static void count_names(const uint8_t *data, size_t size)
{
    struct sp_top *top = sp_top_new();
    uint64_t now_ms = 1000;

    must(top != NULL);
    events_len = 0;
    for (size_t i = 0; i < size; i++) {
        char name[16];

        if (data[i] >= NAMES) {
            now_ms += (uint64_t)(data[i] - NAMES + 1) * (SP_TOP_PANE_MS / 4);
            continue;
        }
        (void)snprintf(name, sizeof(name), "name-%u", data[i]);
        events[events_len++] = (struct event){data[i], now_ms / SP_TOP_PANE_MS};
        sp_top_add(top, sp_span_cstr(name), now_ms);
    }
    must_be_true(top, now_ms);
    sp_top_free(&top);
}

static void take_any_name(const uint8_t *data, size_t size)
{
    struct sp_top *top = sp_top_new();
    size_t len;

    must(top != NULL);
    sp_top_add(top, sp_span_of((const char *)data, size), UINT64_MAX - 1);
    sp_top_add(top, sp_span_of((const char *)data, size / 2), UINT64_MAX - 1);
    len = sp_top_list(top, UINT64_MAX - 1, items, ITEMS_MAX);
    must(len <= 2 && (size == 0 || len > 0));
    for (size_t i = 0; i < len; i++)
        must(memchr(items[i].name, '\0', sizeof(items[i].name)) != NULL);
    sp_top_free(&top);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;

    if (!ready)
        must(sp_hash_setup() == SP_OK);
    ready = true;
    if (size > EVENTS_MAX)
        return 0;
    count_names(data, size);
    take_any_name(data, size);
    return 0;
}
