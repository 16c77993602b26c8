/* The process and its operating system. Nothing here knows what the process is for. */
#include "app/process.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <stdbool.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* A dump would hold passwords and keys, on a disk and for long; and whoever runs as the same user
 * could read them from memory. The flag ends both; root may still look (gcore). The limit is the
 * second lock, for a library that sets the flag again. */
static void forbid_dumps(void)
{
    struct rlimit core;

    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        fprintf(stderr, "sallyport: core dumps cannot be forbidden: %s\n", strerror(errno));
    if (getrlimit(RLIMIT_CORE, &core) != 0)
        return;
    core.rlim_cur = 0;
    if (setrlimit(RLIMIT_CORE, &core) != 0)
        fprintf(stderr, "sallyport: core dumps cannot be limited: %s\n", strerror(errno));
}

void sp_process_prepare(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct rlimit files;

    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)umask(umask(S_IRWXG | S_IRWXO) | S_IWGRP | S_IRWXO); /* what is stricter already, stays */
    forbid_dumps();
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &files) != 0)
            fprintf(stderr, "sallyport: the limit of open files cannot be raised: %s\n",
                    strerror(errno));
    }
}

unsigned sp_process_cpus(void)
{
    cpu_set_t set;
    long n;

    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
        return (unsigned)CPU_COUNT(&set);
    n = sysconf(_SC_NPROCESSORS_ONLN); /* more CPUs than the set has bits */
    return n > 0 ? (unsigned)n : 1;
}

unsigned sp_process_files_left(unsigned wanted)
{
    int *fds = calloc(wanted, sizeof(*fds));
    unsigned left = 0;

    if (fds == NULL)
        return wanted; /* what follows will tell */
    while (left < wanted && (fds[left] = eventfd(0, EFD_CLOEXEC)) >= 0)
        left++;
    for (unsigned i = 0; i < left; i++)
        (void)close(fds[i]);
    free(fds);
    return left;
}

/* Real, effective and saved ids, groups, capabilities and their bounding set, in the one order that
 * works; libcap-ng knows it. */
static enum sp_err change_user(const struct passwd *who)
{
    int status;

    capng_clear(CAPNG_SELECT_ALL);
    status = capng_change_id((int)who->pw_uid, (int)who->pw_gid,
                             CAPNG_INIT_SUPP_GRP | CAPNG_CLEAR_BOUNDING | CAPNG_CLEAR_AMBIENT);
    if (status != 0) {
        fprintf(stderr, "sallyport: cannot become user \"%s\" (libcap-ng: %d): %s\n", who->pw_name,
                status,
                geteuid() != 0 ? "only root can; start as root, or leave `user` unset"
                               : strerror(errno));
        return SP_ERR_IO;
    }
    if (getuid() != who->pw_uid || geteuid() != who->pw_uid ||
        (who->pw_uid != 0 && setuid(0) == 0)) {
        fprintf(stderr, "sallyport: root's privileges could not be given up\n");
        return SP_ERR_IO;
    }
    return SP_OK;
}

/* What a service manager gave to bind low ports with (AmbientCapabilities=). The bounding set stays
 * where we may not change it: with no_new_privs nothing comes out of it. */
static enum sp_err give_up_capabilities(void)
{
    int status = capng_get_caps_process();

    if (status == 0 && capng_have_permitted_capabilities() == CAPNG_NONE)
        return SP_OK;
    capng_clear(CAPNG_SELECT_ALL);
    status = capng_apply(CAPNG_SELECT_CAPS);
    if (status == 0 && capng_get_caps_process() == 0 &&
        capng_have_permitted_capabilities() == CAPNG_NONE)
        return SP_OK;
    fprintf(stderr,
            "sallyport: capabilities could not be given up (libcap-ng: %d): does the service "
            "manager's SystemCallFilter allow capset?\n",
            status);
    return SP_ERR_IO;
}

enum sp_err sp_process_become(const char *user)
{
    const struct passwd *who;
    enum sp_err err = SP_OK;

    if (user[0] != '\0') {
        errno = 0;
        who = getpwnam(user);
        if (who == NULL) {
            fprintf(stderr, "sallyport: there is no user \"%s\"%s%s\n", user,
                    errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
            return SP_ERR_NOT_FOUND;
        }
        if (who->pw_uid != geteuid() || geteuid() == 0)
            err = change_user(who);
    }
    if (err == SP_OK && geteuid() != 0)
        err = give_up_capabilities();
    forbid_dumps(); /* again: the kernel has its own mind about a process that changed its user */
    if (err == SP_OK && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        fprintf(stderr, "sallyport: no_new_privs cannot be set: %s\n", strerror(errno));
        err = SP_ERR_IO;
    }
    return err;
}

enum sp_err sp_process_write_pid(const char *path)
{
    char text[32];
    int len, fd;
    bool written;

    if (path[0] == '\0')
        return SP_OK;
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return SP_ERR_IO;
    len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    written = len > 0 && write(fd, text, (size_t)len) == len;
    if (close(fd) != 0 || !written)
        return SP_ERR_IO;
    return SP_OK;
}

void sp_process_remove_pid(const char *path)
{
    char text[32] = "";
    ssize_t len = -1;
    int fd;

    if (path[0] == '\0')
        return;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    len = read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    if (len > 0 && strtol(text, NULL, 10) == (long)getpid())
        (void)unlink(path); /* the folder may no longer be ours to write in */
}
