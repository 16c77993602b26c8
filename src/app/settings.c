/* The sections of sallyport.conf. Each table belongs to its room; here they are only listed, in the
 * order in which the manual page shows them. */
#include "app/settings.h"

#include "admin/admin_options.h"
#include "auth/auth.h"
#include "log/log.h"
#include "net/listener.h"
#include "policy/policy.h"
#include "proxy/proxy.h"

#include <assert.h>

const struct sp_option sp_app_option_table[] = {
    {"workers", SP_OPTION_INT, offsetof(struct sp_app_options, workers), "0", 0, 1024, NULL,
     SP_OPTION_RESTART, "Threads, each with its own event loop; 0 is one for each CPU."},
    {"user", SP_OPTION_STRING, offsetof(struct sp_app_options, user), "", 0, 0, NULL,
     SP_OPTION_RESTART,
     "Become this user after listening sockets are bound and secrets are read; \"\" stays as it "
     "is."},
    {"plugin_dir", SP_OPTION_PATH, offsetof(struct sp_app_options, plugin_dir), "", 0, 0, NULL,
     SP_OPTION_RESTART,
     "The folder of the backend plugins; \"\" is where they were installed or, in a build tree, "
     "built."},
    SP_OPT_MILLIS(struct sp_app_options, shutdown_timeout_ms, "shutdown_timeout", "30s", 0,
                  86400000,
                  "How long exchanges and tunnels may go on after TERM before they are cut."),
    {"pid_file", SP_OPTION_PATH, offsetof(struct sp_app_options, pid_file), "", 0, 0, NULL,
     SP_OPTION_MAY_MISS | SP_OPTION_RESTART, "Where the process id is written; \"\" for nowhere."},
    {"seccomp", SP_OPTION_BOOL, offsetof(struct sp_app_options, seccomp), "true", 0, 0, NULL,
     SP_OPTION_RESTART,
     "Refuse to the serving process every system call that serving does not need; see SECURITY in "
     "sallyport(8). For a plugin that needs more, false."},
    SP_OPT_END};

#define UNTITLED(section, table, size, words)                                          \
    {                                                                                  \
        .name = (section), .options = (table), .options_size = (size), .help = (words) \
    }
#define TITLED(section, table, size, words)                                            \
    {                                                                                  \
        .name = (section), .titled = true, .options = (table), .options_size = (size), \
        .help = (words)                                                                \
    }

static const struct sp_option *find_table(void *owner, const char *plugin, const char *plugin_dir,
                                          size_t *options_size_out, char *why)
{
    const struct sp_auth_backend_ops *ops = sp_app_plugins_load(owner, plugin, plugin_dir, why);

    if (ops == NULL)
        return NULL;
    *options_size_out = ops->options_size;
    return ops->options;
}

void sp_app_sections(struct sp_app_plugins *plugins,
                     struct sp_config_section out[SP_APP_SECTIONS_MAX])
{
    const struct sp_config_section sections[] = {
        UNTITLED(NULL, sp_app_option_table, sizeof(struct sp_app_options), "The process."),
        TITLED("listen", sp_listen_option_table, sizeof(struct sp_listen_options),
               "An address to serve: listen \"0.0.0.0:3128\" { }. As many as are needed: "
               "0.0.0.0 is IPv4 alone, [::] IPv6 alone."),
        UNTITLED("auth", sp_auth_option_table, sizeof(struct sp_auth_options),
                 "Which backends verify people, for each scheme in the order tried."),
        UNTITLED("cache", sp_cache_option_table, sizeof(struct sp_cache_options),
                 "How long verdicts are kept."),
        UNTITLED("guard", sp_guard_option_table, sizeof(struct sp_guard_options),
                 "Keeps directory accounts from being locked by wrong passwords."),
        UNTITLED("limits", sp_limits_option_table, sizeof(struct sp_limits_options),
                 "Bounds on requests, time and connections."),
        UNTITLED("protect", sp_protect_option_table, sp_protect_options_size,
                 "Where nobody goes unless a rule names it."),
        UNTITLED("forward", sp_forward_option_table, sizeof(struct sp_forward_options),
                 "What is added to requests that are passed on."),
        TITLED("rule", sp_rule_option_table, sp_rule_options_size,
               "The first rule that matches decides; where there are rules and none matches, the "
               "request is denied."),
        UNTITLED("log", sp_log_option_table, sizeof(struct sp_log_options),
                 "The access log and the error log."),
        UNTITLED("admin", sp_admin_option_table, sizeof(struct sp_admin_options),
                 "For sallyport ctl, monitoring and people on call."),
        {.name = "backend",
         .titled = true,
         .resolve = find_table,
         .owner = plugins,
         .help = "Who is asked about people: plugin = \"NAME\" and that plugin's own keys."},
        {.name = NULL},
    };
    size_t n = sizeof(sections) / sizeof(sections[0]);

    assert(n <= SP_APP_SECTIONS_MAX);
    for (size_t i = 0; i < n; i++)
        out[i] = sections[i];
}
