/* The grammar, lines and files: what libconfuse reads for us and what we note of it. */
#include "config_fixture.h"

static void a_silent_file_gives_every_default(void **state)
{
    struct fixture *f = *state;

    assert_accepted(f, "");
    assert_int_equal(top(f)->workers, 0);
    assert_string_equal(top(f)->user, "");
    assert_string_equal(top(f)->plugin_dir, "");
    assert_int_equal(top(f)->pause_ms, 30000);
    assert_int_equal(top(f)->size, 65536);
    assert_false(top(f)->loud);
    assert_int_equal(top(f)->colour, 1);
    assert_int_equal(limits(f)->count, 7);
    assert_int_equal(limits(f)->ports.len, 2);
    assert_string_equal(limits(f)->ports.items[1], "443");
}

static void quoted_or_not_a_value_is_the_same(void **state)
{
    struct fixture *f = *state;

    assert_accepted(f, "workers = \"4\" user = nobody pause = '5m' size = 1m loud = \"true\" "
                       "colour = blue");
    assert_int_equal(top(f)->workers, 4);
    assert_string_equal(top(f)->user, "nobody");
    assert_int_equal(top(f)->pause_ms, 300000);
    assert_int_equal(top(f)->size, 1 << 20);
    assert_true(top(f)->loud);
    assert_int_equal(top(f)->colour, 2);
}

static void titled_blocks_come_in_the_files_order(void **state)
{
    struct fixture *f = *state;
    const struct sp_config_block *blocks;
    size_t n;

    assert_accepted(f, "listen \"b:1\" {}\nlisten a:2 { offer = {\"x\", \"y\"} }\n\n"
                       "listen \"c:3\" {\n offer = {}\n}\n");
    blocks = sp_config_all(f->config, "listen", &n);
    assert_int_equal(n, 3);
    assert_string_equal(blocks[0].title, "b:1");
    assert_string_equal(blocks[1].title, "a:2");
    assert_string_equal(blocks[2].title, "c:3");
    assert_int_equal(blocks[0].line, 1);
    assert_int_equal(blocks[1].line, 2);
    assert_int_equal(blocks[2].line, 4);
    assert_int_equal(((const struct listen_options *)blocks[1].options)->offer.len, 2);
    assert_true(sp_config_is_set(&blocks[1], "offer"));
    assert_false(sp_config_is_set(&blocks[0], "offer"));
    assert_true(
        sp_config_is_set(&blocks[2], "offer")); /* an empty list is something that was said */
}

static void comments_of_all_kinds_keep_the_line_count(void **state)
{
    struct fixture *f = *state;

    assert_refused(f,
                   "# one\n// two\n/* three */ /* and */\n/* four\n five */ workers = 1 # six\n"
                   "pause = nonsense // seven\n",
                   "t.conf:6: `pause`");
}

static void a_hash_or_slash_in_a_string_is_no_comment(void **state)
{
    struct fixture *f = *state;

    assert_accepted(f, "user = \"a#b//c/*d*/\" limits { ports = {\"http://x\", '#'} }");
    assert_string_equal(top(f)->user, "a#b//c/*d*/");
    assert_string_equal(limits(f)->ports.items[1], "#");
}

static void plus_equals_adds_to_the_default(void **state)
{
    struct fixture *f = *state;

    assert_accepted(f, "limits { ports += {\"8080\"} }");
    assert_int_equal(limits(f)->ports.len, 3);
    assert_string_equal(limits(f)->ports.items[0], "80");
    assert_string_equal(limits(f)->ports.items[2], "8080");
    assert_accepted(f, "limits { ports = {\"1\"} ports += {\"2\", \"3\"} }");
    assert_int_equal(limits(f)->ports.len, 3);
    assert_string_equal(limits(f)->ports.items[0], "1");
    assert_accepted(f, "limits { ports = {} }");
    assert_int_equal(limits(f)->ports.len, 0);
}

static void a_plus_equals_in_one_block_says_nothing_of_the_next(void **state)
{
    struct fixture *f = *state;
    const struct sp_config_block *blocks;
    size_t n;

    assert_accepted(f, "listen \"a\" { offer = {\"1\"} offer += {\"2\"} } "
                       "listen \"b\" { offer = {\"3\"} }");
    blocks = sp_config_all(f->config, "listen", &n);
    assert_int_equal(((const struct listen_options *)blocks[0].options)->offer.len, 2);
    assert_int_equal(((const struct listen_options *)blocks[1].options)->offer.len, 1);
}

static void a_key_or_block_given_twice_is_refused(void **state)
{
    struct fixture *f = *state;

    assert_refused(f, "workers = 1\n\nworkers = 2\n",
                   "t.conf:3: `workers` is given twice, first at /etc/test/t.conf:1");
    assert_refused(f, "limits { ports = {\"1\"}\n ports = {\"2\"} }", "t.conf:2: `ports` is given");
    assert_refused(f, "limits {}\nlimits {}", "t.conf:2: a second limits; the first begins at");
    assert_refused(f, "listen \"a\" {}\nlisten \"b\" {}\nlisten \"a\" { }",
                   "t.conf:3: a second listen \"a\"; the first begins at /etc/test/t.conf:1");
}

/* Blocks l0, l1 and so on, one a line, with room for some more text; to be freed. */
static char *many_listeners(size_t n)
{
    char *text = malloc(n * 64 + 256);
    size_t len = 0;

    assert_non_null(text);
    for (size_t i = 0; i < n; i++)
        len += (size_t)sprintf(text + len, "listen \"l%zu\" { offer = {\"o%zu\"} }\n", i, i);
    return text;
}

static void ten_thousand_blocks_are_each_read_in_their_place(void **state)
{
    struct fixture *f = *state;
    const struct sp_config_block *blocks;
    char *text = many_listeners(10000);
    char title[32], offer[32];
    size_t n;

    assert_accepted(f, text);
    free(text);
    blocks = sp_config_all(f->config, "listen", &n);
    assert_int_equal(n, 10000);
    for (size_t i = 0; i < n; i++) {
        const struct listen_options *options = blocks[i].options;

        snprintf(title, sizeof(title), "l%zu", i);
        snprintf(offer, sizeof(offer), "o%zu", i);
        assert_string_equal(blocks[i].title, title);
        assert_int_equal(blocks[i].line, i + 1);
        assert_int_equal(options->offer.len, 1);
        assert_string_equal(options->offer.items[0], offer);
    }
}

static void a_repeated_block_is_found_among_ten_thousand(void **state)
{
    struct fixture *f = *state;
    char *text = many_listeners(10000);

    strcat(text, "listen l5000 {}\nlimits {}\nlisten l5000 {}\n");
    assert_refused(f, text,
                   "t.conf:10001: a second listen \"l5000\"; the first begins at "
                   "/etc/test/t.conf:5001");
    assert_fault(f, "t.conf:10003: a second listen \"l5000\"; the first begins at "
                    "/etc/test/t.conf:5001");
    assert_int_equal(f->faults.count, 2);
    free(text);
}

static void blocks_of_two_kinds_may_bear_the_same_title(void **state)
{
    struct fixture *f = *state;

    assert_accepted(f, "listen \"x\" {}\nbackend \"x\" { plugin = file }\nlisten \"X\" {}\n");
}

static void unknown_names_are_refused_with_the_one_that_was_meant(void **state)
{
    struct fixture *f = *state;

    assert_refused(f, "\nworker = 3",
                   "t.conf:2: unknown key `worker` at the top level; did you "
                   "mean `workers`?");
    assert_refused(f, "count = 3",
                   "unknown key `count` at the top level; it belongs in a block "
                   "`limits`");
    assert_refused(f, "limits {\n workers = 3 }",
                   "t.conf:2: unknown key `workers` in the block `limits`; it belongs at the top");
    assert_refused(f, "limits { zzz = 3 }", "unknown key `zzz`");
    assert_refused(f, "\nlimit { count = 3 }",
                   "t.conf:2: unknown block or key `limit`; did you "
                   "mean `limits`?");
    assert_refused(f, "qqqqqqqq { }", "unknown block");
}

static void all_faults_are_told_not_only_the_first(void **state)
{
    struct fixture *f = *state;

    assert_null(read_text(f, "workers = x\npause = 3\nbogus = 1\nlimits {\n count = 101\n"
                             " nonsense = {\"a\", \"b\"}\n}\nlisten \"a\" { ofer = {} }\n"));
    assert_int_equal(f->faults.count, 6);
    assert_fault(f, "t.conf:1: `workers`");
    assert_fault(f, "t.conf:2: `pause`");
    assert_fault(f, "t.conf:3: unknown key `bogus`");
    assert_fault(f, "t.conf:5: `count`: 101 is out of bounds: -5 to 100");
    assert_fault(f, "t.conf:6: unknown key `nonsense`");
    assert_fault(f, "t.conf:8: unknown key `ofer`");
}

static void faults_of_form_name_their_line(void **state)
{
    struct fixture *f = *state;

    assert_refused(f, "\nworkers 4", "t.conf:2: ");
    assert_refused(f, "workers = \n", "the file ends where a value");
    assert_refused(f, "\nlimits {\n count = 3\n", "block that begins at line 2");
    assert_refused(f, "limits { }\n}", "t.conf:2: a \"}\" too many: no block is open here");
    assert_refused(f, "listen { }",
                   "t.conf:1: a listen needs a name in quotes: listen \"...\" { }");
    assert_refused(f, "limits \"x\" { }", "t.conf:1: after limits comes \"{\"");
    assert_refused(f, "limits {\n count = 3\nlisten \"a\" { }\n",
                   "t.conf:3: a \"{\" within the block that begins at line 1: the \"}\" of that "
                   "block is missing");
    assert_refused(f, "limits { count { 3 } }", "or \"=\" before this one");
    assert_refused(f, "include \"a.conf\"", "include is written with parentheses");
    assert_refused(f, "limits\xc2\xa0{ }", "a character in it that is not ASCII");
    assert_refused(f, "listen \"\" { }", "needs a name that is not empty");
    assert_refused(f, "limits { count == 3 }", "t.conf:1: ");
    assert_refused(f, "workers = 3 }", "t.conf:1: ");
    assert_refused(f, "= 3", "t.conf:1: ");
    assert_refused(f, "\"\" = 3", "t.conf:1: ");
    assert_refused(f, "limits|count = 3", "t.conf:1: ");
    assert_refused(f, "limits { limits { } }", "t.conf:1: ");
}

static void slips_that_libconfuse_lets_pass_are_refused(void **state)
{
    struct fixture *f = *state;

    assert_refused(f, "user = \"abc\nworkers = 3\n", "t.conf:1: a string ends on its own line");
    assert_refused(f, "user = 'abc", "a string ends on its own line");
    assert_refused(f, "\n/* open", "t.conf:2: the comment that begins here has no end");
    assert_refused(f, "limits { ports = {*} }", "'*' outside a string");
    assert_refused(f, "user = a+b", "'+' outside a string");
    assert_refused(f, "user = \"\\400\"", "octal");
    assert_refused(f, "user = \"\\0\"", "octal");
    assert_refused(f, "user = \"\\9\"", "octal");
    assert_refused(f, "user = \"\\x00\"", "hexadecimal");
    assert_refused(f, "user = \"\\xzz\"", "hexadecimal");
    assert_refused(f, "user = \"\\x0041\"", "hexadecimal"); /* two digits count: a NUL byte */
    assert_refused(f, "user = \"\\x 41\"", "hexadecimal");
    assert_refused(f, "user = \"\\x-1\"", "hexadecimal");
    assert_refused(f, "user = \x01", "control character (0x01)");
    assert_refused(f, "\n\nuser = \"\xff\"", "t.conf:3: a byte that is not UTF-8");
    assert_refused(f, "user = \"\\xff\"", "not UTF-8");
    assert_refused(f, "user = \"a\\nb\"", "control character");
    assert_refused(f, "user = \"${UNCLOSED\" workers = {\"}\"}", "\"${\" without \"}\"");
    /* a file at fault leaves nothing behind in libconfuse for the next one */
    assert_accepted(f, "user = \"fine\" workers = 2");
    assert_int_equal(top(f)->workers, 2);
}

/* Bare, in either kind of string, and behind a backslash. */
static void a_nul_byte_is_refused(void **state)
{
    static const char *const texts[] = {"\nuser = a~b\n", "\nuser = \"a~b\"\n", "\nuser = 'a~b'\n",
                                        "\nuser = \"a\\~b\"\n"};
    struct fixture *f = *state;
    char text[32];

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        size_t len = strlen(texts[i]);

        memcpy(text, texts[i], len);
        *(char *)memchr(text, '~', len) = '\0';
        f->config = sp_config_read_text("n.conf", text, len, test_sections, &f->faults);
        assert_null(f->config);
        assert_fault(f, "n.conf:2: a control character (0x00)");
        sp_config_faults_fini(&f->faults);
        sp_config_faults_init(&f->faults);
    }
}

static void the_environment_is_read_and_must_be_set(void **state)
{
    struct fixture *f = *state;

    setenv("SP_TEST_USER", "alice", 1);
    unsetenv("SP_TEST_UNSET");
    assert_accepted(f, "user = \"x-${SP_TEST_USER}\"");
    assert_string_equal(top(f)->user, "x-alice");
    assert_accepted(f, "user = ${SP_TEST_USER}");
    assert_string_equal(top(f)->user, "alice");
    assert_accepted(f, "user = \"${SP_TEST_UNSET:-bob}\"");
    assert_string_equal(top(f)->user, "bob");
    assert_accepted(f, "user = '${SP_TEST_UNSET}'");
    assert_string_equal(top(f)->user, "${SP_TEST_UNSET}");
    assert_refused(f, "\nuser = \"${SP_TEST_UNSET}\"",
                   "t.conf:2: the environment variable SP_TEST_UNSET is not set");
    assert_refused(f, "user = ${SP_TEST_UNSET}", "SP_TEST_UNSET is not set");
    assert_refused(f, "user = \"${}\"", "needs the name");
}

static void lines_that_end_as_on_windows_are_read(void **state)
{
    struct fixture *f = *state;

    assert_accepted(f, "workers = 3\r\nuser = nobody\r\nlimits {\r\n count = 4\r\n}\r\n");
    assert_string_equal(top(f)->user, "nobody");
    assert_int_equal(limits(f)->count, 4);
}

static void a_fault_of_the_owner_stands_where_the_key_is(void **state)
{
    struct fixture *f = *state;
    const struct sp_config_block *block;

    assert_accepted(f, "\nlimits {\n\n count = 3\n}\n");
    block = sp_config_one(f->config, "limits");
    sp_config_fault(&f->faults, block, "count", "is %d too many", 1);
    sp_config_fault(&f->faults, block, "ports", "are few");
    sp_config_fault(&f->faults, block, NULL, "is odd");
    assert_string_equal(fault_text(f), "/etc/test/t.conf:4: is 1 too many\n"
                                       "/etc/test/t.conf:2: are few\n/etc/test/t.conf:2: is odd\n");
    assert_int_equal(f->faults.count, 3);
}

static void a_backend_is_held_against_its_own_plugins_table(void **state)
{
    struct fixture *f = *state;
    const struct sp_config_block *blocks;
    size_t n;

    assert_accepted(f, "backend \"d\" { base = \"dc=x\" plugin = \"ldap\" }\n"
                       "backend \"l\" { plugin = \"file\" path = \"p\" }\n"
                       "plugin_dir = \"/some/where\"");
    blocks = sp_config_all(f->config, "backend", &n);
    assert_int_equal(n, 2);
    assert_string_equal(blocks[0].plugin, "ldap");
    assert_string_equal(((const struct ldap_options *)blocks[0].options)->base, "dc=x");
    assert_string_equal(((const struct file_options *)blocks[1].options)->path, "p");
    assert_int_equal(resolved, 2);
    assert_string_equal(resolved_dir, "/some/where");
    assert_refused(f, "backend \"l\" { plugin = \"file\"\n base = \"dc=x\" }",
                   "t.conf:2: unknown key `base` in a `backend` of plugin \"file\"");
    assert_refused(f, "\nbackend \"l\" { }", "t.conf:2: `plugin` must be set in backend \"l\"");
    assert_refused(f, "backend \"l\" {\n plugin = \"nis\" }",
                   "t.conf:2: plugin \"nis\": there is no such plugin in ");
    assert_refused(f, "\n\nbackend \"d\" { plugin = \"ldap\" }",
                   "t.conf:3: `base` must be set in backend \"d\": Where people are.");
}

static void a_snapshot_lives_until_its_last_reference(void **state)
{
    struct fixture *f = *state;
    struct sp_config *other;

    assert_accepted(f, "workers = 5");
    other = sp_config_ref(f->config);
    sp_config_unref(&f->config);
    assert_null(f->config);
    assert_int_equal(((const struct top_options *)sp_config_one(other, NULL)->options)->workers, 5);
    sp_config_unref(&other);
    sp_config_unref(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_silent_file_gives_every_default, setup, teardown),
        cmocka_unit_test_setup_teardown(quoted_or_not_a_value_is_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(titled_blocks_come_in_the_files_order, setup, teardown),
        cmocka_unit_test_setup_teardown(comments_of_all_kinds_keep_the_line_count, setup, teardown),
        cmocka_unit_test_setup_teardown(a_hash_or_slash_in_a_string_is_no_comment, setup, teardown),
        cmocka_unit_test_setup_teardown(plus_equals_adds_to_the_default, setup, teardown),
        cmocka_unit_test_setup_teardown(a_plus_equals_in_one_block_says_nothing_of_the_next, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_key_or_block_given_twice_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(ten_thousand_blocks_are_each_read_in_their_place, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_repeated_block_is_found_among_ten_thousand, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(blocks_of_two_kinds_may_bear_the_same_title, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(unknown_names_are_refused_with_the_one_that_was_meant,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(all_faults_are_told_not_only_the_first, setup, teardown),
        cmocka_unit_test_setup_teardown(faults_of_form_name_their_line, setup, teardown),
        cmocka_unit_test_setup_teardown(slips_that_libconfuse_lets_pass_are_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_nul_byte_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(the_environment_is_read_and_must_be_set, setup, teardown),
        cmocka_unit_test_setup_teardown(lines_that_end_as_on_windows_are_read, setup, teardown),
        cmocka_unit_test_setup_teardown(a_fault_of_the_owner_stands_where_the_key_is, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_backend_is_held_against_its_own_plugins_table, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_snapshot_lives_until_its_last_reference, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
