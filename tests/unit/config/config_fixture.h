/* A few sections with every type of option, and short ways to read a text and to look for a fault.
 * Shared by this room's tests. */
#ifndef SP_TESTS_CONFIG_FIXTURE_H
#define SP_TESTS_CONFIG_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "config/config_priv.h"
#include "util/span.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct top_options {
    int64_t workers;
    char *user;
    char *plugin_dir;
    uint64_t pause_ms;
    uint64_t size;
    bool loud;
    int colour;
};
struct listen_options {
    struct sp_strings offer;
    char *certificate;
};
struct limits_options {
    int64_t count;
    struct sp_strings ports;
};
struct ldap_options {
    char *base;
    struct sp_secret_text password;
};
struct file_options {
    char *path;
};

static const char *const colours[] = {"red", "green", "blue", NULL};
static const struct sp_option top_table[] = {
    SP_OPT_INT(struct top_options, workers, "0", 0, 1024, "Threads."),
    SP_OPT_STRING(struct top_options, user, "", "Who to be."),
    SP_OPT_PATH(struct top_options, plugin_dir, "", SP_OPTION_MAY_MISS, "Where plugins are."),
    SP_OPT_MILLIS(struct top_options, pause_ms, "pause", "30s", 1, 86400000, "How long."),
    SP_OPT_SIZE(struct top_options, size, "64k", 0, 0, "How much."),
    SP_OPT_BOOL(struct top_options, loud, "false", "Shout."),
    SP_OPT_CHOICE(struct top_options, colour, "green", colours, "Which."),
    SP_OPT_END};
static const struct sp_option listen_table[] = {
    SP_OPT_LIST(struct listen_options, offer, "", "What is offered."),
    SP_OPT_PATH(struct listen_options, certificate, "", 0, "The certificate."), SP_OPT_END};
static const struct sp_option limits_table[] = {
    SP_OPT_INT(struct limits_options, count, "7", -5, 100, "How many."),
    SP_OPT_LIST(struct limits_options, ports, "80, 443", "Which."), SP_OPT_END};
static const struct sp_option ldap_table[] = {
    {"base", SP_OPTION_STRING, offsetof(struct ldap_options, base), NULL, 0, 0, NULL,
     SP_OPTION_REQUIRED, "Where people are."},
    {"password_file", SP_OPTION_SECRET, offsetof(struct ldap_options, password), NULL, 0, 0, NULL,
     0, "The secret."},
    SP_OPT_END};
static const struct sp_option file_table[] = {
    SP_OPT_STRING(struct file_options, path, "users", "The file."), SP_OPT_END};

static unsigned resolved;
static char resolved_dir[256];

static inline const struct sp_option *resolve_plugin(void *owner, const char *plugin,
                                                     const char *plugin_dir,
                                                     size_t *options_size_out, char *why)
{
    (void)owner;
    resolved++;
    snprintf(resolved_dir, sizeof(resolved_dir), "%s", plugin_dir);
    if (strcmp(plugin, "ldap") == 0) {
        *options_size_out = sizeof(struct ldap_options);
        return ldap_table;
    }
    if (strcmp(plugin, "file") == 0) {
        *options_size_out = sizeof(struct file_options);
        return file_table;
    }
    snprintf(why, 256, "there is no such plugin in %s", plugin_dir);
    return NULL;
}

static const struct sp_config_section test_sections[] = {
    {.name = NULL,
     .options = top_table,
     .options_size = sizeof(struct top_options),
     .help = "The process."},
    {.name = "listen",
     .titled = true,
     .options = listen_table,
     .options_size = sizeof(struct listen_options),
     .help = "A door."},
    {.name = "limits",
     .options = limits_table,
     .options_size = sizeof(struct limits_options),
     .help = "Bounds."},
    {.name = "backend", .titled = true, .resolve = resolve_plugin, .help = "Who is asked."},
    {.name = NULL}};

/* What a test holds; text of the last faults stays until the next read. */
struct fixture {
    struct sp_config *config;
    struct sp_config_faults faults;
};

static inline int setup(void **state)
{
    static struct fixture fixture;

    fixture.config = NULL;
    resolved = 0;
    sp_config_faults_init(&fixture.faults);
    *state = &fixture;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;

    sp_config_unref(&f->config);
    sp_config_faults_fini(&f->faults);
    return 0;
}

static inline struct sp_config *read_text(struct fixture *f, const char *text)
{
    sp_config_unref(&f->config);
    sp_config_faults_fini(&f->faults);
    sp_config_faults_init(&f->faults);
    f->config = sp_config_read_text("/etc/test/t.conf", text, strlen(text), test_sections,
                                    &f->faults);
    return f->config;
}

/* The faults as one string, for the test's life. */
static inline const char *fault_text(struct fixture *f)
{
    static char text[64 * 1024];
    struct sp_span all = sp_buf_span(&f->faults.text);

    snprintf(text, sizeof(text), "%.*s", SP_SPAN_ARG(all));
    return text;
}

static inline void assert_fault(struct fixture *f, const char *expected)
{
    if (strstr(fault_text(f), expected) == NULL)
        fail_msg("no fault \"%s\" among:\n%s", expected, fault_text(f));
}

/* The text is refused, and this is one of the reasons. */
static inline void assert_refused(struct fixture *f, const char *text, const char *expected)
{
    if (read_text(f, text) != NULL)
        fail_msg("accepted: %s", text);
    assert_true(f->faults.count > 0);
    assert_fault(f, expected);
}

static inline void assert_accepted(struct fixture *f, const char *text)
{
    if (read_text(f, text) == NULL)
        fail_msg("refused: %s\n%s", text, fault_text(f));
    assert_int_equal(f->faults.count, 0);
}

static inline const struct top_options *top(struct fixture *f)
{
    return sp_config_one(f->config, NULL)->options;
}

static inline const struct limits_options *limits(struct fixture *f)
{
    return sp_config_one(f->config, "limits")->options;
}

#endif
