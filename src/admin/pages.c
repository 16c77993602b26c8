/* What the admin listener answers over HTTP: GET and HEAD of four paths, and nothing else. */
#include "admin/admin_priv.h"

#include "http/reply.h"
#include "stats/stats.h"
#include "util/base64.h"
#include "util/hash.h"
#include "util/span.h"

#include <stdio.h>

#define NONCE_LEN 24

/* One answer before it is written. */
struct page {
    int status;
    const char *type;
    struct sp_buf body;
    char nonce[NONCE_LEN + 1]; /* of what the page may run and look like; "": nothing */
};

#define PLAIN   "text/plain; charset=utf-8"
#define METRICS "text/plain; version=0.0.4; charset=utf-8"
#define HTML    "text/html; charset=utf-8"

static enum sp_err refuse(struct page *page, int status, const char *words)
{
    page->status = status;
    return sp_buf_printf(&page->body, "%d %s: %s\n", status, sp_http_status_text(status), words);
}

/* 200 and one word, or 503 with another and what is wrong. */
static enum sp_err judge(struct sp_admin *admin, struct page *page,
                         bool (*is_well)(void *owner, struct sp_buf *words), const char *yes,
                         const char *no)
{
    struct sp_buf words;
    bool well;
    enum sp_err err;

    sp_buf_init(&words, SP_ADMIN_WORDS_MAX);
    well = is_well == NULL || is_well(admin->events.owner, &words);
    page->status = well ? 200 : 503;
    err = sp_buf_append(&page->body, sp_span_cstr(well ? yes : no));
    if (err == SP_OK)
        err = sp_buf_append(&page->body, sp_buf_span(&words));
    sp_buf_fini(&words);
    return err;
}

static enum sp_err page_health(struct sp_admin *admin, struct page *page)
{
    return judge(admin, page, admin->events.alive, "ok\n", "not ok\n");
}

static enum sp_err page_ready(struct sp_admin *admin, struct page *page)
{
    return judge(admin, page, admin->events.ready, "ready\n", "not ready\n");
}

static enum sp_err page_metrics(struct sp_admin *admin, struct page *page)
{
    (void)admin;
    page->type = METRICS;
    return sp_stats_write(&page->body);
}

static enum sp_err page_status(struct sp_admin *admin, struct page *page)
{
    uint8_t random[16];

    if (admin->events.overview == NULL)
        return refuse(page, 404, "there is no status page");
    if (sp_random(random, sizeof(random)) != SP_OK)
        return SP_ERR_IO;
    sp_base64_encode(page->nonce, sp_span_of((const char *)random, sizeof(random)));
    page->nonce[NONCE_LEN] = '\0';
    page->type = HTML;
    return sp_admin_status_page(admin, &page->body, page->nonce);
}

static const struct {
    const char *path;
    enum sp_err (*write)(struct sp_admin *admin, struct page *page);
} routes[] = {
    {"/metrics", page_metrics},
    {"/healthz", page_health},
    {"/readyz", page_ready},
    {"/", page_status},
};

static enum sp_err route(const struct sp_admin_conn *conn, const struct sp_http_request *request,
                         struct page *page)
{
    struct sp_span path = request->target.path;
    const char *refusal = sp_admin_refusal(conn, request);

    if (refusal != NULL)
        return refuse(page, 403, refusal);
    if (request->method != SP_HTTP_GET && request->method != SP_HTTP_HEAD)
        return refuse(page, 405, "only GET and HEAD are answered here");
    for (size_t i = 0; i < path.len; i++) {
        if (path.base[i] == '?')
            path.len = i;
    }
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (sp_span_eq(path, sp_span_cstr(routes[i].path)))
            return routes[i].write(conn->admin, page);
    }
    return refuse(page, 404, "there are /metrics, /healthz, /readyz and /");
}

/* Nothing from elsewhere, nothing inline but what carries the nonce, framed by nobody. */
static void policy_of(const struct page *page, char *out, size_t cap)
{
    int len = snprintf(out, cap,
                       "default-src 'none'; base-uri 'none'; form-action 'none'; "
                       "frame-ancestors 'none'");

    if (page->nonce[0] != '\0')
        (void)snprintf(out + len, cap - (size_t)len,
                       "; style-src 'nonce-%s'; script-src 'nonce-%s'; connect-src 'self'",
                       page->nonce, page->nonce);
}

static enum sp_err write_page(struct sp_buf *out, const struct page *page, bool head_only)
{
    char policy[320];
    enum sp_err err;

    policy_of(page, policy, sizeof(policy));
    err = sp_buf_printf(
        out,
        "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%sCache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
        "Content-Security-Policy: %s\r\nConnection: close\r\n\r\n",
        page->status, sp_http_status_text(page->status), page->type, page->body.len,
        page->status == 405 ? "Allow: GET, HEAD\r\n" : "", policy);

    if (err != SP_OK || head_only)
        return err;
    return sp_buf_append(out, sp_buf_span(&page->body));
}

bool sp_admin_http_answer(struct sp_admin_conn *conn)
{
    struct sp_http_request request;
    struct sp_http_fault fault;
    struct page page = {.status = 200, .type = PLAIN};
    enum sp_err err = sp_http_parse_request(conn->parser, sp_span_of(conn->in, conn->in_len),
                                            &request, &fault);

    if (err == SP_ERR_AGAIN)
        return false;
    sp_buf_init(&page.body, SP_ADMIN_ANSWER_MAX - SP_ADMIN_HEAD_MAX);
    if (err == SP_OK)
        err = route(conn, &request, &page);
    else if (err == SP_ERR_INVALID)
        err = refuse(&page, fault.status, fault.why);
    if (err == SP_OK)
        err = write_page(&conn->out, &page, request.method == SP_HTTP_HEAD);
    if (err != SP_OK)
        sp_buf_reset(&conn->out);
    sp_buf_fini(&page.body);
    return true;
}
