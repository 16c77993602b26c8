/* The listening sockets of one configuration: for each listener at least one descriptor per worker,
 * inherited or bound on the main thread, and handed out afterwards. */
#ifndef SP_APP_BIND_H
#define SP_APP_BIND_H

#include "config/config.h"
#include "net/listener.h"

#include <stdbool.h>

/* ---- sockets that come with the process ---- */

#define SP_APP_INHERITED_MAX 1024

struct sp_app_inherited_socket {
    int fd; /* -1: it has a listener now */
    struct sp_addr addr;
    bool shared; /* more may be bound beside it */
    bool stored; /* by the process before this one; else it is a socket unit's, and stays that */
};

/* What systemd passed on: of a socket unit, or of the process before this one, which had stored
 * them. In their order. */
struct sp_app_inherited {
    struct sp_app_inherited_socket all[SP_APP_INHERITED_MAX];
    size_t len;
};

/* LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES (sd_listen_fds(3)), which are then taken out of the
 * environment. What listens on no address is closed, with a word on standard error. Before anything
 * else opens a descriptor: a wrong count must not take one of ours. */
void sp_app_inherited_take(struct sp_app_inherited *inherited);
/* Closes those that none of these listeners has. Stored ones are shut down first, so that they
 * stand in no other's way, and forgotten by whoever stores them; those of a socket unit live on
 * there. Before others are bound: an address may lie within an older one's, or hold it. */
void sp_app_inherited_drop(struct sp_app_inherited *inherited, const struct sp_listen *listens,
                           size_t listens_len);

/* ---- sockets for workers ---- */

struct sp_app_socket {
    int fd; /* -1: handed out */
    size_t listen;
    unsigned worker;
    bool of_unit; /* bound by a socket unit, or a part in such a one */
};

struct sp_app_sockets {
    struct sp_app_socket *all;
    size_t len, cap;
    unsigned workers;
};

/* Could this address be bound now, beside nobody? 0, or errno. */
int sp_app_bind_probe(const struct sp_addr *addr);

/* Finds or binds sockets of those listeners for which wanted(owner, i) says so (NULL: all). Of the
 * inherited ones (NULL: none) each that has a listener is taken, however many workers there are: a
 * socket that nobody accepts from would keep its clients waiting. Any failure closes all, and is a
 * fault at the listener's block. */
enum sp_err sp_app_sockets_bind(struct sp_app_sockets *sockets, const struct sp_config *config,
                                const struct sp_listen *listens, size_t listens_len,
                                unsigned workers, struct sp_app_inherited *inherited,
                                bool (*wanted)(void *owner, const struct sp_listen *listen),
                                void *owner, struct sp_config_faults *faults) SP_MUST_CHECK;
/* Closes what was not taken. */
void sp_app_sockets_fini(struct sp_app_sockets *sockets);
/* One more of this worker's, yours now; -1: there is none left. */
int sp_app_sockets_take(struct sp_app_sockets *sockets, unsigned worker, size_t *listen_out);

/* ---- for the process after this one ---- */

/* Has systemd keep them (its descriptor store), so that a restart refuses nobody. What cannot be
 * stored is logged. */
void sp_app_sockets_store(const struct sp_app_sockets *sockets, const struct sp_listen *listens,
                          const struct sp_log *log);
/* No more: the listener at this address is gone. */
void sp_app_sockets_forget(const struct sp_addr *addr);

#endif
