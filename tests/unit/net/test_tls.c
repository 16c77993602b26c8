/* TLS streams against OpenSSL's own client, and the words for certificates that will not do. */
#include "tls_side.h"

#include "util/span.h"

/* ---- certificates and keys ---- */

static void expect_refused(const char *certificate, const char *key, const char *file,
                           const char *words)
{
    char why[256];
    struct sp_tls_server *refused = tls_server_make(certificate, key, why);

    assert_null(refused);
    if (strstr(why, file) == NULL || strstr(why, words) == NULL)
        print_error("why: %s\n", why);
    assert_non_null(strstr(why, file));
    assert_non_null(strstr(why, words));
}

static void what_is_wrong_with_a_file_is_said(void **state)
{
    (void)state;
    expect_refused("/nonexistent.pem", files.key, "tls_certificate /nonexistent.pem", "No such");
    expect_refused(files.rubbish, files.key, files.rubbish, "no PEM certificate");
    expect_refused(files.certificate, "/nonexistent.pem", "tls_key /nonexistent.pem", "No such");
    expect_refused(files.certificate, files.rubbish, files.rubbish, "no PEM private key");
    expect_refused(files.certificate, files.other_key, files.other_key, "does not belong");
    expect_refused(files.certificate, files.locked_key, files.locked_key, "passphrase");
    expect_refused(files.folder, files.key, files.folder, "tls_certificate");
}

static void expect_end_point(EVP_PKEY *key, const EVP_MD *signature, const EVP_MD *hash)
{
    struct tls_files own;
    char why[256];
    struct sp_tls_server *made;
    struct sp_span end_point;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    tls_files_make(&own, key, signature);
    made = tls_server_make(own.certificate, own.key, why);
    assert_non_null(made);
    end_point = sp_tls_server_end_point(made, 0);
    if (hash == NULL) {
        assert_null(end_point.base);
    } else {
        assert_int_equal(X509_digest(own.x509, hash, digest, &len), 1);
        assert_int_equal(end_point.len, 21 + len);
        assert_memory_equal(end_point.base, "tls-server-end-point:", 21);
        assert_memory_equal(end_point.base + 21, digest, len);
    }
    sp_tls_server_unref(&made);
    tls_files_remove(&own);
}

static void the_end_point_is_hashed_as_rfc_5929_says(void **state)
{
    (void)state;
    expect_end_point(EVP_EC_gen("P-256"), EVP_sha256(), EVP_sha256());
    expect_end_point(EVP_EC_gen("P-384"), EVP_sha384(), EVP_sha384());
    expect_end_point(EVP_RSA_gen(2048), EVP_sha512(), EVP_sha512());
    expect_end_point(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), NULL, NULL);
}

/* ---- a connection ---- */

static void say_hello_and_listen(struct tls_client *client)
{
    char *heard = client->owner;
    int got;

    SSL_write(client->ssl, "hello", 5);
    got = SSL_read(client->ssl, heard, 15);
    heard[got > 0 ? got : 0] = '\0';
    SSL_shutdown(client->ssl);
}

static void speak(int version)
{
    struct side side = {.client.script = say_hello_and_listen, .client.version = version};
    char heard[16] = {0}, got[16];
    size_t len;

    side.client.owner = heard;
    side_connect(&side);
    assert_int_equal(side.err, SP_OK);
    assert_true(sp_stream_is_tls(side.stream));
    assert_false(sp_stream_at_end(side.stream));
    assert_int_equal(side_read(&side, got, sizeof(got), &len), SP_OK);
    assert_int_equal(len, 5);
    assert_memory_equal(got, "hello", 5);
    side_write(&side, "good day", 8);
    assert_int_equal(side_read(&side, got, sizeof(got), &len), SP_OK); /* close_notify */
    assert_int_equal(len, 0);
    assert_true(sp_stream_at_end(side.stream));
    side_close(&side);
    assert_string_equal(heard, "good day");
}

static void tls_1_3_carries_bytes_both_ways_and_ends_cleanly(void **state)
{
    (void)state;
    speak(TLS1_3_VERSION);
}

static void tls_1_2_carries_bytes_both_ways_and_ends_cleanly(void **state)
{
    (void)state;
    speak(TLS1_2_VERSION);
}

static void tls_1_1_is_refused_with_words(void **state)
{
    struct side side = {.client.version = TLS1_1_VERSION};
    (void)state;

    side_connect(&side);
    assert_int_equal(side.err, SP_ERR_INVALID);
    assert_true(strlen(side.why) > 0);
    side_close(&side);
    assert_true(side.client.connected != 1);
}

static void bytes_that_are_no_tls_fail_the_handshake(void **state)
{
    struct side side = {0};
    int fd = side_open(&side);
    (void)state;

    assert_int_equal(send(fd, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
    test_turn_until(side.loop, &side.done);
    assert_int_equal(side.err, SP_ERR_INVALID);
    sp_stream_close(&side.stream, false);
    test_loop_end(&side.loop);
    close(fd);
}

static void a_client_that_leaves_in_the_handshake_fails_it_once(void **state)
{
    struct side side = {0};
    int fd = side_open(&side);
    (void)state;

    assert_int_equal(send(fd, "\x16\x03\x01\x02", 4, 0), 4);
    test_turn_for(side.loop, 10);
    assert_false(side.done);
    close(fd);
    test_turn_until(side.loop, &side.done);
    test_turn_for(side.loop, 10);
    assert_int_equal(side.done_calls, 1);
    assert_int_equal(side.err, SP_ERR_CLOSED);
    sp_stream_close(&side.stream, false);
    test_loop_end(&side.loop);
}

static void an_owner_that_closes_in_the_handshake_hears_nothing(void **state)
{
    struct side sides[2] = {0};
    int fds[2];
    (void)state;

    for (unsigned i = 0; i < 2; i++)
        fds[i] = side_open(&sides[i]);
    sp_stream_close(&sides[0].stream, true); /* before it began */
    assert_int_equal(send(fds[1], "\x16\x03\x01\x02", 4, 0), 4);
    test_turn_for(sides[1].loop, 10);
    sp_stream_close(&sides[1].stream, true); /* half way */
    for (unsigned i = 0; i < 2; i++) {
        test_turn_for(sides[i].loop, 10);
        assert_int_equal(sides[i].done_calls, 0);
        test_loop_end(&sides[i].loop);
        close(fds[i]);
    }
}

static void leave_without_a_word(struct tls_client *client)
{
    SSL_write(client->ssl, "cut", 3);
}

static void an_end_without_close_notify_is_not_clean(void **state)
{
    struct side side = {.client.script = leave_without_a_word};
    char got[16];
    size_t len;
    (void)state;

    side_connect(&side);
    assert_int_equal(side_read(&side, got, sizeof(got), &len), SP_OK);
    assert_int_equal(len, 3);
    assert_int_equal(side_read(&side, got, sizeof(got), &len), SP_ERR_CLOSED);
    side_close(&side);
}

enum { BULK = 3000000 };

static void echo_bulk_slowly(struct tls_client *client)
{
    char *bulk = client->owner;
    int have = 0;

    while (have < BULK) {
        int got = SSL_read(client->ssl, bulk + have, BULK - have);

        if (got <= 0)
            return;
        have += got;
        if (have / 300000 != (have - got) / 300000)
            usleep(3000);
    }
    SSL_write(client->ssl, bulk, BULK);
    SSL_shutdown(client->ssl);
}

static void bulk_goes_there_and_back_unchanged(void **state)
{
    struct side side = {.client.script = echo_bulk_slowly};
    char *bulk = malloc(BULK), *theirs = malloc(BULK), *back = malloc(BULK);
    size_t have = 0, len;
    unsigned seed = 3;
    (void)state;

    assert_true(bulk != NULL && theirs != NULL && back != NULL);
    for (size_t i = 0; i < BULK; i++)
        bulk[i] = (char)rand_r(&seed);
    side.client.owner = theirs;
    side_connect(&side);
    side_write(&side, bulk, BULK);
    while (have < BULK) {
        assert_int_equal(
            side_read(&side, back + have, BULK - have < 5000 ? BULK - have : 5000, &len), SP_OK);
        assert_true(len > 0);
        have += len;
    }
    assert_memory_equal(bulk, back, BULK);
    side_close(&side);
    free(bulk);
    free(theirs);
    free(back);
}

static void listen_to_the_end_then_speak(struct tls_client *client)
{
    char byte;

    while (SSL_read(client->ssl, &byte, 1) > 0)
        ;
    *(bool *)client->owner = SSL_get_shutdown(client->ssl) == SSL_RECEIVED_SHUTDOWN;
    SSL_write(client->ssl, "late", 4);
    SSL_shutdown(client->ssl);
}

static void our_end_leaves_the_other_direction_open(void **state)
{
    bool notified = false;
    struct side side = {.client.script = listen_to_the_end_then_speak, .client.owner = &notified};
    char got[16];
    size_t len;
    (void)state;

    side_connect(&side);
    assert_int_equal(sp_stream_shutdown(side.stream), SP_OK);
    assert_int_equal(side_read(&side, got, sizeof(got), &len), SP_OK);
    assert_int_equal(len, 4);
    side_close(&side);
    assert_true(notified);
}

static const char *alpn(const char *offer, unsigned len, struct side *side)
{
    side->client.alpn = (const unsigned char *)offer;
    side->client.alpn_len = len;
    side_connect(side);
    assert_int_equal(side->err, SP_OK);
    side_close(side);
    return side->client.chosen;
}

static void http_1_1_is_chosen_and_h2_alone_is_ignored(void **state)
{
    struct side first = {0}, second = {0};
    (void)state;

    assert_string_equal(alpn("\x02h2\x08http/1.1", 12, &first), "http/1.1");
    assert_string_equal(alpn("\x02h2", 3, &second), "");
}

static void read_to_the_end(struct tls_client *client)
{
    char byte;

    while (SSL_read(client->ssl, &byte, 1) > 0)
        ;
    SSL_shutdown(client->ssl); /* or the library forgets the session */
}

static void resume(int version)
{
    struct side first = {.client.script = read_to_the_end, .client.version = version};
    struct side second = first;

    side_connect(&first);
    side_write(&first, "x", 1);
    sp_stream_close(&first.stream, false);
    tls_client_join(&first.client);
    test_loop_end(&first.loop);
    assert_non_null(first.client.session);
    second.client.session = first.client.session;
    side_connect(&second);
    side_close(&second);
    assert_true(second.client.resumed);
}

static void sessions_are_resumed(void **state)
{
    (void)state;
    resume(TLS1_2_VERSION);
    resume(TLS1_3_VERSION);
}

static void a_quiet_tls_connection_is_quiet(void **state)
{
    struct side side = {.client.script = read_to_the_end};
    char got[8];
    size_t len;
    (void)state;

    side_connect(&side);
    assert_int_equal(sp_stream_read(side.stream, got, sizeof(got), &len), SP_ERR_AGAIN);
    assert_true(sp_stream_is_quiet(side.stream));
    side_close(&side);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_wrong_with_a_file_is_said),
        cmocka_unit_test(the_end_point_is_hashed_as_rfc_5929_says),
        cmocka_unit_test(tls_1_3_carries_bytes_both_ways_and_ends_cleanly),
        cmocka_unit_test(tls_1_2_carries_bytes_both_ways_and_ends_cleanly),
        cmocka_unit_test(tls_1_1_is_refused_with_words),
        cmocka_unit_test(bytes_that_are_no_tls_fail_the_handshake),
        cmocka_unit_test(a_client_that_leaves_in_the_handshake_fails_it_once),
        cmocka_unit_test(an_owner_that_closes_in_the_handshake_hears_nothing),
        cmocka_unit_test(an_end_without_close_notify_is_not_clean),
        cmocka_unit_test(bulk_goes_there_and_back_unchanged),
        cmocka_unit_test(our_end_leaves_the_other_direction_open),
        cmocka_unit_test(http_1_1_is_chosen_and_h2_alone_is_ignored),
        cmocka_unit_test(sessions_are_resumed),
        cmocka_unit_test(a_quiet_tls_connection_is_quiet),
    };

    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
