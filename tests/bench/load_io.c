/* Moves bytes for the load generator, in clear or by TLS. The certificate is not verified: what is
 * measured is the handshake's cost, and the client still checks the server's signature. */
#include "load.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>

ssize_t io_read(struct conn *conn, char *buffer, size_t size)
{
    ssize_t n;
    size_t got = 0;

    if (conn->ssl != NULL) {
        ERR_clear_error();
        if (SSL_read_ex(conn->ssl, buffer, size, &got) == 1)
            return (ssize_t)got;
        switch (SSL_get_error(conn->ssl, 0)) {
        case SSL_ERROR_WANT_READ:
        case SSL_ERROR_WANT_WRITE: return -1;
        case SSL_ERROR_ZERO_RETURN: return 0;
        default: return -2;
        }
    }
    n = recv(conn->fd, buffer, size, 0);
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EINTR ? -1 : -2;
}

ssize_t io_write(struct conn *conn, const char *bytes, size_t len)
{
    ssize_t n;
    size_t put = 0;

    if (conn->ssl != NULL) {
        ERR_clear_error();
        if (SSL_write_ex(conn->ssl, bytes, len, &put) == 1)
            return (ssize_t)put;
        switch (SSL_get_error(conn->ssl, 0)) {
        case SSL_ERROR_WANT_READ:
        case SSL_ERROR_WANT_WRITE: return -1;
        default: return -2;
        }
    }
    n = send(conn->fd, bytes, len, MSG_NOSIGNAL);
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EINTR ? -1 : -2;
}

/* Each connection shows a copy of its own: OpenSSL marks the session of a connection that ends
 * badly, and would mark everybody's. */
static bool show_session(struct load *load, struct conn *conn)
{
    SSL_SESSION *copy = SSL_SESSION_dup(load->session);
    bool shown = copy != NULL && SSL_set_session(conn->ssl, copy) == 1;

    SSL_SESSION_free(copy);
    return shown;
}

static bool begin_handshake(struct load *load, struct conn *conn)
{
    conn->ssl = SSL_new(load->tls);
    if (conn->ssl == NULL || SSL_set_fd(conn->ssl, conn->fd) != 1)
        return false;
    SSL_set_connect_state(conn->ssl);
    return !load->options.resume || load->session == NULL || show_session(load, conn);
}

int io_handshake(struct load *load, struct conn *conn)
{
    int status;

    if (conn->ssl == NULL && !begin_handshake(load, conn))
        return -1;
    ERR_clear_error();
    status = SSL_do_handshake(conn->ssl);
    if (status == 1) {
        load->resumed += SSL_session_reused(conn->ssl) == 1;
        return 1;
    }
    switch (SSL_get_error(conn->ssl, status)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return 0;
    default: return -1;
    }
}

/* The last session that a server gave is the one that is shown next. Returns 1: the reference is
 * ours now. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct load *load = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

    SSL_SESSION_free(load->session);
    load->session = session;
    return 1;
}

bool io_tls_start(struct load *load)
{
    load->tls = SSL_CTX_new(TLS_client_method());
    if (load->tls == NULL)
        return false;
    SSL_CTX_set_verify(load->tls, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(load->tls,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (!load->options.resume)
        return true;
    SSL_CTX_set_session_cache_mode(load->tls, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_set_app_data(load->tls, load);
    SSL_CTX_sess_set_new_cb(load->tls, on_session);
    return true;
}

void io_tls_end(struct load *load)
{
    SSL_SESSION_free(load->session);
    SSL_CTX_free(load->tls);
}
