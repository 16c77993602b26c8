/* Which server a login asks: the best one first; another when that fails; the same one again when
 * only a connection had grown stale. When none is left, that is the answer. Loop thread only. */
#include "backends/ldap/ldap_login_priv.h"

#define BINDS_MAX 2 /* one repeat at most: each may count towards a lockout */

/* When several servers fail it, the most telling words are kept. */
static void note_fault(struct sp_ldap_login *login, enum sp_ldap_fault fault, const char *words)
{
    if (fault < login->worst)
        return;
    login->worst = fault;
    sp_ldap_login_detail(login, "%s: %s", login->server != NULL ? login->server->uri->text : "ldap",
                         words);
}

void sp_ldap_login_unavailable(struct sp_ldap_login *login, enum sp_ldap_fault fault,
                               const char *words)
{
    note_fault(login, fault, words);
    sp_ldap_login_finish(login, SP_VERDICT_UNAVAILABLE, sp_ldap_fault_text(login->worst));
}

static enum sp_ldap_login_state wait_of(enum sp_ldap_login_state state)
{
    switch (state) {
    case SP_LDAP_LOGIN_BEGUN:
    case SP_LDAP_LOGIN_FIND_WAIT:
    case SP_LDAP_LOGIN_FIND_SENT:
    case SP_LDAP_LOGIN_FIND_AWAY: return SP_LDAP_LOGIN_FIND_WAIT;
    case SP_LDAP_LOGIN_BIND_WAIT:
    case SP_LDAP_LOGIN_BIND_SENT:
    case SP_LDAP_LOGIN_BIND_AWAY: return SP_LDAP_LOGIN_BIND_WAIT;
    case SP_LDAP_LOGIN_GROUPS_WAIT:
    case SP_LDAP_LOGIN_GROUPS_SENT:
    case SP_LDAP_LOGIN_GROUPS_AWAY:
    case SP_LDAP_LOGIN_ANSWERED:
    case SP_LDAP_LOGIN_AT_REST: break;
    }
    return SP_LDAP_LOGIN_GROUPS_WAIT;
}

static void wait_at(struct sp_ldap_login *login, struct sp_ldap_server *server, bool first)
{
    login->server = server;
    login->due_ms = sp_ldap_now_ms(login->base.backend) + sp_ldap_login_options(login)->timeout_ms;
    sp_ldap_server_submit(server, login, first);
}

/* Servers that were not even asked, because their breaker is open, failed for a reason too. */
static void note_standing_faults(struct sp_ldap_login *login)
{
    const struct sp_auth_backend *backend = login->base.backend;

    for (size_t i = 0; i < backend->servers_len; i++) {
        struct sp_ldap_server *server = &backend->servers[i];

        if ((login->tried & (1u << i)) != 0 || server->fault < login->worst)
            continue;
        login->server = server;
        note_fault(login, server->fault, server->fault_words);
    }
}

/* To the best server that has not failed this login; to none: that is the answer. */
static void route(struct sp_ldap_login *login)
{
    struct sp_ldap_server *server = sp_ldap_backend_pick(login->base.backend, login->tried);

    if (server != NULL) {
        wait_at(login, server, false);
        return;
    }
    note_standing_faults(login);
    if (login->worst == SP_LDAP_FAULT_NONE)
        sp_ldap_login_unavailable(login, SP_LDAP_FAULT_CONNECT, "no server can be asked just now");
    else
        sp_ldap_login_finish(login, SP_VERDICT_UNAVAILABLE, sp_ldap_fault_text(login->worst));
}

void sp_ldap_login_go_on(struct sp_ldap_login *login, enum sp_ldap_login_state wait)
{
    sp_ldap_login_enter(login, wait);
    if (login->server != NULL && login->server->state == SP_LDAP_SERVER_UP) {
        wait_at(login, login->server, false);
        return;
    }
    sp_ldap_login_forget_pages(login); /* it may have fallen while the login was away */
    route(login);
}

/* A bind whose answer was lost may have been counted, so it is repeated once at most. */
static bool may_repeat(struct sp_ldap_login *login, enum sp_ldap_fault fault, const char *words)
{
    if (login->state != SP_LDAP_LOGIN_BIND_SENT || login->binds_sent < BINDS_MAX)
        return true;
    sp_ldap_login_unavailable(login, fault, words);
    return false;
}

void sp_ldap_login_elsewhere(struct sp_ldap_login *login, enum sp_ldap_fault fault,
                             const char *words)
{
    if (!may_repeat(login, fault, words))
        return;
    note_fault(login, fault, words);
    login->tried |= 1u << login->server->index;
    sp_ldap_login_forget_pages(login);
    sp_ldap_login_enter(login, wait_of(login->state));
    route(login);
}

void sp_ldap_login_again(struct sp_ldap_login *login, const char *words)
{
    struct sp_ldap_server *server = login->server;
    uint32_t bit = 1u << server->index;

    if ((login->again & bit) != 0 || server->state != SP_LDAP_SERVER_UP) {
        sp_ldap_login_elsewhere(login, SP_LDAP_FAULT_LOST, words);
        return;
    }
    if (!may_repeat(login, SP_LDAP_FAULT_LOST, words))
        return;
    login->again |= bit;
    sp_ldap_login_forget_pages(login);
    sp_ldap_login_enter(login, wait_of(login->state));
    wait_at(login, server, true);
}
