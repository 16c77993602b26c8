/* Decisions as lines: what the server writes, and what the command shows of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "app/decision.h"
#include "util/span.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static struct sp_buf lines;

static int setup(void **state)
{
    (void)state;
    sp_buf_init(&lines, 65536);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sp_buf_fini(&lines);
    return 0;
}

static struct sp_decision refusal(struct sp_trace_steps *steps)
{
    struct sp_decision d = {.conn = 17,
                            .ordinal = 3,
                            .first = 2,
                            .wall_ms = 1795549090123,
                            .first_wall_ms = 1795549030000,
                            .count = 4,
                            .scheme = SP_SCHEME_BASIC,
                            .how = SP_HOW_CACHE,
                            .reason = SP_REASON_BAD_CREDENTIALS,
                            .status = 407,
                            .has_age = true,
                            .age_ms = 3999};

    assert_int_equal(sp_addr_parse_ip(&d.client, SP_SPAN_LIT("10.0.0.1")), SP_OK);
    d.text[SP_DECISION_ID] = SP_SPAN_LIT("t54xsg000002");
    d.text[SP_DECISION_USER] = SP_SPAN_LIT("bob\x1b[2J");
    d.text[SP_DECISION_GROUPS] = SP_SPAN_LIT("cn=web,dc=x\nstaff");
    d.text[SP_DECISION_METHOD] = SP_SPAN_LIT("GET");
    d.text[SP_DECISION_TARGET] = SP_SPAN_LIT("http://x/\xff");
    d.text[SP_DECISION_BACKEND] = SP_SPAN_LIT("dir");
    d.text[SP_DECISION_WHY] = SP_SPAN_LIT("wrong password");
    sp_trace_steps_init(steps);
    steps->tracer.step(&steps->tracer, &(struct sp_auth_step){"bind", "ldaps://dc1", "uid=bob",
                                                              "wrong password", 1500});
    d.text[SP_DECISION_STEPS] = sp_trace_steps_text(steps);
    return d;
}

/* For free(). */
static char *show(bool json)
{
    struct sp_app_printer printer;
    struct sp_span line = sp_buf_span(&lines);
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    assert_int_equal(line.base[line.len - 1], '\n');
    line.len--;
    sp_app_printer_init(&printer, out, json);
    assert_true(sp_app_decision_show(&printer, line));
    sp_app_printer_fini(&printer);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void a_decision_is_one_line_of_json_with_all_that_is_known(void **state)
{
    struct sp_trace_steps steps;
    struct sp_decision d = refusal(&steps);
    json_t *object, *step;
    char *passed;

    (void)state;
    assert_int_equal(sp_app_decision_write(&lines, &d), SP_OK);
    sp_trace_steps_fini(&steps);
    object = json_loadb(sp_buf_span(&lines).base, lines.len, 0, NULL);
    assert_non_null(object);
    assert_string_equal(json_string_value(json_object_get(object, "ts")),
                        "2026-11-24T19:38:10.123Z");
    assert_string_equal(json_string_value(json_object_get(object, "reason")), "bad_credentials");
    assert_string_equal(json_string_value(json_object_get(object, "auth")), "cache");
    assert_string_equal(json_string_value(json_object_get(object, "user")), "bob\x1b[2J");
    assert_string_equal(json_string_value(json_object_get(object, "sent")),
                        "Basic, user bob\x1b[2J");
    assert_int_equal(json_integer_value(json_object_get(object, "age_s")), 3);
    assert_int_equal(json_integer_value(json_object_get(object, "count")), 4);
    assert_int_equal(json_array_size(json_object_get(object, "groups")), 2);
    step = json_array_get(json_object_get(object, "steps"), 0);
    assert_string_equal(json_string_value(json_object_get(step, "outcome")), "wrong password");
    json_decref(object);
    passed = show(true); /* for programs as it is */
    assert_int_equal(strlen(passed), lines.len);
    assert_memory_equal(passed, sp_buf_span(&lines).base, lines.len);
    free(passed);
}

static void people_are_shown_it_in_words_and_no_control_character(void **state)
{
    struct sp_trace_steps steps;
    struct sp_decision d = refusal(&steps);
    char *text;

    (void)state;
    assert_int_equal(sp_app_decision_write(&lines, &d), SP_OK);
    sp_trace_steps_fini(&steps);
    text = show(false);
    assert_null(strchr(text, '\x1b'));
    assert_non_null(strstr(text, "10.0.0.1  bob\\x1b[2J  GET http://x/"));
    assert_non_null(strstr(text, " -> 407 bad_credentials\n"));
    assert_non_null(strstr(text, "4 of this kind since 2026-11-24T19:37:10.000Z; id, times and "
                                 "connection are the last one's, target and steps the first's\n"));
    assert_non_null(strstr(text, "decided by   dir, from the cache: 3 s old\n"));
    assert_non_null(strstr(text, "groups       cn=web,dc=x, staff\n"));
    assert_non_null(strstr(text, "1.5 ms  bind          ldaps://dc1: wrong password\n"));
    free(text);
}

static void what_was_lost_is_told(void **state)
{
    char *text;

    (void)state;
    assert_int_equal(sp_app_decision_write_lost(&lines, 12), SP_OK);
    text = show(false);
    assert_string_equal(text, "12 more went by faster than they were read\n");
    free(text);
}

static void a_line_that_is_no_decision_is_refused(void **state)
{
    struct sp_app_printer printer;

    (void)state;
    sp_app_printer_init(&printer, stdout, false);
    assert_false(sp_app_decision_show(&printer, SP_SPAN_LIT("[1]")));
    assert_false(sp_app_decision_show(&printer, SP_SPAN_LIT("{")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_decision_is_one_line_of_json_with_all_that_is_known,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(people_are_shown_it_in_words_and_no_control_character,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_lost_is_told, setup, teardown),
        cmocka_unit_test(a_line_that_is_no_decision_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
