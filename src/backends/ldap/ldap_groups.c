/* Gathers groups from answers and walks up from groups to the groups that hold them. Each group is
 * asked about once, so cycles end by themselves; the whole is bounded. */
#include "backends/ldap/ldap_groups.h"

#include "backends/ldap/ldap_priv.h"
#include "util/span.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

void sp_ldap_groups_init(struct sp_ldap_groups *groups)
{
    memset(groups, 0, sizeof(*groups));
}

static void free_nothing(void *key)
{
    (void)key; /* the DNs belong to groups->dns */
}

void sp_ldap_groups_fini(struct sp_ldap_groups *groups)
{
    tdestroy(groups->seen, free_nothing);
    for (size_t i = 0; i < groups->texts_len; i++)
        free((void *)groups->texts[i].base);
    for (size_t i = 0; i < groups->dns_len; i++)
        free(groups->dns[i]);
    free(groups->texts);
    free(groups->dns);
    ber_memfree(groups->cookie.bv_val);
    memset(groups, 0, sizeof(*groups));
}

/* Room for one more in an array that doubles. */
static void *roomy(void *array, size_t len, size_t *cap, size_t size)
{
    size_t grown = *cap == 0 ? 16 : *cap * 2;
    void *moved;

    if (len < *cap)
        return array;
    moved = reallocarray(array, grown, size);
    if (moved != NULL)
        *cap = grown;
    return moved;
}

static enum sp_err add_text(struct sp_ldap_groups *groups, struct sp_span text)
{
    struct sp_span *texts = roomy(groups->texts, groups->texts_len, &groups->texts_cap,
                                  sizeof(*texts));
    char *copy;

    if (texts == NULL)
        return SP_ERR_NOMEM;
    groups->texts = texts;
    copy = sp_span_dup(text);
    if (copy == NULL)
        return SP_ERR_NOMEM;
    groups->texts[groups->texts_len++] = sp_span_of(copy, text.len);
    return SP_OK;
}

static int compare_dns(const void *a, const void *b)
{
    return strcasecmp(a, b);
}

/* SP_ERR_AGAIN: it is there already. */
static enum sp_err add_dn(struct sp_ldap_groups *groups, const char *dn)
{
    char **dns = roomy(groups->dns, groups->dns_len, &groups->dns_cap, sizeof(*dns));
    char *copy;

    if (dns == NULL)
        return SP_ERR_NOMEM;
    groups->dns = dns;
    if (tfind(dn, &groups->seen, compare_dns) != NULL)
        return SP_ERR_AGAIN;
    if (groups->dns_len >= SP_LDAP_GROUPS_MAX)
        return SP_ERR_TOO_LARGE;
    copy = sp_span_dup(sp_span_cstr(dn));
    if (copy == NULL || tsearch(copy, &groups->seen, compare_dns) == NULL) {
        free(copy);
        return SP_ERR_NOMEM;
    }
    groups->dns[groups->dns_len++] = copy;
    return add_text(groups, sp_span_of(copy, strlen(copy)));
}

static enum sp_err add_names(struct sp_ldap_groups *groups, LDAP *ld, LDAPMessage *entry,
                             const char *attribute)
{
    struct berval **values = ldap_get_values_len(ld, entry, attribute);
    enum sp_err err = SP_OK;

    for (size_t i = 0; values != NULL && values[i] != NULL && err == SP_OK; i++)
        err = add_text(groups, sp_span_of(values[i]->bv_val, values[i]->bv_len));
    ldap_value_free_len(values);
    return err;
}

enum sp_err sp_ldap_groups_take(struct sp_ldap_groups *groups, LDAP *ld, LDAPMessage *answer,
                                const char *name_attribute)
{
    enum sp_err err = SP_OK;

    for (LDAPMessage *entry = ldap_first_entry(ld, answer); entry != NULL && err == SP_OK;
         entry = ldap_next_entry(ld, entry)) {
        char *dn = ldap_get_dn(ld, entry);

        err = dn != NULL ? add_dn(groups, dn) : SP_ERR_NOMEM;
        if (err == SP_OK)
            err = add_names(groups, ld, entry, name_attribute);
        else if (err == SP_ERR_AGAIN)
            err = SP_OK;
        ldap_memfree(dn);
    }
    return err;
}

bool sp_ldap_groups_more(LDAP *ld, LDAPControl **controls, struct berval *cookie)
{
    LDAPControl *control = ldap_control_find(LDAP_CONTROL_PAGEDRESULTS, controls, NULL);
    struct berval next = {0, NULL};
    ber_int_t estimate = 0;

    ber_memfree(cookie->bv_val);
    *cookie = (struct berval){0, NULL};
    if (control == NULL ||
        ldap_parse_pageresponse_control(ld, control, &estimate, &next) != LDAP_SUCCESS)
        return false;
    if (next.bv_len > 0) {
        *cookie = next;
        return true;
    }
    ber_memfree(next.bv_val);
    return false;
}

size_t sp_ldap_groups_batch(const struct sp_ldap_groups *groups, size_t max, char ***dns_out)
{
    size_t left = groups->level_end - groups->asked;

    *dns_out = groups->dns != NULL ? groups->dns + groups->asked : NULL;
    return left < max ? left : max;
}

bool sp_ldap_groups_advance(struct sp_ldap_groups *groups, size_t batch, int64_t depth)
{
    groups->asked += batch;
    if (groups->asked == groups->level_end) {
        groups->level++;
        groups->level_end = groups->dns_len;
    }
    return groups->level <= depth && groups->asked < groups->level_end;
}
