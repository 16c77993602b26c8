/* The commands of the one binary. Each is one file, cmd_<name>.c, with one row for the table in
 * command.c: adding a command is writing the file and naming it there.
 *
 * Exit statuses: 0 well, 1 the thing asked about is not well, 2 usage. */
#ifndef SP_APP_COMMAND_H
#define SP_APP_COMMAND_H

#include "sallyport/base.h"

#include <stdbool.h>

#define SP_APP_CONFIG_DEFAULT "/etc/sallyport/sallyport.conf"
#define SP_APP_FLAGS_MAX      8

enum sp_exit { SP_EXIT_WELL = 0, SP_EXIT_UNWELL = 1, SP_EXIT_USAGE = 2 };

/* One of a command's own flags. */
struct sp_app_flag {
    const char *name; /* "--backend"; NULL ends the table */
    bool takes_value; /* another word follows it */
};

/* A command line, taken apart. Everything points into argv. */
struct sp_app_args {
    const struct sp_app_command *command;
    const char *config;                   /* -c FILE */
    const char *values[SP_APP_FLAGS_MAX]; /* of the command's own flags; NULL: not given; "" for
                                             one that takes none */
    char **operands;
    unsigned operands_len;
};

struct sp_app_command {
    const char *name;
    const char *summary;             /* one line for `help` */
    const char *usage;               /* what follows the name */
    const char *help;                /* the rest that `help NAME` says; whole lines */
    const struct sp_app_flag *flags; /* its own, at most SP_APP_FLAGS_MAX; or NULL */
    bool no_config;                  /* takes no -c */
    const char *operand;             /* what must follow, in words; where operands_min is not 0 */
    unsigned operands_min;
    unsigned operands_max;
    enum sp_exit (*run)(const struct sp_app_args *args);
};

extern const struct sp_app_command sp_cmd_run;
extern const struct sp_app_command sp_cmd_check;
extern const struct sp_app_command sp_cmd_login;
extern const struct sp_app_command sp_cmd_doctor;
extern const struct sp_app_command sp_cmd_why;
extern const struct sp_app_command sp_cmd_ctl;
extern const struct sp_app_command sp_cmd_version;
extern const struct sp_app_command sp_cmd_help;

/* Ends with NULL; in the order in which `help` shows them. */
extern const struct sp_app_command *const sp_app_commands[];
/* NULL: there is no such command. */
const struct sp_app_command *sp_app_command_find(const char *name);

/* Takes the words behind the command's name apart; args->command is set. Operands are gathered at
 * the front of argv. What is wrong is told on standard error. */
enum sp_exit sp_app_args_take(struct sp_app_args *args, int argc, char **argv) SP_MUST_CHECK;
/* What the flag was given; NULL: nothing. */
const char *sp_app_args_get(const struct sp_app_args *args, const char *flag);
bool sp_app_args_has(const struct sp_app_args *args, const char *flag);
/* The whole of main(): finds the command (`run` when none is named), takes its line apart, runs it.
 * `--help` anywhere shows that command's help instead. */
enum sp_exit sp_app_main(int argc, char **argv);
/* What `help NAME` and `NAME --help` print. */
void sp_app_command_describe(const struct sp_app_command *command);

#endif
