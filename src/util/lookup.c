/* A name service that may be silent, asked aside. */
#include "util/lookup.h"

#include "util/aside.h"

#include <stdlib.h>
#include <string.h>

struct lookup {
    struct sp_aside aside;
    char *host;
    char *port; /* NULL: none */
    struct addrinfo hints;
    struct addrinfo *list;
    int failure;
};

static void look_up(struct sp_aside *aside)
{
    struct lookup *job = sp_container_of(aside, struct lookup, aside);

    job->failure = getaddrinfo(job->host, job->port, &job->hints, &job->list);
    if (job->failure != 0)
        job->list = NULL;
}

static void lookup_free(struct sp_aside *aside)
{
    struct lookup *job = sp_container_of(aside, struct lookup, aside);

    if (job->list != NULL)
        freeaddrinfo(job->list);
    free(job->host);
    free(job->port);
    free(job);
}

static struct lookup *lookup_new(const char *host, const char *port, const struct addrinfo *hints)
{
    struct lookup *job = calloc(1, sizeof(*job));

    if (job == NULL)
        return NULL;
    job->aside.run = look_up;
    job->aside.free = lookup_free;
    job->hints = (struct addrinfo){.ai_family = hints->ai_family,
                                   .ai_socktype = hints->ai_socktype,
                                   .ai_flags = hints->ai_flags};
    job->host = strdup(host);
    job->port = port != NULL ? strdup(port) : NULL;
    if (job->host != NULL && (job->port != NULL || port == NULL))
        return job;
    lookup_free(&job->aside);
    return NULL;
}

enum sp_err sp_lookup(const char *host, const char *port, const struct addrinfo *hints,
                      uint64_t due_ns, const atomic_bool *stop, struct addrinfo **list_out,
                      int *failure_out)
{
    struct lookup *job = lookup_new(host, port, hints);
    struct sp_aside *aside;
    enum sp_err err;

    *list_out = NULL;
    *failure_out = 0;
    if (job == NULL)
        return SP_ERR_NOMEM;
    aside = &job->aside;
    err = sp_aside_start(aside);
    if (err != SP_OK) {
        lookup_free(aside);
        return err;
    }
    err = sp_aside_wait(aside, due_ns, stop);
    if (err == SP_OK) {
        *list_out = job->list;
        *failure_out = job->failure;
        job->list = NULL;
    }
    sp_aside_leave(&aside);
    return err;
}
