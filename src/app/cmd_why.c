/* `sallyport why`: the last decisions about a request, a user or a client, step by step, as the
 * running proxy remembers them. */
#include "app/ask.h"
#include "app/decision.h"
#include "util/span.h"

#include <stdio.h>

static bool show_decision(void *owner, struct sp_span line)
{
    return sp_app_decision_show(owner, line);
}

static enum sp_exit run(const struct sp_app_args *args)
{
    struct sp_app_printer printer;
    const struct sp_app_question question = {
        .command = "why",
        .config = args->config,
        .socket = sp_app_args_get(args, "--socket"),
        .name = "why",
        .word = args->operands[0],
        .said = show_decision,
        .owner = &printer,
    };
    enum sp_exit status;

    sp_app_printer_init(&printer, stdout, sp_app_args_has(args, "--json"));
    status = sp_app_ask(&question);
    sp_app_printer_fini(&printer);
    return status;
}

static const struct sp_app_flag flags[] = {{"--json", false}, {"--socket", true}, {NULL, false}};

const struct sp_app_command sp_cmd_why = {
    .name = "why",
    .summary = "Tell why somebody did or did not get through, step by step",
    .usage = "[-c FILE] [--socket PATH] [--json] ID|USER|CLIENT",
    .help =
        "  ID       of a request: on the page that the user saw, in Proxy-Status, in the access\n"
        "           log; with the earlier legs of its 407 chain\n"
        "  USER     the last ten decisions about a user, whatever the case and domain\n"
        "  CLIENT   the last ten about a client's address\n"
        "  --json   an object a line\n"
        "  --socket PATH\n"
        "           the control socket; else as admin.socket in the configuration says\n"
        "\nThe proxy remembers the last few thousand, in memory. Status 1: nothing is known.\n",
    .flags = flags,
    .operand = "an ID, USER or CLIENT",
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
