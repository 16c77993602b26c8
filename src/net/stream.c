/* Streams: one connected socket each, in the loop's epoll set from birth to death (edge-triggered;
 * one epoll_ctl in its whole life, two where an accepted socket was ever full). Plain bytes are
 * dealt with here, TLS in tls_stream.c. Loop thread.
 *
 * What the owner hears, and when: `ready` is called from the loop, by an event or by the stream's
 * "soon" callback. As long as something wanted stays possible after that, it is called again, so an
 * owner may stop half way and be sure to be asked again. */
#include "net/stream_priv.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define STREAM_EVENTS (EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET)
#define CLIENT_EVENTS (STREAM_EVENTS | SP_WATCH_BEHIND)
/* More parts than this in one call are left for the next. */
#define PARTS_MAX 64

static struct sp_stream *check(struct sp_stream *stream)
{
    assert(stream->magic == SP_STREAM_MAGIC);
    assert(stream->fd >= 0);
    return stream;
}

/* ---- telling the owner ---- */

/* Wanted, and possible by what we know. */
static unsigned wanted_now(const struct sp_stream *st)
{
    unsigned possible = 0;

    if (st->handshake || st->want == 0)
        return 0;
    if (st->can_read)
        possible |= SP_STREAM_READ;
    if (st->can_write)
        possible |= SP_STREAM_WRITE;
    possible &= st->want;
    if (st->gone && !st->gone_told)
        possible |= SP_STREAM_GONE;
    return possible;
}

static void tell(struct sp_stream *st, unsigned events)
{
    if (events == 0 || st->ready == NULL)
        return;
    if ((events & SP_STREAM_GONE) != 0)
        st->gone_told = true;
    st->ready(st->owner, events);
    if (st->fd >= 0) /* closed streams stay readable until the turn ends */
        sp_stream_nudge(st);
}

void sp_stream_nudge(struct sp_stream *st)
{
    if (wanted_now(st) != 0)
        sp_loop_soon(st->loop, &st->soon);
}

static void on_soon(struct sp_soon *soon)
{
    struct sp_stream *st = sp_container_of(soon, struct sp_stream, soon);
    unsigned events;

    if (st->handshake) {
        sp_tls_on_events(st, 0);
        return;
    }
    events = wanted_now(st);
    /* An end that was read before is told to whoever asks anew, but only then. */
    if (st->ended)
        events |= st->want & SP_STREAM_READ;
    tell(st, events);
}

static void note_events(struct sp_stream *st, uint32_t events)
{
    if ((events & (EPOLLRDHUP | EPOLLPRI | EPOLLHUP | EPOLLERR)) != 0)
        st->no_short = true;
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0 && !st->ended)
        st->can_read = true;
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0)
        st->can_write = true;
    if ((events & (EPOLLHUP | EPOLLERR)) != 0)
        st->gone = true;
}

static void on_events(struct sp_watch *watch, uint32_t events)
{
    struct sp_stream *st = sp_container_of(watch, struct sp_stream, watch);

    note_events(st, events);
    if (st->tls != NULL)
        sp_tls_on_events(st, events);
    if (st->fd >= 0)
        tell(st, wanted_now(st));
}

/* ---- birth ---- */

static void on_doomed(struct sp_doomed *doomed)
{
    struct sp_stream *st = sp_container_of(doomed, struct sp_stream, doomed);

    st->magic = 0;
    free(st);
}

struct sp_stream *sp_stream_adopt(struct sp_loop *loop, int fd, const struct sp_addr *peer,
                                  bool connecting)
{
    struct sp_stream *st = calloc(1, sizeof(*st));

    if (st == NULL) {
        close(fd);
        return NULL;
    }
    st->magic = SP_STREAM_MAGIC;
    st->fd = fd;
    st->loop = loop;
    st->watch.on_events = on_events;
    st->peer = *peer;
    /* A connected socket is worth a try at once; the epoll set tells of its state in any case. */
    st->can_read = !connecting;
    st->can_write = !connecting;
    st->out_watched = connecting;
    st->client = !connecting;
    sp_soon_init(&st->soon, on_soon);
    st->doomed.release = on_doomed;
    if (sp_loop_watch(loop, fd, connecting ? STREAM_EVENTS | EPOLLOUT : CLIENT_EVENTS,
                      &st->watch) != SP_OK) {
        close(fd);
        free(st);
        return NULL;
    }
    sp_loop_hold(loop);
    return st;
}

struct sp_stream *sp_stream_new(struct sp_loop *loop, int fd)
{
    struct sockaddr_storage ss = {0};
    socklen_t ss_len = sizeof(ss);
    struct sp_addr peer = {0};

    /* A socket without an address (a socketpair) has all zeroes for a peer. */
    if (getpeername(fd, (struct sockaddr *)&ss, &ss_len) != 0 ||
        sp_addr_from_sockaddr(&peer, (struct sockaddr *)&ss) != SP_OK)
        peer = (struct sp_addr){0};
    return sp_stream_adopt(loop, fd, &peer, false);
}

void sp_stream_own(struct sp_stream *stream, sp_stream_ready_cb ready, void *owner)
{
    struct sp_stream *st = check(stream);

    st->ready = ready;
    st->owner = owner;
    st->want = 0;
    if (!st->handshake)
        sp_soon_cancel(&st->soon);
}

void sp_stream_want(struct sp_stream *stream, unsigned events)
{
    struct sp_stream *st = check(stream);

    st->want = (uint8_t)events;
    if (wanted_now(st) != 0 || (st->ended && (events & SP_STREAM_READ) != 0))
        sp_loop_soon(st->loop, &st->soon);
}

/* ---- bytes ---- */

enum sp_err sp_stream_fault(struct sp_stream *st, int error)
{
    switch (error) {
    case ECONNRESET:
    case EPIPE:
    case ETIMEDOUT: /* keepalive or retransmissions found nobody */
    case ENOTCONN:
    case ECONNABORTED:
    case EHOSTUNREACH:
    case ENETUNREACH: st->reset = true; return SP_ERR_CLOSED;
    default: return SP_ERR_IO;
    }
}

/* The kernel tells a reset once, to whichever call comes first; a read after that looks like a
 * clean end and is not. */
enum sp_err sp_stream_ended(struct sp_stream *st)
{
    st->ended = true;
    st->can_read = false;
    return st->reset ? SP_ERR_CLOSED : SP_OK;
}

static enum sp_err read_failed(struct sp_stream *st, int error)
{
    enum sp_err err;

    if (error == EAGAIN || error == EWOULDBLOCK) {
        st->can_read = false;
        return SP_ERR_AGAIN;
    }
    err = sp_stream_fault(st, error);
    st->reset = true;
    (void)sp_stream_ended(st);
    return err;
}

enum sp_err sp_stream_read(struct sp_stream *stream, void *into, size_t room, size_t *len_out)
{
    struct sp_stream *st = check(stream);
    ssize_t got;

    assert(room > 0);
    *len_out = 0;
    if (st->ended)
        return st->reset ? SP_ERR_CLOSED : SP_OK;
    if (!st->can_read)
        return SP_ERR_AGAIN;
    if (st->tls != NULL)
        return sp_tls_read(st, into, room, len_out);
    do {
        got = recv(st->fd, into, room, 0);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return read_failed(st, errno);
    if (got == 0)
        return sp_stream_ended(st);
    *len_out = (size_t)got;
    /* A short read has emptied the socket: the next byte comes with an edge (epoll(7)). */
    if (*len_out < room && !st->no_short)
        st->can_read = false;
    return SP_OK;
}

enum sp_err sp_stream_no_room(struct sp_stream *st)
{
    /* Asked for anew, the kernel looks at the socket's state again: no edge is lost in between. */
    uint32_t events = st->client ? CLIENT_EVENTS : STREAM_EVENTS;

    if (!st->out_watched &&
        sp_loop_rewatch(st->loop, st->fd, events | EPOLLOUT, &st->watch) != SP_OK)
        return SP_ERR_IO;
    st->out_watched = true;
    st->can_write = false;
    return SP_ERR_AGAIN;
}

static enum sp_err write_failed(struct sp_stream *st, int error)
{
    if (error == EAGAIN || error == EWOULDBLOCK)
        return sp_stream_no_room(st);
    return sp_stream_fault(st, error);
}

static ssize_t send_parts(int fd, const struct iovec *parts, int parts_len)
{
    struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)parts,
                         .msg_iovlen = (size_t)parts_len};
    ssize_t sent;

    do {
        sent = parts_len == 1 ? send(fd, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL)
                              : sendmsg(fd, &msg, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent;
}

enum sp_err sp_stream_write(struct sp_stream *stream, const struct iovec *parts, int parts_len,
                            size_t *len_out)
{
    struct sp_stream *st = check(stream);
    size_t offered = 0;
    ssize_t sent;

    *len_out = 0;
    if (parts_len > PARTS_MAX)
        parts_len = PARTS_MAX;
    for (int i = 0; i < parts_len; i++)
        offered += parts[i].iov_len;
    if (offered == 0)
        return SP_OK; /* all of nothing is written */
    if (!st->can_write)
        return SP_ERR_AGAIN;
    if (st->tls != NULL && !sp_tls_kernel_sends(st))
        return sp_tls_write(st, parts, parts_len, len_out);
    sent = send_parts(st->fd, parts, parts_len);
    if (sent < 0)
        return write_failed(st, errno);
    *len_out = (size_t)sent;
    if (*len_out < offered)
        (void)sp_stream_no_room(st); /* where that fails, the next write says so */
    return SP_OK;
}

enum sp_err sp_stream_shutdown(struct sp_stream *stream)
{
    struct sp_stream *st = check(stream);

    if (st->shut)
        return SP_OK;
    st->shut = true;
    if (st->tls != NULL)
        return sp_tls_shutdown(st);
    return shutdown(st->fd, SHUT_WR) == 0 ? SP_OK : sp_stream_fault(st, errno);
}

/* ---- keep-alive ---- */

bool sp_socket_keep_alive(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_KEEPIDLE, 60},
        {IPPROTO_TCP, TCP_KEEPINTVL, 15},
        {IPPROTO_TCP, TCP_KEEPCNT, 4},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
    };

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int)) != 0)
            return false;
    }
    return true;
}

void sp_stream_keep_alive(struct sp_stream *stream)
{
    (void)sp_socket_keep_alive(check(stream)->fd); /* else the owner's own deadline has to do */
}

/* ---- death ---- */

static void close_fd(struct sp_stream *st, bool reset)
{
    struct linger abort_now = {.l_onoff = 1, .l_linger = 0};

    if (reset)
        (void)setsockopt(st->fd, SOL_SOCKET, SO_LINGER, &abort_now, sizeof(abort_now));
    close(st->fd); /* takes it out of the epoll set */
    st->fd = -1;
}

void sp_stream_close(struct sp_stream **stream, bool reset)
{
    struct sp_stream *st = *stream;

    *stream = NULL;
    if (st == NULL)
        return;
    check(st);
    if (st->tls != NULL)
        sp_tls_close(st, reset);
    close_fd(st, reset);
    st->watch.on_events = NULL; /* an event of this very batch may still come */
    st->ready = NULL;
    sp_soon_cancel(&st->soon);
    sp_loop_let_go(st->loop);
    if (st->client)
        sp_loop_doom_behind(st->loop, &st->doomed);
    else
        sp_loop_doom(st->loop, &st->doomed);
}

/* ---- questions ---- */

bool sp_stream_is_tls(const struct sp_stream *stream)
{
    return stream->tls != NULL;
}

bool sp_stream_at_end(const struct sp_stream *stream)
{
    return stream->ended;
}

bool sp_stream_is_quiet(const struct sp_stream *stream)
{
    return !stream->can_read && !stream->ended && !stream->gone && !stream->reset;
}

bool sp_stream_is_scarce(const struct sp_stream *stream)
{
    return stream->fd >= stream->loop->fd_high; /* the kernel gives the lowest that is free */
}

const struct sp_addr *sp_stream_peer(const struct sp_stream *stream)
{
    return &stream->peer;
}
