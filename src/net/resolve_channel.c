/* c-ares on the loop: its sockets in the loop's own epoll set, its deadlines in the loop's timers.
 * What is asked, and what becomes of the answers, is in resolve.c. On the loop's thread. */
#include "net/resolve_channel_priv.h"

#include "net/loop_priv.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>

#define WATCH_AGAIN_MS 100 /* when a socket of c-ares could not be watched */

/* One of the few sockets that c-ares has open. Owned by the channel's list. */
struct dns_socket {
    struct sp_list link;
    struct sp_watch watch;
    struct sp_doomed doomed;
    struct sp_resolve_channel *channel;
    int fd;
};

void sp_resolve_channel_wake(struct sp_resolve_channel *channel)
{
    struct timeval wait;
    uint64_t wait_ms;

    if (ares_timeout(channel->ares, NULL, &wait) == NULL) {
        sp_timer_stop(&channel->retry);
        return;
    }
    wait_ms = (uint64_t)wait.tv_sec * 1000u + (uint64_t)wait.tv_usec / 1000u;
    if (channel->blind && wait_ms > WATCH_AGAIN_MS)
        wait_ms = WATCH_AGAIN_MS;
    sp_timer_start(channel->loop, &channel->retry, wait_ms);
}

static void on_dns_events(struct sp_watch *watch, uint32_t events)
{
    struct dns_socket *sock = sp_container_of(watch, struct dns_socket, watch);
    struct sp_resolve_channel *channel = sock->channel;
    bool in = (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0;
    bool out = (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;

    ares_process_fd(channel->ares, in ? sock->fd : ARES_SOCKET_BAD,
                    out ? sock->fd : ARES_SOCKET_BAD);
    sp_resolve_channel_wake(channel);
}

static void on_socket_doomed(struct sp_doomed *doomed)
{
    free(sp_container_of(doomed, struct dns_socket, doomed));
}

static struct dns_socket *socket_find(struct sp_resolve_channel *channel, int fd)
{
    struct sp_list *link;

    SP_LIST_EACH (link, &channel->sockets) {
        struct dns_socket *sock = sp_container_of(link, struct dns_socket, link);

        if (sock->fd == fd)
            return sock;
    }
    return NULL;
}

static void socket_drop(struct dns_socket *sock)
{
    sp_loop_unwatch(sock->channel->loop, sock->fd);
    sock->watch.on_events = NULL;
    sp_list_remove(&sock->link);
    sp_loop_doom(sock->channel->loop, &sock->doomed);
}

/* A socket that cannot be watched is tried again soon. c-ares keeps it as long as any question is
 * open, and under load one always is: nobody would hear another answer. */
static void socket_add(struct sp_resolve_channel *channel, int fd, uint32_t events)
{
    struct dns_socket *sock = calloc(1, sizeof(*sock));

    if (sock == NULL) {
        channel->blind = true;
        return;
    }
    sock->fd = fd;
    sock->channel = channel;
    sock->watch.on_events = on_dns_events;
    sock->doomed.release = on_socket_doomed;
    sp_list_push(&channel->sockets, &sock->link);
    if (sp_loop_watch(channel->loop, fd, events, &sock->watch) != SP_OK) {
        channel->blind = true;
        socket_drop(sock);
    }
}

/* Level-triggered, unlike the streams: c-ares does not promise to read until EAGAIN. */
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct sp_resolve_channel *channel = arg;
    struct dns_socket *sock = socket_find(channel, fd);
    uint32_t events = (readable ? (uint32_t)EPOLLIN : 0) | (writable ? (uint32_t)EPOLLOUT : 0);

    if (events == 0) {
        if (sock != NULL)
            socket_drop(sock);
    } else if (sock == NULL) {
        socket_add(channel, fd, events);
    } else if (sp_loop_rewatch(channel->loop, fd, events, &sock->watch) != SP_OK) {
        channel->blind = true;
        socket_drop(sock);
    }
}

/* Those that c-ares waits for and we do not. */
static void watch_again(struct sp_resolve_channel *channel)
{
    ares_socket_t fds[ARES_GETSOCK_MAXNUM];
    unsigned waits = (unsigned)ares_getsock(channel->ares, fds, ARES_GETSOCK_MAXNUM);

    channel->blind = false;
    for (int i = 0; i < ARES_GETSOCK_MAXNUM; i++) {
        bool in = (waits >> i & 1) != 0; /* the library's own macros shift into the sign */
        bool out = (waits >> (i + ARES_GETSOCK_MAXNUM) & 1) != 0;

        if (in || out)
            on_socket_state(channel, fds[i], in, out);
    }
}

static void on_retry(struct sp_timer *timer)
{
    struct sp_resolve_channel *channel = sp_container_of(timer, struct sp_resolve_channel, retry);

    if (channel->blind)
        watch_again(channel);
    ares_process_fd(channel->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    sp_resolve_channel_wake(channel);
}

/* ---- from beginning to end ---- */

static void library_init(void)
{
    (void)ares_library_init(ARES_LIB_INIT_ALL); /* on Linux it counts, and cannot fail */
}

enum sp_err sp_resolve_channel_open(struct sp_resolve_channel *channel, struct sp_loop *loop)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct ares_options options = {.timeout = SP_RESOLVE_TRY_MS,
                                   .tries = SP_RESOLVE_TRIES,
                                   .sock_state_cb = on_socket_state,
                                   .sock_state_cb_data = channel};

    pthread_once(&once, library_init);
    channel->loop = loop;
    channel->blind = false;
    sp_list_init(&channel->sockets);
    sp_timer_init(&channel->retry, on_retry);
    return ares_init_options(&channel->ares, &options,
                             ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB) ==
                   ARES_SUCCESS
               ? SP_OK
               : SP_ERR_NOMEM;
}

void sp_resolve_channel_close(struct sp_resolve_channel *channel)
{
    ares_destroy(channel->ares);
    sp_timer_stop(&channel->retry);
    while (!sp_list_empty(&channel->sockets))
        socket_drop(sp_container_of(channel->sockets.next, struct dns_socket, link));
}
