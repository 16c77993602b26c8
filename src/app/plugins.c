/* Loads NAME.so and holds it against the contract (sallyport/auth_backend.h) before any function in
 * it is called. */
#include "app/plugins.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WHY_MAX  256
#define PATH_CAP 4096

/* Names become file names, so nothing that could leave the folder. */
static bool is_name(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-");

    return len > 0 && len < SP_APP_PLUGIN_NAME_MAX && name[len] == '\0';
}

static bool is_folder(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

void sp_app_plugins_usual_dir(char *out, size_t cap)
{
    char self[PATH_CAP];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash;

    if (len > 0) {
        self[len] = '\0';
        slash = strrchr(self, '/');
        if (slash != NULL)
            *slash = '\0';
        snprintf(out, cap, "%s/plugins", self);
        if (is_folder(out))
            return;
        snprintf(out, cap, "%s/../lib/sallyport", self); /* an installed tree that was moved */
        if (is_folder(out))
            return;
    }
    snprintf(out, cap, "%s", SP_PLUGIN_DIR);
}

static const char *missing_function(const struct sp_auth_backend_ops *ops)
{
    bool passwords = (ops->abilities & SP_AUTH_PASSWORD) != 0;

    if (ops->configure == NULL || ops->release == NULL)
        return "it lacks configure or release";
    if (ops->traits == NULL)
        return "it lacks traits";
    if (ops->open == NULL || ops->close == NULL)
        return "it lacks open or close";
    if (ops->start == NULL || ops->cancel == NULL || ops->free == NULL)
        return "it lacks start, cancel or free";
    if ((ops->abilities & SP_AUTH_TOKEN) != 0 && ops->step == NULL)
        return "it takes tokens and lacks step";
    if (passwords && ops->name_of == NULL)
        return "it takes passwords and lacks name_of";
    return NULL;
}

const char *sp_app_plugins_check(const struct sp_auth_backend_ops *ops, const char *name)
{
    if (ops->abi_version != SP_AUTH_ABI_VERSION)
        return "it was built for another version of the plugin contract; build it against this "
               "sallyport's headers";
    if (ops->ops_size != sizeof(*ops))
        return "its table of functions has another size; build it against this sallyport's headers";
    if (ops->name == NULL || strcmp(ops->name, name) != 0)
        return "the plugin in it has another name";
    if (ops->options == NULL || ops->summary == NULL)
        return "it lacks its options or its summary";
    if ((ops->abilities & (SP_AUTH_PASSWORD | SP_AUTH_TOKEN | SP_AUTH_GROUPS)) == 0)
        return "it can be asked nothing: abilities is empty";
    return missing_function(ops);
}

const struct sp_auth_backend_ops *sp_app_plugins_find(void *plugins, const char *name)
{
    struct sp_app_plugins *p = plugins;

    for (size_t i = 0; i < p->len; i++)
        if (strcmp(p->all[i].name, name) == 0)
            return p->all[i].ops;
    return NULL;
}

/* The file is open: take its table, if it is one. */
static const struct sp_auth_backend_ops *take_table(void *handle, const char *path,
                                                    const char *name, char *why)
{
    const struct sp_auth_backend_ops *ops = dlsym(handle, SP_AUTH_BACKEND_SYMBOL);
    const char *fault;

    if (ops == NULL) {
        snprintf(why, WHY_MAX, "%.120s has no symbol " SP_AUTH_BACKEND_SYMBOL ": it is no plugin",
                 path);
        return NULL;
    }
    fault = sp_app_plugins_check(ops, name);
    if (fault == NULL)
        return ops;
    if (ops->abi_version != SP_AUTH_ABI_VERSION)
        snprintf(why, WHY_MAX, "%.90s: %s (it has %u, this is %u)", path, fault, ops->abi_version,
                 SP_AUTH_ABI_VERSION);
    else
        snprintf(why, WHY_MAX, "%.120s: %s", path, fault);
    return NULL;
}

static void *open_file(const char *path, char *why)
{
    void *handle;

    if (access(path, R_OK) != 0) {
        snprintf(why, WHY_MAX, "there is no %.160s (plugin_dir says where plugins are)", path);
        return NULL;
    }
    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL)
        snprintf(why, WHY_MAX, "%.240s", dlerror());
    return handle;
}

const struct sp_auth_backend_ops *sp_app_plugins_load(struct sp_app_plugins *plugins,
                                                      const char *name, const char *dir, char *why)
{
    const struct sp_auth_backend_ops *ops = sp_app_plugins_find(plugins, name);
    char usual[PATH_CAP];
    char path[PATH_CAP + SP_APP_PLUGIN_NAME_MAX + 8];
    void *handle;

    if (ops != NULL)
        return ops;
    if (!is_name(name)) {
        snprintf(why, WHY_MAX, "a plugin's name is made of a-z, 0-9, _ and -");
        return NULL;
    }
    if (plugins->len == SP_APP_PLUGINS_MAX) {
        snprintf(why, WHY_MAX, "more than %d plugins", SP_APP_PLUGINS_MAX);
        return NULL;
    }
    sp_app_plugins_usual_dir(usual, sizeof(usual));
    snprintf(path, sizeof(path), "%s/%s.so", dir[0] != '\0' ? dir : usual, name);
    handle = open_file(path, why);
    if (handle == NULL)
        return NULL;
    ops = take_table(handle, path, name, why);
    if (ops == NULL) {
        (void)dlclose(handle);
        return NULL;
    }
    snprintf(plugins->all[plugins->len].name, SP_APP_PLUGIN_NAME_MAX, "%s", name);
    plugins->all[plugins->len].handle = handle;
    plugins->all[plugins->len++].ops = ops;
    return ops;
}
