/* One connection of the admin listeners: read a question, write the answer, end. One question a
 * connection keeps this small, and there is nobody here in such a hurry that it matters.
 *
 * The control socket's clients are known by the kernel: root, or the user that the proxy runs as;
 * nobody else is answered but with that (the socket's mode says the same, but not on every file
 * system). Who is answered over HTTP is visitor.c's. */
#include "admin/admin_priv.h"

#include "util/span.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const bool may_enter[6][6] = {
    [SP_ADMIN_CONN_READING] = {[SP_ADMIN_CONN_WAITING] = true,
                               [SP_ADMIN_CONN_WRITING] = true,
                               [SP_ADMIN_CONN_FOLLOWING] = true,
                               [SP_ADMIN_CONN_CLOSING] = true},
    [SP_ADMIN_CONN_WAITING] = {[SP_ADMIN_CONN_WRITING] = true, [SP_ADMIN_CONN_CLOSING] = true},
    [SP_ADMIN_CONN_WRITING] = {[SP_ADMIN_CONN_ENDING] = true, [SP_ADMIN_CONN_CLOSING] = true},
    [SP_ADMIN_CONN_FOLLOWING] = {[SP_ADMIN_CONN_CLOSING] = true},
    [SP_ADMIN_CONN_ENDING] = {[SP_ADMIN_CONN_CLOSING] = true},
};

static void conn_enter(struct sp_admin_conn *conn, enum sp_admin_conn_state next)
{
    assert(may_enter[conn->state][next]);
    conn->state = next;
}

/* ---- the end ---- */

/* A connection dies here and nowhere else. */
static void on_handle_closed(uv_handle_t *handle)
{
    struct sp_admin_conn *conn = handle->data;
    struct sp_admin *admin = conn->admin;

    assert(conn->handles > 0);
    if (--conn->handles > 0)
        return;
    sp_http_parser_free(&conn->parser);
    sp_buf_fini(&conn->out);
    free(conn);
    sp_admin_part_closed(admin);
}

void sp_admin_conn_close(struct sp_admin_conn *conn)
{
    if (conn->state == SP_ADMIN_CONN_CLOSING)
        return;
    conn_enter(conn, SP_ADMIN_CONN_CLOSING);
    if (conn->follow != NULL)
        conn->admin->events.unfollow(conn->admin->events.owner, conn->follow);
    conn->follow = NULL;
    if (conn->later != NULL)
        conn->forget(conn->admin->events.owner, conn->later);
    conn->later = NULL;
    sp_list_remove(&conn->link);
    conn->admin->conns_len[conn->kind]--;
    uv_close((uv_handle_t *)&conn->timer, on_handle_closed);
    uv_close((uv_handle_t *)&conn->handle.stream, on_handle_closed);
}

static void on_deadline(uv_timer_t *timer)
{
    sp_admin_conn_close(timer->data);
}

/* ---- the answer ---- */

/* Our side is closed; the other's is awaited, since a close with unread bytes would reset the
 * connection and could take the answer with it (RFC 9112 9.6). */
static void on_shutdown(uv_shutdown_t *shutdown, int status)
{
    struct sp_admin_conn *conn = shutdown->data;

    if (status != 0 || conn->peer_done)
        sp_admin_conn_close(conn);
}

static void on_written(uv_write_t *write, int status)
{
    struct sp_admin_conn *conn = write->data;

    if (conn->state == SP_ADMIN_CONN_CLOSING)
        return;
    conn->shutdown.data = conn;
    if (status != 0 || uv_shutdown(&conn->shutdown, &conn->handle.stream, on_shutdown) != 0) {
        sp_admin_conn_close(conn);
        return;
    }
    conn_enter(conn, SP_ADMIN_CONN_ENDING);
}

static void answer(struct sp_admin_conn *conn)
{
    struct sp_span bytes = sp_buf_span(&conn->out);
    uv_buf_t buf = {.base = conn->out.base + conn->out.start, .len = bytes.len};

    conn_enter(conn, SP_ADMIN_CONN_WRITING);
    conn->write.data = conn;
    if (bytes.len == 0 ||
        uv_timer_start(&conn->timer, on_deadline, conn->admin->deadline_ms, 0) != 0 ||
        uv_write(&conn->write, &conn->handle.stream, &buf, 1, on_written) != 0)
        sp_admin_conn_close(conn);
}

/* ---- an answer that comes later ---- */

void sp_admin_answer(struct sp_admin_conn *asker, bool well, struct sp_span words)
{
    assert(asker->state == SP_ADMIN_CONN_WAITING);
    asker->later = NULL;
    if (sp_buf_append(&asker->out, sp_span_cstr(well ? SP_ADMIN_OK : SP_ADMIN_NO)) != SP_OK ||
        sp_buf_append(&asker->out, words) != SP_OK)
        sp_buf_reset(&asker->out);
    answer(asker);
}

static void on_no_answer(uv_timer_t *timer)
{
    struct sp_admin_conn *conn = timer->data;

    conn->forget(conn->admin->events.owner, conn->later);
    sp_admin_answer(conn, false,
                    SP_SPAN_LIT("no answer in time: the log tells what becomes of it\n"));
}

/* Who gathers sessions has a deadline of his own; ours is behind it. */
static void await(struct sp_admin_conn *conn)
{
    conn_enter(conn, SP_ADMIN_CONN_WAITING);
    if (uv_timer_start(&conn->timer, on_no_answer, conn->admin->deadline_ms, 0) != 0)
        sp_admin_conn_close(conn);
}

/* ---- following ---- */

static void on_told(uv_write_t *write, int status)
{
    struct sp_admin_conn *conn = write->data;

    conn->writing = false;
    if (conn->state == SP_ADMIN_CONN_CLOSING)
        return;
    sp_buf_reset(&conn->out);
    if (status != 0)
        sp_admin_conn_close(conn);
    else
        sp_admin_conn_wake(conn);
}

/* A reader that is slow holds up nothing but itself: what comes meanwhile waits, within a bound,
 * with whoever keeps it. */
void sp_admin_conn_wake(struct sp_admin_conn *conn)
{
    const struct sp_admin_events *events = &conn->admin->events;
    uv_buf_t buf;

    if (conn->state != SP_ADMIN_CONN_FOLLOWING || conn->writing)
        return;
    if (conn->out.len == 0)
        events->follow_read(events->owner, conn->follow, &conn->out);
    if (conn->out.len == 0)
        return;
    buf = uv_buf_init(conn->out.base + conn->out.start, (unsigned)conn->out.len);
    conn->write.data = conn;
    conn->writing = true;
    if (uv_write(&conn->write, &conn->handle.stream, &buf, 1, on_told) != 0) {
        conn->writing = false;
        sp_admin_conn_close(conn);
    }
}

static void follow(struct sp_admin_conn *conn)
{
    conn_enter(conn, SP_ADMIN_CONN_FOLLOWING);
    (void)uv_timer_stop(&conn->timer); /* cannot fail */
    sp_admin_conn_wake(conn);
}

/* ---- the question ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct sp_admin_conn *conn = handle->data;

    (void)suggested;
    if (conn->state != SP_ADMIN_CONN_READING)
        conn->in_len = 0; /* what comes behind the question is read only to be dropped */
    buf->base = conn->in + conn->in_len;
    buf->len = sizeof conn->in - conn->in_len; /* never 0: a full buffer has been answered */
}

static void on_read(uv_stream_t *stream, ssize_t read, const uv_buf_t *buf)
{
    struct sp_admin_conn *conn = stream->data;

    (void)buf;
    if (read < 0) {
        conn->peer_done = true;
        if (conn->state != SP_ADMIN_CONN_WRITING &&
            conn->state != SP_ADMIN_CONN_WAITING) /* half-closed behind its question: fair */
            sp_admin_conn_close(conn);
        return;
    }
    if (conn->state != SP_ADMIN_CONN_READING || read == 0)
        return;
    conn->in_len += (size_t)read;
    if (!(conn->kind == SP_ADMIN_HTTP ? sp_admin_http_answer(conn) : sp_admin_control_answer(conn)))
        return;
    if (conn->state != SP_ADMIN_CONN_READING) /* "drain" may have closed the whole room */
        return;
    if (conn->follow != NULL && conn->out.len > 0)
        follow(conn);
    else if (conn->later != NULL)
        await(conn);
    else
        answer(conn);
}

/* ---- the beginning ---- */

/* At once, or not at all: somebody who may not ask holds no connection. */
static void tell_stranger(struct sp_admin_conn *conn, const struct ucred *peer)
{
    char words[160];
    int len = snprintf(words, sizeof words,
                       SP_ADMIN_NO "the control socket is for root and the user that sallyport "
                                   "runs as (uid %lu); you are uid %lu\n",
                       (unsigned long)geteuid(), (unsigned long)peer->uid);
    uv_buf_t buf = uv_buf_init(words, (unsigned)len);

    (void)uv_try_write(&conn->handle.stream, &buf, 1); /* who has left does not hear it */
}

static bool is_welcome(struct sp_admin_conn *conn)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    uv_os_fd_t fd;

    if (conn->kind == SP_ADMIN_HTTP)
        return true;
    if (uv_fileno((const uv_handle_t *)&conn->handle.stream, &fd) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return false;
    if (peer.uid == 0 || peer.uid == geteuid())
        return true;
    sp_log_warning(conn->admin->log,
                   "event=control_refused uid=%lu pid=%ld detail=\"the control "
                   "socket is for root and the proxy's own user\"",
                   (unsigned long)peer.uid, (long)peer.pid);
    tell_stranger(conn, &peer);
    return false;
}

static int init_stream(struct sp_admin_conn *conn)
{
    if (conn->kind == SP_ADMIN_HTTP)
        return uv_tcp_init(conn->admin->loop, &conn->handle.tcp);
    return uv_pipe_init(conn->admin->loop, &conn->handle.pipe, 0);
}

/* Both handles are set up, so that closing works from here on. */
static struct sp_admin_conn *conn_new(struct sp_admin *admin, enum sp_admin_kind kind)
{
    static const struct sp_http_limits limits = {
        .head_size = SP_ADMIN_HEAD_MAX, .fields = 64, .target_size = 1024};
    struct sp_admin_conn *conn = calloc(1, sizeof *conn);

    if (conn == NULL)
        return NULL;
    conn->admin = admin;
    conn->kind = kind;
    sp_buf_init(&conn->out, SP_ADMIN_ANSWER_MAX);
    if (kind == SP_ADMIN_HTTP)
        conn->parser = sp_http_parser_new(&limits);
    if ((kind == SP_ADMIN_HTTP && conn->parser == NULL) || init_stream(conn) != 0) {
        sp_http_parser_free(&conn->parser);
        free(conn);
        return NULL;
    }
    (void)uv_timer_init(admin->loop, &conn->timer); /* cannot fail */
    conn->timer.data = conn;
    conn->handle.stream.data = conn;
    conn->handles = 2;
    sp_list_push(&admin->conns, &conn->link);
    admin->conns_len[kind]++;
    admin->parts++;
    return conn;
}

/* Strangers, who are told no more than why they are not answered, have half of the places: the
 * other half is there for those who may ask, however many strangers come. */
static bool has_room(const struct sp_admin_conn *conn, unsigned others)
{
    if (conn->kind == SP_ADMIN_HTTP && others >= SP_ADMIN_CONNS_MAX / 2 && !sp_admin_is_known(conn))
        return false;
    return others < SP_ADMIN_CONNS_MAX;
}

/* libuv has accepted a connection already when it calls, and calls no more before that one is
 * taken; to turn it away we take it and close. */
bool sp_admin_conn_accept(struct sp_admin *admin, uv_stream_t *listener, enum sp_admin_kind kind)
{
    unsigned before = admin->conns_len[kind];
    struct sp_admin_conn *conn = conn_new(admin, kind);

    if (conn == NULL)
        return false;
    if (uv_accept(listener, &conn->handle.stream) != 0 || !has_room(conn, before) ||
        !is_welcome(conn) ||
        uv_timer_start(&conn->timer, on_deadline, conn->admin->deadline_ms, 0) != 0 ||
        uv_read_start(&conn->handle.stream, on_alloc, on_read) != 0)
        sp_admin_conn_close(conn);
    return true;
}
