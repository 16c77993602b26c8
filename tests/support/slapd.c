/* Starts and stops a slapd of the test's own: see slapd.h. */
#include "support/slapd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct test_slapd {
    char dir[64];
    unsigned short port;
    unsigned short tls_port;
    bool tls;
    char uri[64];
    char tls_uri[64];
    char ipc_uri[160];
    char ca[96];
    pid_t pid;
};

static const char default_ldif[] =
    "dn: dc=test\nobjectClass: dcObject\nobjectClass: organization\no: test\n\n"
    "dn: cn=proxy,dc=test\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n"
    "userPassword: proxy-secret\n\n"
    "dn: ou=people,dc=test\nobjectClass: organizationalUnit\n\n"
    "dn: uid=alice,ou=people,dc=test\nobjectClass: inetOrgPerson\ncn: Alice\nsn: A\n"
    "userPassword: alice\n\n"
    "dn: uid=bob,ou=people,dc=test\nobjectClass: inetOrgPerson\ncn: Bob\nsn: B\n"
    "userPassword: bob\n\n"
    "dn: uid=j\xc3\xb6rg,ou=people,dc=test\nobjectClass: inetOrgPerson\ncn: J\nsn: J\n"
    "userPassword: p\xc3\xa4ss\n\n"
    "dn: uid=a\\,b\\+c\\\"d\\\\e,ou=people,dc=test\nobjectClass: inetOrgPerson\ncn: odd\nsn: O\n"
    "userPassword: odd\n\n"
    "dn: uid=s(t)a*r,ou=people,dc=test\nobjectClass: inetOrgPerson\ncn: star\nsn: S\n"
    "userPassword: star\n\n"
    "dn: uid=\\#hash,ou=people,dc=test\nobjectClass: inetOrgPerson\ncn: hash\nsn: H\n"
    "userPassword: hash\n\n"
    "dn: cn=twin one,ou=people,dc=test\nobjectClass: inetOrgPerson\nuid: twin\nsn: T\n"
    "userPassword: twin\n\n"
    "dn: cn=twin two,ou=people,dc=test\nobjectClass: inetOrgPerson\nuid: twin\nsn: T\n"
    "userPassword: twin\n\n"
    "dn: ou=groups,dc=test\nobjectClass: organizationalUnit\n\n"
    "dn: cn=staff,ou=groups,dc=test\nobjectClass: groupOfNames\n"
    "member: uid=alice,ou=people,dc=test\n\n"
    "dn: cn=all,ou=groups,dc=test\nobjectClass: groupOfNames\n"
    "member: cn=staff,ou=groups,dc=test\n\n"
    "dn: cn=ring-a,ou=groups,dc=test\nobjectClass: groupOfNames\n"
    "member: uid=bob,ou=people,dc=test\nmember: cn=ring-b,ou=groups,dc=test\n\n"
    "dn: cn=ring-b,ou=groups,dc=test\nobjectClass: groupOfNames\n"
    "member: cn=ring-a,ou=groups,dc=test\n\n";

static void must(bool well, const char *what)
{
    if (!well) {
        fprintf(stderr, "test slapd: %s (%s)\n", what, strerror(errno));
        abort();
    }
}

static void pause_ms(long ms)
{
    struct timespec span = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&span, NULL);
}

static int in_dir(const struct test_slapd *slapd, const char *name, char *path, size_t cap)
{
    return snprintf(path, cap, "%s/%s", slapd->dir, name);
}

static FILE *create(const struct test_slapd *slapd, const char *name)
{
    char path[160];
    FILE *file;

    in_dir(slapd, name, path, sizeof(path));
    file = fopen(path, "w");
    must(file != NULL, path);
    return file;
}

/* A command made of our own words only; its output goes to a file beside the database. */
static void run(const struct test_slapd *slapd, const char *fmt, ...)
{
    char command[1200];
    char line[1400];
    va_list args;

    va_start(args, fmt);
    vsnprintf(command, sizeof(command), fmt, args);
    va_end(args);
    snprintf(line, sizeof(line), "cd %s && { %s; } >run.log 2>&1", slapd->dir, command);
    if (system(line) != 0) {
        fprintf(stderr, "test slapd: failed: %s (see %s/run.log)\n", command, slapd->dir);
        abort();
    }
}

static int try_port(unsigned short *port, bool bind_it)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc;

    must(fd >= 0, "no socket");
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    rc = bind_it ? bind(fd, (struct sockaddr *)&sa, sizeof(sa))
                 : connect(fd, (struct sockaddr *)&sa, sizeof(sa));
    if (rc == 0 && bind_it) {
        must(getsockname(fd, (struct sockaddr *)&sa, &len) == 0, "no port");
        *port = ntohs(sa.sin_port);
    }
    close(fd);
    return rc;
}

static unsigned short free_port(void)
{
    unsigned short port = 0;

    must(try_port(&port, true) == 0, "no free port");
    return port;
}

/* ---- configuration ---- */

static void write_policy(FILE *ldif)
{
    fputs("dn: cn=policy,dc=test\nobjectClass: device\nobjectClass: pwdPolicy\n"
          "pwdAttribute: userPassword\npwdLockout: TRUE\npwdMaxFailure: 2\npwdMustChange: TRUE\n"
          "pwdMaxAge: 3600\n\n"
          "dn: uid=reset,ou=people,dc=test\nobjectClass: inetOrgPerson\ncn: R\nsn: R\n"
          "userPassword: reset\npwdReset: TRUE\n\n"
          "dn: uid=expired,ou=people,dc=test\nobjectClass: inetOrgPerson\ncn: E\nsn: E\n"
          "userPassword: expired\npwdChangedTime: 20200101000000Z\n\n"
          "dn: cn=lenient,dc=test\nobjectClass: device\nobjectClass: pwdPolicy\n"
          "pwdAttribute: userPassword\npwdMaxAge: 3600\npwdGraceAuthNLimit: 2\n\n"
          "dn: uid=grace,ou=people,dc=test\nobjectClass: inetOrgPerson\ncn: G\nsn: G\n"
          "userPassword: grace\npwdChangedTime: 20200101000000Z\n"
          "pwdPolicySubentry: cn=lenient,dc=test\n\n"
          "dn: cn=warning,dc=test\nobjectClass: device\nobjectClass: pwdPolicy\n"
          "pwdAttribute: userPassword\npwdMaxAge: 2000000000\npwdExpireWarning: 1999999999\n\n"
          "dn: uid=soon,ou=people,dc=test\nobjectClass: inetOrgPerson\ncn: S\nsn: S\n"
          "userPassword: soon\npwdChangedTime: 20200101000000Z\n"
          "pwdPolicySubentry: cn=warning,dc=test\n\n",
          ldif);
}

static void write_conf(const struct test_slapd *slapd, const struct test_slapd_setup *setup)
{
    FILE *conf = create(slapd, "slapd.conf");

    fprintf(conf,
            "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n"
            "include /etc/ldap/schema/inetorgperson.schema\n"
            "modulepath /usr/lib/ldap\nmoduleload back_mdb\nmoduleload ppolicy\n"
            "pidfile %s/slapd.pid\nidletimeout %u\n",
            slapd->dir, setup->idle_s);
    if (setup->global != NULL)
        fputs(setup->global, conf);
    if (setup->tls_name != NULL)
        fprintf(conf,
                "TLSCACertificateFile %s/ca.pem\nTLSCertificateFile %s/server.pem\n"
                "TLSCertificateKeyFile %s/server.key\n",
                slapd->dir, slapd->dir, slapd->dir);
    fprintf(conf,
            "database mdb\nmaxsize 16777216\nsuffix dc=test\nrootdn cn=root,dc=test\nrootpw root\n"
            "directory %s/db\ndbnosync\nindex uid,member eq\n"
            "access to attrs=userPassword by anonymous auth by * none\naccess to * by * read\n%s",
            slapd->dir, setup->extra != NULL ? setup->extra : "");
    if (setup->ppolicy)
        fputs("overlay ppolicy\nppolicy_default cn=policy,dc=test\nppolicy_use_lockout\n", conf);
    must(fclose(conf) == 0, "slapd.conf");
}

static void make_certificates(const struct test_slapd *slapd, const char *name, bool expired)
{
    run(slapd,
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 "
        "-subj /CN=testca -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.pem && "
        "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=directory "
        "-keyout server.key -out server.csr && printf 'subjectAltName=%s\\n' >san.ext && "
        "openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days %d "
        "-extfile san.ext -out server.pem",
        name, expired ? -1 : 30);
}

/* ---- the process ---- */

static void exec_slapd(const struct test_slapd *slapd)
{
    char conf[160], log[160], urls[400];
    int fd;

    in_dir(slapd, "slapd.conf", conf, sizeof(conf));
    in_dir(slapd, "slapd.log", log, sizeof(log));
    snprintf(urls, sizeof(urls), "ldap://127.0.0.1:%u/ %s", slapd->port, slapd->ipc_uri);
    if (slapd->tls)
        snprintf(urls + strlen(urls), sizeof(urls) - strlen(urls), " ldaps://127.0.0.1:%u/",
                 slapd->tls_port);
    fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd >= 0) {
        dup2(fd, 1);
        dup2(fd, 2);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves none behind */
    execl("/usr/sbin/slapd", "slapd", "-d", "stats", "-f", conf, "-h", urls, (char *)NULL);
    _exit(127);
}

void test_slapd_start(struct test_slapd *slapd)
{
    slapd->pid = fork();
    must(slapd->pid >= 0, "fork");
    if (slapd->pid == 0)
        exec_slapd(slapd);
    for (int i = 0; i < 500; i++) {
        if (try_port(&slapd->port, false) == 0)
            return;
        must(waitpid(slapd->pid, NULL, WNOHANG) == 0,
             "slapd ended at its start (is it installed?)");
        pause_ms(20);
    }
    must(false, "slapd does not listen");
}

void test_slapd_stop(struct test_slapd *slapd)
{
    if (slapd->pid <= 0)
        return;
    kill(slapd->pid, SIGCONT);
    kill(slapd->pid, SIGTERM);
    for (int i = 0; i < 250 && slapd->pid > 0; i++) {
        if (waitpid(slapd->pid, NULL, WNOHANG) == slapd->pid)
            slapd->pid = 0;
        else
            pause_ms(20);
    }
    if (slapd->pid > 0) {
        kill(slapd->pid, SIGKILL);
        waitpid(slapd->pid, NULL, 0);
        slapd->pid = 0;
    }
}

void test_slapd_pause(struct test_slapd *slapd)
{
    int status = 0;

    must(kill(slapd->pid, SIGSTOP) == 0, "cannot be paused");
    /* told once the last of its threads stands still */
    must(waitpid(slapd->pid, &status, WUNTRACED) == slapd->pid && WIFSTOPPED(status),
         "slapd ended instead of pausing");
}

void test_slapd_resume(struct test_slapd *slapd)
{
    kill(slapd->pid, SIGCONT);
}

/* ---- life ---- */

static void name_addresses(struct test_slapd *slapd, const struct test_slapd_setup *setup)
{
    char path[128];

    slapd->tls = setup->tls_name != NULL;
    slapd->port = setup->port != 0 ? setup->port : free_port();
    slapd->tls_port = slapd->tls ? free_port() : 0;
    snprintf(slapd->uri, sizeof(slapd->uri), "ldap://127.0.0.1:%u", slapd->port);
    snprintf(slapd->tls_uri, sizeof(slapd->tls_uri), "ldaps://localhost:%u", slapd->tls_port);
    snprintf(slapd->ca, sizeof(slapd->ca), "%s/ca.pem", slapd->dir);
    snprintf(path, sizeof(path), "%s/ldapi", slapd->dir);
    snprintf(slapd->ipc_uri, sizeof(slapd->ipc_uri), "ldapi://");
    for (const char *p = path; *p != '\0'; p++) {
        size_t len = strlen(slapd->ipc_uri);

        snprintf(slapd->ipc_uri + len, sizeof(slapd->ipc_uri) - len, *p == '/' ? "%%2F" : "%c", *p);
    }
}

struct test_slapd *test_slapd_new(const struct test_slapd_setup *setup)
{
    struct test_slapd *slapd = calloc(1, sizeof(*slapd));
    FILE *ldif;

    must(slapd != NULL, "out of memory");
    must(access("/usr/sbin/slapd", X_OK) == 0, "slapd is not installed: these tests need it");
    snprintf(slapd->dir, sizeof(slapd->dir), "/tmp/sallyport-slapd-XXXXXX");
    must(mkdtemp(slapd->dir) != NULL, "no temporary directory");
    name_addresses(slapd, setup);
    if (slapd->tls)
        make_certificates(slapd, setup->tls_name, setup->tls_expired);
    write_conf(slapd, setup);
    ldif = create(slapd, "tree.ldif");
    fputs(setup->ldif != NULL ? setup->ldif : default_ldif, ldif);
    if (setup->ppolicy)
        write_policy(ldif);
    must(fclose(ldif) == 0, "tree.ldif");
    run(slapd, "mkdir db && /usr/sbin/slapadd -q -f slapd.conf -l tree.ldif");
    test_slapd_start(slapd);
    return slapd;
}

void test_slapd_free(struct test_slapd **ref)
{
    struct test_slapd *slapd = *ref;
    char line[128];

    *ref = NULL;
    if (slapd == NULL)
        return;
    test_slapd_stop(slapd);
    snprintf(line, sizeof(line), "rm -rf %s", slapd->dir);
    must(system(line) == 0, "cannot clean up");
    free(slapd);
}

const char *test_slapd_uri(const struct test_slapd *slapd)
{
    return slapd->uri;
}

const char *test_slapd_tls_uri(const struct test_slapd *slapd)
{
    return slapd->tls_uri;
}

const char *test_slapd_ipc_uri(const struct test_slapd *slapd)
{
    return slapd->ipc_uri;
}

const char *test_slapd_ca(const struct test_slapd *slapd)
{
    return slapd->ca;
}

unsigned short test_slapd_port(const struct test_slapd *slapd)
{
    return slapd->port;
}

unsigned test_slapd_count(const struct test_slapd *slapd, const char *text)
{
    char path[160];
    char *line = NULL;
    size_t cap = 0;
    unsigned found = 0;
    FILE *log;

    in_dir(slapd, "slapd.log", path, sizeof(path));
    log = fopen(path, "r");
    must(log != NULL, path);
    while (getline(&line, &cap, log) > 0)
        found += strstr(line, text) != NULL;
    free(line);
    fclose(log);
    return found;
}
