/* HTTP/1.x on the wire: heads read (llhttp) and judged strictly, bodies framed, heads written.
 * This door is bytes in, values out; it knows no sockets. All calls on one object from one thread.
 */
#ifndef SP_HTTP_HTTP_H
#define SP_HTTP_HTTP_H

#include "sallyport/base.h"
#include "util/addr.h"
#include "util/buf.h"

#include <stdbool.h>
#include <time.h>

enum sp_http_method {
    SP_HTTP_OTHER, /* any token; its text counts */
    SP_HTTP_GET,
    SP_HTTP_HEAD,
    SP_HTTP_POST,
    SP_HTTP_PUT,
    SP_HTTP_OPTIONS,
    SP_HTTP_TRACE,
    SP_HTTP_CONNECT,
};

/* Fields that somebody here looks at; everything else is SP_FIELD_OTHER and is passed on by its
 * name. */
enum sp_http_field_id {
    SP_FIELD_OTHER,
    SP_FIELD_ACCEPT,
    SP_FIELD_CONNECTION,
    SP_FIELD_CONTENT_LENGTH,
    SP_FIELD_CONTENT_TYPE,
    SP_FIELD_DATE,
    SP_FIELD_EXPECT,
    SP_FIELD_HOST,
    SP_FIELD_KEEP_ALIVE,
    SP_FIELD_MAX_FORWARDS,
    SP_FIELD_PROXY_AUTHENTICATE,
    SP_FIELD_PROXY_AUTHENTICATION_INFO,
    SP_FIELD_PROXY_AUTHORIZATION,
    SP_FIELD_PROXY_CONNECTION,
    SP_FIELD_REFERER,
    SP_FIELD_TE,
    SP_FIELD_TRAILER,
    SP_FIELD_TRANSFER_ENCODING,
    SP_FIELD_UPGRADE,
    SP_FIELD_USER_AGENT,
    SP_FIELD_VIA,
    SP_FIELD_WWW_AUTHENTICATE,
    SP_FIELD_X_FORWARDED_FOR,
};

struct sp_http_field {
    struct sp_span name;
    struct sp_span value; /* trimmed */
    enum sp_http_field_id id;
    bool hop; /* hop-by-hop: by its nature, or named by Connection (RFC 9110 7.6.1); is not passed
                 on */
};

enum sp_http_form { SP_TARGET_ABSOLUTE, SP_TARGET_AUTHORITY, SP_TARGET_ORIGIN, SP_TARGET_ASTERISK };

/* Where a request goes (RFC 9112 3.2). */
struct sp_http_target {
    enum sp_http_form form;
    struct sp_span host; /* lower case, percent-decoded, no brackets, no trailing dot; absent in
                            ORIGIN and ASTERISK */
    struct sp_span path; /* origin form to send on: path and query, "/" at least; "*" */
    struct sp_span text; /* as sent, userinfo cut out: for the log */
    struct sp_addr addr; /* host_is_ip: the address that host spells, without the port */
    uint16_t port;       /* as written, or the scheme's */
    bool host_is_ip;     /* an address literal */
    bool ipv6;           /* written with brackets */
    bool default_port;   /* none was written, or the scheme's */
};

enum sp_http_framing_kind {
    SP_BODY_NONE,
    SP_BODY_LENGTH,
    SP_BODY_CHUNKED,
    SP_BODY_UNTIL_CLOSE, /* responses only */
};

struct sp_http_framing {
    enum sp_http_framing_kind kind;
    uint64_t length; /* LENGTH */
};

/* What both kinds of head have. Spans point into the caller's bytes, or into the parser; they are
 * good until the parser is reset or the bytes move. */
struct sp_http_head {
    unsigned minor; /* HTTP/1.minor; 1.1 at most (a higher minor counts as 1) */
    struct sp_http_field *fields;
    size_t fields_len;
    size_t size; /* bytes of the head, its empty line included */
    struct sp_http_framing body;
    bool keep_alive;        /* what the sender asks for (Connection, Proxy-Connection, version) */
    struct sp_span upgrade; /* the Upgrade field's value when Connection names it; else absent */
};

struct sp_http_request {
    struct sp_http_head head;
    enum sp_http_method method;
    struct sp_span method_text;
    struct sp_http_target target;
    /* Proxy-Authorization; absent when there is none (two are malformed) */
    struct sp_span authorization;
    bool expect_continue;
    bool accepts_html;
};

struct sp_http_response {
    struct sp_http_head head;
    int status;
    struct sp_span reason;
    bool connection_auth; /* 401 whose WWW-Authenticate asks for NTLM or Negotiate (RFC 4559) */
};

struct sp_http_limits {
    size_t head_size; /* bytes, request line included */
    size_t fields;
    size_t target_size;
};

/* What is wrong with a head: the status to answer with, and words for the log. */
struct sp_http_fault {
    int status;      /* 400, 414, 431, 501, 505 */
    const char *why; /* static, in words: "space before the colon of a field" */
};

/* A parser is reset before each head but its first, and keeps its memory between them. */
struct sp_http_parser;
struct sp_http_parser *sp_http_parser_new(const struct sp_http_limits *limits) SP_MUST_CHECK;
void sp_http_parser_free(struct sp_http_parser **parser);
void sp_http_parser_reset(struct sp_http_parser *parser);

/* Look at the bytes of a head from its beginning; called again with the same bytes and more (they
 * may have moved). SP_OK: *request_out is whole. SP_ERR_AGAIN: more bytes are needed.
 * SP_ERR_INVALID: *fault_out says what to answer; the connection closes after it. SP_ERR_NOMEM.
 * Empty lines before a request are skipped (RFC 9112 2.2). */
enum sp_err sp_http_parse_request(struct sp_http_parser *parser, struct sp_span bytes,
                                  struct sp_http_request *request_out,
                                  struct sp_http_fault *fault_out) SP_MUST_CHECK;
/* The same for an origin's answer to a request of that method. A 1xx (not 101) is a head of its
 * own: reset, go on. */
enum sp_err sp_http_parse_response(struct sp_http_parser *parser, struct sp_span bytes,
                                   enum sp_http_method method,
                                   struct sp_http_response *response_out,
                                   struct sp_http_fault *fault_out) SP_MUST_CHECK;
/* What a whole request has in its parser moves into `room`, which may begin at any address. From
 * then on the request needs its bytes and that room alone, and the parser may read another head.
 * False: it does not fit, and nothing has changed. */
bool sp_http_request_settle(const struct sp_http_parser *parser, struct sp_http_request *request,
                            char *room, size_t size) SP_MUST_CHECK;
/* The first field with that id, or NULL. */
const struct sp_http_field *sp_http_find(const struct sp_http_head *head, enum sp_http_field_id id);
/* Some hop in Via calls itself by our pseudonym: the message has been here before. */
bool sp_http_via_has(const struct sp_http_head *head, struct sp_span pseudonym);
/* May be told from others there: a token, with a port or without (RFC 9110 7.6.3). */
bool sp_http_is_pseudonym(struct sp_span s);
/* Every protocol in the Upgrade field of a 101 was in that of the request, and there is one (RFC
 * 9110 7.8). */
bool sp_http_upgrade_was_offered(struct sp_span offer, struct sp_span chosen);
/* OPTIONS or TRACE with a Max-Forwards field: *left_out is its number. At 0 the proxy answers
 * itself (RFC 9110 7.6.2); else sp_http_write_request sends one less. */
bool sp_http_max_forwards(const struct sp_http_request *request, uint64_t *left_out);

/* A body as it goes by. Embedded in its owner; small (chunked state included). */
struct sp_http_body {
    enum sp_http_framing_kind kind;
    uint64_t left;         /* LENGTH: bytes to come; CHUNKED: of this chunk */
    unsigned state;        /* CHUNKED: where in the grammar */
    unsigned line_len;     /* CHUNKED: of the size line or trailer line so far, bounded */
    struct sp_buf trailer; /* CHUNKED: trailer fields as they will be sent on; bounded */
    bool done;
};
void sp_http_body_init(struct sp_http_body *body, struct sp_http_framing framing);
void sp_http_body_fini(struct sp_http_body *body);
/* Takes from the front of `in`: *used_out bytes are consumed, of which *data_out (a part of `in`,
 * perhaps empty) is payload. Call again until used_out is 0 or body->done. SP_ERR_INVALID: bad
 * chunk grammar (fault_out says what); SP_ERR_NOMEM. `in` with base NULL: the sender has closed;
 * SP_OK when that ends the body (UNTIL_CLOSE), else SP_ERR_CLOSED. */
enum sp_err sp_http_body_feed(struct sp_http_body *body, struct sp_span in, size_t *used_out,
                              struct sp_span *data_out, const char **why_out) SP_MUST_CHECK;
/* "1f4\r\n" for a chunk of that length; returns the length written (at most 20). The caller adds
 * "\r\n" after it. */
size_t sp_http_chunk_head(uint64_t len, char out[20]);

/* What is added and changed when a head goes on. */
struct sp_http_forward {
    struct sp_span via;           /* our pseudonym; empty: no Via */
    struct sp_span forwarded_for; /* the client's address to append to X-Forwarded-For; absent: that
                                     field untouched */
    bool upgrade;                 /* pass Upgrade and "Connection: upgrade" on */
    bool close;                   /* say "Connection: close" */
    bool keep_alive;              /* say "Connection: keep-alive" (to an HTTP/1.0 client) */
    bool chunked;                 /* the body goes out chunked: "Transfer-Encoding: chunked" */
    bool session_auth; /* response: Proxy-Support: Session-Based-Authentication (RFC 4559 6) */
    /* response: a final token, "Negotiate <token>"; absent: none */
    struct sp_span proxy_authenticate;
    /* response: when it came, for one that has no Date (RFC 9110 6.6.1); 0: it goes on without */
    time_t received;
    /* response: the client's, so that nothing chunked goes to HTTP/1.0; request: always 1. The
     * version said is ours in either case: HTTP/1.1 (RFC 9112 2.3) */
    int minor;
};
/* The request's head in origin form, Host regenerated from the target (RFC 9112 3.2.2), hop-by-hop
 * fields and everything Proxy-* left out, Content-Length or chunked from what was understood, never
 * copied. */
enum sp_err sp_http_write_request(struct sp_buf *out, const struct sp_http_request *request,
                                  const struct sp_http_forward *forward) SP_MUST_CHECK;
enum sp_err sp_http_write_response(struct sp_buf *out, const struct sp_http_response *response,
                                   const struct sp_http_forward *forward) SP_MUST_CHECK;

#endif
