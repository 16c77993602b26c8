/* `sallyport check`: read the configuration and everything that it names, and say what is wrong,
 * without serving and without asking any server. */
#include "app/command.h"

#include "app/load.h"
#include "log/log.h"
#include "stats/stats.h"
#include "util/hash.h"

#include <stdio.h>
#include <string.h>

static void count(const struct sp_config *config, const char *section, const char *one,
                  const char *many)
{
    size_t len;

    (void)sp_config_all(config, section, &len);
    printf(" %zu %s,", len, len == 1 ? one : many);
}

static void print_summary(const struct sp_app_loader *loader, const struct sp_config *config)
{
    size_t len;
    const struct sp_config_block *backends = sp_config_all(config, "backend", &len);

    printf("%s: ok:", loader->path);
    count(config, "listen", "listener", "listeners");
    count(config, "rule", "rule", "rules");
    printf(" %zu %s", len, len == 1 ? "backend" : "backends");
    for (size_t i = 0; i < len; i++)
        printf("%s%s (%s)", i == 0 ? ": " : ", ", backends[i].title, backends[i].plugin);
    printf("\n");
}

/* The snapshot is made as for serving, and let go again. */
static bool is_well(struct sp_app_loader *loader, struct sp_config_faults *faults)
{
    struct sp_config *config = sp_app_loader_read(loader, faults);
    struct sp_proxy_snapshot *snapshot = NULL;
    bool well;

    if (config != NULL)
        snapshot = sp_app_loader_compile(loader, config, NULL, NULL, faults);
    well = snapshot != NULL;
    if (well)
        print_summary(loader, config);
    if (snapshot != NULL)
        sp_proxy_snapshot_unref(&snapshot);
    if (config != NULL)
        sp_config_unref(&config);
    return well;
}

static enum sp_exit run(const struct sp_app_args *args)
{
    static struct sp_app_loader loader;
    struct sp_config_faults faults;
    bool well;

    if (sp_hash_setup() != SP_OK || sp_stats_init(1) != SP_OK) {
        fprintf(stderr, "sallyport check: no random numbers, or no memory\n");
        return SP_EXIT_UNWELL;
    }
    sp_log_set_level(SP_LOG_ERROR); /* what it comes to is told below, and nothing else */
    sp_app_loader_init(&loader, args->config);
    sp_config_faults_init(&faults);
    well = is_well(&loader, &faults);
    sp_app_faults_print(&faults);
    sp_config_faults_fini(&faults);
    sp_stats_fini();
    return well ? SP_EXIT_WELL : SP_EXIT_UNWELL;
}

const struct sp_app_command sp_cmd_check = {
    .name = "check",
    .summary = "Check the configuration and everything that it names",
    .usage = "[-c FILE]",
    .help = "Each fault is FILE:LINE: message on standard error. Certificates, keytabs, password\n"
            "files and plugins are opened; no server is asked.\n",
    .run = run,
};
