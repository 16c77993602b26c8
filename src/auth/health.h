/* Can the backends be asked? Looked at whether people come or not, so that a proxy which nobody is
 * sent to notices that its directory is back.
 *
 * Each backend with a `look` is looked at on the work pool, one look at a time: several times a
 * minute while it is well, every few seconds while it is not, and at once when a login could not be
 * answered. What nobody has looked at yet counts as able. Main thread. */
#ifndef SP_AUTH_HEALTH_H
#define SP_AUTH_HEALTH_H

#include "auth/auth.h"

#define SP_HEALTH_SERVERS_MAX 16

/* One server as it was seen last. */
struct sp_health_server {
    char name[256]; /* as configured */
    char words[256];
    bool well;
    uint64_t since_wall_ms; /* so for so long */
    uint64_t micros;        /* its answer took */
};

/* One backend of the plan that engines open. Values as they are until the next tick. */
struct sp_health_backend {
    const char *name;
    const char *groups_from; /* without which it cannot answer; NULL: nobody */
    bool able;               /* it can answer, as far as is known */
    uint64_t since_wall_ms;  /* not able for so long */
    const struct sp_health_server *servers;
    size_t servers_len; /* 0: nobody outside is asked, or nobody has looked yet */
};

struct sp_auth_health;

/* NULL: no memory. */
struct sp_auth_health *sp_auth_health_new(struct sp_loop *loop) SP_MUST_CHECK;
/* Looks under way end early; their loop waits for them. */
void sp_auth_health_close(struct sp_auth_health **health);
/* Once a second or so, and at the start: begins the looks that are due. What is known of a backend
 * stays when the plan is another. */
void sp_auth_health_tick(struct sp_auth_health *health, struct sp_auth_plan *plan);
/* Can any backend answer? True also where none is asked. */
bool sp_auth_health_able(const struct sp_auth_health *health);
size_t sp_auth_health_len(const struct sp_auth_health *health);
void sp_auth_health_get(const struct sp_auth_health *health, size_t index,
                        struct sp_health_backend *backend_out);

#endif
