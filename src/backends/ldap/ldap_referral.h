/* Where a referral leads: one URL of it (RFC 4511 4.1.10), read and judged by the rules of its
 * block. Pure; any thread. */
#ifndef SP_LDAP_REFERRAL_H
#define SP_LDAP_REFERRAL_H

#include "backends/ldap/ldap_config.h"

struct sp_ldap_lead {
    struct sp_ldap_uri uri;
    char *dn;  /* the base to search or the name to bind; NULL: as it was asked */
    int scope; /* LDAP_SCOPE_DEFAULT: as it was asked */
};

/* SP_ERR_INVALID: it may not be followed, `why_out` (static text) says why. SP_ERR_NOMEM. `lead` is
 * the caller's to fini in any case. */
enum sp_err sp_ldap_lead_read(struct sp_ldap_lead *lead, const char *url,
                              const struct sp_ldap_options *options,
                              const char **why_out) SP_MUST_CHECK;
void sp_ldap_lead_fini(struct sp_ldap_lead *lead);
/* The same server, and the same place on it, when what was asked is `asked`. */
bool sp_ldap_lead_same(const struct sp_ldap_lead *a, const struct sp_ldap_lead *b,
                       const char *asked);

#endif
