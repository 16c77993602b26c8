/* Response heads, with the same strictness: an origin cannot split an answer, or slip a second one
 * behind it (RFC 9112 4 and 6.3). The status of a fault is for the parser's own use; what the
 * client gets is 502. */
#include "http/http_priv.h"

#include <string.h>

#define VERSION_LEN 8 /* "HTTP/1.1" */

/* ---- the status line ---- */

static enum sp_err judge_partial_line(struct sp_http_parser *parser, struct sp_span bytes)
{
    static const char version[] = "HTTP/1.";
    size_t have = bytes.len - parser->line;

    if (have > sizeof version - 1)
        have = sizeof version - 1;
    if (memcmp(bytes.base + parser->line, version, have) != 0)
        return sp_http_refuse(parser, 400, "the answer does not begin with HTTP/1");
    if (bytes.len >= parser->limits.head_size)
        return sp_http_refuse(parser, 431, "the answer's head is too large");
    return SP_ERR_AGAIN;
}

/* SP 3DIGIT SP [reason]; the second space is often missing where there is no reason. */
static enum sp_err read_status(struct sp_http_parser *parser, struct sp_span bytes, size_t line_end)
{
    size_t at = parser->line + VERSION_LEN;
    struct sp_span rest = sp_span_of(bytes.base + at, line_end - at);

    if (rest.len < 4 || rest.base[0] != ' ' ||
        !sp_http_all(sp_span_of(rest.base + 1, 3), SP_CHAR_DIGIT) ||
        (rest.len > 4 && rest.base[4] != ' '))
        return sp_http_refuse(parser, 400, "the answer has no status of three digits");
    parser->status = (rest.base[1] - '0') * 100 + (rest.base[2] - '0') * 10 + (rest.base[3] - '0');
    if (parser->status < 100 || parser->status > 599)
        return sp_http_refuse(parser, 400, "the answer's status is not 100 to 599");
    parser->reason = at + (rest.len > 4 ? 5 : 4);
    parser->reason_len = line_end - parser->reason;
    if (!sp_http_is_value(sp_span_of(bytes.base + parser->reason, parser->reason_len)))
        return sp_http_refuse(parser, 400, "a control character in the answer's status line");
    return SP_OK;
}

static enum sp_err read_status_line(struct sp_http_parser *parser, struct sp_span bytes)
{
    size_t line_end;
    enum sp_err err;

    if (bytes.len > 0 && (bytes.base[0] == '\r' || bytes.base[0] == '\n'))
        return sp_http_refuse(parser, 400, "an empty line before the answer");
    err = sp_http_first_line(parser, bytes, &line_end);
    if (err != SP_OK)
        return err == SP_ERR_AGAIN ? judge_partial_line(parser, bytes) : err;
    if (line_end < VERSION_LEN)
        return sp_http_refuse(parser, 400, "the answer does not begin with HTTP/1");
    err = sp_http_version(parser, sp_span_of(bytes.base, VERSION_LEN));
    if (err == SP_OK)
        err = read_status(parser, bytes, line_end);
    if (err == SP_OK)
        parser->progress = SP_HTTP_IN_FIELDS;
    return err;
}

/* ---- what the fields say ---- */

/* RFC 9112 6.3, points 1 and 2: what these answers may look like they have, they have not. */
static bool never_has_body(int status, enum sp_http_method method)
{
    return method == SP_HTTP_HEAD || status < 200 || status == 204 || status == 304 ||
           (method == SP_HTTP_CONNECT && status < 300);
}

static enum sp_err judge_body(struct sp_http_parser *parser, enum sp_http_method method,
                              struct sp_http_response *response)
{
    struct sp_http_framing *body = &response->head.body;
    struct sp_http_framing_facts facts;
    bool bare = response->status < 200 || response->status == 204;
    bool empty = bare || response->status == 205; /* RFC 9110 15.3.6: perhaps in chunks */
    enum sp_err err = sp_http_judge_framing(parser, &response->head, &facts);

    if (err != SP_OK)
        return err;
    if ((bare && facts.chunked) || (empty && body->length > 0))
        return sp_http_refuse(parser, 400, "a 1xx, 204 or 205 answer that announces a body");
    if (never_has_body(response->status, method))
        *body = (struct sp_http_framing){SP_BODY_NONE, 0};
    else if (!facts.chunked && !facts.has_length)
        *body = (struct sp_http_framing){SP_BODY_UNTIL_CLOSE, 0};
    if (body->kind == SP_BODY_UNTIL_CLOSE)
        response->head.keep_alive = false;
    return SP_OK;
}

/* Does any challenge in the list begin with that scheme? A token68 or parameter never stands
 * first in an element that holds a scheme, so looking at each element's first word is enough. */
static bool asks_for_connection_auth(struct sp_span value)
{
    struct sp_span element;

    while (sp_span_next_element(&value, &element)) {
        size_t word = 0;

        while (word < element.len && sp_http_char_is(element.base[word], SP_CHAR_TOKEN))
            word++;
        element.len = word;
        if (sp_span_eq_nocase(element, SP_SPAN_LIT("negotiate")) ||
            sp_span_eq_nocase(element, SP_SPAN_LIT("ntlm")))
            return true;
    }
    return false;
}

static bool is_connection_auth(const struct sp_http_response *response)
{
    if (response->status != 401)
        return false;
    for (size_t i = 0; i < response->head.fields_len; i++) {
        if (response->head.fields[i].id == SP_FIELD_WWW_AUTHENTICATE &&
            asks_for_connection_auth(response->head.fields[i].value))
            return true;
    }
    return false;
}

static enum sp_err judge_response(struct sp_http_parser *parser, struct sp_span bytes,
                                  enum sp_http_method method, struct sp_http_response *response)
{
    enum sp_err err;

    response->head.minor = parser->minor;
    response->head.fields = parser->fields;
    response->head.fields_len = parser->marks_len;
    response->head.size = parser->size;
    response->status = parser->status;
    response->reason = sp_span_of(bytes.base + parser->reason, parser->reason_len);
    err = sp_http_judge_connection(parser, &response->head, true);
    if (err == SP_OK)
        err = judge_body(parser, method, response);
    if (err == SP_OK)
        response->connection_auth = is_connection_auth(response);
    return err;
}

enum sp_err sp_http_parse_response(struct sp_http_parser *parser, struct sp_span bytes,
                                   enum sp_http_method method, struct sp_http_response *response,
                                   struct sp_http_fault *fault)
{
    enum sp_err err = SP_OK;

    memset(response, 0, sizeof *response);
    if (parser->progress == SP_HTTP_REFUSED)
        err = SP_ERR_INVALID;
    else if (parser->progress == SP_HTTP_AT_START)
        err = read_status_line(parser, bytes);
    if (err == SP_OK)
        err = sp_http_field_lines(parser, bytes, &parser->primed_response);
    if (err == SP_OK)
        err = judge_response(parser, bytes, method, response);
    if (err == SP_ERR_INVALID) {
        *fault = parser->fault;
        memset(response, 0, sizeof *response);
    }
    return err;
}
