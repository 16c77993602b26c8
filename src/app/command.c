/* From a command line to a command: which one, its flags, its operands, and what to say when that
 * cannot be made out. Nothing here knows what a command does. */
#include "app/command.h"

#include "util/span.h"

#include <stdio.h>
#include <string.h>

const struct sp_app_command *const sp_app_commands[] = {
    &sp_cmd_run, &sp_cmd_check,   &sp_cmd_login, &sp_cmd_doctor, &sp_cmd_why,
    &sp_cmd_ctl, &sp_cmd_version, &sp_cmd_help,  NULL,
};

const struct sp_app_command *sp_app_command_find(const char *name)
{
    for (size_t i = 0; sp_app_commands[i] != NULL; i++)
        if (strcmp(sp_app_commands[i]->name, name) == 0)
            return sp_app_commands[i];
    return NULL;
}

static void print_usage(FILE *to, const struct sp_app_command *command)
{
    fprintf(to, "usage: sallyport %s%s%s\n", command->name, command->usage[0] != '\0' ? " " : "",
            command->usage);
}

void sp_app_command_describe(const struct sp_app_command *command)
{
    print_usage(stdout, command);
    printf("\n%s.\n", command->summary);
    if (!command->no_config)
        printf("\n  -c FILE   the configuration (default: %s)\n", SP_APP_CONFIG_DEFAULT);
    if (command->help != NULL)
        printf("\n%s", command->help);
}

/* Where the command's own flag stands in its table, and what it was given among the values;
 * SP_APP_FLAGS_MAX: no such flag. */
static size_t find_flag(const struct sp_app_command *command, struct sp_span name)
{
    for (size_t i = 0; command->flags != NULL && i < SP_APP_FLAGS_MAX; i++) {
        if (command->flags[i].name == NULL)
            break;
        if (sp_span_eq(sp_span_cstr(command->flags[i].name), name))
            return i;
    }
    return SP_APP_FLAGS_MAX;
}

const char *sp_app_args_get(const struct sp_app_args *args, const char *flag)
{
    size_t at = find_flag(args->command, sp_span_cstr(flag));

    return at < SP_APP_FLAGS_MAX ? args->values[at] : NULL;
}

bool sp_app_args_has(const struct sp_app_args *args, const char *flag)
{
    return sp_app_args_get(args, flag) != NULL;
}

static enum sp_exit usage_fault(const struct sp_app_command *command, const char *what,
                                const char *word)
{
    fprintf(stderr, "sallyport %s: %s%s\n", command->name, what, word);
    print_usage(stderr, command);
    return SP_EXIT_USAGE;
}

/* As people write them: -c FILE, -cFILE, --flag VALUE, --flag=VALUE. *joined_out is NULL where no
 * value is joined to the name. */
static struct sp_span name_of(const char *word, const char **joined_out)
{
    struct sp_span name = sp_span_cstr(word);
    const char *value = NULL;

    if (word[1] == '-')
        value = strchr(word, '=');
    else if (word[2] != '\0')
        value = word + 2;
    if (value != NULL) {
        name.len = (size_t)(value - word);
        value += *value == '=' && word[1] == '-';
    }
    *joined_out = value;
    return name;
}

/* Takes the flag at argv[*at], and its value where it takes one: joined, or the word behind it. */
static enum sp_exit take_flag(struct sp_app_args *args, int argc, char **argv, int *at)
{
    const struct sp_app_command *command = args->command;
    const char *joined;
    struct sp_span name = name_of(argv[*at], &joined);
    bool is_config = sp_span_eq(name, SP_SPAN_LIT("-c")) && !command->no_config;
    size_t own = find_flag(command, name);

    if (!is_config && own == SP_APP_FLAGS_MAX)
        return usage_fault(command, "there is no flag ", argv[*at]);
    if (!is_config && !command->flags[own].takes_value) {
        args->values[own] = "";
        return joined == NULL ? SP_EXIT_WELL
                              : usage_fault(command, "it takes no value: ", argv[*at]);
    }
    if (joined == NULL && *at + 1 == argc)
        return usage_fault(command, "a value must follow ", argv[*at]);
    *(is_config ? &args->config : &args->values[own]) = joined != NULL ? joined : argv[++*at];
    return SP_EXIT_WELL;
}

/* Flags may stand anywhere before "--"; operands are gathered at the front of argv. */
enum sp_exit sp_app_args_take(struct sp_app_args *args, int argc, char **argv)
{
    bool flags_over = false;

    args->operands = argv;
    for (int i = 0; i < argc; i++) {
        enum sp_exit status;

        if (flags_over || argv[i][0] != '-' || argv[i][1] == '\0') {
            args->operands[args->operands_len++] = argv[i];
            continue;
        }
        if (strcmp(argv[i], "--") == 0) {
            flags_over = true;
            continue;
        }
        status = take_flag(args, argc, argv, &i);
        if (status != SP_EXIT_WELL)
            return status;
    }
    if (args->operands_len < args->command->operands_min)
        return usage_fault(args->command, args->command->operand, " must follow");
    if (args->operands_len > args->command->operands_max)
        return usage_fault(args->command,
                           "too much: ", args->operands[args->command->operands_max]);
    return SP_EXIT_WELL;
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

static enum sp_exit run_command(const struct sp_app_command *command, int argc, char **argv)
{
    struct sp_app_args args = {.command = command, .config = SP_APP_CONFIG_DEFAULT};
    enum sp_exit status;

    if (wants_help(argc, argv)) {
        sp_app_command_describe(command);
        return SP_EXIT_WELL;
    }
    status = sp_app_args_take(&args, argc, argv);
    return status == SP_EXIT_WELL ? command->run(&args) : status;
}

enum sp_exit sp_app_main(int argc, char **argv)
{
    const struct sp_app_command *command;

    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
        return run_command(&sp_cmd_help, 0, NULL);
    if (argc > 1 && strcmp(argv[1], "--version") == 0)
        return run_command(&sp_cmd_version, 0, NULL);
    if (argc < 2 || argv[1][0] == '-') /* no command is named: serve */
        return run_command(&sp_cmd_run, argc > 0 ? argc - 1 : 0, argv + (argc > 0));
    command = sp_app_command_find(argv[1]);
    if (command != NULL)
        return run_command(command, argc - 2, argv + 2);
    fprintf(stderr, "sallyport: there is no command \"%.60s\"; \"sallyport help\" lists them\n",
            argv[1]);
    return SP_EXIT_USAGE;
}
