/* Kernel pipes and splice(2): the bytes of a tunnel go from socket to pipe to socket without being
 * copied into this process. Pipes cost two descriptors each and are taken only while bytes wait; a
 * small stock per loop saves making them. Loop thread. */
#include "net/stream_priv.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* One splice moves at most this much. A large pipe makes long bodies cheaper by more than a third.
 * But the kernel lets an unprivileged user have 64 MiB of pipes in all (pipe-user-pages-soft, by
 * their size, full or not) before it gives out the smallest ones only, and a slow reader may keep
 * its pipe for long. So a few in the whole process are large; whoever comes while these are out
 * gets one that is not. */
#define PIPE_LARGE      (1024 * 1024) /* what pipe-max-size lets everybody have */
#define PIPE_SIZE       (256 * 1024)
#define PIPES_LARGE_MAX 16u
#define PIPE_STOCK_MAX  32
#define PIPE_SIZE_LEAST 4096 /* one page: what a pipe has at the very least */

static atomic_uint pipes_large; /* of all loops, in their stocks and out of them */

static bool is_large(size_t capacity)
{
    return capacity > PIPE_SIZE;
}

/* False: there are enough, or the kernel grants no such size. */
static bool make_large(int fd)
{
    if (atomic_fetch_add_explicit(&pipes_large, 1, memory_order_relaxed) < PIPES_LARGE_MAX &&
        fcntl(fd, F_SETPIPE_SZ, PIPE_LARGE) >= 0)
        return true;
    (void)atomic_fetch_sub_explicit(&pipes_large, 1, memory_order_relaxed);
    return false;
}

/* What the kernel grants: at the user's limit a smaller one serves too. */
static size_t grow(int fd)
{
    int size;

    if (make_large(fd))
        return PIPE_LARGE;
    size = fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE);
    if (size < 0)
        size = fcntl(fd, F_GETPIPE_SZ);
    return size > 0 ? (size_t)size : PIPE_SIZE_LEAST;
}

static struct sp_pipe *pipe_open(void)
{
    struct sp_pipe *pipe = malloc(sizeof(*pipe));
    int fds[2];

    if (pipe == NULL)
        return NULL;
    if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) != 0) {
        free(pipe);
        return NULL;
    }
    *pipe = (struct sp_pipe){.rd = fds[0], .wr = fds[1], .capacity = grow(fds[1])};
    return pipe;
}

static void pipe_close(struct sp_pipe *pipe)
{
    close(pipe->rd);
    close(pipe->wr);
    if (is_large(pipe->capacity))
        (void)atomic_fetch_sub_explicit(&pipes_large, 1, memory_order_relaxed);
    free(pipe);
}

struct sp_pipe *sp_pipe_take(struct sp_loop *loop)
{
    struct sp_pipe *pipe = loop->pipes;

    if (pipe == NULL)
        return pipe_open();
    loop->pipes = pipe->next;
    loop->pipes_len--;
    pipe->next = NULL;
    return pipe;
}

void sp_pipe_give(struct sp_loop *loop, struct sp_pipe **pipe_ptr)
{
    struct sp_pipe *pipe = *pipe_ptr;

    *pipe_ptr = NULL;
    if (pipe == NULL)
        return;
    if (pipe->filled > 0 || loop->pipes_len >= PIPE_STOCK_MAX) {
        pipe_close(pipe);
        return;
    }
    pipe->next = loop->pipes;
    loop->pipes = pipe;
    loop->pipes_len++;
}

void sp_loop_close_pipes(struct sp_loop *loop)
{
    while (loop->pipes != NULL) {
        struct sp_pipe *pipe = loop->pipes;

        loop->pipes = pipe->next;
        pipe_close(pipe);
    }
    loop->pipes_len = 0;
}

bool sp_stream_can_splice(const struct sp_stream *from, const struct sp_stream *to)
{
    return (from->tls == NULL || sp_tls_kernel_receives(from)) &&
           (to->tls == NULL || sp_tls_kernel_sends(to));
}

/* EAGAIN with bytes in the pipe has two readings: the socket is empty, or the pipe is full (it
 * counts in buffers, not in bytes). Only the first may clear can_read: else an edge is lost. */
static enum sp_err splice_in_again(struct sp_stream *st, const struct sp_pipe *pipe)
{
    int waiting = 0;

    if (pipe->filled == 0)
        st->can_read = false;
    else if (!st->no_short && ioctl(st->fd, FIONREAD, &waiting) == 0 && waiting == 0)
        st->can_read = false;
    return SP_ERR_AGAIN;
}

/* In kernel TLS a record that is not data (an alert, a new handshake) stops splice(2) with EINVAL,
 * and a FIN without close_notify looks like a clean end. Only the library tells them apart, so it
 * reads; data that follows in the same call goes into the pipe by hand. */
static enum sp_err splice_in_record(struct sp_stream *st, struct sp_pipe *pipe, size_t *len_out)
{
    char bytes[4096];
    size_t got = 0;
    size_t room = pipe->capacity - pipe->filled;
    enum sp_err err = sp_tls_read_record(st, bytes, room < sizeof(bytes) ? room : sizeof(bytes),
                                         &got);

    if (err != SP_OK || got == 0)
        return err;
    if (write(pipe->wr, bytes, got) != (ssize_t)got)
        return SP_ERR_IO;
    pipe->filled += got;
    *len_out = got;
    return SP_OK;
}

static enum sp_err splice_in_failed(struct sp_stream *st, struct sp_pipe *pipe, int error,
                                    size_t *len_out)
{
    enum sp_err err;

    if (error == EAGAIN || error == EWOULDBLOCK)
        return splice_in_again(st, pipe);
    if (st->tls != NULL && error == EINVAL)
        return splice_in_record(st, pipe, len_out);
    err = sp_stream_fault(st, error);
    st->reset = true;
    (void)sp_stream_ended(st);
    return err;
}

enum sp_err sp_stream_splice_in(struct sp_stream *st, struct sp_pipe *pipe, size_t max,
                                size_t *len_out)
{
    size_t room = pipe->capacity - pipe->filled;
    ssize_t got;

    assert(st->magic == SP_STREAM_MAGIC && st->fd >= 0);
    *len_out = 0;
    if (st->ended)
        return st->reset ? SP_ERR_CLOSED : SP_OK;
    if (max > room)
        max = room;
    if (!st->can_read || max == 0)
        return SP_ERR_AGAIN;
    do {
        got = splice(st->fd, NULL, pipe->wr, NULL, max, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return splice_in_failed(st, pipe, errno, len_out);
    if (got == 0)
        return st->tls != NULL ? splice_in_record(st, pipe, len_out) : sp_stream_ended(st);
    pipe->filled += (size_t)got; /* a short one proves nothing: the pipe may be full of buffers */
    *len_out = (size_t)got;
    return SP_OK;
}

enum sp_err sp_stream_splice_out(struct sp_stream *st, struct sp_pipe *pipe, size_t *len_out)
{
    ssize_t sent;

    assert(st->magic == SP_STREAM_MAGIC && st->fd >= 0);
    assert(pipe->filled > 0);
    *len_out = 0;
    if (!st->can_write)
        return SP_ERR_AGAIN;
    do {
        sent = splice(pipe->rd, NULL, st->fd, NULL, pipe->filled,
                      SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    } while (sent < 0 && errno == EINTR);
    if (sent > 0) {
        pipe->filled -= (size_t)sent;
        *len_out = (size_t)sent;
        return SP_OK;
    }
    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
        return sp_stream_fault(st, errno);
    return sp_stream_no_room(st); /* the pipe has bytes, so it is the socket that has none */
}
