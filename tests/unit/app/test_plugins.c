/* The contract a plugin is held against before anything in it is called, and what is said when a
 * file is no plugin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "app/plugins.h"
#include "util/span.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static enum sp_err configure(const void *options, const struct sp_auth_host *host,
                             struct sp_auth_config **config_out, struct sp_auth_fault *fault)
{
    (void)options;
    (void)host;
    (void)config_out;
    (void)fault;
    return SP_OK;
}

static void release(struct sp_auth_config **config)
{
    (void)config;
}

static void traits(const struct sp_auth_config *config, struct sp_auth_traits *out)
{
    (void)config;
    (void)out;
}

static enum sp_err name_of(const struct sp_auth_config *config, struct sp_span typed, char *out,
                           size_t cap, size_t *len_out)
{
    (void)config;
    (void)typed;
    (void)out;
    (void)cap;
    *len_out = 0;
    return SP_OK;
}

static enum sp_err open_backend(struct sp_auth_config *config, const struct sp_auth_host *host,
                                struct sp_auth_backend **backend_out)
{
    (void)config;
    (void)host;
    (void)backend_out;
    return SP_OK;
}

static void close_backend(struct sp_auth_backend **backend, sp_auth_closed_cb closed, void *owner)
{
    (void)backend;
    (void)closed;
    (void)owner;
}

static enum sp_err start(struct sp_auth_backend *backend, const struct sp_auth_input *input,
                         sp_auth_done_cb done, void *owner, struct sp_auth_op **op_out)
{
    (void)backend;
    (void)input;
    (void)done;
    (void)owner;
    (void)op_out;
    return SP_OK;
}

static void drop(struct sp_auth_op **op)
{
    (void)op;
}

static const struct sp_option no_options[] = {SP_OPT_END};

static struct sp_auth_backend_ops good(void)
{
    return (struct sp_auth_backend_ops){.abi_version = SP_AUTH_ABI_VERSION,
                                        .ops_size = sizeof(struct sp_auth_backend_ops),
                                        .name = "good",
                                        .summary = "For this test",
                                        .abilities = SP_AUTH_PASSWORD,
                                        .options = no_options,
                                        .configure = configure,
                                        .release = release,
                                        .traits = traits,
                                        .name_of = name_of,
                                        .open = open_backend,
                                        .close = close_backend,
                                        .start = start,
                                        .cancel = drop,
                                        .free = drop};
}

static void a_whole_table_is_taken(void **state)
{
    struct sp_auth_backend_ops ops = good();

    (void)state;
    assert_null(sp_app_plugins_check(&ops, "good"));
}

static void another_version_or_size_of_the_contract_is_refused(void **state)
{
    struct sp_auth_backend_ops ops = good();

    (void)state;
    ops.abi_version = SP_AUTH_ABI_VERSION + 1;
    assert_non_null(strstr(sp_app_plugins_check(&ops, "good"), "another version"));
    ops = good();
    ops.ops_size -= 8;
    assert_non_null(strstr(sp_app_plugins_check(&ops, "good"), "another size"));
}

static void another_name_than_the_files_is_refused(void **state)
{
    struct sp_auth_backend_ops ops = good();

    (void)state;
    assert_non_null(strstr(sp_app_plugins_check(&ops, "other"), "another name"));
    ops.name = NULL;
    assert_non_null(sp_app_plugins_check(&ops, "good"));
}

static void a_table_that_lacks_what_its_abilities_need_is_refused(void **state)
{
    struct sp_auth_backend_ops ops = good();

    (void)state;
    ops.start = NULL;
    assert_non_null(sp_app_plugins_check(&ops, "good"));
    ops = good();
    ops.name_of = NULL;
    assert_non_null(strstr(sp_app_plugins_check(&ops, "good"), "name_of"));
    ops = good();
    ops.abilities = SP_AUTH_TOKEN;
    assert_non_null(strstr(sp_app_plugins_check(&ops, "good"), "step"));
    ops = good();
    ops.abilities = 0;
    assert_non_null(sp_app_plugins_check(&ops, "good"));
    ops = good();
    ops.options = NULL;
    assert_non_null(sp_app_plugins_check(&ops, "good"));
}

static void a_name_that_leaves_the_folder_is_refused(void **state)
{
    static const char *const names[] = {"../x", "a/b", "", "A", "a.so", "a b"};
    struct sp_app_plugins plugins = {0};
    char why[256];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_null(sp_app_plugins_load(&plugins, names[i], "/tmp", why));
        assert_non_null(strstr(why, "a-z, 0-9"));
    }
}

static void a_missing_file_and_one_that_is_no_plugin_are_told_apart(void **state)
{
    struct sp_app_plugins plugins = {0};
    char folder[] = "/tmp/sp-plugins-XXXXXX";
    char path[128];
    char why[256];
    FILE *file;

    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_null(sp_app_plugins_load(&plugins, "none", folder, why));
    assert_non_null(strstr(why, "there is no"));
    assert_non_null(strstr(why, "none.so"));
    snprintf(path, sizeof(path), "%s/text.so", folder);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs("not an object", file);
    assert_int_equal(fclose(file), 0);
    assert_null(sp_app_plugins_load(&plugins, "text", folder, why));
    assert_non_null(strstr(why, "text.so"));
    assert_int_equal(plugins.len, 0);
    (void)unlink(path);
    (void)rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_table_is_taken),
        cmocka_unit_test(another_version_or_size_of_the_contract_is_refused),
        cmocka_unit_test(another_name_than_the_files_is_refused),
        cmocka_unit_test(a_table_that_lacks_what_its_abilities_need_is_refused),
        cmocka_unit_test(a_name_that_leaves_the_folder_is_refused),
        cmocka_unit_test(a_missing_file_and_one_that_is_no_plugin_are_told_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
