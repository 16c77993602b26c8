/* Which sections a configuration has, and the keys at the top level. The one place where all rooms'
 * option tables meet. */
#ifndef SP_APP_SETTINGS_H
#define SP_APP_SETTINGS_H

#include "app/plugins.h"
#include "config/config.h"

#include <stdbool.h>

struct sp_app_options {
    int64_t workers; /* 0: one per CPU */
    char *user;
    char *plugin_dir;
    uint64_t shutdown_timeout_ms;
    char *pid_file;
    bool seccomp;
};
extern const struct sp_option sp_app_option_table[];

#define SP_APP_SECTIONS_MAX 16

/* Fills `out` with every section and the end mark. `plugins` finds a backend's table. */
void sp_app_sections(struct sp_app_plugins *plugins,
                     struct sp_config_section out[SP_APP_SECTIONS_MAX]);

#endif
