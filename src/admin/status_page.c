/* The status page at /: the numbers for whoever is on call, in one self-contained page without
 * script. What it shows is what /metrics has. */
#include "admin/admin_priv.h"

#include "stats/stats.h"
#include "util/span.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<meta name=\"viewport\" content=\"width=device-width\">"
    "<meta http-equiv=\"refresh\" content=\"10\"><title>sallyport</title><style>"
    ":root{color-scheme:light dark;--line:#8884}"
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p{opacity:.75;margin:0}"
    ".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.75rem;"
    "margin:1.5rem 0}.cards div{border:1px solid var(--line);border-radius:.5rem;padding:.75rem}"
    ".cards b{display:block;font-size:1.5rem;font-variant-numeric:tabular-nums}"
    ".bad{border-color:#c33!important}"
    "table{border-collapse:collapse;width:100%;font-size:.9rem}"
    "td{border-top:1px solid var(--line);padding:.2rem .5rem .2rem 0;vertical-align:top;"
    "overflow-wrap:anywhere}td:last-child{text-align:right;font-variant-numeric:tabular-nums}"
    "</style></head>\n<body>";

/* What the cards need of the metrics. */
struct totals {
    double requests;
    double accepted;
    double refused;
    double unavailable;
    double hits;
    double misses;
};

static enum sp_err append_escaped(struct sp_buf *out, struct sp_span text)
{
    enum sp_err err = SP_OK;

    for (size_t i = 0; err == SP_OK && i < text.len; i++) {
        char c = text.base[i];

        if (c == '<')
            err = sp_buf_append(out, SP_SPAN_LIT("&lt;"));
        else if (c == '&')
            err = sp_buf_append(out, SP_SPAN_LIT("&amp;"));
        else
            err = sp_buf_append(out, sp_span_of(&text.base[i], 1));
    }
    return err;
}

static bool label_is(struct sp_span labels, const char *pair)
{
    return memmem(labels.base, labels.len, pair, strlen(pair)) != NULL;
}

static double number_of(struct sp_span value)
{
    char text[32];

    if (value.len >= sizeof text)
        return 0;
    memcpy(text, value.base, value.len);
    text[value.len] = '\0';
    return strtod(text, NULL);
}

static void add_up(struct totals *totals, const struct sp_admin_sample *sample)
{
    double value = number_of(sample->value);

    if (sp_span_eq(sample->name, SP_SPAN_LIT("sallyport_requests_total"))) {
        totals->requests += value;
    } else if (sp_span_eq(sample->name, SP_SPAN_LIT("sallyport_auth_total"))) {
        if (label_is(sample->labels, "result=\"accept\""))
            totals->accepted += value;
        else if (label_is(sample->labels, "result=\"unavailable\""))
            totals->unavailable += value;
        else
            totals->refused += value;
    } else if (sp_span_eq(sample->name, SP_SPAN_LIT("sallyport_cache_total"))) {
        if (label_is(sample->labels, "result=\"miss\""))
            totals->misses += value;
        else
            totals->hits += value;
    }
}

static struct totals totals_of(struct sp_span metrics)
{
    struct totals totals = {0};
    struct sp_admin_sample sample;

    while (sp_admin_next_sample(&metrics, &sample))
        add_up(&totals, &sample);
    return totals;
}

static enum sp_err append_card(struct sp_buf *out, const char *what, double value, bool bad)
{
    return sp_buf_printf(out, "<div%s><b>%.0f</b>%s</div>\n", bad ? " class=\"bad\"" : "", value,
                         what);
}

static enum sp_err append_cards(struct sp_buf *out, const struct totals *totals)
{
    double asked = totals->hits + totals->misses;
    enum sp_err err = sp_buf_append(out, SP_SPAN_LIT("<div class=\"cards\">\n"));

    if (err == SP_OK)
        err = append_card(out, "connections", (double)sp_stats_sum(SP_STAT_CONNECTIONS), false);
    if (err == SP_OK)
        err = append_card(out, "tunnels", (double)sp_stats_sum(SP_STAT_TUNNELS), false);
    if (err == SP_OK)
        err = append_card(out, "handshakes in progress", (double)sp_stats_sum(SP_STAT_HANDSHAKES),
                          false);
    if (err == SP_OK)
        err = append_card(out, "requests", totals->requests, false);
    if (err == SP_OK)
        err = append_card(out, "logins accepted", totals->accepted, false);
    if (err == SP_OK)
        err = append_card(out, "logins refused", totals->refused, false);
    if (err == SP_OK)
        err = append_card(out, "logins the directory could not answer", totals->unavailable,
                          totals->unavailable > 0);
    if (err == SP_OK)
        err = append_card(out, "percent of verdicts from the cache",
                          asked > 0 ? 100 * totals->hits / asked : 0, false);
    return err == SP_OK ? sp_buf_append(out, SP_SPAN_LIT("</div>\n")) : err;
}

static enum sp_err append_row(struct sp_buf *out, const struct sp_admin_sample *sample)
{
    enum sp_err err = sp_buf_append(out, SP_SPAN_LIT("<tr><td>"));

    if (err == SP_OK)
        err = append_escaped(out, sample->name);
    if (err == SP_OK)
        err = sp_buf_append(out, SP_SPAN_LIT("</td><td>"));
    if (err == SP_OK)
        err = append_escaped(out, sample->labels);
    if (err == SP_OK)
        err = sp_buf_append(out, SP_SPAN_LIT("</td><td>"));
    if (err == SP_OK)
        err = append_escaped(out, sample->value);
    return err == SP_OK ? sp_buf_append(out, SP_SPAN_LIT("</td></tr>\n")) : err;
}

static enum sp_err append_readiness(struct sp_admin *admin, struct sp_buf *page)
{
    uint64_t up_s = (uv_now(admin->loop) - admin->started_ms) / 1000;
    struct sp_buf words;
    bool ready;
    enum sp_err err;

    sp_buf_init(&words, 4096);
    ready = admin->events.ready == NULL || admin->events.ready(admin->events.owner, &words);
    err = sp_buf_printf(page,
                        "<h1>sallyport " SP_VERSION "</h1>\n<p>%s, up %" PRIu64 "d %02" PRIu64
                        ":%02" PRIu64 ":%02" PRIu64 "; ",
                        ready ? "ready" : "<strong>not ready</strong>", up_s / 86400,
                        up_s / 3600 % 24, up_s / 60 % 60, up_s % 60);
    if (err == SP_OK)
        err = append_escaped(page, sp_buf_span(&words));
    sp_buf_fini(&words);
    if (err == SP_OK)
        err = sp_buf_append(page, SP_SPAN_LIT("<a href=\"/metrics\">metrics</a></p>\n"));
    return err;
}

static enum sp_err append_numbers(struct sp_buf *page, struct sp_span metrics)
{
    struct totals totals = totals_of(metrics);
    struct sp_admin_sample sample;
    enum sp_err err = append_cards(page, &totals);

    if (err == SP_OK)
        err = sp_buf_append(page, SP_SPAN_LIT("<h2>All counters</h2>\n<table>\n"));
    while (err == SP_OK && sp_admin_next_sample(&metrics, &sample))
        err = append_row(page, &sample);
    return err == SP_OK ? sp_buf_append(page, SP_SPAN_LIT("</table>\n</body></html>\n")) : err;
}

enum sp_err sp_admin_status_page(struct sp_admin *admin, struct sp_buf *page)
{
    struct sp_buf metrics;
    enum sp_err err;

    sp_buf_init(&metrics, SP_ADMIN_ANSWER_MAX);
    err = sp_stats_write(&metrics);
    if (err == SP_OK)
        err = sp_buf_append(page, sp_span_cstr(head));
    if (err == SP_OK)
        err = append_readiness(admin, page);
    if (err == SP_OK)
        err = append_numbers(page, sp_buf_span(&metrics));
    sp_buf_fini(&metrics);
    return err;
}
