/* Asking the KDC, on a thread of its own: see ldap_ticket.h. */
#include "backends/ldap/ldap_ticket.h"

#include <krb5.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#define STOP_LOOK_NS 100000000u /* how soon one who waits sees *stop */
#define HOST_MAX     256

struct sp_ldap_tickets {
    uv_mutex_t lock; /* of all below, and of each job's end */
    uv_cond_t news;
    unsigned refs; /* the owner's, and the thread's that asks */
    bool asking;
    bool silent; /* no KDC has answered the last time, or within the deadline */
    char *keytab;
    char *principal;
};

/* One question. The thread works on it without the lock until `done`. */
struct job {
    struct sp_ldap_tickets *tickets;
    char cache[SP_LDAP_CACHE_NAME_MAX];
    char host[HOST_MAX];
    enum sp_err err;
    struct sp_ldap_ticket ticket;
    bool done;
    bool left; /* nobody waits: the thread frees it */
};

/* What the Kerberos library needs for one question. */
struct asking {
    krb5_context context;
    krb5_principal client;
    krb5_keytab keytab;
    krb5_ccache cache;
    krb5_creds creds;
};

static atomic_uint threads; /* that ask, of all tickets */

/* At the end of the process, before libraries take themselves apart: not under a thread that is
 * inside of them. */
static void end_at_once(int status, void *unused)
{
    (void)unused;
    if (atomic_load(&threads) == 0)
        return;
    (void)fflush(NULL);
    _exit(status);
}

/* ---- on the thread ---- */

static bool is_silence(krb5_error_code code)
{
    return code == KRB5_KDC_UNREACH || code == KRB5_REALM_UNKNOWN ||
           code == KRB5_REALM_CANT_RESOLVE || code == KRB5KDC_ERR_SVC_UNAVAILABLE;
}

static krb5_error_code get_ticket(struct asking *a, const struct job *job)
{
    krb5_error_code code = krb5_parse_name(a->context, job->tickets->principal, &a->client);

    if (code == 0)
        code = krb5_kt_resolve(a->context, job->tickets->keytab, &a->keytab);
    if (code == 0)
        code = krb5_cc_resolve(a->context, job->cache, &a->cache);
    if (code == 0)
        code = krb5_get_init_creds_keytab(a->context, &a->creds, a->client, a->keytab, 0, NULL,
                                          NULL);
    if (code == 0)
        code = krb5_cc_initialize(a->context, a->cache, a->client);
    if (code == 0)
        code = krb5_cc_store_cred(a->context, a->cache, &a->creds);
    return code;
}

/* The directory's, so that the bind itself finds it in the cache. Whatever else is wrong with it,
 * the bind says in its own words. */
static krb5_error_code get_service_ticket(struct asking *a, const struct job *job)
{
    krb5_creds wanted;
    krb5_creds *found = NULL;
    krb5_error_code code;

    if (job->host[0] == '\0')
        return 0;
    memset(&wanted, 0, sizeof(wanted));
    wanted.client = a->client;
    code = krb5_sname_to_principal(a->context, job->host, "ldap", KRB5_NT_SRV_HST, &wanted.server);
    if (code == 0)
        code = krb5_get_credentials(a->context, 0, a->cache, &wanted, &found);
    krb5_free_creds(a->context, found);
    krb5_free_principal(a->context, wanted.server);
    return is_silence(code) ? code : 0;
}

static void take_words(struct asking *a, struct job *job, krb5_error_code code)
{
    const char *words = krb5_get_error_message(a->context, code);

    snprintf(job->ticket.words, sizeof(job->ticket.words), "%s", words);
    krb5_free_error_message(a->context, words);
}

static enum sp_err take_lifetime(struct asking *a, struct job *job)
{
    krb5_timestamp now = 0;
    uint32_t end = (uint32_t)a->creds.times.endtime;

    (void)krb5_timeofday(a->context, &now);
    if (end <= (uint32_t)now) {
        snprintf(job->ticket.words, sizeof(job->ticket.words), "it has ended already");
        return SP_ERR_DENIED;
    }
    job->ticket.lifetime_s = end - (uint32_t)now;
    return SP_OK;
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

static enum sp_err ask(struct job *job)
{
    struct asking a;
    krb5_error_code code;
    enum sp_err err;

    memset(&a, 0, sizeof(a));
    if (krb5_init_context(&a.context) != 0) {
        snprintf(job->ticket.words, sizeof(job->ticket.words),
                 "the Kerberos library does not start (krb5.conf)");
        return SP_ERR_DENIED;
    }
    code = get_ticket(&a, job);
    if (code == 0)
        code = get_service_ticket(&a, job);
    if (code != 0)
        take_words(&a, job, code);
    if (code == 0)
        err = take_lifetime(&a, job);
    else
        err = is_silence(code) ? SP_ERR_TIMEOUT : SP_ERR_DENIED;
    end_asking(&a);
    return err;
}

void sp_ldap_ticket_destroy(const char *cache)
{
    krb5_context context = NULL;
    krb5_ccache handle = NULL;

    if (krb5_init_context(&context) != 0)
        return;
    if (krb5_cc_resolve(context, cache, &handle) == 0)
        (void)krb5_cc_destroy(context, handle);
    krb5_free_context(context);
}

static void unref(struct sp_ldap_tickets *tickets)
{
    bool last;

    uv_mutex_lock(&tickets->lock);
    last = --tickets->refs == 0;
    uv_mutex_unlock(&tickets->lock);
    if (!last)
        return;
    uv_cond_destroy(&tickets->news);
    uv_mutex_destroy(&tickets->lock);
    free(tickets->keytab);
    free(tickets->principal);
    free(tickets);
}

static void *run(void *arg)
{
    struct job *job = arg;
    struct sp_ldap_tickets *tickets = job->tickets;
    bool left;

    job->err = ask(job);
    if (job->err != SP_OK)
        sp_ldap_ticket_destroy(job->cache);
    uv_mutex_lock(&tickets->lock);
    tickets->asking = false;
    tickets->silent = job->err == SP_ERR_TIMEOUT;
    left = job->left;
    job->done = true;
    uv_cond_broadcast(&tickets->news);
    uv_mutex_unlock(&tickets->lock);
    if (left) {
        if (job->err == SP_OK)
            sp_ldap_ticket_destroy(job->cache);
        free(job);
    }
    unref(tickets);
    atomic_fetch_sub(&threads, 1u);
    return NULL;
}

/* ---- who wants a ticket; all with the lock ---- */

static enum sp_err wait_for_news(struct sp_ldap_tickets *tickets, uint64_t due_ns,
                                 const atomic_bool *stop)
{
    uint64_t now = uv_hrtime();
    uint64_t left = due_ns > now ? due_ns - now : 0;

    if (stop != NULL && atomic_load(stop))
        return SP_ERR_CLOSED;
    if (left == 0)
        return SP_ERR_TIMEOUT;
    (void)uv_cond_timedwait(&tickets->news, &tickets->lock,
                            left < STOP_LOOK_NS ? left : STOP_LOOK_NS);
    return SP_OK;
}

static enum sp_err wait_for_turn(struct sp_ldap_tickets *tickets, uint64_t due_ns,
                                 const atomic_bool *stop)
{
    enum sp_err err = SP_OK;

    while (err == SP_OK && tickets->asking)
        err = tickets->silent ? SP_ERR_TIMEOUT : wait_for_news(tickets, due_ns, stop);
    return err;
}

/* The thread is nobody's to join: a KDC's silence must hold up neither a reload nor the end. */
static enum sp_err start_thread(struct job *job)
{
    pthread_attr_t attr;
    pthread_t thread;
    int failure = pthread_attr_init(&attr);

    if (failure != 0)
        return SP_ERR_FULL;
    failure = pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (failure == 0)
        failure = pthread_create(&thread, &attr, run, job);
    (void)pthread_attr_destroy(&attr);
    return failure == 0 ? SP_OK : SP_ERR_FULL;
}

static struct job *job_new(struct sp_ldap_tickets *tickets, const char *cache, const char *host)
{
    struct job *job = calloc(1, sizeof(*job));

    if (job == NULL)
        return NULL;
    job->tickets = tickets;
    snprintf(job->cache, sizeof(job->cache), "%s", cache);
    snprintf(job->host, sizeof(job->host), "%s", host != NULL ? host : "");
    return job;
}

static enum sp_err begin(struct sp_ldap_tickets *tickets, struct job *job)
{
    enum sp_err err;

    tickets->asking = true;
    tickets->refs++;
    atomic_fetch_add(&threads, 1u);
    err = start_thread(job);
    if (err != SP_OK) {
        atomic_fetch_sub(&threads, 1u);
        tickets->asking = false;
        tickets->refs--;
    }
    return err;
}

static enum sp_err outcome(struct job *job, uint64_t due_ns, const atomic_bool *stop,
                           struct sp_ldap_ticket *ticket)
{
    struct sp_ldap_tickets *tickets = job->tickets;
    enum sp_err err = SP_OK;

    while (err == SP_OK && !job->done)
        err = wait_for_news(tickets, due_ns, stop);
    if (!job->done) {
        job->left = true;
        tickets->silent = tickets->silent || err == SP_ERR_TIMEOUT;
        return err;
    }
    *ticket = job->ticket;
    err = job->err;
    free(job);
    return err;
}

enum sp_err sp_ldap_tickets_fetch(struct sp_ldap_tickets *tickets, const char *cache,
                                  const char *host, uint64_t due_ns, const atomic_bool *stop,
                                  struct sp_ldap_ticket *ticket)
{
    struct job *job = job_new(tickets, cache, host);
    enum sp_err err;

    memset(ticket, 0, sizeof(*ticket));
    snprintf(ticket->words, sizeof(ticket->words), "the KDC does not answer in time");
    if (job == NULL)
        return SP_ERR_NOMEM;
    uv_mutex_lock(&tickets->lock);
    err = wait_for_turn(tickets, due_ns, stop);
    if (err == SP_OK)
        err = begin(tickets, job);
    if (err == SP_OK)
        err = outcome(job, due_ns, stop, ticket);
    else
        free(job);
    uv_mutex_unlock(&tickets->lock);
    return err;
}

/* ---- life ---- */

struct sp_ldap_tickets *sp_ldap_tickets_new(const char *keytab, const char *principal)
{
    static atomic_flag known = ATOMIC_FLAG_INIT;
    struct sp_ldap_tickets *tickets = calloc(1, sizeof(*tickets));

    if (tickets == NULL)
        return NULL;
    if (!atomic_flag_test_and_set(&known) && on_exit(end_at_once, NULL) != 0) {
        atomic_flag_clear(&known);
        free(tickets);
        return NULL;
    }
    tickets->refs = 1;
    tickets->keytab = strdup(keytab);
    tickets->principal = strdup(principal);
    if (tickets->keytab == NULL || tickets->principal == NULL || uv_mutex_init(&tickets->lock) != 0)
        goto no_memory;
    if (uv_cond_init(&tickets->news) == 0)
        return tickets;
    uv_mutex_destroy(&tickets->lock);
no_memory:
    free(tickets->keytab);
    free(tickets->principal);
    free(tickets);
    return NULL;
}

void sp_ldap_tickets_free(struct sp_ldap_tickets **ref)
{
    struct sp_ldap_tickets *tickets = *ref;

    *ref = NULL;
    if (tickets != NULL)
        unref(tickets);
}
