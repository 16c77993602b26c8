/* A decision as text: written by the server as one JSON object a line, for programs as it is, and
 * shown to people by the command that asked. */
#ifndef SP_APP_DECISION_H
#define SP_APP_DECISION_H

#include "app/print.h"
#include "trace/trace.h"
#include "util/buf.h"

/* One line. Main thread. SP_ERR_NOMEM: nothing was appended. */
enum sp_err sp_app_decision_write(struct sp_buf *lines,
                                  const struct sp_decision *decision) SP_MUST_CHECK;
/* In place of `lost` decisions that were not read fast enough. */
enum sp_err sp_app_decision_write_lost(struct sp_buf *lines, uint64_t lost) SP_MUST_CHECK;

/* Shows such a line to people, or passes it on as it is. False: it is no such line, or could not be
 * printed. */
bool sp_app_decision_show(struct sp_app_printer *printer, struct sp_span line) SP_MUST_CHECK;

#endif
