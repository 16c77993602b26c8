/* A bounded pool of threads for what may block: GSSAPI, libldap's connects, crypt(3), files.
 * libuv's own pool has an unbounded queue, so it is not used. */
#ifndef SP_NET_WORK_H
#define SP_NET_WORK_H

#include "net/loop.h"

struct sp_work_pool;

struct sp_work {
    struct sp_mail mail; /* private: how the job comes home */
    struct sp_work *next;
    struct sp_loop *loop;
    bool waits;                         /* for somebody outside: it needs time, not a CPU */
    void (*run)(struct sp_work *work);  /* pool thread */
    void (*done)(struct sp_work *work); /* the submitting loop's thread, always, once */
};

/* Threads for jobs that compute and for jobs that wait. `queue_max`: jobs of each kind that wait
 * for one; those that run come on top. Main thread. NULL: no memory or no threads. */
struct sp_work_pool *sp_work_pool_new(unsigned computing, unsigned waiting,
                                      unsigned queue_max) SP_MUST_CHECK;
/* After all loops have ended. Waits for jobs that run. */
void sp_work_pool_free(struct sp_work_pool **pool);
/* Jobs that wait for a thread now. Any thread. */
unsigned sp_work_pool_waiting(struct sp_work_pool *pool);
/* SP_ERR_FULL: no room; `done` will not be called. Loop thread. While a job is out, its loop does
 * not end. */
enum sp_err sp_work_start(struct sp_loop *loop, struct sp_work *work) SP_MUST_CHECK;
/* The same without a loop: done == NULL, run on a pool thread and forgotten (the job frees itself).
 * Any thread. */
enum sp_err sp_work_pool_run(struct sp_work_pool *pool, struct sp_work *work) SP_MUST_CHECK;

#endif
