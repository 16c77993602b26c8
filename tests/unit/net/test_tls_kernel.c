/* TLS streams where the kernel has the keys, by splice(2) and past the library. On a kernel without
 * TLS the same bytes go through the library and all that is said here of them is true as well;
 * with SP_KERNEL_TLS set they demand that the kernel has it and that it is used. */
#include "tls_side.h"

#include <openssl/err.h>
#include <stdlib.h>

enum { BULK = 1500000 };

static bool is_demanded(void)
{
    return getenv("SP_KERNEL_TLS") != NULL;
}

/* A client's stream, and a plain one to an origin that the test plays. */
struct door {
    struct side side;
    struct sp_stream *origin;
    int far; /* the origin's own end */
    struct sp_pipe *pipe;
    char *bytes;
    char *heard;
};

static void door_open(struct door *door, int version, void (*script)(struct tls_client *client))
{
    int fds[2];
    unsigned seed = 7;

    door->side.client.version = version;
    door->side.client.script = script;
    door->side.client.owner = door;
    door->bytes = malloc(BULK);
    door->heard = calloc(1, BULK);
    assert_true(door->bytes != NULL && door->heard != NULL);
    for (size_t i = 0; i < BULK; i++)
        door->bytes[i] = (char)rand_r(&seed);
    side_connect(&door->side);
    assert_int_equal(door->side.err, SP_OK);
    test_tcp_pair(fds);
    door->origin = sp_stream_new(door->side.loop, fds[1]);
    door->far = fds[0];
    door->pipe = sp_pipe_take(door->side.loop);
    assert_true(door->origin != NULL && door->pipe != NULL);
}

/* All but the bytes: what the client heard can be looked at afterwards. */
static void door_end(struct door *door)
{
    sp_pipe_give(door->side.loop, &door->pipe);
    sp_stream_close(&door->origin, false);
    side_close(&door->side);
    close(door->far);
}

static void door_free(struct door *door)
{
    free(door->bytes);
    free(door->heard);
}

static void door_close(struct door *door)
{
    door_end(door);
    door_free(door);
}

/* What comes next from the client, by splice where that serves. */
static enum sp_err hear(struct door *door, char *into, size_t room, size_t *len_out)
{
    struct side *side = &door->side;

    for (;;) {
        enum sp_err err;

        if (!sp_stream_can_splice(side->stream, door->origin)) {
            err = sp_stream_read(side->stream, into, room, len_out);
        } else {
            err = sp_stream_splice_in(side->stream, door->pipe, room, len_out);
            if (err == SP_OK && *len_out > 0) {
                assert_int_equal(read(door->pipe->rd, into, *len_out), *len_out);
                door->pipe->filled = 0;
            }
        }
        if (err != SP_ERR_AGAIN)
            return err;
        side->told = false;
        sp_stream_want(side->stream, SP_STREAM_READ);
        test_turn_until(side->loop, &side->told);
    }
}

/* ---- what the kernel is given ---- */

static void the_kernel_has_the_keys_where_it_can(void **state)
{
    struct door door = {0}, older = {0};
    (void)state;

    door_open(&door, TLS1_3_VERSION, NULL);
    door_open(&older, TLS1_2_VERSION, NULL);
    if (is_demanded()) {
        assert_true(sp_stream_can_splice(door.origin, door.side.stream));
        assert_true(sp_stream_can_splice(older.origin, older.side.stream));
        assert_true(sp_stream_can_splice(older.side.stream, older.origin));
    }
    /* who reads by the kernel writes by it, else the library would have the one and not the other
     */
    assert_true(sp_stream_can_splice(door.origin, door.side.stream) ||
                !sp_stream_can_splice(door.side.stream, door.origin));
    door_close(&door);
    door_close(&older);
}

/* ---- bytes ---- */

static void hear_bulk(struct tls_client *client)
{
    struct door *door = client->owner;
    int have = 0, got;

    while (have < BULK && (got = SSL_read(client->ssl, door->heard + have, BULK - have)) > 0) {
        have += got;
        if (have / 100000 != (have - got) / 100000)
            usleep(3000); /* sockets on the way get full */
    }
    SSL_shutdown(client->ssl);
}

/* From the origin to the client, by splice where that serves. */
static void pass_bulk(struct door *door)
{
    struct side *side = &door->side;
    size_t fed = 0, passed = 0;

    while (passed < BULK) {
        size_t len = 0;
        ssize_t did = fed < BULK ? send(door->far, door->bytes + fed, BULK - fed, MSG_DONTWAIT) : 0;

        fed += did > 0 ? (size_t)did : 0;
        sp_loop_turn(side->loop, false);
        if (!sp_stream_can_splice(door->origin, side->stream)) {
            side_write(side, door->bytes + passed, fed - passed);
            passed = fed;
            continue;
        }
        if (door->pipe->filled == 0)
            (void)!sp_stream_splice_in(door->origin, door->pipe, SIZE_MAX, &len);
        if (door->pipe->filled > 0)
            assert_true(sp_stream_splice_out(side->stream, door->pipe, &len) != SP_ERR_IO);
        passed += door->pipe->filled == 0 || len > 0 ? len : 0;
    }
}

static void bulk_to_the_client_arrives_unchanged(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    (void)state;

    for (unsigned i = 0; i < 2; i++) {
        struct door door = {0};
        size_t len;
        char end[8];

        door_open(&door, versions[i], hear_bulk);
        pass_bulk(&door);
        assert_int_equal(hear(&door, end, sizeof(end), &len), SP_OK); /* close_notify */
        assert_int_equal(len, 0);
        assert_memory_equal(door.heard, door.bytes, BULK);
        door_close(&door);
    }
}

static void say_bulk(struct tls_client *client)
{
    struct door *door = client->owner;
    char byte;

    SSL_write(client->ssl, door->bytes, BULK);
    SSL_shutdown(client->ssl);
    SSL_read(client->ssl, &byte, 1); /* unread tickets would make its end a reset */
}

static void bulk_from_the_client_arrives_unchanged_and_ends(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    (void)state;

    for (unsigned i = 0; i < 2; i++) {
        struct door door = {0};
        size_t have = 0, len;

        door_open(&door, versions[i], say_bulk);
        for (; have < BULK; have += len) {
            assert_int_equal(hear(&door, door.heard + have, BULK - have, &len), SP_OK);
            assert_true(len > 0);
        }
        assert_int_equal(hear(&door, door.heard, 1, &len), SP_OK);
        assert_int_equal(len, 0);
        assert_true(sp_stream_at_end(door.side.stream));
        door_close(&door);
    }
}

/* What is offered again lies elsewhere: only the bytes are the same. */
static void write_from_changing_places(struct door *door)
{
    enum { PART = 5000 };
    struct side *side = &door->side;
    size_t done = 0;

    while (done < BULK) {
        size_t left = BULK - done;
        char place[2][PART];
        char *at = place[(done / 7) % 2];
        struct iovec parts[2] = {{at, 1000}, {at + 1000, (left < PART ? left : PART) - 1000}};
        size_t sent = 0;
        enum sp_err err;

        memset(place, '#', sizeof(place));
        memcpy(at, door->bytes + done, left < PART ? left : PART);
        err = sp_stream_write(side->stream, parts, 2, &sent);
        memset(place, '!', sizeof(place));
        done += sent;
        if (err == SP_ERR_AGAIN) {
            side_wait(side, SP_STREAM_WRITE);
            continue;
        }
        assert_int_equal(err, SP_OK);
    }
}

static void a_write_that_waited_sends_what_it_is_offered_then(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    (void)state;

    for (unsigned i = 0; i < 2; i++) {
        struct door door = {0};
        size_t len;
        char end[8];

        door_open(&door, versions[i], hear_bulk);
        write_from_changing_places(&door);
        assert_int_equal(hear(&door, end, sizeof(end), &len), SP_OK);
        assert_memory_equal(door.heard, door.bytes, BULK);
        door_close(&door);
    }
}

/* ---- ends ---- */

static void leave_without_a_word(struct tls_client *client)
{
    SSL_write(client->ssl, "cut", 3);
}

static void an_end_without_close_notify_is_not_clean(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    (void)state;

    for (unsigned i = 0; i < 2; i++) {
        struct door door = {0};
        char got[16];
        size_t len;

        door_open(&door, versions[i], leave_without_a_word);
        assert_int_equal(hear(&door, got, sizeof(got), &len), SP_OK);
        assert_int_equal(len, 3);
        assert_int_equal(hear(&door, got, sizeof(got), &len), SP_ERR_CLOSED);
        door_close(&door);
    }
}

static void send_a_forged_record(struct tls_client *client)
{
    static const char record[37] = "\x17\x03\x03\x00\x20this was sealed by nobody's key";
    char byte;

    (void)!write(client->fd, record, sizeof(record));
    SSL_read(client->ssl, &byte, 1);
    *((struct door *)client->owner)->heard = ERR_GET_REASON(ERR_peek_error()) ==
                                                     SSL_R_SSLV3_ALERT_BAD_RECORD_MAC
                                                 ? 'y'
                                                 : 'n';
}

static void a_forged_record_ends_the_connection(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    (void)state;

    for (unsigned i = 0; i < 2; i++) {
        struct door door = {0};
        char got[16], said;
        size_t len;
        enum sp_err err;
        bool kernel;

        door_open(&door, versions[i], send_a_forged_record);
        kernel = sp_stream_can_splice(door.side.stream, door.origin);
        err = hear(&door, got, sizeof(got), &len);
        assert_true(err == SP_ERR_CLOSED || err == SP_ERR_IO);
        door_end(&door);
        said = *door.heard;
        door_free(&door);
        assert_int_equal(said, kernel ? 'n' : 'y'); /* the kernel lets nobody send any more */
    }
}

static void hear_to_the_end(struct tls_client *client)
{
    struct door *door = client->owner;
    int have = 0, got;

    while (have < BULK && (got = SSL_read(client->ssl, door->heard + have, 3000)) > 0)
        have += got;
    door->side.client.chosen[0] = SSL_get_shutdown(client->ssl) == SSL_RECEIVED_SHUTDOWN ? 'y'
                                                                                         : 'n';
    SSL_shutdown(client->ssl);
    memcpy(door->side.client.chosen + 1, &have, sizeof(have));
}

/* An end that is asked for while the socket is full comes after all that was taken. */
static void everything_taken_arrives_before_the_end(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 40; round++) {
        struct door door = {0};
        int small = 20000 + 3000 * (int)round, arrived;
        size_t taken = 200000 + 7000 * round, len;
        char end[8];

        door_open(&door, round % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION, hear_to_the_end);
        assert_int_equal(
            setsockopt(door.side.stream->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
        side_write(&door.side, door.bytes, taken);
        assert_int_equal(sp_stream_shutdown(door.side.stream), SP_OK);
        assert_int_equal(hear(&door, end, sizeof(end), &len), SP_OK);
        assert_int_equal(len, 0);
        door_end(&door);
        memcpy(&arrived, door.side.client.chosen + 1, sizeof(arrived));
        assert_int_equal(door.side.client.chosen[0], 'y');
        assert_int_equal(arrived, taken);
        assert_memory_equal(door.heard, door.bytes, taken);
        door_free(&door);
    }
}

/* ---- records that are not data ---- */

static void turn_between_two_words(struct tls_client *client, int kind)
{
    struct door *door = client->owner;

    SSL_write(client->ssl, "old", 3);
    SSL_key_update(client->ssl, kind);
    SSL_write(client->ssl, "new", 3);
    door->heard[6] = (char)SSL_read(client->ssl, door->heard, 6);
    SSL_shutdown(client->ssl);
}

static void turn_the_key(struct tls_client *client)
{
    turn_between_two_words(client, SSL_KEY_UPDATE_NOT_REQUESTED);
}

static void ask_for_a_new_key(struct tls_client *client)
{
    turn_between_two_words(client, SSL_KEY_UPDATE_REQUESTED);
}

static void a_client_may_turn_its_key(void **state)
{
    struct door door = {0};
    char got[16];
    size_t len;
    (void)state;

    door_open(&door, TLS1_3_VERSION, turn_the_key);
    assert_int_equal(hear(&door, got, 3, &len), SP_OK);
    assert_memory_equal(got, "old", 3);
    assert_int_equal(hear(&door, got, 3, &len), SP_OK);
    assert_memory_equal(got, "new", 3);
    side_write(&door.side, "answer", 6);
    assert_int_equal(hear(&door, got, 1, &len), SP_OK);
    assert_int_equal(len, 0);
    assert_memory_equal(door.heard, "answer", 6);
    door_close(&door);
}

/* Where the kernel has our key it keeps it for good: nothing that the client could not read is sent
 * under it, and the connection is over. */
static void a_key_that_cannot_be_turned_ends_the_connection(void **state)
{
    struct door door = {0};
    struct iovec answer = {(char *)(uintptr_t) "answer", 6};
    char got[16];
    size_t len;
    bool kernel;
    (void)state;

    door_open(&door, TLS1_3_VERSION, ask_for_a_new_key);
    kernel = sp_stream_can_splice(door.origin, door.side.stream);
    assert_int_equal(hear(&door, got, 3, &len), SP_OK);
    assert_memory_equal(got, "old", 3);
    assert_int_equal(hear(&door, got, 3, &len), SP_OK); /* it was sent, so it is heard */
    assert_memory_equal(got, "new", 3);
    if (kernel) {
        assert_int_equal(hear(&door, got, 3, &len), SP_ERR_CLOSED);
        assert_int_equal(sp_stream_write(door.side.stream, &answer, 1, &len), SP_ERR_CLOSED);
        assert_false(sp_stream_can_splice(door.origin, door.side.stream));
    } else {
        side_write(&door.side, "answer", 6);
        assert_int_equal(hear(&door, got, 1, &len), SP_OK);
    }
    door_end(&door);
    assert_int_equal(door.heard[6] > 0, !kernel);
    door_free(&door);
}

static void ask_for_a_new_handshake(struct tls_client *client)
{
    char byte;

    SSL_write(client->ssl, "before", 6);
    SSL_renegotiate(client->ssl);
    SSL_do_handshake(client->ssl);
    *((struct door *)client->owner)->heard = SSL_read(client->ssl, &byte, 1) > 0 ? 'y' : 'n';
}

static void a_new_handshake_is_refused(void **state)
{
    struct door door = {0};
    char got[16];
    size_t len;
    (void)state;

    door_open(&door, TLS1_2_VERSION, ask_for_a_new_handshake);
    assert_int_equal(hear(&door, got, sizeof(got), &len), SP_OK);
    assert_int_equal(len, 6);
    assert_int_equal(hear(&door, got, sizeof(got), &len), SP_ERR_CLOSED); /* the client gave up */
    door_close(&door);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_kernel_has_the_keys_where_it_can),
        cmocka_unit_test(bulk_to_the_client_arrives_unchanged),
        cmocka_unit_test(bulk_from_the_client_arrives_unchanged_and_ends),
        cmocka_unit_test(a_write_that_waited_sends_what_it_is_offered_then),
        cmocka_unit_test(an_end_without_close_notify_is_not_clean),
        cmocka_unit_test(a_forged_record_ends_the_connection),
        cmocka_unit_test(everything_taken_arrives_before_the_end),
        cmocka_unit_test(a_client_may_turn_its_key),
        cmocka_unit_test(a_key_that_cannot_be_turned_ends_the_connection),
        cmocka_unit_test(a_new_handshake_is_refused),
    };

    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
