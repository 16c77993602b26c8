/* The proxy's own listeners, the admin page's among them, which are never a destination: a request
 * to them would come back in, with the proxy's address as its client. Collected at compile time; an
 * address that the machine gets later is not known until the next reload. */
#include "policy/policy_priv.h"

#include <ifaddrs.h>
#include <stdlib.h>

static size_t count(const struct ifaddrs *list)
{
    size_t len = 0;

    for (; list != NULL; list = list->ifa_next)
        len++;
    return len;
}

static enum sp_err collect_local(struct sp_own *own)
{
    struct ifaddrs *list = NULL;
    enum sp_err err = SP_OK;

    if (getifaddrs(&list) != 0)
        return SP_ERR_IO;
    own->local = calloc(count(list) + 1, sizeof(*own->local));
    if (own->local == NULL)
        err = SP_ERR_NOMEM;
    for (const struct ifaddrs *at = list; err == SP_OK && at != NULL; at = at->ifa_next) {
        struct sp_addr *addr = &own->local[own->local_len];

        if (at->ifa_addr != NULL && sp_addr_from_sockaddr(addr, at->ifa_addr) == SP_OK)
            own->local_len++;
    }
    freeifaddrs(list);
    return err;
}

enum sp_err sp_own_collect(struct sp_own *own, const struct sp_addr *listeners,
                           size_t listeners_len)
{
    bool unspecified = false;

    own->listeners = calloc(listeners_len + 1, sizeof(*listeners));
    if (own->listeners == NULL)
        return SP_ERR_NOMEM;
    for (size_t i = 0; i < listeners_len; i++) {
        own->listeners[i] = listeners[i];
        unspecified = unspecified || sp_addr_is_unspecified(&listeners[i]);
    }
    own->listeners_len = listeners_len;
    return unspecified ? collect_local(own) : SP_OK;
}

void sp_own_fini(struct sp_own *own)
{
    free(own->listeners);
    free(own->local);
    *own = (struct sp_own){.local = NULL};
}

static bool is_local(const struct sp_own *own, const struct sp_addr *addr)
{
    if (sp_addr_is_loopback(addr))
        return true;
    for (size_t i = 0; i < own->local_len; i++) {
        if (sp_addr_same_ip(&own->local[i], addr))
            return true;
    }
    return false;
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
        if (sp_addr_is_unspecified(listener) && is_local(own, addr))
            return true;
    }
    return false;
}
