/* What a real slapd does not do on command: answer one login slowly, or fall silent on connections
 * that a firewall forgot. A relay stands between and does it, and counts how requests arrive. */
#include "bench_ldap.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAIRS 64

/* Listens; each connection is joined to slapd. A connection over which `holds` passed is held: no
 * byte moves on it any more. */
struct relay {
    pthread_t thread;
    int listener;
    unsigned short port;
    unsigned short to;
    const char *holds;
    atomic_bool end;
    int pairs[PAIRS][2];
    bool held[PAIRS];
    atomic_uint searches; /* pieces from clients that hold one or more */
    size_t len;
};

static int loopback_socket(unsigned short *port, bool listens)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t sa_len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    if (!listens) {
        assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
        return fd;
    }
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &sa_len), 0);
    *port = ntohs(sa.sin_port);
    return fd;
}

static void pass_on(struct relay *r, size_t i, int from)
{
    char bytes[16384];
    ssize_t got = read(r->pairs[i][from], bytes, sizeof(bytes));

    if (got <= 0) {
        shutdown(r->pairs[i][0], SHUT_RDWR);
        shutdown(r->pairs[i][1], SHUT_RDWR);
        r->held[i] = true;
        return;
    }
    if (from == 0 && memmem(bytes, (size_t)got, "inetOrgPerson", 13) != NULL)
        atomic_fetch_add(&r->searches, 1);
    if (r->holds != NULL && memmem(bytes, (size_t)got, r->holds, strlen(r->holds)) != NULL)
        r->held[i] = true;
    else if (write(r->pairs[i][1 - from], bytes, (size_t)got) != got)
        r->held[i] = true;
}

static void *relay_main(void *arg)
{
    struct relay *r = arg;

    while (!atomic_load(&r->end)) {
        struct pollfd watched[1 + 2 * PAIRS] = {{r->listener, POLLIN, 0}};

        for (size_t i = 0; i < 2 * r->len; i++)
            watched[1 + i] = (struct pollfd){r->held[i / 2] ? -1 : r->pairs[i / 2][i % 2], POLLIN,
                                             0};
        if (poll(watched, 1 + 2 * (nfds_t)r->len, 20) <= 0)
            continue;
        for (size_t i = 0; i < 2 * r->len; i++) {
            if (watched[1 + i].revents != 0 && !r->held[i / 2])
                pass_on(r, i / 2, (int)(i % 2));
        }
        if ((watched[0].revents & POLLIN) != 0 && r->len < PAIRS) {
            r->pairs[r->len][0] = accept(r->listener, NULL, NULL);
            r->pairs[r->len][1] = loopback_socket(&r->to, false);
            r->len++;
        }
    }
    return NULL;
}

static struct relay *relay_new(unsigned short to, const char *holds)
{
    struct relay *r = calloc(1, sizeof(*r));

    assert_non_null(r);
    r->to = to;
    r->holds = holds;
    r->listener = loopback_socket(&r->port, true);
    assert_int_equal(pthread_create(&r->thread, NULL, relay_main, r), 0);
    return r;
}

static void relay_free(struct relay *r)
{
    atomic_store(&r->end, true);
    pthread_join(r->thread, NULL);
    for (size_t i = 0; i < r->len; i++) {
        close(r->pairs[i][0]);
        close(r->pairs[i][1]);
    }
    close(r->listener);
    free(r);
}

static struct bench *bench_through(const struct relay *r)
{
    char uri[64];
    struct bench *b;

    snprintf(uri, sizeof(uri), "ldap://127.0.0.1:%u", r->port);
    b = bench_new(uri);
    set(b, "timeout", "1s");
    return b;
}

static void one_slow_login_delays_no_other(void **state)
{
    struct test_slapd *slapd = test_slapd_new(&(struct test_slapd_setup){.ppolicy = false});
    struct relay *r = relay_new(test_slapd_port(slapd), "slow-password");
    struct bench *b = bench_through(r);
    struct asked slow;
    struct asked a;
    uint64_t began;

    (void)state;
    bench_open(b);
    login(b, &a, "alice", "alice");
    ask(b, &slow, "bob", "slow-password");
    began = uv_hrtime();
    while (uv_hrtime() - began < 1500000000u) {
        uint64_t sent = uv_hrtime();

        login(b, &a, "alice", "alice");
        assert_int_equal(a.verdict, SP_VERDICT_ALLOW);
        assert_true(uv_hrtime() - sent < 500000000u);
        run_for(b, 20);
    }
    assert_int_equal(slow.told, 1);
    assert_int_equal(slow.verdict, SP_VERDICT_UNAVAILABLE);
    assert_int_equal(test_slapd_count(slapd, "BIND dn=\"uid=bob"), 0);
    bench_free(b);
    relay_free(r);
    test_slapd_free(&slapd);
}

static void searches_of_one_turn_go_out_together(void **state)
{
    struct test_slapd *slapd = test_slapd_new(&(struct test_slapd_setup){.ppolicy = false});
    struct relay *r = relay_new(test_slapd_port(slapd), NULL);
    struct bench *b = bench_through(r);
    struct asked many[20];
    struct asked a;

    (void)state;
    set(b, "timeout", "5s");
    bench_open(b);
    login(b, &a, "alice", "alice"); /* now the connections stand */
    assert_int_equal(atomic_load(&r->searches), 1);
    for (size_t i = 0; i < 20; i++)
        ask(b, &many[i], "alice", "alice");
    wait_for(b, many, 20, 15000);
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(many[i].verdict, SP_VERDICT_ALLOW);
    assert_int_equal(atomic_load(&r->searches), 2);
    bench_free(b);
    relay_free(r);
    test_slapd_free(&slapd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_slow_login_delays_no_other),
        cmocka_unit_test(searches_of_one_turn_go_out_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
