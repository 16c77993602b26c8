/* `sallyport help [COMMAND]`: the list of commands, or one of them in full. */
#include "app/command.h"

#include <stdio.h>

static void list(void)
{
    printf("usage: sallyport COMMAND [-c FILE] ...\n\n"
           "An authenticating HTTP forward proxy. Without a command it serves (run).\n\n");
    for (size_t i = 0; sp_app_commands[i] != NULL; i++)
        printf("  %-8s  %s\n", sp_app_commands[i]->name, sp_app_commands[i]->summary);
    printf("\nsallyport help COMMAND tells more; so do sallyport(8) and sallyport.conf(5).\n"
           "Exit status: 0 well, 1 what was asked about is not well, 2 usage.\n");
}

static enum sp_exit run(const struct sp_app_args *args)
{
    const struct sp_app_command *command;

    if (args->operands_len == 0) {
        list();
        return SP_EXIT_WELL;
    }
    command = sp_app_command_find(args->operands[0]);
    if (command == NULL) {
        fprintf(stderr, "sallyport help: there is no command \"%.60s\"\n", args->operands[0]);
        return SP_EXIT_USAGE;
    }
    sp_app_command_describe(command);
    return SP_EXIT_WELL;
}

const struct sp_app_command sp_cmd_help = {
    .name = "help",
    .summary = "List the commands, or tell more of one",
    .usage = "[COMMAND]",
    .no_config = true,
    .operands_max = 1,
    .run = run,
};
