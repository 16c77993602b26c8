/* One child, which becomes the user, tries every file and writes what it found into a pipe; between
 * fork and exit it calls nothing that takes a lock. */
#include "app/eyes.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 10000 /* a file system that hangs ends it */
#define GROUPS_MAX  1024

struct found {
    int error;
    size_t folder_len;
};

/* ---- the child ---- */

static int try_read(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return errno;
    (void)close(fd);
    return 0;
}

static int try_access(const char *path, int mode)
{
    return faccessat(AT_FDCWD, path, mode, AT_EACCESS) == 0 ? 0 : errno;
}

/* The first folder on the way that cannot be passed; 0: all can. `copy` has room for the path. */
static size_t folder_in_the_way(const char *path, char *copy)
{
    for (const char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        size_t len = (size_t)(slash - path);

        memcpy(copy, path, len);
        copy[len] = '\0';
        if (try_access(copy, X_OK) == EACCES)
            return len;
    }
    return 0;
}

static int try_write(const char *path, char *copy, size_t *folder_len)
{
    const char *slash = strrchr(path, '/');
    int error = try_access(path, W_OK);

    if (error != ENOENT || slash == NULL || slash == path)
        return error;
    memcpy(copy, path, (size_t)(slash - path));
    copy[slash - path] = '\0';
    error = try_access(copy, W_OK | X_OK);
    *folder_len = error != 0 ? (size_t)(slash - path) : 0;
    return error;
}

static struct found try(const struct sp_app_view *view)
{
    struct found found = {0};
    char copy[PATH_MAX];

    if (strlen(view->path) >= sizeof(copy)) {
        found.error = ENAMETOOLONG;
        return found;
    }
    found.error = view->write ? try_write(view->path, copy, &found.folder_len)
                              : try_read(view->path);
    if (found.error == EACCES && found.folder_len == 0)
        found.folder_len = folder_in_the_way(view->path, copy);
    return found;
}

static _Noreturn void look(const struct passwd *who, const gid_t *groups, int groups_len,
                           const struct sp_app_view *views, size_t len, int out)
{
    if (setgroups((size_t)groups_len, groups) != 0 ||
        setresgid(who->pw_gid, who->pw_gid, who->pw_gid) != 0 ||
        setresuid(who->pw_uid, who->pw_uid, who->pw_uid) != 0)
        _exit(1);
    for (size_t i = 0; i < len; i++) {
        struct found found = try(&views[i]);

        if (write(out, &found, sizeof(found)) != (ssize_t)sizeof(found))
            _exit(1);
    }
    _exit(0);
}

/* ---- the parent ---- */

/* A write of that size comes whole. */
static bool hear(int in, struct found *found)
{
    struct pollfd fd = {.fd = in, .events = POLLIN};
    int ready;

    do
        ready = poll(&fd, 1, PATIENCE_MS);
    while (ready < 0 && errno == EINTR);
    return ready == 1 && read(in, found, sizeof(*found)) == (ssize_t)sizeof(*found);
}

static enum sp_err hear_all(int in, struct sp_app_view *views, size_t len)
{
    struct found found = {0};

    for (size_t i = 0; i < len; i++) {
        if (!hear(in, &found))
            return SP_ERR_IO;
        views[i].error = found.error;
        views[i].folder_len = found.folder_len;
    }
    return SP_OK;
}

enum sp_err sp_app_eyes_look(const struct passwd *who, struct sp_app_view *views, size_t len)
{
    gid_t groups[GROUPS_MAX];
    int groups_len = GROUPS_MAX, ends[2];
    enum sp_err err;
    pid_t child;

    if (getgrouplist(who->pw_name, who->pw_gid, groups, &groups_len) < 0 ||
        pipe2(ends, O_CLOEXEC) != 0)
        return SP_ERR_IO;
    child = fork();
    if (child == 0)
        look(who, groups, groups_len, views, len, ends[1]);
    (void)close(ends[1]);
    err = child > 0 ? hear_all(ends[0], views, len) : SP_ERR_IO;
    (void)close(ends[0]);
    if (child > 0) {
        (void)kill(child, SIGKILL); /* it is done, or hangs */
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    return err;
}
