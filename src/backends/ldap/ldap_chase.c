/* Follows referrals: see ldap_chase.h. Each trail is a choice of URLs; the first that can be
 * reached is asked, and what it refers to becomes a trail behind the others. All trails must be
 * answered: what one place does not tell, nobody knows. Runs on a pool thread, but for making and
 * freeing. */
#include "backends/ldap/ldap_chase.h"

#include "backends/ldap/ldap_login.h"
#include "backends/ldap/ldap_verdict.h"
#include "util/span.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- life ---- */

void sp_ldap_chase_free(struct sp_ldap_chase **chase_ref)
{
    struct sp_ldap_chase *c = *chase_ref;

    *chase_ref = NULL;
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->trails_len; i++)
        ber_memvfree((void **)c->trails[i].urls);
    for (size_t i = 0; i < c->asked_len; i++)
        sp_ldap_lead_fini(&c->asked[i]);
    ldap_msgfree(c->answer);
    sp_ldap_wire_free(&c->wire);
    sp_ldap_groups_fini(&c->groups);
    sp_secret_fini(&c->password);
    free(c->found_dn);
    free(c->user);
    free(c->filter);
    free(c->dn);
    free(c);
}

struct sp_ldap_chase *sp_ldap_chase_new(struct sp_ldap_login *login, enum sp_ldap_chase_kind kind,
                                        const char *dn, const char *filter)
{
    struct sp_ldap_chase *c = calloc(1, sizeof(*c));
    bool whole;

    if (c == NULL)
        return NULL;
    c->backend = login->base.backend;
    c->login = login;
    c->kind = kind;
    c->deadline_ns = uv_hrtime() + c->backend->config->options->timeout_ms * 1000000;
    atomic_init(&c->stop, false);
    sp_list_init(&c->link);
    sp_ldap_groups_init(&c->groups);
    c->dn = sp_span_dup(sp_span_cstr(dn));
    c->user = sp_span_dup(sp_span_cstr(login->user));
    c->filter = filter != NULL ? sp_span_dup(sp_span_cstr(filter)) : NULL;
    whole = c->dn != NULL && c->user != NULL && (filter == NULL || c->filter != NULL);
    if (whole && kind == SP_LDAP_CHASE_BIND)
        whole = sp_secret_set(&c->password, sp_secret_span(&login->password)) == SP_OK;
    c->asked[c->asked_len++] = (struct sp_ldap_lead){.uri = *login->server->uri};
    if (!whole)
        sp_ldap_chase_free(&c);
    return c;
}

/* ---- trails ---- */

enum sp_err sp_ldap_chase_add(struct sp_ldap_chase *c, char **urls, unsigned hops, bool reference)
{
    if (c->trails_len == SP_LDAP_PLACES_MAX) {
        ber_memvfree((void **)urls);
        return SP_ERR_TOO_LARGE;
    }
    c->trails[c->trails_len++] = (struct sp_ldap_trail){urls, hops, reference};
    return SP_OK;
}

static enum sp_err collect_references(struct sp_ldap_chase *c, LDAP *ld, LDAPMessage *answer,
                                      unsigned hops)
{
    enum sp_err err = SP_OK;

    for (LDAPMessage *message = ldap_first_reference(ld, answer); message != NULL && err == SP_OK;
         message = ldap_next_reference(ld, message)) {
        char **urls = NULL;

        if (ldap_parse_reference(ld, message, &urls, NULL, 0) != LDAP_SUCCESS || urls == NULL)
            return SP_ERR_INVALID;
        err = sp_ldap_chase_add(c, urls, hops, true);
    }
    return err;
}

enum sp_err sp_ldap_chase_collect(struct sp_ldap_chase *c, LDAP *ld, LDAPMessage *answer,
                                  unsigned hops)
{
    enum sp_err err = collect_references(c, ld, answer, hops);
    char **urls = NULL;
    int result = LDAP_OTHER;

    if (err != SP_OK)
        return err;
    if (ldap_parse_result(ld, answer, &result, NULL, NULL, &urls, NULL, 0) != LDAP_SUCCESS)
        return SP_ERR_INVALID;
    if (result == LDAP_REFERRAL && urls != NULL)
        return sp_ldap_chase_add(c, urls, hops, false);
    ber_memvfree((void **)urls);
    return result == LDAP_REFERRAL ? SP_ERR_INVALID : SP_OK;
}

/* ---- telling ---- */

static void fail(struct sp_ldap_chase *c, const char *reason, const char *fmt, ...) SP_PRINTF(3, 4);

static void fail(struct sp_ldap_chase *c, const char *reason, const char *fmt, ...)
{
    va_list args;

    c->reason = reason;
    va_start(args, fmt);
    (void)vsnprintf(c->words, sizeof(c->words), fmt, args);
    va_end(args);
}

/* The place that is being asked has answered, or failed: in words. */
static void tell(struct sp_ldap_chase *c, const char *fmt, ...) SP_PRINTF(2, 3);

static void tell(struct sp_ldap_chase *c, const char *fmt, ...)
{
    struct sp_ldap_visit *visit = &c->visits[c->visits_len - 1];
    va_list args;

    visit->micros = (uv_hrtime() - visit->micros) / 1000;
    va_start(args, fmt);
    (void)vsnprintf(visit->outcome, sizeof(visit->outcome), fmt, args);
    va_end(args);
}

static void wait_failed(struct sp_ldap_chase *c, const struct sp_ldap_lead *lead, enum sp_err err)
{
    enum sp_ldap_fault fault = err == SP_ERR_TIMEOUT ? SP_LDAP_FAULT_TIMEOUT : SP_LDAP_FAULT_LOST;

    tell(c, "%s", sp_ldap_fault_text(fault));
    fail(c, sp_ldap_fault_text(fault), "%s, by referral: no answer", lead->uri.text);
}

static void cannot(struct sp_ldap_chase *c, const struct sp_ldap_lead *lead, int result)
{
    tell(c, "%s (%d)", ldap_err2string(result), result);
    fail(c, sp_ldap_judge_search(result).reason, "%s, by referral: %s (%d)", lead->uri.text,
         ldap_err2string(result), result);
}

/* What was answered leads on; those trails are followed after the ones that wait. */
static void go_on(struct sp_ldap_chase *c, const struct sp_ldap_lead *lead, LDAP *ld,
                  LDAPMessage *answer, unsigned hops)
{
    enum sp_err err = sp_ldap_chase_collect(c, ld, answer, hops + 1);

    if (err == SP_ERR_TOO_LARGE)
        fail(c, "referrals lead to too many places", "%s refers on", lead->uri.text);
    else if (err != SP_OK)
        fail(c, "a referral cannot be read", "%s, by referral", lead->uri.text);
}

/* ---- searches ---- */

static char **attributes_of(struct sp_ldap_chase *c, char *room[2])
{
    struct sp_auth_config *config = c->backend->config;
    static char no_attributes[] = LDAP_NO_ATTRS;

    if (c->kind == SP_LDAP_CHASE_FIND && config->spellings.list[0] != NULL)
        return config->spellings.list;
    room[0] = c->kind == SP_LDAP_CHASE_FIND ? no_attributes : config->options->group_name;
    room[1] = NULL;
    return room;
}

/* One search, or one page of it: sent, and its answer waited for. */
static enum sp_err search_once(struct sp_ldap_chase *c, const struct sp_ldap_lead *lead,
                               struct sp_ldap_wire *wire, struct berval *cookie,
                               LDAPMessage **answer_out)
{
    LDAP *ld = sp_ldap_wire_handle(wire);
    bool people = c->kind == SP_LDAP_CHASE_FIND;
    LDAPControl *controls[] = {NULL, NULL};
    char *room[2];
    int msgid = 0;
    int rc;

    *answer_out = NULL;
    if (!people &&
        ldap_create_page_control(ld, SP_LDAP_GROUPS_PAGE, cookie, 0, &controls[0]) != LDAP_SUCCESS)
        return SP_ERR_NOMEM;
    rc = ldap_search_ext(ld, lead->dn != NULL ? lead->dn : c->dn,
                         lead->scope != LDAP_SCOPE_DEFAULT ? lead->scope : LDAP_SCOPE_SUBTREE,
                         c->filter, attributes_of(c, room), 0, controls, NULL, NULL,
                         people ? SP_LDAP_PEOPLE_LIMIT : LDAP_NO_LIMIT, &msgid);
    ldap_control_free(controls[0]);
    if (rc != LDAP_SUCCESS)
        return SP_ERR_CLOSED;
    return sp_ldap_wire_await(wire, msgid, c->deadline_ns, &c->stop, answer_out);
}

static void take_people(struct sp_ldap_chase *c, const struct sp_ldap_lead *lead, LDAP *ld,
                        LDAPMessage *answer)
{
    LDAPMessage *entry = ldap_first_entry(ld, answer);
    char *dn;

    c->matches += ldap_count_entries(ld, answer);
    if (entry == NULL || c->found_dn != NULL)
        return;
    dn = ldap_get_dn(ld, entry);
    c->found_dn = dn != NULL ? sp_span_dup(sp_span_cstr(dn)) : NULL;
    ldap_memfree(dn);
    c->alike = sp_ldap_spelled(&c->backend->config->spellings, ld, entry, sp_span_cstr(c->user));
    c->home = lead->uri;
    if (c->found_dn == NULL)
        fail(c, sp_ldap_fault_text(SP_LDAP_FAULT_FULL), "out of memory");
}

static void take_groups(struct sp_ldap_chase *c, LDAP *ld, LDAPMessage *answer)
{
    enum sp_err err = sp_ldap_groups_take(&c->groups, ld, answer,
                                          c->backend->config->options->group_name);

    if (err == SP_ERR_TOO_LARGE)
        fail(c, sp_ldap_fault_text(SP_LDAP_FAULT_ANSWER), "more than 10,000 groups");
    else if (err != SP_OK)
        fail(c, sp_ldap_fault_text(SP_LDAP_FAULT_FULL), "out of memory");
}

/* True: there is a page to come. */
static bool take_search(struct sp_ldap_chase *c, const struct sp_ldap_lead *lead, LDAP *ld,
                        LDAPMessage *answer, unsigned hops, struct berval *cookie)
{
    LDAPControl **controls = NULL;
    bool people = c->kind == SP_LDAP_CHASE_FIND;
    bool more;
    int result = LDAP_DECODING_ERROR;

    if (ldap_parse_result(ld, answer, &result, NULL, NULL, NULL, &controls, 0) != LDAP_SUCCESS)
        result = LDAP_DECODING_ERROR;
    more = sp_ldap_groups_more(ld, controls, cookie);
    ldap_controls_free(controls);
    if (result != LDAP_SUCCESS && result != LDAP_REFERRAL &&
        !(people && result == LDAP_SIZELIMIT_EXCEEDED && ldap_count_entries(ld, answer) > 1)) {
        cannot(c, lead, result);
        return false;
    }
    if (people)
        take_people(c, lead, ld, answer);
    else
        take_groups(c, ld, answer);
    if (c->reason == NULL)
        go_on(c, lead, ld, answer, hops);
    return more && c->reason == NULL;
}

static void search(struct sp_ldap_chase *c, const struct sp_ldap_lead *lead,
                   struct sp_ldap_wire *wire, unsigned hops)
{
    struct berval cookie = {0, NULL};
    bool more = true;

    while (more) {
        LDAPMessage *answer = NULL;
        enum sp_err err = search_once(c, lead, wire, &cookie, &answer);

        more = false;
        if (err != SP_OK)
            wait_failed(c, lead, err);
        else
            more = take_search(c, lead, sp_ldap_wire_handle(wire), answer, hops, &cookie);
        ldap_msgfree(answer);
    }
    ber_memfree(cookie.bv_val);
    if (c->reason == NULL && c->kind == SP_LDAP_CHASE_FIND)
        tell(c, "%d matches so far", c->matches);
    else if (c->reason == NULL)
        tell(c, "%zu groups so far", c->groups.dns_len);
}

/* ---- binds ---- */

/* Sent once: one whose answer is lost may have been counted. */
static void prove(struct sp_ldap_chase *c, const struct sp_ldap_lead *lead,
                  struct sp_ldap_wire **wire, unsigned hops)
{
    LDAP *ld = sp_ldap_wire_handle(*wire);
    LDAPMessage *answer = NULL;
    int result = LDAP_DECODING_ERROR;
    int msgid = 0;
    enum sp_err err = SP_ERR_CLOSED;

    if (sp_ldap_wire_bind(*wire, lead->dn != NULL ? lead->dn : c->dn, sp_secret_span(&c->password),
                          &msgid) == LDAP_SUCCESS)
        err = sp_ldap_wire_await(*wire, msgid, c->deadline_ns, &c->stop, &answer);
    if (err != SP_OK) {
        wait_failed(c, lead, err);
        return;
    }
    if (ldap_parse_result(ld, answer, &result, NULL, NULL, NULL, NULL, 0) != LDAP_SUCCESS)
        result = LDAP_DECODING_ERROR;
    tell(c, "%s (%d)", ldap_err2string(result), result);
    if (result == LDAP_REFERRAL) {
        go_on(c, lead, ld, answer, hops);
        ldap_msgfree(answer);
        return;
    }
    c->answer = answer;
    c->wire = *wire;
    *wire = NULL;
}

/* ---- places ---- */

/* SP_ERR_AGAIN: it was not reached, and another URL of the trail may be. */
static enum sp_err visit(struct sp_ldap_chase *c, const struct sp_ldap_lead *lead, unsigned hops)
{
    struct sp_ldap_visit *told = &c->visits[c->visits_len];
    struct sp_ldap_dial_report report;

    if (c->visits_len == SP_LDAP_PLACES_MAX) {
        fail(c, "referrals lead to too many places", "%s is one too many", lead->uri.text);
        return SP_OK;
    }
    c->visits_len++;
    told->server = lead->uri.text;
    told->micros = uv_hrtime();
    sp_ldap_dial_until(c->backend->config, &lead->uri,
                       c->kind == SP_LDAP_CHASE_BIND ? SP_LDAP_DIAL_CONNECT : SP_LDAP_DIAL_SERVICE,
                       c->deadline_ns, &c->stop, &report);
    if (report.wire == NULL) {
        tell(c, "%s", report.words);
        snprintf(c->words, sizeof(c->words), "%s, by referral: %s", lead->uri.text, report.words);
        return SP_ERR_AGAIN;
    }
    if (c->kind == SP_LDAP_CHASE_BIND)
        prove(c, lead, &report.wire, hops);
    else
        search(c, lead, report.wire, hops);
    sp_ldap_wire_free(&report.wire);
    if (told->outcome[0] == '\0')
        tell(c, "%.300s", c->words);
    return SP_OK;
}

static bool was_asked(const struct sp_ldap_chase *c, const struct sp_ldap_lead *lead)
{
    for (size_t i = 0; i < c->asked_len; i++) {
        if (sp_ldap_lead_same(&c->asked[i], lead, c->dn))
            return true;
    }
    return false;
}

/* One URL. SP_ERR_AGAIN: the next one. */
static enum sp_err follow_url(struct sp_ldap_chase *c, const struct sp_ldap_trail *trail,
                              const char *url)
{
    struct sp_ldap_lead lead;
    const char *why = NULL;
    enum sp_err err = sp_ldap_lead_read(&lead, url, c->backend->config->options, &why);

    if (err != SP_OK) {
        snprintf(c->words, sizeof(c->words), "the referral to %.200s is not followed: %s", url,
                 why);
        err = SP_ERR_AGAIN;
    } else if (was_asked(c, &lead)) {
        snprintf(c->words, sizeof(c->words), "referrals lead back to %.200s", lead.uri.text);
        err = trail->reference ? SP_OK : SP_ERR_AGAIN;
    } else if (c->asked_len == sizeof(c->asked) / sizeof(c->asked[0])) {
        fail(c, "referrals lead to too many places", "%.300s is one too many", url);
        err = SP_OK;
    } else {
        struct sp_ldap_lead *kept = &c->asked[c->asked_len++];

        *kept = lead;
        return visit(c, kept, trail->hops);
    }
    sp_ldap_lead_fini(&lead);
    return err;
}

static void follow(struct sp_ldap_chase *c, const struct sp_ldap_trail *trail)
{
    if (trail->hops > SP_LDAP_HOPS_MAX) {
        fail(c, "too many referrals in a row", "more than %d, the last to %.200s", SP_LDAP_HOPS_MAX,
             trail->urls[0] != NULL ? trail->urls[0] : "nowhere");
        return;
    }
    for (size_t i = 0; trail->urls[i] != NULL; i++) {
        if (follow_url(c, trail, trail->urls[i]) == SP_OK)
            return;
    }
    c->reason = "a referral cannot be followed"; /* the words are those of the last URL */
}

void sp_ldap_chase_run(struct sp_ldap_chase *c)
{
    for (size_t i = 0; i < c->trails_len && c->reason == NULL && c->answer == NULL; i++) {
        struct sp_ldap_trail trail = c->trails[i]; /* c->trails grows behind it */

        if (uv_hrtime() >= c->deadline_ns)
            fail(c, sp_ldap_fault_text(SP_LDAP_FAULT_TIMEOUT), "following referrals took too long");
        else
            follow(c, &trail);
    }
}
