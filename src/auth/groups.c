/* The groups of somebody whom a ticket has proven: asked of the backend that `groups_from` names,
 * kept for ttl under the principal, one flight for equal questions. Those that the ticket brought
 * itself are the handshake's own: they are added to what is shared, never kept with it. Loop
 * thread. */
#include "auth/auth_priv.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static void on_landed(struct sp_flight_waiter *waiter);

/* Everything that the kept identity depends on goes into the key. */
static enum sp_err make_key(struct sp_auth_ask *ask)
{
    const struct sp_plan_backend *from = ask->prover->groups_from;
    struct sp_span user = sp_identity_user(ask->proven);
    struct sp_span principal = sp_identity_principal(ask->proven);
    struct sp_span mech = sp_identity_mech(ask->proven);
    char proof[1024];
    int len = snprintf(proof, sizeof(proof), "%s|%.*s|%.*s", ask->prover->name, SP_SPAN_ARG(mech),
                       SP_SPAN_ARG(principal));
    enum sp_err err;

    if (len < 0 || (size_t)len >= sizeof(proof))
        return SP_ERR_TOO_LARGE;
    err = sp_verdict_key_make(&ask->groups_key, SP_SPAN_LIT("groups"), sp_span_cstr(from->name),
                              from->groups_family ^ sp_hash64(sp_span_of(proof, (size_t)len)), user,
                              sp_span_of(proof, (size_t)len));
    ask->groups_key.basis = sp_plan_basis(from);
    ask->groups_key.flushes = sp_verdict_cache_flushes(ask->engine->shared->cache);
    return err;
}

static enum sp_login_begun begin(struct sp_auth_ask *ask, struct sp_flight_waiter *waiter,
                                 struct sp_outcome *outcome)
{
    struct sp_plan_backend *from = ask->prover->groups_from;
    struct sp_span user = sp_identity_user(ask->proven);
    char name[SP_AUTH_NAME_MAX];
    size_t len = 0;
    struct sp_login_spec spec = {
        .ask = SP_AUTH_GROUPS,
        .backend = from,
        .key = &ask->groups_key,
        .user = user,
        .proven = ask->proven,
        .client = &ask->client,
        .id = ask->id,
        .user_agent = ask->user_agent,
        .tracer = waiter != NULL ? ask->tracer : NULL,
        .relay = &ask->relay,
    };

    if (from->ops->name_of != NULL) {
        if (from->ops->name_of(from->config, user, name, sizeof(name), &len) != SP_OK) {
            *outcome = (struct sp_outcome){.verdict = SP_VERDICT_UNKNOWN_USER};
            return SP_LOGIN_ANSWERED;
        }
        spec.user = sp_span_of(name, len);
    }
    return sp_login_begin(ask->engine, &spec, waiter, outcome);
}

/* FRESH answers; true then. */
static bool take_kept(struct sp_auth_ask *ask, struct sp_outcome *outcome)
{
    struct sp_outcome nobodys;
    struct sp_kept kept;

    sp_verdict_cache_lookup(ask->engine->shared->cache, &ask->groups_key,
                            sp_loop_now_ms(ask->engine->loop), &kept);
    if (kept.state != SP_KEPT_FRESH) {
        sp_identity_unref(&kept.identity);
        return false;
    }
    sp_stats_add(ask->engine->stats,
                 kept.verdict == SP_VERDICT_ALLOW ? SP_STAT_CACHE_HIT : SP_STAT_CACHE_NEGATIVE_HIT,
                 1);
    sp_tell(ask->tracer, "groups", NULL, ask->prover->groups_from->name,
            "what was asked %llu s ago is kept", (unsigned long long)(kept.age_ms / 1000));
    if (kept.renew)
        (void)begin(ask, NULL, &nobodys);
    *outcome = (struct sp_outcome){
        .verdict = kept.verdict, .identity = kept.identity, .reason = kept.reason};
    return true;
}

/* "Don't know" may be bridged by what is kept past its time. */
static void bridge(struct sp_auth_ask *ask, struct sp_outcome *outcome)
{
    struct sp_kept kept;

    sp_verdict_cache_lookup(ask->engine->shared->cache, &ask->groups_key,
                            sp_loop_now_ms(ask->engine->loop), &kept);
    if (kept.identity == NULL)
        return;
    sp_tell(ask->tracer, "grace", NULL, ask->prover->groups_from->name,
            "its groups of %llu s ago serve meanwhile", (unsigned long long)(kept.age_ms / 1000));
    *outcome = (struct sp_outcome){.verdict = SP_VERDICT_ALLOW,
                                   .how = SP_HOW_GRACE,
                                   .age_ms = kept.age_ms,
                                   .identity = kept.identity};
    sp_stats_add(ask->engine->stats, SP_STAT_CACHE_GRACE, 1);
}

static void add_the_tickets(const struct sp_auth_ask *ask, struct sp_outcome *outcome)
{
    const struct sp_identity *found = outcome->identity;
    size_t len;

    (void)sp_identity_groups(ask->proven, &len);
    if (len == 0)
        return;
    outcome->identity = sp_identity_join(found, ask->proven);
    sp_identity_unref(&found);
    if (outcome->identity == NULL)
        *outcome = (struct sp_outcome){.verdict = SP_VERDICT_UNAVAILABLE, .overloaded = true};
}

/* A backend that knows no such user has no groups of the person's. One that refuses where no
 * password was asked about has not said what they are. */
static void settle(struct sp_auth_ask *ask, struct sp_outcome *outcome)
{
    if (outcome->how != SP_HOW_GRACE)
        outcome->how = SP_HOW_DIRECTORY; /* the ticket was verified just now */
    if (outcome->verdict == SP_VERDICT_UNAVAILABLE)
        bridge(ask, outcome);
    if (outcome->verdict == SP_VERDICT_UNKNOWN_USER) {
        outcome->verdict = SP_VERDICT_ALLOW;
        outcome->identity = sp_identity_ref(ask->proven);
    } else if (outcome->verdict == SP_VERDICT_ALLOW) {
        add_the_tickets(ask, outcome);
    }
}

static void on_landed(struct sp_flight_waiter *waiter)
{
    struct sp_auth_ask *ask = sp_container_of(waiter, struct sp_auth_ask, waiter);
    struct sp_outcome outcome = waiter->outcome;
    struct sp_auth_answer answer = {.state = SP_AUTH_PENDING};

    waiter->outcome.identity = NULL; /* ours now */
    if (ask->state == SP_ASK_LEFT) {
        sp_outcome_fini(&outcome);
        sp_ask_free(&ask);
        return;
    }
    settle(ask, &outcome);
    sp_negotiate_finish(ask, &outcome, &answer);
    sp_ask_answer(ask, &answer);
}

bool sp_groups_find(struct sp_auth_ask *ask, struct sp_auth_answer *answer)
{
    struct sp_outcome outcome = {.verdict = SP_VERDICT_UNAVAILABLE, .overloaded = true};

    ask->state = SP_ASK_GROUPS;
    ask->waiter.landed = on_landed;
    if (ask->prover->groups_from == NULL) {
        outcome = (struct sp_outcome){.verdict = SP_VERDICT_ALLOW,
                                      .how = SP_HOW_DIRECTORY,
                                      .identity = sp_identity_ref(ask->proven)};
        sp_negotiate_finish(ask, &outcome, answer);
        return true;
    }
    if (make_key(ask) == SP_OK) {
        if (!take_kept(ask, &outcome) && begin(ask, &ask->waiter, &outcome) == SP_LOGIN_WAITING)
            return false;
        settle(ask, &outcome);
    }
    sp_negotiate_finish(ask, &outcome, answer);
    return true;
}
