/* The step of an exchange that has an upstream: the request goes out, the answer comes back, both
 * bodies at once where the parties want it so. Nothing is passed on as it came: heads are written
 * anew from what was understood.
 *
 * Until a byte of the answer's final head is on its way to the client, a failure becomes an answer
 * of our own; after that the only honest thing left is to cut the connection. */
#include "proxy/proxy_priv.h"

#include <string.h>

/* The room for a head that goes on, in heads that came: of a field "a:" four bytes came, its end
 * included, and nine are asked for. */
#define HEAD_GROWTH 3

/* What both directions wait for after a step. */
struct wants {
    unsigned client;
    unsigned upstream;
};

/* ---- failures ---- */

static void close_upstream(struct sp_exchange *x)
{
    sp_parser_return(x, &x->response_parser);
    sp_relay_fini(&x->up);
    sp_relay_fini(&x->down);
    sp_upstream_close(&x->upstream, true);
}

bool sp_exchange_ends_by_close(const struct sp_exchange *x)
{
    return x->down_ready && !x->down.chunked && x->response.head.body.kind != SP_BODY_LENGTH;
}

static enum sp_step cut(struct sp_exchange *x, enum sp_reason reason)
{
    x->reason = reason;
    x->session->last = true;
    close_upstream(x);
    sp_session_close(x->session); /* x is gone */
    return SP_STEP_WAIT;
}

static enum sp_step fail(struct sp_exchange *x, int status, enum sp_reason reason, const char *why)
{
    if (x->responded)
        return cut(x, reason);
    close_upstream(x);
    return sp_exchange_answer(x, status, reason, why);
}

/* The upstream ended before its answer did. */
static enum sp_step upstream_ended(struct sp_exchange *x)
{
    bool silent = x->upstream->in.len == 0 && x->status == 0;

    if (!x->responded && silent && x->upstream->reused && !x->upstream->bound && !x->retried) {
        /* It had closed while it was idle, and the news crossed our request. Only requests that may
         * be repeated are sent over used connections (connect.c). */
        close_upstream(x);
        x->retried = true;
        x->up_ready = false;
        x->up_done = false;
        sp_exchange_enter(x, SP_EXCHANGE_CONNECTING);
        return SP_STEP_NEXT;
    }
    return fail(x, 502, SP_REASON_UPSTREAM,
                "the server closed the connection before its answer was whole");
}

/* ---- the request ---- */

/* An origin authenticates the connection, not the request: from now on it is this client's alone
 * (RFC 4559 6). */
static bool sends_connection_auth(const struct sp_http_head *head)
{
    for (size_t i = 0; i < head->fields_len; i++) {
        const struct sp_http_field *field = &head->fields[i];

        if (field->id == SP_FIELD_OTHER &&
            sp_span_eq_nocase(field->name, SP_SPAN_LIT("authorization")) &&
            (sp_span_starts_nocase(field->value, SP_SPAN_LIT("ntlm")) ||
             sp_span_starts_nocase(field->value, SP_SPAN_LIT("negotiate"))))
            return true; /* of several, the origin may heed any */
    }
    return false;
}

static enum sp_err write_request_head(struct sp_exchange *x)
{
    const struct sp_proxy_snapshot *snapshot = x->epoch->snapshot;
    struct sp_upstream *upstream = x->upstream;
    char client[SP_ADDR_TEXT_MAX];
    struct sp_http_forward forward = {
        .via = snapshot->via,
        .upgrade = x->request.head.upgrade.base != NULL,
        .chunked = x->request.head.body.kind == SP_BODY_CHUNKED,
        .minor = 1,
    };

    if (snapshot->forward->x_forwarded_for)
        forward.forwarded_for = sp_span_cstr(sp_addr_ip_text(&x->session->client_addr, client));
    if (upstream->out.base == NULL &&
        sp_slab_lend(x->session->proxy, &upstream->out,
                     HEAD_GROWTH * x->request.head.size + SLAB_SIZE) != SP_OK)
        return SP_ERR_NOMEM;
    return sp_http_write_request(&upstream->out, &x->request, &forward);
}

static bool begin(struct sp_exchange *x)
{
    struct sp_session *s = x->session;
    struct sp_upstream *upstream = x->upstream;
    struct sp_http_framing framing = x->request.head.body;

    if (write_request_head(x) != SP_OK)
        return false;
    if (sends_connection_auth(&x->request.head))
        upstream->bound = true;
    sp_relay_init(&x->up, s->proxy, s->client, &s->in, upstream->stream, &upstream->out, framing,
                  framing.kind == SP_BODY_CHUNKED);
    x->up_ready = true;
    return true;
}

static enum sp_step send_request(struct sp_exchange *x, struct wants *wants)
{
    enum sp_relay_result result = sp_relay_run(&x->up);

    x->bytes_in = x->request.head.size + x->up.taken;
    switch (result) {
    case SP_RELAY_DONE: x->up_done = true; break;
    case SP_RELAY_WAIT_SOURCE: wants->client |= SP_STREAM_READ; break;
    case SP_RELAY_WAIT_SINK: wants->upstream |= SP_STREAM_WRITE; break;
    case SP_RELAY_YIELD: sp_loop_soon(x->session->proxy->loop, &x->again); break;
    case SP_RELAY_SINK_FAILED: break; /* an answer may have come before: reading tells */
    case SP_RELAY_SOURCE_FAILED: return cut(x, SP_REASON_CLIENT_GONE);
    case SP_RELAY_MALFORMED:
        x->session->last = true;
        return fail(x, 400, SP_REASON_MALFORMED, x->up.why);
    case SP_RELAY_NO_MEMORY: return fail(x, 503, SP_REASON_OVERLOADED, "out of memory");
    }
    return SP_STEP_WAIT;
}

/* ---- the answer's head ---- */

/* The first read takes little: where the head announces a long body, the kernel shall move it, and
 * what was read must be copied twice. */
static enum sp_err fill(struct sp_exchange *x)
{
    struct sp_upstream *upstream = x->upstream;
    size_t max = x->epoch->snapshot->http_limits.head_size + SLAB_SIZE;
    size_t read = 0;
    size_t most;
    char *room;
    enum sp_err err;

    if (upstream->in.base == NULL && sp_slab_lend(upstream->proxy, &upstream->in, max) != SP_OK)
        return SP_ERR_NOMEM;
    err = sp_buf_reserve(&upstream->in, ANSWER_PEEK, &room);
    if (err != SP_OK)
        return err;
    most = upstream->in.len == 0 ? ANSWER_PEEK
                                 : upstream->in.cap - upstream->in.start - upstream->in.len;
    err = sp_stream_read(upstream->stream, room, most, &read);
    if (err == SP_OK && read == 0)
        return SP_ERR_CLOSED;
    if (err == SP_OK)
        sp_buf_commit(&upstream->in, read);
    else if (err == SP_ERR_AGAIN && upstream->in.len == 0)
        sp_slab_return(upstream->proxy, &upstream->in);
    return err;
}

static enum sp_err put_response_head(struct sp_exchange *x, const struct sp_http_forward *forward)
{
    struct sp_session *s = x->session;

    if (s->out.base == NULL &&
        sp_slab_lend(s->proxy, &s->out,
                     HEAD_GROWTH * x->epoch->snapshot->http_limits.head_size + SLAB_SIZE) != SP_OK)
        return SP_ERR_NOMEM;
    return sp_http_write_response(&s->out, &x->response, forward);
}

/* Why a head could not be passed on: no room of ours, or it is more than is allowed. */
static enum sp_step head_failed(struct sp_exchange *x, enum sp_err err)
{
    return err == SP_ERR_NOMEM
               ? fail(x, 503, SP_REASON_OVERLOADED, "out of memory")
               : fail(x, 502, SP_REASON_UPSTREAM, "the head of the server's answer is too large");
}

static enum sp_step switch_protocols(struct sp_exchange *x)
{
    struct sp_http_forward forward = {.via = x->epoch->snapshot->via,
                                      .upgrade = true,
                                      .minor = 1,
                                      .proxy_authenticate = x->auth.final_token};
    enum sp_err err;

    if (x->request.head.upgrade.base == NULL)
        return fail(x, 502, SP_REASON_UPSTREAM,
                    "the server switched protocols without having been asked");
    if (!sp_http_upgrade_was_offered(x->request.head.upgrade, x->response.head.upgrade))
        return fail(x, 502, SP_REASON_UPSTREAM,
                    "the server switched to a protocol that was not offered");
    if (!x->up_done) /* what is left of the body would be taken for the new protocol's bytes */
        return fail(x, 502, SP_REASON_UPSTREAM,
                    "the server switched protocols before it had read the request");
    err = put_response_head(x, &forward);
    if (err != SP_OK)
        return head_failed(x, err);
    sp_buf_consume(&x->upstream->in, x->response.head.size);
    sp_relay_fini(&x->up);
    x->status = 101;
    x->responded = true;
    x->switching = true;
    sp_exchange_enter(x, SP_EXCHANGE_DONE);
    return SP_STEP_DONE;
}

/* 1xx: passed on to those who understand it (RFC 9110 15.2); a 100 only to who asked for it. */
static void pass_interim(struct sp_exchange *x)
{
    struct sp_http_forward forward = {.via = x->epoch->snapshot->via, .minor = 1};
    bool wanted = x->request.head.minor >= 1 &&
                  (x->response.status != 100 || x->request.expect_continue);
    enum sp_err err = SP_OK;

    if (++x->interims > INTERIM_MAX) {
        (void)fail(x, 502, SP_REASON_UPSTREAM, "too many interim answers from the server");
        return;
    }
    if (wanted)
        err = put_response_head(x, &forward);
    if (err != SP_OK) {
        (void)head_failed(x, err);
        return;
    }
    sp_buf_consume(&x->upstream->in, x->response.head.size);
    sp_parser_return(x, &x->response_parser);
}

static void note_type(struct sp_exchange *x)
{
    const struct sp_http_field *field = sp_http_find(&x->response.head, SP_FIELD_CONTENT_TYPE);
    size_t len;

    if (field == NULL)
        return;
    len = field->value.len < sizeof(x->type) - 1 ? field->value.len : sizeof(x->type) - 1;
    memcpy(x->type, field->value.base, len);
    x->type[len] = '\0';
}

/* The rest of a short body follows its head at once, so that both leave in one write. Where nothing
 * is there, or the end is, the relay sees it again. */
static void fill_up(struct sp_exchange *x)
{
    if (x->upstream->in.len <= ANSWER_PEEK && sp_relay_reads_on(&x->down))
        (void)fill(x);
}

static enum sp_step begin_answer(struct sp_exchange *x)
{
    struct sp_session *s = x->session;
    struct sp_upstream *upstream = x->upstream;
    struct sp_http_framing framing = x->response.head.body;
    bool framed_by_close = framing.kind == SP_BODY_CHUNKED || framing.kind == SP_BODY_UNTIL_CLOSE;
    bool chunks = framed_by_close && x->request.head.minor >= 1;
    struct sp_http_forward forward = {
        .via = x->epoch->snapshot->via,
        .chunked = chunks,
        .session_auth = x->response.connection_auth,
        .proxy_authenticate = x->auth.final_token,
        .received = (time_t)(sp_clock_wall_ms(sp_loop_clock(s->proxy->loop)) / 1000),
        .minor = (int)x->request.head.minor,
    };
    enum sp_err err;

    if (x->client_wants_close || s->proxy->draining || (framed_by_close && !chunks))
        s->last = true;
    forward.close = s->last;
    forward.keep_alive = !s->last && x->request.head.minor == 0;
    if (x->response.connection_auth)
        upstream->bound = true;
    err = put_response_head(x, &forward);
    if (err != SP_OK)
        return head_failed(x, err);
    note_type(x);
    /* From here on only values of the answer's head count. */
    sp_parser_return(x, &x->response_parser);
    sp_buf_consume(&upstream->in, x->response.head.size);
    sp_relay_init(&x->down, s->proxy, upstream->stream, &upstream->in, s->client, &s->out, framing,
                  chunks);
    fill_up(x);
    x->status = x->response.status;
    x->responded = true;
    x->down_ready = true;
    return SP_STEP_NEXT;
}

static bool is_final(const struct sp_exchange *x)
{
    return x->response.status >= 200 || x->response.status == 101;
}

static enum sp_step act_on_head(struct sp_exchange *x)
{
    if (x->response.status == 101)
        return switch_protocols(x);
    if (x->response.status == 407) /* the client would doubt the password that it has */
        return fail(x, 502, SP_REASON_UPSTREAM,
                    "the server answered 407, which only a proxy may say");
    return begin_answer(x);
}

/* A budget, since an origin may send interim answers as fast as we read them, and for ever. */
static enum sp_step read_answer_head(struct sp_exchange *x, struct wants *wants)
{
    struct sp_http_fault fault = {502, "malformed answer"};
    enum sp_err err;

    for (int moves = 0; moves < RELAY_BUDGET; moves++) {
        err = sp_session_flush(x->session);
        if (err == SP_ERR_AGAIN) {
            wants->client |= SP_STREAM_WRITE;
            return SP_STEP_WAIT;
        }
        if (err != SP_OK)
            return cut(x, SP_REASON_CLIENT_GONE);
        if (x->upstream->in.len > 0 && !sp_parser_lend(x, &x->response_parser))
            return fail(x, 503, SP_REASON_OVERLOADED, "out of memory");
        err = x->upstream->in.len > 0
                  ? sp_http_parse_response(x->response_parser, sp_buf_span(&x->upstream->in),
                                           x->request.method, &x->response, &fault)
                  : SP_ERR_AGAIN;
        if (err == SP_OK && is_final(x))
            return act_on_head(x);
        if (err == SP_OK) {
            pass_interim(x);
            if (x->state != SP_EXCHANGE_FORWARDING)
                return SP_STEP_NEXT;
            continue;
        }
        if (err == SP_ERR_NOMEM)
            return fail(x, 503, SP_REASON_OVERLOADED, "out of memory");
        if (err != SP_ERR_AGAIN)
            return fail(x, 502, SP_REASON_UPSTREAM, fault.why);
        err = fill(x);
        if (err == SP_ERR_AGAIN) {
            wants->upstream |= SP_STREAM_READ;
            return SP_STEP_WAIT;
        }
        if (err == SP_ERR_NOMEM)
            return fail(x, 503, SP_REASON_OVERLOADED, "out of memory");
        if (err == SP_ERR_TOO_LARGE)
            return fail(x, 502, SP_REASON_UPSTREAM, "the head of the server's answer is too large");
        if (err != SP_OK)
            return upstream_ended(x);
    }
    sp_loop_soon(x->session->proxy->loop, &x->again);
    return SP_STEP_WAIT;
}

/* ---- the answer's body ---- */

static enum sp_step answer_complete(struct sp_exchange *x)
{
    struct sp_upstream *upstream = x->upstream;
    struct sp_session *s = x->session;
    bool usable = x->up_done && x->response.head.keep_alive &&
                  x->down.body.kind != SP_BODY_UNTIL_CLOSE && upstream->in.len == 0;

    sp_relay_fini(&x->up);
    sp_relay_fini(&x->down);
    if (usable)
        sp_upstream_keep(&x->upstream, upstream->bound ? &s->bound : NULL,
                         x->epoch->snapshot->limits->keepalive_timeout_ms);
    else
        sp_upstream_close(&x->upstream, false);
    sp_exchange_enter(x, SP_EXCHANGE_DONE);
    return SP_STEP_DONE;
}

static enum sp_step pass_body(struct sp_exchange *x, struct wants *wants)
{
    enum sp_relay_result result = sp_relay_run(&x->down);

    switch (result) {
    case SP_RELAY_DONE: return answer_complete(x);
    case SP_RELAY_WAIT_SOURCE: wants->upstream |= SP_STREAM_READ; break;
    case SP_RELAY_WAIT_SINK: wants->client |= SP_STREAM_WRITE; break;
    case SP_RELAY_YIELD: sp_loop_soon(x->session->proxy->loop, &x->again); break;
    case SP_RELAY_SOURCE_FAILED: return cut(x, SP_REASON_UPSTREAM);
    case SP_RELAY_SINK_FAILED: return cut(x, SP_REASON_CLIENT_GONE);
    case SP_RELAY_MALFORMED: return cut(x, SP_REASON_UPSTREAM);
    case SP_RELAY_NO_MEMORY: return cut(x, SP_REASON_OVERLOADED);
    }
    return SP_STEP_WAIT;
}

/* ---- the step ---- */

enum sp_step sp_exchange_step_forwarding(struct sp_exchange *x)
{
    struct sp_session *s = x->session;
    struct wants wants = {0, 0};
    enum sp_step step;

    if (!x->up_ready && !begin(x))
        return fail(x, 503, SP_REASON_OVERLOADED, "out of memory");
    if (!x->up_done) {
        step = send_request(x, &wants);
        if (step != SP_STEP_WAIT || s->state != SP_SESSION_SERVING)
            return step;
    }
    if (!x->down_ready) {
        step = read_answer_head(x, &wants);
        if (step != SP_STEP_NEXT || s->state != SP_SESSION_SERVING ||
            x->state != SP_EXCHANGE_FORWARDING) {
            if (step == SP_STEP_WAIT && s->state == SP_SESSION_SERVING)
                goto wait;
            return step;
        }
    }
    step = pass_body(x, &wants);
    if (step != SP_STEP_WAIT || s->state != SP_SESSION_SERVING)
        return step;
wait:
    sp_stream_want(s->client, wants.client | SP_STREAM_GONE);
    sp_stream_want(x->upstream->stream, wants.upstream | SP_STREAM_GONE);
    sp_timer_start(s->proxy->loop, &s->timer, x->epoch->snapshot->limits->response_timeout_ms);
    return SP_STEP_WAIT;
}

void sp_exchange_upstream_ready(struct sp_exchange *x, unsigned events)
{
    (void)events; /* whatever it is, trying tells */
    if (x->state == SP_EXCHANGE_FORWARDING)
        sp_exchange_run(x);
}
