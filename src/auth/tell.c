/* Steps that the engine itself tells, beside those of its backends: what the cache knew, whom the
 * guard keeps out, whose login was joined, what a backend came to. Loop thread. */
#include "auth/auth_priv.h"

#include "util/text.h"

#include <stdarg.h>
#include <stdio.h>

void sp_tell(struct sp_auth_tracer *tracer, const char *what, const char *server,
             const char *detail, const char *fmt, ...)
{
    struct sp_auth_step step = {.what = what, .server = server, .detail = detail};
    char outcome[256];
    va_list args;

    if (tracer == NULL)
        return;
    va_start(args, fmt);
    (void)vsnprintf(outcome, sizeof(outcome), fmt, args);
    va_end(args);
    step.outcome = outcome;
    tracer->step(tracer, &step);
}

void sp_tell_block(struct sp_auth_tracer *tracer, const struct sp_guard_block *block)
{
    char client[SP_ADDR_TEXT_MAX], agent[sizeof(block->culprit.user_agent) * 4];
    const char *whom = block->user ? "this user" : "this client's address";

    if (!block->has_culprit) {
        sp_tell(tracer, "guard", NULL, NULL,
                "no place left for %s: other passwords are being asked about", whom);
        return;
    }
    sp_tell(tracer, "guard", NULL, NULL,
            "%s is blocked for %u s more; the last wrong login came from %s, user agent \"%s\"",
            whom, block->retry_after_s, sp_addr_ip_text(&block->culprit.client, client),
            sp_text_safe(sp_span_cstr(block->culprit.user_agent), agent, sizeof(agent)));
}

static const char *verdict_words(enum sp_verdict verdict)
{
    switch (verdict) {
    case SP_VERDICT_ALLOW: return "accepted";
    case SP_VERDICT_DENY: return "refused";
    case SP_VERDICT_UNKNOWN_USER: return "unknown user";
    case SP_VERDICT_ACCOUNT: return "account unusable";
    case SP_VERDICT_MORE: return "another leg is needed";
    case SP_VERDICT_UNAVAILABLE: break;
    }
    return "cannot answer";
}

void sp_tell_verdict(struct sp_auth_tracer *tracer, const char *backend,
                     const struct sp_auth_result *result, uint64_t micros)
{
    const struct sp_auth_step step = {
        .what = "verdict",
        .server = backend,
        .detail = result->detail,
        .outcome = result->reason != NULL ? result->reason : verdict_words(result->verdict),
        .micros = micros,
    };

    if (tracer != NULL)
        tracer->step(tracer, &step);
}
