/* The tables of the status page. Each has a caption in its heading, and a word where it is empty.
 */
#include "admin/status_priv.h"

#include <string.h>

#define FIVE_MINUTES 300000u

static void begin(struct sp_html *h, const char *id, const char *heading)
{
    sp_html_printf(h, "<section aria-labelledby=\"%s\"><h2 id=\"%s\">%s</h2>\n", id, id, heading);
}

static void end(struct sp_html *h, bool table)
{
    sp_html_raw(h, table ? "</tbody></table></section>\n" : "</section>\n");
}

static void empty(struct sp_html *h, const char *words)
{
    sp_html_printf(h, "<p class=\"none\">%s</p>", words);
}

/* ---- servers ---- */

static void server_row(struct sp_html *h, const struct sp_overview *o,
                       const struct sp_overview_server *s)
{
    sp_html_raw(h, "<tr><th scope=\"row\">");
    sp_html_text(h, s->name);
    sp_html_raw(h, "<small>");
    sp_html_text(h, s->backend);
    sp_html_printf(h, "</small></th><td data-label=\"State\"><span class=\"%s\">%s</span> since ",
                   s->well ? "good" : "bad", s->well ? "answers" : "does not answer");
    sp_html_time(h, s->since_wall_ms, o->now_wall_ms);
    if (!s->well) {
        sp_html_raw(h, "<small>");
        sp_html_text(h, s->words);
        sp_html_raw(h, "</small>");
    }
    sp_html_raw(h, "</td><td class=\"number\" data-label=\"Answer\">");
    if (s->well)
        sp_html_micros(h, s->micros);
    else
        sp_html_raw(h, "&ndash;");
    sp_html_raw(h, "</td></tr>\n");
}

static void servers(struct sp_html *h, const struct sp_overview *o)
{
    begin(h, "servers", "Directory servers");
    if (o->servers_len == 0) {
        empty(h, "No backend asks a server, or none has been looked at yet.");
        end(h, false);
        return;
    }
    sp_html_raw(h, "<table class=\"stack servers\"><thead><tr><th scope=\"col\">Server</th><th "
                   "scope=\"col\">State</th><th scope=\"col\" class=\"number\">"
                   "Answer</th></tr></thead><tbody>\n");
    for (size_t i = 0; i < o->servers_len; i++)
        server_row(h, o, &o->servers[i]);
    end(h, true);
}

/* ---- times ---- */

static void time_cells(struct sp_html *h, const uint32_t *counts)
{
    static const double shares[] = {0.50, 0.95, 0.99};
    uint64_t total = 0;

    for (size_t i = 0; i <= SP_STATS_BUCKETS; i++)
        total += counts[i];
    for (size_t i = 0; i < 3; i++) {
        sp_html_raw(h, "<td class=\"number\">");
        if (total > 0)
            sp_html_micros(h, sp_stats_percentile(counts, shares[i]));
        else
            sp_html_raw(h, "&ndash;");
        sp_html_raw(h, "</td>");
    }
}

static void time_rows(struct sp_html *h, const char *window, const struct sp_history_sample *sum)
{
    static const char *const names[SP_STATS_TIMES] = {
        [SP_STATS_TIME_REQUEST] = "Whole request",
        [SP_STATS_TIME_AUTH] = "Of it, who asks",
        [SP_STATS_TIME_DIRECTORY] = "Backend&#39;s verdict",
    };

    sp_html_printf(h, "<tr><th scope=\"colgroup\" colspan=\"4\" class=\"group\">%s</th></tr>\n",
                   window);
    for (int which = 0; which < SP_STATS_TIMES; which++) {
        sp_html_printf(h, "<tr><th scope=\"row\">%s</th>", names[which]);
        time_cells(h, sum->times[which]);
        sp_html_raw(h, "</tr>\n");
    }
}

static void times(struct sp_html *h, const struct sp_overview *o)
{
    struct sp_history_sample sum;

    begin(h, "times", "How long it takes");
    sp_html_raw(h, "<table><thead><tr><td></td><th scope=\"col\" class=\"number\">p50</th><th "
                   "scope=\"col\" class=\"number\">p95</th><th scope=\"col\" "
                   "class=\"number\">p99</th></tr></thead><tbody>\n");
    sp_history_sum(o->history, o->now_wall_ms > FIVE_MINUTES ? o->now_wall_ms - FIVE_MINUTES : 0,
                   &sum);
    time_rows(h, "Last five minutes", &sum);
    sp_history_sum(o->history, 0, &sum);
    time_rows(h, "Last hour", &sum);
    end(h, true);
}

/* ---- blocked ---- */

static void blocked_row(struct sp_html *h, const struct sp_overview *o,
                        const struct sp_overview_blocked *b)
{
    sp_html_raw(h, "<tr><th scope=\"row\">");
    sp_html_text(h, b->user[0] != '\0' ? b->user : b->client);
    sp_html_raw(h, "<small>");
    if (b->user[0] != '\0')
        sp_html_text(h, b->backend);
    else
        sp_html_raw(h, "a client address");
    sp_html_raw(h, "</small></th><td data-label=\"Device\">");
    sp_html_text(h, b->client);
    sp_html_raw(h, "<small>");
    sp_html_text(h, b->device);
    sp_html_raw(h, "</small></td><td class=\"number\" data-label=\"Until\">");
    sp_html_time(h, o->now_wall_ms + (uint64_t)b->left_s * 1000, o->now_wall_ms);
    sp_html_raw(h, "</td></tr>\n");
}

static void blocked(struct sp_html *h, const struct sp_overview *o)
{
    begin(h, "blocked", "Blocked for wrong passwords");
    if (o->blocked_len == 0) {
        empty(h, "Nobody.");
        end(h, false);
        return;
    }
    sp_html_raw(h, "<table class=\"stack\"><thead><tr><th scope=\"col\">Who</th><th "
                   "scope=\"col\">Device at fault</th><th scope=\"col\" "
                   "class=\"number\">Until</th></tr></thead><tbody>\n");
    for (size_t i = 0; i < o->blocked_len; i++)
        blocked_row(h, o, &o->blocked[i]);
    sp_html_raw(h, "</tbody></table>");
    if (o->blocked_users + o->blocked_clients > (int64_t)o->blocked_len)
        sp_html_printf(h, "<p class=\"none\">and %lld more</p>",
                       (long long)(o->blocked_users + o->blocked_clients) -
                           (long long)o->blocked_len);
    sp_html_raw(h, "</section>\n");
}

/* ---- the busiest ---- */

static void top_row(struct sp_html *h, const struct sp_top_item *item, uint64_t most)
{
    sp_html_raw(h, "<tr><th scope=\"row\">");
    sp_html_text(h, item->name);
    sp_html_printf(h,
                   "<svg class=\"bar\" viewBox=\"0 0 100 3\" preserveAspectRatio=\"none\" "
                   "aria-hidden=\"true\"><rect width=\"%.1f\" height=\"3\"/></svg></th><td "
                   "class=\"number\">%s%llu</td></tr>\n",
                   100.0 * (double)item->count / (double)most, item->excess > 0 ? "&le; " : "",
                   (unsigned long long)item->count);
}

static void busiest(struct sp_html *h, const char *id, const char *heading, const char *what,
                    const struct sp_top_item *items, size_t len, bool missed)
{
    begin(h, id, heading);
    if (len == 0) {
        empty(h, "Nothing was let through in the last hour.");
        end(h, false);
        return;
    }
    sp_html_printf(h,
                   "<table><thead><tr><th scope=\"col\">%s</th><th scope=\"col\" "
                   "class=\"number\">Requests</th></tr></thead><tbody>\n",
                   what);
    for (size_t i = 0; i < len; i++)
        top_row(h, &items[i], items[0].count);
    sp_html_printf(h, "</tbody></table><p class=\"none\">Let through in the last hour%s.</p>",
                   missed ? "; there were too many to count them all" : "");
    sp_html_raw(h, "</section>\n");
}

/* ---- refusals ---- */

static void refusal_row(struct sp_html *h, const struct sp_overview *o,
                        const struct sp_overview_refusal *r)
{
    sp_html_raw(h, "<tr><td data-label=\"When\">");
    sp_html_time(h, r->wall_ms, o->now_wall_ms);
    if (r->count > 1)
        sp_html_printf(h, " <small>%u times</small>", r->count);
    sp_html_raw(h, "</td><th scope=\"row\" data-label=\"Who\">");
    sp_html_text(h, r->user[0] != '\0' ? r->user : "not known");
    sp_html_raw(h, "<small>");
    sp_html_text(h, r->client);
    sp_html_raw(h, "</small></th><td data-label=\"Where to\">");
    sp_html_text(h, r->target);
    sp_html_printf(h, "</td><td data-label=\"Why\">%d %s<small>", r->status, r->reason);
    sp_html_text(h, r->why);
    sp_html_raw(h, "</small></td><td data-label=\"More\"><code>sallyport why ");
    sp_html_text(h, r->id);
    sp_html_raw(h, "</code></td></tr>\n");
}

static void refusals(struct sp_html *h, const struct sp_overview *o)
{
    begin(h, "refusals", "Last refusals");
    if (o->refusals_len == 0) {
        empty(h, "None is remembered.");
        end(h, false);
        return;
    }
    sp_html_raw(h, "<table class=\"stack\"><thead><tr><th scope=\"col\">When</th><th "
                   "scope=\"col\">Who</th><th scope=\"col\">Where to</th><th "
                   "scope=\"col\">Why</th><th scope=\"col\">Step by step</th></tr></thead>"
                   "<tbody>\n");
    for (size_t i = 0; i < o->refusals_len; i++)
        refusal_row(h, o, &o->refusals[i]);
    end(h, true);
}

/* ---- the process ---- */

static void process(struct sp_html *h, const struct sp_overview *o)
{
    begin(h, "process", "This process");
    sp_html_raw(h, "<dl class=\"facts\"><div><dt>Version</dt><dd>" SP_VERSION
                   "</dd></div><div><dt>Started</dt><dd>");
    sp_html_time(h, o->started_wall_ms, o->now_wall_ms);
    sp_html_raw(h, ", ");
    sp_html_span(h, o->now_wall_ms - o->started_wall_ms);
    sp_html_printf(h, " ago</dd></div><div><dt>Workers</dt><dd>%u, %u jobs wait</dd></div>",
                   o->workers, o->work_queue);
    sp_html_raw(h, "<div><dt>Configuration</dt><dd>");
    sp_html_text(h, o->config);
    sp_html_raw(h, ", read ");
    sp_html_time(h, o->loaded_wall_ms, o->now_wall_ms);
    sp_html_raw(h, "</dd></div><div><dt>Last reload</dt><dd>");
    if (o->reload != NULL) {
        sp_html_time(h, o->reload_wall_ms, o->now_wall_ms);
        sp_html_raw(h, ", ");
        sp_html_text(h, o->reload);
    } else {
        sp_html_raw(h, "none since the start");
    }
    sp_html_printf(h, "</dd></div><div><dt>Ready</dt><dd>%s</dd></div></dl>",
                   o->ready ? "yes" : "no");
    end(h, false);
}

void sp_status_tables(struct sp_html *h, const struct sp_overview *o)
{
    sp_html_raw(h, "<div class=\"columns\"><div>\n");
    servers(h, o);
    blocked(h, o);
    busiest(h, "people", "Busiest people", "User", o->users, o->users_len, o->tops_missed);
    sp_html_raw(h, "</div><div>\n");
    times(h, o);
    busiest(h, "hosts", "Busiest destinations", "Host", o->hosts, o->hosts_len, o->tops_missed);
    sp_html_raw(h, "</div></div>\n");
    refusals(h, o);
    process(h, o);
}
