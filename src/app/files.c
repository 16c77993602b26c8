/* The list is immutable; what a look finds is one number for each file, so the looks need no lock.
 */
#include "app/files.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>

#define SAME    0
#define CHANGED (-1) /* else: errno */

struct file {
    const struct sp_config_named *named;
    atomic_int found;
};

struct sp_app_files {
    atomic_uint refs;
    struct sp_config *words;
    size_t len;
    struct file files[];
};

/* Plugins read their PATHs when they like; a WATCHED one has its own look (auth/watch.c). */
static bool is_read_once(const struct sp_config_named *named)
{
    return named->option != NULL && named->size >= 0 &&
           (named->option->type == SP_OPTION_SECRET || named->option->type == SP_OPTION_PATHS);
}

struct sp_app_files *sp_app_files_new(struct sp_config *config)
{
    struct sp_app_files *files;
    size_t len = 0;

    for (const struct sp_config_named *n = sp_config_named(config); n != NULL; n = n->next)
        len += is_read_once(n) ? 1 : 0;
    files = calloc(1, sizeof(*files) + len * sizeof(files->files[0]));
    if (files == NULL)
        return NULL;
    atomic_init(&files->refs, 1);
    files->words = sp_config_words_ref(config);
    for (const struct sp_config_named *n = sp_config_named(config); n != NULL; n = n->next)
        if (is_read_once(n))
            files->files[files->len++].named = n;
    return files;
}

struct sp_app_files *sp_app_files_ref(struct sp_app_files *files)
{
    (void)atomic_fetch_add_explicit(&files->refs, 1, memory_order_relaxed);
    return files;
}

void sp_app_files_unref(struct sp_app_files **files_in)
{
    struct sp_app_files *files = *files_in;

    *files_in = NULL;
    if (files == NULL || atomic_fetch_sub_explicit(&files->refs, 1, memory_order_acq_rel) > 1)
        return;
    sp_config_words_unref(&files->words);
    free(files);
}

static int look(const struct sp_config_named *named)
{
    struct stat now;

    if (stat(named->path, &now) != 0)
        return errno;
    return now.st_size == named->size && now.st_ino == named->inode &&
                   now.st_mtim.tv_sec == named->mtime.tv_sec &&
                   now.st_mtim.tv_nsec == named->mtime.tv_nsec
               ? SAME
               : CHANGED;
}

void sp_app_files_look(struct sp_app_files *files)
{
    for (size_t i = 0; i < files->len; i++)
        atomic_store_explicit(&files->files[i].found, look(files->files[i].named),
                              memory_order_relaxed);
}

bool sp_app_files_get(const struct sp_app_files *files, size_t index, struct sp_app_file *out)
{
    int found;

    if (index >= files->len)
        return false;
    found = atomic_load_explicit(&files->files[index].found, memory_order_relaxed);
    *out = (struct sp_app_file){.named = files->files[index].named,
                                .changed = found == CHANGED,
                                .missing = found > 0 ? found : 0};
    return true;
}
