/* Dialling real sockets: who wins, how long it takes, what is told when nobody does. */
#include "dns_server.h"

#include "net/dial.h"
#include "net/resolve_priv.h"
#include "util/hash.h"
#include "util/span.h"

static struct dns_record records[] = {
    {.name = "here.test", .v4 = "127.0.0.1", .ttl = 60},
    {.name = "gone.test", .how = DNS_NO_SUCH_NAME},
    {.name = "mute.test", .how = DNS_MUTE},
};

struct fixture {
    struct dns_server server;
    struct sp_loop *loop;
    struct sp_resolver *resolver;
    int v4, v6; /* listeners on one port; -1: nobody listens */
    uint16_t port;
    int fillers[2][4];
};

struct caller {
    struct sp_dial *dial;
    bool told;
    unsigned calls;
    struct sp_dialed dialed;
    char why[320];
    uint64_t begun, ended;
    unsigned asked; /* addresses */
    bool deny_v4, deny_v6;
};

/* ---- the other side ---- */

static int listener_open(const char *ip, uint16_t port)
{
    struct sp_addr addr;
    struct sockaddr_storage ss;
    socklen_t len;
    int fd, yes = 1;

    assert_int_equal(sp_addr_parse_ip(&addr, sp_span_cstr(ip)), SP_OK);
    addr.port = port;
    len = sp_addr_to_sockaddr(&addr, &ss);
    fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (ss.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes));
    assert_int_equal(bind(fd, (struct sockaddr *)&ss, len), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage ss;
    struct sp_addr addr;
    socklen_t len = sizeof(ss);

    assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
    assert_int_equal(sp_addr_from_sockaddr(&addr, (struct sockaddr *)&ss), SP_OK);
    return addr.port;
}

/* A queue that nobody empties: the kernel drops further SYNs, and the next caller hears nothing. */
static void make_deaf(int listener, int fillers[4])
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);

    assert_int_equal(getsockname(listener, (struct sockaddr *)&ss, &len), 0);
    assert_int_equal(listen(listener, 0), 0);
    for (unsigned i = 0; i < 4; i++) {
        fillers[i] = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)!connect(fillers[i], (struct sockaddr *)&ss, len);
        usleep(2000);
    }
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    if (fixture == NULL || sp_hash_setup() != SP_OK)
        return -1;
    memset(fixture->fillers, -1, sizeof(fixture->fillers));
    dns_start(&fixture->server, records, sizeof(records) / sizeof(records[0]));
    fixture->loop = test_loop_new(NULL);
    fixture->resolver = sp_resolver_new(fixture->loop);
    if (fixture->resolver == NULL ||
        sp_resolver_use_servers(fixture->resolver, fixture->server.where) != SP_OK)
        return -1;
    fixture->v4 = listener_open("127.0.0.1", 0);
    fixture->port = port_of(fixture->v4);
    fixture->v6 = -1;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    sp_resolver_free(&fixture->resolver);
    test_loop_end(&fixture->loop);
    dns_stop(&fixture->server);
    for (unsigned i = 0; i < 8; i++) {
        if (fixture->fillers[i / 4][i % 4] >= 0)
            close(fixture->fillers[i / 4][i % 4]);
    }
    if (fixture->v4 >= 0)
        close(fixture->v4);
    if (fixture->v6 >= 0)
        close(fixture->v6);
    free(fixture);
    return 0;
}

/* ---- the caller ---- */

static bool allow(void *owner, const struct sp_addr *addr)
{
    struct caller *caller = owner;

    caller->asked++;
    assert_true(addr->port != 0);
    return sp_addr_is_v4(addr) ? !caller->deny_v4 : !caller->deny_v6;
}

static void on_dialed(void *owner, const struct sp_dialed *dialed)
{
    struct caller *caller = owner;

    caller->dial = NULL;
    caller->told = true;
    caller->calls++;
    caller->ended = test_now_ms();
    caller->dialed = *dialed;
    snprintf(caller->why, sizeof(caller->why), "%s", dialed->why);
    assert_int_equal(dialed->err == SP_OK, dialed->stream != NULL);
}

static void start(struct fixture *fixture, const char *host, uint64_t ms, struct caller *caller)
{
    const struct sp_dial_target target = {
        .host = sp_span_cstr(host), .port = fixture->port, .timeout_ms = ms, .allow = allow};

    uv_update_time(sp_loop_uv(fixture->loop));
    caller->begun = test_now_ms();
    assert_int_equal(
        sp_dial_start(fixture->loop, fixture->resolver, &target, on_dialed, caller, &caller->dial),
        SP_OK);
    assert_false(caller->told); /* never inside the call */
    assert_non_null(caller->dial);
}

static void dial(struct fixture *fixture, const char *host, uint64_t ms, struct caller *caller)
{
    start(fixture, host, ms, caller);
    test_turn_until(fixture->loop, &caller->told);
    assert_int_equal(caller->calls, 1);
}

static void a_literal_address_is_connected_to(void **state)
{
    struct fixture *fixture = *state;
    struct caller caller = {0};
    struct iovec part = {.iov_base = "hi", .iov_len = 2};
    char got[8];
    size_t len;
    int peer;

    dial(fixture, "127.0.0.1", 1000, &caller);
    assert_int_equal(caller.dialed.err, SP_OK);
    assert_int_equal(caller.dialed.addr.port, fixture->port);
    assert_int_equal(caller.asked, 1);
    assert_true(sp_stream_is_quiet(caller.dialed.stream));
    assert_int_equal(sp_stream_write(caller.dialed.stream, &part, 1, &len), SP_OK);
    peer = accept(fixture->v4, NULL, NULL);
    assert_true(peer >= 0);
    assert_int_equal(recv(peer, got, sizeof(got), 0), 2);
    close(peer);
    sp_stream_close(&caller.dialed.stream, false);
}

static void a_name_is_resolved_and_connected_to(void **state)
{
    struct caller caller = {0};

    dial(*state, "here.test", 1000, &caller);
    assert_int_equal(caller.dialed.err, SP_OK);
    assert_true(sp_addr_is_v4(sp_stream_peer(caller.dialed.stream)));
    sp_stream_close(&caller.dialed.stream, false);
    memset(&caller, 0, sizeof(caller));
    dial(*state, "here.test", 1000, &caller); /* now from the table */
    assert_int_equal(caller.dialed.err, SP_OK);
    sp_stream_close(&caller.dialed.stream, false);
}

static void a_refusal_is_told_with_its_address(void **state)
{
    struct fixture *fixture = *state;
    struct caller caller = {0};
    char expected[64];

    close(fixture->v4);
    fixture->v4 = -1;
    dial(fixture, "127.0.0.1", 1000, &caller);
    assert_int_equal(caller.dialed.err, SP_ERR_IO);
    snprintf(expected, sizeof(expected), "127.0.0.1:%u: Connection refused", fixture->port);
    assert_string_equal(caller.why, expected);
}

static void an_address_that_is_not_allowed_is_not_connected_to(void **state)
{
    struct fixture *fixture = *state;
    struct caller caller = {.deny_v4 = true, .deny_v6 = true};

    dial(fixture, "localhost", 1000, &caller);
    assert_int_equal(caller.dialed.err, SP_ERR_DENIED);
    assert_int_equal(caller.asked, 2);
    assert_int_equal(accept(fixture->v4, NULL, NULL), -1);
}

static void of_several_failures_the_farthest_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct caller caller = {.deny_v6 = true};

    close(fixture->v4);
    fixture->v4 = -1;
    dial(fixture, "localhost", 1000, &caller);
    assert_int_equal(caller.dialed.err, SP_ERR_IO);
    assert_non_null(strstr(caller.why, "127.0.0.1"));
}

static void a_name_that_does_not_exist_is_told_as_that(void **state)
{
    struct caller caller = {0};

    dial(*state, "gone.test", 1000, &caller);
    assert_int_equal(caller.dialed.err, SP_ERR_NOT_FOUND);
    assert_non_null(strstr(caller.why, "gone.test: "));
    assert_int_equal(caller.asked, 0);
}

static void after_a_failure_the_next_address_is_tried_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct caller caller = {0};

    dial(fixture, "localhost", 2000, &caller); /* nobody listens on ::1 */
    assert_int_equal(caller.dialed.err, SP_OK);
    assert_true(sp_addr_is_v4(&caller.dialed.addr));
    assert_true(caller.ended - caller.begun < 200);
    sp_stream_close(&caller.dialed.stream, false);
}

static bool deaf_v6(struct fixture *fixture)
{
    int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool has = probe >= 0 && bind(probe, (struct sockaddr *)&at, sizeof(at)) == 0;

    if (probe >= 0)
        close(probe);
    if (!has)
        return false;
    fixture->v6 = listener_open("::1", fixture->port);
    make_deaf(fixture->v6, fixture->fillers[0]);
    return true;
}

static void a_deaf_address_costs_a_quarter_of_a_second(void **state)
{
    struct fixture *fixture = *state;
    struct caller caller = {0};

    if (!deaf_v6(fixture))
        skip();
    dial(fixture, "localhost", 3000, &caller);
    assert_int_equal(caller.dialed.err, SP_OK);
    assert_true(sp_addr_is_v4(&caller.dialed.addr));
    assert_in_range(caller.ended - caller.begun, 249, 700);
    sp_stream_close(&caller.dialed.stream, false);
}

static void when_nobody_answers_the_deadline_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct caller caller = {0};

    make_deaf(fixture->v4, fixture->fillers[1]);
    dial(fixture, "localhost", 400, &caller); /* ::1 refuses, 127.0.0.1 is deaf */
    assert_int_equal(caller.dialed.err, SP_ERR_TIMEOUT);
    assert_in_range(caller.ended - caller.begun, 399, 900);
    assert_non_null(strstr(caller.why, "127.0.0.1"));
}

static void a_resolver_that_is_not_answered_meets_the_deadline(void **state)
{
    struct caller caller = {0};

    dial(*state, "mute.test", 300, &caller);
    assert_int_equal(caller.dialed.err, SP_ERR_TIMEOUT);
    assert_non_null(strstr(caller.why, "mute.test"));
}

static void a_cancelled_dial_is_not_told(void **state)
{
    struct fixture *fixture = *state;
    struct caller callers[3] = {0};

    start(fixture, "mute.test", 1000, &callers[0]); /* while it resolves */
    start(fixture, "127.0.0.1", 1000, &callers[1]); /* while it connects */
    start(fixture, "gone.test", 1000, &callers[2]);
    for (unsigned i = 0; i < 3; i++) {
        sp_dial_cancel(&callers[i].dial);
        assert_null(callers[i].dial);
        sp_dial_cancel(&callers[i].dial);
    }
    test_turn_for(fixture->loop, 50);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(callers[i].calls, 0);
}

static void a_dial_that_failed_at_once_can_still_be_cancelled(void **state)
{
    struct fixture *fixture = *state;
    struct caller caller = {.deny_v4 = true};

    start(fixture, "127.0.0.1", 1000, &caller); /* denied: finished, not told yet */
    sp_dial_cancel(&caller.dial);
    test_turn_for(fixture->loop, 20);
    assert_int_equal(caller.calls, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_literal_address_is_connected_to),
        TEST(a_name_is_resolved_and_connected_to),
        TEST(a_refusal_is_told_with_its_address),
        TEST(an_address_that_is_not_allowed_is_not_connected_to),
        TEST(of_several_failures_the_farthest_is_told),
        TEST(a_name_that_does_not_exist_is_told_as_that),
        TEST(after_a_failure_the_next_address_is_tried_at_once),
        TEST(a_deaf_address_costs_a_quarter_of_a_second),
        TEST(when_nobody_answers_the_deadline_is_told),
        TEST(a_resolver_that_is_not_answered_meets_the_deadline),
        TEST(a_cancelled_dial_is_not_told),
        TEST(a_dial_that_failed_at_once_can_still_be_cancelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
