/* The part that requests and responses share: bytes in, a first line and judged fields out.
 *
 * The first line is read here, by hand: llhttp knows a fixed list of methods, and is looser about
 * targets and versions than a proxy may be. The field lines are read by llhttp, which is started
 * from a state "after a first line" kept in the parser, and gets each byte once. Then this layer
 * demands that the head is exactly name ":" value CRLF ... CRLF, byte by byte, whatever llhttp let
 * pass: bare LF, folded lines, white space around names, control characters. So a head is refused
 * when either of the two readers dislikes it, and a value is what stands between this colon and
 * that CRLF, not what a second parser made of it. */
#include "http/http_priv.h"

#include <stdlib.h>
#include <string.h>

#define MARKS_FIRST 32

enum sp_err sp_http_refuse(struct sp_http_parser *parser, int status, const char *why)
{
    parser->progress = SP_HTTP_REFUSED;
    parser->fault = (struct sp_http_fault){status, why};
    return SP_ERR_INVALID;
}

/* ---- llhttp's callbacks ---- */

static enum sp_err marks_grow(struct sp_http_parser *parser)
{
    size_t cap = parser->marks_cap > 0 ? parser->marks_cap * 2 : MARKS_FIRST;
    struct sp_http_mark *marks;
    struct sp_http_field *fields;

    if (cap > parser->limits.fields)
        cap = parser->limits.fields;
    marks = realloc(parser->marks, cap * sizeof *marks);
    if (marks == NULL)
        return SP_ERR_NOMEM;
    parser->marks = marks;
    fields = realloc(parser->fields, cap * sizeof *fields);
    if (fields == NULL)
        return SP_ERR_NOMEM;
    parser->fields = fields;
    parser->marks_cap = cap;
    return SP_OK;
}

/* A name, or the rest of one that the previous call's bytes ended in. */
static int on_header_field(llhttp_t *llhttp, const char *at, size_t len)
{
    struct sp_http_parser *parser = llhttp->data;
    size_t offset = (size_t)(at - parser->bytes);
    struct sp_http_mark *last;

    if (parser->marks_len > 0) {
        last = &parser->marks[parser->marks_len - 1];
        if (last->name + last->name_len == offset) {
            last->name_len += len;
            return HPE_OK;
        }
    }
    if (parser->marks_len == parser->limits.fields) {
        parser->too_many = true;
        return HPE_USER;
    }
    if (parser->marks_len == parser->marks_cap && marks_grow(parser) != SP_OK) {
        parser->nomem = true;
        return HPE_USER;
    }
    parser->marks[parser->marks_len++] = (struct sp_http_mark){offset, len};
    return HPE_OK;
}

/* The body is not llhttp's business (body.c): stop right behind the empty line. */
static int on_headers_complete(llhttp_t *llhttp)
{
    (void)llhttp;
    return HPE_PAUSED;
}

/* ---- making and resetting ---- */

static const llhttp_settings_t settings = {
    .on_header_field = on_header_field,
    .on_headers_complete = on_headers_complete,
};

static enum sp_err prime(struct sp_http_parser *parser, llhttp_t *primed, llhttp_type_t type,
                         struct sp_span first_line)
{
    llhttp_init(primed, type, &settings);
    primed->data = parser;
    return llhttp_execute(primed, first_line.base, first_line.len) == HPE_OK ? SP_OK
                                                                             : SP_ERR_INVALID;
}

struct sp_http_parser *sp_http_parser_new(const struct sp_http_limits *limits)
{
    struct sp_http_parser *parser = calloc(1, sizeof *parser);

    if (parser == NULL)
        return NULL;
    parser->limits = *limits;
    if (prime(parser, &parser->primed_request, HTTP_REQUEST, SP_SPAN_LIT("GET / HTTP/1.1\r\n")) !=
            SP_OK ||
        prime(parser, &parser->primed_response, HTTP_RESPONSE,
              SP_SPAN_LIT("HTTP/1.1 200 OK\r\n")) != SP_OK) {
        free(parser); /* cannot happen with a working llhttp */
        return NULL;
    }
    return parser;
}

void sp_http_parser_free(struct sp_http_parser **parser)
{
    struct sp_http_parser *gone = *parser;

    *parser = NULL;
    if (gone == NULL)
        return;
    free(gone->marks);
    free(gone->fields);
    free(gone->scratch.base);
    free(gone);
}

void sp_http_parser_reset(struct sp_http_parser *parser)
{
    parser->progress = SP_HTTP_AT_START;
    parser->marks_len = 0;
    parser->scratch.len = 0;
    parser->nomem = false;
    parser->too_many = false;
    parser->line = 0;
    parser->scanned = 0;
    parser->fields_start = 0;
    parser->fed = 0;
    parser->size = 0;
    parser->method_len = 0;
    parser->target = 0;
    parser->target_len = 0;
}

/* ---- the first line ---- */

/* RFC 9112 2.2: a server skips empty lines that stand before a request line. */
static enum sp_err skip_empty_lines(struct sp_http_parser *parser, struct sp_span bytes)
{
    size_t at = parser->line;

    while (at < bytes.len && bytes.base[at] == '\r') {
        if (at + 1 == bytes.len)
            break;
        if (bytes.base[at + 1] != '\n')
            return sp_http_refuse(parser, 400, "a bare CR before the first line");
        at += 2;
    }
    parser->line = at;
    if (at < bytes.len && bytes.base[at] == '\n')
        return sp_http_refuse(parser, 400, "a bare LF before the first line");
    if (parser->scanned < at)
        parser->scanned = at;
    return SP_OK;
}

enum sp_err sp_http_first_line(struct sp_http_parser *parser, struct sp_span bytes,
                               size_t *line_end_out)
{
    const char *lf;
    size_t end;

    if (parser->scanned == parser->line && skip_empty_lines(parser, bytes) != SP_OK)
        return SP_ERR_INVALID;
    lf = parser->scanned < bytes.len
             ? memchr(bytes.base + parser->scanned, '\n', bytes.len - parser->scanned)
             : NULL;
    if (lf == NULL) {
        parser->scanned = bytes.len > parser->line + 1 ? bytes.len : parser->line;
        *line_end_out = bytes.len;
        return SP_ERR_AGAIN;
    }
    end = (size_t)(lf - bytes.base);
    if (bytes.base[end - 1] != '\r')
        return sp_http_refuse(parser, 400, "the first line ends in a bare LF");
    *line_end_out = end - 1;
    parser->fields_start = end + 1;
    return SP_OK;
}

enum sp_err sp_http_version(struct sp_http_parser *parser, struct sp_span text)
{
    if (text.len < 6 || memcmp(text.base, "HTTP/", 5) != 0 ||
        !sp_http_char_is(text.base[5], SP_CHAR_DIGIT))
        return sp_http_refuse(parser, 400, "no HTTP version, or an odd one, in the first line");
    if (text.base[5] >= '2' && (text.len == 6 || (text.len == 8 && text.base[6] == '.' &&
                                                  sp_http_char_is(text.base[7], SP_CHAR_DIGIT))))
        return sp_http_refuse(parser, 505, "HTTP/2 or later without TLS and ALPN");
    if (text.len != 8 || text.base[6] != '.' || !sp_http_char_is(text.base[7], SP_CHAR_DIGIT))
        return sp_http_refuse(parser, 400, "an odd HTTP version in the first line");
    if (text.base[5] != '1')
        return sp_http_refuse(parser, 400, "a version before HTTP/1.0");
    parser->minor = text.base[7] == '0' ? 0 : 1;
    return SP_OK;
}

/* ---- the field lines ---- */

/* llhttp or the layout check disliked something: words for what a person would see in the bytes.
 * The last line may not be whole. NULL when nothing stands out. */
static const char *say_what_is_odd(struct sp_span lines)
{
    while (lines.len > 0) {
        const char *lf = memchr(lines.base, '\n', lines.len);
        size_t len = lf != NULL ? (size_t)(lf - lines.base) : lines.len;
        size_t name = 0;

        if (lf != NULL && (len == 0 || lines.base[len - 1] != '\r'))
            return "a line ends in a bare LF";
        if (len > 0 && (lines.base[0] == ' ' || lines.base[0] == '\t'))
            return "a folded line, or white space before a field's name";
        while (name < len && sp_http_char_is(lines.base[name], SP_CHAR_TOKEN))
            name++;
        if (name < len && (lines.base[name] == ' ' || lines.base[name] == '\t'))
            return "space before the colon of a field";
        if (len > 1 && (name == 0 || (name < len && lines.base[name] != ':')))
            return "a field's name is not a token";
        if (!sp_http_is_value(
                sp_span_of(lines.base, len > 0 && lines.base[len - 1] == '\r' ? len - 1 : len)))
            return "a control character or a bare CR in a field";
        if (lf == NULL)
            return NULL;
        lines = sp_span_of(lf + 1, lines.len - len - 1);
    }
    return NULL;
}

static enum sp_err refuse_lines(struct sp_http_parser *parser, struct sp_span bytes,
                                const char *otherwise)
{
    const char *why = say_what_is_odd(
        sp_span_of(bytes.base + parser->fields_start, bytes.len - parser->fields_start));

    return sp_http_refuse(parser, 400, why != NULL ? why : otherwise);
}

/* Up to the end of the line that llhttp stopped in: what follows is not what it disliked. */
static struct sp_span up_to_the_fault(const struct sp_http_parser *parser, struct sp_span bytes)
{
    const char *at = llhttp_get_error_pos(&parser->llhttp);
    const char *end = bytes.base + bytes.len;
    const char *lf;

    if (at == NULL || at < bytes.base || at >= end)
        return bytes;
    lf = memchr(at, '\n', (size_t)(end - at));
    return lf != NULL ? sp_span_of(bytes.base, (size_t)(lf - bytes.base) + 1) : bytes;
}

static enum sp_err refuse_what_llhttp_refused(struct sp_http_parser *parser, struct sp_span bytes,
                                              llhttp_errno_t err)
{
    if (parser->nomem)
        return SP_ERR_NOMEM;
    if (parser->too_many)
        return sp_http_refuse(parser, 431, "too many fields");
    if (err == HPE_UNEXPECTED_CONTENT_LENGTH)
        return sp_http_refuse(parser, 400,
                              "Content-Length twice, or together with Transfer-Encoding");
    if (err == HPE_INVALID_TRANSFER_ENCODING)
        return sp_http_refuse(
            parser, 400, "Transfer-Encoding with Content-Length, or chunked not the last coding");
    return refuse_lines(parser, up_to_the_fault(parser, bytes),
                        err == HPE_INVALID_CONTENT_LENGTH ? "an odd Content-Length"
                                                          : "a field that is not well-formed");
}

/* One field, whose line ends at `line_end` (of its CR). */
static bool judge_field(struct sp_http_parser *parser, const char *bytes, size_t i, size_t line_end)
{
    const struct sp_http_mark *mark = &parser->marks[i];
    struct sp_http_field *field = &parser->fields[i];
    size_t colon = mark->name + mark->name_len;

    if (colon >= line_end || bytes[colon] != ':' || bytes[line_end] != '\r' ||
        bytes[line_end + 1] != '\n')
        return false;
    field->name = sp_span_of(bytes + mark->name, mark->name_len);
    field->value = sp_span_of(bytes + colon + 1, line_end - colon - 1);
    if (!sp_http_is_token(field->name) || !sp_http_is_value(field->value))
        return false;
    field->value = sp_span_trim(field->value);
    field->id = sp_http_field_id(field->name);
    field->hop = false;
    return true;
}

/* The head is whole: hold it against the grammar, line by line, leaving no byte unexplained. */
static enum sp_err judge_layout(struct sp_http_parser *parser, const char *bytes)
{
    size_t end = parser->size - 2; /* of the empty line */
    size_t first = parser->marks_len > 0 ? parser->marks[0].name : end;
    bool sound = bytes[end] == '\r' && bytes[end + 1] == '\n' && first == parser->fields_start;

    for (size_t i = 0; sound && i < parser->marks_len; i++) {
        size_t next = i + 1 < parser->marks_len ? parser->marks[i + 1].name : end;

        sound = judge_field(parser, bytes, i, next - 2);
    }
    if (!sound)
        return refuse_lines(parser, sp_span_of(bytes, parser->size),
                            "field lines that are not well-formed");
    return SP_OK;
}

enum sp_err sp_http_field_lines(struct sp_http_parser *parser, struct sp_span bytes,
                                const llhttp_t *primed)
{
    size_t limit = bytes.len < parser->limits.head_size ? bytes.len : parser->limits.head_size;
    llhttp_errno_t err = HPE_OK;

    if (parser->fed == 0) {
        parser->llhttp = *primed;
        parser->fed = parser->fields_start;
    }
    parser->bytes = bytes.base;
    if (parser->fed < limit)
        err = llhttp_execute(&parser->llhttp, bytes.base + parser->fed, limit - parser->fed);
    parser->bytes = NULL;
    if (err == HPE_PAUSED) {
        parser->size = (size_t)(llhttp_get_error_pos(&parser->llhttp) - bytes.base);
        return judge_layout(parser, bytes.base);
    }
    if (err != HPE_OK)
        return refuse_what_llhttp_refused(parser, sp_span_of(bytes.base, limit), err);
    if (parser->fed < limit)
        parser->fed = limit;
    if (limit == parser->limits.head_size)
        return sp_http_refuse(parser, 431, "the head is too large");
    return SP_ERR_AGAIN;
}
