/* The layer between libldap and the socket (a Sockbuf_IO of liblber), with TLS by OpenSSL. Used by
 * ldap_dial.c on a pool thread and by ldap_conn.c on a loop; it never waits except in the functions
 * that say so. */
#include "backends/ldap/ldap_wire.h"

#include "backends/ldap/ldap_uri.h"
#include "util/buf.h"
#include "util/secret.h"
#include "util/span.h"

#include <assert.h>
#include <errno.h>
#include <lber.h>
#include <openldap.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#define READ_AHEAD 8192
#define UNSENT_MAX (1024u * 1024u) /* a server that takes nothing while so much waits is gone */
#define HELD_MAX   16384u          /* more than this is not held, it goes out at once */
/* Of one message, and without the end of any answer. libldap takes eight times as much for small
 * entries as they have on the wire; a page of groups has 500, of their names alone. */
#define INCOMING_MAX   (1024u * 1024u)
#define UNANSWERED_MAX (2u * 1024u * 1024u)
#define MIXED_MAX      16u /* answers that may come mixed; slapd works on half its threads' number */
#define STOP_LOOK_MS   100 /* how soon a waiting pool thread sees *stop */

struct sp_ldap_wire {
    int fd;
    SSL *tls;
    LDAP *ld;
    bool layered;
    bool gone; /* end of stream or an error was seen: nothing more will come */
    bool held; /* what is written waits for a flush */
    bool full; /* the socket did not take all of `unsent` */
    bool dry;  /* the last read took all that the socket had */
    struct sp_buf unsent;
    size_t unanswered; /* bytes read since the last whole answer */
    unsigned expected; /* answers that they may belong to */
    size_t in_start;
    size_t in_len;
    char in[READ_AHEAD];
};

/* ---- the socket, with or without TLS ---- */

/* What SSL_read or SSL_write said, in the words of read(2): -1 with EWOULDBLOCK, or gone. */
static ssize_t tls_outcome(struct sp_ldap_wire *wire, int got)
{
    int reason;

    if (got > 0)
        return got;
    reason = SSL_get_error(wire->tls, got);
    ERR_clear_error(); /* the queue is the thread's, and other parts of it read theirs */
    if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE) {
        errno = EWOULDBLOCK;
        return -1;
    }
    wire->gone = true;
    errno = ECONNRESET;
    return reason == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

static ssize_t raw_read(struct sp_ldap_wire *wire, char *into, size_t len)
{
    ssize_t got;

    if (wire->tls != NULL) {
        ERR_clear_error();
        return tls_outcome(wire, SSL_read(wire->tls, into, (int)len));
    }
    do {
        got = recv(wire->fd, into, len, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    wire->dry = got > 0 && (size_t)got < len;
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK))
        wire->gone = true;
    return got;
}

static ssize_t raw_write(struct sp_ldap_wire *wire, const char *from, size_t len)
{
    ssize_t put;

    if (wire->tls != NULL) {
        ERR_clear_error();
        return tls_outcome(wire,
                           SSL_write(wire->tls, from, (int)(len > INT32_MAX ? INT32_MAX : len)));
    }
    do {
        put = send(wire->fd, from, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (put < 0 && errno == EINTR);
    if (put < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
        wire->gone = true;
    return put;
}

/* One read of what the socket has, when nothing is left of the last one. After one that emptied the
 * socket, the next is known to find nothing, and is not made. */
static ssize_t fill(struct sp_ldap_wire *wire)
{
    ssize_t got;

    if (wire->in_len > 0)
        return (ssize_t)wire->in_len;
    if (wire->gone)
        return 0;
    if (wire->dry) {
        wire->dry = false;
        errno = EWOULDBLOCK;
        return -1;
    }
    got = raw_read(wire, wire->in, sizeof(wire->in));
    if (got > 0) {
        wire->in_start = 0;
        wire->in_len = (size_t)got;
        wire->unanswered += (size_t)got;
    }
    return got;
}

/* ---- liblber's layer ---- */

static int layer_setup(Sockbuf_IO_Desc *layer, void *wire)
{
    layer->sbiod_pvt = wire;
    return 0;
}

static int layer_remove(Sockbuf_IO_Desc *layer)
{
    layer->sbiod_pvt = NULL;
    return 0;
}

static int layer_ctrl(Sockbuf_IO_Desc *layer, int option, void *argument)
{
    const struct sp_ldap_wire *wire = layer->sbiod_pvt;

    (void)argument;
    if (option == LBER_SB_OPT_DATA_READY)
        return wire->in_len > 0 || (wire->tls != NULL && SSL_pending(wire->tls) > 0);
    return 0;
}

static ber_slen_t layer_read(Sockbuf_IO_Desc *layer, void *into, ber_len_t len)
{
    struct sp_ldap_wire *wire = layer->sbiod_pvt;
    ssize_t got = fill(wire);

    if (got <= 0)
        return got;
    if (len > wire->in_len)
        len = wire->in_len;
    memcpy(into, wire->in + wire->in_start, len);
    wire->in_start += len;
    wire->in_len -= len;
    return (ber_slen_t)len;
}

/* As much of it as the socket takes. */
static void send_unsent(struct sp_ldap_wire *wire)
{
    ssize_t put = 0;

    while (wire->unsent.len > 0 && put >= 0 && !wire->gone) {
        struct sp_span bytes = sp_buf_span(&wire->unsent);

        put = raw_write(wire, bytes.base, bytes.len);
        if (put > 0)
            sp_buf_consume(&wire->unsent, (size_t)put);
    }
    wire->full = wire->unsent.len > 0;
    if (!wire->full)
        sp_buf_wipe(&wire->unsent);
}

static bool must_go(const struct sp_ldap_wire *wire)
{
    return !wire->full && wire->unsent.len > (wire->held ? HELD_MAX : 0);
}

/* Takes everything, up to a bound: libldap's own handling of a full socket would have it wait. What
 * has been taken is wiped where it was, since a bind's password is in it: libldap looks at it again
 * for referrals only, which it is told not to follow, and frees it as it is. */
static ber_slen_t layer_write(Sockbuf_IO_Desc *layer, void *from, ber_len_t len)
{
    struct sp_ldap_wire *wire = layer->sbiod_pvt;
    ssize_t put = 0;

    if (wire->unsent.len == 0 && !wire->gone && !wire->held)
        put = raw_write(wire, from, len);
    if (put < 0)
        put = 0;
    if (sp_buf_append(&wire->unsent, sp_span_of((char *)from + put, len - (size_t)put)) != SP_OK)
        wire->gone = true;
    else if (must_go(wire))
        send_unsent(wire);
    sp_wipe(from, len);
    if (!wire->gone)
        return (ber_slen_t)len;
    errno = EPIPE;
    return -1;
}

static int layer_close(Sockbuf_IO_Desc *layer)
{
    (void)layer; /* the socket is closed by sp_ldap_wire_free */
    return 0;
}

static Sockbuf_IO wire_layer = {
    layer_setup, layer_remove, layer_ctrl, layer_read, layer_write, layer_close,
};

/* ---- the handle ---- */

/* Each option that ldap.conf, ~/.ldaprc or LDAP* variables may have set for the process is set
 * again on the handle, so that they decide nothing here. (TLS_* settings are never looked at: TLS
 * is ours.)
 */
static bool set_options(LDAP *ld, uint64_t timeout_ms)
{
    const int version = LDAP_VERSION3;
    const int never = LDAP_DEREF_NEVER;
    const int no_limit = LDAP_NO_LIMIT;
    const struct timeval limit = {(time_t)(timeout_ms / 1000),
                                  (suseconds_t)(timeout_ms % 1000 * 1000)};

    return ldap_set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &version) == LDAP_OPT_SUCCESS &&
           ldap_set_option(ld, LDAP_OPT_DEREF, &never) == LDAP_OPT_SUCCESS &&
           ldap_set_option(ld, LDAP_OPT_SIZELIMIT, &no_limit) == LDAP_OPT_SUCCESS &&
           ldap_set_option(ld, LDAP_OPT_TIMELIMIT, &no_limit) == LDAP_OPT_SUCCESS &&
           ldap_set_option(ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF) == LDAP_OPT_SUCCESS &&
           ldap_set_option(ld, LDAP_OPT_RESTART, LDAP_OPT_ON) == LDAP_OPT_SUCCESS &&
           ldap_set_option(ld, LDAP_OPT_TIMEOUT, &limit) == LDAP_OPT_SUCCESS &&
           ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &limit) == LDAP_OPT_SUCCESS &&
           ldap_set_option(ld, LDAP_OPT_X_SASL_NOCANON, LDAP_OPT_ON) == LDAP_OPT_SUCCESS;
}

static bool lay_on(struct sp_ldap_wire *wire)
{
    ber_len_t incoming_max = INCOMING_MAX;
    Sockbuf *sockbuf = NULL;

    return ldap_get_option(wire->ld, LDAP_OPT_SOCKBUF, &sockbuf) == LDAP_OPT_SUCCESS &&
           sockbuf != NULL &&
           ber_sockbuf_ctrl(sockbuf, LBER_SB_OPT_SET_MAX_INCOMING, &incoming_max) >= 0 &&
           ber_sockbuf_add_io(sockbuf, &wire_layer, LBER_SBIOD_LEVEL_PROVIDER, wire) == 0;
}

struct sp_ldap_wire *sp_ldap_wire_new(int fd, const struct sp_ldap_uri *uri, uint64_t timeout_ms)
{
    struct sp_ldap_wire *wire = calloc(1, sizeof(*wire));

    if (wire == NULL) {
        close(fd);
        return NULL;
    }
    wire->fd = fd;
    sp_buf_init(&wire->unsent, UNSENT_MAX);
    if (ldap_init_fd(fd, LDAP_PROTO_EXT, uri->text, &wire->ld) != LDAP_SUCCESS)
        wire->ld = NULL;
    if (wire->ld == NULL || !lay_on(wire) || !set_options(wire->ld, timeout_ms))
        sp_ldap_wire_free(&wire);
    return wire;
}

void sp_ldap_wire_free(struct sp_ldap_wire **wire_ref)
{
    struct sp_ldap_wire *wire = *wire_ref;

    *wire_ref = NULL;
    if (wire == NULL)
        return;
    if (wire->ld != NULL)
        ldap_unbind_ext(wire->ld, NULL, NULL);
    if (!wire->full)
        send_unsent(wire); /* the last words, where there is room for them */
    if (wire->tls != NULL) {
        if (SSL_is_init_finished(wire->tls) && !wire->gone)
            (void)SSL_shutdown(wire->tls); /* our close_notify; theirs is not waited for */
        SSL_free(wire->tls);
        ERR_clear_error();
    }
    close(wire->fd);
    sp_buf_wipe(&wire->unsent); /* a bind request holds a password */
    sp_wipe(wire, sizeof(*wire));
    free(wire);
}

LDAP *sp_ldap_wire_handle(struct sp_ldap_wire *wire)
{
    return wire->ld;
}

int sp_ldap_wire_fd(const struct sp_ldap_wire *wire)
{
    return wire->fd;
}

SSL *sp_ldap_wire_tls(struct sp_ldap_wire *wire)
{
    return wire->tls;
}

SSL *sp_ldap_wire_start_tls(struct sp_ldap_wire *wire, SSL_CTX *context)
{
    SSL *tls;

    if (wire->in_len > 0)
        return NULL;
    tls = SSL_new(context);
    if (tls == NULL)
        return NULL;
    if (SSL_set_fd(tls, wire->fd) != 1) {
        SSL_free(tls);
        return NULL;
    }
    SSL_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    wire->tls = tls;
    wire->dry = false; /* OpenSSL reads for itself from here on, and says so */
    return tls;
}

void sp_ldap_wire_set_layered(struct sp_ldap_wire *wire)
{
    wire->layered = true;
}

/* ---- moving bytes ---- */

void sp_ldap_wire_hold(struct sp_ldap_wire *wire)
{
    wire->held = true;
}

bool sp_ldap_wire_holds(const struct sp_ldap_wire *wire)
{
    return wire->unsent.len > 0 && !wire->full;
}

bool sp_ldap_wire_wants_write(const struct sp_ldap_wire *wire)
{
    return wire->full;
}

enum sp_err sp_ldap_wire_flush(struct sp_ldap_wire *wire)
{
    send_unsent(wire);
    return wire->gone ? SP_ERR_CLOSED : SP_OK;
}

int sp_ldap_wire_bind(struct sp_ldap_wire *wire, const char *dn, struct sp_span password,
                      int *msgid_out)
{
    char oid[] = LDAP_CONTROL_PASSWORDPOLICYREQUEST;
    LDAPControl policy = {oid, {0, NULL}, 0};
    LDAPControl *controls[] = {&policy, NULL};
    struct berval secret = {password.len, (char *)(uintptr_t)password.base};

    assert(password.len > 0); /* RFC 4513 5.1.2: it would prove nothing */
    return ldap_sasl_bind(wire->ld, dn, LDAP_SASL_SIMPLE, &secret, controls, NULL, msgid_out);
}

void sp_ldap_wire_expect(struct sp_ldap_wire *wire, unsigned answers)
{
    if (answers > wire->expected || wire->unanswered == 0)
        wire->expected = answers;
}

/* Is this still what the answers to come may be? */
static bool is_endless(const struct sp_ldap_wire *wire)
{
    size_t answers = wire->expected < MIXED_MAX ? wire->expected : MIXED_MAX;

    return wire->unanswered > UNANSWERED_MAX * (answers > 0 ? answers : 1);
}

static bool is_undecodable(struct sp_ldap_wire *wire)
{
    int result = LDAP_SUCCESS;

    return ldap_get_option(wire->ld, LDAP_OPT_RESULT_CODE, &result) == LDAP_OPT_SUCCESS &&
           result == LDAP_DECODING_ERROR;
}

enum sp_err sp_ldap_wire_next(struct sp_ldap_wire *wire, LDAPMessage **message_out)
{
    *message_out = NULL;
    for (;;) {
        struct timeval at_once = {0, 0};
        ssize_t ready = fill(wire);
        bool dry = ready < 0 && !wire->gone;
        bool strange;
        int kind;

        if (ready <= 0 && wire->gone)
            return SP_ERR_CLOSED;
        if (dry && !wire->layered)
            return SP_ERR_AGAIN;
        /* libldap bounds each message, but keeps a search's entries until its end, which never
         * comes */
        if (is_endless(wire))
            return SP_ERR_TOO_LARGE;
        kind = ldap_result(wire->ld, LDAP_RES_ANY, LDAP_MSG_ALL, &at_once, message_out);
        if (kind > 0) {
            wire->unanswered = 0;
            return SP_OK;
        }
        strange = *message_out != NULL ||
                  (kind < 0 && is_undecodable(wire)); /* by its tag no answer of LDAP */
        ldap_msgfree(*message_out);
        *message_out = NULL;
        if (strange)
            return SP_ERR_INVALID;
        if (kind < 0)
            return SP_ERR_CLOSED;
        if (dry)
            return SP_ERR_AGAIN;
    }
}

/* ---- waiting, on a pool thread ---- */

enum sp_err sp_ldap_wait_fd(int fd, short events, uint64_t deadline_ns, const atomic_bool *stop)
{
    for (;;) {
        uint64_t now = uv_hrtime();
        struct pollfd watched = {fd, events, 0};
        uint64_t left_ms = deadline_ns > now ? (deadline_ns - now + 999999) / 1000000 : 0;
        int ready;

        if (left_ms == 0)
            return SP_ERR_TIMEOUT;
        if (stop != NULL && atomic_load(stop))
            return SP_ERR_CLOSED;
        ready = poll(&watched, 1, left_ms < STOP_LOOK_MS ? (int)left_ms : STOP_LOOK_MS);
        if (ready > 0)
            return SP_OK;
        if (ready < 0 && errno != EINTR)
            return SP_ERR_IO;
    }
}

enum sp_err sp_ldap_wire_await(struct sp_ldap_wire *wire, int msgid, uint64_t deadline_ns,
                               const atomic_bool *stop, LDAPMessage **message_out)
{
    for (;;) {
        enum sp_err err = sp_ldap_wire_flush(wire);

        if (err == SP_OK)
            err = sp_ldap_wire_next(wire, message_out);
        if (err == SP_OK && ldap_msgid(*message_out) == msgid)
            return SP_OK;
        if (err == SP_OK) {
            ldap_msgfree(*message_out);
            *message_out = NULL;
            continue;
        }
        if (err == SP_ERR_AGAIN) {
            short events = (short)(POLLIN | (sp_ldap_wire_wants_write(wire) ? POLLOUT : 0));

            err = sp_ldap_wait_fd(wire->fd, events, deadline_ns, stop);
        }
        if (err != SP_OK)
            return err;
    }
}
