/* Names to addresses: questions to c-ares (resolve_channel.c), behind a table of answers
 * (resolve_table.c). Called by the dialler on the loop's thread. c-ares reads /etc/hosts itself, at
 * each question that is not answered from the table: a small local file, the one thing here that
 * touches a disk. */
#include "net/resolve_channel_priv.h"
#include "net/resolve_priv.h"
#include "net/resolve_service_priv.h"

#include "util/span.h"

#include <ares.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* For whoever waits, however many servers and search domains there are. */
#define DEADLINE_MS 15000

#define AGAIN_MAX 2 /* see asks_again */

#define LEAST_MS    1000u /* kept at least, whatever the record says: one page asks many times */
#define MOST_MS     3600000u
#define NEGATIVE_MS 10000u
#define HOSTS_MS    30000u

struct sp_resolver {
    struct sp_loop *loop;
    struct sp_resolve_channel channel;
    struct sp_resolve_table table;
    struct sp_resolve_service service;
    unsigned asked; /* questions that c-ares is at */
    bool asking;    /* inside ares_getaddrinfo: an answer now is from a file */
    bool closing;   /* inside ares_destroy */
    struct sp_doomed doomed;
};

/* One who waits. Owned by its entry's list, freed when told or cancelled. */
struct sp_resolve {
    struct sp_list link;
    struct sp_loop *loop;
    sp_resolved_cb done;
    void *owner;
};

/* RFC 6761 6.3: never asked of anybody. */
static const struct sp_addr loopback[] = {
    {.ip = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}},
    {.ip = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1}},
};

/* ---- entries ---- */

static void on_entry_doomed(struct sp_doomed *doomed)
{
    struct sp_resolve_entry *entry = sp_container_of(doomed, struct sp_resolve_entry, doomed);

    free(entry->addrs);
    free(entry);
}

/* Out of everything; its addresses may be borrowed until the turn ends. */
static void entry_drop(struct sp_resolve_entry *entry)
{
    assert(sp_list_empty(&entry->waiters));
    sp_timer_stop(&entry->deadline);
    sp_soon_cancel(&entry->answered);
    sp_resolve_table_remove(&entry->resolver->table, entry);
    sp_loop_doom(entry->resolver->loop, &entry->doomed);
}

static void waiter_free(struct sp_resolve *waiter)
{
    sp_list_remove(&waiter->link);
    sp_loop_let_go(waiter->loop);
    free(waiter);
}

/* A waiter's callback may cancel others and ask anew; those who ask anew are not told now. */
static void tell_waiters(struct sp_resolve_entry *entry)
{
    struct sp_resolved resolved = {
        .err = entry->err, .addrs = entry->addrs, .addrs_len = entry->addrs_len, .why = entry->why};
    struct sp_list told;

    sp_list_init(&told);
    sp_list_move_all(&told, &entry->waiters);
    while (!sp_list_empty(&told)) {
        struct sp_resolve *waiter = sp_container_of(told.next, struct sp_resolve, link);
        sp_resolved_cb done = waiter->done;
        void *owner = waiter->owner;

        waiter_free(waiter);
        done(owner, &resolved);
    }
}

static void on_answered(struct sp_soon *soon)
{
    struct sp_resolve_entry *entry = sp_container_of(soon, struct sp_resolve_entry, answered);
    bool keep = entry->expires_ms != 0;

    tell_waiters(entry);
    /* Still in the table: nobody has freed the resolver meanwhile. */
    if (!keep && !sp_list_empty(&entry->chain) && sp_list_empty(&entry->waiters))
        entry_drop(entry);
}

static void on_deadline(struct sp_timer *timer)
{
    struct sp_resolve_entry *entry = sp_container_of(timer, struct sp_resolve_entry, deadline);

    assert(entry->state == SP_RESOLVE_ASKED || entry->state == SP_RESOLVE_STALE);
    entry->state =
        SP_RESOLVE_LOST; /* c-ares cannot drop one question: its answer frees the entry */
    sp_resolve_table_remove(&entry->resolver->table, entry);
    entry->err = SP_ERR_TIMEOUT;
    entry->why = "no DNS server answered in time";
    tell_waiters(entry);
}

/* ---- answers ---- */

static enum sp_err err_of_status(int status)
{
    switch (status) {
    case ARES_SUCCESS: return SP_OK;
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_EBADNAME: return SP_ERR_NOT_FOUND;
    case ARES_ETIMEOUT: return SP_ERR_TIMEOUT;
    case ARES_ENOMEM: return SP_ERR_NOMEM;
    default: return SP_ERR_IO; /* refused, garbled, no server: nobody has said "no such name" */
    }
}

/* Copies the addresses. Returns the shortest of the records' lives in seconds. */
static uint64_t take_addrs(struct sp_resolve_entry *entry, const struct ares_addrinfo *info)
{
    uint64_t ttl = MOST_MS / 1000;
    size_t len = 0;

    for (const struct ares_addrinfo_cname *cname = info->cnames; cname; cname = cname->next) {
        if (cname->ttl >= 0 && (uint64_t)cname->ttl < ttl)
            ttl = (uint64_t)cname->ttl;
    }
    for (const struct ares_addrinfo_node *node = info->nodes; node; node = node->ai_next)
        len++;
    if (len > SP_RESOLVE_ADDRS_MAX)
        len = SP_RESOLVE_ADDRS_MAX;
    entry->addrs = len > 0 ? calloc(len, sizeof(*entry->addrs)) : NULL;
    if (entry->addrs == NULL)
        return 0;
    for (const struct ares_addrinfo_node *node = info->nodes; node && entry->addrs_len < len;
         node = node->ai_next) {
        struct sp_addr *addr = &entry->addrs[entry->addrs_len];

        if (sp_addr_from_sockaddr(addr, node->ai_addr) != SP_OK)
            continue;
        addr->port = 0;
        entry->addrs_len++;
        if (node->ai_ttl >= 0 && (uint64_t)node->ai_ttl < ttl)
            ttl = (uint64_t)node->ai_ttl;
    }
    return ttl;
}

static uint64_t life_ms(const struct sp_resolve_entry *entry, bool from_file, uint64_t ttl)
{
    if (entry->err == SP_ERR_NOT_FOUND)
        return NEGATIVE_MS;
    if (entry->err != SP_OK)
        return 0; /* nobody knows: the next one asks again */
    if (from_file)
        return HOSTS_MS;
    return ttl * 1000 < LEAST_MS ? LEAST_MS : ttl * 1000;
}

static void entry_fill(struct sp_resolve_entry *entry, int status, const struct ares_addrinfo *info)
{
    uint64_t now = sp_loop_now_ms(entry->resolver->loop);
    uint64_t ttl = 0;
    uint64_t life;

    entry->err = err_of_status(status);
    entry->why = ares_strerror(status);
    if (entry->err == SP_OK) {
        ttl = take_addrs(entry, info);
        if (entry->addrs_len == 0) {
            entry->err = info->nodes == NULL ? SP_ERR_NOT_FOUND : SP_ERR_NOMEM;
            entry->why = info->nodes == NULL ? "the name has no address" : "out of memory";
        }
    }
    life = life_ms(entry, entry->resolver->asking, ttl);
    entry->expires_ms = life != 0 ? now + life : 0;
}

static void entry_keep(struct sp_resolve_entry *entry)
{
    struct sp_resolve_entry *oldest;

    entry->state = SP_RESOLVE_KNOWN;
    oldest = sp_resolve_table_keep(&entry->resolver->table, entry);
    if (oldest != NULL)
        entry_drop(oldest);
}

/* What is known inside ares_getaddrinfo comes from a file: nobody has been heard. */
static void judge_service(const struct sp_resolve_entry *entry, int status)
{
    struct sp_resolver *resolver = entry->resolver;
    enum sp_err err = err_of_status(status);

    if (!resolver->asking || (err != SP_OK && err != SP_ERR_NOT_FOUND))
        sp_resolve_service_took(&resolver->service, sp_span_of(entry->name, entry->name_len), err,
                                ares_strerror(status));
}

/* When one socket to a server breaks, c-ares takes that for a try of every question at the server,
 * and so the answer to one name that was cut short, where TCP is refused, ends the questions about
 * others. They are put again. */
static bool asks_again(struct sp_resolve_entry *entry, int status)
{
    return status == ARES_ECONNREFUSED && !entry->resolver->closing &&
           entry->state != SP_RESOLVE_LOST && entry->again++ < AGAIN_MAX;
}

static void put_question(struct sp_resolve_entry *entry);

static void take_answer(struct sp_resolve_entry *entry, int status,
                        const struct ares_addrinfo *info)
{
    struct sp_resolver *resolver = entry->resolver;

    if (!resolver->closing)
        judge_service(entry, status);
    if (resolver->closing || entry->state == SP_RESOLVE_LOST) {
        entry_drop(entry);
        return;
    }
    entry_fill(entry, status, info);
    sp_timer_stop(&entry->deadline);
    if (entry->state == SP_RESOLVE_ASKED)
        entry_keep(entry);
    else
        entry->expires_ms = 0; /* for its own waiters; another has taken its place */
    sp_loop_soon(resolver->loop, &entry->answered);
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    struct sp_resolve_entry *entry = arg;

    (void)timeouts;
    entry->resolver->asked--;
    if (asks_again(entry, status))
        put_question(entry);
    else
        take_answer(entry, status, info);
    if (info != NULL)
        ares_freeaddrinfo(info);
}

/* ---- questions ---- */

static bool is_localhost(struct sp_span host)
{
    return sp_span_eq_nocase(host, SP_SPAN_LIT("localhost")) ||
           sp_span_ends_nocase(host, SP_SPAN_LIT(".localhost"));
}

static struct sp_resolve_entry *entry_new(struct sp_resolver *resolver, struct sp_span host)
{
    struct sp_resolve_entry *entry = calloc(1, sizeof(*entry) + host.len + 1);

    if (entry == NULL)
        return NULL;
    sp_list_init(&entry->chain);
    sp_list_init(&entry->aged);
    sp_list_init(&entry->waiters);
    entry->resolver = resolver;
    entry->state = SP_RESOLVE_ASKED;
    sp_soon_init(&entry->answered, on_answered);
    sp_timer_init(&entry->deadline, on_deadline);
    entry->doomed.release = on_entry_doomed;
    memcpy(entry->name, host.base, host.len);
    entry->name_len = host.len;
    return entry;
}

static enum sp_err wait_for(struct sp_resolve_entry *entry, sp_resolved_cb done, void *owner,
                            struct sp_resolve **resolve_out)
{
    struct sp_resolve *waiter = malloc(sizeof(*waiter));

    if (waiter == NULL)
        return SP_ERR_NOMEM;
    waiter->loop = entry->resolver->loop;
    waiter->done = done;
    waiter->owner = owner;
    sp_list_push(&entry->waiters, &waiter->link);
    sp_loop_hold(waiter->loop);
    *resolve_out = waiter;
    return SP_ERR_AGAIN;
}

/* From here on the entry is c-ares' too: on_answer comes exactly once, perhaps before this returns.
 */
static void put_question(struct sp_resolve_entry *entry)
{
    struct sp_resolver *resolver = entry->resolver;
    const struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};

    resolver->asked++;
    resolver->asking = true;
    ares_getaddrinfo(resolver->channel.ares, entry->name, NULL, &hints, on_answer, entry);
    resolver->asking = false;
    sp_resolve_channel_wake(&resolver->channel);
}

static void entry_ask(struct sp_resolve_entry *entry)
{
    struct sp_resolver *resolver = entry->resolver;

    entry->asked_ms = sp_loop_now_ms(resolver->loop);
    sp_resolve_table_add(&resolver->table, entry);
    sp_timer_start(resolver->loop, &entry->deadline, DEADLINE_MS);
    put_question(entry);
}

static enum sp_err ask(struct sp_resolver *resolver, struct sp_span host, sp_resolved_cb done,
                       void *owner, struct sp_resolve **resolve_out)
{
    struct sp_resolve_entry *entry;
    enum sp_err err;

    if (resolver->asked >= SP_RESOLVE_ASKED_MAX)
        return SP_ERR_FULL;
    entry = entry_new(resolver, host);
    if (entry == NULL)
        return SP_ERR_NOMEM;
    err = wait_for(entry, done, owner, resolve_out);
    if (err != SP_ERR_AGAIN) {
        free(entry);
        return err;
    }
    entry_ask(entry);
    return SP_ERR_AGAIN;
}

/* After its first try a question has one more, and then only waits: who came to it now would share
 * its end although name service may have come back. So a new one is asked in its place, if there is
 * room; those who wait for the old one go on waiting. */
static bool goes_stale(struct sp_resolve_entry *entry)
{
    struct sp_resolver *resolver = entry->resolver;

    if (entry->state != SP_RESOLVE_ASKED || resolver->asked >= SP_RESOLVE_ASKED_MAX ||
        sp_loop_now_ms(resolver->loop) - entry->asked_ms <= SP_RESOLVE_TRY_MS)
        return false;
    entry->state = SP_RESOLVE_STALE;
    return true;
}

enum sp_err sp_resolve_start(struct sp_resolver *resolver, struct sp_span host, sp_resolved_cb done,
                             void *owner, const struct sp_addr **addrs_out, size_t *addrs_len_out,
                             struct sp_resolve **resolve_out)
{
    struct sp_resolve_entry *entry;

    *addrs_out = NULL;
    *addrs_len_out = 0;
    *resolve_out = NULL;
    if (host.len == 0 || host.len > SP_RESOLVE_NAME_MAX || memchr(host.base, '\0', host.len))
        return SP_ERR_NOT_FOUND; /* no name can be so */
    if (is_localhost(host)) {
        *addrs_out = loopback;
        *addrs_len_out = sizeof(loopback) / sizeof(loopback[0]);
        return SP_OK;
    }
    entry = sp_resolve_table_find(&resolver->table, host);
    if (entry == NULL || goes_stale(entry))
        return ask(resolver, host, done, owner, resolve_out);
    if (entry->state == SP_RESOLVE_ASKED || !sp_list_empty(&entry->answered.link))
        return wait_for(entry, done, owner, resolve_out);
    if (sp_loop_now_ms(resolver->loop) >= entry->expires_ms) {
        entry_drop(entry);
        return ask(resolver, host, done, owner, resolve_out);
    }
    *addrs_out = entry->addrs;
    *addrs_len_out = entry->addrs_len;
    return entry->err;
}

/* The question itself goes on: its answer is as good for the next one. */
void sp_resolve_cancel(struct sp_resolve **resolve)
{
    struct sp_resolve *waiter = *resolve;

    *resolve = NULL;
    if (waiter != NULL)
        waiter_free(waiter);
}

/* ---- from beginning to end ---- */

struct sp_resolver *sp_resolver_new(struct sp_loop *loop)
{
    struct sp_resolver *resolver = calloc(1, sizeof(*resolver));

    if (resolver == NULL)
        return NULL;
    resolver->loop = loop;
    if (sp_resolve_table_init(&resolver->table) != SP_OK) {
        free(resolver);
        return NULL;
    }
    if (sp_resolve_channel_open(&resolver->channel, loop) != SP_OK) {
        sp_resolve_table_fini(&resolver->table);
        free(resolver);
        return NULL;
    }
    return resolver;
}

void sp_resolver_watch(struct sp_resolver *resolver, sp_resolver_heard_cb changed, void *owner)
{
    resolver->service.changed = changed;
    resolver->service.owner = owner;
}

enum sp_err sp_resolver_use_servers(struct sp_resolver *resolver, const char *servers)
{
    return ares_set_servers_ports_csv(resolver->channel.ares, servers) == ARES_SUCCESS
               ? SP_OK
               : SP_ERR_INVALID;
}

static void on_resolver_doomed(struct sp_doomed *doomed)
{
    free(sp_container_of(doomed, struct sp_resolver, doomed));
}

void sp_resolver_free(struct sp_resolver **resolver_ptr)
{
    struct sp_resolver *resolver = *resolver_ptr;
    struct sp_resolve_entry *entry;

    *resolver_ptr = NULL;
    if (resolver == NULL)
        return;
    resolver->closing = true;
    sp_resolve_channel_close(&resolver->channel); /* on_answer for all that are under way */
    assert(resolver->asked == 0);
    while ((entry = sp_resolve_table_any(&resolver->table)) != NULL)
        entry_drop(entry);
    sp_resolve_table_fini(&resolver->table);
    resolver->doomed.release = on_resolver_doomed;
    sp_loop_doom(resolver->loop, &resolver->doomed);
}
