/* Backend plugins: shared objects, loaded once and kept for the life of the process (tables,
 * threads and libraries of theirs cannot be unloaded safely). Main thread. */
#ifndef SP_APP_PLUGINS_H
#define SP_APP_PLUGINS_H

#include "sallyport/auth_backend.h"

#define SP_APP_PLUGINS_MAX     64
#define SP_APP_PLUGIN_NAME_MAX 64

/* Zeroed to begin with. */
struct sp_app_plugins {
    struct {
        char name[SP_APP_PLUGIN_NAME_MAX];
        void *handle;
        const struct sp_auth_backend_ops *ops;
    } all[SP_APP_PLUGINS_MAX];
    size_t len;
};

/* The plugin of that name, loaded if it is not yet. `dir` "": the usual place. NULL with words in
 * `why` (256 bytes). */
const struct sp_auth_backend_ops *sp_app_plugins_load(struct sp_app_plugins *plugins,
                                                      const char *name, const char *dir, char *why);
/* One that is loaded; a sp_auth_find_plugin_fn. */
const struct sp_auth_backend_ops *sp_app_plugins_find(void *plugins, const char *name);
/* Where plugins are when plugin_dir is "": beside a binary in a build tree, else where they were
 * installed. */
void sp_app_plugins_usual_dir(char *out, size_t cap);
/* NULL when the contract is kept, else words for what is wrong (static). */
const char *sp_app_plugins_check(const struct sp_auth_backend_ops *ops, const char *name);

#endif
