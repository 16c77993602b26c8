/* How the servers do, asked whether people come or not: readiness must come back by itself, since a
 * load balancer sends nobody until it does. One connection and one answer each, without any
 * identity, so that nothing is counted against an account. Only where the service identity was
 * refused is that tried again, by the same brake as everywhere. Pool thread. */
#include "backends/ldap/ldap_config.h"
#include "backends/ldap/ldap_dial.h"
#include "backends/ldap/ldap_doctor.h"

#include <uv.h>

static void note_service(struct sp_auth_config *config, const struct sp_ldap_uri *uri,
                         const struct sp_ldap_dial_report *report)
{
    if (report->fault == SP_LDAP_FAULT_NONE && report->service_news)
        config->host->log(config->host, SP_LOG_INFO, "event=ldap_service_accepted server=%s",
                          uri->text);
}

static void look_at(struct sp_auth_config *config, const struct sp_ldap_uri *uri,
                    struct sp_auth_looking *looking)
{
    bool refused = sp_ldap_brake_is_on(config->brake);
    bool service = refused && sp_ldap_brake_may_try(config->brake, uv_hrtime());
    struct sp_auth_sight sight = {.server = uri->text};
    struct sp_ldap_dial_report report;
    uint64_t begun_ns = uv_hrtime();

    sp_ldap_dial(config, uri, service ? SP_LDAP_DIAL_SERVICE : SP_LDAP_DIAL_PROVE, looking->stop,
                 &report);
    sight.micros = (uv_hrtime() - begun_ns) / 1000;
    if (service)
        note_service(config, uri, &report);
    if (report.wire == NULL)
        sight.words = report.words[0] != '\0' ? report.words : sp_ldap_fault_text(report.fault);
    else if (refused && !service)
        sight.words = "it refuses the service identity";
    sight.well = sight.words == NULL;
    looking->seen(looking, &sight);
    sp_ldap_wire_free(&report.wire);
}

void sp_ldap_look(struct sp_auth_config *config, struct sp_auth_looking *looking)
{
    for (size_t i = 0; i < config->servers_len; i++) {
        if (atomic_load(looking->stop))
            return;
        look_at(config, &config->servers[i], looking);
    }
}
