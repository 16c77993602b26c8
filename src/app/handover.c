/* Listening sockets from one process to the next, by systemd's descriptor store: what is bound is
 * stored under a name made of its address, and a process that is started anew finds it among the
 * descriptors that it is started with. Sockets of a socket unit come in the same way. Meanwhile the
 * kernel goes on taking connections into their queues: nobody is refused. */
#include "app/bind.h"

#include "app/process.h"
#include "util/span.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST_FD       3 /* SD_LISTEN_FDS_START */
#define STORE_NAME_MAX (sizeof("listen-") + SP_ADDR_TEXT_MAX)

/* ---- what came with us ---- */

/* A whole decimal number above 0, else 0. */
static long number_of(const char *text)
{
    char *end;
    long number;

    if (text == NULL || text[0] < '0' || text[0] > '9')
        return 0;
    errno = 0;
    number = strtol(text, &end, 10);
    return errno == 0 && *end == '\0' ? number : 0;
}

/* 0: none, or they are another process's. */
static long count_passed(void)
{
    const char *fds = getenv("LISTEN_FDS");
    long count = number_of(fds);

    if (fds == NULL || number_of(getenv("LISTEN_PID")) != (long)getpid())
        return 0;
    if (count > 0 && count <= INT_MAX - FIRST_FD)
        return count;
    if (strcmp(fds, "0") != 0)
        fprintf(stderr, "sallyport: LISTEN_FDS is no number of descriptors: none is taken\n");
    return 0;
}

/* Names must not have a colon in them. */
static const char *store_name(const struct sp_addr *addr, char out[STORE_NAME_MAX])
{
    char text[SP_ADDR_TEXT_MAX];

    (void)snprintf(out, STORE_NAME_MAX, "listen-%s", sp_addr_text(addr, text));
    for (char *c = out; *c != '\0'; c++)
        if (*c == ':')
            *c = '_';
    return out;
}

/* The next of the names, which stand with colons between them; NULL: there is none. */
static struct sp_span next_name(const char **names)
{
    struct sp_span name = SP_SPAN_NONE;

    if (*names == NULL)
        return name;
    name = sp_span_of(*names, strcspn(*names, ":"));
    *names = name.base[name.len] == ':' ? name.base + name.len + 1 : NULL;
    return name;
}

static void take_one(struct sp_app_inherited *inherited, int fd, struct sp_span name)
{
    struct sp_app_inherited_socket socket = {.fd = fd};
    const char *why = "no TCP socket that listens";
    char stored[STORE_NAME_MAX];

    if (inherited->len == SP_APP_INHERITED_MAX) {
        why = "there are too many";
    } else if (sp_listen_adopt(fd, &socket.addr, &socket.shared) == SP_OK) {
        socket.stored = sp_span_eq(name, sp_span_cstr(store_name(&socket.addr, stored)));
        inherited->all[inherited->len++] = socket;
        return;
    }
    fprintf(stderr, "sallyport: the inherited descriptor %d is closed: %s\n", fd, why);
    (void)close(fd);
}

/* They stand in a row: the first that is not open ends it, whatever LISTEN_FDS says. */
void sp_app_inherited_take(struct sp_app_inherited *inherited)
{
    const char *names = getenv("LISTEN_FDNAMES");
    int end = FIRST_FD + (int)count_passed();

    inherited->len = 0;
    for (int fd = FIRST_FD; fd < end; fd++) {
        if (fcntl(fd, F_GETFD) < 0) {
            fprintf(stderr, "sallyport: LISTEN_FDS says %d, but descriptor %d is not open\n",
                    end - FIRST_FD, fd);
            break;
        }
        take_one(inherited, fd, next_name(&names));
    }
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
}

static bool is_wanted(const struct sp_addr *addr, const struct sp_listen *listens, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (sp_addr_same_socket(&listens[i].addr, addr))
            return true;
    return false;
}

/* Whoever stores a socket has it a moment longer than we. It is ours and the store's alone, and
 * shut down it is in nobody's way. */
static void drop_stored(const struct sp_app_inherited_socket *socket)
{
    char text[SP_ADDR_TEXT_MAX];

    fprintf(stderr, "sallyport: an inherited socket at %s is closed: no listen block has it\n",
            sp_addr_text(&socket->addr, text));
    (void)shutdown(socket->fd, SHUT_RDWR);
    sp_app_sockets_forget(&socket->addr);
}

/* The unit has it still, and perhaps other services: it is not ours to shut down. */
static void drop_of_unit(const struct sp_app_inherited_socket *socket)
{
    char text[SP_ADDR_TEXT_MAX];

    fprintf(stderr,
            "sallyport: nobody accepts from the socket at %s: a socket unit passes it on, and no "
            "listen block has that address; whoever connects there waits for nothing, until there "
            "is such a block or the unit is stopped\n",
            sp_addr_text(&socket->addr, text));
}

void sp_app_inherited_drop(struct sp_app_inherited *inherited, const struct sp_listen *listens,
                           size_t listens_len)
{
    for (size_t i = 0; i < inherited->len; i++) {
        struct sp_app_inherited_socket *socket = &inherited->all[i];

        if (is_wanted(&socket->addr, listens, listens_len))
            continue;
        if (socket->stored)
            drop_stored(socket);
        else
            drop_of_unit(socket);
        (void)close(socket->fd);
        socket->fd = -1;
    }
}

/* ---- for whoever comes next ---- */

/* What a socket unit binds, it passes on to every process by itself. */
static bool is_to_store(const struct sp_app_socket *socket, size_t listen)
{
    return socket->listen == listen && socket->fd >= 0 && !socket->of_unit;
}

static enum sp_err store_one(const struct sp_app_sockets *sockets, size_t listen,
                             const struct sp_addr *addr)
{
    char name[STORE_NAME_MAX], text[STORE_NAME_MAX + 40];
    int fds[SP_PROCESS_FDS_MAX];
    size_t len = 0;
    enum sp_err err = SP_OK;

    (void)snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", store_name(addr, name));
    for (size_t i = 0; i < sockets->len && err == SP_OK; i++) {
        if (is_to_store(&sockets->all[i], listen))
            fds[len++] = sockets->all[i].fd;
        if (len == SP_PROCESS_FDS_MAX) {
            err = sp_process_hand_over(text, fds, len);
            len = 0;
        }
    }
    return err == SP_OK && len > 0 ? sp_process_hand_over(text, fds, len) : err;
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
        if (store_one(sockets, i, &listens[i].addr) != SP_OK)
            sp_log_warning(log,
                           "event=not_stored listener=%s detail=\"%s; the service manager does not "
                           "keep the socket, so a restart will refuse connections\"",
                           listens[i].title, strerror(errno));
}

void sp_app_sockets_forget(const struct sp_addr *addr)
{
    char name[STORE_NAME_MAX], text[STORE_NAME_MAX + 40];

    if (!is_kept())
        return;
    (void)snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", store_name(addr, name));
    sp_process_tell(text);
}
