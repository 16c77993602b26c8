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

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Commands talk to people; tests look at the status alone. */
static enum sp_exit run_quietly(int argc, char **argv)
{
    int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    enum sp_exit status;

    fflush(NULL);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    status = sp_app_main(argc, argv);
    fflush(NULL);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    close(out);
    close(err);
    close(null);
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
        cmocka_unit_test(a_configuration_that_is_not_there_is_not_well),
        cmocka_unit_test(every_default_of_every_section_is_valid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
