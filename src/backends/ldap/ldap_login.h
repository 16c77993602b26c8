/* One question to the directory: is this the password of this person, and what are her groups.
 * A machine of three stages (find, bind, groups), each a wait for a connection and then for an
 * answer. Loop thread only. */
#ifndef SP_LDAP_LOGIN_H
#define SP_LDAP_LOGIN_H

#include "backends/ldap/ldap_groups.h"
#include "backends/ldap/ldap_priv.h"

struct sp_ldap_chase;

enum sp_ldap_login_state {
    SP_LDAP_LOGIN_BEGUN,
    SP_LDAP_LOGIN_FIND_WAIT, /* for the service connection */
    SP_LDAP_LOGIN_FIND_SENT,
    SP_LDAP_LOGIN_FIND_AWAY, /* along referrals, on the work pool */
    SP_LDAP_LOGIN_BIND_WAIT, /* for a connection of its own */
    SP_LDAP_LOGIN_BIND_SENT,
    SP_LDAP_LOGIN_BIND_AWAY,
    SP_LDAP_LOGIN_GROUPS_WAIT,
    SP_LDAP_LOGIN_GROUPS_SENT,
    SP_LDAP_LOGIN_GROUPS_AWAY,
    SP_LDAP_LOGIN_ANSWERED, /* on the backend's list: done fires in the next turn */
    SP_LDAP_LOGIN_AT_REST,
};

/* Owned by the caller of start until free or cancel. `link` is in one list at a time: a server's
 * queue, a conn's flights, or the backend's answered. */
struct sp_ldap_login {
    struct sp_auth_op base;
    unsigned magic;
    enum sp_ldap_login_state state;
    struct sp_list link;
    enum sp_auth_ability ask;
    struct sp_auth_tracer *tracer;
    sp_auth_done_cb done;
    void *owner;

    struct sp_ldap_server *server; /* where it is now */
    struct sp_ldap_conn *conn;     /* what carries its request; NULL: none is out */
    int msgid;
    uint64_t sent_ms;
    uint64_t sent_ns;
    uint64_t due_ms; /* of the wait it is in */
    uint32_t tried;  /* servers that failed it, a bit each */
    uint32_t again;  /* servers that were given a second try on a fresh connection */
    unsigned binds_sent;
    enum sp_ldap_fault worst;

    char *user; /* as name_of gave it */
    struct sp_secret password;
    int matches; /* of the search for her, in all places */
    char *dn;
    bool alike;                  /* the entry spells its name as it was typed */
    struct sp_ldap_uri *home;    /* where a referral found her; NULL: at one of our servers */
    struct sp_ldap_chase *chase; /* while it is away */
    struct sp_buf text;          /* the filter or DN under way */
    struct sp_ldap_groups groups;
    bool paging;    /* the server's size limit was met: by pages now (RFC 2696) */
    char *names[2]; /* the attributes asked for, NULL-terminated */

    struct sp_auth_result result;
    char detail[400];
};

enum sp_err sp_ldap_login_start(struct sp_auth_backend *backend, const struct sp_auth_input *input,
                                sp_auth_done_cb done, void *owner, struct sp_auth_op **op_out);
void sp_ldap_login_cancel(struct sp_auth_op **op);
void sp_ldap_login_free(struct sp_auth_op **op);
/* Tell the owner. The login may be gone afterwards. */
void sp_ldap_login_report(struct sp_ldap_login *login);

/* ---- asked by server and conn ---- */

bool sp_ldap_login_wants_bind(const struct sp_ldap_login *login);
/* The state that follows a wait: its request is out. */
void sp_ldap_login_sent(struct sp_ldap_login *login, struct sp_ldap_conn *conn, int msgid);
/* What goes on the wire. */
struct sp_ldap_search {
    const char *base;
    const char *filter;
    char **attributes; /* NULL-terminated */
    int size_limit;
    LDAPControl *control; /* NULL: none; freed by the sender */
};
enum sp_err sp_ldap_login_search(struct sp_ldap_login *login, LDAP *ld,
                                 struct sp_ldap_search *search_out) SP_MUST_CHECK;

/* ---- told by server and conn: each moves the login on ---- */

void sp_ldap_login_found(struct sp_ldap_login *login, LDAP *ld, LDAPMessage *answer);
void sp_ldap_login_bound(struct sp_ldap_login *login, LDAP *ld, LDAPMessage *answer);
/* The server failed it: try the next one, or give up. */
void sp_ldap_login_elsewhere(struct sp_ldap_login *login, enum sp_ldap_fault fault,
                             const char *words);
/* The connection was stale: once more on a fresh one of the same server. */
void sp_ldap_login_again(struct sp_ldap_login *login, const char *words);
void sp_ldap_login_unavailable(struct sp_ldap_login *login, enum sp_ldap_fault fault,
                               const char *words);
/* A step of the dial that it waited for. */
void sp_ldap_login_trace_dial(struct sp_ldap_login *login,
                              const struct sp_ldap_dial_report *report);

#endif
