/* A listener's TLS context: certificate, key and the rules of the protocol, made on the main thread
 * and then shared by all workers, which only read it. */
#include "net/tls_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WHY_MAX   256
#define END_POINT "tls-server-end-point:"
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

/* ---- the files ---- */

static bool can_open(const char *what, const char *path, char *why)
{
    FILE *file = fopen(path, "re");

    if (file == NULL) {
        snprintf(why, WHY_MAX, "%s %s: %s", what, path, strerror(errno));
        return false;
    }
    fclose(file);
    return true;
}

/* Nobody is there to type it: a key with a passphrase is refused with words. */
static int no_passphrase(char *buf, int size, int rwflag, void *asked)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    *(bool *)asked = true;
    return -1;
}

static bool load_certificate(SSL_CTX *ctx, const char *path, char *why)
{
    ERR_clear_error();
    if (!can_open("tls_certificate", path, why))
        return false;
    if (SSL_CTX_use_certificate_chain_file(ctx, path) == 1)
        return true;
    if (ERR_GET_REASON(ERR_peek_error()) == PEM_R_NO_START_LINE)
        snprintf(why, WHY_MAX, "tls_certificate %s: no PEM certificate in this file", path);
    else
        snprintf(why, WHY_MAX, "tls_certificate %s: %s", path, sp_tls_error_words());
    ERR_clear_error();
    return false;
}

static bool key_failed(const char *path, bool asked, char *why)
{
    unsigned long code = ERR_peek_error();

    if (asked)
        snprintf(why, WHY_MAX, "tls_key %s: is protected by a passphrase; store it without one",
                 path);
    else if (ERR_GET_REASON(code) == X509_R_KEY_VALUES_MISMATCH ||
             ERR_GET_REASON(code) == X509_R_KEY_TYPE_MISMATCH)
        snprintf(why, WHY_MAX, "tls_key %s: does not belong to tls_certificate", path);
    else
        snprintf(why, WHY_MAX, "tls_key %s: no PEM private key in this file", path);
    ERR_clear_error();
    return false;
}

static bool load_key(SSL_CTX *ctx, const char *path, char *why)
{
    bool asked = false;
    bool loaded;

    ERR_clear_error();
    if (!can_open("tls_key", path, why))
        return false;
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, &asked);
    loaded = SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM) == 1 &&
             SSL_CTX_check_private_key(ctx) == 1;
    SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
    SSL_CTX_set_default_passwd_cb(ctx, NULL);
    return loaded || key_failed(path, asked, why);
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
    /* Sessions live in the tickets that clients hold: no table, no lock, any worker resumes. */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(ctx, CIPHERS) == 1 &&
           SSL_CTX_set1_groups_list(ctx, GROUPS) == 1 && SSL_CTX_set_num_tickets(ctx, 1) == 1 &&
           SSL_CTX_set_session_id_context(ctx, context_id, sizeof(context_id) - 1) == 1;
}

/* RFC 5929 4.1: the hash of the certificate's signature, but SHA-256 in place of MD5 and SHA-1. */
static bool make_end_point(struct sp_tls_server *server)
{
    X509 *certificate = SSL_CTX_get0_certificate(server->ctx);
    size_t label = sizeof(END_POINT) - 1;
    const EVP_MD *md;
    unsigned len = 0;
    int md_nid = NID_undef;

    if (certificate == NULL)
        return false;
    if (X509_get_signature_info(certificate, &md_nid, NULL, NULL, NULL) != 1 || md_nid == NID_undef)
        return true; /* Ed25519 and its like have no hash of their own: no binding, no failure */
    if (md_nid == NID_md5 || md_nid == NID_sha1)
        md_nid = NID_sha256;
    md = EVP_get_digestbynid(md_nid);
    if (md == NULL)
        return true;
    memcpy(server->end_point, END_POINT, label);
    if (X509_digest(certificate, md, (unsigned char *)server->end_point + label, &len) != 1)
        return false;
    server->end_point_len = label + len;
    return true;
}

static void server_free(struct sp_tls_server *server)
{
    SSL_CTX_free(server->ctx);
    free(server);
}

struct sp_tls_server *sp_tls_server_new(const char *certificate, const char *key, char *why_out)
{
    struct sp_tls_server *server = calloc(1, sizeof(*server));

    snprintf(why_out, WHY_MAX, "out of memory");
    if (server == NULL)
        return NULL;
    atomic_init(&server->refs, 1);
    server->ctx = SSL_CTX_new(TLS_server_method());
    if (server->ctx == NULL || !set_rules(server->ctx)) {
        snprintf(why_out, WHY_MAX, "TLS: %s", sp_tls_error_words());
        server_free(server);
        return NULL;
    }
    if (!load_certificate(server->ctx, certificate, why_out) ||
        !load_key(server->ctx, key, why_out)) {
        server_free(server);
        return NULL;
    }
    if (!make_end_point(server)) {
        snprintf(why_out, WHY_MAX, "tls_certificate %s: %s", certificate, sp_tls_error_words());
        server_free(server);
        return NULL;
    }
    why_out[0] = '\0';
    return server;
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

struct sp_span sp_tls_server_end_point(const struct sp_tls_server *server)
{
    if (server->end_point_len == 0)
        return (struct sp_span){NULL, 0};
    return (struct sp_span){server->end_point, server->end_point_len};
}
