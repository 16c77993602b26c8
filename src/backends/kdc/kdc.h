/* Asking a realm's KDC for the ticket of somebody whose key is in a keytab: for the plugins that
 * must know. The Kerberos library has no deadline and cannot be interrupted: a KDC that takes
 * connections and says nothing holds its caller for 27 s, and a name service that is silent for
 * as long as resolv.conf says. So a question is made to be asked aside (util/aside.h), and says at
 * any time whom it waits for. */
#ifndef SP_KDC_H
#define SP_KDC_H

#include "sallyport/base.h"

#include <krb5.h>
#include <pthread.h>
#include <stdbool.h>

#define SP_KDC_CACHE_NAME_MAX 64
#define SP_KDC_NAME_MAX       256
#define SP_KDC_WORDS_MAX      400

/* What came of it. */
struct sp_kdc_answer {
    krb5_error_code code;         /* 0: a ticket */
    bool silent;                  /* nobody has answered, says the code: don't know, not no */
    uint32_t lifetime_s;          /* of the ticket, never 0 */
    int32_t behind_s;             /* our clock, behind the KDC's */
    char words[SP_KDC_WORDS_MAX]; /* why there is none */
};

/* Lives in the job that asks. */
struct sp_kdc_question {
    char *principal;
    char *keytab;
    char cache[SP_KDC_CACHE_NAME_MAX]; /* where the ticket goes; "": nowhere */
    char host[SP_KDC_NAME_MAX];        /* with it, one for ldap/host into the cache; "": none */
    struct sp_kdc_answer answer;
    pthread_mutex_t lock; /* of what follows */
    char waits_for[SP_KDC_WORDS_MAX / 2];
};

/* Copies the texts. SP_ERR_NOMEM. `cache` and `host` may be set afterwards. */
enum sp_err sp_kdc_question_init(struct sp_kdc_question *question, const char *principal,
                                 const char *keytab) SP_MUST_CHECK;
void sp_kdc_question_fini(struct sp_kdc_question *question);
/* Blocks for as long as the library does. Without a ticket there is no cache either. */
void sp_kdc_ask(struct sp_kdc_question *question);
/* Whom it waits for just now, or has waited for at last: "the KDC at 10.0.0.1:88", "DNS about
 * dc1.corp.test". Any thread. Returns `out`. */
const char *sp_kdc_waits_for(struct sp_kdc_question *question, char *out, size_t cap);

/* All of it, aside, for a ticket that nobody keeps. SP_OK: *answer is filled. SP_ERR_TIMEOUT: whom
 * it waits for is in answer->words. SP_ERR_FULL, SP_ERR_NOMEM: it could not be asked. */
enum sp_err sp_kdc_ask_until(const char *principal, const char *keytab, uint64_t due_ns,
                             struct sp_kdc_answer *answer) SP_MUST_CHECK;

/* A cache in memory lives until it is destroyed by name. */
void sp_kdc_cache_destroy(const char *cache);

#endif
