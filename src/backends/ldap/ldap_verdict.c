/* Result codes (RFC 4511 A), Active Directory's sub-codes and the password policy control, turned
 * into verdicts and words. */
#include "backends/ldap/ldap_verdict.h"

#include "backends/ldap/ldap_text.h"

/* The codes after "data" in the diagnostic of a refused bind: Win32 error numbers, in hex. 52e and
 * 525 are answers about the credential; the rest about an account whose password was right (775
 * also comes with a wrong one, when the account is locked already). */
static bool judge_active_directory(unsigned code, struct sp_ldap_judgement *out)
{
    static const struct {
        unsigned code;
        enum sp_verdict verdict;
        const char *reason;
    } known[] = {
        {0x52e, SP_VERDICT_DENY, "wrong password"},
        {0x525, SP_VERDICT_UNKNOWN_USER, "no such user"},
        {0x530, SP_VERDICT_ACCOUNT, "login not allowed at this hour"},
        {0x531, SP_VERDICT_ACCOUNT, "login not allowed from this machine"},
        {0x532, SP_VERDICT_ACCOUNT, "password expired"},
        {0x533, SP_VERDICT_ACCOUNT, "account disabled"},
        {0x701, SP_VERDICT_ACCOUNT, "account expired"},
        {0x773, SP_VERDICT_ACCOUNT, "password must be changed"},
        {0x775, SP_VERDICT_ACCOUNT, "account locked"},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].code == code) {
            *out = (struct sp_ldap_judgement){known[i].verdict, known[i].reason, false};
            return true;
        }
    }
    return false;
}

static bool judge_policy(LDAPPasswordPolicyError policy, struct sp_ldap_judgement *out)
{
    const char *reason = policy == PP_passwordExpired    ? "password expired"
                         : policy == PP_accountLocked    ? "account locked"
                         : policy == PP_changeAfterReset ? "password must be changed"
                                                         : NULL;

    if (reason == NULL)
        return false;
    *out = (struct sp_ldap_judgement){SP_VERDICT_ACCOUNT, reason, false};
    return true;
}

static struct sp_ldap_judgement unavailable(int result)
{
    switch (result) {
    case LDAP_BUSY:
        return (struct sp_ldap_judgement){SP_VERDICT_UNAVAILABLE, "directory busy", true};
    case LDAP_UNAVAILABLE:
        return (struct sp_ldap_judgement){SP_VERDICT_UNAVAILABLE, "directory unavailable", true};
    case LDAP_UNWILLING_TO_PERFORM:
        return (struct sp_ldap_judgement){SP_VERDICT_UNAVAILABLE, "directory unwilling", false};
    case LDAP_STRONG_AUTH_REQUIRED:
    case LDAP_CONFIDENTIALITY_REQUIRED:
        return (struct sp_ldap_judgement){
            SP_VERDICT_UNAVAILABLE,
            "the directory wants a protected connection: use ldaps:// or start_tls = true", false};
    case LDAP_REFERRAL:
        return (struct sp_ldap_judgement){SP_VERDICT_UNAVAILABLE,
                                          "the directory refers to another server", false};
    case LDAP_INSUFFICIENT_ACCESS:
        return (struct sp_ldap_judgement){SP_VERDICT_UNAVAILABLE,
                                          "the service identity may not look there", false};
    case LDAP_NO_SUCH_OBJECT:
        return (struct sp_ldap_judgement){SP_VERDICT_UNAVAILABLE, "the search base does not exist",
                                          false};
    case LDAP_TIMELIMIT_EXCEEDED:
    case LDAP_ADMINLIMIT_EXCEEDED:
    case LDAP_SIZELIMIT_EXCEEDED:
        return (struct sp_ldap_judgement){SP_VERDICT_UNAVAILABLE,
                                          "the directory's limits ended the search", false};
    default:
        return (struct sp_ldap_judgement){SP_VERDICT_UNAVAILABLE, "the directory cannot answer",
                                          false};
    }
}

struct sp_ldap_judgement sp_ldap_judge_bind(int result, const char *diagnostic,
                                            LDAPPasswordPolicyError policy)
{
    struct sp_ldap_judgement judgement;

    switch (result) {
    case LDAP_SUCCESS:
        if (judge_policy(policy, &judgement))
            return judgement;
        return (struct sp_ldap_judgement){SP_VERDICT_ALLOW, "success", false};
    case LDAP_INVALID_CREDENTIALS:
        if (judge_policy(policy, &judgement) ||
            judge_active_directory(sp_ldap_ad_code(diagnostic), &judgement))
            return judgement;
        return (struct sp_ldap_judgement){SP_VERDICT_DENY, "wrong password", false};
    /* The entry is gone, or has no password: a server that says so instead of 49 (RFC 4511 A.2
     * advises against it) has refused the credential all the same. */
    case LDAP_NO_SUCH_OBJECT:
    case LDAP_INAPPROPRIATE_AUTH:
        return (struct sp_ldap_judgement){SP_VERDICT_DENY, "no password can be right", false};
    default:
        if (judge_policy(policy, &judgement))
            return judgement;
        return unavailable(result);
    }
}

struct sp_ldap_judgement sp_ldap_judge_search(int result)
{
    return unavailable(result);
}
