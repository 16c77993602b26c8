/* What vitals.c keeps, for overview.c beside it. */
#ifndef SP_APP_VITALS_H
#define SP_APP_VITALS_H

#include "app/server_priv.h"
#include "auth/health.h"
#include "stats/history.h"
#include "stats/top.h"

/* Owned by the server. */
struct sp_server_vitals {
    struct sp_server *server;
    struct sp_timer timer;
    struct sp_auth_health *health;
    struct sp_history *history;
    struct sp_top *users, *hosts; /* of requests that were let through */
    struct sp_trace_news *news;
    bool missed; /* some decisions were pushed out before they were counted */
    bool able;   /* as it was said last */
    unsigned ticks;
};

/* Counters and decisions are read now; the tick does it every second. */
void sp_server_vitals_look(struct sp_server_vitals *vitals);

#endif
