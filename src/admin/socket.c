/* The control socket's place in the file system: made for its owner alone, never in the place of
 * something that is not a dead socket of ours. */
#include "admin/admin_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path))

/* A connection is tried, without waiting: a socket that nobody listens on refuses it. */
static bool is_dead(const char *path)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool dead;

    if (fd < 0)
        return false;
    memcpy(sun.sun_path, path, strlen(path) + 1);
    dead = connect(fd, (const struct sockaddr *)&sun, sizeof sun) != 0 && errno == ECONNREFUSED;
    (void)close(fd);
    return dead;
}

static bool remove_stale(const char *path, char why[256])
{
    struct stat st;

    if (lstat(path, &st) != 0)
        return true; /* nothing is there, or bind says what is wrong */
    if (!S_ISSOCK(st.st_mode)) {
        (void)snprintf(why, 256, "there is something that is no socket; move it away");
        return false;
    }
    if (!is_dead(path)) {
        (void)snprintf(why, 256,
                       "another process is listening there (a second sallyport? give it "
                       "an admin socket of its own)");
        return false;
    }
    if (unlink(path) != 0) {
        (void)snprintf(why, 256, "a dead socket is in the way and cannot be removed: %s",
                       strerror(errno));
        return false;
    }
    return true;
}

/* Only the last folder of the path is made: what is above it is the administrator's. */
enum made { MADE_NOTHING, MADE_FOLDER, MADE_FAILED /* errno */ };

static enum made make_folder(const char *path, char folder[SOCKET_PATH_MAX])
{
    char *slash;

    memcpy(folder, path, strlen(path) + 1);
    slash = strrchr(folder, '/');
    if (slash == NULL || slash == folder)
        return MADE_NOTHING;
    *slash = '\0';
    if (mkdir(folder, 0755) == 0)
        return MADE_FOLDER;
    return errno == EEXIST ? MADE_NOTHING : MADE_FAILED;
}

void sp_admin_make_folder(const struct sp_admin_options *options, uid_t user, gid_t group)
{
    char folder[SOCKET_PATH_MAX];
    int fd;

    if (strlen(options->socket) >= sizeof folder ||
        make_folder(options->socket, folder) != MADE_FOLDER)
        return;
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    if (fchown(fd, user, group) != 0)
        (void)rmdir(folder); /* of no use to them */
    (void)close(fd);
}

bool sp_admin_socket_bind(uv_pipe_t *pipe, const char *path, char why[256])
{
    char folder[SOCKET_PATH_MAX];
    int status;

    if (strlen(path) >= sizeof folder) {
        (void)snprintf(why, 256, "the path is longer than the %zu bytes that a socket's may have",
                       sizeof folder - 1);
        return false;
    }
    if (make_folder(path, folder) == MADE_FAILED) {
        (void)snprintf(why, 256,
                       "its folder cannot be made: %s (make it, owned by the user that "
                       "sallyport runs as)",
                       strerror(errno));
        return false;
    }
    if (!remove_stale(path, why))
        return false;
    status = uv_pipe_bind(pipe, path);
    if (status != 0) {
        (void)snprintf(why, 256, "%s%s", uv_strerror(status),
                       status == UV_EACCES ? " (its folder must be writable by the user that "
                                             "sallyport runs as)"
                                           : "");
        return false;
    }
    /* Nobody can connect before listen(), so there is no moment at which others may. */
    if (chmod(path, 0600) != 0) {
        (void)snprintf(why, 256, "its mode cannot be set: %s", strerror(errno));
        return false;
    }
    return true;
}
