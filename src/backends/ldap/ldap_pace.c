/* The limit on binds at once, as the server's answers move it: see ldap_pace.h. Called by the
 * server's loop. */
#include "backends/ldap/ldap_pace.h"

#define SLACK_US   5000 /* a delay that nobody notices, and that our own loop may cause */
#define SLOW_TIMES 2
#define SHRINK     8
#define RISE       8

void sp_ldap_pace_init(struct sp_ldap_pace *pace, unsigned max)
{
    *pace = (struct sp_ldap_pace){.limit = max, .max = max};
}

void sp_ldap_pace_full(struct sp_ldap_pace *pace)
{
    pace->full = true;
}

/* A bind that was alone did not wait for another of ours: its time is the server's own. */
static void learn(struct sp_ldap_pace *pace)
{
    if (pace->usual_us == 0 || pace->least_us < pace->usual_us)
        pace->usual_us = pace->least_us;
    else if (pace->limit == 1)
        pace->usual_us += (pace->least_us - pace->usual_us) / RISE;
}

static void end_round(struct sp_ldap_pace *pace)
{
    bool slow = pace->usual_us > 0 && pace->least_us > SLOW_TIMES * pace->usual_us + SLACK_US;
    unsigned step = pace->limit / SHRINK > 0 ? pace->limit / SHRINK : 1;

    if (slow)
        pace->limit = pace->limit > step ? pace->limit - step : 1;
    else if (pace->full && pace->limit < pace->max)
        pace->limit++;
    learn(pace);
    pace->least_us = 0;
    pace->ended = 0;
    pace->full = false;
}

bool sp_ldap_pace_ended(struct sp_ldap_pace *pace, uint64_t took_us)
{
    unsigned before = pace->limit;

    if (took_us == 0)
        took_us = 1; /* 0 says that nothing was seen */
    if (pace->least_us == 0 || took_us < pace->least_us)
        pace->least_us = took_us;
    if (++pace->ended >= pace->limit)
        end_round(pace);
    return pace->limit != before;
}
