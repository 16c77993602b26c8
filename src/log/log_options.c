/* The block `log` of the configuration. The words stand in the order of the enums they name. */
#include "log/log.h"

static const char *const formats[] = {"json", "squid", "combined", NULL};
static const char *const levels[] = {"debug", "info", "warning", "error", NULL};

const struct sp_option sp_log_option_table[] = {
    SP_OPT_PATH(struct sp_log_options, access, "-", SP_OPTION_MAY_MISS | SP_OPTION_RESTART,
                "File of the access log, one line for each exchange; \"-\" is standard output, "
                "\"\" is none."),
    {"format", SP_OPTION_CHOICE, offsetof(struct sp_log_options, format), "json", 0, 0, formats,
     SP_OPTION_RESTART, "Format of the access log."},
    SP_OPT_PATH(struct sp_log_options, error, "-", SP_OPTION_MAY_MISS | SP_OPTION_RESTART,
                "File of the error log; \"-\" is standard error."),
    SP_OPT_CHOICE(struct sp_log_options, level, "info", levels,
                  "The least important lines that are written to the error log."),
    SP_OPT_END};
