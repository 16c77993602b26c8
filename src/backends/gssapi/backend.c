/* The plugin's table and its operations: start, step, cancel, free. All on the worker's loop
 * thread, but for the one job that an operation sends to the host's pool for each leg.
 *
 * An operation is the client's handshake. While its job is out, the leg belongs to the job; cancel
 * marks the operation as detached, and the job's homecoming frees it. */
#include "backends/gssapi/gssapi_priv.h"

#include "util/secret.h"
#include "util/span.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define BACKEND_MAGIC 0x67737362u
#define OP_MAGIC      0x6773736fu

/* One per config and worker. Freed in on_timer_closed, after the last job came home. */
struct sp_auth_backend {
    unsigned magic;
    struct sp_auth_config *config;
    const struct sp_auth_host *host;
    uv_timer_t parting; /* never runs: its close callback is the "later turn" of `closed` */
    unsigned jobs_out;
    sp_auth_closed_cb closed; /* set: closing */
    void *closed_owner;
};

enum gss_op_state {
    GSS_OP_ACCEPTING, /* the job is out */
    GSS_OP_RESTING,   /* answered: waits for step or free */
    GSS_OP_DETACHED,  /* cancelled while the job is out: its homecoming frees it */
};

/* One handshake. Owned by the engine until free or cancel. */
struct gss_op {
    struct sp_auth_op base;
    unsigned magic;
    enum gss_op_state state;
    struct sp_auth_work work;
    struct sp_gss_leg leg;
    struct sp_gss_keys *keys; /* the generation that the handshake began with */
    struct sp_secret token;   /* what leg.token points into */
    struct sp_secret bindings;
    struct sp_auth_tracer *tracer;
    sp_auth_done_cb done;
    void *owner;
    char client[SP_GSS_CLIENT_MAX];
};

static struct gss_op *op_of(struct sp_auth_op *base)
{
    struct gss_op *op = sp_container_of(base, struct gss_op, base);

    assert(op->magic == OP_MAGIC);
    return op;
}

/* ACCEPTING to RESTING or DETACHED, RESTING to ACCEPTING; DETACHED is the end. */
static void op_enter(struct gss_op *op, enum gss_op_state next)
{
    assert(op->state != GSS_OP_DETACHED && op->state != next);
    assert(next != GSS_OP_DETACHED || op->state == GSS_OP_ACCEPTING);
    op->state = next;
}

static void op_free(struct gss_op *op)
{
    sp_gss_leg_fini(&op->leg);
    sp_gss_keys_unref(&op->keys);
    sp_secret_fini(&op->token);
    sp_secret_fini(&op->bindings);
    op->magic = 0;
    free(op);
}

/* ---- what is told ---- */

static const char *verdict_words(const struct sp_gss_leg *leg)
{
    switch (leg->verdict) {
    case SP_VERDICT_ALLOW: return "accepted";
    case SP_VERDICT_MORE: return "another leg is needed";
    case SP_VERDICT_DENY:
    case SP_VERDICT_UNKNOWN_USER:
    case SP_VERDICT_ACCOUNT:
    case SP_VERDICT_UNAVAILABLE: return leg->reason;
    }
    return "";
}

/* How long it took is a part of the accept's time. */
static void trace_groups(const struct gss_op *op)
{
    char outcome[48];
    const struct sp_auth_step step = {"groups", NULL, "the ticket's PAC", outcome, 0};

    (void)snprintf(outcome, sizeof outcome, "%zu SIDs", op->leg.groups_len);
    op->tracer->step(op->tracer, &step);
}

static void op_trace(const struct gss_op *op)
{
    const struct sp_auth_step step = {"accept", NULL, op->leg.sent, verdict_words(&op->leg),
                                      op->leg.micros};

    if (op->tracer == NULL)
        return;
    op->tracer->step(op->tracer, &step);
    if (op->leg.verdict == SP_VERDICT_ALLOW && op->leg.config->pac)
        trace_groups(op);
}

/* The engine writes the log line, from reason and detail. */
static void op_report(struct gss_op *op)
{
    const struct sp_gss_leg *leg = &op->leg;
    const struct sp_auth_result result = {
        .verdict = leg->verdict,
        .user = leg->user[0] != '\0' ? sp_span_cstr(leg->user) : SP_SPAN_NONE,
        .principal = leg->principal[0] != '\0' ? sp_span_cstr(leg->principal) : SP_SPAN_NONE,
        .mech = leg->mech,
        .groups = leg->groups,
        .groups_len = leg->groups_len,
        .token = leg->reply.length > 0 ? sp_span_of(leg->reply.value, leg->reply.length)
                                       : SP_SPAN_NONE,
        .reason = leg->reason,
        .detail = leg->detail[0] != '\0' ? leg->detail : NULL,
        .denied_principal = leg->denied_principal,
    };

    if (leg->unbound && leg->verdict == SP_VERDICT_ALLOW)
        sp_gss_unbound_note(op->base.backend->config, op->client, uv_hrtime() / 1000000000u);
    op_trace(op);
    op_enter(op, GSS_OP_RESTING);
    op->done(op->owner, &result); /* op may be gone after this line */
}

/* ---- the job ---- */

static void backend_part(struct sp_auth_backend *backend);

static void on_run(struct sp_auth_work *work)
{
    struct gss_op *op = sp_container_of(work, struct gss_op, work);

    sp_gss_config_follow_clockskew(op->base.backend->config);
    sp_gss_leg_run(&op->leg);
}

static void on_home(struct sp_auth_work *work)
{
    struct gss_op *op = sp_container_of(work, struct gss_op, work);
    struct sp_auth_backend *backend = op->base.backend;

    assert(op->magic == OP_MAGIC && backend->jobs_out > 0);
    backend->jobs_out--;
    sp_secret_fini(&op->token);
    if (op->state == GSS_OP_DETACHED)
        op_free(op); /* the client left while the library was thinking */
    else
        op_report(op);
    if (backend->closed != NULL && backend->jobs_out == 0)
        backend_part(backend);
}

static enum sp_err op_send(struct gss_op *op, struct sp_span token)
{
    const struct sp_auth_host *host = op->base.backend->host;
    enum sp_err err;

    op->leg.too_long = token.len > SP_GSS_TOKEN_MAX;
    err = sp_secret_set(&op->token, op->leg.too_long ? SP_SPAN_LIT("") : token);
    if (err != SP_OK)
        return err;
    op->leg.token = sp_secret_span(&op->token);
    sp_gss_leg_choose(&op->leg);
    op->work.waits = op->leg.ntlm; /* for winbind, which asks a domain controller */
    err = host->work(host, &op->work);
    if (err == SP_OK)
        op->base.backend->jobs_out++;
    else
        sp_secret_fini(&op->token);
    return err;
}

/* ---- the operations ---- */

static struct gss_op *op_new(struct sp_auth_backend *backend, const struct sp_auth_input *input,
                             sp_auth_done_cb done, void *owner)
{
    struct gss_op *op = calloc(1, sizeof *op);

    if (op == NULL)
        return NULL;
    op->magic = OP_MAGIC;
    op->base.backend = backend;
    op->work.run = on_run;
    op->work.done = on_home;
    op->state = GSS_OP_ACCEPTING;
    op->tracer = input->tracer;
    op->done = done;
    op->owner = owner;
    (void)snprintf(op->client, sizeof op->client, "%s", input->client);
    op->keys = sp_gss_config_keys(backend->config);
    op->leg.config = backend->config;
    op->leg.keys = op->keys;
    if (input->channel_bindings.base != NULL) {
        if (sp_secret_set(&op->bindings, input->channel_bindings) != SP_OK) {
            op_free(op);
            return NULL;
        }
        op->leg.bindings = sp_secret_span(&op->bindings);
    }
    return op;
}

static enum sp_err gss_start(struct sp_auth_backend *backend, const struct sp_auth_input *input,
                             sp_auth_done_cb done, void *owner, struct sp_auth_op **op_out)
{
    struct gss_op *op;
    enum sp_err err;

    assert(backend->magic == BACKEND_MAGIC && backend->closed == NULL);
    if (input->ask != SP_AUTH_TOKEN)
        return SP_ERR_INVALID;
    op = op_new(backend, input, done, owner);
    if (op == NULL)
        return SP_ERR_NOMEM;
    err = op_send(op, input->token);
    if (err != SP_OK) {
        op_free(op);
        return err;
    }
    *op_out = &op->base;
    return SP_OK;
}

static enum sp_err gss_step(struct sp_auth_op *base, struct sp_span token,
                            struct sp_auth_tracer *tracer)
{
    struct gss_op *op = op_of(base);
    enum sp_err err;

    assert(op->state == GSS_OP_RESTING && op->leg.verdict == SP_VERDICT_MORE);
    err = op_send(op, token);
    if (err != SP_OK)
        return err;
    op->tracer = tracer;
    op_enter(op, GSS_OP_ACCEPTING);
    return SP_OK;
}

static void gss_cancel(struct sp_auth_op **base)
{
    struct gss_op *op = op_of(*base);

    *base = NULL;
    if (op->state == GSS_OP_RESTING)
        op_free(op);
    else
        op_enter(op, GSS_OP_DETACHED);
}

static void gss_free(struct sp_auth_op **base)
{
    struct gss_op *op = op_of(*base);

    *base = NULL;
    assert(op->state == GSS_OP_RESTING);
    op_free(op);
}

/* ---- the backend ---- */

static enum sp_err gss_open(struct sp_auth_config *config, const struct sp_auth_host *host,
                            struct sp_auth_backend **backend_out)
{
    struct sp_auth_backend *backend = calloc(1, sizeof *backend);

    if (backend == NULL)
        return SP_ERR_NOMEM;
    backend->magic = BACKEND_MAGIC;
    backend->config = config;
    backend->host = host;
    if (uv_timer_init(host->loop, &backend->parting) != 0) {
        free(backend);
        return SP_ERR_IO;
    }
    backend->parting.data = backend;
    *backend_out = backend;
    return SP_OK;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct sp_auth_backend *backend = handle->data;
    sp_auth_closed_cb closed = backend->closed;
    void *owner = backend->closed_owner;

    backend->magic = 0;
    free(backend);
    closed(owner);
}

static void backend_part(struct sp_auth_backend *backend)
{
    uv_close((uv_handle_t *)&backend->parting, on_timer_closed);
}

/* No operation is left, but jobs of cancelled ones may still be out: they are waited for. */
static void gss_close(struct sp_auth_backend **backend_ptr, sp_auth_closed_cb closed, void *owner)
{
    struct sp_auth_backend *backend = *backend_ptr;

    *backend_ptr = NULL;
    assert(backend->magic == BACKEND_MAGIC && backend->closed == NULL);
    backend->closed = closed;
    backend->closed_owner = owner;
    sp_gss_unbound_end(backend->config);
    if (backend->jobs_out == 0)
        backend_part(backend);
}

SP_EXPORT extern const struct sp_auth_backend_ops sp_auth_backend;

const struct sp_auth_backend_ops sp_auth_backend = {
    .abi_version = SP_AUTH_ABI_VERSION,
    .ops_size = sizeof(struct sp_auth_backend_ops),
    .name = "gssapi",
    .summary = "People who bring a Kerberos ticket (or, where allowed, NTLM) by Negotiate",
    .abilities = SP_AUTH_TOKEN,
    .options = sp_gssapi_option_table,
    .options_size = sizeof(struct sp_gssapi_options),
    .configure = sp_gss_config_new,
    .release = sp_gss_config_free,
    .traits = sp_gss_config_traits,
    .refresh = sp_gss_config_refresh,
    .open = gss_open,
    .close = gss_close,
    .start = gss_start,
    .step = gss_step,
    .cancel = gss_cancel,
    .free = gss_free,
    .diagnose = sp_gss_config_diagnose,
};
