/* Clients that could have sent channel bindings and did not, counted in the log: who thinks of
 * channel_bindings = "require" wants to know whom that would shut out. Called on workers' loop
 * threads. */
#include "backends/gssapi/gssapi_priv.h"

#include <stdio.h>

#define TELL_EVERY_S 60u

static void tell(const struct sp_auth_config *config, unsigned long long handshakes,
                 const char *client)
{
    config->host->log(config->host, SP_LOG_INFO,
                      "event=channel_bindings_absent handshakes=%llu client=%s", handshakes,
                      client);
}

void sp_gss_unbound_note(struct sp_auth_config *config, const char *client, uint64_t now_s)
{
    struct sp_gss_unbound *unbound = &config->unbound;
    unsigned long long handshakes;

    (void)pthread_mutex_lock(&config->lock);
    handshakes = ++unbound->handshakes;
    (void)snprintf(unbound->client, sizeof unbound->client, "%s", client);
    if (now_s < unbound->quiet_until_s) {
        handshakes = 0;
    } else {
        unbound->handshakes = 0;
        unbound->quiet_until_s = now_s + TELL_EVERY_S;
    }
    (void)pthread_mutex_unlock(&config->lock);
    if (handshakes > 0)
        tell(config, handshakes, client);
}

void sp_gss_unbound_end(struct sp_auth_config *config)
{
    struct sp_gss_unbound rest;

    (void)pthread_mutex_lock(&config->lock);
    rest = config->unbound;
    config->unbound.handshakes = 0;
    (void)pthread_mutex_unlock(&config->lock);
    if (rest.handshakes > 0)
        tell(config, rest.handshakes, rest.client);
}
