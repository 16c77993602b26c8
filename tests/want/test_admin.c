/* The control socket and the pages under want of memory: an answer is whole, or there is none. A
 * command that was not done is not said to be. */
#include "admin/admin_priv.h"
#include "stats/history.h"
#include "stats/stats.h"
#include "util/hash.h"
#include "util/span.h"
#include "want/want.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct question {
    enum sp_admin_kind kind;
    const char *text;
    const char *ends; /* of a whole answer */
};

static struct sp_history *history;
static unsigned flushed;

static void on_flush(void *owner, struct sp_span user)
{
    (void)owner;
    (void)user;
    flushed++;
}

static enum sp_err on_why(void *owner, struct sp_span word, struct sp_buf *words)
{
    (void)owner;
    return sp_buf_printf(words, "{\"user\":\"%.*s\"}\n", SP_SPAN_ARG(word));
}

static bool on_ready(void *owner, struct sp_buf *words)
{
    (void)owner;
    (void)words;
    return true;
}

static void on_overview(void *owner, struct sp_overview *overview)
{
    (void)owner;
    memset(overview, 0, sizeof *overview);
    overview->state = SP_OVERVIEW_SERVING;
    overview->now_wall_ms = 1700000000000;
    overview->config = "/etc/sallyport.conf";
    overview->history = history;
}

/* As long as it says, and with the end that it should have. */
static void must_be_whole(const struct question *q, struct sp_span answer)
{
    size_t ends = strlen(q->ends);

    if (answer.len < ends || memcmp(answer.base + answer.len - ends, q->ends, ends) != 0)
        fail_msg("%.*s", (int)(answer.len > 300 ? 300 : answer.len), answer.base);
    if (q->kind == SP_ADMIN_HTTP) {
        const char *length = memmem(answer.base, answer.len, "Content-Length: ", 16);
        const char *body = memmem(answer.base, answer.len, "\r\n\r\n", 4);

        assert_true(length != NULL && body != NULL);
        assert_int_equal(strtoul(length + 16, NULL, 10),
                         answer.len - (size_t)(body + 4 - answer.base));
    }
}

static bool is_refusal(const struct question *q, struct sp_span answer)
{
    if (q->kind == SP_ADMIN_CONTROL)
        return answer.len >= 3 && memcmp(answer.base, "no\n", 3) == 0;
    return answer.len >= 12 && memcmp(answer.base, "HTTP/1.1 500", 12) == 0;
}

/* A no has words, or none; nothing of the answer that it is not. */
static void must_have_no_half(const struct question *q, struct sp_span answer)
{
    if (q->kind == SP_ADMIN_CONTROL && is_refusal(q, answer) &&
        memmem(answer.base, answer.len, "sallyport_", 10) != NULL)
        fail_msg("%.*s", (int)(answer.len > 300 ? 300 : answer.len), answer.base);
}

/* Who asks is looked at: a connection of this machine. */
static int connect_conn(struct sp_admin_conn *conn)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(uv_tcp_init(uv_default_loop(), &conn->handle.tcp), 0);
    assert_int_equal(uv_tcp_open(&conn->handle.tcp, accept(listener, NULL, NULL)), 0);
    close(listener);
    return fd;
}

static void ask(void *state)
{
    static const struct sp_http_limits limits = {
        .head_size = SP_ADMIN_HEAD_MAX, .fields = 64, .target_size = 1024};
    static const struct sp_log quiet = {NULL, NULL};
    const struct question *q = state;
    struct sp_admin admin = {.log = &quiet, .loop = uv_default_loop()};
    struct sp_admin_conn *conn = calloc(1, sizeof *conn);
    struct sp_span answer;
    bool failed;
    int client;

    assert_non_null(conn);
    client = connect_conn(conn);
    sp_list_init(&admin.conns);
    admin.events = (struct sp_admin_events){
        .flush = on_flush, .why = on_why, .ready = on_ready, .overview = on_overview};
    admin.http_addr.ip[10] = admin.http_addr.ip[11] = 0xff;
    admin.http_addr.ip[12] = 127;
    conn->admin = &admin;
    conn->kind = q->kind;
    conn->parser = q->kind == SP_ADMIN_HTTP ? sp_http_parser_new(&limits) : NULL;
    conn->in_len = strlen(q->text);
    memcpy(conn->in, q->text, conn->in_len);
    sp_buf_init(&conn->out, SP_ADMIN_ANSWER_MAX);
    flushed = 0;
    want_begin();
    assert_true(q->kind == SP_ADMIN_HTTP ? sp_admin_http_answer(conn)
                                         : sp_admin_control_answer(conn));
    failed = want_end();
    answer = sp_buf_span(&conn->out);
    if (answer.len > 0 && !(failed && is_refusal(q, answer)))
        must_be_whole(q, answer);
    must_have_no_half(q, answer);
    assert_true(answer.len > 0 || failed);
    assert_true(strncmp(q->text, "flush", 5) != 0 || flushed == 1 || is_refusal(q, answer));
    sp_buf_fini(&conn->out);
    sp_http_parser_free(&conn->parser);
    uv_close((uv_handle_t *)&conn->handle.tcp, NULL);
    (void)uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    close(client);
    free(conn);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

static void commands(void **state)
{
    struct question stats = {SP_ADMIN_CONTROL, "stats\n", "\n"};
    struct question why = {SP_ADMIN_CONTROL, "why alice\n", "{\"user\":\"alice\"}\n"};
    struct question flush = {SP_ADMIN_CONTROL, "flush alice\n", "a block is lifted\n"};

    (void)state;
    want_each("ctl stats", WANT_ALL, 1, ask, &stats);
    want_each("why", WANT_ALL, 1, ask, &why);
    want_each("ctl flush", WANT_ALL, 1, ask, &flush);
}

static void pages(void **state)
{
    struct question metrics = {SP_ADMIN_HTTP, GET("/metrics"), "\n"};
    struct question ready = {SP_ADMIN_HTTP, GET("/readyz"), "\n"};
    struct question status = {SP_ADMIN_HTTP, GET("/"), "</html>\n"};

    (void)state;
    want_each("/metrics", WANT_ALL, 1, ask, &metrics);
    want_each("/readyz", WANT_ALL, 1, ask, &ready);
    want_each("the status page", WANT_ALL, 1, ask, &status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(commands), cmocka_unit_test(pages)};
    int status;

    if (sp_hash_setup() != SP_OK || sp_stats_init(2) != SP_OK)
        return 1;
    sp_log_set_level(SP_LOG_ERROR);
    history = sp_history_new(1000);
    if (history == NULL)
        return 1;
    sp_history_take(history, 2000, 1700000000000);
    status = cmocka_run_group_tests_name("want: admin", tests, NULL, NULL);
    sp_history_free(&history);
    sp_stats_fini();
    return status;
}
