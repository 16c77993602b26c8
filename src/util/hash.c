/* Two keyed hashes under keys drawn when the process starts; the keys never leave it. Called for
 * every request with a Basic credential, on the loop threads.
 *
 * SipHash-2-4 (Aumasson, Bernstein) is written out here: through OpenSSL's EVP_MAC one call costs
 * an allocation and some hundreds of nanoseconds, the function itself about twenty.
 *
 * HMAC-SHA-256 (RFC 2104) is put together from EVP digests, on one context a thread keeps: in
 * OpenSSL 3.0 EVP_MAC_init and EVP_MD_CTX_copy_ex both duplicate the digest's state on the heap
 * for each message, while EVP_DigestInit_ex2 on a context that has the digest already resets it
 * in place. Hashing the two padded key blocks anew costs two compressions and no allocation. */
#include "util/hash.h"
#include "util/hash_priv.h"

#include "util/secret.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>

#define SHA256_BLOCK 64u

static struct {
    bool ready;
    uint64_t sip[2];
    uint8_t inner[SHA256_BLOCK]; /* key xor ipad */
    uint8_t outer[SHA256_BLOCK]; /* key xor opad */
    EVP_MD *sha256;              /* fetched once; lives as long as the process */
    pthread_key_t context;       /* each thread's EVP_MD_CTX, freed when the thread ends */
} keyed;

enum sp_err sp_random(void *out, size_t len)
{
    uint8_t *at = out;

    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return SP_ERR_IO;
        at += got;
        len -= (size_t)got;
    }
    return SP_OK;
}

static void free_context(void *context)
{
    EVP_MD_CTX_free(context);
}

static enum sp_err draw_keys(void)
{
    uint8_t key[SHA256_BLOCK];

    if (sp_random(keyed.sip, sizeof(keyed.sip)) != SP_OK || sp_random(key, sizeof(key)) != SP_OK)
        return SP_ERR_IO;
    for (size_t i = 0; i < sizeof(key); i++) {
        keyed.inner[i] = key[i] ^ 0x36;
        keyed.outer[i] = key[i] ^ 0x5c;
    }
    sp_wipe(key, sizeof(key));
    return SP_OK;
}

/* A second call changes nothing, so that tests of several rooms in one program may each make it. */
enum sp_err sp_hash_setup(void)
{
    if (keyed.ready)
        return SP_OK;
    if (draw_keys() != SP_OK)
        return SP_ERR_IO;
    keyed.sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (keyed.sha256 == NULL)
        return SP_ERR_IO;
    if (pthread_key_create(&keyed.context, free_context) != 0) {
        EVP_MD_free(keyed.sha256);
        keyed.sha256 = NULL;
        return SP_ERR_IO;
    }
    keyed.ready = true;
    return SP_OK;
}

static uint64_t rotl(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static uint64_t read_le(const uint8_t *at, size_t len)
{
    uint64_t word = 0;

    for (size_t i = 0; i < len; i++)
        word |= (uint64_t)at[i] << (8 * i);
    return word;
}

static void sip_rounds(uint64_t *v, unsigned rounds)
{
    while (rounds-- > 0) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotl(v[1], 13) ^ v[0];
        v[3] = rotl(v[3], 16) ^ v[2];
        v[0] = rotl(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotl(v[1], 17) ^ v[2];
        v[3] = rotl(v[3], 21) ^ v[0];
        v[2] = rotl(v[2], 32);
    }
}

static void sip_word(uint64_t *v, uint64_t word)
{
    v[3] ^= word;
    sip_rounds(v, 2);
    v[0] ^= word;
}

uint64_t sp_siphash(const uint64_t key[2], struct sp_span bytes)
{
    uint64_t v[4] = {
        key[0] ^ 0x736f6d6570736575u,
        key[1] ^ 0x646f72616e646f6du,
        key[0] ^ 0x6c7967656e657261u,
        key[1] ^ 0x7465646279746573u,
    };
    const uint8_t *at = (const uint8_t *)bytes.base;
    size_t left = bytes.len;

    for (; left >= 8; left -= 8, at += 8)
        sip_word(v, read_le(at, 8));
    sip_word(v, (uint64_t)bytes.len << 56 | read_le(at, left));
    v[2] ^= 0xff;
    sip_rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t sp_hash64(struct sp_span bytes)
{
    assert(keyed.ready);
    return sp_siphash(keyed.sip, bytes);
}

/* This thread's context, made at its first call. */
static EVP_MD_CTX *thread_context(void)
{
    EVP_MD_CTX *context = pthread_getspecific(keyed.context);

    if (context != NULL)
        return context;
    context = EVP_MD_CTX_new();
    if (context != NULL && pthread_setspecific(keyed.context, context) != 0) {
        EVP_MD_CTX_free(context);
        context = NULL;
    }
    return context;
}

static bool begin(EVP_MD_CTX *context, const uint8_t *block)
{
    return EVP_DigestInit_ex2(context, keyed.sha256, NULL) == 1 &&
           EVP_DigestUpdate(context, block, SHA256_BLOCK) == 1;
}

static bool add_part(EVP_MD_CTX *context, struct sp_span part)
{
    uint8_t len[8];

    for (size_t i = 0; i < sizeof(len); i++)
        len[i] = (uint8_t)((uint64_t)part.len >> (8 * i));
    return EVP_DigestUpdate(context, len, sizeof(len)) == 1 &&
           (part.len == 0 || EVP_DigestUpdate(context, part.base, part.len) == 1);
}

/* The context keeps nothing of the parts: SHA-256's final step wipes its block (which may hold a
 * password), and the chaining state is overwritten by the outer pass. */
enum sp_err sp_digest_make(struct sp_digest *digest, const struct sp_span *parts, size_t parts_len)
{
    uint8_t inner[sizeof(digest->bytes)];
    EVP_MD_CTX *context;
    bool good;

    assert(keyed.ready);
    context = thread_context();
    good = context != NULL && begin(context, keyed.inner);
    for (size_t i = 0; good && i < parts_len; i++)
        good = add_part(context, parts[i]);
    good = good && EVP_DigestFinal_ex(context, inner, NULL) == 1 && begin(context, keyed.outer) &&
           EVP_DigestUpdate(context, inner, sizeof(inner)) == 1 &&
           EVP_DigestFinal_ex(context, digest->bytes, NULL) == 1;
    sp_wipe(inner, sizeof(inner));
    return good ? SP_OK : SP_ERR_NOMEM;
}
