/* Binding, and saying in words why an address cannot be had. */
#include "app/bind.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* SO_REUSEPORT lets a second sallyport of the same user share our port without a word, and every
 * other connection would go to it. A socket without that option cannot be bound beside any that
 * listens, so it is tried first. 0, or errno. */
int sp_app_bind_probe(const struct sp_addr *addr)
{
    struct sockaddr_storage ss;
    socklen_t len = sp_addr_to_sockaddr(addr, &ss);
    int one = 1;
    int status = 0;
    int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (ss.ss_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    if (bind(fd, (const struct sockaddr *)&ss, len) != 0)
        status = errno;
    (void)close(fd);
    return status;
}

static const char *hint(int error, bool serving)
{
    if (error == EADDRINUSE)
        return serving
                   ? ": another process listens there, or this one at an address that overlaps, "
                     "which only a restart gives up"
                   : ": another process listens there";
    if (error == EADDRNOTAVAIL)
        return ": this machine has no such address";
    if (error == EACCES)
        return ": a port below 1024 needs root or CAP_NET_BIND_SERVICE, which a running process "
               "has given up; a restart binds it";
    return "";
}

static enum sp_err fault(struct sp_config_faults *faults, const struct sp_config *config,
                         const struct sp_listen *listen, int error, bool serving)
{
    size_t len;
    const struct sp_config_block *blocks = sp_config_all(config, "listen", &len);

    if (listen->index < len)
        sp_config_fault(faults, &blocks[listen->index], NULL, "cannot listen on %s: %s%s",
                        listen->title, strerror(error), hint(error, serving));
    return SP_ERR_IO;
}

static bool add(struct sp_app_sockets *sockets, struct sp_app_socket socket)
{
    if (sockets->len == sockets->cap) {
        size_t cap = sockets->cap > 0 ? sockets->cap * 2 : 16;
        struct sp_app_socket *grown = realloc(sockets->all, cap * sizeof(*grown));

        if (grown == NULL) {
            (void)close(socket.fd);
            errno = ENOMEM;
            return false;
        }
        sockets->all = grown;
        sockets->cap = cap;
    }
    sockets->all[sockets->len++] = socket;
    return true;
}

/* ---- inherited ones ---- */

/* The inherited sockets of this address go round the workers. False: errno. */
static bool take_inherited(struct sp_app_sockets *sockets, const struct sp_addr *addr, size_t i,
                           struct sp_app_inherited *inherited, size_t *taken_out, bool *shared_out)
{
    *taken_out = 0;
    *shared_out = true;
    for (size_t j = 0; inherited != NULL && j < inherited->len; j++) {
        struct sp_app_inherited_socket *socket = &inherited->all[j];
        int fd = socket->fd;

        if (fd < 0 || !sp_addr_same_socket(&socket->addr, addr))
            continue;
        socket->fd = -1;
        *shared_out = *shared_out && socket->shared;
        if (!add(sockets, (struct sp_app_socket){fd, i, (unsigned)(*taken_out % sockets->workers),
                                                 !socket->stored}))
            return false;
        ++*taken_out;
    }
    return true;
}

/* A worker that has none gets one of its own where the kernel allows it, else a part in another's.
 */
static struct sp_app_socket one_more(const struct sp_app_sockets *sockets,
                                     const struct sp_addr *addr, size_t first, size_t taken,
                                     unsigned worker, bool shared)
{
    const struct sp_app_socket *other = &sockets->all[first + worker % taken];
    struct sp_app_socket own = {-1, other->listen, worker, false};

    if (shared && sp_listen_bind(addr, &own.fd) == SP_OK)
        return own;
    own.fd = fcntl(other->fd, F_DUPFD_CLOEXEC, 3);
    own.of_unit = other->of_unit;
    return own;
}

/* ---- binding ---- */

/* False: errno. */
static bool provide(struct sp_app_sockets *sockets, const struct sp_addr *addr, size_t i,
                    struct sp_app_inherited *inherited)
{
    size_t first = sockets->len;
    size_t taken;
    bool shared;

    if (!take_inherited(sockets, addr, i, inherited, &taken, &shared))
        return false;
    if (taken == 0) {
        errno = sp_app_bind_probe(addr);
        if (errno != 0)
            return false;
    }
    for (unsigned w = (unsigned)taken; w < sockets->workers; w++) {
        struct sp_app_socket socket = {-1, i, w, false};

        if (taken > 0)
            socket = one_more(sockets, addr, first, taken, w, shared);
        else if (sp_listen_bind(addr, &socket.fd) != SP_OK)
            return false;
        if (socket.fd < 0 || !add(sockets, socket))
            return false;
    }
    return true;
}

enum sp_err sp_app_sockets_bind(struct sp_app_sockets *sockets, const struct sp_config *config,
                                const struct sp_listen *listens, size_t listens_len,
                                unsigned workers, struct sp_app_inherited *inherited,
                                bool (*wanted)(void *owner, const struct sp_listen *listen),
                                void *owner, struct sp_config_faults *faults)
{
    enum sp_err err = SP_OK;

    *sockets = (struct sp_app_sockets){.workers = workers};
    for (size_t i = 0; i < listens_len; i++) /* all, so that all faults are told */
        if ((wanted == NULL || wanted(owner, &listens[i])) &&
            !provide(sockets, &listens[i].addr, i, inherited))
            err = fault(faults, config, &listens[i], errno, inherited == NULL);
    if (err != SP_OK)
        sp_app_sockets_fini(sockets);
    return err;
}

void sp_app_sockets_fini(struct sp_app_sockets *sockets)
{
    for (size_t i = 0; i < sockets->len; i++)
        if (sockets->all[i].fd >= 0)
            (void)close(sockets->all[i].fd);
    free(sockets->all);
    *sockets = (struct sp_app_sockets){0};
}

int sp_app_sockets_take(struct sp_app_sockets *sockets, unsigned worker, size_t *listen_out)
{
    for (size_t i = 0; i < sockets->len; i++) {
        int fd = sockets->all[i].fd;

        if (fd < 0 || sockets->all[i].worker != worker)
            continue;
        sockets->all[i].fd = -1;
        *listen_out = sockets->all[i].listen;
        return fd;
    }
    return -1;
}
