/* The scripted directory: see responder.h. One thread with a poll(2) set; liblber writes. */
#include "support/responder.h"

#include <arpa/inet.h>
#include <errno.h>
#include <lber.h>
#include <ldap.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNS   128
#define RULES   32
#define REQUEST 65536

struct caller {
    int fd; /* -1: gone */
    size_t len;
    unsigned char bytes[REQUEST];
};

struct test_responder {
    pthread_t thread;
    int listener;
    char uri[64];
    const struct test_rule *rules;
    atomic_uint counts[RULES];
    atomic_uint conns;
    atomic_bool end;
    struct caller *callers[CONNS];
};

struct request {
    int id;
    int op;
    const unsigned char *bytes;
    size_t len;
};

static void must(bool well, const char *what)
{
    if (!well) {
        fprintf(stderr, "test responder: %s (%s)\n", what, strerror(errno));
        abort();
    }
}

/* ---- answers ---- */

static int result_op(int op)
{
    switch (op) {
    case LDAP_REQ_SEARCH: return LDAP_RES_SEARCH_RESULT;
    case LDAP_REQ_EXTENDED: return LDAP_RES_EXTENDED;
    default: return LDAP_RES_BIND;
    }
}

static void send_ber(struct caller *c, BerElement *ber)
{
    struct berval *flat = NULL;

    must(ber_flatten(ber, &flat) == 0, "no answer made");
    (void)send(c->fd, flat->bv_val, flat->bv_len, MSG_NOSIGNAL); /* the client may be gone */
    ber_bvfree(flat);
    ber_free(ber, 1);
}

static BerElement *ber_new(void)
{
    BerElement *ber = ber_alloc_t(LBER_USE_DER);

    must(ber != NULL, "out of memory");
    return ber;
}

static void send_result(struct caller *c, const struct request *request,
                        const struct test_rule *rule)
{
    BerElement *ber = ber_new();
    const char *diagnostic = rule->diagnostic != NULL ? rule->diagnostic : "";
    int rc = ber_printf(ber, "{it{ess", request->id, (ber_tag_t)result_op(request->op),
                        rule->result, "", diagnostic);

    if (rc >= 0 && rule->refers != NULL)
        rc = ber_printf(ber, "t{s}", (ber_tag_t)LDAP_TAG_REFERRAL, rule->refers);
    must(rc >= 0 && ber_printf(ber, "}}") >= 0, "no result made");
    send_ber(c, ber);
}

static void send_entry(struct caller *c, const struct request *request,
                       const struct test_rule *rule)
{
    BerElement *ber = ber_new();

    must(ber_printf(ber, "{it{s{{s[s]}{s[s]}}}}", request->id, (ber_tag_t)LDAP_RES_SEARCH_ENTRY,
                    rule->entry, "uid", rule->name, "cn", rule->name) >= 0,
         "no entry made");
    send_ber(c, ber);
}

static void send_reference(struct caller *c, const struct request *request,
                           const struct test_rule *rule)
{
    BerElement *ber = ber_new();

    must(ber_printf(ber, "{it{s}}", request->id, (ber_tag_t)LDAP_RES_SEARCH_REFERENCE,
                    rule->reference) >= 0,
         "no reference made");
    send_ber(c, ber);
}

static void send_goodbye(struct caller *c, const struct test_rule *rule)
{
    BerElement *ber = ber_new();

    must(ber_printf(ber, "{it{essts}}", 0, (ber_tag_t)LDAP_RES_EXTENDED, rule->result, "",
                    rule->diagnostic != NULL ? rule->diagnostic : "",
                    (ber_tag_t)LDAP_TAG_EXOP_RES_OID, LDAP_NOTICE_OF_DISCONNECTION) >= 0,
         "no goodbye made");
    send_ber(c, ber);
}

static void hang_up(struct caller *c)
{
    close(c->fd);
    c->fd = -1;
}

static void obey(struct caller *c, const struct request *request, const struct test_rule *rule)
{
    if (rule->work_ms > 0)
        (void)poll(NULL, 0, (int)rule->work_ms);
    switch (rule->does) {
    case TEST_ANSWERS:
        if (rule->entry != NULL)
            send_entry(c, request, rule);
        if (rule->reference != NULL)
            send_reference(c, request, rule);
        send_result(c, request, rule);
        break;
    case TEST_IS_SILENT: break;
    case TEST_SAYS_GOODBYE: send_goodbye(c, rule); /* fall through */
    case TEST_HANGS_UP: hang_up(c); break;
    }
}

/* ---- requests ---- */

static bool fits(struct test_responder *r, unsigned i, const struct request *request)
{
    const struct test_rule *rule = &r->rules[i];

    return (rule->op == 0 || rule->op == request->op) &&
           (rule->times == 0 || atomic_load(&r->counts[i]) < rule->times) &&
           (rule->holds == NULL ||
            memmem(request->bytes, request->len, rule->holds, strlen(rule->holds)) != NULL);
}

static void on_request(struct test_responder *r, struct caller *c, const struct request *request)
{
    static const struct test_rule otherwise = {.result = LDAP_SUCCESS};

    if (request->op == LDAP_REQ_UNBIND || request->op == LDAP_REQ_ABANDON)
        return;
    for (unsigned i = 0; r->rules[i].op >= 0; i++) {
        must(i < RULES, "too many rules");
        if (!fits(r, i, request))
            continue;
        atomic_fetch_add(&r->counts[i], 1);
        obey(c, request, &r->rules[i]);
        return;
    }
    obey(c, request, &otherwise);
}

/* The length of the element at the front, header and all; 0: it is not whole yet. */
static size_t element_len(const unsigned char *bytes, size_t len, size_t *header_out)
{
    size_t more = len >= 2 && bytes[1] > 0x80 ? bytes[1] & 0x7fu : 0;
    size_t content = 0;

    if (len < 2 + more)
        return 0;
    if (more == 0)
        content = bytes[1];
    for (size_t i = 0; i < more; i++)
        content = content << 8 | bytes[2 + i];
    *header_out = 2 + more;
    return len >= 2 + more + content ? 2 + more + content : 0;
}

static void take_requests(struct test_responder *r, struct caller *c)
{
    size_t header = 0;
    size_t whole;

    while (c->fd >= 0 && (whole = element_len(c->bytes, c->len, &header)) > 0) {
        const unsigned char *id = c->bytes + header;
        struct request request = {.bytes = c->bytes, .len = whole};

        for (size_t i = 0; i < id[1]; i++)
            request.id = request.id << 8 | id[2 + i];
        request.op = id[2 + id[1]];
        on_request(r, c, &request);
        c->len -= whole;
        memmove(c->bytes, c->bytes + whole, c->len);
    }
}

/* ---- the thread ---- */

static void read_from(struct test_responder *r, struct caller *c)
{
    ssize_t got = recv(c->fd, c->bytes + c->len, sizeof(c->bytes) - c->len, 0);

    if (got <= 0) {
        hang_up(c);
        return;
    }
    c->len += (size_t)got;
    take_requests(r, c);
}

static void accept_one(struct test_responder *r)
{
    unsigned n = atomic_load(&r->conns);

    must(n < CONNS, "too many connections");
    r->callers[n] = calloc(1, sizeof(*r->callers[n]));
    must(r->callers[n] != NULL, "out of memory");
    r->callers[n]->fd = accept(r->listener, NULL, NULL);
    must(r->callers[n]->fd >= 0, "accept");
    atomic_store(&r->conns, n + 1);
}

static void *responder_main(void *arg)
{
    struct test_responder *r = arg;

    while (!atomic_load(&r->end)) {
        struct pollfd watched[1 + CONNS] = {{r->listener, POLLIN, 0}};
        unsigned n = atomic_load(&r->conns);

        for (unsigned i = 0; i < n; i++)
            watched[1 + i] = (struct pollfd){r->callers[i]->fd, POLLIN, 0};
        if (poll(watched, 1 + n, 20) <= 0)
            continue;
        for (unsigned i = 0; i < n; i++) {
            if (watched[1 + i].revents != 0 && r->callers[i]->fd >= 0)
                read_from(r, r->callers[i]);
        }
        if (watched[0].revents != 0)
            accept_one(r);
    }
    return NULL;
}

/* ---- life ---- */

struct test_responder *test_responder_new(const struct test_rule *rules)
{
    struct test_responder *r = calloc(1, sizeof(*r));
    struct sockaddr_in sa = {.sin_family = AF_INET};
    socklen_t sa_len = sizeof(sa);

    must(r != NULL, "out of memory");
    r->rules = rules;
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    r->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(r->listener >= 0, "socket");
    must(bind(r->listener, (struct sockaddr *)&sa, sizeof(sa)) == 0, "bind");
    must(listen(r->listener, CONNS) == 0, "listen");
    must(getsockname(r->listener, (struct sockaddr *)&sa, &sa_len) == 0, "getsockname");
    snprintf(r->uri, sizeof(r->uri), "ldap://127.0.0.1:%u", ntohs(sa.sin_port));
    must(pthread_create(&r->thread, NULL, responder_main, r) == 0, "no thread");
    return r;
}

void test_responder_free(struct test_responder **ref)
{
    struct test_responder *r = *ref;

    *ref = NULL;
    if (r == NULL)
        return;
    atomic_store(&r->end, true);
    must(pthread_join(r->thread, NULL) == 0, "join");
    for (unsigned i = 0; i < atomic_load(&r->conns); i++) {
        if (r->callers[i]->fd >= 0)
            close(r->callers[i]->fd);
        free(r->callers[i]);
    }
    close(r->listener);
    free(r);
}

const char *test_responder_uri(const struct test_responder *responder)
{
    return responder->uri;
}

unsigned test_responder_count(struct test_responder *responder, unsigned rule)
{
    return atomic_load(&responder->counts[rule]);
}

unsigned test_responder_conns(struct test_responder *responder)
{
    return atomic_load(&responder->conns);
}
