/* The load generator of the benches: what wrk does not do. Tunnels, handshakes, a login of its own
 * for each request, storms and idle connections; bounded by a count and by time, one thread. Prints
 * one line of JSON and ends with 0 when exchanges were made and none failed. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define OPENING_MAX 256 /* a listener's backlog is finite */
#define EVENTS_MAX  512
#define TIMES_MAX   ((size_t)8 << 20)
#define FAILED_MAX  2000
#define STALLED_NS  1000000000u

static const char usage[] =
    "load [OPTION...] ADDRESS:PORT\n"
    "  -m METHOD  -u TARGET  -H HOST    the request (GET / by default)\n"
    "  -i PATH    GET of PATH through the tunnel, once it stands\n"
    "  -a FILE    values of Proxy-Authorization, one a line, each used once; -A FILE: again and "
    "again\n"
    "  -k         keep connections (or tunnels) for further requests\n"
    "  -b         connect all, then send at once, one request each\n"
    "  -o         one exchange each, then keep all open until standard input ends\n"
    "  -t  -r     by TLS; resume sessions\n"
    "  -c CONNECTIONS  -s SECONDS  -n COUNT\n"
    "  -w LEAD:LENGTH  two lines on the way, after LEAD seconds and LENGTH later: what is done by "
    "then\n";

uint64_t load_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- counting ---- */

void load_exchange_done(struct load *load, uint64_t begun_ns)
{
    load->done++;
    if (load->times_len < load->times_cap)
        load->times_us[load->times_len++] = (uint32_t)((load_now_ns() - begun_ns) /
                                                       100); /* tenths of a microsecond */
}

void load_exchange_failed(struct load *load, const char *why)
{
    if (load->first_fault == NULL)
        load->first_fault = why;
    if (++load->failed >= FAILED_MAX)
        load->stopping = true;
}

bool load_may_begin(const struct load *load)
{
    const struct load_options *o = &load->options;

    if (load->stopping || (o->count != 0 && load->begun + load->opening >= o->count))
        return false;
    return o->cycle || load->lines_len == 0 || load->next_line < load->lines_len;
}

const char *load_next_credential(struct load *load)
{
    if (load->lines_len == 0)
        return "";
    if (load->next_line == load->lines_len && !load->options.cycle)
        return NULL;
    return load->lines[load->next_line++ % load->lines_len];
}

/* ---- the loop ---- */

void load_fill(struct load *load)
{
    while (load->opened < load->options.connections && load->opening < OPENING_MAX &&
           load_may_begin(load))
        conn_open(load, &load->conns[load->opened++]);
}

static void open_barrier(struct load *load)
{
    load->released = true;
    load->start_ns = load_now_ns();
    for (unsigned i = 0; i < load->options.connections; i++) {
        if (load->conns[i].state == CONN_WAITING)
            conn_release(load, &load->conns[i]);
    }
}

static bool all_held(const struct load *load)
{
    return load->options.hold && load->held == load->options.connections;
}

static bool over(const struct load *load)
{
    const struct load_options *o = &load->options;

    if (load->stopping || all_held(load))
        return true;
    if (load->active == 0 && !load_may_begin(load))
        return true;
    return (o->count != 0 && load->done + load->failed >= o->count) ||
           (double)(load_now_ns() - load->start_ns) >= o->seconds * 1e9;
}

static void turn(struct load *load, int timeout_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(load->epoll, events, EVENTS_MAX, timeout_ms);

    for (int i = 0; i < n; i++)
        conn_on_event(load, events[i].data.ptr, events[i].events);
}

/* Both ends of a window that lies within the run, for who wants to know what happened in it: how
 * many connections stand, and how many exchanges are done. */
static void mark(struct load *load)
{
    const struct load_options *o = &load->options;
    double now = (double)(load_now_ns() - load->start_ns) / 1e9;

    if (load->marks == 2 || o->window == 0 || now < o->lead + load->marks * o->window)
        return;
    load->marks++;
    printf("at %.6f standing %u done %llu\n", now, load->opened - load->opening,
           (unsigned long long)load->done);
    (void)fflush(stdout);
}

static void run(struct load *load)
{
    load->start_ns = load_now_ns();
    while (!over(load)) {
        load_fill(load);
        if (load->options.barrier && !load->released && load->waiting == load->options.connections)
            open_barrier(load);
        turn(load, 20);
        mark(load);
    }
}

/* Tells the runner that all stand, and waits for it; a connection that the server ends meanwhile is
 * a failure. */
static void hold(struct load *load)
{
    struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
                            {.fd = load->epoll, .events = POLLIN}};
    uint64_t end_ns = load_now_ns() + (uint64_t)(load->options.seconds * 1e9);
    char byte;

    printf("held %llu failed %llu\n", (unsigned long long)load->done,
           (unsigned long long)load->failed);
    (void)fflush(stdout);
    while (load_now_ns() < end_ns && poll(fds, 2, 100) >= 0) {
        if (fds[0].revents != 0 && read(STDIN_FILENO, &byte, 1) <= 0)
            return;
        if (fds[1].revents != 0)
            turn(load, 0);
    }
}

/* ---- the report ---- */

static int by_value(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static double quantile_us(const struct load *load, double q)
{
    if (load->times_len == 0)
        return 0;
    return (double)load->times_us[(size_t)(q * (double)(load->times_len - 1))] / 10;
}

static uint64_t stalled(const struct load *load, uint64_t now_ns)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < load->opened; i++) {
        const struct conn *conn = &load->conns[i];

        count += conn->state != CONN_CLOSED && conn->state != CONN_HELD && conn->body_left == 0 &&
                 now_ns - conn->begun_ns > STALLED_NS;
    }
    return count;
}

static void report(struct load *load, uint64_t end_ns)
{
    struct rusage own;
    double cpu;

    (void)getrusage(RUSAGE_SELF, &own);
    cpu = (double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec) +
          (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec) / 1e6;
    qsort(load->times_us, load->times_len, sizeof(load->times_us[0]), by_value);
    printf("{\"done\": %llu, \"failed\": %llu, \"stalled\": %llu, \"resumed\": %llu, \"seconds\": "
           "%.6f, \"bytes\": %llu, "
           "\"cpu\": %.3f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, \"fault\": "
           "\"%s\", \"statuses\": {",
           (unsigned long long)load->done, (unsigned long long)load->failed,
           (unsigned long long)stalled(load, end_ns), (unsigned long long)load->resumed,
           (double)(end_ns - load->start_ns) / 1e9, (unsigned long long)load->bytes, cpu,
           quantile_us(load, 0.5), quantile_us(load, 0.99), quantile_us(load, 1),
           load->first_fault ? load->first_fault : "");
    for (unsigned status = 0, comma = 0; status < LOAD_STATUS_MAX; status++) {
        if (load->statuses[status] != 0)
            printf("%s\"%u\": %llu", comma++ ? ", " : "", status,
                   (unsigned long long)load->statuses[status]);
    }
    printf("}}\n");
}

/* ---- starting ---- */

static bool parse_address(const char *text, struct sockaddr_in *out)
{
    char host[64];
    const char *colon = strrchr(text, ':');

    if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    out->sin_family = AF_INET;
    out->sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    return inet_pton(AF_INET, host, &out->sin_addr) == 1;
}

static bool parse_options(int argc, char **argv, struct load_options *o)
{
    int c;

    while ((c = getopt(argc, argv, "m:u:H:i:a:A:kbotrc:s:n:w:")) != -1) {
        switch (c) {
        case 'm': o->method = optarg; break;
        case 'u': o->target = optarg; break;
        case 'H': o->host = optarg; break;
        case 'i': o->inner = optarg; break;
        case 'A':
            o->cycle = true;
            o->credentials = optarg;
            break;
        case 'a': o->credentials = optarg; break;
        case 'k': o->keep = true; break;
        case 'b': o->barrier = true; break;
        case 'o': o->hold = true; break;
        case 't': o->tls = true; break;
        case 'r': o->resume = true; break;
        case 'c': o->connections = (unsigned)strtoul(optarg, NULL, 10); break;
        case 's': o->seconds = strtod(optarg, NULL); break;
        case 'n': o->count = strtoull(optarg, NULL, 10); break;
        case 'w':
            if (sscanf(optarg, "%lf:%lf", &o->lead, &o->window) != 2 || o->window <= 0)
                return false;
            break;
        default: return false;
        }
    }
    return optind + 1 == argc && parse_address(argv[optind], &o->to) && o->connections > 0 &&
           o->seconds > 0;
}

static bool read_credentials(struct load *load, const char *path)
{
    FILE *file = fopen(path, "r");
    size_t cap = 0, size = 0;
    char *line = NULL, **grown;
    ssize_t len;

    if (file == NULL)
        return false;
    while ((len = getline(&line, &size, file)) > 0) {
        if (line[len - 1] == '\n')
            line[len - 1] = '\0';
        if (load->lines_len == cap) {
            cap = cap == 0 ? 1024 : cap * 2;
            grown = realloc(load->lines, cap * sizeof(*grown));
            if (grown == NULL)
                break;
            load->lines = grown;
        }
        load->lines[load->lines_len++] = line;
        line = NULL;
    }
    free(line);
    (void)fclose(file);
    return load->lines_len > 0;
}

static bool start(struct load *load)
{
    const struct load_options *o = &load->options;

    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    load->conns = calloc(o->connections, sizeof(*load->conns));
    load->buffer = malloc(LOAD_READ_SIZE);
    load->times_cap = TIMES_MAX;
    load->times_us = malloc(load->times_cap * sizeof(*load->times_us));
    if (load->epoll < 0 || load->conns == NULL || load->buffer == NULL || load->times_us == NULL)
        return false;
    for (unsigned i = 0; i < o->connections; i++) {
        load->conns[i].request = malloc(LOAD_REQUEST_MAX);
        if (load->conns[i].request == NULL)
            return false;
    }
    if (o->credentials != NULL && !read_credentials(load, o->credentials))
        return false;
    return !o->tls || io_tls_start(load);
}

static void end(struct load *load)
{
    for (unsigned i = 0; load->conns != NULL && i < load->options.connections; i++) {
        conn_close(load, &load->conns[i]);
        free(load->conns[i].request);
    }
    for (size_t i = 0; i < load->lines_len; i++)
        free(load->lines[i]);
    io_tls_end(load);
    free(load->lines);
    free(load->conns);
    free(load->buffer);
    free(load->times_us);
    if (load->epoll >= 0)
        (void)close(load->epoll);
}

int main(int argc, char **argv)
{
    struct load load = {
        .epoll = -1,
        .options = {
            .method = "GET", .target = "/", .host = "origin", .connections = 1, .seconds = 1}};
    bool well;

    if (!parse_options(argc, argv, &load.options)) {
        (void)fputs(usage, stderr);
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    if (!start(&load)) {
        (void)fprintf(stderr, "load: cannot start: %s\n",
                      errno != 0 ? strerror(errno) : "no credentials");
        end(&load);
        return 1;
    }
    run(&load);
    if (load.options.hold && all_held(&load))
        hold(&load);
    report(&load, load_now_ns());
    well = load.done > 0 && load.failed == 0;
    end(&load);
    return well ? 0 : 1;
}
