/* What an exchange came to, told to the trace room. On the path of every request: it points, and
 * the room copies. */
#include "proxy/proxy_priv.h"

/* The legs of one 407 chain are found again by the ordinal of the first. A request without
 * credentials begins one. */
static uint32_t first_of_chain(struct sp_exchange *x)
{
    struct sp_session *s = x->session;
    uint32_t first = s->chain;

    if (first == 0 || x->reason == SP_REASON_NO_CREDENTIALS ||
        x->ordinal - first >= SP_TRACE_CHAIN_MAX)
        first = x->ordinal;
    s->chain = sp_decision_is_leg(x->reason) ? first : 0;
    return first;
}

static bool has_age(const struct sp_auth_answer *auth)
{
    switch (auth->how) {
    case SP_HOW_CACHE:
    case SP_HOW_GRACE:
    case SP_HOW_CONNECTION: return auth->age_ms != SP_AGE_UNKNOWN;
    case SP_HOW_NONE:
    case SP_HOW_DIRECTORY:
    case SP_HOW_COUNT: break;
    }
    return false;
}

static void fill_texts(const struct sp_exchange *x, struct sp_span *text)
{
    text[SP_DECISION_ID] = sp_span_of(x->id, ID_LEN);
    text[SP_DECISION_USER] = x->auth.user;
    if (x->identity != NULL) {
        text[SP_DECISION_USER] = sp_identity_user(x->identity);
        text[SP_DECISION_GROUPS] = sp_identity_groups_text(x->identity);
    }
    text[SP_DECISION_MECH] = x->auth.mech;
    text[SP_DECISION_BACKEND] = x->auth.backend;
    text[SP_DECISION_METHOD] = x->request.method_text;
    text[SP_DECISION_TARGET] = x->request.target.text;
    text[SP_DECISION_LISTENER] = sp_span_cstr(x->session->listen->title);
    if (x->words[0] != '\0')
        text[SP_DECISION_WHY] = sp_span_cstr(x->words);
    if (x->decision.rule[0] != '\0')
        text[SP_DECISION_RULE] = sp_span_cstr(x->decision.rule);
    text[SP_DECISION_STEPS] = sp_trace_steps_text(&x->steps);
}

void sp_exchange_remember(struct sp_exchange *x, uint64_t elapsed_us)
{
    const struct sp_session *s = x->session;
    struct sp_decision decision = {
        .conn = s->number,
        .ordinal = x->ordinal,
        .first = first_of_chain(x),
        .wall_ms = x->times.wall_ms,
        .client = s->client_addr,
        .scheme = x->auth.scheme,
        .how = x->auth.how,
        .reason = x->reason,
        .status = x->status,
        .has_age = has_age(&x->auth),
        .age_ms = x->auth.age_ms,
        .ms = elapsed_us / 1000,
        .auth_ms = x->times.auth_us / 1000,
        .connect_ms = x->times.connect_us / 1000,
    };

    fill_texts(x, decision.text);
    sp_trace_add(s->proxy->trace, &decision);
}
