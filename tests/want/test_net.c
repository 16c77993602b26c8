/* Connections under want of memory: a dial gives a connection or says what was missing, a handshake
 * comes to an end, and nothing of either stays. */
#include "unit/net/dns_server.h"
#include "unit/net/tls_test.h"

#include "net/dial.h"
#include "net/resolve_priv.h"
#include "util/hash.h"
#include "util/span.h"
#include "want/want.h"

static struct dns_record records[] = {{.name = "here.test", .v4 = "127.0.0.1", .ttl = 60}};

static struct {
    struct dns_server dns;
    int listener;
    uint16_t port;
    struct tls_files files;
    struct sp_tls_server *tls;
} test;

/* ---- dialling ---- */

struct caller {
    bool told;
    enum sp_err err;
    struct sp_stream *stream;
};

static void on_dialed(void *owner, const struct sp_dialed *dialed)
{
    struct caller *caller = owner;

    caller->told = true;
    caller->err = dialed->err;
    caller->stream = dialed->stream;
    assert_true(dialed->err == SP_OK || dialed->why[0] != '\0');
}

static void must_carry(struct sp_stream *stream)
{
    struct iovec part = {(void *)(uintptr_t) "x", 1};
    size_t written = 0;

    assert_int_equal(sp_stream_write(stream, &part, 1, &written), SP_OK);
    assert_int_equal(written, 1);
}

static void dial(struct sp_loop *loop, struct sp_resolver *resolver, struct caller *caller)
{
    const struct sp_dial_target target = {
        .host = SP_SPAN_LIT("here.test"), .port = test.port, .timeout_ms = 3000};
    struct sp_dial *under_way = NULL;

    caller->err = sp_dial_start(loop, resolver, &target, on_dialed, caller, &under_way);
    if (caller->err == SP_OK)
        test_turn_until(loop, &caller->told);
}

/* The loop and the resolver as well: a worker that does not come to be. */
static void resolve_and_dial(void *state)
{
    struct caller caller = {.err = SP_ERR_NOMEM};
    struct sp_resolver *resolver = NULL;
    struct sp_loop *loop;
    bool failed;

    (void)state;
    want_begin();
    loop = sp_loop_new(NULL);
    if (loop != NULL)
        resolver = sp_resolver_new(loop);
    if (resolver != NULL && sp_resolver_use_servers(resolver, test.dns.where) == SP_OK)
        dial(loop, resolver, &caller);
    failed = want_end();
    if (caller.err == SP_OK) {
        must_carry(caller.stream);
        sp_stream_close(&caller.stream, true);
    } else {
        assert_true(failed && caller.stream == NULL);
    }
    if (resolver != NULL)
        sp_resolver_free(&resolver);
    if (loop != NULL)
        test_loop_end(&loop);
    for (int fd; (fd = accept4(test.listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;)
        close(fd);
}

/* ---- TLS ---- */

struct side {
    bool done;
    enum sp_err err;
};

static void on_tls(void *owner, enum sp_err err, const char *why)
{
    struct side *side = owner;

    (void)why;
    side->done = true;
    side->err = err;
}

static void shake_hands(void *state)
{
    struct sp_loop *loop = test_loop_new(NULL);
    struct tls_client client = {.host = "proxy.test"};
    struct side side = {.err = SP_ERR_NOMEM};
    struct sp_stream *stream;
    bool failed;
    int fds[2];

    (void)state;
    test_tcp_pair(fds);
    tls_client_start(&client, fds[0]);
    want_begin();
    stream = sp_stream_new(loop, fds[1]);
    if (stream == NULL)
        close(fds[1]);
    else if (sp_stream_start_tls(stream, test.tls, on_tls, &side) == SP_OK)
        test_turn_until(loop, &side.done);
    failed = want_end();
    assert_true(failed || side.err == SP_OK);
    if (side.err == SP_OK)
        assert_true(sp_stream_is_tls(stream) && sp_stream_tls_end_point(stream).len > 0);
    sp_stream_close(&stream, true);
    tls_client_join(&client);
    SSL_SESSION_free(client.session);
    test_loop_end(&loop);
}

static void a_dial_connects_or_says_what_was_missing(void **state)
{
    (void)state;
    want_each("a dial", WANT_OURS, 1, resolve_and_dial, NULL);
}

static void a_handshake_comes_to_an_end(void **state)
{
    (void)state;
    want_each("a TLS handshake", WANT_OURS, 1, shake_hands, NULL);
}

static int set_up(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    char why[256];

    (void)state;
    assert_int_equal(sp_hash_setup(), SP_OK);
    dns_start(&test.dns, records, 1);
    test.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(test.listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(test.listener, 64), 0);
    assert_int_equal(getsockname(test.listener, (struct sockaddr *)&at, &len), 0);
    test.port = ntohs(at.sin_port);
    tls_files_make(&test.files, EVP_EC_gen("P-256"), EVP_sha256());
    test.tls = tls_server_make(test.files.certificate, test.files.key, why);
    assert_non_null(test.tls);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sp_tls_server_unref(&test.tls);
    tls_files_remove(&test.files);
    close(test.listener);
    dns_stop(&test.dns);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dial_connects_or_says_what_was_missing),
        cmocka_unit_test(a_handshake_comes_to_an_end),
    };

    return cmocka_run_group_tests_name("want: net", tests, set_up, tear_down);
}
