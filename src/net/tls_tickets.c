/* Session tickets: what a client that comes back shows in place of a handshake's costly part. The
 * session lies in the ticket, sealed by keys that live in this process alone, so every worker
 * resumes what any other began, and nothing is looked up. A key seals for an hour and opens for
 * another: whoever takes the process's memory later reads no older traffic of clients that resumed.
 *
 * A ticket names the certificate that its session began with. Where a reload has taken that one
 * away, the session is not resumed: the client must see the new one. */
#include "net/tls_priv.h"

#include "util/clock.h"
#include "util/secret.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <string.h>

#define KEY_SEALS_MS (3600 * 1000)
#define KEY_OPENS_MS (2 * KEY_SEALS_MS)
#define SESSION_S    3600 /* an older one is not resumed, whatever its key */
#define KEYS_KEPT    2

static struct {
    pthread_mutex_t lock;
    struct sp_tls_ticket_key keys[KEYS_KEPT]; /* the newest first */
} ring = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- the keys ---- */

/* Callers read the clock before they have the lock: a key may have been made since. */
static uint64_t age_ms(const struct sp_tls_ticket_key *key, uint64_t now_ms)
{
    return now_ms > key->made_ms ? now_ms - key->made_ms : 0;
}

/* Under the lock. */
static enum sp_err rotate(uint64_t now_ms)
{
    struct sp_tls_ticket_key fresh = {.made_ms = now_ms};
    enum sp_err err = SP_ERR_IO;

    if (RAND_bytes(fresh.name, sizeof(fresh.name)) == 1 &&
        RAND_priv_bytes(fresh.cipher, sizeof(fresh.cipher)) == 1 &&
        RAND_priv_bytes(fresh.mac, sizeof(fresh.mac)) == 1) {
        memmove(&ring.keys[1], &ring.keys[0], (KEYS_KEPT - 1) * sizeof(fresh));
        ring.keys[0] = fresh;
        err = SP_OK;
    }
    sp_wipe(&fresh, sizeof(fresh));
    return err;
}

enum sp_err sp_tls_ticket_key_newest(uint64_t now_ms, struct sp_tls_ticket_key *out)
{
    enum sp_err err = SP_OK;

    pthread_mutex_lock(&ring.lock);
    if (ring.keys[0].made_ms == 0 || age_ms(&ring.keys[0], now_ms) >= KEY_SEALS_MS)
        err = rotate(now_ms);
    if (err == SP_OK)
        *out = ring.keys[0];
    pthread_mutex_unlock(&ring.lock);
    return err;
}

bool sp_tls_ticket_key_find(const unsigned char name[16], uint64_t now_ms,
                            struct sp_tls_ticket_key *out)
{
    bool found = false;

    pthread_mutex_lock(&ring.lock);
    for (size_t i = 0; i < KEYS_KEPT && !found; i++) {
        const struct sp_tls_ticket_key *key = &ring.keys[i];

        found = key->made_ms != 0 && age_ms(key, now_ms) < KEY_OPENS_MS &&
                memcmp(key->name, name, sizeof(key->name)) == 0;
        if (found)
            *out = *key;
    }
    pthread_mutex_unlock(&ring.lock);
    return found;
}

/* ---- sealing and opening: OpenSSL's callbacks ---- */

static uint64_t now_ms(void)
{
    return sp_clock_mono_ms(&sp_clock_system) + 1; /* 0 stands for no key */
}

static bool set_mac(EVP_MAC_CTX *mac, struct sp_tls_ticket_key *key)
{
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof(key->mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

static int seal(unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                struct sp_tls_ticket_key *key)
{
    if (sp_tls_ticket_key_newest(now_ms(), key) != SP_OK)
        return 0; /* no ticket then */
    memcpy(name, key->name, sizeof(key->name));
    if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1 ||
        EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv) != 1 ||
        !set_mac(mac, key))
        return -1;
    return 1;
}

static int unseal(const unsigned char *name, const unsigned char *iv, EVP_CIPHER_CTX *cipher,
                  EVP_MAC_CTX *mac, struct sp_tls_ticket_key *key)
{
    uint64_t now = now_ms();

    if (!sp_tls_ticket_key_find(name, now, key))
        return 0; /* not ours, or no longer: a whole handshake */
    if (!set_mac(mac, key) ||
        EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv) != 1)
        return -1;
    return age_ms(key, now) < KEY_SEALS_MS ? 1 : 2; /* 2: and a ticket by a newer key */
}

static int on_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                         EVP_MAC_CTX *mac, int sealing)
{
    struct sp_tls_ticket_key key;
    int said;

    (void)ssl;
    said = sealing ? seal(name, iv, cipher, mac, &key) : unseal(name, iv, cipher, mac, &key);
    sp_wipe(&key, sizeof(key));
    return said;
}

/* ---- which certificate a session began with ---- */

static int on_seal(SSL *ssl, void *arg)
{
    const struct sp_tls_pair *pair;

    if (SSL_session_reused(ssl))
        return 1; /* the mark goes from ticket to ticket */
    pair = sp_tls_pair_of(arg, ssl);
    return pair != NULL && SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), pair->mark,
                                                           sizeof(pair->mark)) == 1;
}

static bool has_mark(const struct sp_tls_server *server, SSL_SESSION *session)
{
    void *mark = NULL;
    size_t len = 0;

    if (SSL_SESSION_get0_ticket_appdata(session, &mark, &len) != 1 || len != SP_TLS_MARK_LEN)
        return false;
    for (size_t i = 0; i < server->pairs_len; i++)
        if (memcmp(server->pairs[i].mark, mark, len) == 0)
            return true;
    return false;
}

static SSL_TICKET_RETURN on_unseal(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                   size_t name_len, SSL_TICKET_STATUS status, void *arg)
{
    (void)ssl;
    (void)name;
    (void)name_len;
    if (status == SSL_TICKET_SUCCESS && has_mark(arg, session))
        return SSL_TICKET_RETURN_USE;
    if (status == SSL_TICKET_SUCCESS_RENEW && has_mark(arg, session))
        return SSL_TICKET_RETURN_USE_RENEW;
    return SSL_TICKET_RETURN_IGNORE_RENEW;
}

bool sp_tls_tickets_set_up(struct sp_tls_server *server)
{
    /* Sessions live in the tickets alone: no table, no lock. */
    SSL_CTX_set_session_cache_mode(server->ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(server->ctx, SESSION_S);
    return SSL_CTX_set_num_tickets(server->ctx, 1) == 1 &&
           SSL_CTX_set_tlsext_ticket_key_evp_cb(server->ctx, on_ticket_key) == 1 &&
           SSL_CTX_set_session_ticket_cb(server->ctx, on_seal, on_unseal, server) == 1;
}
