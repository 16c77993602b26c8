/* Flights on real threads: two workers ask the same few questions at once, leave, flush and go on.
 * For the thread sanitizer above all; the counts must hold on any build. */
#include "support/auth_rig.h"
#include "util/span.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROUNDS 1500u
#define ASKS   6u

#define CONFIG                                                                         \
    "listen \"127.0.0.1:3128\" { offer = {\"negotiate\", \"basic\"} }\n"               \
    "auth { basic = {\"dir\", \"local\"} negotiate = {\"krb\"} }\n"                    \
    "cache { ttl = 20ms refresh = 20 negative_ttl = 5ms grace = 10ms }\n"              \
    "guard { user_failures = 50 client_failures = 0 window = 1s block = 1s }\n"        \
    "backend \"dir\" { plugin = \"fake\" }\nbackend \"local\" { plugin = \"fake\" }\n" \
    "backend \"krb\" { plugin = \"faketoken\" groups_from = \"dir\" }\n"

static const struct fake_user people[] = {
    {"alice", "secret", NULL, "staff"},
    {"bob", "hunter2", NULL, NULL},
    {"eve", "old", "password expired", NULL},
    {NULL, NULL, NULL, NULL},
};
static const struct fake_user locals[] = {
    {"printer", "paper", NULL, NULL},
    {NULL, NULL, NULL, NULL},
};

static struct rig rig;

struct worker {
    unsigned index;
    unsigned seed;
    unsigned answered, passed;
};

static unsigned roll(struct worker *w, unsigned below)
{
    w->seed = w->seed * 1103515245u + 12345u;
    return (w->seed >> 8) % below;
}

static void on_answered(void *owner, const struct sp_auth_answer *answer)
{
    struct rig_reply *reply = owner;

    reply->answered = true;
    reply->ask = NULL;
    reply->state = answer->state;
    if (answer->identity != NULL)
        reply->calls = sp_identity_user(answer->identity).len > 0 ? 1 : 99;
}

/* As rig_begin, without cmocka's asserts: those are for one thread. */
static void begin(struct worker *w, struct sp_auth_conn **conn, const char *header,
                  struct rig_reply *reply)
{
    struct sp_addr client = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 10}};
    struct sp_auth_answer answer;
    struct sp_auth_question q = {.authorization = sp_span_cstr(header),
                                 .client = &client,
                                 .id = SP_SPAN_LIT("id"),
                                 .log = &rig.log};

    memset(reply, 0, sizeof(*reply));
    sp_auth_engine_ask(rig.engines[w->index], conn, &q, on_answered, reply, &answer, &reply->ask);
    if (answer.state != SP_AUTH_PENDING)
        on_answered(reply, &answer);
}

static void run_round(struct worker *w, const char *const *headers, unsigned headers_len)
{
    struct sp_auth_conn *conns[ASKS] = {NULL};
    struct rig_reply replies[ASKS];

    for (unsigned i = 0; i < ASKS; i++)
        begin(w, &conns[i], headers[roll(w, headers_len)], &replies[i]);
    for (unsigned i = 0; i < ASKS; i++) {
        if (roll(w, 4) == 0)
            sp_loop_turn(rig.loops[w->index], false);
        if (roll(w, 3) == 0) {
            sp_auth_ask_cancel(&replies[i].ask);
            continue;
        }
        while (!replies[i].answered)
            sp_loop_turn(rig.loops[w->index], false);
        w->answered++;
        w->passed += replies[i].calls;
    }
    if (roll(w, 10) == 0)
        sp_auth_shared_flush(&rig.shared, SP_SPAN_LIT("alice"));
    for (unsigned i = 0; i < ASKS; i++)
        sp_auth_conn_free(&conns[i]);
}

static void on_closed(void *owner)
{
    *(bool *)owner = true;
}

static void *run(void *owner)
{
    struct worker *w = owner;
    static const char *const headers[] = {
        "Basic YWxpY2U6c2VjcmV0", /* alice:secret */
        "Basic YWxpY2U6c2VjcmV0",
        "Basic Ym9iOndyb25n",                         /* bob:wrong */
        "Basic ZXZlOm9sZA==",                         /* eve:old */
        "Basic cHJpbnRlcjpwYXBlcg==",                 /* printer:paper */
        "Negotiate dXNlcj1hbGljZSBwcmluY2lwYWw9YUBC", /* user=alice principal=a@B */
    };
    bool closed = false;

    for (unsigned i = 0; i < ROUNDS; i++)
        run_round(w, headers, sizeof(headers) / sizeof(headers[0]));
    sp_auth_engine_close(&rig.engines[w->index], on_closed, &closed);
    while (!closed)
        sp_loop_turn(rig.loops[w->index], false);
    return NULL;
}

static void two_workers_asking_at_once_all_get_their_answers(void **state)
{
    struct worker workers[RIG_WORKERS] = {{.index = 0, .seed = 11}, {.index = 1, .seed = 12}};
    pthread_t threads[RIG_WORKERS];

    (void)state;
    fake_worlds_reset();
    fake_world("dir")->users = people;
    fake_world("local")->users = locals;
    rig_open(&rig, CONFIG, NULL);
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, &workers[i]), 0);
    for (unsigned i = 0; i < RIG_WORKERS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(workers[i].answered > ROUNDS);
        assert_true(workers[i].passed > ROUNDS);
        assert_true(workers[i].passed <= workers[i].answered);
    }
    assert_int_equal(fake_world("dir")->live_ops + fake_world("krb")->live_ops, 0);
    rig.closed = RIG_WORKERS;
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_workers_asking_at_once_all_get_their_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
