/* Four curves of the last hour as inline SVG, thirty seconds a point, and the gauges of now. */
#include "admin/status_priv.h"

#define STEPS  3u /* samples in a point */
#define POINTS (SP_HISTORY_LEN / STEPS)
#define HEIGHT 48.0

struct curve {
    const char *name, *unit;
    double (*value)(const struct sp_history_sample *sample);
    bool bytes;
    bool bad; /* every one of them is a pity */
};

static double requests(const struct sp_history_sample *s)
{
    return s->requests;
}

static double logins(const struct sp_history_sample *s)
{
    return (double)s->logins + s->unanswered;
}

static double turned_away(const struct sp_history_sample *s)
{
    return s->turned_away;
}

static double bytes(const struct sp_history_sample *s)
{
    return (double)s->bytes;
}

static const struct curve curves[] = {
    {"Requests", "/s", requests, false, false},
    {"Sign-ins checked", "/s", logins, false, false},
    {"Turned away", "/s", turned_away, false, true},
    {"Traffic", "/s", bytes, true, false},
};

/* Points a second, the newest last; returns how many there are. */
static size_t points_of(const struct curve *c, const struct sp_history *history,
                        double points[POINTS])
{
    size_t len = sp_history_len(history);
    size_t count = (len + STEPS - 1) / STEPS;

    for (size_t p = 0; p < count; p++) {
        size_t end = len - (count - 1 - p) * STEPS;
        double sum = 0, ms = 0;

        for (size_t i = end > STEPS ? end - STEPS : 0; i < end; i++) {
            sum += c->value(sp_history_at(history, i));
            ms += sp_history_at(history, i)->ms;
        }
        points[p] = ms > 0 ? sum * 1000 / ms : 0;
    }
    return count;
}

/* The rate of the last ten seconds or so: the newest sample alone may be a moment old. */
static double rate_now(const struct curve *c, const struct sp_history *history)
{
    size_t len = sp_history_len(history);
    double sum = 0, ms = 0;

    for (size_t i = len; i > 0 && ms < SP_HISTORY_STEP_MS; i--) {
        sum += c->value(sp_history_at(history, i - 1));
        ms += sp_history_at(history, i - 1)->ms;
    }
    return ms > 0 ? sum * 1000 / ms : 0;
}

static void put_rate(struct sp_html *h, const struct curve *c, double rate)
{
    if (c->bytes)
        sp_html_bytes(h, rate);
    else
        sp_html_number(h, rate);
    sp_html_raw(h, c->unit);
}

static void put_line(struct sp_html *h, const double *points, size_t count, double most)
{
    if (count == 1) /* one point is no line */
        sp_html_printf(h, "M%u %.1fh1", POINTS - 2,
                       HEIGHT - 2 - (most > 0 ? points[0] / most * (HEIGHT - 6) : 0));
    for (size_t p = 0; p < count && count > 1; p++)
        sp_html_printf(h, "%s%zu %.1f", p > 0 ? "L" : "M", POINTS - count + p,
                       HEIGHT - 2 - (most > 0 ? points[p] / most * (HEIGHT - 6) : 0));
}

static void put_curve(struct sp_html *h, const struct curve *c, const struct sp_history *history)
{
    double points[POINTS];
    size_t count = points_of(c, history, points);
    double most = 0, now = rate_now(c, history);

    for (size_t p = 0; p < count; p++)
        most = points[p] > most ? points[p] : most;
    sp_html_printf(h, "<div class=\"card%s\"><h3>%s</h3><p class=\"now\">",
                   c->bad && now > 0 ? " bad" : "", c->name);
    put_rate(h, c, now);
    sp_html_printf(h,
                   "</p><svg viewBox=\"0 0 %u %.0f\" preserveAspectRatio=\"none\" role=\"img\" "
                   "aria-label=\"%s in the last hour: now ",
                   POINTS - 1, HEIGHT, c->name);
    put_rate(h, c, now);
    sp_html_raw(h, ", at most ");
    put_rate(h, c, most);
    sp_html_raw(h, "\"><path class=\"area\" d=\"");
    put_line(h, points, count, most);
    sp_html_printf(h, "L%u %.0fL%zu %.0fZ\"/><path class=\"line\" d=\"", POINTS - 1, HEIGHT,
                   POINTS - count, HEIGHT);
    put_line(h, points, count, most);
    sp_html_raw(h, "\"/></svg><p class=\"scale\"><span>1 h ago</span><span>peak ");
    put_rate(h, c, most);
    sp_html_raw(h, "</span><span>now</span></p></div>\n");
}

static void put_gauge(struct sp_html *h, const char *name, enum sp_stat stat)
{
    sp_html_printf(h, "<div><dt>%s</dt><dd>%lld</dd></div>\n", name, (long long)sp_stats_sum(stat));
}

static void put_cache(struct sp_html *h, const struct sp_history *history)
{
    struct sp_history_sample sum;

    sp_history_sum(history, 0, &sum);
    sp_html_raw(h, "<div><dt>From the cache, last hour</dt><dd>");
    if (sum.cache_asked > 0)
        sp_html_printf(h, "%.0f %%", 100.0 * (double)sum.cache_knew / (double)sum.cache_asked);
    else
        sp_html_raw(h, "&ndash;");
    sp_html_raw(h, "</dd></div>\n");
}

void sp_status_graphs(struct sp_html *h, const struct sp_overview *o)
{
    sp_html_raw(h, "<section aria-labelledby=\"hour\"><h2 id=\"hour\">Now, and the last "
                   "hour</h2><div class=\"cards\">\n");
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
        put_curve(h, &curves[i], o->history);
    sp_html_raw(h, "</div><dl class=\"gauges\">\n");
    put_gauge(h, "Connections", SP_STAT_CONNECTIONS);
    put_gauge(h, "Tunnels", SP_STAT_TUNNELS);
    put_gauge(h, "Handshakes in flight", SP_STAT_HANDSHAKES);
    put_cache(h, o->history);
    sp_html_printf(h,
                   "<div><dt>Requests since the start</dt><dd>%llu</dd></div>\n</dl></section>\n",
                   (unsigned long long)sp_stats_answered(0));
}
