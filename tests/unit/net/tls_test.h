/* Throw-away certificates, and a TLS client on a thread of its own that plays a script. */
#ifndef SP_TESTS_UNIT_TLS_TEST_H
#define SP_TESTS_UNIT_TLS_TEST_H

#include "net_test.h"

#include "net/tls.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdio.h>

struct tls_files {
    char folder[64];
    char certificate[96];
    char key[96];
    char other_key[96];
    char locked_key[96];
    char rubbish[96];
    X509 *x509;
};

static inline void write_key(const char *path, EVP_PKEY *key, const char *passphrase)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, key, passphrase != NULL ? EVP_aes_128_cbc() : NULL,
                                          (const unsigned char *)passphrase,
                                          passphrase != NULL ? (int)strlen(passphrase) : 0, NULL,
                                          NULL),
                     1);
    fclose(file);
}

static inline X509 *make_x509(EVP_PKEY *key, const EVP_MD *md)
{
    X509 *x509 = X509_new();
    X509_NAME *name;

    assert_non_null(x509);
    name = X509_get_subject_name(x509);
    X509_set_version(x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"proxy.test", -1,
                               -1, 0);
    X509_set_issuer_name(x509, name);
    X509_set_pubkey(x509, key);
    assert_true(X509_sign(x509, key, md) > 0);
    return x509;
}

static inline void tls_files_make(struct tls_files *files, EVP_PKEY *key, const EVP_MD *md)
{
    EVP_PKEY *other = EVP_EC_gen("P-256");
    FILE *file;

    strcpy(files->folder, "/tmp/sp-tls-XXXXXX");
    assert_non_null(mkdtemp(files->folder));
    snprintf(files->certificate, sizeof(files->certificate), "%s/cert.pem", files->folder);
    snprintf(files->key, sizeof(files->key), "%s/key.pem", files->folder);
    snprintf(files->other_key, sizeof(files->other_key), "%s/other.pem", files->folder);
    snprintf(files->locked_key, sizeof(files->locked_key), "%s/locked.pem", files->folder);
    snprintf(files->rubbish, sizeof(files->rubbish), "%s/rubbish.pem", files->folder);
    files->x509 = make_x509(key, md);
    file = fopen(files->certificate, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, files->x509), 1);
    fclose(file);
    write_key(files->key, key, NULL);
    write_key(files->other_key, other, NULL);
    write_key(files->locked_key, key, "sesame");
    file = fopen(files->rubbish, "w");
    assert_non_null(file);
    fputs("this is no PEM file\n", file);
    fclose(file);
    EVP_PKEY_free(other);
    EVP_PKEY_free(key);
}

static inline void tls_files_remove(struct tls_files *files)
{
    unlink(files->certificate);
    unlink(files->key);
    unlink(files->other_key);
    unlink(files->locked_key);
    unlink(files->rubbish);
    rmdir(files->folder);
    X509_free(files->x509);
}

/* A context with one certificate; NULL: `why_out` says why. */
static inline struct sp_tls_server *tls_server_make(const char *certificate, const char *key,
                                                    char why_out[256])
{
    struct sp_tls_fault fault;
    struct sp_tls_server *server = sp_tls_server_new(&fault);

    assert_non_null(server);
    if (sp_tls_server_add(server, certificate, key, &fault) != SP_OK) {
        sp_tls_server_unref(&server);
        snprintf(why_out, 256, "%s", fault.why);
    }
    return server;
}

struct tls_client {
    int fd;
    int version;            /* highest; 0: any */
    const char *host;       /* whom it asks for; NULL: nobody */
    const char *algorithms; /* of signatures; NULL: any */
    const unsigned char *alpn;
    unsigned alpn_len;
    SSL_SESSION *session; /* in and out: to be resumed */
    void (*script)(struct tls_client *client);
    void *owner;
    SSL *ssl;
    int connected; /* SSL_connect's answer */
    bool resumed;
    char chosen[16]; /* ALPN */
    pthread_t thread;
};

static inline int tls_client_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_client *client = SSL_get_app_data(ssl);

    SSL_SESSION_free(client->session);
    client->session = session;
    return 1;
}

static inline void *tls_client_run(void *arg)
{
    struct tls_client *client = arg;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    const unsigned char *chosen;
    unsigned chosen_len;

    fcntl(client->fd, F_SETFL, 0); /* blocking: this thread has nothing else to do */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, tls_client_new_session);
    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(ctx, client->version);
    if (client->alpn != NULL)
        SSL_CTX_set_alpn_protos(ctx, client->alpn, client->alpn_len);
    client->ssl = SSL_new(ctx);
    SSL_set_app_data(client->ssl, client);
    SSL_set_fd(client->ssl, client->fd);
    if (client->host != NULL)
        SSL_set_tlsext_host_name(client->ssl, client->host);
    if (client->algorithms != NULL)
        assert_int_equal(SSL_set1_sigalgs_list(client->ssl, client->algorithms), 1);
    if (client->session != NULL)
        SSL_set_session(client->ssl, client->session);
    client->connected = SSL_connect(client->ssl);
    client->resumed = SSL_session_reused(client->ssl) == 1;
    SSL_get0_alpn_selected(client->ssl, &chosen, &chosen_len);
    snprintf(client->chosen, sizeof(client->chosen), "%.*s", (int)chosen_len,
             chosen_len > 0 ? (const char *)chosen : "");
    if (client->connected == 1 && client->script != NULL)
        client->script(client);
    SSL_free(client->ssl);
    SSL_CTX_free(ctx);
    close(client->fd);
    return NULL;
}

static inline void tls_client_start(struct tls_client *client, int fd)
{
    client->fd = fd;
    assert_int_equal(pthread_create(&client->thread, NULL, tls_client_run, client), 0);
}

static inline void tls_client_join(struct tls_client *client)
{
    pthread_join(client->thread, NULL);
}

#endif
