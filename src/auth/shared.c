/* What all workers share of authentication: cache, guard and flights, made at start and kept over
 * reloads. Main thread, but for flush and the gauges. */
#include "auth/auth_priv.h"

#include "util/clock.h"
#include "util/text.h"

static int64_t read_entries(void *owner)
{
    return (int64_t)sp_verdict_cache_count(owner);
}

static int64_t read_blocked_users(void *owner)
{
    return (int64_t)sp_guard_count(owner, true, sp_clock_mono_ms(&sp_clock_system));
}

static int64_t read_blocked_clients(void *owner)
{
    return (int64_t)sp_guard_count(owner, false, sp_clock_mono_ms(&sp_clock_system));
}

static enum sp_err register_gauges(struct sp_auth_shared *shared)
{
    enum sp_err err;

    err = sp_stats_gauge("sallyport_cache_entries", "", "Verdicts kept in the cache.", read_entries,
                         shared->cache);
    if (err == SP_OK)
        err = sp_stats_gauge("sallyport_blocked", "kind=\"user\"",
                             "Users and clients that guard blocks now.", read_blocked_users,
                             shared->guard);
    if (err == SP_OK)
        err = sp_stats_gauge("sallyport_blocked", "kind=\"client\"",
                             "Users and clients that guard blocks now.", read_blocked_clients,
                             shared->guard);
    return err;
}

enum sp_err sp_auth_shared_init(struct sp_auth_shared *shared, const struct sp_cache_options *cache,
                                const struct sp_guard_options *guard)
{
    enum sp_err err = SP_ERR_NOMEM;

    *shared = (struct sp_auth_shared){
        .cache = sp_verdict_cache_new(cache),
        .guard = sp_guard_new(guard),
        .flights = sp_flights_new(),
    };
    if (shared->cache != NULL && shared->guard != NULL && shared->flights != NULL)
        err = register_gauges(shared);
    if (err != SP_OK)
        sp_auth_shared_fini(shared);
    return err;
}

void sp_auth_shared_apply(struct sp_auth_shared *shared, const struct sp_cache_options *cache,
                          const struct sp_guard_options *guard)
{
    sp_verdict_cache_apply(shared->cache, cache);
    sp_guard_apply(shared->guard, guard);
}

void sp_auth_shared_fini(struct sp_auth_shared *shared)
{
    sp_verdict_cache_free(&shared->cache);
    sp_guard_free(&shared->guard);
    sp_flights_free(&shared->flights);
}

static void flush_name(struct sp_auth_shared *shared, struct sp_span user)
{
    (void)sp_verdict_cache_forget_user(shared->cache, user);
    sp_guard_forget(shared->guard, user);
}

void sp_auth_shared_flush(struct sp_auth_shared *shared, struct sp_span user)
{
    char lower[SP_AUTH_NAME_MAX];
    size_t len = 0;

    if (user.base == NULL) {
        (void)sp_verdict_cache_forget_all(shared->cache);
        sp_guard_forget(shared->guard, SP_SPAN_NONE);
        return;
    }
    flush_name(shared, user); /* a principal has its realm in capitals */
    if (sp_text_lower(user, lower, sizeof(lower), &len) == SP_OK &&
        !sp_span_eq(user, sp_span_of(lower, len)))
        flush_name(shared, sp_span_of(lower, len));
}
