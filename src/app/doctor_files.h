/* `sallyport doctor`: can the user that the proxy runs as open what the configuration names? Root
 * can open everything, and so sees no fault in a file that the proxy cannot read. */
#ifndef SP_APP_DOCTOR_FILES_H
#define SP_APP_DOCTOR_FILES_H

#include "config/config.h"

#include <sys/types.h>

struct sp_app_doctor_files {
    const struct sp_config *config;
    const char *path;  /* the configuration's */
    bool is_running;   /* the proxy runs, */
    uid_t running_uid; /* as that user */
    void (*tell)(void *owner, bool well, const char *what, const char *state, const char *remedy);
    void *owner;
};

/* Says nothing where it is not known who the proxy will be, or this process cannot become that
 * user. */
void sp_app_doctor_files(const struct sp_app_doctor_files *question);

#endif
