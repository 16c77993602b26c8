/* Watched files: those options of a backend that the plugin has marked as such. Looked at about
 * once a second on a pool thread; a file that has changed makes the plugin read it again. */
#include "auth/auth_priv.h"

#include <stdlib.h>

static bool is_watched(const struct sp_option *option)
{
    return option->type == SP_OPTION_PATH && (option->flags & SP_OPTION_WATCHED) != 0;
}

static const char *path_of(const struct sp_plan_backend *b, const struct sp_option *option)
{
    return *(char *const *)(const void *)((const char *)b->block->options + option->offset);
}

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Notes what the file looks like now; true: otherwise than before. Its owner and mode count too: a
 * file that could not be read is mended by them alone. A file that is gone says nothing: what was
 * read from it goes on serving until there is another. */
static bool look(struct sp_plan_watch *w)
{
    struct stat now;
    bool same;

    if (stat(w->path, &now) != 0)
        return false;
    same = w->size == now.st_size && w->inode == now.st_ino &&
           is_same_time(&w->mtime, &now.st_mtim) && is_same_time(&w->ctime, &now.st_ctim);
    w->size = now.st_size;
    w->inode = now.st_ino;
    w->mtime = now.st_mtim;
    w->ctime = now.st_ctim;
    return !same;
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
        if (!is_watched(o) || path_of(b, o)[0] == '\0')
            continue;
        b->watches[b->watches_len].path = path_of(b, o);
        (void)look(&b->watches[b->watches_len++]);
    }
    return SP_OK;
}

void sp_auth_plan_poll(struct sp_auth_plan *plan)
{
    for (size_t i = 0; i < plan->backends_len; i++) {
        struct sp_plan_backend *b = &plan->backends[i];
        bool changed = false;

        for (size_t w = 0; w < b->watches_len; w++)
            changed |= look(&b->watches[w]);
        if (changed)
            b->ops->refresh(b->config);
    }
}
