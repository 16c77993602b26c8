/* What the files of this room share: the parser, the table of byte classes, and the judgements that
 * requests and responses have in common. Nobody outside src/http and its tests includes this. */
#ifndef SP_HTTP_HTTP_PRIV_H
#define SP_HTTP_HTTP_PRIV_H

#include "http/http.h"
#include "util/span.h"

#include <llhttp.h>

/* Classes of bytes (RFC 9110 5.5 and 5.6.2, RFC 3986 2). */
enum sp_http_char {
    SP_CHAR_TOKEN = 1,  /* tchar */
    SP_CHAR_TARGET = 2, /* may stand in a request target: visible ASCII but '#' */
    SP_CHAR_VALUE = 4,  /* may stand in a field value: HTAB, SP, visible, obs-text */
    SP_CHAR_HOST = 8,   /* letters, digits, '-', '.', '_': a name that can be looked up */
    SP_CHAR_DIGIT = 16,
    SP_CHAR_HEX = 32,
    SP_CHAR_UPPER = 64,
};
extern const uint8_t sp_http_chars[256];

static inline bool sp_http_char_is(char c, unsigned classes)
{
    return (sp_http_chars[(uint8_t)c] & classes) != 0;
}

/* Every byte is of that class; true for an empty span. */
bool sp_http_all(struct sp_span s, unsigned char_class);
/* The same for SP_CHAR_VALUE, eight bytes at a time: most bytes of a head are asked this. */
bool sp_http_is_value(struct sp_span s);
bool sp_http_is_token(struct sp_span s);
/* '0'..'f' to 0..15; the caller knows that it is a hexadecimal digit. */
unsigned sp_http_hex(char c);

/* A field as llhttp found it: offsets, since the bytes may move between two calls. */
struct sp_http_mark {
    size_t name;
    size_t name_len;
};

/* Bytes that had to be made anew: a path that was missing, a target without its userinfo. */
struct sp_http_scratch {
    char *base;
    size_t cap;
    size_t len;
};

/* The longest name that DNS has room for, in text, without its last dot (RFC 1035 2.3.4). */
#define SP_HTTP_HOST_MAX 253

/* A host as it was understood. */
struct sp_http_host {
    char text[SP_HTTP_HOST_MAX + 3]; /* room for a trailing dot before it is taken off */
    size_t len;
    struct sp_addr addr; /* is_ip */
    bool is_ip;
    bool ipv6;
};

/* How far a head has been read. */
enum sp_http_progress {
    SP_HTTP_AT_START, /* its first line is not whole yet */
    SP_HTTP_IN_FIELDS,
    SP_HTTP_REFUSED, /* the fault below is the answer to every further call */
};

/* Owned by whoever called sp_http_parser_new. */
struct sp_http_parser {
    struct sp_http_limits limits;
    llhttp_t llhttp;            /* reads the field lines of the head under way */
    llhttp_t primed_request;    /* as it stands after a request line: copied at each reset */
    llhttp_t primed_response;   /* the same after a status line */
    const char *bytes;          /* during a call: the head's first byte, for llhttp's callbacks */
    struct sp_http_mark *marks; /* limits.fields at most; grown as needed, kept over resets */
    struct sp_http_field *fields;
    size_t marks_len;
    size_t marks_cap;
    struct sp_http_scratch scratch;
    struct sp_http_host host;

    enum sp_http_progress progress;
    bool nomem;          /* set in a callback of llhttp's */
    bool too_many;       /* the same */
    size_t line;         /* where the first line begins, empty lines skipped */
    size_t scanned;      /* bytes of the first line in which there is no LF */
    size_t fields_start; /* one past the first line's CRLF */
    size_t fed;          /* bytes that llhttp has seen, counted from the head's first */
    size_t size;         /* of the whole head, once llhttp has seen its end */
    struct sp_http_fault fault;

    /* the first line, as offsets */
    size_t method_len;
    size_t target;
    size_t target_len;
    size_t reason;
    size_t reason_len;
    unsigned minor;
    int status;
};

/* Remembers the fault: SP_ERR_INVALID. */
enum sp_err sp_http_refuse(struct sp_http_parser *parser, int status, const char *why);

/* head.c: the next piece of the first line. SP_OK: it stands in bytes[parser->line ..
 * *line_end_out), CRLF not included, and parser->fields_start is set. SP_ERR_AGAIN: not whole. */
enum sp_err sp_http_first_line(struct sp_http_parser *parser, struct sp_span bytes,
                               size_t *line_end_out);
/* Runs llhttp over what is new. SP_OK: the head is whole, and parser->fields has its fields, each
 * judged by itself. */
enum sp_err sp_http_field_lines(struct sp_http_parser *parser, struct sp_span bytes,
                                const llhttp_t *primed);
/* "HTTP/1.x" at the end of a request line or the start of a status line. */
enum sp_err sp_http_version(struct sp_http_parser *parser, struct sp_span text);

/* field.c */
enum sp_http_field_id sp_http_field_id(struct sp_span name);
/* A Connection field may not name this one: taking it out would change what the message means or
 * who vouches for it. */
bool sp_http_field_is_essential(struct sp_span name);
/* "Content_Length", "Transfer_Encoding": a token and no field that we know, but what stands behind
 * an origin may take '_' for '-' (CGI's variables do), and then it frames the body. */
bool sp_http_field_mimics_framing(struct sp_span name);
/* Never accepted in a trailer section (RFC 9110 6.5.1). */
bool sp_http_field_is_barred_from_trailer(struct sp_span name);

/* framing.c: Connection, Content-Length and Transfer-Encoding of either kind of head. Sets hop,
 * keep_alive, upgrade and body of *head; of a response's body only what the fields say. */
struct sp_http_framing_facts {
    bool has_length;
    bool chunked;
};
enum sp_err sp_http_judge_connection(struct sp_http_parser *parser, struct sp_http_head *head,
                                     bool of_response);
enum sp_err sp_http_judge_framing(struct sp_http_parser *parser, struct sp_http_head *head,
                                  struct sp_http_framing_facts *facts_out);

/* host.c: a host as written in a target or a Host field, brackets included, becomes lower case,
 * percent-decoded, without brackets and without a trailing dot. NULL when it is well-formed, else
 * what is wrong with it. */
const char *sp_http_host_parse(struct sp_span text, struct sp_http_host *host_out);
/* Splits host [":" port]; an absent port has base NULL. False: nothing that could be one. */
bool sp_http_split_authority(struct sp_span text, struct sp_span *host_out,
                             struct sp_span *port_out);
/* 1..65535, digits only. */
bool sp_http_port_parse(struct sp_span text, uint16_t *port_out);

/* write.c: "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 5.6.7); returns its length. 0: a time that has
 * no such form. */
#define SP_HTTP_DATE_LEN 29
size_t sp_http_date(time_t when, char out[SP_HTTP_DATE_LEN]);

/* target.c. SP_ERR_INVALID with the parser's fault set; SP_ERR_NOMEM. */
enum sp_err sp_http_target_parse(struct sp_http_parser *parser, enum sp_http_method method,
                                 struct sp_span text, struct sp_http_target *target_out);
/* The target with its userinfo cut out, for one that was refused; "" when there is no memory. */
struct sp_span sp_http_target_for_log(struct sp_http_parser *parser, struct sp_span text);

#endif
