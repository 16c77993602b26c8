/* Walks the chain for `sallyport login`: one backend is open at a time, asked once, and closed
 * before the next. Loop thread. */
#include "auth/probe.h"

#include "auth/auth_priv.h"
#include "util/base64.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define PROBE_MAGIC 0x9406e000u

/* Owned by itself; freed when the last backend has closed. */
struct sp_auth_probe {
    uint32_t magic;
    struct sp_loop *loop;
    struct sp_auth_plan *plan;
    const struct sp_auth_probe_events *events;
    void *owner;
    const struct sp_log *log;
    struct sp_plan_backend *only; /* NULL: the chain */
    size_t at;                    /* in the chain */
    struct sp_basic basic;
    struct sp_auth_tracer tracer;
    const struct sp_plan_backend *opened; /* behind `handle` */
    struct sp_auth_lent lent;             /* to it */
    struct sp_auth_backend *handle;
    struct sp_auth_op *op;
    struct sp_timer deadline;
    struct sp_soon soon;
    bool skipped; /* a backend could not answer */
    bool over;    /* `end` says how */
    struct sp_auth_probe_end end;
};

static struct sp_plan_backend *backend_at(const struct sp_auth_probe *p)
{
    if (p->only != NULL)
        return p->at == 0 ? p->only : NULL;
    return p->at < p->plan->basic.len ? p->plan->basic.items[p->at] : NULL;
}

static void probe_free(struct sp_auth_probe *p)
{
    assert(p->magic == PROBE_MAGIC && p->op == NULL && p->handle == NULL);
    p->magic = 0;
    sp_timer_stop(&p->deadline);
    sp_soon_cancel(&p->soon);
    sp_basic_fini(&p->basic);
    sp_identity_unref(&p->end.identity);
    sp_auth_plan_unref(&p->plan);
    free(p);
}

static void finish(struct sp_auth_probe *p)
{
    p->events->done(p->owner, &p->end);
    probe_free(p);
}

static void on_step(struct sp_auth_tracer *tracer, const struct sp_auth_step *step)
{
    struct sp_auth_probe *p = sp_container_of(tracer, struct sp_auth_probe, tracer);

    p->events->step(p->owner, step);
}

/* ---- one answer ---- */

static void decide(struct sp_auth_probe *p, const char *backend, const struct sp_auth_result *r)
{
    p->over = true;
    p->end = (struct sp_auth_probe_end){
        .verdict = r->verdict, .backend = backend, .reason = r->reason};
    if (r->verdict != SP_VERDICT_ALLOW)
        return;
    p->end.identity = sp_identity_new(r->user, r->principal, sp_span_cstr(backend), SP_SCHEME_BASIC,
                                      SP_SPAN_NONE, r->groups, r->groups_len);
    if (p->end.identity == NULL) {
        p->end.verdict = SP_VERDICT_UNAVAILABLE;
        p->end.reason = "out of memory";
    }
}

/* Does the walk end here, or go on to the next backend? */
static void take_answer(struct sp_auth_probe *p, const struct sp_auth_result *result)
{
    struct sp_plan_backend *b = backend_at(p);

    sp_timer_stop(&p->deadline);
    p->events->answered(p->owner, b->name, result);
    switch (result->verdict) {
    case SP_VERDICT_ALLOW:
    case SP_VERDICT_DENY:
    case SP_VERDICT_ACCOUNT: decide(p, b->name, result); break;
    case SP_VERDICT_MORE: /* no answer to a password */
    case SP_VERDICT_UNAVAILABLE: p->skipped = true; break;
    case SP_VERDICT_UNKNOWN_USER: break;
    }
    p->at++;
}

/* The next one begins when it is gone. */
static void on_closed(void *owner)
{
    struct sp_auth_probe *p = owner;

    assert(p->magic == PROBE_MAGIC);
    sp_loop_soon(p->loop, &p->soon);
}

static void on_answer(void *owner, const struct sp_auth_result *result)
{
    struct sp_auth_probe *p = owner;
    struct sp_plan_backend *b = backend_at(p);

    assert(p->magic == PROBE_MAGIC);
    take_answer(p, result);
    b->ops->free(&p->op);
    sp_loop_soon(p->loop, &p->soon); /* a backend is not closed inside its own callback */
}

static void on_deadline(struct sp_timer *timer)
{
    struct sp_auth_probe *p = sp_container_of(timer, struct sp_auth_probe, deadline);
    struct sp_plan_backend *b = backend_at(p);
    struct sp_auth_result nothing = {.verdict = SP_VERDICT_UNAVAILABLE,
                                     .reason = "the backend did not answer in time"};

    b->ops->cancel(&p->op);
    take_answer(p, &nothing);
    sp_loop_soon(p->loop, &p->soon);
}

/* ---- the walk ---- */

static const char *start(struct sp_auth_probe *p, const struct sp_plan_backend *b,
                         struct sp_span user)
{
    struct sp_auth_input input = {
        .ask = SP_AUTH_PASSWORD,
        .user = user,
        .password = p->basic.password,
        .client = "127.0.0.1",
        .id = "login",
        .tracer = &p->tracer,
    };

    sp_auth_lent_init(&p->lent, b->name, p->loop, p->log);
    p->opened = b;
    if (b->ops->open(b->config, &p->lent.host, &p->handle) != SP_OK) {
        p->handle = NULL;
        return "the backend does not open";
    }
    if (b->ops->start(p->handle, &input, on_answer, p, &p->op) != SP_OK) {
        p->op = NULL;
        return "the backend does not take the question";
    }
    sp_timer_start(p->loop, &p->deadline, SP_AUTH_WAIT_MS);
    return NULL;
}

static void ask(struct sp_auth_probe *p, const struct sp_plan_backend *b)
{
    struct sp_auth_result none = {.verdict = SP_VERDICT_UNKNOWN_USER,
                                  .reason = "not a name that this backend knows"};
    char name[SP_AUTH_NAME_MAX];
    size_t len = 0;

    if (b->ops->name_of(b->config, p->basic.user, name, sizeof(name), &len) != SP_OK || len == 0) {
        p->events->asked(p->owner, b->name, SP_SPAN_NONE);
    } else {
        p->events->asked(p->owner, b->name, sp_span_of(name, len));
        none.reason = start(p, b, sp_span_of(name, len));
        if (none.reason == NULL)
            return; /* on_answer comes */
        none.verdict = SP_VERDICT_UNAVAILABLE;
    }
    take_answer(p, &none);
    sp_loop_soon(p->loop, &p->soon);
}

static void end_of_chain(struct sp_auth_probe *p)
{
    p->end = (struct sp_auth_probe_end){.verdict = SP_VERDICT_UNKNOWN_USER,
                                        .reason = "unknown user"};
    if (p->skipped)
        p->end = (struct sp_auth_probe_end){
            .verdict = SP_VERDICT_UNAVAILABLE,
            .reason = "one backend could not answer, and no other knows the user"};
}

static void walk_on(struct sp_soon *soon)
{
    struct sp_auth_probe *p = sp_container_of(soon, struct sp_auth_probe, soon);
    struct sp_plan_backend *next = p->over ? NULL : backend_at(p);

    if (p->handle != NULL) {
        p->opened->ops->close(&p->handle, on_closed, p);
        return;
    }
    if (next != NULL) {
        ask(p, next);
        return;
    }
    if (!p->over)
        end_of_chain(p);
    finish(p);
}

/* ---- the beginning ---- */

/* As a browser would send it, so that the same checks see it. */
static enum sp_err take_credential(struct sp_auth_probe *p, struct sp_span user,
                                   struct sp_span password, const char **why_out)
{
    struct sp_secret plain = {0}, encoded = {0};
    size_t len = user.len + 1 + password.len;
    enum sp_err err = SP_ERR_INVALID;

    *why_out = "a user name has no colon in Basic (RFC 7617 2)";
    if (user.len > 0 && memchr(user.base, ':', user.len) != NULL)
        return err;
    if (sp_secret_alloc(&plain, len) != SP_OK ||
        sp_secret_alloc(&encoded, sp_base64_encoded_len(len)) != SP_OK) {
        err = SP_ERR_NOMEM;
    } else {
        if (user.len > 0)
            memcpy(plain.base, user.base, user.len);
        plain.base[user.len] = ':';
        if (password.len > 0)
            memcpy(plain.base + user.len + 1, password.base, password.len);
        sp_base64_encode(encoded.base, sp_secret_span(&plain));
        if (sp_basic_decode(&p->basic, sp_secret_span(&encoded), why_out))
            err = SP_OK;
    }
    sp_secret_fini(&plain);
    sp_secret_fini(&encoded);
    return err;
}

static enum sp_err choose(struct sp_auth_probe *p, const char *only, const char **why_out)
{
    struct sp_auth_plan *plan = p->plan;

    *why_out = "auth.basic names no backend, so no password is ever asked for";
    if (only == NULL)
        return plan->basic.len > 0 ? SP_OK : SP_ERR_NOT_FOUND;
    *why_out = "there is no such backend";
    for (size_t i = 0; i < plan->backends_len; i++)
        if (strcmp(plan->backends[i].name, only) == 0)
            p->only = &plan->backends[i];
    if (p->only == NULL)
        return SP_ERR_NOT_FOUND;
    *why_out = "that backend cannot verify passwords";
    return (p->only->ops->abilities & SP_AUTH_PASSWORD) != 0 ? SP_OK : SP_ERR_NOT_FOUND;
}

enum sp_err sp_auth_probe_start(struct sp_loop *loop, struct sp_auth_plan *plan,
                                const struct sp_auth_probe_question *question,
                                const struct sp_auth_probe_events *events, void *owner,
                                const struct sp_log *log, const char **why_out)
{
    struct sp_auth_probe *p = calloc(1, sizeof(*p));
    enum sp_err err;

    *why_out = "out of memory";
    if (p == NULL)
        return SP_ERR_NOMEM;
    p->magic = PROBE_MAGIC;
    p->loop = loop;
    p->plan = sp_auth_plan_ref(plan);
    p->events = events;
    p->owner = owner;
    p->log = log;
    p->tracer.step = on_step;
    sp_timer_init(&p->deadline, on_deadline);
    sp_soon_init(&p->soon, walk_on);
    err = choose(p, question->only, why_out);
    if (err == SP_OK)
        err = take_credential(p, question->user, question->password, why_out);
    if (err == SP_OK)
        sp_loop_soon(loop, &p->soon);
    else
        probe_free(p);
    return err;
}
