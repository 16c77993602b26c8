/* One connection of the load generator: connects, shakes hands, sends a request, reads the answer,
 * perhaps asks again through the tunnel it got, and begins anew as the options say. Understands
 * answers with Content-Length or up to the end of the connection; a chunked one counts as failed,
 * since no origin of the benches sends it. */
#include "load.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

void conn_close(struct load *load, struct conn *conn)
{
    if (conn->state == CONN_CLOSED)
        return;
    load->opening -= conn->state == CONN_CONNECTING || conn->state == CONN_HANDSHAKE;
    load->waiting -= conn->state == CONN_WAITING;
    load->active--;
    if (conn->ssl != NULL && SSL_is_init_finished(conn->ssl))
        (void)SSL_shutdown(conn->ssl); /* a session that ends without it is not resumed */
    SSL_free(conn->ssl);
    conn->ssl = NULL;
    (void)close(conn->fd);
    conn->state = CONN_CLOSED;
}

static void fail(struct load *load, struct conn *conn, const char *why)
{
    conn_close(load, conn);
    load_exchange_failed(load, why);
    if (load->options.hold || load->options.barrier)
        load->held += load->options.hold; /* these begin one exchange a connection, and no second */
    else if (load_may_begin(load))
        conn_open(load, conn);
}

void conn_open(struct load *load, struct conn *conn)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = conn};
    int on = 1;

    conn->in_tunnel = conn->unread = false;
    conn->begun_ns = load_now_ns();
    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        load_exchange_failed(load, "socket");
        load->stopping = true; /* out of descriptors: nothing that follows would count */
        return;
    }
    load->active++;
    load->opening++;
    conn->state = CONN_CONNECTING;
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if ((connect(conn->fd, (struct sockaddr *)&load->options.to, sizeof(load->options.to)) != 0 &&
         errno != EINPROGRESS) ||
        epoll_ctl(load->epoll, EPOLL_CTL_ADD, conn->fd, &event) != 0) {
        conn_close(load, conn);
        load_exchange_failed(load, "connect");
        load->stopping = true;
    }
}

/* ---- sending ---- */

static bool write_request(struct load *load, struct conn *conn)
{
    const struct load_options *o = &load->options;
    const char *credential;
    int n;

    if (conn->in_tunnel) {
        n = snprintf(conn->request, LOAD_REQUEST_MAX, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n",
                     o->inner, o->host);
    } else {
        credential = load_next_credential(load);
        if (credential == NULL)
            return false;
        n = snprintf(conn->request, LOAD_REQUEST_MAX, "%s %s HTTP/1.1\r\nHost: %s\r\n%s%s%s\r\n",
                     o->method, o->target, o->host,
                     credential[0] != '\0' ? "Proxy-Authorization: " : "", credential,
                     credential[0] != '\0' ? "\r\n" : "");
    }
    if (n < 0 || n >= LOAD_REQUEST_MAX)
        return false;
    conn->request_len = (size_t)n;
    conn->request_sent = 0;
    return true;
}

static void send_rest(struct load *load, struct conn *conn)
{
    ssize_t n;

    while (conn->request_sent < conn->request_len) {
        n = io_write(conn, conn->request + conn->request_sent,
                     conn->request_len - conn->request_sent);
        if (n == -1)
            return;
        if (n < 0) {
            fail(load, conn, "write");
            return;
        }
        conn->request_sent += (size_t)n;
    }
    conn->head_len = 0;
    conn->state = CONN_HEAD;
}

static void begin_request(struct load *load, struct conn *conn)
{
    if (!write_request(load, conn)) {
        conn_close(load, conn);
        return;
    }
    if (!conn->in_tunnel)
        load->begun++;
    conn->state = CONN_SENDING;
    send_rest(load, conn);
}

void conn_release(struct load *load, struct conn *conn)
{
    load->waiting--;
    conn->begun_ns = load_now_ns();
    begin_request(load, conn);
}

static void connected(struct load *load, struct conn *conn)
{
    int status = load->options.tls ? io_handshake(load, conn) : 1;

    if (status == 0) {
        conn->state = CONN_HANDSHAKE;
        return;
    }
    if (status < 0) {
        fail(load, conn, "TLS handshake");
        return;
    }
    load->opening--;
    if (load->options.barrier && !load->released) {
        conn->state = CONN_WAITING;
        load->waiting++;
        return;
    }
    begin_request(load, conn);
}

/* ---- reading ---- */

static void next_exchange(struct load *load, struct conn *conn)
{
    if (load->options.hold) {
        conn->state = CONN_HELD;
        load->held++;
        return;
    }
    if (!load->options.keep || !load_may_begin(load)) {
        conn_close(load, conn);
        if (!load->options.barrier && load_may_begin(load))
            conn_open(load, conn);
        return;
    }
    conn->begun_ns = load_now_ns();
    if (conn->in_tunnel)
        load->begun++;
    begin_request(load, conn);
}

static void answer_done(struct load *load, struct conn *conn)
{
    if (load->options.inner != NULL && !conn->in_tunnel) {
        conn->in_tunnel = true;
        begin_request(load, conn);
        return;
    }
    load_exchange_done(load, conn->begun_ns);
    next_exchange(load, conn);
}

/* Reads the status and the body's length; false when the answer is not a good one. */
static bool read_head(struct load *load, struct conn *conn)
{
    char *length;
    long status;

    if (strncmp(conn->head, "HTTP/1.", 7) != 0)
        return false;
    status = strtol(conn->head + 9, NULL, 10);
    if (status < 0 || status >= LOAD_STATUS_MAX)
        return false;
    load->statuses[status]++;
    length = strcasestr(conn->head, "\r\nContent-Length:");
    conn->until_eof = length == NULL;
    conn->body_left = length == NULL ? 0 : strtoull(length + 17, NULL, 10);
    if (strcasecmp(load->options.method, "CONNECT") == 0 && !conn->in_tunnel) {
        conn->until_eof = false;
        conn->body_left = 0;
    }
    return status >= 200 && status < 300 &&
           strcasestr(conn->head, "\r\nTransfer-Encoding:") == NULL;
}

/* Takes bytes into the head until it is whole; returns how many of them belonged to it. */
static size_t take_head(struct load *load, struct conn *conn, const char *bytes, size_t len)
{
    size_t room = LOAD_HEAD_MAX - 1 - conn->head_len, before = conn->head_len, whole;
    char *end;

    if (len < room)
        room = len;
    memcpy(conn->head + before, bytes, room);
    conn->head_len += room;
    conn->head[conn->head_len] = '\0';
    end = strstr(conn->head, "\r\n\r\n");
    if (end == NULL) {
        if (conn->head_len == LOAD_HEAD_MAX - 1)
            fail(load, conn, "a head without end");
        return len;
    }
    whole = (size_t)(end - conn->head) + 4;
    end[2] = '\0';
    conn->state = CONN_BODY;
    if (!read_head(load, conn))
        fail(load, conn, "an answer that is not 2xx");
    else if (!conn->until_eof && conn->body_left == 0)
        answer_done(load, conn);
    return whole - before;
}

static size_t take_body(struct load *load, struct conn *conn, size_t len)
{
    size_t part = len;

    if (!conn->until_eof && conn->body_left < part)
        part = (size_t)conn->body_left;
    load->bytes += part;
    if (conn->until_eof)
        return part;
    conn->body_left -= part;
    if (conn->body_left == 0)
        answer_done(load, conn);
    return part;
}

static void take(struct load *load, struct conn *conn, const char *bytes, size_t len)
{
    size_t used = 0;

    while (used < len) {
        if (conn->state == CONN_HEAD)
            used += take_head(load, conn, bytes + used, len - used);
        else if (conn->state == CONN_BODY)
            used += take_body(load, conn, len - used);
        else
            return; /* failed, or begun anew: what is left belongs to nobody */
    }
}

static void at_end(struct load *load, struct conn *conn)
{
    if (conn->state == CONN_BODY && conn->until_eof) {
        load_exchange_done(load, conn->begun_ns);
        conn_close(load, conn);
        if (load_may_begin(load))
            conn_open(load, conn);
    } else if (conn->state == CONN_HELD) {
        conn_close(load, conn);
        load_exchange_failed(load, "a held connection was closed");
    } else {
        fail(load, conn, "the connection ended early");
    }
}

/* A read that does not fill the buffer has emptied a socket in clear (epoll(7)); TLS is read until
 * it says so. */
static void read_all(struct load *load, struct conn *conn, bool ending)
{
    const int fd = conn->fd;
    ssize_t n;

    do {
        n = io_read(conn, load->buffer, LOAD_READ_SIZE);
        if (n == -1)
            return;
        if (n <= 0) {
            at_end(load, conn);
            return;
        }
        take(load, conn, load->buffer, (size_t)n);
    } while (conn->state != CONN_CLOSED && conn->state != CONN_CONNECTING && conn->fd == fd &&
             (ending || conn->ssl != NULL || n == (ssize_t)LOAD_READ_SIZE));
}

void conn_on_event(struct load *load, struct conn *conn, uint32_t events)
{
    if ((conn->state == CONN_CONNECTING || conn->state == CONN_HANDSHAKE) &&
        (events & (EPOLLOUT | EPOLLIN)) != 0) {
        if ((events & EPOLLERR) != 0)
            fail(load, conn, "connect");
        else
            connected(load, conn);
        return;
    }
    if (conn->state == CONN_SENDING) {
        conn->unread |= (events & EPOLLIN) != 0;
        send_rest(load, conn);
    }
    if (conn->state == CONN_CLOSED || conn->state == CONN_CONNECTING ||
        conn->state == CONN_SENDING || conn->state == CONN_WAITING)
        return;
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0 || conn->unread) {
        conn->unread = false;
        read_all(load, conn, (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
    }
}
