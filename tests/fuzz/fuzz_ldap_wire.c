/* Any bytes as what a directory sends: answers are taken or the connection is given up, nothing
 * waits, and in one piece or in many they are the same answers, as far as they are answers. */
#include "backends/ldap/ldap_uri.h"
#include "backends/ldap/ldap_wire.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWERS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *__asan_default_options(void);

/* libldap 2.5 does not free the request whose answer it cannot decode: for this target alone,
 * leaks are not looked for. */
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

struct heard {
    int types[ANSWERS_MAX];
    int results[ANSWERS_MAX];
    size_t len;
    bool closed;
};

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void note(struct sp_ldap_wire *wire, LDAPMessage *message, struct heard *heard)
{
    LDAPControl **controls = NULL;
    char *diagnostic = NULL, **urls = NULL;
    int result = -1;

    if (ldap_msgtype(message) == LDAP_RES_BIND || ldap_msgtype(message) == LDAP_RES_SEARCH_RESULT)
        (void)ldap_parse_result(sp_ldap_wire_handle(wire), message, &result, NULL, &diagnostic,
                                &urls, &controls, 0);
    heard->types[heard->len] = ldap_msgtype(message);
    heard->results[heard->len++] = result;
    ldap_memfree(diagnostic);
    ldap_memvfree((void **)urls);
    ldap_controls_free(controls);
    ldap_msgfree(message);
}

static void hear(struct sp_ldap_wire *wire, struct heard *heard)
{
    enum sp_err err = SP_OK;

    while (err == SP_OK && heard->len < ANSWERS_MAX) {
        LDAPMessage *message = NULL;

        err = sp_ldap_wire_next(wire, &message);
        must((err == SP_OK) == (message != NULL));
        if (err == SP_OK)
            note(wire, message, heard);
    }
    heard->closed = err == SP_ERR_CLOSED || err == SP_ERR_INVALID;
}

static void play(const uint8_t *data, size_t size, size_t step, struct heard *heard)
{
    const struct sp_ldap_uri uri = {.text = "ldap://127.0.0.1:389"};
    struct sp_ldap_wire *wire;
    int fds[2], msgid;

    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    wire = sp_ldap_wire_new(fds[0], &uri, 1000);
    must(wire != NULL);
    must(sp_ldap_wire_bind(wire, "uid=a,dc=test", (struct sp_span){"secret", 6}, &msgid) ==
         LDAP_SUCCESS);
    for (size_t at = 0; at < size && !heard->closed && heard->len < ANSWERS_MAX; at += step) {
        size_t len = size - at < step ? size - at : step;

        must(send(fds[1], data + at, len, MSG_NOSIGNAL) == (ssize_t)len);
        hear(wire, heard);
    }
    sp_ldap_wire_free(&wire);
    close(fds[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct heard whole = {.len = 0}, bits = {.len = 0};

    if (size == 0 || size > 2048)
        return 0;
    signal(SIGPIPE, SIG_IGN);
    play(data, size, size, &whole);
    play(data, size, size > 64 ? 7 : 1, &bits);
    /* libldap finds nonsense sooner or later, by how it comes; what it took before is the same */
    must(whole.closed || bits.closed || whole.len == bits.len);
    for (size_t i = 0; i < whole.len && i < bits.len; i++)
        must(whole.types[i] == bits.types[i] && whole.results[i] == bits.results[i]);
    return 0;
}
