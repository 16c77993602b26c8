/* Starts krb5kdc as a child on a free port of 127.0.0.1 and drives it with kadmin.local and kinit.
 */
#include "support/kdc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATHS_MAX 64

struct sp_kdc {
    char dir[64];
    pid_t pid;
    int port;
    char *paths[PATHS_MAX]; /* what sp_kdc_path gave out */
    size_t paths_len;
};

static void die(const char *what)
{
    (void)fprintf(stderr, "kdc: %s: %s\n", what, strerror(errno));
    exit(99);
}

static void *must(void *pointer, const char *what)
{
    if (pointer == NULL)
        die(what);
    return pointer;
}

/* The child's output goes to the folder, to be read when a test fails. */
static pid_t spawn(struct sp_kdc *kdc, char *const argv[], const char *input)
{
    int feed[2];
    pid_t pid;

    if (pipe(feed) != 0)
        die("pipe");
    pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* a test that crashes leaves no server behind */
        (void)dup2(feed[0], 0);
        (void)close(feed[0]);
        (void)close(feed[1]);
        if (freopen(sp_kdc_path(kdc, "output.log"), "a", stdout) != NULL)
            (void)dup2(1, 2);
        execvp(argv[0], argv);
        _exit(127);
    }
    (void)close(feed[0]);
    if (input != NULL && write(feed[1], input, strlen(input)) != (ssize_t)strlen(input))
        die("feeding a child");
    (void)close(feed[1]);
    return pid;
}

static void run(struct sp_kdc *kdc, char *const argv[], const char *input)
{
    pid_t pid = spawn(kdc, argv, input);
    int status = 0;

    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            die("waitpid");
    }
    if (status != 0) {
        (void)fprintf(stderr, "kdc: %s failed with status %#x; see %s\n", argv[0], (unsigned)status,
                      sp_kdc_path(kdc, "output.log"));
        exit(99);
    }
}

static void write_file(struct sp_kdc *kdc, const char *file, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void write_file(struct sp_kdc *kdc, const char *file, const char *fmt, ...)
{
    FILE *out = must(fopen(sp_kdc_path(kdc, file), "w"), file);
    va_list args;

    va_start(args, fmt);
    (void)vfprintf(out, fmt, args);
    va_end(args);
    if (fclose(out) != 0)
        die(file);
}

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int free_port(void)
{
    struct sockaddr_in address = loopback(0);
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        die("a free port");
    (void)close(fd);
    return ntohs(address.sin_port);
}

static void wait_for_port(struct sp_kdc *kdc)
{
    struct sockaddr_in address = loopback(kdc->port);

    for (int tries = 0; tries < 400; tries++) {
        const struct timespec pause = {0, 25 * 1000 * 1000};
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        int err = connect(fd, (struct sockaddr *)&address, sizeof address);

        (void)close(fd);
        if (err == 0)
            return;
        (void)nanosleep(&pause, NULL);
    }
    die("krb5kdc does not listen");
}

static void write_configuration(struct sp_kdc *kdc, const char *extra)
{
    write_file(kdc, "krb5.conf",
               "[libdefaults]\n"
               "    default_realm = " SP_KDC_REALM "\n"
               "    dns_lookup_kdc = false\n"
               "    dns_lookup_realm = false\n"
               "    dns_canonicalize_hostname = false\n"
               "    rdns = false\n"
               "%s\n"
               "[realms]\n"
               "    " SP_KDC_REALM " = {\n"
               "        kdc = 127.0.0.1:%d\n"
               "    }\n",
               extra != NULL ? extra : "", kdc->port);
    write_file(kdc, "kdc.conf",
               "[kdcdefaults]\n"
               "    kdc_listen = 127.0.0.1:%d\n"
               "    kdc_tcp_listen = 127.0.0.1:%d\n"
               "[realms]\n"
               "    " SP_KDC_REALM " = {\n"
               "        database_name = %s/principal\n"
               "        key_stash_file = %s/stash\n"
               "        acl_file = %s/kadm5.acl\n"
               "        max_life = 1d\n"
               "    }\n"
               "[logging]\n"
               "    kdc = FILE:%s/kdc.log\n",
               kdc->port, kdc->port, kdc->dir, kdc->dir, kdc->dir, kdc->dir);
    (void)setenv("KRB5_CONFIG", sp_kdc_path(kdc, "krb5.conf"), 1);
    (void)setenv("KRB5_KDC_PROFILE", sp_kdc_path(kdc, "kdc.conf"), 1);
    (void)setenv("KRB5RCACHEDIR", kdc->dir, 1);
}

struct sp_kdc *sp_kdc_start(const char *extra)
{
    struct sp_kdc *kdc = must(calloc(1, sizeof *kdc), "memory");
    char *create[] = {"kdb5_util", "create", "-s", "-r", SP_KDC_REALM, "-P", "master", NULL};
    char *serve[] = {"krb5kdc", "-n", NULL};
    const char *path = getenv("PATH");
    char *wider = NULL;

    /* where Debian keeps the daemons, which a plain user's PATH leaves out */
    if (asprintf(&wider, "%s:/usr/sbin:/sbin", path != NULL ? path : "/usr/bin:/bin") < 0)
        die("memory");
    (void)setenv("PATH", wider, 1);
    free(wider);
    (void)snprintf(kdc->dir, sizeof kdc->dir, "/tmp/sallyport-kdc-XXXXXX");
    (void)must(mkdtemp(kdc->dir), "a folder in /tmp");
    kdc->port = free_port();
    write_configuration(kdc, extra);
    run(kdc, create, NULL);
    kdc->pid = spawn(kdc, serve, NULL);
    wait_for_port(kdc);
    return kdc;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *where)
{
    (void)st;
    (void)flag;
    (void)where;
    return remove(path);
}

void sp_kdc_stop(struct sp_kdc **kdc)
{
    struct sp_kdc *gone = *kdc;

    *kdc = NULL;
    if (gone == NULL)
        return;
    (void)kill(gone->pid, SIGCONT);
    (void)kill(gone->pid, SIGTERM);
    (void)waitpid(gone->pid, NULL, 0);
    (void)nftw(gone->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    for (size_t i = 0; i < gone->paths_len; i++)
        free(gone->paths[i]);
    free(gone);
}

void sp_kdc_pause(const struct sp_kdc *kdc)
{
    if (kill(kdc->pid, SIGSTOP) != 0)
        die("SIGSTOP");
}

void sp_kdc_resume(const struct sp_kdc *kdc)
{
    if (kill(kdc->pid, SIGCONT) != 0)
        die("SIGCONT");
}

const char *sp_kdc_path(struct sp_kdc *kdc, const char *file)
{
    char *path = NULL;

    if (asprintf(&path, "%s/%s", kdc->dir, file) < 0)
        die("memory");
    for (size_t i = 0; i < kdc->paths_len; i++) {
        if (strcmp(kdc->paths[i], path) == 0) {
            free(path);
            return kdc->paths[i];
        }
    }
    if (kdc->paths_len == PATHS_MAX) {
        errno = ENOSPC;
        die("too many paths");
    }
    kdc->paths[kdc->paths_len++] = path;
    return path;
}

void sp_kdc_admin(struct sp_kdc *kdc, const char *query)
{
    char *line = must(strdup(query), "memory");
    char *argv[] = {"kadmin.local", "-r", SP_KDC_REALM, "-q", line, NULL};

    run(kdc, argv, NULL);
    free(line);
}

void sp_kdc_add(struct sp_kdc *kdc, const char *principal, const char *password)
{
    char query[512];

    if (password != NULL)
        (void)snprintf(query, sizeof query, "addprinc -pw %s %s", password, principal);
    else
        (void)snprintf(query, sizeof query, "addprinc -randkey %s", principal);
    sp_kdc_admin(kdc, query);
}

void sp_kdc_keytab(struct sp_kdc *kdc, const char *principal, const char *file, int keep)
{
    char query[512];

    (void)snprintf(query, sizeof query, "ktadd %s -k %s %s", keep ? "-norandkey" : "",
                   sp_kdc_path(kdc, file), principal);
    sp_kdc_admin(kdc, query);
}

/* One cache a principal; a slash in the name would make a folder of it. */
static const char *cache_path(struct sp_kdc *kdc, const char *principal)
{
    char file[256];

    (void)snprintf(file, sizeof file, "%s.cc", principal);
    for (char *c = file; *c != '\0'; c++) {
        if (*c == '/')
            *c = '_';
    }
    return sp_kdc_path(kdc, file);
}

void sp_kdc_use(struct sp_kdc *kdc, const char *principal)
{
    char name[300];

    (void)snprintf(name, sizeof name, "FILE:%s", cache_path(kdc, principal));
    (void)setenv("KRB5CCNAME", name, 1);
}

void sp_kdc_login(struct sp_kdc *kdc, const char *principal, const char *password,
                  const char *options)
{
    char line[700], input[256];
    char *argv[] = {"sh", "-c", line, NULL};

    sp_kdc_use(kdc, principal);
    (void)snprintf(line, sizeof line, "exec kinit %s -c '%s' '%s'", options != NULL ? options : "",
                   cache_path(kdc, principal), principal);
    (void)snprintf(input, sizeof input, "%s\n", password);
    run(kdc, argv, input);
}
