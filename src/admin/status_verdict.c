/* The page's first words: is it well, and if not, what is wrong and what to do. The worst stands in
 * the headline, the rest below it. */
#include "admin/status_priv.h"

#include <string.h>

#define WINDOW_MS 300000u /* what has just happened */

struct verdict {
    struct sp_html *html;
    const struct sp_overview *o;
    struct sp_history_sample recent; /* the last five minutes */
    unsigned said;
    bool detailed; /* the finding under way has its details */
};

/* One finding: the first is the headline. What was begun goes on with `detail`, which may be left
 * out, and is ended by `remedy`. */
static void begin(struct verdict *v, bool bad)
{
    if (v->said++ == 0)
        sp_html_printf(v->html, "<section class=\"verdict %s\" aria-label=\"Verdict\"><h1>",
                       bad ? "bad" : "warn");
    else
        sp_html_printf(v->html, "%s<li><strong class=\"%s\">", v->said == 2 ? "<ul>" : "",
                       bad ? "bad" : "warn");
}

static void detail(struct verdict *v)
{
    sp_html_raw(v->html, v->said == 1 ? "</h1><p class=\"detail\">" : "</strong> ");
    v->detailed = true;
}

static void remedy(struct verdict *v, const char *what)
{
    if (v->detailed)
        sp_html_raw(v->html, v->said == 1 ? "</p><p>" : ". ");
    else
        sp_html_raw(v->html, v->said == 1 ? "</h1><p>" : "</strong> ");
    v->detailed = false;
    sp_html_raw(v->html, what);
    sp_html_raw(v->html, v->said == 1 ? "</p>" : "</li>");
}

/* ---- backends ---- */

/* "corp-ldap, local" */
static void name_unable(struct verdict *v)
{
    bool first = true;

    for (size_t i = 0; i < v->o->backends_len; i++) {
        const struct sp_overview_backend *b = &v->o->backends[i];

        if (b->able || b->asks_nobody)
            continue;
        sp_html_raw(v->html, first ? "" : ", ");
        sp_html_text(v->html, b->name);
        first = false;
    }
}

static uint64_t unable_since(const struct sp_overview *o)
{
    uint64_t since = 0;

    for (size_t i = 0; i < o->backends_len; i++)
        if (!o->backends[i].able && (since == 0 || o->backends[i].since_wall_ms < since))
            since = o->backends[i].since_wall_ms;
    return since;
}

/* Those that answer, but could only with another's groups. */
static void name_dependent(struct verdict *v)
{
    for (size_t i = 0; i < v->o->backends_len; i++) {
        const struct sp_overview_backend *b = &v->o->backends[i];

        if (b->able || b->groups_from == NULL)
            continue;
        sp_html_raw(v->html, ", nor ");
        sp_html_text(v->html, b->name);
        sp_html_raw(v->html, " without groups from ");
        sp_html_text(v->html, b->groups_from);
    }
}

/* "ldaps://dc1 (Connection refused), ldaps://dc2 (timeout)" */
static void name_servers(struct verdict *v)
{
    const char *before = "";

    for (size_t i = 0; i < v->o->servers_len; i++) {
        const struct sp_overview_server *s = &v->o->servers[i];

        if (s->well)
            continue;
        sp_html_raw(v->html, before);
        sp_html_text(v->html, s->name);
        sp_html_raw(v->html, " (");
        sp_html_text(v->html, s->words);
        sp_html_raw(v->html, ")");
        before = "; ";
    }
}

static void say_turned_away(struct verdict *v, uint64_t since_ms)
{
    struct sp_history_sample sum;

    /* The first to be turned away came before it was noticed. */
    sp_history_sum(v->o->history, since_ms > SP_HISTORY_STEP_MS ? since_ms - SP_HISTORY_STEP_MS : 0,
                   &sum);
    sp_html_printf(v->html, "; %u %s turned away", sum.unavailable,
                   sum.unavailable == 1 ? "request was" : "requests were");
}

static void judge_backends(struct verdict *v)
{
    const struct sp_overview *o = v->o;
    uint64_t since = unable_since(o);

    if (since == 0)
        return;
    begin(v, true);
    name_unable(v);
    sp_html_raw(v->html, " cannot answer since ");
    sp_html_time(v->html, since, o->now_wall_ms);
    name_dependent(v);
    say_turned_away(v, since);
    detail(v);
    name_servers(v);
    remedy(v, o->any_able
                  ? "People of other backends still get in. Run <code>sallyport doctor</code>: it "
                    "names the remedy for each server."
                  : "Only sign-ins that are still remembered get through, and <code>/readyz</code> "
                    "tells load balancers to send nobody. Run <code>sallyport doctor</code>: it "
                    "names the remedy for each server. This page turns green by itself.");
}

/* Some servers are away, and others do their work. */
static void judge_servers(struct verdict *v)
{
    for (size_t i = 0; i < v->o->servers_len; i++) {
        const struct sp_overview_server *s = &v->o->servers[i];
        bool able = false;

        for (size_t k = 0; k < v->o->backends_len; k++)
            if (strcmp(v->o->backends[k].name, s->backend) == 0)
                able = v->o->backends[k].able;
        if (s->well || !able)
            continue;
        begin(v, false);
        sp_html_text(v->html, s->name);
        sp_html_raw(v->html, " does not answer since ");
        sp_html_time(v->html, s->since_wall_ms, v->o->now_wall_ms);
        detail(v);
        sp_html_text(v->html, s->words);
        remedy(v, "Another server of its backend does the work, so nobody is turned away.");
    }
}

/* ---- the rest ---- */

static void judge_process(struct verdict *v)
{
    const struct sp_overview *o = v->o;

    if (o->stuck[0] != '\0') {
        begin(v, true);
        sp_html_text(v->html, o->stuck);
        remedy(v, "Its clients wait. If it does not go on, take a core with <code>gcore</code> and "
                  "restart.");
    }
}

static void judge_life(struct verdict *v)
{
    const struct sp_overview *o = v->o;

    if (o->state == SP_OVERVIEW_STARTING) {
        begin(v, false);
        sp_html_raw(v->html, "Starting");
        remedy(v, "Workers are being set up.");
    }
    if (o->state == SP_OVERVIEW_DRAINING) {
        begin(v, false);
        sp_html_raw(v->html, "Draining: nothing new is accepted");
        remedy(v, "It ends when requests and tunnels have finished, or after "
                  "<code>shutdown_timeout</code>.");
    }
}

static void judge_configuration(struct verdict *v)
{
    const struct sp_overview *o = v->o;

    if (o->reload == NULL || o->reload_well)
        return;
    begin(v, false);
    sp_html_raw(v->html, "The last reload, at ");
    sp_html_time(v->html, o->reload_wall_ms, o->now_wall_ms);
    sp_html_raw(v->html, ", was ");
    sp_html_text(v->html, o->reload);
    if (o->reload_faults[0] == '\0') {
        remedy(v, "Memory or descriptors were short. When they are not, run "
                  "<code>sallyport ctl reload</code> again.");
        return;
    }
    detail(v);
    sp_html_lines(v->html, o->reload_faults);
    remedy(v, "Correct that, look at it with <code>sallyport check</code>, and run "
              "<code>sallyport ctl reload</code>. A restart before would not start.");
}

/* What wears out: certificates, files, logs. */
static void judge_troubles(struct verdict *v, bool bad)
{
    for (size_t i = 0; i < v->o->troubles_len; i++) {
        const struct sp_overview_trouble *t = &v->o->troubles[i];

        if (t->bad != bad)
            continue;
        begin(v, bad);
        sp_html_text(v->html, t->what);
        detail(v);
        sp_html_text(v->html, t->detail);
        remedy(v, t->remedy);
    }
}

static void judge_counters(struct verdict *v)
{
    const struct sp_history_sample *s = &v->recent;

    if (s->unavailable > 0 && unable_since(v->o) == 0) {
        begin(v, false);
        sp_html_printf(v->html, "%u %s answered 503 in the last five minutes", s->unavailable,
                       s->unavailable == 1 ? "request was" : "requests were");
        remedy(v, "The refusals below say why.");
    }
    if (s->log_dropped > 0 && !v->o->log_failing) {
        begin(v, false);
        sp_html_printf(v->html, "%llu log lines were lost in the last five minutes",
                       (unsigned long long)s->log_dropped);
        remedy(v, "The disk of the log is full or too slow.");
    }
    if (v->o->blocked_users + v->o->blocked_clients > 0) {
        begin(v, false);
        sp_html_printf(v->html, "%lld blocked for wrong passwords",
                       (long long)(v->o->blocked_users + v->o->blocked_clients));
        remedy(v, "The devices at fault are named below. <code>sallyport ctl flush USER</code> "
                  "lifts a block.");
    }
}

bool sp_status_verdict(struct sp_html *html, const struct sp_overview *o)
{
    struct verdict v = {.html = html, .o = o};

    sp_history_sum(o->history, o->now_wall_ms > WINDOW_MS ? o->now_wall_ms - WINDOW_MS : 0,
                   &v.recent);
    judge_process(&v);
    judge_backends(&v);
    judge_troubles(&v, true);
    judge_life(&v);
    judge_configuration(&v);
    judge_troubles(&v, false);
    judge_servers(&v);
    judge_counters(&v);
    if (v.said == 0)
        sp_html_raw(html, "<section class=\"verdict good\" aria-label=\"Verdict\"><h1>All is "
                          "well</h1><p>Every backend answers, and nobody is turned away for our "
                          "sake.</p>");
    sp_html_raw(html, v.said > 1 ? "</ul></section>\n" : "</section>\n");
    return v.said == 0;
}
