/* One record for each backend that the plan uses, and one job for each look. A job owns copies of
 * all it writes and a reference to the plan; it meets its record again, by name, when it is home.
 */
#include "auth/health.h"

#include "auth/auth_priv.h"
#include "net/work.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define WELL_MS   15000 /* from one look to the next */
#define ILL_MS    5000  /* some servers do not answer */
#define UNABLE_MS 2000  /* none does */
#define LOOKS_MAX 2     /* at once: a server that hangs holds a thread that logins want */

struct record {
    char *name;
    const char *groups_from; /* into the plan */
    bool looks;              /* its plugin can */
    bool out;                /* a look is under way */
    bool able;               /* by itself; that of groups_from comes on top */
    uint64_t since_wall_ms;
    uint64_t due_ms;
    uint64_t unanswered; /* logins, when it was last looked at */
    struct sp_health_server *servers;
    size_t servers_len;
};

struct sp_auth_health {
    struct sp_loop *loop;
    struct sp_auth_plan *plan;
    struct record *records;
    size_t records_len;
    unsigned out; /* jobs */
    bool closing;
    atomic_bool stop;
};

/* Owned by itself; freed in on_looked. */
struct look {
    struct sp_work work;
    struct sp_auth_looking looking;
    struct sp_auth_health *health;
    struct sp_auth_plan *plan;
    const struct sp_plan_backend *backend;
    struct sp_health_server seen[SP_HEALTH_SERVERS_MAX];
    size_t seen_len;
};

/* ---- records ---- */

static struct record *find(struct record *records, size_t len, const char *name)
{
    for (size_t i = 0; i < len; i++)
        if (records[i].name != NULL && strcmp(records[i].name, name) == 0)
            return &records[i];
    return NULL;
}

static void records_free(struct record *records, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        free(records[i].name);
        free(records[i].servers);
    }
    free(records);
}

static bool record_init(struct record *r, const struct sp_plan_backend *b)
{
    r->able = true;
    r->looks = b->ops->look != NULL;
    r->groups_from = b->groups_from != NULL ? b->groups_from->name : NULL;
    r->unanswered = sp_stats_auth_count(b->series, SP_COUNT_UNAVAILABLE);
    r->name = strdup(b->name);
    r->servers = calloc(SP_HEALTH_SERVERS_MAX, sizeof(*r->servers));
    return r->name != NULL && r->servers != NULL;
}

/* What is known of a backend of the same name is moved to the new record. */
static void inherit(struct record *r, struct record *from)
{
    struct sp_health_server *fresh = r->servers;

    r->servers = from->servers;
    from->servers = fresh;
    r->servers_len = from->servers_len;
    r->able = from->able;
    r->out = from->out;
    r->since_wall_ms = from->since_wall_ms;
    r->unanswered = from->unanswered;
}

/* Out of memory: the old plan's records stay until the next tick. */
static void take_plan(struct sp_auth_health *health, struct sp_auth_plan *plan)
{
    struct record *records = calloc(plan->backends_len + 1, sizeof(*records));
    size_t len = 0;
    bool well = records != NULL;

    for (size_t i = 0; i < plan->backends_len && well; i++)
        if (plan->backends[i].used)
            well = record_init(&records[len++], &plan->backends[i]);
    if (!well) {
        records_free(records, len);
        return;
    }
    for (size_t i = 0; i < len; i++) {
        struct record *before = find(health->records, health->records_len, records[i].name);

        if (before != NULL && records[i].looks && before->looks)
            inherit(&records[i], before);
    }
    records_free(health->records, health->records_len);
    health->records = records;
    health->records_len = len;
    if (health->plan != NULL)
        sp_auth_plan_unref(&health->plan);
    health->plan = sp_auth_plan_ref(plan);
}

static void health_free(struct sp_auth_health *health)
{
    records_free(health->records, health->records_len);
    if (health->plan != NULL)
        sp_auth_plan_unref(&health->plan);
    free(health);
}

/* ---- a look: on a pool thread ---- */

static void on_seen(struct sp_auth_looking *looking, const struct sp_auth_sight *sight)
{
    struct look *look = sp_container_of(looking, struct look, looking);
    struct sp_health_server *server;

    if (look->seen_len == SP_HEALTH_SERVERS_MAX)
        return;
    server = &look->seen[look->seen_len++];
    (void)snprintf(server->name, sizeof(server->name), "%s", sight->server);
    (void)snprintf(server->words, sizeof(server->words), "%s",
                   sight->words != NULL ? sight->words : "");
    server->well = sight->well;
    server->micros = sight->micros;
}

static void run_look(struct sp_work *work)
{
    struct look *look = sp_container_of(work, struct look, work);

    look->backend->ops->look(look->backend->config, &look->looking);
}

/* ---- and home again ---- */

static void take_sights(struct record *r, struct look *look, uint64_t wall_ms)
{
    size_t well = 0;

    for (size_t i = 0; i < look->seen_len; i++) {
        struct sp_health_server *now = &look->seen[i];

        now->since_wall_ms = wall_ms;
        for (size_t k = 0; k < r->servers_len; k++)
            if (strcmp(r->servers[k].name, now->name) == 0 && r->servers[k].well == now->well)
                now->since_wall_ms = r->servers[k].since_wall_ms;
        well += now->well ? 1 : 0;
    }
    memcpy(r->servers, look->seen, look->seen_len * sizeof(*look->seen));
    r->servers_len = look->seen_len;
    if (r->able && well == 0)
        r->since_wall_ms = wall_ms;
    r->able = well > 0;
}

static uint64_t pause_of(const struct record *r)
{
    if (!r->able)
        return UNABLE_MS;
    for (size_t i = 0; i < r->servers_len; i++)
        if (!r->servers[i].well)
            return ILL_MS;
    return WELL_MS;
}

static void look_free(struct look *look)
{
    struct sp_auth_health *health = look->health;

    sp_auth_plan_unref(&look->plan);
    free(look);
    assert(health->out > 0);
    if (--health->out == 0 && health->closing)
        health_free(health);
}

static void on_looked(struct sp_work *work)
{
    struct look *look = sp_container_of(work, struct look, work);
    struct sp_auth_health *health = look->health;
    struct record *r = find(health->records, health->records_len, look->backend->name);

    if (r != NULL && !health->closing) {
        r->out = false;
        if (look->plan == health->plan && look->seen_len > 0) {
            take_sights(r, look, sp_clock_wall_ms(sp_loop_clock(health->loop)));
            r->due_ms = sp_loop_now_ms(health->loop) + pause_of(r);
        }
    }
    look_free(look);
}

/* False: no memory, or no room in the pool. The next tick tries again. */
static bool begin(struct sp_auth_health *health, struct record *r, const struct sp_plan_backend *b)
{
    struct look *look = calloc(1, sizeof(*look));
    uint64_t unanswered = sp_stats_auth_count(b->series, SP_COUNT_UNAVAILABLE);

    if (look == NULL)
        return false;
    look->work.run = run_look;
    look->work.waits = true;
    look->work.done = on_looked;
    look->looking = (struct sp_auth_looking){.seen = on_seen, .stop = &health->stop};
    look->health = health;
    look->backend = b;
    look->plan = sp_auth_plan_ref(health->plan);
    health->out++;
    if (sp_work_start(health->loop, &look->work) != SP_OK) {
        look_free(look);
        return false;
    }
    r->unanswered = unanswered;
    r->out = true;
    return true;
}

static bool is_due(const struct record *r, const struct sp_plan_backend *b, uint64_t now_ms)
{
    return now_ms >= r->due_ms ||
           (r->able && sp_stats_auth_count(b->series, SP_COUNT_UNAVAILABLE) != r->unanswered);
}

/* The one that has been due for longest, so that each gets its turn. NULL: none is. */
static struct record *most_due(const struct sp_auth_health *health,
                               const struct sp_plan_backend **backend_out)
{
    uint64_t now_ms = sp_loop_now_ms(health->loop);
    struct record *found = NULL;

    for (size_t i = 0; health->plan != NULL && i < health->plan->backends_len; i++) {
        const struct sp_plan_backend *b = &health->plan->backends[i];
        struct record *r = find(health->records, health->records_len, b->name);

        if (r == NULL || !r->looks || r->out || !is_due(r, b, now_ms) ||
            (found != NULL && found->due_ms <= r->due_ms))
            continue;
        found = r;
        *backend_out = b;
    }
    return found;
}

/* ---- from outside ---- */

struct sp_auth_health *sp_auth_health_new(struct sp_loop *loop)
{
    struct sp_auth_health *health = calloc(1, sizeof(*health));

    if (health == NULL)
        return NULL;
    health->loop = loop;
    atomic_init(&health->stop, false);
    return health;
}

void sp_auth_health_close(struct sp_auth_health **health)
{
    struct sp_auth_health *gone = *health;

    *health = NULL;
    if (gone == NULL)
        return;
    gone->closing = true;
    atomic_store(&gone->stop, true);
    if (gone->out == 0)
        health_free(gone);
}

void sp_auth_health_tick(struct sp_auth_health *health, struct sp_auth_plan *plan)
{
    const struct sp_plan_backend *backend = NULL;
    struct record *r;

    if (plan != health->plan)
        take_plan(health, plan);
    while (health->out < LOOKS_MAX && (r = most_due(health, &backend)) != NULL)
        if (!begin(health, r, backend))
            break;
}

static bool record_able(const struct sp_auth_health *health, const struct record *r)
{
    const struct record *groups = r->groups_from == NULL
                                      ? NULL
                                      : find(health->records, health->records_len, r->groups_from);

    return r->able && (groups == NULL || groups->able);
}

/* Is it asked for a scheme, and not for groups alone? */
static bool is_asked(const struct sp_auth_plan *plan, const char *name)
{
    const struct sp_plan_chain *chains[] = {&plan->negotiate, &plan->basic};

    for (size_t c = 0; c < 2; c++)
        for (size_t i = 0; i < chains[c]->len; i++)
            if (strcmp(chains[c]->items[i]->name, name) == 0)
                return true;
    return false;
}

bool sp_auth_health_able(const struct sp_auth_health *health)
{
    bool any = false;

    for (size_t i = 0; i < health->records_len; i++) {
        const struct record *r = &health->records[i];

        if (!is_asked(health->plan, r->name))
            continue;
        any = true;
        if (record_able(health, r))
            return true;
    }
    return !any;
}

size_t sp_auth_health_len(const struct sp_auth_health *health)
{
    return health->records_len;
}

void sp_auth_health_get(const struct sp_auth_health *health, size_t index,
                        struct sp_health_backend *out)
{
    const struct record *r = &health->records[index];

    assert(index < health->records_len);
    *out = (struct sp_health_backend){
        .name = r->name,
        .groups_from = r->groups_from,
        .able = record_able(health, r),
        .since_wall_ms = r->since_wall_ms,
        .servers = r->servers,
        .servers_len = r->servers_len,
    };
    if (r->able && r->groups_from != NULL && !out->able)
        out->since_wall_ms =
            find(health->records, health->records_len, r->groups_from)->since_wall_ms;
}
