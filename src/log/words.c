/* The fixed words of the access log; also the reasons in Proxy-Status and
 * the labels of metrics. Tables by designated index, so that a new value without a word is NULL in
 * the unit test at once. */
#include "log/access.h"

static const char *const reasons[SP_REASON_COUNT] = {
    [SP_REASON_OK] = "ok",
    [SP_REASON_NO_CREDENTIALS] = "no_credentials",
    [SP_REASON_BAD_CREDENTIALS] = "bad_credentials",
    [SP_REASON_HANDSHAKE] = "handshake",
    [SP_REASON_BLOCKED] = "blocked",
    [SP_REASON_ACCOUNT] = "account",
    [SP_REASON_LOOP] = "loop",
    [SP_REASON_DIRECTORY_UNAVAILABLE] = "directory_unavailable",
    [SP_REASON_OVERLOADED] = "overloaded",
    [SP_REASON_DENIED] = "denied",
    [SP_REASON_MALFORMED] = "malformed",
    [SP_REASON_DNS] = "dns",
    [SP_REASON_CONNECT_FAILED] = "connect_failed",
    [SP_REASON_TIMEOUT] = "timeout",
    [SP_REASON_UPSTREAM] = "upstream",
    [SP_REASON_CLIENT_GONE] = "client_gone",
};

static const char *const hows[SP_HOW_COUNT] = {
    [SP_HOW_NONE] = "none",   [SP_HOW_DIRECTORY] = "directory",   [SP_HOW_CACHE] = "cache",
    [SP_HOW_GRACE] = "grace", [SP_HOW_CONNECTION] = "connection",
};

static const char *const schemes[SP_SCHEME_COUNT] = {
    [SP_SCHEME_NONE] = "none",
    [SP_SCHEME_BASIC] = "basic",
    [SP_SCHEME_NEGOTIATE] = "negotiate",
};

const char *sp_reason_text(enum sp_reason reason)
{
    return reason < SP_REASON_COUNT ? reasons[reason] : "unknown";
}

const char *sp_auth_how_text(enum sp_auth_how how)
{
    return how < SP_HOW_COUNT ? hows[how] : "unknown";
}

const char *sp_scheme_text(enum sp_scheme scheme)
{
    return scheme < SP_SCHEME_COUNT ? schemes[scheme] : "unknown";
}
