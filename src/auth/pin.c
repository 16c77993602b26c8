/* The identity that a finished handshake pins to its connection, unless the backend wants a token
 * for each request: how it comes there, with its groups, which requests ride on it, and when it
 * ends. Loop thread. */
#include "auth/auth_priv.h"

#include "util/span.h"

/* ---- the end of a handshake ---- */

static uint64_t groups_basis_of(const struct sp_plan_backend *prover)
{
    return prover->groups_from != NULL ? sp_plan_basis(prover->groups_from) : 0;
}

void sp_negotiate_finish(struct sp_auth_ask *ask, struct sp_outcome *outcome,
                         struct sp_auth_answer *answer)
{
    struct sp_answer_about about = {.scheme = SP_SCHEME_NEGOTIATE,
                                    .user = sp_identity_user(ask->proven),
                                    .backend = ask->prover->name};
    struct sp_auth_conn *conn = sp_auth_conn_get(ask->conn);

    if (outcome->verdict == SP_VERDICT_ALLOW) {
        if (conn != NULL && !ask->prover->traits.per_request) {
            sp_auth_conn_unpin(conn);
            conn->pinned = sp_identity_ref(outcome->identity);
            conn->proven = sp_identity_ref(ask->proven);
            conn->pinned_ms = outcome->how == SP_HOW_GRACE ? 0 : sp_loop_now_ms(ask->engine->loop);
            conn->prover_basis = ask->prover_basis; /* both as they were when it was asked for */
            conn->groups_basis = ask->groups_key.basis;
        }
        if (ask->by_pin && outcome->how != SP_HOW_GRACE)
            outcome->how = SP_HOW_CONNECTION;
        sp_answer_pass(ask->engine, ask->conn, outcome, answer);
    } else {
        if (conn != NULL && conn->held == NULL) { /* the answer's mech is the identity's */
            conn->held = sp_identity_ref(ask->proven);
            about.mech = sp_identity_mech(conn->held).base;
        }
        if (outcome->verdict == SP_VERDICT_ACCOUNT && conn != NULL)
            sp_auth_conn_unpin(conn);
        if (outcome->verdict == SP_VERDICT_ACCOUNT)
            sp_answer_forbid(ask->conn, SP_REASON_ACCOUNT, &about, outcome->reason, answer);
        else
            sp_answer_unavailable(ask->conn, outcome->overloaded, &about, outcome->reason, answer);
    }
    if (*ask->conn != NULL)
        sp_answer_final_token(*ask->conn, answer);
    sp_outcome_fini(outcome);
}

/* ---- requests that ride on the connection's identity ---- */

static const struct sp_plan_backend *prover_of(const struct sp_auth_engine *engine,
                                               const struct sp_identity *identity)
{
    const struct sp_plan_chain *chain = &engine->plan->negotiate;
    struct sp_span name = sp_identity_backend(identity);

    for (size_t i = 0; i < chain->len; i++)
        if (sp_span_eq(sp_span_cstr(chain->items[i]->name), name))
            return chain->items[i];
    return NULL;
}

static void pass_by_pin(struct sp_auth_conn *conn, uint64_t now_ms, struct sp_auth_answer *answer)
{
    conn->refusals = 0;
    *answer = (struct sp_auth_answer){.state = SP_AUTH_PENDING};
    sp_answer_identity(conn->pinned, SP_HOW_CONNECTION,
                       conn->pinned_ms > 0 ? now_ms - conn->pinned_ms : SP_AGE_UNKNOWN, answer);
}

bool sp_negotiate_is_pinned(const struct sp_auth_engine *engine, unsigned listen_index,
                            const struct sp_auth_conn *conn)
{
    const struct sp_plan_backend *prover = conn != NULL && conn->pinned != NULL
                                               ? prover_of(engine, conn->pinned)
                                               : NULL;

    return prover != NULL && conn->prover_basis == sp_plan_basis(prover) &&
           engine->plan->offers[listen_index].schemes[SP_SCHEME_NEGOTIATE];
}

void sp_negotiate_check_pin(struct sp_auth_engine *engine, unsigned listen_index,
                            struct sp_auth_conn *conn)
{
    if (!sp_negotiate_is_pinned(engine, listen_index, conn))
        sp_auth_conn_unpin(conn);
}

/* A connection may live for hours; membership in a group shall not outlive ttl for that, nor the
 * configuration of the backend that knew of it. */
static bool groups_are_old(struct sp_auth_engine *engine, const struct sp_auth_conn *conn,
                           const struct sp_plan_backend *prover)
{
    uint64_t age_ms = sp_loop_now_ms(engine->loop) - conn->pinned_ms;

    return prover->groups_from != NULL &&
           (age_ms >= sp_verdict_cache_ttl_ms(engine->shared->cache) ||
            conn->groups_basis != groups_basis_of(prover));
}

void sp_negotiate_ask_pinned(struct sp_auth_engine *engine, struct sp_auth_conn **slot,
                             const struct sp_auth_question *q, sp_auth_answered_cb done,
                             void *owner, struct sp_auth_answer *answer,
                             struct sp_auth_ask **ask_out)
{
    const struct sp_plan_backend *prover = prover_of(engine, (*slot)->pinned);
    struct sp_auth_ask *ask;

    if (!groups_are_old(engine, *slot, prover)) {
        pass_by_pin(*slot, sp_loop_now_ms(engine->loop), answer);
        return;
    }
    ask = sp_ask_new(engine, slot, q, done, owner, SP_ASK_GROUPS);
    if (ask == NULL) {
        struct sp_answer_about about = {.scheme = SP_SCHEME_NEGOTIATE};

        sp_answer_unavailable(slot, true, &about, NULL, answer);
        return;
    }
    ask->proven = sp_identity_ref((*slot)->proven);
    ask->prover = prover;
    ask->prover_basis = (*slot)->prover_basis;
    ask->by_pin = true;
    if (sp_groups_find(ask, answer))
        sp_ask_free(&ask);
    else
        *ask_out = ask;
}
