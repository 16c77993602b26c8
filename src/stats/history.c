/* The ring of samples. What was read last is kept, so that a sample holds differences; a gauge of
 * bytes that tunnels add at their end makes steps, which is what it is. */
#include "stats/history.h"

#include "log/log.h"

#include <stdlib.h>
#include <string.h>

/* The counters as they were read. */
struct reading {
    uint64_t requests, logins, unanswered, turned_away, unavailable;
    uint64_t bytes, log_dropped, cache_asked, cache_knew;
    uint64_t times[SP_STATS_TIMES][SP_STATS_BUCKETS + 1];
};

struct sp_history {
    struct reading last;
    uint64_t last_ms;
    uint64_t begun_ms; /* of the newest sample */
    size_t head;       /* of the newest sample */
    size_t len;
    struct sp_history_sample samples[SP_HISTORY_LEN];
};

static void read_all(struct reading *r)
{
    uint64_t hits = (uint64_t)(sp_stats_sum(SP_STAT_CACHE_HIT) +
                               sp_stats_sum(SP_STAT_CACHE_NEGATIVE_HIT) +
                               sp_stats_sum(SP_STAT_CACHE_GRACE));

    r->requests = sp_stats_answered(0);
    r->unavailable = sp_stats_answered(503);
    r->turned_away = r->unavailable + sp_stats_answered(403) + sp_stats_answered(429);
    r->unanswered = sp_stats_verdicts(SP_COUNT_UNAVAILABLE);
    r->logins = sp_stats_verdicts(SP_COUNT_ACCEPT) + sp_stats_verdicts(SP_COUNT_REJECT) +
                sp_stats_verdicts(SP_COUNT_UNKNOWN) + sp_stats_verdicts(SP_COUNT_ACCOUNT);
    r->bytes = (uint64_t)(sp_stats_sum(SP_STAT_BYTES_IN) + sp_stats_sum(SP_STAT_BYTES_OUT));
    r->log_dropped = sp_log_dropped();
    r->cache_knew = hits;
    r->cache_asked = hits + (uint64_t)(sp_stats_sum(SP_STAT_CACHE_MISS) +
                                       sp_stats_sum(SP_STAT_CACHE_COALESCED));
    for (int which = 0; which < SP_STATS_TIMES; which++)
        sp_stats_times((enum sp_stats_time)which, r->times[which]);
}

static void add(struct sp_history_sample *s, const struct reading *now, const struct reading *last)
{
    s->requests += (uint32_t)(now->requests - last->requests);
    s->logins += (uint32_t)(now->logins - last->logins);
    s->unanswered += (uint32_t)(now->unanswered - last->unanswered);
    s->turned_away += (uint32_t)(now->turned_away - last->turned_away);
    s->unavailable += (uint32_t)(now->unavailable - last->unavailable);
    s->bytes += now->bytes - last->bytes;
    s->log_dropped += now->log_dropped - last->log_dropped;
    s->cache_asked += now->cache_asked - last->cache_asked;
    s->cache_knew += now->cache_knew - last->cache_knew;
    for (int which = 0; which < SP_STATS_TIMES; which++)
        for (size_t i = 0; i <= SP_STATS_BUCKETS; i++)
            s->times[which][i] += (uint32_t)(now->times[which][i] - last->times[which][i]);
}

static void next_sample(struct sp_history *h, uint64_t mono_ms)
{
    h->head = (h->head + 1) % SP_HISTORY_LEN;
    h->len += h->len < SP_HISTORY_LEN ? 1 : 0;
    h->begun_ms = mono_ms;
    memset(&h->samples[h->head], 0, sizeof(h->samples[h->head]));
}

struct sp_history *sp_history_new(uint64_t mono_ms)
{
    struct sp_history *h = calloc(1, sizeof(*h));

    if (h == NULL)
        return NULL;
    h->last_ms = mono_ms;
    read_all(&h->last);
    next_sample(h, mono_ms);
    return h;
}

void sp_history_free(struct sp_history **history)
{
    free(*history);
    *history = NULL;
}

void sp_history_take(struct sp_history *h, uint64_t mono_ms, uint64_t wall_ms)
{
    struct sp_history_sample *s;
    struct reading now;

    if (mono_ms >= h->begun_ms + SP_HISTORY_STEP_MS)
        next_sample(h, h->last_ms);
    s = &h->samples[h->head];
    read_all(&now);
    add(s, &now, &h->last);
    s->wall_ms = wall_ms;
    s->ms = (uint32_t)(mono_ms - h->begun_ms);
    h->last = now;
    h->last_ms = mono_ms;
}

size_t sp_history_len(const struct sp_history *h)
{
    return h->len;
}

const struct sp_history_sample *sp_history_at(const struct sp_history *h, size_t index)
{
    return &h->samples[(h->head + SP_HISTORY_LEN - (h->len - 1) + index) % SP_HISTORY_LEN];
}

static void add_sample(struct sp_history_sample *sum, const struct sp_history_sample *s)
{
    sum->wall_ms = s->wall_ms;
    sum->ms += s->ms;
    sum->requests += s->requests;
    sum->logins += s->logins;
    sum->unanswered += s->unanswered;
    sum->turned_away += s->turned_away;
    sum->unavailable += s->unavailable;
    sum->bytes += s->bytes;
    sum->log_dropped += s->log_dropped;
    sum->cache_asked += s->cache_asked;
    sum->cache_knew += s->cache_knew;
    for (int which = 0; which < SP_STATS_TIMES; which++)
        for (size_t i = 0; i <= SP_STATS_BUCKETS; i++)
            sum->times[which][i] += s->times[which][i];
}

void sp_history_sum(const struct sp_history *h, uint64_t since_wall_ms,
                    struct sp_history_sample *sum)
{
    memset(sum, 0, sizeof(*sum));
    for (size_t i = 0; i < h->len; i++) {
        const struct sp_history_sample *s = sp_history_at(h, i);

        if (s->wall_ms >= since_wall_ms)
            add_sample(sum, s);
    }
}
