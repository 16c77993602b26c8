/* The login machine: its states, its stages and its life. A login is in one place at a time: in a
 * server's queue, in flight on a conn, or on the backend's list of the answered. Each function that
 * moves it on ends with the login in one of these; none calls its owner. Loop thread only. */
#include "backends/ldap/ldap_login_priv.h"

#include "util/span.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOGIN_MAGIC 0x6c646170u
#define TEXT_MAX    (512u * 1024u) /* a filter with a batch of group DNs in it */

static struct sp_ldap_login *login_of(struct sp_auth_op *op)
{
    struct sp_ldap_login *login = sp_container_of(op, struct sp_ldap_login, base);

    assert(login->magic == LOGIN_MAGIC);
    return login;
}

const struct sp_ldap_options *sp_ldap_login_options(const struct sp_ldap_login *login)
{
    return login->base.backend->config->options;
}

/* ---- states ---- */

#define TO(state) (1u << SP_LDAP_LOGIN_##state)

static const unsigned may_enter[] = {
    [SP_LDAP_LOGIN_BEGUN] = TO(FIND_WAIT) | TO(BIND_WAIT) | TO(GROUPS_WAIT) | TO(ANSWERED),
    [SP_LDAP_LOGIN_FIND_WAIT] = TO(FIND_WAIT) | TO(FIND_SENT) | TO(ANSWERED),
    [SP_LDAP_LOGIN_FIND_SENT] = TO(FIND_WAIT) | TO(FIND_AWAY) | TO(BIND_WAIT) | TO(GROUPS_WAIT) |
                                TO(ANSWERED),
    [SP_LDAP_LOGIN_FIND_AWAY] = TO(BIND_WAIT) | TO(BIND_AWAY) | TO(GROUPS_WAIT) | TO(ANSWERED),
    [SP_LDAP_LOGIN_BIND_WAIT] = TO(BIND_WAIT) | TO(BIND_SENT) | TO(ANSWERED),
    [SP_LDAP_LOGIN_BIND_SENT] = TO(BIND_WAIT) | TO(BIND_AWAY) | TO(GROUPS_WAIT) | TO(ANSWERED),
    [SP_LDAP_LOGIN_BIND_AWAY] = TO(GROUPS_WAIT) | TO(ANSWERED),
    [SP_LDAP_LOGIN_GROUPS_WAIT] = TO(GROUPS_WAIT) | TO(GROUPS_SENT) | TO(ANSWERED),
    [SP_LDAP_LOGIN_GROUPS_SENT] = TO(GROUPS_WAIT) | TO(GROUPS_AWAY) | TO(ANSWERED),
    [SP_LDAP_LOGIN_GROUPS_AWAY] = TO(GROUPS_WAIT) | TO(ANSWERED),
    [SP_LDAP_LOGIN_ANSWERED] = TO(AT_REST),
    [SP_LDAP_LOGIN_AT_REST] = 0,
};

void sp_ldap_login_enter(struct sp_ldap_login *login, enum sp_ldap_login_state next)
{
    (void)may_enter;
    assert((may_enter[login->state] & (1u << next)) != 0);
    login->state = next;
}

bool sp_ldap_login_wants_bind(const struct sp_ldap_login *login)
{
    return login->state == SP_LDAP_LOGIN_BIND_WAIT;
}

/* ---- telling ---- */

void sp_ldap_login_trace(struct sp_ldap_login *login, const char *what, const char *detail,
                         const char *outcome)
{
    struct sp_auth_step step = {
        .what = what,
        .server = login->server != NULL ? login->server->uri->text : NULL,
        .detail = detail,
        .outcome = outcome,
        .micros = (uv_hrtime() - login->sent_ns) / 1000,
    };

    if (login->tracer != NULL)
        login->tracer->step(login->tracer, &step);
}

void sp_ldap_login_trace_dial(struct sp_ldap_login *login, const struct sp_ldap_dial_report *report)
{
    for (size_t i = 0; login->tracer != NULL && i < report->steps_len; i++) {
        const struct sp_ldap_dial_step *made = &report->steps[i];
        struct sp_auth_step step = {
            .what = made->what,
            .server = login->server->uri->text,
            .detail = made->detail[0] != '\0' ? made->detail : NULL,
            .outcome = made->outcome,
            .micros = made->micros,
        };

        login->tracer->step(login->tracer, &step);
    }
}

void sp_ldap_login_detail(struct sp_ldap_login *login, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(login->detail, sizeof(login->detail), fmt, args);
    va_end(args);
}

void sp_ldap_login_forget_pages(struct sp_ldap_login *login)
{
    ber_memfree(login->groups.cookie.bv_val);
    login->groups.cookie = (struct berval){0, NULL};
    if (login->server != NULL && login->server->pager == login)
        login->server->pager = NULL;
}

void sp_ldap_login_finish(struct sp_ldap_login *login, enum sp_verdict verdict, const char *reason)
{
    bool known = verdict == SP_VERDICT_ALLOW || verdict == SP_VERDICT_ACCOUNT;

    sp_secret_fini(&login->password);
    sp_ldap_login_forget_pages(login);
    sp_ldap_login_enter(login, SP_LDAP_LOGIN_ANSWERED);
    login->result = (struct sp_auth_result){
        .verdict = verdict,
        .user = known ? sp_span_cstr(login->user) : SP_SPAN_NONE,
        .groups = verdict == SP_VERDICT_ALLOW ? login->groups.texts : NULL,
        .groups_len = verdict == SP_VERDICT_ALLOW ? login->groups.texts_len : 0,
        .reason = reason,
        .detail = login->detail[0] != '\0' ? login->detail : NULL,
        .server = login->server != NULL ? login->server->uri->text : NULL,
    };
    sp_ldap_backend_answered(login->base.backend, login);
}

void sp_ldap_login_report(struct sp_ldap_login *login)
{
    sp_ldap_login_enter(login, SP_LDAP_LOGIN_AT_REST);
    login->done(login->owner, &login->result);
}

/* ---- stages ---- */

static void find(struct sp_ldap_login *login)
{
    sp_ldap_login_go_on(login, SP_LDAP_LOGIN_FIND_WAIT);
}

void sp_ldap_login_gather(struct sp_ldap_login *login)
{
    if (sp_ldap_login_options(login)->group_base[0] == '\0')
        sp_ldap_login_finish(login, SP_VERDICT_ALLOW,
                             login->ask == SP_AUTH_GROUPS ? "groups known" : "success");
    else
        sp_ldap_login_go_on(login, SP_LDAP_LOGIN_GROUPS_WAIT);
}

void sp_ldap_login_prove(struct sp_ldap_login *login)
{
    if (login->ask == SP_AUTH_PASSWORD && login->home != NULL)
        sp_ldap_login_prove_at_home(login);
    else if (login->ask == SP_AUTH_PASSWORD)
        sp_ldap_login_go_on(login, SP_LDAP_LOGIN_BIND_WAIT);
    else
        sp_ldap_login_gather(login);
}

static enum sp_err name_by_template(struct sp_ldap_login *login)
{
    enum sp_err err;

    sp_buf_reset(&login->text);
    err = sp_ldap_login_fill(login, SP_LDAP_IN_DN, sp_ldap_login_options(login)->user_dn, NULL);
    if (err != SP_OK)
        return err;
    login->dn = sp_span_dup(sp_buf_span(&login->text));
    return login->dn != NULL ? SP_OK : SP_ERR_NOMEM;
}

static void begin_ambiguous(struct sp_ldap_login *login)
{
    sp_ldap_login_detail(login, "the name has characters that a directory may read as others");
    sp_ldap_login_finish(login, SP_VERDICT_UNKNOWN_USER, "no such user");
}

static void begin(struct sp_ldap_login *login)
{
    if (login->ask == SP_AUTH_GROUPS && sp_ldap_login_options(login)->group_base[0] == '\0')
        sp_ldap_login_gather(login);
    else if (sp_ldap_login_options(login)->user_dn[0] == '\0')
        find(login);
    else if (sp_ldap_ambiguous(sp_span_cstr(login->user)))
        begin_ambiguous(login);
    else if (name_by_template(login) == SP_OK)
        sp_ldap_login_prove(login);
    else
        sp_ldap_login_unavailable(login, SP_LDAP_FAULT_FULL, "out of memory");
}

/* ---- life ---- */

static void login_destroy(struct sp_ldap_login *login)
{
    sp_secret_fini(&login->password);
    sp_ldap_groups_fini(&login->groups);
    sp_buf_fini(&login->text);
    free(login->user);
    free(login->dn);
    free(login->home);
    login->magic = 0;
    free(login);
}

static struct sp_ldap_login *login_new(struct sp_auth_backend *backend,
                                       const struct sp_auth_input *input)
{
    struct sp_ldap_login *login = calloc(1, sizeof(*login));

    if (login == NULL)
        return NULL;
    login->magic = LOGIN_MAGIC;
    login->base.backend = backend;
    login->state = SP_LDAP_LOGIN_BEGUN;
    login->ask = input->ask;
    login->tracer = input->tracer;
    sp_list_init(&login->link);
    sp_buf_init(&login->text, TEXT_MAX);
    sp_ldap_groups_init(&login->groups);
    login->user = sp_span_dup(input->user);
    if (login->user == NULL || (input->ask == SP_AUTH_PASSWORD && input->password.len > 0 &&
                                sp_secret_set(&login->password, input->password) != SP_OK)) {
        login_destroy(login);
        return NULL;
    }
    return login;
}

enum sp_err sp_ldap_login_start(struct sp_auth_backend *backend, const struct sp_auth_input *input,
                                sp_auth_done_cb done, void *owner, struct sp_auth_op **op_out)
{
    struct sp_ldap_login *login;

    *op_out = NULL;
    if (backend->closing)
        return SP_ERR_CLOSED;
    if ((input->ask != SP_AUTH_PASSWORD && input->ask != SP_AUTH_GROUPS) || input->user.len == 0 ||
        memchr(input->user.base, '\0', input->user.len) != NULL)
        return SP_ERR_INVALID;
    login = login_new(backend, input);
    if (login == NULL)
        return SP_ERR_NOMEM;
    login->done = done;
    login->owner = owner;
    *op_out = &login->base;
    /* RFC 4513 5.1.2: a bind with an empty password succeeds and proves nothing. */
    if (input->ask == SP_AUTH_PASSWORD && input->password.len == 0)
        sp_ldap_login_finish(login, SP_VERDICT_DENY, "empty password");
    else
        begin(login);
    return SP_OK;
}

void sp_ldap_login_cancel(struct sp_auth_op **op)
{
    struct sp_ldap_login *login = login_of(*op);
    struct sp_ldap_server *freed = login->conn != NULL ? login->server : NULL;

    *op = NULL;
    sp_ldap_login_forget_pages(login);
    switch (login->state) {
    case SP_LDAP_LOGIN_FIND_WAIT:
    case SP_LDAP_LOGIN_BIND_WAIT:
    case SP_LDAP_LOGIN_GROUPS_WAIT: sp_ldap_server_withdraw(login->server, login); break;
    case SP_LDAP_LOGIN_FIND_SENT:
    case SP_LDAP_LOGIN_BIND_SENT:
    case SP_LDAP_LOGIN_GROUPS_SENT: sp_ldap_conn_forget(login->conn, login); break;
    case SP_LDAP_LOGIN_FIND_AWAY:
    case SP_LDAP_LOGIN_BIND_AWAY:
    case SP_LDAP_LOGIN_GROUPS_AWAY: sp_ldap_login_call_back(login); break;
    case SP_LDAP_LOGIN_ANSWERED: sp_list_remove(&login->link); break;
    case SP_LDAP_LOGIN_BEGUN:
    case SP_LDAP_LOGIN_AT_REST: break;
    }
    login_destroy(login);
    if (freed != NULL)
        sp_ldap_server_pump(freed);
}

void sp_ldap_login_free(struct sp_auth_op **op)
{
    if (*op != NULL)
        sp_ldap_login_cancel(op);
}
