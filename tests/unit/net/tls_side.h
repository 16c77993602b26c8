/* Our side of a TLS connection, and the client of tls_test.h at the other: what the tests of TLS
 * streams share. */
#ifndef SP_TESTS_UNIT_TLS_SIDE_H
#define SP_TESTS_UNIT_TLS_SIDE_H

#include "tls_test.h"

#include "net/stream_priv.h"

#include <signal.h>

static struct tls_files files;
static struct sp_tls_server *server;

static inline int set_up_all(void **state)
{
    char why[256];
    (void)state;

    signal(SIGPIPE, SIG_IGN); /* the client thread's; a loop looks after itself */
    tls_files_make(&files, EVP_EC_gen("P-256"), EVP_sha256());
    server = tls_server_make(files.certificate, files.key, why);
    return server != NULL ? 0 : -1;
}

static inline int tear_down_all(void **state)
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
    bool done;
    unsigned done_calls;
    enum sp_err err;
    char why[128];
    bool told;
};

static inline void on_ready(void *owner, unsigned events)
{
    struct side *side = owner;

    (void)events;
    side->told = true;
    sp_stream_want(side->stream, 0);
}

static inline void on_done(void *owner, enum sp_err err, const char *why)
{
    struct side *side = owner;

    side->done = true;
    side->done_calls++;
    side->err = err;
    snprintf(side->why, sizeof(side->why), "%s", why != NULL ? why : "");
    if (err == SP_OK)
        sp_stream_own(side->stream, on_ready, side);
}

static inline int side_open(struct side *side)
{
    int fds[2];

    test_tcp_pair(fds);
    side->loop = test_loop_new(NULL);
    side->stream = sp_stream_new(side->loop, fds[1]);
    assert_non_null(side->stream);
    assert_int_equal(sp_stream_start_tls(side->stream, server, on_done, side), SP_OK);
    assert_false(side->done);
    return fds[0];
}

static inline void side_connect(struct side *side)
{
    tls_client_start(&side->client, side_open(side));
    test_turn_until(side->loop, &side->done);
    assert_int_equal(side->done_calls, 1);
}

static inline void side_close(struct side *side)
{
    sp_stream_close(&side->stream, false);
    test_loop_end(&side->loop);
    tls_client_join(&side->client);
    SSL_SESSION_free(side->client.session);
}

/* Turns until the stream may be read or written again. */
static inline void side_wait(struct side *side, unsigned what)
{
    side->told = false;
    sp_stream_want(side->stream, what);
    test_turn_until(side->loop, &side->told);
}

static inline enum sp_err side_read(struct side *side, char *into, size_t room, size_t *len_out)
{
    for (;;) {
        enum sp_err err = sp_stream_read(side->stream, into, room, len_out);

        if (err != SP_ERR_AGAIN)
            return err;
        side_wait(side, SP_STREAM_READ);
    }
}

static inline void side_write(struct side *side, const char *bytes, size_t len)
{
    while (len > 0) {
        size_t first = len < 100 ? len : 100; /* small parts are to be put together */
        struct iovec parts[3] = {{(char *)(uintptr_t)bytes, first / 2},
                                 {(char *)(uintptr_t)bytes + first / 2, first - first / 2},
                                 {(char *)(uintptr_t)bytes + first, len - first}};
        size_t sent = 0;
        enum sp_err err = sp_stream_write(side->stream, parts, 3, &sent);

        if (err == SP_ERR_AGAIN) {
            side_wait(side, SP_STREAM_WRITE);
            continue;
        }
        assert_int_equal(err, SP_OK);
        assert_true(sent > 0);
        bytes += sent;
        len -= sent;
    }
}

#endif
