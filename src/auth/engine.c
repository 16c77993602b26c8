/* One worker's engine: opens the plan's backends on its loop, takes questions, sees to its own end.
 * Called by the proxy on the loop's thread. What a question means is in basic.c and negotiate.c. */
#include "auth/auth_priv.h"

#include "util/text.h"

#include <assert.h>
#include <stdlib.h>

#define ENGINE_MAGIC 0xa07e6197u

/* ---- backends ---- */

struct sp_engine_backend *sp_engine_backend(struct sp_auth_engine *engine,
                                            const struct sp_plan_backend *backend)
{
    return &engine->backends[backend->index];
}

enum sp_auth_count sp_auth_count_of(enum sp_verdict verdict)
{
    switch (verdict) {
    case SP_VERDICT_ALLOW: return SP_COUNT_ACCEPT;
    case SP_VERDICT_DENY: return SP_COUNT_REJECT;
    case SP_VERDICT_UNKNOWN_USER: return SP_COUNT_UNKNOWN;
    case SP_VERDICT_ACCOUNT: return SP_COUNT_ACCOUNT;
    case SP_VERDICT_MORE:
    case SP_VERDICT_UNAVAILABLE: break;
    }
    return SP_COUNT_UNAVAILABLE;
}

void sp_engine_backend_heard(struct sp_engine_backend *b, const struct sp_auth_result *result)
{
    bool silent = result->verdict == SP_VERDICT_UNAVAILABLE;
    char detail[256];

    if (silent == b->silent)
        return;
    b->silent = silent;
    if (silent)
        sp_log_warning(&b->lent.log,
                       "event=backend_unavailable server=\"%s\" reason=\"%s\" detail=\"%s\"",
                       result->server != NULL ? result->server : "",
                       result->reason != NULL ? result->reason : "",
                       sp_text_safe(sp_span_cstr(result->detail), detail, sizeof(detail)));
    else
        sp_log_info(&b->lent.log, "event=backend_answers server=\"%s\"",
                    result->server != NULL ? result->server : "");
}

static bool open_backend(struct sp_auth_engine *engine, const struct sp_plan_backend *plan)
{
    struct sp_engine_backend *b = &engine->backends[plan->index];

    b->plan = plan;
    b->engine = engine;
    sp_auth_lent_init(&b->lent, plan->name, engine->loop, engine->log);
    if (!plan->used)
        return true;
    if (plan->ops->open(plan->config, &b->lent.host, &b->handle) != SP_OK) {
        b->handle = NULL;
        sp_log_error(&b->lent.log, "event=backend_refused detail=\"the backend does not open\"");
        return false;
    }
    engine->open++;
    return true;
}

/* ---- the end ---- */

static void engine_free(struct sp_auth_engine *engine)
{
    sp_identity_unref(&engine->held);
    sp_auth_plan_unref(&engine->plan);
    free(engine->backends);
    engine->magic = 0;
    free(engine);
}

static void engine_end(struct sp_auth_engine *engine)
{
    void (*closed)(void *owner) = engine->closed;
    void *owner = engine->owner;

    engine_free(engine);
    if (closed != NULL)
        closed(owner);
}

static void on_backend_closed(void *owner)
{
    struct sp_auth_engine *engine = owner;

    assert(engine->magic == ENGINE_MAGIC && engine->open > 0);
    if (--engine->open == 0)
        engine_end(engine);
}

/* Nothing is under way any more: the backends can close. Runs in a turn of its own, since the last
 * operation may end inside a backend's callback. */
static void close_backends(struct sp_soon *soon)
{
    struct sp_auth_engine *engine = sp_container_of(soon, struct sp_auth_engine, soon);
    struct sp_auth_plan *plan = engine->plan;

    if (engine->busy > 0)
        return; /* a waiter came back for more; its end brings us here again */
    if (engine->open == 0) {
        engine_end(engine);
        return;
    }
    engine->open++; /* a floor, should they close at once */
    for (size_t i = 0; i < plan->backends_len; i++) {
        struct sp_engine_backend *b = &engine->backends[i];

        if (b->handle != NULL)
            b->plan->ops->close(&b->handle, on_backend_closed, engine);
    }
    on_backend_closed(engine);
}

void sp_engine_hold(struct sp_auth_engine *engine)
{
    engine->busy++;
}

void sp_engine_release(struct sp_auth_engine *engine)
{
    assert(engine->busy > 0);
    if (--engine->busy == 0 && engine->closing)
        sp_loop_soon(engine->loop, &engine->soon);
}

void sp_auth_engine_close(struct sp_auth_engine **engine_in, void (*closed)(void *owner),
                          void *owner)
{
    struct sp_auth_engine *engine = *engine_in;

    *engine_in = NULL;
    if (engine == NULL)
        return;
    assert(engine->magic == ENGINE_MAGIC && !engine->closing);
    engine->closing = true;
    engine->closed = closed;
    engine->owner = owner;
    sp_engine_hold(engine);
    sp_logins_end_idle(engine);
    sp_engine_release(engine);
}

struct sp_auth_engine *sp_auth_engine_new(struct sp_loop *loop, struct sp_auth_plan *plan,
                                          struct sp_auth_shared *shared, struct sp_stats *stats,
                                          const struct sp_log *log)
{
    struct sp_auth_engine *engine = calloc(1, sizeof(*engine));
    bool opened = true;

    if (engine == NULL)
        return NULL;
    engine->magic = ENGINE_MAGIC;
    engine->loop = loop;
    engine->plan = sp_auth_plan_ref(plan);
    engine->shared = shared;
    engine->stats = stats;
    engine->log = log;
    sp_list_init(&engine->logins);
    sp_soon_init(&engine->soon, close_backends);
    engine->backends = calloc(plan->backends_len + 1, sizeof(*engine->backends));
    if (engine->backends == NULL) {
        engine_free(engine);
        return NULL;
    }
    for (size_t i = 0; i < plan->backends_len && opened; i++)
        opened = open_backend(engine, &plan->backends[i]);
    if (!opened)
        sp_auth_engine_close(&engine, NULL, NULL); /* those that did open close by themselves */
    return engine;
}

/* ---- questions ---- */

/* Only a scheme's name that is known may stand in the log: a client that sends a bare password
 * sends it in a scheme's place. */
static const char *known_scheme(struct sp_span scheme)
{
    static const char *const known[] = {"Basic",    "Negotiate", "NTLM", "Digest",        "Bearer",
                                        "Kerberos", "Mutual",    "HOBA", "SCRAM-SHA-256", "DPoP"};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (sp_span_eq_nocase(scheme, sp_span_cstr(known[i])))
            return known[i];
    }
    return "unknown";
}

/* A scheme that is not ours, or not this listener's. No backend hears of it. */
static void strange_scheme(struct sp_auth_engine *engine, struct sp_auth_conn **conn,
                           const struct sp_auth_question *q, const struct sp_credential *c,
                           struct sp_auth_answer *answer)
{
    bool ours = c->kind != SP_CREDENTIAL_OTHER;
    struct sp_answer_about about = {.scheme = SP_SCHEME_NONE};
    char client[SP_ADDR_TEXT_MAX];

    sp_log_info(q->log, "event=scheme_refused id=%.*s client=%s scheme=\"%s\" reason=\"%s\"",
                SP_SPAN_ARG(q->id), sp_addr_ip_text(q->client, client), known_scheme(c->scheme),
                ours ? "not offered on this listener" : "not a scheme of ours");
    sp_answer_refuse(engine, conn, q->listen_index, &about,
                     !ours ? "this scheme is not known here"
                     : c->kind == SP_CREDENTIAL_BASIC
                         ? "this listener does not offer Basic; see its offer and tls_certificate"
                         : "this listener does not offer this scheme; see its offer",
                     answer);
    if (answer->state == SP_AUTH_CHALLENGE && !ours)
        answer->reason = SP_REASON_NO_CREDENTIALS; /* none that we could read */
}

/* The last answer's words may now be forgotten. */
static void forget_last_answer(struct sp_auth_conn *conn)
{
    if (conn == NULL)
        return;
    free(conn->said);
    free(conn->token);
    conn->said = conn->token = NULL;
    sp_identity_unref(&conn->held);
}

static bool is_offered(const struct sp_auth_engine *engine, unsigned listen_index,
                       enum sp_credential_kind kind)
{
    enum sp_scheme scheme = SP_SCHEME_NONE;

    assert(listen_index < engine->plan->offers_len);
    if (kind == SP_CREDENTIAL_BASIC)
        scheme = SP_SCHEME_BASIC;
    else if (kind == SP_CREDENTIAL_NEGOTIATE)
        scheme = SP_SCHEME_NEGOTIATE;
    return engine->plan->offers[listen_index].schemes[scheme];
}

void sp_auth_engine_ask(struct sp_auth_engine *engine, struct sp_auth_conn **conn,
                        const struct sp_auth_question *q, sp_auth_answered_cb done, void *owner,
                        struct sp_auth_answer *answer, struct sp_auth_ask **ask_out)
{
    struct sp_credential credential;

    assert(engine->magic == ENGINE_MAGIC);
    *ask_out = NULL;
    *answer = (struct sp_auth_answer){.state = SP_AUTH_PENDING};
    forget_last_answer(*conn);
    if (*conn != NULL && (*conn)->pinned != NULL)
        sp_negotiate_check_pin(engine, q->listen_index, *conn);
    sp_credential_parse(q->authorization, &credential);
    if (credential.kind == SP_CREDENTIAL_NONE) {
        if (*conn != NULL)
            sp_handshake_end(&(*conn)->handshake);
        if (*conn != NULL && (*conn)->pinned != NULL)
            sp_negotiate_ask_pinned(engine, conn, q, done, owner, answer, ask_out);
        else
            sp_answer_challenge(engine, q->listen_index, answer);
        return;
    }
    if (*conn != NULL && credential.kind != SP_CREDENTIAL_NEGOTIATE) {
        sp_handshake_end(&(*conn)->handshake);
        sp_auth_conn_unpin(*conn); /* from here on the new credential decides */
    }
    if (!is_offered(engine, q->listen_index, credential.kind))
        strange_scheme(engine, conn, q, &credential, answer);
    else if (credential.kind == SP_CREDENTIAL_BASIC)
        sp_basic_ask(engine, conn, q, credential.token, done, owner, answer, ask_out);
    else
        sp_negotiate_ask(engine, conn, q, credential.token, done, owner, answer, ask_out);
    if (answer->reason == SP_REASON_LOOP)
        sp_answer_tell_loop(engine, q->id, q->client, q->user_agent, answer);
}

bool sp_auth_engine_recall(struct sp_auth_engine *engine, const struct sp_auth_conn *conn,
                           const struct sp_auth_question *q, struct sp_auth_answer *answer)
{
    struct sp_outcome outcome = {.verdict = SP_VERDICT_UNAVAILABLE};
    struct sp_credential credential;

    assert(engine->magic == ENGINE_MAGIC);
    *answer = (struct sp_auth_answer){.state = SP_AUTH_PENDING};
    sp_credential_parse(q->authorization, &credential);
    if (credential.kind == SP_CREDENTIAL_NONE &&
        sp_negotiate_is_pinned(engine, q->listen_index, conn))
        outcome = (struct sp_outcome){.how = SP_HOW_CONNECTION,
                                      .age_ms = SP_AGE_UNKNOWN,
                                      .identity = sp_identity_ref(conn->pinned)};
    else if (credential.kind != SP_CREDENTIAL_BASIC ||
             !is_offered(engine, q->listen_index, credential.kind) ||
             !sp_basic_recall(engine, credential.token, &outcome))
        return false;
    sp_answer_identity(outcome.identity, outcome.how, outcome.age_ms, answer);
    return true;
}
