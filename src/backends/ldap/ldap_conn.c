/* One wire on the loop, dialled by ldap_conn_dial.c: watched with a uv_poll_t, and what is in
 * flight on it. A connection for binds carries one bind at a time and nothing else (RFC
 * 4511 4.2.1); the service connection carries many searches. Loop thread only. */
#include "backends/ldap/ldap_conn_priv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REST_MS 1000

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

void sp_ldap_conn_enter(struct sp_ldap_conn *conn, enum sp_ldap_conn_state next)
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

void sp_ldap_conn_leave(struct sp_ldap_conn *conn)
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
    bool dialling = conn->state == SP_LDAP_CONN_DIALLING;

    *conn_ref = NULL;
    if (conn->state == SP_LDAP_CONN_CLOSING)
        return;
    assert(conn->flights_len == 0 && conn->login == NULL);
    sp_ldap_conn_enter(conn, SP_LDAP_CONN_CLOSING);
    sp_ldap_conn_leave(conn);
    if (dialling) {
        sp_ldap_conn_call_off(conn);
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
    sp_ldap_conn_enter(conn, SP_LDAP_CONN_IDLE);
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
            sp_ldap_conn_enter(conn, SP_LDAP_CONN_IDLE);
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

/* Then the login goes elsewhere, and the server has one fault more in a row. */
static bool says_busy(struct sp_ldap_conn *conn, LDAPMessage *answer)
{
    int result = LDAP_OTHER;

    return ldap_parse_result(sp_ldap_wire_handle(conn->wire), answer, &result, NULL, NULL, NULL,
                             NULL, 0) == LDAP_SUCCESS &&
           (result == LDAP_BUSY || result == LDAP_UNAVAILABLE);
}

static void deliver(struct sp_ldap_conn *conn, LDAPMessage *answer)
{
    if (says_busy(conn, answer))
        sp_ldap_server_heard(conn->server);
    else
        sp_ldap_server_well(conn->server);
    conn->used = true;
    if (conn->service)
        deliver_search(conn, answer);
    else
        deliver_bind(conn, answer);
}

static void watch(struct sp_ldap_conn *conn);

void sp_ldap_conn_drain(struct sp_ldap_conn *conn)
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
    sp_ldap_conn_drain(conn);
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

    sp_ldap_wire_expect(conn->wire, conn->flights_len);
    if (sp_ldap_wire_holds(conn->wire))
        sp_ldap_backend_soon(conn->server->backend);
    if (events == conn->events)
        return;
    conn->events = events;
    (void)uv_poll_start(&conn->poll, events, on_poll); /* fails only on a closing handle */
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
    sp_ldap_conn_enter(conn, SP_LDAP_CONN_BUSY);
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
        sp_ldap_conn_enter(conn, SP_LDAP_CONN_BUSY);
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
        sp_ldap_conn_enter(conn, SP_LDAP_CONN_IDLE);
    watch(conn);
}
