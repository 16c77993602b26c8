/* `sallyport ctl`: one question to the running proxy, and its answer; or, with trace, its answers
 * as they come. */
#include "app/ask.h"
#include "app/decision.h"
#include "app/sessions.h"
#include "util/span.h"

#include <stdio.h>
#include <string.h>

static bool print_line(void *owner, struct sp_span line)
{
    (void)owner;
    return fwrite(line.base, 1, line.len, stdout) == line.len && fputc('\n', stdout) != EOF;
}

static bool show_session(void *owner, struct sp_span line)
{
    return sp_app_sessions_show(owner, line);
}

static bool show_decision(void *owner, struct sp_span line)
{
    return sp_app_decision_show(owner, line);
}

static const struct asked {
    const char *name;
    unsigned operands_min, operands_max;
    bool json;    /* its lines are objects, and --json shows them as they are */
    bool endless; /* they come until interrupted */
    bool (*said)(void *owner, struct sp_span line);
} asked[] = {
    {"stats", 1, 1, false, false, print_line},  {"sessions", 1, 1, true, false, show_session},
    {"flush", 1, 2, false, false, print_line},  {"trace", 2, 2, true, true, show_decision},
    {"reload", 1, 1, false, false, print_line}, {"drain", 1, 1, false, false, print_line},
};

static const struct asked *find(const char *name)
{
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++)
        if (strcmp(name, asked[i].name) == 0)
            return &asked[i];
    return NULL;
}

/* What is wrong with these words; NULL: nothing. */
static const char *check_words(const struct asked *command, const struct sp_app_args *args)
{
    if (command == NULL)
        return "there is no such command";
    if (args->operands_len < command->operands_min)
        return "whom it is about (a USER, or a CLIENT's address) must follow";
    if (args->operands_len > command->operands_max)
        return "nothing more may follow";
    return command->json || !sp_app_args_has(args, "--json") ? NULL : "it has no --json";
}

static enum sp_exit run(const struct sp_app_args *args)
{
    const struct asked *command = find(args->operands[0]);
    const char *why = check_words(command, args);
    struct sp_app_question question = {.command = "ctl", .config = args->config};
    struct sp_app_printer printer;
    enum sp_exit status;

    if (why != NULL) {
        fprintf(stderr, "sallyport ctl %.40s: %s\nusage: sallyport ctl %s\n", args->operands[0],
                why, args->command->usage);
        return SP_EXIT_USAGE;
    }
    sp_app_printer_init(&printer, stdout, sp_app_args_has(args, "--json"));
    question.name = command->name;
    question.word = args->operands_len > 1 ? args->operands[1] : NULL;
    question.endless = command->endless;
    question.socket = sp_app_args_get(args, "--socket");
    question.said = command->said;
    question.owner = &printer;
    status = sp_app_ask(&question);
    sp_app_printer_fini(&printer);
    return fflush(stdout) == 0 ? status : SP_EXIT_UNWELL;
}

static const struct sp_app_flag flags[] = {{"--json", false}, {"--socket", true}, {NULL, false}};

const struct sp_app_command sp_cmd_ctl = {
    .name = "ctl",
    .summary = "Ask or tell the running proxy",
    .usage = "[-c FILE] [--socket PATH] stats | sessions [--json] | flush [USER] | trace [--json] "
             "USER|CLIENT | reload | drain",
    .help =
        "  stats          every counter\n"
        "  sessions       who is connected, how and for what, now; --json: an object a line\n"
        "  flush [USER]   forget a user's verdicts and groups and lift a block; without USER,\n"
        "                 everybody's\n"
        "  trace WHO      what is decided about a user, or a client's address, as it happens,\n"
        "                 leg by leg, until interrupted (then status 0); --json: an object a line\n"
        "  reload         read the configuration anew; when something is wrong, nothing changes\n"
        "  drain          accept nothing new, let requests and tunnels finish, end\n"
        "\nThe control socket (admin.socket) answers root and the user that sallyport runs as. Of\n"
        "the configuration nothing else is looked at: --socket PATH names the socket without it.\n",
    .flags = flags,
    .operand = "stats, sessions, flush, trace, reload or drain",
    .operands_min = 1,
    .operands_max = 2,
    .run = run,
};
