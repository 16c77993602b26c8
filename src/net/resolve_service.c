/* See resolve_service_priv.h. One name that nobody answers is that name's own trouble; a row of
 * them, without one answer between, is name service's. */
#include "net/resolve_service_priv.h"

#include "util/hash.h"

#define SILENT_AT 5

static void change(struct sp_resolve_service *service, bool silent, const char *why)
{
    service->silent = silent;
    if (service->changed != NULL)
        service->changed(service->owner, silent, why);
}

void sp_resolve_service_took(struct sp_resolve_service *service, struct sp_span name,
                             enum sp_err err, const char *why)
{
    uint64_t hash = sp_hash64(name);

    if (err == SP_OK || err == SP_ERR_NOT_FOUND) {
        service->unheard = 0;
        if (service->silent)
            change(service, false, "");
        return;
    }
    if (service->silent || (err != SP_ERR_TIMEOUT && err != SP_ERR_IO) ||
        (service->unheard > 0 && service->name == hash))
        return;
    service->name = hash;
    if (++service->unheard == SILENT_AT)
        change(service, true, why);
}
