/* How the server does: once a second every loop is sent a letter, and backends that are due are
 * looked at. From this come /healthz and /readyz. Main thread. */
#include "app/server_priv.h"

#include "auth/health.h"
#include "util/span.h"

#include <stdlib.h>

#define TICK_MS  1000
#define STUCK_MS 5000 /* a loop that turns does so many times a second */

struct sp_server_vitals {
    struct sp_server *server;
    struct sp_timer timer;
    struct sp_auth_health *health;
    bool able; /* as it was said last */
};

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

/* ---- the tick ---- */

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
}

static void tick(struct sp_server_vitals *v)
{
    struct sp_server *server = v->server;

    sp_timer_start(server->loop, &v->timer, TICK_MS);
    for (unsigned i = 0; i < server->workers_len; i++)
        sp_app_worker_beat(server->workers[i]);
    sp_auth_health_tick(v->health, sp_proxy_snapshot_plan(server->snapshot));
    tell_readiness(v);
}

static void on_tick(struct sp_timer *timer)
{
    tick(sp_container_of(timer, struct sp_server_vitals, timer));
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
    if (v->health == NULL) {
        free(v);
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
    sp_auth_health_close(&v->health);
    free(v);
}
