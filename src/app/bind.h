/* The listening sockets of one configuration: for each listener one descriptor per worker, bound on
 * the main thread and handed out afterwards. */
#ifndef SP_APP_BIND_H
#define SP_APP_BIND_H

#include "config/config.h"
#include "net/listener.h"

#include <stdbool.h>

/* fds[listener * workers + worker]; -1: none, or handed out. */
struct sp_app_sockets {
    int *fds;
    size_t listens_len;
    unsigned workers;
};

/* Could this address be bound now, beside nobody? 0, or errno. */
int sp_app_bind_probe(const struct sp_addr *addr);

/* Binds those listeners for which wanted(owner, i) says so (NULL: all). Any failure closes what was
 * bound, and is a fault at the listener's block. */
enum sp_err sp_app_sockets_bind(struct sp_app_sockets *sockets, const struct sp_config *config,
                                const struct sp_listen *listens, size_t listens_len,
                                unsigned workers,
                                bool (*wanted)(void *owner, const struct sp_listen *listen),
                                void *owner, struct sp_config_faults *faults) SP_MUST_CHECK;
/* Closes what was not taken. */
void sp_app_sockets_fini(struct sp_app_sockets *sockets);
/* Yours now; -1: there is none. */
int sp_app_sockets_take(struct sp_app_sockets *sockets, size_t listen_index, unsigned worker);

#endif
