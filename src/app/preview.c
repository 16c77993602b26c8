/* Asking the rules about a place without going there. The order is the proxy's, by the same calls
 * (proxy/exchange_auth.c): first what can be decided before a 407, then with the person known, each
 * address of a name on its own. */
#include "app/preview.h"

#include "net/resolve.h"
#include "util/clock.h"
#include "util/span.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 10000

/* ---- the target ---- */

/* The text becomes a request, and http reads it: no second opinion on how a host is spelled. */
static bool write_request(struct sp_app_target *target, const char *text, const char **why_out)
{
    const char *port = strrchr(text, ':');
    bool connect = port != NULL && strcmp(port, ":443") == 0;
    int len;

    *why_out = "write HOST:PORT, such as www.example.org:443";
    if (port == NULL || port[1] == '\0' || strpbrk(text, " \t\r\n/?#") != NULL)
        return false;
    if (connect)
        len = snprintf(target->text, sizeof(target->text),
                       "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", text, text);
    else
        len = snprintf(target->text, sizeof(target->text),
                       "GET http://%s/ HTTP/1.1\r\nHost: %s\r\n\r\n", text, text);
    *why_out = "the name is too long";
    return len > 0 && (size_t)len < sizeof(target->text);
}

bool sp_app_target_parse(struct sp_app_target *target, const char *text, const char **why_out)
{
    const struct sp_http_limits limits = {
        .head_size = sizeof(target->text), .fields = 4, .target_size = sizeof(target->text)};
    struct sp_http_fault fault = {0};

    memset(target, 0, sizeof(*target));
    if (!write_request(target, text, why_out))
        return false;
    target->parser = sp_http_parser_new(&limits);
    *why_out = "out of memory";
    if (target->parser == NULL)
        return false;
    if (sp_http_parse_request(target->parser, sp_span_cstr(target->text), &target->request,
                              &fault) == SP_OK)
        return true;
    if (fault.why != NULL)
        *why_out = fault.why;
    sp_app_target_fini(target);
    return false;
}

void sp_app_target_fini(struct sp_app_target *target)
{
    sp_http_parser_free(&target->parser);
}

/* ---- the rules ---- */

/* Owned by itself; freed after `done`. */
struct preview {
    struct sp_loop *loop;
    struct sp_app_preview_question question;
    const struct sp_app_preview_events *events;
    void *owner;
    struct sp_resolver *resolver;
    struct sp_resolve *resolve;
    struct sp_timer deadline;
    struct sp_soon soon;
};

static struct sp_policy_query query_of(const struct preview *p, const struct sp_policy_who *who,
                                       const struct sp_addr *addr)
{
    const struct sp_http_request *request = &p->question.target->request;

    return (struct sp_policy_query){
        .who = who,
        .client = p->question.client,
        .host = request->target.host,
        .port = request->target.port,
        .literal = request->target.host_is_ip ? &request->target.addr : NULL,
        .connect = request->method == SP_HTTP_CONNECT,
        .method = request->method_text,
        .addr = addr,
        .wall_ms = sp_clock_wall_ms(&sp_clock_system),
    };
}

static struct sp_policy_decision decide(const struct preview *p, const struct sp_policy_who *who,
                                        const struct sp_addr *addr)
{
    const struct sp_policy_query query = query_of(p, who, addr);

    return sp_policy_decide(p->question.policy, &query);
}

static void finish(struct preview *p)
{
    sp_timer_stop(&p->deadline);
    sp_resolver_free(&p->resolver);
    p->events->done(p->owner);
    free(p);
}

static void decide_each(struct preview *p, const struct sp_addr *addrs, size_t len)
{
    const struct sp_policy_query query = query_of(p, NULL, NULL);
    const struct sp_addr *at;
    bool open = sp_policy_decide_open(p->question.policy, &query, addrs, len, &at).verdict ==
                SP_POLICY_ALLOW;

    for (size_t i = 0; i < len; i++) {
        struct sp_policy_decision d = decide(p, open ? NULL : p->question.who, &addrs[i]);

        p->events->decided(p->owner, &addrs[i], &d, open);
    }
}

/* A person may be denied whatever the addresses are; the proxy does not resolve the name then. */
static bool person_is_denied(struct preview *p)
{
    struct sp_policy_decision d;

    if (p->question.who == NULL)
        return false;
    d = decide(p, p->question.who, NULL);
    if (d.verdict != SP_POLICY_DENY)
        return false;
    p->events->decided(p->owner, NULL, &d, false);
    return true;
}

static void on_resolved(void *owner, const struct sp_resolved *resolved)
{
    struct preview *p = owner;

    p->resolve = NULL;
    if (resolved->err == SP_OK)
        decide_each(p, resolved->addrs, resolved->addrs_len);
    else if (!person_is_denied(p))
        p->events->unresolved(p->owner, resolved->why);
    finish(p);
}

static void on_deadline(struct sp_timer *timer)
{
    struct preview *p = sp_container_of(timer, struct preview, deadline);

    sp_resolve_cancel(&p->resolve);
    p->events->unresolved(p->owner, "no answer in time");
    finish(p);
}

static void resolve(struct preview *p)
{
    const struct sp_addr *addrs = NULL;
    size_t len = 0;
    enum sp_err err = sp_resolve_start(p->resolver, p->question.target->request.target.host,
                                       on_resolved, p, &addrs, &len, &p->resolve);

    if (err == SP_ERR_AGAIN) {
        sp_timer_start(p->loop, &p->deadline, TIMEOUT_MS);
        return;
    }
    if (err == SP_OK)
        decide_each(p, addrs, len);
    else
        p->events->unresolved(p->owner, "the resolver does not take the question");
    finish(p);
}

static void begin(struct sp_soon *soon)
{
    struct preview *p = sp_container_of(soon, struct preview, soon);
    const struct sp_http_target *target = &p->question.target->request.target;
    struct sp_policy_decision d = decide(p, NULL, NULL);

    if (target->host_is_ip) {
        decide_each(p, &target->addr, 1);
        finish(p);
    } else if (d.verdict == SP_POLICY_DENY) {
        p->events->decided(p->owner, NULL, &d, true);
        finish(p);
    } else if (d.verdict == SP_POLICY_ASK_USER && person_is_denied(p)) {
        finish(p);
    } else {
        resolve(p);
    }
}

enum sp_err sp_app_preview_start(struct sp_loop *loop,
                                 const struct sp_app_preview_question *question,
                                 const struct sp_app_preview_events *events, void *owner)
{
    struct preview *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return SP_ERR_NOMEM;
    p->loop = loop;
    p->question = *question;
    p->events = events;
    p->owner = owner;
    p->resolver = sp_resolver_new(loop);
    if (p->resolver == NULL) {
        free(p);
        return SP_ERR_NOMEM;
    }
    sp_timer_init(&p->deadline, on_deadline);
    sp_soon_init(&p->soon, begin);
    sp_loop_soon(loop, &p->soon);
    return SP_OK;
}
