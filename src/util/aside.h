/* A call that cannot be interrupted and has no deadline of its own (the system's name service, the
 * Kerberos library), on a thread of its own: whoever asks waits as long as he will, and then leaves
 * the thread to its end. Any thread that may wait.
 *
 * Embed it in a job that owns all it touches, and go back with sp_container_of. */
#ifndef SP_UTIL_ASIDE_H
#define SP_UTIL_ASIDE_H

#include "sallyport/base.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Threads at once: of the program, and of each plugin. Those that were left wait for something that
 * is silent. */
#define SP_ASIDE_MAX 64u

struct sp_aside {
    void (*run)(struct sp_aside *aside); /* on the thread */
    void (*free)(
        struct sp_aside *aside); /* the job, by whoever had it last: the thread, or leave */
    pthread_mutex_t lock;        /* of all below */
    pthread_cond_t news;
    bool done;
    bool left;
};

/* Begins. SP_ERR_FULL, SP_ERR_NOMEM: there is no thread for it; the job is yours as before. */
enum sp_err sp_aside_start(struct sp_aside *aside) SP_MUST_CHECK;
/* SP_OK: run has ended, and what it left in the job can be read. SP_ERR_TIMEOUT: it has not when
 * the monotonic clock (uv_hrtime) reached `due_ns`; SP_ERR_CLOSED: nor when *stop was set (NULL:
 * never). */
enum sp_err sp_aside_wait(struct sp_aside *aside, uint64_t due_ns,
                          const atomic_bool *stop) SP_MUST_CHECK;
/* After start, in any case. Sets *aside to NULL. */
void sp_aside_leave(struct sp_aside **aside);

#endif
