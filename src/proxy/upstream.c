/* Connections to origins, and the pool in which idle ones wait to be used again.
 *
 * The pool is a worker's own: no lock. Connections are found by a hash of host and port and used
 * last in, first out, so that a small set stays warm and the rest grows old and is closed. A
 * connection that an origin has bound to one client (NTLM, Negotiate: RFC 4559 6) never enters the
 * pool: it waits in its session's own list. */
#include "proxy/proxy_priv.h"

#include "util/hash.h"

#include <stdlib.h>
#include <string.h>

static uint64_t upstream_key(struct sp_span host, uint16_t port)
{
    return sp_hash64(host) ^ ((uint64_t)port * UINT64_C(0x9e3779b97f4a7c15));
}

static void on_released(struct sp_doomed *doomed)
{
    free(sp_container_of(doomed, struct sp_upstream, doomed));
}

/* ---- the pool's table ---- */

static struct sp_upstream **bucket_of(struct sp_proxy *proxy, uint64_t key)
{
    return &proxy->pool_bucket[key & (POOL_BUCKETS - 1)];
}

static void pool_remove(struct sp_upstream *upstream)
{
    struct sp_upstream **at = bucket_of(upstream->proxy, upstream->key);

    if (!upstream->pooled)
        return;
    while (*at != upstream)
        at = &(*at)->chain;
    *at = upstream->chain;
    upstream->pooled = false;
}

static void pool_insert(struct sp_upstream *upstream)
{
    struct sp_proxy *proxy = upstream->proxy;
    struct sp_upstream **at = bucket_of(proxy, upstream->key);

    upstream->chain = *at;
    *at = upstream;
    upstream->pooled = true;
    sp_list_push(&proxy->pool, &upstream->link);
}

/* ---- life ---- */

static void on_upstream_ready(void *owner, unsigned events)
{
    struct sp_upstream *upstream = owner;
    size_t read = 0;
    char byte;

    assert(upstream->magic == UPSTREAM_MAGIC);
    if (upstream->exchange != NULL) {
        sp_exchange_upstream_ready(upstream->exchange, events);
        return;
    }
    /* Idle: the origin has closed it, or speaks without having been asked; neither can be used. Or
     * it was told of bytes that have been read since. */
    if (sp_stream_read(upstream->stream, &byte, 1, &read) != SP_ERR_AGAIN)
        sp_upstream_close(&upstream, false);
}

static void on_idle_timeout(struct sp_timer *timer)
{
    struct sp_upstream *upstream = sp_container_of(timer, struct sp_upstream, idle);

    sp_upstream_close(&upstream, false);
}

struct sp_upstream *sp_upstream_new(struct sp_proxy *proxy, struct sp_stream **stream,
                                    struct sp_span host, uint16_t port, const struct sp_addr *addr)
{
    struct sp_upstream *upstream = calloc(1, sizeof(*upstream) + host.len);

    if (upstream == NULL) {
        sp_stream_close(stream, true);
        return NULL;
    }
    upstream->magic = UPSTREAM_MAGIC;
    upstream->doomed.release = on_released;
    upstream->proxy = proxy;
    upstream->stream = *stream;
    *stream = NULL;
    upstream->addr = *addr;
    upstream->port = port;
    upstream->key = upstream_key(host, port);
    upstream->host_len = (uint16_t)host.len;
    memcpy(upstream->host, host.base, host.len);
    sp_list_init(&upstream->link);
    sp_timer_init(&upstream->idle, on_idle_timeout);
    sp_stream_own(upstream->stream, on_upstream_ready, upstream);
    proxy->upstreams_len++;
    return upstream;
}

void sp_upstream_close(struct sp_upstream **upstream, bool reset)
{
    struct sp_upstream *gone = *upstream;

    *upstream = NULL;
    if (gone == NULL)
        return;
    assert(gone->magic == UPSTREAM_MAGIC);
    gone->magic = 0;
    pool_remove(gone);
    sp_list_remove(&gone->link);
    sp_timer_stop(&gone->idle);
    sp_stream_close(&gone->stream, reset);
    sp_slab_return(gone->proxy, &gone->in);
    sp_slab_return(gone->proxy, &gone->out);
    gone->proxy->upstreams_len--;
    sp_proxy_check_drained(gone->proxy);
    sp_loop_doom(gone->proxy->loop, &gone->doomed);
}

/* ---- lending ---- */

static bool is_for(const struct sp_upstream *upstream, uint64_t key, struct sp_span host,
                   uint16_t port)
{
    return upstream->key == key && upstream->port == port && upstream->host_len == host.len &&
           memcmp(upstream->host, host.base, host.len) == 0;
}

static struct sp_upstream *lend(struct sp_upstream *upstream)
{
    pool_remove(upstream);
    sp_list_remove(&upstream->link);
    sp_timer_stop(&upstream->idle);
    upstream->reused = true;
    return upstream;
}

static struct sp_upstream *take_bound(struct sp_list *bound, uint64_t key, struct sp_span host,
                                      uint16_t port)
{
    struct sp_list *node;

    SP_LIST_EACH (node, bound) {
        struct sp_upstream *upstream = sp_container_of(node, struct sp_upstream, link);

        if (is_for(upstream, key, host, port) && sp_stream_is_quiet(upstream->stream))
            return lend(upstream);
    }
    return NULL;
}

struct sp_upstream *sp_upstream_take(struct sp_proxy *proxy, struct sp_list *bound,
                                     struct sp_span host, uint16_t port,
                                     bool (*fits)(void *owner, const struct sp_addr *addr),
                                     void *owner)
{
    uint64_t key = upstream_key(host, port);
    struct sp_upstream *upstream;

    if (bound != NULL)
        return take_bound(bound, key, host, port);
    for (upstream = *bucket_of(proxy, key); upstream != NULL; upstream = upstream->chain) {
        if (is_for(upstream, key, host, port) && sp_stream_is_quiet(upstream->stream) &&
            fits(owner, &upstream->addr))
            return lend(upstream);
    }
    return NULL;
}

/* A client may have so many connections of its own and no more: the oldest gives way. */
static void make_room(struct sp_list *bound)
{
    struct sp_list *node;
    unsigned len = 0;

    SP_LIST_EACH (node, bound) {
        len++;
    }
    if (len >= BOUND_MAX) {
        struct sp_upstream *oldest = sp_container_of(bound->next, struct sp_upstream, link);

        sp_upstream_close(&oldest, false);
    }
}

/* Nothing to read and no end. A read that took all it had room for, or a splice, leaves open
 * whether more is there; one look settles it. */
static bool is_at_rest(struct sp_upstream *upstream)
{
    size_t read = 0;
    char byte;

    if (sp_stream_is_quiet(upstream->stream))
        return true;
    return sp_stream_read(upstream->stream, &byte, 1, &read) == SP_ERR_AGAIN &&
           sp_stream_is_quiet(upstream->stream);
}

/* One connection for each client, and some: with fewer, many busy clients would have each other's
 * closed. Those at work are counted with those that wait, so that descriptors stay bounded by the
 * number of clients. The oldest gives way. */
static void make_room_in_pool(struct sp_proxy *proxy)
{
    if (proxy->upstreams_len > proxy->sessions_len + POOL_MAX && !sp_list_empty(&proxy->pool)) {
        struct sp_upstream *oldest = sp_container_of(proxy->pool.next, struct sp_upstream, link);

        sp_upstream_close(&oldest, false);
    }
}

void sp_upstream_keep(struct sp_upstream **upstream, struct sp_list *bound, uint64_t idle_ms)
{
    struct sp_upstream *kept = *upstream;
    struct sp_proxy *proxy = kept->proxy;

    *upstream = NULL;
    kept->exchange = NULL;
    sp_slab_return(proxy, &kept->in);
    sp_slab_return(proxy, &kept->out);
    if (proxy->draining || !is_at_rest(kept) ||
        (bound == NULL && sp_stream_is_scarce(kept->stream))) {
        sp_upstream_close(&kept, false);
        return;
    }
    if (bound != NULL) {
        make_room(bound);
        sp_list_push(bound, &kept->link);
    } else {
        make_room_in_pool(proxy);
        pool_insert(kept);
    }
    sp_stream_want(kept->stream, SP_STREAM_READ);
    sp_timer_start(proxy->loop, &kept->idle, idle_ms);
}

static void close_all(struct sp_list *list)
{
    while (!sp_list_empty(list)) {
        struct sp_upstream *upstream = sp_container_of(list->next, struct sp_upstream, link);

        sp_upstream_close(&upstream, false);
    }
}

void sp_upstream_close_idle(struct sp_proxy *proxy)
{
    close_all(&proxy->pool);
}

void sp_upstream_close_bound(struct sp_list *bound)
{
    close_all(bound);
}
