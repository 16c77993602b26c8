/* log: lines reach their files in order, survive rotation, and are lost, counted and told of when a
 * file cannot take them. */
#include "log/access.h"
#include "log/log.h"

#include "util/span.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
    char dir[40];
    char access[64];
    char error[64];
};

static int make_place(void **state)
{
    static struct place place;

    (void)strcpy(place.dir, "/tmp/sallyport-log-XXXXXX");
    if (mkdtemp(place.dir) == NULL)
        return -1;
    (void)snprintf(place.access, sizeof(place.access), "%s/access", place.dir);
    (void)snprintf(place.error, sizeof(place.error), "%s/error", place.dir);
    *state = &place;
    return 0;
}

static int remove_place(void **state)
{
    struct place *place = *state;

    (void)unlink(place->access);
    (void)unlink(place->error);
    return rmdir(place->dir);
}

static void open_log(const struct place *place, const char *access, enum sp_log_level level)
{
    const char *failed = NULL;
    struct sp_log_options options = {.access = (char *)(uintptr_t)access,
                                     .format = SP_LOG_JSON,
                                     .error = (char *)(uintptr_t)place->error,
                                     .level = (int)level};

    assert_int_equal(sp_log_open(&options, &failed), SP_OK);
}

static char *slurp(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = calloc(1, 4u << 20);
    size_t len;

    assert_non_null(file);
    assert_non_null(text);
    len = fread(text, 1, (4u << 20) - 1, file);
    assert_true(len < (4u << 20) - 1);
    (void)fclose(file);
    return text;
}

static void a_line_has_time_level_message_and_context(void **state)
{
    struct place *place = *state;
    const struct sp_log root = {NULL, NULL};
    const struct sp_log listener = {&root, "listener=0.0.0.0:3128"};
    const struct sp_log session = {&listener, "client=10.0.0.1:4711"};
    char *text;
    int year, month, day, hour, minute, second, ms;
    int end = 0;

    open_log(place, "", SP_LOG_INFO);
    errno = ENOENT;
    sp_log_warning(&session, "event=%s user=%s", "denied", "alice");
    assert_int_equal(errno, ENOENT);
    sp_log_debug(&session, "event=unseen");
    sp_log_error(NULL, "event=forged a\nb\x1b");
    sp_log_close();
    text = slurp(place->error);
    assert_int_equal(sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3d%*[-+0-9:] %n", &year, &month, &day,
                            &hour, &minute, &second, &ms, &end),
                     7);
    assert_memory_equal(text + end,
                        "warning event=denied user=alice listener=0.0.0.0:3128 "
                        "client=10.0.0.1:4711\n",
                        75);
    assert_null(strstr(text, "unseen"));
    assert_non_null(strstr(text, " error event=forged a?b?\n"));
    free(text);
}

static void a_long_line_is_cut_and_shows_it(void **state)
{
    struct place *place = *state;
    char *text;

    open_log(place, "", SP_LOG_INFO);
    sp_log_info(NULL, "event=long %09000d", 1);
    sp_log_info(NULL, "event=next");
    sp_log_close();
    text = slurp(place->error);
    assert_non_null(strstr(text, "0...\n"));
    assert_true(strchr(text, '\n') - text < 4100);
    assert_non_null(strstr(text, "event=next\n"));
    free(text);
}

static struct sp_access_record record(const char *id)
{
    return (struct sp_access_record){.id = sp_span_cstr(id), .status = 200};
}

static unsigned count_lines(const char *text)
{
    unsigned lines = 0;

    for (; *text != '\0'; text++)
        lines += *text == '\n';
    return lines;
}

static void *write_many(void *arg)
{
    struct sp_access_batch *batch = sp_access_batch_new();
    struct sp_access_record r = record("x");

    (void)arg;
    for (int i = 0; i < 2000; i++) {
        sp_access_write(batch, &r);
        (void)sp_access_flush(batch);
        sp_log_info(NULL, "event=n number=%d", i);
    }
    sp_access_batch_free(&batch);
    return NULL;
}

static void all_lines_of_all_threads_arrive_whole(void **state)
{
    struct place *place = *state;
    pthread_t threads[4];
    uint64_t dropped = sp_log_dropped();
    char *text;

    open_log(place, place->access, SP_LOG_INFO);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, NULL), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    sp_log_close();
    assert_true(sp_log_dropped() == dropped);
    text = slurp(place->access);
    assert_int_equal(count_lines(text), 8000);
    for (char *line = text; *line != '\0'; line = strchr(line, '\n') + 1)
        assert_memory_equal(line, "{\"ts\":\"1970", 11);
    free(text);
    text = slurp(place->error);
    assert_int_equal(count_lines(text), 8000);
    free(text);
}

static off_t size_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? st.st_size : -1;
}

/* Until the file is there, with at least as many bytes. */
static void wait_for(const char *path, off_t size)
{
    for (int i = 0; i < 500 && size_of(path) < size; i++)
        (void)usleep(10000);
    assert_true(size_of(path) >= size);
}

static void after_a_rotation_lines_go_to_the_new_file(void **state)
{
    struct place *place = *state;
    struct stat st;
    char old[80];
    char *text;

    (void)snprintf(old, sizeof(old), "%s.1", place->error);
    open_log(place, "", SP_LOG_INFO);
    sp_log_info(NULL, "event=first");
    wait_for(place->error, 1);
    assert_int_equal(rename(place->error, old), 0);
    sp_log_reopen();
    wait_for(place->error, 0);
    sp_log_info(NULL, "event=second");
    sp_log_close();
    text = slurp(place->error);
    assert_non_null(strstr(text, "event=second"));
    assert_null(strstr(text, "event=first"));
    free(text);
    assert_int_equal(stat(place->error, &st), 0);
    assert_int_equal(st.st_mode & 0137, 0);
    text = slurp(old);
    assert_non_null(strstr(text, "event=first"));
    free(text);
    assert_int_equal(unlink(old), 0);
}

static void a_full_disk_costs_lines_that_are_counted_and_told_of_once(void **state)
{
    struct place *place = *state;
    struct sp_access_batch *batch = sp_access_batch_new();
    struct sp_access_record r = record("x");
    uint64_t dropped = sp_log_dropped();
    const char *first;
    char *text;

    open_log(place, "/dev/full", SP_LOG_INFO);
    for (int i = 0; i < 1000; i++)
        sp_access_write(batch, &r);
    sp_access_batch_free(&batch);
    sp_log_close();
    assert_true(sp_log_dropped() == dropped + 1000);
    text = slurp(place->error);
    first = strstr(text, "event=log_write_failed log=access file=\"/dev/full\"");
    assert_non_null(first);
    assert_null(strstr(first + 1, "event=log_write_failed"));
    free(text);
}

/* A named pipe whose reader has left, and one whose reader does not read. */
static void a_pipe_nobody_reads_neither_kills_nor_blocks(void **state)
{
    struct place *place = *state;
    struct sp_access_batch *batch = sp_access_batch_new();
    struct sp_access_record r = record("x");
    uint64_t dropped = sp_log_dropped();
    int reader;

    assert_int_equal(mkfifo(place->access, 0600), 0);
    reader = open(place->access, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    open_log(place, place->access, SP_LOG_INFO);
    for (int i = 0; i < 60000; i++) /* some 14 MB: the pipe, the queue, and then drops */
        sp_access_write(batch, &r);
    assert_true(sp_log_dropped() > dropped);
    dropped = sp_log_dropped();
    assert_int_equal(close(reader), 0);
    for (int i = 0; i < 1000; i++)
        sp_access_write(batch, &r);
    sp_access_batch_free(&batch);
    sp_log_close();
    assert_true(sp_log_dropped() > dropped);
}

static void closing_does_not_wait_for_a_reader_who_does_not_read(void **state)
{
    struct place *place = *state;
    struct sp_access_batch *batch = sp_access_batch_new();
    struct sp_access_record r = record("x");
    struct timespec before, after;
    int reader;

    assert_int_equal(mkfifo(place->access, 0600), 0);
    reader = open(place->access, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    open_log(place, place->access, SP_LOG_INFO);
    for (int i = 0; i < 3000; i++)
        sp_access_write(batch, &r);
    sp_access_batch_free(&batch);
    (void)clock_gettime(CLOCK_MONOTONIC, &before);
    sp_log_close();
    (void)clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true(after.tv_sec - before.tv_sec <= 5);
    assert_int_equal(close(reader), 0);
}

static void a_pipe_without_a_reader_is_an_error_and_not_a_wait(void **state)
{
    struct place *place = *state;
    const char *failed = NULL;
    struct sp_log_options options = {.access = place->access, .error = place->error};
    int reader;

    assert_int_equal(mkfifo(place->access, 0600), 0);
    alarm(10); /* a wait would be one for ever */
    assert_int_equal(sp_log_open(&options, &failed), SP_ERR_IO);
    assert_int_equal(errno, ENXIO);
    assert_string_equal(failed, place->access);
    reader = open(place->access, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    open_log(place, place->access, SP_LOG_INFO);
    assert_int_equal(close(reader), 0);
    sp_log_reopen(); /* the same without a reader: the old pipe stays, and the end is not held up */
    sp_log_close();
    alarm(0);
}

static void a_file_that_cannot_be_opened_is_an_error_and_nothing_is_left_open(void **state)
{
    struct place *place = *state;
    const char *failed = NULL;
    struct sp_log_options options = {.access = place->access,
                                     .error = (char *)(uintptr_t) "/nonexistent/error"};

    assert_int_equal(sp_log_open(&options, &failed), SP_ERR_IO);
    assert_int_equal(errno, ENOENT);
    assert_string_equal(failed, "/nonexistent/error");
    open_log(place, place->access, SP_LOG_INFO);
    sp_log_close();
    sp_log_close();
}

static void a_batch_waits_no_longer_than_a_moment(void **state)
{
    struct place *place = *state;
    struct sp_access_batch *batch = sp_access_batch_new();
    struct sp_access_record r = record("x");
    struct stat st = {.st_size = 0};

    open_log(place, place->access, SP_LOG_INFO);
    assert_false(sp_access_flush(batch));
    sp_access_write(batch, &r);
    for (int i = 0; i < 200 && sp_access_flush(batch); i++)
        (void)usleep(10000);
    assert_false(sp_access_flush(batch)); /* nothing waits: it is with the writer */
    for (int i = 0; i < 200 && st.st_size == 0; i++) {
        (void)usleep(10000);
        assert_int_equal(stat(place->access, &st), 0);
    }
    assert_true(st.st_size > 0);
    sp_access_batch_free(&batch);
    sp_log_close();
}

int main(void)
{
#define PLACED(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)
    const struct CMUnitTest tests[] = {
        PLACED(a_line_has_time_level_message_and_context),
        PLACED(a_long_line_is_cut_and_shows_it),
        PLACED(all_lines_of_all_threads_arrive_whole),
        PLACED(after_a_rotation_lines_go_to_the_new_file),
        PLACED(a_full_disk_costs_lines_that_are_counted_and_told_of_once),
        PLACED(a_pipe_nobody_reads_neither_kills_nor_blocks),
        PLACED(closing_does_not_wait_for_a_reader_who_does_not_read),
        PLACED(a_pipe_without_a_reader_is_an_error_and_not_a_wait),
        PLACED(a_file_that_cannot_be_opened_is_an_error_and_nothing_is_left_open),
        PLACED(a_batch_waits_no_longer_than_a_moment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
