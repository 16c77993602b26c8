/* Accepting connections: from the listening socket to a stream of HTTP bytes. PROXY protocol header
 * and TLS handshake are dealt with per connection, under one deadline; a connection that needs
 * neither is handed over in the same call. Loop thread. */
#include "net/listener.h"

#include "net/proxy_protocol.h"
#include "net/stream_priv.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define ACCEPTS_PER_TURN 64
#define PAUSE_MS         100 /* while descriptors are short */
/* Failed greetings that are told of in a while: strangers could fill the log with them. */
#define TOLD_MAX      20
#define TOLD_WHILE_MS 10000

struct sp_listener {
    struct sp_watch watch;
    struct sp_loop *loop;
    int fd;
    const struct sp_listen *listen;
    struct sp_listener_options options;
    struct sp_list greetings;
    unsigned greetings_len;
    struct sp_timer pause;
    bool short_told; /* the log knows that descriptors ran out */
    uint64_t told_since_ms;
    unsigned told;   /* since then */
    unsigned untold; /* beyond TOLD_MAX, since one was told */
    struct sp_doomed doomed;
};

enum greeting_state { GREETING_PROXY_HEADER, GREETING_TLS, GREETING_OVER };

/* A connection that is not HTTP yet. Owned by its listener's list. */
struct greeting {
    struct sp_list link;
    enum greeting_state state;
    struct sp_listener *listener;
    struct sp_stream *stream;
    struct sp_addr client;
    struct sp_addr local;
    struct sp_timer deadline;
    struct sp_doomed doomed;
};

/* ---- handing over ---- */

static void hand_over(struct sp_listener *listener, struct sp_stream *stream,
                      const struct sp_addr *client, const struct sp_addr *local)
{
    const struct sp_accepted accepted = {
        .stream = stream, .listen = listener->listen, .client = *client, .local = *local};

    listener->options.accepted(listener->options.owner, &accepted);
}

static void on_greeting_doomed(struct sp_doomed *doomed)
{
    free(sp_container_of(doomed, struct greeting, doomed));
}

/* Its stream, if it still has one, is cut. */
static void greeting_end(struct greeting *greeting)
{
    greeting->state = GREETING_OVER;
    sp_timer_stop(&greeting->deadline);
    sp_list_remove(&greeting->link);
    greeting->listener->greetings_len--;
    sp_stream_close(&greeting->stream, true);
    sp_loop_doom(greeting->listener->loop, &greeting->doomed);
}

static bool may_tell(struct sp_listener *listener)
{
    uint64_t now = sp_loop_now_ms(listener->loop);

    if (now - listener->told_since_ms >= TOLD_WHILE_MS) {
        listener->told_since_ms = now;
        listener->told = 0;
    }
    if (listener->told >= TOLD_MAX) {
        listener->untold++;
        return false;
    }
    listener->told++;
    return true;
}

static void greeting_failed(struct greeting *greeting, const char *event, const char *why)
{
    struct sp_listener *listener = greeting->listener;
    char client[SP_ADDR_TEXT_MAX], untold[32] = "";

    if (may_tell(listener)) {
        if (listener->untold > 0)
            snprintf(untold, sizeof(untold), " untold=%u", listener->untold);
        listener->untold = 0;
        sp_log_info(listener->options.log, "event=%s listener=%s client=%s detail=\"%s\"%s", event,
                    listener->listen->title, sp_addr_text(&greeting->client, client), why, untold);
    }
    greeting_end(greeting);
}

static void greeting_succeeded(struct greeting *greeting)
{
    struct sp_listener *listener = greeting->listener;
    struct sp_stream *stream = greeting->stream;

    if (!listener->options.admit(listener->options.owner)) {
        greeting_end(greeting); /* others were quicker, and took the last places */
        return;
    }
    greeting->stream = NULL;
    sp_stream_own(stream, NULL, NULL);
    greeting_end(greeting);
    hand_over(listener, stream, &greeting->client, &greeting->local);
}

static void on_deadline(struct sp_timer *timer)
{
    struct greeting *greeting = sp_container_of(timer, struct greeting, deadline);
    bool tls = greeting->state == GREETING_TLS;

    greeting_failed(greeting, tls ? "tls_handshake_failed" : "proxy_header_refused",
                    tls ? "no end within the deadline" : "no header within the deadline");
}

/* ---- TLS ---- */

static void on_tls_done(void *owner, enum sp_err err, const char *why)
{
    struct greeting *greeting = owner;

    if (err == SP_OK)
        greeting_succeeded(greeting);
    else
        greeting_failed(greeting, "tls_handshake_failed", why);
}

static void greet_tls(struct greeting *greeting)
{
    struct sp_listener *listener = greeting->listener;

    greeting->state = GREETING_TLS;
    if (listener->listen->tls == NULL)
        greeting_succeeded(greeting);
    else if (sp_stream_start_tls(greeting->stream, listener->listen->tls, on_tls_done, greeting) !=
             SP_OK)
        greeting_failed(greeting, "tls_handshake_failed", "out of memory");
}

/* ---- PROXY protocol ---- */

/* Takes the header out of the socket, and not a byte more: what follows is TLS or HTTP. */
static bool take_header(struct greeting *greeting, size_t len)
{
    char bytes[SP_PROXY_HEADER_MAX];

    return recv(greeting->stream->fd, bytes, len, 0) == (ssize_t)len;
}

static void proxy_header_read(struct greeting *greeting, const struct sp_proxy_header *header)
{
    if (!take_header(greeting, header->len)) {
        greeting_failed(greeting, "proxy_header_refused", "the socket failed");
        return;
    }
    if (header->addressed) {
        greeting->client = header->source;
        greeting->local = header->destination;
    }
    greet_tls(greeting);
}

/* Looks without taking. The bytes lie in the kernel until the header is whole; a socket's buffer is
 * far larger than the longest header, and each further byte makes a new edge. */
static void on_proxy_bytes(void *owner, unsigned events)
{
    struct greeting *greeting = owner;
    struct sp_stream *stream = greeting->stream;
    struct sp_proxy_header header;
    char bytes[SP_PROXY_HEADER_MAX];
    ssize_t got;
    enum sp_err err;

    (void)events;
    do {
        got = recv(stream->fd, bytes, sizeof(bytes), MSG_PEEK);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        stream->can_read = false;
        return;
    }
    if (got <= 0) {
        greeting_failed(greeting, "proxy_header_refused", "closed before a whole header");
        return;
    }
    err = sp_proxy_header_parse((struct sp_span){bytes, (size_t)got}, &header);
    if (err == SP_OK)
        proxy_header_read(greeting, &header);
    else if (err != SP_ERR_AGAIN)
        greeting_failed(greeting, "proxy_header_refused",
                        err == SP_ERR_TOO_LARGE ? "the header is too long"
                                                : "no well-formed PROXY protocol header");
    else if (stream->no_short)
        greeting_failed(greeting, "proxy_header_refused", "closed before a whole header");
    else
        stream->can_read = false; /* more of it comes with an edge */
}

static void greet_proxy(struct greeting *greeting)
{
    sp_stream_own(greeting->stream, on_proxy_bytes, greeting);
    sp_stream_want(greeting->stream, SP_STREAM_READ);
}

/* ---- accepting ---- */

static bool must_send_header(const struct sp_listen *listen, const struct sp_addr *peer)
{
    for (size_t i = 0; i < listen->proxy_from_len; i++) {
        if (sp_cidr_has(&listen->proxy_from[i], peer))
            return true;
    }
    return false;
}

/* Whoever is silent would else keep all others out until the deadline. Those who mean it are
 * through long before they are the oldest. */
static void give_up_oldest(struct sp_listener *listener)
{
    struct greeting *oldest = sp_container_of(listener->greetings.next, struct greeting, link);
    bool tls = oldest->state == GREETING_TLS;

    greeting_failed(oldest, tls ? "tls_handshake_failed" : "proxy_header_refused",
                    "slower than those that came later, and there are too many");
}

static void greet(struct sp_listener *listener, struct sp_stream *stream,
                  const struct sp_addr *client, const struct sp_addr *local, bool proxied)
{
    struct greeting *greeting;

    if (listener->greetings_len >= listener->options.greetings_max)
        give_up_oldest(listener);
    greeting = calloc(1, sizeof(*greeting));
    if (greeting == NULL) {
        sp_stream_close(&stream, true);
        return;
    }
    greeting->listener = listener;
    greeting->stream = stream;
    greeting->client = *client;
    greeting->local = *local;
    greeting->doomed.release = on_greeting_doomed;
    sp_timer_init(&greeting->deadline, on_deadline);
    sp_timer_start(listener->loop, &greeting->deadline, listener->options.handshake_ms);
    sp_list_push(&listener->greetings, &greeting->link);
    listener->greetings_len++;
    if (proxied)
        greet_proxy(greeting);
    else
        greet_tls(greeting);
}

/* On a wildcard listener only the socket knows what the client connected to. */
static struct sp_addr local_of(const struct sp_listener *listener, int fd)
{
    struct sp_addr local = listener->listen->addr;
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);

    if (!sp_addr_is_unspecified(&local) || getsockname(fd, (struct sockaddr *)&ss, &len) != 0 ||
        sp_addr_from_sockaddr(&local, (struct sockaddr *)&ss) != SP_OK)
        return listener->listen->addr;
    return local;
}

static void abort_fd(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
}

static void take_connection(struct sp_listener *listener, int fd, const struct sockaddr *sa)
{
    const struct sp_listen *listen = listener->listen;
    struct sp_addr client;
    struct sp_addr local;
    struct sp_stream *stream;
    bool proxied;

    if (sp_addr_from_sockaddr(&client, sa) != SP_OK ||
        !listener->options.admit(listener->options.owner)) {
        abort_fd(fd);
        return;
    }
    local = local_of(listener, fd);
    proxied = must_send_header(listen, &client);
    stream = sp_stream_adopt(listener->loop, fd, &client, false);
    if (stream == NULL)
        return;
    if (proxied || listen->tls != NULL)
        greet(listener, stream, &client, &local, proxied);
    else
        hand_over(listener, stream, &client, &local);
}

/* Level-triggered, so the waiting connection would call again and again: look away for a moment. */
static void pause_accepting(struct sp_listener *listener, int error)
{
    if (!listener->short_told)
        sp_log_warning(
            listener->options.log,
            "event=accept_paused listener=%s detail=\"%s\" help=\"raise the limit of open "
            "files, or lower max_connections\"",
            listener->listen->title, strerror(error));
    listener->short_told = true;
    if (sp_loop_rewatch(listener->loop, listener->fd, 0, &listener->watch) != SP_OK)
        sp_loop_unwatch(listener->loop, listener->fd);
    sp_timer_start(listener->loop, &listener->pause, PAUSE_MS);
}

/* The kernel gives the lowest free descriptor, so one that is high, or none, means that few are
 * left. */
static bool is_short(const struct sp_listener *listener)
{
    int lowest = fcntl(listener->fd, F_DUPFD_CLOEXEC, 0);

    if (lowest >= 0)
        close(lowest);
    return lowest < 0 || lowest >= listener->loop->fd_high;
}

static void start_watching(struct sp_listener *listener)
{
    if (sp_loop_rewatch(listener->loop, listener->fd, EPOLLIN, &listener->watch) != SP_OK &&
        sp_loop_watch(listener->loop, listener->fd, EPOLLIN, &listener->watch) != SP_OK)
        sp_timer_start(listener->loop, &listener->pause, PAUSE_MS);
}

static void on_pause_over(struct sp_timer *timer)
{
    struct sp_listener *listener = sp_container_of(timer, struct sp_listener, pause);

    if (is_short(listener))
        sp_timer_start(listener->loop, &listener->pause, PAUSE_MS);
    else
        start_watching(listener);
}

/* Did accept4 fail for want of something of ours, and not for a client's own fault? */
static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void on_connections(struct sp_watch *watch, uint32_t events)
{
    struct sp_listener *listener = sp_container_of(watch, struct sp_listener, watch);

    (void)events;
    for (unsigned i = 0; i < ACCEPTS_PER_TURN && listener->fd >= 0; i++) {
        struct sockaddr_storage ss;
        socklen_t len = sizeof(ss);
        int fd = accept4(listener->fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0 && fd < listener->loop->fd_high) {
            listener->short_told = false;
            take_connection(listener, fd, (struct sockaddr *)&ss);
        } else if (fd >= 0) {
            take_connection(listener, fd, (struct sockaddr *)&ss);
            if (listener->fd >= 0)
                pause_accepting(listener, EMFILE);
            return;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (is_shortage(errno)) {
            pause_accepting(listener, errno);
            return;
        } /* else: this one is gone already (accept(2), "Error handling") */
    }
}

/* ---- from beginning to end ---- */

static void on_listener_doomed(struct sp_doomed *doomed)
{
    free(sp_container_of(doomed, struct sp_listener, doomed));
}

struct sp_listener *sp_listener_open(struct sp_loop *loop, int fd, const struct sp_listen *listen,
                                     const struct sp_listener_options *options)
{
    struct sp_listener *listener = calloc(1, sizeof(*listener));

    if (listener == NULL) {
        close(fd);
        return NULL;
    }
    listener->loop = loop;
    listener->fd = fd;
    listener->listen = listen;
    listener->options = *options;
    listener->watch.on_events = on_connections;
    listener->doomed.release = on_listener_doomed;
    sp_list_init(&listener->greetings);
    sp_timer_init(&listener->pause, on_pause_over);
    if (sp_loop_watch(loop, fd, 0, &listener->watch) != SP_OK) {
        close(fd);
        free(listener);
        return NULL;
    }
    sp_loop_hold(loop);
    return listener;
}

void sp_listener_start(struct sp_listener *listener)
{
    start_watching(listener);
}

static void close_socket(struct sp_listener *listener)
{
    sp_timer_stop(&listener->pause);
    if (listener->fd < 0)
        return;
    sp_loop_unwatch(listener->loop, listener->fd);
    close(listener->fd);
    listener->fd = -1;
}

/* The kernel has told those in the queue that they are connected: closing would reset them. */
void sp_listener_stop(struct sp_listener *listener)
{
    for (unsigned i = 0; i < SP_LISTEN_BACKLOG && listener->fd >= 0; i++) {
        struct sockaddr_storage ss;
        socklen_t len = sizeof(ss);
        int fd = accept4(listener->fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0)
            take_connection(listener, fd, (struct sockaddr *)&ss);
        else if (errno == EAGAIN || errno == EWOULDBLOCK || is_shortage(errno))
            break;
    }
    close_socket(listener);
}

bool sp_listener_is_busy(const struct sp_listener *listener)
{
    return listener->greetings_len > 0;
}

void sp_listener_close(struct sp_listener **listener_ptr)
{
    struct sp_listener *listener = *listener_ptr;

    *listener_ptr = NULL;
    if (listener == NULL)
        return;
    close_socket(listener);
    listener->watch.on_events = NULL;
    while (!sp_list_empty(&listener->greetings))
        greeting_end(sp_container_of(listener->greetings.next, struct greeting, link));
    sp_loop_let_go(listener->loop);
    sp_loop_doom(listener->loop, &listener->doomed);
}

void sp_listener_update(struct sp_listener *listener, const struct sp_listen *listen,
                        uint64_t handshake_ms)
{
    listener->listen = listen;
    listener->options.handshake_ms = handshake_ms;
}
