/* TLS within a stream: OpenSSL on the stream's own descriptor. The handshake is driven from here by
 * the socket's events; afterwards reads and writes go through the library, and what it wants of the
 * socket (it may want to write in order to read, and the other way round) is mapped to the stream's
 * can_read and can_write. Loop thread. */
#include "net/stream_priv.h"
#include "net/tls_priv.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

/* The largest record; small parts are put together up to it, so that one record carries them. */
#define RECORD_MAX 16384
/* Records in one read that brings no data. What the library answers by itself (key updates of TLS
 * 1.3, hellos for a renegotiation that there is not) it takes in one call for as long as more of it
 * comes: a client that sends nothing else would have the loop to itself. Honest ones send one in a
 * million records. */
#define RECORDS_A_READ 32u

/* Owned by its stream; freed when that is closed. */
struct sp_tls_link {
    SSL *ssl;
    struct sp_tls_server *server;   /* our reference */
    const struct sp_tls_pair *pair; /* what the client knows; NULL until the end */
    sp_tls_done_cb done;            /* NULL once it has been called */
    void *owner;
    unsigned records;      /* taken in the read under way */
    bool reading;          /* it is under way, and they are counted */
    bool read_needs_write; /* reading goes on when the socket takes bytes */
    bool write_needs_read; /* writing goes on when the socket has bytes */
    bool notify_due;       /* close_notify and FIN wait for room in the socket */
    bool kernel_sends;     /* the kernel has the keys of our direction, for good */
    bool kernel_receives;  /* and of the client's */
    bool stale;            /* the client has been promised keys that the kernel does not take */
    bool broken;           /* the library is done with this connection: no more calls, no notify */
};

/* ---- what the library says ---- */

static enum sp_err read_verdict(struct sp_stream *st, int said, int error)
{
    struct sp_tls_link *tls = st->tls;
    enum sp_err err;

    switch (said) {
    case SSL_ERROR_WANT_READ: st->can_read = false; return SP_ERR_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        st->can_read = false;
        tls->read_needs_write = true;
        return sp_stream_no_room(st);
    case SSL_ERROR_ZERO_RETURN:
        if (tls->records > RECORDS_A_READ)
            break; /* no word of the client's */
        return sp_stream_ended(st);
    default: break;
    }
    /* A FIN without close_notify included: what came before may have been cut off. */
    err = said == SSL_ERROR_SYSCALL && error != 0 ? sp_stream_fault(st, error) : SP_ERR_CLOSED;
    tls->broken = true;
    st->reset = true;
    (void)sp_stream_ended(st);
    ERR_clear_error();
    return err;
}

static enum sp_err write_verdict(struct sp_stream *st, int said, int error)
{
    struct sp_tls_link *tls = st->tls;

    switch (said) {
    case SSL_ERROR_WANT_WRITE: return sp_stream_no_room(st);
    case SSL_ERROR_WANT_READ:
        st->can_write = false;
        st->can_read = false;
        tls->write_needs_read = true;
        return SP_ERR_AGAIN;
    default: break;
    }
    tls->broken = true;
    st->reset = true;
    ERR_clear_error();
    return said == SSL_ERROR_SYSCALL && error != 0 ? sp_stream_fault(st, error) : SP_ERR_CLOSED;
}

/* ---- bytes ---- */

/* The library tells of each record's head, and asks before the next one whether the peer has ended:
 * so it is told that once there were too many. A client of TLS 1.3 may ask for new keys (RFC 8446
 * 4.6.3), and the library promises them before it says a word to us: the kernel does not take them.
 */
static void on_message(int written, int version, int type, const void *bytes, size_t len, SSL *ssl,
                       void *arg)
{
    struct sp_tls_link *tls = arg;
    const unsigned char *message = bytes;

    if (written != 0)
        return;
    if (type == SSL3_RT_HEADER && tls->reading && ++tls->records > RECORDS_A_READ)
        SSL_set_shutdown(ssl, SSL_get_shutdown(ssl) | SSL_RECEIVED_SHUTDOWN);
    if (type == SSL3_RT_HANDSHAKE && tls->kernel_sends && version == TLS1_3_VERSION && len > 0 &&
        message[0] == SSL3_MT_KEY_UPDATE && message[len - 1] == SSL_KEY_UPDATE_REQUESTED)
        tls->stale = true;
}

static int read_counted(struct sp_tls_link *tls, void *into, size_t room, size_t *len_out)
{
    int rc;

    tls->records = 0;
    tls->reading = true;
    errno = 0;
    rc = SSL_read_ex(tls->ssl, into, room, len_out);
    tls->reading = false;
    return rc;
}

/* New keys are only ever taken by a kernel far younger than ours, and by none through this library,
 * which answers a client that asks for them all the same. What we sent from then on could not be
 * read there, so nothing is sent any more, and the client sees a connection cut off. */
static void give_up_sending(struct sp_stream *st)
{
    st->tls->broken = true;
    st->reset = true;
}

enum sp_err sp_tls_read_record(struct sp_stream *st, void *into, size_t room, size_t *len_out)
{
    struct sp_tls_link *tls = st->tls;
    int error;
    int rc;

    *len_out = 0;
    if (tls->broken)
        return SP_ERR_CLOSED;
    ERR_clear_error();
    rc = read_counted(tls, into, room, len_out);
    error = errno;
    if (tls->stale)
        give_up_sending(st);
    if (rc == 1)
        return SP_OK;
    *len_out = 0;
    if (tls->stale)
        return sp_stream_ended(st);
    return read_verdict(st, SSL_get_error(tls->ssl, rc), error);
}

enum sp_err sp_tls_read(struct sp_stream *st, void *into, size_t room, size_t *len_out)
{
    return sp_tls_read_record(st, into, room, len_out);
}

/* The first bytes of the parts, in one piece: as they lie where the first part suffices, else
 * copied. The same parts give the same bytes, as a repeated SSL_write demands. */
static struct sp_span next_piece(const struct iovec *parts, int parts_len, size_t skip, char *copy)
{
    size_t len = 0;
    int i = 0;

    while (i < parts_len && skip >= parts[i].iov_len)
        skip -= parts[i++].iov_len;
    if (i == parts_len)
        return (struct sp_span){NULL, 0};
    if (i == parts_len - 1 || parts[i].iov_len - skip >= RECORD_MAX)
        return (struct sp_span){(const char *)parts[i].iov_base + skip, parts[i].iov_len - skip};
    for (; i < parts_len && len < RECORD_MAX; i++, skip = 0) {
        size_t take = parts[i].iov_len - skip;

        if (take > RECORD_MAX - len)
            take = RECORD_MAX - len;
        memcpy(copy + len, (const char *)parts[i].iov_base + skip, take);
        len += take;
    }
    return (struct sp_span){copy, len};
}

enum sp_err sp_tls_write(struct sp_stream *st, const struct iovec *parts, int parts_len,
                         size_t *len_out)
{
    struct sp_tls_link *tls = st->tls;
    char copy[RECORD_MAX];
    struct sp_span piece;

    if (tls->broken || tls->notify_due)
        return SP_ERR_CLOSED;
    ERR_clear_error();
    while ((piece = next_piece(parts, parts_len, *len_out, copy)).len > 0) {
        size_t sent = 0;
        enum sp_err err;

        errno = 0;
        if (SSL_write_ex(tls->ssl, piece.base, piece.len, &sent) == 1) {
            *len_out += sent;
            continue;
        }
        err = write_verdict(st, SSL_get_error(tls->ssl, 0), errno);
        return *len_out > 0 ? SP_OK : err; /* what went, went; the fault shows itself again */
    }
    return SP_OK;
}

/* close_notify, then FIN. */
static enum sp_err finish(struct sp_stream *st)
{
    struct sp_tls_link *tls = st->tls;

    if (!tls->broken) {
        int rc;

        ERR_clear_error();
        rc = SSL_shutdown(tls->ssl);
        if (rc < 0 && SSL_get_error(tls->ssl, rc) == SSL_ERROR_WANT_WRITE) {
            enum sp_err err = sp_stream_no_room(st);

            tls->notify_due = err == SP_ERR_AGAIN;
            return tls->notify_due ? SP_OK : err;
        }
        ERR_clear_error();
    }
    tls->notify_due = false;
    return shutdown(st->fd, SHUT_WR) == 0 ? SP_OK : sp_stream_fault(st, errno);
}

enum sp_err sp_tls_shutdown(struct sp_stream *st)
{
    return finish(st);
}

/* ---- TLS in the kernel ---- */

static void note_kernel(struct sp_tls_link *tls)
{
    tls->kernel_sends = BIO_get_ktls_send(SSL_get_wbio(tls->ssl)) != 0;
    tls->kernel_receives = BIO_get_ktls_recv(SSL_get_rbio(tls->ssl)) != 0;
}

/* ---- the handshake ---- */

static void handshake_done(struct sp_stream *st, enum sp_err err, const char *why)
{
    struct sp_tls_link *tls = st->tls;
    sp_tls_done_cb done = tls->done;

    tls->done = NULL;
    if (err != SP_OK) {
        tls->broken = true;
        done(tls->owner, err, why);
        return;
    }
    tls->pair = sp_tls_pair_of(tls->server, tls->ssl);
    note_kernel(tls);
    st->handshake = false;
    st->can_read = true; /* the first request may have come along with the last flight */
    st->can_write = true;
    done(tls->owner, SP_OK, NULL);
}

/* A client that has gone is no fault of TLS: it looked, or its user pressed stop. */
static void handshake_failed(struct sp_stream *st, int said, int error)
{
    bool left = said == SSL_ERROR_SYSCALL || said == SSL_ERROR_ZERO_RETURN ||
                ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;

    if (!left) {
        handshake_done(st, SP_ERR_INVALID, sp_tls_error_words());
        return;
    }
    ERR_clear_error();
    handshake_done(st, SP_ERR_CLOSED, error != 0 ? strerror(error) : "closed by the client");
}

static void handshake_run(struct sp_stream *st)
{
    struct sp_tls_link *tls = st->tls;
    int rc;
    int said;
    int error;

    if (tls->done == NULL)
        return; /* it has failed; the owner closes us or waits for its deadline */
    ERR_clear_error();
    errno = 0;
    rc = SSL_do_handshake(tls->ssl);
    if (rc == 1) {
        handshake_done(st, SP_OK, NULL);
        return;
    }
    error = errno;
    said = SSL_get_error(tls->ssl, rc);
    if (said == SSL_ERROR_WANT_READ ||
        (said == SSL_ERROR_WANT_WRITE && sp_stream_no_room(st) == SP_ERR_AGAIN))
        return; /* an edge will come */
    handshake_failed(st, said, error);
}

void sp_tls_on_events(struct sp_stream *st, uint32_t events)
{
    struct sp_tls_link *tls = st->tls;
    bool in = (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    bool out = (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;

    if (st->handshake) {
        handshake_run(st);
        return;
    }
    if (out && tls->read_needs_write) {
        tls->read_needs_write = false;
        if (!st->ended)
            st->can_read = true;
    }
    if (in && tls->write_needs_read) {
        tls->write_needs_read = false;
        st->can_write = true;
    }
    if (out && tls->notify_due)
        (void)finish(st); /* a fault shows itself at the next read */
}

/* ---- from beginning to end ---- */

static void link_free(struct sp_tls_link *tls)
{
    SSL_free(tls->ssl);
    sp_tls_server_unref(&tls->server);
    free(tls);
}

enum sp_err sp_stream_start_tls(struct sp_stream *stream, struct sp_tls_server *server,
                                sp_tls_done_cb done, void *owner)
{
    struct sp_tls_link *tls = calloc(1, sizeof(*tls));

    assert(stream->tls == NULL);
    if (tls == NULL)
        return SP_ERR_NOMEM;
    tls->server = sp_tls_server_ref(server);
    tls->done = done;
    tls->owner = owner;
    tls->ssl = SSL_new(server->ctx);
    if (tls->ssl == NULL || SSL_set_fd(tls->ssl, stream->fd) != 1) {
        ERR_clear_error();
        link_free(tls);
        return SP_ERR_NOMEM;
    }
    SSL_set_msg_callback(tls->ssl, on_message);
    SSL_set_msg_callback_arg(tls->ssl, tls);
    SSL_set_accept_state(tls->ssl);
    stream->tls = tls;
    stream->handshake = true;
    stream->want = 0;
    sp_loop_soon(stream->loop, &stream->soon); /* the client's hello may be there already */
    return SP_OK;
}

struct sp_tls_server *sp_stream_tls_server(const struct sp_stream *stream)
{
    return stream->tls != NULL ? stream->tls->server : NULL;
}

struct sp_span sp_stream_tls_end_point(const struct sp_stream *stream)
{
    const struct sp_tls_pair *pair = stream->tls != NULL ? stream->tls->pair : NULL;

    if (pair == NULL || pair->end_point_len == 0)
        return (struct sp_span){NULL, 0};
    return (struct sp_span){pair->end_point, pair->end_point_len};
}

void sp_tls_close(struct sp_stream *st, bool reset)
{
    struct sp_tls_link *tls = st->tls;

    /* One try: a close that waits is not a close. */
    if (!reset && !st->handshake && !st->shut && !tls->broken) {
        ERR_clear_error();
        (void)SSL_shutdown(tls->ssl);
        ERR_clear_error();
    }
    link_free(tls);
    st->tls = NULL;
}

bool sp_tls_kernel_receives(const struct sp_stream *st)
{
    return st->tls->kernel_receives && !st->tls->broken && SSL_has_pending(st->tls->ssl) == 0;
}

bool sp_tls_kernel_sends(const struct sp_stream *st)
{
    return st->tls->kernel_sends && !st->tls->broken && !st->tls->notify_due;
}
