/* What the explaining commands show, to people and to programs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "app/print.h"
#include "util/span.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static char *text;
static size_t text_len;

static void begin(struct sp_app_printer *p, bool json)
{
    FILE *out = open_memstream(&text, &text_len);

    assert_non_null(out);
    sp_app_printer_init(p, out, json);
}

/* What was printed is in `text`; free it. */
static void end(struct sp_app_printer *p)
{
    assert_true(sp_app_print_end(p));
    assert_int_equal(fclose(p->out), 0);
    sp_app_printer_fini(p);
}

static const struct sp_auth_step search = {
    .what = "search",
    .server = "ldaps://dc1",
    .detail = "(uid=al\x1b[31mice)",
    .outcome = "1 match",
    .micros = 1234,
};
static const struct sp_auth_finding late = {
    .what = "clock", .state = "7 min behind the KDC", .remedy = "run an NTP client"};

static void people_get_aligned_lines_without_colours_in_a_file(void **state)
{
    const struct sp_span groups[] = {SP_SPAN_LIT("staff"), SP_SPAN_LIT("web")};
    struct sp_app_printer p;

    (void)state;
    begin(&p, false);
    sp_app_print_heading(&p, SP_APP_STRONG, "%s, %d", "alice", 407);
    sp_app_print_field(&p, SP_APP_BAD, "reason", "bad_credentials");
    sp_app_print_field(&p, SP_APP_PLAIN, "mech", "");
    sp_app_print_field(&p, SP_APP_PLAIN, "mech", NULL);
    sp_app_print_number(&p, "age", 3, "s");
    sp_app_print_flag(&p, "pinned", true);
    sp_app_print_list(&p, "groups", groups, 2);
    sp_app_print_step(&p, &search);
    sp_app_print_finding(&p, &late);
    end(&p);
    assert_string_equal(text, "alice, 407\n"
                              "  reason       bad_credentials\n"
                              "  age          3 s\n"
                              "  pinned       yes\n"
                              "  groups       staff, web\n"
                              "        1.2 ms  search        ldaps://dc1: 1 match\n"
                              "                             (uid=al\\x1b[31mice)\n"
                              "  FAULT  clock: 7 min behind the KDC\n"
                              "         -> run an NTP client\n");
    free(text);
}

static void programs_get_one_object_a_line(void **state)
{
    const struct sp_span groups[] = {SP_SPAN_LIT("staff"), SP_SPAN_LIT("no\xff utf8"),
                                     SP_SPAN_LIT("a\0NUL")};
    struct sp_app_printer p;
    json_t *object;

    (void)state;
    begin(&p, true);
    sp_app_print_heading(&p, SP_APP_STRONG, "for people alone");
    sp_app_print_field(&p, SP_APP_BAD, "reason", "bad \"one\"\xff");
    sp_app_print_field(&p, SP_APP_PLAIN, "mech", NULL);
    sp_app_print_number(&p, "age_s", 3, "s");
    sp_app_print_list(&p, "groups", groups, 3);
    sp_app_print_step(&p, &search);
    sp_app_print_step(&p, &search);
    sp_app_print_finding(&p, &late);
    end(&p);
    assert_ptr_equal(strchr(text, '\n'), text + text_len - 1);
    object = json_loads(text, 0, NULL);
    assert_non_null(object);
    assert_string_equal(json_string_value(json_object_get(object, "mech")), "");
    assert_int_equal(json_integer_value(json_object_get(object, "age_s")), 3);
    assert_int_equal(json_array_size(json_object_get(object, "groups")), 3);
    assert_int_equal(json_array_size(json_object_get(object, "steps")), 2);
    assert_string_equal(json_string_value(json_object_get(
                            json_array_get(json_object_get(object, "steps"), 1), "detail")),
                        search.detail);
    assert_true(json_is_false(
        json_object_get(json_array_get(json_object_get(object, "findings"), 0), "well")));
    json_decref(object);
    free(text);
}

static void no_word_of_a_step_gives_a_terminal_orders(void **state)
{
    const struct sp_auth_step step = {"bind\x1b[2J", "dc1\x9b", "a\r", "b\n", 1200};
    struct sp_app_printer p;

    (void)state;
    begin(&p, false);
    sp_app_print_step(&p, &step);
    end(&p);
    assert_string_equal(text, "        1.2 ms  bind\\x1b[2J      dc1\\x9b: b\\x0a\n"
                              "                             a\\x0d\n");
    free(text);
}

static void two_things_are_two_lines(void **state)
{
    struct sp_app_printer p;

    (void)state;
    begin(&p, true);
    sp_app_print_number(&p, "n", 1, "");
    assert_true(sp_app_print_end(&p));
    sp_app_print_number(&p, "n", 2, "");
    end(&p);
    assert_string_equal(text, "{\"n\":1}\n{\"n\":2}\n");
    free(text);
}

static void a_stream_that_takes_nothing_is_told(void **state)
{
    struct sp_app_printer p;
    FILE *full = fopen("/dev/full", "w");

    (void)state;
    assert_non_null(full);
    sp_app_printer_init(&p, full, false);
    sp_app_print_field(&p, SP_APP_PLAIN, "name", "value");
    assert_false(sp_app_print_end(&p));
    (void)fclose(full);
    sp_app_printer_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(people_get_aligned_lines_without_colours_in_a_file),
        cmocka_unit_test(programs_get_one_object_a_line),
        cmocka_unit_test(no_word_of_a_step_gives_a_terminal_orders),
        cmocka_unit_test(two_things_are_two_lines),
        cmocka_unit_test(a_stream_that_takes_nothing_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
