/* `sallyport doctor`: looks at everything that logins rest on, and says of each thing whether it is
 * well and, where it is not, what to do. Changes nothing. */
#include "app/command.h"

#include "admin/admin_options.h"
#include "app/bind.h"
#include "app/doctor_files.h"
#include "app/doctor_running.h"
#include "app/offline.h"
#include "app/print.h"
#include "util/span.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static const struct sp_app_flag flags[] = {{"--json", false}, {NULL, false}};

struct visit {
    struct sp_app_printer printer;
    struct sp_auth_findings findings; /* of the backend at hand */
    const char *backend;
    unsigned ill;
    pid_t running; /* the proxy that answers at admin.socket; 0: none */
    uid_t running_uid;
};

static void tell(struct visit *v, bool well, const char *what, const char *state,
                 const char *remedy)
{
    const struct sp_auth_finding finding = {well, what, state, well ? NULL : remedy};

    if (!well)
        v->ill++;
    sp_app_print_finding(&v->printer, &finding);
}

/* ---- the configuration ---- */

static void tell_faults(struct visit *v, struct sp_span rest)
{
    char line[1200];

    while (rest.len > 0) {
        const char *end = memchr(rest.base, '\n', rest.len);
        size_t len = end != NULL ? (size_t)(end - rest.base) : rest.len;

        (void)snprintf(line, sizeof(line), "%.*s", (int)len, rest.base);
        tell(v, false, "configuration", line,
             "correct that line, or the file it names; sallyport check looks at it again");
        len += len < rest.len; /* the line end */
        rest = sp_span_of(rest.base + len, rest.len - len);
    }
}

static void examine_config(struct visit *v, const struct sp_app_offline *offline, const char *path)
{
    if (offline->snapshot != NULL)
        tell(v, true, "configuration", path, NULL);
    else if (offline->faults.count == 0)
        tell(v, false, "configuration", "could not be looked at: no memory", "free some memory");
    tell_faults(v, sp_buf_span(&offline->faults.text));
}

/* ---- the process ---- */

/* Connected, or -1 with errno. */
static int connect_to(const char *path)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd, saved;

    if (strlen(path) >= sizeof(sun.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(sun.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) == 0)
        return fd;
    saved = errno;
    (void)close(fd);
    errno = saved;
    return -1;
}

static void local_time(time_t when, char *out, size_t cap)
{
    struct tm tm;

    out[0] = '\0';
    if (localtime_r(&when, &tm) != NULL)
        (void)strftime(out, cap, "%Y-%m-%d %H:%M:%S", &tm);
}

/* Since when it runs, and whether the file is younger than that. */
static void tell_running(struct visit *v, const char *config)
{
    char proc[32], since[32] = "?", changed[32], state[160];
    struct stat process, file;

    (void)snprintf(proc, sizeof(proc), "/proc/%d", (int)v->running);
    if (stat(proc, &process) != 0 || stat(config, &file) != 0) {
        (void)snprintf(state, sizeof(state), "process %d answers", (int)v->running);
        tell(v, true, "running proxy", state, NULL);
        return;
    }
    local_time(process.st_mtime, since, sizeof(since));
    local_time(file.st_mtime, changed, sizeof(changed));
    (void)snprintf(state, sizeof(state), "process %d, since %s; the configuration was changed %s%s",
                   (int)v->running, since, changed,
                   file.st_mtime > process.st_mtime ? ", after that: reload if that was not done"
                                                    : "");
    tell(v, true, "running proxy", state, NULL);
}

static void tell_plain(void *owner, bool well, const char *what, const char *state,
                       const char *remedy)
{
    tell(owner, well, what, state, remedy);
}

static void examine_process(struct visit *v, const struct sp_config *config, const char *path)
{
    const struct sp_admin_options *admin = sp_config_one(config, "admin")->options;
    struct ucred peer = {0};
    socklen_t len = sizeof(peer);
    char state[400];
    int fd;

    if (admin->socket[0] == '\0') {
        tell(v, true, "running proxy", "admin.socket is empty, so it cannot be asked", NULL);
        return;
    }
    fd = connect_to(admin->socket);
    if (fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid > 0) {
        v->running = peer.pid;
        v->running_uid = peer.uid;
        tell_running(v, path);
        sp_app_doctor_running(&(struct sp_app_doctor_running){
            .socket = admin->socket, .tell = tell_plain, .owner = v});
    } else if (fd < 0 && (errno == ENOENT || errno == ECONNREFUSED)) {
        tell(v, true, "running proxy", "none: nobody answers at admin.socket", NULL);
    } else {
        (void)snprintf(state, sizeof(state), "not known: %.256s: %s", admin->socket,
                       strerror(errno));
        tell(v, false, "running proxy", state,
             "run doctor as root, or as the user that sallyport runs as");
    }
    if (fd >= 0)
        (void)close(fd);
}

/* ---- the files ---- */

static void examine_files(struct visit *v, const struct sp_config *config, const char *path)
{
    const struct sp_app_doctor_files question = {.config = config,
                                                 .path = path,
                                                 .is_running = v->running != 0,
                                                 .running_uid = v->running_uid,
                                                 .tell = tell_plain,
                                                 .owner = v};

    sp_app_doctor_files(&question);
}

/* ---- the listeners ---- */

static void examine_address(struct visit *v, const struct sp_listen *listen)
{
    int error = sp_app_bind_probe(&listen->addr);
    char what[200], state[160];

    (void)snprintf(what, sizeof(what), "listen %.150s", listen->title);
    (void)snprintf(state, sizeof(state), "%s", error == 0 ? "free to be bound" : strerror(error));
    if (error == EADDRINUSE && v->running != 0)
        (void)snprintf(state, sizeof(state), "in use, and sallyport runs (process %d)",
                       (int)v->running);
    else if (error == EACCES)
        (void)snprintf(state, sizeof(state), "not known: this user may not bind it");
    tell(v, error == 0 || error == EACCES || (error == EADDRINUSE && v->running != 0), what, state,
         error == EADDRINUSE      ? "another program listens there: ss -ltnp names it"
         : error == EADDRNOTAVAIL ? "this machine has no such address: correct listen"
                                  : "correct listen");
}

static void examine_certificate(struct visit *v, const struct sp_listen *listen, size_t index)
{
    bool one = sp_tls_server_certificates(listen->tls) == 1;
    struct sp_tls_certificate certificate;
    bool in_date;
    char number[24] = "", what[200], state[640];

    sp_tls_server_certificate(listen->tls, index, &certificate);
    in_date = certificate.begun && certificate.days_left >= SP_TLS_ENDS_SOON_DAYS;
    if (!one)
        (void)snprintf(number, sizeof(number), " %zu", index + 1);
    (void)snprintf(what, sizeof(what), "certificate%s of listen %.150s", number, listen->title);
    (void)snprintf(state, sizeof(state), "%s %s, %s, for %s",
                   !certificate.begun          ? "not valid yet; until"
                   : certificate.days_left < 0 ? "expired on"
                   : in_date                   ? "valid until"
                                               : "expires soon, on",
                   certificate.until, certificate.key,
                   certificate.names[0] != '\0' ? certificate.names : "no name at all");
    tell(v, in_date && certificate.names[0] != '\0', what, state,
         in_date ? "clients look at subjectAltName alone: issue it with the proxy's names there"
                 : "issue a new one, put it in place and reload");
}

static void examine_listeners(struct visit *v, const struct sp_proxy_snapshot *snapshot)
{
    size_t len;
    const struct sp_listen *listens = sp_proxy_snapshot_listens(snapshot, &len);

    for (size_t i = 0; i < len; i++) {
        examine_address(v, &listens[i]);
        for (size_t j = 0; listens[i].tls != NULL && j < sp_tls_server_certificates(listens[i].tls);
             j++)
            examine_certificate(v, &listens[i], j);
    }
}

/* ---- the backends ---- */

static void on_finding(struct sp_auth_findings *findings, const struct sp_auth_finding *finding)
{
    struct visit *v = sp_container_of(findings, struct visit, findings);
    char what[1024];

    (void)snprintf(what, sizeof(what), "%.128s: %s", v->backend, finding->what);
    tell(v, finding->well, what, finding->state, finding->remedy);
}

static void examine_backends(struct visit *v, const struct sp_app_offline *offline)
{
    size_t len;
    const struct sp_config_block *backends = sp_config_all(offline->config, "backend", &len);

    v->findings.add = on_finding;
    for (size_t i = 0; i < len; i++) {
        v->backend = backends[i].title;
        (void)sp_auth_plan_diagnose(sp_proxy_snapshot_plan(offline->snapshot), v->backend,
                                    &v->findings);
    }
}

/* ---- the command ---- */

static void examine(struct visit *v, const char *path)
{
    struct sp_app_offline offline;
    bool well = sp_app_offline_open(&offline, path);

    examine_config(v, &offline, path);
    if (!well) {
        tell(v, false, "everything else", "not looked at: it is the configuration that names it",
             "correct the configuration, then run doctor again");
    } else {
        examine_process(v, offline.config, path);
        examine_files(v, offline.config, path);
        examine_listeners(v, offline.snapshot);
        examine_backends(v, &offline);
    }
    sp_app_offline_close(&offline);
}

static enum sp_exit run(const struct sp_app_args *args)
{
    struct visit v = {.backend = ""};
    bool told;

    sp_app_printer_init(&v.printer, stdout, sp_app_args_has(args, "--json"));
    examine(&v, args->config);
    told = sp_app_print_end(&v.printer);
    sp_app_printer_fini(&v.printer);
    return told && v.ill == 0 ? SP_EXIT_WELL : SP_EXIT_UNWELL;
}

const struct sp_app_command sp_cmd_doctor = {
    .name = "doctor",
    .summary = "Look at everything that logins rest on, with a remedy for each fault",
    .usage = "[-c FILE] [--json]",
    .help =
        "One line a thing: the configuration, whether the user that sallyport runs as can open\n"
        "its files, listeners and certificates, keytabs, DNS, the KDC, each directory server.\n"
        "Nothing is changed. Run it as the user that sallyport runs as, or as root. Who is\n"
        "silent is waited for 5 s (DNS, KDC) or for the connect_timeout and timeout of its\n"
        "backend (a directory), once.\n\n"
        "  --json   one JSON object, with the list \"findings\"\n",
    .flags = flags,
    .run = run,
};
