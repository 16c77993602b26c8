/* The two listeners and the life of the whole room. Main thread. */
#include "admin/admin_priv.h"

#include "util/addr.h"
#include "util/span.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BACKLOG 64

/* ---- accepting ---- */

static void on_again(uv_timer_t *timer);

/* Who finds no memory waits: said once, and tried again until there is some. */
static void take(struct sp_admin *admin, uv_stream_t *listener, enum sp_admin_kind kind)
{
    bool *waits = kind == SP_ADMIN_HTTP ? &admin->http_waits : &admin->control_waits;
    bool before = *waits;

    *waits = !sp_admin_conn_accept(admin, listener, kind);
    if (!*waits)
        return;
    if (!before)
        sp_log_warning(admin->log, "event=admin_overloaded detail=\"no memory for a connection\"");
    (void)uv_timer_start(&admin->again, on_again, SP_ADMIN_AGAIN_MS, 0); /* fails only closing */
}

static void on_again(uv_timer_t *timer)
{
    struct sp_admin *admin = timer->data;

    if (admin->http_waits)
        take(admin, (uv_stream_t *)&admin->http, SP_ADMIN_HTTP);
    if (admin->control_waits)
        take(admin, (uv_stream_t *)&admin->control, SP_ADMIN_CONTROL);
}

static void on_http(uv_stream_t *listener, int status)
{
    if (status == 0)
        take(listener->data, listener, SP_ADMIN_HTTP);
}

static void on_control(uv_stream_t *listener, int status)
{
    if (status == 0)
        take(listener->data, listener, SP_ADMIN_CONTROL);
}

/* ---- closing ---- */

void sp_admin_part_closed(struct sp_admin *admin)
{
    if (--admin->parts > 0 || !admin->closing)
        return;
    free(admin->networks);
    free(admin);
}

static void on_part_closed(uv_handle_t *handle)
{
    sp_admin_part_closed(handle->data);
}

void sp_admin_close(struct sp_admin **admin)
{
    struct sp_admin *gone = *admin;

    *admin = NULL;
    if (gone == NULL || gone->closing)
        return;
    gone->closing = true;
    gone->parts++; /* held until the end of this function */
    uv_close((uv_handle_t *)&gone->again, on_part_closed);
    if (gone->http_open)
        uv_close((uv_handle_t *)&gone->http, on_part_closed);
    if (gone->control_open)
        uv_close((uv_handle_t *)&gone->control, on_part_closed); /* removes the socket, too */
    while (!sp_list_empty(&gone->conns))
        sp_admin_conn_close(sp_container_of(gone->conns.next, struct sp_admin_conn, link));
    sp_admin_part_closed(gone);
}

void sp_admin_wake(struct sp_admin *admin)
{
    struct sp_list *node, *after;

    SP_LIST_EACH_SAFE (node, after, &admin->conns)
        sp_admin_conn_wake(sp_container_of(node, struct sp_admin_conn, link));
}

/* ---- opening ---- */

static void close_listener(uv_handle_t *handle, bool *open)
{
    *open = false;
    uv_close(handle, on_part_closed);
}

/* False: `status` says why. */
static bool listen_http(struct sp_admin *admin, const struct sp_addr *addr, int *status)
{
    struct sockaddr_storage ss;

    (void)sp_addr_to_sockaddr(addr, &ss);
    *status = uv_tcp_init(admin->loop, &admin->http);
    if (*status != 0)
        return false;
    admin->http.data = admin;
    admin->http_open = true;
    admin->parts++;
    *status = uv_tcp_bind(&admin->http, (const struct sockaddr *)&ss, 0);
    if (*status == 0)
        *status = uv_listen((uv_stream_t *)&admin->http, BACKLOG, on_http);
    if (*status != 0)
        close_listener((uv_handle_t *)&admin->http, &admin->http_open);
    return *status == 0;
}

static void tell_reach(const struct sp_admin *admin, const char *text)
{
    switch (sp_admin_reach(admin)) {
    case SP_ADMIN_LOCAL: break;
    case SP_ADMIN_UNNAMED:
        sp_log_warning(admin->log,
                       "event=admin_unnamed http=%s detail=\"a wildcard names no address: only "
                       "this machine is answered, until admin.http_from names networks\"",
                       text);
        break;
    case SP_ADMIN_EXPOSED:
        sp_log_warning(admin->log,
                       "event=admin_exposed http=%s detail=\"metrics and the status page can be "
                       "read from other machines\"",
                       text);
        break;
    }
}

static bool open_http(struct sp_admin *admin, const char *text, bool set)
{
    enum sp_log_level level = set ? SP_LOG_ERROR : SP_LOG_WARNING;
    int status;

    if (sp_addr_parse(&admin->http_addr, sp_span_cstr(text)) != SP_OK) {
        sp_log_line(admin->log, level,
                    "event=admin_failed http=\"%s\" detail=\"not an address and port\"", text);
        return false;
    }
    if (!listen_http(admin, &admin->http_addr, &status)) {
        sp_log_line(admin->log, level,
                    "event=admin_failed http=%s detail=\"%s: no metrics, health or status page; "
                    "choose another address in admin.http, or \\\"\\\" for none\"",
                    text, uv_strerror(status));
        return false;
    }
    tell_reach(admin, text);
    return true;
}

static bool open_control(struct sp_admin *admin, const char *path, bool set)
{
    enum sp_log_level level = set ? SP_LOG_ERROR : SP_LOG_WARNING;
    char why[256] = "out of memory";
    int status = uv_pipe_init(admin->loop, &admin->control, 0);
    bool well = status == 0;

    if (well) {
        admin->control.data = admin;
        admin->control_open = true;
        admin->parts++;
        well = sp_admin_socket_bind(&admin->control, path, why);
    }
    if (well) {
        status = uv_listen((uv_stream_t *)&admin->control, BACKLOG, on_control);
        well = status == 0;
        if (!well)
            (void)snprintf(why, sizeof why, "%s", uv_strerror(status));
    }
    if (well)
        return true;
    if (admin->control_open)
        close_listener((uv_handle_t *)&admin->control, &admin->control_open);
    sp_log_line(admin->log, level,
                "event=admin_failed socket=\"%s\" detail=\"%s; without it sallyport ctl cannot "
                "reach this process\"",
                path, why);
    return false;
}

enum sp_err sp_admin_open(uv_loop_t *loop, const struct sp_admin_options *options, bool socket_set,
                          bool http_set, const struct sp_admin_events *events,
                          const struct sp_log *log, struct sp_admin **admin_out)
{
    struct sp_admin *admin;
    enum sp_err err = SP_OK;

    *admin_out = NULL;
    if (options->http[0] == '\0' && options->socket[0] == '\0')
        return SP_OK;
    admin = calloc(1, sizeof *admin);
    if (admin == NULL)
        return SP_ERR_NOMEM;
    admin->loop = loop;
    admin->events = *events;
    admin->log = log;
    admin->deadline_ms = SP_ADMIN_DEADLINE_MS;
    sp_list_init(&admin->conns);
    (void)uv_timer_init(loop, &admin->again); /* cannot fail */
    admin->again.data = admin;
    admin->parts++;
    err = sp_admin_networks_set(admin, &options->http_from);
    if (err == SP_OK && options->http[0] != '\0' && !open_http(admin, options->http, http_set) &&
        http_set)
        err = SP_ERR_IO;
    if (err == SP_OK && options->socket[0] != '\0' &&
        !open_control(admin, options->socket, socket_set) && socket_set)
        err = SP_ERR_IO;
    if (err != SP_OK)
        sp_admin_close(&admin);
    *admin_out = admin;
    return err;
}
