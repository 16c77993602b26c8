/* The words for enum sp_err, for people who read a log or a terminal. */
#include "util/err.h"

const char *sp_err_text(enum sp_err err)
{
    switch (err) {
    case SP_OK: return "no error";
    case SP_ERR_NOMEM: return "out of memory";
    case SP_ERR_FULL: return "no room left in a bounded queue or table";
    case SP_ERR_INVALID: return "not well-formed";
    case SP_ERR_TOO_LARGE: return "too large";
    case SP_ERR_NOT_FOUND: return "not found";
    case SP_ERR_IO: return "the operating system refused";
    case SP_ERR_TIMEOUT: return "took too long";
    case SP_ERR_DENIED: return "denied";
    case SP_ERR_CLOSED: return "closed";
    case SP_ERR_AGAIN: return "nothing now, try again";
    }
    return "unknown error"; /* a number from a plugin that is none of ours */
}
