/* The error log: a line is formatted by the thread that has something to say and handed to the
 * writer. Every room logs through here. Nothing here blocks, except before sp_log_open and after
 * sp_log_close, when a line goes straight to standard error. */
#include "log/log_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_LEN 4096u

static const char *const level_names[] = {"debug", "info", "warning", "error"};
/* sd-daemon(3): the journal reads a priority in front of a line */
static const char *const level_priorities[] = {"<7>", "<6>", "<4>", "<3>"};

static atomic_int least_level = SP_LOG_INFO;
static atomic_int access_format = SP_LOG_JSON;
static atomic_bool to_journal; /* the journal adds time and priority of its own */

/* A line as it grows; what does not fit is cut. */
struct line {
    char text[LINE_MAX_LEN];
    size_t len;
};

/* Is standard error a stream of the journal's? Then JOURNAL_STREAM names its device and inode
 * (systemd.exec(5)); an inherited variable with another file behind it does not count. */
static bool stderr_is_journal(void)
{
    const char *named = getenv("JOURNAL_STREAM");
    char here[64];
    struct stat st;

    if (named == NULL || fstat(STDERR_FILENO, &st) != 0)
        return false;
    (void)snprintf(here, sizeof(here), "%llu:%llu", (unsigned long long)st.st_dev,
                   (unsigned long long)st.st_ino);
    return strcmp(named, here) == 0;
}

/* printf's result taken into account: it counts what it would have written. */
static void line_took(struct line *line, int printed)
{
    size_t room = sizeof(line->text) - line->len;

    if (printed < 0)
        return;
    line->len += (size_t)printed < room ? (size_t)printed : room - 1;
}

static void add(struct line *line, const char *text)
{
    line_took(line, snprintf(line->text + line->len, sizeof(line->text) - line->len, "%s", text));
}

/* "2026-11-21T09:00:00.123+01:00 ": local time, since people read it beside their clock. */
static void add_time(struct line *line)
{
    struct timespec now = {0, 0};
    struct tm tm = {0};
    long offset;
    size_t room = sizeof(line->text) - line->len;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (localtime_r(&now.tv_sec, &tm) == NULL)
        return;
    offset = tm.tm_gmtoff / 60;
    line_took(line, snprintf(line->text + line->len, room,
                             "%04d-%02d-%02dT%02d:%02d:%02d.%03ld%c%02ld:%02ld ", tm.tm_year + 1900,
                             tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                             now.tv_nsec / 1000000, offset < 0 ? '-' : '+', labs(offset) / 60,
                             labs(offset) % 60));
}

static void add_context(struct line *line, const struct sp_log *log)
{
    if (log == NULL)
        return;
    add_context(line, log->parent);
    if (log->fields != NULL && log->fields[0] != '\0') {
        add(line, " ");
        add(line, log->fields);
    }
}

/* One line stays one line whatever a caller forgot to escape; a cut one shows that it was. */
static void finish(struct line *line)
{
    static const char cut[] = "...";

    for (size_t i = 0; i < line->len; i++) {
        unsigned char byte = (unsigned char)line->text[i];

        if (byte < 0x20 || byte == 0x7f)
            line->text[i] = '?';
    }
    if (line->len == sizeof(line->text) - 1)
        memcpy(line->text + line->len - (sizeof(cut) - 1), cut, sizeof(cut) - 1);
    line->text[line->len++] = '\n';
}

static void write_directly(const struct line *line)
{
    size_t done = 0;

    while (done < line->len) {
        ssize_t wrote = write(STDERR_FILENO, line->text + done, line->len - done);

        if (wrote > 0)
            done += (size_t)wrote;
        else if (wrote == 0 || errno != EINTR)
            return; /* nobody is left to tell */
    }
}

static void queue(const struct line *line)
{
    struct sp_chunk *chunk = sp_chunk_new(line->len);

    if (chunk == NULL) {
        sp_sink_count_dropped(1);
        return;
    }
    memcpy(chunk->bytes, line->text, line->len);
    chunk->len = line->len;
    chunk->lines = 1;
    sp_sink_put(SP_SINK_ERROR, chunk);
}

static void begin(struct line *line, bool journal, enum sp_log_level level)
{
    line->len = 0;
    if (journal) {
        add(line, level_priorities[level]);
        return;
    }
    add_time(line);
    add(line, level_names[level]);
    add(line, " ");
}

void sp_log_line(const struct sp_log *log, enum sp_log_level level, const char *fmt, ...)
{
    struct line line;
    va_list args;
    int kept = errno;
    bool queued;

    if (!sp_log_enabled(level))
        return;
    queued = sp_sink_is_open(SP_SINK_ERROR);
    begin(&line,
          queued ? atomic_load_explicit(&to_journal, memory_order_relaxed) : stderr_is_journal(),
          level);
    va_start(args, fmt);
    line_took(&line, vsnprintf(line.text + line.len, sizeof(line.text) - line.len, fmt, args));
    va_end(args);
    add_context(&line, log);
    finish(&line);
    if (queued)
        queue(&line);
    else
        write_directly(&line);
    errno = kept; /* callers log first and act on errno afterwards */
}

void sp_log_aside(const char *fmt, ...)
{
    struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};
    struct line line;
    va_list args;

    begin(&line, stderr_is_journal(), SP_LOG_ERROR);
    va_start(args, fmt);
    line_took(&line, vsnprintf(line.text + line.len, sizeof(line.text) - line.len, fmt, args));
    va_end(args);
    finish(&line);
    if (poll(&fd, 1, 0) == 1 && fd.revents == POLLOUT)
        write_directly(&line);
}

void sp_log_set_level(enum sp_log_level level)
{
    atomic_store_explicit(&least_level, (int)level, memory_order_relaxed);
}

bool sp_log_enabled(enum sp_log_level level)
{
    return (int)level >= atomic_load_explicit(&least_level, memory_order_relaxed);
}

enum sp_log_format sp_log_format_now(void)
{
    return (enum sp_log_format)atomic_load_explicit(&access_format, memory_order_relaxed);
}

enum sp_err sp_log_open(const struct sp_log_options *options, const char **failed_out)
{
    const char *error = options->error[0] != '\0' ? options->error : "-";
    enum sp_err err = SP_OK;

    sp_log_set_level((enum sp_log_level)options->level);
    atomic_store_explicit(&access_format, options->format, memory_order_relaxed);
    atomic_store_explicit(&to_journal, strcmp(error, "-") == 0 && stderr_is_journal(),
                          memory_order_relaxed);
    *failed_out = options->access;
    if (options->access[0] != '\0')
        err = sp_sink_open(SP_SINK_ACCESS, options->access);
    if (err != SP_OK)
        return err;
    *failed_out = error;
    err = sp_sink_open(SP_SINK_ERROR, error);
    if (err != SP_OK) {
        int kept = errno;

        sp_sink_close(SP_SINK_ACCESS);
        errno = kept;
    }
    return err;
}

/* The access log first: what its writer has to say at the end still reaches the error log. */
void sp_log_close(void)
{
    sp_sink_close(SP_SINK_ACCESS);
    sp_sink_close(SP_SINK_ERROR);
}

void sp_log_reopen(void)
{
    sp_sink_reopen(SP_SINK_ACCESS);
    sp_sink_reopen(SP_SINK_ERROR);
}

bool sp_log_state(unsigned index, struct sp_log_state *out)
{
    for (unsigned id = 0; id < SP_SINK_COUNT; id++)
        if (sp_sink_is_open((enum sp_sink_id)id) && index-- == 0) {
            sp_sink_state((enum sp_sink_id)id, out);
            return true;
        }
    return false;
}

uint64_t sp_log_dropped(void)
{
    return sp_sink_dropped();
}
