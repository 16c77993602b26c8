/* What the asynchronous ldap tests share: a backend on a loop of its own, and logins that can be
 * asked, waited for and looked at. Header only: each test program includes it once. */
#ifndef SP_TEST_BENCH_LDAP_H
#define SP_TEST_BENCH_LDAP_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "backends/ldap/ldap_options.h"
#include "sallyport/auth_backend.h"
#include "support/host.h"
#include "support/slapd.h"
#include "util/span.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const struct sp_auth_backend_ops sp_auth_backend;

struct bench {
    uv_loop_t loop;
    struct test_host *host;
    struct sp_ldap_options options;
    struct sp_auth_config *config;
    struct sp_auth_backend *backend;
    bool closed;
};

struct asked {
    struct sp_auth_op *op;
    uv_loop_t *loop;
    unsigned told; /* how often done fired */
    enum sp_verdict verdict;
    char user[64];
    char reason[128];
    char detail[400];
    char server[128];
    size_t groups_len;
    char groups[2048]; /* joined with ; as far as they fit */
    struct sp_auth_tracer tracer;
    char steps[4096];
};

static inline void set(struct bench *b, const char *name, const char *value)
{
    test_options_set(sp_ldap_options, &b->options, name, value);
}

static inline struct bench *bench_new(const char *uris)
{
    struct bench *b = calloc(1, sizeof(*b));

    assert_non_null(b);
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(uv_loop_init(&b->loop), 0);
    b->host = test_host_new(&b->loop, "corp-ldap");
    test_options_default(sp_ldap_options, &b->options);
    set(b, "uris", uris);
    set(b, "base", "ou=people,dc=test");
    set(b, "bind_dn", "cn=proxy,dc=test");
    set(b, "bind_password_file", "proxy-secret");
    return b;
}

static inline void bench_open(struct bench *b)
{
    struct sp_auth_fault fault = {NULL, ""};

    if (sp_auth_backend.configure(&b->options, test_host_lend(b->host), &b->config, &fault) !=
        SP_OK)
        fail_msg("%s: %s", fault.option, fault.text);
    assert_int_equal(sp_auth_backend.open(b->config, test_host_lend(b->host), &b->backend), SP_OK);
}

static inline void on_bench_closed(void *owner)
{
    ((struct bench *)owner)->closed = true;
}

static inline void bench_free(struct bench *b)
{
    if (b->backend != NULL) {
        sp_auth_backend.close(&b->backend, on_bench_closed, b);
        assert_false(b->closed);
        uv_run(&b->loop, UV_RUN_DEFAULT);
        assert_true(b->closed);
    }
    sp_auth_backend.release(&b->config);
    test_host_free(&b->host);
    test_options_free(sp_ldap_options, &b->options);
    assert_int_equal(uv_loop_close(&b->loop), 0);
    free(b);
}

static inline void on_step(struct sp_auth_tracer *tracer, const struct sp_auth_step *step)
{
    struct asked *a = sp_container_of(tracer, struct asked, tracer);
    size_t len = strlen(a->steps);

    snprintf(a->steps + len, sizeof(a->steps) - len, "%s[%s]=%s\n", step->what,
             step->detail != NULL ? step->detail : "", step->outcome);
}

static inline void on_done(void *owner, const struct sp_auth_result *result)
{
    struct asked *a = owner;

    a->told++;
    uv_stop(a->loop); /* or a turn with nothing else to do would wait for the bench's own timer */
    a->verdict = result->verdict;
    snprintf(a->user, sizeof(a->user), "%.*s", SP_SPAN_ARG(result->user));
    snprintf(a->reason, sizeof(a->reason), "%s", result->reason != NULL ? result->reason : "");
    snprintf(a->detail, sizeof(a->detail), "%s", result->detail != NULL ? result->detail : "");
    snprintf(a->server, sizeof(a->server), "%s", result->server != NULL ? result->server : "");
    a->groups_len = result->groups_len;
    for (size_t i = 0; i < result->groups_len; i++) {
        size_t len = strlen(a->groups);

        snprintf(a->groups + len, sizeof(a->groups) - len, "%.*s;", SP_SPAN_ARG(result->groups[i]));
    }
    sp_auth_backend.free(&a->op);
}

static inline void ask_for(struct bench *b, struct asked *a, enum sp_auth_ability what,
                           const char *user, const char *password)
{
    struct sp_auth_input input = {
        .ask = what,
        .user = sp_span_cstr(user),
        .password = sp_span_cstr(password),
        .client = "192.0.2.1",
        .id = "test",
        .tracer = &a->tracer,
    };

    memset(a, 0, sizeof(*a));
    a->loop = &b->loop;
    uv_update_time(&b->loop); /* as in a turn of a loop that lives; a test may have slept */
    a->tracer.step = on_step;
    assert_int_equal(sp_auth_backend.start(b->backend, &input, on_done, a, &a->op), SP_OK);
    assert_int_equal(a->told, 0); /* never inside start */
}

static inline void ask(struct bench *b, struct asked *a, const char *user, const char *password)
{
    ask_for(b, a, SP_AUTH_PASSWORD, user, password);
}

static inline void on_bench_time(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

/* Turns the loop until `count` of `asked` are told, or ms have passed. */
static inline void wait_for(struct bench *b, struct asked *asked, size_t count, uint64_t ms)
{
    uv_timer_t timer;
    bool late = false;
    size_t told = 0;

    uv_timer_init(&b->loop, &timer);
    timer.data = &late;
    uv_timer_start(&timer, on_bench_time, ms, 0);
    while (!late && told < count) {
        uv_run(&b->loop, UV_RUN_ONCE);
        told = 0;
        for (size_t i = 0; asked != NULL && i < count; i++)
            told += asked[i].told > 0;
    }
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&b->loop, UV_RUN_NOWAIT);
}

static inline void run_for(struct bench *b, uint64_t ms)
{
    wait_for(b, NULL, 1, ms);
}

/* Turns the loop until no connection is being dialled; each dial has a deadline of its own. */
static inline void wait_for_dials(struct bench *b)
{
    while (test_host_jobs(b->host) > 0)
        uv_run(&b->loop, UV_RUN_ONCE);
}

static inline void login(struct bench *b, struct asked *a, const char *user, const char *password)
{
    ask(b, a, user, password);
    wait_for(b, a, 1, 15000);
    assert_int_equal(a->told, 1);
}

#endif
