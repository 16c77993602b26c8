/* `sallyport ctl`: one question to the running proxy, through its control socket, and its answer.
 * The configuration is read only to learn where that socket is. */
#include "app/command.h"

#include "admin/admin.h"
#include "app/load.h"
#include "util/hash.h"
#include "util/span.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_S 30 /* a reload reads every file that the configuration names */

static bool is_command(const struct sp_app_args *args)
{
    static const struct {
        const char *name;
        unsigned operands_max;
    } commands[] = {{"stats", 1}, {"sessions", 1}, {"flush", 2}, {"reload", 1}, {"drain", 1}};

    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(args->operands[0], commands[i].name) == 0)
            return args->operands_len <= commands[i].operands_max;
    return false;
}

/* -1: told on standard error. */
static int connect_to(const char *path)
{
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof sun.sun_path) {
        fprintf(stderr, "sallyport ctl: admin.socket %s: the path is too long\n", path);
        return -1;
    }
    memcpy(sun.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 &&
        connect(fd, (const struct sockaddr *)&sun, sizeof sun) == 0)
        return fd;
    fprintf(stderr, "sallyport ctl: %s: %s%s\n", path, strerror(errno),
            errno == ECONNREFUSED || errno == ENOENT ? " (is sallyport running?)"
            : errno == EACCES ? " (ctl is for root and the user that sallyport runs as)"
                              : "");
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

static bool send_line(int fd, const char *line)
{
    size_t len = strlen(line);

    while (len > 0) {
        ssize_t sent = send(fd, line, len, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        line += sent;
        len -= (size_t)sent;
    }
    return true;
}

/* Text as it comes, behind the verdict. False: the stream broke. */
static bool print_rest(int fd)
{
    char text[4096];
    ssize_t len;

    for (;;) {
        len = read(fd, text, sizeof text);
        if (len < 0 && errno == EINTR)
            continue;
        if (len <= 0)
            return len == 0 && fflush(stdout) == 0;
        if (fwrite(text, 1, (size_t)len, stdout) != (size_t)len)
            return false;
    }
}

static bool read_verdict(int fd, char verdict[4])
{
    size_t have = 0;

    while (have < 3) {
        ssize_t len = read(fd, verdict + have, 3 - have);

        if (len < 0 && errno == EINTR)
            continue;
        if (len <= 0)
            return false;
        have += (size_t)len;
    }
    verdict[3] = '\0';
    return true;
}

static enum sp_exit ask(const char *path, const char *line)
{
    char verdict[4];
    int fd = connect_to(path);
    bool whole;

    if (fd < 0)
        return SP_EXIT_UNWELL;
    errno = 0;
    whole = send_line(fd, line) && read_verdict(fd, verdict) && print_rest(fd);
    if (!whole)
        fprintf(stderr, "sallyport ctl: %s: %s\n", path,
                errno == EAGAIN ? "no answer in time"
                : errno == 0    ? "no answer: only root and the user that sallyport runs as get one"
                                : strerror(errno));
    (void)close(fd);
    return whole && strcmp(verdict, SP_ADMIN_OK) == 0 ? SP_EXIT_WELL : SP_EXIT_UNWELL;
}

static enum sp_exit ask_by_config(const struct sp_app_args *args, const char *line)
{
    static struct sp_app_loader loader;
    struct sp_config_faults faults;
    struct sp_config *config;
    enum sp_exit status = SP_EXIT_UNWELL;

    sp_app_loader_init(&loader, args->config);
    sp_config_faults_init(&faults);
    config = sp_app_loader_read(&loader, &faults);
    if (config == NULL) {
        sp_app_faults_print(&faults);
    } else {
        const struct sp_admin_options *options = sp_config_one(config, "admin")->options;

        if (options->socket[0] == '\0')
            fprintf(stderr,
                    "sallyport ctl: admin.socket is \"\" in %s: there is no control "
                    "socket\n",
                    args->config);
        else
            status = ask(options->socket, line);
        sp_config_unref(&config);
    }
    sp_config_faults_fini(&faults);
    return status;
}

static enum sp_exit run(const struct sp_app_args *args)
{
    char line[SP_ADMIN_LINE_MAX];
    int len;

    if (!is_command(args)) {
        fprintf(stderr,
                "sallyport ctl: ask one of: stats, sessions, flush [USER], reload, drain\n"
                "usage: sallyport ctl %s\n",
                args->command->usage);
        return SP_EXIT_USAGE;
    }
    len = snprintf(line, sizeof line, "%s%s%s\n", args->operands[0],
                   args->operands_len > 1 ? " " : "",
                   args->operands_len > 1 ? args->operands[1] : "");
    if (len < 0 || (size_t)len >= sizeof line || strchr(line, '\n') != line + len - 1) {
        fprintf(stderr, "sallyport ctl: a name is one line, and not a long one\n");
        return SP_EXIT_USAGE;
    }
    if (sp_hash_setup() != SP_OK) {
        fprintf(stderr, "sallyport ctl: the system gives no random numbers\n");
        return SP_EXIT_UNWELL;
    }
    return ask_by_config(args, line);
}

const struct sp_app_command sp_cmd_ctl = {
    .name = "ctl",
    .summary = "Ask or tell the running proxy",
    .usage = "[-c FILE] stats | sessions | flush [USER] | reload | drain",
    .help =
        "  stats          every counter\n"
        "  sessions       client connections, tunnels and handshakes now\n"
        "  flush [USER]   forget a user's verdicts and groups and lift a block; without USER,\n"
        "                 everybody's\n"
        "  reload         read the configuration anew; when something is wrong, nothing changes\n"
        "  drain          accept nothing new, let requests and tunnels finish, end\n"
        "\nThe control socket (admin.socket) answers root and the user that sallyport runs as.\n",
    .operands_min = 1,
    .operands_max = 2,
    .run = run,
};
