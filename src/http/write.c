/* Heads as they go on: every byte written anew from what was understood, in one reservation and one
 * pass (RFC 9112 3.2.2, RFC 9110 7.6). What belonged to the hop before is left out; what belongs to
 * the hop after is written here. */
#include "http/http_priv.h"

#include <assert.h>
#include <string.h>

/* More than all that is added besides names, values, path, via and addresses: the version, Host,
 * Connection, framing, Proxy-Support. */
#define FIXED_ROOM 512
/* Around each field that may be appended to, or copied: ": ", ", ", CRLF. */
#define FIELD_ROOM 8

/* A place to write to that was reserved large enough. */
struct pen {
    char *at;
};

static inline void put(struct pen *pen, struct sp_span s)
{
    if (s.len > 0)
        memcpy(pen->at, s.base, s.len);
    pen->at += s.len;
}

#define PUT(pen, text) put((pen), SP_SPAN_LIT(text))

static void put_number(struct pen *pen, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    put(pen, sp_span_of(digits + at, sizeof digits - at));
}

static inline void put_field(struct pen *pen, struct sp_span name, struct sp_span value)
{
    put(pen, name);
    PUT(pen, ": ");
    put(pen, value);
    PUT(pen, "\r\n");
}

static size_t room_for(const struct sp_http_head *head, const struct sp_http_forward *forward)
{
    size_t room = FIXED_ROOM + forward->via.len + forward->forwarded_for.len + head->upgrade.len +
                  forward->proxy_authenticate.len;

    for (size_t i = 0; i < head->fields_len; i++)
        room += head->fields[i].name.len + head->fields[i].value.len + FIELD_ROOM;
    return room;
}

/* ---- fields that are appended to ---- */

static void put_via_element(struct pen *pen, const struct sp_http_head *head, struct sp_span via)
{
    if (head->minor == 0)
        PUT(pen, "1.0 ");
    else
        PUT(pen, "1.1 ");
    put(pen, via);
}

/* Our element stands behind the last there is, so that the order of the hops stays (RFC
 * 9110 7.6.3). */
static const struct sp_http_field *last_of(const struct sp_http_head *head,
                                           enum sp_http_field_id id)
{
    for (size_t i = head->fields_len; i > 0; i--) {
        if (head->fields[i - 1].id == id && !head->fields[i - 1].hop)
            return &head->fields[i - 1];
    }
    return NULL;
}

/* The two lists that we may add ourselves to. */
struct appended {
    const struct sp_http_field *via;
    const struct sp_http_field *forwarded_for;
};

static void put_appended(struct pen *pen, const struct sp_http_head *head,
                         const struct sp_http_forward *forward, const struct sp_http_field *field,
                         const struct appended *last)
{
    put(pen, field->name);
    PUT(pen, ": ");
    put(pen, field->value);
    if (field->value.len > 0)
        PUT(pen, ", ");
    if (field == last->via)
        put_via_element(pen, head, forward->via);
    else
        put(pen, forward->forwarded_for);
    PUT(pen, "\r\n");
}

static struct appended find_appended(const struct sp_http_head *head,
                                     const struct sp_http_forward *forward)
{
    struct appended last = {NULL, NULL};

    if (forward->via.len > 0)
        last.via = last_of(head, SP_FIELD_VIA);
    if (forward->forwarded_for.len > 0)
        last.forwarded_for = last_of(head, SP_FIELD_X_FORWARDED_FOR);
    return last;
}

/* Where there was nothing to append to. */
static void put_missing(struct pen *pen, const struct sp_http_head *head,
                        const struct sp_http_forward *forward, const struct appended *last)
{
    if (forward->via.len > 0 && last->via == NULL) {
        PUT(pen, "Via: ");
        put_via_element(pen, head, forward->via);
        PUT(pen, "\r\n");
    }
    if (forward->forwarded_for.len > 0 && last->forwarded_for == NULL)
        put_field(pen, SP_SPAN_LIT("X-Forwarded-For"), forward->forwarded_for);
}

/* ---- fields of this hop ---- */

/* "Connection: a, b": the comma before all but the first. */
static void put_option(struct pen *pen, bool *any, struct sp_span option)
{
    if (*any)
        PUT(pen, ", ");
    else
        PUT(pen, "Connection: ");
    put(pen, option);
    *any = true;
}

static void put_connection(struct pen *pen, const struct sp_http_head *head,
                           const struct sp_http_forward *forward, bool te_trailers)
{
    bool upgrade = forward->upgrade && head->upgrade.base != NULL;
    bool any = false;

    if (forward->close)
        put_option(pen, &any, SP_SPAN_LIT("close"));
    else if (forward->keep_alive)
        put_option(pen, &any, SP_SPAN_LIT("keep-alive"));
    if (upgrade)
        put_option(pen, &any, SP_SPAN_LIT("upgrade"));
    if (te_trailers)
        put_option(pen, &any, SP_SPAN_LIT("TE"));
    if (forward->session_auth)
        put_option(pen, &any, SP_SPAN_LIT("Proxy-Support"));
    if (any)
        PUT(pen, "\r\n");
    if (upgrade)
        put_field(pen, SP_SPAN_LIT("Upgrade"), head->upgrade);
    if (te_trailers)
        PUT(pen, "TE: trailers\r\n");
    if (forward->session_auth)
        PUT(pen, "Proxy-Support: Session-Based-Authentication\r\n");
}

static void put_framing(struct pen *pen, const struct sp_http_framing *body, bool chunked)
{
    if (chunked) {
        PUT(pen, "Transfer-Encoding: chunked\r\n");
    } else if (body->kind == SP_BODY_LENGTH) {
        PUT(pen, "Content-Length: ");
        put_number(pen, body->length);
        PUT(pen, "\r\n");
    }
}

/* ---- requests ---- */

static void put_host(struct pen *pen, const struct sp_http_target *target)
{
    PUT(pen, "Host: ");
    if (target->ipv6)
        PUT(pen, "[");
    put(pen, target->host);
    if (target->ipv6)
        PUT(pen, "]");
    if (!target->default_port) {
        PUT(pen, ":");
        put_number(pen, target->port);
    }
    PUT(pen, "\r\n");
}

/* TE is between neighbours; that trailers are welcome is true of us when it is true of the client
 * (RFC 9110 10.1.4). */
static bool takes_trailers(const struct sp_http_head *head)
{
    const struct sp_http_field *te = sp_http_find(head, SP_FIELD_TE);

    return te != NULL && head->minor >= 1 && sp_span_eq_nocase(te->value, SP_SPAN_LIT("trailers"));
}

static void put_request_field(struct pen *pen, const struct sp_http_request *request,
                              const struct sp_http_forward *forward,
                              const struct sp_http_field *field, const struct appended *last)
{
    uint64_t left;

    if (field->hop || field->id == SP_FIELD_HOST || field->id == SP_FIELD_CONTENT_LENGTH)
        return;
    if (field == last->via || field == last->forwarded_for) {
        put_appended(pen, &request->head, forward, field, last);
    } else if (field->id == SP_FIELD_EXPECT && request->head.minor == 0) {
        return; /* RFC 9110 10.1.1: means nothing in HTTP/1.0, and must not begin to */
    } else if (field->id == SP_FIELD_MAX_FORWARDS && sp_http_max_forwards(request, &left)) {
        put(pen, field->name);
        PUT(pen, ": ");
        put_number(pen, left > 0 ? left - 1 : 0);
        PUT(pen, "\r\n");
    } else {
        put_field(pen, field->name, field->value);
    }
}

enum sp_err sp_http_write_request(struct sp_buf *out, const struct sp_http_request *request,
                                  const struct sp_http_forward *forward)
{
    const struct sp_http_head *head = &request->head;
    struct appended last = find_appended(head, forward);
    char *base;
    struct pen pen;
    enum sp_err err = sp_buf_reserve(out,
                                     room_for(head, forward) + request->method_text.len +
                                         request->target.path.len + request->target.host.len,
                                     &base);

    if (err != SP_OK)
        return err;
    pen.at = base;
    put(&pen, request->method_text);
    PUT(&pen, " ");
    put(&pen, request->target.path);
    PUT(&pen, " HTTP/1.1\r\n");
    put_host(&pen, &request->target);
    for (size_t i = 0; i < head->fields_len; i++)
        put_request_field(&pen, request, forward, &head->fields[i], &last);
    put_missing(&pen, head, forward, &last);
    put_framing(&pen, &head->body, forward->chunked);
    put_connection(&pen, head, forward, takes_trailers(head));
    PUT(&pen, "\r\n");
    sp_buf_commit(out, (size_t)(pen.at - base));
    return SP_OK;
}

/* ---- responses ---- */

static void put_digits(struct pen *pen, int value, int width)
{
    for (int i = width - 1; i >= 0; i--, value /= 10)
        pen->at[i] = (char)('0' + value % 10);
    pen->at += width;
}

/* By hand: strftime(3) writes days and months as the process's locale has them. */
size_t sp_http_date(time_t when, char out[SP_HTTP_DATE_LEN])
{
    static const char days[] = "Sun, Mon, Tue, Wed, Thu, Fri, Sat, ";
    static const char months[] = " Jan  Feb  Mar  Apr  May  Jun  Jul  Aug  Sep  Oct  Nov  Dec ";
    struct pen pen = {out};
    struct tm tm;

    if (gmtime_r(&when, &tm) == NULL || tm.tm_year < -1900 || tm.tm_year > 9999 - 1900)
        return 0;
    put(&pen, sp_span_of(days + (ptrdiff_t)5 * tm.tm_wday, 5));
    put_digits(&pen, tm.tm_mday, 2);
    put(&pen, sp_span_of(months + (ptrdiff_t)5 * tm.tm_mon, 5));
    put_digits(&pen, tm.tm_year + 1900, 4);
    PUT(&pen, " ");
    put_digits(&pen, tm.tm_hour, 2);
    PUT(&pen, ":");
    put_digits(&pen, tm.tm_min, 2);
    PUT(&pen, ":");
    put_digits(&pen, tm.tm_sec, 2);
    PUT(&pen, " GMT");
    return (size_t)(pen.at - out);
}

/* Caches behind us reckon an answer's age from this. */
static void put_missing_date(struct pen *pen, const struct sp_http_response *response,
                             time_t received)
{
    char date[SP_HTTP_DATE_LEN];
    size_t len;

    if (received == 0 || response->status < 200 || last_of(&response->head, SP_FIELD_DATE) != NULL)
        return;
    len = sp_http_date(received, date);
    if (len > 0)
        put_field(pen, SP_SPAN_LIT("Date"), sp_span_of(date, len));
}

static bool keeps_length(const struct sp_http_response *response,
                         const struct sp_http_forward *forward)
{
    /* With no body (HEAD, 304) the length is what a GET would have had: it was read as a number,
     * so that its text is as good as our own. 1xx and 204 must not have one (RFC 9110 8.6). */
    return response->head.body.kind == SP_BODY_NONE && !forward->chunked &&
           response->status >= 200 && response->status != 204;
}

static void put_response_field(struct pen *pen, const struct sp_http_response *response,
                               const struct sp_http_forward *forward,
                               const struct sp_http_field *field, const struct appended *last)
{
    if (field->hop)
        return;
    if (field->id == SP_FIELD_CONTENT_LENGTH && !keeps_length(response, forward))
        return;
    if (field == last->via)
        put_appended(pen, &response->head, forward, field, last);
    else
        put_field(pen, field->name, field->value);
}

enum sp_err sp_http_write_response(struct sp_buf *out, const struct sp_http_response *response,
                                   const struct sp_http_forward *given)
{
    const struct sp_http_head *head = &response->head;
    struct sp_http_forward forward = *given;
    struct appended last;
    char *base;
    struct pen pen;
    enum sp_err err = sp_buf_reserve(out, room_for(head, given) + response->reason.len, &base);

    if (err != SP_OK)
        return err;
    assert(!forward.chunked || forward.minor >= 1);
    forward.forwarded_for = SP_SPAN_NONE; /* a request's */
    last = find_appended(head, &forward);
    pen.at = base;
    PUT(&pen, "HTTP/1.1 ");
    put_number(&pen, (uint64_t)response->status);
    PUT(&pen, " ");
    put(&pen, response->reason);
    PUT(&pen, "\r\n");
    for (size_t i = 0; i < head->fields_len; i++)
        put_response_field(&pen, response, &forward, &head->fields[i], &last);
    put_missing(&pen, head, &forward, &last);
    put_missing_date(&pen, response, forward.received);
    if (forward.proxy_authenticate.len > 0)
        put_field(&pen, SP_SPAN_LIT("Proxy-Authenticate"), forward.proxy_authenticate);
    put_framing(&pen, &head->body, forward.chunked);
    put_connection(&pen, head, &forward, false);
    PUT(&pen, "\r\n");
    sp_buf_commit(out, (size_t)(pen.at - base));
    return SP_OK;
}
