/* The admin room over real sockets of this machine: every page, every command, and every way in
 * which a client, a file or the end of the process can be in the way. */
#include "admin/admin_priv.h"

#include "stats/stats.h"
#include "util/span.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define TURNS 2000

static uv_loop_t loop;
static struct sp_admin *admin;
static char folder[] = "/tmp/sallyport-admin-XXXXXX";
static char socket_path[80];
static char http_text[32];
static uint16_t http_port;
static char answer[65536];
static struct sp_history *history;

/* What the room asked of us. */
static struct {
    unsigned reloads;
    unsigned drains;
    unsigned flushes;
    char flushed[64];
    bool refuse_reload;
    const char *last_reload; /* on the status page */
    const char *reload_faults;
    bool not_ready;
    bool close_on_drain;
    char word[64]; /* that was asked about, or is followed */
    unsigned following;
    size_t waiting;              /* bytes for the follower */
    struct sp_admin_conn *asker; /* of the sessions */
    unsigned forgotten;
} asked;

static void *on_reload(void *owner, struct sp_admin_conn *asker, struct sp_buf *words)
{
    (void)owner;
    asked.reloads++;
    if (!asked.refuse_reload) {
        asked.asker = asker;
        return &asked;
    }
    assert_int_equal(sp_buf_append(words, SP_SPAN_LIT("words of the reload\n")), SP_OK);
    return NULL;
}

static void on_drain(void *owner)
{
    (void)owner;
    asked.drains++;
    if (asked.close_on_drain)
        sp_admin_close(&admin);
}

static void on_flush(void *owner, struct sp_span user)
{
    (void)owner;
    asked.flushes++;
    (void)snprintf(asked.flushed, sizeof asked.flushed, "%.*s",
                   user.base != NULL ? (int)user.len : 5, user.base != NULL ? user.base : "(all)");
}

static bool on_ready(void *owner, struct sp_buf *words)
{
    (void)owner;
    if (asked.not_ready)
        assert_int_equal(sp_buf_append(words, SP_SPAN_LIT("no <backend> answers\n")), SP_OK);
    return !asked.not_ready;
}

static void on_overview(void *owner, struct sp_overview *o)
{
    (void)owner;
    memset(o, 0, sizeof *o);
    o->state = SP_OVERVIEW_SERVING;
    o->now_wall_ms = 1700000000000;
    o->started_wall_ms = o->loaded_wall_ms = o->now_wall_ms - 90000;
    o->config = "/etc/<b>\x1b\xff&";
    o->reload = asked.last_reload;
    o->reload_faults = asked.reload_faults != NULL ? asked.reload_faults : "";
    o->history = history;
    (void)snprintf(o->stuck, sizeof o->stuck, "worker 1 is <stuck>\"");
}

static enum sp_err on_why(void *owner, struct sp_span word, struct sp_buf *words)
{
    (void)owner;
    (void)snprintf(asked.word, sizeof asked.word, "%.*s", SP_SPAN_ARG(word));
    assert_int_equal(sp_buf_append(words, SP_SPAN_LIT("{}\n")), SP_OK);
    if (sp_span_eq(word, SP_SPAN_LIT("alice")))
        return SP_OK;
    return sp_span_eq(word, SP_SPAN_LIT("carol")) ? SP_ERR_NOMEM : SP_ERR_NOT_FOUND;
}

static void *on_follow(void *owner, struct sp_span word)
{
    (void)owner;
    (void)snprintf(asked.word, sizeof asked.word, "%.*s", SP_SPAN_ARG(word));
    if (sp_span_eq(word, SP_SPAN_LIT("nobody")))
        return NULL;
    asked.following++;
    return &asked;
}

/* A kilobyte at a time, as long as something waits. */
static void on_follow_read(void *owner, void *follow, struct sp_buf *words)
{
    static char some[1024];
    size_t len = asked.waiting < sizeof some ? asked.waiting : sizeof some;

    (void)owner;
    assert_ptr_equal(follow, &asked);
    memset(some, 'x', sizeof some);
    asked.waiting -= len;
    assert_int_equal(sp_buf_append(words, sp_span_of(some, len)), SP_OK);
}

static void on_unfollow(void *owner, void *follow)
{
    (void)owner;
    assert_ptr_equal(follow, &asked);
    asked.following--;
}

static void *on_gather(void *owner, struct sp_admin_conn *asker, struct sp_buf *words)
{
    (void)owner;
    if (asked.asker == NULL) {
        asked.asker = asker;
        return &asked;
    }
    assert_int_equal(sp_buf_append(words, SP_SPAN_LIT("one at a time\n")), SP_OK);
    return NULL;
}

static void on_forget(void *owner, void *gathering)
{
    (void)owner;
    assert_ptr_equal(gathering, &asked);
    asked.asker = NULL;
    asked.forgotten++;
}

static const struct sp_admin_events events = {.reload = on_reload,
                                              .drain = on_drain,
                                              .flush = on_flush,
                                              .ready = on_ready,
                                              .overview = on_overview,
                                              .why = on_why,
                                              .follow = on_follow,
                                              .follow_read = on_follow_read,
                                              .unfollow = on_unfollow,
                                              .gather = on_gather,
                                              .forget = on_forget,
                                              .forget_reload = on_forget};
static const struct sp_log quiet = {NULL, NULL};

static enum sp_err open_admin(const char *path, const char *http, bool set)
{
    char path_copy[300];
    char http_copy[64];
    struct sp_admin_options options = {.socket = path_copy, .http = http_copy};

    (void)snprintf(path_copy, sizeof path_copy, "%s", path);
    (void)snprintf(http_copy, sizeof http_copy, "%s", http);
    return sp_admin_open(&loop, &options, set, set, &events, &quiet, &admin);
}

/* A port that was free a moment ago. */
static uint16_t free_port(void)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sin;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof sin), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
    (void)close(fd);
    return ntohs(sin.sin_port);
}

static int setup(void **state)
{
    (void)state;
    memset(&asked, 0, sizeof asked);
    history = sp_history_new(0);
    assert_non_null(history);
    assert_int_equal(uv_loop_init(&loop), 0);
    http_port = free_port();
    (void)snprintf(http_text, sizeof http_text, "127.0.0.1:%u", http_port);
    assert_int_equal(open_admin(socket_path, http_text, true), SP_OK);
    assert_non_null(admin);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sp_admin_close(&admin);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0); /* no handle was forgotten */
    sp_history_free(&history);
    return 0;
}

/* ---- a client ---- */

static int connect_http(void)
{
    struct sockaddr_in sin = {.sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                              .sin_port = htons(http_port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof sin), 0);
    return fd;
}

static int connect_control(void)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    (void)snprintf(sun.sun_path, sizeof sun.sun_path, "%s", socket_path);
    assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof sun), 0);
    return fd;
}

static void send_text(int fd, struct sp_span text)
{
    assert_int_equal(send(fd, text.base, text.len, MSG_NOSIGNAL), (ssize_t)text.len);
}

static void turn(void)
{
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    (void)usleep(500);
}

static unsigned conns(void)
{
    return admin->conns_len[SP_ADMIN_HTTP] + admin->conns_len[SP_ADMIN_CONTROL];
}

/* Everything up to the end of the stream, into `answer`. */
static size_t read_all(int fd)
{
    size_t len = 0;

    for (unsigned i = 0; i < TURNS; i++) {
        ssize_t got = recv(fd, answer + len, sizeof answer - 1 - len, MSG_DONTWAIT);

        if (got == 0 || (got < 0 && errno == ECONNRESET))
            break;
        if (got > 0)
            len += (size_t)got;
        else
            turn();
        assert_true(i + 1 < TURNS); /* the stream never ended */
    }
    answer[len] = '\0';
    (void)close(fd);
    return len;
}

static void ask_http(const char *request)
{
    int fd = connect_http();

    send_text(fd, sp_span_cstr(request));
    (void)read_all(fd);
}

static void get(const char *path)
{
    char request[256];

    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
    ask_http(request);
}

static void ask_control(struct sp_span line)
{
    int fd = connect_control();

    send_text(fd, line);
    (void)read_all(fd);
}

static void assert_has(const char *part)
{
    if (strstr(answer, part) == NULL)
        fail_msg("no \"%s\" in:\n%s", part, answer);
}

static void assert_begins(const char *part)
{
    if (strncmp(answer, part, strlen(part)) != 0)
        fail_msg("does not begin with \"%s\":\n%s", part, answer);
}

/* ---- the pages ---- */

static void metrics_are_served_in_prometheus_text(void **state)
{
    (void)state;
    get("/metrics");
    assert_begins("HTTP/1.1 200 OK\r\n");
    assert_has("Content-Type: text/plain; version=0.0.4");
    assert_has("\n# TYPE sallyport_connections gauge\n");
}

static void health_and_readiness_are_two_things(void **state)
{
    (void)state;
    get("/healthz");
    assert_begins("HTTP/1.1 200 OK\r\n");
    assert_has("\r\n\r\nok\n");
    get("/readyz");
    assert_begins("HTTP/1.1 200 OK\r\n");
    asked.not_ready = true;
    get("/readyz");
    assert_begins("HTTP/1.1 503 Service Unavailable\r\n");
    assert_has("not ready\nno <backend> answers\n");
    get("/healthz");
    assert_begins("HTTP/1.1 200 OK\r\n");
}

static void the_status_page_is_whole_and_escapes_words(void **state)
{
    (void)state;
    get("/");
    assert_begins("HTTP/1.1 200 OK\r\n");
    assert_has("Content-Type: text/html");
    assert_has("Content-Security-Policy: default-src 'none'; base-uri 'none'; ");
    assert_has("worker 1 is &lt;stuck&gt;&quot;");
    assert_has("class=\"verdict bad\"");
    assert_has("<dt>Tunnels</dt><dd>0</dd>");
    assert_has("&lt;b&gt;\\x1b\\xff&amp;");
    assert_has("</html>\n");
    assert_null(strstr(answer, "<stuck>"));
}

static void a_reload_that_lacked_means_has_another_remedy_than_a_faulty_one(void **state)
{
    (void)state;
    asked.last_reload = "refused";
    get("/");
    assert_has("Memory or descriptors were short");
    asked.reload_faults = "sallyport.conf:3: <no> key\nsallyport.conf:4: two\n";
    get("/");
    assert_has("sallyport.conf:3: &lt;no&gt; key<br>sallyport.conf:4: two. Correct that");
}

static void head_has_the_length_and_no_body(void **state)
{
    (void)state;
    ask_http("HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_has("Content-Length: 3\r\n");
    assert_string_equal(answer + strlen(answer) - 4, "\r\n\r\n");
}

static void a_query_is_ignored(void **state)
{
    (void)state;
    get("/healthz?verbose");
    assert_begins("HTTP/1.1 200 OK\r\n");
}

static void everything_else_is_refused(void **state)
{
    (void)state;
    get("/secret");
    assert_begins("HTTP/1.1 404 Not Found\r\n");
    ask_http("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    assert_begins("HTTP/1.1 405 Method Not Allowed\r\n");
    assert_has("Allow: GET, HEAD\r\n");
    ask_http("CONNECT h:443 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_begins("HTTP/1.1 405 ");
    ask_http("GET / HTTP/1.1\r\nHost : x\r\n\r\n");
    assert_begins("HTTP/1.1 400 Bad Request\r\n");
    assert_has("space before the colon");
    ask_http("\x16\x03\x01");
    assert_begins("HTTP/1.1 400 Bad Request\r\n");
}

static void a_head_without_end_is_refused_in_bounded_memory(void **state)
{
    static char head[2 * SP_ADMIN_HEAD_MAX];
    int fd = connect_http();

    (void)state;
    memset(head, 'a', sizeof head);
    memcpy(head, "GET / HTTP/1.1\r\nA: ", 19);
    send_text(fd, sp_span_of(head, sizeof head));
    (void)read_all(fd);
    assert_begins("HTTP/1.1 431 ");
}

static void a_question_in_pieces_is_answered(void **state)
{
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    int fd = connect_http();

    (void)state;
    for (size_t i = 0; i < sizeof request - 1; i++) {
        send_text(fd, sp_span_of(request + i, 1));
        turn();
    }
    (void)read_all(fd);
    assert_begins("HTTP/1.1 200 OK\r\n");
}

static void a_client_that_half_closes_still_gets_its_answer(void **state)
{
    int fd = connect_http();

    (void)state;
    send_text(fd, SP_SPAN_LIT("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    (void)read_all(fd);
    assert_has("\r\n\r\nok\n");
}

static void ask_for_host(const char *host)
{
    char request[200];

    (void)snprintf(request, sizeof request, "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n", host);
    ask_http(request);
}

/* DNS rebinding: the page of a stranger, whose name leads here. */
static void a_strangers_name_for_loopback_reads_nothing(void **state)
{
    static const char *const ours[] = {"127.0.0.1", "[::1]:3180", "localhost", "proxy:3180"};
    static const char *const others[] = {"evil.example", "evil.example:3180",
                                         "localhost.evil.example", "127.0.0.1.evil.example",
                                         "127.0.0.1.:3180"};

    (void)state;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        ask_for_host(ours[i]);
        assert_has("HTTP/1.1 200 ");
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        ask_for_host(others[i]);
        assert_has("HTTP/1.1 403 ");
        assert_has("as localhost");
    }
}

/* ---- the control socket ---- */

static void each_command_is_done_and_answered(void **state)
{
    (void)state;
    ask_control(SP_SPAN_LIT("stats\n"));
    assert_begins("ok\nsallyport_requests_total");
    ask_control(SP_SPAN_LIT("flush\n"));
    assert_begins("ok\n");
    assert_string_equal(asked.flushed, "(all)");
    ask_control(SP_SPAN_LIT("flush Alice Smith\n"));
    assert_begins("ok\nAlice Smith: ");
    assert_string_equal(asked.flushed, "Alice Smith");
    ask_control(SP_SPAN_LIT("why alice\n"));
    assert_string_equal(answer, "ok\n{}\n");
    assert_string_equal(asked.word, "alice");
    ask_control(SP_SPAN_LIT("drain\n"));
    assert_begins("ok\ndraining");
    assert_int_equal(asked.drains, 1);
}

static void what_was_not_done_is_told_apart(void **state)
{
    (void)state;
    asked.refuse_reload = true;
    ask_control(SP_SPAN_LIT("reload\n"));
    assert_string_equal(answer, "no\nwords of the reload\n");
    ask_control(SP_SPAN_LIT("destroy\n"));
    assert_begins("no\nthere is no such command");
    ask_control(SP_SPAN_LIT("\n"));
    assert_begins("no\n");
    ask_control(SP_SPAN_LIT("drain now\n"));
    assert_begins("no\n");
    ask_control(SP_SPAN_LIT("why bob\n"));
    assert_begins("no\nnothing is known of bob");
    ask_control(SP_SPAN_LIT("why carol\n"));
    assert_string_equal(answer, "no\nthere is too little memory to tell\n");
    ask_control(SP_SPAN_LIT("why\n"));
    assert_begins("no\nof whom?");
    ask_control(SP_SPAN_LIT("trace\n"));
    assert_begins("no\nof whom?");
    ask_control(SP_SPAN_LIT("trace nobody\n"));
    assert_begins("no\ntoo many");
    ask_control(SP_SPAN_LIT("flush a\tb\n"));
    assert_begins("no\na command is one line of text");
    ask_control(SP_SPAN_LIT("flush \xff\n"));
    assert_begins("no\na command is one line of text");
    assert_int_equal(asked.drains + asked.flushes, 0);
}

static void a_line_without_end_is_refused(void **state)
{
    static char line[SP_ADMIN_LINE_MAX];

    (void)state;
    memset(line, 'a', sizeof line);
    ask_control(sp_span_of(line, sizeof line));
    assert_begins("no\n");
}

/* The answer can then no longer be sent, but nothing may break. */
static void the_room_may_close_within_a_command(void **state)
{
    int fd = connect_control();

    (void)state;
    asked.close_on_drain = true;
    send_text(fd, SP_SPAN_LIT("drain\n"));
    (void)read_all(fd);
    assert_int_equal(asked.drains, 1);
    assert_null(admin);
}

static void only_root_and_the_own_user_are_answered(void **state)
{
    pid_t child;
    int status;

    (void)state;
    if (geteuid() != 0)
        skip(); /* it takes root to become somebody else */
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(chmod(socket_path, 0666), 0); /* as if the file system had no modes */
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct sockaddr_un sun = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        char told[200] = "";

        (void)snprintf(sun.sun_path, sizeof sun.sun_path, "%s", socket_path);
        if (setuid(65534) != 0 || connect(fd, (struct sockaddr *)&sun, sizeof sun) != 0)
            _exit(2);
        (void)!write(fd, "stats\n", 6);
        if (read(fd, told, sizeof told - 1) < 3 ||
            strncmp(told, SP_ADMIN_NO "the control socket is for root", 33) != 0)
            _exit(1);
        _exit(strstr(told, "you are uid 65534\n") != NULL ? 0 : 3);
    }
    for (unsigned i = 0; i < TURNS && waitpid(child, &status, WNOHANG) == 0; i++)
        turn();
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- following ---- */

/* Turns until that many bytes of the stream have been read. */
static void read_some(int fd, size_t want)
{
    size_t len = 0;

    for (unsigned i = 0; len < want; i++) {
        ssize_t got = recv(fd, answer, sizeof answer - 1, MSG_DONTWAIT);

        assert_int_not_equal(got, 0);
        len += got > 0 ? (size_t)got : 0;
        if (got < 0)
            turn();
        assert_true(i < TURNS);
    }
    assert_int_equal(len, want);
}

static int follow_alice(void)
{
    int fd = connect_control();

    send_text(fd, SP_SPAN_LIT("trace alice\n"));
    read_some(fd, 3);
    assert_int_equal(asked.following, 1);
    return fd;
}

static void a_follower_gets_what_comes_and_no_deadline(void **state)
{
    int fd;

    (void)state;
    admin->deadline_ms = 20;
    fd = follow_alice();
    for (unsigned i = 0; i < 100; i++)
        turn();
    assert_int_equal(conns(), 1);
    for (unsigned i = 1; i < 4; i++) {
        asked.waiting = i * 1000;
        sp_admin_wake(admin);
        read_some(fd, i * 1000);
    }
    (void)close(fd);
    for (unsigned i = 0; i < 50; i++)
        turn();
    assert_int_equal(asked.following, 0);
    assert_int_equal(conns(), 0);
    sp_admin_wake(admin); /* for nobody */
}

static void a_follower_that_does_not_read_takes_no_more(void **state)
{
    int fd = follow_alice();
    size_t left;

    (void)state;
    asked.waiting = (size_t)64 * 1024 * 1024;
    sp_admin_wake(admin);
    for (unsigned i = 0; i < 200; i++)
        turn();
    left = asked.waiting;
    assert_true(left > 0);
    for (unsigned i = 0; i < 200; i++) {
        sp_admin_wake(admin);
        turn();
    }
    assert_int_equal(asked.waiting, left); /* it waits where it is kept */
    (void)close(fd);
    for (unsigned i = 0; i < 50; i++)
        turn();
    assert_int_equal(asked.following, 0);
}

static void closing_ends_who_follows(void **state)
{
    int fd = follow_alice();

    (void)state;
    asked.waiting = (size_t)64 * 1024 * 1024; /* a write is under way, too */
    sp_admin_wake(admin);
    turn();
    sp_admin_close(&admin);
    assert_int_equal(asked.following, 0);
    turn();
    (void)close(fd);
}

/* ---- an answer that comes later ---- */

/* The question has been asked, and its answer is being gathered. */
static int ask_for(const char *command)
{
    int fd = connect_control();

    send_text(fd, sp_span_cstr(command));
    for (unsigned i = 0; i < TURNS && asked.asker == NULL; i++)
        turn();
    assert_non_null(asked.asker);
    assert_int_equal(asked.asker->state, SP_ADMIN_CONN_WAITING);
    return fd;
}

static int ask_sessions(void)
{
    return ask_for("sessions\n");
}

static void an_answer_that_comes_later_is_sent_whole(void **state)
{
    int fd = ask_sessions();
    char byte;

    (void)state;
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1); /* nothing yet */
    ask_control(SP_SPAN_LIT("sessions\n"));
    assert_string_equal(answer, "no\none at a time\n");
    sp_admin_answer(asked.asker, true, SP_SPAN_LIT("{}\n{}\n"));
    (void)read_all(fd);
    assert_string_equal(answer, "ok\n{}\n{}\n");
    assert_int_equal(asked.forgotten, 0);
}

static void a_reload_is_answered_by_what_came_of_it(void **state)
{
    int fd = ask_for("reload\n");

    (void)state;
    assert_int_equal(asked.reloads, 1);
    sp_admin_answer(asked.asker, true, SP_SPAN_LIT("words of the reload\n"));
    (void)read_all(fd);
    assert_string_equal(answer, "ok\nwords of the reload\n");
    asked.asker = NULL;
    fd = ask_for("reload\n");
    sp_admin_answer(asked.asker, false, SP_SPAN_LIT("a worker could not\n"));
    (void)read_all(fd);
    assert_string_equal(answer, "no\na worker could not\n");
    assert_int_equal(asked.forgotten, 0);
}

static void who_half_closes_waits_for_the_answer_that_comes_later(void **state)
{
    int fd = ask_sessions();

    (void)state;
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    for (unsigned i = 0; i < TURNS && !asked.asker->peer_done; i++)
        turn();
    assert_true(asked.asker->peer_done);
    sp_admin_answer(asked.asker, true, SP_SPAN_LIT("{}\n"));
    (void)read_all(fd);
    assert_string_equal(answer, "ok\n{}\n");
}

static void an_answer_for_who_has_gone_breaks_nothing(void **state)
{
    int fd = ask_sessions();

    (void)state;
    (void)close(fd);
    for (unsigned i = 0; i < TURNS && !asked.asker->peer_done; i++)
        turn();
    sp_admin_answer(asked.asker, true, SP_SPAN_LIT("{}\n"));
    for (unsigned i = 0; i < TURNS && conns() > 0; i++)
        turn();
    assert_int_equal(conns(), 0);
    assert_int_equal(asked.forgotten, 0);
}

static void an_answer_that_never_comes_is_not_waited_for(void **state)
{
    int fd;

    (void)state;
    admin->deadline_ms = 20;
    fd = ask_sessions();
    (void)read_all(fd);
    assert_string_equal(answer, "no\nno answer in time: the log tells what becomes of it\n");
    assert_int_equal(asked.forgotten, 1);
}

static void closing_forgets_what_is_gathered(void **state)
{
    int fd = ask_sessions();

    (void)state;
    sp_admin_close(&admin);
    assert_int_equal(asked.forgotten, 1);
    assert_int_equal(read_all(fd), 0);
}

/* ---- bounds ---- */

static void a_client_that_says_nothing_is_cut(void **state)
{
    int fd = connect_http();

    (void)state;
    admin->deadline_ms = 20;
    turn();
    assert_int_equal(read_all(fd), 0);
    assert_int_equal(conns(), 0);
}

static void a_client_that_does_not_close_after_its_answer_is_cut(void **state)
{
    int fd = connect_http();

    (void)state;
    admin->deadline_ms = 20;
    send_text(fd, SP_SPAN_LIT("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"));
    for (unsigned i = 0; i < 200 && (i < 10 || conns() > 0); i++)
        turn();
    assert_int_equal(conns(), 0);
    (void)close(fd);
}

static void connections_beyond_the_limit_are_closed_at_once(void **state)
{
    int fds[SP_ADMIN_CONNS_MAX + 3];
    char byte;

    (void)state;
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        fds[i] = connect_http();
        turn();
        turn();
    }
    assert_int_equal(conns(), SP_ADMIN_CONNS_MAX);
    assert_int_equal(recv(fds[SP_ADMIN_CONNS_MAX], &byte, 1, MSG_DONTWAIT), 0);
    assert_int_equal(recv(fds[0], &byte, 1, MSG_DONTWAIT), -1); /* open, and quiet */
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        (void)close(fds[i]);
    for (unsigned i = 0; i < 50; i++)
        turn();
    get("/healthz"); /* and there is room again */
    assert_begins("HTTP/1.1 200 OK\r\n");
}

static void closing_cuts_what_is_open(void **state)
{
    int quiet_fd = connect_http();
    int half_fd = connect_control();

    (void)state;
    send_text(half_fd, SP_SPAN_LIT("sta"));
    turn();
    turn();
    assert_int_equal(conns(), 2);
    sp_admin_close(&admin);
    sp_admin_close(&admin); /* closing twice is harmless */
    assert_int_equal(read_all(quiet_fd), 0);
    assert_int_equal(read_all(half_fd), 0);
}

/* ---- the socket's place ---- */

static void the_socket_is_its_owners_alone_and_goes_with_him(void **state)
{
    struct stat st;

    (void)state;
    assert_int_equal(lstat(socket_path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0600);
    sp_admin_close(&admin);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(lstat(socket_path, &st), -1);
}

/* Anew, at `path`, without HTTP. */
static enum sp_err reopen_at(const char *path, bool set)
{
    sp_admin_close(&admin);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    return open_admin(path, "", set);
}

static void a_dead_socket_is_replaced_and_a_live_one_is_not(void **state)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    char path[100];

    (void)state;
    (void)snprintf(path, sizeof path, "%s/old.sock", folder);
    (void)snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof sun), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(reopen_at(path, true), SP_ERR_IO); /* somebody listens */
    assert_null(admin);
    (void)close(fd);
    assert_int_equal(reopen_at(path, true), SP_OK); /* nobody does */
    assert_non_null(admin);
}

static void what_is_no_socket_is_left_alone(void **state)
{
    char path[100];
    struct stat st;
    FILE *file;

    (void)state;
    (void)snprintf(path, sizeof path, "%s/file", folder);
    file = fopen(path, "w");
    assert_non_null(file);
    (void)fclose(file);
    assert_int_equal(reopen_at(path, true), SP_ERR_IO);
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    (void)unlink(path);
}

static void the_last_folder_is_made_and_no_more(void **state)
{
    char path[120];

    (void)state;
    (void)snprintf(path, sizeof path, "%s/a/b/admin.sock", folder);
    assert_int_equal(reopen_at(path, true), SP_ERR_IO);
    (void)snprintf(path, sizeof path, "%s/a/admin.sock", folder);
    assert_int_equal(reopen_at(path, true), SP_OK);
    sp_admin_close(&admin);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)snprintf(path, sizeof path, "%s/a", folder);
    assert_int_equal(rmdir(path), 0);
}

static void a_place_that_nobody_chose_may_fail(void **state)
{
    char path[200];

    (void)state;
    memset(path, 'a', sizeof path);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    assert_int_equal(reopen_at(path, true), SP_ERR_IO);
    assert_int_equal(reopen_at(path, false), SP_OK);
}

static void an_address_that_is_taken_is_an_error_only_if_it_was_chosen(void **state)
{
    struct sp_admin *first = admin;

    (void)state;
    admin = NULL;
    assert_int_equal(open_admin("", http_text, true), SP_ERR_IO);
    assert_null(admin);
    assert_int_equal(open_admin("", http_text, false), SP_OK);
    sp_admin_close(&admin);
    admin = first;
    get("/healthz");
    assert_begins("HTTP/1.1 200 OK\r\n");
}

static void nothing_asked_for_is_nothing_opened(void **state)
{
    (void)state;
    sp_admin_close(&admin);
    assert_int_equal(open_admin("", "", true), SP_OK);
    assert_null(admin);
}

static int group_setup(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL || sp_stats_init(1) != SP_OK)
        return -1;
    (void)signal(SIGPIPE, SIG_IGN); /* as on the loop that it lives on */
    (void)snprintf(socket_path, sizeof socket_path, "%s/admin.sock", folder);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    sp_stats_fini();
    return rmdir(folder); /* fails when a socket was left behind */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(metrics_are_served_in_prometheus_text),
        TEST(health_and_readiness_are_two_things),
        TEST(the_status_page_is_whole_and_escapes_words),
        TEST(a_reload_that_lacked_means_has_another_remedy_than_a_faulty_one),
        TEST(head_has_the_length_and_no_body),
        TEST(a_query_is_ignored),
        TEST(everything_else_is_refused),
        TEST(a_head_without_end_is_refused_in_bounded_memory),
        TEST(a_question_in_pieces_is_answered),
        TEST(a_client_that_half_closes_still_gets_its_answer),
        TEST(a_strangers_name_for_loopback_reads_nothing),
        TEST(each_command_is_done_and_answered),
        TEST(what_was_not_done_is_told_apart),
        TEST(a_line_without_end_is_refused),
        TEST(the_room_may_close_within_a_command),
        TEST(only_root_and_the_own_user_are_answered),
        TEST(a_follower_gets_what_comes_and_no_deadline),
        TEST(a_follower_that_does_not_read_takes_no_more),
        TEST(closing_ends_who_follows),
        TEST(an_answer_that_comes_later_is_sent_whole),
        TEST(who_half_closes_waits_for_the_answer_that_comes_later),
        TEST(an_answer_for_who_has_gone_breaks_nothing),
        TEST(an_answer_that_never_comes_is_not_waited_for),
        TEST(a_reload_is_answered_by_what_came_of_it),
        TEST(closing_forgets_what_is_gathered),
        TEST(a_client_that_says_nothing_is_cut),
        TEST(a_client_that_does_not_close_after_its_answer_is_cut),
        TEST(connections_beyond_the_limit_are_closed_at_once),
        TEST(closing_cuts_what_is_open),
        TEST(the_socket_is_its_owners_alone_and_goes_with_him),
        TEST(a_dead_socket_is_replaced_and_a_live_one_is_not),
        TEST(what_is_no_socket_is_left_alone),
        TEST(the_last_folder_is_made_and_no_more),
        TEST(a_place_that_nobody_chose_may_fail),
        TEST(an_address_that_is_taken_is_an_error_only_if_it_was_chosen),
        TEST(nothing_asked_for_is_nothing_opened),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
