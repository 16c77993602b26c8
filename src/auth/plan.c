/* The plan: what a configuration snapshot says about authentication, made and checked once on the
 * main thread, then shared by all workers' engines until the last lets go. */
#include "auth/auth_priv.h"

#include "util/hash.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sp_plan_backend *find_backend(struct sp_auth_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->backends_len; i++)
        if (strcmp(plan->backends[i].name, name) == 0)
            return &plan->backends[i];
    return NULL;
}

static uint64_t family(const char *kind, const char *backend)
{
    char text[300];
    int len = snprintf(text, sizeof(text), "%s:%.256s", kind, backend);

    return sp_hash64(sp_span_of(text, len > 0 ? (size_t)len : 0));
}

/* ---- backends ---- */

static enum sp_err configure(struct sp_plan_backend *b, const struct sp_log *log,
                             struct sp_config_faults *faults)
{
    struct sp_auth_fault fault = {.option = NULL, .text = ""};
    bool unset; /* the option at fault stands nowhere: its name must be told */
    enum sp_err err;

    sp_auth_lent_init(&b->lent, b->name, NULL, log);
    err = sp_plan_watches_make(b); /* looked at before they are read: no change goes unseen */
    if (err == SP_OK)
        err = sp_plan_basis_make(b);
    if (err != SP_OK)
        return err;
    err = b->ops->configure(b->block->options, &b->lent.host, &b->config, &fault);
    if (err != SP_OK) {
        fault.text[sizeof(fault.text) - 1] = '\0';
        unset = fault.option != NULL && !sp_config_is_set(b->block, fault.option);
        sp_config_fault(faults, b->block, fault.option, "%s%s%s%s", unset ? "`" : "",
                        unset ? fault.option : "", unset ? "`: " : "",
                        fault.text[0] != '\0' ? fault.text : "the backend refuses this block");
        b->config = NULL;
        return SP_OK; /* told as a fault; the others are looked at too */
    }
    b->ops->traits(b->config, &b->traits);
    b->series = sp_stats_backend(b->name);
    return b->series != NULL ? SP_OK : SP_ERR_NOMEM;
}

static enum sp_err add_backend(struct sp_auth_plan *plan, const struct sp_config_block *block,
                               const struct sp_auth_backend_ops *ops, const struct sp_log *log,
                               struct sp_config_faults *faults)
{
    struct sp_plan_backend *b = &plan->backends[plan->backends_len];

    if (find_backend(plan, block->title) != NULL) {
        sp_config_fault(faults, block, NULL, "there is another backend \"%s\": names are unique",
                        block->title);
        return SP_OK;
    }
    *b = (struct sp_plan_backend){.name = block->title,
                                  .block = block,
                                  .ops = ops,
                                  .index = plan->backends_len,
                                  .basic_family = family("basic", block->title),
                                  .groups_family = family("groups", block->title)};
    plan->backends_len++;
    return configure(b, log, faults);
}

static enum sp_err add_backends(struct sp_auth_plan *plan, sp_auth_find_plugin_fn find, void *owner,
                                const struct sp_log *log, struct sp_config_faults *faults)
{
    size_t len = 0;
    const struct sp_config_block *blocks = sp_config_all(plan->config, "backend", &len);
    enum sp_err err = SP_OK;

    plan->backends = calloc(len + 1, sizeof(*plan->backends));
    if (plan->backends == NULL)
        return SP_ERR_NOMEM;
    for (size_t i = 0; i < len && err == SP_OK; i++) {
        const struct sp_auth_backend_ops *ops;

        if (blocks[i].options == NULL)
            continue; /* told as a fault by then */
        ops = find(owner, blocks[i].plugin);
        if (ops == NULL)
            sp_config_fault(faults, &blocks[i], "plugin", "there is no plugin \"%s\"",
                            blocks[i].plugin);
        else
            err = add_backend(plan, &blocks[i], ops, log, faults);
    }
    return err;
}

/* Is there such a block, with a fault that has been told? */
static bool is_written(const struct sp_auth_plan *plan, const char *name)
{
    size_t len = 0;
    const struct sp_config_block *blocks = sp_config_all(plan->config, "backend", &len);

    for (size_t i = 0; i < len; i++)
        if (strcmp(blocks[i].title, name) == 0)
            return true;
    return false;
}

/* The name is a slip, or the file that defines it is not included: those that there are tell which.
 */
static void fault_no_backend(const struct sp_auth_plan *plan, const struct sp_config_block *block,
                             const char *option, const char *name, struct sp_config_faults *faults)
{
    char there[256] = "";
    size_t len = 0;

    if (is_written(plan, name))
        return;
    for (size_t i = 0; i < plan->backends_len && len < sizeof(there); i++)
        len += (size_t)snprintf(there + len, sizeof(there) - len, "%s\"%.80s\"", i > 0 ? ", " : "",
                                plan->backends[i].name);
    sp_config_fault(faults, block, option, "there is no backend \"%.80s\"; %s%s", name,
                    there[0] != '\0' ? "there are: " : "none is defined: is its file included?",
                    there);
}

static void link_groups(struct sp_auth_plan *plan, struct sp_plan_backend *b,
                        struct sp_config_faults *faults)
{
    const char *name = b->traits.groups_from;

    if (name == NULL || name[0] == '\0')
        return;
    b->groups_from = find_backend(plan, name);
    if (b->groups_from == NULL)
        fault_no_backend(plan, b->block, "groups_from", name, faults);
    else if ((b->groups_from->ops->abilities & SP_AUTH_GROUPS) == 0)
        sp_config_fault(faults, b->block, "groups_from",
                        "backend \"%s\" (plugin %s) cannot look up groups", name,
                        b->groups_from->ops->name);
}

/* ---- chains ---- */

static void add_to_chain(struct sp_auth_plan *plan, struct sp_plan_chain *chain, const char *option,
                         const char *name, enum sp_auth_ability ability,
                         struct sp_config_faults *faults)
{
    const struct sp_config_block *block = sp_config_one(plan->config, "auth");
    struct sp_plan_backend *b = find_backend(plan, name);

    if (b == NULL) {
        fault_no_backend(plan, block, option, name, faults);
        return;
    }
    if ((b->ops->abilities & (unsigned)ability) == 0) {
        sp_config_fault(faults, block, option, "backend \"%s\" (plugin %s) cannot verify %s", name,
                        b->ops->name, ability == SP_AUTH_TOKEN ? "Negotiate tokens" : "passwords");
        return;
    }
    for (size_t i = 0; i < chain->len; i++)
        if (chain->items[i] == b) {
            sp_config_fault(faults, block, option, "backend \"%s\" is named twice", name);
            return;
        }
    chain->items[chain->len++] = b;
    b->used = true;
    if (b->groups_from != NULL)
        b->groups_from->used = true;
}

static enum sp_err make_chain(struct sp_auth_plan *plan, struct sp_plan_chain *chain,
                              const char *option, const struct sp_strings *names,
                              enum sp_auth_ability ability, struct sp_config_faults *faults)
{
    chain->items = calloc(names->len + 1, sizeof(struct sp_plan_backend *));
    if (chain->items == NULL)
        return SP_ERR_NOMEM;
    for (size_t i = 0; i < names->len; i++)
        add_to_chain(plan, chain, option, names->items[i], ability, faults);
    return SP_OK;
}

static enum sp_err build(struct sp_auth_plan *plan, sp_auth_find_plugin_fn find, void *owner,
                         const struct sp_log *log, struct sp_config_faults *faults)
{
    const struct sp_auth_options *options = plan->options;
    enum sp_err err = add_backends(plan, find, owner, log, faults);

    if (err != SP_OK)
        return err;
    for (size_t i = 0; i < plan->backends_len; i++)
        link_groups(plan, &plan->backends[i], faults);
    err = make_chain(plan, &plan->negotiate, "negotiate", &options->negotiate, SP_AUTH_TOKEN,
                     faults);
    if (err == SP_OK)
        err = make_chain(plan, &plan->basic, "basic", &options->basic, SP_AUTH_PASSWORD, faults);
    plan->basic_challenge = sp_challenge_basic(options->realm);
    if (err == SP_OK && plan->basic_challenge == NULL)
        err = SP_ERR_NOMEM;
    return err != SP_OK ? err : sp_plan_offers_make(plan, faults);
}

/* ---- lifetime ---- */

static void plan_free(struct sp_auth_plan *plan)
{
    for (size_t i = 0; i < plan->backends_len; i++) {
        struct sp_plan_backend *b = &plan->backends[i];

        if (b->config != NULL)
            b->ops->release(&b->config);
        free(b->watches);
    }
    free(plan->backends);
    free(plan->negotiate.items);
    free(plan->basic.items);
    free(plan->basic_challenge);
    free(plan->offers);
    sp_config_unref(&plan->config);
    (void)pthread_mutex_destroy(&plan->lock);
    free(plan);
}

struct sp_auth_plan *sp_auth_plan_new(const struct sp_config *config, sp_auth_find_plugin_fn find,
                                      void *owner, const struct sp_log *log,
                                      struct sp_config_faults *faults)
{
    struct sp_auth_plan *plan = calloc(1, sizeof(*plan));
    const struct sp_config_block *auth = sp_config_one(config, "auth");
    unsigned before = faults->count;

    if (plan == NULL || pthread_mutex_init(&plan->lock, NULL) != 0) {
        free(plan);
        sp_config_fault(faults, auth, NULL, "out of memory");
        return NULL;
    }
    atomic_init(&plan->refs, 1);
    plan->config = sp_config_ref((struct sp_config *)(uintptr_t)config);
    plan->options = auth->options;
    if (build(plan, find, owner, log, faults) != SP_OK)
        sp_config_fault(faults, auth, NULL, "out of memory");
    if (faults->count > before) {
        plan_free(plan);
        return NULL;
    }
    return plan;
}

struct sp_auth_plan *sp_auth_plan_ref(struct sp_auth_plan *plan)
{
    atomic_fetch_add_explicit(&plan->refs, 1, memory_order_relaxed);
    return plan;
}

void sp_auth_plan_unref(struct sp_auth_plan **plan_in)
{
    struct sp_auth_plan *plan = *plan_in;

    *plan_in = NULL;
    if (plan != NULL && atomic_fetch_sub_explicit(&plan->refs, 1, memory_order_acq_rel) == 1)
        plan_free(plan);
}

unsigned sp_auth_plan_diagnose(struct sp_auth_plan *plan, const char *only,
                               struct sp_auth_findings *findings)
{
    unsigned ill = 0;

    for (size_t i = 0; i < plan->backends_len; i++) {
        struct sp_plan_backend *b = &plan->backends[i];

        if (b->ops->diagnose != NULL && (only == NULL || strcmp(only, b->name) == 0))
            ill += b->ops->diagnose(b->config, findings);
    }
    return ill;
}
