/* What the parts of a login share:
 *
 *   ldap_login.c          its states, its stages, its life
 *   ldap_login_route.c    which server is asked, and asked again
 *   ldap_login_request.c  what goes out
 *   ldap_login_answer.c   what came back, and what follows from it
 *   ldap_login_away.c     what goes on along referrals, on the work pool
 *
 * Whatever moves the login on is a function's last act: afterwards the login may wait anywhere. */
#ifndef SP_LDAP_LOGIN_PRIV_H
#define SP_LDAP_LOGIN_PRIV_H

#include "backends/ldap/ldap_login.h"
#include "backends/ldap/ldap_text.h"

#define SP_LDAP_GROUPS_A_BATCH 32 /* groups asked about in one search of a walk */

/* ---- ldap_login.c ---- */

const struct sp_ldap_options *sp_ldap_login_options(const struct sp_ldap_login *login);
void sp_ldap_login_enter(struct sp_ldap_login *login, enum sp_ldap_login_state next);
/* A step for `sallyport why`, timed from the last request. `detail` may be NULL. */
void sp_ldap_login_trace(struct sp_ldap_login *login, const char *what, const char *detail,
                         const char *outcome);
/* The result's words for the log; the last ones count. */
void sp_ldap_login_detail(struct sp_ldap_login *login, const char *fmt, ...) SP_PRINTF(2, 3);
/* A page's cookie is good on its own connection only (RFC 2696 3): elsewhere the search begins
 * again, and groups that are known already are not taken twice. */
void sp_ldap_login_forget_pages(struct sp_ldap_login *login);
/* Moves on: answered. `reason` is static text. */
void sp_ldap_login_finish(struct sp_ldap_login *login, enum sp_verdict verdict, const char *reason);
/* Moves on from a DN that is known: to the bind, where there is a password to prove. */
void sp_ldap_login_prove(struct sp_ldap_login *login);
/* Moves on from an identity that is known: to its groups, where any are looked up. */
void sp_ldap_login_gather(struct sp_ldap_login *login);

/* ---- ldap_login_route.c ---- */

/* Moves on to the next stage, where the last one ended if that server is still well. */
void sp_ldap_login_go_on(struct sp_ldap_login *login, enum sp_ldap_login_state wait);

/* ---- ldap_login_answer.c ---- */

/* Moves on from all the places where she may be: login->matches and login->dn are whole. */
void sp_ldap_login_found_all(struct sp_ldap_login *login);
/* Moves on from one answer about groups: to the next page, batch or level, or to the end. */
void sp_ldap_login_gathered(struct sp_ldap_login *login);

/* ---- ldap_login_away.c ---- */

/* Moves on: away, to everything that the answer refers to. */
void sp_ldap_login_follow(struct sp_ldap_login *login, LDAP *ld, LDAPMessage *answer);
/* Moves on: away, to prove the password where the person was found. */
void sp_ldap_login_prove_at_home(struct sp_ldap_login *login);
/* Moves on: the chase is over. What it found is taken out of it. */
void sp_ldap_login_back(struct sp_ldap_login *login, struct sp_ldap_chase *chase);
/* It is no longer waited for. */
void sp_ldap_login_call_back(struct sp_ldap_login *login);

/* ---- ldap_login_request.c ---- */

/* The template, filled for this login and `dn` (may be NULL), is appended to login->text. */
enum sp_err sp_ldap_login_fill(struct sp_ldap_login *login, enum sp_ldap_place place,
                               const char *tmpl, const char *dn) SP_MUST_CHECK;

#endif
