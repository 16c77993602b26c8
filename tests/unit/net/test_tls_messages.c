/* Records that bring no data: a few are taken, and a flood of them has the loop for no longer than
 * anything else would. */
#include "tls_side.h"

#include <stdatomic.h>

struct flood {
    struct side side;
    unsigned updates; /* the client's key updates, before it says hello */
    atomic_bool sent; /* all of it */
    atomic_bool read; /* and whatever became of that has been seen */
    enum sp_err err;
    char got[64];
    size_t got_len;
};

static void update_and_say_hello(struct tls_client *client)
{
    struct flood *flood = client->owner;
    char rest[64];

    for (unsigned i = 0; i < flood->updates; i++) {
        assert_int_equal(SSL_key_update(client->ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(client->ssl), 1);
    }
    assert_int_equal(SSL_write(client->ssl, "hello", 5), 5);
    atomic_store(&flood->sent, true);
    while (!atomic_load(&flood->read))
        usleep(1000);
    SSL_shutdown(client->ssl);
    /* closed with tickets unread, it would be a reset, which may overtake the end */
    while (SSL_read(client->ssl, rest, sizeof(rest)) > 0)
        continue;
}

/* Reads nothing before the client has sent all: so it is there at once, as in a flood. */
static void hear(struct flood *flood, unsigned updates)
{
    memset(flood, 0, sizeof(*flood));
    flood->updates = updates;
    flood->side.client.script = update_and_say_hello;
    flood->side.client.owner = flood;
    side_connect(&flood->side);
    while (!atomic_load(&flood->sent))
        usleep(1000);
    flood->err = side_read(&flood->side, flood->got, sizeof(flood->got), &flood->got_len);
    atomic_store(&flood->read, true);
}

static void a_few_key_updates_are_taken(void **state)
{
    struct flood flood;
    (void)state;

    hear(&flood, 20);
    assert_int_equal(flood.err, SP_OK);
    assert_int_equal(flood.got_len, 5);
    assert_memory_equal(flood.got, "hello", 5);
    assert_int_equal(side_read(&flood.side, flood.got, sizeof(flood.got), &flood.got_len), SP_OK);
    assert_int_equal(flood.got_len, 0); /* the end that the client made */
    side_close(&flood.side);
}

static void a_flood_of_key_updates_ends_the_connection(void **state)
{
    struct flood flood;
    size_t len = 0;
    (void)state;

    hear(&flood, 1000);
    assert_int_equal(flood.err, SP_ERR_CLOSED); /* and not an end that the client would have made */
    assert_int_equal(flood.got_len, 0);
    assert_int_equal(sp_stream_read(flood.side.stream, flood.got, sizeof(flood.got), &len),
                     SP_ERR_CLOSED);
    side_close(&flood.side);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_few_key_updates_are_taken),
        cmocka_unit_test(a_flood_of_key_updates_ends_the_connection),
    };

    return cmocka_run_group_tests_name("tls messages", tests, set_up_all, tear_down_all);
}
