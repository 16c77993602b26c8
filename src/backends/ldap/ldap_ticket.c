/* Whose turn it is to ask the KDC: see ldap_ticket.h. */
#include "backends/ldap/ldap_ticket.h"

#include "backends/kdc/kdc.h"
#include "util/aside.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define STOP_LOOK_NS 100000000u /* how soon one who waits for its turn sees *stop */

struct sp_ldap_tickets {
    uv_mutex_t lock; /* of all below */
    uv_cond_t news;
    unsigned refs; /* the owner's, and the thread's that asks */
    bool asking;
    bool silent;                  /* no KDC has answered the last time, or within the deadline */
    char words[SP_KDC_WORDS_MAX]; /* who is silent */
    char *keytab;
    char *principal;
};

/* One question, on a thread of its own. */
struct job {
    struct sp_aside aside;
    struct sp_ldap_tickets *tickets; /* counted from when it begins */
    struct sp_kdc_question question;
    bool taken; /* the ticket is somebody's, who destroys the cache */
};

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

/* ---- on the thread ---- */

static void run(struct sp_aside *aside)
{
    struct job *job = sp_container_of(aside, struct job, aside);
    struct sp_ldap_tickets *tickets = job->tickets;

    sp_kdc_ask(&job->question);
    uv_mutex_lock(&tickets->lock);
    tickets->asking = false;
    tickets->silent = job->question.answer.silent;
    if (tickets->silent)
        snprintf(tickets->words, sizeof(tickets->words), "%s", job->question.answer.words);
    uv_cond_broadcast(&tickets->news);
    uv_mutex_unlock(&tickets->lock);
    unref(tickets);
}

static void job_free(struct sp_aside *aside)
{
    struct job *job = sp_container_of(aside, struct job, aside);

    if (job->question.answer.lifetime_s > 0 && !job->taken) /* it came too late */
        sp_kdc_cache_destroy(job->question.cache);
    sp_kdc_question_fini(&job->question);
    free(job);
}

/* ---- who wants a ticket ---- */

/* With the lock, like the next. */
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

static struct job *job_new(struct sp_ldap_tickets *tickets, const char *cache, const char *host)
{
    struct job *job = calloc(1, sizeof(*job));

    if (job == NULL ||
        sp_kdc_question_init(&job->question, tickets->principal, tickets->keytab) != SP_OK) {
        free(job);
        return NULL;
    }
    job->aside.run = run;
    job->aside.free = job_free;
    job->tickets = tickets;
    snprintf(job->question.cache, sizeof(job->question.cache), "%s", cache);
    snprintf(job->question.host, sizeof(job->question.host), "%s", host != NULL ? host : "");
    return job;
}

/* When it is its turn. */
static enum sp_err begin(struct job *job, uint64_t due_ns, const atomic_bool *stop,
                         struct sp_ldap_ticket *ticket)
{
    struct sp_ldap_tickets *tickets = job->tickets;
    enum sp_err err;

    uv_mutex_lock(&tickets->lock);
    err = wait_for_turn(tickets, due_ns, stop);
    if (err == SP_OK) {
        tickets->asking = true;
        tickets->refs++;
        err = sp_aside_start(&job->aside);
        if (err != SP_OK) {
            tickets->asking = false;
            tickets->refs--;
        }
    } else {
        snprintf(ticket->words, sizeof(ticket->words), "%s",
                 tickets->silent ? tickets->words : "others wait for the KDC");
    }
    uv_mutex_unlock(&tickets->lock);
    return err;
}

/* Nobody else needs to wait for what has not answered this one. */
static void note_silence(struct sp_ldap_tickets *tickets, const char *words)
{
    uv_mutex_lock(&tickets->lock);
    tickets->silent = tickets->silent || tickets->asking;
    snprintf(tickets->words, sizeof(tickets->words), "%s", words);
    uv_cond_broadcast(&tickets->news);
    uv_mutex_unlock(&tickets->lock);
}

static enum sp_err outcome(struct job *job, uint64_t due_ns, const atomic_bool *stop,
                           struct sp_ldap_ticket *ticket)
{
    const struct sp_kdc_answer *answer = &job->question.answer;
    enum sp_err err = sp_aside_wait(&job->aside, due_ns, stop);
    char whom[sizeof(job->question.waits_for)];

    if (err != SP_OK) {
        snprintf(ticket->words, sizeof(ticket->words), "%s does not answer in time",
                 sp_kdc_waits_for(&job->question, whom, sizeof(whom)));
        if (err == SP_ERR_TIMEOUT)
            note_silence(job->tickets, ticket->words);
        return err;
    }
    ticket->lifetime_s = answer->lifetime_s;
    snprintf(ticket->words, sizeof(ticket->words), "%s", answer->words);
    if (answer->code != 0)
        return answer->silent ? SP_ERR_TIMEOUT : SP_ERR_DENIED;
    job->taken = true;
    return SP_OK;
}

enum sp_err sp_ldap_tickets_fetch(struct sp_ldap_tickets *tickets, const char *cache,
                                  const char *host, uint64_t due_ns, const atomic_bool *stop,
                                  struct sp_ldap_ticket *ticket)
{
    struct job *job = job_new(tickets, cache, host);
    struct sp_aside *aside;
    enum sp_err err;

    memset(ticket, 0, sizeof(*ticket));
    if (job == NULL)
        return SP_ERR_NOMEM;
    aside = &job->aside;
    err = begin(job, due_ns, stop, ticket);
    if (err != SP_OK) {
        job_free(aside);
        return err;
    }
    err = outcome(job, due_ns, stop, ticket);
    sp_aside_leave(&aside);
    return err;
}

/* ---- life ---- */

struct sp_ldap_tickets *sp_ldap_tickets_new(const char *keytab, const char *principal)
{
    struct sp_ldap_tickets *tickets = calloc(1, sizeof(*tickets));

    if (tickets == NULL)
        return NULL;
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
