/* Between the files of log: the writer threads, and what they are handed. */
#ifndef SP_LOG_LOG_PRIV_H
#define SP_LOG_LOG_PRIV_H

#include "log/access.h"
#include "log/log.h"

enum sp_sink_id { SP_SINK_ACCESS, SP_SINK_ERROR, SP_SINK_COUNT };

/* Whole lines on their way to a file. Owned by who fills it until it is put into a sink. */
struct sp_chunk {
    struct sp_chunk *next;
    size_t len;
    size_t cap;
    unsigned lines;
    char bytes[];
};

/* NULL: out of memory. free() gives it back. */
struct sp_chunk *sp_chunk_new(size_t cap) SP_MUST_CHECK;

/* ---- sink.c: one file and one thread each, a bounded queue between ---- */

/* Opens the file and starts the thread. SP_ERR_IO with errno. Main thread. */
enum sp_err sp_sink_open(enum sp_sink_id id, const char *path) SP_MUST_CHECK;
/* Writes what is queued, for at most a few seconds, and stops the thread. Main thread. */
void sp_sink_close(enum sp_sink_id id);
void sp_sink_reopen(enum sp_sink_id id);
bool sp_sink_is_open(enum sp_sink_id id);
/* The chunk is the sink's from here, whatever becomes of it; never waits. Any thread. */
void sp_sink_put(enum sp_sink_id id, struct sp_chunk *chunk);
/* Lines that were lost before they became a chunk. */
void sp_sink_count_dropped(unsigned lines);
uint64_t sp_sink_dropped(void);
/* It is open. Main thread. */
void sp_sink_state(enum sp_sink_id id, struct sp_log_state *out);

/* ---- log.c ---- */

/* Of the error log's own failure: an error to standard error, which the service manager keeps, if
 * it takes a line at once. Whoever starts it may have left a pipe there that nobody reads. */
void sp_log_aside(const char *fmt, ...) SP_PRINTF(1, 2);

enum sp_log_format sp_log_format_now(void);

/* ---- access_format.c: one record as one line ---- */

/* The broken-down second that was formatted last, so that a second is formatted once. */
struct sp_stamp {
    uint64_t second;
    char text[40]; /* "2026-11-21T09:00:00" or "21/Nov/2026:09:00:00 +0100" */
    size_t len;
    bool valid;
};

/* Never more than this is written for the record. */
size_t sp_access_bound(const struct sp_access_record *record);
/* Appends the line, its end included; `out` has sp_access_bound bytes. Returns its length. */
size_t sp_access_format(enum sp_log_format format, struct sp_stamp *stamp,
                        const struct sp_access_record *record, char *out);

#endif
