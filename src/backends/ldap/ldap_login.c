/* The login machine. A login is in one place at a time: in a server's queue, in flight on a conn,
 * or on the backend's list of the answered. Each function that moves it on ends with the login in
 * one of these; none calls its owner. Loop thread only. */
#include "backends/ldap/ldap_login.h"

#include "backends/ldap/ldap_text.h"
#include "backends/ldap/ldap_verdict.h"
#include "util/span.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOGIN_MAGIC    0x6c646170u
#define TEXT_MAX       (512u * 1024u) /* a filter with a batch of group DNs in it */
#define BINDS_MAX      2              /* one repeat at most: each may count towards a lockout */
#define PEOPLE_LIMIT   2              /* entries: one is an answer, two are one too many */
#define GROUPS_A_BATCH 32             /* groups asked about in one search of a walk */
#define GROUPS_PAGE    500

static struct sp_ldap_login *login_of(struct sp_auth_op *op)
{
    struct sp_ldap_login *login = sp_container_of(op, struct sp_ldap_login, base);

    assert(login->magic == LOGIN_MAGIC);
    return login;
}

static const struct sp_ldap_options *options_of(const struct sp_ldap_login *login)
{
    return login->base.backend->config->options;
}

/* ---- states ---- */

#define TO(state) (1u << SP_LDAP_LOGIN_##state)

static const unsigned may_enter[] = {
    [SP_LDAP_LOGIN_BEGUN] = TO(FIND_WAIT) | TO(BIND_WAIT) | TO(GROUPS_WAIT) | TO(ANSWERED),
    [SP_LDAP_LOGIN_FIND_WAIT] = TO(FIND_WAIT) | TO(FIND_SENT) | TO(ANSWERED),
    [SP_LDAP_LOGIN_FIND_SENT] = TO(FIND_WAIT) | TO(BIND_WAIT) | TO(GROUPS_WAIT) | TO(ANSWERED),
    [SP_LDAP_LOGIN_BIND_WAIT] = TO(BIND_WAIT) | TO(BIND_SENT) | TO(ANSWERED),
    [SP_LDAP_LOGIN_BIND_SENT] = TO(BIND_WAIT) | TO(GROUPS_WAIT) | TO(ANSWERED),
    [SP_LDAP_LOGIN_GROUPS_WAIT] = TO(GROUPS_WAIT) | TO(GROUPS_SENT) | TO(ANSWERED),
    [SP_LDAP_LOGIN_GROUPS_SENT] = TO(GROUPS_WAIT) | TO(ANSWERED),
    [SP_LDAP_LOGIN_ANSWERED] = TO(AT_REST),
    [SP_LDAP_LOGIN_AT_REST] = 0,
};

static void login_enter(struct sp_ldap_login *login, enum sp_ldap_login_state next)
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

static void trace(struct sp_ldap_login *login, const char *what, const char *detail,
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

static void set_detail(struct sp_ldap_login *login, const char *fmt, ...) SP_PRINTF(2, 3);

static void set_detail(struct sp_ldap_login *login, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(login->detail, sizeof(login->detail), fmt, args);
    va_end(args);
}

/* A page's cookie is good on its own connection only (RFC 2696 3): elsewhere the search begins
 * again, and groups that are known already are not taken twice. */
static void forget_pages(struct sp_ldap_login *login)
{
    ber_memfree(login->groups.cookie.bv_val);
    login->groups.cookie = (struct berval){0, NULL};
    if (login->server != NULL && login->server->pager == login)
        login->server->pager = NULL;
}

static void finish(struct sp_ldap_login *login, enum sp_verdict verdict, const char *reason)
{
    bool known = verdict == SP_VERDICT_ALLOW || verdict == SP_VERDICT_ACCOUNT;

    sp_secret_fini(&login->password);
    forget_pages(login);
    login_enter(login, SP_LDAP_LOGIN_ANSWERED);
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
    login_enter(login, SP_LDAP_LOGIN_AT_REST);
    login->done(login->owner, &login->result);
}

/* ---- where to ask ---- */

/* When several servers fail it, the most telling words are kept. */
static void note_fault(struct sp_ldap_login *login, enum sp_ldap_fault fault, const char *words)
{
    if (fault < login->worst)
        return;
    login->worst = fault;
    set_detail(login, "%s: %s", login->server != NULL ? login->server->uri->text : "ldap", words);
}

void sp_ldap_login_unavailable(struct sp_ldap_login *login, enum sp_ldap_fault fault,
                               const char *words)
{
    note_fault(login, fault, words);
    finish(login, SP_VERDICT_UNAVAILABLE, sp_ldap_fault_text(login->worst));
}

static enum sp_ldap_login_state wait_of(enum sp_ldap_login_state state)
{
    switch (state) {
    case SP_LDAP_LOGIN_BEGUN:
    case SP_LDAP_LOGIN_FIND_WAIT:
    case SP_LDAP_LOGIN_FIND_SENT: return SP_LDAP_LOGIN_FIND_WAIT;
    case SP_LDAP_LOGIN_BIND_WAIT:
    case SP_LDAP_LOGIN_BIND_SENT: return SP_LDAP_LOGIN_BIND_WAIT;
    case SP_LDAP_LOGIN_GROUPS_WAIT:
    case SP_LDAP_LOGIN_GROUPS_SENT:
    case SP_LDAP_LOGIN_ANSWERED:
    case SP_LDAP_LOGIN_AT_REST: break;
    }
    return SP_LDAP_LOGIN_GROUPS_WAIT;
}

static void wait_at(struct sp_ldap_login *login, struct sp_ldap_server *server, bool first)
{
    login->server = server;
    login->due_ms = sp_ldap_now_ms(login->base.backend) + options_of(login)->timeout_ms;
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
        finish(login, SP_VERDICT_UNAVAILABLE, sp_ldap_fault_text(login->worst));
}

/* The next stage begins where the last one ended, if that server is still well. */
static void go_on(struct sp_ldap_login *login, enum sp_ldap_login_state wait)
{
    login_enter(login, wait);
    if (login->server != NULL && login->server->state == SP_LDAP_SERVER_UP)
        wait_at(login, login->server, false);
    else
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
    forget_pages(login);
    login_enter(login, wait_of(login->state));
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
    forget_pages(login);
    login_enter(login, wait_of(login->state));
    wait_at(login, server, true);
}

/* ---- stages ---- */

static enum sp_err fill_text(struct sp_ldap_login *login, enum sp_ldap_place place,
                             const char *tmpl, const char *dn)
{
    enum sp_err err = sp_ldap_template_fill(&login->text, place, tmpl, sp_span_cstr(login->user),
                                            sp_span_cstr(dn));

    return err;
}

static void find(struct sp_ldap_login *login)
{
    go_on(login, SP_LDAP_LOGIN_FIND_WAIT);
}

static void gather_groups(struct sp_ldap_login *login)
{
    if (options_of(login)->group_base[0] == '\0')
        finish(login, SP_VERDICT_ALLOW, login->ask == SP_AUTH_GROUPS ? "groups known" : "success");
    else
        go_on(login, SP_LDAP_LOGIN_GROUPS_WAIT);
}

/* The DN is known. */
static void prove(struct sp_ldap_login *login)
{
    if (login->ask == SP_AUTH_PASSWORD)
        go_on(login, SP_LDAP_LOGIN_BIND_WAIT);
    else
        gather_groups(login);
}

static enum sp_err name_by_template(struct sp_ldap_login *login)
{
    enum sp_err err;

    sp_buf_reset(&login->text);
    err = fill_text(login, SP_LDAP_IN_DN, options_of(login)->user_dn, NULL);
    if (err != SP_OK)
        return err;
    login->dn = sp_span_dup(sp_buf_span(&login->text));
    return login->dn != NULL ? SP_OK : SP_ERR_NOMEM;
}

static void begin_ambiguous(struct sp_ldap_login *login)
{
    set_detail(login, "the name has characters that a directory may read as others");
    finish(login, SP_VERDICT_UNKNOWN_USER, "no such user");
}

static void begin(struct sp_ldap_login *login)
{
    if (login->ask == SP_AUTH_GROUPS && options_of(login)->group_base[0] == '\0')
        gather_groups(login);
    else if (options_of(login)->user_dn[0] == '\0')
        find(login);
    else if (sp_ldap_ambiguous(sp_span_cstr(login->user)))
        begin_ambiguous(login);
    else if (name_by_template(login) == SP_OK)
        prove(login);
    else
        sp_ldap_login_unavailable(login, SP_LDAP_FAULT_FULL, "out of memory");
}

/* ---- requests ---- */

void sp_ldap_login_sent(struct sp_ldap_login *login, struct sp_ldap_conn *conn, int msgid)
{
    login->conn = conn;
    login->msgid = msgid;
    login->sent_ms = sp_ldap_now_ms(login->base.backend);
    login->sent_ns = login->tracer != NULL ? uv_hrtime() : 0;
    login->due_ms = login->sent_ms + options_of(login)->timeout_ms;
    if (login->state == SP_LDAP_LOGIN_BIND_WAIT) {
        login->binds_sent++;
        login_enter(login, SP_LDAP_LOGIN_BIND_SENT);
    } else {
        login_enter(login, login->state == SP_LDAP_LOGIN_FIND_WAIT ? SP_LDAP_LOGIN_FIND_SENT
                                                                   : SP_LDAP_LOGIN_GROUPS_SENT);
    }
    sp_ldap_backend_wake_at(login->base.backend, login->due_ms);
}

/* group_filter for the person, or for each group of a batch: (|(member=g1)(member=g2)). */
static enum sp_err fill_group_filter(struct sp_ldap_login *login)
{
    const char *tmpl = options_of(login)->group_filter;
    char **dns;
    size_t batch = sp_ldap_groups_batch(&login->groups, GROUPS_A_BATCH, &dns);
    enum sp_err err;

    if (batch == 0)
        return fill_text(login, SP_LDAP_IN_FILTER, tmpl, login->dn);
    err = sp_buf_append(&login->text, SP_SPAN_LIT("(|"));
    for (size_t i = 0; i < batch && err == SP_OK; i++)
        err = fill_text(login, SP_LDAP_IN_FILTER, tmpl, dns[i]);
    return err == SP_OK ? sp_buf_append(&login->text, SP_SPAN_LIT(")")) : err;
}

/* Of a person, no more than is needed to compare the spelling. */
static char **person_attributes(const struct sp_ldap_login *login)
{
    static char no_attributes[] = LDAP_NO_ATTRS;
    static char *nothing[] = {no_attributes, NULL};
    struct sp_ldap_spellings *spellings = &login->base.backend->config->spellings;

    return spellings->list[0] != NULL ? spellings->list : nothing;
}

enum sp_err sp_ldap_login_search(struct sp_ldap_login *login, LDAP *ld,
                                 struct sp_ldap_search *search_out)
{
    const struct sp_ldap_options *options = options_of(login);
    bool people = login->state == SP_LDAP_LOGIN_FIND_WAIT;
    enum sp_err err;

    sp_buf_reset(&login->text);
    err = people ? fill_text(login, SP_LDAP_IN_FILTER, options->filter, NULL)
                 : fill_group_filter(login);
    if (err == SP_OK)
        err = sp_buf_append(&login->text, sp_span_of("", 1));
    if (err != SP_OK)
        return err;
    login->names[0] = options->group_name;
    *search_out = (struct sp_ldap_search){
        .base = people ? options->base : options->group_base,
        .filter = sp_buf_span(&login->text).base,
        .attributes = people ? person_attributes(login) : login->names,
        .size_limit = people ? PEOPLE_LIMIT : LDAP_NO_LIMIT,
        .control = NULL,
    };
    if (people || !login->paging)
        return SP_OK;
    return ldap_create_page_control(ld, GROUPS_PAGE, &login->groups.cookie, 1,
                                    &search_out->control) == LDAP_SUCCESS
               ? SP_OK
               : SP_ERR_NOMEM;
}

/* ---- answers ---- */

/* The result of a search or bind, with the words for the log. */
struct outcome {
    int result;
    char *diagnostic;       /* ldap_memfree */
    LDAPControl **controls; /* ldap_controls_free */
};

static void take_outcome(LDAP *ld, LDAPMessage *answer, struct outcome *out)
{
    *out = (struct outcome){.result = LDAP_DECODING_ERROR};
    if (ldap_parse_result(ld, answer, &out->result, NULL, &out->diagnostic, NULL, &out->controls,
                          0) != LDAP_SUCCESS)
        out->result = LDAP_DECODING_ERROR;
}

static void drop_outcome(struct outcome *out)
{
    ldap_memfree(out->diagnostic);
    ldap_controls_free(out->controls);
}

static void describe(const struct outcome *out, char *words, size_t cap)
{
    bool more = out->diagnostic != NULL && out->diagnostic[0] != '\0';

    snprintf(words, cap, "%s (%d)%s%s", ldap_err2string(out->result), out->result, more ? ": " : "",
             more ? out->diagnostic : "");
}

static void count(struct sp_ldap_login *login, enum sp_ldap_op op, enum sp_ldap_outcome outcome)
{
    sp_ldap_metrics_count(&login->server->metrics, op, outcome);
}

/* It answered that it cannot. */
static void cannot(struct sp_ldap_login *login, struct sp_ldap_judgement judgement,
                   const char *words)
{
    if (judgement.elsewhere) {
        struct sp_ldap_server *server = login->server;

        sp_ldap_login_elsewhere(login, SP_LDAP_FAULT_ANSWER, words);
        sp_ldap_server_fault(server, SP_LDAP_FAULT_ANSWER, words);
        return;
    }
    set_detail(login, "%s: %s", login->server->uri->text, words);
    finish(login, SP_VERDICT_UNAVAILABLE, judgement.reason);
}

static void found_nobody(struct sp_ldap_login *login, int matches)
{
    trace(login, "search", sp_buf_span(&login->text).base,
          matches == 0 ? "no match" : "more than one match");
    set_detail(login, matches == 0 ? "no entry matches the filter"
                                   : "more than one entry matches the filter: nobody is meant");
    finish(login, SP_VERDICT_UNKNOWN_USER, matches == 0 ? "no such user" : "name is not unique");
}

static void found_another(struct sp_ldap_login *login, const char *words)
{
    trace(login, "search", sp_buf_span(&login->text).base, words);
    set_detail(login, "%s, but the entry spells its name otherwise", words);
    finish(login, SP_VERDICT_UNKNOWN_USER, "no such user");
}

static void found_one(struct sp_ldap_login *login, LDAP *ld, LDAPMessage *answer)
{
    LDAPMessage *entry = ldap_first_entry(ld, answer);
    char *dn = ldap_get_dn(ld, entry);
    char words[320];

    if (dn != NULL)
        login->dn = sp_span_dup(sp_span_cstr(dn));
    snprintf(words, sizeof(words), "1 match: %s", dn != NULL ? dn : "?");
    ldap_memfree(dn);
    if (!sp_ldap_spelled(&login->base.backend->config->spellings, ld, entry,
                         sp_span_cstr(login->user))) {
        found_another(login, words);
        return;
    }
    trace(login, "search", sp_buf_span(&login->text).base, words);
    if (login->dn == NULL)
        sp_ldap_login_unavailable(login, SP_LDAP_FAULT_FULL, "out of memory");
    else if (login->dn[0] == '\0') /* a bind with an empty name would be anonymous, and succeed */
        found_nobody(login, 0);
    else
        prove(login);
}

static void found_people(struct sp_ldap_login *login, LDAP *ld, LDAPMessage *answer,
                         const struct outcome *out)
{
    int matches = ldap_count_entries(ld, answer);
    char words[320];

    /* With two asked for, the size limit is met only by a second match or a third. */
    if (out->result == LDAP_SUCCESS || (out->result == LDAP_SIZELIMIT_EXCEEDED && matches > 1)) {
        count(login, SP_LDAP_OP_SEARCH, SP_LDAP_OUTCOME_OK);
        if (matches == 1)
            found_one(login, ld, answer);
        else
            found_nobody(login, matches);
        return;
    }
    describe(out, words, sizeof(words));
    count(login, SP_LDAP_OP_SEARCH, SP_LDAP_OUTCOME_ERROR);
    trace(login, "search", sp_buf_span(&login->text).base, words);
    cannot(login, sp_ldap_judge_search(out->result), words);
}

static void walked(struct sp_ldap_login *login)
{
    char words[64];

    snprintf(words, sizeof(words), "%zu groups", login->groups.dns_len);
    trace(login, "groups", sp_buf_span(&login->text).base, words);
    finish(login, SP_VERDICT_ALLOW, login->ask == SP_AUTH_GROUPS ? "groups known" : "success");
}

/* True: another page is to come, and its cookie is kept. */
static bool more_pages(struct sp_ldap_login *login, LDAP *ld, const struct outcome *out)
{
    LDAPControl *control = ldap_control_find(LDAP_CONTROL_PAGEDRESULTS, out->controls, NULL);
    struct berval cookie = {0, NULL};
    ber_int_t estimate = 0;

    ber_memfree(login->groups.cookie.bv_val);
    login->groups.cookie = (struct berval){0, NULL};
    if (control == NULL ||
        ldap_parse_pageresponse_control(ld, control, &estimate, &cookie) != LDAP_SUCCESS)
        return false;
    if (cookie.bv_len > 0) {
        login->groups.cookie = cookie;
        return true;
    }
    ber_memfree(cookie.bv_val);
    return false;
}

static void groups_refused(struct sp_ldap_login *login, const struct outcome *out)
{
    char words[320];

    describe(out, words, sizeof(words));
    count(login, SP_LDAP_OP_GROUPS, SP_LDAP_OUTCOME_ERROR);
    trace(login, "groups", sp_buf_span(&login->text).base, words);
    cannot(login, sp_ldap_judge_search(out->result), words);
}

static void found_groups(struct sp_ldap_login *login, LDAP *ld, LDAPMessage *answer,
                         const struct outcome *out)
{
    char **dns;
    size_t batch = sp_ldap_groups_batch(&login->groups, GROUPS_A_BATCH, &dns);
    enum sp_err err;

    if (out->result == LDAP_SIZELIMIT_EXCEEDED && !login->paging) {
        login->paging = true; /* Active Directory gives 1000 at once, and the rest by pages */
        go_on(login, SP_LDAP_LOGIN_GROUPS_WAIT);
        return;
    }
    if (out->result != LDAP_SUCCESS) {
        groups_refused(login, out);
        return;
    }
    count(login, SP_LDAP_OP_GROUPS, SP_LDAP_OUTCOME_OK);
    err = sp_ldap_groups_take(&login->groups, ld, answer, options_of(login)->group_name);
    if (err == SP_ERR_TOO_LARGE)
        sp_ldap_login_unavailable(login, SP_LDAP_FAULT_ANSWER, "more than 10,000 groups");
    else if (err != SP_OK)
        sp_ldap_login_unavailable(login, SP_LDAP_FAULT_FULL, "out of memory");
    else if (login->paging && more_pages(login, ld, out))
        go_on(login, SP_LDAP_LOGIN_GROUPS_WAIT);
    else if (sp_ldap_groups_advance(&login->groups, batch, options_of(login)->group_depth))
        go_on(login, SP_LDAP_LOGIN_GROUPS_WAIT);
    else
        walked(login);
}

void sp_ldap_login_found(struct sp_ldap_login *login, LDAP *ld, LDAPMessage *answer)
{
    struct outcome out;

    take_outcome(ld, answer, &out);
    if (login->state == SP_LDAP_LOGIN_FIND_SENT)
        found_people(login, ld, answer, &out);
    else
        found_groups(login, ld, answer, &out);
    drop_outcome(&out);
}

static LDAPPasswordPolicyError policy_of(struct sp_ldap_login *login, LDAP *ld,
                                         const struct outcome *out)
{
    LDAPControl *control = ldap_control_find(LDAP_CONTROL_PASSWORDPOLICYRESPONSE, out->controls,
                                             NULL);
    LDAPPasswordPolicyError error = PP_noError;
    ber_int_t expires = -1;
    ber_int_t grace = -1;

    if (control == NULL ||
        ldap_parse_passwordpolicy_control(ld, control, &expires, &grace, &error) != LDAP_SUCCESS)
        return PP_noError;
    if (grace >= 0)
        set_detail(login, "password expired, %d grace logins left", (int)grace);
    else if (expires >= 0)
        set_detail(login, "password expires in %d s", (int)expires);
    return error;
}

static void act_on_bind(struct sp_ldap_login *login, struct sp_ldap_judgement judgement,
                        const char *words)
{
    switch (judgement.verdict) {
    case SP_VERDICT_ALLOW:
        count(login, SP_LDAP_OP_BIND, SP_LDAP_OUTCOME_OK);
        sp_secret_fini(&login->password);
        gather_groups(login);
        return;
    case SP_VERDICT_UNAVAILABLE:
        count(login, SP_LDAP_OP_BIND, SP_LDAP_OUTCOME_ERROR);
        cannot(login, judgement, words);
        return;
    case SP_VERDICT_DENY:
    case SP_VERDICT_UNKNOWN_USER:
    case SP_VERDICT_ACCOUNT:
    case SP_VERDICT_MORE: break;
    }
    count(login, SP_LDAP_OP_BIND, SP_LDAP_OUTCOME_REFUSED);
    set_detail(login, "%s", words);
    finish(login, judgement.verdict, judgement.reason);
}

void sp_ldap_login_bound(struct sp_ldap_login *login, LDAP *ld, LDAPMessage *answer)
{
    struct sp_ldap_judgement judgement;
    struct outcome out;
    char words[320];
    char told[400];

    login->conn = NULL;
    take_outcome(ld, answer, &out);
    judgement = sp_ldap_judge_bind(out.result, out.diagnostic, policy_of(login, ld, &out));
    describe(&out, words, sizeof(words));
    drop_outcome(&out);
    if (login->tracer != NULL) {
        snprintf(told, sizeof(told), "%s: %s", judgement.reason, words);
        trace(login, "bind", login->dn, told);
    }
    act_on_bind(login, judgement, words);
}

/* ---- life ---- */

static void login_destroy(struct sp_ldap_login *login)
{
    sp_secret_fini(&login->password);
    sp_ldap_groups_fini(&login->groups);
    sp_buf_fini(&login->text);
    free(login->user);
    free(login->dn);
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
        finish(login, SP_VERDICT_DENY, "empty password");
    else
        begin(login);
    return SP_OK;
}

void sp_ldap_login_cancel(struct sp_auth_op **op)
{
    struct sp_ldap_login *login = login_of(*op);
    struct sp_ldap_server *freed = login->conn != NULL ? login->server : NULL;

    *op = NULL;
    forget_pages(login);
    switch (login->state) {
    case SP_LDAP_LOGIN_FIND_WAIT:
    case SP_LDAP_LOGIN_BIND_WAIT:
    case SP_LDAP_LOGIN_GROUPS_WAIT: sp_ldap_server_withdraw(login->server, login); break;
    case SP_LDAP_LOGIN_FIND_SENT:
    case SP_LDAP_LOGIN_BIND_SENT:
    case SP_LDAP_LOGIN_GROUPS_SENT: sp_ldap_conn_forget(login->conn, login); break;
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
