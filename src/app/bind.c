/* Binding, and saying in words why an address cannot be had. */
#include "app/bind.h"

#include <errno.h>
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

static const char *hint(int error)
{
    if (error == EADDRINUSE)
        return ": another process listens there";
    if (error == EADDRNOTAVAIL)
        return ": this machine has no such address";
    if (error == EACCES)
        return ": a port below 1024 needs root or CAP_NET_BIND_SERVICE, which a running process "
               "has given up; a restart binds it";
    return "";
}

static enum sp_err fault(struct sp_config_faults *faults, const struct sp_config *config,
                         const struct sp_listen *listen, int error)
{
    size_t len;
    const struct sp_config_block *blocks = sp_config_all(config, "listen", &len);

    if (listen->index < len)
        sp_config_fault(faults, &blocks[listen->index], NULL, "cannot listen on %s: %s%s",
                        listen->title, strerror(error), hint(error));
    return SP_ERR_IO;
}

static enum sp_err bind_one(struct sp_app_sockets *sockets, const struct sp_config *config,
                            const struct sp_listen *listen, size_t i,
                            struct sp_config_faults *faults)
{
    int error = sp_app_bind_probe(&listen->addr);

    if (error != 0)
        return fault(faults, config, listen, error);
    for (unsigned w = 0; w < sockets->workers; w++)
        if (sp_listen_bind(&listen->addr, &sockets->fds[i * sockets->workers + w]) != SP_OK)
            return fault(faults, config, listen, errno);
    return SP_OK;
}

enum sp_err sp_app_sockets_bind(struct sp_app_sockets *sockets, const struct sp_config *config,
                                const struct sp_listen *listens, size_t listens_len,
                                unsigned workers,
                                bool (*wanted)(void *owner, const struct sp_listen *listen),
                                void *owner, struct sp_config_faults *faults)
{
    enum sp_err err = SP_OK;

    *sockets = (struct sp_app_sockets){.listens_len = listens_len, .workers = workers};
    sockets->fds = malloc((listens_len * workers + 1) * sizeof(*sockets->fds));
    if (sockets->fds == NULL) {
        sp_config_fault(faults, sp_config_one(config, NULL), NULL, "out of memory");
        return SP_ERR_NOMEM;
    }
    for (size_t i = 0; i < listens_len * workers; i++)
        sockets->fds[i] = -1;
    for (size_t i = 0; i < listens_len; i++) /* all, so that all faults are told */
        if ((wanted == NULL || wanted(owner, &listens[i])) &&
            bind_one(sockets, config, &listens[i], i, faults) != SP_OK)
            err = SP_ERR_IO;
    if (err != SP_OK)
        sp_app_sockets_fini(sockets);
    return err;
}

void sp_app_sockets_fini(struct sp_app_sockets *sockets)
{
    for (size_t i = 0; sockets->fds != NULL && i < sockets->listens_len * sockets->workers; i++)
        if (sockets->fds[i] >= 0)
            (void)close(sockets->fds[i]);
    free(sockets->fds);
    *sockets = (struct sp_app_sockets){0};
}

int sp_app_sockets_take(struct sp_app_sockets *sockets, size_t listen_index, unsigned worker)
{
    int *slot = &sockets->fds[listen_index * sockets->workers + worker];
    int fd = *slot;

    *slot = -1;
    return fd;
}
