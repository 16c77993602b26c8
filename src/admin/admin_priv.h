/* Inside the admin room: its two structs, shared by admin.c (listeners), conn.c (connections),
 * pages.c (what HTTP answers) and control.c (what the socket answers). */
#ifndef SP_ADMIN_ADMIN_PRIV_H
#define SP_ADMIN_ADMIN_PRIV_H

#include "admin/admin.h"
#include "http/http.h"
#include "util/addr.h"
#include "util/list.h"

#define SP_ADMIN_CONNS_MAX   64    /* of each kind: who floods the pages leaves `ctl` its own */
#define SP_ADMIN_DEADLINE_MS 10000 /* for a question, and again for taking the answer */
#define SP_ADMIN_AGAIN_MS    100   /* after want of memory */
#define SP_ADMIN_HEAD_MAX    8192
#define SP_ADMIN_WORDS_MAX   16384
#define SP_ADMIN_ANSWER_MAX  (16u * 1024 * 1024)

enum sp_admin_kind { SP_ADMIN_HTTP, SP_ADMIN_CONTROL };
#define SP_ADMIN_KINDS 2

enum sp_admin_conn_state {
    SP_ADMIN_CONN_READING,   /* the question is not whole */
    SP_ADMIN_CONN_WAITING,   /* the answer comes in a later turn */
    SP_ADMIN_CONN_WRITING,   /* the answer is on its way */
    SP_ADMIN_CONN_FOLLOWING, /* lines are told as they come, until the other end closes */
    SP_ADMIN_CONN_ENDING,    /* all is written: the other end closes, or time runs out */
    SP_ADMIN_CONN_CLOSING,
};

/* Owned by its uv handles: freed when both have closed. */
struct sp_admin_conn {
    struct sp_admin *admin;
    struct sp_list link; /* in admin->conns, until closing */
    enum sp_admin_kind kind;
    enum sp_admin_conn_state state;
    union {
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } handle;
    uv_timer_t timer;
    uv_write_t write;
    uv_shutdown_t shutdown;
    unsigned handles; /* open ones */
    bool peer_done;   /* the other end has closed its side: no more will come */
    bool writing;     /* FOLLOWING: what is in `out` is on its way */
    void *follow;     /* FOLLOWING: the server's */
    void *later;      /* WAITING: the server's, until it answers */
    void (*forget)(void *owner, void *later);
    char in[SP_ADMIN_HEAD_MAX];
    size_t in_len;
    struct sp_http_parser *parser; /* HTTP only */
    struct sp_buf out;
};

/* Owned by whoever opened it, until closing; then by its listeners and connections: freed when the
 * last of them has closed. */
struct sp_admin {
    uv_loop_t *loop;
    struct sp_admin_events events;
    const struct sp_log *log;
    uv_tcp_t http;
    uv_pipe_t control;
    struct sp_addr http_addr;
    struct sp_cidr *networks; /* `http_from` */
    size_t networks_len;
    unsigned parts;   /* open listeners, connections, and the timer */
    uv_timer_t again; /* a connection waits that there was no memory for */
    bool http_open;
    bool control_open;
    bool http_waits;
    bool control_waits;
    bool closing;
    struct sp_list conns;
    unsigned conns_len[SP_ADMIN_KINDS];
    uint64_t deadline_ms; /* SP_ADMIN_DEADLINE_MS; tests have less patience */
};

/* ---- admin.c ---- */
void sp_admin_part_closed(struct sp_admin *admin);

/* ---- conn.c ---- */
/* Takes the connection that waits on the listener. False: no memory, it goes on waiting. */
bool sp_admin_conn_accept(struct sp_admin *admin, uv_stream_t *listener, enum sp_admin_kind kind);
void sp_admin_conn_close(struct sp_admin_conn *conn);
/* FOLLOWING: writes what has come, unless something is still on its way; else nothing. */
void sp_admin_conn_wake(struct sp_admin_conn *conn);

/* ---- visitor.c ---- */
/* Who is answered at http_addr. */
enum sp_admin_reach {
    SP_ADMIN_LOCAL,   /* this machine: it is a loopback address */
    SP_ADMIN_UNNAMED, /* this machine: it is a wildcard, and nobody is named */
    SP_ADMIN_EXPOSED, /* others too */
};
enum sp_admin_reach sp_admin_reach(const struct sp_admin *admin);
enum sp_err sp_admin_networks_set(struct sp_admin *admin,
                                  const struct sp_strings *names) SP_MUST_CHECK;
/* Is this an address that is answered? Others are told at most why not. */
bool sp_admin_is_known(const struct sp_admin_conn *conn);
/* Why this request is not answered, in words for whoever sent it; NULL: it is. */
const char *sp_admin_refusal(const struct sp_admin_conn *conn,
                             const struct sp_http_request *request);

/* ---- pages.c, control.c ---- */
/* Look at conn->in. True: the whole answer stands in conn->out (and if that failed for want of
 * memory, out is empty), or its beginning where conn->follow is set, or nothing yet where
 * conn->later is. False: more bytes are needed. */
bool sp_admin_http_answer(struct sp_admin_conn *conn);
bool sp_admin_control_answer(struct sp_admin_conn *conn);

/* ---- series.c: the metrics again, for people ---- */
/* One sample of the metrics' text. */
struct sp_admin_sample {
    struct sp_span name;
    struct sp_span labels; /* between the braces; may be empty */
    struct sp_span value;
};
/* The next sample that is not part of a histogram; `rest` is moved on. False: no more. */
bool sp_admin_next_sample(struct sp_span *rest, struct sp_admin_sample *sample_out);

/* ---- status_page.c ---- */
/* `nonce` is the only one that its style and script carry. events.overview is there. */
enum sp_err sp_admin_status_page(struct sp_admin *admin, struct sp_buf *page,
                                 const char *nonce) SP_MUST_CHECK;

/* ---- socket.c ---- */
/* Binds `pipe` to `path`, mode 0600; a socket that a dead process left there is removed first.
 * False: `why` (256 bytes) says what is wrong and what to do. */
bool sp_admin_socket_bind(uv_pipe_t *pipe, const char *path, char why[256]);

#endif
