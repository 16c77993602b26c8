/* Passwords, tokens and keys: heap bytes that are wiped before they go back. Used wherever such
 * bytes are kept longer than a call. One thread at a time. */
#include "util/secret.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

void sp_wipe(void *memory, size_t len)
{
    if (len > 0)
        explicit_bzero(memory, len);
}

enum sp_err sp_secret_alloc(struct sp_secret *secret, size_t len)
{
    *secret = (struct sp_secret){NULL, 0};
    if (len == SIZE_MAX)
        return SP_ERR_NOMEM;
    secret->base = calloc(1, len + 1);
    if (secret->base == NULL)
        return SP_ERR_NOMEM;
    secret->len = len;
    return SP_OK;
}

enum sp_err sp_secret_set(struct sp_secret *secret, struct sp_span bytes)
{
    enum sp_err err = sp_secret_alloc(secret, bytes.len);

    if (err == SP_OK && bytes.len > 0)
        memcpy(secret->base, bytes.base, bytes.len);
    return err;
}

void sp_secret_fini(struct sp_secret *secret)
{
    if (secret->base != NULL) {
        explicit_bzero(secret->base, secret->len + 1);
        free(secret->base);
    }
    *secret = (struct sp_secret){NULL, 0};
}

bool sp_secret_eq(struct sp_span a, struct sp_span b)
{
    return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.base, b.base, a.len) == 0);
}
