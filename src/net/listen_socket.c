/* Listening sockets: bound here, or taken over from whoever has bound them. Main thread. */
#include "net/listener.h"

#include "net/stream_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

/* Linux hands these down from the listening socket to each accepted one: no call per connection. */
static bool set_options(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {SOL_SOCKET, SO_REUSEADDR, 1},
        {SOL_SOCKET, SO_REUSEPORT, 1},
        {IPPROTO_TCP, TCP_NODELAY, 1},
    };

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int)) != 0)
            return false;
    }
    return sp_socket_keep_alive(fd);
}

enum sp_err sp_listen_bind(const struct sp_addr *addr, int *fd_out)
{
    static const int only_v6 = 1;
    struct sockaddr_storage ss;
    socklen_t len = sp_addr_to_sockaddr(addr, &ss);
    int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error;

    *fd_out = -1;
    if (fd < 0)
        return SP_ERR_IO;
    /* "[::]:3128" is IPv6 alone, so that "0.0.0.0:3128" may stand beside it. */
    if (set_options(fd) &&
        (ss.ss_family != AF_INET6 ||
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, sizeof(only_v6)) == 0) &&
        bind(fd, (struct sockaddr *)&ss, len) == 0 && listen(fd, SP_LISTEN_BACKLOG) == 0) {
        *fd_out = fd;
        return SP_OK;
    }
    error = errno;
    close(fd);
    errno = error; /* the caller's words are made of it */
    return SP_ERR_IO;
}

/* Does that option of the socket say yes? */
static bool has_option(int fd, int name, int wanted)
{
    int value = 0;
    socklen_t len = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 && value == wanted;
}

enum sp_err sp_listen_adopt(int fd, struct sp_addr *addr_out, bool *shared_out)
{
    static const int no_delay = 1;
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || !has_option(fd, SO_TYPE, SOCK_STREAM) || !has_option(fd, SO_ACCEPTCONN, 1) ||
        getsockname(fd, (struct sockaddr *)&ss, &len) != 0 ||
        sp_addr_from_sockaddr(addr_out, (struct sockaddr *)&ss) != SP_OK)
        return SP_ERR_INVALID;
    *shared_out = has_option(fd, SO_REUSEPORT, 1);
    if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, sizeof(no_delay)) != 0 ||
        !sp_socket_keep_alive(fd))
        return SP_ERR_INVALID;
    return SP_OK;
}
