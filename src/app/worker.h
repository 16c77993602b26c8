/* One worker: a thread, its loop, and the proxy on it. Made and asked by the main thread; what it
 * has to say comes back as mail on the main loop. */
#ifndef SP_APP_WORKER_H
#define SP_APP_WORKER_H

#include "app/bind.h"
#include "proxy/proxy.h"

struct sp_app_worker;

/* A worker that is asked for its sessions. In the main thread's memory, which leaves it alone until
 * `listed`. */
struct sp_app_worker_list {
    struct sp_session_listing listing;               /* its `max` is set; the rest is the answer */
    void (*listed)(struct sp_app_worker_list *list); /* once, on the main loop, in a later turn */
    struct sp_app_worker *worker;
    struct sp_mail ask, answer;
};

/* All of them are called on the main loop, each in a turn of its own. */
struct sp_app_worker_events {
    void (*up)(void *owner);                 /* serves; once, unless it ends before */
    void (*applied)(void *owner, bool well); /* once for each apply */
    void (*settled)(void *owner);            /* once for each settle */
    void (*ended)(void *owner);              /* once; free it when the main loop has ended too */
    void *owner;
};

/* Takes its descriptors out of `sockets`, and a reference to the snapshot. `shared`, `trace`,
 * `main_loop`, `pool` and `log` outlive the worker. NULL: no memory or no thread. */
struct sp_app_worker *sp_app_worker_start(unsigned index, struct sp_loop *main_loop,
                                          struct sp_work_pool *pool,
                                          struct sp_proxy_snapshot *snapshot,
                                          struct sp_app_sockets *sockets,
                                          struct sp_auth_shared *shared, struct sp_trace *trace,
                                          const struct sp_log *log,
                                          const struct sp_app_worker_events *events) SP_MUST_CHECK;
/* Get ready to take up a snapshot, with the listeners that `sockets` has descriptors for; nothing
 * changes yet. One at a time: after `applied`, well or not, it is to be settled. */
void sp_app_worker_apply(struct sp_app_worker *worker, struct sp_proxy_snapshot *snapshot,
                         struct sp_app_sockets *sockets);
/* Take up what was got ready, or let go of it. */
void sp_app_worker_settle(struct sp_app_worker *worker, bool take);
/* Stop accepting; end when all is done, or after `timeout_ms` (a second call shortens it). */
void sp_app_worker_drain(struct sp_app_worker *worker, uint64_t timeout_ms);
/* What are its sessions? One that has ended has none. Any number at a time. */
void sp_app_worker_list(struct sp_app_worker *worker, struct sp_app_worker_list *list);
/* About once a second: a letter that only a turning loop delivers. */
void sp_app_worker_beat(struct sp_app_worker *worker);
/* For how long such a letter has not been delivered; 0: none is on its way, or the loop has ended.
 */
uint64_t sp_app_worker_silent_ms(const struct sp_app_worker *worker);
/* After `ended`, and after the main loop: joins the thread. */
void sp_app_worker_free(struct sp_app_worker **worker);

#endif
