/* The inside of TLS, for the files of net/ alone. */
#ifndef SP_NET_TLS_PRIV_H
#define SP_NET_TLS_PRIV_H

#include "net/tls.h"

#include <openssl/ssl.h>
#include <stdatomic.h>

/* A label and the longest hash there is. */
#define SP_TLS_END_POINT_MAX (sizeof("tls-server-end-point:") - 1 + EVP_MAX_MD_SIZE)

struct sp_tls_server {
    atomic_uint refs;
    SSL_CTX *ctx;
    char end_point[SP_TLS_END_POINT_MAX];
    size_t end_point_len; /* 0: the signature names no hash (RFC 5929 4.1 leaves it undefined) */
};

/* The library's oldest complaint in words, and its queue emptied. */
const char *sp_tls_error_words(void);

#endif
