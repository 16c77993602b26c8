/* Sessions as text: written by the server as one JSON object a line, for programs as they are, and
 * shown to people by `ctl sessions`. */
#ifndef SP_APP_SESSIONS_H
#define SP_APP_SESSIONS_H

#include "app/print.h"
#include "proxy/proxy.h"
#include "util/buf.h"

/* ---- writing: main thread ---- */

/* Lines under way; on the writer's stack. After a good begin comes one end. */
struct sp_app_sessions {
    struct sp_app_printer printer;
    char *text;
    size_t len;
};

enum sp_err sp_app_sessions_begin(struct sp_app_sessions *out) SP_MUST_CHECK;
/* The counters; the first line. */
enum sp_err sp_app_sessions_write_counts(struct sp_app_sessions *out) SP_MUST_CHECK;
enum sp_err sp_app_sessions_write(struct sp_app_sessions *out, const struct sp_session_facts *facts,
                                  unsigned worker) SP_MUST_CHECK;
/* That worker has so many more. */
enum sp_err sp_app_sessions_write_cut(struct sp_app_sessions *out, uint64_t left_out,
                                      unsigned worker) SP_MUST_CHECK;
/* That worker did not answer in time. */
enum sp_err sp_app_sessions_write_silent(struct sp_app_sessions *out,
                                         unsigned worker) SP_MUST_CHECK;
/* What was written goes to `lines`, all of it or nothing. */
enum sp_err sp_app_sessions_end(struct sp_app_sessions *out, struct sp_buf *lines) SP_MUST_CHECK;

/* ---- showing ---- */

/* Shows such a line to people, or passes it on as it is. False: it is no such line, or could not be
 * printed. */
bool sp_app_sessions_show(struct sp_app_printer *printer, struct sp_span line) SP_MUST_CHECK;

#endif
