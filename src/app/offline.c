/* The way from a file name to a snapshot, for commands that ask and do not serve. */
#include "app/offline.h"

#include "app/process.h"
#include "log/log.h"
#include "stats/stats.h"
#include "util/hash.h"

#include <string.h>

static bool set_up(struct sp_app_offline *offline)
{
    sp_process_prepare();
    sp_log_set_level(SP_LOG_ERROR);
    if (sp_hash_setup() == SP_OK)
        offline->stats = sp_stats_init(1) == SP_OK;
    return offline->stats;
}

bool sp_app_offline_open(struct sp_app_offline *offline, const char *path)
{
    static struct sp_app_loader loader;

    memset(offline, 0, sizeof(*offline));
    sp_config_faults_init(&offline->faults);
    sp_app_loader_init(&loader, path);
    if (set_up(offline))
        offline->config = sp_app_loader_read(&loader, &offline->faults);
    if (offline->config != NULL)
        offline->snapshot = sp_app_loader_compile(&loader, offline->config, NULL, NULL,
                                                  &offline->faults);
    return offline->snapshot != NULL;
}

void sp_app_offline_close(struct sp_app_offline *offline)
{
    if (offline->snapshot != NULL)
        sp_proxy_snapshot_unref(&offline->snapshot);
    if (offline->config != NULL)
        sp_config_unref(&offline->config);
    sp_config_faults_fini(&offline->faults);
    if (offline->stats)
        sp_stats_fini();
    offline->stats = false;
}
