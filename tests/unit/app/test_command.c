/* The command line, and the list of sections with the defaults in their tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "app/command.h"
#include "app/settings.h"
#include "config/config_priv.h"
#include "util/span.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What the last command said on standard output and on standard error. */
static char said[8192];
static char complained[8192];

static void take_words(int from, char *out)
{
    ssize_t len = pread(from, out, sizeof(said) - 1, 0);

    assert_true(len >= 0 && (size_t)len < sizeof(said) - 1);
    out[len] = '\0';
}

static enum sp_exit run_quietly(int argc, char **argv)
{
    int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
    int complaints = memfd_create("complained", MFD_CLOEXEC);
    int words = memfd_create("said", MFD_CLOEXEC);
    enum sp_exit status;

    assert_true(out >= 0 && err >= 0 && complaints >= 0 && words >= 0);
    fflush(NULL);
    dup2(words, STDOUT_FILENO);
    dup2(complaints, STDERR_FILENO);
    status = sp_app_main(argc, argv);
    fflush(NULL);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    take_words(words, said);
    take_words(complaints, complained);
    close(out);
    close(err);
    close(complaints);
    close(words);
    return status;
}

#define RUN(...)                                                                      \
    run_quietly((int)(sizeof((char *[]){"sallyport", __VA_ARGS__}) / sizeof(char *)), \
                (char *[]){"sallyport", __VA_ARGS__, NULL})

static void what_is_not_understood_is_a_usage_fault(void **state)
{
    (void)state;
    assert_int_equal(RUN("frobnicate"), SP_EXIT_USAGE);
    assert_int_equal(RUN("check", "--bogus"), SP_EXIT_USAGE);
    assert_int_equal(RUN("check", "-c"), SP_EXIT_USAGE);
    assert_int_equal(RUN("check", "too", "much"), SP_EXIT_USAGE);
    assert_int_equal(RUN("version", "-c", "x"), SP_EXIT_USAGE);
    assert_int_equal(RUN("help", "frobnicate"), SP_EXIT_USAGE);
    assert_int_equal(RUN("--bogus"), SP_EXIT_USAGE);
}

static void help_works_after_every_command(void **state)
{
    (void)state;
    assert_int_equal(RUN("--help"), SP_EXIT_WELL);
    assert_int_equal(RUN("help"), SP_EXIT_WELL);
    assert_int_equal(RUN("version"), SP_EXIT_WELL);
    for (size_t i = 0; sp_app_commands[i] != NULL; i++) {
        char *name = (char *)(uintptr_t)sp_app_commands[i]->name;

        assert_int_equal(RUN(name, "--help"), SP_EXIT_WELL);
        assert_int_equal(RUN(name, "-c", "x", "--help"), SP_EXIT_WELL);
        assert_int_equal(RUN("help", name), SP_EXIT_WELL);
        assert_non_null(sp_app_commands[i]->run);
    }
}

static void assert_says(const char *expected)
{
    if (strstr(said, expected) == NULL)
        fail_msg("not said: %s\nbut: %s", expected, said);
}

static void help_is_the_same_however_it_is_asked_for(void **state)
{
    char usage[256], asked[sizeof(said)];

    (void)state;
    for (size_t i = 0; sp_app_commands[i] != NULL; i++) {
        const struct sp_app_command *command = sp_app_commands[i];
        char *name = (char *)(uintptr_t)command->name;

        assert_int_equal(RUN("help", name), SP_EXIT_WELL);
        strcpy(asked, said);
        snprintf(usage, sizeof(usage), "usage: sallyport %s%s%s\n", name,
                 command->usage[0] != '\0' ? " " : "", command->usage);
        assert_memory_equal(said, usage, strlen(usage));
        assert_says(command->summary);
        assert_true((strstr(said, SP_APP_CONFIG_DEFAULT) == NULL) == command->no_config);
        assert_int_equal(RUN(name, "--help"), SP_EXIT_WELL);
        assert_string_equal(said, asked);
        assert_int_equal(RUN(name, "-h"), SP_EXIT_WELL);
        assert_string_equal(said, asked);
    }
}

static void the_list_of_commands_names_each_with_its_summary(void **state)
{
    char asked[sizeof(said)];
    char row[256];

    (void)state;
    assert_int_equal(RUN("help"), SP_EXIT_WELL);
    for (size_t i = 0; sp_app_commands[i] != NULL; i++) {
        snprintf(row, sizeof(row), "  %-8s  %s\n", sp_app_commands[i]->name,
                 sp_app_commands[i]->summary);
        assert_says(row);
    }
    strcpy(asked, said);
    assert_int_equal(RUN("--help"), SP_EXIT_WELL);
    assert_string_equal(said, asked);
}

static void ctl_takes_the_words_that_its_help_tells(void **state)
{
    static char *words[] = {"stats", "sessions", "flush", "reload", "drain"};
    char line[32];

    (void)state;
    assert_int_equal(RUN("help", "ctl"), SP_EXIT_WELL);
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        snprintf(line, sizeof(line), "\n  %s ", words[i]);
        assert_says(line);
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) /* understood, but not well */
        assert_int_equal(RUN("ctl", "-c", "/nonexistent/x.conf", words[i]), SP_EXIT_UNWELL);
    assert_int_equal(RUN("ctl", "-c", "/nonexistent/x.conf", "flush", "alice"), SP_EXIT_UNWELL);
    assert_int_equal(RUN("ctl"), SP_EXIT_USAGE);
    assert_int_equal(RUN("ctl", "frobnicate"), SP_EXIT_USAGE);
    assert_int_equal(RUN("ctl", "stats", "more"), SP_EXIT_USAGE);
    assert_int_equal(RUN("ctl", "flush", "alice", "bob"), SP_EXIT_USAGE);
    assert_int_equal(RUN("ctl", "-c", "/nonexistent/x.conf", "sessions", "--json"), SP_EXIT_UNWELL);
    assert_int_equal(RUN("ctl", "stats", "--json"), SP_EXIT_USAGE);
}

static enum sp_exit run_nothing(const struct sp_app_args *args)
{
    (void)args;
    return SP_EXIT_WELL;
}

static void a_flag_takes_a_word_only_where_its_table_says_so(void **state)
{
    static const struct sp_app_flag flags[] = {
        {"--json", false}, {"--backend", true}, {NULL, false}};
    static const struct sp_app_command command = {
        .name = "probe", .usage = "", .flags = flags, .operands_max = 1, .run = run_nothing};
    struct sp_app_args args = {.command = &command};

    (void)state;
    assert_int_equal(sp_app_args_take(&args, 4, (char *[]){"--json", "alice", "--backend", "x"}),
                     SP_EXIT_WELL);
    assert_true(sp_app_args_has(&args, "--json"));
    assert_string_equal(sp_app_args_get(&args, "--backend"), "x");
    assert_null(sp_app_args_get(&args, "--other"));
    assert_int_equal(args.operands_len, 1);
    assert_string_equal(args.operands[0], "alice");

    args = (struct sp_app_args){.command = &command};
    assert_int_equal(sp_app_args_take(&args, 2, (char *[]){"--", "--json"}), SP_EXIT_WELL);
    assert_false(sp_app_args_has(&args, "--json"));
    assert_string_equal(args.operands[0], "--json");
    args = (struct sp_app_args){.command = &command};
    assert_int_equal(sp_app_args_take(&args, 1, (char *[]){"--backend"}), SP_EXIT_USAGE);
}

static void a_value_may_be_joined_to_its_flag(void **state)
{
    static const struct sp_app_flag flags[] = {
        {"--json", false}, {"--backend", true}, {NULL, false}};
    static const struct sp_app_command command = {
        .name = "probe", .usage = "", .flags = flags, .operands_max = 1, .run = run_nothing};
    struct sp_app_args args = {.command = &command};

    (void)state;
    assert_int_equal(sp_app_args_take(&args, 3, (char *[]){"-ca=b.conf", "--backend=x=y", "alice"}),
                     SP_EXIT_WELL);
    assert_string_equal(args.config, "a=b.conf");
    assert_string_equal(sp_app_args_get(&args, "--backend"), "x=y");
    assert_string_equal(args.operands[0], "alice");
    args = (struct sp_app_args){.command = &command};
    assert_int_equal(sp_app_args_take(&args, 1, (char *[]){"--backend="}), SP_EXIT_WELL);
    assert_string_equal(sp_app_args_get(&args, "--backend"), "");
    args = (struct sp_app_args){.command = &command};
    assert_int_equal(sp_app_args_take(&args, 1, (char *[]){"--json=yes"}), SP_EXIT_USAGE);
    args = (struct sp_app_args){.command = &command};
    assert_int_equal(sp_app_args_take(&args, 1, (char *[]){"--backendx"}), SP_EXIT_USAGE);
    args = (struct sp_app_args){.command = &command};
    assert_int_equal(sp_app_args_take(&args, 1, (char *[]){"-json"}), SP_EXIT_USAGE);
    assert_int_equal(RUN("check", "-c/nonexistent/x.conf"), SP_EXIT_UNWELL);
    assert_int_equal(RUN("-c/nonexistent/x.conf"), SP_EXIT_UNWELL); /* run */
}

static void no_usage_line_ends_in_a_blank(void **state)
{
    (void)state;
    for (size_t i = 0; sp_app_commands[i] != NULL; i++) {
        char *name = (char *)(uintptr_t)sp_app_commands[i]->name;

        assert_int_equal(RUN(name, "--bogus"), SP_EXIT_USAGE);
        assert_non_null(strstr(complained, "\nusage: sallyport "));
        assert_null(strstr(complained, " \n"));
    }
}

static void a_configuration_that_is_not_there_is_not_well(void **state)
{
    (void)state;
    assert_int_equal(RUN("check", "-c", "/nonexistent/x.conf"), SP_EXIT_UNWELL);
}

static void every_default_of_every_section_is_valid(void **state)
{
    static struct sp_app_plugins plugins;
    struct sp_config_section sections[SP_APP_SECTIONS_MAX];
    struct sp_config_faults faults;
    struct sp_config *config;

    (void)state;
    sp_app_sections(&plugins, sections);
    sp_config_faults_init(&faults);
    config = sp_config_read_text("/x/t.conf", "", 0, sections, &faults);
    if (config == NULL)
        fail_msg("%.*s", SP_SPAN_ARG(sp_buf_span(&faults.text)));
    for (size_t i = 0; sections[i].options != NULL; i++)
        if (!sections[i].titled)
            assert_non_null(sp_config_one(config, sections[i].name)->options);
    sp_config_unref(&config);
    sp_config_faults_fini(&faults);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_understood_is_a_usage_fault),
        cmocka_unit_test(help_works_after_every_command),
        cmocka_unit_test(help_is_the_same_however_it_is_asked_for),
        cmocka_unit_test(the_list_of_commands_names_each_with_its_summary),
        cmocka_unit_test(ctl_takes_the_words_that_its_help_tells),
        cmocka_unit_test(a_flag_takes_a_word_only_where_its_table_says_so),
        cmocka_unit_test(a_value_may_be_joined_to_its_flag),
        cmocka_unit_test(no_usage_line_ends_in_a_blank),
        cmocka_unit_test(a_configuration_that_is_not_there_is_not_well),
        cmocka_unit_test(every_default_of_every_section_is_valid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
