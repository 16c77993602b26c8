/* The authentication room set up for a test: a configuration from text, its plan, what is shared,
 * and one or two workers with an engine each, whose loops the test turns by hand on one thread. */
#ifndef SP_TEST_AUTH_RIG_H
#define SP_TEST_AUTH_RIG_H

#include "auth/auth.h"
#include "net/work.h"
#include "support/fake_backend.h"

#define RIG_WORKERS 2u

struct rig {
    char *path; /* of the configuration */
    struct sp_config *config;
    struct sp_auth_plan *plan;
    struct sp_auth_shared shared;
    struct sp_work_pool *pool;
    struct sp_loop *loops[RIG_WORKERS];
    struct sp_auth_engine *engines[RIG_WORKERS];
    struct sp_log log;
    unsigned closed;
};

/* One question and what came of it; texts are copied. */
struct rig_reply {
    bool answered;
    bool at_once; /* not by the callback */
    unsigned calls;
    enum sp_auth_state state;
    enum sp_reason reason;
    enum sp_auth_how how;
    uint64_t age_ms;
    enum sp_scheme scheme;
    bool close;
    unsigned retry_after_s;
    size_t challenges_len;
    char challenges[2][256];
    char final_token[256];
    char user[128], backend[64], mech[32], why[128];
    char group[128]; /* all of them, with commas */
    size_t groups_len;
    struct sp_auth_ask *ask;
};

/* How the next question is asked; the rest of its fields are fixed. */
struct rig_from {
    unsigned worker;
    unsigned listen_index;
    const char *client; /* NULL: 10.0.0.1 */
    struct sp_auth_tracer *tracer;
};

/* The text's faults in `faults` (for free()) when there is no plan; else NULL there. */
void rig_open(struct rig *rig, const char *config, char **faults_out);
void rig_close(struct rig *rig);
/* The engines are new ones for this text; the old ones close. */
void rig_reload(struct rig *rig, const char *config);
/* Turns every loop once, without waiting. */
void rig_turn(struct rig *rig);
/* Turns until *flag (or fails after 5 s). */
void rig_turn_until(struct rig *rig, const bool *flag);
/* Turns until a counter of a fake backend's has that value (or fails after 5 s). */
void rig_turn_until_count(struct rig *rig, const atomic_uint *counter, unsigned value);
/* Turns for that long at least. */
void rig_turn_ms(struct rig *rig, unsigned ms);

/* Asks and does not wait. `authorization` NULL: none. */
void rig_begin(struct rig *rig, const struct rig_from *from, struct sp_auth_conn **conn,
               const char *authorization, struct rig_reply *reply);
/* Asks and waits. */
struct rig_reply rig_ask(struct rig *rig, struct sp_auth_conn **conn, const char *authorization);
/* "Basic <user:password>" and "Negotiate <token>", in one of a few static buffers. */
const char *rig_basic(const char *user, const char *password);
const char *rig_negotiate(const char *token);

#endif
