/* The service connection and its heir. An identity by Kerberos lasts as long as its ticket; before
 * that ends a new connection is dialled, with a new ticket, and the old one goes on serving until
 * the new one stands, or the ticket has ended. So a KDC that is gone for less than what is left of
 * the ticket is not noticed by anybody. Loop thread only. */
#include "backends/ldap/ldap_login.h"
#include "backends/ldap/ldap_priv.h"

#define AGAIN_SHARE    8 /* of the time that is left, between tries to renew */
#define AGAIN_LEAST_MS 2000

/* No more searches go to it; it closes when the last one is answered. */
static void retire(struct sp_ldap_server *server, struct sp_ldap_conn *conn)
{
    if (server->retired != NULL) /* it has had a ticket's life for its last answers */
        sp_ldap_conn_lost(server->retired, "the connection was closed");
    if (conn->flights_len == 0)
        sp_ldap_conn_close(&conn);
    else
        server->retired = conn;
}

void sp_ldap_renew_heir_stands(struct sp_ldap_server *server)
{
    struct sp_ldap_conn *old = server->service;

    server->service = server->heir;
    server->heir = NULL;
    retire(server, old);
}

static void again_later(struct sp_ldap_conn *conn)
{
    uint64_t now_ms = sp_ldap_now_ms(conn->server->backend);
    uint64_t left_ms = conn->ends_at_ms > now_ms ? conn->ends_at_ms - now_ms : 0;
    uint64_t pause_ms = left_ms / AGAIN_SHARE;

    conn->renew_at_ms = now_ms + (pause_ms > AGAIN_LEAST_MS ? pause_ms : AGAIN_LEAST_MS);
    sp_ldap_backend_wake_at(conn->server->backend, conn->renew_at_ms);
}

/* The one that stands is as good as before: this is no fault of the server's. */
void sp_ldap_renew_heir_failed(struct sp_ldap_server *server, const char *words)
{
    const struct sp_auth_host *host = server->backend->host;
    struct sp_ldap_conn *conn = server->service;
    uint64_t now_ms = sp_ldap_now_ms(server->backend);

    host->log(host, conn->renew_failed ? SP_LOG_DEBUG : SP_LOG_WARNING,
              "event=ldap_not_renewed server=%s reason=\"%s\" ends_in_s=%u", server->uri->text,
              words,
              (unsigned)(conn->ends_at_ms > now_ms ? (conn->ends_at_ms - now_ms) / 1000 : 0));
    conn->renew_failed = true;
    again_later(conn);
}

bool sp_ldap_renew_ended(const struct sp_ldap_conn *conn)
{
    return conn->ends_at_ms <= sp_ldap_now_ms(conn->server->backend);
}

void sp_ldap_renew_end(struct sp_ldap_server *server)
{
    struct sp_ldap_conn *old = server->service;

    server->service = server->heir; /* which may stand yet */
    server->heir = NULL;
    retire(server, old);
}

void sp_ldap_renew_sweep(struct sp_ldap_server *server)
{
    struct sp_ldap_conn *conn = server->retired;

    if (conn != NULL && conn->flights_len == 0)
        sp_ldap_conn_close(&conn);
}

uint64_t sp_ldap_renew_tick(struct sp_ldap_server *server, uint64_t now_ms)
{
    struct sp_ldap_conn *conn = server->service;
    struct sp_ldap_conn *heir;

    if (conn == NULL || conn->state == SP_LDAP_CONN_DIALLING)
        return SP_LDAP_NEVER;
    if (sp_ldap_renew_ended(conn)) {
        sp_ldap_renew_end(server);
        return SP_LDAP_NEVER;
    }
    if (server->heir == NULL && conn->renew_at_ms <= now_ms &&
        (!sp_ldap_brake_may_try(server->backend->config->brake, uv_hrtime()) ||
         sp_ldap_conn_open(server, true, false, &heir) != SP_OK))
        again_later(conn);
    if (server->heir == NULL && conn->renew_at_ms < conn->ends_at_ms)
        return conn->renew_at_ms;
    return conn->ends_at_ms;
}
