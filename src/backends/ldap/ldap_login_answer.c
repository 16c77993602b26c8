/* What the directory answered a login, and what follows from it: of a search for the person, of one
 * for groups, of the bind. Loop thread only. */
#include "backends/ldap/ldap_login_priv.h"

#include "backends/ldap/ldap_verdict.h"
#include "util/span.h"

#include <stdio.h>

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

/* It leads to other servers, and is followed there. Off, a reference beside entries (Active
 * Directory's root gives some) is no answer, and a referral in place of one is "don't know". */
static bool refers(const struct sp_ldap_login *login, LDAP *ld, LDAPMessage *answer,
                   const struct outcome *out)
{
    return sp_ldap_login_options(login)->follow_referrals &&
           (out->result == LDAP_REFERRAL || ldap_count_references(ld, answer) > 0);
}

/* It answered that it cannot. */
static void cannot(struct sp_ldap_login *login, struct sp_ldap_judgement judgement,
                   const char *words)
{
    if (judgement.elsewhere && login->state != SP_LDAP_LOGIN_BIND_AWAY) {
        struct sp_ldap_server *server = login->server;

        sp_ldap_login_elsewhere(login, SP_LDAP_FAULT_ANSWER, words);
        sp_ldap_server_fault(server, SP_LDAP_FAULT_ANSWER, words);
        return;
    }
    sp_ldap_login_detail(login, "%s: %s", login->server->uri->text, words);
    sp_ldap_login_finish(login, SP_VERDICT_UNAVAILABLE, judgement.reason);
}

/* ---- the person ---- */

static void found_nobody(struct sp_ldap_login *login, int matches)
{
    const char *base = login->base.backend->config->options->base;
    char words[320];

    snprintf(words, sizeof(words), "%s below %s", matches == 0 ? "no match" : "more than one match",
             base);
    sp_ldap_login_trace(login, "search", sp_buf_span(&login->text).base, words);
    sp_ldap_login_detail(login,
                         matches == 0
                             ? "no entry below %s matches the filter"
                             : "more than one entry below %s matches the filter: nobody is meant",
                         base);
    sp_ldap_login_finish(login, SP_VERDICT_UNKNOWN_USER,
                         matches == 0 ? "no such user" : "name is not unique");
}

static void found_another(struct sp_ldap_login *login, const char *words)
{
    sp_ldap_login_trace(login, "search", sp_buf_span(&login->text).base, words);
    sp_ldap_login_detail(login, "%s, but the entry spells its name otherwise", words);
    sp_ldap_login_finish(login, SP_VERDICT_UNKNOWN_USER, "no such user");
}

static void found_one(struct sp_ldap_login *login)
{
    char words[320];

    snprintf(words, sizeof(words), "1 match: %s", login->dn != NULL ? login->dn : "?");
    if (!login->alike) {
        found_another(login, words);
        return;
    }
    sp_ldap_login_trace(login, "search", sp_buf_span(&login->text).base, words);
    if (login->dn == NULL)
        sp_ldap_login_unavailable(login, SP_LDAP_FAULT_FULL, "out of memory");
    else if (login->dn[0] == '\0') /* a bind with an empty name would be anonymous, and succeed */
        found_nobody(login, 0);
    else
        sp_ldap_login_prove(login);
}

void sp_ldap_login_found_all(struct sp_ldap_login *login)
{
    if (login->matches == 1)
        found_one(login);
    else
        found_nobody(login, login->matches);
}

static void take_person(struct sp_ldap_login *login, LDAP *ld, LDAPMessage *answer)
{
    LDAPMessage *entry = ldap_first_entry(ld, answer);
    char *dn;

    login->matches = ldap_count_entries(ld, answer);
    if (login->matches != 1)
        return;
    dn = ldap_get_dn(ld, entry);
    if (dn != NULL)
        login->dn = sp_span_dup(sp_span_cstr(dn));
    ldap_memfree(dn);
    login->alike = sp_ldap_spelled(&login->base.backend->config->spellings, ld, entry,
                                   sp_span_cstr(login->user));
}

static void found_people(struct sp_ldap_login *login, LDAP *ld, LDAPMessage *answer,
                         const struct outcome *out)
{
    int matches = ldap_count_entries(ld, answer);
    char words[320];

    /* With two asked for, the size limit is met only by a second match or a third. */
    if (out->result == LDAP_SUCCESS || (out->result == LDAP_SIZELIMIT_EXCEEDED && matches > 1) ||
        (out->result == LDAP_REFERRAL && refers(login, ld, answer, out))) {
        count(login, SP_LDAP_OP_SEARCH, SP_LDAP_OUTCOME_OK);
        take_person(login, ld, answer);
        if (matches < 2 && refers(login, ld, answer, out))
            sp_ldap_login_follow(login, ld, answer);
        else
            sp_ldap_login_found_all(login);
        return;
    }
    describe(out, words, sizeof(words));
    count(login, SP_LDAP_OP_SEARCH, SP_LDAP_OUTCOME_ERROR);
    sp_ldap_login_trace(login, "search", sp_buf_span(&login->text).base, words);
    cannot(login, sp_ldap_judge_search(out->result), words);
}

/* ---- her groups ---- */

static void walked(struct sp_ldap_login *login)
{
    char words[64];

    snprintf(words, sizeof(words), "%zu group%s", login->groups.dns_len,
             login->groups.dns_len == 1 ? "" : "s");
    sp_ldap_login_trace(login, "groups", sp_buf_span(&login->text).base, words);
    sp_ldap_login_finish(login, SP_VERDICT_ALLOW,
                         login->ask == SP_AUTH_GROUPS ? "groups known" : "success");
}

static void groups_refused(struct sp_ldap_login *login, const struct outcome *out)
{
    char words[320];

    describe(out, words, sizeof(words));
    count(login, SP_LDAP_OP_GROUPS, SP_LDAP_OUTCOME_ERROR);
    sp_ldap_login_trace(login, "groups", sp_buf_span(&login->text).base, words);
    cannot(login, sp_ldap_judge_search(out->result), words);
}

static void found_groups(struct sp_ldap_login *login, LDAP *ld, LDAPMessage *answer,
                         const struct outcome *out)
{
    enum sp_err err;

    if (out->result == LDAP_SIZELIMIT_EXCEEDED && !login->paging) {
        login->paging = true; /* Active Directory gives 1000 at once, and the rest by pages */
        sp_ldap_login_go_on(login, SP_LDAP_LOGIN_GROUPS_WAIT);
        return;
    }
    if (out->result != LDAP_SUCCESS &&
        !(out->result == LDAP_REFERRAL && refers(login, ld, answer, out))) {
        groups_refused(login, out);
        return;
    }
    count(login, SP_LDAP_OP_GROUPS, SP_LDAP_OUTCOME_OK);
    if (login->paging)
        (void)sp_ldap_groups_more(ld, out->controls, &login->groups.cookie);
    err = sp_ldap_groups_take(&login->groups, ld, answer, sp_ldap_login_options(login)->group_name);
    if (err == SP_ERR_TOO_LARGE)
        sp_ldap_login_unavailable(login, SP_LDAP_FAULT_ANSWER, "more than 10,000 groups");
    else if (err != SP_OK)
        sp_ldap_login_unavailable(login, SP_LDAP_FAULT_FULL, "out of memory");
    else if (refers(login, ld, answer, out))
        sp_ldap_login_follow(login, ld, answer);
    else
        sp_ldap_login_gathered(login);
}

void sp_ldap_login_gathered(struct sp_ldap_login *login)
{
    char **dns;
    size_t batch = sp_ldap_groups_batch(&login->groups, SP_LDAP_GROUPS_A_BATCH, &dns);

    if (login->groups.cookie.bv_len > 0 ||
        sp_ldap_groups_advance(&login->groups, batch, sp_ldap_login_options(login)->group_depth))
        sp_ldap_login_go_on(login, SP_LDAP_LOGIN_GROUPS_WAIT);
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

/* ---- her bind ---- */

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
        sp_ldap_login_detail(login, "password expired, %d grace logins left", (int)grace);
    else if (expires >= 0)
        sp_ldap_login_detail(login, "password expires in %d s", (int)expires);
    return error;
}

static void act_on_bind(struct sp_ldap_login *login, struct sp_ldap_judgement judgement,
                        const char *words)
{
    switch (judgement.verdict) {
    case SP_VERDICT_ALLOW:
        count(login, SP_LDAP_OP_BIND, SP_LDAP_OUTCOME_OK);
        sp_secret_fini(&login->password);
        sp_ldap_login_gather(login);
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
    sp_ldap_login_detail(login, "%s", words);
    sp_ldap_login_finish(login, judgement.verdict, judgement.reason);
}

void sp_ldap_login_bound(struct sp_ldap_login *login, LDAP *ld, LDAPMessage *answer)
{
    struct sp_ldap_judgement judgement;
    struct outcome out;
    char words[320];
    char told[400];

    login->conn = NULL;
    take_outcome(ld, answer, &out);
    if (login->state == SP_LDAP_LOGIN_BIND_SENT && refers(login, ld, answer, &out)) {
        drop_outcome(&out);
        sp_ldap_login_follow(login, ld, answer);
        return;
    }
    judgement = sp_ldap_judge_bind(out.result, out.diagnostic, policy_of(login, ld, &out));
    describe(&out, words, sizeof(words));
    drop_outcome(&out);
    if (login->tracer != NULL) {
        snprintf(told, sizeof(told), "%s: %s", judgement.reason, words);
        sp_ldap_login_trace(login, "bind", login->dn,
                            judgement.verdict == SP_VERDICT_ALLOW ? judgement.reason : told);
    }
    act_on_bind(login, judgement, words);
}
