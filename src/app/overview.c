/* Fills what the status page shows, from the parts that know it. Main thread. */
#include "app/server_priv.h"

#include "app/vitals.h"
#include "auth/guard.h"
#include "util/span.h"

#include <stdio.h>
#include <string.h>

static void copy_text(char *out, size_t cap, struct sp_span text)
{
    (void)snprintf(out, cap, "%.*s", SP_SPAN_ARG(text));
}

static void fill_backends(struct sp_overview *o, const struct sp_auth_health *health)
{
    for (size_t i = 0; i < sp_auth_health_len(health) && i < SP_OVERVIEW_BACKENDS; i++) {
        struct sp_health_backend b;

        sp_auth_health_get(health, i, &b);
        o->backends[o->backends_len++] = (struct sp_overview_backend){
            .name = b.name,
            .groups_from = b.groups_from,
            .able = b.able,
            .asks_nobody = b.servers_len == 0,
            .since_wall_ms = b.since_wall_ms,
        };
        for (size_t k = 0; k < b.servers_len && o->servers_len < SP_OVERVIEW_SERVERS; k++)
            o->servers[o->servers_len++] = (struct sp_overview_server){
                .backend = b.name,
                .name = b.servers[k].name,
                .words = b.servers[k].words,
                .well = b.servers[k].well,
                .since_wall_ms = b.servers[k].since_wall_ms,
                .micros = b.servers[k].micros,
            };
    }
}

static void fill_blocked(struct sp_overview *o, struct sp_guard *guard, uint64_t now_ms)
{
    struct sp_guard_blocked blocked[SP_OVERVIEW_BLOCKED];
    char text[SP_ADDR_TEXT_MAX];

    o->blocked_users = (int64_t)sp_guard_count(guard, true, now_ms);
    o->blocked_clients = (int64_t)sp_guard_count(guard, false, now_ms);
    o->blocked_len = sp_guard_list(guard, now_ms, blocked, SP_OVERVIEW_BLOCKED);
    for (size_t i = 0; i < o->blocked_len; i++) {
        struct sp_overview_blocked *b = &o->blocked[i];

        copy_text(b->user, sizeof(b->user), sp_span_cstr(blocked[i].user));
        copy_text(b->backend, sizeof(b->backend), sp_span_cstr(blocked[i].backend));
        copy_text(b->client, sizeof(b->client),
                  sp_span_cstr(sp_addr_ip_text(&blocked[i].culprit.client, text)));
        copy_text(b->device, sizeof(b->device), sp_span_cstr(blocked[i].culprit.user_agent));
        b->left_s = blocked[i].left_s;
    }
}

static void take_refusal(void *owner, const struct sp_decision *d)
{
    struct sp_overview *o = owner;
    struct sp_overview_refusal *r = &o->refusals[o->refusals_len++];
    char text[SP_ADDR_TEXT_MAX];

    *r = (struct sp_overview_refusal){.wall_ms = d->wall_ms,
                                      .count = d->count,
                                      .status = d->status,
                                      .reason = sp_reason_text(d->reason)};
    copy_text(r->id, sizeof(r->id), d->text[SP_DECISION_ID]);
    copy_text(r->user, sizeof(r->user), d->text[SP_DECISION_USER]);
    copy_text(r->client, sizeof(r->client), sp_span_cstr(sp_addr_ip_text(&d->client, text)));
    copy_text(r->target, sizeof(r->target), d->text[SP_DECISION_TARGET]);
    copy_text(r->why, sizeof(r->why), d->text[SP_DECISION_WHY]);
}

static void fill_server(struct sp_overview *o, const struct sp_server *server)
{
    static const char *const ends[] = {
        [SP_SERVER_RELOAD_OK] = "taken up",
        [SP_SERVER_RELOAD_REFUSED] = "refused: there is a fault in it, and the old one serves",
        [SP_SERVER_RELOAD_INCOMPLETE] =
            "refused: a worker had no means for it, and the old one serves",
    };

    switch (server->state) {
    case SP_SERVER_STARTING: o->state = SP_OVERVIEW_STARTING; break;
    case SP_SERVER_SERVING:
    case SP_SERVER_RELOADING: o->state = SP_OVERVIEW_SERVING; break;
    case SP_SERVER_DRAINING:
    case SP_SERVER_ENDED: o->state = SP_OVERVIEW_DRAINING; break;
    }
    o->loaded_wall_ms = server->loaded_wall_ms;
    o->started_wall_ms = server->started_wall_ms;
    o->config = server->loader->path;
    o->reload_well = server->last_reload == SP_SERVER_RELOAD_OK;
    o->reload_faults = server->reload_faults;
    o->reload_wall_ms = server->reload_wall_ms;
    o->reload = server->reload_wall_ms != 0 ? ends[server->last_reload] : NULL;
    o->workers = server->workers_len - server->workers_ended;
    o->work_queue = sp_work_pool_waiting(server->pool);
}

static void fill_stuck(struct sp_overview *o, void *owner)
{
    struct sp_buf words;
    struct sp_span text;

    sp_buf_init(&words, sizeof(o->stuck) - 1);
    if (!sp_server_is_alive(owner, &words)) {
        text = sp_buf_span(&words);
        copy_text(o->stuck, sizeof(o->stuck),
                  text.len > 0 ? text : SP_SPAN_LIT("some workers do not turn their loops"));
    }
    sp_buf_fini(&words);
}

void sp_server_overview(void *owner, struct sp_overview *o)
{
    struct sp_server *server = owner;
    struct sp_server_vitals *v = server->vitals;
    uint64_t now_ms = sp_clock_mono_ms(&sp_clock_system);

    memset(o, 0, sizeof(*o));
    o->now_wall_ms = sp_clock_wall_ms(&sp_clock_system);
    fill_server(o, server);
    fill_stuck(o, owner);
    sp_server_vitals_look(v);
    o->ready = sp_server_is_ready(owner, NULL);
    o->any_able = sp_auth_health_able(v->health);
    o->history = v->history;
    o->users_len = sp_top_list(v->users, now_ms, o->users, SP_OVERVIEW_TOP);
    o->hosts_len = sp_top_list(v->hosts, now_ms, o->hosts, SP_OVERVIEW_TOP);
    o->tops_missed = v->missed;
    sp_server_troubles(server, o);
    fill_backends(o, v->health);
    fill_blocked(o, server->shared.guard, now_ms);
    sp_trace_refusals(server->traces, SP_OVERVIEW_REFUSALS, take_refusal, o);
}
