/* What the status page shows besides the counters: plain values, filled by the server when somebody
 * looks. Texts are as they came, hostile ones too: the page escapes them. */
#ifndef SP_ADMIN_OVERVIEW_H
#define SP_ADMIN_OVERVIEW_H

#include "stats/history.h"
#include "stats/top.h"

#include <stdbool.h>

#define SP_OVERVIEW_SERVERS  64u
#define SP_OVERVIEW_BACKENDS 32u
#define SP_OVERVIEW_BLOCKED  50u
#define SP_OVERVIEW_TOP      10u
#define SP_OVERVIEW_REFUSALS 20u
#define SP_OVERVIEW_TROUBLES 24u

struct sp_overview_backend {
    const char *name;
    const char *groups_from; /* NULL: none */
    bool able;
    bool asks_nobody; /* it has no servers */
    uint64_t since_wall_ms;
};

struct sp_overview_server {
    const char *backend, *name, *words;
    bool well;
    uint64_t since_wall_ms;
    uint64_t micros;
};

struct sp_overview_blocked {
    char user[128]; /* "": it is the client that is blocked */
    char backend[64];
    char client[64];
    char device[64]; /* what it calls itself */
    unsigned left_s;
};

/* What wears out or is not as it was configured, the gravest first. */
struct sp_overview_trouble {
    bool bad; /* people cannot get in; else: somebody should look */
    char what[400];
    char detail[600];
    const char *remedy; /* markup of our own */
};

struct sp_overview_refusal {
    uint64_t wall_ms;
    uint32_t count;
    int status;
    const char *reason;
    char id[20];
    char user[64];
    char client[64];
    char target[128];
    char why[128];
};

enum sp_overview_state {
    SP_OVERVIEW_STARTING,
    SP_OVERVIEW_SERVING,
    SP_OVERVIEW_DRAINING,
};

struct sp_overview {
    enum sp_overview_state state;
    bool ready;      /* as /readyz has it */
    bool any_able;   /* some backend can answer, or none is asked */
    char stuck[256]; /* loops that do not turn, in words; "": none */
    uint64_t now_wall_ms, started_wall_ms, loaded_wall_ms;
    const char *config; /* the file */
    const char *reload; /* what the last one came to, in words; NULL: there was none */
    bool reload_well;
    const char *reload_faults; /* FILE:LINE: message, a line each; "": it was not for a fault */
    uint64_t reload_wall_ms;
    unsigned workers, work_queue;
    int64_t blocked_users, blocked_clients; /* all of them */
    const struct sp_history *history;
    struct sp_top_item users[SP_OVERVIEW_TOP], hosts[SP_OVERVIEW_TOP];
    size_t users_len, hosts_len;
    bool tops_missed; /* some requests were not counted there */
    struct sp_overview_backend backends[SP_OVERVIEW_BACKENDS];
    size_t backends_len;
    struct sp_overview_server servers[SP_OVERVIEW_SERVERS];
    size_t servers_len;
    struct sp_overview_blocked blocked[SP_OVERVIEW_BLOCKED];
    size_t blocked_len;
    struct sp_overview_trouble troubles[SP_OVERVIEW_TROUBLES];
    size_t troubles_len;
    bool log_failing; /* one of the troubles is a log that cannot be written */
    struct sp_overview_refusal refusals[SP_OVERVIEW_REFUSALS];
    size_t refusals_len;
};

#endif
