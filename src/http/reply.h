/* Answers of the proxy's own: status line, challenges, Proxy-Status (RFC 9209), and a short page
 * for people. */
#ifndef SP_HTTP_REPLY_H
#define SP_HTTP_REPLY_H

#include "http/http.h"

struct sp_http_reply {
    int status;         /* 400 403 407 408 414 429 431 501 502 503 504 505, or 200 for CONNECT */
    const char *reason; /* the access log's word: "denied"; in Proxy-Status as `details` */
    struct sp_span
        details;       /* more words for people and for Proxy-Status; no secrets; may be absent */
    struct sp_span id; /* the exchange's id: in Proxy-Status and on the page, for `sallyport why` */
    /* Proxy-Status: the error type (RFC 9209 2.3); NULL: the one that fits status and reason */
    const char *error;
    /* the proxy's name in Proxy-Status: forward.via, "sallyport" when that is empty */
    struct sp_span via;
    /* 407: values of Proxy-Authenticate, one line each, in this order */
    const struct sp_span *challenges;
    size_t challenges_len;
    /* "Negotiate <token>" to deliver with any status but 407; absent: none */
    struct sp_span final_token;
    unsigned retry_after_s; /* 0: no Retry-After */
    bool close;             /* say "Connection: close" */
    bool keep_alive;        /* say "Connection: keep-alive" (HTTP/1.0 client that asked) */
    bool head_only;         /* the request was HEAD: Content-Length without the body */
    bool html;              /* a page, else plain text */
};
/* Appends the whole answer. SP_ERR_NOMEM, SP_ERR_TOO_LARGE. */
enum sp_err sp_http_write_reply(struct sp_buf *out,
                                const struct sp_http_reply *reply) SP_MUST_CHECK;
/* "HTTP/1.1 200 Connection established", whatever the client's minor version, without
 * Content-Length or Transfer-Encoding (RFC 9110 9.3.6). */
enum sp_err sp_http_write_established(struct sp_buf *out, struct sp_span final_token) SP_MUST_CHECK;
const char *sp_http_status_text(int status);

#endif
