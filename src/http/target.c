/* Request targets (RFC 9112 3.2): where a request is to go, in one spelling.
 *
 * Userinfo is refused (RFC 9110 4.2.4: an indication of an attempt to mislead), and so are
 * fragments, schemes other than http, and whatever is not visible ASCII. */
#include "http/http_priv.h"

#include <stdlib.h>
#include <string.h>

#define HTTP_PORT 80

/* Room for `room` more bytes that stay where they are until the next reset. One use a head. */
static char *scratch_take(struct sp_http_scratch *scratch, size_t room)
{
    char *base;

    if (scratch->len > 0 || room > scratch->cap) {
        base = realloc(scratch->base, scratch->len + room);
        if (base == NULL)
            return NULL;
        scratch->base = base;
        scratch->cap = scratch->len + room;
    }
    base = scratch->base + scratch->len;
    scratch->len += room;
    return base;
}

static enum sp_err take_host(struct sp_http_parser *parser, struct sp_span host,
                             struct sp_http_target *target)
{
    const char *why = sp_http_host_parse(host, &parser->host);

    if (why != NULL)
        return sp_http_refuse(parser, 400, why);
    target->host = sp_span_of(parser->host.text, parser->host.len);
    target->host_is_ip = parser->host.is_ip;
    if (target->host_is_ip)
        target->addr = parser->host.addr;
    target->ipv6 = parser->host.ipv6;
    return SP_OK;
}

/* host ":" port, of CONNECT (RFC 9110 9.3.6). */
static enum sp_err parse_authority_form(struct sp_http_parser *parser, struct sp_span text,
                                        struct sp_http_target *target)
{
    struct sp_span host;
    struct sp_span port;

    target->form = SP_TARGET_AUTHORITY;
    if (memchr(text.base, '@', text.len) != NULL)
        return sp_http_refuse(parser, 400, "userinfo in the target of CONNECT");
    if (memchr(text.base, '/', text.len) != NULL || memchr(text.base, '?', text.len) != NULL)
        return sp_http_refuse(parser, 400, "the target of CONNECT is host:port, without a path");
    if (!sp_http_split_authority(text, &host, &port))
        return sp_http_refuse(parser, 400, "the target of CONNECT is not host:port");
    if (port.base == NULL)
        return sp_http_refuse(parser, 400, "CONNECT without a port");
    if (!sp_http_port_parse(port, &target->port))
        return sp_http_refuse(parser, 400, "the port of CONNECT is not 1 to 65535");
    return take_host(parser, host, target);
}

/* The path and query to send on: what stands after the authority, with the "/" that may be
 * missing (RFC 9112 3.2.1), or "*" (3.2.4). */
static enum sp_err take_path(struct sp_http_parser *parser, enum sp_http_method method,
                             struct sp_span after, struct sp_http_target *target)
{
    char *path;

    if (after.len > 0 && after.base[0] == '/') {
        target->path = after;
    } else if (after.len == 0) {
        target->path = method == SP_HTTP_OPTIONS ? SP_SPAN_LIT("*") : SP_SPAN_LIT("/");
    } else {
        path = scratch_take(&parser->scratch, after.len + 1);
        if (path == NULL)
            return SP_ERR_NOMEM;
        path[0] = '/';
        memcpy(path + 1, after.base, after.len);
        target->path = sp_span_of(path, after.len + 1);
    }
    return SP_OK;
}

static enum sp_err parse_http(struct sp_http_parser *parser, enum sp_http_method method,
                              struct sp_span rest, struct sp_http_target *target)
{
    size_t len = 0;
    struct sp_span host;
    struct sp_span port;

    while (len < rest.len && rest.base[len] != '/' && rest.base[len] != '?')
        len++;
    if (memchr(rest.base, '@', len) != NULL)
        return sp_http_refuse(parser, 400, "userinfo in the target");
    if (!sp_http_split_authority(sp_span_of(rest.base, len), &host, &port))
        return sp_http_refuse(parser, 400, "the target has no host, or an odd one");
    target->port = HTTP_PORT;
    if (port.len > 0 && !sp_http_port_parse(port, &target->port))
        return sp_http_refuse(parser, 400, "the target's port is not 1 to 65535");
    target->default_port = target->port == HTTP_PORT;
    if (take_host(parser, host, target) != SP_OK)
        return SP_ERR_INVALID;
    return take_path(parser, method, sp_span_of(rest.base + len, rest.len - len), target);
}

static enum sp_err parse_absolute_form(struct sp_http_parser *parser, enum sp_http_method method,
                                       struct sp_span text, struct sp_http_target *target)
{
    static const struct sp_span http = SP_SPAN_LIT("http://");

    target->form = SP_TARGET_ABSOLUTE;
    if (sp_span_starts_nocase(text, http))
        return parse_http(parser, method, sp_span_of(text.base + http.len, text.len - http.len),
                          target);
    if (sp_span_starts_nocase(text, SP_SPAN_LIT("https:")))
        return sp_http_refuse(parser, 400,
                              "an https:// target: a client asks a proxy for it with CONNECT");
    if (memchr(text.base, ':', text.len) != NULL)
        return sp_http_refuse(parser, 400, "the target's scheme is not http");
    return sp_http_refuse(parser, 400, "the target is not a URL, a path, or host:port");
}

enum sp_err sp_http_target_parse(struct sp_http_parser *parser, enum sp_http_method method,
                                 struct sp_span text, struct sp_http_target *target)
{
    *target = (struct sp_http_target){.text = text};
    if (memchr(text.base, '#', text.len) != NULL)
        return sp_http_refuse(parser, 400, "a fragment in the target");
    if (!sp_http_all(text, SP_CHAR_TARGET))
        return sp_http_refuse(parser, 400, "a byte in the target that must be percent-encoded");
    if (method == SP_HTTP_CONNECT)
        return parse_authority_form(parser, text, target);
    if (text.base[0] != '/' && !(text.len == 1 && text.base[0] == '*'))
        return parse_absolute_form(parser, method, text, target);
    if (text.base[0] == '*' && method != SP_HTTP_OPTIONS)
        return sp_http_refuse(parser, 400, "the target * is for OPTIONS alone");
    target->form = text.base[0] == '*' ? SP_TARGET_ASTERISK : SP_TARGET_ORIGIN;
    target->path = text;
    return SP_OK;
}

/* ---- targets that were refused: what can be told of them without telling a password ---- */

/* Where the authority begins, as far as one can tell: behind a scheme, and however many slashes of
 * whichever kind somebody typed. */
static size_t authority_start(struct sp_span text)
{
    size_t at = 0;

    while (at + 1 < text.len &&
           !(text.base[at] == ':' && (text.base[at + 1] == '/' || text.base[at + 1] == '\\')))
        at++;
    if (at + 1 >= text.len)
        return 0;
    do
        at++;
    while (at < text.len && (text.base[at] == '/' || text.base[at] == '\\'));
    return at;
}

static size_t authority_end(struct sp_span text, size_t begin)
{
    size_t end = begin;

    while (end < text.len && text.base[end] != '/' && text.base[end] != '?')
        end++;
    return end;
}

/* One past the last '@' between the two; `begin`: there is none. */
static size_t past_userinfo(struct sp_span text, size_t begin, size_t end)
{
    const char *at = end > begin ? memrchr(text.base + begin, '@', end - begin) : NULL;

    return at != NULL ? (size_t)(at - text.base) + 1 : begin;
}

static bool has_odd_port(struct sp_span authority)
{
    struct sp_span host;
    struct sp_span port;

    return sp_http_split_authority(authority, &host, &port) && !sp_http_all(port, SP_CHAR_DIGIT);
}

struct sp_span sp_http_target_for_log(struct sp_http_parser *parser, struct sp_span text)
{
    size_t begin = authority_start(text);
    size_t end = authority_end(text, begin);
    size_t after = past_userinfo(text, begin, end);
    char *copy;

    /* "me:my/pass@host": what looks like a port may be a password with a slash in it */
    if (after == begin && has_odd_port(sp_span_of(text.base + begin, end - begin)))
        after = past_userinfo(text, begin, text.len);
    if (after == begin)
        return text;
    copy = scratch_take(&parser->scratch, text.len);
    if (copy == NULL)
        return SP_SPAN_LIT("");
    memcpy(copy, text.base, begin);
    memcpy(copy + begin, text.base + after, text.len - after);
    return sp_span_of(copy, begin + text.len - after);
}
