/* Is the person found the person named? A directory compares names after preparing them (RFC 4518):
 * full-width letters, soft hyphens and other look-alikes find the same entry. To rules, guard and
 * cache they would be other people, so a name counts only as the entry itself spells it. */
#ifndef SP_LDAP_SPELLING_H
#define SP_LDAP_SPELLING_H

#include "sallyport/base.h"

#include <ldap.h>
#include <stdbool.h>

#define SP_LDAP_SPELLINGS_MAX 4

/* The attributes that `filter` compares with the whole name, (uid=%u). NULL-terminated; none: there
 * is nothing to compare. Any thread. */
struct sp_ldap_spellings {
    char names[SP_LDAP_SPELLINGS_MAX][64];
    char *list[SP_LDAP_SPELLINGS_MAX + 1];
};

/* `spellings` must not move afterwards: list points into it. */
void sp_ldap_spellings_of(struct sp_ldap_spellings *spellings, const char *filter);
/* False: the entry shows such an attribute, and no value of it is `user` (in lower case); or it
 * does not let one be read, and the name is ambiguous. */
bool sp_ldap_spelled(const struct sp_ldap_spellings *spellings, LDAP *ld, LDAPMessage *entry,
                     struct sp_span user);

/* Where there is nothing to compare with (a bind by template reads no entry): has the name
 * characters that a directory may read as others? Such a name is nobody's. `user` is UTF-8, in
 * lower case. */
bool sp_ldap_ambiguous(struct sp_span user);

#endif
