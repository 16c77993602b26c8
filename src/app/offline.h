/* A configuration read and compiled as for serving, by a command that does not serve: login and
 * doctor. One a process; main thread; may block. */
#ifndef SP_APP_OFFLINE_H
#define SP_APP_OFFLINE_H

#include "app/load.h"

/* Zeroed to begin with. */
struct sp_app_offline {
    struct sp_config_faults faults;
    struct sp_config *config;           /* NULL: not readable */
    struct sp_proxy_snapshot *snapshot; /* NULL: it has faults */
    bool stats;
};

/* False: `faults` say why. No core dumps from here on, and the log tells errors alone, on standard
 * error: what backends have to say comes out as steps and findings. */
bool sp_app_offline_open(struct sp_app_offline *offline, const char *path) SP_MUST_CHECK;
void sp_app_offline_close(struct sp_app_offline *offline);

#endif
