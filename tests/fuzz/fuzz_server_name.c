/* Any host asked for (SNI), against listeners whose certificates bear any names: the handshake gets
 * the first certificate that has that very name, else the first with a wildcard for it, else the
 * default one. And any bytes as what a client says first: a handshake is refused or waits for more.
 *
 * The input's first line is the host; each line after it has a certificate's names, between commas.
 */
#include "net/tls_priv.h"
#include "util/span.h"

#include <openssl/err.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PAIRS_MAX 4
#define HOST_MAX  255

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* ---- listeners ---- */

static SSL_CTX *make_files(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    SSL_CTX *files = SSL_CTX_new(TLS_server_method());
    X509 *x509 = X509_new();

    must(key != NULL && files != NULL && x509 != NULL);
    must(X509_gmtime_adj(X509_getm_notBefore(x509), -3600) != NULL);
    must(X509_gmtime_adj(X509_getm_notAfter(x509), 3600) != NULL);
    must(X509_set_pubkey(x509, key) == 1 && X509_sign(x509, key, EVP_sha256()) > 0);
    must(SSL_CTX_use_certificate(files, x509) == 1 && SSL_CTX_use_PrivateKey(files, key) == 1);
    X509_free(x509);
    EVP_PKEY_free(key);
    return files;
}

/* The next piece of `rest` up to `end`; absent: no more. */
static struct sp_span next_piece(struct sp_span *rest, char end)
{
    const char *at;
    struct sp_span piece = *rest;

    if (rest->base == NULL)
        return SP_SPAN_NONE;
    at = rest->len > 0 ? memchr(rest->base, end, rest->len) : NULL;
    if (at == NULL) {
        *rest = SP_SPAN_NONE;
        return piece;
    }
    piece.len = (size_t)(at - piece.base);
    *rest = sp_span_of(at + 1, rest->len - piece.len - 1);
    return piece;
}

static GENERAL_NAMES *make_names(struct sp_span list)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();

    must(names != NULL);
    while (list.base != NULL) {
        struct sp_span text = next_piece(&list, ',');
        GENERAL_NAME *name = GENERAL_NAME_new();
        ASN1_IA5STRING *bytes = ASN1_IA5STRING_new();

        must(name != NULL && bytes != NULL);
        must(ASN1_STRING_set(bytes, text.base, (int)text.len) == 1);
        GENERAL_NAME_set0_value(name, GEN_DNS, bytes);
        must(sk_GENERAL_NAME_push(names, name) > 0);
    }
    return names;
}

/* ---- the same choice, made once more ---- */

static bool has_name(struct sp_span list, struct sp_span host, bool wildcard)
{
    const char *dot = host.len > 0 ? memchr(host.base, '.', host.len) : NULL;

    while (list.base != NULL) {
        struct sp_span name = next_piece(&list, ',');

        if (name.len == 0)
            continue;
        if (!wildcard && name.len == host.len && strncasecmp(name.base, host.base, host.len) == 0)
            return true;
        if (wildcard && name.len > 2 && memcmp(name.base, "*.", 2) == 0 && dot > host.base &&
            (size_t)(host.base + host.len - dot) == name.len - 1 &&
            strncasecmp(name.base + 1, dot, name.len - 1) == 0)
            return true;
    }
    return false;
}

static size_t expected(const struct sp_span *lists, size_t len, struct sp_span host)
{
    if (host.len > 0 && host.base[host.len - 1] == '.')
        host.len--;
    for (int wildcard = 0; host.len > 0 && wildcard < 2; wildcard++)
        for (size_t i = 0; i < len; i++)
            if (has_name(lists[i], host, wildcard == 1))
                return i;
    return 0;
}

/* ---- the two questions ---- */

static void choose(struct sp_tls_server *server, const struct sp_span *lists, struct sp_span host)
{
    SSL *ssl = SSL_new(server->ctx); /* a client's: it knows the name without a handshake */
    char name[HOST_MAX + 1];
    size_t chosen;

    must(ssl != NULL);
    SSL_set_connect_state(ssl);
    memcpy(name, host.base, host.len);
    name[host.len] = '\0';
    if (host.len > 0)
        must(SSL_set_tlsext_host_name(ssl, name) == 1);
    chosen = expected(lists, server->pairs_len, host);
    must(sp_tls_pair_choose(ssl, server) == 1);
    must(SSL_get_certificate(ssl) == SSL_CTX_get0_certificate(server->pairs[chosen].files));
    SSL_free(ssl);
}

static void greet(struct sp_tls_server *server, const uint8_t *data, size_t size)
{
    SSL *ssl = SSL_new(server->ctx);
    BIO *in = BIO_new_mem_buf(data, (int)size), *out = BIO_new(BIO_s_null());

    must(ssl != NULL && in != NULL && out != NULL);
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(ssl, in, out);
    must(SSL_accept(ssl) != 1);
    ERR_clear_error();
    SSL_free(ssl);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static SSL_CTX *files[PAIRS_MAX];
    static struct sp_tls_server *server;
    static struct sp_tls_pair pairs[PAIRS_MAX];
    struct sp_span rest = {(const char *)data, size}, host, lists[PAIRS_MAX];
    struct sp_tls_fault fault;

    if (server == NULL) {
        server = sp_tls_server_new(&fault);
        must(server != NULL);
        for (size_t i = 0; i < PAIRS_MAX; i++)
            files[i] = make_files();
        server->pairs = pairs;
    }
    if (size == 0 || size > 4096)
        return 0;
    server->pairs_len = 0;
    host = next_piece(&rest, '\n');
    while (rest.base != NULL && server->pairs_len < PAIRS_MAX) {
        struct sp_tls_pair *pair = &pairs[server->pairs_len];

        lists[server->pairs_len] = next_piece(&rest, '\n');
        pair->files = files[server->pairs_len];
        pair->names = make_names(lists[server->pairs_len++]);
    }
    if (server->pairs_len > 0) {
        if (host.len <= HOST_MAX && memchr(data, '\0', host.len) == NULL)
            choose(server, lists, host);
        greet(server, data, size);
    }
    for (size_t i = 0; i < server->pairs_len; i++)
        GENERAL_NAMES_free(pairs[i].names);
    return 0;
}
