/* A login whose request goes on along referrals: the chase is started on the work pool, or waits
 * for its turn, and the login waits for it. Loop thread only, but for run_chase. */
#include "backends/ldap/ldap_chase.h"
#include "backends/ldap/ldap_login_priv.h"

#include "util/span.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- taking turns ---- */

static enum sp_err start_chase(struct sp_ldap_chase *chase);

static void run_chase(struct sp_auth_work *work)
{
    sp_ldap_chase_run(sp_container_of(work, struct sp_ldap_chase, work));
}

static void give_up(struct sp_ldap_chase *chase)
{
    struct sp_ldap_login *login = chase->login;

    login->chase = NULL;
    sp_ldap_chase_free(&chase);
    sp_ldap_login_unavailable(login, SP_LDAP_FAULT_FULL, "no room to follow a referral");
}

static void start_waiting(struct sp_auth_backend *backend)
{
    struct sp_list *node;

    while (backend->chases < SP_LDAP_CHASES_MAX &&
           (node = sp_list_shift(&backend->chases_waiting)) != NULL) {
        struct sp_ldap_chase *chase = sp_container_of(node, struct sp_ldap_chase, link);

        backend->chases_waiting_len--;
        if (start_chase(chase) != SP_OK)
            give_up(chase);
    }
}

static void on_chase_done(struct sp_auth_work *work)
{
    struct sp_ldap_chase *chase = sp_container_of(work, struct sp_ldap_chase, work);
    struct sp_auth_backend *backend = chase->backend;
    struct sp_ldap_login *login = chase->login;

    uv_update_time(backend->host->loop); /* deadlines count from now, not from before the wait */
    backend->chases--;
    if (login != NULL) {
        login->chase = NULL;
        sp_ldap_login_back(login, chase);
    }
    sp_ldap_chase_free(&chase);
    start_waiting(backend);
    sp_ldap_backend_part_gone(backend);
}

static enum sp_err start_chase(struct sp_ldap_chase *chase)
{
    struct sp_auth_backend *backend = chase->backend;
    enum sp_err err;

    chase->work = (struct sp_auth_work){.run = run_chase, .done = on_chase_done, .waits = true};
    err = backend->host->work(backend->host, &chase->work);
    if (err != SP_OK)
        return err;
    chase->running = true;
    backend->chases++;
    backend->parts++;
    return SP_OK;
}

/* Its time counts from here, so one that waits too long ends as soon as its turn comes. */
static enum sp_err queue_chase(struct sp_ldap_chase *chase)
{
    struct sp_auth_backend *backend = chase->backend;

    if (backend->chases < SP_LDAP_CHASES_MAX)
        return start_chase(chase);
    if (backend->chases_waiting_len >= SP_LDAP_QUEUE_MAX)
        return SP_ERR_FULL;
    sp_list_push(&backend->chases_waiting, &chase->link);
    backend->chases_waiting_len++;
    return SP_OK;
}

void sp_ldap_login_call_back(struct sp_ldap_login *login)
{
    struct sp_ldap_chase *chase = login->chase;

    login->chase = NULL;
    if (chase->running) { /* a job cannot be taken back, but it can be told to hurry */
        chase->login = NULL;
        atomic_store(&chase->stop, true);
        return;
    }
    sp_list_remove(&chase->link);
    chase->backend->chases_waiting_len--;
    sp_ldap_chase_free(&chase);
}

/* ---- going ---- */

static enum sp_ldap_login_state away_of(enum sp_ldap_chase_kind kind)
{
    switch (kind) {
    case SP_LDAP_CHASE_FIND: return SP_LDAP_LOGIN_FIND_AWAY;
    case SP_LDAP_CHASE_BIND: return SP_LDAP_LOGIN_BIND_AWAY;
    case SP_LDAP_CHASE_GROUPS: break;
    }
    return SP_LDAP_LOGIN_GROUPS_AWAY;
}

/* `err`: how adding the trails went. */
static void depart(struct sp_ldap_login *login, struct sp_ldap_chase *chase, enum sp_err err)
{
    if (err == SP_OK) {
        if (chase->kind == SP_LDAP_CHASE_GROUPS) { /* the job owns them until it is back */
            chase->groups = login->groups;
            sp_ldap_groups_init(&login->groups);
            login->groups.cookie = chase->groups.cookie;
            chase->groups.cookie = (struct berval){0, NULL};
        }
        login->chase = chase;
        sp_ldap_login_enter(login, away_of(chase->kind));
        if (queue_chase(chase) != SP_OK)
            give_up(chase);
        return;
    }
    sp_ldap_chase_free(&chase);
    if (err == SP_ERR_NOMEM) {
        sp_ldap_login_unavailable(login, SP_LDAP_FAULT_FULL, "out of memory");
        return;
    }
    sp_ldap_login_detail(login, "%s: %s", login->server->uri->text,
                         err == SP_ERR_TOO_LARGE ? "it refers to too many places"
                                                 : "its referral cannot be read");
    sp_ldap_login_finish(login, SP_VERDICT_UNAVAILABLE, "a referral cannot be followed");
}

static struct sp_ldap_chase *chase_of(struct sp_ldap_login *login)
{
    const struct sp_ldap_options *options = sp_ldap_login_options(login);
    const char *filter = sp_buf_span(&login->text).base;

    switch (login->state) {
    case SP_LDAP_LOGIN_FIND_SENT:
        return sp_ldap_chase_new(login, SP_LDAP_CHASE_FIND, options->base, filter);
    case SP_LDAP_LOGIN_GROUPS_SENT:
        return sp_ldap_chase_new(login, SP_LDAP_CHASE_GROUPS, options->group_base, filter);
    case SP_LDAP_LOGIN_BEGUN:
    case SP_LDAP_LOGIN_FIND_WAIT:
    case SP_LDAP_LOGIN_FIND_AWAY:
    case SP_LDAP_LOGIN_BIND_WAIT:
    case SP_LDAP_LOGIN_BIND_SENT:
    case SP_LDAP_LOGIN_BIND_AWAY:
    case SP_LDAP_LOGIN_GROUPS_WAIT:
    case SP_LDAP_LOGIN_GROUPS_AWAY:
    case SP_LDAP_LOGIN_ANSWERED:
    case SP_LDAP_LOGIN_AT_REST: break;
    }
    return sp_ldap_chase_new(login, SP_LDAP_CHASE_BIND, login->dn, NULL);
}

void sp_ldap_login_follow(struct sp_ldap_login *login, LDAP *ld, LDAPMessage *answer)
{
    struct sp_ldap_chase *chase = chase_of(login);

    depart(login, chase,
           chase != NULL ? sp_ldap_chase_collect(chase, ld, answer, 1) : SP_ERR_NOMEM);
}

void sp_ldap_login_prove_at_home(struct sp_ldap_login *login)
{
    struct sp_ldap_chase *chase = chase_of(login);
    char **urls = ber_memcalloc(2, sizeof(*urls));

    if (urls != NULL)
        urls[0] = ber_strdup(login->home->text);
    if (chase == NULL || urls == NULL || urls[0] == NULL) {
        ber_memvfree((void **)urls);
        depart(login, chase, SP_ERR_NOMEM);
        return;
    }
    depart(login, chase, sp_ldap_chase_add(chase, urls, 1, false));
}

/* ---- coming back ---- */

static void trace_visits(struct sp_ldap_login *login, const struct sp_ldap_chase *chase)
{
    for (size_t i = 0; login->tracer != NULL && i < chase->visits_len; i++) {
        const struct sp_ldap_visit *visit = &chase->visits[i];
        struct sp_auth_step step = {
            .what = "referral",
            .server = visit->server,
            .detail = chase->filter != NULL ? chase->filter : chase->dn,
            .outcome = visit->outcome,
            .micros = visit->micros,
        };

        login->tracer->step(login->tracer, &step);
    }
}

static enum sp_err take_person(struct sp_ldap_login *login, struct sp_ldap_chase *chase)
{
    if (chase->found_dn == NULL || login->dn != NULL)
        return SP_OK;
    login->home = malloc(sizeof(*login->home));
    if (login->home == NULL)
        return SP_ERR_NOMEM;
    *login->home = chase->home;
    login->dn = chase->found_dn;
    login->alike = chase->alike;
    chase->found_dn = NULL;
    return SP_OK;
}

static void take_groups(struct sp_ldap_login *login, struct sp_ldap_chase *chase)
{
    struct berval cookie = login->groups.cookie;

    login->groups = chase->groups;
    login->groups.cookie = cookie;
    sp_ldap_groups_init(&chase->groups);
}

void sp_ldap_login_back(struct sp_ldap_login *login, struct sp_ldap_chase *chase)
{
    trace_visits(login, chase);
    if (chase->kind == SP_LDAP_CHASE_GROUPS)
        take_groups(login, chase);
    if (chase->reason != NULL) {
        sp_ldap_login_detail(login, "%s", chase->words);
        sp_ldap_login_finish(login, SP_VERDICT_UNAVAILABLE, chase->reason);
        return;
    }
    switch (chase->kind) {
    case SP_LDAP_CHASE_FIND:
        login->matches += chase->matches;
        if (take_person(login, chase) == SP_OK)
            sp_ldap_login_found_all(login);
        else
            sp_ldap_login_unavailable(login, SP_LDAP_FAULT_FULL, "out of memory");
        return;
    case SP_LDAP_CHASE_BIND:
        sp_ldap_login_bound(login, sp_ldap_wire_handle(chase->wire), chase->answer);
        return;
    case SP_LDAP_CHASE_GROUPS: sp_ldap_login_gathered(login); return;
    }
}
