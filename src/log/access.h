/* The access log: exactly one line for each exchange, in one of three formats
 * (docs/LOGGING.md).
 *
 * A worker formats the record into its own batch and hands full batches (or one that is older than
 * a moment) to the writer thread; no loop waits for a disk. A record that finds the queue full is
 * dropped and counted. */
#ifndef SP_LOG_ACCESS_H
#define SP_LOG_ACCESS_H

#include "sallyport/base.h"

#include <stdbool.h>

struct sp_addr;

enum sp_log_format { SP_LOG_JSON, SP_LOG_SQUID, SP_LOG_COMBINED };

/* Why an exchange ended as it did. The words (sp_reason_text) are fixed: log field `reason` and
 * Proxy-Status. */
enum sp_reason {
    SP_REASON_OK,
    SP_REASON_NO_CREDENTIALS,
    SP_REASON_BAD_CREDENTIALS,
    SP_REASON_HANDSHAKE,
    SP_REASON_BLOCKED,
    SP_REASON_ACCOUNT,
    SP_REASON_LOOP,
    SP_REASON_DIRECTORY_UNAVAILABLE,
    SP_REASON_OVERLOADED,
    SP_REASON_DENIED,
    SP_REASON_MALFORMED,
    SP_REASON_DNS,
    SP_REASON_CONNECT_FAILED,
    SP_REASON_TIMEOUT,
    SP_REASON_UPSTREAM,
    SP_REASON_CLIENT_GONE,
    SP_REASON_COUNT
};

/* How the user was known. */
enum sp_auth_how {
    SP_HOW_NONE,
    SP_HOW_DIRECTORY,
    SP_HOW_CACHE,
    SP_HOW_GRACE,
    SP_HOW_CONNECTION,
    SP_HOW_COUNT
};

enum sp_scheme { SP_SCHEME_NONE, SP_SCHEME_BASIC, SP_SCHEME_NEGOTIATE, SP_SCHEME_COUNT };

const char *sp_reason_text(enum sp_reason reason);
const char *sp_auth_how_text(enum sp_auth_how how);
const char *sp_scheme_text(enum sp_scheme scheme); /* "none" "basic" "negotiate" */

/* All borrowed for the call; what is absent (of an address: NULL) is written as "" (JSON) or "-".
 */
struct sp_access_record {
    uint64_t ts_ms; /* wall clock, ms since the epoch, of the head's last byte */
    struct sp_span id;
    const struct sp_addr *client; /* written without its port */
    struct sp_span listener;      /* as configured */
    struct sp_span user;
    enum sp_scheme scheme;
    struct sp_span mech;
    struct sp_span backend;
    enum sp_auth_how auth;
    struct sp_span method;
    struct sp_span target; /* no userinfo */
    unsigned minor;        /* of HTTP/1.x */
    int status;            /* what the client was sent; 0: nothing */
    enum sp_reason reason;
    struct sp_span rule;
    uint64_t bytes_in; /* client side, heads included */
    uint64_t bytes_out;
    uint64_t ms; /* from the head's last byte to the end */
    uint64_t auth_ms;
    uint64_t connect_ms;
    struct sp_span referer;     /* combined */
    struct sp_span user_agent;  /* combined */
    const struct sp_addr *peer; /* squid: the upstream; NULL: none */
    struct sp_span type;        /* squid: content type */
};

struct sp_access_batch; /* one per worker */

/* NULL: out of memory. Loop thread, as all that follow. */
struct sp_access_batch *sp_access_batch_new(void) SP_MUST_CHECK;
void sp_access_batch_free(struct sp_access_batch **batch); /* hands over what is left */
/* Does anybody want records? Where nobody does (access = ""), none need be made. Any thread. */
bool sp_access_is_wanted(void);
void sp_access_write(struct sp_access_batch *batch, const struct sp_access_record *record);
/* Called by the worker once a turn or so: a batch that has waited long enough is handed over. True:
 * lines still wait, and it is to be called again within a moment. */
bool sp_access_flush(struct sp_access_batch *batch);

#endif
