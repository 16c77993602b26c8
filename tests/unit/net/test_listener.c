/* Listeners on real sockets: plain, behind PROXY protocol, with TLS, and short of descriptors. */
#include "tls_test.h"

#include "net/listener.h"
#include "util/span.h"

#include <signal.h>
#include <sys/resource.h>

#define GREETINGS 8 /* at once */

struct fixture {
    struct sp_loop *loop;
    struct sp_listener *listener;
    struct sp_listen listen;
    struct sp_cidr from;
    struct sp_addr at; /* where it listens */
    bool full;         /* admit says no */
    unsigned asked;
    unsigned accepted;
    bool told;
    struct sp_accepted last;
};

static struct tls_files files;
static struct sp_tls_server *server;
static const struct sp_log quiet = {NULL, NULL};

static int set_up_all(void **state)
{
    char why[256];
    (void)state;

    signal(SIGPIPE, SIG_IGN); /* the client thread's */
    sp_log_set_level(SP_LOG_ERROR);
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

static bool on_admit(void *owner)
{
    struct fixture *fixture = owner;

    fixture->asked++;
    return !fixture->full;
}

static void on_accepted(void *owner, const struct sp_accepted *accepted)
{
    struct fixture *fixture = owner;

    fixture->accepted++;
    fixture->told = true;
    sp_stream_close(&fixture->last.stream, false); /* only the last is kept */
    fixture->last = *accepted;
}

static void open_listener(struct fixture *fixture, const char *at, uint64_t handshake_ms)
{
    const struct sp_listener_options options = {.handshake_ms = handshake_ms,
                                                .greetings_max = GREETINGS,
                                                .admit = on_admit,
                                                .accepted = on_accepted,
                                                .owner = fixture,
                                                .log = &quiet};
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    int fd;

    fixture->loop = test_loop_new(NULL);
    assert_int_equal(sp_addr_parse(&fixture->listen.addr, sp_span_cstr(at)), SP_OK);
    fixture->listen.title = at;
    assert_int_equal(sp_listen_bind(&fixture->listen.addr, &fd), SP_OK);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
    assert_int_equal(sp_addr_from_sockaddr(&fixture->at, (struct sockaddr *)&ss), SP_OK);
    fixture->listen.addr.port = fixture->at.port;
    fixture->listener = sp_listener_open(fixture->loop, fd, &fixture->listen, &options);
    assert_non_null(fixture->listener);
    sp_listener_start(fixture->listener);
}

static void require_proxy(struct fixture *fixture, const char *from)
{
    assert_int_equal(sp_cidr_parse(&fixture->from, sp_span_cstr(from)), SP_OK);
    fixture->listen.proxy_from = &fixture->from;
    fixture->listen.proxy_from_len = 1;
}

static void close_listener(struct fixture *fixture)
{
    sp_listener_close(&fixture->listener);
    assert_null(fixture->listener);
    sp_listener_close(&fixture->listener);
    sp_stream_close(&fixture->last.stream, false);
    test_loop_end(&fixture->loop);
}

/* A blocking client, connected. */
static int call(const struct fixture *fixture)
{
    struct timeval patience = {.tv_sec = 3};
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(fixture->at.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void put(int fd, const char *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void expect_bytes(struct fixture *fixture, const char *bytes)
{
    char got[64];
    size_t have = 0, len, want = strlen(bytes);

    for (unsigned i = 0; have < want && i < 200; i++) {
        if (sp_stream_read(fixture->last.stream, got + have, sizeof(got) - have, &len) == SP_OK)
            have += len;
        else
            test_turn_for(fixture->loop, 2);
    }
    assert_int_equal(have, want);
    assert_memory_equal(got, bytes, want);
}

/* The other side has cut the connection, with nothing said. */
static void expect_cut(int fd)
{
    char byte;

    assert_true(recv(fd, &byte, 1, 0) <= 0);
    close(fd);
}

static void expect_client(const struct fixture *fixture, const char *ip)
{
    char text[SP_ADDR_TEXT_MAX];

    assert_string_equal(sp_addr_ip_text(&fixture->last.client, text), ip);
}

static void a_plain_connection_is_handed_over_with_both_addresses(void **state)
{
    struct fixture fixture = {0};
    int fd;
    (void)state;

    open_listener(&fixture, "0.0.0.0:0", 1000);
    fd = call(&fixture);
    test_turn_until(fixture.loop, &fixture.told);
    assert_int_equal(fixture.asked, 1);
    expect_client(&fixture, "127.0.0.1");
    assert_int_equal(fixture.last.local.port, fixture.at.port);
    assert_false(sp_addr_same_ip(&fixture.last.local, &fixture.listen.addr)); /* 127.0.0.1 */
    assert_ptr_equal(fixture.last.listen, &fixture.listen);
    put(fd, "hello", 5);
    expect_bytes(&fixture, "hello");
    close(fd);
    close_listener(&fixture);
}

static void many_connections_at_once_are_all_taken(void **state)
{
    struct fixture fixture = {0};
    int fds[200];
    (void)state;

    open_listener(&fixture, "127.0.0.1:0", 1000);
    for (unsigned i = 0; i < 200; i++)
        fds[i] = call(&fixture);
    for (unsigned turns = 0; fixture.accepted < 200 && turns < 1000; turns++)
        sp_loop_turn(fixture.loop, false);
    assert_int_equal(fixture.accepted, 200);
    for (unsigned i = 0; i < 200; i++)
        close(fds[i]);
    close_listener(&fixture);
}

static void who_is_not_admitted_is_cut(void **state)
{
    struct fixture fixture = {.full = true};
    int fd;
    (void)state;

    open_listener(&fixture, "127.0.0.1:0", 1000);
    fd = call(&fixture);
    test_turn_for(fixture.loop, 30);
    assert_int_equal(fixture.asked, 1);
    assert_int_equal(fixture.accepted, 0);
    expect_cut(fd);
    close_listener(&fixture);
}

#define HEADER "PROXY TCP4 192.0.2.7 198.51.100.1 4711 3128\r\n"

static void a_header_from_a_named_network_names_the_client(void **state)
{
    struct fixture fixture = {0};
    int fd;
    (void)state;

    require_proxy(&fixture, "127.0.0.0/8");
    open_listener(&fixture, "127.0.0.1:0", 1000);
    fd = call(&fixture);
    put(fd, HEADER "GET /", sizeof(HEADER "GET /") - 1);
    test_turn_until(fixture.loop, &fixture.told);
    expect_client(&fixture, "192.0.2.7");
    assert_int_equal(fixture.last.client.port, 4711);
    assert_int_equal(fixture.last.local.port, 3128);
    expect_bytes(&fixture, "GET /"); /* not a byte too much was taken */
    close(fd);
    close_listener(&fixture);
}

static void a_header_may_come_byte_by_byte(void **state)
{
    struct fixture fixture = {0};
    int fd;
    (void)state;

    require_proxy(&fixture, "127.0.0.0/8");
    open_listener(&fixture, "127.0.0.1:0", 3000);
    fd = call(&fixture);
    for (size_t i = 0; i < sizeof(HEADER) - 1; i++) {
        assert_false(fixture.told);
        put(fd, &HEADER[i], 1);
        test_turn_for(fixture.loop, 2);
    }
    test_turn_until(fixture.loop, &fixture.told);
    expect_client(&fixture, "192.0.2.7");
    put(fd, "x", 1);
    expect_bytes(&fixture, "x");
    close(fd);
    close_listener(&fixture);
}

static void without_a_header_from_there_the_connection_is_cut(void **state)
{
    struct fixture fixture = {0};
    int fds[3];
    (void)state;

    require_proxy(&fixture, "127.0.0.0/8");
    open_listener(&fixture, "127.0.0.1:0", 150);
    for (unsigned i = 0; i < 3; i++)
        fds[i] = call(&fixture);
    put(fds[0], "GET / HTTP/1.1\r\n\r\n", 18); /* something else */
    put(fds[1], "PROXY TCP4 192", 14);         /* half of it, then the end */
    shutdown(fds[1], SHUT_WR);
    test_turn_for(fixture.loop, 400); /* the third says nothing until the deadline */
    assert_int_equal(fixture.accepted, 0);
    for (unsigned i = 0; i < 3; i++)
        expect_cut(fds[i]);
    close_listener(&fixture);
}

static void from_others_a_header_is_not_looked_at(void **state)
{
    struct fixture fixture = {0};
    int fd;
    (void)state;

    require_proxy(&fixture, "10.0.0.0/8");
    open_listener(&fixture, "127.0.0.1:0", 1000);
    fd = call(&fixture);
    put(fd, HEADER, sizeof(HEADER) - 1);
    test_turn_until(fixture.loop, &fixture.told);
    expect_client(&fixture, "127.0.0.1");
    expect_bytes(&fixture, HEADER); /* HTTP will refuse it */
    close(fd);
    close_listener(&fixture);
}

static void say_hello(struct tls_client *client)
{
    char byte;

    SSL_write(client->ssl, "hello", 5);
    (void)SSL_read(client->ssl, &byte, 1);
}

static void tls_comes_after_the_header(void **state)
{
    struct fixture fixture = {0};
    struct tls_client client = {.script = say_hello};
    int fd;
    (void)state;

    require_proxy(&fixture, "127.0.0.0/8");
    fixture.listen.tls = server;
    open_listener(&fixture, "127.0.0.1:0", 3000);
    fd = call(&fixture);
    put(fd, HEADER, sizeof(HEADER) - 1);
    tls_client_start(&client, fd);
    test_turn_until(fixture.loop, &fixture.told);
    expect_client(&fixture, "192.0.2.7");
    assert_true(sp_stream_is_tls(fixture.last.stream));
    expect_bytes(&fixture, "hello");
    close_listener(&fixture);
    tls_client_join(&client);
    SSL_SESSION_free(client.session);
}

static void a_handshake_has_a_deadline_and_delays_nobody(void **state)
{
    struct fixture fixture = {0};
    struct tls_client client = {.script = say_hello};
    int slow[10];
    (void)state;

    fixture.listen.tls = server;
    open_listener(&fixture, "127.0.0.1:0", 400);
    for (unsigned i = 0; i < 10; i++) {
        slow[i] = call(&fixture);
        put(slow[i], "\x16\x03\x01", 3);
    }
    tls_client_start(&client, call(&fixture));
    test_turn_until(fixture.loop, &fixture.told);
    assert_int_equal(fixture.accepted, 1);
    test_turn_for(fixture.loop, 500);
    for (unsigned i = 0; i < 10; i++)
        expect_cut(slow[i]);
    assert_int_equal(fixture.accepted, 1);
    close_listener(&fixture);
    tls_client_join(&client);
    SSL_SESSION_free(client.session);
}

static void closing_cuts_what_is_under_way(void **state)
{
    struct fixture fixture = {0};
    int fds[2];
    (void)state;

    require_proxy(&fixture, "127.0.0.0/8");
    fixture.listen.tls = server;
    open_listener(&fixture, "127.0.0.1:0", 5000);
    fds[0] = call(&fixture);
    fds[1] = call(&fixture);
    put(fds[1], HEADER "\x16\x03\x01", sizeof(HEADER) - 1 + 3);
    test_turn_for(fixture.loop, 30);
    close_listener(&fixture);
    assert_int_equal(fixture.accepted, 0);
    expect_cut(fds[0]);
    expect_cut(fds[1]);
}

static void stopping_takes_who_waits_and_nobody_more(void **state)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct fixture fixture = {0};
    int fds[100], late;
    (void)state;

    open_listener(&fixture, "127.0.0.1:0", 1000);
    for (unsigned i = 0; i < 100; i++)
        fds[i] = call(&fixture);
    sp_listener_stop(fixture.listener); /* no turn has seen them */
    assert_int_equal(fixture.accepted, 100);
    assert_false(sp_listener_is_busy(fixture.listener));
    to.sin_port = htons(fixture.at.port);
    late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(late, (struct sockaddr *)&to, sizeof(to)), -1);
    close(late);
    for (unsigned i = 0; i < 100; i++)
        close(fds[i]);
    close_listener(&fixture);
}

static void of_too_many_greetings_the_oldest_gives_way(void **state)
{
    struct fixture fixture = {0};
    int silent[GREETINGS], late;
    (void)state;

    require_proxy(&fixture, "127.0.0.0/8");
    open_listener(&fixture, "127.0.0.1:0", 60000);
    for (unsigned i = 0; i < GREETINGS; i++) {
        silent[i] = call(&fixture);
        test_turn_for(fixture.loop, 2);
    }
    late = call(&fixture);
    put(late, HEADER "hello", sizeof(HEADER "hello") - 1);
    test_turn_until(fixture.loop, &fixture.told);
    assert_int_equal(fixture.accepted, 1);
    expect_bytes(&fixture, "hello");
    expect_cut(silent[0]);
    fixture.told = false; /* and the others are waited for */
    put(silent[1], HEADER "late", sizeof(HEADER "late") - 1);
    test_turn_until(fixture.loop, &fixture.told);
    expect_bytes(&fixture, "late");
    for (unsigned i = 1; i < GREETINGS; i++)
        close(silent[i]);
    close(late);
    close_listener(&fixture);
}

static void a_greeting_goes_on_after_the_stop(void **state)
{
    struct fixture fixture = {0};
    int fd;
    (void)state;

    require_proxy(&fixture, "127.0.0.0/8");
    open_listener(&fixture, "127.0.0.1:0", 5000);
    fd = call(&fixture);
    put(fd, HEADER, 10);
    sp_listener_stop(fixture.listener);
    assert_true(sp_listener_is_busy(fixture.listener));
    put(fd, &(HEADER "hello")[10], sizeof(HEADER "hello") - 1 - 10);
    test_turn_until(fixture.loop, &fixture.told);
    assert_int_equal(fixture.accepted, 1);
    assert_false(sp_listener_is_busy(fixture.listener));
    expect_bytes(&fixture, "hello");
    close(fd);
    close_listener(&fixture);
}

static void an_update_counts_from_the_next_connection_on(void **state)
{
    struct fixture fixture = {0};
    struct sp_listen plain;
    int fd;
    (void)state;

    require_proxy(&fixture, "127.0.0.0/8");
    open_listener(&fixture, "127.0.0.1:0", 1000);
    plain = fixture.listen;
    plain.proxy_from_len = 0;
    sp_listener_update(fixture.listener, &plain, 1000);
    fd = call(&fixture);
    test_turn_until(fixture.loop, &fixture.told);
    assert_ptr_equal(fixture.last.listen, &plain);
    close(fd);
    close_listener(&fixture);
}

static void an_updated_deadline_counts_too(void **state)
{
    struct fixture fixture = {0};
    int fd;
    (void)state;

    require_proxy(&fixture, "127.0.0.0/8");
    open_listener(&fixture, "127.0.0.1:0", 3600 * 1000);
    sp_listener_update(fixture.listener, &fixture.listen, 50);
    fd = call(&fixture);
    test_turn_for(fixture.loop, 500);
    assert_false(sp_listener_is_busy(fixture.listener));
    expect_cut(fd);
    close_listener(&fixture);
}

static void without_descriptors_it_pauses_and_then_goes_on(void **state)
{
    struct fixture fixture = {0};
    struct rlimit before, low;
    uint64_t turns;
    int fd, next;
    (void)state;

    open_listener(&fixture, "127.0.0.1:0", 1000);
    fd = call(&fixture);
    next = dup(fd);
    close(next); /* the number that accept4 would be given */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = before;
    low.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    test_turn_for(fixture.loop, 20);
    turns = fixture.loop->turns;
    for (unsigned i = 0; i < 3; i++)
        sp_loop_turn(fixture.loop, true); /* sleeps until the pause is over */
    assert_true(fixture.loop->turns - turns <= 3);
    assert_int_equal(fixture.accepted, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    test_turn_until(fixture.loop, &fixture.told);
    assert_int_equal(fixture.accepted, 1);
    close(fd);
    close_listener(&fixture);
}

static void an_address_that_is_not_ours_is_an_error_with_errno(void **state)
{
    struct sp_addr addr;
    int fd;
    (void)state;

    assert_int_equal(sp_addr_parse(&addr, SP_SPAN_LIT("192.0.2.1:3128")), SP_OK); /* not ours */
    assert_int_equal(sp_listen_bind(&addr, &fd), SP_ERR_IO);
    assert_int_equal(errno, EADDRNOTAVAIL);
    assert_int_equal(fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_connection_is_handed_over_with_both_addresses),
        cmocka_unit_test(many_connections_at_once_are_all_taken),
        cmocka_unit_test(who_is_not_admitted_is_cut),
        cmocka_unit_test(a_header_from_a_named_network_names_the_client),
        cmocka_unit_test(a_header_may_come_byte_by_byte),
        cmocka_unit_test(without_a_header_from_there_the_connection_is_cut),
        cmocka_unit_test(from_others_a_header_is_not_looked_at),
        cmocka_unit_test(tls_comes_after_the_header),
        cmocka_unit_test(a_handshake_has_a_deadline_and_delays_nobody),
        cmocka_unit_test(closing_cuts_what_is_under_way),
        cmocka_unit_test(stopping_takes_who_waits_and_nobody_more),
        cmocka_unit_test(of_too_many_greetings_the_oldest_gives_way),
        cmocka_unit_test(a_greeting_goes_on_after_the_stop),
        cmocka_unit_test(an_update_counts_from_the_next_connection_on),
        cmocka_unit_test(an_updated_deadline_counts_too),
        cmocka_unit_test(without_descriptors_it_pauses_and_then_goes_on),
        cmocka_unit_test(an_address_that_is_not_ours_is_an_error_with_errno),
    };

    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
