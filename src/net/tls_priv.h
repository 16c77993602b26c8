/* The inside of TLS, for the files of net/ alone. */
#ifndef SP_NET_TLS_PRIV_H
#define SP_NET_TLS_PRIV_H

#include "net/tls.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>

/* A label and the longest hash there is. */
#define SP_TLS_END_POINT_MAX (sizeof("tls-server-end-point:") - 1 + EVP_MAX_MD_SIZE)
#define SP_TLS_MARK_LEN      32 /* SHA-256 */

/* A certificate and its key. Owned by its context. */
struct sp_tls_pair {
    SSL_CTX *files;       /* what was read: certificate, chain, key. No connection is made of it */
    GENERAL_NAMES *names; /* whom it is for; NULL: nobody */
    char end_point[SP_TLS_END_POINT_MAX];
    size_t end_point_len; /* 0: the signature names no hash (RFC 5929 4.1 leaves it undefined) */
    unsigned char mark[SP_TLS_MARK_LEN]; /* its fingerprint; tickets carry it */
};

struct sp_tls_server {
    atomic_uint refs;
    SSL_CTX *ctx; /* the rules, and no certificate: each handshake chooses */
    struct sp_tls_pair *pairs;
    size_t pairs_len;
};

/* The library's oldest complaint in words, and its queue emptied. */
const char *sp_tls_error_words(void);

/* ---- tls_pair.c ---- */
/* Fills a pair of zeroes; what failed is for sp_tls_pair_fini too. */
enum sp_err sp_tls_pair_read(struct sp_tls_pair *pair, const char *certificate, const char *key,
                             struct sp_tls_fault *fault_out) SP_MUST_CHECK;
void sp_tls_pair_fini(struct sp_tls_pair *pair);
/* An SSL_CTX_set_cert_cb callback; `arg` is the context. Gives the handshake the certificates for
 * the name that the client asks for, at most one of each kind of key: the library then goes by the
 * client's signature algorithms. */
int sp_tls_pair_choose(SSL *ssl, void *arg);
/* After a handshake: which one the client knows. NULL: a ticket without a mark. */
const struct sp_tls_pair *sp_tls_pair_of(const struct sp_tls_server *server, SSL *ssl);

/* ---- tls_tickets.c ---- */
struct sp_tls_ticket_key {
    unsigned char name[16];
    unsigned char cipher[32];
    unsigned char mac[32];
    uint64_t made_ms; /* 0: none */
};
/* The process's keys at a time: all listeners', all workers', and a reload changes none of them.
 * The newest, made when the last one is an hour old. SP_ERR_IO: no random numbers. Any thread. */
enum sp_err sp_tls_ticket_key_newest(uint64_t now_ms, struct sp_tls_ticket_key *out) SP_MUST_CHECK;
/* The one of that name, as long as it may still open tickets (two hours). */
bool sp_tls_ticket_key_find(const unsigned char name[16], uint64_t now_ms,
                            struct sp_tls_ticket_key *out);
/* Tickets sealed by these keys, and no session resumed whose certificate the context has no more.
 */
bool sp_tls_tickets_set_up(struct sp_tls_server *server) SP_MUST_CHECK;

#endif
