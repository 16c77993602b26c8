/* One worker's ldap backend: its servers, its clock, and the way answers go back to the engine.
 * Loop thread only. The ops table, through which the core sees all of this, is at the bottom. */
#include "backends/ldap/ldap_login.h"
#include "backends/ldap/ldap_priv.h"

#include "backends/ldap/ldap_doctor.h"
#include "backends/ldap/ldap_text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- the clock: one timer for all deadlines ---- */

uint64_t sp_ldap_now_ms(const struct sp_auth_backend *backend)
{
    return uv_now(backend->host->loop);
}

static void on_clock(uv_timer_t *timer)
{
    struct sp_auth_backend *backend = timer->data;
    uint64_t next = SP_LDAP_NEVER;

    backend->clock_due_ms = SP_LDAP_NEVER;
    for (size_t i = 0; i < backend->servers_len; i++) {
        uint64_t due = sp_ldap_server_tick(&backend->servers[i], sp_ldap_now_ms(backend));

        if (due < next)
            next = due;
    }
    if (next != SP_LDAP_NEVER)
        sp_ldap_backend_wake_at(backend, next);
}

void sp_ldap_backend_wake_at(struct sp_auth_backend *backend, uint64_t due_ms)
{
    uint64_t now = sp_ldap_now_ms(backend);

    if (backend->closing || due_ms >= backend->clock_due_ms)
        return;
    backend->clock_due_ms = due_ms;
    (void)uv_timer_start(&backend->clock, on_clock, due_ms > now ? due_ms - now : 0, 0);
}

/* ---- servers ---- */

bool sp_ldap_backend_other_up(const struct sp_auth_backend *backend,
                              const struct sp_ldap_server *server, uint32_t tried)
{
    for (size_t i = 0; i < backend->servers_len; i++) {
        if (&backend->servers[i] != server && (tried & (1u << i)) == 0 &&
            backend->servers[i].state == SP_LDAP_SERVER_UP)
            return true;
    }
    return false;
}

struct sp_ldap_server *sp_ldap_backend_pick(struct sp_auth_backend *backend, uint32_t tried)
{
    struct sp_ldap_server *probed = NULL;

    for (size_t i = 0; i < backend->servers_len; i++) {
        struct sp_ldap_server *server = &backend->servers[i];

        if ((tried & (1u << i)) != 0)
            continue;
        if (sp_ldap_server_probe_due(server, tried))
            sp_ldap_server_probe(server);
        if (server->state == SP_LDAP_SERVER_UP)
            return server;
        if (server->state == SP_LDAP_SERVER_PROBING && probed == NULL)
            probed = server;
    }
    return probed;
}

/* ---- requests and answers, together ---- */

/* Many logins begin and end in one turn of a busy loop: their searches go out in one piece, which
 * wakes the directory once. An idle handle is no timer to be sorted in, and an active one keeps the
 * loop from sleeping. */
static void on_soon(uv_idle_t *soon)
{
    struct sp_auth_backend *backend = soon->data;
    struct sp_list ready;
    struct sp_list *node;

    (void)uv_idle_stop(soon);
    for (size_t i = 0; i < backend->servers_len; i++) {
        if (backend->servers[i].retired != NULL) /* with what it was given before its heir stood */
            sp_ldap_conn_flush(backend->servers[i].retired);
        if (backend->servers[i].service != NULL)
            sp_ldap_conn_flush(backend->servers[i].service);
    }
    sp_list_init(&ready);
    sp_list_move_all(&ready, &backend->answered);
    while ((node = sp_list_shift(&ready)) != NULL)
        sp_ldap_login_report(sp_container_of(node, struct sp_ldap_login, link));
}

void sp_ldap_backend_soon(struct sp_auth_backend *backend)
{
    if (!backend->closing)
        (void)uv_idle_start(&backend->soon, on_soon); /* does nothing where it is active */
}

void sp_ldap_backend_answered(struct sp_auth_backend *backend, struct sp_ldap_login *login)
{
    sp_list_push(&backend->answered, &login->link);
    sp_ldap_backend_soon(backend);
}

/* ---- life ---- */

static void backend_free(struct sp_auth_backend *backend)
{
    free(backend->servers);
    free(backend);
}

/* A backend ends here and nowhere else: when the last of its parts has gone. */
void sp_ldap_backend_part_gone(struct sp_auth_backend *backend)
{
    sp_auth_closed_cb closed = backend->closed;
    void *owner = backend->closed_owner;

    assert(backend->parts > 0);
    if (--backend->parts > 0)
        return;
    backend_free(backend);
    if (closed != NULL)
        closed(owner);
}

static void on_handle_closed(uv_handle_t *handle)
{
    sp_ldap_backend_part_gone(handle->data);
}

static bool init_handles(struct sp_auth_backend *backend)
{
    if (uv_timer_init(backend->host->loop, &backend->clock) != 0)
        return false;
    if (uv_idle_init(backend->host->loop, &backend->soon) != 0)
        return false; /* neither can fail on a loop that runs; nothing to undo on one that does not
                       */
    backend->clock.data = backend;
    backend->soon.data = backend;
    backend->parts = 2;
    return true;
}

static enum sp_err ldap_open(struct sp_auth_config *config, const struct sp_auth_host *host,
                             struct sp_auth_backend **backend_out)
{
    struct sp_auth_backend *backend = calloc(1, sizeof(*backend));

    *backend_out = NULL;
    if (backend == NULL)
        return SP_ERR_NOMEM;
    backend->config = config;
    backend->host = host;
    backend->clock_due_ms = SP_LDAP_NEVER;
    backend->random = uv_hrtime() | 1;
    sp_list_init(&backend->answered);
    sp_list_init(&backend->chases_waiting);
    atomic_init(&backend->stop, false);
    backend->servers = calloc(config->servers_len, sizeof(*backend->servers));
    if (backend->servers == NULL || !init_handles(backend)) {
        backend_free(backend);
        return SP_ERR_NOMEM;
    }
    backend->servers_len = config->servers_len;
    for (unsigned i = 0; i < backend->servers_len; i++)
        sp_ldap_server_init(&backend->servers[i], backend, i);
    *backend_out = backend;
    return SP_OK;
}

static void ldap_close(struct sp_auth_backend **backend_ref, sp_auth_closed_cb closed, void *owner)
{
    struct sp_auth_backend *backend = *backend_ref;

    *backend_ref = NULL;
    if (backend == NULL)
        return;
    assert(sp_list_empty(&backend->answered) && sp_list_empty(&backend->chases_waiting));
    backend->closing = true;
    backend->closed = closed;
    backend->closed_owner = owner;
    atomic_store(&backend->stop, true);
    for (size_t i = 0; i < backend->servers_len; i++)
        sp_ldap_server_close(&backend->servers[i]);
    uv_close((uv_handle_t *)&backend->clock, on_handle_closed);
    uv_close((uv_handle_t *)&backend->soon, on_handle_closed);
}

/* ---- the table ---- */

static void ldap_traits(const struct sp_auth_config *config, struct sp_auth_traits *traits)
{
    (void)config;
    *traits = (struct sp_auth_traits){.groups_from = "", .per_request = false};
}

static enum sp_err ldap_name_of(const struct sp_auth_config *config, struct sp_span typed,
                                char *out, size_t cap, size_t *len_out)
{
    return sp_ldap_name_of(&config->options->domains, typed, out, cap, len_out);
}

/* A bind has one leg: done never says MORE, so this is never right to call. */
static enum sp_err ldap_step(struct sp_auth_op *op, struct sp_span token,
                             struct sp_auth_tracer *tracer)
{
    (void)op;
    (void)token;
    (void)tracer;
    return SP_ERR_INVALID;
}

SP_EXPORT extern const struct sp_auth_backend_ops sp_auth_backend;

const struct sp_auth_backend_ops sp_auth_backend = {
    .abi_version = SP_AUTH_ABI_VERSION,
    .ops_size = sizeof(struct sp_auth_backend_ops),
    .name = "ldap",
    .summary = "people verified by a bind against a directory (OpenLDAP, Active Directory)",
    .abilities = SP_AUTH_PASSWORD | SP_AUTH_GROUPS,
    .options = sp_ldap_options,
    .options_size = sizeof(struct sp_ldap_options),
    .configure = sp_ldap_configure,
    .release = sp_ldap_release,
    .traits = ldap_traits,
    .refresh = NULL,
    .name_of = ldap_name_of,
    .open = ldap_open,
    .close = ldap_close,
    .start = sp_ldap_login_start,
    .step = ldap_step,
    .cancel = sp_ldap_login_cancel,
    .free = sp_ldap_login_free,
    .diagnose = sp_ldap_diagnose,
    .look = sp_ldap_look,
};
