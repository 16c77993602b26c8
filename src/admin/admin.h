/* For those who run the proxy: an HTTP listener for machines and people on call (/metrics,
 * /healthz, /readyz, the status page at /), and a control socket for `sallyport ctl`.
 *
 * Lives on the main thread's loop, beside signals and reloads; what it needs of the rest of the
 * process it is given as callbacks. Nothing here blocks, every connection has a deadline, and there
 * are never more than a few dozen of them. */
#ifndef SP_ADMIN_ADMIN_H
#define SP_ADMIN_ADMIN_H

#include "admin/admin_options.h"
#include "admin/overview.h"
#include "log/log.h"
#include "util/buf.h"

#include <sys/types.h>
#include <uv.h>

struct sp_admin_conn; /* who asks, where the answer comes later */

/* What the control socket and the pages ask for. All are called on the main thread, in a turn of
 * its own, and may be NULL: then the answer is that it cannot be done. Words for the asker may be
 * appended to `words`, whole lines. */
struct sp_admin_events {
    /* Read the configuration anew: sp_admin_answer comes once, in a later turn, when it is known
     * what came of it, unless it is forgotten. NULL: nothing has changed, `words` say why. */
    void *(*reload)(void *owner, struct sp_admin_conn *asker, struct sp_buf *words);
    void (*forget_reload)(void *owner, void *reload); /* its asker has gone */
    /* Stop accepting, let what runs finish, end. */
    void (*drain)(void *owner);
    /* Forget one user (verdicts, groups, a block), or with an absent user everything. */
    void (*flush)(void *owner, struct sp_span user);
    /* May a load balancer send work here? When not, `words` says why. */
    bool (*ready)(void *owner, struct sp_buf *words);
    /* Does every part of the process go on? When not, `words` says which does not. */
    bool (*alive)(void *owner, struct sp_buf *words);
    /* What the status page shows. It stays as it is for this turn. */
    void (*overview)(void *owner, struct sp_overview *overview);
    /* What was decided about an id, a user or a client. SP_ERR_NOT_FOUND: nothing is known; any
     * other: it could not be told. */
    enum sp_err (*why)(void *owner, struct sp_span word, struct sp_buf *words);
    /* Begin to follow what is decided about a user or a client. NULL: as many do as may. */
    void *(*follow)(void *owner, struct sp_span word);
    /* Appends what has come since; when there is more later, sp_admin_wake tells. */
    void (*follow_read)(void *owner, void *follow, struct sp_buf *words);
    void (*unfollow)(void *owner, void *follow);
    /* Begin to gather what the sessions are: sp_admin_answer comes once, in a later turn and within
     * SP_ADMIN_GATHER_MS, unless it is forgotten. NULL: not now, `words` say why. */
    void *(*gather)(void *owner, struct sp_admin_conn *asker, struct sp_buf *words);
    void (*forget)(void *owner, void *gathering); /* its asker has gone */
    void *owner;
};

struct sp_admin;

/* Makes the folder of the control socket, if it is missing, for whom the process becomes: while it
 * may. What fails is told by sp_admin_open. */
void sp_admin_make_folder(const struct sp_admin_options *options, uid_t user, gid_t group);
/* Opens what the options name. A socket or address that cannot be opened is logged, with what to do
 * about it; it is an error (SP_ERR_IO) only if the administrator wrote it (`socket_set`,
 * `http_set`), since the proxy can serve without. Options are borrowed for the call; events, log
 * and loop outlive the admin. SP_OK with *admin_out NULL: nothing was to be opened. */
enum sp_err sp_admin_open(uv_loop_t *loop, const struct sp_admin_options *options, bool socket_set,
                          bool http_set, const struct sp_admin_events *events,
                          const struct sp_log *log, struct sp_admin **admin_out) SP_MUST_CHECK;
/* Stops listening, cuts what is open; the rest of it happens on the loop. NULL is harmless. */
void sp_admin_close(struct sp_admin **admin);
/* What that asker waits for. Copied. */
void sp_admin_answer(struct sp_admin_conn *asker, bool well, struct sp_span words);
#define SP_ADMIN_GATHER_MS 5000
/* Something has come for those who follow. */
void sp_admin_wake(struct sp_admin *admin);

/* ---- the other end of the control socket, for `sallyport ctl`; blocks ---- */

/* The protocol: one line of words from the client; an answer that begins with "ok\n" or "no\n",
 * then text, up to the end of the stream.
 * `sessions` and `reload` answer when every worker has, or has been waited for long enough.
 * `trace` answers "ok\n" at once, and lines as they come, until the client closes. */
#define SP_ADMIN_LINE_MAX 1024
#define SP_ADMIN_OK       "ok\n"
#define SP_ADMIN_NO       "no\n"

#endif
