/* The step of an exchange that gets it a connection to its target: one that belongs to this client
 * already, one from the pool, or a new one.
 *
 * A pooled connection may have closed at the very moment it is used. A request that can be sent
 * again without harm (an idempotent method without a body, RFC 9110 9.2.2) is, once, on a new
 * connection; every other request gets a new connection from the start. */
#include "proxy/proxy_priv.h"

#include <string.h>

static bool may_repeat(const struct sp_http_request *request)
{
    switch (request->method) {
    case SP_HTTP_GET:
    case SP_HTTP_HEAD:
    case SP_HTTP_OPTIONS:
    case SP_HTTP_TRACE: break;
    case SP_HTTP_PUT:
    case SP_HTTP_POST:
    case SP_HTTP_CONNECT:
    case SP_HTTP_OTHER: return false;
    }
    return request->head.body.kind == SP_BODY_NONE && request->head.upgrade.base == NULL;
}

static enum sp_step go_on_with(struct sp_exchange *x, struct sp_upstream *upstream)
{
    x->upstream = upstream;
    upstream->exchange = x;
    x->peer = upstream->addr;
    x->has_peer = true;
    if (x->request.method == SP_HTTP_CONNECT) {
        if (sp_slab_lend(x->session->proxy, &x->session->out, SLAB_SIZE) != SP_OK ||
            sp_http_write_established(&x->session->out, x->auth.final_token) != SP_OK)
            return sp_exchange_answer(x, 503, SP_REASON_OVERLOADED, "out of memory");
        x->status = 200;
        x->responded = true;
        x->switching = true;
        sp_exchange_enter(x, SP_EXCHANGE_DONE);
        return SP_STEP_DONE;
    }
    sp_exchange_enter(x, SP_EXCHANGE_FORWARDING);
    return SP_STEP_NEXT;
}

/* The words are for people and for the log; what the resolver or the kernel said stays in them. */
static enum sp_step dial_failed(struct sp_exchange *x, const struct sp_dialed *dialed)
{
    const char *why = dialed->why;

    switch (dialed->err) {
    case SP_ERR_DENIED:
        return sp_exchange_answer(x, 403, SP_REASON_DENIED,
                                  x->decision.why != NULL ? x->decision.why
                                                          : "destination is protected");
    case SP_ERR_NOT_FOUND: return sp_exchange_answer(x, 502, SP_REASON_DNS, why);
    case SP_ERR_TIMEOUT: return sp_exchange_answer(x, 504, SP_REASON_TIMEOUT, why);
    case SP_ERR_NOMEM:
    case SP_ERR_FULL: return sp_exchange_answer(x, 503, SP_REASON_OVERLOADED, why);
    case SP_OK:
    case SP_ERR_INVALID:
    case SP_ERR_TOO_LARGE:
    case SP_ERR_IO:
    case SP_ERR_CLOSED:
    case SP_ERR_AGAIN: break;
    }
    return sp_exchange_answer(x, 502, SP_REASON_CONNECT_FAILED, why);
}

static void on_dialed(void *owner, const struct sp_dialed *dialed)
{
    struct sp_exchange *x = owner;
    struct sp_stream *stream = dialed->stream;
    struct sp_upstream *upstream;

    x->dial = NULL;
    x->times.connect_us += sp_loop_now_us(x->session->proxy->loop) - x->times.mark_us;
    if (dialed->err != SP_OK) {
        (void)dial_failed(x, dialed);
        sp_exchange_run(x);
        return;
    }
    /* The rule of the address that won, not of the one asked about last. */
    (void)sp_exchange_may_connect(x, &dialed->addr);
    upstream = sp_upstream_new(x->session->proxy, &stream, x->request.target.host,
                               x->request.target.port, &dialed->addr);
    if (upstream == NULL)
        (void)sp_exchange_answer(x, 503, SP_REASON_OVERLOADED, "out of memory");
    else
        (void)go_on_with(x, upstream);
    sp_exchange_run(x);
}

static enum sp_step dial(struct sp_exchange *x)
{
    struct sp_session *s = x->session;
    struct sp_dial_target target = {
        .host = x->request.target.host,
        .port = x->request.target.port,
        .timeout_ms = x->epoch->snapshot->limits->connect_timeout_ms,
        .allow = sp_exchange_may_connect,
    };

    x->times.mark_us = sp_loop_now_us(s->proxy->loop);
    if (sp_dial_start(s->proxy->loop, s->proxy->resolver, &target, on_dialed, x, &x->dial) != SP_OK)
        return sp_exchange_answer(x, 503, SP_REASON_OVERLOADED, "out of memory");
    sp_stream_want(s->client, SP_STREAM_GONE);
    return SP_STEP_WAIT;
}

/* What ends here whatever the rules say; NULL: nothing. An OPTIONS or TRACE whose Max-Forwards is
 * used up has us for its last recipient (RFC 9110 7.6.2), and we serve neither. A request that has
 * our name in Via goes in circles (7.6.3). */
static const char *goes_no_further(const struct sp_exchange *x)
{
    uint64_t left;

    if (sp_http_max_forwards(&x->request, &left) && left == 0)
        return "Max-Forwards ends the request at this proxy";
    if (x->epoch->snapshot->via.len > 0 &&
        sp_http_via_has(&x->request.head, x->epoch->snapshot->via))
        return "the request has been here before: a loop, or two proxies with one name "
               "(forward.via)";
    return NULL;
}

enum sp_step sp_exchange_step_connecting(struct sp_exchange *x)
{
    struct sp_session *s = x->session;
    const struct sp_http_target *target = &x->request.target;
    struct sp_upstream *upstream = NULL;
    const char *why;

    if (x->dial != NULL)
        return SP_STEP_WAIT;
    why = goes_no_further(x);
    if (why != NULL)
        return sp_exchange_answer(x, 403, SP_REASON_DENIED, why);
    if (x->request.method != SP_HTTP_CONNECT && !sp_list_empty(&s->bound))
        upstream = sp_upstream_take(s->proxy, &s->bound, target->host, target->port, NULL, NULL);
    if (upstream != NULL) {
        if (!sp_exchange_may_connect(x, &upstream->addr)) {
            sp_upstream_close(&upstream, false);
            return sp_exchange_answer(x, 403, SP_REASON_DENIED, x->decision.why);
        }
        return go_on_with(x, upstream);
    }
    if (!x->retried && may_repeat(&x->request))
        upstream = sp_upstream_take(s->proxy, NULL, target->host, target->port,
                                    sp_exchange_may_connect, x);
    return upstream != NULL ? go_on_with(x, upstream) : dial(x);
}
