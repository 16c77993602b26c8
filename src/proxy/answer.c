/* Answers of the proxy's own, and the one access line that every exchange leaves. */
#include "proxy/proxy_priv.h"

#include <stdio.h>
#include <string.h>

/* ---- answers ---- */

/* Whoever sends a name and a password is not told which of the two was wrong: that would say which
 * names exist. The log and `why` have it. */
static struct sp_span details_of(const struct sp_exchange *x)
{
    bool is_guess = x->reason == SP_REASON_BAD_CREDENTIALS || x->reason == SP_REASON_LOOP;

    if (is_guess && x->auth.scheme == SP_SCHEME_BASIC)
        return sp_span_cstr("wrong user name or password");
    return sp_span_cstr(x->words[0] != '\0' ? x->words : NULL);
}

static void fill_reply(const struct sp_exchange *x, struct sp_http_reply *reply)
{
    const struct sp_session *s = x->session;

    *reply = (struct sp_http_reply){
        .status = x->status,
        .reason = sp_reason_text(x->reason),
        .details = details_of(x),
        .id = sp_span_of(x->id, ID_LEN),
        .via = x->epoch->snapshot->via,
        .final_token = x->status != 407 ? x->auth.final_token : SP_SPAN_NONE,
        .close = s->last,
        .keep_alive = !s->last && x->has_head && x->request.head.minor == 0,
        .head_only = x->has_head && x->request.method == SP_HTTP_HEAD,
        .html = x->has_head && x->request.accepts_html,
    };
    if (x->status == 407) {
        reply->challenges = x->auth.challenges;
        reply->challenges_len = x->auth.challenges_len;
    }
    if (x->status == 429 || x->status == 503)
        reply->retry_after_s = x->auth.retry_after_s > 0 ? x->auth.retry_after_s : RETRY_AFTER_S;
}

/* Will more of the request's body come than we are ready to read and drop? */
static bool too_much_unread(const struct sp_exchange *x)
{
    const struct sp_http_framing *body = &x->request.head.body;

    return x->has_head && body->kind == SP_BODY_LENGTH && body->length > DRAIN_MAX;
}

/* Has the origin been sent a part of the request's body, and nobody knows how much of it the rest
 * would be? */
static bool body_is_underway(const struct sp_exchange *x)
{
    return x->up_ready && !x->up_done && x->request.head.body.kind != SP_BODY_NONE;
}

enum sp_step sp_exchange_answer(struct sp_exchange *x, int status, enum sp_reason reason,
                                const char *words)
{
    struct sp_session *s = x->session;
    struct sp_http_reply reply;

    x->status = status;
    x->reason = reason;
    if (words != NULL)
        (void)snprintf(x->words, sizeof(x->words), "%s", words);
    if (!x->has_head || reason == SP_REASON_MALFORMED || x->client_wants_close ||
        body_is_underway(x) || s->proxy->draining || too_much_unread(x))
        s->last = true;
    fill_reply(x, &reply);
    if ((s->out.base == NULL && sp_slab_lend(s->proxy, &s->out, 4 * SLAB_SIZE) != SP_OK) ||
        sp_http_write_reply(&s->out, &reply) != SP_OK) {
        x->status = 0;
        s->last = true;
        sp_slab_return(s->proxy, &s->out);
    }
    x->responded = true;
    sp_exchange_enter(x, SP_EXCHANGE_ANSWERING);
    return SP_STEP_NEXT;
}

/* ---- the access line ---- */

static struct sp_span user_of(const struct sp_exchange *x)
{
    return x->identity != NULL ? sp_identity_user(x->identity) : x->auth.user;
}

static uint64_t since_ms(const struct sp_exchange *x)
{
    return (sp_loop_now_us(x->session->proxy->loop) - x->times.head_us) / 1000;
}

static void fill_from_request(const struct sp_exchange *x, struct sp_access_record *record)
{
    const struct sp_http_head *head = &x->request.head;
    const struct sp_http_field *field;

    /* A refused head still has a method and a target, as far as they could be read. */
    record->method = x->request.method_text;
    record->target = x->request.target.text;
    if (!x->has_head)
        return;
    record->minor = head->minor;
    field = sp_http_find(head, SP_FIELD_REFERER);
    if (field != NULL)
        record->referer = field->value;
    field = sp_http_find(head, SP_FIELD_USER_AGENT);
    if (field != NULL)
        record->user_agent = field->value;
}

static uint64_t bytes_out(const struct sp_exchange *x)
{
    return x->bytes_out + x->down.written;
}

void sp_exchange_record(const struct sp_exchange *x, struct sp_access_record *record)
{
    const struct sp_session *s = x->session;

    *record = (struct sp_access_record){
        .ts_ms = x->times.wall_ms,
        .id = sp_span_of(x->id, ID_LEN),
        .client = &s->client_addr,
        .listener = sp_span_cstr(s->listen->title),
        .user = user_of(x),
        .scheme = x->auth.scheme,
        .mech = x->auth.mech,
        .backend = x->auth.backend,
        .auth = x->auth.how,
        .status = x->status,
        .reason = x->reason,
        .rule = sp_span_cstr(x->decision.rule),
        .bytes_in = x->bytes_in,
        .bytes_out = bytes_out(x),
        .ms = since_ms(x),
        .auth_ms = x->times.auth_us / 1000,
        .connect_ms = x->times.connect_us / 1000,
        .peer = x->has_peer ? &x->peer : NULL,
        .type = sp_span_cstr(x->type[0] != '\0' ? x->type : NULL),
    };
    fill_from_request(x, record);
}

static void write_line(struct sp_exchange *x)
{
    struct sp_access_record record;

    sp_exchange_record(x, &record);
    sp_proxy_write_access(x->session->proxy, &record);
}

void sp_exchange_write_access(struct sp_exchange *x)
{
    struct sp_proxy *proxy = x->session->proxy;
    uint64_t elapsed_us;

    if (x->switching && x->logged)
        return; /* the tunnel writes it at its end */
    elapsed_us = sp_loop_now_us(proxy->loop) - x->times.head_us;
    if (sp_access_is_wanted())
        write_line(x);
    sp_exchange_remember(x, elapsed_us);
    sp_stats_request(proxy->stats, x->status, x->auth.scheme, elapsed_us);
    sp_stats_add(proxy->stats, SP_STAT_BYTES_IN, (int64_t)x->bytes_in);
    sp_stats_add(proxy->stats, SP_STAT_BYTES_OUT, (int64_t)bytes_out(x));
}
