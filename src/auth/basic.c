/* Basic: a user and a password on their way along the chain of backends.
 *
 * The walk looks into the cache for each backend in turn and goes on past those that do not know
 * the user. As long as the cache knows, it stays on the caller's stack: one digest and one short
 * lock a backend, nothing allocated. The first backend that must be asked makes it a question that
 * waits for a flight; when that has landed, the walk goes on from there. Loop thread. */
#include "auth/auth_priv.h"

#include "util/text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum walk_step {
    WALK_DONE,   /* the outcome says it */
    WALK_WAITS,  /* for a flight */
    WALK_DETAIN, /* a backend must be asked, and the walk is still on the stack */
};

static const struct sp_plan_backend *backend_at(const struct sp_auth_engine *engine,
                                                const struct sp_basic_walk *w)
{
    return engine->plan->basic.items[w->at];
}

static struct sp_span name_of(const struct sp_basic_walk *w)
{
    return sp_span_of(w->name, w->name_len);
}

/* ---- guard ---- */

static bool is_blocked(struct sp_auth_engine *engine, const struct sp_addr *client,
                       const struct sp_basic_walk *w, struct sp_auth_tracer *tracer,
                       struct sp_outcome *outcome)
{
    struct sp_guard_who who = {.backend = sp_span_cstr(w->backend),
                               .user = w->backend != NULL ? name_of(w) : SP_SPAN_NONE,
                               .password = &w->key.digest,
                               .client = client};
    struct sp_guard_block block;

    if (!sp_guard_blocked(engine->shared->guard, &who, sp_loop_now_ms(engine->loop), &block))
        return false;
    sp_tell_block(tracer, &block);
    sp_outcome_fini(outcome);
    *outcome = (struct sp_outcome){
        .verdict = SP_VERDICT_UNAVAILABLE, .blocked = true, .retry_after_s = block.retry_after_s};
    return true;
}

/* ---- looking into the cache ---- */

/* The name and key for the backend at hand. False: it cannot know such a name. */
static enum sp_err make_key(struct sp_auth_engine *engine, struct sp_basic_walk *w)
{
    const struct sp_plan_backend *b = backend_at(engine, w);
    char name[SP_AUTH_NAME_MAX];
    size_t len = 0;
    enum sp_err err;

    if (b->ops->name_of(b->config, w->typed, name, sizeof(name), &len) != SP_OK || len == 0)
        return SP_ERR_NOT_FOUND;
    memcpy(w->name, name, len);
    w->name_len = len;
    w->backend = b->name;
    err = sp_verdict_key_make(&w->key, SP_SPAN_LIT("basic"), sp_span_cstr(b->name), b->basic_family,
                              name_of(w), w->password);
    w->key.basis = sp_plan_basis(b);
    w->key.flushes = sp_verdict_cache_flushes(engine->shared->cache);
    return err;
}

/* A good verdict for this credential, from the backend at hand on along the chain. Where there is
 * none the walk stays where it is. */
static bool find_positive(struct sp_auth_engine *engine, struct sp_basic_walk *w,
                          struct sp_outcome *outcome)
{
    for (struct sp_basic_walk ahead = *w; ahead.at < engine->plan->basic.len; ahead.at++) {
        struct sp_kept kept = {.state = SP_KEPT_NOTHING};

        if (make_key(engine, &ahead) == SP_OK)
            sp_verdict_cache_lookup(engine->shared->cache, &ahead.key, sp_loop_now_ms(engine->loop),
                                    &kept);
        if (kept.state == SP_KEPT_FRESH && kept.verdict == SP_VERDICT_ALLOW) {
            sp_outcome_fini(outcome);
            *outcome = (struct sp_outcome){.verdict = SP_VERDICT_ALLOW,
                                           .how = SP_HOW_CACHE,
                                           .age_ms = kept.age_ms,
                                           .identity = kept.identity};
            *w = ahead;
            return true;
        }
        sp_identity_unref(&kept.identity);
    }
    return false;
}

/* Kept further along the chain, it lets a blocked one pass. */
static bool find_positive_ahead(struct sp_auth_engine *engine, struct sp_basic_walk *w,
                                struct sp_outcome *outcome)
{
    struct sp_basic_walk ahead = *w;

    ahead.at++;
    if (!find_positive(engine, &ahead, outcome))
        return false;
    *w = ahead;
    return true;
}

static struct sp_login_spec spec_of(struct sp_auth_engine *engine, const struct sp_basic_walk *w,
                                    const struct sp_addr *client)
{
    return (struct sp_login_spec){
        .ask = SP_AUTH_PASSWORD,
        .backend = engine->plan->basic.items[w->at],
        .key = &w->key,
        .user = name_of(w),
        .password = w->password,
        .client = client,
        .strangers_count = w->at + 1 == engine->plan->basic.len && !w->skipped,
    };
}

static void renew(struct sp_auth_engine *engine, const struct sp_basic_walk *w,
                  const struct sp_addr *client)
{
    struct sp_login_spec spec = spec_of(engine, w, client);
    struct sp_outcome nobodys;

    (void)sp_login_begin(engine, &spec, NULL, &nobodys);
}

/* What is kept for the backend at hand, applied to the walk. True: the walk is over. False: on to
 * the next backend, or (w->ready) this one must be asked. */
static bool take_kept(struct sp_auth_engine *engine, struct sp_basic_walk *w,
                      const struct sp_addr *client, struct sp_outcome *outcome)
{
    struct sp_kept kept;

    sp_verdict_cache_lookup(engine->shared->cache, &w->key, sp_loop_now_ms(engine->loop), &kept);
    if (kept.state != SP_KEPT_FRESH) {
        sp_identity_unref(&kept.identity);
        w->ready = true;
        return false;
    }
    w->age_ms = kept.age_ms;
    if (kept.verdict == SP_VERDICT_UNKNOWN_USER)
        return false;
    *outcome = (struct sp_outcome){.verdict = kept.verdict,
                                   .how = SP_HOW_CACHE,
                                   .age_ms = kept.age_ms,
                                   .identity = kept.identity,
                                   .reason = kept.reason};
    if (kept.renew)
        renew(engine, w, client);
    return true;
}

/* Where no backend can know such a name, none was asked, and nothing was kept. */
static enum sp_auth_how how_refused(const struct sp_basic_walk *w)
{
    if (w->asked)
        return SP_HOW_DIRECTORY;
    return w->age_ms != SP_AGE_UNKNOWN ? SP_HOW_CACHE : SP_HOW_NONE;
}

/* Everybody has been asked, and nobody knows the user. */
static void end_of_chain(const struct sp_basic_walk *w, struct sp_outcome *outcome)
{
    enum sp_auth_how how = how_refused(w);

    *outcome = (struct sp_outcome){
        .verdict = SP_VERDICT_UNKNOWN_USER,
        .how = how,
        .age_ms = w->age_ms,
        .reason = how == SP_HOW_NONE ? "unknown user: no backend takes such a name; see its domains"
                                     : "unknown user"};
    if (w->skipped)
        *outcome = (struct sp_outcome){
            .verdict = SP_VERDICT_UNAVAILABLE, .overloaded = w->overloaded, .reason = w->silence};
}

/* ---- walking ---- */

static void count_cached(struct sp_auth_engine *engine, const struct sp_basic_walk *w,
                         const struct sp_outcome *outcome)
{
    if (!w->asked && outcome->how == SP_HOW_CACHE)
        sp_stats_add(engine->stats,
                     outcome->verdict == SP_VERDICT_ALLOW ? SP_STAT_CACHE_HIT
                                                          : SP_STAT_CACHE_NEGATIVE_HIT,
                     1);
}

/* From the cache alone, a refusal of somebody who is blocked is a block. */
static enum walk_step walk_ends(struct sp_auth_engine *engine, struct sp_basic_walk *w,
                                const struct sp_addr *client, struct sp_auth_tracer *tracer,
                                struct sp_outcome *outcome)
{
    if (!w->asked && outcome->verdict != SP_VERDICT_ALLOW)
        (void)is_blocked(engine, client, w, tracer, outcome);
    count_cached(engine, w, outcome);
    return WALK_DONE;
}

/* What a flight, or the attempt to begin one, has said. True: the walk is over. */
static bool take_outcome(struct sp_auth_engine *engine, struct sp_basic_walk *w,
                         struct sp_auth_tracer *tracer, struct sp_outcome *outcome)
{
    struct sp_kept kept;

    w->ready = false;
    if (outcome->blocked) {
        (void)find_positive_ahead(engine, w, outcome);
        return true;
    }
    if (outcome->verdict == SP_VERDICT_UNKNOWN_USER) {
        w->at++;
        return false;
    }
    if (outcome->verdict != SP_VERDICT_UNAVAILABLE)
        return true;
    sp_verdict_cache_lookup(engine->shared->cache, &w->key, sp_loop_now_ms(engine->loop), &kept);
    if (kept.identity != NULL) { /* it did not answer: this is what grace is for */
        sp_tell(tracer, "grace", NULL, w->backend, "its verdict of %llu s ago serves meanwhile",
                (unsigned long long)(kept.age_ms / 1000));
        *outcome = (struct sp_outcome){.verdict = SP_VERDICT_ALLOW,
                                       .how = SP_HOW_GRACE,
                                       .age_ms = kept.age_ms,
                                       .identity = kept.identity};
        sp_stats_add(engine->stats, SP_STAT_CACHE_GRACE, 1);
        return true;
    }
    w->skipped = true;
    w->overloaded = outcome->overloaded;
    w->silence = outcome->reason;
    w->at++;
    return false;
}

static bool begin(struct sp_auth_ask *ask, struct sp_outcome *outcome)
{
    struct sp_login_spec spec = spec_of(ask->engine, &ask->walk, &ask->client);

    spec.id = ask->id;
    spec.user_agent = ask->user_agent;
    spec.tracer = ask->tracer;
    spec.relay = &ask->relay;
    sp_tell(ask->tracer, "cache", NULL, ask->walk.backend,
            "nothing that serves is kept for this user and password");
    return sp_login_begin(ask->engine, &spec, &ask->waiter, outcome) == SP_LOGIN_WAITING;
}

/* `ask` is NULL while the walk is on the stack: what the cache passes on then is not told, since it
 * is on the path of requests that cost nothing. */
static enum walk_step walk_on(struct sp_auth_engine *engine, struct sp_basic_walk *w,
                              const struct sp_addr *client, struct sp_auth_tracer *tracer,
                              struct sp_auth_ask *ask, struct sp_outcome *outcome)
{
    while (w->at < engine->plan->basic.len) {
        if (!w->ready) {
            enum sp_err err = make_key(engine, w);

            if (err != SP_OK && err != SP_ERR_NOT_FOUND) {
                w->skipped = w->overloaded = true;
                w->silence = NULL;
            } else if (err == SP_OK && take_kept(engine, w, client, outcome)) {
                return walk_ends(engine, w, client, tracer, outcome);
            }
            if (!w->ready) {
                if (err == SP_OK && ask != NULL)
                    sp_tell(tracer, "cache", NULL, w->backend, "unknown user, kept for %llu s",
                            (unsigned long long)(w->age_ms / 1000));
                w->at++;
                continue;
            }
        }
        if (is_blocked(engine, client, w, tracer, outcome)) {
            if (find_positive_ahead(engine, w, outcome))
                count_cached(engine, w, outcome);
            return WALK_DONE;
        }
        if (ask == NULL)
            return WALK_DETAIN;
        w->asked = true;
        if (begin(ask, outcome))
            return WALK_WAITS;
        if (take_outcome(engine, w, tracer, outcome))
            return WALK_DONE;
    }
    end_of_chain(w, outcome);
    return walk_ends(engine, w, client, tracer, outcome);
}

/* ---- answers ---- */

static void answer(struct sp_auth_engine *engine, struct sp_auth_conn **conn, unsigned listen_index,
                   const struct sp_basic_walk *w, struct sp_outcome *outcome,
                   struct sp_auth_answer *out)
{
    struct sp_answer_about about = {.scheme = SP_SCHEME_BASIC,
                                    .user = w->backend != NULL ? name_of(w) : w->typed,
                                    .backend = w->backend};

    if (outcome->verdict != SP_VERDICT_ALLOW) {
        out->how = outcome->how;
        out->age_ms = outcome->age_ms;
    }
    if (outcome->blocked)
        sp_answer_blocked(conn, outcome->retry_after_s, &about, outcome->reason, out);
    else if (outcome->verdict == SP_VERDICT_ALLOW)
        sp_answer_pass(engine, conn, outcome, out);
    else if (outcome->verdict == SP_VERDICT_ACCOUNT)
        sp_answer_forbid(conn, SP_REASON_ACCOUNT, &about, outcome->reason, out);
    else if (outcome->verdict == SP_VERDICT_UNAVAILABLE)
        sp_answer_unavailable(conn, outcome->overloaded, &about, outcome->reason, out);
    else
        sp_answer_refuse(engine, conn, listen_index, &about, outcome->reason, out);
    sp_outcome_fini(outcome);
}

/* What no backend shall see: refused here, and said in the log for whoever wonders. */
static void refuse_garbled(struct sp_auth_engine *engine, struct sp_auth_conn **conn,
                           const struct sp_auth_question *q, const char *why,
                           struct sp_auth_answer *out)
{
    struct sp_answer_about about = {.scheme = SP_SCHEME_BASIC};
    char client[SP_ADDR_TEXT_MAX];

    sp_log_info(q->log, "event=credential_refused id=%.*s client=%s scheme=basic reason=\"%s\"",
                SP_SPAN_ARG(q->id), sp_addr_ip_text(q->client, client), why);
    sp_answer_refuse(engine, conn, q->listen_index, &about, why, out);
}

/* ---- waiting ---- */

static void on_landed(struct sp_flight_waiter *waiter)
{
    struct sp_auth_ask *ask = sp_container_of(waiter, struct sp_auth_ask, waiter);
    struct sp_outcome outcome = waiter->outcome;
    struct sp_auth_answer out = {.state = SP_AUTH_PENDING};

    waiter->outcome.identity = NULL; /* ours now */
    if (ask->state == SP_ASK_LEFT) {
        sp_outcome_fini(&outcome);
        sp_ask_free(&ask);
        return;
    }
    if (!take_outcome(ask->engine, &ask->walk, ask->tracer, &outcome)) {
        sp_outcome_fini(&outcome);
        if (walk_on(ask->engine, &ask->walk, &ask->client, ask->tracer, ask, &outcome) ==
            WALK_WAITS)
            return;
    }
    answer(ask->engine, ask->conn, ask->listen_index, &ask->walk, &outcome, &out);
    sp_ask_answer(ask, &out);
}

/* The walk moves from the stack into a question, with copies of what it points to. */
static struct sp_auth_ask *detain(struct sp_auth_engine *engine, struct sp_auth_conn **conn,
                                  const struct sp_auth_question *q, const struct sp_basic_walk *w,
                                  sp_auth_answered_cb done, void *owner)
{
    struct sp_auth_ask *ask = sp_ask_new(engine, conn, q, done, owner, SP_ASK_BASIC);

    if (ask == NULL)
        return NULL;
    ask->waiter.landed = on_landed;
    if (sp_secret_alloc(&ask->secret, w->typed.len + w->password.len) != SP_OK) {
        sp_ask_free(&ask);
        return NULL;
    }
    memcpy(ask->secret.base, w->typed.base, w->typed.len);
    memcpy(ask->secret.base + w->typed.len, w->password.base, w->password.len);
    ask->walk = *w;
    ask->walk.typed = sp_span_of(ask->secret.base, w->typed.len);
    ask->walk.password = sp_span_of(ask->secret.base + w->typed.len, w->password.len);
    return ask;
}

/* On the stack first; true: *outcome says it, false: *ask_out waits. */
static bool walk_from_stack(struct sp_auth_engine *engine, struct sp_auth_conn **conn,
                            const struct sp_auth_question *q, struct sp_basic_walk *w,
                            sp_auth_answered_cb done, void *owner, struct sp_outcome *outcome,
                            struct sp_auth_ask **ask_out)
{
    struct sp_auth_ask *ask;

    if (walk_on(engine, w, q->client, q->tracer, NULL, outcome) == WALK_DONE)
        return true;
    ask = detain(engine, conn, q, w, done, owner);
    if (ask == NULL) {
        *outcome = (struct sp_outcome){.verdict = SP_VERDICT_UNAVAILABLE, .overloaded = true};
        return true;
    }
    if (walk_on(engine, &ask->walk, q->client, q->tracer, ask, outcome) == WALK_WAITS) {
        *ask_out = ask;
        return false;
    }
    w->backend = ask->walk.backend;
    w->name_len = ask->walk.name_len;
    memcpy(w->name, ask->walk.name, w->name_len);
    sp_ask_free(&ask);
    return true;
}

static void begin_walk(struct sp_basic_walk *w, const struct sp_basic *basic)
{
    w->typed = basic->user;
    w->password = basic->password;
    w->at = 0;
    w->ready = w->skipped = w->overloaded = w->asked = false;
    w->silence = NULL;
    w->age_ms = SP_AGE_UNKNOWN;
    w->backend = NULL;
    w->name_len = 0;
}

void sp_basic_ask(struct sp_auth_engine *engine, struct sp_auth_conn **conn,
                  const struct sp_auth_question *q, struct sp_span token, sp_auth_answered_cb done,
                  void *owner, struct sp_auth_answer *out, struct sp_auth_ask **ask_out)
{
    struct sp_basic basic;
    struct sp_basic_walk walk;
    struct sp_outcome outcome = {.verdict = SP_VERDICT_UNAVAILABLE};
    const char *why = NULL;

    if (!sp_basic_decode(&basic, token, &why)) {
        refuse_garbled(engine, conn, q, why, out);
        sp_basic_fini(&basic);
        return;
    }
    begin_walk(&walk, &basic);
    if (walk_from_stack(engine, conn, q, &walk, done, owner, &outcome, ask_out))
        answer(engine, conn, q->listen_index, &walk, &outcome, out);
    sp_basic_fini(&basic);
}

bool sp_basic_recall(struct sp_auth_engine *engine, struct sp_span token,
                     struct sp_outcome *outcome)
{
    struct sp_basic basic;
    struct sp_basic_walk walk;
    const char *why = NULL;
    bool known = false;

    if (sp_basic_decode(&basic, token, &why)) {
        begin_walk(&walk, &basic);
        known = find_positive(engine, &walk, outcome);
    }
    sp_basic_fini(&basic);
    return known;
}
