/* A log file with a thread of its own. Callers put chunks into a bounded queue and never wait; the
 * thread writes them. Access and error log have one each, so that a reader who stops taking the one
 * does not hold up the other.
 *
 * A disk that is full, a reader that went away or one that does not read costs lines, which are
 * counted and told of once, and nothing else. */
#include "log/log_priv.h"

#include "util/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define QUEUE_MAX      (8u << 20) /* bytes waiting for one file */
#define PIPE_PIECE     4096u      /* PIPE_BUF: a pipe that poll(2) calls writable takes that much */
#define POLL_SLICE_MS  100
#define CLOSE_GRACE_MS 3000u  /* how long closing goes on writing */
#define STUCK_AFTER_MS 2000u  /* and how long it waits for the thread beyond that */
#define TELL_EVERY_MS  10000u /* lost lines are told of no more often */

struct sink {
    pthread_mutex_t lock; /* guards what stands up to `thread` */
    pthread_cond_t wake;  /* there is something to do */
    pthread_cond_t rest;  /* the thread has ended */
    struct sp_chunk *first;
    struct sp_chunk **last;
    size_t queued; /* bytes in the list and in the thread's hand */
    bool stop;
    bool reopen;
    bool over; /* the thread has ended, or is about to */
    uint64_t stop_by_ms;
    atomic_bool open;
    pthread_t thread;
    bool stuck; /* closed, but the thread hangs in the file system and still owns what follows */
    /* the thread's own from here */
    char *path;
    int fd;
    bool regular;         /* a file, on which poll(2) says nothing */
    bool torn;            /* the last line was written in part */
    atomic_int failing;   /* errno of the last write, which has been told; 0: it went well */
    atomic_int reopening; /* the same of opening it anew */
    atomic_uint_fast64_t dropped;
    uint64_t told; /* of `dropped` */
    uint64_t told_ms;
};

static const char *const names[SP_SINK_COUNT] = {"access", "error"};
static struct sink sinks[SP_SINK_COUNT] = {
    {.lock = PTHREAD_MUTEX_INITIALIZER,
     .wake = PTHREAD_COND_INITIALIZER,
     .rest = PTHREAD_COND_INITIALIZER,
     .fd = -1},
    {.lock = PTHREAD_MUTEX_INITIALIZER,
     .wake = PTHREAD_COND_INITIALIZER,
     .rest = PTHREAD_COND_INITIALIZER,
     .fd = -1},
};
static atomic_uint_fast64_t dropped_unqueued;

struct sp_chunk *sp_chunk_new(size_t cap)
{
    struct sp_chunk *chunk = malloc(sizeof(*chunk) + cap);

    if (chunk != NULL)
        *chunk = (struct sp_chunk){.cap = cap};
    return chunk;
}

/* ---- the file ---- */

/* Not blocking: to open a named pipe that nobody reads would otherwise wait for a reader, for ever;
 * so it is ENXIO. */
static int open_path(const char *path, enum sp_sink_id id)
{
    if (strcmp(path, "-") == 0)
        return id == SP_SINK_ACCESS ? STDOUT_FILENO : STDERR_FILENO;
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
}

static void close_fd(int fd)
{
    if (fd > STDERR_FILENO)
        (void)close(fd); /* written in whole by write(2); nothing is left to fail */
}

static void take_fd(struct sink *sink, int fd)
{
    struct stat st;

    close_fd(sink->fd);
    sink->fd = fd;
    sink->regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    sink->torn = false;
}

static void reopen_file(struct sink *sink)
{
    int fd;

    if (strcmp(sink->path, "-") == 0)
        return;
    fd = open_path(sink->path, (enum sp_sink_id)(sink - sinks));
    atomic_store_explicit(&sink->reopening, fd >= 0 ? 0 : errno, memory_order_relaxed);
    if (fd >= 0) {
        take_fd(sink, fd);
        return;
    }
    sp_log_error(NULL,
                 "event=log_reopen_failed log=%s file=\"%s\" detail=\"%s; the old file stays\"",
                 names[sink - sinks], sink->path, strerror(errno));
}

/* ---- writing ---- */

static bool past_stop(struct sink *sink)
{
    bool past;

    (void)pthread_mutex_lock(&sink->lock);
    past = sink->stop && sp_clock_mono_ms(&sp_clock_system) >= sink->stop_by_ms;
    (void)pthread_mutex_unlock(&sink->lock);
    return past;
}

/* Until the descriptor takes bytes. A regular file always does. False: closing cannot wait any
 * longer. An error shows when it is written to. */
static bool wait_writable(struct sink *sink)
{
    struct pollfd fd = {.fd = sink->fd, .events = POLLOUT};

    if (sink->regular)
        return true;
    while (poll(&fd, 1, POLL_SLICE_MS) <= 0) {
        if (past_stop(sink))
            return false;
    }
    return true;
}

/* Returns how much was written; less than len: errno says why. */
static size_t write_bytes(struct sink *sink, const char *bytes, size_t len)
{
    size_t done = 0;

    while (done < len) {
        size_t piece = len - done;
        ssize_t wrote;

        if (!wait_writable(sink)) {
            errno = ETIMEDOUT;
            break;
        }
        if (!sink->regular && piece > PIPE_PIECE)
            piece = PIPE_PIECE;
        wrote = write(sink->fd, bytes + done, piece);
        if (wrote > 0)
            done += (size_t)wrote;
        else if (wrote < 0 && errno != EINTR && errno != EAGAIN)
            break;
        else if (wrote <= 0 && past_stop(sink)) /* EAGAIN after poll: others write there too */
            break;
    }
    return done;
}

#define WRITE_FAILED                                                                         \
    "event=log_write_failed log=%s file=\"%s\" detail=\"%s; lines are lost until it can be " \
    "written again\""

static void tell_failure(struct sink *sink, int why)
{
    if (atomic_exchange_explicit(&sink->failing, why, memory_order_relaxed) != 0)
        return;
    if (sink != &sinks[SP_SINK_ERROR])
        sp_log_error(NULL, WRITE_FAILED, names[sink - sinks], sink->path, strerror(why));
    else if (strcmp(sink->path, "-") != 0) /* of its own failure the error log cannot tell */
        sp_log_aside(WRITE_FAILED, names[sink - sinks], sink->path, strerror(why));
}

static void count_dropped(struct sink *sink, unsigned lines)
{
    (void)atomic_fetch_add_explicit(&sink->dropped, lines, memory_order_relaxed);
}

static unsigned lines_in(const char *bytes, size_t len)
{
    unsigned lines = 0;

    for (size_t i = 0; i < len; i++)
        lines += bytes[i] == '\n';
    return lines;
}

static void write_chunk(struct sink *sink, const struct sp_chunk *chunk)
{
    size_t done = 0;

    /* end the half line of a failed write first, so that one bad line stays one */
    if (!sink->torn || write_bytes(sink, "\n", 1) == 1) {
        sink->torn = false;
        done = write_bytes(sink, chunk->bytes, chunk->len);
    }
    if (done == chunk->len) {
        atomic_store_explicit(&sink->failing, 0, memory_order_relaxed);
        return;
    }
    tell_failure(sink, errno);
    sink->torn = sink->torn || (done > 0 && chunk->bytes[done - 1] != '\n');
    count_dropped(sink, lines_in(chunk->bytes + done, chunk->len - done));
}

static void tell_dropped(struct sink *sink)
{
    uint64_t dropped = atomic_load_explicit(&sink->dropped, memory_order_relaxed);
    uint64_t now = sp_clock_mono_ms(&sp_clock_system);

    if (dropped == sink->told || sink->failing)
        return;
    if (sink->told_ms != 0 && now - sink->told_ms < TELL_EVERY_MS)
        return;
    sp_log_warning(NULL, "event=log_lines_lost log=%s lines=%llu", names[sink - sinks],
                   (unsigned long long)(dropped - sink->told));
    sink->told = dropped;
    sink->told_ms = now;
}

/* ---- the thread ---- */

struct job {
    struct sp_chunk *chunk;
    bool reopen;
    bool end;
};

static struct sp_chunk *shift(struct sink *sink)
{
    struct sp_chunk *chunk = sink->first;

    if (chunk == NULL)
        return NULL;
    sink->first = chunk->next;
    if (sink->first == NULL)
        sink->last = &sink->first;
    return chunk;
}

/* What to do next. Once closing has taken its time, the end, whatever is still queued. */
static struct job next_job(struct sink *sink)
{
    struct job job = {NULL, false, false};

    (void)pthread_mutex_lock(&sink->lock);
    while (sink->first == NULL && !sink->reopen && !sink->stop)
        (void)pthread_cond_wait(&sink->wake, &sink->lock);
    if (sink->stop && sp_clock_mono_ms(&sp_clock_system) >= sink->stop_by_ms)
        job.end = true;
    else
        job.chunk = shift(sink);
    job.reopen = sink->reopen;
    sink->reopen = false;
    job.end = job.end || (sink->stop && job.chunk == NULL);
    (void)pthread_mutex_unlock(&sink->lock);
    return job;
}

static void chunk_done(struct sink *sink, struct sp_chunk *chunk)
{
    (void)pthread_mutex_lock(&sink->lock);
    sink->queued -= chunk->len;
    (void)pthread_mutex_unlock(&sink->lock);
    free(chunk);
}

static void say_over(struct sink *sink)
{
    (void)pthread_mutex_lock(&sink->lock);
    sink->over = true;
    (void)pthread_cond_signal(&sink->rest);
    (void)pthread_mutex_unlock(&sink->lock);
}

static void *sink_run(void *arg)
{
    struct sink *sink = arg;

    for (;;) {
        struct job job = next_job(sink);

        if (job.reopen)
            reopen_file(sink);
        if (job.end) {
            say_over(sink);
            return NULL;
        }
        if (job.chunk == NULL)
            continue;
        write_chunk(sink, job.chunk);
        chunk_done(sink, job.chunk);
        tell_dropped(sink);
    }
}

/* All signals stay with the main thread; SIGPIPE too, so that a reader who goes away is an EPIPE
 * here and not the end of the process. */
static int start_thread(struct sink *sink)
{
    sigset_t all;
    sigset_t old;
    int err;

    (void)sigfillset(&all);
    err = pthread_sigmask(SIG_SETMASK, &all, &old);
    if (err != 0)
        return err;
    err = pthread_create(&sink->thread, NULL, sink_run, sink);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return err;
}

/* ---- the door ---- */

static void forget_file(struct sink *sink)
{
    int kept = errno;

    close_fd(sink->fd);
    sink->fd = -1;
    free(sink->path);
    sink->path = NULL;
    errno = kept;
}

static void drop_queue(struct sink *sink)
{
    while (sink->first != NULL) {
        struct sp_chunk *chunk = sink->first;

        sink->first = chunk->next;
        count_dropped(sink, chunk->lines);
        free(chunk);
    }
    sink->last = &sink->first;
    sink->queued = 0;
}

/* The thread has ended: what it owned is ours again. */
static void after_thread(struct sink *sink)
{
    sink->stuck = false;
    (void)pthread_mutex_lock(&sink->lock);
    drop_queue(sink);
    (void)pthread_mutex_unlock(&sink->lock);
    forget_file(sink);
}

enum sp_err sp_sink_open(enum sp_sink_id id, const char *path)
{
    struct sink *sink = &sinks[id];
    int fd;
    int err;

    if (sink->stuck) {
        errno = pthread_tryjoin_np(sink->thread, NULL);
        if (errno != 0)
            return SP_ERR_IO;
        after_thread(sink);
    }
    fd = open_path(path, id);
    if (fd < 0)
        return SP_ERR_IO;
    take_fd(sink, fd);
    sink->path = strdup(path);
    sink->last = &sink->first;
    sink->stop = false;
    sink->over = false;
    atomic_store_explicit(&sink->failing, 0, memory_order_relaxed);
    atomic_store_explicit(&sink->reopening, 0, memory_order_relaxed);
    err = sink->path != NULL ? start_thread(sink) : ENOMEM;
    if (err != 0) {
        errno = err;
        forget_file(sink);
        return SP_ERR_IO;
    }
    atomic_store(&sink->open, true);
    return SP_OK;
}

/* Waits until the thread has ended, and no longer than that. By the clock that nobody sets: by the
 * other one, a jump backwards would hold the end up, and one forwards would lose lines. */
static bool wait_for_thread(struct sink *sink, uint64_t until_ms)
{
    const struct timespec by = {.tv_sec = (time_t)(until_ms / 1000),
                                .tv_nsec = (long)(until_ms % 1000) * 1000000};
    bool over;

    (void)pthread_mutex_lock(&sink->lock);
    while (!sink->over &&
           pthread_cond_clockwait(&sink->rest, &sink->lock, CLOCK_MONOTONIC, &by) == 0)
        continue;
    over = sink->over;
    (void)pthread_mutex_unlock(&sink->lock);
    return over && pthread_join(sink->thread, NULL) == 0;
}

/* The thread stops by itself once the time is up; only a file system that hangs inside write(2) can
 * hold it longer, and then it is left behind with its file. */
void sp_sink_close(enum sp_sink_id id)
{
    struct sink *sink = &sinks[id];
    uint64_t until_ms = sp_clock_mono_ms(&sp_clock_system) + CLOSE_GRACE_MS;

    if (!atomic_exchange(&sink->open, false))
        return;
    (void)pthread_mutex_lock(&sink->lock);
    sink->stop = true;
    sink->stop_by_ms = until_ms;
    (void)pthread_cond_signal(&sink->wake);
    (void)pthread_mutex_unlock(&sink->lock);
    sink->stuck = !wait_for_thread(sink, until_ms + STUCK_AFTER_MS);
    if (!sink->stuck)
        after_thread(sink);
}

void sp_sink_reopen(enum sp_sink_id id)
{
    struct sink *sink = &sinks[id];

    if (!sp_sink_is_open(id))
        return;
    (void)pthread_mutex_lock(&sink->lock);
    sink->reopen = true;
    (void)pthread_cond_signal(&sink->wake);
    (void)pthread_mutex_unlock(&sink->lock);
}

void sp_sink_state(enum sp_sink_id id, struct sp_log_state *out)
{
    const struct sink *sink = &sinks[id];

    out->log = names[id];
    (void)snprintf(out->file, sizeof(out->file), "%s",
                   strcmp(sink->path, "-") != 0 ? sink->path
                   : id == SP_SINK_ACCESS       ? "standard output"
                                                : "standard error");
    out->why = atomic_load_explicit(&sink->failing, memory_order_relaxed);
    out->reopen_why = atomic_load_explicit(&sink->reopening, memory_order_relaxed);
}

bool sp_sink_is_open(enum sp_sink_id id)
{
    return atomic_load_explicit(&sinks[id].open, memory_order_acquire);
}

void sp_sink_put(enum sp_sink_id id, struct sp_chunk *chunk)
{
    struct sink *sink = &sinks[id];
    bool taken = false;

    (void)pthread_mutex_lock(&sink->lock);
    if (sp_sink_is_open(id) && chunk->len <= QUEUE_MAX - sink->queued) {
        chunk->next = NULL;
        *sink->last = chunk;
        sink->last = &chunk->next;
        sink->queued += chunk->len;
        taken = true;
        (void)pthread_cond_signal(&sink->wake);
    }
    (void)pthread_mutex_unlock(&sink->lock);
    if (!taken) {
        count_dropped(sink, chunk->lines);
        free(chunk);
    }
}

void sp_sink_count_dropped(unsigned lines)
{
    (void)atomic_fetch_add_explicit(&dropped_unqueued, lines, memory_order_relaxed);
}

uint64_t sp_sink_dropped(void)
{
    uint64_t dropped = atomic_load_explicit(&dropped_unqueued, memory_order_relaxed);

    for (size_t i = 0; i < SP_SINK_COUNT; i++)
        dropped += atomic_load_explicit(&sinks[i].dropped, memory_order_relaxed);
    return dropped;
}
