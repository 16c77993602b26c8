/* Negotiate: handshakes of one or more legs, each on the connection that began it and nowhere else.
 *
 * A handshake holds one backend operation. While a backend works on a leg, a question waits for it;
 * between legs the handshake waits on the connection for the client's next token. One deadline
 * covers it all. What a finished handshake proves goes to pin.c. Loop thread. */
#include "auth/auth_priv.h"

#include "util/base64.h"
#include "util/err.h"
#include "util/text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define HANDSHAKE_MAGIC 0x4a9d54a4u
#define BINDINGS_MAX    128u /* "tls-server-end-point:" and the longest hash */

enum handshake_state {
    HANDSHAKE_LEG,    /* a backend works on a token; `ask` waits */
    HANDSHAKE_CLIENT, /* the client has our token and owes us one */
};

/* Owned by its connection. */
struct sp_handshake {
    uint32_t magic;
    enum handshake_state state;
    struct sp_auth_engine *engine;
    struct sp_auth_conn *conn;
    struct sp_auth_ask *ask; /* LEG */
    size_t at;               /* in the chain */
    uint64_t basis;          /* what the backend's answer rests on: of when it was asked */
    struct sp_auth_op *op;
    struct sp_timer deadline;
    uint64_t deadline_ms;
    uint64_t leg_begun_us, spent_us;
    struct sp_secret first; /* the first token, while another backend may have to be asked */
    bool first_leg;
    bool skipped, overloaded; /* a backend earlier in the chain could not answer */
    size_t bindings_len;
    char bindings[BINDINGS_MAX];
};

static const struct sp_plan_backend *backend_of(const struct sp_handshake *hs)
{
    return hs->engine->plan->negotiate.items[hs->at];
}

/* ---- lifetime ---- */

static void on_deadline(struct sp_timer *timer);
static void on_leg(void *owner, const struct sp_auth_result *result);

static struct sp_handshake *handshake_new(struct sp_auth_engine *engine, struct sp_auth_conn *conn,
                                          struct sp_span bindings)
{
    struct sp_handshake *hs = calloc(1, sizeof(*hs));
    uint64_t timeout_ms = engine->plan->options->handshake_timeout_ms;

    if (hs == NULL)
        return NULL;
    hs->magic = HANDSHAKE_MAGIC;
    hs->engine = engine;
    hs->conn = conn;
    if (bindings.len > 0 && bindings.len <= sizeof(hs->bindings)) {
        memcpy(hs->bindings, bindings.base, bindings.len);
        hs->bindings_len = bindings.len;
    }
    hs->deadline_ms = sp_loop_now_ms(engine->loop) + timeout_ms;
    sp_timer_init(&hs->deadline, on_deadline);
    sp_timer_start(engine->loop, &hs->deadline, timeout_ms);
    conn->handshake = hs;
    sp_engine_hold(engine);
    sp_stats_add(engine->stats, SP_STAT_HANDSHAKES, 1);
    return hs;
}

static void end_op(struct sp_handshake *hs)
{
    if (hs->op == NULL)
        return;
    if (hs->state == HANDSHAKE_LEG && hs->ask != NULL)
        backend_of(hs)->ops->cancel(&hs->op);
    else
        backend_of(hs)->ops->free(&hs->op);
}

void sp_handshake_end(struct sp_handshake **slot)
{
    struct sp_handshake *hs = *slot;
    struct sp_auth_engine *engine;

    *slot = NULL;
    if (hs == NULL)
        return;
    assert(hs->magic == HANDSHAKE_MAGIC);
    hs->magic = 0;
    engine = hs->engine;
    end_op(hs);
    if (hs->ask != NULL)
        hs->ask->handshake = NULL;
    sp_timer_stop(&hs->deadline);
    sp_secret_fini(&hs->first);
    free(hs);
    sp_stats_add(engine->stats, SP_STAT_HANDSHAKES, -1);
    sp_engine_release(engine);
}

uint64_t sp_handshake_deadline_ms(const struct sp_handshake *hs)
{
    return hs->deadline_ms;
}

/* ---- what comes out ---- */

static bool same_person(const struct sp_identity *a, const struct sp_identity *b)
{
    return sp_span_eq(sp_identity_principal(a), sp_identity_principal(b)) &&
           sp_span_eq(sp_identity_user(a), sp_identity_user(b));
}

/* A token that fails on a connection that has an identity does not name the same principal. */
static void end_pin(struct sp_auth_ask *ask, struct sp_auth_answer *answer)
{
    if (*ask->conn == NULL || (*ask->conn)->pinned == NULL)
        return;
    sp_auth_conn_unpin(*ask->conn);
    answer->close = true;
}

static void refuse(struct sp_auth_ask *ask, const struct sp_answer_about *about, const char *why,
                   struct sp_auth_answer *answer)
{
    sp_answer_refuse(ask->engine, ask->conn, ask->listen_index, about, why, answer);
    end_pin(ask, answer);
}

static void forbid(struct sp_auth_ask *ask, enum sp_reason reason,
                   const struct sp_answer_about *about, const char *why,
                   struct sp_auth_answer *answer)
{
    sp_answer_forbid(ask->conn, reason, about, why, answer);
    end_pin(ask, answer);
}

static void log_refusal(const struct sp_handshake *hs, const struct sp_auth_ask *ask,
                        const struct sp_auth_result *r)
{
    const struct sp_engine_backend *b = sp_engine_backend(hs->engine, backend_of(hs));
    char client[SP_ADDR_TEXT_MAX], detail[768], principal[300];

    sp_log_info(&b->lent.log,
                "event=negotiate_refused id=%.*s client=%s principal=\"%s\" reason=\"%s\" "
                "detail=\"%s\"",
                SP_SPAN_ARG(ask->id), sp_addr_ip_text(&ask->client, client),
                sp_text_safe(r->principal, principal, sizeof(principal)),
                r->reason != NULL ? r->reason : "",
                sp_text_safe(sp_span_cstr(r->detail), detail, sizeof(detail)));
}

/* ---- legs ---- */

/* The first token goes to the first backend that takes it, from `at` on. */
static bool first_leg(struct sp_handshake *hs, struct sp_auth_ask *ask, struct sp_span token)
{
    const struct sp_plan_chain *chain = &hs->engine->plan->negotiate;
    char client[SP_ADDR_TEXT_MAX];
    struct sp_auth_input input = {
        .ask = SP_AUTH_TOKEN,
        .token = token,
        .channel_bindings = hs->bindings_len > 0 ? sp_span_of(hs->bindings, hs->bindings_len)
                                                 : SP_SPAN_NONE,
        .client = sp_addr_ip_text(&ask->client, client),
        .id = ask->id.base,
        .tracer = ask->tracer,
    };

    for (; hs->at < chain->len; hs->at++) {
        struct sp_engine_backend *b = sp_engine_backend(hs->engine, chain->items[hs->at]);
        enum sp_err err;

        hs->leg_begun_us = sp_loop_now_us(hs->engine->loop);
        hs->basis = sp_plan_basis(b->plan);
        err = b->plan->ops->start(b->handle, &input, on_leg, hs, &hs->op);
        if (err == SP_OK)
            return true;
        hs->op = NULL;
        hs->skipped = true;
        sp_tell(ask->tracer, "start", b->plan->name, NULL, "cannot be asked now: %s",
                sp_err_text(err));
        hs->overloaded |= err == SP_ERR_FULL || err == SP_ERR_NOMEM;
        sp_stats_auth(b->plan->series, SP_COUNT_UNAVAILABLE, 0);
    }
    return false;
}

static void wait_for_leg(struct sp_handshake *hs, struct sp_auth_ask *ask)
{
    hs->state = HANDSHAKE_LEG;
    hs->ask = ask;
    ask->handshake = hs;
}

/* The question that waited is no longer the handshake's. */
static struct sp_auth_ask *take_ask(struct sp_handshake *hs)
{
    struct sp_auth_ask *ask = hs->ask;

    hs->ask = NULL;
    ask->handshake = NULL;
    return ask;
}

/* Another leg: the token goes to the client, and the handshake waits for what it sends. */
static void challenge(struct sp_handshake *hs, const struct sp_auth_result *r,
                      struct sp_auth_answer *answer)
{
    hs->state = HANDSHAKE_CLIENT;
    hs->first_leg = false;
    sp_secret_fini(&hs->first);
    answer->state = SP_AUTH_CHALLENGE;
    answer->reason = SP_REASON_HANDSHAKE;
    answer->scheme = SP_SCHEME_NEGOTIATE;
    answer->backend = sp_span_cstr(backend_of(hs)->name);
    answer->mech = sp_span_cstr(r->mech);
    answer->challenges[0] = sp_span_of(hs->conn->token, hs->conn->token_len);
    answer->challenges_len = 1;
}

/* Proven. The handshake is over; groups may still have to be found. False: they are being found. */
static bool proven(struct sp_handshake *hs, struct sp_auth_ask *ask, const struct sp_auth_result *r,
                   struct sp_auth_answer *answer)
{
    struct sp_span user = r->user.len > 0 ? r->user : r->principal;
    struct sp_auth_conn *conn = hs->conn;
    struct sp_answer_about about = {
        .scheme = SP_SCHEME_NEGOTIATE, .backend = backend_of(hs)->name, .mech = r->mech};
    bool kept = r->token.len == 0 || sp_auth_conn_keep_token(conn, r->token) == SP_OK;

    ask->prover = backend_of(hs);
    ask->prover_basis = hs->basis;
    if (kept && user.len > 0)
        ask->proven = sp_identity_new(user, r->principal, sp_span_cstr(ask->prover->name),
                                      SP_SCHEME_NEGOTIATE, sp_span_cstr(r->mech), r->groups,
                                      r->groups_len);
    sp_handshake_end(&conn->handshake);
    if (ask->proven == NULL) {
        sp_answer_unavailable(ask->conn, true, &about, NULL, answer);
        return true;
    }
    if (conn->pinned == NULL || same_person(conn->pinned, ask->proven))
        return sp_groups_find(ask, answer);
    about.user = sp_identity_user(ask->proven);
    refuse(ask, &about, "another principal on this connection", answer);
    sp_answer_final_token(conn, answer);
    return true;
}

/* The operation is freed last: what the result points to may be its own. */
static void not_proven(struct sp_handshake *hs, struct sp_auth_ask *ask,
                       const struct sp_auth_result *r, struct sp_auth_answer *answer)
{
    struct sp_answer_about about = {.scheme = SP_SCHEME_NEGOTIATE,
                                    .user = r->user.len > 0 ? r->user : r->principal,
                                    .backend = backend_of(hs)->name,
                                    .mech = r->mech};
    bool unsure = r->verdict == SP_VERDICT_UNAVAILABLE ||
                  (r->verdict == SP_VERDICT_UNKNOWN_USER && hs->skipped);

    log_refusal(hs, ask, r);
    answer->how = unsure ? SP_HOW_NONE : SP_HOW_DIRECTORY;
    if (unsure)
        sp_answer_unavailable(ask->conn, hs->overloaded, &about, r->reason, answer);
    else if (r->verdict == SP_VERDICT_ACCOUNT)
        forbid(ask, SP_REASON_ACCOUNT, &about, r->reason, answer);
    else if (r->verdict == SP_VERDICT_DENY && r->denied_principal)
        forbid(ask, SP_REASON_DENIED, &about, r->reason, answer);
    else
        refuse(ask, &about, r->reason, answer);
    sp_handshake_end(&hs->conn->handshake);
}

/* "Not for me" and "don't know", said to a first token: the next backend gets the same token. */
static bool try_next(struct sp_handshake *hs, struct sp_auth_ask *ask,
                     const struct sp_auth_result *r)
{
    bool passes = r->verdict == SP_VERDICT_UNKNOWN_USER || r->verdict == SP_VERDICT_UNAVAILABLE;
    const struct sp_plan_backend *asked = backend_of(hs);
    struct sp_auth_op *op = hs->op;
    size_t at = hs->at;

    if (!passes || !hs->first_leg || at + 1 >= hs->engine->plan->negotiate.len)
        return false;
    hs->skipped |= r->verdict == SP_VERDICT_UNAVAILABLE;
    hs->op = NULL;
    hs->at++;
    if (first_leg(hs, ask, sp_secret_span(&hs->first))) {
        asked->ops->free(&op);
        wait_for_leg(hs, ask);
        return true;
    }
    hs->at = at; /* nobody is left: the verdict at hand stands */
    hs->op = op;
    return false;
}

/* What the backend at hand has come to: counted, and told where it is not ALLOW, which its own last
 * step says. */
static void note_verdict(struct sp_handshake *hs, const struct sp_auth_ask *ask,
                         const struct sp_auth_result *r)
{
    struct sp_engine_backend *b = sp_engine_backend(hs->engine, backend_of(hs));
    uint64_t leg_us = sp_loop_now_us(hs->engine->loop) - hs->leg_begun_us;

    hs->spent_us += leg_us;
    if (r->verdict == SP_VERDICT_MORE)
        return;
    sp_engine_backend_heard(b, r);
    sp_stats_auth(b->plan->series, sp_auth_count_of(r->verdict), hs->spent_us);
    hs->spent_us = 0;
    if (r->verdict != SP_VERDICT_ALLOW)
        sp_tell_verdict(ask->tracer, b->plan->name, r, leg_us);
}

static void on_leg(void *owner, const struct sp_auth_result *result)
{
    struct sp_handshake *hs = owner;
    struct sp_auth_answer answer = {.state = SP_AUTH_PENDING};
    struct sp_auth_result broken = {.verdict = SP_VERDICT_UNAVAILABLE,
                                    .reason = "the backend wants another leg but gives no token"};
    struct sp_auth_ask *ask;

    assert(hs->magic == HANDSHAKE_MAGIC && hs->state == HANDSHAKE_LEG);
    ask = take_ask(hs);
    if (result->verdict == SP_VERDICT_MORE &&
        (result->token.len == 0 || sp_auth_conn_keep_token(hs->conn, result->token) != SP_OK))
        result = &broken;
    note_verdict(hs, ask, result);
    if (result->verdict == SP_VERDICT_MORE) {
        challenge(hs, result, &answer);
    } else if (result->verdict == SP_VERDICT_ALLOW) {
        if (!proven(hs, ask, result, &answer))
            return;
    } else {
        if (try_next(hs, ask, result))
            return;
        not_proven(hs, ask, result, &answer);
    }
    sp_ask_answer(ask, &answer);
}

static void on_deadline(struct sp_timer *timer)
{
    struct sp_handshake *hs = sp_container_of(timer, struct sp_handshake, deadline);
    struct sp_auth_answer answer = {.state = SP_AUTH_PENDING};
    const struct sp_auth_result late = {.verdict = SP_VERDICT_UNAVAILABLE,
                                        .reason = "the handshake took too long"};
    struct sp_auth_ask *ask;

    if (hs->state == HANDSHAKE_CLIENT) {
        sp_handshake_end(&hs->conn->handshake);
        return;
    }
    backend_of(hs)->ops->cancel(&hs->op);
    ask = take_ask(hs);
    note_verdict(hs, ask, &late);
    not_proven(hs, ask, &late, &answer);
    sp_ask_answer(ask, &answer);
}

/* ---- questions ---- */

/* Out of the header, into memory that is wiped. */
static enum sp_err decode(struct sp_span text, struct sp_secret *token)
{
    size_t len = 0;

    if (text.len == 0)
        return SP_ERR_INVALID;
    if (text.len > sp_base64_encoded_len(SP_TOKEN_MAX))
        return SP_ERR_TOO_LARGE;
    if (sp_secret_alloc(token, sp_base64_decoded_max(text.len)) != SP_OK)
        return SP_ERR_NOMEM;
    if (sp_base64_decode(text, token->base, &len) != SP_OK || len == 0)
        return SP_ERR_INVALID;
    token->len = len;
    return len > SP_TOKEN_MAX ? SP_ERR_TOO_LARGE : SP_OK;
}

static void refuse_garbled(struct sp_auth_ask *ask, enum sp_err err, const struct sp_log *log,
                           struct sp_auth_answer *answer)
{
    struct sp_answer_about about = {.scheme = SP_SCHEME_NEGOTIATE};
    const char *why = err == SP_ERR_TOO_LARGE ? "the token is longer than 64 KiB" : "not base64";
    char client[SP_ADDR_TEXT_MAX];

    if (err == SP_ERR_NOMEM) {
        sp_answer_unavailable(ask->conn, true, &about, NULL, answer);
        return;
    }
    sp_log_info(log, "event=credential_refused id=%.*s client=%s scheme=negotiate reason=\"%s\"",
                SP_SPAN_ARG(ask->id), sp_addr_ip_text(&ask->client, client), why);
    refuse(ask, &about, why, answer);
    answer->close |= err == SP_ERR_TOO_LARGE;
}

static bool next_leg(struct sp_handshake *hs, struct sp_auth_ask *ask, struct sp_span token)
{
    enum sp_err err;

    hs->leg_begun_us = sp_loop_now_us(hs->engine->loop);
    err = backend_of(hs)->ops->step(hs->op, token, ask->tracer);
    hs->overloaded |= err == SP_ERR_FULL || err == SP_ERR_NOMEM;
    return err == SP_OK;
}

static bool begin(struct sp_auth_engine *engine, struct sp_auth_conn *conn, struct sp_auth_ask *ask,
                  struct sp_span bindings, const struct sp_secret *token)
{
    struct sp_handshake *hs = handshake_new(engine, conn, bindings);

    if (hs == NULL)
        return false;
    hs->first_leg = true;
    if (engine->plan->negotiate.len > 1 &&
        sp_secret_set(&hs->first, sp_secret_span(token)) != SP_OK)
        return false;
    return first_leg(hs, ask, sp_secret_span(token));
}

/* The next leg of the handshake under way, or the first of a new one. */
static bool take_token(struct sp_auth_engine *engine, struct sp_auth_conn *conn,
                       struct sp_auth_ask *ask, struct sp_span bindings,
                       const struct sp_secret *token)
{
    struct sp_handshake *hs = conn->handshake;
    bool goes_on = hs != NULL && hs->state == HANDSHAKE_CLIENT &&
                   sp_loop_now_ms(engine->loop) < hs->deadline_ms;

    if (goes_on && !next_leg(hs, ask, sp_secret_span(token)))
        return false;
    if (!goes_on) {
        sp_handshake_end(&conn->handshake);
        if (!begin(engine, conn, ask, bindings, token))
            return false;
    }
    wait_for_leg(conn->handshake, ask);
    return true;
}

static void no_room(struct sp_auth_conn **slot, struct sp_auth_answer *answer)
{
    struct sp_answer_about about = {.scheme = SP_SCHEME_NEGOTIATE};
    struct sp_auth_conn *conn = *slot;
    bool overloaded = conn == NULL || conn->handshake == NULL || conn->handshake->overloaded;

    if (conn != NULL)
        sp_handshake_end(&conn->handshake);
    sp_answer_unavailable(slot, overloaded, &about, NULL, answer);
}

void sp_negotiate_ask(struct sp_auth_engine *engine, struct sp_auth_conn **slot,
                      const struct sp_auth_question *q, struct sp_span text,
                      sp_auth_answered_cb done, void *owner, struct sp_auth_answer *answer,
                      struct sp_auth_ask **ask_out)
{
    struct sp_auth_conn *conn = sp_auth_conn_get(slot);
    struct sp_auth_ask *ask = conn != NULL ? sp_ask_new(engine, slot, q, done, owner, SP_ASK_LEG)
                                           : NULL;
    struct sp_secret token = {NULL, 0};
    enum sp_err err;

    if (ask == NULL) {
        no_room(slot, answer);
        return;
    }
    err = decode(text, &token);
    if (err != SP_OK) {
        sp_handshake_end(&conn->handshake);
        refuse_garbled(ask, err, q->log, answer);
    } else if (take_token(engine, conn, ask, q->channel_bindings, &token)) {
        *ask_out = ask;
        ask = NULL;
    } else {
        no_room(slot, answer);
    }
    sp_secret_fini(&token);
    if (ask != NULL)
        sp_ask_free(&ask);
}
