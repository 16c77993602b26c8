/* What another user of this machine can open: looked at by a process that has become that user, so
 * that modes, groups, ACLs and folders on the way all count as they will. */
#ifndef SP_APP_EYES_H
#define SP_APP_EYES_H

#include "sallyport/base.h"

#include <pwd.h>
#include <stdbool.h>
#include <stddef.h>

struct sp_app_view {
    const char *path;
    bool write;        /* to be written, and made where it is not there; else: to be read */
    int error;         /* out: errno of trying; 0: it can be */
    size_t folder_len; /* out: of `path`, the folder that is in the way; 0: the file itself is */
};

/* Fills all views, by a child process; ends within seconds. SP_ERR_IO: it could not become that
 * user, which takes root, or could not look. Before there are threads that hold locks. */
enum sp_err sp_app_eyes_look(const struct passwd *who, struct sp_app_view *views,
                             size_t len) SP_MUST_CHECK;

#endif
