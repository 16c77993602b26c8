/* `sallyport run`: serve in the foreground. What needs root comes first (sockets, secrets, the pid
 * file), then privileges go, then threads come. */
#include "app/command.h"

#include "admin/admin.h"
#include "app/load.h"
#include "app/process.h"
#include "app/server.h"
#include "stats/stats.h"
#include "util/hash.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* The words that tell of it, if it could not be done: the proxy serves all the same. */
static void confine(const struct sp_app_options *options)
{
    const struct sp_log log = {0};

    if (!options->seccomp)
        sp_log_warning(&log, "event=unconfined detail=\"seccomp = false: the process may make any "
                             "system call\"");
    else if (sp_process_confine() != SP_OK)
        sp_log_warning(&log,
                       "event=unconfined detail=\"the kernel takes no seccomp filter: %s; the "
                       "process may make any system call\"",
                       strerror(errno));
}

/* What serving opens, as measured: the main loop, admin, the log and four to serve a client with;
 * and each worker's loop. */
#define FILES_OF_SERVER 16u
#define FILES_OF_WORKER 6u

/* A loop that gets no descriptors could not even say so. */
static bool has_files(unsigned workers)
{
    unsigned wanted = FILES_OF_SERVER + workers * FILES_OF_WORKER;
    unsigned left = sp_process_files_left(wanted);
    struct rlimit limit;

    if (left == wanted || getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return true;
    fprintf(stderr,
            "sallyport: the limit of open files is %llu; %u %s these listeners need %llu at "
            "the very least, and then two for each connection: raise it (LimitNOFILE in the unit, "
            "ulimit -n in a shell)%s\n",
            (unsigned long long)limit.rlim_cur, workers, workers == 1 ? "worker on" : "workers on",
            (unsigned long long)limit.rlim_cur + wanted - left,
            workers > 1 ? ", or set fewer workers" : "");
    return false;
}

/* What only root may make, for the user that the process is to become. */
static void make_places(const struct sp_config *config)
{
    const char *user = sp_app_options_of(config)->user;
    const struct passwd *who = user[0] != '\0' && geteuid() == 0 ? getpwnam(user) : NULL;

    if (who != NULL)
        sp_admin_make_folder(sp_config_one(config, "admin")->options, who->pw_uid, who->pw_gid);
}

/* A file that only serving opens, told at its place in the configuration. */
static void tell_file(const struct sp_config *config, const char *section, const char *option,
                      const char *path, const char *user)
{
    struct sp_config_faults faults;
    int error = errno;

    sp_config_faults_init(&faults);
    sp_config_fault(&faults, sp_config_one(config, section), option,
                    "`%s`: %s cannot be opened%s%s: %s", option, path,
                    user[0] != '\0' ? " by user " : "", user, strerror(error));
    sp_app_faults_print(&faults);
    sp_config_faults_fini(&faults);
}

/* All is read, bound and written; become nobody in particular, and serve. */
static bool serve(struct sp_app_loader *loader, struct sp_config *config,
                  struct sp_proxy_snapshot **snapshot, struct sp_app_sockets *sockets)
{
    const struct sp_app_options *options = sp_app_options_of(config);
    const struct sp_log_options *log = sp_config_one(config, "log")->options;
    const char *failed;
    bool well;

    if (!has_files(sp_server_workers(options)))
        return false;
    sp_server_signals_hold();
    if (sp_process_write_pid(options->pid_file) != SP_OK) {
        tell_file(config, NULL, "pid_file", options->pid_file, "");
        return false;
    }
    make_places(config);
    if (sp_process_become(options->user) != SP_OK) {
        sp_process_remove_pid(options->pid_file);
        return false;
    }
    if (sp_log_open(log, &failed) != SP_OK) {
        tell_file(config, "log", failed == log->access ? "access" : "error", failed, options->user);
        sp_process_remove_pid(options->pid_file);
        return false;
    }
    confine(options);
    well = sp_server_run(loader, snapshot, sockets);
    sp_log_close();
    if (!well && log->error[0] != '\0' && strcmp(log->error, "-") != 0)
        fprintf(stderr, "sallyport: it ended with a fault, which the error log names: %s\n",
                log->error);
    sp_process_remove_pid(options->pid_file);
    return well;
}

static bool bind_and_serve(struct sp_app_loader *loader, struct sp_config *config,
                           struct sp_proxy_snapshot **snapshot, struct sp_app_inherited *inherited,
                           struct sp_config_faults *faults)
{
    struct sp_app_sockets sockets = {0};
    size_t len;
    const struct sp_listen *listens = sp_proxy_snapshot_listens(*snapshot, &len);
    const struct sp_log log = {0};
    enum sp_err err;
    bool well = false;

    sp_app_inherited_drop(inherited, listens, len);
    err = sp_app_sockets_bind(&sockets, config, listens, len,
                              sp_server_workers(sp_app_options_of(config)), inherited, NULL, NULL,
                              faults);
    sp_app_faults_print(faults);
    if (err == SP_OK) {
        sp_app_sockets_store(&sockets, listens, &log);
        well = serve(loader, config, snapshot, &sockets);
    }
    sp_app_sockets_fini(&sockets);
    return well;
}

/* Takes the configuration. What outlives the snapshot here are its words: a secret that a reload
 * replaces must not live on. */
static bool run_config(struct sp_app_loader *loader, struct sp_config *config,
                       struct sp_app_inherited *inherited, struct sp_config_faults *faults)
{
    struct sp_config *words = sp_config_words_ref(config);
    struct sp_proxy_snapshot *snapshot;
    bool well = false;

    if (sp_stats_init(sp_server_workers(sp_app_options_of(config))) != SP_OK) {
        fprintf(stderr, "sallyport: out of memory\n");
        sp_config_unref(&config);
        sp_config_words_unref(&words);
        return false;
    }
    snapshot = sp_app_loader_compile(loader, config, NULL, NULL, faults);
    sp_config_unref(&config);
    if (snapshot == NULL)
        sp_app_faults_print(faults);
    else
        well = bind_and_serve(loader, words, &snapshot, inherited, faults);
    sp_proxy_snapshot_unref(&snapshot);
    sp_config_words_unref(&words);
    sp_stats_fini();
    return well;
}

static enum sp_exit run(const struct sp_app_args *args)
{
    static struct sp_app_loader loader;
    static struct sp_app_inherited inherited;
    struct sp_config_faults faults;
    struct sp_config *config;
    bool well = false;

    sp_process_prepare();
    sp_app_inherited_take(&inherited);
    if (sp_hash_setup() != SP_OK) {
        fprintf(stderr, "sallyport: the system gives no random numbers\n");
        return SP_EXIT_UNWELL;
    }
    sp_app_loader_init(&loader, args->config);
    sp_config_faults_init(&faults);
    config = sp_app_loader_read(&loader, &faults);
    if (config == NULL)
        sp_app_faults_print(&faults);
    else
        well = run_config(&loader, config, &inherited, &faults);
    sp_config_faults_fini(&faults);
    return well ? SP_EXIT_WELL : SP_EXIT_UNWELL;
}

const struct sp_app_command sp_cmd_run = {
    .name = "run",
    .summary = "Serve in the foreground",
    .usage = "[-c FILE]",
    .help =
        "Signals: TERM and INT drain (for shutdown_timeout) and end, a second one cuts what is\n"
        "left; HUP reads the configuration anew; USR1 opens the log files anew.\n",
    .run = run,
};
