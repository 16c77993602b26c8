/* Watched files: those options of a backend that the plugin has marked as such. Looked at about
 * once a second on a pool thread; a file that has changed makes the plugin read it again, and one
 * that was refused is read again about once a minute. */
#include "auth/auth_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define POLLS_TO_RETRY 60u /* about a minute */

static bool is_watched(const struct sp_option *option)
{
    return option->type == SP_OPTION_PATH && (option->flags & SP_OPTION_WATCHED) != 0;
}

static const char *path_of(const struct sp_plan_backend *b, const struct sp_option *option)
{
    return *(char *const *)(const void *)((const char *)b->block->options + option->offset);
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same_mark(const struct sp_file_mark *a, const struct sp_file_mark *b)
{
    return a->size == b->size && a->inode == b->inode && same_time(&a->mtime, &b->mtime) &&
           same_time(&a->ctime, &b->ctime);
}

/* Notes what the file looks like now; true: otherwise than before. A file that is gone says
 * nothing: what was read from it goes on serving until there is another. */
static bool look(struct sp_plan_watch *w, int *missing_out)
{
    struct sp_file_mark before = w->mark;
    struct stat now;

    *missing_out = stat(w->path, &now) == 0 ? 0 : errno;
    if (*missing_out != 0)
        return false;
    w->mark = (struct sp_file_mark){now.st_mtim, now.st_ctim, now.st_size, now.st_ino};
    return !same_mark(&before, &w->mark);
}

enum sp_err sp_plan_watches_make(struct sp_plan_backend *b)
{
    size_t len = 0;

    if (b->ops->refresh == NULL)
        return SP_OK;
    for (const struct sp_option *o = b->ops->options; o->name != NULL; o++)
        len += is_watched(o) ? 1 : 0;
    b->watches = calloc(len + 1, sizeof(*b->watches));
    if (b->watches == NULL)
        return SP_ERR_NOMEM;
    for (const struct sp_option *o = b->ops->options; o->name != NULL; o++) {
        struct sp_plan_watch *w = &b->watches[b->watches_len];

        if (!is_watched(o) || path_of(b, o)[0] == '\0')
            continue;
        w->option = o;
        w->path = path_of(b, o);
        (void)look(w, &w->missing);
        b->watches_len++;
    }
    return SP_OK;
}

/* ---- the looks: on a pool thread ---- */

/* What the plugin makes of the files as they are now: all are taken up, or the ones that changed
 * wait with those that did before. */
static void refresh(struct sp_auth_plan *plan, struct sp_plan_backend *b)
{
    struct sp_auth_fault fault = {0};
    uint64_t basis = sp_plan_basis_now(b); /* before they are read: no change goes unseen */
    bool well = b->ops->refresh(b->config, &fault) == SP_OK;

    b->polls_refused = 0;
    if (well)
        sp_plan_basis_set(b, basis);
    (void)pthread_mutex_lock(&plan->lock);
    for (size_t i = 0; i < b->watches_len; i++)
        b->watches[i].refused = !well && (b->watches[i].changed || b->watches[i].refused);
    memcpy(b->refused, fault.text, sizeof(b->refused));
    b->refused[sizeof(b->refused) - 1] = '\0';
    (void)pthread_mutex_unlock(&plan->lock);
}

/* What was refused may have been so for want of memory or descriptors: once in a while it is read
 * again, though nobody has touched it, or new keys would wait for somebody who does. */
static bool is_time_to_retry(struct sp_plan_backend *b)
{
    bool refused = false; /* written on this thread alone, so read without the lock */

    for (size_t i = 0; i < b->watches_len; i++)
        refused = refused || (b->watches[i].refused && b->watches[i].missing == 0);
    return refused && ++b->polls_refused >= POLLS_TO_RETRY;
}

static void poll_backend(struct sp_auth_plan *plan, struct sp_plan_backend *b)
{
    bool any = false;

    for (size_t i = 0; i < b->watches_len; i++) {
        struct sp_plan_watch *w = &b->watches[i];
        int missing;

        w->changed = look(w, &missing);
        any = any || w->changed;
        (void)pthread_mutex_lock(&plan->lock);
        w->missing = missing;
        (void)pthread_mutex_unlock(&plan->lock);
    }
    if (any || is_time_to_retry(b))
        refresh(plan, b);
}

void sp_auth_plan_poll(struct sp_auth_plan *plan)
{
    for (size_t i = 0; i < plan->backends_len; i++)
        poll_backend(plan, &plan->backends[i]);
}

/* ---- what they came to ---- */

bool sp_auth_plan_file(struct sp_auth_plan *plan, size_t index, struct sp_auth_file *out)
{
    for (size_t i = 0; i < plan->backends_len; i++) {
        const struct sp_plan_backend *b = &plan->backends[i];
        const struct sp_plan_watch *w;

        if (index >= b->watches_len) {
            index -= b->watches_len;
            continue;
        }
        w = &b->watches[index];
        *out = (struct sp_auth_file){
            .backend = b->name, .option = w->option->name, .path = w->path};
        (void)pthread_mutex_lock(&plan->lock);
        out->refused = w->refused;
        out->missing = w->missing;
        if (w->refused)
            memcpy(out->why, b->refused, sizeof(out->why));
        (void)pthread_mutex_unlock(&plan->lock);
        return true;
    }
    return false;
}
