/* The steps of an exchange that ask who somebody is and whether they may: rules that decide before
 * a 407, the engine, rules with the user known. Answers come at once or, from the engine and the
 * resolver, in a later turn. */
#include "proxy/proxy_priv.h"

#include <stdio.h>
#include <string.h>

/* ---- rules ---- */

static struct sp_policy_query query_of(const struct sp_exchange *x, const struct sp_policy_who *who,
                                       const struct sp_addr *addr)
{
    const struct sp_http_target *target = &x->request.target;

    return (struct sp_policy_query){
        .who = who,
        .client = &x->session->client_addr,
        .host = target->host,
        .port = target->port,
        .literal = target->host_is_ip ? &target->addr : NULL,
        .connect = x->request.method == SP_HTTP_CONNECT,
        .method = x->request.method_text,
        .addr = addr,
        .wall_ms = x->times.wall_ms,
    };
}

static struct sp_policy_decision decide(const struct sp_exchange *x,
                                        const struct sp_policy_who *who, const struct sp_addr *addr)
{
    const struct sp_policy_query query = query_of(x, who, addr);

    return sp_policy_decide(x->epoch->snapshot->policy, &query);
}

static struct sp_policy_decision decide_user(const struct sp_exchange *x,
                                             const struct sp_addr *addr)
{
    struct sp_policy_who who = {.user = SP_SPAN_NONE};

    if (x->open)
        return decide(x, NULL, addr);
    who.user = sp_identity_user(x->identity);
    who.groups = sp_identity_groups(x->identity, &who.groups_len);
    return decide(x, &who, addr);
}

/* An ALLOW is always about an address: the one that was asked about, or the target's literal. */
static void keep_decision(struct sp_exchange *x, struct sp_policy_decision decision,
                          const struct sp_addr *addr)
{
    x->decision = decision;
    x->decided = addr != NULL ? *addr : x->request.target.addr;
}

/* Has this very address been allowed? A second look would find the same: nothing else that a
 * decision rests on changes within an exchange once the user is known, or need not be. */
static bool is_allowed(const struct sp_exchange *x, const struct sp_addr *addr)
{
    return x->decision.verdict == SP_POLICY_ALLOW && x->decided.scope == addr->scope &&
           memcmp(x->decided.ip, addr->ip, sizeof(addr->ip)) == 0;
}

static struct sp_auth_question question_of(const struct sp_exchange *x)
{
    const struct sp_session *s = x->session;
    const struct sp_http_field *agent = sp_http_find(&x->request.head, SP_FIELD_USER_AGENT);

    return (struct sp_auth_question){
        .authorization = x->request.authorization,
        .client = &s->client_addr,
        .listen_index = s->listen->index,
        .channel_bindings = s->end_point,
        .id = sp_span_of(x->id, ID_LEN),
        .user_agent = agent != NULL ? agent->value : SP_SPAN_NONE,
        .log = s->proxy->log,
    };
}

/* Nobody could make this request, so nobody is asked; but where it is known already who it is that
 * tried, the log and `why` are told. */
static void recall_who(struct sp_exchange *x)
{
    const struct sp_auth_question question = question_of(x);
    struct sp_auth_answer known;

    if (!sp_auth_engine_recall(x->session->epoch->engine, x->session->auth, &question, &known))
        return;
    x->identity = known.identity;
    x->auth = known;
}

static enum sp_step refuse_by_policy(struct sp_exchange *x)
{
    if (x->identity == NULL && !x->open)
        recall_who(x);
    return sp_exchange_answer(x, 403, SP_REASON_DENIED, x->decision.why);
}

/* Asked by the dial for each address, and for the address of a pooled connection. */
bool sp_exchange_may_connect(void *owner, const struct sp_addr *addr)
{
    struct sp_exchange *x = owner;

    if (!is_allowed(x, addr))
        keep_decision(x, decide_user(x, addr), addr);
    return x->decision.verdict == SP_POLICY_ALLOW;
}

/* ---- before a 407 ---- */

static enum sp_step pass_open(struct sp_exchange *x)
{
    x->open = true;
    x->auth.reason = SP_REASON_OK;
    sp_exchange_enter(x, SP_EXCHANGE_CONNECTING);
    return SP_STEP_NEXT;
}

static enum sp_step authenticate(struct sp_exchange *x)
{
    sp_exchange_enter(x, SP_EXCHANGE_AUTHENTICATING);
    return SP_STEP_NEXT;
}

/* A rule that decides without a user depends on the address: each is decided on its own. */
static enum sp_step open_by_address(struct sp_exchange *x, const struct sp_addr *addrs, size_t len)
{
    const struct sp_policy_query query = query_of(x, NULL, NULL);
    const struct sp_addr *at;
    struct sp_policy_decision decision = sp_policy_decide_open(x->epoch->snapshot->policy, &query,
                                                               addrs, len, &at);

    keep_decision(x, decision, at);
    if (decision.verdict == SP_POLICY_ALLOW)
        return pass_open(x);
    return decision.verdict == SP_POLICY_DENY ? refuse_by_policy(x) : authenticate(x);
}

static void on_resolved(void *owner, const struct sp_resolved *resolved)
{
    struct sp_exchange *x = owner;

    x->resolve = NULL;
    sp_timer_stop(&x->session->timer);
    /* What does not resolve is for those to learn who have said who they are. */
    (void)open_by_address(x, resolved->addrs, resolved->err == SP_OK ? resolved->addrs_len : 0);
    sp_exchange_run(x);
}

static enum sp_step resolve_first(struct sp_exchange *x)
{
    struct sp_proxy *proxy = x->session->proxy;
    const struct sp_addr *addrs = NULL;
    size_t len = 0;
    enum sp_err err;

    err = sp_resolve_start(proxy->resolver, x->request.target.host, on_resolved, x, &addrs, &len,
                           &x->resolve);
    if (err == SP_ERR_AGAIN) {
        sp_exchange_enter(x, SP_EXCHANGE_RESOLVING);
        sp_stream_want(x->session->client, SP_STREAM_GONE);
        sp_timer_start(proxy->loop, &x->session->timer,
                       x->epoch->snapshot->limits->connect_timeout_ms);
        return SP_STEP_WAIT;
    }
    return open_by_address(x, addrs, err == SP_OK ? len : 0);
}

enum sp_step sp_exchange_step_opening(struct sp_exchange *x)
{
    keep_decision(x, decide(x, NULL, NULL), NULL);
    switch (x->decision.verdict) {
    case SP_POLICY_ALLOW: return pass_open(x);
    case SP_POLICY_DENY: return refuse_by_policy(x);
    case SP_POLICY_ASK_ADDRESS: return resolve_first(x);
    case SP_POLICY_ASK_USER: break;
    }
    return authenticate(x);
}

/* ---- the engine ---- */

static enum sp_step answer_for(struct sp_exchange *x, int status)
{
    if (x->auth.close)
        x->session->last = true;
    return sp_exchange_answer(x, status, x->auth.reason, x->auth.why);
}

static enum sp_step act_on_answer(struct sp_exchange *x)
{
    struct sp_exchange_times *times = &x->times;

    times->auth_us = sp_loop_now_us(x->session->proxy->loop) - times->mark_us;
    sp_timer_stop(&x->session->timer);
    if (x->auth.scheme != SP_SCHEME_NONE)
        sp_stats_auth_time(x->session->proxy->stats, times->auth_us);
    switch (x->auth.state) {
    case SP_AUTH_PASSED:
        x->identity = sp_identity_ref(x->auth.identity);
        if (x->auth.close)
            x->session->last = true;
        sp_exchange_enter(x, SP_EXCHANGE_DECIDING);
        return SP_STEP_NEXT;
    case SP_AUTH_CHALLENGE: return answer_for(x, 407);
    case SP_AUTH_REFUSED: return answer_for(x, 403);
    case SP_AUTH_BLOCKED: return answer_for(x, 429);
    case SP_AUTH_UNAVAILABLE: return answer_for(x, 503);
    case SP_AUTH_MALFORMED: return answer_for(x, 400);
    case SP_AUTH_PENDING: break;
    }
    return SP_STEP_WAIT;
}

static void on_answered(void *owner, const struct sp_auth_answer *answer)
{
    struct sp_exchange *x = owner;

    x->ask = NULL;
    x->auth = *answer;
    (void)act_on_answer(x);
    sp_exchange_run(x);
}

enum sp_step sp_exchange_step_authenticating(struct sp_exchange *x)
{
    struct sp_session *s = x->session;
    struct sp_auth_question question = question_of(x);

    question.tracer = &x->steps.tracer;
    if (x->ask != NULL)
        return SP_STEP_WAIT;
    x->times.mark_us = x->times.head_us;
    sp_auth_engine_ask(s->epoch->engine, &s->auth, &question, on_answered, x, &x->auth, &x->ask);
    sp_exchange_forget_credential(x);
    if (x->auth.state == SP_AUTH_PENDING) {
        sp_stream_want(s->client, SP_STREAM_GONE);
        sp_timer_start(s->proxy->loop, &s->timer, x->epoch->snapshot->limits->response_timeout_ms);
        return SP_STEP_WAIT;
    }
    return act_on_answer(x);
}

/* ---- rules, with the user known ---- */

enum sp_step sp_exchange_step_deciding(struct sp_exchange *x)
{
    keep_decision(x, decide_user(x, NULL), NULL);
    if (x->decision.verdict == SP_POLICY_DENY)
        return refuse_by_policy(x);
    sp_exchange_enter(x, SP_EXCHANGE_CONNECTING);
    return SP_STEP_NEXT;
}
