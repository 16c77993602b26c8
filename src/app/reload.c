/* Reload: everything is read and checked as at the start; only when nothing is wrong do the workers
 * get the new snapshot ready, and only when all of them could do they take it up. Exchanges under
 * way keep theirs, tunnels are not touched. */
#include "app/server_priv.h"

#include "app/process.h"

#include "util/span.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WORDS_MAX 4096u
#define REFUSED   "refused, and nothing has changed:\n"
#define NO_MEANS \
    "refused, and nothing has changed: a worker had no means to take it up; reload again\n"

/* ---- what a reload cannot change ---- */

static const void *field(const struct sp_config_block *block, const struct sp_option *option)
{
    return (const char *)block->options + option->offset;
}

static bool is_same_list(const struct sp_strings *a, const struct sp_strings *b)
{
    bool same = a->len == b->len;

    for (size_t i = 0; same && i < a->len; i++)
        same = strcmp(a->items[i], b->items[i]) == 0;
    return same;
}

/* Only types that such options have: paths and a secret count as the same. */
static bool is_same(const struct sp_option *option, const struct sp_config_block *a,
                    const struct sp_config_block *b)
{
    switch (option->type) {
    case SP_OPTION_STRING:
    case SP_OPTION_PATH:
        return strcmp(*(char *const *)field(a, option), *(char *const *)field(b, option)) == 0;
    case SP_OPTION_BOOL: return *(const bool *)field(a, option) == *(const bool *)field(b, option);
    case SP_OPTION_INT:
        return *(const int64_t *)field(a, option) == *(const int64_t *)field(b, option);
    case SP_OPTION_MILLIS:
    case SP_OPTION_SIZE:
        return *(const uint64_t *)field(a, option) == *(const uint64_t *)field(b, option);
    case SP_OPTION_CHOICE: return *(const int *)field(a, option) == *(const int *)field(b, option);
    case SP_OPTION_LIST: return is_same_list(field(a, option), field(b, option));
    case SP_OPTION_PATHS:
    case SP_OPTION_SECRET: break;
    }
    return true;
}

/* What the newest configuration changes and only a restart takes up. */
typedef void (*waiting_cb)(void *owner, const char *block, const char *key);

static void each_waiting(const struct sp_server *server, waiting_cb found, void *owner)
{
    const struct sp_config *now = sp_proxy_snapshot_config(server->next != NULL ? server->next
                                                                                : server->snapshot);

    for (const struct sp_config_section *s = server->loader->sections; s->options != NULL; s++) {
        if (s->titled)
            continue;
        for (const struct sp_option *o = s->options; o->name != NULL; o++)
            if ((o->flags & SP_OPTION_RESTART) != 0 &&
                !is_same(o, sp_config_one(server->started, s->name), sp_config_one(now, s->name)))
                found(owner, s->name != NULL ? s->name : "top", o->name);
    }
}

static void tell_waiting(void *owner, const char *block, const char *key)
{
    struct sp_server *server = owner;

    sp_log_warning(&server->log,
                   "event=restart_needed block=%s key=%s detail=\"the new value is taken up by a "
                   "restart\"",
                   block, key);
}

/* ---- those who wait for what comes of it ---- */

/* Owned by the server, in askers, until told or forgotten. */
struct asker {
    struct sp_list link;
    struct sp_admin_conn *conn;
    bool of_next; /* another reload was under way: theirs is the one behind it */
};

struct waiting {
    struct sp_buf *words;
    enum sp_err err;
};

static void add_waiting(void *owner, const char *block, const char *key)
{
    struct waiting *waiting = owner;

    if (waiting->err == SP_OK)
        waiting->err = sp_buf_printf(waiting->words, "needs a restart: %s of %s\n", key, block);
}

static void tell_asker(const struct sp_server *server, struct asker *asker, bool well,
                       const char *what)
{
    struct sp_buf words;
    struct waiting waiting = {&words, SP_OK};

    sp_buf_init(&words, WORDS_MAX);
    waiting.err = sp_buf_append(&words, sp_span_cstr(what));
    if (well)
        each_waiting(server, add_waiting, &waiting);
    sp_list_remove(&asker->link);
    /* words that there is no memory for are left out; the verdict stands */
    sp_admin_answer(asker->conn, well, sp_buf_span(&words));
    sp_buf_fini(&words);
    free(asker);
}

/* Those of the reload that has ended; those of the next one go on waiting for it. */
static void tell_askers(struct sp_server *server, bool well, const char *what)
{
    struct sp_list *node, *next;

    for (node = server->askers.next; node != &server->askers; node = next) {
        struct asker *asker = sp_container_of(node, struct asker, link);

        next = node->next;
        if (!asker->of_next)
            tell_asker(server, asker, well, what);
    }
}

void sp_server_reload_ends(struct sp_server *server)
{
    while (!sp_list_empty(&server->askers))
        tell_asker(server, sp_container_of(server->askers.next, struct asker, link), false,
                   "sallyport ends: nothing is reloaded\n");
}

void sp_server_reload_forget(struct sp_server *server, void *reload)
{
    struct asker *asker = reload;

    (void)server;
    sp_list_remove(&asker->link);
    free(asker);
}

/* ---- the new snapshot ---- */

static bool has_listener(const struct sp_proxy_snapshot *snapshot, const struct sp_addr *addr)
{
    size_t len;
    const struct sp_listen *have = sp_proxy_snapshot_listens(snapshot, &len);

    for (size_t i = 0; i < len; i++)
        if (sp_addr_same_socket(&have[i].addr, addr))
            return true;
    return false;
}

/* Is this a listener that the workers do not have yet? */
static bool is_new(void *owner, const struct sp_listen *listen)
{
    const struct sp_server *server = owner;

    return !has_listener(server->snapshot, &listen->addr);
}

/* The sockets of listeners that one snapshot has and the other has not need not be kept. */
static void forget_sockets(const struct sp_proxy_snapshot *of,
                           const struct sp_proxy_snapshot *not_in)
{
    size_t len;
    const struct sp_listen *listens = sp_proxy_snapshot_listens(of, &len);

    for (size_t i = 0; i < len; i++)
        if (!has_listener(not_in, &listens[i].addr))
            sp_app_sockets_forget(&listens[i].addr);
}

/* NULL: faults were added. `sockets` then holds nothing. */
static struct sp_proxy_snapshot *read_snapshot(struct sp_server *server,
                                               struct sp_app_sockets *sockets,
                                               struct sp_config_faults *faults)
{
    struct sp_config *config = sp_app_loader_read(server->loader, faults);
    struct sp_proxy_snapshot *snapshot = NULL;
    const struct sp_listen *listens;
    size_t len;

    if (config == NULL)
        return NULL;
    snapshot = sp_app_loader_compile(server->loader, config, server->started, &server->log, faults);
    if (snapshot != NULL) {
        listens = sp_proxy_snapshot_listens(snapshot, &len);
        if (sp_app_sockets_bind(sockets, config, listens, len, server->workers_len, NULL, is_new,
                                server, faults) == SP_OK)
            sp_app_sockets_store(sockets, listens, &server->log);
        else
            sp_proxy_snapshot_unref(&snapshot);
    }
    sp_config_unref(&config);
    return snapshot;
}

/* What the whole process shares: new limits for cache and guard, the log's level. */
static void apply_shared(struct sp_server *server, const struct sp_config *config)
{
    const struct sp_log_options *log = sp_config_one(config, "log")->options;

    sp_auth_shared_apply(&server->shared, sp_config_one(config, "cache")->options,
                         sp_config_one(config, "guard")->options);
    sp_log_set_level((enum sp_log_level)log->level);
}

/* To all workers, to be got ready; what comes of it is settled when all have answered. */
static void hand_out(struct sp_server *server, struct sp_proxy_snapshot *snapshot,
                     struct sp_app_sockets *sockets)
{
    sp_server_enter(server, SP_SERVER_RELOADING);
    server->next = snapshot;
    server->apply_failed = false;
    server->replies_due = server->workers_len;
    for (unsigned i = 0; i < server->workers_len; i++)
        sp_app_worker_apply(server->workers[i], snapshot, sockets);
}

/* All workers take it up, or none does. */
static void settle(struct sp_server *server, bool take)
{
    server->replies_due = server->workers_len;
    if (take) {
        each_waiting(server, tell_waiting, server);
        sp_auth_plan_tell_changes(sp_proxy_snapshot_plan(server->snapshot),
                                  sp_proxy_snapshot_plan(server->next), &server->log);
        apply_shared(server, sp_proxy_snapshot_config(server->next));
        forget_sockets(server->snapshot, server->next);
        sp_proxy_snapshot_unref(&server->snapshot);
        server->snapshot = server->next;
        server->next = NULL;
        sp_app_files_unref(&server->files);
        server->files = server->next_files;
        server->next_files = NULL;
    } else {
        forget_sockets(server->next, server->snapshot);
        sp_proxy_snapshot_unref(&server->next);
        sp_app_files_unref(&server->next_files);
    }
    for (unsigned i = 0; i < server->workers_len; i++)
        sp_app_worker_settle(server->workers[i], take);
}

/* systemd's protocol for Type=notify-reload: the moment is told so that it can match the answer. */
static void tell_reloading(void)
{
    struct timespec now = {0};
    char text[80];

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=Reloading",
             (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
    sp_process_tell(text);
}

static void note_end(struct sp_server *server, enum sp_server_reload_end end)
{
    server->reloads[end]++;
    server->last_reload = end;
    server->reload_wall_ms = sp_clock_wall_ms(&sp_clock_system);
    if (end == SP_SERVER_RELOAD_OK)
        server->loaded_wall_ms = server->reload_wall_ms;
}

/* Whole lines, as many as there is room for; the log has all. */
static void keep_faults(struct sp_server *server, struct sp_span text)
{
    static const char more[] = "and more: sallyport check names all\n";
    size_t cap = sizeof(server->reload_faults) - sizeof(more);
    size_t len = text.len;

    while (len > cap || (len > 0 && len < text.len && text.base[len - 1] != '\n'))
        len--;
    (void)snprintf(server->reload_faults, sizeof(server->reload_faults), "%.*s%s", (int)len,
                   text.base != NULL ? text.base : "", len < text.len ? more : "");
}

/* What those who asked are told. Borrowed until the next. */
static const char *refusal(const struct sp_server *server)
{
    static char words[sizeof(server->reload_faults) + sizeof(REFUSED)];

    (void)snprintf(words, sizeof(words), REFUSED "%s", server->reload_faults);
    return words;
}

/* The new one is whole: the files that it names are looked at from now on. */
static void note_files(struct sp_server *server, struct sp_proxy_snapshot **snapshot,
                       struct sp_config_faults *faults)
{
    struct sp_config *config;

    if (*snapshot == NULL)
        return;
    config = sp_proxy_snapshot_config(*snapshot);
    server->next_files = sp_app_files_new(config);
    if (server->next_files == NULL) {
        sp_config_fault(faults, sp_config_one(config, NULL), NULL, "out of memory");
        forget_sockets(*snapshot, server->snapshot);
        sp_proxy_snapshot_unref(snapshot);
    }
}

/* False: refused. Also true where it is put off until the one under way is done. */
static bool reload(struct sp_server *server)
{
    struct sp_app_sockets sockets = {0};
    struct sp_proxy_snapshot *snapshot;
    struct sp_config_faults faults;

    if (server->state != SP_SERVER_SERVING) {
        server->reload_again = true; /* at rest again, it is done; when ending, it is moot */
        return true;
    }
    tell_reloading();
    sp_config_faults_init(&faults);
    snapshot = read_snapshot(server, &sockets, &faults);
    note_files(server, &snapshot, &faults);
    keep_faults(server, sp_buf_span(&faults.text));
    sp_app_faults_log(&faults, &server->log);
    if (snapshot != NULL) {
        hand_out(server, snapshot, &sockets);
    } else {
        note_end(server, SP_SERVER_RELOAD_REFUSED);
        sp_log_error(&server->log,
                     "event=reload_refused faults=%u detail=\"nothing has changed: the old "
                     "configuration goes on serving\"",
                     faults.count);
        sp_server_tell_serving(server, "READY=1\n");
    }
    sp_app_sockets_fini(&sockets);
    sp_config_faults_fini(&faults);
    return snapshot != NULL;
}

void sp_server_reload(struct sp_server *server)
{
    bool taken = reload(server);

    (void)taken; /* the log says why not */
}

void *sp_server_reload_for(struct sp_server *server, struct sp_admin_conn *conn,
                           struct sp_buf *words)
{
    const char *why = "there is no memory to wait for it: nothing has changed\n";
    struct asker *asker = NULL;

    if (server->state == SP_SERVER_DRAINING || server->state == SP_SERVER_ENDED)
        why = "sallyport ends: nothing is reloaded\n";
    else
        asker = calloc(1, sizeof(*asker));
    if (asker != NULL) {
        asker->conn = conn;
        asker->of_next = server->state != SP_SERVER_SERVING;
        sp_list_push(&server->askers, &asker->link);
        if (!reload(server)) {
            why = refusal(server);
            sp_server_reload_forget(server, asker);
            asker = NULL;
        }
    }
    if (asker == NULL && sp_buf_append(words, sp_span_cstr(why)) != SP_OK)
        sp_buf_reset(words); /* the verdict says enough */
    return asker;
}

/* Those who came while one was under way asked for this one. */
void sp_server_reload_again(struct sp_server *server)
{
    struct sp_list *node;

    if (!server->reload_again)
        return;
    server->reload_again = false;
    SP_LIST_EACH (node, &server->askers)
        sp_container_of(node, struct asker, link)->of_next = false;
    if (!reload(server))
        tell_askers(server, false, refusal(server));
}

/* While workers get ready, a drain may begin: it lets go of what they have. */
void sp_server_on_applied(void *owner, bool well)
{
    struct sp_server *server = owner;

    server->apply_failed = server->apply_failed || !well;
    if (--server->replies_due == 0 && server->state == SP_SERVER_RELOADING)
        settle(server, !server->apply_failed);
}

void sp_server_on_settled(void *owner)
{
    struct sp_server *server = owner;

    if (--server->replies_due > 0 || server->state != SP_SERVER_RELOADING)
        return;
    sp_server_enter(server, SP_SERVER_SERVING);
    note_end(server, server->apply_failed ? SP_SERVER_RELOAD_INCOMPLETE : SP_SERVER_RELOAD_OK);
    if (server->apply_failed)
        sp_log_error(&server->log,
                     "event=reload_refused faults=0 detail=\"a worker had no means to "
                     "take up the new configuration, so none did: nothing has "
                     "changed; reload again\"");
    else
        sp_log_info(&server->log, "event=reloaded");
    sp_server_tell_serving(server, "READY=1\n");
    tell_askers(server, !server->apply_failed, server->apply_failed ? NO_MEANS : "reloaded\n");
    sp_server_reload_again(server);
}
