/* util/hash: the reference vectors of SipHash, HMAC against OpenSSL's own, and framing of parts. */
#include "util/hash.h"
#include "util/hash_priv.h"

#include "util/span.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* From the paper's appendix and its reference implementation: key 00..0f, message 00..len-1. */
static void siphash_gives_the_reference_values(void **state)
{
    static const struct {
        size_t len;
        uint64_t hash;
    } vectors[] = {
        {0, 0x726fdb47dd0e0e31u}, {1, 0x74f839c593dc67fdu},  {7, 0xab0200f58b01d137u},
        {8, 0x93f5f5799a932462u}, {15, 0xa129ca6149be45e5u},
    };
    const uint64_t key[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    char message[16];

    (void)state;
    for (size_t i = 0; i < sizeof(message); i++)
        message[i] = (char)i;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
        assert_true(sp_siphash(key, sp_span_of(message, vectors[i].len)) == vectors[i].hash);
}

static struct sp_digest digest_of(const char *a, const char *b)
{
    struct sp_span parts[2] = {sp_span_cstr(a), sp_span_cstr(b)};
    struct sp_digest digest;

    assert_int_equal(sp_digest_make(&digest, parts, 2), SP_OK);
    return digest;
}

static void assert_hmac(const uint8_t key[64], struct sp_span message, struct sp_digest made)
{
    uint8_t expected[32];

    assert_non_null(HMAC(EVP_sha256(), key, 64, (const unsigned char *)message.base, message.len,
                         expected, NULL));
    assert_memory_equal(made.bytes, expected, sizeof(expected));
}

/* Seven bits of a length a byte: one byte up to 127, two from 128 on, three from 16,384 on. */
static void a_digest_is_the_hmac_of_parts_behind_their_lengths(void **state)
{
    static const uint64_t sip[2] = {1, 2};
    static const struct {
        size_t len;
        struct sp_span written;
    } lengths[] = {
        {0, SP_SPAN_LIT("\0")},
        {1, SP_SPAN_LIT("\1")},
        {127, SP_SPAN_LIT("\x7f")},
        {128, SP_SPAN_LIT("\x80\1")},
        {300, SP_SPAN_LIT("\xac\2")},
        {16383, SP_SPAN_LIT("\xff\x7f")},
        {16384, SP_SPAN_LIT("\x80\x80\1")},
    };
    static char message[16384 + 16];
    uint8_t key[64];

    (void)state;
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)(i * 7);
    assert_true(sp_hash_set_keys(sip, key));
    assert_hmac(key, SP_SPAN_LIT("\5alice\6secret"), digest_of("alice", "secret"));
    memset(message, 'x', sizeof(message));
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct sp_span written = lengths[i].written;
        struct sp_span part = sp_span_of(message + written.len, lengths[i].len);
        struct sp_digest made;

        memcpy(message, written.base, written.len);
        assert_int_equal(sp_digest_make(&made, &part, 1), SP_OK);
        assert_hmac(key, sp_span_of(message, written.len + part.len), made);
        memset(message, 'x', written.len);
    }
}

static void parts_that_join_to_the_same_bytes_differ(void **state)
{
    struct sp_digest a = digest_of("ab", "c");
    struct sp_digest b = digest_of("a", "bc");
    struct sp_digest c = digest_of("ab", "c");
    struct sp_span one = SP_SPAN_LIT("ab");
    struct sp_digest d;

    (void)state;
    assert_memory_not_equal(&a, &b, sizeof(a));
    assert_memory_equal(&a, &c, sizeof(a));
    assert_int_equal(sp_digest_make(&d, &one, 1), SP_OK);
    assert_memory_not_equal(&a, &d, sizeof(a));
}

static void *digest_elsewhere(void *out)
{
    *(struct sp_digest *)out = digest_of("alice", "secret");
    return NULL;
}

static void every_thread_gives_the_same_digest(void **state)
{
    struct sp_digest here = digest_of("alice", "secret");
    struct sp_digest there[4];
    pthread_t threads[4];

    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, digest_elsewhere, &there[i]), 0);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_memory_equal(&here, &there[i], sizeof(here));
    }
}

static void random_bytes_differ_from_call_to_call(void **state)
{
    uint8_t a[32] = {0};
    uint8_t b[32] = {0};

    (void)state;
    assert_int_equal(sp_random(a, sizeof(a)), SP_OK);
    assert_int_equal(sp_random(b, sizeof(b)), SP_OK);
    assert_memory_not_equal(a, b, sizeof(a));
    assert_true(sp_hash64(SP_SPAN_LIT("a")) != sp_hash64(SP_SPAN_LIT("b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_gives_the_reference_values),
        cmocka_unit_test(a_digest_is_the_hmac_of_parts_behind_their_lengths),
        cmocka_unit_test(parts_that_join_to_the_same_bytes_differ),
        cmocka_unit_test(every_thread_gives_the_same_digest),
        cmocka_unit_test(random_bytes_differ_from_call_to_call),
    };

    if (sp_hash_setup() != SP_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
