/* Is a server worth asking? Faults open its breaker: then it is left alone for a while, and its
 * logins go elsewhere. A probe, one dial with an answer at its end, closes it again. Loop thread
 * only. */
#include "backends/ldap/ldap_login.h"
#include "backends/ldap/ldap_priv.h"

#include <stdio.h>
#include <uv.h>

#define FAULTS_MAX     3    /* in a row; the breaker opens */
#define PAUSE_FIRST_MS 5000 /* doubling */
#define PAUSE_MAX_MS   60000
#define ALONE_MS       2000  /* between probes of a server while no other is up */
#define FAIL_BACK_MS   30000 /* a preferred server is looked at so often while another serves */

/* xorshift; three quarters to five quarters of x, so that workers and machines do not knock in
 * step. */
static uint64_t jittered(struct sp_auth_backend *backend, uint64_t x)
{
    backend->random ^= backend->random << 13;
    backend->random ^= backend->random >> 7;
    backend->random ^= backend->random << 17;
    return x - x / 4 + backend->random % (x / 2 + 1);
}

bool sp_ldap_server_probe_due(const struct sp_ldap_server *server, uint32_t tried)
{
    uint64_t pause = server->pause_ms;

    if (server->state != SP_LDAP_SERVER_DOWN)
        return false;
    /* While nobody else answers, people are at the door: a server that comes back is wanted at
     * once. */
    if (!sp_ldap_backend_other_up(server->backend, server, tried))
        return sp_ldap_now_ms(server->backend) >= server->fell_ms + ALONE_MS;
    if (pause > FAIL_BACK_MS)
        pause = FAIL_BACK_MS;
    return sp_ldap_now_ms(server->backend) >= server->down_ms + pause;
}

static bool needs_service(const struct sp_ldap_options *options)
{
    return options->user_dn[0] == '\0' || options->group_base[0] != '\0';
}

/* One dial with an answer at its end: the service identity's where logins need that, else any. */
void sp_ldap_server_probe(struct sp_ldap_server *server)
{
    bool service = needs_service(server->backend->config->options);
    struct sp_ldap_conn *conn;

    if (service && !sp_ldap_brake_may_try(server->backend->config->brake, uv_hrtime()))
        return;
    server->state = SP_LDAP_SERVER_PROBING;
    if (sp_ldap_conn_open(server, service, !service, &conn) != SP_OK)
        server->state = SP_LDAP_SERVER_DOWN; /* no room just now; the next login tries again */
}

void sp_ldap_server_heard(struct sp_ldap_server *server)
{
    server->answered_ms = sp_ldap_now_ms(server->backend);
}

void sp_ldap_server_well(struct sp_ldap_server *server)
{
    sp_ldap_server_heard(server);
    server->faults = 0;
    if (server->state == SP_LDAP_SERVER_UP && server->fault == SP_LDAP_FAULT_NONE)
        return;
    if (server->state != SP_LDAP_SERVER_UP)
        server->backend->host->log(server->backend->host, SP_LOG_INFO,
                                   "event=ldap_server_up server=%s", server->uri->text);
    server->state = SP_LDAP_SERVER_UP;
    server->fault = SP_LDAP_FAULT_NONE;
    server->pause_ms = 0;
}

static void gather_flights(struct sp_ldap_conn *conn, struct sp_list *out)
{
    while (conn != NULL && !sp_list_empty(&conn->flights)) {
        struct sp_ldap_login *login = sp_container_of(conn->flights.next, struct sp_ldap_login,
                                                      link);

        sp_ldap_conn_forget(conn, login);
        sp_list_push(out, &login->link);
    }
}

/* Everything that waits at this server, or is in flight on it, to `out`, with its request let go.
 */
static void gather(struct sp_ldap_server *server, struct sp_list *out)
{
    struct sp_list *node;
    struct sp_list *after;

    sp_list_init(out);
    sp_list_move_all(out, &server->search_queue);
    sp_list_move_all(out, &server->bind_queue);
    server->queued = 0;
    SP_LIST_EACH_SAFE (node, after, &server->conns) {
        struct sp_ldap_conn *conn = sp_container_of(node, struct sp_ldap_conn, link);
        struct sp_ldap_login *login = conn->login;

        if (login == NULL)
            continue;
        sp_ldap_conn_forget(conn, login);
        sp_list_push(out, &login->link);
    }
    gather_flights(server->service, out);
    gather_flights(server->retired, out);
}

static void send_elsewhere(struct sp_list *logins, enum sp_ldap_fault fault, const char *words)
{
    struct sp_list *node;

    while ((node = sp_list_shift(logins)) != NULL)
        sp_ldap_login_elsewhere(sp_container_of(node, struct sp_ldap_login, link), fault, words);
}

static void open_breaker(struct sp_ldap_server *server)
{
    struct sp_auth_backend *backend = server->backend;
    struct sp_list logins;
    uint64_t pause = server->pause_ms == 0 ? PAUSE_FIRST_MS : server->pause_ms * 2;
    bool news = server->state == SP_LDAP_SERVER_UP;

    pause = pause > PAUSE_MAX_MS ? PAUSE_MAX_MS : pause;
    server->state = SP_LDAP_SERVER_DOWN;
    server->pause_ms = pause;
    server->fell_ms = sp_ldap_now_ms(backend);
    server->down_ms = sp_ldap_now_ms(backend) + jittered(backend, pause) - pause;
    backend->host->log(backend->host, news ? SP_LOG_WARNING : SP_LOG_DEBUG,
                       "event=ldap_server_down server=%s reason=\"%s\" retry_after_s=%u",
                       server->uri->text, server->fault_words, (unsigned)(pause / 1000));
    gather(server, &logins);
    sp_ldap_server_close_conns(server);
    send_elsewhere(&logins, server->fault, server->fault_words);
}

/* Logins that wait for a kind of connection of which there is none go elsewhere at once. */
static void move_waiting(struct sp_ldap_server *server)
{
    struct sp_list logins;
    struct sp_list *node;
    unsigned moved = 0;

    sp_list_init(&logins);
    if (server->service == NULL)
        sp_list_move_all(&logins, &server->search_queue);
    if (server->conns_len == 0)
        sp_list_move_all(&logins, &server->bind_queue);
    SP_LIST_EACH (node, &logins)
        moved++;
    server->queued -= moved;
    send_elsewhere(&logins, server->fault, server->fault_words);
}

/* A server that is silent, or whose TLS, ticket or service bind fails, will not do better at once;
 * one that refused or broke a connection may have been restarted, and has three tries. */
static bool opens_breaker(const struct sp_ldap_server *server, enum sp_ldap_fault fault)
{
    switch (fault) {
    case SP_LDAP_FAULT_NONE:
    case SP_LDAP_FAULT_STOPPED:
    case SP_LDAP_FAULT_FULL: return server->state == SP_LDAP_SERVER_PROBING;
    case SP_LDAP_FAULT_TIMEOUT:
    case SP_LDAP_FAULT_GARBLED:
    case SP_LDAP_FAULT_TLS:
    case SP_LDAP_FAULT_KDC:
    case SP_LDAP_FAULT_UNPROVEN:
    case SP_LDAP_FAULT_SERVICE: return true;
    case SP_LDAP_FAULT_LOST:
    case SP_LDAP_FAULT_CONNECT:
    case SP_LDAP_FAULT_ANSWER:
        return server->state == SP_LDAP_SERVER_PROBING || server->faults >= FAULTS_MAX;
    }
    return false;
}

void sp_ldap_server_fault(struct sp_ldap_server *server, enum sp_ldap_fault fault,
                          const char *words)
{
    if (server->backend->closing || server->state == SP_LDAP_SERVER_DOWN)
        return;
    if (fault != SP_LDAP_FAULT_FULL)
        server->faults++;
    server->fault = fault;
    if (words != server->fault_words)
        snprintf(server->fault_words, sizeof(server->fault_words), "%s", words);
    if (opens_breaker(server, fault))
        open_breaker(server);
    else
        move_waiting(server);
}
