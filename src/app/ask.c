/* The client's end of the control socket. The configuration is read only to learn where that socket
 * is: what else is wrong with it is for the process to say, which is asked to take it up. */
#include "app/ask.h"

#include "admin/admin.h"
#include "app/load.h"
#include "util/hash.h"
#include "util/span.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_S   30 /* a reload reads every file that the configuration names */
#define LINE_LONGEST ((size_t)1024 * 1024)

/* ---- the socket ---- */

static bool set_patience(int fd, int option, time_t seconds)
{
    const struct timeval patience = {.tv_sec = seconds};

    return setsockopt(fd, SOL_SOCKET, option, &patience, sizeof patience) == 0;
}

/* The kernel refuses a connection to a file in the same words as to a socket that nobody has. */
static bool is_socket(const char *path)
{
    struct stat st;
    int kept = errno;
    bool is = stat(path, &st) == 0 && S_ISSOCK(st.st_mode);

    errno = kept;
    return is;
}

/* -1: told on standard error. */
static int connect_to(const char *command, const char *path)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    bool refused;
    int fd;

    if (strlen(path) >= sizeof sun.sun_path) {
        fprintf(stderr, "sallyport %s: %s: the path of a socket is at most 107 bytes\n", command,
                path);
        return -1;
    }
    memcpy(sun.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && set_patience(fd, SO_RCVTIMEO, PATIENCE_S) &&
        set_patience(fd, SO_SNDTIMEO, PATIENCE_S) &&
        connect(fd, (const struct sockaddr *)&sun, sizeof sun) == 0)
        return fd;
    refused = errno == ECONNREFUSED;
    fprintf(stderr, "sallyport %s: %s: %s%s\n", command, path, strerror(errno),
            refused && !is_socket(path)  ? " (this is no socket)"
            : refused || errno == ENOENT ? " (is sallyport running?)"
            : errno == EACCES            ? " (this is for root and the user that sallyport runs as)"
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

/* ---- the answer, line by line ---- */

enum heard { HEARD_LINE, HEARD_END, HEARD_BROKEN };

/* `line` stays in `in` until the next call. */
static enum heard hear_line(int fd, struct sp_buf *in, size_t *taken, struct sp_span *line)
{
    sp_buf_consume(in, *taken);
    *taken = 0;
    for (;;) {
        struct sp_span have = sp_buf_span(in);
        const char *lf = memchr(have.base, '\n', have.len);
        ssize_t len;
        char *room;

        if (lf != NULL) {
            *line = sp_span_of(have.base, (size_t)(lf - have.base));
            *taken = line->len + 1;
            return HEARD_LINE;
        }
        if (sp_buf_reserve(in, 4096, &room) != SP_OK) {
            errno = ENOMEM;
            return HEARD_BROKEN;
        }
        do
            len = read(fd, room, 4096);
        while (len < 0 && errno == EINTR);
        if (len <= 0)
            return len == 0 ? HEARD_END : HEARD_BROKEN;
        sp_buf_commit(in, (size_t)len);
    }
}

static bool complain(void *owner, struct sp_span line)
{
    (void)owner;
    return fprintf(stderr, "%.*s\n", SP_SPAN_ARG(line)) >= 0;
}

/* What a verdict that does not come means. */
static void tell_broken(const struct sp_app_question *q, const char *path, enum heard heard)
{
    fprintf(stderr, "sallyport %s: %s: %s\n", q->command, path,
            heard == HEARD_END ? "no answer: only root and the user that sallyport runs as get one"
            : errno == EAGAIN  ? "no answer in time"
                               : strerror(errno));
}

static enum sp_exit hear(const struct sp_app_question *q, const char *path, int fd)
{
    struct sp_buf in;
    struct sp_span line;
    size_t taken = 0;
    enum heard heard;
    bool well = false, taking = true;

    sp_buf_init(&in, LINE_LONGEST);
    heard = hear_line(fd, &in, &taken, &line);
    if (heard == HEARD_LINE) {
        well = sp_span_eq(line, sp_span_of(SP_ADMIN_OK, sizeof SP_ADMIN_OK - 2));
        if (q->endless && well)
            taking = set_patience(fd, SO_RCVTIMEO, 0);
        while (taking && (heard = hear_line(fd, &in, &taken, &line)) == HEARD_LINE)
            taking = well ? q->said(q->owner, line) : complain(NULL, line);
        if (heard == HEARD_BROKEN && (well || errno != ECONNRESET)) /* a no may come unasked */
            tell_broken(q, path, heard);
        else if (q->endless && well && heard == HEARD_END)
            fprintf(stderr, "sallyport %s: sallyport has ended\n", q->command);
        well = well && taking && heard == HEARD_END && !q->endless;
    } else {
        tell_broken(q, path, heard);
    }
    sp_buf_fini(&in);
    return well ? SP_EXIT_WELL : SP_EXIT_UNWELL;
}

/* ---- the question ---- */

/* Every line that was told is flushed by then. */
static void end_well(int signal_number)
{
    (void)signal_number;
    _exit(SP_EXIT_WELL);
}

/* Whoever has seen enough of what has no end interrupts it. Also where a shell's "&" left that to
 * be ignored: there is no other end to ask for. */
static bool end_when_interrupted(void)
{
    const struct sigaction action = {.sa_handler = end_well};

    return sigaction(SIGINT, &action, NULL) == 0 && sigaction(SIGTERM, &action, NULL) == 0;
}

static enum sp_exit ask_at(const struct sp_app_question *q, const char *path, const char *line)
{
    enum sp_exit status = SP_EXIT_UNWELL;
    int fd = connect_to(q->command, path);

    if (fd < 0)
        return SP_EXIT_UNWELL;
    if ((!q->endless || end_when_interrupted()) &&
        (send_line(fd, line) || errno == EPIPE)) /* whoever is turned away is told why */
        status = hear(q, path, fd);
    else
        fprintf(stderr, "sallyport %s: %s: %s\n", q->command, path, strerror(errno));
    (void)close(fd);
    return status;
}

/* The first of the faults, without its line end. */
static struct sp_span first_fault(const struct sp_config_faults *faults)
{
    struct sp_span text = sp_buf_span(&faults->text);
    const char *end = text.len > 0 ? memchr(text.base, '\n', text.len) : NULL;

    return end != NULL ? sp_span_of(text.base, (size_t)(end - text.base)) : text;
}

/* Where the socket is. Of another file than the service's, a guess could reach the wrong process.
 * NULL: told on standard error. */
static const char *place_of(const struct sp_app_question *q, const struct sp_config *config,
                            const struct sp_config_faults *faults)
{
    const struct sp_config_block *admin = sp_config_one(config, "admin");
    const char *path = ((const struct sp_admin_options *)admin->options)->socket;

    if (path[0] == '\0') {
        fprintf(stderr, "sallyport %s: admin.socket is \"\" in %s: there is no control socket\n",
                q->command, q->config);
        return NULL;
    }
    if (sp_config_is_set(admin, "socket") || faults->count == 0)
        return path;
    if (strcmp(q->config, SP_APP_CONFIG_DEFAULT) != 0) {
        fprintf(stderr,
                "%.*s\nsallyport %s: so it is not known where the control socket is: name it with "
                "--socket PATH\n",
                SP_SPAN_ARG(first_fault(faults)), q->command);
        return NULL;
    }
    fprintf(stderr,
            "%.*s\nsallyport %s: so the control socket is taken to be %s; --socket names another\n",
            SP_SPAN_ARG(first_fault(faults)), q->command, path);
    return path;
}

static enum sp_exit ask_by_config(const struct sp_app_question *q, const char *line)
{
    static struct sp_app_loader loader;
    struct sp_config_faults faults;
    struct sp_config *config;
    enum sp_exit status = SP_EXIT_UNWELL;
    const char *path;

    sp_app_loader_init(&loader, q->config);
    sp_config_faults_init(&faults);
    config = sp_config_read_part(q->config, loader.sections, "admin", &faults);
    path = config != NULL ? place_of(q, config, &faults) : NULL;
    if (config == NULL)
        fprintf(stderr, "sallyport %s: out of memory\n", q->command);
    else if (path != NULL)
        status = ask_at(q, path, line);
    sp_config_unref(&config);
    sp_config_faults_fini(&faults);
    return status;
}

enum sp_exit sp_app_ask(const struct sp_app_question *question)
{
    char line[SP_ADMIN_LINE_MAX];
    int len = snprintf(line, sizeof line, "%s%s%s\n", question->name,
                       question->word != NULL ? " " : "",
                       question->word != NULL ? question->word : "");

    if (len < 0 || (size_t)len >= sizeof line || strchr(line, '\n') != line + len - 1) {
        fprintf(stderr, "sallyport %s: a name is one line, and not a long one\n",
                question->command);
        return SP_EXIT_USAGE;
    }
    if ((question->word != NULL && question->word[0] == '\0') ||
        (question->socket != NULL && question->socket[0] == '\0')) {
        fprintf(stderr,
                "sallyport %s: an empty word names nothing (is a variable of the shell unset?)\n",
                question->command);
        return SP_EXIT_USAGE;
    }
    if (sp_hash_setup() != SP_OK) {
        fprintf(stderr, "sallyport %s: the system gives no random numbers\n", question->command);
        return SP_EXIT_UNWELL;
    }
    return question->socket != NULL ? ask_at(question, question->socket, line)
                                    : ask_by_config(question, line);
}
