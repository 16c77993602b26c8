/* Listening sockets from one process to the next, by systemd's descriptor store: what is bound is
 * stored under a name made of its address, and a process that is started anew finds it among the
 * descriptors that it is started with. Sockets of a socket unit come in the same way. Meanwhile the
 * kernel goes on taking connections into their queues: nobody is refused. */
#include "app/bind.h"

#include "app/process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */

/* ---- what came with us ---- */

/* 0: none, or they are another process's. */
static size_t count_passed(void)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    long count;

    if (pid == NULL || fds == NULL || strtol(pid, NULL, 10) != (long)getpid())
        return 0;
    count = strtol(fds, NULL, 10);
    return count > 0 ? (size_t)count : 0;
}

void sp_app_inherited_take(struct sp_app_inherited *inherited)
{
    size_t passed = count_passed();

    inherited->len = 0;
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    for (size_t i = 0; i < passed; i++) {
        struct sp_app_inherited_socket socket = {.fd = FIRST_FD + (int)i};

        if (inherited->len < SP_APP_INHERITED_MAX &&
            sp_listen_adopt(socket.fd, &socket.addr, &socket.shared) == SP_OK) {
            inherited->all[inherited->len++] = socket;
            continue;
        }
        fprintf(stderr,
                "sallyport: the inherited descriptor %d is closed: no TCP socket that "
                "listens\n",
                socket.fd);
        (void)close(socket.fd);
    }
}

static bool is_wanted(const struct sp_addr *addr, const struct sp_listen *listens, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (sp_addr_same_socket(&listens[i].addr, addr))
            return true;
    return false;
}

/* Whoever stores a socket has it a moment longer than we. Shut down it is in nobody's way. */
void sp_app_inherited_drop(struct sp_app_inherited *inherited, const struct sp_listen *listens,
                           size_t listens_len)
{
    for (size_t i = 0; i < inherited->len; i++) {
        struct sp_app_inherited_socket *socket = &inherited->all[i];
        char text[SP_ADDR_TEXT_MAX];

        if (is_wanted(&socket->addr, listens, listens_len))
            continue;
        fprintf(stderr, "sallyport: an inherited socket at %s is closed: no listen block has it\n",
                sp_addr_text(&socket->addr, text));
        (void)shutdown(socket->fd, SHUT_RDWR);
        (void)close(socket->fd);
        socket->fd = -1;
        sp_app_sockets_forget(&socket->addr);
    }
}

/* ---- for whoever comes next ---- */

/* Names must not have a colon in them. */
static const char *store_name(const struct sp_addr *addr, char out[SP_ADDR_TEXT_MAX])
{
    (void)sp_addr_text(addr, out);
    for (char *c = out; *c != '\0'; c++)
        if (*c == ':')
            *c = '_';
    return out;
}

static enum sp_err store_one(const struct sp_app_sockets *sockets, size_t listen,
                             const struct sp_addr *addr)
{
    char name[SP_ADDR_TEXT_MAX], text[SP_ADDR_TEXT_MAX + 40];
    int fds[SP_PROCESS_FDS_MAX];
    size_t len = 0;
    enum sp_err err = SP_OK;

    (void)snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=listen-%s", store_name(addr, name));
    for (size_t i = 0; i < sockets->len && err == SP_OK; i++) {
        if (sockets->all[i].listen == listen && sockets->all[i].fd >= 0)
            fds[len++] = sockets->all[i].fd;
        if (len == SP_PROCESS_FDS_MAX) {
            err = sp_process_hand_over(text, fds, len);
            len = 0;
        }
    }
    return err == SP_OK && len > 0 ? sp_process_hand_over(text, fds, len) : err;
}

static bool has_socket(const struct sp_app_sockets *sockets, size_t listen)
{
    for (size_t i = 0; i < sockets->len; i++)
        if (sockets->all[i].listen == listen)
            return true;
    return false;
}

/* A message that nobody reads would hold the sockets, and so keep them open after us: only to a
 * manager that says it keeps them. systemd does from 254 on; our unit says it for older ones. */
static bool is_kept(void)
{
    const char *most = getenv("FDSTORE");

    return most != NULL && strtol(most, NULL, 10) > 0;
}

void sp_app_sockets_store(const struct sp_app_sockets *sockets, const struct sp_listen *listens,
                          const struct sp_log *log)
{
    size_t end = 0;

    if (!is_kept())
        return;
    for (size_t i = 0; i < sockets->len; i++)
        end = sockets->all[i].listen >= end ? sockets->all[i].listen + 1 : end;
    for (size_t i = 0; i < end; i++)
        if (has_socket(sockets, i) && store_one(sockets, i, &listens[i].addr) != SP_OK)
            sp_log_warning(log,
                           "event=not_stored listener=%s detail=\"%s; the service manager does not "
                           "keep the socket, so a restart will refuse connections\"",
                           listens[i].title, strerror(errno));
}

void sp_app_sockets_forget(const struct sp_addr *addr)
{
    char name[SP_ADDR_TEXT_MAX], text[SP_ADDR_TEXT_MAX + 40];

    if (!is_kept())
        return;
    (void)snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=listen-%s", store_name(addr, name));
    sp_process_tell(text);
}
