/* Records that bring no data: a few are taken, and a flood of them has the loop for no longer than
 * anything else would. */
#include "tls_test.h"

#include "util/span.h"

#include <signal.h>
#include <stdatomic.h>

static struct tls_files files;
static struct sp_tls_server *server;

static int set_up_all(void **state)
{
    char why[256];

    (void)state;
    signal(SIGPIPE, SIG_IGN); /* the client thread's; a loop looks after itself */
    tls_files_make(&files, EVP_EC_gen("P-256"), EVP_sha256());
    server = tls_server_make(files.certificate, files.key, why);
    return server != NULL ? 0 : -1;
}

static int tear_down_all(void **state)
{
    (void)state;
    sp_tls_server_unref(&server);
    tls_files_remove(&files);
    return 0;
}

struct side {
    struct sp_loop *loop;
    struct sp_stream *stream;
    struct tls_client client;
    unsigned updates; /* the client's key updates, before it says hello */
    atomic_bool sent; /* all of it */
    atomic_bool read; /* and whatever became of that has been seen */
    bool done;
    bool over;
    enum sp_err err;
    char got[64];
    size_t got_len;
};

static void update_and_say_hello(struct tls_client *client)
{
    struct side *side = client->owner;

    for (unsigned i = 0; i < side->updates; i++) {
        assert_int_equal(SSL_key_update(client->ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(client->ssl), 1);
    }
    assert_int_equal(SSL_write(client->ssl, "hello", 5), 5);
    atomic_store(&side->sent, true);
    while (!atomic_load(&side->read))
        usleep(1000);
}

static void on_ready(void *owner, unsigned events)
{
    struct side *side = owner;
    size_t len = 0;

    (void)events;
    side->err = sp_stream_read(side->stream, side->got + side->got_len,
                               sizeof(side->got) - side->got_len, &len);
    side->got_len += len;
    side->over = side->got_len == 5 || (side->err != SP_OK && side->err != SP_ERR_AGAIN);
    sp_stream_want(side->stream, side->over ? 0 : SP_STREAM_READ);
}

static void on_done(void *owner, enum sp_err err, const char *why)
{
    struct side *side = owner;

    (void)why;
    side->done = true;
    assert_int_equal(err, SP_OK);
}

/* Reads nothing before the client has sent all: so it is there at once, as in a flood. */
static void hear(struct side *side, unsigned updates)
{
    int fds[2];

    memset(side, 0, sizeof(*side));
    side->updates = updates;
    side->client.script = update_and_say_hello;
    side->client.owner = side;
    side->loop = test_loop_new(NULL);
    test_tcp_pair(fds);
    side->stream = sp_stream_new(side->loop, fds[1]);
    assert_non_null(side->stream);
    assert_int_equal(sp_stream_start_tls(side->stream, server, on_done, side), SP_OK);
    tls_client_start(&side->client, fds[0]);
    test_turn_until(side->loop, &side->done);
    while (!atomic_load(&side->sent))
        usleep(1000);
    sp_stream_own(side->stream, on_ready, side);
    sp_stream_want(side->stream, SP_STREAM_READ);
    test_turn_until(side->loop, &side->over);
    atomic_store(&side->read, true);
    tls_client_join(&side->client);
    SSL_SESSION_free(side->client.session);
}

static void end(struct side *side)
{
    sp_stream_close(&side->stream, true);
    test_loop_end(&side->loop);
}

static void a_few_key_updates_are_taken(void **state)
{
    struct side side;

    (void)state;
    hear(&side, 20);
    assert_int_equal(side.err, SP_OK);
    assert_int_equal(side.got_len, 5);
    assert_memory_equal(side.got, "hello", 5);
    end(&side);
}

static void a_flood_of_key_updates_ends_the_connection(void **state)
{
    struct side side;
    size_t len = 0;

    (void)state;
    hear(&side, 1000);
    assert_int_equal(side.err, SP_ERR_CLOSED); /* and not an end that the client would have made */
    assert_int_equal(side.got_len, 0);
    assert_int_equal(sp_stream_read(side.stream, side.got, sizeof(side.got), &len), SP_ERR_CLOSED);
    end(&side);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_few_key_updates_are_taken),
        cmocka_unit_test(a_flood_of_key_updates_ends_the_connection),
    };

    return cmocka_run_group_tests_name("tls messages", tests, set_up_all, tear_down_all);
}
