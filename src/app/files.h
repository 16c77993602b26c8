/* Files that are read once, with the configuration: secrets, certificates and their keys. What
 * serves is what they held then; a look says whether they are still the same. */
#ifndef SP_APP_FILES_H
#define SP_APP_FILES_H

#include "config/config.h"

struct sp_app_files;

/* Those of that configuration, whose words it keeps. NULL: no memory. */
struct sp_app_files *sp_app_files_new(struct sp_config *config) SP_MUST_CHECK;
struct sp_app_files *sp_app_files_ref(struct sp_app_files *files);
void sp_app_files_unref(struct sp_app_files **files);
/* Pool thread: may block. */
void sp_app_files_look(struct sp_app_files *files);

struct sp_app_file {
    const struct sp_config_named *named;
    bool changed; /* another one stands there than was read */
    int missing;  /* errno of looking at it; 0: it is there */
};
/* Any thread. False: there are not so many. */
bool sp_app_files_get(const struct sp_app_files *files, size_t index, struct sp_app_file *file_out);

#endif
