/* The load generator's own contract between its files: load.c reads options, runs the loop and
 * reports; load_conn.c is one connection and what it asks; load_io.c moves bytes, in clear or by
 * TLS. One thread, one epoll; nothing here is part of sallyport. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LOAD_HEAD_MAX    8192
#define LOAD_REQUEST_MAX 65536
#define LOAD_READ_SIZE   ((size_t)262144)
#define LOAD_STATUS_MAX  600

struct load_options {
    struct sockaddr_in to;
    const char *method;
    const char *target;
    const char *host;
    const char *inner;       /* path that is asked for through the tunnel; NULL: nothing is */
    const char *credentials; /* file of Proxy-Authorization values, one a line; NULL: no header */
    bool cycle;              /* begin the file again at its end, instead of ending the run */
    bool keep;               /* further requests on the same connection */
    bool barrier;            /* all connections stand before the first request */
    bool hold;               /* one exchange each, then all stay open until standard input ends */
    bool tls;
    bool resume;
    unsigned connections;
    double seconds;
    double lead;    /* seconds after which a line tells what is done by then, */
    double window;  /* and so much later another; 0: neither */
    uint64_t count; /* exchanges; 0: until the time is over */
};

enum conn_state {
    CONN_CLOSED,
    CONN_CONNECTING,
    CONN_HANDSHAKE,
    CONN_WAITING, /* for the barrier */
    CONN_SENDING,
    CONN_HEAD,
    CONN_BODY,
    CONN_HELD,
};

/* Belongs to the array in struct load; its descriptor and SSL end with conn_close. */
struct conn {
    int fd;
    enum conn_state state;
    bool in_tunnel; /* what is sent and read now goes through the tunnel */
    bool until_eof; /* the body has no length */
    bool unread;    /* an edge said readable while we were still sending */
    SSL *ssl;
    uint64_t begun_ns;
    uint64_t body_left;
    char *request;
    size_t request_len;
    size_t request_sent;
    size_t head_len;
    char head[LOAD_HEAD_MAX];
};

struct load {
    struct load_options options;
    int epoll;
    SSL_CTX *tls;
    SSL_SESSION *session;
    struct conn *conns;
    unsigned opened;  /* connections begun for the first time */
    unsigned opening; /* of them, not yet connected */
    unsigned waiting;
    unsigned held;
    unsigned active;
    bool released; /* the barrier is open */
    bool stopping;
    char **lines;
    size_t lines_len;
    size_t next_line;
    uint64_t start_ns;
    unsigned marks; /* lines told */
    uint64_t begun;
    uint64_t done;
    uint64_t failed;
    uint64_t resumed;
    uint64_t bytes;
    uint64_t statuses[LOAD_STATUS_MAX];
    uint32_t *times_us;
    size_t times_len;
    size_t times_cap;
    char *buffer;
    const char *first_fault;
};

uint64_t load_now_ns(void);

/* Opens connections until all have been begun or enough of them are on their way. */
void load_fill(struct load *load);

/* One exchange is over. */
void load_exchange_done(struct load *load, uint64_t begun_ns);
void load_exchange_failed(struct load *load, const char *why);

/* The next Proxy-Authorization value, "" when there are none to send, NULL when the file is used
 * up. */
const char *load_next_credential(struct load *load);
bool load_may_begin(const struct load *load);

void conn_open(struct load *load, struct conn *conn);
void conn_release(struct load *load, struct conn *conn);
void conn_on_event(struct load *load, struct conn *conn, uint32_t events);
void conn_close(struct load *load, struct conn *conn);

/* Bytes moved; 0 at the end of the stream; -1: not now; -2: broken. */
ssize_t io_read(struct conn *conn, char *buffer, size_t size);
ssize_t io_write(struct conn *conn, const char *bytes, size_t len);
/* 1: done; 0: not yet; -1: failed. */
int io_handshake(struct load *load, struct conn *conn);
bool io_tls_start(struct load *load);
void io_tls_end(struct load *load);

#endif
