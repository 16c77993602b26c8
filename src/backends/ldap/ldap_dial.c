/* Resolve and connect, then hand on to TLS and the service identity. Runs on a pool thread. */
#include "backends/ldap/ldap_dial_priv.h"

#include "backends/ldap/ldap_config.h"
#include "backends/ldap/ldap_ready.h"
#include "util/addr.h"
#include "util/lookup.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

/* A firewall that forgot us is noticed before a login needs the wire. */
#define KEEPALIVE_IDLE_S     60
#define KEEPALIVE_INTERVAL_S 15
#define KEEPALIVE_PROBES     4

/* ---- telling ---- */

struct sp_ldap_dial_step *sp_ldap_dial_step(struct sp_ldap_dialling *d, const char *what)
{
    struct sp_ldap_dial_report *report = d->report;
    struct sp_ldap_dial_step *step;

    if (report->steps_len < SP_LDAP_DIAL_STEPS)
        report->steps_len++;
    step = &report->steps[report->steps_len - 1];
    *step = (struct sp_ldap_dial_step){.what = what, .micros = uv_hrtime()};
    return step;
}

static struct sp_ldap_dial_step *end_step(struct sp_ldap_dialling *d)
{
    struct sp_ldap_dial_step *step = &d->report->steps[d->report->steps_len - 1];

    step->micros = (uv_hrtime() - step->micros) / 1000;
    return step;
}

void sp_ldap_dial_well(struct sp_ldap_dialling *d, const char *fmt, ...)
{
    struct sp_ldap_dial_step *step = end_step(d);
    va_list args;

    step->well = true;
    va_start(args, fmt);
    (void)vsnprintf(step->outcome, sizeof(step->outcome), fmt, args);
    va_end(args);
}

enum sp_err sp_ldap_dial_fail(struct sp_ldap_dialling *d, enum sp_ldap_fault fault, const char *fmt,
                              ...)
{
    struct sp_ldap_dial_step *step = end_step(d);
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(d->report->words, sizeof(d->report->words), fmt, args);
    va_end(args);
    memcpy(step->outcome, d->report->words, sizeof(step->outcome));
    d->report->fault = fault;
    return SP_ERR_IO;
}

enum sp_err sp_ldap_dial_wait_failed(struct sp_ldap_dialling *d, enum sp_err err)
{
    if (d->stop != NULL && atomic_load(d->stop))
        return sp_ldap_dial_fail(d, SP_LDAP_FAULT_STOPPED, "given up: the backend is closing");
    if (err == SP_ERR_TIMEOUT)
        return sp_ldap_dial_fail(d, SP_LDAP_FAULT_TIMEOUT, "no answer in time");
    return sp_ldap_dial_fail(d, SP_LDAP_FAULT_LOST,
                             err == SP_ERR_TOO_LARGE ? "the server's answer has no end"
                                                     : "the server closed the connection");
}

const char *sp_ldap_fault_text(enum sp_ldap_fault fault)
{
    switch (fault) {
    case SP_LDAP_FAULT_NONE: return "no fault";
    case SP_LDAP_FAULT_STOPPED: return "closing";
    case SP_LDAP_FAULT_FULL: return "overloaded";
    case SP_LDAP_FAULT_LOST: return "the directory closed the connection";
    case SP_LDAP_FAULT_CONNECT: return "no directory server can be reached";
    case SP_LDAP_FAULT_TIMEOUT: return "the directory does not answer in time";
    case SP_LDAP_FAULT_ANSWER: return "the directory cannot answer";
    case SP_LDAP_FAULT_GARBLED: return "the directory does not speak LDAP";
    case SP_LDAP_FAULT_TLS: return "no trusted TLS connection to the directory";
    case SP_LDAP_FAULT_KDC: return "no KDC answers for the service identity";
    case SP_LDAP_FAULT_UNPROVEN: return "the service identity cannot be proven to the directory";
    case SP_LDAP_FAULT_SERVICE: return "the directory refuses the service identity";
    }
    return "no fault";
}

/* ---- sockets ---- */

/* Failing to set one of these costs comfort, not correctness. */
static void tune(int fd, uint64_t timeout_ms)
{
    const int on = 1;
    const int idle = KEEPALIVE_IDLE_S;
    const int interval = KEEPALIVE_INTERVAL_S;
    const int probes = KEEPALIVE_PROBES;
    /* A live host acknowledges at once even where the server on it hangs; a firewall that forgot
     * the connection never does. Half the time of an operation leaves the other half for a new try.
     */
    const unsigned unacked = (unsigned)(timeout_ms / 2);

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacked, sizeof(unacked));
}

/* A connected, non-blocking socket, or -1 with errno. */
static int connect_one(struct sp_ldap_dialling *d, const struct sockaddr *sa, socklen_t sa_len,
                       uint64_t deadline_ns)
{
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int failure = 0;
    socklen_t failure_len = sizeof(failure);
    enum sp_err err;

    if (fd < 0)
        return -1;
    if (sa->sa_family != AF_UNIX)
        tune(fd, d->config->options->timeout_ms);
    if (connect(fd, sa, sa_len) == 0)
        return fd;
    if (errno != EINPROGRESS && errno != EINTR) {
        failure = errno;
    } else {
        err = sp_ldap_wait_fd(fd, POLLOUT, deadline_ns, d->stop);
        if (err != SP_OK)
            failure = err == SP_ERR_TIMEOUT ? ETIMEDOUT : ECANCELED;
        else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &failure_len) != 0)
            failure = errno;
    }
    if (failure == 0)
        return fd;
    close(fd);
    errno = failure;
    return -1;
}

static enum sp_err connect_failed(struct sp_ldap_dialling *d, int failure)
{
    if (d->stop != NULL && atomic_load(d->stop))
        return sp_ldap_dial_wait_failed(d, SP_ERR_CLOSED);
    if (failure == ETIMEDOUT)
        return sp_ldap_dial_fail(d, SP_LDAP_FAULT_TIMEOUT, "cannot connect: no answer in time");
    if (failure == EMFILE || failure == ENFILE || failure == ENOMEM || failure == ENOBUFS)
        return sp_ldap_dial_fail(d, SP_LDAP_FAULT_FULL, "cannot connect: %s", strerror(failure));
    return sp_ldap_dial_fail(d, SP_LDAP_FAULT_CONNECT, "cannot connect: %s", strerror(failure));
}

static enum sp_err take_socket(struct sp_ldap_dialling *d, int fd)
{
    enum sp_err err = sp_ldap_ready_wait(d->deadline_ns, d->stop);

    if (err != SP_OK) {
        close(fd);
        if (err == SP_ERR_FULL || err == SP_ERR_NOMEM)
            return sp_ldap_dial_fail(d, SP_LDAP_FAULT_FULL, "out of memory or threads");
        if (err != SP_ERR_TIMEOUT)
            return sp_ldap_dial_wait_failed(d, err);
        return sp_ldap_dial_fail(d, SP_LDAP_FAULT_TIMEOUT,
                                 "connected, but libldap waits for DNS about this machine's own "
                                 "name: put that into /etc/hosts");
    }
    d->report->wire = sp_ldap_wire_new(fd, d->uri, d->config->options->timeout_ms);
    if (d->report->wire == NULL)
        return sp_ldap_dial_fail(d, SP_LDAP_FAULT_FULL, "out of memory");
    sp_ldap_dial_well(d, "connected");
    return SP_OK;
}

static enum sp_err dial_socket_file(struct sp_ldap_dialling *d)
{
    struct sp_ldap_dial_step *step = sp_ldap_dial_step(d, "connect");
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd;

    snprintf(step->detail, sizeof(step->detail), "%s", d->uri->path);
    memcpy(sa.sun_path, d->uri->path, sizeof(sa.sun_path));
    fd = connect_one(d, (const struct sockaddr *)&sa, sizeof(sa), d->deadline_ns);
    return fd < 0 ? connect_failed(d, errno) : take_socket(d, fd);
}

/* Each address in turn, within one deadline; but none may use it up while others wait behind it. */
static int connect_any(struct sp_ldap_dialling *d, const struct addrinfo *list,
                       struct sp_ldap_dial_step *step)
{
    size_t left = 0;
    int fd = -1;

    for (const struct addrinfo *a = list; a != NULL; a = a->ai_next)
        left++;
    errno = EHOSTUNREACH;
    for (const struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next, left--) {
        uint64_t now = uv_hrtime();
        uint64_t share = d->deadline_ns > now ? (d->deadline_ns - now) / left : 0;
        struct sp_addr addr;
        char text[SP_ADDR_TEXT_MAX];

        if (sp_addr_from_sockaddr(&addr, a->ai_addr) == SP_OK)
            snprintf(step->detail, sizeof(step->detail), "%s", sp_addr_text(&addr, text));
        errno = EHOSTUNREACH;
        fd = connect_one(d, a->ai_addr, a->ai_addrlen, now + share);
    }
    return fd;
}

/* "10.0.0.5, 10.0.0.6", as many as fit. */
static void list_addresses(const struct addrinfo *list, char *out, size_t cap)
{
    size_t used = 0;

    out[0] = '\0';
    for (const struct addrinfo *a = list; a != NULL; a = a->ai_next) {
        struct sp_addr addr;
        char text[SP_ADDR_TEXT_MAX];
        int more;

        if (sp_addr_from_sockaddr(&addr, a->ai_addr) != SP_OK)
            continue;
        more = snprintf(out + used, cap - used, "%s%s", used > 0 ? ", " : "",
                        sp_addr_ip_text(&addr, text));
        if (more < 0 || (size_t)more >= cap - used)
            return;
        used += (size_t)more;
    }
}

static enum sp_err resolve_failed(struct sp_ldap_dialling *d, enum sp_err err)
{
    if (err == SP_ERR_CLOSED)
        return sp_ldap_dial_wait_failed(d, err);
    if (err == SP_ERR_TIMEOUT)
        return sp_ldap_dial_fail(d, SP_LDAP_FAULT_TIMEOUT, "cannot resolve %s: no answer in time",
                                 d->uri->host);
    return sp_ldap_dial_fail(d, SP_LDAP_FAULT_FULL, "cannot resolve %s: no room for a look-up",
                             d->uri->host);
}

static enum sp_err resolve_host(struct sp_ldap_dialling *d, struct addrinfo **list_out)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICSERV |
                                               (d->uri->literal ? AI_NUMERICHOST : 0)};
    struct sp_ldap_dial_step *step = sp_ldap_dial_step(d, "resolve");
    char found[256];
    int failure;
    enum sp_err err;

    snprintf(step->detail, sizeof(step->detail), "%s", d->uri->host);
    err = sp_lookup(d->uri->host, d->uri->port, &hints, d->deadline_ns, d->stop, list_out,
                    &failure);
    if (err != SP_OK)
        return resolve_failed(d, err);
    if (failure != 0)
        return sp_ldap_dial_fail(d, SP_LDAP_FAULT_CONNECT, "cannot resolve %s: %s", d->uri->host,
                                 gai_strerror(failure));
    list_addresses(*list_out, found, sizeof(found));
    sp_ldap_dial_well(d, "%s", found);
    return SP_OK;
}

static enum sp_err dial_host(struct sp_ldap_dialling *d)
{
    struct addrinfo *list = NULL;
    enum sp_err err = resolve_host(d, &list);
    int failure, fd;

    if (err != SP_OK)
        return err;
    fd = connect_any(d, list, sp_ldap_dial_step(d, "connect"));
    failure = errno;
    freeaddrinfo(list);
    return fd < 0 ? connect_failed(d, failure) : take_socket(d, fd);
}

/* ---- the whole way ---- */

static enum sp_err dial_all(struct sp_ldap_dialling *d, enum sp_ldap_dial_depth depth)
{
    enum sp_err err = d->uri->scheme == SP_LDAP_IPC ? dial_socket_file(d) : dial_host(d);

    if (err == SP_OK)
        err = sp_ldap_dial_tls(d);
    if (err != SP_OK)
        return err;
    switch (depth) {
    case SP_LDAP_DIAL_CONNECT: return SP_OK;
    case SP_LDAP_DIAL_PROVE: return sp_ldap_dial_prove(d);
    case SP_LDAP_DIAL_SERVICE: return sp_ldap_dial_service(d);
    case SP_LDAP_DIAL_JUDGE: return sp_ldap_dial_unbraked(d);
    }
    return SP_OK;
}

void sp_ldap_dial_until(const struct sp_auth_config *config, const struct sp_ldap_uri *uri,
                        enum sp_ldap_dial_depth depth, uint64_t latest_ns, const atomic_bool *stop,
                        struct sp_ldap_dial_report *report)
{
    uint64_t reach_ns = uv_hrtime() + config->options->connect_timeout_ms * 1000000;
    struct sp_ldap_dialling d = {
        .config = config,
        .uri = uri,
        .stop = stop,
        .deadline_ns = reach_ns < latest_ns ? reach_ns : latest_ns,
        .latest_ns = latest_ns,
        .report = report,
    };

    memset(report, 0, sizeof(*report));
    if (dial_all(&d, depth) != SP_OK)
        sp_ldap_wire_free(&report->wire);
}

void sp_ldap_dial(const struct sp_auth_config *config, const struct sp_ldap_uri *uri,
                  enum sp_ldap_dial_depth depth, const atomic_bool *stop,
                  struct sp_ldap_dial_report *report)
{
    sp_ldap_dial_until(config, uri, depth, UINT64_MAX, stop, report);
}
