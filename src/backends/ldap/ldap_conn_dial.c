/* How a connection comes about: dialled by a job on the pool, and what follows when the job comes
 * home. Loop thread only, but for run_dial. */
#include "backends/ldap/ldap_conn_priv.h"

#include <stdlib.h>
#include <string.h>

/* On its way between the loop and a pool thread. Owned by itself; freed in dial_done. `conn` is
 * NULL when the connection was closed meanwhile: the job cannot be taken back. */
struct dial {
    struct sp_auth_work work;
    struct sp_auth_backend *backend;
    const struct sp_ldap_uri *uri;
    enum sp_ldap_dial_depth depth;
    struct sp_ldap_conn *conn;
    struct sp_ldap_dial_report report;
};

static void run_dial(struct sp_auth_work *work)
{
    struct dial *dial = sp_container_of(work, struct dial, work);

    sp_ldap_dial(dial->backend->config, dial->uri, dial->depth, &dial->backend->stop,
                 &dial->report);
}

static enum sp_ldap_outcome outcome_of(enum sp_ldap_fault fault)
{
    switch (fault) {
    case SP_LDAP_FAULT_NONE: return SP_LDAP_OUTCOME_OK;
    case SP_LDAP_FAULT_TIMEOUT: return SP_LDAP_OUTCOME_TIMEOUT;
    case SP_LDAP_FAULT_SERVICE: return SP_LDAP_OUTCOME_REFUSED;
    case SP_LDAP_FAULT_LOST: return SP_LDAP_OUTCOME_LOST;
    case SP_LDAP_FAULT_STOPPED:
    case SP_LDAP_FAULT_FULL:
    case SP_LDAP_FAULT_CONNECT:
    case SP_LDAP_FAULT_ANSWER:
    case SP_LDAP_FAULT_GARBLED:
    case SP_LDAP_FAULT_TLS:
    case SP_LDAP_FAULT_KDC:
    case SP_LDAP_FAULT_UNPROVEN: return SP_LDAP_OUTCOME_ERROR;
    }
    return SP_LDAP_OUTCOME_ERROR;
}

static void count_dial(struct sp_ldap_server *server, const struct sp_ldap_dial_report *report)
{
    bool bound = false, came = false;

    for (size_t i = 0; i < report->steps_len; i++) {
        bound = bound || strcmp(report->steps[i].what, SP_LDAP_STEP_BIND) == 0;
        came = came || strcmp(report->steps[i].what, SP_LDAP_STEP_WAIT) == 0;
    }
    if (bound)
        sp_ldap_metrics_count(&server->metrics, SP_LDAP_OP_SERVICE_BIND, outcome_of(report->fault));
    sp_ldap_metrics_count(&server->metrics, SP_LDAP_OP_CONNECT,
                          bound || came ? SP_LDAP_OUTCOME_OK : outcome_of(report->fault));
}

static void trace_dial(struct sp_ldap_server *server, bool service,
                       const struct sp_ldap_dial_report *report)
{
    struct sp_list *queue = service ? &server->search_queue : &server->bind_queue;
    struct sp_list *node;

    SP_LIST_EACH (node, queue)
        sp_ldap_login_trace_dial(sp_container_of(node, struct sp_ldap_login, link), report);
}

/* The service identity's standing is everybody's news. */
static void note_service(struct sp_ldap_server *server, const struct sp_ldap_dial_report *report)
{
    const struct sp_auth_host *host = server->backend->host;

    if (!report->service_news)
        return;
    if (report->fault == SP_LDAP_FAULT_SERVICE)
        host->log(host, SP_LOG_ERROR, "event=ldap_service_refused server=%s reason=\"%s\"",
                  server->uri->text, report->words);
    else if (report->fault == SP_LDAP_FAULT_NONE)
        host->log(host, SP_LOG_INFO, "event=ldap_service_accepted server=%s", server->uri->text);
}

static void dial_failed(struct sp_ldap_conn *conn, const struct sp_ldap_dial_report *report)
{
    struct sp_ldap_server *server = conn->server;
    bool heir = server->heir == conn;

    sp_ldap_conn_enter(conn, SP_LDAP_CONN_CLOSING);
    sp_ldap_conn_leave(conn);
    free(conn);
    if (heir)
        sp_ldap_renew_heir_failed(server, report->words);
    else
        sp_ldap_server_fault(server, report->fault, report->words);
}

static void dial_succeeded(struct sp_ldap_conn *conn, enum sp_ldap_dial_depth depth,
                           struct sp_ldap_dial_report *report)
{
    struct sp_ldap_server *server = conn->server;
    struct sp_auth_backend *backend = server->backend;

    if (uv_poll_init(backend->host->loop, &conn->poll, sp_ldap_wire_fd(report->wire)) != 0) {
        sp_ldap_wire_free(&report->wire);
        report->fault = SP_LDAP_FAULT_FULL;
        dial_failed(conn, report);
        return;
    }
    backend->parts++;
    conn->wire = report->wire;
    report->wire = NULL;
    if (report->renew_after_ms > 0)
        conn->renew_at_ms = sp_ldap_now_ms(backend) + report->renew_after_ms;
    if (report->ends_after_ms > 0)
        conn->ends_at_ms = sp_ldap_now_ms(backend) + report->ends_after_ms;
    conn->used = conn->service;
    if (conn->service)
        sp_ldap_wire_hold(conn->wire);
    sp_ldap_conn_enter(conn, SP_LDAP_CONN_IDLE);
    if (server->heir == conn)
        sp_ldap_renew_heir_stands(server);
    if (depth != SP_LDAP_DIAL_CONNECT) /* a kernel, or a balancer, takes a connection too */
        sp_ldap_server_well(server);
    /* TLS may hold bytes that no poll will announce; then it is watched */
    sp_ldap_conn_drain(conn);
    sp_ldap_server_pump(server);
}

static void dial_done(struct sp_auth_work *work)
{
    struct dial *dial = sp_container_of(work, struct dial, work);
    struct sp_auth_backend *backend = dial->backend;
    struct sp_ldap_conn *conn = dial->conn;

    uv_update_time(backend->host->loop); /* deadlines count from now, not from before the wait */
    if (conn != NULL) {
        struct sp_ldap_server *server = conn->server;

        conn->poll.data = NULL;
        count_dial(server, &dial->report);
        trace_dial(server, conn->service, &dial->report);
        if (conn->service)
            note_service(server, &dial->report);
        if (dial->report.wire != NULL)
            dial_succeeded(conn, dial->depth, &dial->report);
        else
            dial_failed(conn, &dial->report);
    }
    sp_ldap_wire_free(&dial->report.wire);
    free(dial);
    sp_ldap_backend_part_gone(backend);
}

static enum sp_err start_dial(struct sp_ldap_conn *conn, enum sp_ldap_dial_depth depth)
{
    struct sp_auth_backend *backend = conn->server->backend;
    struct dial *dial = calloc(1, sizeof(*dial));
    enum sp_err err;

    if (dial == NULL)
        return SP_ERR_NOMEM;
    dial->work = (struct sp_auth_work){.run = run_dial, .done = dial_done, .waits = true};
    dial->backend = backend;
    dial->uri = conn->server->uri;
    dial->depth = depth;
    dial->conn = conn;
    err = backend->host->work(backend->host, &dial->work);
    if (err != SP_OK) {
        free(dial);
        return err;
    }
    conn->poll.data = dial;
    backend->parts++;
    return SP_OK;
}

void sp_ldap_conn_call_off(struct sp_ldap_conn *conn)
{
    struct dial *dial = conn->poll.data;

    dial->conn = NULL;
}

enum sp_err sp_ldap_conn_open(struct sp_ldap_server *server, bool service, bool prove,
                              struct sp_ldap_conn **conn_out)
{
    struct sp_ldap_conn *conn = calloc(1, sizeof(*conn));
    enum sp_err err;

    *conn_out = NULL;
    if (conn == NULL)
        return SP_ERR_NOMEM;
    conn->server = server;
    conn->state = SP_LDAP_CONN_DIALLING;
    conn->service = service;
    conn->renew_at_ms = SP_LDAP_NEVER;
    conn->ends_at_ms = SP_LDAP_NEVER;
    sp_list_init(&conn->link);
    sp_list_init(&conn->idle_link);
    sp_list_init(&conn->flights);
    err = start_dial(conn, service ? SP_LDAP_DIAL_SERVICE
                           : prove ? SP_LDAP_DIAL_PROVE
                                   : SP_LDAP_DIAL_CONNECT);
    if (err != SP_OK) {
        free(conn);
        return err;
    }
    sp_ldap_metrics_conn(&server->metrics, SP_LDAP_CONN_DIALLING, 1);
    if (service && server->service == NULL) {
        server->service = conn;
    } else if (service) {
        server->heir = conn;
    } else {
        sp_list_push(&server->conns, &conn->link);
        server->conns_len++;
        server->dials++;
    }
    *conn_out = conn;
    return SP_OK;
}
