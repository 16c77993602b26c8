/* The body relay over real sockets: a thread feeds the source, another reads the sink, the relay
 * stands on a loop between them. What arrives is compared byte for byte. */
#include "proxy/proxy_priv.h"

#include "util/hash.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct bench {
    struct sp_loop *loop;
    struct sp_proxy *proxy; /* only what a relay needs of it: a loop and a stock of slabs */
    struct sp_stream *from;
    struct sp_stream *to;
    struct sp_buf in;
    struct sp_buf out;
    struct sp_relay relay;
    struct sp_soon again;
    enum sp_relay_result result;
    size_t most_held; /* bytes that waited in memory at once */
    int source;       /* the other end of `from` */
    int sink;         /* the other end of `to` */
    struct sp_buf fed;
    struct sp_buf got;
    useconds_t reader_waits; /* before its first read */
    pthread_t feeder;
    pthread_t reader;
};

static void *feed(void *arg)
{
    struct bench *b = arg;
    struct sp_span rest = sp_buf_span(&b->fed);

    while (rest.len > 0) {
        ssize_t sent = send(b->source, rest.base, rest.len, MSG_NOSIGNAL);

        if (sent < 0)
            return NULL; /* the relay has given up */
        rest.base += sent;
        rest.len -= (size_t)sent;
    }
    shutdown(b->source, SHUT_WR);
    return NULL;
}

static void *collect(void *arg)
{
    struct bench *b = arg;
    char *room;
    ssize_t got;

    usleep(b->reader_waits);
    for (;;) {
        if (sp_buf_reserve(&b->got, 65536, &room) != SP_OK)
            abort();
        got = recv(b->sink, room, 65536, 0);
        if (got <= 0)
            return NULL;
        sp_buf_commit(&b->got, (size_t)got);
    }
}

static void finish(struct bench *b, enum sp_relay_result result)
{
    b->result = result;
    sp_stream_close(&b->from, false);
    sp_stream_close(&b->to, false);
    sp_soon_cancel(&b->again);
    sp_relay_fini(&b->relay);
    sp_loop_stop(b->loop);
}

static void run(struct bench *b)
{
    enum sp_relay_result result = sp_relay_run(&b->relay);

    if (b->in.len + b->out.len > b->most_held)
        b->most_held = b->in.len + b->out.len;
    switch (result) {
    case SP_RELAY_WAIT_SOURCE: sp_stream_want(b->from, SP_STREAM_READ); break;
    case SP_RELAY_WAIT_SINK: sp_stream_want(b->to, SP_STREAM_WRITE); break;
    case SP_RELAY_YIELD: sp_loop_soon(b->loop, &b->again); break;
    case SP_RELAY_DONE:
    case SP_RELAY_SOURCE_FAILED:
    case SP_RELAY_SINK_FAILED:
    case SP_RELAY_MALFORMED:
    case SP_RELAY_NO_MEMORY: finish(b, result); break;
    }
}

static void on_ready(void *owner, unsigned events)
{
    (void)events;
    run(owner);
}

static void on_again(struct sp_soon *soon)
{
    run(sp_container_of(soon, struct bench, again));
}

static void set_nonblocking(int fd)
{
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    int pair[2];

    assert_non_null(b);
    assert_int_equal(sp_hash_setup(), SP_OK);
    b->loop = sp_loop_new(NULL);
    b->proxy = calloc(1, sizeof(*b->proxy));
    assert_non_null(b->loop);
    assert_non_null(b->proxy);
    b->proxy->loop = b->loop;
    sp_soon_init(&b->again, on_again);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    set_nonblocking(pair[1]);
    b->source = pair[0];
    b->from = sp_stream_new(b->loop, pair[1]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    set_nonblocking(pair[1]);
    b->sink = pair[0];
    b->to = sp_stream_new(b->loop, pair[1]);
    assert_non_null(b->from);
    assert_non_null(b->to);
    sp_stream_own(b->from, on_ready, b);
    sp_stream_own(b->to, on_ready, b);
    sp_buf_init(&b->fed, SIZE_MAX / 2);
    sp_buf_init(&b->got, SIZE_MAX / 2);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;

    sp_slab_return(b->proxy, &b->in);
    sp_slab_return(b->proxy, &b->out);
    while (b->proxy->spare_slabs_len > 0)
        free(b->proxy->spare_slabs[--b->proxy->spare_slabs_len]);
    sp_buf_fini(&b->fed);
    sp_buf_fini(&b->got);
    close(b->source);
    close(b->sink);
    sp_loop_free(&b->loop);
    free(b->proxy);
    free(b);
    return 0;
}

static void put(struct sp_buf *buf, const char *text)
{
    assert_int_equal(sp_buf_append(buf, sp_span_cstr(text)), SP_OK);
}

static void put_pattern(struct sp_buf *buf, size_t len)
{
    char *room;

    assert_int_equal(sp_buf_reserve(buf, len, &room), SP_OK);
    for (size_t i = 0; i < len; i++)
        room[i] = (char)((i * 2654435761u) >> 13);
    sp_buf_commit(buf, len);
}

static void relay(struct bench *b, struct sp_http_framing framing, bool chunked)
{
    sp_relay_init(&b->relay, b->proxy, b->from, &b->in, b->to, &b->out, framing, chunked);
    assert_int_equal(pthread_create(&b->feeder, NULL, feed, b), 0);
    assert_int_equal(pthread_create(&b->reader, NULL, collect, b), 0);
    sp_stream_want(b->from, SP_STREAM_READ);
    sp_loop_run(b->loop);
    shutdown(b->source, SHUT_RDWR); /* a feeder that is still at it gives up */
    pthread_join(b->feeder, NULL);
    pthread_join(b->reader, NULL);
}

static void assert_got(const struct bench *b, const char *base, size_t len)
{
    struct sp_span got = sp_buf_span(&b->got);

    assert_int_equal(got.len, len);
    assert_memory_equal(got.base, base, len);
}

static void a_length_is_relayed_and_what_follows_stays(void **state)
{
    struct bench *b = *state;

    put(&b->fed, "hello worldGET /next");
    relay(b, (struct sp_http_framing){SP_BODY_LENGTH, 11}, false);
    assert_int_equal(b->result, SP_RELAY_DONE);
    assert_got(b, "hello world", 11);
    assert_true(sp_span_eq(sp_buf_span(&b->in), SP_SPAN_LIT("GET /next")));
}

static void what_waits_in_out_goes_first(void **state)
{
    struct bench *b = *state;

    assert_int_equal(sp_slab_lend(b->proxy, &b->out, SLAB_SIZE), SP_OK);
    put(&b->out, "HEAD ");
    put(&b->fed, "body");
    relay(b, (struct sp_http_framing){SP_BODY_LENGTH, 4}, false);
    assert_int_equal(b->result, SP_RELAY_DONE);
    assert_got(b, "HEAD body", 9);
    assert_int_equal(b->relay.written, 9);
}

static void no_body_still_sends_the_head(void **state)
{
    struct bench *b = *state;

    assert_int_equal(sp_slab_lend(b->proxy, &b->out, SLAB_SIZE), SP_OK);
    put(&b->out, "HEAD");
    sp_stream_want(b->to, SP_STREAM_WRITE);
    relay(b, (struct sp_http_framing){SP_BODY_NONE, 0}, false);
    assert_int_equal(b->result, SP_RELAY_DONE);
    assert_got(b, "HEAD", 4);
}

static void chunks_are_read_and_written_anew_with_trailers(void **state)
{
    struct bench *b = *state;

    put(&b->fed, "5;name=\"v\"\r\nhello\r\n00006\r\n world\r\n0\r\nX-Sum: 1\r\n\r\nrest");
    relay(b, (struct sp_http_framing){SP_BODY_CHUNKED, 0}, true);
    assert_int_equal(b->result, SP_RELAY_DONE);
    {
        static const char want[] = "5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n";

        assert_got(b, want, sizeof(want) - 1);
    }
    assert_true(sp_span_eq(sp_buf_span(&b->in), SP_SPAN_LIT("rest")));
}

static void chunks_lose_their_framing_for_who_does_not_know_it(void **state)
{
    struct bench *b = *state;

    put(&b->fed, "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    relay(b, (struct sp_http_framing){SP_BODY_CHUNKED, 0}, false);
    assert_int_equal(b->result, SP_RELAY_DONE);
    assert_got(b, "abcde", 5);
}

static void an_empty_chunked_body_ends_with_its_last_chunk(void **state)
{
    struct bench *b = *state;

    put(&b->fed, "0\r\n\r\n");
    relay(b, (struct sp_http_framing){SP_BODY_CHUNKED, 0}, true);
    assert_int_equal(b->result, SP_RELAY_DONE);
    assert_got(b, "0\r\n\r\n", 5);
}

static void a_body_until_close_becomes_chunks(void **state)
{
    struct bench *b = *state;

    put(&b->fed, "until the end");
    relay(b, (struct sp_http_framing){SP_BODY_UNTIL_CLOSE, 0}, true);
    assert_int_equal(b->result, SP_RELAY_DONE);
    assert_got(b, "d\r\nuntil the end\r\n0\r\n\r\n", 23);
}

static void a_source_that_ends_early_is_a_failure(void **state)
{
    struct bench *b = *state;

    put(&b->fed, "only this");
    relay(b, (struct sp_http_framing){SP_BODY_LENGTH, 100}, false);
    assert_int_equal(b->result, SP_RELAY_SOURCE_FAILED);
}

static void chunks_that_end_early_are_a_failure(void **state)
{
    struct bench *b = *state;

    put(&b->fed, "5\r\nhello\r\n");
    relay(b, (struct sp_http_framing){SP_BODY_CHUNKED, 0}, true);
    assert_int_equal(b->result, SP_RELAY_SOURCE_FAILED);
}

static void bad_chunk_grammar_is_named(void **state)
{
    struct bench *b = *state;

    put(&b->fed, "5\r\nhelloX\r\n");
    relay(b, (struct sp_http_framing){SP_BODY_CHUNKED, 0}, true);
    assert_int_equal(b->result, SP_RELAY_MALFORMED);
}

static void a_sink_that_is_gone_is_a_failure(void **state)
{
    struct bench *b = *state;

    put_pattern(&b->fed, 4 * 1024 * 1024);
    shutdown(b->sink, SHUT_RDWR);
    relay(b, (struct sp_http_framing){SP_BODY_LENGTH, 4 * 1024 * 1024}, false);
    assert_int_equal(b->result, SP_RELAY_SINK_FAILED);
}

static void a_slow_reader_holds_the_source_back(void **state)
{
    struct bench *b = *state;
    size_t len = 8 * 1024 * 1024;

    put(&b->fed, "800000\r\n");
    put_pattern(&b->fed, len);
    put(&b->fed, "\r\n0\r\n\r\n");
    b->reader_waits = 50000;
    relay(b, (struct sp_http_framing){SP_BODY_CHUNKED, 0}, false);
    assert_int_equal(b->result, SP_RELAY_DONE);
    assert_got(b, sp_buf_span(&b->fed).base + 8, len);
    assert_true(b->most_held <= 2 * SLAB_SIZE);
}

static void a_long_body_arrives_whole_through_the_kernel(void **state)
{
    struct bench *b = *state;
    size_t len = 16 * 1024 * 1024;

    put_pattern(&b->fed, len);
    put(&b->fed, "next");
    b->reader_waits = 20000;
    relay(b, (struct sp_http_framing){SP_BODY_LENGTH, len}, false);
    assert_int_equal(b->result, SP_RELAY_DONE);
    assert_got(b, sp_buf_span(&b->fed).base, len);
    assert_int_equal(b->relay.taken, len);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_length_is_relayed_and_what_follows_stays),
        CASE(what_waits_in_out_goes_first),
        CASE(no_body_still_sends_the_head),
        CASE(chunks_are_read_and_written_anew_with_trailers),
        CASE(chunks_lose_their_framing_for_who_does_not_know_it),
        CASE(an_empty_chunked_body_ends_with_its_last_chunk),
        CASE(a_body_until_close_becomes_chunks),
        CASE(a_source_that_ends_early_is_a_failure),
        CASE(chunks_that_end_early_are_a_failure),
        CASE(bad_chunk_grammar_is_named),
        CASE(a_sink_that_is_gone_is_a_failure),
        CASE(a_slow_reader_holds_the_source_back),
        CASE(a_long_body_arrives_whole_through_the_kernel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
