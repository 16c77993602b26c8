/* What the sessions of all workers are, gathered for `ctl sessions`. Main thread. */
#ifndef SP_APP_GATHER_H
#define SP_APP_GATHER_H

#include "app/worker.h"

#define SP_APP_GATHER_MAX 10000 /* sessions; each worker has its part of them */

struct sp_app_gathering;

struct sp_app_gather {
    struct sp_loop *loop; /* the main one */
    struct sp_app_worker *const *workers;
    unsigned workers_len;
    uint64_t wait_ms;   /* for the slowest worker */
    unsigned *underway; /* counted up now and down when the last worker has answered */
    /* Once, in a later turn, unless it is forgotten: one JSON object a line. `lines` is empty where
     * there was no memory for them. */
    void (*gathered)(void *owner, struct sp_span lines);
    void *owner;
};

/* Copies `gather`; the workers live until the loop has ended. NULL: no memory. */
struct sp_app_gathering *sp_app_gather(const struct sp_app_gather *gather) SP_MUST_CHECK;
/* `gathered` will not come. What workers still owe is dropped when it comes. */
void sp_app_gather_forget(struct sp_app_gathering *gathering);

#endif
