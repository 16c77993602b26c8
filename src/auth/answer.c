/* Answers: from what came out to what the session is told, and what the connection remembers of it
 * (the row of refusals, the texts that the answer points to). Loop thread. */
#include "auth/auth_priv.h"

#include "util/text.h"

#include <stdlib.h>

/* The name as the conn's own copy; without memory the access line lacks it, and nothing else. */
static struct sp_span keep_said(struct sp_auth_conn *conn, struct sp_span user)
{
    if (conn == NULL || user.len == 0)
        return SP_SPAN_NONE;
    free(conn->said);
    conn->said = sp_span_dup(user);
    return conn->said != NULL ? sp_span_of(conn->said, user.len) : SP_SPAN_NONE;
}

static void tell_about(struct sp_auth_conn **slot, const struct sp_answer_about *about,
                       struct sp_auth_answer *answer)
{
    struct sp_auth_conn *conn = about->user.len > 0 ? sp_auth_conn_get(slot) : *slot;

    answer->scheme = about->scheme;
    answer->user = keep_said(conn, about->user);
    answer->backend = sp_span_cstr(about->backend);
    answer->mech = sp_span_cstr(about->mech);
}

void sp_answer_identity(const struct sp_identity *identity, enum sp_auth_how how, uint64_t age_ms,
                        struct sp_auth_answer *answer)
{
    answer->state = SP_AUTH_PASSED;
    answer->reason = SP_REASON_OK;
    answer->identity = identity;
    answer->how = how;
    answer->age_ms = age_ms;
    answer->scheme = sp_identity_scheme(identity);
    answer->user = sp_identity_user(identity);
    answer->backend = sp_identity_backend(identity);
    answer->mech = sp_identity_mech(identity);
}

void sp_answer_pass(struct sp_auth_engine *engine, struct sp_auth_conn **slot,
                    struct sp_outcome *outcome, struct sp_auth_answer *answer)
{
    const struct sp_identity **holder = &engine->held;
    struct sp_auth_conn *conn = *slot;

    if (conn != NULL) {
        conn->refusals = 0;
        if (conn->pinned == NULL && conn->handshake == NULL && conn->token == NULL)
            sp_auth_conn_free(slot); /* it only knew of refusals, which are over */
        else
            holder = &conn->held;
    }
    sp_identity_unref(holder);
    *holder = outcome->identity;
    outcome->identity = NULL;
    sp_answer_identity(*holder, outcome->how, outcome->age_ms, answer);
}

static void add_challenges(struct sp_auth_engine *engine, unsigned listen_index,
                           struct sp_auth_answer *answer)
{
    const struct sp_plan_offer *offer = &engine->plan->offers[listen_index];

    answer->state = SP_AUTH_CHALLENGE;
    answer->challenges_len = offer->challenges_len;
    for (size_t i = 0; i < offer->challenges_len; i++)
        answer->challenges[i] = offer->challenges[i];
}

void sp_answer_challenge(struct sp_auth_engine *engine, unsigned listen_index,
                         struct sp_auth_answer *answer)
{
    answer->reason = SP_REASON_NO_CREDENTIALS;
    add_challenges(engine, listen_index, answer);
}

void sp_answer_refuse(struct sp_auth_engine *engine, struct sp_auth_conn **slot,
                      unsigned listen_index, const struct sp_answer_about *about, const char *why,
                      struct sp_auth_answer *answer)
{
    struct sp_auth_conn *conn = sp_auth_conn_get(slot);

    tell_about(slot, about, answer);
    answer->why = why;
    if (conn != NULL && conn->refusals >= engine->plan->options->max_challenges) {
        answer->state = SP_AUTH_REFUSED;
        answer->reason = SP_REASON_LOOP;
        answer->close = true;
        return;
    }
    if (conn != NULL)
        conn->refusals++;
    answer->reason = SP_REASON_BAD_CREDENTIALS;
    add_challenges(engine, listen_index, answer);
}

void sp_answer_tell_loop(const struct sp_auth_engine *engine, struct sp_span id,
                         const struct sp_addr *from, struct sp_span user_agent,
                         const struct sp_auth_answer *answer)
{
    char client[SP_ADDR_TEXT_MAX], user[300], agent[300];

    sp_log_warning(engine->log,
                   "event=loop_cut id=%.*s client=%s scheme=%s user=\"%s\" backend=\"%.*s\" "
                   "refusals=%lld reason=\"%s\" user_agent=\"%s\"",
                   SP_SPAN_ARG(id), sp_addr_ip_text(from, client), sp_scheme_text(answer->scheme),
                   sp_text_safe(answer->user, user, sizeof(user)), SP_SPAN_ARG(answer->backend),
                   (long long)engine->plan->options->max_challenges + 1,
                   answer->why != NULL ? answer->why : "",
                   sp_text_safe(user_agent, agent, sizeof(agent)));
}

void sp_answer_forbid(struct sp_auth_conn **slot, enum sp_reason reason,
                      const struct sp_answer_about *about, const char *why,
                      struct sp_auth_answer *answer)
{
    tell_about(slot, about, answer);
    answer->state = SP_AUTH_REFUSED;
    answer->reason = reason;
    answer->why = why;
}

void sp_answer_blocked(struct sp_auth_conn **slot, unsigned retry_after_s,
                       const struct sp_answer_about *about, const char *why,
                       struct sp_auth_answer *answer)
{
    tell_about(slot, about, answer);
    answer->state = SP_AUTH_BLOCKED;
    answer->reason = SP_REASON_BLOCKED;
    answer->retry_after_s = retry_after_s;
    answer->why = why != NULL ? why : "too many wrong logins";
}

void sp_answer_unavailable(struct sp_auth_conn **slot, bool overloaded,
                           const struct sp_answer_about *about, const char *why,
                           struct sp_auth_answer *answer)
{
    tell_about(slot, about, answer);
    answer->state = SP_AUTH_UNAVAILABLE;
    answer->reason = overloaded ? SP_REASON_OVERLOADED : SP_REASON_DIRECTORY_UNAVAILABLE;
    answer->retry_after_s = overloaded ? 1 : SP_AUTH_RETRY_S;
    answer->why = why != NULL  ? why
                  : overloaded ? "too many logins are under way"
                               : "the directory could not be asked";
}

void sp_answer_final_token(const struct sp_auth_conn *conn, struct sp_auth_answer *answer)
{
    if (conn->token != NULL)
        answer->final_token = sp_span_of(conn->token, conn->token_len);
}
