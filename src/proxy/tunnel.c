/* Two sockets joined: after a CONNECT's 200, or a 101. Bytes go from socket to socket inside the
 * kernel (splice) where both can; pipes and buffers are held only while bytes wait in them, so an
 * idle tunnel costs its structs and no more.
 *
 * Half-close goes through: when one side ends its direction, the other is told so, and what comes
 * back still flows (RFC 9110 9.3.6). An end that takes no more ends the direction to it alone: what
 * it said before, as a server does that answers early and closes, still goes on. The tunnel ends
 * when both directions have ended, when an end cannot be read, or when nothing moves for too long.
 */
#include "proxy/proxy_priv.h"

#include <stdlib.h>
#include <string.h>

struct flow {
    struct sp_stream *from;
    struct sp_stream *to;
    struct sp_buf *pending; /* written before anything else; the buffer when splice cannot serve */
    struct sp_pipe *pipe;   /* only while bytes are in it */
    uint64_t moved;
    bool ended; /* `from` has sent its last byte */
    bool shut;  /* and `to` has been told, or hears no more */
};

enum flow_result {
    FLOW_DONE,
    FLOW_WAIT_SOURCE,
    FLOW_WAIT_SINK,
    FLOW_YIELD,
    FLOW_FAILED, /* the source cannot be read, or there is no memory */
    FLOW_UNHEARD /* the sink takes no more */
};

struct sp_tunnel {
    struct sp_session *session;
    struct sp_epoch *epoch; /* the rule's name lives in it */
    struct sp_upstream *upstream;
    struct flow up;   /* client to target */
    struct flow down; /* target to client */
    struct sp_soon again;
    uint64_t idle_ms;
    bool kept_alive; /* the kernel looks after the target's end */
    uint64_t began_us;
    uint64_t run_ms; /* when something last could move */
    struct sp_addr peer;
    struct sp_access_record record; /* points into the session, `peer`, `text` and the epoch */
    char text[];
};

/* One end is dead. */
static void hurry(struct sp_tunnel *t)
{
    if (t->idle_ms > DEAD_END_MS)
        t->idle_ms = DEAD_END_MS;
}

/* ---- one direction ---- */

static enum flow_result write_pending(struct sp_tunnel *t, struct flow *flow)
{
    struct sp_span bytes = sp_buf_span(flow->pending);
    struct iovec part = {(void *)(uintptr_t)bytes.base, bytes.len};
    size_t written = 0;
    enum sp_err err = sp_stream_write(flow->to, &part, 1, &written);

    if (err == SP_ERR_AGAIN)
        return FLOW_WAIT_SINK;
    if (err != SP_OK)
        return FLOW_UNHEARD;
    flow->moved += written;
    sp_buf_consume(flow->pending, written);
    if (flow->pending->len == 0)
        sp_slab_return(t->session->proxy, flow->pending);
    return FLOW_DONE;
}

static enum flow_result splice_out(struct sp_tunnel *t, struct flow *flow)
{
    size_t written = 0;
    enum sp_err err = sp_stream_splice_out(flow->to, flow->pipe, &written);

    if (err == SP_ERR_AGAIN)
        return FLOW_WAIT_SINK;
    if (err != SP_OK)
        return FLOW_UNHEARD;
    flow->moved += written;
    if (flow->pipe->filled == 0)
        sp_pipe_give(t->session->proxy->loop, &flow->pipe);
    return FLOW_DONE;
}

static enum flow_result read_pending(struct sp_tunnel *t, struct flow *flow)
{
    size_t read = 0;
    char *room;
    enum sp_err err;

    if (flow->pending->base == NULL &&
        sp_slab_lend(t->session->proxy, flow->pending, SLAB_SIZE) != SP_OK)
        return FLOW_FAILED;
    if (sp_buf_reserve(flow->pending, SLAB_SIZE, &room) != SP_OK)
        return FLOW_FAILED;
    err = sp_stream_read(flow->from, room, SLAB_SIZE, &read);
    if (err == SP_OK && read > 0) {
        sp_buf_commit(flow->pending, read);
        return FLOW_DONE;
    }
    sp_slab_return(t->session->proxy, flow->pending);
    if (err == SP_ERR_AGAIN)
        return FLOW_WAIT_SOURCE;
    flow->ended = err == SP_OK;
    return err == SP_OK ? FLOW_DONE : FLOW_FAILED;
}

static enum flow_result splice_in(struct sp_tunnel *t, struct flow *flow)
{
    struct sp_loop *loop = t->session->proxy->loop;
    struct sp_pipe *pipe = sp_pipe_take(loop);
    size_t read = 0;
    enum sp_err err;

    if (pipe == NULL)
        return read_pending(t, flow); /* no descriptors left: through memory, then */
    err = sp_stream_splice_in(flow->from, pipe, pipe->capacity, &read);
    if (err == SP_OK && read > 0) {
        flow->pipe = pipe;
        return FLOW_DONE;
    }
    sp_pipe_give(loop, &pipe);
    if (err == SP_ERR_AGAIN)
        return FLOW_WAIT_SOURCE;
    flow->ended = err == SP_OK;
    return err == SP_OK ? FLOW_DONE : FLOW_FAILED;
}

static enum flow_result move(struct sp_tunnel *t, struct flow *flow)
{
    if (flow->pending->len > 0)
        return write_pending(t, flow);
    if (flow->pipe != NULL)
        return splice_out(t, flow);
    if (flow->ended) {
        flow->shut = true;
        if (t->up.shut && t->down.shut)
            return FLOW_DONE; /* the close that follows tells it */
        return sp_stream_shutdown(flow->to) == SP_OK ? FLOW_DONE : FLOW_UNHEARD;
    }
    if (sp_stream_can_splice(flow->from, flow->to))
        return splice_in(t, flow);
    return read_pending(t, flow);
}

/* Nobody hears what goes this way any more: it is dropped, and nothing more is read for it. What
 * comes the other way does not wait for its reader as long as a living end may. */
static void stop(struct sp_tunnel *t, struct flow *flow)
{
    sp_slab_return(t->session->proxy, flow->pending);
    sp_pipe_give(t->session->proxy->loop, &flow->pipe);
    flow->ended = true;
    flow->shut = true;
    hurry(t);
}

static enum flow_result flow_run(struct sp_tunnel *t, struct flow *flow)
{
    for (int moves = 0; moves < RELAY_BUDGET; moves++) {
        enum flow_result result;

        if (flow->shut)
            return FLOW_DONE;
        result = move(t, flow);
        if (result == FLOW_UNHEARD)
            stop(t, flow);
        else if (result != FLOW_DONE)
            return result;
    }
    return flow->shut ? FLOW_DONE : FLOW_YIELD;
}

/* ---- both ---- */

/* A client that has not ended its direction may be sending: closed at once, it would be reset, and
 * lose what it has yet to read. */
static void end(struct sp_tunnel *t)
{
    struct sp_session *session = t->session;

    t->record.reason = SP_REASON_OK;
    sp_tunnel_free(&session->tunnel);
    sp_session_linger(session);
}

/* What this direction waits for, added to the wants of its two ends. */
static void add_wants(enum flow_result result, unsigned *from, unsigned *to)
{
    if (result == FLOW_WAIT_SOURCE)
        *from |= SP_STREAM_READ;
    else if (result == FLOW_WAIT_SINK)
        *to |= SP_STREAM_WRITE;
}

/* Most tunnels are short or busy. The kernel is asked to look after the target only for those that
 * have been silent for a while. */
static uint64_t next_look_ms(const struct sp_tunnel *t)
{
    return t->kept_alive || t->idle_ms <= SILENCE_MS ? t->idle_ms : SILENCE_MS;
}

void sp_tunnel_run(struct sp_tunnel *t)
{
    struct sp_loop *loop = t->session->proxy->loop;
    enum flow_result up = flow_run(t, &t->up);
    enum flow_result down = flow_run(t, &t->down);
    unsigned client = 0;
    unsigned target = 0;

    if (up == FLOW_FAILED || down == FLOW_FAILED || (t->up.shut && t->down.shut)) {
        end(t);
        return;
    }
    if (up == FLOW_YIELD || down == FLOW_YIELD)
        sp_loop_soon(loop, &t->again);
    add_wants(up, &client, &target);
    add_wants(down, &target, &client);
    sp_stream_want(t->session->client, client | SP_STREAM_GONE);
    sp_stream_want(t->upstream->stream, target | SP_STREAM_GONE);
    t->run_ms = sp_loop_now_ms(loop);
    sp_timer_start(loop, &t->session->timer, next_look_ms(t));
}

static void on_again(struct sp_soon *soon)
{
    sp_tunnel_run(sp_container_of(soon, struct sp_tunnel, again));
}

/* One end is dead, as its stream tells only once. Where we had not ended our direction to it, it
 * was reset: what it sent before still goes on, but does not wait for its reader as long as a
 * living end may. */
static void end_is_dead(struct sp_tunnel *t, const struct flow *towards)
{
    if (!towards->shut)
        hurry(t);
    sp_tunnel_run(t);
}

static void on_target_ready(void *owner, unsigned events)
{
    struct sp_tunnel *t = owner;

    if (events & SP_STREAM_GONE)
        end_is_dead(t, &t->up);
    else
        sp_tunnel_run(t);
}

void sp_tunnel_client_gone(struct sp_tunnel *t)
{
    end_is_dead(t, &t->down);
}

void sp_tunnel_timed_out(struct sp_tunnel *t)
{
    uint64_t waited_ms = next_look_ms(t);

    if (waited_ms < t->idle_ms) {
        t->kept_alive = true;
        sp_stream_keep_alive(t->upstream->stream);
        sp_timer_start(t->session->proxy->loop, &t->session->timer, t->idle_ms - waited_ms);
        return;
    }
    sp_tunnel_cut(t);
}

void sp_tunnel_cut(struct sp_tunnel *t)
{
    t->record.reason = SP_REASON_TIMEOUT;
    sp_session_close(t->session); /* frees t */
}

/* ---- life ---- */

static struct sp_span keep_text(char **at, struct sp_span text)
{
    struct sp_span kept = {*at, text.len};

    if (text.base == NULL)
        return SP_SPAN_NONE;
    memcpy(*at, text.base, text.len);
    *at += text.len;
    return kept;
}

/* What the record says of the exchange, which ends, moves into the tunnel. */
static struct sp_tunnel *tunnel_new(const struct sp_access_record *record)
{
    size_t size = record->id.len + record->mech.len + record->backend.len + record->method.len +
                  record->target.len + record->referer.len + record->user_agent.len +
                  record->user.len;
    struct sp_tunnel *t = calloc(1, sizeof(*t) + size);
    char *at;

    if (t == NULL)
        return NULL;
    at = t->text;
    t->record = *record;
    t->record.id = keep_text(&at, record->id);
    t->record.user = keep_text(&at, record->user);
    t->record.mech = keep_text(&at, record->mech);
    t->record.backend = keep_text(&at, record->backend);
    t->record.method = keep_text(&at, record->method);
    t->record.target = keep_text(&at, record->target);
    t->record.referer = keep_text(&at, record->referer);
    t->record.user_agent = keep_text(&at, record->user_agent);
    if (record->peer != NULL) {
        t->peer = *record->peer;
        t->record.peer = &t->peer;
    }
    t->record.type = SP_SPAN_NONE;
    return t;
}

/* What the origin sent right behind its 101 follows the head. */
static enum sp_err move_leftovers(struct sp_session *s, struct sp_upstream *upstream)
{
    struct sp_span rest = sp_buf_span(&upstream->in);
    enum sp_err err = SP_OK;

    if (rest.len > 0) {
        s->out.max += rest.len;
        err = sp_buf_append(&s->out, rest);
    }
    sp_slab_return(s->proxy, &upstream->in);
    sp_slab_return(s->proxy, &upstream->out);
    return err;
}

bool sp_tunnel_start(struct sp_session *s, struct sp_exchange *x)
{
    struct sp_access_record record;
    uint64_t elapsed_us = sp_loop_now_us(s->proxy->loop) - x->times.head_us;
    struct sp_tunnel *t;

    sp_exchange_record(x, &record);
    t = tunnel_new(&record);
    if (t == NULL || move_leftovers(s, x->upstream) != SP_OK) {
        free(t);
        return false;
    }
    t->session = s;
    t->epoch = sp_epoch_ref(x->epoch);
    t->idle_ms = x->epoch->snapshot->limits->tunnel_idle_timeout_ms;
    t->began_us = x->times.head_us;
    t->upstream = x->upstream;
    x->upstream = NULL;
    x->logged = true;
    sp_exchange_remember(x, elapsed_us);
    t->upstream->exchange = NULL;
    sp_stream_own(t->upstream->stream, on_target_ready, t);
    t->up = (struct flow){.from = s->client, .to = t->upstream->stream, .pending = &s->in};
    t->down = (struct flow){.from = t->upstream->stream, .to = s->client, .pending = &s->out};
    sp_soon_init(&t->again, on_again);
    s->tunnel = t;
    sp_session_tunnel(s);
    sp_stats_add(s->proxy->stats, SP_STAT_TUNNELS, 1);
    sp_stats_request(s->proxy->stats, record.status, record.scheme, elapsed_us);
    sp_tunnel_run(t);
    return true;
}

static void write_access(struct sp_tunnel *t)
{
    struct sp_proxy *proxy = t->session->proxy;

    t->record.bytes_in += t->up.moved;
    t->record.bytes_out += t->down.moved;
    t->record.ms = (sp_loop_now_us(proxy->loop) - t->began_us) / 1000;
    sp_proxy_write_access(proxy, &t->record);
    sp_stats_add(proxy->stats, SP_STAT_BYTES_IN, (int64_t)t->record.bytes_in);
    sp_stats_add(proxy->stats, SP_STAT_BYTES_OUT, (int64_t)t->record.bytes_out);
    sp_stats_add(proxy->stats, SP_STAT_TUNNELS, -1);
}

void sp_tunnel_free(struct sp_tunnel **tunnel)
{
    struct sp_tunnel *t = *tunnel;
    struct sp_loop *loop;

    *tunnel = NULL;
    if (t == NULL)
        return;
    loop = t->session->proxy->loop;
    write_access(t);
    if (t->up.pipe != NULL)
        sp_pipe_give(loop, &t->up.pipe);
    if (t->down.pipe != NULL)
        sp_pipe_give(loop, &t->down.pipe);
    sp_soon_cancel(&t->again);
    sp_upstream_close(&t->upstream, false);
    sp_epoch_unref(&t->epoch);
    free(t);
}

void sp_tunnel_list(const struct sp_tunnel *t, struct sp_session_facts *facts)
{
    sp_listing_text(facts->id, sizeof(facts->id), t->record.id);
    sp_listing_text(facts->method, sizeof(facts->method), t->record.method);
    sp_listing_text(facts->target, sizeof(facts->target), t->record.target);
    facts->idle_ms = sp_loop_now_ms(t->session->proxy->loop) - t->run_ms;
    facts->tunnel = true;
    facts->bytes_in = t->record.bytes_in + t->up.moved;
    facts->bytes_out = t->record.bytes_out + t->down.moved;
}
