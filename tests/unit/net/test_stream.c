/* Plain streams and pipes on real sockets: what is told when, and that no edge is lost. */
#include "net_test.h"

#include "net/stream_priv.h"

#include <netinet/tcp.h>
#include <poll.h>

struct end {
    struct sp_stream *stream;
    unsigned calls;
    unsigned events; /* of all calls */
    bool told;
    bool stop; /* wants nothing more once told */
    bool close_in_it;
};

static void on_ready(void *owner, unsigned events)
{
    struct end *end = owner;

    end->calls++;
    end->events |= events;
    end->told = true;
    if (end->stop)
        sp_stream_want(end->stream, 0);
    if (end->close_in_it)
        sp_stream_close(&end->stream, false);
}

struct pair {
    struct sp_loop *loop;
    struct end end;
    int peer;
};

static void pair_open(struct pair *pair)
{
    int fds[2];

    memset(pair, 0, sizeof(*pair));
    test_tcp_pair(fds);
    pair->loop = test_loop_new(NULL);
    pair->peer = fds[0];
    pair->end.stop = true;
    pair->end.stream = sp_stream_new(pair->loop, fds[1]);
    assert_non_null(pair->end.stream);
    sp_stream_own(pair->end.stream, on_ready, &pair->end);
}

static void pair_close(struct pair *pair)
{
    sp_stream_close(&pair->end.stream, false);
    if (pair->peer >= 0)
        close(pair->peer);
    test_loop_end(&pair->loop);
}

/* Waits for that event, and then wants nothing. */
static void await(struct pair *pair, unsigned event)
{
    pair->end.told = false;
    pair->end.events = 0;
    sp_stream_want(pair->end.stream, event);
    assert_false(pair->end.told); /* never inside the call */
    test_turn_until(pair->loop, &pair->end.told);
    assert_true((pair->end.events & event) != 0);
}

static void expect_read(struct pair *pair, const char *bytes)
{
    char got[64] = {0};
    size_t len;

    for (;;) {
        enum sp_err err = sp_stream_read(pair->end.stream, got, sizeof(got), &len);

        if (err == SP_OK)
            break;
        assert_int_equal(err, SP_ERR_AGAIN);
        await(pair, SP_STREAM_READ);
    }
    assert_int_equal(len, strlen(bytes));
    assert_memory_equal(got, bytes, len);
}

static void bytes_sent_are_announced_and_read(void **state)
{
    struct pair pair;
    size_t len;
    char room[8];
    (void)state;

    pair_open(&pair);
    assert_int_equal(send(pair.peer, "hello", 5, 0), 5);
    expect_read(&pair, "hello");
    assert_int_equal(sp_stream_read(pair.end.stream, room, sizeof(room), &len), SP_ERR_AGAIN);
    assert_true(sp_stream_is_quiet(pair.end.stream));
    assert_int_equal(send(pair.peer, "again", 5, 0), 5);
    expect_read(&pair, "again");
    pair_close(&pair);
}

static void what_is_not_wanted_is_remembered_not_told(void **state)
{
    struct pair pair;
    (void)state;

    pair_open(&pair);
    assert_int_equal(send(pair.peer, "x", 1, 0), 1);
    test_turn_for(pair.loop, 30);
    assert_int_equal(pair.end.calls, 0);
    await(&pair, SP_STREAM_READ);
    expect_read(&pair, "x");
    pair_close(&pair);
}

static void an_owner_that_stops_half_way_is_asked_again(void **state)
{
    struct pair pair;
    char byte;
    size_t len;
    (void)state;

    pair_open(&pair);
    assert_int_equal(send(pair.peer, "abc", 3, 0), 3);
    for (unsigned i = 0; i < 3; i++) {
        await(&pair, SP_STREAM_READ);
        while (sp_stream_read(pair.end.stream, &byte, 1, &len) == SP_ERR_AGAIN)
            await(&pair, SP_STREAM_READ);
        assert_int_equal(byte, 'a' + (int)i);
    }
    pair_close(&pair);
}

static void an_end_after_bytes_is_read_though_both_came_at_once(void **state)
{
    struct pair pair;
    char room[64];
    size_t len = 1;
    (void)state;

    pair_open(&pair);
    assert_int_equal(send(pair.peer, "bye", 3, 0), 3);
    assert_int_equal(shutdown(pair.peer, SHUT_WR), 0);
    test_turn_for(pair.loop, 10);
    expect_read(&pair, "bye");
    assert_false(sp_stream_at_end(pair.end.stream));
    while (sp_stream_read(pair.end.stream, room, sizeof(room), &len) == SP_ERR_AGAIN)
        await(&pair, SP_STREAM_READ);
    assert_int_equal(len, 0);
    assert_true(sp_stream_at_end(pair.end.stream));
    assert_false(sp_stream_is_quiet(pair.end.stream));
    pair_close(&pair);
}

static void an_end_that_comes_after_a_short_read_is_announced(void **state)
{
    struct pair pair;
    char room[64];
    size_t len = 1;
    (void)state;

    pair_open(&pair);
    assert_int_equal(send(pair.peer, "bye", 3, 0), 3);
    test_turn_for(pair.loop, 10);
    expect_read(&pair, "bye");
    assert_int_equal(shutdown(pair.peer, SHUT_WR), 0);
    await(&pair, SP_STREAM_READ);
    assert_int_equal(sp_stream_read(pair.end.stream, room, sizeof(room), &len), SP_OK);
    assert_int_equal(len, 0);
    pair_close(&pair);
}

static void the_end_does_not_spin_and_is_told_to_a_new_owner(void **state)
{
    struct pair pair;
    char room[64];
    size_t len = 1;
    (void)state;

    pair_open(&pair);
    pair.end.stop = false; /* goes on wanting, as a careless owner would */
    assert_int_equal(shutdown(pair.peer, SHUT_WR), 0);
    await(&pair, SP_STREAM_READ);
    while (sp_stream_read(pair.end.stream, room, sizeof(room), &len) == SP_ERR_AGAIN)
        test_turn_for(pair.loop, 1);
    assert_int_equal(len, 0);
    pair.end.calls = 0;
    test_turn_for(pair.loop, 50);
    assert_true(pair.end.calls <= 2);
    sp_stream_own(pair.end.stream, on_ready, &pair.end);
    pair.end.stop = true;
    await(&pair, SP_STREAM_READ);
    assert_int_equal(sp_stream_read(pair.end.stream, room, sizeof(room), &len), SP_OK);
    assert_int_equal(len, 0);
    pair_close(&pair);
}

static void a_reset_is_told_once_whatever_is_wanted(void **state)
{
    struct pair pair;
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    char room[8];
    size_t len;
    (void)state;

    pair_open(&pair);
    pair.end.stop = false;
    test_turn_for(pair.loop, 5);
    sp_stream_want(pair.end.stream, SP_STREAM_GONE);
    test_turn_for(pair.loop, 10);
    assert_int_equal(pair.end.calls, 0);
    assert_int_equal(setsockopt(pair.peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close(pair.peer);
    pair.peer = -1;
    test_turn_until(pair.loop, &pair.end.told);
    assert_int_equal(pair.end.events, SP_STREAM_GONE);
    test_turn_for(pair.loop, 20);
    assert_int_equal(pair.end.calls, 1);
    assert_int_equal(sp_stream_read(pair.end.stream, room, sizeof(room), &len), SP_ERR_CLOSED);
    assert_int_equal(sp_stream_read(pair.end.stream, room, sizeof(room), &len), SP_ERR_CLOSED);
    pair_close(&pair);
}

static void a_reset_seen_by_a_write_is_no_clean_end_for_a_read(void **state)
{
    struct pair pair;
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    struct iovec part = {.iov_base = "x", .iov_len = 1};
    char room[8];
    size_t len;
    (void)state;

    pair_open(&pair);
    assert_int_equal(setsockopt(pair.peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close(pair.peer);
    pair.peer = -1;
    test_turn_for(pair.loop, 10);
    assert_int_equal(sp_stream_write(pair.end.stream, &part, 1, &len), SP_ERR_CLOSED);
    assert_int_equal(sp_stream_read(pair.end.stream, room, sizeof(room), &len), SP_ERR_CLOSED);
    pair_close(&pair);
}

/* Reads what is there; how much it was. */
static size_t drain(int fd)
{
    static char room[65536];
    size_t all = 0;
    ssize_t got;

    while ((got = recv(fd, room, sizeof(room), MSG_DONTWAIT)) > 0)
        all += (size_t)got;
    return all;
}

static void a_full_socket_says_again_and_announces_room(void **state)
{
    static char bulk[1 << 18];
    struct iovec parts[2] = {{bulk, 1000}, {bulk, sizeof(bulk)}};
    struct pair pair;
    size_t all = 0, seen = 0, len;
    enum sp_err err;
    (void)state;

    pair_open(&pair);
    for (unsigned rounds = 0; rounds < 5; rounds++) {
        while ((err = sp_stream_write(pair.end.stream, parts, 2, &len)) == SP_OK) {
            assert_true(len > 0);
            all += len;
        }
        assert_int_equal(err, SP_ERR_AGAIN);
        test_turn_for(pair.loop, 5);
        pair.end.calls = 0;
        sp_stream_want(pair.end.stream, SP_STREAM_WRITE);
        test_turn_for(pair.loop, 20);
        if (pair.end.calls > 0) { /* the kernel moved bytes on by itself, and then there is room */
            struct pollfd room = {.fd = pair.end.stream->fd, .events = POLLOUT};

            assert_int_equal(poll(&room, 1, 0), 1);
            continue;
        }
        pair.end.told = false;
        while (!pair.end.told) {
            seen += drain(pair.peer);
            test_turn_for(pair.loop, 2);
        }
    }
    sp_stream_close(&pair.end.stream, false);
    while (seen < all)
        seen += drain(pair.peer);
    assert_int_equal(seen, all);
    pair_close(&pair);
}

static void closing_inside_the_callback_is_allowed(void **state)
{
    struct pair pair;
    (void)state;

    pair_open(&pair);
    pair.end.stop = false;
    pair.end.close_in_it = true;
    sp_stream_want(pair.end.stream, SP_STREAM_READ | SP_STREAM_WRITE);
    test_turn_until(pair.loop, &pair.end.told);
    assert_null(pair.end.stream);
    test_turn_for(pair.loop, 5);
    assert_int_equal(pair.end.calls, 1);
    sp_stream_close(&pair.end.stream, false); /* twice is normal */
    pair_close(&pair);
}

struct couple {
    struct end *other;
    struct end end;
};

/* Whoever is called first closes the other, whose event is in the same batch. */
static void on_couple(void *owner, unsigned events)
{
    struct couple *couple = owner;

    (void)events;
    couple->end.calls++;
    sp_stream_close(&couple->other->stream, false);
    sp_stream_want(couple->end.stream, 0);
}

static void an_event_of_a_stream_closed_in_the_same_batch_is_dropped(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    struct couple couples[2] = {0};
    int fds[2][2];
    (void)state;

    for (unsigned i = 0; i < 2; i++) {
        test_tcp_pair(fds[i]);
        couples[i].end.stream = sp_stream_new(loop, fds[i][1]);
        couples[i].other = &couples[1 - i].end;
        sp_stream_own(couples[i].end.stream, on_couple, &couples[i]);
    }
    test_turn_for(loop, 10);
    for (unsigned i = 0; i < 2; i++) { /* nothing is possible now: what comes, comes by epoll */
        char room[8];
        size_t len;

        assert_int_equal(sp_stream_read(couples[i].end.stream, room, 8, &len), SP_ERR_AGAIN);
        sp_stream_want(couples[i].end.stream, SP_STREAM_READ);
        assert_int_equal(send(fds[i][0], "x", 1, 0), 1);
    }
    test_turn_for(loop, 20);
    assert_int_equal(couples[0].end.calls + couples[1].end.calls, 1);
    for (unsigned i = 0; i < 2; i++) {
        sp_stream_close(&couples[i].end.stream, false);
        close(fds[i][0]);
    }
    test_loop_end(&loop);
}

struct place {
    struct sp_stream *stream;
    unsigned *next;
    unsigned place;
};

static void on_place(void *owner, unsigned events)
{
    struct place *place = owner;

    (void)events;
    place->place = ++*place->next;
    sp_stream_want(place->stream, 0);
}

/* Also one that has been full, and so watched anew. */
static void an_accepted_stream_is_heard_behind_one_that_was_dialled(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    static const struct sp_addr nobody;
    struct place places[3] = {0};
    unsigned next = 0;
    int fds[3][2];
    (void)state;

    for (unsigned i = 0; i < 3; i++) {
        test_tcp_pair(fds[i]);
        places[i].next = &next;
        places[i].stream = sp_stream_adopt(loop, fds[i][1], &nobody, i == 2);
        assert_non_null(places[i].stream);
        sp_stream_own(places[i].stream, on_place, &places[i]);
    }
    assert_int_equal(sp_stream_no_room(places[0].stream), SP_ERR_AGAIN);
    test_turn_for(loop, 10);
    for (unsigned i = 0; i < 3; i++) { /* nothing is possible now: what comes, comes by epoll */
        char room[8];
        size_t len;

        assert_int_equal(sp_stream_read(places[i].stream, room, 8, &len), SP_ERR_AGAIN);
        sp_stream_want(places[i].stream, SP_STREAM_READ);
        assert_int_equal(send(fds[i][0], "x", 1, 0), 1);
    }
    test_turn_for(loop, 20);
    assert_int_equal(places[2].place, 1);
    assert_true(places[0].place > 1 && places[1].place > 1);
    for (unsigned i = 0; i < 3; i++) {
        sp_stream_close(&places[i].stream, false);
        close(fds[i][0]);
    }
    test_loop_end(&loop);
}

static void shutdown_ends_one_direction_only(void **state)
{
    struct pair pair;
    char byte;
    (void)state;

    pair_open(&pair);
    assert_int_equal(sp_stream_shutdown(pair.end.stream), SP_OK);
    assert_int_equal(sp_stream_shutdown(pair.end.stream), SP_OK);
    usleep(10000);
    assert_int_equal(recv(pair.peer, &byte, 1, 0), 0);
    assert_int_equal(send(pair.peer, "more", 4, 0), 4);
    expect_read(&pair, "more");
    pair_close(&pair);
}

static void a_reset_close_is_a_reset_for_the_peer(void **state)
{
    struct pair pair;
    char byte;
    (void)state;

    pair_open(&pair);
    sp_stream_close(&pair.end.stream, true);
    usleep(10000);
    assert_int_equal(recv(pair.peer, &byte, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET);
    pair_close(&pair);
}

static void an_idle_stream_costs_less_than_300_bytes(void **state)
{
    (void)state;
    assert_true(sizeof(struct sp_stream) < 300);
}

static void urgent_data_loses_no_byte_behind_it(void **state)
{
    struct pair pair;
    char all[16] = {0};
    size_t at = 0, len;
    (void)state;

    pair_open(&pair);
    assert_int_equal(send(pair.peer, "abc", 3, 0), 3);
    assert_int_equal(send(pair.peer, "!", 1, MSG_OOB), 1);
    assert_int_equal(send(pair.peer, "def", 3, 0), 3);
    test_turn_for(pair.loop, 10);
    while (at < 6) {
        enum sp_err err = sp_stream_read(pair.end.stream, all + at, sizeof(all) - at, &len);

        if (err == SP_OK)
            at += len;
        else
            await(&pair, SP_STREAM_READ);
    }
    assert_string_equal(all, "abcdef");
    pair_close(&pair);
}

/* ---- pipes ---- */

static void fill_pattern(char *bytes, size_t len)
{
    unsigned seed = 7;

    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)rand_r(&seed);
}

/* Moves from one stream to another until the first ends; both flags are what the door promises. */
static void splice_through(struct sp_loop *loop, struct sp_stream *from, struct sp_stream *to,
                           int feeder, const char *bytes, size_t len, int eater, char *eaten)
{
    struct sp_pipe *pipe = sp_pipe_take(loop);
    size_t fed = 0, ate = 0, moved;
    bool ended = false;

    assert_non_null(pipe);
    while (ate < len) {
        ssize_t did;

        if (fed < len) {
            did = send(feeder, bytes + fed, len - fed < 70000 ? len - fed : 70000, MSG_DONTWAIT);
            fed += did > 0 ? (size_t)did : 0;
            if (fed == len)
                shutdown(feeder, SHUT_WR);
        }
        sp_loop_turn(loop, false);
        if (!ended) {
            enum sp_err err = sp_stream_splice_in(from, pipe, SIZE_MAX, &moved);

            assert_true(err == SP_OK || err == SP_ERR_AGAIN);
            ended = sp_stream_at_end(from);
        }
        if (pipe->filled > 0)
            assert_true(sp_stream_splice_out(to, pipe, &moved) != SP_ERR_IO);
        did = recv(eater, eaten + ate, len - ate, MSG_DONTWAIT);
        ate += did > 0 ? (size_t)did : 0;
    }
    while (!ended) { /* the end, too, comes through */
        sp_loop_turn(loop, false);
        (void)!sp_stream_splice_in(from, pipe, SIZE_MAX, &moved);
        ended = sp_stream_at_end(from);
    }
    assert_int_equal(pipe->filled, 0);
    sp_pipe_give(loop, &pipe);
    assert_null(pipe);
}

static void spliced_bytes_arrive_equal_and_in_order(void **state)
{
    enum { LEN = 5000000 };
    struct sp_loop *loop = test_loop_new(NULL);
    char *bytes = malloc(LEN), *eaten = malloc(LEN);
    struct sp_stream *from, *to;
    int in[2], out[2];
    (void)state;

    assert_non_null(bytes);
    assert_non_null(eaten);
    fill_pattern(bytes, LEN);
    test_tcp_pair(in);
    test_tcp_pair(out);
    from = sp_stream_new(loop, in[1]);
    to = sp_stream_new(loop, out[1]);
    assert_true(sp_stream_can_splice(from, to));
    splice_through(loop, from, to, in[0], bytes, LEN, out[0], eaten);
    assert_memory_equal(bytes, eaten, LEN);
    sp_stream_close(&from, false);
    sp_stream_close(&to, false);
    close(in[0]);
    close(out[0]);
    free(bytes);
    free(eaten);
    test_loop_end(&loop);
}

static void a_splice_from_an_empty_socket_waits_for_its_edge(void **state)
{
    struct pair pair;
    struct sp_pipe *pipe;
    size_t len;
    (void)state;

    pair_open(&pair);
    pipe = sp_pipe_take(pair.loop);
    assert_int_equal(sp_stream_splice_in(pair.end.stream, pipe, SIZE_MAX, &len), SP_ERR_AGAIN);
    assert_false(pair.end.stream->can_read);
    assert_int_equal(send(pair.peer, "abc", 3, 0), 3);
    await(&pair, SP_STREAM_READ);
    assert_int_equal(sp_stream_splice_in(pair.end.stream, pipe, SIZE_MAX, &len), SP_OK);
    assert_int_equal(len, 3);
    /* Bytes in the pipe, none in the socket: it is the socket that is empty. */
    assert_int_equal(sp_stream_splice_in(pair.end.stream, pipe, SIZE_MAX, &len), SP_ERR_AGAIN);
    assert_false(pair.end.stream->can_read);
    assert_int_equal(pipe->filled, 3);
    sp_pipe_give(pair.loop, &pipe); /* not empty: closed, not kept for another tunnel */
    assert_int_equal(pair.loop->pipes_len, 0);
    pair_close(&pair);
}

static void an_empty_pipe_is_kept_for_the_next(void **state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    struct sp_pipe *pipe = sp_pipe_take(loop);
    struct sp_pipe *first = pipe;
    (void)state;

    assert_non_null(pipe);
    assert_true(pipe->capacity >= 4096);
    sp_pipe_give(loop, &pipe);
    assert_int_equal(loop->pipes_len, 1);
    pipe = sp_pipe_take(loop);
    assert_ptr_equal(pipe, first);
    sp_pipe_give(loop, &pipe);
    test_loop_end(&loop);
}

/* Slow readers hold their pipes: of many only some are large, and what is closed makes room for
 * others. */
static void only_a_few_pipes_are_large(void **state)
{
    enum { LEN = 40 };
    struct sp_loop *loop = test_loop_new(NULL);
    struct sp_pipe *pipes[LEN];
    size_t largest = 0;
    unsigned large = 0;
    (void)state;

    for (size_t i = 0; i < LEN; i++) {
        pipes[i] = sp_pipe_take(loop);
        assert_non_null(pipes[i]);
        assert_true(pipes[i]->capacity >= 4096);
        assert_true(fcntl(pipes[i]->rd, F_GETPIPE_SZ) >= (int)pipes[i]->capacity);
        largest = pipes[i]->capacity > largest ? pipes[i]->capacity : largest;
    }
    for (size_t i = 0; i < LEN; i++)
        large += pipes[i]->capacity == largest;
    assert_in_range(large, 1, LEN / 2);
    for (size_t i = 0; i < LEN; i++) {
        pipes[i]->filled = 1; /* not kept */
        sp_pipe_give(loop, &pipes[i]);
    }
    for (size_t i = 0; i < LEN; i++) {
        pipes[i] = sp_pipe_take(loop);
        assert_non_null(pipes[i]);
        large -= pipes[i]->capacity == largest;
    }
    assert_int_equal(large, 0);
    for (size_t i = 0; i < LEN; i++)
        sp_pipe_give(loop, &pipes[i]);
    test_loop_end(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_sent_are_announced_and_read),
        cmocka_unit_test(what_is_not_wanted_is_remembered_not_told),
        cmocka_unit_test(an_owner_that_stops_half_way_is_asked_again),
        cmocka_unit_test(an_end_after_bytes_is_read_though_both_came_at_once),
        cmocka_unit_test(an_end_that_comes_after_a_short_read_is_announced),
        cmocka_unit_test(the_end_does_not_spin_and_is_told_to_a_new_owner),
        cmocka_unit_test(a_reset_is_told_once_whatever_is_wanted),
        cmocka_unit_test(a_reset_seen_by_a_write_is_no_clean_end_for_a_read),
        cmocka_unit_test(a_full_socket_says_again_and_announces_room),
        cmocka_unit_test(closing_inside_the_callback_is_allowed),
        cmocka_unit_test(an_event_of_a_stream_closed_in_the_same_batch_is_dropped),
        cmocka_unit_test(an_accepted_stream_is_heard_behind_one_that_was_dialled),
        cmocka_unit_test(shutdown_ends_one_direction_only),
        cmocka_unit_test(a_reset_close_is_a_reset_for_the_peer),
        cmocka_unit_test(an_idle_stream_costs_less_than_300_bytes),
        cmocka_unit_test(urgent_data_loses_no_byte_behind_it),
        cmocka_unit_test(spliced_bytes_arrive_equal_and_in_order),
        cmocka_unit_test(a_splice_from_an_empty_socket_waits_for_its_edge),
        cmocka_unit_test(an_empty_pipe_is_kept_for_the_next),
        cmocka_unit_test(only_a_few_pipes_are_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
