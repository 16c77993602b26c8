/* What the admin room may ask of the server: reload, drain, flush, and whether it is ready. */
#include "app/server_priv.h"

#include "util/span.h"

static bool on_reload(void *owner, struct sp_buf *words)
{
    struct sp_server *server = owner;
    bool at_rest = server->state == SP_SERVER_SERVING;
    const char *text = "workers take up the new configuration\n";
    bool well = true;

    sp_log_info(&server->log, "event=reload_asked by=ctl");
    sp_server_reload(server);
    if (!at_rest) {
        text = "a reload is under way; another one follows it\n";
    } else if (server->state == SP_SERVER_SERVING) {
        text = "refused, and nothing has changed: the log and `sallyport check` say why\n";
        well = false;
    }
    return sp_buf_append(words, sp_span_cstr(text)) == SP_OK && well;
}

static void on_drain(void *owner)
{
    sp_server_drain(owner);
}

static void on_flush(void *owner, struct sp_span user)
{
    struct sp_server *server = owner;

    sp_auth_shared_flush(&server->shared, user);
}

static bool on_ready(void *owner, struct sp_buf *words)
{
    const struct sp_server *server = owner;
    const char *text = NULL;

    switch (server->state) {
    case SP_SERVER_STARTING: text = "workers are starting\n"; break;
    case SP_SERVER_SERVING:
    case SP_SERVER_RELOADING: return true;
    case SP_SERVER_DRAINING: text = "draining: nothing new is accepted\n"; break;
    case SP_SERVER_ENDED: text = "ended\n"; break;
    }
    if (sp_buf_append(words, sp_span_cstr(text)) != SP_OK)
        sp_buf_reset(words); /* the verdict counts, its words may be lost */
    return false;
}

enum sp_err sp_server_control_open(struct sp_server *server)
{
    const struct sp_config_block *block = sp_config_one(sp_proxy_snapshot_config(server->snapshot),
                                                        "admin");
    const struct sp_admin_events events = {.reload = on_reload,
                                           .drain = on_drain,
                                           .flush = on_flush,
                                           .ready = on_ready,
                                           .owner = server};

    return sp_admin_open(sp_loop_uv(server->loop), block->options,
                         sp_config_is_set(block, "socket"), sp_config_is_set(block, "http"),
                         &events, &server->log, &server->admin);
}
