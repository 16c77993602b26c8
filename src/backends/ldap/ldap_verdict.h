/* What an answer of the directory means. Pure; any thread. Only what the directory says about the
 * credential or the account is a verdict; everything else is "don't know". */
#ifndef SP_LDAP_VERDICT_H
#define SP_LDAP_VERDICT_H

#include "sallyport/auth_backend.h"

#include <ldap.h>

struct sp_ldap_judgement {
    enum sp_verdict verdict;
    const char *reason; /* static */
    bool elsewhere;     /* UNAVAILABLE: another server may do better */
};

/* A user's bind: the result code, the diagnostic message (NULL: none), and what the password policy
 * control says (PP_noError where there is none). */
struct sp_ldap_judgement sp_ldap_judge_bind(int result, const char *diagnostic,
                                            LDAPPasswordPolicyError policy);
/* A search that did not succeed. */
struct sp_ldap_judgement sp_ldap_judge_search(int result);

#endif
