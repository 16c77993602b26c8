/* For the tests of policy: a policy from configuration text, and questions in one line. */
#ifndef SP_TEST_POLICY_HELP_H
#define SP_TEST_POLICY_HELP_H

#include "policy/policy.h"

#include "util/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct sp_config_section policy_sections[3];

struct fixture {
    struct sp_config *config;
    struct sp_policy *policy;
    struct sp_config_faults faults;
};

static inline void fixture_open(struct fixture *f, const char *text, const struct sp_addr *own,
                                size_t own_len)
{
    char path[] = "/tmp/sallyport-policy-XXXXXX";
    int fd = mkstemp(path);

    policy_sections[0] = (struct sp_config_section){.name = "protect",
                                                    .options = sp_protect_option_table,
                                                    .options_size = sp_protect_options_size};
    policy_sections[1] = (struct sp_config_section){.name = "rule",
                                                    .titled = true,
                                                    .options = sp_rule_option_table,
                                                    .options_size = sp_rule_options_size};
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
    sp_config_faults_init(&f->faults);
    f->policy = NULL;
    f->config = sp_config_read(path, policy_sections, &f->faults);
    assert_int_equal(unlink(path), 0);
    if (f->config == NULL)
        fail_msg("%.*s", SP_SPAN_ARG(sp_buf_span(&f->faults.text)));
    f->policy = sp_policy_compile(f->config, own, own_len, &f->faults);
}

static inline void fixture_close(struct fixture *f)
{
    sp_policy_free(&f->policy);
    sp_config_unref(&f->config);
    sp_config_faults_fini(&f->faults);
}

/* A question; zero means: no user, no address known, GET to port 80 on a Monday noon. */
struct ask {
    const char *user;
    const char *group; /* with user; one is enough here */
    const char *client;
    const char *host;
    const char *addr;
    const char *method;
    uint16_t port;
    uint64_t wall_ms;
};

#define MONDAY_NOON 1763985600000ull /* 2025-11-24T12:00:00Z */

static inline struct sp_addr addr_of(const char *text)
{
    struct sp_addr addr;

    assert_int_equal(sp_addr_parse_ip(&addr, sp_span_cstr(text)), SP_OK);
    return addr;
}

static inline struct sp_policy_decision decide(const struct fixture *f, struct ask ask)
{
    struct sp_span group = sp_span_cstr(ask.group);
    struct sp_policy_who who = {sp_span_cstr(ask.user), &group, ask.group != NULL};
    struct sp_addr client = addr_of(ask.client != NULL ? ask.client : "10.1.1.1");
    struct sp_addr addr = {.port = 0};
    struct sp_addr literal;
    struct sp_policy_query query = {
        .who = ask.user != NULL ? &who : NULL,
        .client = &client,
        .host = sp_span_cstr(ask.host),
        .port = ask.port != 0 ? ask.port : 80,
        .method = sp_span_cstr(ask.method != NULL ? ask.method : "GET"),
        .wall_ms = ask.wall_ms != 0 ? ask.wall_ms : MONDAY_NOON,
    };

    query.connect = sp_span_eq(query.method, SP_SPAN_LIT("CONNECT"));
    if (sp_addr_parse_ip(&literal, query.host) == SP_OK)
        query.literal = &literal;
    if (ask.addr != NULL) {
        addr = addr_of(ask.addr);
        query.addr = &addr;
    }
    return sp_policy_decide(f->policy, &query);
}

#define ASSERT_VERDICT(f, expected, ...) \
    assert_int_equal(decide((f), (struct ask){__VA_ARGS__}).verdict, (expected))

#endif
