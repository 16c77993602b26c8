/* The plan: what a configuration may say about authentication, and what it may not. */
#include "auth/auth_priv.h"
#include "support/auth_rig.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LISTEN "listen \"127.0.0.1:3128\" { offer = {\"basic\"} }\n"
#define DIR    "backend \"dir\" { plugin = \"fake\" }\n"
#define KRB    "backend \"krb\" { plugin = \"faketoken\" }\n"

/* The configuration is refused, and the fault stands at that line and says these words. */
static void assert_fault(const char *config, const char *line, const char *words)
{
    struct rig rig;
    char *faults = NULL;

    fake_worlds_reset();
    rig_open(&rig, config, &faults);
    if (faults == NULL)
        fail_msg("no fault in: %s", config);
    if (strstr(faults, line) == NULL || strstr(faults, words) == NULL)
        fail_msg("not \"%s ... %s\" but: %s", line, words, faults);
    free(faults);
    rig_close(&rig);
}

static void each_fault_names_its_line(void **state)
{
    (void)state;
    assert_fault(LISTEN "auth { basic = {\"nobody\"} }\n" DIR,
                 ":2:", "there is no backend \"nobody\"");
    assert_fault(LISTEN "auth { basic = {\"krb\"} }\n" KRB, ":2:", "cannot verify passwords");
    assert_fault(LISTEN "auth { basic = {\"dir\"}\nnegotiate = {\"dir\"} }\n" DIR,
                 ":3:", "cannot verify Negotiate tokens");
    assert_fault(LISTEN "auth { basic = {\"dir\", \"dir\"} }\n" DIR, ":2:", "named twice");
    assert_fault(LISTEN "auth { basic = {\"dir\"} }\n" DIR DIR, ":4:", "");
    assert_fault(LISTEN "auth { basic = {\"dir\"} }\nbackend \"dir\" { plugin = \"fake\"\n"
                        "broken = true }\n",
                 ":4:", "broken on purpose");
    assert_fault(LISTEN "auth { basic = {\"dir\"} negotiate = {\"krb\"} }\n" DIR
                        "backend \"krb\" { plugin = \"faketoken\"\ngroups_from = \"x\" }\n",
                 ":5:", "there is no backend \"x\"");
    assert_fault(LISTEN "auth { basic = {\"dir\"} negotiate = {\"krb\"} }\n" DIR
                        "backend \"krb\" { plugin = \"faketoken\"\ngroups_from = \"krb\" }\n",
                 ":5:", "cannot look up groups");
}

static void a_listener_with_nothing_to_offer_is_a_fault(void **state)
{
    (void)state;
    assert_fault("listen \"127.0.0.1:3128\" {}\nauth { basic = {\"dir\"} }\n" DIR,
                 ":1:", "Basic is offered in clear only where it is named");
    assert_fault("listen \"127.0.0.1:3128\" {}\n", ":1:", "auth names no backend");
    assert_fault("listen \"127.0.0.1:3128\" { offer = {\"basic\", \"digest\"} }\n"
                 "auth { basic = {\"dir\"} }\n" DIR,
                 ":1:", "\"digest\" is not a scheme");
    assert_fault("listen \"127.0.0.1:3128\" { offer = {\"negotiate\"} }\n"
                 "auth { basic = {\"dir\"} }\n" DIR,
                 ":1:", "auth names no backend for it");
}

static void all_faults_are_told_at_once(void **state)
{
    struct rig rig;
    char *faults = NULL;

    (void)state;
    fake_worlds_reset();
    rig_open(&rig, LISTEN "auth { basic = {\"a\", \"b\"} }\n" DIR, &faults);
    assert_non_null(faults);
    assert_non_null(strstr(faults, "\"a\""));
    assert_non_null(strstr(faults, "\"b\""));
    free(faults);
    rig_close(&rig);
}

static void the_default_offers_basic_over_tls_only(void **state)
{
    struct rig rig;

    (void)state;
    fake_worlds_reset();
    rig_open(&rig,
             "listen \"127.0.0.1:1\" {}\n"
             "listen \"127.0.0.1:2\" { tls_certificate = \"/dev/null\" tls_key = \"/dev/null\" }\n"
             "listen \"127.0.0.1:3\" { offer = {\"Basic\", \"negotiate\"} }\n"
             "auth { basic = {\"dir\"} negotiate = {\"krb\"} }\n" DIR KRB,
             NULL);
    assert_int_equal(rig.plan->offers[0].challenges_len, 1);
    assert_string_equal(rig.plan->offers[0].challenges[0].base, "Negotiate");
    assert_int_equal(rig.plan->offers[1].challenges_len, 2);
    assert_int_equal(rig.plan->offers[2].challenges_len, 2);
    assert_string_equal(rig.plan->offers[2].challenges[0].base, "Negotiate");
    rig_close(&rig);
}

static void only_backends_that_serve_are_opened(void **state)
{
    struct rig rig;

    (void)state;
    fake_worlds_reset();
    rig_open(&rig,
             LISTEN "auth { basic = {\"dir\"} }\n" DIR "backend \"spare\" { plugin = \"fake\" }\n",
             NULL);
    assert_int_equal(fake_world("dir")->open, 2);
    assert_int_equal(fake_world("spare")->open, 0);
    rig_close(&rig);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void a_watched_file_that_changes_is_read_again(void **state)
{
    char path[] = "/tmp/auth-watch-XXXXXX";
    int fd = mkstemp(path);
    char config[512];
    struct rig rig;

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    fake_worlds_reset();
    (void)snprintf(config, sizeof(config),
                   LISTEN "auth { basic = {\"dir\"} }\n"
                          "backend \"dir\" { plugin = \"fake\" path = \"%s\" }\n",
                   path);
    rig_open(&rig, config, NULL);
    sp_auth_plan_poll(rig.plan);
    assert_int_equal(fake_world("dir")->refreshed, 0);
    write_file(path, "new");
    sp_auth_plan_poll(rig.plan);
    sp_auth_plan_poll(rig.plan);
    assert_int_equal(fake_world("dir")->refreshed, 1);
    unlink(path);
    sp_auth_plan_poll(rig.plan); /* gone says nothing */
    assert_int_equal(fake_world("dir")->refreshed, 1);
    write_file(path, "newer");
    sp_auth_plan_poll(rig.plan);
    assert_int_equal(fake_world("dir")->refreshed, 2);
    assert_int_equal(chmod(path, 0400), 0); /* as one mends what could not be read */
    sp_auth_plan_poll(rig.plan);
    sp_auth_plan_poll(rig.plan);
    assert_int_equal(fake_world("dir")->refreshed, 3);
    unlink(path);
    rig_close(&rig);
}

static void what_became_of_a_watched_file_is_known(void **state)
{
    char path[] = "/tmp/auth-watch-XXXXXX";
    int fd = mkstemp(path);
    struct sp_auth_file file;
    char config[512];
    struct rig rig;

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    fake_worlds_reset();
    (void)snprintf(config, sizeof(config),
                   LISTEN "auth { basic = {\"dir\"} }\n"
                          "backend \"dir\" { plugin = \"fake\" path = \"%s\" }\n",
                   path);
    rig_open(&rig, config, NULL);
    sp_auth_plan_poll(rig.plan);
    assert_true(sp_auth_plan_file(rig.plan, 0, &file));
    assert_false(file.refused || file.missing != 0);
    assert_string_equal(file.backend, "dir");
    assert_string_equal(file.option, "path");
    assert_string_equal(file.path, path);
    assert_false(sp_auth_plan_file(rig.plan, 1, &file));
    fake_world("dir")->refresh_refused = "line 1 is no line";
    write_file(path, "bad");
    sp_auth_plan_poll(rig.plan);
    sp_auth_plan_poll(rig.plan);
    assert_true(sp_auth_plan_file(rig.plan, 0, &file));
    assert_true(file.refused);
    assert_string_equal(file.why, "line 1 is no line");
    unlink(path);
    sp_auth_plan_poll(rig.plan);
    assert_true(sp_auth_plan_file(rig.plan, 0, &file));
    assert_true(file.refused && file.missing == ENOENT);
    fake_world("dir")->refresh_refused = NULL;
    write_file(path, "good");
    sp_auth_plan_poll(rig.plan);
    assert_true(sp_auth_plan_file(rig.plan, 0, &file));
    assert_false(file.refused || file.missing != 0);
    unlink(path);
    rig_close(&rig);
}

/* It may have been refused for want of memory or descriptors, which nobody mends by touching it. */
static void a_refused_file_is_read_again_after_a_while(void **state)
{
    char path[] = "/tmp/auth-watch-XXXXXX";
    int fd = mkstemp(path);
    struct sp_auth_file file;
    char config[512];
    struct rig rig;

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    (void)snprintf(config, sizeof(config),
                   LISTEN "auth { basic = {\"dir\"} }\n"
                          "backend \"dir\" { plugin = \"fake\" path = \"%s\" }\n",
                   path);
    fake_worlds_reset();
    rig_open(&rig, config, NULL);
    fake_world("dir")->refresh_refused = "no descriptors are left";
    write_file(path, "good");
    for (int i = 0; i < 60; i++)
        sp_auth_plan_poll(rig.plan);
    assert_int_equal(fake_world("dir")->refreshed, 1);
    fake_world("dir")->refresh_refused = NULL;
    sp_auth_plan_poll(rig.plan);
    assert_int_equal(fake_world("dir")->refreshed, 2);
    assert_true(sp_auth_plan_file(rig.plan, 0, &file));
    assert_false(file.refused);
    for (int i = 0; i < 200; i++)
        sp_auth_plan_poll(rig.plan);
    assert_int_equal(fake_world("dir")->refreshed, 2);
    unlink(path);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_fault_names_its_line),
        cmocka_unit_test(a_listener_with_nothing_to_offer_is_a_fault),
        cmocka_unit_test(all_faults_are_told_at_once),
        cmocka_unit_test(the_default_offers_basic_over_tls_only),
        cmocka_unit_test(only_backends_that_serve_are_opened),
        cmocka_unit_test(a_watched_file_that_changes_is_read_again),
        cmocka_unit_test(what_became_of_a_watched_file_is_known),
        cmocka_unit_test(a_refused_file_is_read_again_after_a_while),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
