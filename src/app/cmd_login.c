/* `sallyport login`: asks the backends about one person, with the very code that serves, on a loop
 * of its own, and tells every step, the verdict, and what the rules would say to a request. */
#include "app/command.h"

#include "app/negotiate.h"
#include "app/offline.h"
#include "app/password.h"
#include "app/preview.h"
#include "app/print.h"
#include "auth/probe.h"
#include "net/work.h"
#include "util/span.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WORK_THREADS 4
#define WORK_QUEUE   64
/* Never resolves (RFC 6761 6.4), so that a ticket can be tried without going anywhere. */
#define NOWHERE "sallyport.invalid:443"

static const struct sp_app_flag flags[] = {
    {"--backend", true},    {"--to", true},     {"--from", true},  {"--json", false},
    {"--negotiate", false}, {"--listen", true}, {"--proxy", true}, {NULL, false},
};

struct login {
    const struct sp_app_args *args;
    struct sp_app_printer printer;
    struct sp_proxy_snapshot *snapshot;
    struct sp_loop *loop;
    struct sp_app_target target; /* where `--to` is given */
    struct sp_addr client;
    enum sp_verdict verdict;
    const struct sp_identity *identity;
    struct sp_policy_who who; /* of identity */
    bool failed;              /* something could not be told */
    char words[256];          /* of a fault in the command line */
};

static const char *word_of(enum sp_verdict verdict)
{
    switch (verdict) {
    case SP_VERDICT_ALLOW: return "accepted";
    case SP_VERDICT_DENY: return "refused";
    case SP_VERDICT_UNKNOWN_USER: return "unknown user";
    case SP_VERDICT_ACCOUNT: return "account unusable";
    case SP_VERDICT_MORE:
    case SP_VERDICT_UNAVAILABLE: break;
    }
    return "no answer";
}

static enum sp_app_tone tone_of(enum sp_verdict verdict)
{
    return verdict == SP_VERDICT_ALLOW ? SP_APP_GOOD : SP_APP_BAD;
}

static void end_object(struct login *l)
{
    l->failed = !sp_app_print_end(&l->printer) || l->failed;
}

/* ---- the rules ---- */

static void begin_rules(struct login *l)
{
    const struct sp_http_request *request = &l->target.request;

    sp_app_print_heading(&l->printer, SP_APP_STRONG, "rules for %.*s %s",
                         SP_SPAN_ARG(request->method_text), sp_app_args_get(l->args, "--to"));
    if (l->printer.json)
        sp_app_print_field(&l->printer, SP_APP_PLAIN, "to", sp_app_args_get(l->args, "--to"));
}

static void on_decided(void *owner, const struct sp_addr *addr, const struct sp_policy_decision *d,
                       bool open)
{
    struct login *l = owner;
    bool allowed = d->verdict == SP_POLICY_ALLOW;
    const char *decision = allowed ? "allowed" : "denied";
    char text[SP_ADDR_TEXT_MAX] = "";

    if (d->verdict == SP_POLICY_ASK_USER)
        decision = "depends on who it is";
    if (addr != NULL)
        (void)sp_addr_ip_text(addr, text);
    begin_rules(l);
    sp_app_print_field(&l->printer, SP_APP_PLAIN, "address", text);
    sp_app_print_field(&l->printer, allowed ? SP_APP_GOOD : SP_APP_BAD, "decision", decision);
    sp_app_print_field(&l->printer, SP_APP_PLAIN, "rule", d->rule);
    sp_app_print_field(&l->printer, SP_APP_PLAIN, "why",
                       d->verdict == SP_POLICY_DENY ? d->why : "");
    sp_app_print_field(&l->printer, SP_APP_PLAIN, "when",
                       open ? "before anybody is asked who they are" : "with the person known");
    end_object(l);
}

static void on_unresolved(void *owner, const char *why)
{
    struct login *l = owner;

    begin_rules(l);
    sp_app_print_field(&l->printer, SP_APP_BAD, "decision", "the name does not resolve");
    sp_app_print_field(&l->printer, SP_APP_PLAIN, "why", why);
    end_object(l);
}

static void on_previewed(void *owner)
{
    sp_loop_stop(((struct login *)owner)->loop);
}

static const struct sp_app_preview_events preview_events = {on_decided, on_unresolved,
                                                            on_previewed};

static void preview(struct login *l)
{
    struct sp_app_preview_question question = {
        .policy = sp_proxy_snapshot_policy(l->snapshot),
        .target = &l->target,
        .client = &l->client,
    };

    if (l->identity != NULL) {
        l->who.user = sp_identity_user(l->identity);
        l->who.groups = sp_identity_groups(l->identity, &l->who.groups_len);
        question.who = &l->who;
    }
    if (sp_app_preview_start(l->loop, &question, &preview_events, l) == SP_OK)
        return;
    fprintf(stderr, "sallyport login: out of memory\n");
    l->failed = true;
    sp_loop_stop(l->loop);
}

/* ---- the backends ---- */

static void on_asked(void *owner, const char *backend, struct sp_span user)
{
    struct login *l = owner;

    sp_app_print_heading(&l->printer, SP_APP_STRONG, "%s", backend);
    if (l->printer.json)
        sp_app_print_field(&l->printer, SP_APP_PLAIN, "backend", backend);
    if (user.base != NULL) {
        char name[1024];

        (void)snprintf(name, sizeof(name), "%.*s", SP_SPAN_ARG(user));
        sp_app_print_field(&l->printer, SP_APP_PLAIN, "asked about", name);
    }
}

static void on_step(void *owner, const struct sp_auth_step *step)
{
    sp_app_print_step(&((struct login *)owner)->printer, step);
}

static void on_answered(void *owner, const char *backend, const struct sp_auth_result *result)
{
    struct login *l = owner;

    (void)backend;
    sp_app_print_field(&l->printer, tone_of(result->verdict), "answer", word_of(result->verdict));
    sp_app_print_field(&l->printer, SP_APP_PLAIN, "reason", result->reason);
    sp_app_print_field(&l->printer, SP_APP_PLAIN, "detail", result->detail);
    sp_app_print_field(&l->printer, SP_APP_PLAIN, "server", result->server);
    end_object(l);
}

static void print_identity(struct login *l)
{
    size_t len = 0;
    const struct sp_span *groups = sp_identity_groups(l->identity, &len);
    struct sp_span user = sp_identity_user(l->identity);
    char name[1024];

    (void)snprintf(name, sizeof(name), "%.*s", SP_SPAN_ARG(user));
    sp_app_print_field(&l->printer, SP_APP_PLAIN, "user", name);
    sp_app_print_list(&l->printer, "groups", groups, len);
}

static void on_done(void *owner, const struct sp_auth_probe_end *end)
{
    struct login *l = owner;

    l->verdict = end->verdict;
    sp_app_print_heading(&l->printer, SP_APP_STRONG, "all in all");
    sp_app_print_field(&l->printer, tone_of(end->verdict), "verdict", word_of(end->verdict));
    sp_app_print_field(&l->printer, SP_APP_PLAIN, "by", end->backend);
    sp_app_print_field(&l->printer, SP_APP_PLAIN, "reason", end->reason);
    if (end->identity != NULL) {
        l->identity = sp_identity_ref(end->identity);
        print_identity(l);
    }
    end_object(l);
    if (sp_app_args_has(l->args, "--to"))
        preview(l);
    else
        sp_loop_stop(l->loop);
}

static const struct sp_auth_probe_events probe_events = {on_asked, on_step, on_answered, on_done};

/* ---- the command ---- */

static enum sp_exit fault(enum sp_exit status, const char *what, const char *why)
{
    fprintf(stderr, "sallyport login: %s%s%s\n", what, what[0] != '\0' ? ": " : "", why);
    return status;
}

static enum sp_exit run_loop(struct login *l, struct sp_span password)
{
    const struct sp_auth_probe_question question = {
        .only = sp_app_args_get(l->args, "--backend"),
        .user = sp_span_cstr(l->args->operands[0]),
        .password = password,
    };
    const char *why = NULL;
    enum sp_err err = sp_auth_probe_start(l->loop, sp_proxy_snapshot_plan(l->snapshot), &question,
                                          &probe_events, l, NULL, &why);

    if (err != SP_OK)
        sp_loop_stop(l->loop);
    sp_loop_run(l->loop);
    if (err != SP_OK)
        return fault(err == SP_ERR_NOT_FOUND ? SP_EXIT_USAGE : SP_EXIT_UNWELL,
                     question.only != NULL && err == SP_ERR_NOT_FOUND ? question.only : "", why);
    return l->verdict == SP_VERDICT_ALLOW && !l->failed ? SP_EXIT_WELL : SP_EXIT_UNWELL;
}

static enum sp_exit ask(struct login *l, struct sp_span password)
{
    struct sp_work_pool *pool = sp_work_pool_new(WORK_THREADS, WORK_THREADS, WORK_QUEUE);
    enum sp_exit status = SP_EXIT_UNWELL;

    if (pool != NULL)
        l->loop = sp_loop_new(pool);
    if (l->loop == NULL)
        status = fault(SP_EXIT_UNWELL, "", "no memory, or no threads");
    else
        status = run_loop(l, password);
    if (l->loop != NULL)
        sp_loop_free(&l->loop);
    if (pool != NULL)
        sp_work_pool_free(&pool);
    return status;
}

/* Before a password is typed in vain. */
static bool knows_backend(const struct login *l)
{
    const char *name = sp_app_args_get(l->args, "--backend");
    size_t len;
    const struct sp_config_block *all = sp_config_all(sp_proxy_snapshot_config(l->snapshot),
                                                      "backend", &len);

    for (size_t i = 0; i < len && name != NULL; i++)
        if (strcmp(all[i].title, name) == 0)
            name = NULL;
    if (name == NULL)
        return true;
    fprintf(stderr, "sallyport login: --backend %s: there is no such backend; there are:", name);
    for (size_t i = 0; i < len; i++)
        fprintf(stderr, " %s", all[i].title);
    fprintf(stderr, "%s\n", len == 0 ? " none" : "");
    return false;
}

static enum sp_exit read_and_ask(struct login *l)
{
    struct sp_secret password;
    char prompt[320];
    enum sp_exit status;
    enum sp_err err;

    if (!knows_backend(l))
        return SP_EXIT_USAGE;
    (void)snprintf(prompt, sizeof(prompt), "Password of %.256s: ", l->args->operands[0]);
    errno = 0;
    err = sp_app_password_read(STDIN_FILENO, prompt, &password);
    if (err != SP_OK)
        return fault(SP_EXIT_UNWELL, "no password",
                     err == SP_ERR_TOO_LARGE   ? "it is too long"
                     : err == SP_ERR_NOT_FOUND ? "standard input is empty"
                     : err == SP_ERR_NOMEM     ? "out of memory"
                                               : strerror(errno));
    status = ask(l, sp_secret_span(&password));
    sp_secret_fini(&password);
    return status;
}

static enum sp_exit negotiate(struct login *l)
{
    const char *to = sp_app_args_get(l->args, "--to");
    const struct sp_app_negotiate question = {
        .printer = &l->printer,
        .snapshot = l->snapshot,
        .listen = sp_app_args_get(l->args, "--listen"),
        .host = sp_app_args_get(l->args, "--proxy"),
        .to = to != NULL ? to : NOWHERE,
        .target = &l->target,
    };

    return sp_app_negotiate_run(&question);
}

static enum sp_exit run_offline(struct login *l)
{
    struct sp_app_offline offline;
    enum sp_exit status = SP_EXIT_UNWELL;

    if (sp_app_offline_open(&offline, l->args->config)) {
        l->snapshot = offline.snapshot;
        status = sp_app_args_has(l->args, "--negotiate") ? negotiate(l) : read_and_ask(l);
    } else {
        sp_app_faults_print(&offline.faults);
    }
    sp_identity_unref(&l->identity);
    sp_app_offline_close(&offline);
    return status;
}

/* Which words go with which. */
static const char *check_words(const struct sp_app_args *args)
{
    bool ticket = sp_app_args_has(args, "--negotiate");

    if (ticket && (args->operands_len > 0 || sp_app_args_has(args, "--backend") ||
                   sp_app_args_has(args, "--from")))
        return "--negotiate takes the ticket of whoever calls: no USER, --backend or --from";
    if (!ticket && (sp_app_args_has(args, "--listen") || sp_app_args_has(args, "--proxy")))
        return "--listen and --proxy go with --negotiate";
    if (!ticket && args->operands_len == 1 && args->operands[0][0] == '\0')
        return "the USER is empty";
    return ticket || args->operands_len == 1 ? NULL : "name a USER, or --negotiate";
}

/* Where from and where to, before anything is read or asked. */
static const char *take_words(struct login *l)
{
    const char *from = sp_app_args_get(l->args, "--from");
    const char *to = sp_app_args_get(l->args, "--to");
    const char *why = check_words(l->args);

    if (why != NULL)
        return why;
    if (to == NULL && sp_app_args_has(l->args, "--negotiate"))
        to = NOWHERE;
    if (sp_addr_parse_ip(&l->client, sp_span_cstr(from != NULL ? from : "127.0.0.1")) != SP_OK)
        return "--from takes an address, such as 10.0.0.1";
    if (to == NULL || sp_app_target_parse(&l->target, to, &why))
        return NULL;
    (void)snprintf(l->words, sizeof(l->words), "--to %.200s: %s", to, why);
    return l->words;
}

static enum sp_exit run(const struct sp_app_args *args)
{
    struct login l = {.args = args};
    const char *why = take_words(&l);
    enum sp_exit status;

    if (why != NULL)
        return fault(SP_EXIT_USAGE, "", why);
    sp_app_printer_init(&l.printer, stdout, sp_app_args_has(args, "--json"));
    status = run_offline(&l);
    sp_app_printer_fini(&l.printer);
    sp_app_target_fini(&l.target);
    return status;
}

const struct sp_app_command sp_cmd_login = {
    .name = "login",
    .summary = "Ask the backends about one user, step by step",
    .usage = "[-c FILE] [--backend NAME] [--to HOST:PORT [--from ADDRESS]] [--json] USER | "
             "--negotiate [--listen ADDRESS:PORT] [--proxy HOST] [--to HOST:PORT] [--json]",
    .help =
        "The password is asked for at the terminal, or read from the first line of standard\n"
        "input. The directory is asked afresh: what the running proxy has kept, and whom its\n"
        "guard blocks, plays no part.\n\n"
        "  --backend NAME    ask this one alone, not the chain in auth.basic\n"
        "  --to HOST:PORT    what the rules would say: to CONNECT for port 443, else to GET\n"
        "  --from ADDRESS    the client's address, for rules with clients (127.0.0.1)\n"
        "  --json            one JSON object a line: each backend, the verdict, each address\n"
        "  --negotiate       your own Kerberos ticket, through a listener of the running proxy\n"
        "  --listen TITLE    which listener (the first)\n"
        "  --proxy HOST      the proxy's name, for HTTP@HOST (this machine's full name)\n",
    .flags = flags,
    .operands_max = 1,
    .run = run,
};
