/* One worker's proxy: its listeners, its epochs (one per configuration snapshot still in use), and
 * the drain at the end. Sessions come in through sp_session_accepted. Loop
 * thread only, but for the count of client connections, which all workers share. */
#include "proxy/proxy_priv.h"

#include "util/hash.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FRESH_MS 1000 /* for a request that is on its way when the drain begins */

struct proxy_listener {
    struct sp_list link; /* proxy->listeners, or next_listeners */
    struct sp_proxy *proxy;
    struct sp_listener *listener;
    struct sp_addr addr;
};

/* ---- epochs ---- */

static void on_engine_closed(void *owner)
{
    struct sp_epoch *epoch = owner;
    struct sp_proxy *proxy = epoch->proxy;

    sp_list_remove(&epoch->link);
    sp_proxy_snapshot_unref(&epoch->snapshot);
    free(epoch);
    sp_proxy_check_drained(proxy);
}

static struct sp_epoch *epoch_new(struct sp_proxy *proxy, struct sp_proxy_snapshot *snapshot)
{
    struct sp_epoch *epoch = calloc(1, sizeof(*epoch));

    if (epoch == NULL)
        return NULL;
    epoch->engine = sp_auth_engine_new(proxy->loop, snapshot->plan, proxy->shared, proxy->stats,
                                       proxy->log);
    if (epoch->engine == NULL) {
        free(epoch);
        return NULL;
    }
    epoch->proxy = proxy;
    epoch->snapshot = sp_proxy_snapshot_ref(snapshot);
    epoch->refs = 1;
    sp_list_push(&proxy->epochs, &epoch->link);
    return epoch;
}

struct sp_epoch *sp_epoch_ref(struct sp_epoch *epoch)
{
    epoch->refs++;
    return epoch;
}

void sp_epoch_unref(struct sp_epoch **epoch)
{
    struct sp_epoch *gone = *epoch;

    *epoch = NULL;
    if (gone != NULL && --gone->refs == 0)
        sp_auth_engine_close(&gone->engine, on_engine_closed, gone);
}

const struct sp_listen *sp_epoch_find_listen(const struct sp_epoch *epoch,
                                             const struct sp_listen *like)
{
    const struct sp_proxy_snapshot *snapshot = epoch->snapshot;

    for (size_t i = 0; i < snapshot->listens_len; i++) {
        const struct sp_listen *listen = &snapshot->listens[i];

        if (sp_addr_same_socket(&listen->addr, &like->addr))
            return listen;
    }
    return NULL;
}

/* ---- listeners ---- */

static bool admit(void *owner)
{
    struct sp_proxy *proxy = owner;

    return sp_stats_sum(SP_STAT_CONNECTIONS) < proxy->epoch->snapshot->limits->max_connections ||
           sp_proxy_make_room(proxy);
}

static void listener_free(struct proxy_listener *listener)
{
    sp_list_remove(&listener->link);
    sp_listener_close(&listener->listener);
    free(listener);
}

static void close_listeners(struct sp_list *listeners)
{
    struct sp_list *node, *after;

    SP_LIST_EACH_SAFE (node, after, listeners) {
        listener_free(sp_container_of(node, struct proxy_listener, link));
    }
}

enum sp_err sp_proxy_listen(struct sp_proxy *proxy, size_t listen_index, int fd)
{
    bool prepared = proxy->next_epoch != NULL;
    const struct sp_epoch *epoch = prepared ? proxy->next_epoch : proxy->epoch;
    const struct sp_proxy_snapshot *snapshot = epoch->snapshot;
    struct sp_listener_options options = {
        .handshake_ms = snapshot->limits->client_header_timeout_ms,
        .greetings_max = GREETINGS_MAX,
        .admit = admit,
        .accepted = sp_session_accepted,
        .owner = proxy,
        .log = proxy->log,
    };
    struct proxy_listener *listener = calloc(1, sizeof(*listener));

    if (listener == NULL) {
        close(fd);
        return SP_ERR_NOMEM;
    }
    assert(listen_index < snapshot->listens_len);
    sp_list_push(prepared ? &proxy->next_listeners : &proxy->listeners, &listener->link);
    listener->proxy = proxy;
    listener->addr = snapshot->listens[listen_index].addr;
    listener->listener = sp_listener_open(proxy->loop, fd, &snapshot->listens[listen_index],
                                          &options);
    if (listener->listener == NULL) {
        listener_free(listener);
        return SP_ERR_NOMEM;
    }
    if (!prepared)
        sp_listener_start(listener->listener);
    return SP_OK;
}

/* Listeners go on under the new snapshot, or close where it has none at their address. */
static void update_listeners(struct sp_proxy *proxy)
{
    struct sp_list *node, *after;

    SP_LIST_EACH_SAFE (node, after, &proxy->listeners) {
        struct proxy_listener *listener = sp_container_of(node, struct proxy_listener, link);
        struct sp_listen like = {.addr = listener->addr};
        const struct sp_listen *now = sp_epoch_find_listen(proxy->epoch, &like);

        if (now != NULL)
            sp_listener_update(listener->listener, now,
                               proxy->epoch->snapshot->limits->client_header_timeout_ms);
        else
            listener_free(listener);
    }
}

/* ---- life ---- */

/* A batch is flushed at the end of a turn once it is old enough; a worker at rest has no turns, so
 * as long as lines wait, one is ordered. */
static void each_turn(void *owner)
{
    struct sp_proxy *proxy = owner;

    if (sp_access_flush(proxy->access) && !sp_timer_active(&proxy->access_timer))
        sp_timer_start(proxy->loop, &proxy->access_timer, ACCESS_WAIT_MS);
}

static void on_access_wait(struct sp_timer *timer)
{
    (void)timer; /* the turn is all that was wanted */
}

void sp_proxy_write_access(struct sp_proxy *proxy, const struct sp_access_record *record)
{
    sp_access_write(proxy->access, record);
}

/* Its access line says that it did not end by itself. */
static void cut(struct sp_session *session)
{
    struct sp_exchange *x = session->exchange;

    if (session->tunnel != NULL) {
        sp_tunnel_cut(session->tunnel);
        return;
    }
    if (x != NULL && x->reason == SP_REASON_OK)
        x->reason = SP_REASON_TIMEOUT;
    sp_session_close(session);
}

static void on_drain_deadline(struct sp_timer *timer)
{
    struct sp_proxy *proxy = sp_container_of(timer, struct sp_proxy, drain_timer);

    close_listeners(&proxy->listeners);
    while (!sp_list_empty(&proxy->sessions))
        cut(sp_container_of(proxy->sessions.next, struct sp_session, link));
    sp_proxy_check_drained(proxy);
}

/* Who has made a connection and then sent nothing had its moment. */
static void on_fresh_over(struct sp_timer *timer)
{
    struct sp_proxy *proxy = sp_container_of(timer, struct sp_proxy, fresh_timer);
    struct sp_list *node, *after;

    close_listeners(&proxy->listeners);
    SP_LIST_EACH_SAFE (node, after, &proxy->sessions) {
        struct sp_session *session = sp_container_of(node, struct sp_session, link);

        if (session->state == SP_SESSION_WAITING && session->in.len == 0)
            sp_session_close(session);
    }
    sp_proxy_check_drained(proxy);
}

static void on_drained(struct sp_soon *soon)
{
    struct sp_proxy *proxy = sp_container_of(soon, struct sp_proxy, drained_soon);

    proxy->drained(proxy->drained_owner);
}

static void on_name_service(void *owner, bool silent, const char *why)
{
    struct sp_proxy *proxy = owner;

    sp_stats_add(proxy->stats, SP_STAT_NAMES_UNHEARD, silent ? 1 : -1);
    if (silent)
        sp_log_warning(
            proxy->log,
            "event=names_unanswered reason=\"%s\" detail=\"five names in a row: look at "
            "the name servers in resolv.conf, and whether they can be reached from here\"",
            why);
    else
        sp_log_info(proxy->log, "event=names_answered");
}

struct sp_proxy *sp_proxy_new(struct sp_loop *loop, struct sp_proxy_snapshot *snapshot,
                              struct sp_auth_shared *shared, struct sp_stats *stats,
                              struct sp_trace *trace, const struct sp_log *log)
{
    struct sp_proxy *proxy = calloc(1, sizeof(*proxy));

    if (proxy == NULL)
        return NULL;
    proxy->loop = loop;
    proxy->shared = shared;
    proxy->stats = stats;
    proxy->trace = trace;
    proxy->log = log;
    sp_list_init(&proxy->epochs);
    sp_list_init(&proxy->sessions);
    sp_list_init(&proxy->listings);
    sp_list_init(&proxy->listeners);
    sp_list_init(&proxy->next_listeners);
    sp_list_init(&proxy->pool);
    sp_timer_init(&proxy->drain_timer, on_drain_deadline);
    sp_timer_init(&proxy->fresh_timer, on_fresh_over);
    sp_timer_init(&proxy->access_timer, on_access_wait);
    sp_soon_init(&proxy->drained_soon, on_drained);
    proxy->resolver = sp_resolver_new(loop);
    if (proxy->resolver != NULL)
        sp_resolver_watch(proxy->resolver, on_name_service, proxy);
    proxy->access = sp_access_batch_new();
    if (proxy->resolver == NULL || proxy->access == NULL ||
        sp_random(&proxy->id_base, sizeof(proxy->id_base)) != SP_OK)
        goto failed;
    proxy->epoch = epoch_new(proxy, snapshot);
    if (proxy->epoch == NULL)
        goto failed;
    sp_loop_each_turn(loop, each_turn, proxy);
    return proxy;

failed:
    sp_proxy_free(&proxy);
    return NULL;
}

enum sp_err sp_proxy_prepare(struct sp_proxy *proxy, struct sp_proxy_snapshot *snapshot)
{
    assert(proxy->next_epoch == NULL);
    if (proxy->draining)
        return SP_ERR_CLOSED;
    proxy->next_epoch = epoch_new(proxy, snapshot);
    return proxy->next_epoch != NULL ? SP_OK : SP_ERR_NOMEM;
}

void sp_proxy_commit(struct sp_proxy *proxy)
{
    if (proxy->next_epoch == NULL)
        return; /* a drain came between */
    sp_epoch_unref(&proxy->epoch);
    proxy->epoch = proxy->next_epoch;
    proxy->next_epoch = NULL;
    sp_stock_forget_limits(proxy);
    update_listeners(proxy);
    while (!sp_list_empty(&proxy->next_listeners)) {
        struct sp_list *node = proxy->next_listeners.next;

        sp_list_remove(node);
        sp_list_push(&proxy->listeners, node);
        sp_listener_start(sp_container_of(node, struct proxy_listener, link)->listener);
    }
}

void sp_proxy_abandon(struct sp_proxy *proxy)
{
    close_listeners(&proxy->next_listeners);
    sp_epoch_unref(&proxy->next_epoch);
}

void sp_proxy_check_drained(struct sp_proxy *proxy)
{
    if (!proxy->draining || !sp_list_empty(&proxy->listeners) || !sp_list_empty(&proxy->sessions) ||
        proxy->upstreams_len > 0)
        return;
    sp_timer_stop(&proxy->drain_timer);
    sp_timer_stop(&proxy->fresh_timer);
    if (proxy->epoch != NULL)
        sp_epoch_unref(&proxy->epoch);
    if (sp_list_empty(&proxy->epochs))
        sp_loop_soon(proxy->loop, &proxy->drained_soon);
}

/* What waits to be accepted is taken, and handshakes go on; whoever is through with one is served
 * like a connection that was made just before. */
static void stop_listeners(struct sp_proxy *proxy)
{
    struct sp_list *node, *after;

    SP_LIST_EACH_SAFE (node, after, &proxy->listeners) {
        struct proxy_listener *listener = sp_container_of(node, struct proxy_listener, link);

        sp_listener_stop(listener->listener);
        if (!sp_listener_is_busy(listener->listener))
            listener_free(listener);
    }
}

/* Clients know that an idle connection may be closed between two requests; before the first one it
 * would look like a refusal. */
static void end_sessions(struct sp_proxy *proxy)
{
    struct sp_list *node, *after;

    SP_LIST_EACH_SAFE (node, after, &proxy->sessions) {
        struct sp_session *session = sp_container_of(node, struct sp_session, link);

        session->last = true;
        if (session->state == SP_SESSION_WAITING && !session->first)
            sp_session_close(session);
    }
}

void sp_proxy_drain(struct sp_proxy *proxy, uint64_t deadline_ms, void (*drained)(void *owner),
                    void *owner)
{
    uint64_t now = sp_loop_now_ms(proxy->loop);

    sp_timer_start(proxy->loop, &proxy->drain_timer, deadline_ms > now ? deadline_ms - now : 0);
    if (proxy->draining)
        return; /* a second call only moves the deadline */
    proxy->draining = true;
    proxy->drained = drained;
    proxy->drained_owner = owner;
    sp_proxy_abandon(proxy);
    stop_listeners(proxy);
    end_sessions(proxy);
    sp_timer_start(proxy->loop, &proxy->fresh_timer, FRESH_MS);
    sp_upstream_close_idle(proxy);
    sp_proxy_check_drained(proxy);
}

void sp_proxy_free(struct sp_proxy **proxy)
{
    struct sp_proxy *gone = *proxy;

    *proxy = NULL;
    if (gone == NULL)
        return;
    assert(sp_list_empty(&gone->sessions) && sp_list_empty(&gone->epochs));
    sp_listings_end(gone);
    sp_loop_no_more_turns(gone->loop, gone);
    sp_soon_cancel(&gone->drained_soon);
    sp_timer_stop(&gone->drain_timer);
    sp_timer_stop(&gone->fresh_timer);
    sp_timer_stop(&gone->access_timer);
    if (gone->resolver != NULL)
        sp_resolver_free(&gone->resolver);
    if (gone->access != NULL)
        sp_access_batch_free(&gone->access);
    sp_stocks_free(gone);
    free(gone);
}
