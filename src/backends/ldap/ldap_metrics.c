/* The backend's counters and gauges, one set per server. Loop thread; the host adds atomically. */
#include "backends/ldap/ldap_priv.h"

#include <stdio.h>

static const char *const state_words[SP_LDAP_CONN_STATES] = {"connecting", "idle", "busy", NULL};
static const char *const op_words[SP_LDAP_OPS] = {"connect", "service_bind", "search", "bind",
                                                  "groups"};
static const char *const outcome_words[SP_LDAP_OUTCOMES] = {"ok", "refused", "error", "timeout",
                                                            "lost"};

void sp_ldap_metrics_init(struct sp_ldap_metrics *metrics, const struct sp_auth_host *host,
                          const char *server)
{
    char labels[640];

    *metrics = (struct sp_ldap_metrics){.host = host, .server = server};
    for (size_t i = 0; i < SP_LDAP_CONN_STATES; i++) {
        if (state_words[i] == NULL)
            continue;
        snprintf(labels, sizeof(labels), "server=\"%s\",state=\"%s\"", server, state_words[i]);
        metrics->connections[i] = host->metric(host, SP_METRIC_GAUGE, "ldap_connections", labels);
    }
    snprintf(labels, sizeof(labels), "server=\"%s\",state=\"limit\"", server);
    metrics->limit = host->metric(host, SP_METRIC_GAUGE, "ldap_connections", labels);
}

void sp_ldap_metrics_conn(struct sp_ldap_metrics *metrics, enum sp_ldap_conn_state state,
                          int64_t delta)
{
    metrics->host->add(metrics->connections[state], delta);
}

void sp_ldap_metrics_limit(struct sp_ldap_metrics *metrics, int64_t delta)
{
    metrics->host->add(metrics->limit, delta);
}

void sp_ldap_metrics_count(struct sp_ldap_metrics *metrics, enum sp_ldap_op op,
                           enum sp_ldap_outcome outcome)
{
    struct sp_auth_metric **metric = &metrics->operations[op][outcome];

    if (*metric == NULL) {
        char labels[704];

        snprintf(labels, sizeof(labels), "server=\"%s\",op=\"%s\",result=\"%s\"", metrics->server,
                 op_words[op], outcome_words[outcome]);
        *metric = metrics->host->metric(metrics->host, SP_METRIC_COUNTER, "ldap_operations_total",
                                        labels);
    }
    metrics->host->add(*metric, 1);
}
