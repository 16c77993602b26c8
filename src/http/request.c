/* Request heads: the request line, and what a proxy must be sure of before it does anything for
 * anybody (RFC 9112 3, RFC 9110 7.2, 7.6.1, 9.3.6). */
#include "http/http_priv.h"

#include <string.h>

/* Longer than any method that is registered; refused before it is whole. */
#define METHOD_MAX 64

/* ---- the request line ---- */

static enum sp_http_method method_of(struct sp_span text)
{
    static const struct {
        struct sp_span text;
        enum sp_http_method method;
    } known[] = {
        {SP_SPAN_LIT("GET"), SP_HTTP_GET},     {SP_SPAN_LIT("CONNECT"), SP_HTTP_CONNECT},
        {SP_SPAN_LIT("POST"), SP_HTTP_POST},   {SP_SPAN_LIT("HEAD"), SP_HTTP_HEAD},
        {SP_SPAN_LIT("PUT"), SP_HTTP_PUT},     {SP_SPAN_LIT("OPTIONS"), SP_HTTP_OPTIONS},
        {SP_SPAN_LIT("TRACE"), SP_HTTP_TRACE},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (sp_span_eq(known[i].text, text))
            return known[i].method;
    }
    return SP_HTTP_OTHER;
}

/* The method and where the target begins; *found_out: its space has arrived. */
static enum sp_err read_method(struct sp_http_parser *parser, struct sp_span line, bool *found_out)
{
    size_t len = 0;

    while (len < line.len && sp_http_char_is(line.base[len], SP_CHAR_TOKEN))
        len++;
    if (len > METHOD_MAX)
        return sp_http_refuse(parser, 400, "a method longer than any that exists");
    *found_out = len < line.len;
    if (len < line.len && (line.base[len] != ' ' || len == 0))
        return sp_http_refuse(parser, 400, "the request line does not begin with a method");
    parser->method_len = len;
    parser->target = parser->line + len + 1;
    return SP_OK;
}

/* The line is not whole: is it already too long? */
static enum sp_err judge_partial_line(struct sp_http_parser *parser, struct sp_span bytes)
{
    bool in_target = false;

    if (parser->line < bytes.len &&
        bytes.base[parser->line] != '\r' && /* may become an empty line */
        read_method(parser, sp_span_of(bytes.base + parser->line, bytes.len - parser->line),
                    &in_target) != SP_OK)
        return SP_ERR_INVALID;
    if (in_target &&
        (bytes.len - parser->target > parser->limits.target_size + sizeof " HTTP/1.1\r" - 1 ||
         bytes.len >= parser->limits.head_size))
        return sp_http_refuse(parser, 414, "the target is too long");
    if (bytes.len >= parser->limits.head_size)
        return sp_http_refuse(parser, 431, "the head is too large");
    return SP_ERR_AGAIN;
}

static enum sp_err read_request_line(struct sp_http_parser *parser, struct sp_span bytes)
{
    const char *space = NULL;
    size_t line_end;
    bool found;
    enum sp_err err = sp_http_first_line(parser, bytes, &line_end);

    if (err != SP_OK)
        return err == SP_ERR_AGAIN ? judge_partial_line(parser, bytes) : err;
    err = read_method(parser, sp_span_of(bytes.base + parser->line, line_end - parser->line),
                      &found);
    if (err != SP_OK)
        return err;
    if (found)
        space = memchr(bytes.base + parser->target, ' ', line_end - parser->target);
    if (space == NULL)
        return sp_http_refuse(parser, 400, "a request line without a version (HTTP/0.9)");
    parser->target_len = (size_t)(space - bytes.base) - parser->target;
    if (parser->target_len > parser->limits.target_size)
        return sp_http_refuse(parser, 414, "the target is too long");
    if (parser->target_len == 0)
        return sp_http_refuse(parser, 400, "more than one space in the request line");
    parser->progress = SP_HTTP_IN_FIELDS;
    return sp_http_version(parser,
                           sp_span_of(space + 1, (size_t)(bytes.base + line_end - space) - 1));
}

/* ---- the fields ---- */

/* As nearly every client has it: the very bytes of the target's authority, which has been judged.
 */
static bool repeats_authority(const struct sp_http_target *target, struct sp_span host)
{
    size_t skip = target->form == SP_TARGET_ABSOLUTE ? sizeof "http://" - 1 : 0;
    size_t after = skip + host.len;

    if (target->host.base == NULL || host.len == 0 || target->text.len < after ||
        memcmp(target->text.base + skip, host.base, host.len) != 0 ||
        memchr(host.base, '/', host.len) != NULL || memchr(host.base, '?', host.len) != NULL)
        return false;
    return target->text.len == after || target->text.base[after] == '/' ||
           target->text.base[after] == '?';
}

static enum sp_err judge_host(struct sp_http_parser *parser, const struct sp_http_request *request,
                              const struct sp_http_field *host)
{
    struct sp_http_host understood;
    struct sp_span name;
    struct sp_span port;
    uint16_t number;

    if (host == NULL)
        return request->head.minor == 0 ? SP_OK : sp_http_refuse(parser, 400, "no Host field");
    if (repeats_authority(&request->target, host->value))
        return SP_OK;
    /* RFC 9112 3.2.2: what a Host field says beside an absolute target is ignored; but one that is
     * not well-formed, or names several hosts, is a sign of somebody playing parsers off. */
    if (!sp_http_split_authority(host->value, &name, &port) ||
        sp_http_host_parse(name, &understood) != NULL ||
        (port.len > 0 && !sp_http_port_parse(port, &number)))
        return sp_http_refuse(parser, 400, "a Host field that is not well-formed");
    return SP_OK;
}

/* "q=0", "q=0.0" and so on: not wanted at all (RFC 9110 12.4.2). */
static bool is_zero_quality(struct sp_span parameter)
{
    if (!sp_span_starts_nocase(parameter, SP_SPAN_LIT("q=0")))
        return false;
    for (size_t i = 3; i < parameter.len; i++) {
        if (parameter.base[i] != '.' && parameter.base[i] != '0')
            return false;
    }
    return true;
}

static bool element_is_html(struct sp_span element)
{
    const char *semicolon = memchr(element.base, ';', element.len);
    struct sp_span type = element;
    struct sp_span quality = SP_SPAN_LIT("");

    if (semicolon != NULL) {
        type = sp_span_trim(sp_span_of(element.base, (size_t)(semicolon - element.base)));
        quality = sp_span_trim(
            sp_span_of(semicolon + 1, (size_t)(element.base + element.len - semicolon) - 1));
    }
    return !is_zero_quality(quality) &&
           (sp_span_eq_nocase(type, SP_SPAN_LIT("text/html")) ||
            sp_span_eq_nocase(type, SP_SPAN_LIT("application/xhtml+xml")) ||
            sp_span_eq_nocase(type, SP_SPAN_LIT("text/*")));
}

/* Only one who names HTML gets a page: that anything will do is what programs say. */
static bool wants_html(struct sp_span accept)
{
    struct sp_span element;

    while (sp_span_next_element(&accept, &element)) {
        if (element_is_html(element))
            return true;
    }
    return false;
}

/* RFC 9110 10.1.1 knows one expectation, and HTTP/1.0 none. Anything else makes two readers wait
 * for each other, or one of them not wait at all. */
static enum sp_err judge_expect(struct sp_http_parser *parser, struct sp_http_request *request,
                                struct sp_span value)
{
    if (request->head.minor == 0)
        return SP_OK;
    if (request->expect_continue)
        return sp_http_refuse(parser, 400, "Expect is repeated");
    if (!sp_span_eq_nocase(value, SP_SPAN_LIT("100-continue")))
        return sp_http_refuse(parser, 400, "Expect is not 100-continue");
    request->expect_continue = true;
    return SP_OK;
}

/* How many hops are left must be one number, where it counts at all (RFC 9110 7.6.2). */
static enum sp_err judge_max_forwards(struct sp_http_parser *parser,
                                      const struct sp_http_request *request,
                                      const struct sp_http_field *field)
{
    uint64_t left;

    if (sp_http_find(&request->head, SP_FIELD_MAX_FORWARDS) != field)
        return sp_http_refuse(parser, 400, "Max-Forwards is repeated");
    if (sp_span_to_u64(field->value, &left) != SP_OK)
        return sp_http_refuse(parser, 400, "Max-Forwards is not a number");
    return SP_OK;
}

static enum sp_err judge_fields(struct sp_http_parser *parser, struct sp_http_request *request)
{
    const struct sp_http_field *host = NULL;
    bool counts_hops = request->method == SP_HTTP_OPTIONS || request->method == SP_HTTP_TRACE;

    for (size_t i = 0; i < request->head.fields_len; i++) {
        const struct sp_http_field *field = &request->head.fields[i];

        if (field->id == SP_FIELD_HOST) {
            if (host != NULL)
                return sp_http_refuse(parser, 400, "Host is repeated");
            host = field;
        } else if (field->id == SP_FIELD_PROXY_AUTHORIZATION) {
            if (request->authorization.base != NULL)
                return sp_http_refuse(parser, 400, "Proxy-Authorization is repeated");
            request->authorization = field->value;
        } else if (field->id == SP_FIELD_EXPECT) {
            if (judge_expect(parser, request, field->value) != SP_OK)
                return SP_ERR_INVALID;
        } else if (field->id == SP_FIELD_MAX_FORWARDS && counts_hops) {
            if (judge_max_forwards(parser, request, field) != SP_OK)
                return SP_ERR_INVALID;
        } else if (field->id == SP_FIELD_ACCEPT && !request->accepts_html) {
            request->accepts_html = wants_html(field->value);
        }
    }
    return judge_host(parser, request, host);
}

/* Content on CONNECT has no meaning, and on TRACE is forbidden (RFC 9110 9.3.6, 9.3.8): one reader
 * would take the bytes for a body, another for what comes after it. */
static enum sp_err judge_body(struct sp_http_parser *parser, struct sp_http_request *request)
{
    struct sp_http_framing_facts facts;
    enum sp_err err = sp_http_judge_framing(parser, &request->head, &facts);

    if (err != SP_OK)
        return err;
    if (request->method != SP_HTTP_CONNECT && request->method != SP_HTTP_TRACE)
        return SP_OK;
    if (facts.chunked || request->head.body.length > 0)
        return sp_http_refuse(parser, 400, "a CONNECT or TRACE request with a body");
    request->head.body = (struct sp_http_framing){SP_BODY_NONE, 0};
    return SP_OK;
}

/* ---- the whole ---- */

static enum sp_err judge_request(struct sp_http_parser *parser, struct sp_span bytes,
                                 struct sp_http_request *request)
{
    enum sp_err err;

    request->head.minor = parser->minor;
    request->head.fields = parser->fields;
    request->head.fields_len = parser->marks_len;
    request->head.size = parser->size;
    request->method_text = sp_span_of(bytes.base + parser->line, parser->method_len);
    request->method = method_of(request->method_text);
    err = sp_http_target_parse(parser, request->method,
                               sp_span_of(bytes.base + parser->target, parser->target_len),
                               &request->target);
    if (err == SP_OK)
        err = judge_fields(parser, request);
    if (err == SP_OK)
        err = sp_http_judge_connection(parser, &request->head, false);
    if (err == SP_OK)
        err = judge_body(parser, request);
    return err;
}

/* A refused request: only what the log may have of it. */
static void keep_for_log(struct sp_http_parser *parser, struct sp_span bytes,
                         struct sp_http_request *request)
{
    struct sp_span target = sp_span_of(bytes.base + parser->target, parser->target_len);

    memset(request, 0, sizeof *request);
    request->head.minor = parser->minor;
    if (parser->target_len == 0)
        return;
    request->method_text = sp_span_of(bytes.base + parser->line, parser->method_len);
    request->target.text = sp_http_target_for_log(parser, target);
}

enum sp_err sp_http_parse_request(struct sp_http_parser *parser, struct sp_span bytes,
                                  struct sp_http_request *request, struct sp_http_fault *fault)
{
    enum sp_err err = SP_OK;

    memset(request, 0, sizeof *request);
    if (parser->progress == SP_HTTP_REFUSED)
        err = SP_ERR_INVALID;
    else if (parser->progress == SP_HTTP_AT_START)
        err = read_request_line(parser, bytes);
    if (err == SP_OK)
        err = sp_http_field_lines(parser, bytes, &parser->primed_request);
    if (err == SP_OK)
        err = judge_request(parser, bytes, request);
    if (err == SP_ERR_INVALID) {
        *fault = parser->fault;
        keep_for_log(parser, bytes, request);
    }
    return err;
}

/* ---- leaving the parser ---- */

static struct sp_span move_text(struct sp_span text, char **room)
{
    struct sp_span moved = sp_span_of(*room, text.len);

    memcpy(*room, text.base, text.len);
    *room += text.len;
    return moved;
}

bool sp_http_request_settle(const struct sp_http_parser *parser, struct sp_http_request *request,
                            char *room, size_t size)
{
    struct sp_http_head *head = &request->head;
    struct sp_http_target *target = &request->target;
    size_t fields_size = head->fields_len * sizeof *head->fields;
    size_t skip = -(uintptr_t)room % _Alignof(struct sp_http_field);
    bool has_host = target->host.base == parser->host.text;
    bool has_path = target->path.base != NULL && target->path.base == parser->scratch.base;

    if (size <
        skip + fields_size + (has_host ? target->host.len : 0) + (has_path ? target->path.len : 0))
        return false;
    room += skip;
    if (fields_size > 0)
        memcpy(room, head->fields, fields_size);
    head->fields = (struct sp_http_field *)(void *)room;
    room += fields_size;
    if (has_host)
        target->host = move_text(target->host, &room);
    if (has_path)
        target->path = move_text(target->path, &room);
    return true;
}
