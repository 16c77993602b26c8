/* policy/values and policy/compile: what may stand in rule and protect, and where a fault is told.
 */
#include "policy_help.h"

#include "policy/policy_priv.h"

#include <time.h>

static char why[SP_POLICY_WHY];

static bool open_at(const struct sp_week *week, int day, int hour, int minute)
{
    struct tm tm = {.tm_wday = day, .tm_hour = hour, .tm_min = minute};

    return sp_week_has(week, &tm);
}

static struct sp_week hours(const char *text)
{
    struct sp_week week = {{0}};

    if (!sp_hours_parse(text, &week, why))
        fail_msg("\"%s\" is %s", text, why);
    return week;
}

enum { SU, MO, TU, WE, TH, FR, SA };

static void hours_hold_their_start_and_not_their_end(void **state)
{
    struct sp_week week = hours("Mo-Fr 08:00-18:00");

    (void)state;
    assert_true(open_at(&week, MO, 8, 0));
    assert_false(open_at(&week, MO, 7, 59));
    assert_true(open_at(&week, FR, 17, 59));
    assert_false(open_at(&week, FR, 18, 0));
    assert_false(open_at(&week, SA, 12, 0));
    assert_false(open_at(&week, SU, 12, 0));
}

static void days_may_be_listed_and_wrap_around_the_week(void **state)
{
    struct sp_week week = hours("Fr-Mo,we 09:00-12:00");

    (void)state;
    assert_true(open_at(&week, FR, 9, 0));
    assert_true(open_at(&week, SA, 9, 0));
    assert_true(open_at(&week, SU, 9, 0));
    assert_true(open_at(&week, MO, 9, 0));
    assert_false(open_at(&week, TU, 9, 0));
    assert_true(open_at(&week, WE, 11, 59));
    assert_false(open_at(&week, TH, 9, 0));
}

static void times_past_midnight_belong_to_the_day_they_began(void **state)
{
    struct sp_week week = hours("Fr,Sa 22:00-06:00");

    (void)state;
    assert_false(open_at(&week, FR, 5, 0));
    assert_true(open_at(&week, FR, 22, 0));
    assert_true(open_at(&week, SA, 5, 59));
    assert_true(open_at(&week, SU, 5, 59)); /* Saturday's, into the next week */
    assert_false(open_at(&week, SU, 6, 0));
    assert_false(open_at(&week, SU, 22, 0));
    assert_false(open_at(&week, MO, 5, 0));
}

static void days_alone_are_whole_and_times_alone_are_daily(void **state)
{
    struct sp_week week = hours("Sa,Su");

    (void)state;
    assert_true(open_at(&week, SA, 0, 0));
    assert_true(open_at(&week, SU, 23, 59));
    assert_false(open_at(&week, MO, 0, 0));
    week = hours("18:00-24:00");
    assert_true(open_at(&week, WE, 23, 59));
    assert_false(open_at(&week, TH, 0, 0));
    week = hours("Mo 00:00-24:00");
    assert_true(open_at(&week, MO, 0, 0));
    assert_false(open_at(&week, TU, 0, 0));
}

static void hours_that_nobody_can_read_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "Mo-",
        "Mo-Fr 8:00-18:00",
        "Mo-Fr 08:00",
        "Mo 25:00-26:00",
        "Mo 08:60-9",
        "Mo 24:00-06:00",
        "Mo 08:00-08:00",
        "Xx 08:00-18:00",
        "Mo,, 08:00-18:00",
        "Mo Fr",
        "Mo 08:00-18:00 x",
        "08:00",
        "Mo 08.00-18.00",
        "Mo, 08:00-18:00",
        "Mo 08:00-24:01",
        "Monday",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct sp_week week = {{0}};

        if (sp_hours_parse(bad[i], &week, why))
            fail_msg("\"%s\" was taken", bad[i]);
    }
}

static void ports_are_one_or_a_rising_range(void **state)
{
    static const char *const bad[] = {"",     "0",   "65536", "80-",    "-80",  "90-80",
                                      "http", "80x", "1-2-3", "80,443", "0-80", "80-65536"};
    struct sp_port_range range;

    (void)state;
    assert_true(sp_ports_parse("443", &range, why));
    assert_true(range.low == 443 && range.high == 443);
    assert_true(sp_ports_parse("1025-65535", &range, why));
    assert_true(range.low == 1025 && range.high == 65535);
    assert_true(sp_ports_parse("1025 - 2000", &range, why));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (sp_ports_parse(bad[i], &range, why))
            fail_msg("\"%s\" was taken", bad[i]);
    }
}

static void places_are_hosts_suffixes_networks_or_all(void **state)
{
    static const struct {
        const char *text;
        enum sp_place_kind kind;
    } good[] = {
        {"*", SP_PLACE_ANY},
        {"WWW.Corp.Test.", SP_PLACE_HOST},
        {".corp.test", SP_PLACE_SUFFIX},
        {"10.0.0.0/8", SP_PLACE_NETWORK},
        {"10.0.0.1", SP_PLACE_NETWORK},
        {"::1", SP_PLACE_NETWORK},
        {"[::1]", SP_PLACE_NETWORK},
        {"xn--bcher-kva.test", SP_PLACE_HOST},
        {"a_b.test", SP_PLACE_HOST},
        {"localhost", SP_PLACE_HOST},
        {"7.corp.test", SP_PLACE_HOST},
        {"test7", SP_PLACE_HOST},
    };
    static const char *const bad[] = {
        "",
        ".",
        "..",
        "..corp.test",
        "*.corp.test",
        "a..b",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0",
        "1.2.3.4.5",
        "a b",
        "a/b",
        "b\xc3\xbc.test",
        "www.test:443",
        "http://www.test",
        ".10",
        "2130706433",
    };
    struct sp_place place;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (!sp_place_parse(good[i].text, &place, why))
            fail_msg("\"%s\" is %s", good[i].text, why);
        assert_int_equal(place.kind, good[i].kind);
    }
    assert_true(sp_place_parse("WWW.Corp.Test.", &place, why));
    assert_int_equal(place.name_len, strlen("www.corp.test"));
    assert_memory_equal(place.name, "www.corp.test", place.name_len);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (sp_place_parse(bad[i], &place, why))
            fail_msg("\"%s\" was taken", bad[i]);
    }
}

static void a_name_of_the_greatest_length_fits(void **state)
{
    char text[300];
    struct sp_place place;

    (void)state;
    memset(text, 'a', sizeof(text));
    text[254] = '\0';
    text[0] = '.';
    assert_true(sp_place_parse(text, &place, why));
    assert_int_equal(place.name_len, 253);
    text[254] = 'a';
    text[255] = '\0';
    assert_false(sp_place_parse(text, &place, why));
}

static void methods_are_words_in_capitals(void **state)
{
    (void)state;
    assert_true(sp_method_check("GET", why));
    assert_true(sp_method_check("VERSION-CONTROL", why));
    assert_false(sp_method_check("get", why));
    assert_false(sp_method_check("", why));
    assert_false(sp_method_check("GET POST", why));
}

static void every_bad_value_is_a_fault_at_its_line(void **state)
{
    struct fixture f;
    const char *text;

    (void)state;
    fixture_open(&f,
                 "protect { ports = {\"http\"} }\n"
                 "rule \"a\" {\n"
                 "  action = \"allow\"\n"
                 "  clients = {\"10.0.0.1/8\"}\n"
                 "  to = {\"*.corp.test\"}\n"
                 "  ports = {\"0\"}\n"
                 "  methods = {\"get\"}\n"
                 "  hours = {\"9-5\"}\n"
                 "}\n"
                 "rule \"b\" { action = \"deny\" users = {\"bob\"} authenticate = false }\n"
                 "rule \"c\" { action = \"deny\" groups = {\"\"} }\n",
                 NULL, 0);
    assert_null(f.policy);
    text = sp_buf_span(&f.faults.text).base;
    assert_int_equal(f.faults.count, 8);
    for (size_t i = 0; i < 8; i++) {
        static const char *const where[] = {
            ":1: ", ":4: ", ":5: ", ":6: ", ":7: ", ":8: ", ":10: ", ":11: "};
        static const char *const what[] = {"http", "10.0.0.1/8", "*.corp.test", "ports",
                                           "get",  "9-5",        "users",       "groups"};
        const char *line = memmem(text, f.faults.text.len, where[i], strlen(where[i]));

        if (line == NULL)
            fail_msg("no fault at %s in %.*s", where[i], (int)f.faults.text.len, text);
        assert_non_null(memmem(line, strcspn(line, "\n"), what[i], strlen(what[i])));
    }
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hours_hold_their_start_and_not_their_end),
        cmocka_unit_test(days_may_be_listed_and_wrap_around_the_week),
        cmocka_unit_test(times_past_midnight_belong_to_the_day_they_began),
        cmocka_unit_test(days_alone_are_whole_and_times_alone_are_daily),
        cmocka_unit_test(hours_that_nobody_can_read_are_refused),
        cmocka_unit_test(ports_are_one_or_a_rising_range),
        cmocka_unit_test(places_are_hosts_suffixes_networks_or_all),
        cmocka_unit_test(a_name_of_the_greatest_length_fits),
        cmocka_unit_test(methods_are_words_in_capitals),
        cmocka_unit_test(every_bad_value_is_a_fault_at_its_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
