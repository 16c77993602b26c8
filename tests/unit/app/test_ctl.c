/* `sallyport ctl` against a real control socket: what it prints, and how it exits. */
#include "app/command.h"

#include "admin/admin.h"
#include "stats/stats.h"
#include "util/span.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/sallyport-ctl-XXXXXX";
static char config[64];
static char socket_path[64];
static char output[64];
static char said[65536];

/* The other end, on a thread of its own as the process would be on its own. */
static struct {
    uv_loop_t loop;
    uv_thread_t thread;
    uv_async_t stop;
    uv_async_t reloaded;
    struct sp_admin *admin;
    struct sp_admin_conn *asker;
    bool refuse;
} server;

static void *on_reload(void *owner, struct sp_admin_conn *asker, struct sp_buf *words)
{
    (void)owner;
    if (!server.refuse && uv_async_send(&server.reloaded) == 0) {
        server.asker = asker;
        return &server;
    }
    return sp_buf_append(words, SP_SPAN_LIT("about the reload\n")) == SP_OK ? NULL : &server;
}

static void on_forget(void *owner, void *reload)
{
    (void)owner;
    (void)reload;
    server.asker = NULL;
}

static void on_reloaded(uv_async_t *async)
{
    (void)async;
    if (server.asker != NULL)
        sp_admin_answer(server.asker, true, SP_SPAN_LIT("about the reload\n"));
    server.asker = NULL;
}

static void on_stop(uv_async_t *async)
{
    sp_admin_close(&server.admin);
    uv_close((uv_handle_t *)async, NULL);
    uv_close((uv_handle_t *)&server.reloaded, NULL);
}

static void serve(void *unused)
{
    (void)unused;
    (void)uv_run(&server.loop, UV_RUN_DEFAULT);
}

static void start_server(void)
{
    static const struct sp_admin_events events = {.reload = on_reload, .forget_reload = on_forget};
    static const struct sp_log quiet = {NULL, NULL};
    char none[] = "";
    struct sp_admin_options options = {.socket = socket_path, .http = none};

    assert_int_equal(uv_loop_init(&server.loop), 0);
    assert_int_equal(uv_async_init(&server.loop, &server.stop, on_stop), 0);
    assert_int_equal(uv_async_init(&server.loop, &server.reloaded, on_reloaded), 0);
    assert_int_equal(
        sp_admin_open(&server.loop, &options, true, true, &events, &quiet, &server.admin), SP_OK);
    assert_int_equal(uv_thread_create(&server.thread, serve, NULL), 0);
}

static void stop_server(void)
{
    assert_int_equal(uv_async_send(&server.stop), 0);
    assert_int_equal(uv_thread_join(&server.thread), 0);
    assert_int_equal(uv_loop_close(&server.loop), 0);
}

static void write_config(const char *admin_socket)
{
    FILE *file = fopen(config, "w");

    assert_non_null(file);
    assert_true(fprintf(file,
                        "listen \"127.0.0.1:1\" { offer = {\"basic\"} }\n"
                        "admin { socket = \"%s\" http = \"\" }\n",
                        admin_socket) > 0);
    assert_int_equal(fclose(file), 0);
}

/* Runs it with standard output and error in a file; both then stand in `said`. */
static enum sp_exit run_ctl(int argc, ...)
{
    char *argv[8] = {(char *)(uintptr_t) "sallyport", (char *)(uintptr_t) "ctl",
                     (char *)(uintptr_t) "-c", config};
    int out = dup(STDOUT_FILENO);
    int err = dup(STDERR_FILENO);
    int file = open(output, O_RDWR | O_CREAT | O_TRUNC, 0600);
    enum sp_exit status;
    ssize_t len;
    va_list words;

    assert_true(out >= 0 && err >= 0 && file >= 0);
    va_start(words, argc);
    for (int i = 0; i < argc; i++)
        argv[4 + i] = va_arg(words, char *);
    va_end(words);
    (void)fflush(stdout);
    (void)dup2(file, STDOUT_FILENO);
    (void)dup2(file, STDERR_FILENO);
    status = sp_app_main(4 + argc, argv);
    (void)fflush(stdout);
    (void)dup2(out, STDOUT_FILENO);
    (void)dup2(err, STDERR_FILENO);
    len = pread(file, said, sizeof said - 1, 0);
    said[len > 0 ? len : 0] = '\0';
    (void)close(file);
    (void)close(out);
    (void)close(err);
    return status;
}

static void assert_said(const char *part)
{
    if (strstr(said, part) == NULL)
        fail_msg("\"%s\" was not said, but:\n%s", part, said);
}

static void a_command_that_is_done_exits_0_with_its_words(void **state)
{
    (void)state;
    write_config(socket_path);
    start_server();
    server.refuse = false;
    assert_int_equal(run_ctl(1, "reload"), SP_EXIT_WELL);
    assert_said("about the reload\n");
    assert_int_equal(run_ctl(1, "stats"), SP_EXIT_WELL);
    assert_said("sallyport_connections");
    stop_server();
}

static void a_command_that_is_refused_exits_1_with_its_words(void **state)
{
    (void)state;
    write_config(socket_path);
    start_server();
    server.refuse = true;
    assert_int_equal(run_ctl(1, "reload"), SP_EXIT_UNWELL);
    assert_said("about the reload\n");
    assert_int_equal(run_ctl(2, "flush", "alice"), SP_EXIT_UNWELL); /* nobody here can */
    stop_server();
}

static void nobody_there_exits_1_and_names_the_socket(void **state)
{
    (void)state;
    write_config(socket_path);
    assert_int_equal(run_ctl(1, "stats"), SP_EXIT_UNWELL);
    assert_said(socket_path);
    assert_said("is sallyport running?");
}

static void no_socket_configured_exits_1_and_says_so(void **state)
{
    (void)state;
    write_config("");
    assert_int_equal(run_ctl(1, "stats"), SP_EXIT_UNWELL);
    assert_said("there is no control socket");
}

static void write_text(const char *before, const char *after)
{
    FILE *file = fopen(config, "w");

    assert_non_null(file);
    assert_true(fprintf(file, "%sadmin { socket = \"%s\" http = \"\" }\n%s", before, socket_path,
                        after) > 0);
    assert_int_equal(fclose(file), 0);
}

/* What is wrong with the rest is for the process to say. */
static void a_configuration_with_other_faults_still_says_where_the_socket_is(void **state)
{
    static const char *const faults[] = {
        "nonsense = 1\n",
        "listen \"127.0.0.1:1\" { no_such_key = \"a\" }\n",
        "limits { header_size = \"lots\" }\nlimits {}\n",
        "include(\"nowhere.conf\")\n",
        "backend \"b\" { plugin = \"no-such\" }\n",
        "auth { realm = \"${SALLYPORT_TEST_NOT_SET}\" }\n",
        "admin_ { }\n",
    };

    (void)state;
    server.refuse = true;
    start_server();
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        bool stops = i + 1 == sizeof(faults) / sizeof(faults[0]); /* libconfuse reads no further */

        write_text(stops ? "" : faults[i], stops ? faults[i] : "");
        assert_int_equal(run_ctl(1, "reload"), SP_EXIT_UNWELL);
        assert_said("about the reload\n");
        assert_null(strstr(said, "c.conf:"));
    }
    stop_server();
}

static void a_configuration_that_does_not_say_where_exits_1_with_its_line(void **state)
{
    (void)state;
    server.refuse = false;
    start_server();
    write_text("\nlisten \"127.0.0.1:1\" {\n", "");
    assert_int_equal(run_ctl(1, "stats"), SP_EXIT_UNWELL);
    assert_said("c.conf:");
    assert_said("--socket PATH");
    assert_int_equal(run_ctl(3, "--socket", socket_path, "stats"), SP_EXIT_WELL);
    assert_said("sallyport_connections");
    (void)unlink(config);
    assert_int_equal(run_ctl(1, "stats"), SP_EXIT_UNWELL);
    assert_said("cannot be read");
    assert_said("--socket PATH");
    stop_server();
}

static void an_unknown_command_is_usage(void **state)
{
    (void)state;
    write_config(socket_path);
    assert_int_equal(run_ctl(0), SP_EXIT_USAGE);
    assert_int_equal(run_ctl(1, "explode"), SP_EXIT_USAGE);
    assert_int_equal(run_ctl(2, "drain", "now"), SP_EXIT_USAGE);
    assert_int_equal(run_ctl(2, "flush", "two\nlines"), SP_EXIT_USAGE);
}

static int group_setup(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL || sp_stats_init(1) != SP_OK)
        return -1;
    (void)snprintf(config, sizeof config, "%s/c.conf", folder);
    (void)snprintf(socket_path, sizeof socket_path, "%s/ctl.sock", folder);
    (void)snprintf(output, sizeof output, "%s/output", folder);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    sp_stats_fini();
    (void)unlink(config);
    (void)unlink(output);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_that_is_done_exits_0_with_its_words),
        cmocka_unit_test(a_command_that_is_refused_exits_1_with_its_words),
        cmocka_unit_test(nobody_there_exits_1_and_names_the_socket),
        cmocka_unit_test(no_socket_configured_exits_1_and_says_so),
        cmocka_unit_test(a_configuration_with_other_faults_still_says_where_the_socket_is),
        cmocka_unit_test(a_configuration_that_does_not_say_where_exits_1_with_its_line),
        cmocka_unit_test(an_unknown_command_is_usage),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
