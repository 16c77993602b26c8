/* A backend built outside sallyport's tree: a fixed list of users. Answers are ready at once, so all
 * that is left of the contract is to deliver each in a later turn of the loop, once, unless it was
 * cancelled. See docs/internals/writing-a-backend.md. */
#include <sallyport/auth_backend.h>
#include <stdlib.h>
#include <string.h>

struct sp_auth_config { /* the options as the core fills them are all there is to it */
    struct sp_strings users;
};
static const struct sp_option table[] = {
    SP_OPT_LIST(struct sp_auth_config, users, "", "The users, each as name:password."),
    SP_OPT_END,
};
struct sp_auth_backend {
    struct sp_auth_config *config;
    uv_timer_t timer; /* never runs: its close callback is the later turn of `closed` */
    sp_auth_closed_cb closed;
};
struct op {
    struct sp_auth_op base;
    uv_timer_t timer; /* brings the answer; the op is freed when it has closed */
    sp_auth_done_cb done;
    struct sp_auth_result result;
};

static enum sp_err configure(const void *options, const struct sp_auth_host *host,
                             struct sp_auth_config **out, struct sp_auth_fault *fault)
{
    return *out = (void *)(uintptr_t)options, (void)host, (void)fault, SP_OK;
}
static void release(struct sp_auth_config **config) { *config = NULL; }
static void traits(const struct sp_auth_config *config, struct sp_auth_traits *out)
{
    (void)config, *out = (struct sp_auth_traits){NULL, false};
}
static enum sp_err name_of(const struct sp_auth_config *config, struct sp_span typed, char *out,
                           size_t cap, size_t *len)
{
    if ((void)config, typed.len == 0 || typed.len > cap)
        return SP_ERR_INVALID;
    for (*len = 0; *len < typed.len; ++*len) /* without case; ASCII is enough here */
        out[*len] = typed.base[*len] < 'A' || typed.base[*len] > 'Z' ? typed.base[*len] : typed.base[*len] + 32;
    return SP_OK;
}
static enum sp_err open_one(struct sp_auth_config *config, const struct sp_auth_host *host, struct sp_auth_backend **out)
{
    if ((*out = calloc(1, sizeof **out)) == NULL)
        return SP_ERR_NOMEM;
    (*out)->config = config;
    return uv_timer_init(host->loop, &(*out)->timer), SP_OK;
}
static void on_parted(uv_handle_t *handle)
{
    struct sp_auth_backend *backend = sp_container_of(handle, struct sp_auth_backend, timer);
    backend->closed(handle->data), free(backend);
}
static void close_one(struct sp_auth_backend **backend, sp_auth_closed_cb closed, void *owner)
{
    (*backend)->closed = closed, (*backend)->timer.data = owner;
    uv_close((uv_handle_t *)&(*backend)->timer, on_parted), *backend = NULL;
}
static void judge(const struct sp_strings *users, const struct sp_auth_input *in, struct sp_auth_result *result)
{
    *result = (struct sp_auth_result){.verdict = SP_VERDICT_UNKNOWN_USER, .reason = "no such user"};
    for (size_t i = 0; i < users->len; i++) {
        const char *row = users->items[i], *colon = strchr(row, ':');
        if (colon == NULL || (size_t)(colon - row) != in->user.len || memcmp(row, in->user.base, in->user.len) != 0)
            continue; /* a table for a bench: a real one compares in constant time, and hashes */
        bool same = strlen(colon + 1) == in->password.len && memcmp(colon + 1, in->password.base, in->password.len) == 0;
        result->verdict = same ? SP_VERDICT_ALLOW : SP_VERDICT_DENY, result->reason = same ? NULL : "wrong password";
        result->user = (struct sp_span){row, in->user.len}; /* lives as long as the options */
    }
}
static void on_soon(uv_timer_t *timer)
{
    struct op *op = sp_container_of(timer, struct op, timer);
    op->done(timer->data, &op->result); /* may free the op: it is not touched after this */
}
static enum sp_err start(struct sp_auth_backend *backend, const struct sp_auth_input *in, sp_auth_done_cb done,
                         void *owner, struct sp_auth_op **out)
{
    struct op *op = calloc(1, sizeof *op);
    if (op == NULL)
        return SP_ERR_NOMEM;
    op->base.backend = backend, op->done = done, op->timer.data = owner, *out = &op->base;
    judge(&backend->config->users, in, &op->result);
    return uv_timer_init(backend->timer.loop, &op->timer), uv_timer_start(&op->timer, on_soon, 0, 0), SP_OK;
}
static void on_op_closed(uv_handle_t *handle) { free(sp_container_of(handle, struct op, timer)); }
static void let_go(struct sp_auth_op **op) /* cancel and free alike: a closed timer brings nothing */
{
    uv_close((uv_handle_t *)&sp_container_of(*op, struct op, base)->timer, on_op_closed), *op = NULL;
}
SP_EXPORT extern const struct sp_auth_backend_ops sp_auth_backend;
const struct sp_auth_backend_ops sp_auth_backend = {SP_AUTH_ABI_VERSION, sizeof sp_auth_backend, "static", "A fixed list of users",
    SP_AUTH_PASSWORD, table, sizeof(struct sp_auth_config), configure, release, traits, NULL, name_of, open_one, close_one,
    start, NULL /* step: never, without MORE */, let_go, let_go, NULL, NULL /* look: nobody outside is asked */};
