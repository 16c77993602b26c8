/* What the admin room may ask of the server: reload, drain, flush, whether it is ready, what was
 * decided about whom, and what the sessions are. */
#include "app/server_priv.h"

#include "app/decision.h"
#include "app/gather.h"

#include "util/span.h"

#include <assert.h>

static void *on_reload(void *owner, struct sp_admin_conn *asker, struct sp_buf *words)
{
    struct sp_server *server = owner;

    sp_log_info(&server->log, "event=reload_asked by=ctl");
    return sp_server_reload_for(server, asker, words);
}

static void on_forget_reload(void *owner, void *reload)
{
    sp_server_reload_forget(owner, reload);
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

/* ---- decisions ---- */

#define WHY_CHAINS 10                  /* of the last ones */
#define READ_SIZE  ((size_t)64 * 1024) /* for one who follows, in one go */
#define READ_MAX \
    16u /* decisions: for each the legs before it may be looked up (docs/internals/trace.md) */

/* Lines on their way to somebody who asked. */
struct telling {
    struct sp_buf *words;
    bool well;
};

static void tell(void *owner, const struct sp_decision *decision)
{
    struct telling *telling = owner;

    if (sp_app_decision_write(telling->words, decision) != SP_OK)
        telling->well = false;
}

static enum sp_err on_why(void *owner, struct sp_span word, struct sp_buf *words)
{
    struct sp_server *server = owner;
    struct telling telling = {words, true};
    enum sp_err err = sp_trace_find(server->traces, word, WHY_CHAINS, tell, &telling);

    return err == SP_OK && !telling.well ? SP_ERR_NOMEM : err;
}

static void *on_follow(void *owner, struct sp_span word)
{
    struct sp_server *server = owner;

    return sp_trace_follow_new(server->traces, word);
}

static void on_follow_read(void *owner, void *follow, struct sp_buf *words)
{
    struct telling telling = {words, true};
    bool more = true;

    (void)owner;
    for (unsigned i = 0; more && telling.well && words->len < READ_SIZE && i < READ_MAX; i++) {
        uint64_t lost = sp_trace_follow_lost(follow);

        if (lost > 0 && sp_app_decision_write_lost(words, lost) != SP_OK)
            telling.well = false;
        more = sp_trace_follow_next(follow, tell, &telling);
    }
}

static void on_unfollow(void *owner, void *follow)
{
    struct sp_trace_follow *gone = follow;

    (void)owner;
    sp_trace_follow_free(&gone);
}

static void on_traced(struct sp_mail *mail)
{
    struct sp_server *server = sp_container_of(mail, struct sp_server, traced);

    atomic_flag_clear(&server->traced_posted); /* first: what comes from now on is a new letter */
    if (server->admin != NULL)
        sp_admin_wake(server->admin);
}

/* The letter is one: while it is on its way it tells of everything. */
void sp_server_on_traced(void *owner)
{
    struct sp_server *server = owner;
    enum sp_err err;

    if (atomic_flag_test_and_set(&server->traced_posted))
        return;
    server->traced.deliver = on_traced;
    err = sp_loop_post(server->loop, &server->traced);
    assert(err == SP_OK); /* the main loop ends after all workers */
    (void)err;
}

/* ---- sessions ---- */

#define GATHERINGS_MAX 4 /* each may hold 10,000 sessions */

static void on_gathered(void *owner, struct sp_span lines)
{
    sp_admin_answer(owner, true, lines);
}

static void *on_gather(void *owner, struct sp_admin_conn *asker, struct sp_buf *words)
{
    struct sp_server *server = owner;
    const struct sp_app_gather gather = {.loop = server->loop,
                                         .workers = server->workers,
                                         .workers_len = server->workers_len,
                                         .wait_ms = SP_ADMIN_GATHER_MS,
                                         .underway = &server->gatherings,
                                         .gathered = on_gathered,
                                         .owner = asker};
    struct sp_app_gathering *gathering = NULL;
    const char *why = "no memory\n";

    if (server->gatherings >= GATHERINGS_MAX)
        why = "too many ask for the sessions already, or a worker does not answer them\n";
    else
        gathering = sp_app_gather(&gather);
    if (gathering == NULL && sp_buf_append(words, sp_span_cstr(why)) != SP_OK)
        sp_buf_reset(words); /* the verdict counts, its words may be lost */
    return gathering;
}

static void on_forget(void *owner, void *gathering)
{
    (void)owner;
    sp_app_gather_forget(gathering);
}

enum sp_err sp_server_control_open(struct sp_server *server)
{
    const struct sp_config_block *block = sp_config_one(sp_proxy_snapshot_config(server->snapshot),
                                                        "admin");
    const struct sp_admin_events events = {.reload = on_reload,
                                           .forget_reload = on_forget_reload,
                                           .drain = on_drain,
                                           .flush = on_flush,
                                           .ready = sp_server_is_ready,
                                           .alive = sp_server_is_alive,
                                           .overview = sp_server_overview,
                                           .why = on_why,
                                           .follow = on_follow,
                                           .follow_read = on_follow_read,
                                           .unfollow = on_unfollow,
                                           .gather = on_gather,
                                           .forget = on_forget,
                                           .owner = server};

    return sp_admin_open(sp_loop_uv(server->loop), block->options,
                         sp_config_is_set(block, "socket"), sp_config_is_set(block, "http"),
                         &events, &server->log, &server->admin);
}
