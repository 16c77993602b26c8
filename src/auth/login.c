/* Logins: questions to a backend about a password or about groups, each the lead of a flight.
 *
 * Run by the engine of the worker that found no flight under way; who waits may sit on any loop.
 * When the backend has answered: guard settles the reserved place, the cache keeps the verdict,
 * counters move, the flight lands. A login whose askers have all gone runs on to its end, since its
 * verdict is worth keeping; only a closing engine ends those that nobody waits for. Loop thread. */
#include "auth/auth_priv.h"

#include "util/err.h"
#include "util/text.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOGIN_MAGIC 0x10610610u

/* Owned by its engine's list; freed when it has landed. */
struct login {
    uint32_t magic;
    struct sp_flight flight;
    struct sp_list link; /* engine->logins */
    struct sp_auth_engine *engine;
    struct sp_engine_backend *backend;
    struct sp_auth_op *op;
    struct sp_timer deadline;
    struct sp_login_relay relay;
    enum sp_auth_ability ask;
    struct sp_verdict_key key;
    const struct sp_identity *proven;
    struct sp_addr client;
    uint64_t begun_us;
    bool reserved; /* a place with the guard */
    bool strangers_count;
    struct sp_span user, id, user_agent; /* into text */
    char text[];
};

static void relay_step(struct sp_auth_tracer *tracer, const struct sp_auth_step *step)
{
    struct sp_login_relay *relay = sp_container_of(tracer, struct sp_login_relay, tracer);

    if (relay->to != NULL)
        relay->to->step(relay->to, step);
}

static void hear(struct sp_login_relay *relay, const struct sp_login_spec *spec)
{
    *relay = (struct sp_login_relay){.tracer = {relay_step}};
    if (spec->tracer == NULL)
        return;
    relay->to = spec->tracer;
    relay->listener = spec->relay;
    *spec->relay = relay;
}

static void hush(struct sp_login_relay *relay)
{
    if (relay->listener != NULL)
        *relay->listener = NULL;
    relay->to = NULL;
    relay->listener = NULL;
}

void sp_login_unhear(struct sp_login_relay **relay)
{
    if (*relay != NULL)
        hush(*relay);
}

static struct sp_span keep(char **at, struct sp_span bytes, size_t max)
{
    char *to = *at;
    size_t len = bytes.len < max ? bytes.len : max;

    if (len > 0)
        memcpy(to, bytes.base, len);
    *at = to + len;
    return sp_span_of(to, len);
}

static void on_deadline(struct sp_timer *timer);

static struct login *login_new(struct sp_auth_engine *engine, const struct sp_login_spec *spec)
{
    struct login *l = calloc(1, sizeof(*l) + SP_AUTH_NAME_MAX + 64 + 256);
    char *at;

    if (l == NULL)
        return NULL;
    l->magic = LOGIN_MAGIC;
    l->engine = engine;
    l->backend = sp_engine_backend(engine, spec->backend);
    hear(&l->relay, spec);
    l->ask = spec->ask;
    l->key = *spec->key;
    l->proven = spec->proven != NULL ? sp_identity_ref(spec->proven) : NULL;
    l->client = *spec->client;
    l->strangers_count = spec->strangers_count;
    at = l->text;
    l->user = keep(&at, spec->user, SP_AUTH_NAME_MAX);
    l->id = keep(&at, spec->id, 64);
    (void)snprintf(l->flight.id, sizeof(l->flight.id), "%.*s", SP_SPAN_ARG(l->id));
    l->user_agent = keep(&at, spec->user_agent, 256);
    sp_timer_init(&l->deadline, on_deadline);
    sp_list_push(&engine->logins, &l->link);
    sp_engine_hold(engine);
    return l;
}

static void login_free(struct login *l)
{
    struct sp_auth_engine *engine = l->engine;

    assert(l->magic == LOGIN_MAGIC && l->op == NULL);
    l->magic = 0;
    sp_timer_stop(&l->deadline);
    hush(&l->relay);
    sp_list_remove(&l->link);
    sp_identity_unref(&l->proven);
    free(l);
    sp_engine_release(engine);
}

/* ---- guard ---- */

static struct sp_guard_who who(const struct login *l)
{
    return (struct sp_guard_who){.backend = sp_span_cstr(l->backend->plan->name),
                                 .user = l->user,
                                 .password = &l->key.digest,
                                 .client = &l->client,
                                 .user_agent = l->user_agent};
}

static bool reserve(struct login *l, struct sp_outcome *outcome)
{
    struct sp_guard_who w = who(l);
    struct sp_guard_block block;
    enum sp_err err;

    if (l->ask != SP_AUTH_PASSWORD)
        return true;
    err = sp_guard_reserve(l->engine->shared->guard, &w, sp_loop_now_ms(l->engine->loop), &block);
    l->reserved = err == SP_OK;
    if (err == SP_ERR_DENIED) {
        sp_tell_block(l->relay.to, &block);
        *outcome = (struct sp_outcome){.verdict = SP_VERDICT_UNAVAILABLE,
                                       .blocked = true,
                                       .retry_after_s = block.retry_after_s};
    } else if (err != SP_OK) {
        *outcome = (struct sp_outcome){.verdict = SP_VERDICT_UNAVAILABLE, .overloaded = true};
    }
    return l->reserved;
}

static void log_block(const struct login *l, const struct sp_guard_news *news)
{
    char client[SP_ADDR_TEXT_MAX], user[SP_AUTH_NAME_MAX], agent[256];

    sp_log_warning(&l->backend->lent.log,
                   "event=guard_blocked kind=%s user=\"%s\" client=%s user_agent=\"%s\" id=%.*s",
                   news->user_blocked ? "user" : "client",
                   sp_text_safe(l->user, user, sizeof(user)), sp_addr_ip_text(&l->client, client),
                   sp_text_safe(l->user_agent, agent, sizeof(agent)), SP_SPAN_ARG(l->id));
}

static void settle(struct login *l, enum sp_verdict verdict)
{
    enum sp_guard_end end = SP_GUARD_HARMLESS;
    struct sp_guard_who w = who(l);
    struct sp_guard_news news;

    if (!l->reserved)
        return;
    l->reserved = false;
    if (verdict == SP_VERDICT_DENY)
        end = SP_GUARD_WRONG;
    else if (verdict == SP_VERDICT_UNKNOWN_USER && l->strangers_count)
        end = SP_GUARD_STRANGER;
    news = sp_guard_settle(l->engine->shared->guard, &w, end, sp_loop_now_ms(l->engine->loop));
    if (news.user_blocked)
        log_block(l, &(struct sp_guard_news){.user_blocked = true});
    if (news.client_blocked)
        log_block(l, &(struct sp_guard_news){.client_blocked = true});
}

/* ---- the answer ---- */

static void log_answer(const struct login *l, const struct sp_auth_result *r)
{
    char client[SP_ADDR_TEXT_MAX], user[SP_AUTH_NAME_MAX], detail[512];
    enum sp_log_level level = r->verdict == SP_VERDICT_ALLOW ? SP_LOG_DEBUG : SP_LOG_INFO;
    static const char *const words[] = {
        [SP_VERDICT_ALLOW] = "login",
        [SP_VERDICT_DENY] = "login_refused",
        [SP_VERDICT_UNKNOWN_USER] = "login_unknown",
        [SP_VERDICT_ACCOUNT] = "login_account",
        [SP_VERDICT_MORE] = "login_unclear",
        [SP_VERDICT_UNAVAILABLE] = "login_unanswered",
    };

    if (r->verdict == SP_VERDICT_UNAVAILABLE)
        level = SP_LOG_DEBUG; /* backend_unavailable has said it, once */
    if (!sp_log_enabled(level))
        return;
    sp_log_line(&l->backend->lent.log, level,
                "event=%s id=%.*s client=%s user=\"%s\" reason=\"%s\" server=\"%s\" detail=\"%s\"",
                words[r->verdict], SP_SPAN_ARG(l->id), sp_addr_ip_text(&l->client, client),
                sp_text_safe(l->user, user, sizeof(user)), r->reason != NULL ? r->reason : "",
                r->server != NULL ? r->server : "",
                sp_text_safe(sp_span_cstr(r->detail), detail, sizeof(detail)));
}

static const struct sp_identity *identity_of(const struct login *l, const struct sp_auth_result *r)
{
    struct sp_span user = r->user.len > 0 ? r->user : l->user;

    if (l->ask == SP_AUTH_PASSWORD)
        return sp_identity_new(user, r->principal, sp_span_cstr(l->backend->plan->name),
                               SP_SCHEME_BASIC, SP_SPAN_NONE, r->groups, r->groups_len);
    return sp_identity_new(sp_identity_user(l->proven), sp_identity_principal(l->proven),
                           sp_identity_backend(l->proven), sp_identity_scheme(l->proven),
                           sp_identity_mech(l->proven), r->groups, r->groups_len);
}

static struct sp_outcome outcome_of(const struct login *l, const struct sp_auth_result *r)
{
    struct sp_outcome outcome = {
        .verdict = r->verdict, .how = SP_HOW_DIRECTORY, .reason = r->reason};

    if (r->verdict == SP_VERDICT_MORE)
        outcome.verdict = SP_VERDICT_UNAVAILABLE; /* no answer to this question */
    if (r->verdict == SP_VERDICT_ALLOW) {
        outcome.identity = identity_of(l, r);
        if (outcome.identity == NULL) {
            outcome.verdict = SP_VERDICT_UNAVAILABLE;
            outcome.overloaded = true;
        }
    }
    return outcome;
}

/* Kept first, then off the table: whoever comes in between finds one or the other. */
static void land(struct login *l, const struct sp_auth_result *r)
{
    struct sp_auth_engine *engine = l->engine;
    uint64_t now_us = sp_loop_now_us(engine->loop);
    struct sp_outcome outcome;

    sp_engine_backend_heard(l->backend, r);
    sp_stats_auth(l->backend->plan->series, sp_auth_count_of(r->verdict), now_us - l->begun_us);
    log_answer(l, r);
    sp_tell_verdict(l->relay.to, l->backend->plan->name, r, now_us - l->begun_us);
    hush(&l->relay); /* who is told of the landing may begin another login at once */
    settle(l, r->verdict);
    outcome = outcome_of(l, r);
    sp_verdict_cache_store(engine->shared->cache, &l->key, outcome.verdict, outcome.identity,
                           outcome.reason, sp_loop_now_ms(engine->loop));
    if (l->op != NULL)
        l->backend->plan->ops->free(&l->op);
    sp_flights_land(engine->shared->flights, &l->flight, &outcome, engine->loop);
    sp_outcome_fini(&outcome);
    login_free(l);
}

static void on_answer(void *owner, const struct sp_auth_result *result)
{
    struct login *l = owner;

    assert(l->magic == LOGIN_MAGIC);
    land(l, result);
}

static void on_deadline(struct sp_timer *timer)
{
    struct login *l = sp_container_of(timer, struct login, deadline);
    struct sp_auth_result nothing = {.verdict = SP_VERDICT_UNAVAILABLE,
                                     .reason = "the backend did not answer in time"};

    l->backend->plan->ops->cancel(&l->op);
    land(l, &nothing);
}

/* ---- the beginning ---- */

static enum sp_err start(struct login *l, const struct sp_login_spec *spec)
{
    char client[SP_ADDR_TEXT_MAX], id[65];
    struct sp_auth_input input = {
        .ask = spec->ask,
        .user = spec->user,
        .password = spec->password,
        .client = sp_addr_ip_text(spec->client, client),
        .id = id,
        .tracer = l->relay.to != NULL ? &l->relay.tracer : NULL,
    };

    if (l->proven != NULL)
        input.principal = sp_identity_principal(l->proven);
    memcpy(id, l->id.base, l->id.len);
    id[l->id.len] = '\0';
    l->begun_us = sp_loop_now_us(l->engine->loop);
    return l->backend->plan->ops->start(l->backend->handle, &input, on_answer, l, &l->op);
}

/* What was kept between our look-up and our taking the lead: by whoever landed just then. */
static bool kept_meanwhile(struct login *l, struct sp_outcome *outcome)
{
    struct sp_kept kept;

    sp_verdict_cache_lookup(l->engine->shared->cache, &l->key, sp_loop_now_ms(l->engine->loop),
                            &kept);
    if (kept.state != SP_KEPT_FRESH) {
        sp_identity_unref(&kept.identity);
        return false;
    }
    *outcome = (struct sp_outcome){.verdict = kept.verdict,
                                   .how = SP_HOW_CACHE,
                                   .age_ms = kept.age_ms,
                                   .identity = kept.identity,
                                   .reason = kept.reason};
    return true;
}

/* Under way, or *outcome says why not. */
static bool take_off(struct login *l, const struct sp_login_spec *spec, bool background,
                     struct sp_outcome *outcome)
{
    enum sp_err err;

    if (!background && kept_meanwhile(l, outcome))
        return false;
    if (!reserve(l, outcome))
        return false;
    err = start(l, spec);
    if (err == SP_OK) {
        sp_timer_start(l->engine->loop, &l->deadline, SP_AUTH_WAIT_MS);
        return true;
    }
    settle(l, SP_VERDICT_UNAVAILABLE);
    sp_tell(l->relay.to, "start", l->backend->plan->name, NULL, "cannot be asked now: %s",
            sp_err_text(err));
    sp_stats_auth(l->backend->plan->series, SP_COUNT_UNAVAILABLE, 0);
    *outcome = (struct sp_outcome){.verdict = SP_VERDICT_UNAVAILABLE,
                                   .overloaded = err == SP_ERR_FULL || err == SP_ERR_NOMEM};
    return false;
}

static enum sp_login_begun overloaded(struct sp_outcome *outcome)
{
    *outcome = (struct sp_outcome){.verdict = SP_VERDICT_UNAVAILABLE, .overloaded = true};
    return SP_LOGIN_ANSWERED;
}

static enum sp_login_begun coalesced(struct sp_auth_engine *engine,
                                     const struct sp_login_spec *spec,
                                     const struct sp_flight_waiter *waiter)
{
    sp_tell(spec->tracer, "joined", spec->backend->name, NULL,
            "the same was being asked already%s%s", waiter->leader[0] != '\0' ? ", by " : "",
            waiter->leader);
    sp_stats_add(engine->stats, SP_STAT_CACHE_COALESCED, 1);
    return SP_LOGIN_WAITING;
}

static enum sp_login_begun lead(struct login *l, const struct sp_login_spec *spec,
                                struct sp_flight_waiter *waiter, struct sp_outcome *outcome)
{
    struct sp_auth_engine *engine = l->engine;
    struct sp_flights *flights = engine->shared->flights;

    if (waiter != NULL)
        sp_stats_add(engine->stats, SP_STAT_CACHE_MISS, 1);
    if (!take_off(l, spec, waiter == NULL, outcome)) {
        sp_flights_land(flights, &l->flight, outcome, NULL);
        login_free(l);
        if (waiter == NULL)
            sp_outcome_fini(outcome);
        return SP_LOGIN_ANSWERED;
    }
    if (waiter == NULL || sp_flights_join(flights, spec->key, waiter) == SP_FLIGHT_JOINED)
        return SP_LOGIN_WAITING;
    return overloaded(outcome); /* it flies on for those who came before us */
}

enum sp_login_begun sp_login_begin(struct sp_auth_engine *engine, const struct sp_login_spec *spec,
                                   struct sp_flight_waiter *waiter, struct sp_outcome *outcome)
{
    struct sp_flights *flights = engine->shared->flights;
    enum sp_flight_role role = SP_FLIGHT_NONE;
    struct login *l;

    *outcome = (struct sp_outcome){.verdict = SP_VERDICT_UNAVAILABLE};
    if (waiter != NULL)
        role = sp_flights_join(flights, spec->key, waiter);
    if (role == SP_FLIGHT_JOINED)
        return coalesced(engine, spec, waiter);
    if (role == SP_FLIGHT_FULL)
        return overloaded(outcome);
    l = login_new(engine, spec);
    if (l == NULL)
        return overloaded(outcome);
    role = sp_flights_board(flights, spec->key, &l->flight, waiter);
    if (role == SP_FLIGHT_LEADS)
        return lead(l, spec, waiter, outcome);
    login_free(l);
    return role == SP_FLIGHT_JOINED && waiter != NULL ? coalesced(engine, spec, waiter)
                                                      : overloaded(outcome);
}

void sp_logins_end_idle(struct sp_auth_engine *engine)
{
    struct sp_list *node, *after;

    SP_LIST_EACH_SAFE (node, after, &engine->logins) {
        struct login *l = sp_container_of(node, struct login, link);

        if (!sp_flights_withdraw(engine->shared->flights, &l->flight))
            continue; /* somebody waits, here or on another loop */
        l->backend->plan->ops->cancel(&l->op);
        settle(l, SP_VERDICT_UNAVAILABLE);
        login_free(l);
    }
}
