/* How the server does: once a second every loop is sent a letter, backends that are due are looked
 * at, and counters and decisions are read for the last hour's history. From this come /healthz,
 * /readyz and the status page. Main thread. */
#include "app/vitals.h"

#include "app/process.h"
#include "util/span.h"

#include <stdio.h>
#include <stdlib.h>

#define TICK_MS           1000
#define CERTIFICATE_TICKS 60u
#define STUCK_MS          5000 /* a loop that turns does so many times a second */

/* The verdict counts; its words may be lost. */
static void say(struct sp_buf *words, enum sp_err err)
{
    if (err != SP_OK)
        sp_buf_reset(words);
}

/* ---- ready ---- */

static enum sp_err say_server(struct sp_buf *words, const struct sp_health_server *server)
{
    return server->well ? SP_OK : sp_buf_printf(words, "  %s: %s\n", server->name, server->words);
}

static enum sp_err say_backend(struct sp_buf *words, const struct sp_health_backend *b)
{
    enum sp_err err = sp_buf_printf(words, "%s cannot answer", b->name);

    if (err == SP_OK && b->groups_from != NULL)
        err = sp_buf_printf(words, " without groups from %s", b->groups_from);
    if (err == SP_OK)
        err = sp_buf_append(words, SP_SPAN_LIT("\n"));
    for (size_t i = 0; i < b->servers_len && err == SP_OK; i++)
        err = say_server(words, &b->servers[i]);
    return err;
}

static void say_backends(struct sp_buf *words, const struct sp_auth_health *health)
{
    enum sp_err err = sp_buf_append(words, SP_SPAN_LIT("no backend can answer\n"));

    for (size_t i = 0; i < sp_auth_health_len(health) && err == SP_OK; i++) {
        struct sp_health_backend b;

        sp_auth_health_get(health, i, &b);
        if (!b.able)
            err = say_backend(words, &b);
    }
    say(words, err);
}

bool sp_server_is_ready(void *owner, struct sp_buf *words)
{
    const struct sp_server *server = owner;
    const char *text = NULL;

    switch (server->state) {
    case SP_SERVER_STARTING: text = "workers are starting\n"; break;
    case SP_SERVER_SERVING:
    case SP_SERVER_RELOADING:
        if (sp_auth_health_able(server->vitals->health))
            return true;
        if (words != NULL)
            say_backends(words, server->vitals->health);
        return false;
    case SP_SERVER_DRAINING: text = "draining: nothing new is accepted\n"; break;
    case SP_SERVER_ENDED: text = "ended\n"; break;
    }
    if (words != NULL)
        say(words, sp_buf_append(words, sp_span_cstr(text)));
    return false;
}

/* ---- alive ---- */

bool sp_server_is_alive(void *owner, struct sp_buf *words)
{
    const struct sp_server *server = owner;
    enum sp_err err = SP_OK;
    bool alive = true;

    for (unsigned i = 0; i < server->workers_len; i++) {
        uint64_t silent_ms = sp_app_worker_silent_ms(server->workers[i]);

        if (silent_ms < STUCK_MS)
            continue;
        alive = false;
        if (err == SP_OK)
            err = sp_buf_printf(words, "worker %u has not turned its loop for %llu s\n", i,
                                (unsigned long long)(silent_ms / 1000));
    }
    say(words, err);
    return alive;
}

/* ---- the last hour ---- */

/* The host of a target: of "http://host:80/path", "host:443" or "[::1]:443". */
static struct sp_span host_of(struct sp_span target)
{
    const char *slashes = target.len > 0 ? memmem(target.base, target.len, "://", 3) : NULL;
    size_t from = slashes != NULL ? (size_t)(slashes - target.base) + 3 : 0;
    bool bracket = from < target.len && target.base[from] == '[';
    size_t to = from;

    while (to < target.len && target.base[to] != '/' && target.base[to] != '?' &&
           target.base[to] != '#' &&
           (target.base[to] != ':' || (bracket && target.base[to - 1] != ']')))
        to++;
    return sp_span_of(target.base + from, to - from);
}

static void count_decision(void *owner, const struct sp_decision *d)
{
    struct sp_server_vitals *v = owner;
    uint64_t now_ms = sp_clock_mono_ms(&sp_clock_system);

    if (d->reason != SP_REASON_OK)
        return;
    sp_top_add(v->users, d->text[SP_DECISION_USER], now_ms);
    sp_top_add(v->hosts, host_of(d->text[SP_DECISION_TARGET]), now_ms);
}

void sp_server_vitals_look(struct sp_server_vitals *v)
{
    sp_history_take(v->history, sp_clock_mono_ms(&sp_clock_system),
                    sp_clock_wall_ms(&sp_clock_system));
    if (!sp_trace_news_read(v->news, count_decision, v))
        v->missed = true;
}

/* ---- the tick ---- */

void sp_server_tell_serving(const struct sp_server *server, const char *before)
{
    bool refused = server->last_reload != SP_SERVER_RELOAD_OK;
    char text[160];

    (void)snprintf(text, sizeof(text), "%sSTATUS=Serving with %u worker%s%s%s", before,
                   server->workers_len, server->workers_len == 1 ? "" : "s",
                   server->vitals->able ? "" : "; no backend answers",
                   refused ? "; the last reload was refused, see the log" : "");
    sp_process_tell(text);
}

static void tell_readiness(struct sp_server_vitals *v)
{
    bool able = sp_auth_health_able(v->health);

    if (able == v->able)
        return;
    v->able = able;
    if (able)
        sp_log_info(&v->server->log, "event=backends_answer");
    else
        sp_log_warning(&v->server->log,
                       "event=no_backend_answers detail=\"/readyz is 503 until one does\"");
    if (v->server->state == SP_SERVER_SERVING)
        sp_server_tell_serving(v->server, "");
}

static void tick(struct sp_server_vitals *v)
{
    struct sp_server *server = v->server;

    sp_timer_start(server->loop, &v->timer, TICK_MS);
    for (unsigned i = 0; i < server->workers_len; i++)
        sp_app_worker_beat(server->workers[i]);
    sp_auth_health_tick(v->health, sp_proxy_snapshot_plan(server->snapshot));
    tell_readiness(v);
    if (v->ticks++ % CERTIFICATE_TICKS == 0)
        sp_server_certificates_tell(server);
    sp_server_vitals_look(v);
}

static void on_tick(struct sp_timer *timer)
{
    tick(sp_container_of(timer, struct sp_server_vitals, timer));
}

static void vitals_free(struct sp_server_vitals *v)
{
    sp_auth_health_close(&v->health);
    sp_history_free(&v->history);
    sp_top_free(&v->users);
    sp_top_free(&v->hosts);
    sp_trace_news_free(&v->news);
    free(v);
}

enum sp_err sp_server_vitals_open(struct sp_server *server)
{
    struct sp_server_vitals *v = calloc(1, sizeof(*v));

    if (v == NULL)
        return SP_ERR_NOMEM;
    v->server = server;
    v->able = true;
    sp_timer_init(&v->timer, on_tick);
    v->health = sp_auth_health_new(server->loop);
    v->history = sp_history_new(sp_clock_mono_ms(&sp_clock_system));
    v->users = sp_top_new();
    v->hosts = sp_top_new();
    v->news = sp_trace_news_new(server->traces);
    if (v->health == NULL || v->history == NULL || v->users == NULL || v->hosts == NULL ||
        v->news == NULL) {
        vitals_free(v);
        return SP_ERR_NOMEM;
    }
    server->vitals = v;
    tick(v);
    return SP_OK;
}

void sp_server_vitals_close(struct sp_server *server)
{
    struct sp_server_vitals *v = server->vitals;

    server->vitals = NULL;
    if (v == NULL)
        return;
    sp_timer_stop(&v->timer);
    vitals_free(v);
}
