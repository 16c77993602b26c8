/* A Negotiate handshake with the running proxy, told leg by leg: what was sent, by kind and length,
 * what came back, and what it came to. Tokens are never shown. */
#include "app/negotiate.h"

#include "client/client.h"
#include "util/lookup.h"
#include "util/span.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#define LEGS_MAX 10
#define NAME_S   5 /* for DNS to say this machine's full name */

struct visit {
    const struct sp_app_negotiate *question;
    struct sp_app_printer *printer;
    const struct sp_listen *listen;
    struct sp_client *client;
    struct sp_initiator *initiator;
    struct sp_client_answer answer; /* the last */
    char why[SP_CLIENT_WHY_MAX];
    uint64_t begun_us;
};

static uint64_t now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void step(struct visit *v, const char *what, const char *detail, const char *outcome)
{
    const struct sp_auth_step told = {what, v->listen->title, detail, outcome,
                                      now_us() - v->begun_us};

    sp_app_print_step(v->printer, &told);
    v->begun_us = now_us();
}

/* ---- where ---- */

static bool find_listener(struct visit *v)
{
    size_t len;
    const struct sp_listen *listens = sp_proxy_snapshot_listens(v->question->snapshot, &len);

    for (size_t i = 0; i < len && v->listen == NULL; i++)
        if (v->question->listen == NULL || strcmp(listens[i].title, v->question->listen) == 0)
            v->listen = &listens[i];
    return v->listen != NULL;
}

static void say_listens(const struct sp_proxy_snapshot *snapshot)
{
    size_t len;
    const struct sp_listen *listens = sp_proxy_snapshot_listens(snapshot, &len);

    for (size_t i = 0; i < len; i++)
        fprintf(stderr, " %s", listens[i].title);
    fprintf(stderr, "\n");
}

/* One that listens on every address is reached on the loopback. */
static struct sp_addr reachable(const struct sp_addr *addr)
{
    struct sp_addr to = *addr;

    if (sp_addr_is_unspecified(addr)) {
        to.ip[12] = sp_addr_is_v4(addr) ? 127 : 0;
        to.ip[15] = 1;
    }
    return to;
}

/* The name that browsers would use, unless --proxy says another: this machine's full name. False:
 * it is not known, and that is said. */
static bool own_name(char *out, size_t cap)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_CANONNAME};
    struct addrinfo *list = NULL;
    int failure = 0;
    enum sp_err err;

    if (gethostname(out, cap) != 0) {
        fprintf(stderr, "sallyport login: this machine has no name; give one with --proxy\n");
        return false;
    }
    out[cap - 1] = '\0';
    err = sp_lookup(out, NULL, &hints, uv_hrtime() + NAME_S * UINT64_C(1000000000), NULL, &list,
                    &failure);
    if (err == SP_ERR_TIMEOUT) {
        fprintf(stderr,
                "sallyport login: the full name of this machine is not known: DNS does not answer "
                "about %s within %d s; give the proxy's name with --proxy\n",
                out, NAME_S);
        return false;
    }
    if (err != SP_OK) {
        fprintf(stderr, "sallyport login: there is no room to ask DNS for this machine's name; "
                        "give the proxy's name with --proxy\n");
        return false;
    }
    if (list != NULL && list->ai_canonname != NULL)
        (void)snprintf(out, cap, "%s", list->ai_canonname);
    if (list != NULL)
        freeaddrinfo(list);
    return true;
}

static bool open_client(struct visit *v, const char *host)
{
    size_t len;
    const struct sp_config_block *blocks = sp_config_all(
        sp_proxy_snapshot_config(v->question->snapshot), "listen", &len);
    const struct sp_listen_options *options = blocks[v->listen->index].options;
    struct sp_addr addr = reachable(&v->listen->addr);
    char text[SP_ADDR_TEXT_MAX];

    v->client = sp_client_open(&addr, host, &options->tls_certificate, v->why);
    step(v, "connect", sp_addr_text(&addr, text),
         v->client != NULL ? sp_client_protection(v->client) : v->why);
    return v->client != NULL;
}

/* ---- legs ---- */

static enum sp_err ask(struct visit *v, struct sp_span token)
{
    const struct sp_http_request *request = &v->question->target->request;
    char url[1200];
    struct sp_client_request next = {
        .connect = request->method == SP_HTTP_CONNECT,
        .target = request->target.text,
        .host = sp_span_cstr(v->question->to),
        .token = token,
    };

    if (!next.connect) {
        (void)snprintf(url, sizeof(url), "http://%s/", v->question->to);
        next.target = sp_span_cstr(url);
    }
    sp_client_answer_fini(&v->answer);
    return sp_client_ask(v->client, &next, &v->answer, v->why);
}

static void tell_leg(struct visit *v, unsigned leg, size_t sent)
{
    const struct sp_client_answer *answer = &v->answer;
    char what[24], detail[80] = "no credential", outcome[400], token[60] = "";

    (void)snprintf(what, sizeof(what), "leg %u", leg);
    if (sent > 0)
        (void)snprintf(detail, sizeof(detail), "sent a Negotiate token of %zu bytes", sent);
    if (answer->token.base != NULL)
        (void)snprintf(token, sizeof(token), " with a token of %zu bytes", answer->token.len);
    (void)snprintf(outcome, sizeof(outcome), "%d %s%s%s%s", answer->status, answer->phrase,
                   answer->offered[0] != '\0' ? "; " : "", answer->offered, token);
    step(v, what, detail, outcome);
}

/* The token that follows from the last answer; false: the library says no. */
static bool next_token(struct visit *v, struct sp_span *token_out)
{
    char words[100];

    if (sp_initiator_step(v->initiator, sp_secret_span(&v->answer.token), token_out, v->why) !=
        SP_OK) {
        step(v, "ticket", NULL, v->why);
        return false;
    }
    if (sp_initiator_complete(v->initiator))
        step(v, "verified", NULL, sp_initiator_words(v->initiator, words, sizeof(words)));
    return true;
}

/* False: it came to no answer; `why` says why. */
static bool shake_hands(struct visit *v)
{
    struct sp_span token = SP_SPAN_NONE;

    for (unsigned leg = 0; leg < LEGS_MAX; leg++) {
        if (ask(v, token) != SP_OK) {
            step(v, "request", NULL, v->why);
            return false;
        }
        tell_leg(v, leg, token.len);
        if (leg > 0 && v->answer.token.base == NULL)
            return true; /* the last word */
        if (leg == 0 && (v->answer.status != 407 || strstr(v->answer.offered, "Negotiate") == NULL))
            return true;
        if (!next_token(v, &token))
            return v->answer.status != 407;
        if (v->answer.status != 407)
            return true;
        if (token.len == 0 || !v->answer.keep_alive)
            return true; /* it wants more than there is */
    }
    (void)snprintf(v->why, sizeof(v->why), "no end after %d legs", LEGS_MAX);
    return false;
}

/* ---- the verdict ---- */

static bool details_begin(const char *status, const char *reason)
{
    const char *at = strstr(status, "details=\"");

    return at != NULL && strncmp(at + 9, reason, strlen(reason)) == 0;
}

static const char *verdict_of(const struct visit *v)
{
    const struct sp_client_answer *answer = &v->answer;

    if (answer->proxy_status[0] == '\0')
        return "accepted";
    if (answer->status == 407 && strstr(answer->offered, "Negotiate") == NULL)
        return "not offered";
    if (answer->status == 407 || details_begin(answer->proxy_status, "loop"))
        return "refused";
    if (details_begin(answer->proxy_status, "denied"))
        return "denied";
    if (details_begin(answer->proxy_status, "account"))
        return "account unusable";
    if (answer->status == 400 || answer->status == 429 ||
        details_begin(answer->proxy_status, "directory_unavailable") ||
        details_begin(answer->proxy_status, "overloaded"))
        return "no answer";
    return "accepted"; /* it went on to the target, and what failed is there */
}

static enum sp_exit tell_verdict(struct visit *v, bool answered)
{
    const char *verdict = answered ? verdict_of(v) : "no answer";
    bool well = strcmp(verdict, "accepted") == 0;
    const char *id = strstr(v->answer.proxy_status, "id=\"");
    char text[40] = "";

    if (answered && id != NULL)
        (void)snprintf(text, sizeof(text), "%.*s", (int)strcspn(id + 4, "\""), id + 4);
    sp_app_print_field(v->printer, well ? SP_APP_GOOD : SP_APP_BAD, "verdict", verdict);
    sp_app_print_field(v->printer, SP_APP_PLAIN, "reason", answered ? "" : v->why);
    sp_app_print_field(v->printer, SP_APP_PLAIN, "said", v->answer.proxy_status);
    sp_app_print_field(v->printer, SP_APP_PLAIN, "id", text);
    return sp_app_print_end(v->printer) && well ? SP_EXIT_WELL : SP_EXIT_UNWELL;
}

static bool open_initiator(struct visit *v, const char *host)
{
    struct sp_span bindings = SP_SPAN_NONE;

    if (v->listen->tls != NULL)
        bindings = sp_tls_server_end_point(v->listen->tls, sp_client_certificate(v->client));
    v->initiator = sp_initiator_new(host, bindings, v->why);
    return v->initiator != NULL;
}

static enum sp_exit visit(struct visit *v, const char *host)
{
    bool answered = false;
    enum sp_exit status;

    sp_app_print_heading(v->printer, SP_APP_STRONG, "HTTP@%s by listen %s", host, v->listen->title);
    v->begun_us = now_us();
    if (open_client(v, host) && open_initiator(v, host))
        answered = shake_hands(v);
    status = tell_verdict(v, answered);
    sp_client_answer_fini(&v->answer);
    sp_client_close(&v->client);
    sp_initiator_free(&v->initiator);
    return status;
}

enum sp_exit sp_app_negotiate_run(const struct sp_app_negotiate *question)
{
    struct visit v = {.question = question, .printer = question->printer};
    char host[300];

    if (!find_listener(&v)) {
        fprintf(stderr, "sallyport login: --listen %s: there is no such listen; there are:",
                question->listen);
        say_listens(question->snapshot);
        return SP_EXIT_USAGE;
    }
    if (question->host == NULL && !own_name(host, sizeof(host)))
        return SP_EXIT_UNWELL;
    return visit(&v, question->host != NULL ? question->host : host);
}
