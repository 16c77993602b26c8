/* One person's password, asked of the backends afresh, for `sallyport login`: the chain is walked
 * as for a request (who does not know the user passes on, who cannot answer is skipped), with the
 * same backends and the same checks of the credential, but without cache, guard and flights, and
 * every step is told. Loop thread. */
#ifndef SP_AUTH_PROBE_H
#define SP_AUTH_PROBE_H

#include "auth/auth.h"

struct sp_auth_probe;

/* How it ended. Borrowed for the call. */
struct sp_auth_probe_end {
    enum sp_verdict verdict;
    const char *backend;                /* that decided; NULL: none of them did */
    const char *reason;                 /* in words */
    const struct sp_identity *identity; /* ALLOW */
};

/* `owner` comes back with each call. What is pointed to is borrowed. */
struct sp_auth_probe_events {
    /* The next backend of the chain, and what it calls the person; absent: it cannot know such a
     * name, and is not asked. */
    void (*asked)(void *owner, const char *backend, struct sp_span user);
    void (*step)(void *owner, const struct sp_auth_step *step);
    void (*answered)(void *owner, const char *backend, const struct sp_auth_result *result);
    /* Once, in a later turn, when every backend has closed; the probe is gone then. */
    void (*done)(void *owner, const struct sp_auth_probe_end *end);
};

struct sp_auth_probe_question {
    const char *only; /* this backend alone, whether or not auth.basic names it; NULL: the chain */
    struct sp_span user; /* as typed */
    struct sp_span password;
};

/* SP_ERR_NOT_FOUND: no such backend, or no backend for passwords at all; SP_ERR_INVALID: no backend
 * would see this; *why_out has words (static). SP_ERR_NOMEM. The question is borrowed for the call,
 * `events` and `log` for the probe's life. */
enum sp_err sp_auth_probe_start(struct sp_loop *loop, struct sp_auth_plan *plan,
                                const struct sp_auth_probe_question *question,
                                const struct sp_auth_probe_events *events, void *owner,
                                const struct sp_log *log, const char **why_out) SP_MUST_CHECK;

#endif
