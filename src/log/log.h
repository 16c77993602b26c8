/* The error log: lines for people and for grep.
 *
 *   2026-11-21T09:00:00.123+01:00 info event=ldap_server_up server=ldaps://dc1 backend="corp-ldap"
 *
 * The context comes last and inherits (process -> listener -> session -> exchange): its fields
 * stand in every line. Values given with %s are written as they are by the caller's format, so
 * untrusted text goes through sp_text_safe. Secrets have no formatter. Events are
 * listed in docs/LOGGING.md.
 *
 * Any thread may log. A line is formatted by its thread and handed to its file's writer thread
 * through a bounded queue; when that is full the line is dropped and counted, and no caller ever
 * waits. Before sp_log_open and after sp_log_close, lines are written directly to standard error.
 */
#ifndef SP_LOG_LOG_H
#define SP_LOG_LOG_H

#include "sallyport/option.h"

#include <stdbool.h>

struct sp_log {
    const struct sp_log *parent; /* NULL at the root; outlives this */
    const char *fields; /* "client=10.0.0.1:4711 id=x" or NULL; owned by whoever owns the context */
};

struct sp_log_options {
    char *access; /* "-" = standard output; "" = no access log */
    int format;   /* enum sp_log_format */
    char *error;  /* "-" = standard error */
    int level;    /* enum sp_log_level */
};
extern const struct sp_option sp_log_option_table[];

/* Opens the files and starts a writer thread for each. SP_ERR_IO with errno, and *failed_out is the
 * file that could not be opened. Main thread. */
enum sp_err sp_log_open(const struct sp_log_options *options,
                        const char **failed_out) SP_MUST_CHECK;
/* Writes what is queued (bounded wait), stops the threads. Main thread, after all workers. */
void sp_log_close(void);
/* USR1: the files are opened anew by name. Any thread. */
void sp_log_reopen(void);
/* Lines dropped because the queue was full, since start. */
uint64_t sp_log_dropped(void);
/* Can they be written? `why` and `reopen_why` are errno of the last write, and of opening it anew
 * (USR1): 0, it went well. */
struct sp_log_state {
    const char *log; /* "access", "error" */
    char file[256];
    int why, reopen_why;
};
/* Of the files that are open, from 0. Main thread. False: there are not so many. */
bool sp_log_state(unsigned index, struct sp_log_state *state_out);
void sp_log_set_level(enum sp_log_level level);
bool sp_log_enabled(enum sp_log_level level);

void sp_log_line(const struct sp_log *log, enum sp_log_level level, const char *fmt, ...)
    SP_PRINTF(3, 4);

#define sp_log_debug(log, ...)                           \
    do {                                                 \
        if (sp_log_enabled(SP_LOG_DEBUG))                \
            sp_log_line(log, SP_LOG_DEBUG, __VA_ARGS__); \
    } while (0)
#define sp_log_info(log, ...)    sp_log_line(log, SP_LOG_INFO, __VA_ARGS__)
#define sp_log_warning(log, ...) sp_log_line(log, SP_LOG_WARNING, __VA_ARGS__)
#define sp_log_error(log, ...)   sp_log_line(log, SP_LOG_ERROR, __VA_ARGS__)

#endif
