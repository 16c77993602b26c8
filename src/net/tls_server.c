/* A listener's TLS context: the rules of the protocol and its certificates, made on the main thread
 * and then shared by all workers, which only read it. */
#include "net/tls_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Forward secrecy and authenticated encryption only; TLS 1.3 has nothing else anyway. */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"
#define GROUPS  "X25519:P-256:P-384"

const char *sp_tls_error_words(void)
{
    unsigned long code = ERR_peek_error();
    const char *words = code != 0 ? ERR_reason_error_string(code) : NULL;

    ERR_clear_error();
    return words != NULL ? words : "unknown TLS error";
}

/* ---- the rules ---- */

/* A client that offers ALPN without HTTP/1.1 goes on without ALPN: what it then sends decides. */
static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen = NULL;

    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto(&chosen, out_len, ours, sizeof(ours) - 1, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* Does this kernel have TLS? An unconnected socket refuses it with ENOTCONN where it does, and with
 * ENOENT where it does not. */
static bool kernel_has_tls(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has;

    if (fd < 0)
        return false;
    has = setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) == 0 || errno == ENOTCONN;
    close(fd);
    return has;
}

static bool set_rules(SSL_CTX *ctx)
{
    static const unsigned char context_id[] = "sallyport";

    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                 SSL_OP_CLEANSE_PLAINTEXT); /* a record may hold a password */
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* Reading ahead halves the read(2) calls, but takes bytes out of the kernel's reach. */
    if (kernel_has_tls())
        SSL_CTX_set_options(ctx, SSL_OP_ENABLE_KTLS);
    else
        SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(ctx, CIPHERS) == 1 &&
           SSL_CTX_set1_groups_list(ctx, GROUPS) == 1 &&
           SSL_CTX_set_max_early_data(ctx, 0) == 1 && /* it could be replayed */
           SSL_CTX_set_session_id_context(ctx, context_id, sizeof(context_id) - 1) == 1;
}

static void server_free(struct sp_tls_server *server)
{
    SSL_CTX_free(server->ctx);
    for (size_t i = 0; i < server->pairs_len; i++)
        sp_tls_pair_fini(&server->pairs[i]);
    free(server->pairs);
    free(server);
}

struct sp_tls_server *sp_tls_server_new(struct sp_tls_fault *fault)
{
    struct sp_tls_server *server = calloc(1, sizeof(*server));

    *fault = (struct sp_tls_fault){.why = "out of memory"};
    if (server == NULL)
        return NULL;
    atomic_init(&server->refs, 1);
    server->ctx = SSL_CTX_new(TLS_server_method());
    if (server->ctx == NULL || !set_rules(server->ctx) || !sp_tls_tickets_set_up(server)) {
        snprintf(fault->why, sizeof(fault->why), "TLS: %s", sp_tls_error_words());
        server_free(server);
        return NULL;
    }
    SSL_CTX_set_cert_cb(server->ctx, sp_tls_pair_choose, server);
    return server;
}

/* The later of two would never be shown: a name is missing, and its file was meant. */
static bool is_there_already(const struct sp_tls_server *server, const struct sp_tls_pair *pair)
{
    for (size_t i = 0; i < server->pairs_len; i++)
        if (memcmp(server->pairs[i].mark, pair->mark, sizeof(pair->mark)) == 0)
            return true;
    return false;
}

enum sp_err sp_tls_server_add(struct sp_tls_server *server, const char *certificate,
                              const char *key, struct sp_tls_fault *fault)
{
    struct sp_tls_pair *grown = realloc(server->pairs,
                                        (server->pairs_len + 1) * sizeof(*server->pairs));
    struct sp_tls_pair *pair;
    enum sp_err err;

    *fault = (struct sp_tls_fault){.why = "out of memory"};
    if (grown == NULL)
        return SP_ERR_INVALID;
    server->pairs = grown;
    pair = &grown[server->pairs_len];
    memset(pair, 0, sizeof(*pair));
    err = sp_tls_pair_read(pair, certificate, key, fault);
    if (err == SP_OK && is_there_already(server, pair)) {
        fault->option = "tls_certificate";
        (void)snprintf(fault->why, sizeof(fault->why),
                       "tls_certificate %s: is in the list twice; each file once", certificate);
        err = SP_ERR_INVALID;
    }
    if (err == SP_OK)
        server->pairs_len++;
    else
        sp_tls_pair_fini(pair);
    return err;
}

struct sp_tls_server *sp_tls_server_ref(struct sp_tls_server *server)
{
    atomic_fetch_add_explicit(&server->refs, 1, memory_order_relaxed);
    return server;
}

void sp_tls_server_unref(struct sp_tls_server **server_ptr)
{
    struct sp_tls_server *server = *server_ptr;

    *server_ptr = NULL;
    if (server != NULL && atomic_fetch_sub_explicit(&server->refs, 1, memory_order_acq_rel) == 1)
        server_free(server);
}

size_t sp_tls_server_certificates(const struct sp_tls_server *server)
{
    return server->pairs_len;
}

struct sp_span sp_tls_server_end_point(const struct sp_tls_server *server, size_t index)
{
    const struct sp_tls_pair *pair = &server->pairs[index];

    if (pair->end_point_len == 0)
        return (struct sp_span){NULL, 0};
    return (struct sp_span){pair->end_point, pair->end_point_len};
}
