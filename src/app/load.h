/* From a file name to what the proxy runs on: the configuration read and checked, plugins loaded,
 * everything that it names opened. Used alike by run, check and reload. Main thread; may block. */
#ifndef SP_APP_LOAD_H
#define SP_APP_LOAD_H

#include "app/plugins.h"
#include "app/settings.h"
#include "config/config.h"
#include "proxy/proxy.h"

/* Lives as long as the process: snapshots point into its sections and plugins. */
struct sp_app_loader {
    const char *path;
    struct sp_app_plugins plugins;
    struct sp_config_section sections[SP_APP_SECTIONS_MAX];
};

void sp_app_loader_init(struct sp_app_loader *loader, const char *path);
/* To be compiled, also where there are faults by then: that tells the rest of them, so that one run
 * tells all. NULL: it could not be read as a whole; faults say why. */
struct sp_config *sp_app_loader_read(struct sp_app_loader *loader,
                                     struct sp_config_faults *faults) SP_MUST_CHECK;
/* Takes its own reference to `config`. `started` is what the process serves by where only a restart
 * takes up the new value; NULL: it does not serve yet. NULL: there are faults, found here or in
 * reading. Statistics are set up. */
struct sp_proxy_snapshot *sp_app_loader_compile(struct sp_app_loader *loader,
                                                struct sp_config *config,
                                                const struct sp_config *started,
                                                const struct sp_log *log,
                                                struct sp_config_faults *faults) SP_MUST_CHECK;
/* check_admin.c: faults of the block `admin`, and against the rest where that could be compiled
 * (snapshot not NULL). */
void sp_app_check_admin(const struct sp_config *config, const struct sp_proxy_snapshot *snapshot,
                        struct sp_config_faults *faults);
const struct sp_app_options *sp_app_options_of(const struct sp_config *config);
/* To standard error, warnings first. */
void sp_app_faults_print(const struct sp_config_faults *faults);
/* To the log, one line each, as event=config_warning or event=config_fault. */
void sp_app_faults_log(const struct sp_config_faults *faults, const struct sp_log *log);

#endif
