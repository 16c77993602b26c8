/* What a worker keeps to use again: buffers for reading, memory for heads that wait, parsers, and
 * exchanges. Each stock is bounded, so that a burst's memory goes back. Loop thread. */
#include "proxy/proxy_priv.h"

#include "util/secret.h"

#include <stdlib.h>
#include <string.h>

/* A spare one; what is in use is plain bytes. */
struct spare_head {
    struct spare_head *next;
};

/* ---- buffers and heads ---- */

enum sp_err sp_slab_lend(struct sp_proxy *proxy, struct sp_buf *buf, size_t max)
{
    assert(buf->base == NULL);
    sp_buf_init(buf, max < SLAB_SIZE ? SLAB_SIZE : max);
    if (proxy->spare_slabs_len > 0)
        buf->base = proxy->spare_slabs[--proxy->spare_slabs_len];
    else
        buf->base = malloc(SLAB_SIZE);
    if (buf->base == NULL)
        return SP_ERR_NOMEM;
    buf->cap = SLAB_SIZE;
    return SP_OK;
}

static void head_return(struct sp_proxy *proxy, struct sp_buf *buf)
{
    struct spare_head *head = (void *)buf->base;

    head->next = proxy->spare_heads;
    proxy->spare_heads = head;
    proxy->spare_heads_len++;
    sp_buf_init(buf, buf->max);
}

void sp_slab_return(struct sp_proxy *proxy, struct sp_buf *buf)
{
    if (buf->base != NULL && buf->cap == HEAD_SIZE &&
        proxy->spare_heads_len < EXCHANGES_KEPT + proxy->exchanges_len) {
        head_return(proxy, buf);
        return;
    }
    if (buf->base != NULL && buf->cap == SLAB_SIZE && proxy->spare_slabs_len < SLABS_KEPT) {
        proxy->spare_slabs[proxy->spare_slabs_len++] = buf->base;
        sp_buf_init(buf, buf->max);
        return;
    }
    sp_buf_reset(buf);
}

void sp_slab_shrink(struct sp_proxy *proxy, struct sp_buf *buf)
{
    struct sp_span bytes = sp_buf_span(buf);
    struct spare_head *head = proxy->spare_heads;

    if (buf->cap != SLAB_SIZE || bytes.len > HEAD_SIZE)
        return;
    if (head != NULL) {
        proxy->spare_heads = head->next;
        proxy->spare_heads_len--;
    } else {
        head = malloc(HEAD_SIZE);
    }
    if (head == NULL)
        return; /* then it stays where it is */
    memcpy(head, bytes.base, bytes.len);
    sp_wipe(buf->base + buf->start, bytes.len); /* a head may have a password */
    sp_slab_return(proxy, buf);
    buf->base = (char *)head;
    buf->len = bytes.len;
    buf->cap = HEAD_SIZE;
}

/* ---- parsers ---- */

/* Those of the stock know the limits of the newest epoch. */
bool sp_parser_lend(struct sp_exchange *x, struct sp_http_parser **parser)
{
    struct sp_proxy *proxy = x->session->proxy;

    if (*parser != NULL)
        return true;
    if (proxy->spare_parsers_len > 0 && x->epoch == proxy->epoch) {
        *parser = proxy->spare_parsers[--proxy->spare_parsers_len];
        sp_http_parser_reset(*parser);
    } else {
        *parser = sp_http_parser_new(&x->epoch->snapshot->http_limits);
    }
    return *parser != NULL;
}

void sp_parser_return(struct sp_exchange *x, struct sp_http_parser **parser)
{
    struct sp_proxy *proxy = x->session->proxy;

    if (*parser == NULL || x->epoch != proxy->epoch || proxy->spare_parsers_len == PARSERS_KEPT) {
        sp_http_parser_free(parser);
        return;
    }
    proxy->spare_parsers[proxy->spare_parsers_len++] = *parser;
    *parser = NULL;
}

void sp_stock_forget_limits(struct sp_proxy *proxy)
{
    while (proxy->spare_parsers_len > 0)
        sp_http_parser_free(&proxy->spare_parsers[--proxy->spare_parsers_len]);
}

/* ---- exchanges ---- */

struct sp_exchange *sp_exchange_lend(struct sp_proxy *proxy)
{
    struct sp_exchange *x = proxy->spare_exchanges;

    if (x != NULL) {
        proxy->spare_exchanges = x->spare;
        proxy->spare_exchanges_len--;
    } else {
        x = calloc(1, sizeof(*x));
    }
    if (x != NULL)
        proxy->exchanges_len++;
    return x;
}

void sp_exchange_return(struct sp_proxy *proxy, struct sp_exchange *x)
{
    proxy->exchanges_len--;
    if (proxy->spare_exchanges_len >= EXCHANGES_KEPT + proxy->exchanges_len) {
        free(x);
        return;
    }
    memset(x, 0, offsetof(struct sp_exchange, type));
    x->type[0] = '\0';
    x->words[0] = '\0';
    x->spare = proxy->spare_exchanges;
    proxy->spare_exchanges = x;
    proxy->spare_exchanges_len++;
}

/* ---- the end ---- */

void sp_stocks_free(struct sp_proxy *proxy)
{
    sp_stock_forget_limits(proxy);
    while (proxy->spare_slabs_len > 0)
        free(proxy->spare_slabs[--proxy->spare_slabs_len]);
    while (proxy->spare_heads != NULL) {
        struct spare_head *head = proxy->spare_heads;

        proxy->spare_heads = head->next;
        free(head);
    }
    while (proxy->spare_exchanges != NULL) {
        struct sp_exchange *spare = proxy->spare_exchanges;

        proxy->spare_exchanges = spare->spare;
        free(spare);
    }
}
