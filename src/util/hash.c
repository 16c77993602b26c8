/* Two keyed hashes under keys drawn when the process starts; the keys never leave it. Called for
 * every request with a Basic credential, on the loop threads.
 *
 * SipHash-2-4 (Aumasson, Bernstein) is written out here: through OpenSSL's EVP_MAC one call costs
 * an allocation and some hundreds of nanoseconds, the function itself some tens.
 *
 * HMAC-SHA-256 (RFC 2104) is put together from SHA256_Update and its kin, the states behind the two
 * padded key blocks kept ready. They are deprecated in favour of EVP, which in OpenSSL 3.0
 * allocates for every message (EVP_MAC_init and EVP_MD_CTX_copy_ex one or two blocks,
 * EVP_DigestInit_ex2 one) and takes twice as long; the function is the same. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "util/hash.h"
#include "util/hash_priv.h"

#include "util/secret.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>

static struct {
    bool ready;
    uint64_t sip[2];
    SHA256_CTX inner; /* has taken key xor ipad */
    SHA256_CTX outer; /* has taken key xor opad */
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

/* A state that has taken one padded key block (RFC 2104 2). */
static bool take_block(SHA256_CTX *state, const uint8_t *key, uint8_t pad)
{
    uint8_t block[SHA256_CBLOCK];
    bool good;

    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = key[i] ^ pad;
    good = SHA256_Init(state) == 1 && SHA256_Update(state, block, sizeof(block)) == 1;
    sp_wipe(block, sizeof(block));
    return good;
}

bool sp_hash_set_keys(const uint64_t sip[2], const uint8_t hmac[SHA256_CBLOCK])
{
    memcpy(keyed.sip, sip, sizeof(keyed.sip));
    keyed.ready = take_block(&keyed.inner, hmac, 0x36) && take_block(&keyed.outer, hmac, 0x5c);
    return keyed.ready;
}

/* A second call changes nothing, so that tests of several rooms in one program may each make it. */
enum sp_err sp_hash_setup(void)
{
    uint64_t sip[2];
    uint8_t hmac[SHA256_CBLOCK];
    bool good;

    if (keyed.ready)
        return SP_OK;
    good = sp_random(sip, sizeof(sip)) == SP_OK && sp_random(hmac, sizeof(hmac)) == SP_OK &&
           sp_hash_set_keys(sip, hmac);
    sp_wipe(sip, sizeof(sip));
    sp_wipe(hmac, sizeof(hmac));
    return good ? SP_OK : SP_ERR_IO;
}

static uint64_t rotl(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static uint64_t read_word(const uint8_t *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    return le64toh(word);
}

/* The last bytes, fewer than eight. */
static uint64_t read_rest(const uint8_t *at, size_t len)
{
    uint64_t word = 0;

    for (size_t i = 0; i < len; i++)
        word |= (uint64_t)at[i] << (8 * i);
    return word;
}

static inline void sip_rounds(uint64_t *v, unsigned rounds)
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
        sip_word(v, read_word(at));
    sip_word(v, (uint64_t)bytes.len << 56 | read_rest(at, left));
    v[2] ^= 0xff;
    sip_rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t sp_hash64(struct sp_span bytes)
{
    assert(keyed.ready);
    return sp_siphash(keyed.sip, bytes);
}

/* Seven bits a byte, the low ones first; the top bit says that more follow (LEB128). No length is
 * the beginning of another's, so parts cannot run into each other; and a user and a password fit
 * into one block of the hash, where eight bytes for each length would make it two. */
#define LEN_BYTES 10

static size_t put_len(uint8_t *at, size_t len)
{
    size_t used = 0;

    for (; len >= 0x80; len >>= 7)
        at[used++] = (uint8_t)(len | 0x80);
    at[used++] = (uint8_t)len;
    return used;
}

static bool add_part(SHA256_CTX *state, struct sp_span part)
{
    uint8_t len[LEN_BYTES];

    return SHA256_Update(state, len, put_len(len, part.len)) == 1 &&
           (part.len == 0 || SHA256_Update(state, part.base, part.len) == 1);
}

/* The states are wiped: their blocks held what was hashed, which may be a password. */
enum sp_err sp_digest_make(struct sp_digest *digest, const struct sp_span *parts, size_t parts_len)
{
    SHA256_CTX state = keyed.inner;
    uint8_t inner[sizeof(digest->bytes)];
    bool good = true;

    assert(keyed.ready);
    for (size_t i = 0; good && i < parts_len; i++)
        good = add_part(&state, parts[i]);
    good = good && SHA256_Final(inner, &state) == 1;
    state = keyed.outer;
    good = good && SHA256_Update(&state, inner, sizeof(inner)) == 1 &&
           SHA256_Final(digest->bytes, &state) == 1;
    sp_wipe(&state, sizeof(state));
    sp_wipe(inner, sizeof(inner));
    return good ? SP_OK : SP_ERR_NOMEM;
}
