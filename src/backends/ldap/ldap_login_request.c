/* What a login sends: filters and their limits. The server gives it a conn, and the conn asks here
 * for the words (a bind's are the DN and the password, and the conn takes them itself). Loop thread
 * only. */
#include "backends/ldap/ldap_login_priv.h"

#include "util/span.h"

enum sp_err sp_ldap_login_fill(struct sp_ldap_login *login, enum sp_ldap_place place,
                               const char *tmpl, const char *dn)
{
    return sp_ldap_template_fill(&login->text, place, tmpl, sp_span_cstr(login->user),
                                 sp_span_cstr(dn));
}

void sp_ldap_login_sent(struct sp_ldap_login *login, struct sp_ldap_conn *conn, int msgid)
{
    login->conn = conn;
    login->msgid = msgid;
    login->sent_ms = sp_ldap_now_ms(login->base.backend);
    login->due_ms = login->sent_ms + sp_ldap_login_options(login)->timeout_ms;
    if (login->state == SP_LDAP_LOGIN_BIND_WAIT) {
        login->binds_sent++;
        sp_ldap_login_enter(login, SP_LDAP_LOGIN_BIND_SENT);
    } else {
        sp_ldap_login_enter(login, login->state == SP_LDAP_LOGIN_FIND_WAIT
                                       ? SP_LDAP_LOGIN_FIND_SENT
                                       : SP_LDAP_LOGIN_GROUPS_SENT);
    }
    sp_ldap_backend_wake_at(login->base.backend, login->due_ms);
}

/* group_filter for the person, or for each group of a batch: (|(member=g1)(member=g2)). */
static enum sp_err fill_group_filter(struct sp_ldap_login *login)
{
    const char *tmpl = sp_ldap_login_options(login)->group_filter;
    char **dns;
    size_t batch = sp_ldap_groups_batch(&login->groups, SP_LDAP_GROUPS_A_BATCH, &dns);
    enum sp_err err;

    if (batch == 0)
        return sp_ldap_login_fill(login, SP_LDAP_IN_FILTER, tmpl, login->dn);
    err = sp_buf_append(&login->text, SP_SPAN_LIT("(|"));
    for (size_t i = 0; i < batch && err == SP_OK; i++)
        err = sp_ldap_login_fill(login, SP_LDAP_IN_FILTER, tmpl, dns[i]);
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
    const struct sp_ldap_options *options = sp_ldap_login_options(login);
    bool people = login->state == SP_LDAP_LOGIN_FIND_WAIT;
    enum sp_err err;

    sp_buf_reset(&login->text);
    err = people ? sp_ldap_login_fill(login, SP_LDAP_IN_FILTER, options->filter, NULL)
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
        .size_limit = people ? SP_LDAP_PEOPLE_LIMIT : LDAP_NO_LIMIT,
        .control = NULL,
    };
    if (people || !login->paging)
        return SP_OK;
    return ldap_create_page_control(ld, SP_LDAP_GROUPS_PAGE, &login->groups.cookie, 1,
                                    &search_out->control) == LDAP_SUCCESS
               ? SP_OK
               : SP_ERR_NOMEM;
}
