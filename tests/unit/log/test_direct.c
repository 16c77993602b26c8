/* log before it is opened, and on a stream of the journal's. Standard error is a file here. */
#include "log/log_priv.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Standard error goes to a nameless file while `say` runs; its text comes back. */
static const char *captured(void (*say)(void))
{
    static char text[1024];
    char path[] = "/tmp/sallyport-stderr-XXXXXX";
    int file = mkstemp(path);
    int kept = dup(STDERR_FILENO);
    ssize_t len;

    assert_true(file >= 0 && kept >= 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(dup2(file, STDERR_FILENO), STDERR_FILENO);
    say();
    assert_int_equal(dup2(kept, STDERR_FILENO), STDERR_FILENO);
    len = pread(file, text, sizeof(text) - 1, 0);
    assert_true(len >= 0);
    text[len] = '\0';
    assert_int_equal(close(file), 0);
    assert_int_equal(close(kept), 0);
    return text;
}

static void say_directly(void)
{
    sp_log_error(NULL, "event=config_fault detail=\"%s\"", "line 3");
    sp_log_debug(NULL, "event=unseen");
}

static void a_line_before_open_goes_straight_to_standard_error(void **state)
{
    const char *text = captured(say_directly);

    (void)state;
    assert_non_null(strstr(text, " error event=config_fault detail=\"line 3\"\n"));
    assert_null(strstr(text, "unseen"));
}

static void say_opened(void)
{
    const char *failed = NULL;
    struct sp_log_options options = {
        .access = (char *)(uintptr_t) "", .error = (char *)(uintptr_t) "-", .level = SP_LOG_INFO};

    assert_int_equal(sp_log_open(&options, &failed), SP_OK);
    sp_log_warning(NULL, "event=one");
    sp_log_info(NULL, "event=two");
    sp_log_close();
}

static void name_the_journal(void)
{
    char stream[64];
    struct stat st;

    assert_int_equal(fstat(STDERR_FILENO, &st), 0);
    (void)snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
                   (unsigned long long)st.st_ino);
    assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
}

static void say_to_the_journal(void)
{
    name_the_journal();
    sp_log_info(NULL, "event=before");
    say_opened();
    sp_log_info(NULL, "event=after");
}

static void the_journal_gets_priorities_in_place_of_times(void **state)
{
    (void)state;
    assert_string_equal(captured(say_to_the_journal),
                        "<6>event=before\n<4>event=one\n<6>event=two\n<6>event=after\n");
}

static void say_with_anothers_variable(void)
{
    assert_int_equal(setenv("JOURNAL_STREAM", "1:1", 1), 0);
    say_opened();
}

static void an_inherited_variable_of_another_stream_does_not_count(void **state)
{
    const char *text = captured(say_with_anothers_variable);

    (void)state;
    assert_non_null(strstr(text, " warning event=one\n"));
}

/* It would wait for ever. */
static void a_pipe_that_nobody_reads_holds_nobody_up(void **state)
{
    static const char piece[4096];
    int ends[2];
    int kept = dup(STDERR_FILENO);

    (void)state;
    assert_true(kept >= 0);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    while (write(ends[1], piece, sizeof(piece)) > 0)
        continue;
    assert_int_equal(fcntl(ends[1], F_SETFL, 0), 0);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    sp_log_aside("event=log_write_failed log=%s", "error");
    assert_int_equal(dup2(kept, STDERR_FILENO), STDERR_FILENO);
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
    assert_int_equal(close(kept), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_before_open_goes_straight_to_standard_error),
        cmocka_unit_test(the_journal_gets_priorities_in_place_of_times),
        cmocka_unit_test(an_inherited_variable_of_another_stream_does_not_count),
        cmocka_unit_test(a_pipe_that_nobody_reads_holds_nobody_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
