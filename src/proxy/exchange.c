/* One request and its answer: the states, the driver, and what may interrupt it. The steps
 * themselves stand in exchange_auth.c (who and whether), connect.c (an upstream), forward.c (bytes)
 * and answer.c (answers of our own).
 *
 * Callbacks only note what happened and call sp_exchange_run; it goes from step to step until one
 * has to wait. When an exchange is done, its session takes over and the exchange goes back to the
 * stock. */
#include "proxy/proxy_priv.h"

#include "util/secret.h"

#include <stdlib.h>
#include <string.h>

static const char *const state_text[SP_EXCHANGE_STATES] = {
    [SP_EXCHANGE_READING] = "reading",
    [SP_EXCHANGE_OPENING] = "opening",
    [SP_EXCHANGE_RESOLVING] = "resolving",
    [SP_EXCHANGE_AUTHENTICATING] = "authenticating",
    [SP_EXCHANGE_DECIDING] = "deciding",
    [SP_EXCHANGE_CONNECTING] = "connecting",
    [SP_EXCHANGE_FORWARDING] = "forwarding",
    [SP_EXCHANGE_ANSWERING] = "answering",
    [SP_EXCHANGE_DONE] = "done",
};

#define TO(state) (1u << (state))
/* An answer of our own, or the end, can follow any state. */
#define ANY_TIME (TO(SP_EXCHANGE_ANSWERING) | TO(SP_EXCHANGE_DONE))

static const unsigned may_enter[SP_EXCHANGE_STATES] = {
    [SP_EXCHANGE_READING] = TO(SP_EXCHANGE_OPENING) | ANY_TIME,
    [SP_EXCHANGE_OPENING] = TO(SP_EXCHANGE_RESOLVING) | TO(SP_EXCHANGE_AUTHENTICATING) |
                            TO(SP_EXCHANGE_CONNECTING) | ANY_TIME,
    [SP_EXCHANGE_RESOLVING] = TO(SP_EXCHANGE_AUTHENTICATING) | TO(SP_EXCHANGE_CONNECTING) |
                              ANY_TIME,
    [SP_EXCHANGE_AUTHENTICATING] = TO(SP_EXCHANGE_DECIDING) | ANY_TIME,
    [SP_EXCHANGE_DECIDING] = TO(SP_EXCHANGE_CONNECTING) | ANY_TIME,
    [SP_EXCHANGE_CONNECTING] = TO(SP_EXCHANGE_FORWARDING) | ANY_TIME,
    [SP_EXCHANGE_FORWARDING] = TO(SP_EXCHANGE_CONNECTING) |
                               ANY_TIME, /* back: once, on a stale upstream */
    [SP_EXCHANGE_ANSWERING] = TO(SP_EXCHANGE_DONE),
    [SP_EXCHANGE_DONE] = 0,
};

void sp_exchange_enter(struct sp_exchange *x, enum sp_exchange_state next)
{
    assert(may_enter[x->state] & TO(next));
    sp_log_debug(x->session->proxy->log, "event=state id=%s from=%s to=%s", x->id,
                 state_text[x->state], state_text[next]);
    x->state = next;
    x->entered_ms = sp_loop_now_ms(x->session->proxy->loop);
}

const char *sp_exchange_state_text(enum sp_exchange_state state)
{
    return state_text[state];
}

/* ---- the head ---- */

static void make_id(struct sp_proxy *proxy, char *id)
{
    static const char letters[] = "0123456789abcdefghjkmnpqrstvwxyz";
    uint64_t value = (proxy->id_base << 32) | proxy->id_next++;

    for (int i = ID_LEN - 1; i >= 0; i--) {
        id[i] = letters[value & 31];
        value >>= 5;
    }
    id[ID_LEN] = '\0';
}

/* The bytes of the head become the exchange's own, so that what it points to stays where it is;
 * what the client sent after the head stays the session's. */
static enum sp_err own_head(struct sp_exchange *x)
{
    struct sp_session *s = x->session;
    struct sp_span rest = sp_buf_span(&s->in);
    size_t size = x->request.head.size;

    rest.base += size;
    rest.len -= size;
    x->head = s->in;
    sp_buf_init(&s->in, SLAB_SIZE);
    if (rest.len == 0)
        return SP_OK;
    if (sp_slab_lend(s->proxy, &s->in, rest.len) != SP_OK || sp_buf_append(&s->in, rest) != SP_OK)
        return SP_ERR_NOMEM;
    sp_wipe((void *)(uintptr_t)rest.base, rest.len); /* the next request may have a password */
    return SP_OK;
}

/* What the parser found moves behind the head's bytes, and few parsers serve all. Where there is no
 * room it is this exchange's to its end. */
static void part_with_parser(struct sp_exchange *x)
{
    size_t used = x->head.start + x->request.head.size;

    if (sp_http_request_settle(x->parser, &x->request, x->head.base + used, x->head.cap - used))
        sp_parser_return(x, &x->parser);
}

static void stamp(struct sp_exchange *x)
{
    struct sp_loop *loop = x->session->proxy->loop;

    x->times.head_us = sp_loop_now_us(loop);
    x->times.wall_ms = sp_clock_wall_ms(sp_loop_clock(loop));
}

static enum sp_step head_complete(struct sp_exchange *x)
{
    stamp(x);
    if (own_head(x) != SP_OK)
        return sp_exchange_answer(x, 503, SP_REASON_OVERLOADED, "out of memory");
    part_with_parser(x);
    x->has_head = true;
    x->bytes_in = x->request.head.size;
    x->client_wants_close = !x->request.head.keep_alive;
    sp_timer_stop(&x->session->timer);
    if (x->request.method != SP_HTTP_CONNECT && x->request.target.form != SP_TARGET_ABSOLUTE) {
        return sp_exchange_answer(
            x, 400, SP_REASON_MALFORMED,
            "this is a proxy: the request must name an http:// address, or use CONNECT");
    }
    sp_exchange_enter(x, SP_EXCHANGE_OPENING);
    return SP_STEP_NEXT;
}

static enum sp_step bad_head(struct sp_exchange *x, const struct sp_http_fault *fault)
{
    stamp(x);
    x->bytes_in = x->session->in.len;
    return sp_exchange_answer(x, fault->status, SP_REASON_MALFORMED, fault->why);
}

static enum sp_step step_reading(struct sp_exchange *x)
{
    struct sp_session *s = x->session;
    struct sp_http_fault fault = {400, "malformed request"};
    size_t max = x->epoch->snapshot->http_limits.head_size + SLAB_SIZE;
    enum sp_err err;

    for (int moves = 0; moves < RELAY_BUDGET; moves++) {
        sp_slab_shrink(s->proxy, &s->in);
        err = sp_parser_lend(x, &x->parser)
                  ? sp_http_parse_request(x->parser, sp_buf_span(&s->in), &x->request, &fault)
                  : SP_ERR_NOMEM;
        if (err == SP_OK)
            return head_complete(x);
        if (err == SP_ERR_NOMEM) {
            stamp(x);
            return sp_exchange_answer(x, 503, SP_REASON_OVERLOADED, "out of memory");
        }
        if (err != SP_ERR_AGAIN)
            return bad_head(x, &fault);
        err = sp_session_fill(s, max);
        if (err == SP_ERR_AGAIN) {
            sp_stream_want(s->client, SP_STREAM_READ);
            return SP_STEP_WAIT;
        }
        if (err == SP_ERR_TOO_LARGE)
            return bad_head(x, &(struct sp_http_fault){431, "request head too large"});
        if (err != SP_OK) {
            sp_exchange_enter(x, SP_EXCHANGE_DONE);
            s->last = true;
            return SP_STEP_DONE;
        }
    }
    sp_loop_soon(s->proxy->loop, &x->again); /* in TLS each read may bring a byte */
    return SP_STEP_WAIT;
}

/* ---- answers of our own ---- */

static enum sp_step step_answering(struct sp_exchange *x)
{
    enum sp_err err = sp_session_flush(x->session);

    if (err == SP_ERR_AGAIN) {
        sp_stream_want(x->session->client, SP_STREAM_WRITE);
        sp_timer_start(x->session->proxy->loop, &x->session->timer,
                       x->epoch->snapshot->limits->response_timeout_ms);
        return SP_STEP_WAIT;
    }
    if (err != SP_OK)
        x->session->last = true;
    sp_exchange_enter(x, SP_EXCHANGE_DONE);
    return SP_STEP_DONE;
}

/* ---- the driver ---- */

/* What follows the answer depends on how much of the request has been read. */
static void exchange_finish(struct sp_exchange *x)
{
    struct sp_session *s = x->session;

    if (!x->has_head) {
        if (x->status == 0) {
            sp_session_close(s); /* the client left in the middle of a head */
            return;
        }
        sp_session_served(s, false);
        return;
    }
    if (x->switching) {
        if (!sp_tunnel_start(s, x)) { /* the head has not left */
            x->status = 0;
            x->reason = SP_REASON_OVERLOADED;
            sp_session_close(s);
        }
        return;
    }
    if (s->last) {
        sp_session_served(s, false);
        return;
    }
    if (!x->up_done && x->request.head.body.kind != SP_BODY_NONE) {
        struct sp_http_body unread;

        if (x->up_ready) { /* part of it went to the origin, which did not wait for the rest */
            sp_session_served(s, false);
            return;
        }
        sp_http_body_init(&unread, x->request.head.body);
        sp_session_drain(s, &unread);
        return;
    }
    sp_session_served(s, true);
}

void sp_exchange_run(struct sp_exchange *x)
{
    enum sp_step step = SP_STEP_NEXT;
#ifdef SP_DEBUG
    unsigned turns = 0;
#endif

    assert(x->magic == EXCHANGE_MAGIC);
    while (step == SP_STEP_NEXT) {
#ifdef SP_DEBUG
        assert(++turns < 64); /* a machine that never rests is a bug */
#endif
        switch (x->state) {
        case SP_EXCHANGE_READING: step = step_reading(x); break;
        case SP_EXCHANGE_OPENING: step = sp_exchange_step_opening(x); break;
        case SP_EXCHANGE_RESOLVING: step = SP_STEP_WAIT; break; /* on_resolved goes on */
        case SP_EXCHANGE_AUTHENTICATING: step = sp_exchange_step_authenticating(x); break;
        case SP_EXCHANGE_DECIDING: step = sp_exchange_step_deciding(x); break;
        case SP_EXCHANGE_CONNECTING: step = sp_exchange_step_connecting(x); break;
        case SP_EXCHANGE_FORWARDING: step = sp_exchange_step_forwarding(x); break;
        case SP_EXCHANGE_ANSWERING: step = step_answering(x); break;
        case SP_EXCHANGE_DONE: step = SP_STEP_DONE; break;
        case SP_EXCHANGE_STATES: abort();
        }
    }
    if (step == SP_STEP_DONE)
        exchange_finish(x); /* x may be gone after this line */
}

static void on_again(struct sp_soon *soon)
{
    sp_exchange_run(sp_container_of(soon, struct sp_exchange, again));
}

/* ---- interruptions ---- */

/* Nothing more can reach the client. */
static void abandon(struct sp_exchange *x, enum sp_reason reason)
{
    if (x->reason == SP_REASON_OK)
        x->reason = reason;
    sp_session_close(x->session);
}

void sp_exchange_client_gone(struct sp_exchange *x)
{
    if (!x->responded)
        x->status = 0;
    abandon(x, SP_REASON_CLIENT_GONE);
}

/* The origin has been silent for too long, or the client has, with a body or with reading its
 * answer. */
static void forwarding_timed_out(struct sp_exchange *x)
{
    bool client_owes = x->up_ready && !x->up_done && !sp_relay_holds(&x->up);

    if (x->responded) {
        x->reason = SP_REASON_TIMEOUT;
        abandon(x, SP_REASON_TIMEOUT);
        return;
    }
    sp_upstream_close(&x->upstream, true);
    if (client_owes)
        (void)sp_exchange_answer(x, 408, SP_REASON_TIMEOUT,
                                 "the request's body did not come in time");
    else
        (void)sp_exchange_answer(x, 504, SP_REASON_TIMEOUT, "the server did not answer in time");
    sp_exchange_run(x);
}

void sp_exchange_timed_out(struct sp_exchange *x)
{
    switch (x->state) {
    case SP_EXCHANGE_READING:
        stamp(x);
        x->bytes_in = x->session->in.len;
        (void)sp_exchange_answer(x, 408, SP_REASON_TIMEOUT,
                                 "the request's head did not come in time");
        sp_exchange_run(x);
        break;
    case SP_EXCHANGE_RESOLVING:
        sp_resolve_cancel(&x->resolve);
        (void)sp_exchange_answer(x, 504, SP_REASON_TIMEOUT, "the name was not resolved in time");
        sp_exchange_run(x);
        break;
    case SP_EXCHANGE_AUTHENTICATING: /* each backend has deadlines; this is for one that broke its
                                        promise */
        sp_auth_ask_cancel(&x->ask);
        (void)sp_exchange_answer(x, 503, SP_REASON_DIRECTORY_UNAVAILABLE, "no verdict in time");
        sp_exchange_run(x);
        break;
    case SP_EXCHANGE_FORWARDING: forwarding_timed_out(x); break;
    case SP_EXCHANGE_ANSWERING: abandon(x, SP_REASON_CLIENT_GONE); break;
    case SP_EXCHANGE_CONNECTING: /* the dial has its own */
    case SP_EXCHANGE_OPENING:
    case SP_EXCHANGE_DECIDING:
    case SP_EXCHANGE_DONE:
    case SP_EXCHANGE_STATES: break;
    }
}

/* ---- life ---- */

struct sp_exchange *sp_exchange_new(struct sp_session *session)
{
    struct sp_proxy *proxy = session->proxy;
    struct sp_exchange *x = sp_exchange_lend(proxy);

    if (x == NULL)
        return NULL;
    x->magic = EXCHANGE_MAGIC;
    x->state = SP_EXCHANGE_READING;
    x->entered_ms = sp_loop_now_ms(proxy->loop);
    x->session = session;
    x->epoch = sp_epoch_ref(proxy->epoch);
    x->decision.rule = "";
    x->ordinal = ++session->exchanges;
    sp_trace_steps_init(&x->steps);
    sp_soon_init(&x->again, on_again);
    make_id(proxy, x->id);
    return x;
}

/* The field stays, empty of meaning: it is never passed on, and no second look is taken at it. */
void sp_exchange_forget_credential(struct sp_exchange *x)
{
    struct sp_span *value = &x->request.authorization;

    if (value->len > 0)
        sp_wipe((void *)(uintptr_t)value->base, value->len); /* in x->head, which is ours */
    *value = SP_SPAN_NONE;
}

void sp_exchange_free(struct sp_exchange **exchange)
{
    struct sp_exchange *x = *exchange;
    struct sp_proxy *proxy;

    *exchange = NULL;
    if (x == NULL)
        return;
    assert(x->magic == EXCHANGE_MAGIC);
    proxy = x->session->proxy;
    x->magic = 0;
    if (x->ask != NULL)
        sp_auth_ask_cancel(&x->ask);
    if (x->resolve != NULL)
        sp_resolve_cancel(&x->resolve);
    if (x->dial != NULL)
        sp_dial_cancel(&x->dial);
    sp_soon_cancel(&x->again);
    if (x->has_head || x->status != 0)
        sp_exchange_write_access(x);
    sp_trace_steps_fini(&x->steps);
    sp_relay_fini(&x->up);
    sp_relay_fini(&x->down);
    if (x->upstream != NULL)
        sp_upstream_close(&x->upstream, true);
    sp_identity_unref(&x->session->known);
    x->session->known = x->identity; /* moved */
    sp_exchange_forget_credential(x);
    sp_parser_return(x, &x->parser);
    sp_parser_return(x, &x->response_parser);
    sp_slab_return(proxy, &x->head);
    sp_epoch_unref(&x->epoch);
    sp_exchange_return(proxy, x);
}
