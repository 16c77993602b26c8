/* A person's groups as they are gathered: names and DNs, each group once, level by level. Belongs
 * to one login. */
#ifndef SP_LDAP_GROUPS_H
#define SP_LDAP_GROUPS_H

#include "sallyport/base.h"

#include <ldap.h>
#include <stdbool.h>

struct sp_ldap_groups {
    /* what is reported: each group's names, then its DN */
    struct sp_span *texts;
    size_t texts_len;
    size_t texts_cap;
    /* the DNs alone, in the order they were found: the walk's queue */
    char **dns;
    size_t dns_len;
    size_t dns_cap;
    void *seen;       /* tsearch(3) tree of the DNs, compared without case */
    size_t asked;     /* dns[0..asked) have been asked about */
    size_t level_end; /* dns[asked..level_end) are this level */
    int64_t level;
    struct berval cookie; /* of the page to come (RFC 2696); empty: first page or last */
};

void sp_ldap_groups_init(struct sp_ldap_groups *groups);
void sp_ldap_groups_fini(struct sp_ldap_groups *groups);
/* All entries of one answer. SP_ERR_TOO_LARGE: more than SP_LDAP_GROUPS_MAX; SP_ERR_NOMEM. */
enum sp_err sp_ldap_groups_take(struct sp_ldap_groups *groups, LDAP *ld, LDAPMessage *answer,
                                const char *name_attribute) SP_MUST_CHECK;
/* True: another page is to come, and `cookie` (whose old value is freed) holds its place. */
bool sp_ldap_groups_more(LDAP *ld, LDAPControl **controls, struct berval *cookie);
/* The next DNs to ask about, a batch of at most `max` from one level; 0: the walk is over. */
size_t sp_ldap_groups_batch(const struct sp_ldap_groups *groups, size_t max, char ***dns_out);
/* They are answered: on to the next batch, or level. False: the walk is over. */
bool sp_ldap_groups_advance(struct sp_ldap_groups *groups, size_t batch, int64_t depth);

#endif
