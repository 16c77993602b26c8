/* The wire's ways of writing and reading, over a socket pair: what is held, what goes out at once,
 * and what is left unread. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "backends/ldap/ldap_uri.h"
#include "backends/ldap/ldap_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct pair {
    struct sp_ldap_wire *wire;
    int server;
};

static struct pair pair_new(void)
{
    struct sp_ldap_uri uri;
    const char *why = NULL;
    struct pair p;
    int ends[2];

    assert_int_equal(sp_ldap_uri_parse(&uri, "ldap://127.0.0.1", &why), SP_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    p.wire = sp_ldap_wire_new(ends[0], &uri, 1000);
    assert_non_null(p.wire);
    p.server = ends[1];
    return p;
}

static void pair_free(struct pair *p)
{
    sp_ldap_wire_free(&p->wire);
    close(p->server);
}

static int search(struct pair *p, const char *filter)
{
    int msgid = 0;

    assert_int_equal(ldap_search_ext(sp_ldap_wire_handle(p->wire), "dc=test", LDAP_SCOPE_SUBTREE,
                                     filter, NULL, 0, NULL, NULL, NULL, 2, &msgid),
                     LDAP_SUCCESS);
    return msgid;
}

/* How many bytes the server finds; 0: none. */
static size_t server_finds(struct pair *p, char *into, size_t cap)
{
    ssize_t got = recv(p->server, into, cap, MSG_DONTWAIT);

    if (got < 0)
        assert_int_equal(errno, EAGAIN);
    return got > 0 ? (size_t)got : 0;
}

/* SearchResultDone (RFC 4511 4.5.2), success, for a message id below 128. */
static void server_answers(struct pair *p, int msgid)
{
    unsigned char done[] = {0x30, 0x0c, 2, 1, (unsigned char)msgid, 0x65, 7, 10, 1, 0, 4, 0, 4, 0};

    assert_int_equal(send(p->server, done, sizeof(done), MSG_NOSIGNAL), (ssize_t)sizeof(done));
}

static void expect_answer(struct pair *p, int msgid)
{
    LDAPMessage *message = NULL;

    assert_int_equal(sp_ldap_wire_next(p->wire, &message), SP_OK);
    assert_int_equal(ldap_msgid(message), msgid);
    ldap_msgfree(message);
}

static void expect_nothing(struct pair *p)
{
    LDAPMessage *message = NULL;

    assert_int_equal(sp_ldap_wire_next(p->wire, &message), SP_ERR_AGAIN);
}

static void a_request_goes_out_at_once(void **state)
{
    struct pair p = pair_new();
    char bytes[1024];

    (void)state;
    (void)search(&p, "(uid=alice)");
    assert_false(sp_ldap_wire_holds(p.wire));
    assert_true(server_finds(&p, bytes, sizeof(bytes)) > 0);
    pair_free(&p);
}

static void held_requests_go_out_together(void **state)
{
    struct pair p = pair_new();
    char bytes[4096];
    size_t len;

    (void)state;
    sp_ldap_wire_hold(p.wire);
    (void)search(&p, "(uid=alice)");
    (void)search(&p, "(uid=bob)");
    (void)search(&p, "(uid=carol)");
    assert_int_equal(server_finds(&p, bytes, sizeof(bytes)), 0);
    assert_true(sp_ldap_wire_holds(p.wire));
    assert_false(sp_ldap_wire_wants_write(p.wire));
    assert_int_equal(sp_ldap_wire_flush(p.wire), SP_OK);
    assert_false(sp_ldap_wire_holds(p.wire));
    len = server_finds(&p, bytes, sizeof(bytes));
    assert_non_null(memmem(bytes, len, "alice", 5));
    assert_non_null(memmem(bytes, len, "bob", 3));
    assert_non_null(memmem(bytes, len, "carol", 5));
    pair_free(&p);
}

static void too_much_is_not_held(void **state)
{
    static char bytes[65536];
    struct pair p = pair_new();
    char filter[9000] = "(uid=";

    (void)state;
    memset(filter + 5, 'x', sizeof(filter) - 7);
    filter[sizeof(filter) - 2] = ')';
    sp_ldap_wire_hold(p.wire);
    (void)search(&p, filter);
    assert_int_equal(server_finds(&p, bytes, sizeof(bytes)), 0);
    (void)search(&p, filter);
    assert_true(server_finds(&p, bytes, sizeof(bytes)) > 16384);
    assert_false(sp_ldap_wire_holds(p.wire));
    pair_free(&p);
}

static void a_full_socket_is_waited_for(void **state)
{
    static char bytes[8u << 20];
    struct pair p = pair_new();
    size_t len = 0;
    size_t got = 1;

    (void)state;
    sp_ldap_wire_hold(p.wire);
    for (unsigned i = 0; i < 50000 && !sp_ldap_wire_wants_write(p.wire); i++) {
        (void)search(&p, "(uid=alice)");
        assert_int_equal(sp_ldap_wire_flush(p.wire), SP_OK);
    }
    assert_true(sp_ldap_wire_wants_write(p.wire));
    assert_false(sp_ldap_wire_holds(p.wire));
    (void)search(&p, "(uid=last)");
    while (got > 0) {
        assert_true(len < sizeof(bytes));
        got = server_finds(&p, bytes + len, sizeof(bytes) - len);
        len += got;
        assert_int_equal(sp_ldap_wire_flush(p.wire), SP_OK);
    }
    assert_false(sp_ldap_wire_wants_write(p.wire));
    assert_non_null(memmem(bytes, len, "last", 4));
    pair_free(&p);
}

static void what_is_held_goes_out_before_the_end(void **state)
{
    struct pair p = pair_new();
    char bytes[1024];
    size_t len;

    (void)state;
    sp_ldap_wire_hold(p.wire);
    (void)search(&p, "(uid=alice)");
    sp_ldap_wire_free(&p.wire);
    len = server_finds(&p, bytes, sizeof(bytes));
    assert_true(len > 7);
    assert_int_equal(bytes[len - 2], 0x42); /* UnbindRequest, the last of all */
    pair_free(&p);
}

/* A read that emptied the socket is not followed by another, and yet nothing is missed. */
static void answers_come_one_by_one_or_together(void **state)
{
    struct pair p = pair_new();
    int first = search(&p, "(uid=alice)");
    int second = search(&p, "(uid=bob)");
    int third = search(&p, "(uid=carol)");

    (void)state;
    expect_nothing(&p);
    server_answers(&p, second);
    server_answers(&p, first);
    expect_answer(&p, second);
    expect_answer(&p, first);
    expect_nothing(&p);
    server_answers(&p, third);
    expect_answer(&p, third);
    expect_nothing(&p);
    pair_free(&p);
}

static void the_end_is_seen_after_the_last_answer(void **state)
{
    struct pair p = pair_new();
    LDAPMessage *message = NULL;
    int msgid = search(&p, "(uid=alice)");

    (void)state;
    server_answers(&p, msgid);
    assert_int_equal(shutdown(p.server, SHUT_WR), 0);
    expect_answer(&p, msgid);
    expect_nothing(&p); /* the socket stays readable, so the loop asks again */
    assert_int_equal(sp_ldap_wire_next(p.wire, &message), SP_ERR_CLOSED);
    pair_free(&p);
}

/* libldap hands these over with a kind that means "none yet", or "failed", by their tags. */
static void an_answer_with_an_impossible_tag_is_the_end(void **state)
{
    static const unsigned char zero[] = {0x30, 0x0c, 2, 1, 1, 0, 7, 10, 1, 0, 4, 0, 4, 0};
    static const unsigned char below[] = {0x30, 0x0c, 2,    1,    1, 0xff, 0xff,
                                          0xff, 0xff, 0x0c, 0x02, 1, 2,    0x65};
    static const unsigned char *const odd[] = {zero, below};

    (void)state;
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        struct pair p = pair_new();
        LDAPMessage *message = NULL;

        assert_int_equal(search(&p, "(cn=a)"), 1);
        assert_int_equal(send(p.server, odd[i], sizeof(zero), MSG_NOSIGNAL), sizeof(zero));
        assert_int_equal(sp_ldap_wire_next(p.wire, &message), SP_ERR_INVALID);
        assert_null(message); /* and none is leaked */
        pair_free(&p);
    }
}

/* Entries of that search, as many as the socket takes. */
static size_t server_floods(struct pair *p, int msgid)
{
    unsigned char entry[] = {
        0x30, 0x0e, 2, 1, (unsigned char)msgid, 0x64, 9, 4, 5, 'c', 'n', '=', 'x', 'y', 0x30, 0};
    ssize_t sent;
    size_t all = 0;

    while ((sent = send(p->server, entry, sizeof(entry), MSG_NOSIGNAL)) == (ssize_t)sizeof(entry))
        all += sizeof(entry);
    assert_int_equal(sent, -1);
    return all;
}

static void an_answer_without_end_is_given_up(void **state)
{
    struct pair p = pair_new();
    LDAPMessage *message = NULL;
    enum sp_err err = SP_ERR_AGAIN;
    int msgid = search(&p, "(uid=alice)");
    size_t sent = 0;

    (void)state;
    while (err == SP_ERR_AGAIN && sent < (size_t)16 * 1024 * 1024) {
        sent += server_floods(&p, msgid);
        err = sp_ldap_wire_next(p.wire, &message);
    }
    assert_int_equal(err, SP_ERR_TOO_LARGE);
    assert_true(sent < (size_t)4 * 1024 * 1024);
    pair_free(&p);
}

static void long_answers_one_after_another_are_no_flood(void **state)
{
    struct pair p = pair_new();

    (void)state;
    for (size_t sent = 0; sent < (size_t)8 * 1024 * 1024;) {
        int msgid = search(&p, "(uid=alice)");
        char asked[4096];
        LDAPMessage *message = NULL;
        enum sp_err err = SP_ERR_AGAIN;

        (void)server_finds(&p, asked, sizeof(asked));
        if (msgid > 127)
            break; /* server_answers knows short ids */
        for (unsigned i = 0; i < 2; i++) {
            sent += server_floods(&p, msgid);
            err = sp_ldap_wire_next(p.wire, &message);
            assert_int_equal(err, SP_ERR_AGAIN);
        }
        server_answers(&p, msgid);
        expect_answer(&p, msgid);
    }
    pair_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_goes_out_at_once),
        cmocka_unit_test(held_requests_go_out_together),
        cmocka_unit_test(too_much_is_not_held),
        cmocka_unit_test(a_full_socket_is_waited_for),
        cmocka_unit_test(what_is_held_goes_out_before_the_end),
        cmocka_unit_test(answers_come_one_by_one_or_together),
        cmocka_unit_test(the_end_is_seen_after_the_last_answer),
        cmocka_unit_test(an_answer_with_an_impossible_tag_is_the_end),
        cmocka_unit_test(an_answer_without_end_is_given_up),
        cmocka_unit_test(long_answers_one_after_another_are_no_flood),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
