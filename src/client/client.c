/* The connection to a proxy: connect, TLS, a head out, a head in. Each wait is bounded by the
 * socket's own timeouts. */
#include "client/client.h"

#include "http/http.h"
#include "util/base64.h"
#include "util/span.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define PATIENCE_S     30
#define ANSWER_MAX     (256u * 1024u) /* a head; what is drained of a body is bounded by it too */
#define HEAD_FIELDS    64u
#define INTERIMS_MAX   16u
#define TOKEN_TEXT_MAX (128u * 1024u)

/* Owned by the caller. */
struct sp_client {
    int fd;
    SSL_CTX *context;
    SSL *tls;           /* NULL: in clear */
    size_t certificate; /* which one it shows */
    struct sp_http_parser *parser;
    char *bytes; /* what came, from the beginning of an answer */
    size_t bytes_len;
};

static void say(char *why, const char *what, const char *detail)
{
    (void)snprintf(why, SP_CLIENT_WHY_MAX, "%s%s%.300s", what, detail[0] != '\0' ? ": " : "",
                   detail);
}

static const char *tls_words(void)
{
    unsigned long code = ERR_get_error();
    const char *words = code != 0 ? ERR_reason_error_string(code) : NULL;

    ERR_clear_error();
    return words != NULL ? words : "the proxy closed the connection";
}

/* ---- opening ---- */

static bool connect_to(struct sp_client *c, const struct sp_addr *addr, char *why)
{
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    struct sockaddr_storage ss;
    socklen_t len = sp_addr_to_sockaddr(addr, &ss);

    c->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd >= 0 &&
        setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0 &&
        setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0 &&
        connect(c->fd, (const struct sockaddr *)&ss, len) == 0)
        return true;
    say(why, "cannot connect", strerror(errno));
    return false;
}

/* Is it the certificate in that file? Stricter than any chain, and no name has to fit. */
static bool is_in(const X509 *shown, const char *path, char *why)
{
    FILE *file = fopen(path, "re");
    X509 *expected = file != NULL ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
    bool same = expected != NULL && shown != NULL && X509_cmp(expected, shown) == 0;

    if (expected == NULL)
        say(why, "tls_certificate cannot be read", path);
    else if (!same)
        say(why, "the proxy shows another certificate than tls_certificate: reload it", path);
    if (file != NULL)
        (void)fclose(file);
    X509_free(expected);
    ERR_clear_error();
    return same;
}

static bool shows_one(struct sp_client *c, const struct sp_strings *certificates, char *why)
{
    X509 *shown = SSL_get1_peer_certificate(c->tls);
    bool found = false;

    while (!found && c->certificate < certificates->len) {
        found = is_in(shown, certificates->items[c->certificate], why);
        c->certificate += !found;
    }
    X509_free(shown);
    return found;
}

static bool start_tls(struct sp_client *c, const char *host, const struct sp_strings *certificates,
                      char *why)
{
    c->context = SSL_CTX_new(TLS_client_method());
    if (c->context != NULL && SSL_CTX_set_min_proto_version(c->context, TLS1_2_VERSION) == 1)
        c->tls = SSL_new(c->context);
    if (c->tls == NULL || SSL_set_fd(c->tls, c->fd) != 1 ||
        SSL_set_tlsext_host_name(c->tls, host) != 1) {
        say(why, "out of memory", "");
        return false;
    }
    if (SSL_connect(c->tls) != 1) {
        say(why, "TLS handshake failed", tls_words());
        return false;
    }
    return shows_one(c, certificates, why);
}

struct sp_client *sp_client_open(const struct sp_addr *addr, const char *host,
                                 const struct sp_strings *certificates, char *why)
{
    const struct sp_http_limits limits = {
        .head_size = ANSWER_MAX, .fields = HEAD_FIELDS, .target_size = 1024};
    struct sp_client *c = calloc(1, sizeof(*c));

    say(why, "out of memory", "");
    if (c == NULL)
        return NULL;
    c->fd = -1;
    c->bytes = malloc(ANSWER_MAX);
    c->parser = sp_http_parser_new(&limits);
    if (c->bytes == NULL || c->parser == NULL || !connect_to(c, addr, why) ||
        (certificates->len > 0 && !start_tls(c, host, certificates, why)))
        sp_client_close(&c);
    return c;
}

void sp_client_close(struct sp_client **client)
{
    struct sp_client *c = *client;

    *client = NULL;
    if (c == NULL)
        return;
    SSL_free(c->tls);
    SSL_CTX_free(c->context);
    if (c->fd >= 0)
        (void)close(c->fd);
    sp_http_parser_free(&c->parser);
    if (c->bytes != NULL)
        sp_wipe(c->bytes, c->bytes_len); /* it held tokens */
    free(c->bytes);
    free(c);
}

const char *sp_client_protection(const struct sp_client *client)
{
    return client->tls != NULL ? SSL_get_version(client->tls) : "in clear";
}

size_t sp_client_certificate(const struct sp_client *client)
{
    return client->certificate;
}

/* ---- bytes ---- */

static ssize_t send_some(struct sp_client *c, const char *bytes, size_t len)
{
    ssize_t sent;

    if (c->tls != NULL)
        return SSL_write(c->tls, bytes, len > 16384 ? 16384 : (int)len);
    do
        sent = send(c->fd, bytes, len, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent;
}

static enum sp_err send_all(struct sp_client *c, const char *bytes, size_t len, char *why)
{
    while (len > 0) {
        ssize_t sent = send_some(c, bytes, len);

        if (sent <= 0) {
            say(why, "cannot send", c->tls != NULL ? tls_words() : strerror(errno));
            return SP_ERR_CLOSED;
        }
        bytes += sent;
        len -= (size_t)sent;
    }
    return SP_OK;
}

/* More of the answer, behind what is there. */
static enum sp_err read_some(struct sp_client *c, char *why)
{
    size_t room = ANSWER_MAX - c->bytes_len;
    ssize_t got;

    if (room == 0) {
        say(why, "the answer is too long", "");
        return SP_ERR_TOO_LARGE;
    }
    errno = 0;
    if (c->tls != NULL)
        got = SSL_read(c->tls, c->bytes + c->bytes_len, room > 16384 ? 16384 : (int)room);
    else
        do
            got = recv(c->fd, c->bytes + c->bytes_len, room, 0);
        while (got < 0 && errno == EINTR);
    if (got <= 0) {
        say(why, "no answer",
            errno == EAGAIN ? "not in time"
            : errno == 0    ? "the proxy closed the connection"
                            : strerror(errno));
        ERR_clear_error();
        return SP_ERR_CLOSED;
    }
    c->bytes_len += (size_t)got;
    return SP_OK;
}

/* ---- requests ---- */

/* The credential's text: wiped by the caller. */
static enum sp_err write_head(struct sp_secret *head, const struct sp_client_request *request)
{
    struct sp_span token = request->token;
    size_t text_len = token.base != NULL ? sp_base64_encoded_len(token.len) : 0;
    size_t room = request->target.len + request->host.len + text_len + 200;
    int len;

    if (sp_secret_alloc(head, room) != SP_OK)
        return SP_ERR_NOMEM;
    len = snprintf(head->base, head->len,
                   "%s %.*s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: sallyport-login\r\n%s",
                   request->connect ? "CONNECT" : "GET", SP_SPAN_ARG(request->target),
                   SP_SPAN_ARG(request->host),
                   token.base != NULL ? "Proxy-Authorization: Negotiate " : "");
    if (token.base != NULL) {
        sp_base64_encode(head->base + len, token);
        len += (int)text_len;
        memcpy(head->base + len, "\r\n", 2);
        len += 2;
    }
    memcpy(head->base + len, "\r\n", 2);
    head->base[len + 2] = '\0';
    return SP_OK;
}

/* ---- answers ---- */

static void add_offer(struct sp_client_answer *answer, struct sp_span scheme)
{
    size_t used = strlen(answer->offered);

    (void)snprintf(answer->offered + used, sizeof(answer->offered) - used, "%s%.*s",
                   used > 0 ? ", " : "", SP_SPAN_ARG(scheme));
}

/* One "Negotiate <token>", or another challenge. */
static enum sp_err take_challenge(struct sp_client_answer *answer, struct sp_span value)
{
    const char *space = memchr(value.base, ' ', value.len);
    struct sp_span scheme = sp_span_of(value.base,
                                       space != NULL ? (size_t)(space - value.base) : value.len);
    struct sp_span text = sp_span_trim(
        sp_span_of(scheme.base + scheme.len, value.len - scheme.len));
    size_t len = 0;

    add_offer(answer, scheme);
    if (!sp_span_eq_nocase(scheme, SP_SPAN_LIT("Negotiate")) || text.len == 0 ||
        text.len > TOKEN_TEXT_MAX || answer->token.base != NULL)
        return SP_OK;
    if (sp_secret_alloc(&answer->token, sp_base64_decoded_max(text.len)) != SP_OK)
        return SP_ERR_NOMEM;
    if (sp_base64_decode(text, answer->token.base, &len) == SP_OK)
        answer->token.len = len;
    else
        sp_secret_fini(&answer->token);
    return SP_OK;
}

static enum sp_err take_fields(const struct sp_http_response *response,
                               struct sp_client_answer *answer)
{
    enum sp_err err = SP_OK;

    for (size_t i = 0; i < response->head.fields_len && err == SP_OK; i++) {
        const struct sp_http_field *field = &response->head.fields[i];

        if (field->id == SP_FIELD_PROXY_AUTHENTICATE)
            err = take_challenge(answer, field->value);
        else if (sp_span_eq_nocase(field->name, SP_SPAN_LIT("Proxy-Status")))
            (void)snprintf(answer->proxy_status, sizeof(answer->proxy_status), "%.*s",
                           SP_SPAN_ARG(field->value));
    }
    return err;
}

/* A 407's page is read away, so that the next answer stands at the front. */
static enum sp_err drain(struct sp_client *c, const struct sp_http_response *response, char *why)
{
    uint64_t body = response->head.body.kind == SP_BODY_LENGTH ? response->head.body.length : 0;
    size_t whole = response->head.size + (size_t)body;

    if (body > ANSWER_MAX - response->head.size) {
        say(why, "the answer is too long", "");
        return SP_ERR_TOO_LARGE;
    }
    while (c->bytes_len < whole) {
        enum sp_err err = read_some(c, why);

        if (err != SP_OK)
            return err;
    }
    sp_wipe(c->bytes, c->bytes_len);
    c->bytes_len = 0;
    return SP_OK;
}

static enum sp_err read_head(struct sp_client *c, enum sp_http_method method,
                             struct sp_http_response *response, char *why)
{
    struct sp_http_fault fault = {0};
    enum sp_err err = SP_ERR_AGAIN;

    sp_http_parser_reset(c->parser);
    do {
        if (c->bytes_len > 0)
            err = sp_http_parse_response(c->parser, sp_span_of(c->bytes, c->bytes_len), method,
                                         response, &fault);
        if (err == SP_ERR_AGAIN && read_some(c, why) != SP_OK)
            return SP_ERR_CLOSED;
    } while (err == SP_ERR_AGAIN);
    if (err != SP_OK)
        say(why, "not an answer of HTTP", fault.why != NULL ? fault.why : "out of memory");
    return err;
}

/* A 1xx is not the answer yet (RFC 9110 15.2), and may come several times: a server that has hints
 * sends them through the proxy. */
static enum sp_err read_final_head(struct sp_client *c, enum sp_http_method method,
                                   struct sp_http_response *response, char *why)
{
    for (unsigned i = 0; i < INTERIMS_MAX; i++) {
        enum sp_err err = read_head(c, method, response, why);

        if (err != SP_OK || response->status / 100 != 1 || response->status == 101)
            return err;
        c->bytes_len -= response->head.size;
        memmove(c->bytes, c->bytes + response->head.size, c->bytes_len);
        sp_wipe(c->bytes + c->bytes_len, response->head.size);
    }
    say(why, "the answer does not come", "nothing but 1xx");
    return SP_ERR_TOO_LARGE;
}

static enum sp_err read_answer(struct sp_client *c, enum sp_http_method method,
                               struct sp_client_answer *answer, char *why)
{
    struct sp_http_response response;
    enum sp_err err = read_final_head(c, method, &response, why);

    if (err != SP_OK)
        return err;
    answer->status = response.status;
    answer->keep_alive = response.head.keep_alive;
    (void)snprintf(answer->phrase, sizeof(answer->phrase), "%.*s", SP_SPAN_ARG(response.reason));
    err = take_fields(&response, answer);
    if (err != SP_OK)
        say(why, "out of memory", "");
    else if (response.status == 407)
        err = drain(c, &response, why);
    return err;
}

void sp_client_answer_fini(struct sp_client_answer *answer)
{
    sp_secret_fini(&answer->token);
}

enum sp_err sp_client_ask(struct sp_client *client, const struct sp_client_request *request,
                          struct sp_client_answer *answer, char *why)
{
    struct sp_secret head = {0};
    enum sp_err err;

    memset(answer, 0, sizeof(*answer));
    err = write_head(&head, request);
    if (err == SP_OK)
        err = send_all(client, head.base, strlen(head.base), why);
    else
        say(why, "out of memory", "");
    sp_secret_fini(&head);
    if (err == SP_OK)
        err = read_answer(client, request->connect ? SP_HTTP_CONNECT : SP_HTTP_GET, answer, why);
    if (err != SP_OK)
        sp_client_answer_fini(answer);
    return err;
}
