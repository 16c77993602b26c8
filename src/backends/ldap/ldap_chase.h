/* One request of a login followed along referrals: a job for the work pool, on connections of its
 * own that live as long as it does. Referrals are rare and lead to servers that nobody named, so
 * they get no breaker, no queue and no idle connections: each visit dials, by the same rules as
 * ldap_dial.c does everywhere, asks, and says goodbye. Bounded in hops, in places, in time, and by
 * SP_LDAP_CHASES_MAX at once in a worker. */
#ifndef SP_LDAP_CHASE_H
#define SP_LDAP_CHASE_H

#include "backends/ldap/ldap_groups.h"
#include "backends/ldap/ldap_priv.h"
#include "backends/ldap/ldap_referral.h"

#define SP_LDAP_HOPS_MAX   3  /* referrals in a row */
#define SP_LDAP_PLACES_MAX 16 /* asked for one request */

enum sp_ldap_chase_kind { SP_LDAP_CHASE_FIND, SP_LDAP_CHASE_BIND, SP_LDAP_CHASE_GROUPS };

/* URLs of which one is to be asked. */
struct sp_ldap_trail {
    char **urls; /* ber_memvfree */
    unsigned hops;
    bool reference; /* beside entries: one that was asked already has nothing new to say */
};

/* Of the chase as `sallyport why` tells it. */
struct sp_ldap_visit {
    const char *server; /* in `asked` */
    char outcome[320];
    uint64_t micros;
};

/* Owned by itself; freed by whoever ends it: on_chase_done, or its start where that fails. The loop
 * touches nothing but `login` and `stop` while the job runs. */
struct sp_ldap_chase {
    struct sp_auth_work work;
    struct sp_auth_backend *backend;
    struct sp_ldap_login *login; /* NULL: it was cancelled meanwhile */
    struct sp_list link;         /* backend->chases_waiting */
    bool running;
    atomic_bool stop;

    enum sp_ldap_chase_kind kind;
    uint64_t deadline_ns;
    char *dn; /* the base to search, or the name to bind */
    char *filter;
    char *user;
    struct sp_secret password;
    size_t trails_len;
    struct sp_ldap_trail trails[SP_LDAP_PLACES_MAX];
    size_t asked_len;
    struct sp_ldap_lead asked[SP_LDAP_PLACES_MAX + 1]; /* the first: where it began */

    /* what it came to */
    const char *reason; /* static; NULL: every place was asked and answered */
    char words[400];
    int matches;
    char *found_dn; /* of the first match */
    bool alike;     /* and it spells its name as it was typed */
    struct sp_ldap_uri home;
    struct sp_ldap_groups groups; /* moved here for the length of the job */
    struct sp_ldap_wire *wire;    /* BIND: who answered */
    LDAPMessage *answer;          /* BIND: and what; ldap_msgfree */
    size_t visits_len;
    struct sp_ldap_visit visits[SP_LDAP_PLACES_MAX];
};

/* `dn` and `filter` (NULL for a bind) are copied. NULL: out of memory. */
struct sp_ldap_chase *sp_ldap_chase_new(struct sp_ldap_login *login, enum sp_ldap_chase_kind kind,
                                        const char *dn, const char *filter) SP_MUST_CHECK;
void sp_ldap_chase_free(struct sp_ldap_chase **chase);
/* Takes `urls`, also on failure. SP_ERR_TOO_LARGE: it leads to too many places. */
enum sp_err sp_ldap_chase_add(struct sp_ldap_chase *chase, char **urls, unsigned hops,
                              bool reference) SP_MUST_CHECK;
/* All that an answer refers to: its references, and the referral of its result. SP_ERR_INVALID: it
 * cannot be read. */
enum sp_err sp_ldap_chase_collect(struct sp_ldap_chase *chase, LDAP *ld, LDAPMessage *answer,
                                  unsigned hops) SP_MUST_CHECK;
/* Follows everything that was added. On a pool thread. */
void sp_ldap_chase_run(struct sp_ldap_chase *chase);

#endif
