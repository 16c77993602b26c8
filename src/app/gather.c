/* Each worker is asked by mail and answers by mail. When all have, or time is up, what has come is
 * told, and who did not answer. A letter that is still with a worker keeps its memory until it is
 * back, whether anybody waits for it or not; the main loop ends after the workers, so all come
 * back. */
#include "app/gather.h"

#include "app/sessions.h"
#include "util/buf.h"

#include <assert.h>
#include <stdlib.h>

#define LINES_MAX ((size_t)16 * 1024 * 1024)

struct part {
    struct sp_app_gathering *gathering;
    struct sp_app_worker_list list;
    bool answered;
};

/* Its own: freed when it is over and the last part is back. */
struct sp_app_gathering {
    struct sp_app_gather gather;
    struct sp_timer timer;
    unsigned due; /* parts that are with their workers */
    bool over;    /* told, or forgotten */
    struct part parts[];
};

static void gathering_free(struct sp_app_gathering *g)
{
    for (unsigned i = 0; i < g->gather.workers_len; i++)
        free(g->parts[i].list.listing.items);
    (*g->gather.underway)--;
    free(g);
}

static void over(struct sp_app_gathering *g)
{
    sp_timer_stop(&g->timer);
    g->over = true;
    if (g->due == 0)
        gathering_free(g);
}

static enum sp_err write_part(struct sp_app_sessions *out, const struct part *part, unsigned worker)
{
    const struct sp_session_listing *listing = &part->list.listing;
    enum sp_err err = SP_OK;

    if (!part->answered)
        return sp_app_sessions_write_silent(out, worker);
    for (size_t i = 0; i < listing->len && err == SP_OK; i++)
        err = sp_app_sessions_write(out, &listing->items[i], worker);
    if (err == SP_OK && listing->left_out > 0)
        err = sp_app_sessions_write_cut(out, listing->left_out, worker);
    return err;
}

static void tell(struct sp_app_gathering *g)
{
    struct sp_app_sessions out;
    struct sp_buf lines;
    enum sp_err err;

    sp_buf_init(&lines, LINES_MAX);
    err = sp_app_sessions_begin(&out);
    if (err == SP_OK) {
        err = sp_app_sessions_write_counts(&out);
        for (unsigned i = 0; i < g->gather.workers_len && err == SP_OK; i++)
            err = write_part(&out, &g->parts[i], i);
        if (sp_app_sessions_end(&out, &lines) != SP_OK || err != SP_OK)
            sp_buf_reset(&lines);
    }
    g->gather.gathered(g->gather.owner, sp_buf_span(&lines));
    sp_buf_fini(&lines);
    over(g);
}

static void on_listed(struct sp_app_worker_list *list)
{
    struct part *part = sp_container_of(list, struct part, list);
    struct sp_app_gathering *g = part->gathering;

    part->answered = true;
    assert(g->due > 0);
    if (--g->due > 0)
        return;
    if (g->over)
        gathering_free(g);
    else
        tell(g);
}

static void on_time_up(struct sp_timer *timer)
{
    tell(sp_container_of(timer, struct sp_app_gathering, timer));
}

struct sp_app_gathering *sp_app_gather(const struct sp_app_gather *gather)
{
    struct sp_app_gathering *g = calloc(1, sizeof(*g) + gather->workers_len * sizeof(*g->parts));
    size_t max = SP_APP_GATHER_MAX / gather->workers_len;

    assert(gather->workers_len > 0);
    if (g == NULL)
        return NULL;
    g->gather = *gather;
    (*g->gather.underway)++;
    sp_timer_init(&g->timer, on_time_up);
    sp_timer_start(gather->loop, &g->timer, gather->wait_ms);
    g->due = gather->workers_len;
    for (unsigned i = 0; i < gather->workers_len; i++) {
        struct part *part = &g->parts[i];

        part->gathering = g;
        part->list.listing.max = max > 0 ? max : 1;
        part->list.listed = on_listed;
        sp_app_worker_list(gather->workers[i], &part->list);
    }
    return g;
}

void sp_app_gather_forget(struct sp_app_gathering *gathering)
{
    over(gathering);
}
