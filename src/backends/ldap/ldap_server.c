/* One directory server as one worker sees it: its connections, who waits for one, and the deadlines
 * of both. Loop thread only. */
#include "backends/ldap/ldap_priv.h"

#include "backends/ldap/ldap_login.h"

#include <assert.h>
#include <string.h>

#define FIRST_DIAL_LOOK_MS 100

void sp_ldap_server_init(struct sp_ldap_server *server, struct sp_auth_backend *backend,
                         unsigned index)
{
    server->backend = backend;
    server->uri = &backend->config->servers[index];
    server->index = index;
    server->state = SP_LDAP_SERVER_UP;
    sp_list_init(&server->conns);
    sp_list_init(&server->idle);
    sp_list_init(&server->bind_queue);
    sp_list_init(&server->search_queue);
    sp_ldap_metrics_init(&server->metrics, backend->host, server->uri->text);
    sp_ldap_pace_init(&server->pace, (unsigned)backend->config->options->connections);
    sp_ldap_metrics_limit(&server->metrics, server->pace.limit);
}

void sp_ldap_server_close_conns(struct sp_ldap_server *server)
{
    while (!sp_list_empty(&server->conns)) {
        struct sp_ldap_conn *conn = sp_container_of(server->conns.next, struct sp_ldap_conn, link);

        sp_ldap_conn_close(&conn);
    }
    while (server->service != NULL) { /* its heir comes after it */
        struct sp_ldap_conn *conn = server->service;

        sp_ldap_conn_close(&conn);
    }
    if (server->retired != NULL) {
        struct sp_ldap_conn *conn = server->retired;

        sp_ldap_conn_close(&conn);
    }
}

void sp_ldap_server_close(struct sp_ldap_server *server)
{
    assert(server->queued == 0);
    sp_ldap_server_close_conns(server);
    sp_ldap_metrics_limit(&server->metrics, -(int64_t)server->pace.limit);
}

/* ---- the queues ---- */

void sp_ldap_server_submit(struct sp_ldap_server *server, struct sp_ldap_login *login, bool first)
{
    struct sp_list *queue = sp_ldap_login_wants_bind(login) ? &server->bind_queue
                                                            : &server->search_queue;

    if (server->queued >= SP_LDAP_QUEUE_MAX) {
        sp_ldap_login_unavailable(login, SP_LDAP_FAULT_FULL,
                                  "too many logins wait for this server");
        return;
    }
    if (first)
        sp_list_push_front(queue, &login->link);
    else
        sp_list_push(queue, &login->link);
    server->queued++;
    sp_ldap_backend_wake_at(server->backend, login->due_ms);
    sp_ldap_server_pump(server);
}

void sp_ldap_server_withdraw(struct sp_ldap_server *server, struct sp_ldap_login *login)
{
    sp_list_remove(&login->link);
    assert(server->queued > 0);
    server->queued--;
}

static struct sp_ldap_login *first_of(struct sp_list *queue)
{
    return sp_list_empty(queue) ? NULL : sp_container_of(queue->next, struct sp_ldap_login, link);
}

static void send_failed(struct sp_ldap_conn *conn, struct sp_ldap_login *login, enum sp_err err)
{
    if (err == SP_ERR_CLOSED) {
        sp_ldap_conn_lost(conn,
                          "the connection was closed"); /* first, or it would be chosen again */
        sp_ldap_login_again(login, "the connection was closed");
    } else {
        sp_ldap_login_unavailable(login, SP_LDAP_FAULT_FULL, "the request could not be made");
    }
}

/* True: one was sent or disposed of, look again. */
static bool pump_one_bind(struct sp_ldap_server *server)
{
    struct sp_ldap_login *login = first_of(&server->bind_queue);
    struct sp_ldap_conn *conn;
    enum sp_err err;

    if (login == NULL)
        return false;
    if (server->busy >= server->pace.limit) {
        sp_ldap_pace_full(&server->pace);
        return false;
    }
    if (sp_list_empty(&server->idle))
        return false;
    conn = sp_container_of(server->idle.next, struct sp_ldap_conn, idle_link);
    sp_ldap_server_withdraw(server, login);
    err = sp_ldap_conn_send_bind(conn, login);
    if (err != SP_OK)
        send_failed(conn, login, err);
    return true;
}

/* The first that may go: those that read pages go one at a time, and let others pass. */
static struct sp_ldap_login *next_search(struct sp_ldap_server *server)
{
    struct sp_list *node;

    SP_LIST_EACH (node, &server->search_queue) {
        struct sp_ldap_login *login = sp_container_of(node, struct sp_ldap_login, link);

        if (!login->paging || server->pager == NULL || server->pager == login)
            return login;
    }
    return NULL;
}

static bool pump_one_search(struct sp_ldap_server *server)
{
    struct sp_ldap_login *login = next_search(server);
    struct sp_ldap_conn *conn = server->service;
    enum sp_err err;

    if (login == NULL || conn == NULL || conn->state == SP_LDAP_CONN_DIALLING ||
        conn->flights_len >= SP_LDAP_FLIGHTS_MAX)
        return false;
    if (sp_ldap_renew_ended(conn)) {
        sp_ldap_renew_end(server);
        return true;
    }
    sp_ldap_server_withdraw(server, login);
    if (login->paging)
        server->pager = login;
    err = sp_ldap_conn_send_search(conn, login);
    if (err != SP_OK)
        send_failed(conn, login, err);
    return true;
}

static size_t length_to(const struct sp_list *queue, size_t enough)
{
    const struct sp_list *node;
    size_t len = 0;

    SP_LIST_EACH (node, queue) {
        if (++len >= enough)
            break;
    }
    return len;
}

/* As many dials as logins wait without a connection to come, within the bounds. */
static enum sp_err dial_more(struct sp_ldap_server *server)
{
    size_t waiting = length_to(&server->bind_queue, SP_LDAP_DIALS_MAX);
    enum sp_err err = SP_OK;

    while (err == SP_OK && server->dials < waiting && server->dials < SP_LDAP_DIALS_MAX &&
           server->conns_len < server->pace.limit) {
        struct sp_ldap_conn *conn;

        err = sp_ldap_conn_open(server, false, false, &conn);
    }
    /* No room in the pool, yet a connection exists or is coming: the logins can wait for that. */
    return server->conns_len > 0 ? SP_OK : err;
}

static enum sp_err dial_service(struct sp_ldap_server *server)
{
    struct sp_ldap_conn *conn;

    if (sp_list_empty(&server->search_queue) || server->service != NULL)
        return SP_OK;
    if (!sp_ldap_brake_may_try(server->backend->config->brake, uv_hrtime()))
        return SP_ERR_DENIED;
    return sp_ldap_conn_open(server, true, false, &conn);
}

void sp_ldap_server_pump(struct sp_ldap_server *server)
{
    enum sp_err err;

    if (server->state != SP_LDAP_SERVER_UP || server->backend->closing)
        return;
    sp_ldap_renew_sweep(server);
    while (pump_one_search(server) || pump_one_bind(server))
        ;
    if (server->state != SP_LDAP_SERVER_UP)
        return;
    err = dial_more(server);
    if (err == SP_OK)
        err = dial_service(server);
    if (err == SP_ERR_DENIED)
        sp_ldap_server_fault(server, SP_LDAP_FAULT_SERVICE,
                             "the service identity was refused a moment ago");
    else if (err != SP_OK)
        sp_ldap_server_fault(server, SP_LDAP_FAULT_FULL, "no room to open a connection");
}

/* ---- deadlines ---- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Deadlines in a queue are almost in order (a second try stands in front), and all are looked at:
 * queues are short when a clock of some seconds strikes. While the first connection is dialled,
 * nobody is turned away: the dial has its own end, and knows better what is wrong. */
static uint64_t tick_queue(struct sp_ldap_server *server, struct sp_list *queue, bool first_dial,
                           uint64_t now_ms)
{
    struct sp_list *node;
    struct sp_list *after;
    uint64_t next = SP_LDAP_NEVER;

    if (first_dial)
        return sp_list_empty(queue) ? SP_LDAP_NEVER : now_ms + FIRST_DIAL_LOOK_MS;

    SP_LIST_EACH_SAFE (node, after, queue) {
        struct sp_ldap_login *login = sp_container_of(node, struct sp_ldap_login, link);

        if (login->due_ms > now_ms) {
            next = earlier(next, login->due_ms);
            continue;
        }
        sp_ldap_server_withdraw(server, login);
        sp_ldap_login_unavailable(login, SP_LDAP_FAULT_FULL, "no connection became free in time");
    }
    return next;
}

/* A request is overdue. Has the server said anything to anybody since it was sent? Then this one is
 * slow, and nobody else suffers for it; if not, the server hangs. */
static void overdue(struct sp_ldap_server *server, struct sp_ldap_login *login, uint64_t sent_ms)
{
    if (server->answered_ms <= sent_ms) {
        sp_ldap_server_fault(server, SP_LDAP_FAULT_TIMEOUT, "no answer in time");
    } else {
        sp_ldap_conn_forget(login->conn, login);
        sp_ldap_login_elsewhere(login, SP_LDAP_FAULT_TIMEOUT, "no answer in time");
    }
}

/* `conn` is where the server has it: it may go with an overdue request. */
static uint64_t tick_flights(struct sp_ldap_server *server, struct sp_ldap_conn *const *conn,
                             uint64_t now_ms)
{
    uint64_t next = SP_LDAP_NEVER;

    while (*conn != NULL && !sp_list_empty(&(*conn)->flights)) {
        struct sp_ldap_login *login = sp_container_of((*conn)->flights.next, struct sp_ldap_login,
                                                      link);

        if (login->due_ms > now_ms) {
            next = login->due_ms;
            break;
        }
        sp_ldap_metrics_count(&server->metrics, SP_LDAP_OP_SEARCH, SP_LDAP_OUTCOME_TIMEOUT);
        overdue(server, login, login->sent_ms);
    }
    return next;
}

static uint64_t tick_idle(struct sp_ldap_server *server, struct sp_ldap_conn *conn, uint64_t now_ms)
{
    uint64_t due = conn->idle_since_ms + server->backend->config->options->idle_timeout_ms;

    if (due > now_ms)
        return due;
    sp_ldap_conn_close(&conn);
    return SP_LDAP_NEVER;
}

/* One overdue bind; its connection cannot be used for another while an answer may come. */
static void tick_bind(struct sp_ldap_server *server, struct sp_ldap_conn *conn)
{
    struct sp_ldap_login *login = conn->login;
    uint64_t sent_ms = conn->bind_sent_ms;

    sp_ldap_metrics_count(&server->metrics, SP_LDAP_OP_BIND, SP_LDAP_OUTCOME_TIMEOUT);
    if (server->answered_ms <= sent_ms) {
        sp_ldap_server_fault(server, SP_LDAP_FAULT_TIMEOUT, "no answer in time");
        return;
    }
    if (login != NULL)
        sp_ldap_conn_forget(conn, login);
    sp_ldap_conn_close(&conn);
    if (login != NULL)
        sp_ldap_login_elsewhere(login, SP_LDAP_FAULT_TIMEOUT, "no answer in time");
}

static uint64_t tick_conns(struct sp_ldap_server *server, uint64_t now_ms)
{
    struct sp_list *node = server->conns.next;
    uint64_t next = SP_LDAP_NEVER;

    while (node != &server->conns) {
        struct sp_ldap_conn *conn = sp_container_of(node, struct sp_ldap_conn, link);

        node = node->next;
        if (conn->state == SP_LDAP_CONN_IDLE) {
            next = earlier(next, tick_idle(server, conn, now_ms));
        } else if (conn->state == SP_LDAP_CONN_BUSY && conn->bind_due_ms > now_ms) {
            next = earlier(next, conn->bind_due_ms);
        } else if (conn->state == SP_LDAP_CONN_BUSY) {
            tick_bind(server, conn);
            node = server->conns.next; /* any of them may have gone with it */
        }
    }
    if (server->service != NULL && server->service->state == SP_LDAP_CONN_IDLE)
        next = earlier(next, tick_idle(server, server->service, now_ms));
    return next;
}

static bool service_dialling(const struct sp_ldap_server *server)
{
    return server->service != NULL && server->service->state == SP_LDAP_CONN_DIALLING;
}

static bool first_bind_dialling(const struct sp_ldap_server *server)
{
    return server->dials > 0 && server->dials == server->conns_len;
}

uint64_t sp_ldap_server_tick(struct sp_ldap_server *server, uint64_t now_ms)
{
    uint64_t next = tick_flights(server, &server->service, now_ms);

    next = earlier(next, tick_flights(server, &server->retired, now_ms));
    next = earlier(next, sp_ldap_renew_tick(server, now_ms));
    next = earlier(next, tick_conns(server, now_ms));
    next = earlier(next,
                   tick_queue(server, &server->search_queue, service_dialling(server), now_ms));
    next = earlier(next,
                   tick_queue(server, &server->bind_queue, first_bind_dialling(server), now_ms));
    sp_ldap_server_pump(server);
    return next;
}
