/* The proxy's own listeners, the admin page's among them, which are never a destination: a request
 * to them would come back in, with the proxy's address as its client. Which addresses are the
 * machine's own is the kernel's to say, at the time of the question: one that another node hands
 * over may have come a moment ago. It is asked only where a listener has the port and a wildcard.
 */
#include "policy/policy_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum sp_err sp_own_collect(struct sp_own *own, const struct sp_addr *listeners,
                           size_t listeners_len)
{
    own->listeners = calloc(listeners_len + 1, sizeof(*listeners));
    if (own->listeners == NULL)
        return SP_ERR_NOMEM;
    for (size_t i = 0; i < listeners_len; i++)
        own->listeners[i] = listeners[i];
    own->listeners_len = listeners_len;
    return SP_OK;
}

void sp_own_fini(struct sp_own *own)
{
    free(own->listeners);
    *own = (struct sp_own){.listeners = NULL};
}

/* Where a datagram to the address would leave from; no packet is sent. 0, or errno. */
static int find_source(int fd, const struct sp_addr *addr, struct sp_addr *source)
{
    struct sockaddr_storage ss;
    socklen_t len = sp_addr_to_sockaddr(addr, &ss);

    if (connect(fd, (struct sockaddr *)&ss, len) != 0)
        return errno;
    len = sizeof(ss);
    if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
        return errno;
    return sp_addr_from_sockaddr(source, (struct sockaddr *)&ss) == SP_OK ? 0 : EINVAL;
}

/* No way leads there, so none leads here. After any other failure nobody knows. */
static bool is_unreachable(int error)
{
    return error == ENETUNREACH || error == EHOSTUNREACH || error == EAFNOSUPPORT;
}

/* Only what goes to the machine itself leaves from the very address that it goes to. Where that
 * cannot be found out, it is taken for ours: nobody is let in for want of a descriptor. */
static bool is_local(const struct sp_addr *addr)
{
    struct sp_addr source;
    int fd, error;

    if (sp_addr_is_loopback(addr))
        return true;
    fd = socket(sp_addr_is_v4(addr) ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return !is_unreachable(errno);
    error = find_source(fd, addr, &source);
    (void)close(fd);
    return error == 0 ? sp_addr_same_ip(&source, addr) : !is_unreachable(error);
}

/* A connect to the unspecified address goes to this machine's loopback, so it is all its own
 * addresses at once. */
bool sp_own_is(const struct sp_own *own, const struct sp_addr *addr, uint16_t port)
{
    for (size_t i = 0; i < own->listeners_len; i++) {
        const struct sp_addr *listener = &own->listeners[i];

        if (listener->port != port)
            continue;
        if (sp_addr_is_unspecified(addr) || sp_addr_same_ip(listener, addr))
            return true;
        if (sp_addr_is_unspecified(listener) && is_local(addr))
            return true;
    }
    return false;
}
