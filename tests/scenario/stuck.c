/* A backend that breaks the first promise: it blocks its loop. For the test of /healthz. */
#include <sallyport/auth_backend.h>
#include <stdlib.h>
#include <unistd.h>

struct sp_auth_config {
    struct sp_strings nobody;
};
static const struct sp_option table[] = {
    SP_OPT_LIST(struct sp_auth_config, nobody, "", "Nothing."),
    SP_OPT_END,
};
struct sp_auth_backend {
    uv_timer_t timer;
    sp_auth_closed_cb closed;
};

static enum sp_err configure(const void *options, const struct sp_auth_host *host,
                             struct sp_auth_config **out, struct sp_auth_fault *fault)
{
    (void)host, (void)fault;
    *out = (void *)(uintptr_t)options;
    return SP_OK;
}
static void release(struct sp_auth_config **config)
{
    *config = NULL;
}
static void traits(const struct sp_auth_config *config, struct sp_auth_traits *out)
{
    (void)config;
    *out = (struct sp_auth_traits){NULL, false};
}
static enum sp_err name_of(const struct sp_auth_config *config, struct sp_span typed, char *out,
                           size_t cap, size_t *len)
{
    (void)config;
    if (typed.len == 0 || typed.len > cap)
        return SP_ERR_INVALID;
    for (*len = 0; *len < typed.len; ++*len)
        out[*len] = typed.base[*len];
    return SP_OK;
}
static enum sp_err open_one(struct sp_auth_config *config, const struct sp_auth_host *host,
                            struct sp_auth_backend **out)
{
    (void)config;
    if ((*out = calloc(1, sizeof **out)) == NULL)
        return SP_ERR_NOMEM;
    return uv_timer_init(host->loop, &(*out)->timer), SP_OK;
}
static void on_parted(uv_handle_t *handle)
{
    struct sp_auth_backend *backend = sp_container_of(handle, struct sp_auth_backend, timer);

    backend->closed(handle->data);
    free(backend);
}
static void close_one(struct sp_auth_backend **backend, sp_auth_closed_cb closed, void *owner)
{
    (*backend)->closed = closed;
    (*backend)->timer.data = owner;
    uv_close((uv_handle_t *)&(*backend)->timer, on_parted);
    *backend = NULL;
}
static enum sp_err start(struct sp_auth_backend *backend, const struct sp_auth_input *input,
                         sp_auth_done_cb done, void *owner, struct sp_auth_op **op_out)
{
    (void)backend, (void)input, (void)done, (void)owner, (void)op_out;
    sleep(9);
    return SP_ERR_FULL;
}
static void let_go(struct sp_auth_op **op)
{
    *op = NULL;
}

SP_EXPORT extern const struct sp_auth_backend_ops sp_auth_backend;
const struct sp_auth_backend_ops sp_auth_backend = {
    .abi_version = SP_AUTH_ABI_VERSION,
    .ops_size = sizeof(struct sp_auth_backend_ops),
    .name = "stuck",
    .summary = "blocks",
    .abilities = SP_AUTH_PASSWORD,
    .options = table,
    .options_size = sizeof(struct sp_auth_config),
    .configure = configure,
    .release = release,
    .traits = traits,
    .name_of = name_of,
    .open = open_one,
    .close = close_one,
    .start = start,
    .cancel = let_go,
    .free = let_go,
};
