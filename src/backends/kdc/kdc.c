/* One question to a KDC, and whom it waits for: see kdc.h. Where the library is, its trace says:
 * one line before each thing that may take long, with the address as its last word. */
#include "backends/kdc/kdc.h"

#include "util/aside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the Kerberos library needs for one question. */
struct asking {
    krb5_context context;
    krb5_principal client;
    krb5_keytab keytab;
    krb5_ccache cache;
    krb5_creds creds;
};

/* ---- whom it waits for ---- */

static void now_waits_for(struct sp_kdc_question *question, const char *what, const char *whom)
{
    (void)pthread_mutex_lock(&question->lock);
    (void)snprintf(question->waits_for, sizeof(question->waits_for), "%s%.*s", what,
                   (int)strcspn(whom, "\n"), whom);
    (void)pthread_mutex_unlock(&question->lock);
}

const char *sp_kdc_waits_for(struct sp_kdc_question *question, char *out, size_t cap)
{
    (void)pthread_mutex_lock(&question->lock);
    (void)snprintf(out, cap, "%s", question->waits_for);
    (void)pthread_mutex_unlock(&question->lock);
    return out;
}

/* Lines of the library's trace that tell where it goes next (MIT krb5 1.20). Another library's say
 * nothing here, and then it is the realm's KDC that is waited for. */
static void on_trace(krb5_context context, const krb5_trace_info *info, void *arg)
{
    static const struct {
        const char *says;
        const char *what;
    } known[] = {
        {"Sending initial UDP request to ", "the KDC at "},
        {"Sending retry UDP request to ", "the KDC at "},
        {"Initiating TCP connection to ", "the KDC at "},
        {"Sending TCP request to ", "the KDC at "},
        {"Sending HTTPS request to ", "the KDC at "},
        {"Resolving hostname ", "DNS about "},
        {"Sending DNS URI query for ", "DNS about "},
        {"Sending DNS SRV query for ", "DNS about "},
    };

    (void)context;
    for (size_t i = 0; info != NULL && i < sizeof(known) / sizeof(known[0]); i++) {
        const char *at = strstr(info->message, known[i].says);
        const char *whom = at != NULL ? strrchr(at, ' ') + 1 : NULL; /* after "stream", "dgram" */

        if (at != NULL)
            now_waits_for(arg, known[i].what, whom);
    }
}

/* ---- asking ---- */

static krb5_error_code get_ticket(struct asking *a, const struct sp_kdc_question *question)
{
    char file[4096 + 8];
    krb5_error_code code = krb5_parse_name(a->context, question->principal, &a->client);

    if ((size_t)snprintf(file, sizeof(file), "FILE:%s", question->keytab) >= sizeof(file))
        return KRB5_KT_NAME_TOOLONG;
    if (code == 0)
        code = krb5_kt_resolve(a->context, file, &a->keytab);
    if (code == 0)
        code = krb5_get_init_creds_keytab(a->context, &a->creds, a->client, a->keytab, 0, NULL,
                                          NULL);
    return code;
}

static krb5_error_code keep_ticket(struct asking *a, const struct sp_kdc_question *question)
{
    krb5_error_code code;

    if (question->cache[0] == '\0')
        return 0;
    code = krb5_cc_resolve(a->context, question->cache, &a->cache);
    if (code == 0)
        code = krb5_cc_initialize(a->context, a->cache, a->client);
    if (code == 0)
        code = krb5_cc_store_cred(a->context, a->cache, &a->creds);
    return code;
}

static bool is_silence(krb5_error_code code)
{
    return code == KRB5_KDC_UNREACH || code == KRB5_REALM_UNKNOWN ||
           code == KRB5_REALM_CANT_RESOLVE || code == KRB5KDC_ERR_SVC_UNAVAILABLE;
}

/* The directory's, so that the bind itself finds it in the cache. Whatever else is wrong with it,
 * the bind says in its own words. */
static krb5_error_code get_service_ticket(struct asking *a, struct sp_kdc_question *question)
{
    krb5_creds wanted;
    krb5_creds *found = NULL;
    krb5_error_code code;

    if (question->host[0] == '\0' || a->cache == NULL)
        return 0;
    memset(&wanted, 0, sizeof(wanted));
    wanted.client = a->client;
    now_waits_for(question, "DNS about ", question->host); /* rdns, dns_canonicalize... */
    code = krb5_sname_to_principal(a->context, question->host, "ldap", KRB5_NT_SRV_HST,
                                   &wanted.server);
    if (code == 0)
        code = krb5_get_credentials(a->context, 0, a->cache, &wanted, &found);
    krb5_free_creds(a->context, found);
    krb5_free_principal(a->context, wanted.server);
    return is_silence(code) ? code : 0;
}

static void take_words(struct asking *a, struct sp_kdc_question *question)
{
    struct sp_kdc_answer *answer = &question->answer;
    const char *words = krb5_get_error_message(a->context, answer->code);
    char whom[sizeof(question->waits_for)];

    answer->silent = is_silence(answer->code);
    if (answer->silent)
        (void)snprintf(answer->words, sizeof(answer->words), "%.160s (last asked: %s)", words,
                       sp_kdc_waits_for(question, whom, sizeof(whom)));
    else
        (void)snprintf(answer->words, sizeof(answer->words), "%s", words);
    krb5_free_error_message(a->context, words);
}

static void take_ticket(struct asking *a, struct sp_kdc_answer *answer)
{
    krb5_timestamp now = 0;
    krb5_timestamp behind = 0;
    krb5_int32 micros = 0;
    uint32_t end = (uint32_t)a->creds.times.endtime;

    if (krb5_get_time_offsets(a->context, &behind, &micros) == 0)
        answer->behind_s = behind;
    (void)krb5_timeofday(a->context, &now);
    if (end > (uint32_t)now) {
        answer->lifetime_s = end - (uint32_t)now;
        return;
    }
    answer->code = KRB5KRB_AP_ERR_TKT_EXPIRED;
    (void)snprintf(answer->words, sizeof(answer->words), "it has ended already");
}

static void end_asking(struct asking *a)
{
    krb5_free_cred_contents(a->context, &a->creds);
    if (a->cache != NULL)
        (void)krb5_cc_close(a->context, a->cache);
    if (a->keytab != NULL)
        (void)krb5_kt_close(a->context, a->keytab);
    krb5_free_principal(a->context, a->client);
    krb5_free_context(a->context);
}

void sp_kdc_ask(struct sp_kdc_question *question)
{
    struct sp_kdc_answer *answer = &question->answer;
    struct asking a;

    memset(&a, 0, sizeof(a));
    answer->code = krb5_init_context(&a.context);
    if (answer->code != 0) {
        (void)snprintf(answer->words, sizeof(answer->words),
                       "the Kerberos library does not start (krb5.conf)");
        return;
    }
    (void)krb5_set_trace_callback(a.context, on_trace, question);
    answer->code = get_ticket(&a, question);
    if (answer->code == 0)
        answer->code = keep_ticket(&a, question);
    if (answer->code == 0)
        answer->code = get_service_ticket(&a, question);
    if (answer->code != 0)
        take_words(&a, question);
    else
        take_ticket(&a, answer);
    end_asking(&a);
    if (answer->code != 0 && question->cache[0] != '\0')
        sp_kdc_cache_destroy(question->cache);
}

void sp_kdc_cache_destroy(const char *cache)
{
    krb5_context context = NULL;
    krb5_ccache handle = NULL;

    if (krb5_init_context(&context) != 0)
        return;
    if (krb5_cc_resolve(context, cache, &handle) == 0)
        (void)krb5_cc_destroy(context, handle);
    krb5_free_context(context);
}

/* ---- life ---- */

enum sp_err sp_kdc_question_init(struct sp_kdc_question *question, const char *principal,
                                 const char *keytab)
{
    memset(question, 0, sizeof(*question));
    (void)snprintf(question->waits_for, sizeof(question->waits_for), "the realm's KDC");
    question->principal = strdup(principal);
    question->keytab = strdup(keytab);
    if (question->principal != NULL && question->keytab != NULL &&
        pthread_mutex_init(&question->lock, NULL) == 0)
        return SP_OK;
    free(question->principal);
    free(question->keytab);
    return SP_ERR_NOMEM;
}

void sp_kdc_question_fini(struct sp_kdc_question *question)
{
    (void)pthread_mutex_destroy(&question->lock);
    free(question->principal);
    free(question->keytab);
}

/* ---- aside ---- */

struct job {
    struct sp_aside aside;
    struct sp_kdc_question question;
};

static void job_run(struct sp_aside *aside)
{
    sp_kdc_ask(&sp_container_of(aside, struct job, aside)->question);
}

static void job_free(struct sp_aside *aside)
{
    struct job *job = sp_container_of(aside, struct job, aside);

    sp_kdc_question_fini(&job->question);
    free(job);
}

enum sp_err sp_kdc_ask_until(const char *principal, const char *keytab, uint64_t due_ns,
                             struct sp_kdc_answer *answer)
{
    struct job *job = calloc(1, sizeof(*job));
    struct sp_aside *aside;
    enum sp_err err;

    memset(answer, 0, sizeof(*answer));
    if (job == NULL || sp_kdc_question_init(&job->question, principal, keytab) != SP_OK) {
        free(job);
        return SP_ERR_NOMEM;
    }
    aside = &job->aside;
    aside->run = job_run;
    aside->free = job_free;
    err = sp_aside_start(aside);
    if (err != SP_OK) {
        job_free(aside);
        return err;
    }
    err = sp_aside_wait(aside, due_ns, NULL);
    if (err == SP_OK)
        *answer = job->question.answer;
    else
        (void)sp_kdc_waits_for(&job->question, answer->words, sizeof(answer->words));
    sp_aside_leave(&aside);
    return err;
}
