/* Values: numbers with units, bounds, choices, lists, files and secrets. */
#include "config_fixture.h"

#include <sys/stat.h>
#include <unistd.h>

static void durations_have_units_and_do_not_overflow(void **state)
{
    uint64_t ms;

    (void)state;
    assert_int_equal(sp_config_parse_millis("500ms", &ms), SP_OK);
    assert_int_equal(ms, 500);
    assert_int_equal(sp_config_parse_millis("30s", &ms), SP_OK);
    assert_int_equal(ms, 30000);
    assert_int_equal(sp_config_parse_millis("1d", &ms), SP_OK);
    assert_int_equal(ms, 86400000);
    assert_int_equal(sp_config_parse_millis("0", &ms), SP_OK);
    assert_int_equal(ms, 0);
    assert_int_equal(sp_config_parse_millis("5", &ms), SP_ERR_INVALID);
    assert_int_equal(sp_config_parse_millis("", &ms), SP_ERR_INVALID);
    assert_int_equal(sp_config_parse_millis("-1s", &ms), SP_ERR_INVALID);
    assert_int_equal(sp_config_parse_millis("1.5s", &ms), SP_ERR_INVALID);
    assert_int_equal(sp_config_parse_millis("5 m", &ms), SP_ERR_INVALID);
    assert_int_equal(sp_config_parse_millis("5M", &ms), SP_ERR_INVALID);
    assert_int_equal(sp_config_parse_millis("18446744073709551615d", &ms), SP_ERR_TOO_LARGE);
    assert_int_equal(sp_config_parse_millis("99999999999999999999999s", &ms), SP_ERR_TOO_LARGE);
}

static void sizes_have_units_and_do_not_overflow(void **state)
{
    uint64_t size;

    (void)state;
    assert_int_equal(sp_config_parse_size("512", &size), SP_OK);
    assert_int_equal(size, 512);
    assert_int_equal(sp_config_parse_size("64k", &size), SP_OK);
    assert_int_equal(size, 65536);
    assert_int_equal(sp_config_parse_size("2g", &size), SP_OK);
    assert_int_equal(size, 2ull << 30);
    assert_int_equal(sp_config_parse_size("2gb", &size), SP_ERR_INVALID);
    assert_int_equal(sp_config_parse_size("k", &size), SP_ERR_INVALID);
    assert_int_equal(sp_config_parse_size("18446744073709551615k", &size), SP_ERR_TOO_LARGE);
}

static void whole_numbers_are_signed_and_do_not_overflow(void **state)
{
    int64_t n;

    (void)state;
    assert_int_equal(sp_config_parse_int("-7", &n), SP_OK);
    assert_int_equal(n, -7);
    assert_int_equal(sp_config_parse_int("9223372036854775807", &n), SP_OK);
    assert_true(n == INT64_MAX);
    assert_int_equal(sp_config_parse_int("9223372036854775808", &n), SP_ERR_TOO_LARGE);
    assert_int_equal(sp_config_parse_int("0x10", &n), SP_ERR_INVALID);
    assert_int_equal(sp_config_parse_int("--1", &n), SP_ERR_INVALID);
    assert_int_equal(sp_config_parse_int("-", &n), SP_ERR_INVALID);
}

static void a_bad_value_names_what_may_stand_there(void **state)
{
    struct fixture *f = *state;

    assert_refused(f, "workers = 1025", "`workers`: 1025 is out of bounds: 0 to 1024");
    assert_refused(f, "workers = 99999999999999999999", "out of bounds: 0 to 1024");
    assert_refused(f, "workers = many", "`workers`: \"many\" is not a whole number");
    assert_refused(f, "pause = 2d", "`pause`: 2d is out of bounds: 1ms to 1d");
    assert_refused(f, "pause = 30", "is not a duration such as 500ms, 30s");
    assert_refused(f, "size = 3x", "is not a size such as 512, 64k");
    assert_refused(f, "size = 99999999999999999999g", "is too large");
    assert_refused(f, "loud = yes", "`loud`: \"yes\" is neither true nor false");
    assert_refused(f, "loud = \"\"", "neither true nor false");
    assert_refused(f, "colour = pink", "\"pink\" is not one of \"red\", \"green\" or \"blue\"");
    assert_refused(f, "workers = {1, 2}", "takes one value (a number), not a list of 2");
    assert_refused(f, "workers = {}", "not a list of 0");
    assert_refused(f, "workers += 2", "takes one value, so it is set with \"=\"");
}

static void numbers_are_told_as_people_write_them(void **state)
{
    char text[32];

    (void)state;
    assert_string_equal(sp_config_value_text(SP_OPTION_MILLIS, 90000, text), "90s");
    assert_string_equal(sp_config_value_text(SP_OPTION_MILLIS, 3600000, text), "1h");
    assert_string_equal(sp_config_value_text(SP_OPTION_MILLIS, 0, text), "0");
    assert_string_equal(sp_config_value_text(SP_OPTION_SIZE, 131072, text), "128k");
    assert_string_equal(sp_config_value_text(SP_OPTION_SIZE, 513, text), "513");
    assert_string_equal(sp_config_value_text(SP_OPTION_INT, -5, text), "-5");
}

/* ---- files ---- */

static char folder[] = "/tmp/sp-config-XXXXXX";

static void write_file(const char *name, const char *text, size_t len, mode_t mode)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    (void)unlink(path);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void write_text(const char *name, const char *text)
{
    write_file(name, text, strlen(text), 0640);
}

static struct sp_config *read_main(struct fixture *f)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/main.conf", folder);
    sp_config_unref(&f->config);
    sp_config_faults_fini(&f->faults);
    sp_config_faults_init(&f->faults);
    f->config = sp_config_read(path, test_sections, &f->faults);
    return f->config;
}

static void included_files_are_read_in_place_and_beside_their_includer(void **state)
{
    struct fixture *f = *state;
    const struct sp_config_block *blocks;
    char expected[256];
    size_t n;

    write_text("main.conf", "listen \"a\" {}\ninclude(\"sub/one.conf\")\nlisten \"z\" {}\n"
                            "workers = 3\n");
    write_text("sub/one.conf", "listen \"b\" { certificate = \"x.pem\" }\ninclude(\"two.conf\")\n"
                               "listen \"d\" {}");
    write_text("sub/two.conf", "listen \"c\" {}");
    write_text("sub/x.pem", "pem");
    if (read_main(f) == NULL)
        fail_msg("%s", fault_text(f));
    blocks = sp_config_all(f->config, "listen", &n);
    assert_int_equal(n, 5);
    assert_string_equal(blocks[1].title, "b");
    assert_string_equal(blocks[2].title, "c");
    assert_string_equal(blocks[3].title, "d");
    assert_string_equal(blocks[4].title, "z");
    assert_int_equal(blocks[4].line, 3);
    assert_int_equal(top(f)->workers, 3); /* what follows an include is read too */
    snprintf(expected, sizeof(expected), "%s/sub/x.pem", folder);
    assert_string_equal(((const struct listen_options *)blocks[1].options)->certificate, expected);
    snprintf(expected, sizeof(expected), "%s/sub/two.conf", folder);
    assert_string_equal(blocks[2].file, expected);
}

static void faults_in_included_files_name_those_files(void **state)
{
    struct fixture *f = *state;

    write_text("main.conf", "include(\"sub/one.conf\")\ninclude(\"sub/none.conf\")\nworkers = x\n");
    write_text("sub/one.conf", "\nlisten \"b\" { certificate = \"none.pem\" bogus = 1 }\n");
    assert_null(read_main(f));
    assert_fault(f, "main.conf:2: ");
    assert_fault(f, "sub/none.conf cannot be read: No such file or directory");
    assert_fault(f, "main.conf:3: `workers`"); /* and what is wrong elsewhere */
    assert_fault(f, "sub/one.conf:2: unknown key `bogus`");
    write_text("main.conf", "include(\"sub/one.conf\")\n");
    assert_null(read_main(f));
    assert_fault(f, "sub/one.conf:2: `certificate`: ");
    assert_fault(f, "sub/one.conf:2: unknown key `bogus`");
    write_text("sub/one.conf", "listen \"b\" { certificate = \"open\n");
    assert_null(read_main(f));
    assert_fault(f, "sub/one.conf:1: a string ends on its own line");
}

/* For `check`: the owners of options look at what is left, and nothing is told twice. */
static void reading_goes_on_with_defaults_in_place_of_faults(void **state)
{
    struct fixture *f = *state;
    const struct sp_config_block *listen, *backends;
    char path[256];
    size_t len;

    snprintf(path, sizeof(path), "%s/main.conf", folder);
    write_text("main.conf",
               "pause = 3\nlimits { count = 101 }\nlisten \"a\" { certificate = \"none.pem\" }\n"
               "listen \"b\" { }\nbackend \"c\" { plugin = \"none\" }\n");
    f->config = sp_config_read_on(path, test_sections, &f->faults);
    assert_non_null(f->config);
    assert_int_equal(f->faults.count, 4);
    assert_int_equal(top(f)->pause_ms, 30000); /* the default */
    listen = sp_config_all(f->config, "listen", &len);
    assert_int_equal(len, 2);
    backends = sp_config_all(f->config, "backend", &len);
    assert_int_equal(len, 1);
    assert_null(backends[0].options);
    sp_config_fault(&f->faults, &listen[0], "certificate", "told twice");
    sp_config_fault(&f->faults, &listen[0], NULL, "follows from it");
    sp_config_fault(&f->faults, &listen[1], NULL, "another one");
    assert_int_equal(f->faults.count, 7);
    assert_fault(f, "main.conf:4: another one");
    assert_null(strstr(fault_text(f), "told twice"));
    assert_null(strstr(fault_text(f), "follows from it"));
    sp_config_unref(&f->config);
    write_text("main.conf", "workers = x\ninclude(\"none.conf\")\n");
    f->config = sp_config_read_on(path, test_sections, &f->faults);
    assert_null(f->config); /* who knows what stands there */
}

static void a_file_that_includes_itself_is_refused(void **state)
{
    struct fixture *f = *state;

    write_text("main.conf", "include(\"sub/one.conf\")\n");
    write_text("sub/one.conf", "\ninclude(\"two.conf\")\n");
    write_text("sub/two.conf", "include(\"one.conf\")\n");
    assert_null(read_main(f));
    assert_fault(f, "sub/two.conf:1: ");
    assert_fault(f, "includes itself");
    write_text("sub/two.conf", "include()\n");
    assert_null(read_main(f));
    assert_fault(f, "sub/two.conf:1: include takes one name");
    write_text("sub/two.conf", "include(\"/dev/null\")\n");
    assert_null(read_main(f));
    assert_fault(f, "not a regular file");
}

static void a_missing_main_file_is_a_fault(void **state)
{
    struct fixture *f = *state;

    f->config = sp_config_read("/nonexistent/x.conf", test_sections, &f->faults);
    assert_null(f->config);
    assert_fault(f, "/nonexistent/x.conf:1: the configuration cannot be read: No such file");
}

static const struct ldap_options *first_backend(struct fixture *f)
{
    size_t n;
    const struct sp_config_block *blocks = sp_config_all(f->config, "backend", &n);

    assert_int_equal(n, 1);
    return blocks[0].options;
}

static void a_secret_is_read_without_its_line_end(void **state)
{
    struct fixture *f = *state;

    write_text("main.conf", "backend \"d\" { plugin = ldap base = x password_file = \"s\" }");
    write_text("s", "pass word\n");
    if (read_main(f) == NULL)
        fail_msg("%s", fault_text(f));
    assert_string_equal(first_backend(f)->password.text, "pass word");
    assert_int_equal(first_backend(f)->password.len, 9);
    assert_int_equal(f->faults.warnings.len, 0);
    write_text("s", "two\n\n");
    assert_non_null(read_main(f));
    assert_string_equal(first_backend(f)->password.text, "two\n");
}

static void a_secret_that_cannot_be_one_is_refused(void **state)
{
    static char large[SP_CONFIG_SECRET_MAX + 10];
    struct fixture *f = *state;

    write_text("main.conf", "\nbackend \"d\" { plugin = ldap base = x\n password_file = \"s\" }");
    write_file("s", "a\0b", 3, 0640);
    assert_null(read_main(f));
    assert_fault(f, "main.conf:3: `password_file`: ");
    assert_fault(f, "NUL");
    write_text("s", "\n");
    assert_null(read_main(f));
    assert_fault(f, "is empty");
    memset(large, 'x', sizeof(large));
    write_file("s", large, sizeof(large), 0640);
    assert_null(read_main(f));
    assert_fault(f, "longer than 64k");
    assert_true(strstr(fault_text(f), "xxxx") == NULL);
    write_text("main.conf", "backend \"d\" { plugin = ldap base = x password_file = \"none\" }");
    assert_null(read_main(f));
    assert_fault(f, "none cannot be read");
}

static void a_secret_that_everybody_may_read_is_a_warning(void **state)
{
    struct fixture *f = *state;
    struct sp_span said; /* no NUL ends it */

    write_text("main.conf", "backend \"d\" { plugin = ldap base = x password_file = \"s\" }");
    write_file("s", "hunter2\n", 8, 0644);
    assert_non_null(read_main(f));
    assert_int_equal(f->faults.count, 0);
    assert_true(f->faults.warnings.len > 0);
    said = sp_buf_span(&f->faults.warnings);
    assert_non_null(memmem(said.base, said.len, "everybody may read", 18));
    assert_null(memmem(said.base, said.len, "hunter2", 7));
}

static void the_description_has_every_key_with_its_default(void **state)
{
    struct sp_buf out;
    char text[8192];

    (void)state;
    for (int troff = 0; troff < 2; troff++) {
        sp_buf_init(&out, sizeof(text) - 1);
        assert_int_equal(sp_config_describe(test_sections, troff != 0, &out), SP_OK);
        snprintf(text, sizeof(text), "%.*s", SP_SPAN_ARG(sp_buf_span(&out)));
        assert_non_null(strstr(text, "pause"));
        assert_non_null(strstr(text, "1ms to 1d"));
        assert_non_null(
            strstr(text, troff ? "{\\(dq80\\(dq, \\(dq443\\(dq}" : "{\"80\", \"443\"}"));
        assert_non_null(strstr(text, troff ? "\\-5 to 100" : "-5 to 100"));
        sp_buf_fini(&out);
    }
}

static int make_folder(void **state)
{
    char sub[64];

    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(sub, sizeof(sub), "%s/sub", folder);
    return mkdir(sub, 0700);
}

static int remove_folder(void **state)
{
    static const char *const names[] = {
        "main.conf", "s", "sub/one.conf", "sub/two.conf", "sub/x.pem", "sub", ""};
    char path[256];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        (void)remove(path);
    }
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(durations_have_units_and_do_not_overflow),
        TEST(sizes_have_units_and_do_not_overflow),
        TEST(whole_numbers_are_signed_and_do_not_overflow),
        TEST(a_bad_value_names_what_may_stand_there),
        TEST(numbers_are_told_as_people_write_them),
        TEST(included_files_are_read_in_place_and_beside_their_includer),
        TEST(faults_in_included_files_name_those_files),
        TEST(reading_goes_on_with_defaults_in_place_of_faults),
        TEST(a_file_that_includes_itself_is_refused),
        TEST(a_missing_main_file_is_a_fault),
        TEST(a_secret_is_read_without_its_line_end),
        TEST(a_secret_that_cannot_be_one_is_refused),
        TEST(a_secret_that_everybody_may_read_is_a_warning),
        TEST(the_description_has_every_key_with_its_default),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
