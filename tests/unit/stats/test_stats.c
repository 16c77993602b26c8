/* stats: sums over workers, and a page that Prometheus takes: each family once, labels escaped. */
#include "stats/stats.h"
#include "stats/stats_priv.h"

#include "util/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int open_stats(void **state)
{
    (void)state;
    return sp_stats_init(3) == SP_OK ? 0 : -1;
}

static int close_stats(void **state)
{
    (void)state;
    sp_stats_fini();
    return 0;
}

static char *page(void)
{
    struct sp_buf buf;
    char *text;

    sp_buf_init(&buf, 1u << 20);
    assert_int_equal(sp_stats_write(&buf), SP_OK);
    text = sp_span_dup(sp_buf_span(&buf));
    sp_buf_fini(&buf);
    assert_non_null(text);
    return text;
}

static void assert_has(const char *line)
{
    char *text = page();
    char *whole = malloc(strlen(line) + 3);

    (void)sprintf(whole, "\n%s\n", line);
    if (strstr(text, whole) == NULL)
        fail_msg("no line \"%s\" in\n%s", line, text);
    free(whole);
    free(text);
}

static void counters_with_known_labels_are_zero_from_the_start(void **state)
{
    (void)state;
    assert_has("sallyport_requests_total{status=\"407\",scheme=\"none\"} 0");
    assert_has("sallyport_requests_total{status=\"200\",scheme=\"negotiate\"} 0");
    assert_has("sallyport_cache_total{result=\"hit\"} 0");
    assert_has("sallyport_cache_total{result=\"negative_hit\"} 0");
    assert_has("sallyport_cache_total{result=\"coalesced\"} 0");
    assert_has("sallyport_connections 0");
    assert_has("sallyport_tunnels 0");
    assert_has("sallyport_handshakes_in_progress 0");
    assert_has("sallyport_bytes_total{direction=\"in\"} 0");
    assert_has("sallyport_build_info{version=\"" SP_VERSION "\"} 1");
}

static void cells_of_all_workers_are_summed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        sp_stats_add(sp_stats_of(i), SP_STAT_CONNECTIONS, 5);
        sp_stats_add(sp_stats_of(i), SP_STAT_CONNECTIONS, -2);
        sp_stats_request(sp_stats_of(i), 204, SP_SCHEME_BASIC, 700);
    }
    sp_stats_request(sp_stats_of(0), 0, SP_SCHEME_NONE, 20000000);
    sp_stats_request(sp_stats_of(0), 600, SP_SCHEME_NONE, 0);
    assert_int_equal(sp_stats_sum(SP_STAT_CONNECTIONS), 9);
    assert_has("sallyport_connections 9");
    assert_has("sallyport_requests_total{status=\"204\",scheme=\"basic\"} 3");
    assert_has("sallyport_requests_total{status=\"0\",scheme=\"none\"} 2");
    assert_has("sallyport_request_seconds_bucket{le=\"0.0005\"} 1");
    assert_has("sallyport_request_seconds_bucket{le=\"0.001\"} 4");
    assert_has("sallyport_request_seconds_bucket{le=\"10\"} 4");
    assert_has("sallyport_request_seconds_bucket{le=\"+Inf\"} 5");
    assert_has("sallyport_request_seconds_sum 20.002100");
    assert_has("sallyport_request_seconds_count 5");
}

static void a_backend_has_one_series_however_often_it_is_asked_for(void **state)
{
    struct sp_stats_backend *ldap = sp_stats_backend("corp-ldap");

    (void)state;
    assert_ptr_equal(ldap, sp_stats_backend("corp-ldap"));
    assert_ptr_not_equal(ldap, sp_stats_backend("odd \"one\"\\"));
    sp_stats_auth(ldap, SP_COUNT_ACCEPT, 500);
    sp_stats_auth(ldap, SP_COUNT_UNAVAILABLE, 3000000);
    assert_has("sallyport_auth_total{backend=\"corp-ldap\",result=\"accept\"} 1");
    assert_has("sallyport_auth_total{backend=\"corp-ldap\",result=\"account\"} 0");
    assert_has("sallyport_auth_total{backend=\"odd \\\"one\\\"\\\\\",result=\"reject\"} 0");
    assert_has("sallyport_auth_seconds_bucket{backend=\"corp-ldap\",le=\"0.0005\"} 1");
    assert_has("sallyport_auth_seconds_bucket{backend=\"corp-ldap\",le=\"2.5\"} 1");
    assert_has("sallyport_auth_seconds_bucket{backend=\"corp-ldap\",le=\"5\"} 2");
    assert_has("sallyport_auth_seconds_sum{backend=\"corp-ldap\"} 3.000500");
    assert_has("sallyport_auth_seconds_count{backend=\"corp-ldap\"} 2");
}

static void a_bucket_ends_at_its_bound(void **state)
{
    (void)state;
    for (size_t i = 0; i < SP_STATS_BUCKETS; i++) {
        assert_int_equal(sp_stats_bucket(sp_stats_bounds[i]), i);
        assert_int_equal(sp_stats_bucket(sp_stats_bounds[i] + 1), i + 1);
        if (i > 0)
            assert_true(sp_stats_bounds[i] > sp_stats_bounds[i - 1]);
    }
    assert_int_equal(sp_stats_bucket(0), 0);
    assert_int_equal(sp_stats_bucket(UINT64_MAX), SP_STATS_BUCKETS);
}

static void a_percentile_is_within_its_bucket(void **state)
{
    uint32_t counts[SP_STATS_BUCKETS + 1] = {0};

    (void)state;
    assert_int_equal(sp_stats_percentile(counts, 0.5), 0);
    for (uint64_t micros = 1; micros <= 1000; micros++)
        counts[sp_stats_bucket(micros * 100)]++; /* 0.1 ms to 100 ms, evenly */
    for (unsigned percent = 1; percent < 100; percent++) {
        double got = (double)sp_stats_percentile(counts, percent / 100.0);

        assert_true(got > percent * 1000.0 * 0.87 && got < percent * 1000.0 * 1.13);
    }
    memset(counts, 0, sizeof counts);
    counts[SP_STATS_BUCKETS] = 1; /* slower than any bound */
    assert_int_equal(sp_stats_percentile(counts, 0.5), 100000000);
}

static void times_are_summed(void **state)
{
    uint64_t counts[SP_STATS_BUCKETS + 1];

    (void)state;
    sp_stats_auth_time(sp_stats_of(0), 50);
    sp_stats_auth_time(sp_stats_of(2), 50);
    sp_stats_auth(sp_stats_backend("corp-ldap"), SP_COUNT_ACCEPT, 800);
    sp_stats_times(SP_STATS_TIME_AUTH, counts);
    assert_int_equal(counts[sp_stats_bucket(50)], 2);
    sp_stats_times(SP_STATS_TIME_DIRECTORY, counts);
    assert_int_equal(counts[sp_stats_bucket(800)], 1);
    sp_stats_times(SP_STATS_TIME_REQUEST, counts);
    for (size_t i = 0; i <= SP_STATS_BUCKETS; i++)
        assert_int_equal(counts[i], 0);
    assert_int_equal(sp_stats_verdicts(SP_COUNT_ACCEPT), 1);
    sp_stats_request(sp_stats_of(1), 503, SP_SCHEME_BASIC, 10);
    sp_stats_request(sp_stats_of(1), 200, SP_SCHEME_NONE, 10);
    assert_int_equal(sp_stats_answered(503), 1);
    assert_int_equal(sp_stats_answered(0), 2);
}

static int64_t seven(void *owner)
{
    return *(int *)owner + 7;
}

static void gauges_are_asked_when_the_page_is_read(void **state)
{
    int more = 1;

    (void)state;
    assert_int_equal(sp_stats_gauge("sallyport_blocked", "kind=\"user\"", "Blocked.", seven, &more),
                     SP_OK);
    assert_int_equal(
        sp_stats_gauge("sallyport_blocked", "kind=\"client\"", "Blocked.", seven, &more), SP_OK);
    more = 2;
    assert_has("sallyport_blocked{kind=\"user\"} 9");
    assert_has("# HELP sallyport_blocked Blocked.");
}

/* As many as `owner` says. */
static void list_ends(void *owner, struct sp_stats_samples *samples)
{
    static const char *const labels[] = {"listener", "[::]:3143", "file", "a\"b\\.pem", NULL};

    if (*(int *)owner > 0)
        sp_stats_sample(samples, labels, 1700000000);
}

static void gauges_that_come_and_go_stand_under_their_family(void **state)
{
    int count = 0;
    char *text;

    (void)state;
    assert_int_equal(sp_stats_gauges("sallyport_ends", "When it ends.", list_ends, &count), SP_OK);
    assert_int_equal(sp_stats_gauges("sallyport_tunnels", "Taken.", list_ends, &count),
                     SP_ERR_INVALID);
    text = page();
    assert_null(strstr(text, "sallyport_ends"));
    free(text);
    count = 1;
    assert_has("# HELP sallyport_ends When it ends.\n# TYPE sallyport_ends gauge\n"
               "sallyport_ends{listener=\"[::]:3143\",file=\"a\\\"b\\\\.pem\"} 1700000000");
}

static void a_figure_that_cannot_be_read_is_absent(void **state)
{
    struct sp_process_figures figures = {-1, -1, -1, 64, -1, 3};
    struct sp_buf out;

    (void)state;
    sp_buf_init(&out, 65536);
    assert_int_equal(sp_stats_write_process(&out, &figures), SP_OK);
    assert_true(sp_span_eq(sp_buf_span(&out),
                           SP_SPAN_LIT("# HELP process_max_fds Descriptors that may be open.\n"
                                       "# TYPE process_max_fds gauge\nprocess_max_fds 64\n"
                                       "# HELP process_threads Threads.\n"
                                       "# TYPE process_threads gauge\nprocess_threads 3\n")));
    sp_buf_fini(&out);
    sp_process_figures_read(&figures);
    assert_true(figures.resident_bytes > 0 && figures.started > 0 && figures.open_fds > 0);
}

static void plugins_metrics_move_and_are_named_in_full(void **state)
{
    struct sp_auth_metric *idle = sp_stats_metric(
        SP_METRIC_GAUGE, "ldap_connections", "backend=\"a\",server=\"ldaps://dc1\",state=\"idle\"");

    (void)state;
    assert_non_null(idle);
    assert_ptr_equal(idle, sp_stats_metric(SP_METRIC_GAUGE, "sallyport_ldap_connections",
                                           "backend=\"a\",server=\"ldaps://dc1\",state=\"idle\""));
    sp_stats_metric_add(idle, 3);
    sp_stats_metric_add(idle, -1);
    sp_stats_metric_add(NULL, 1);
    assert_has("sallyport_ldap_connections{backend=\"a\",server=\"ldaps://dc1\",state=\"idle\"} 2");
    assert_has("# HELP sallyport_ldap_connections Connections to directory servers by state.");
}

static void what_would_spoil_the_page_is_refused(void **state)
{
    static const char *const bad_labels[] = {
        "a",          "a=b",       "a=\"b",  "a=\"b\\\"", "a=\"b\",", "1=\"b\"",
        "a=\"b\nc\"", "a=\"\\x\"", "=\"b\"", "a=\"b\" ",  ",a=\"b\"", "a=\"b\"c=\"d\""};

    (void)state;
    for (size_t i = 0; i < sizeof(bad_labels) / sizeof(bad_labels[0]); i++)
        assert_null(sp_stats_metric(SP_METRIC_GAUGE, "x", bad_labels[i]));
    assert_null(sp_stats_metric(SP_METRIC_GAUGE, "", ""));
    assert_null(sp_stats_metric(SP_METRIC_GAUGE, "a b", ""));
    assert_null(sp_stats_metric(SP_METRIC_GAUGE, "connections", ""));
    assert_null(sp_stats_metric(SP_METRIC_COUNTER, "sallyport_auth_total", ""));
    assert_non_null(sp_stats_metric(SP_METRIC_COUNTER, "y_total", "a=\"\\\\ \\\" \\n {}\""));
    assert_null(sp_stats_metric(SP_METRIC_GAUGE, "y_total", ""));
}

/* Each HELP, each TYPE and each series at most once; series directly under their TYPE. */
static void every_family_stands_together_and_once(void **state)
{
    char *seen[2000];
    size_t seen_len = 0;
    char family[128] = "";
    char *text;
    char *rest;

    (void)state;
    (void)sp_stats_metric(SP_METRIC_COUNTER, "ldap_operations_total", "backend=\"b\"");
    (void)sp_stats_metric(SP_METRIC_GAUGE, "ldap_connections", "backend=\"b\"");
    (void)sp_stats_metric(SP_METRIC_COUNTER, "ldap_operations_total", "backend=\"a\"");
    (void)sp_stats_backend("a");
    (void)sp_stats_backend("b");
    text = page();
    rest = text;
    for (char *line = strsep(&rest, "\n"); line != NULL && *line != '\0';
         line = strsep(&rest, "\n")) {
        char *end = strrchr(line, ' ');

        if (strncmp(line, "# TYPE ", 7) == 0)
            (void)sscanf(line, "# TYPE %127s", family);
        else if (line[0] != '#')
            assert_memory_equal(line, family, strlen(family));
        if (strncmp(line, "# ", 2) != 0 || strncmp(line, "# HELP", 6) == 0)
            end = line[0] == '#' ? strchr(line + 7, ' ') : end;
        assert_non_null(end);
        *end = '\0';
        for (size_t i = 0; i < seen_len; i++)
            assert_string_not_equal(seen[i], line);
        seen[seen_len++] = line;
    }
    assert_true(seen_len > 80);
    free(text);
}

static void a_page_that_does_not_fit_says_so(void **state)
{
    struct sp_buf buf;

    (void)state;
    sp_buf_init(&buf, 100);
    assert_int_equal(sp_stats_write(&buf), SP_ERR_TOO_LARGE);
    sp_buf_fini(&buf);
}

int main(void)
{
#define OPENED(test) cmocka_unit_test_setup_teardown(test, open_stats, close_stats)
    const struct CMUnitTest tests[] = {
        OPENED(a_bucket_ends_at_its_bound),
        OPENED(a_percentile_is_within_its_bucket),
        OPENED(times_are_summed),
        OPENED(counters_with_known_labels_are_zero_from_the_start),
        OPENED(cells_of_all_workers_are_summed),
        OPENED(a_backend_has_one_series_however_often_it_is_asked_for),
        OPENED(gauges_are_asked_when_the_page_is_read),
        OPENED(gauges_that_come_and_go_stand_under_their_family),
        OPENED(a_figure_that_cannot_be_read_is_absent),
        OPENED(plugins_metrics_move_and_are_named_in_full),
        OPENED(what_would_spoil_the_page_is_refused),
        OPENED(every_family_stands_together_and_once),
        OPENED(a_page_that_does_not_fit_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
