/* One wire on the loop: dialled on the pool, watched with a uv_poll_t, and what is in flight on it.
 * A connection for binds carries one bind at a time and nothing else (RFC 4511 4.2.1); the service
 * connection carries many searches. Loop thread only, but for run_dial. */
#include "backends/ldap/ldap_login.h"
#include "backends/ldap/ldap_priv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REST_MS 1000

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

/* The dial that a connection in DIALLING waits for hangs on its poll.data. */

static bool may_enter(enum sp_ldap_conn_state from, enum sp_ldap_conn_state to)
{
    switch (from) {
    case SP_LDAP_CONN_DIALLING: return to == SP_LDAP_CONN_IDLE || to == SP_LDAP_CONN_CLOSING;
    case SP_LDAP_CONN_IDLE: return to == SP_LDAP_CONN_BUSY || to == SP_LDAP_CONN_CLOSING;
    case SP_LDAP_CONN_BUSY: return to == SP_LDAP_CONN_IDLE || to == SP_LDAP_CONN_CLOSING;
    case SP_LDAP_CONN_CLOSING: return false;
    }
    return false;
}

static void conn_enter(struct sp_ldap_conn *conn, enum sp_ldap_conn_state next)
{
    struct sp_ldap_server *server = conn->server;

    (void)may_enter;
    assert(may_enter(conn->state, next));
    sp_ldap_metrics_conn(&server->metrics, conn->state, -1);
    sp_ldap_metrics_conn(&server->metrics, next, 1);
    if (conn->state == SP_LDAP_CONN_DIALLING && !conn->service)
        server->dials--;
    if (conn->state == SP_LDAP_CONN_BUSY && !conn->service)
        server->busy--;
    if (next == SP_LDAP_CONN_BUSY && !conn->service)
        server->busy++;
    sp_list_remove(&conn->idle_link);
    conn->state = next;
    if (next != SP_LDAP_CONN_IDLE)
        return;
    conn->idle_since_ms = sp_ldap_now_ms(server->backend);
    if (!conn->service) /* the last used is used next, so that those not needed grow old and close
                         */
        sp_list_push_front(&server->idle, &conn->idle_link);
    sp_ldap_backend_wake_at(server->backend, conn->idle_since_ms +
                                                 server->backend->config->options->idle_timeout_ms);
    sp_ldap_backend_wake_at(server->backend, conn->renew_at_ms);
}

/* ---- closing ---- */

static void on_poll_closed(uv_handle_t *handle)
{
    struct sp_ldap_conn *conn = sp_container_of(handle, struct sp_ldap_conn, poll);
    struct sp_auth_backend *backend = conn->server->backend;

    free(conn);
    sp_ldap_backend_part_gone(backend);
}

/* Off its server. An heir comes into its place whether it stands already or not. */
static void leave_server(struct sp_ldap_conn *conn)
{
    struct sp_ldap_server *server = conn->server;

    sp_list_remove(&conn->link);
    if (!conn->service) {
        server->conns_len--;
    } else if (server->service == conn) {
        server->service = server->heir;
        server->heir = NULL;
    } else if (server->heir == conn) {
        server->heir = NULL;
    } else if (server->retired == conn) {
        server->retired = NULL;
    }
}

void sp_ldap_conn_close(struct sp_ldap_conn **conn_ref)
{
    struct sp_ldap_conn *conn = *conn_ref;
    struct dial *dial = conn->state == SP_LDAP_CONN_DIALLING ? conn->poll.data : NULL;

    *conn_ref = NULL;
    if (conn->state == SP_LDAP_CONN_CLOSING)
        return;
    assert(conn->flights_len == 0 && conn->login == NULL);
    conn_enter(conn, SP_LDAP_CONN_CLOSING);
    leave_server(conn);
    if (dial != NULL) {
        dial->conn = NULL;
        free(conn);
        return;
    }
    uv_close((uv_handle_t *)&conn->poll, on_poll_closed); /* stops watching at once */
    sp_ldap_wire_free(&conn->wire);
}

static void count_lost(struct sp_ldap_conn *conn)
{
    if (conn->state == SP_LDAP_CONN_BUSY)
        sp_ldap_metrics_count(&conn->server->metrics,
                              conn->service ? SP_LDAP_OP_SEARCH : SP_LDAP_OP_BIND,
                              SP_LDAP_OUTCOME_LOST);
}

/* Other connections that have been idle as long are likely to be as dead: a server or a firewall
 * that forgot one forgot them all. */
static void close_idle(struct sp_ldap_server *server)
{
    while (!sp_list_empty(&server->idle)) {
        struct sp_ldap_conn *conn = sp_container_of(server->idle.next, struct sp_ldap_conn,
                                                    idle_link);

        sp_ldap_conn_close(&conn);
    }
}

/* A connection that has served before and breaks under a request was probably dead already: its
 * logins get one fresh connection. One that breaks at its first request is the server's fault. */
void sp_ldap_conn_lost(struct sp_ldap_conn *conn, const char *words)
{
    struct sp_ldap_server *server = conn->server;
    bool stale = conn->used;
    struct sp_list logins;
    struct sp_list *node;

    if (conn->state == SP_LDAP_CONN_CLOSING)
        return;
    count_lost(conn);
    sp_list_init(&logins);
    if (conn->login != NULL) {
        struct sp_ldap_login *login = conn->login;

        sp_ldap_conn_forget(conn, login);
        sp_list_push(&logins, &login->link);
    }
    while (!sp_list_empty(&conn->flights)) {
        struct sp_ldap_login *login = sp_container_of(conn->flights.next, struct sp_ldap_login,
                                                      link);

        sp_ldap_conn_forget(conn, login);
        sp_list_push(&logins, &login->link);
    }
    sp_ldap_conn_close(&conn);
    if (!sp_list_empty(&logins))
        close_idle(server);
    if (!stale && !sp_list_empty(&logins))
        sp_ldap_server_fault(server, SP_LDAP_FAULT_LOST, words);
    while ((node = sp_list_shift(&logins)) != NULL) {
        struct sp_ldap_login *login = sp_container_of(node, struct sp_ldap_login, link);

        if (stale)
            sp_ldap_login_again(login, words);
        else
            sp_ldap_login_elsewhere(login, SP_LDAP_FAULT_LOST, words);
    }
}

/* ---- answers ---- */

static void note_pace(struct sp_ldap_conn *conn, LDAPMessage *answer)
{
    struct sp_ldap_server *server = conn->server;
    unsigned before = server->pace.limit;
    int result = LDAP_OTHER;

    if (ldap_parse_result(sp_ldap_wire_handle(conn->wire), answer, &result, NULL, NULL, NULL, NULL,
                          0) == LDAP_SUCCESS &&
        result == LDAP_SUCCESS &&
        sp_ldap_pace_ended(&server->pace, (uv_hrtime() - conn->bind_sent_ns) / 1000))
        sp_ldap_metrics_limit(&server->metrics, (int64_t)server->pace.limit - before);
}

static void deliver_bind(struct sp_ldap_conn *conn, LDAPMessage *answer)
{
    struct sp_ldap_login *login = conn->login;
    struct sp_ldap_server *server = conn->server;

    if (conn->state != SP_LDAP_CONN_BUSY || ldap_msgid(answer) != conn->bind_msgid)
        return;
    conn->login = NULL;
    conn_enter(conn, SP_LDAP_CONN_IDLE);
    note_pace(conn, answer);
    if (login != NULL)
        sp_ldap_login_bound(login, sp_ldap_wire_handle(conn->wire), answer);
    sp_ldap_server_pump(server);
}

static void deliver_search(struct sp_ldap_conn *conn, LDAPMessage *answer)
{
    struct sp_ldap_server *server = conn->server;
    struct sp_list *node;

    SP_LIST_EACH (node, &conn->flights) {
        struct sp_ldap_login *login = sp_container_of(node, struct sp_ldap_login, link);

        if (login->msgid != ldap_msgid(answer))
            continue;
        sp_list_remove(&login->link);
        login->conn = NULL;
        if (--conn->flights_len == 0)
            conn_enter(conn, SP_LDAP_CONN_IDLE);
        sp_ldap_login_found(login, sp_ldap_wire_handle(conn->wire), answer);
        sp_ldap_server_pump(server);
        return;
    }
}

/* RFC 4511 4.4.1: message 0 comes unasked, and so far it always says goodbye. */
static void said_goodbye(struct sp_ldap_conn *conn, LDAPMessage *notice)
{
    char *diagnostic = NULL;
    char words[256];
    int result = LDAP_OTHER;

    if (ldap_parse_result(sp_ldap_wire_handle(conn->wire), notice, &result, NULL, &diagnostic, NULL,
                          NULL, 0) != LDAP_SUCCESS)
        result = LDAP_OTHER;
    snprintf(words, sizeof(words), "notice of disconnection: %s (%d)%s%s", ldap_err2string(result),
             result, diagnostic != NULL && diagnostic[0] != '\0' ? ": " : "",
             diagnostic != NULL ? diagnostic : "");
    ldap_memfree(diagnostic);
    conn->server->backend->host->log(conn->server->backend->host, SP_LOG_INFO,
                                     "event=ldap_goodbye server=%s reason=\"%s\"",
                                     conn->server->uri->text, words);
    sp_ldap_conn_lost(conn, words);
}

static void deliver(struct sp_ldap_conn *conn, LDAPMessage *answer)
{
    sp_ldap_server_well(conn->server);
    conn->used = true;
    if (conn->service)
        deliver_search(conn, answer);
    else
        deliver_bind(conn, answer);
}

static void watch(struct sp_ldap_conn *conn);

static void drain(struct sp_ldap_conn *conn)
{
    LDAPMessage *message = NULL;
    enum sp_err err;

    if (conn->state == SP_LDAP_CONN_CLOSING)
        return; /* a login that came to it meanwhile has found it of no use */
    while ((err = sp_ldap_wire_next(conn->wire, &message)) == SP_OK) {
        if (ldap_msgid(message) == 0) /* no answer: who says nothing else is not well */
            said_goodbye(conn, message);
        else
            deliver(conn, message);
        ldap_msgfree(message);
        if (conn->state == SP_LDAP_CONN_CLOSING)
            return; /* still ours: freed when its handle has closed */
    }
    if (err == SP_ERR_TOO_LARGE)
        sp_ldap_conn_lost(conn, "the server's answer has no end");
    else if (err == SP_ERR_INVALID) /* libldap loses the request: so no second one like it */
        sp_ldap_server_fault(conn->server, SP_LDAP_FAULT_GARBLED, "its answer is not LDAP");
    else if (err == SP_ERR_CLOSED)
        sp_ldap_conn_lost(conn, "the server closed the connection");
    else
        watch(conn);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct sp_ldap_conn *conn = sp_container_of(poll, struct sp_ldap_conn, poll);

    if (status < 0) {
        sp_ldap_conn_lost(conn, "the connection broke");
        return;
    }
    if ((events & UV_WRITABLE) != 0 && sp_ldap_wire_flush(conn->wire) != SP_OK) {
        sp_ldap_conn_lost(conn, "the server closed the connection");
        return;
    }
    drain(conn);
}

void sp_ldap_conn_flush(struct sp_ldap_conn *conn)
{
    if (conn->wire == NULL || !sp_ldap_wire_holds(conn->wire))
        return;
    if (sp_ldap_wire_flush(conn->wire) == SP_OK)
        watch(conn);
    else
        sp_ldap_conn_lost(conn, "the server closed the connection");
}

/* Readable always; writable while the socket owes us room. What the wire holds goes out soon. */
static void watch(struct sp_ldap_conn *conn)
{
    int events = UV_READABLE | (sp_ldap_wire_wants_write(conn->wire) ? UV_WRITABLE : 0);

    if (sp_ldap_wire_holds(conn->wire))
        sp_ldap_backend_soon(conn->server->backend);
    if (events == conn->events)
        return;
    conn->events = events;
    (void)uv_poll_start(&conn->poll, events, on_poll); /* fails only on a closing handle */
}

/* ---- dialling ---- */

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
    case SP_LDAP_FAULT_KDC: return SP_LDAP_OUTCOME_ERROR;
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

    conn_enter(conn, SP_LDAP_CONN_CLOSING);
    leave_server(conn);
    free(conn);
    if (heir)
        sp_ldap_renew_heir_failed(server, report->words);
    else
        sp_ldap_server_fault(server, report->fault, report->words);
}

static void dial_succeeded(struct sp_ldap_conn *conn, struct sp_ldap_dial_report *report)
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
    conn_enter(conn, SP_LDAP_CONN_IDLE);
    if (server->heir == conn)
        sp_ldap_renew_heir_stands(server);
    sp_ldap_server_well(server);
    drain(conn); /* TLS may hold bytes that no poll will announce; then it is watched */
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
            dial_succeeded(conn, &dial->report);
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

/* ---- requests ---- */

static enum sp_err request_error(int rc)
{
    return rc == LDAP_SERVER_DOWN || rc == LDAP_CONNECT_ERROR ? SP_ERR_CLOSED : SP_ERR_INVALID;
}

/* A connection that rested may have died unseen: a loss under its next request says nothing about
 * the server. */
static void note_rest(struct sp_ldap_conn *conn)
{
    if (conn->state == SP_LDAP_CONN_IDLE &&
        sp_ldap_now_ms(conn->server->backend) - conn->idle_since_ms >= REST_MS)
        conn->used = true;
}

enum sp_err sp_ldap_conn_send_bind(struct sp_ldap_conn *conn, struct sp_ldap_login *login)
{
    int msgid = 0;
    int rc;

    note_rest(conn);
    login->sent_ns = uv_hrtime(); /* before the call: a server nearby answers while it lasts */
    rc = sp_ldap_wire_bind(conn->wire, login->dn, sp_secret_span(&login->password), &msgid);
    if (rc != LDAP_SUCCESS)
        return request_error(rc);
    conn_enter(conn, SP_LDAP_CONN_BUSY);
    conn->login = login;
    conn->bind_msgid = msgid;
    sp_ldap_login_sent(login, conn, msgid);
    conn->bind_sent_ms = login->sent_ms;
    conn->bind_sent_ns = login->sent_ns;
    conn->bind_due_ms = login->due_ms;
    watch(conn);
    return SP_OK;
}

static struct timeval server_limit(uint64_t timeout_ms)
{
    return (struct timeval){(time_t)((timeout_ms + 999) / 1000), 0};
}

enum sp_err sp_ldap_conn_send_search(struct sp_ldap_conn *conn, struct sp_ldap_login *login)
{
    LDAP *ld = sp_ldap_wire_handle(conn->wire);
    struct timeval limit = server_limit(conn->server->backend->config->options->timeout_ms);
    struct sp_ldap_search search;
    LDAPControl *controls[] = {NULL, NULL};
    int msgid = 0;
    int rc;

    note_rest(conn);
    if (sp_ldap_login_search(login, ld, &search) != SP_OK)
        return SP_ERR_INVALID;
    controls[0] = search.control;
    login->sent_ns = uv_hrtime();
    rc = ldap_search_ext(ld, search.base, LDAP_SCOPE_SUBTREE, search.filter, search.attributes, 0,
                         controls, NULL, &limit, search.size_limit, &msgid);
    ldap_control_free(search.control);
    if (rc != LDAP_SUCCESS)
        return request_error(rc);
    if (conn->flights_len++ == 0)
        conn_enter(conn, SP_LDAP_CONN_BUSY);
    sp_list_push(&conn->flights, &login->link);
    sp_ldap_login_sent(login, conn, msgid);
    watch(conn);
    return SP_OK;
}

void sp_ldap_conn_forget(struct sp_ldap_conn *conn, struct sp_ldap_login *login)
{
    login->conn = NULL;
    if (!conn->service) { /* the answer still comes, and frees the connection for the next bind */
        conn->login = NULL;
        return;
    }
    sp_list_remove(&login->link);
    (void)ldap_abandon_ext(sp_ldap_wire_handle(conn->wire), login->msgid, NULL, NULL);
    if (--conn->flights_len == 0)
        conn_enter(conn, SP_LDAP_CONN_IDLE);
    watch(conn);
}
