/* A client connection: it waits for a request, lends itself to an exchange or a tunnel, and goes on
 * or ends. All that is about one request is the exchange's; here are the connection's own bytes,
 * deadlines and end.
 *
 * A session dies in sp_session_close and nowhere else; its memory stays readable to the end of the
 * turn. */
#include "proxy/proxy_priv.h"

#include "util/secret.h"

#include <stdlib.h>

static void session_ready(void *owner, unsigned events);
static void serve(struct sp_session *session);

/* Which moves are legal. */
static const bool may_enter[][SP_SESSION_CLOSED + 1] = {
    [SP_SESSION_WAITING] =
        {[SP_SESSION_SERVING] = true, [SP_SESSION_LINGERING] = true, [SP_SESSION_CLOSED] = true},
    [SP_SESSION_SERVING] = {[SP_SESSION_WAITING] = true,
                            [SP_SESSION_DRAINING] = true,
                            [SP_SESSION_TUNNEL] = true,
                            [SP_SESSION_LINGERING] = true,
                            [SP_SESSION_CLOSED] = true},
    [SP_SESSION_DRAINING] =
        {[SP_SESSION_WAITING] = true, [SP_SESSION_LINGERING] = true, [SP_SESSION_CLOSED] = true},
    [SP_SESSION_TUNNEL] = {[SP_SESSION_LINGERING] = true, [SP_SESSION_CLOSED] = true},
    [SP_SESSION_LINGERING] = {[SP_SESSION_CLOSED] = true},
};

static void session_enter(struct sp_session *session, enum sp_session_state next)
{
    assert(session->state <= SP_SESSION_LINGERING && may_enter[session->state][next]);
    session->state = next;
    session->entered_ms = sp_loop_now_ms(session->proxy->loop);
}

static void start_timer(struct sp_session *session, uint64_t ms)
{
    sp_timer_start(session->proxy->loop, &session->timer, ms);
}

static const struct sp_limits_options *limits_of(const struct sp_session *session)
{
    return session->proxy->epoch->snapshot->limits;
}

/* ---- reading and writing ---- */

enum sp_err sp_session_fill(struct sp_session *session, size_t max)
{
    size_t read = 0;
    char *room;
    enum sp_err err;

    if (session->in.base == NULL) {
        err = sp_slab_lend(session->proxy, &session->in, max);
        if (err != SP_OK)
            return err;
    }
    if (session->in.len >= max)
        return SP_ERR_TOO_LARGE;
    if (session->in.max < max)
        session->in.max = max;
    /* A slab's worth while the slab is empty; a head that outgrows it grows in steps. */
    err = sp_buf_reserve(&session->in, session->in.len == 0 ? SLAB_SIZE : 4096, &room);
    if (err != SP_OK)
        return err;
    err = sp_stream_read(session->client, room,
                         session->in.cap - session->in.start - session->in.len, &read);
    if (err == SP_OK && read == 0)
        return SP_ERR_CLOSED;
    if (err == SP_OK)
        sp_buf_commit(&session->in, read);
    return err;
}

enum sp_err sp_session_flush(struct sp_session *session)
{
    while (session->out.len > 0) {
        struct sp_span bytes = sp_buf_span(&session->out);
        struct iovec part = {(void *)(uintptr_t)bytes.base, bytes.len};
        size_t written = 0;
        enum sp_err err = sp_stream_write(session->client, &part, 1, &written);

        if (err == SP_ERR_AGAIN)
            return err;
        if (err != SP_OK)
            return SP_ERR_CLOSED;
        if (session->exchange != NULL)
            session->exchange->bytes_out += written;
        sp_buf_consume(&session->out, written);
    }
    sp_slab_return(session->proxy, &session->out);
    return SP_OK;
}

/* ---- between requests ---- */

/* The listener that epoch has at this connection's address; NULL: none, or one that is in clear
 * where this connection is not, or the other way round, and so offers other schemes. */
static const struct sp_listen *listen_in(const struct sp_epoch *epoch, const struct sp_listen *like,
                                         bool tls)
{
    const struct sp_listen *listen = sp_epoch_find_listen(epoch, like);

    return listen != NULL && (listen->tls != NULL) == tls ? listen : NULL;
}

/* The listener's and engine's epoch: the newest, unless a handshake is under way, which goes on
 * with the engine that began it. An identity that was proven before is the connection's own. */
static bool take_newest_epoch(struct sp_session *session)
{
    struct sp_epoch *newest = session->proxy->epoch;
    const struct sp_listen *listen;

    if (session->epoch == newest)
        return true;
    if (session->auth != NULL && sp_auth_conn_deadline_ms(session->auth) != 0)
        return true;
    listen = listen_in(newest, session->listen, session->tls != NULL);
    if (listen == NULL)
        return false;
    sp_epoch_unref(&session->epoch);
    session->epoch = sp_epoch_ref(newest);
    session->listen = listen;
    return true;
}

/* How long an idle client is waited for: less when a handshake of its runs out earlier. */
static uint64_t waiting_ms(const struct sp_session *session)
{
    uint64_t ms = session->first ? limits_of(session)->client_header_timeout_ms
                                 : limits_of(session)->keepalive_timeout_ms;
    uint64_t deadline = session->auth != NULL ? sp_auth_conn_deadline_ms(session->auth) : 0;
    uint64_t now = sp_loop_now_ms(session->proxy->loop);

    if (deadline == 0)
        return ms;
    if (deadline <= now)
        return 0;
    return deadline - now < ms ? deadline - now : ms;
}

static void wait_for_request(struct sp_session *session)
{
    session_enter(session, SP_SESSION_WAITING);
    start_timer(session, waiting_ms(session));
    if (session->in.len > 0) {
        sp_loop_soon(session->proxy->loop, &session->next);
        return;
    }
    sp_slab_return(session->proxy, &session->in);
    sp_stream_want(session->client, SP_STREAM_READ);
}

static void on_next(struct sp_soon *soon)
{
    struct sp_session *session = sp_container_of(soon, struct sp_session, next);

    if (session->state == SP_SESSION_WAITING)
        serve(session);
}

/* The first bytes of a request are here, or may be. Where its head is not whole yet, it has a
 * deadline from now on. */
static void serve(struct sp_session *session)
{
    if (session->in.len == 0) {
        enum sp_err err = sp_session_fill(session, SLAB_SIZE);

        if (err == SP_ERR_AGAIN) {
            sp_slab_return(session->proxy, &session->in);
            return;
        }
        if (err != SP_OK) {
            sp_session_close(session);
            return;
        }
    }
    if (!take_newest_epoch(session)) {
        sp_session_close(
            session); /* its listener is gone by a reload; nothing has been asked yet */
        return;
    }
    session->exchange = sp_exchange_new(session);
    if (session->exchange == NULL) {
        sp_session_close(session);
        return;
    }
    session_enter(session, SP_SESSION_SERVING);
    sp_exchange_run(session->exchange);
    if (session->state == SP_SESSION_SERVING && session->exchange->state == SP_EXCHANGE_READING)
        start_timer(session, limits_of(session)->client_header_timeout_ms);
}

/* ---- after an answer ---- */

/* Has nothing come from the client that was not read, as far as we know? Where TLS is, only a read
 * finds out: it takes records from the socket when it likes. */
static bool nothing_follows(struct sp_session *session)
{
    size_t read = 0;
    char byte;

    if (sp_stream_is_quiet(session->client))
        return true;
    return sp_stream_is_tls(session->client) &&
           sp_stream_read(session->client, &byte, 1, &read) == SP_ERR_AGAIN &&
           sp_stream_is_quiet(session->client);
}

/* The last answer is out. Where the client knows that its request was the last one, all of it was
 * read and nothing followed, there is nothing that a reset could be sent for, so the connection is
 * closed at once; TLS says goodbye first (RFC 8446 6.1). */
static void end_after_answer(struct sp_session *session, bool nothing_more)
{
    if (!nothing_more || session->in.len > 0 || !nothing_follows(session)) {
        sp_session_linger(session);
        return;
    }
    if (sp_stream_is_tls(session->client) && sp_stream_shutdown(session->client) != SP_OK)
        sp_log_debug(session->proxy->log, "event=tls_close_failed");
    sp_session_close(session);
}

void sp_session_served(struct sp_session *session, bool reusable)
{
    const struct sp_exchange *x = session->exchange;
    bool nothing_more = x->has_head && x->client_wants_close &&
                        (x->up_done || x->request.head.body.kind == SP_BODY_NONE);

    sp_exchange_free(&session->exchange);
    session->first = false;
    if (!reusable)
        session->last = true;
    if (session->last || session->proxy->draining)
        end_after_answer(session, nothing_more);
    else
        wait_for_request(session);
}

static void drain_some(struct sp_session *session)
{
    for (int moves = 0; moves < RELAY_BUDGET; moves++) {
        size_t used = 0;
        struct sp_span data;
        const char *why;
        enum sp_err err;

        if (session->unread.done) {
            sp_http_body_fini(&session->unread);
            if (session->last || session->proxy->draining)
                sp_session_linger(session);
            else
                wait_for_request(session);
            return;
        }
        if (session->in.len == 0) {
            err = sp_session_fill(session, SLAB_SIZE);
            if (err == SP_ERR_AGAIN) {
                sp_slab_return(session->proxy, &session->in);
                sp_stream_want(session->client, SP_STREAM_READ);
                return;
            }
            if (err != SP_OK) {
                sp_session_close(session);
                return;
            }
        }
        err = sp_http_body_feed(&session->unread, sp_buf_span(&session->in), &used, &data, &why);
        session->dropped += used;
        sp_buf_consume(&session->in, used);
        if (err != SP_OK || session->dropped > DRAIN_MAX) {
            sp_session_linger(session);
            return;
        }
    }
    sp_loop_soon(session->proxy->loop, &session->next);
}

void sp_session_drain(struct sp_session *session, struct sp_http_body *unread)
{
    session->unread = *unread;
    session->dropped = 0;
    sp_exchange_free(&session->exchange);
    session->first = false;
    session_enter(session, SP_SESSION_DRAINING);
    start_timer(session, limits_of(session)->client_header_timeout_ms);
    drain_some(session);
}

static void linger_some(struct sp_session *session)
{
    char scrap[4096];

    for (int moves = 0; moves < RELAY_BUDGET; moves++) {
        size_t read = 0;
        enum sp_err err = sp_stream_read(session->client, scrap, sizeof(scrap), &read);

        if (err == SP_ERR_AGAIN) {
            sp_stream_want(session->client, SP_STREAM_READ);
            return;
        }
        session->dropped += read;
        if (err != SP_OK || read == 0 || session->dropped > DRAIN_MAX) {
            sp_session_close(session);
            return;
        }
    }
    sp_loop_soon(session->proxy->loop, &session->next);
}

/* What was read and served nothing, as a head that was refused or never whole, may have a password.
 */
static void forget_unused(struct sp_session *session)
{
    struct sp_span bytes = sp_buf_span(&session->in);

    if (bytes.len > 0)
        sp_wipe((void *)(uintptr_t)bytes.base, bytes.len);
    sp_slab_return(session->proxy, &session->in);
}

/* RFC 9112 9.6: closing at once could reset the connection and destroy an answer that is still on
 * its way. */
void sp_session_linger(struct sp_session *session)
{
    session_enter(session, SP_SESSION_LINGERING);
    session->dropped = 0;
    forget_unused(session);
    if (sp_stream_at_end(session->client) || sp_stream_shutdown(session->client) != SP_OK) {
        sp_session_close(session);
        return;
    }
    start_timer(session, LINGER_MS);
    linger_some(session);
}

void sp_session_tunnel(struct sp_session *session)
{
    sp_exchange_free(&session->exchange);
    session_enter(session, SP_SESSION_TUNNEL);
}

/* ---- what the loop tells ---- */

static void session_ready(void *owner, unsigned events)
{
    struct sp_session *session = owner;

    assert(session->magic == SESSION_MAGIC);
    switch (session->state) {
    case SP_SESSION_WAITING: serve(session); break;
    case SP_SESSION_SERVING:
        if (events & SP_STREAM_GONE)
            sp_exchange_client_gone(session->exchange);
        else
            sp_exchange_run(session->exchange);
        break;
    case SP_SESSION_DRAINING: drain_some(session); break;
    case SP_SESSION_TUNNEL:
        if (events & SP_STREAM_GONE)
            sp_tunnel_client_gone(session->tunnel);
        else
            sp_tunnel_run(session->tunnel);
        break;
    case SP_SESSION_LINGERING: linger_some(session); break;
    case SP_SESSION_CLOSED: break;
    }
}

static void on_soon(struct sp_soon *soon)
{
    struct sp_session *session = sp_container_of(soon, struct sp_session, next);

    switch (session->state) {
    case SP_SESSION_WAITING: on_next(soon); break;
    case SP_SESSION_DRAINING: drain_some(session); break;
    case SP_SESSION_LINGERING: linger_some(session); break;
    case SP_SESSION_SERVING:
    case SP_SESSION_TUNNEL:
    case SP_SESSION_CLOSED: break;
    }
}

static void on_timeout(struct sp_timer *timer)
{
    struct sp_session *session = sp_container_of(timer, struct sp_session, timer);

    switch (session->state) {
    case SP_SESSION_SERVING: sp_exchange_timed_out(session->exchange); break;
    case SP_SESSION_TUNNEL: sp_tunnel_timed_out(session->tunnel); break;
    case SP_SESSION_WAITING:
    case SP_SESSION_DRAINING:
    case SP_SESSION_LINGERING: sp_session_close(session); break;
    case SP_SESSION_CLOSED: break;
    }
}

/* ---- life ---- */

static void on_released(struct sp_doomed *doomed)
{
    struct sp_session *session = sp_container_of(doomed, struct sp_session, doomed);

    session->magic = 0;
    free(session);
}

void sp_session_accepted(void *owner, const struct sp_accepted *accepted)
{
    struct sp_proxy *proxy = owner;
    struct sp_session *session = calloc(1, sizeof(*session));
    struct sp_stream *stream = accepted->stream;
    const struct sp_listen *listen = listen_in(proxy->epoch, accepted->listen,
                                               sp_stream_is_tls(stream));

    if (session == NULL || listen == NULL) {
        free(session);
        sp_stream_close(&stream, true);
        return;
    }
    session->magic = SESSION_MAGIC;
    session->proxy = proxy;
    session->doomed.release = on_released;
    session->client = stream;
    session->client_addr = accepted->client;
    session->epoch = sp_epoch_ref(proxy->epoch);
    session->listen = listen;
    if (sp_stream_is_tls(stream)) {
        session->tls = sp_tls_server_ref(sp_stream_tls_server(stream));
        session->end_point = sp_stream_tls_end_point(stream);
    }
    session->first = true;
    session->last = proxy->draining;
    session->number = sp_trace_connection(proxy->trace);
    session->began_ms = sp_loop_now_ms(proxy->loop);
    session->entered_ms = session->began_ms;
    sp_list_init(&session->bound);
    sp_soon_init(&session->next, on_soon);
    sp_timer_init(&session->timer, on_timeout);
    sp_list_push(&proxy->sessions, &session->link);
    proxy->sessions_len++;
    sp_stats_add(proxy->stats, SP_STAT_CONNECTIONS, 1);
    sp_stream_own(stream, session_ready, session);
    start_timer(session, limits_of(session)->client_header_timeout_ms);
    sp_stream_want(stream, SP_STREAM_READ);
}

void sp_session_close(struct sp_session *session)
{
    struct sp_proxy *proxy = session->proxy;
    bool reset = session->exchange != NULL && sp_exchange_ends_by_close(session->exchange);

    if (session->state == SP_SESSION_CLOSED)
        return;
    session_enter(session, SP_SESSION_CLOSED);
    if (session->exchange != NULL)
        sp_exchange_free(&session->exchange);
    if (session->tunnel != NULL)
        sp_tunnel_free(&session->tunnel);
    sp_upstream_close_bound(&session->bound);
    sp_auth_conn_free(&session->auth);
    sp_identity_unref(&session->known);
    sp_http_body_fini(&session->unread);
    sp_timer_stop(&session->timer);
    sp_soon_cancel(&session->next);
    sp_stream_close(&session->client, reset);
    forget_unused(session);
    sp_slab_return(proxy, &session->out);
    sp_tls_server_unref(&session->tls);
    sp_epoch_unref(&session->epoch);
    sp_listings_pass(session);
    sp_proxy_pass_sweep(proxy, session);
    sp_list_remove(&session->link);
    proxy->sessions_len--;
    sp_stats_add(proxy->stats, SP_STAT_CONNECTIONS, -1);
    sp_loop_doom(proxy->loop, &session->doomed);
    sp_proxy_check_drained(proxy);
}
