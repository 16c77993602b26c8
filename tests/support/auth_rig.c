/* The rig for tests of the authentication room. */
#include "support/auth_rig.h"

#include "net/listener.h"
#include "util/base64.h"
#include "util/clock.h"
#include "util/hash.h"
#include "util/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 5000u

static const struct sp_option *resolve(void *owner, const char *plugin, const char *plugin_dir,
                                       size_t *size_out, char *why)
{
    const struct sp_auth_backend_ops *ops = fake_find(owner, plugin);

    (void)plugin_dir;
    (void)why;
    if (ops == NULL)
        return NULL;
    *size_out = ops->options_size;
    return ops->options;
}

static const struct sp_config_section sections[] = {
    {.name = "auth",
     .options = sp_auth_option_table,
     .options_size = sizeof(struct sp_auth_options)},
    {.name = "cache",
     .options = sp_cache_option_table,
     .options_size = sizeof(struct sp_cache_options)},
    {.name = "guard",
     .options = sp_guard_option_table,
     .options_size = sizeof(struct sp_guard_options)},
    {.name = "listen",
     .titled = true,
     .options = sp_listen_option_table,
     .options_size = sizeof(struct sp_listen_options)},
    {.name = "backend", .titled = true, .resolve = resolve},
    {.name = NULL},
};

static void write_config(struct rig *rig, const char *text)
{
    char path[] = "/tmp/auth-rig-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    rig->path = strdup(path);
}

static bool read_plan(struct rig *rig, char **faults_out)
{
    struct sp_config_faults faults;

    *faults_out = NULL;
    sp_config_faults_init(&faults);
    rig->config = sp_config_read(rig->path, sections, &faults);
    if (rig->config != NULL)
        rig->plan = sp_auth_plan_new(rig->config, fake_find, NULL, &rig->log, &faults);
    if (rig->plan == NULL)
        *faults_out = sp_span_dup(sp_buf_span(&faults.text));
    sp_config_faults_fini(&faults);
    return rig->plan != NULL;
}

static void open_engines(struct rig *rig)
{
    for (unsigned i = 0; i < RIG_WORKERS; i++) {
        rig->engines[i] = sp_auth_engine_new(rig->loops[i], rig->plan, &rig->shared, sp_stats_of(i),
                                             &rig->log);
        assert_non_null(rig->engines[i]);
    }
}

void rig_open(struct rig *rig, const char *config, char **faults_out)
{
    char *faults = NULL;

    memset(rig, 0, sizeof(*rig));
    sp_log_set_level(SP_LOG_ERROR);
    assert_int_equal(sp_hash_setup(), SP_OK);
    assert_int_equal(sp_stats_init(RIG_WORKERS), SP_OK);
    write_config(rig, config);
    if (!read_plan(rig, &faults)) {
        if (faults_out == NULL)
            fail_msg("%s", faults);
        *faults_out = faults;
        return;
    }
    if (faults_out != NULL)
        *faults_out = NULL;
    assert_int_equal(sp_auth_shared_init(&rig->shared, sp_config_one(rig->config, "cache")->options,
                                         sp_config_one(rig->config, "guard")->options),
                     SP_OK);
    rig->pool = sp_work_pool_new(1, 1, 16);
    for (unsigned i = 0; i < RIG_WORKERS; i++) {
        rig->loops[i] = sp_loop_new(rig->pool);
        assert_non_null(rig->loops[i]);
    }
    open_engines(rig);
}

static void on_engine_closed(void *owner)
{
    struct rig *rig = owner;

    rig->closed++;
}

static void close_engines(struct rig *rig)
{
    uint64_t until = sp_clock_mono_ms(&sp_clock_system) + PATIENCE_MS;

    for (unsigned i = 0; i < RIG_WORKERS; i++)
        sp_auth_engine_close(&rig->engines[i], on_engine_closed, rig);
    while (rig->closed < RIG_WORKERS) {
        rig_turn(rig);
        assert_true(sp_clock_mono_ms(&sp_clock_system) < until);
    }
}

void rig_reload(struct rig *rig, const char *config)
{
    char *faults = NULL;

    close_engines(rig);
    rig->closed = 0;
    sp_auth_plan_unref(&rig->plan);
    sp_config_unref(&rig->config);
    unlink(rig->path);
    free(rig->path);
    write_config(rig, config);
    if (!read_plan(rig, &faults))
        fail_msg("%s", faults);
    open_engines(rig);
}

void rig_close(struct rig *rig)
{
    if (rig->plan != NULL)
        close_engines(rig);
    for (unsigned i = 0; i < RIG_WORKERS && rig->plan != NULL; i++) {
        sp_loop_stop(rig->loops[i]);
        sp_loop_run(rig->loops[i]);
        sp_loop_free(&rig->loops[i]);
    }
    sp_work_pool_free(&rig->pool);
    if (rig->plan != NULL)
        sp_auth_shared_fini(&rig->shared);
    sp_auth_plan_unref(&rig->plan);
    sp_config_unref(&rig->config);
    sp_stats_fini();
    unlink(rig->path);
    free(rig->path);
}

void rig_turn(struct rig *rig)
{
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        sp_loop_turn(rig->loops[i], false);
    usleep(200);
}

void rig_turn_until(struct rig *rig, const bool *flag)
{
    uint64_t until = sp_clock_mono_ms(&sp_clock_system) + PATIENCE_MS;

    while (!*flag) {
        rig_turn(rig);
        if (sp_clock_mono_ms(&sp_clock_system) > until)
            fail_msg("no answer within %u ms", PATIENCE_MS);
    }
}

void rig_turn_until_count(struct rig *rig, const atomic_uint *counter, unsigned value)
{
    uint64_t until = sp_clock_mono_ms(&sp_clock_system) + PATIENCE_MS;

    while (atomic_load(counter) != value) {
        rig_turn(rig);
        if (sp_clock_mono_ms(&sp_clock_system) > until)
            fail_msg("%u, not %u, after %u ms", atomic_load(counter), value, PATIENCE_MS);
    }
}

void rig_turn_ms(struct rig *rig, unsigned ms)
{
    uint64_t until = sp_clock_mono_ms(&sp_clock_system) + ms;

    while (sp_clock_mono_ms(&sp_clock_system) < until)
        rig_turn(rig);
    rig_turn(rig); /* the loops' own clocks have seen it too, however long the last turn slept */
}

/* ---- questions ---- */

static void copy(char *to, size_t cap, struct sp_span from)
{
    (void)snprintf(to, cap, "%.*s", SP_SPAN_ARG(from));
}

static void take(struct rig_reply *reply, const struct sp_auth_answer *a)
{
    reply->answered = true;
    reply->calls++;
    reply->ask = NULL;
    reply->state = a->state;
    reply->reason = a->reason;
    reply->how = a->how;
    reply->age_ms = a->age_ms;
    reply->scheme = a->scheme;
    reply->close = a->close;
    reply->retry_after_s = a->retry_after_s;
    reply->challenges_len = a->challenges_len;
    for (size_t i = 0; i < a->challenges_len; i++)
        copy(reply->challenges[i], sizeof(reply->challenges[i]), a->challenges[i]);
    copy(reply->final_token, sizeof(reply->final_token), a->final_token);
    copy(reply->user, sizeof(reply->user), a->user);
    copy(reply->backend, sizeof(reply->backend), a->backend);
    copy(reply->mech, sizeof(reply->mech), a->mech);
    copy(reply->why, sizeof(reply->why), sp_span_cstr(a->why));
    if (a->identity != NULL) {
        const struct sp_span *groups = sp_identity_groups(a->identity, &reply->groups_len);

        for (size_t i = 0; i < reply->groups_len; i++) {
            size_t used = strlen(reply->group);

            (void)snprintf(reply->group + used, sizeof(reply->group) - used, "%s%.*s",
                           i > 0 ? "," : "", SP_SPAN_ARG(groups[i]));
        }
    }
}

static void on_answered(void *owner, const struct sp_auth_answer *answer)
{
    take(owner, answer);
}

void rig_begin(struct rig *rig, const struct rig_from *from, struct sp_auth_conn **conn,
               const char *authorization, struct rig_reply *reply)
{
    struct sp_addr client;
    struct sp_auth_answer answer;
    struct sp_auth_question q = {
        .authorization = sp_span_cstr(authorization),
        .client = &client,
        .listen_index = from->listen_index,
        .id = SP_SPAN_LIT("id1"),
        .user_agent = SP_SPAN_LIT("test/1"),
        .log = &rig->log,
        .tracer = from->tracer,
    };

    memset(reply, 0, sizeof(*reply));
    assert_int_equal(
        sp_addr_parse_ip(&client, sp_span_cstr(from->client != NULL ? from->client : "10.0.0.1")),
        SP_OK);
    sp_auth_engine_ask(rig->engines[from->worker], conn, &q, on_answered, reply, &answer,
                       &reply->ask);
    if (answer.state != SP_AUTH_PENDING) {
        assert_null(reply->ask);
        assert_int_equal(reply->calls, 0);
        take(reply, &answer);
        reply->at_once = true;
    } else {
        assert_non_null(reply->ask);
        assert_int_equal(reply->calls, 0); /* never inside the call that asked */
    }
}

struct rig_reply rig_ask(struct rig *rig, struct sp_auth_conn **conn, const char *authorization)
{
    struct rig_reply reply;

    rig_begin(rig, &(struct rig_from){0}, conn, authorization, &reply);
    rig_turn_until(rig, &reply.answered);
    return reply;
}

static const char *encode(const char *scheme, const char *text)
{
    static char buffers[8][8192];
    static unsigned next;
    char *out = buffers[next++ % 8];
    size_t len = (size_t)sprintf(out, "%s ", scheme);

    sp_base64_encode(out + len, sp_span_cstr(text));
    out[len + sp_base64_encoded_len(strlen(text))] = '\0';
    return out;
}

const char *rig_basic(const char *user, const char *password)
{
    char text[4096];

    (void)snprintf(text, sizeof(text), "%s:%s", user, password);
    return encode("Basic", text);
}

const char *rig_negotiate(const char *token)
{
    return encode("Negotiate", token);
}
