/* The fake backend's insides. A token is words separated by spaces:
 *   legs=N         MORE N-1 times, then the verdict (default 1)
 *   user= principal= mech= final=   as in the result
 *   verdict=deny|denied|unknown|account|down   in place of allow */
#include "support/fake_backend.h"

#include <assert.h>
#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORLDS_MAX 8u

struct sp_auth_config {
    struct fake_world *world;
    const struct fake_options *options;
};

struct sp_auth_backend {
    struct fake_world *world;
    uv_loop_t *loop;
    uv_timer_t life; /* a handle that closes with it */
    unsigned ops;
    sp_auth_closed_cb closed;
    void *owner;
};

struct fake_op {
    struct sp_auth_op base;
    struct fake_world *world;
    uv_timer_t timer;
    enum sp_auth_ability ask;
    sp_auth_done_cb done;
    void *owner;
    char user[128];
    char password[1100];
    char script[512];
    int legs;
    struct sp_auth_tracer *tracer;
};

static struct fake_world worlds[WORLDS_MAX];

struct fake_world *fake_world(const char *backend)
{
    for (unsigned i = 0; i < WORLDS_MAX; i++) {
        if (worlds[i].backend[0] == '\0')
            (void)snprintf(worlds[i].backend, sizeof(worlds[i].backend), "%s", backend);
        if (strcmp(worlds[i].backend, backend) == 0)
            return &worlds[i];
    }
    abort(); /* too many fake backends: raise WORLDS_MAX */
}

void fake_worlds_reset(void)
{
    memset(worlds, 0, sizeof(worlds));
}

static enum sp_err configure(const void *options, const struct sp_auth_host *host,
                             struct sp_auth_config **config_out, struct sp_auth_fault *fault)
{
    const struct fake_options *o = options;
    struct sp_auth_config *config;

    if (o->broken) {
        fault->option = "broken";
        (void)snprintf(fault->text, sizeof(fault->text), "this fake is broken on purpose");
        return SP_ERR_INVALID;
    }
    config = calloc(1, sizeof(*config));
    if (config == NULL)
        return SP_ERR_NOMEM;
    config->world = fake_world(host->backend);
    config->options = o;
    *config_out = config;
    return SP_OK;
}

static void release(struct sp_auth_config **config)
{
    free(*config);
    *config = NULL;
}

static void traits(const struct sp_auth_config *config, struct sp_auth_traits *out)
{
    *out = (struct sp_auth_traits){.groups_from = config->options->groups_from,
                                   .per_request = config->options->persist == 1};
}

static enum sp_err refresh(struct sp_auth_config *config, struct sp_auth_fault *fault)
{
    config->world->refreshed++;
    if (config->world->refresh_refused == NULL)
        return SP_OK;
    fault->option = "groups_from"; /* whichever: its words matter */
    (void)snprintf(fault->text, sizeof(fault->text), "%s", config->world->refresh_refused);
    return SP_ERR_INVALID;
}

static enum sp_err name_of(const struct sp_auth_config *config, struct sp_span typed, char *out,
                           size_t cap, size_t *len_out)
{
    const char *slash = memchr(typed.base, '\\', typed.len);
    const char *domain = config->world->domain;

    if (slash != NULL) {
        size_t len = (size_t)(slash - typed.base);

        if (domain == NULL || strlen(domain) != len || strncasecmp(domain, typed.base, len) != 0)
            return SP_ERR_NOT_FOUND;
        typed.base += len + 1;
        typed.len -= len + 1;
    }
    if (typed.len == 0 || typed.len > cap)
        return SP_ERR_INVALID;
    for (size_t i = 0; i < typed.len; i++)
        out[i] = (char)tolower((unsigned char)typed.base[i]);
    *len_out = typed.len;
    return SP_OK;
}

/* ---- backend ---- */

static enum sp_err open_backend(struct sp_auth_config *config, const struct sp_auth_host *host,
                                struct sp_auth_backend **out)
{
    struct sp_auth_backend *b = calloc(1, sizeof(*b));

    if (b == NULL)
        return SP_ERR_NOMEM;
    assert(host->abi_version == SP_AUTH_ABI_VERSION);
    b->world = config->world;
    b->loop = host->loop;
    uv_timer_init(b->loop, &b->life);
    b->life.data = b;
    uv_unref((uv_handle_t *)&b->life);
    b->world->open++;
    *out = b;
    return SP_OK;
}

static void try_end(struct sp_auth_backend *b)
{
    sp_auth_closed_cb closed = b->closed;
    void *owner = b->owner;

    if (closed == NULL || b->ops > 0 || b->life.data != NULL)
        return;
    b->world->open--;
    free(b);
    closed(owner);
}

static void on_life_closed(uv_handle_t *handle)
{
    struct sp_auth_backend *b = handle->data;

    handle->data = NULL;
    try_end(b);
}

static void close_backend(struct sp_auth_backend **backend, sp_auth_closed_cb closed, void *owner)
{
    struct sp_auth_backend *b = *backend;

    *backend = NULL;
    b->closed = closed;
    b->owner = owner;
    uv_close((uv_handle_t *)&b->life, on_life_closed);
}

/* ---- operations ---- */

static void on_op_closed(uv_handle_t *handle)
{
    struct fake_op *op = handle->data;
    struct sp_auth_backend *b = op->base.backend;

    op->world->live_ops--;
    b->ops--;
    free(op);
    try_end(b);
}

static void end_op(struct sp_auth_op **op_in)
{
    struct fake_op *op = sp_container_of(*op_in, struct fake_op, base);

    *op_in = NULL;
    memset(op->user, 'x', sizeof(op->user) - 1); /* a result that is read after this is a fault */
    uv_close((uv_handle_t *)&op->timer, on_op_closed);
}

static void cancel(struct sp_auth_op **op)
{
    sp_container_of(*op, struct fake_op, base)->world->cancelled++;
    end_op(op);
}

static const char *word(struct fake_op *op, const char *key, char *out, size_t cap)
{
    const char *at = op->script;
    size_t len = strlen(key);

    for (; at != NULL && *at != '\0'; at = strchr(at, ' ')) {
        at += strspn(at, " ");
        if (strncmp(at, key, len) == 0 && at[len] == '=') {
            (void)snprintf(out, cap, "%.*s", (int)strcspn(at + len + 1, " "), at + len + 1);
            return out;
        }
    }
    return NULL;
}

static const struct fake_user *find_user(const struct fake_op *op)
{
    for (const struct fake_user *u = op->world->users; u != NULL && u->name != NULL; u++)
        if (strcmp(u->name, op->user) == 0)
            return u;
    return NULL;
}

static void answer_user(struct fake_op *op, struct sp_auth_result *r, struct sp_span *group)
{
    const struct fake_user *u = find_user(op);
    const char *changed = atomic_load(&op->world->changed_password);
    const char *password;

    r->verdict = SP_VERDICT_UNKNOWN_USER;
    r->reason = "unknown user";
    if (u == NULL)
        return;
    password = changed != NULL ? changed : u->password;
    r->verdict = SP_VERDICT_ALLOW;
    r->reason = NULL;
    r->user = (struct sp_span){op->user, strlen(op->user)};
    if (u->group != NULL) {
        *group = (struct sp_span){u->group, strlen(u->group)};
        r->groups = group;
        r->groups_len = 1;
    }
    if (op->ask == SP_AUTH_PASSWORD && strcmp(password, op->password) != 0) {
        r->verdict = SP_VERDICT_DENY;
        r->reason = "wrong password";
    } else if (u->account != NULL) {
        r->verdict = SP_VERDICT_ACCOUNT;
        r->reason = u->account;
    }
}

static enum sp_verdict scripted(const char *verdict)
{
    if (verdict == NULL)
        return SP_VERDICT_ALLOW;
    if (strcmp(verdict, "unknown") == 0)
        return SP_VERDICT_UNKNOWN_USER;
    if (strcmp(verdict, "account") == 0)
        return SP_VERDICT_ACCOUNT;
    if (strcmp(verdict, "down") == 0)
        return SP_VERDICT_UNAVAILABLE;
    return SP_VERDICT_DENY;
}

static struct sp_span span(const char *text)
{
    return (struct sp_span){text, text != NULL ? strlen(text) : 0};
}

static void on_timer(uv_timer_t *timer)
{
    struct fake_op *op = timer->data;
    struct sp_auth_result r = {.verdict = SP_VERDICT_UNAVAILABLE, .reason = "the fake is down"};
    struct sp_span group;
    char principal[128], mech[32], final[256], verdict[32], more[32], own_group[64];

    if (op->world->hold)
        return; /* the timer repeats */
    uv_timer_stop(timer);
    if (op->tracer != NULL)
        op->tracer->step(op->tracer, &(struct sp_auth_step){.what = "fake", .outcome = "answered"});
    op->tracer = NULL;
    if (op->world->down) {
        ;
    } else if (op->ask != SP_AUTH_TOKEN) {
        answer_user(op, &r, &group);
    } else if (--op->legs > 0) {
        (void)snprintf(more, sizeof(more), "more%d", op->legs);
        r = (struct sp_auth_result){.verdict = SP_VERDICT_MORE, .token = span(more)};
    } else {
        const char *m = word(op, "mech", mech, sizeof(mech));

        r.verdict = scripted(word(op, "verdict", verdict, sizeof(verdict)));
        r.denied_principal = r.verdict == SP_VERDICT_DENY && strcmp(verdict, "denied") == 0;
        r.reason = "as scripted";
        r.user = span(word(op, "user", op->user, sizeof(op->user)));
        r.principal = span(word(op, "principal", principal, sizeof(principal)));
        r.token = span(word(op, "final", final, sizeof(final)));
        group = span(word(op, "group", own_group, sizeof(own_group)));
        r.groups = group.base != NULL ? &group : NULL;
        r.groups_len = group.base != NULL ? 1 : 0;
        r.mech = m != NULL && strcmp(m, "ntlmssp") == 0 ? "ntlmssp" : "krb5";
    }
    op->done(op->owner, &r);
}

static void take(char *to, size_t cap, struct sp_span from)
{
    size_t len = from.len < cap - 1 ? from.len : cap - 1;

    if (len > 0)
        memcpy(to, from.base, len);
    to[len] = '\0';
}

static void note_user(struct fake_world *world, struct sp_span user)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* workers may be real threads */

    pthread_mutex_lock(&lock);
    take(world->last_user, sizeof(world->last_user), user);
    pthread_mutex_unlock(&lock);
}

static enum sp_err start(struct sp_auth_backend *backend, const struct sp_auth_input *input,
                         sp_auth_done_cb done, void *owner, struct sp_auth_op **op_out)
{
    struct fake_world *world = backend->world;
    struct fake_op *op;
    char legs[16];
    int live;

    if (world->start_err != SP_OK)
        return (enum sp_err)atomic_load(&world->start_err);
    op = calloc(1, sizeof(*op));
    if (op == NULL)
        return SP_ERR_NOMEM;
    op->base.backend = backend;
    op->world = world;
    op->ask = input->ask;
    op->done = done;
    op->owner = owner;
    op->tracer = input->tracer;
    take(op->user, sizeof(op->user), input->user);
    take(op->password, sizeof(op->password), input->password);
    take(op->script, sizeof(op->script), input->token);
    op->legs = word(op, "legs", legs, sizeof(legs)) != NULL ? atoi(legs) : 1;
    if (input->ask != SP_AUTH_TOKEN)
        note_user(world, input->user);
    uv_timer_init(backend->loop, &op->timer);
    op->timer.data = op;
    uv_timer_start(&op->timer, on_timer, world->delay_ms, 1);
    backend->ops++;
    world->started++;
    live = (int)++world->live_ops;
    if (live > world->asked_max)
        world->asked_max = live;
    *op_out = &op->base;
    return SP_OK;
}

static enum sp_err step(struct sp_auth_op *base, struct sp_span token,
                        struct sp_auth_tracer *tracer)
{
    struct fake_op *op = sp_container_of(base, struct fake_op, base);

    (void)token;
    if (op->world->start_err != SP_OK)
        return (enum sp_err)atomic_load(&op->world->start_err);
    op->world->stepped++;
    op->tracer = tracer;
    uv_timer_start(&op->timer, on_timer, op->world->delay_ms, 1);
    return SP_OK;
}

static void look(struct sp_auth_config *config, struct sp_auth_looking *looking)
{
    struct fake_world *world = config->world;
    bool ill = world->ill;
    const struct sp_auth_sight sight = {
        .server = "fake://1", .well = !ill, .words = ill ? "it is ill" : NULL, .micros = 7};

    world->looks++;
    while (world->look_hold && !atomic_load(looking->stop))
        usleep(1000);
    looking->seen(looking, &sight);
}

static const char *const persist_words[] = {"connection", "request", NULL};

static const struct sp_option options[] = {
    SP_OPT_PATH(struct fake_options, path, NULL, SP_OPTION_WATCHED | SP_OPTION_MAY_MISS, "A file."),
    SP_OPT_STRING(struct fake_options, groups_from, NULL, "Who knows groups."),
    SP_OPT_CHOICE(struct fake_options, persist, "connection", persist_words, "How long."),
    SP_OPT_BOOL(struct fake_options, broken, "false", "Refuses."),
    {"pace", SP_OPTION_INT, offsetof(struct fake_options, pace), "1", 0, 9, NULL, SP_OPTION_TUNES,
     "How fast."},
    SP_OPT_END,
};

#define FAKE_OPS(what, can, named)                                                               \
    {                                                                                            \
        .abi_version = SP_AUTH_ABI_VERSION, .ops_size = sizeof(struct sp_auth_backend_ops),      \
        .name = (what), .summary = "a fake", .abilities = (can), .options = options,             \
        .options_size = sizeof(struct fake_options), .configure = configure, .release = release, \
        .traits = traits, .refresh = refresh, .name_of = (named), .open = open_backend,          \
        .close = close_backend, .start = start, .step = step, .cancel = cancel, .free = end_op,  \
        .look = look,                                                                            \
    }

const struct sp_auth_backend_ops fake_password_ops = FAKE_OPS(
    "fake", SP_AUTH_PASSWORD | SP_AUTH_GROUPS, name_of);
const struct sp_auth_backend_ops fake_token_ops = FAKE_OPS("faketoken", SP_AUTH_TOKEN, NULL);
const struct sp_auth_backend_ops fake_both_ops = FAKE_OPS(
    "fakeboth", SP_AUTH_PASSWORD | SP_AUTH_TOKEN, name_of);

const struct sp_auth_backend_ops *fake_find(void *owner, const char *plugin)
{
    (void)owner;
    if (strcmp(plugin, "fake") == 0)
        return &fake_password_ops;
    if (strcmp(plugin, "fakeboth") == 0)
        return &fake_both_ops;
    return strcmp(plugin, "faketoken") == 0 ? &fake_token_ops : NULL;
}
