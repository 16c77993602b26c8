/* Answers of the proxy's own: the status line, challenges, Proxy-Status (RFC 9209), the page's
 * headers. Called by the proxy's exchanges on their loop, and by admin. */
#include "http/reply_priv.h"

#include "http/http_priv.h"

#include <string.h>

const char *sp_http_status_text(int status)
{
    switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 407: return "Proxy Authentication Required"; /* clients compare this very phrase */
    case 408: return "Request Timeout";
    case 414: return "URI Too Long";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "Unknown";
    }
}

/* ---- Proxy-Status ---- */

/* The proxy error type (RFC 9209 2.3) that says most nearly the same. */
static const char *error_type(const struct sp_http_reply *reply)
{
    static const struct {
        const char *reason;
        const char *type;
    } types[] = {
        {"denied", "http_request_denied"},
        {"account", "http_request_denied"},
        {"blocked", "http_request_denied"},
        {"loop", "http_request_denied"},
        {"malformed", "http_request_error"},
        {"dns", "dns_error"},
        {"connect_failed", "destination_unavailable"},
        {"upstream", "http_protocol_error"},
        {"directory_unavailable", "proxy_internal_error"},
        {"overloaded", "proxy_internal_error"},
    };

    if (reply->error != NULL)
        return reply->error;
    if (reply->reason != NULL && strcmp(reply->reason, "timeout") == 0)
        return reply->status == 408 ? "http_request_error" : "connection_timeout";
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (reply->reason != NULL && strcmp(types[i].reason, reply->reason) == 0)
            return types[i].type;
    }
    return "proxy_internal_response"; /* answered without asking anybody: 407 */
}

/* The inside of an sf-string (RFC 8941 3.3.3): printable ASCII, with '"' and '\' escaped. */
static enum sp_err append_sf_text(struct sp_buf *out, struct sp_span text, size_t max)
{
    char quoted[2 * SP_HTTP_DETAILS_MAX];
    size_t len = 0;

    if (text.len > max)
        text.len = max;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.base[i];

        if (c == '"' || c == '\\')
            quoted[len++] = '\\';
        quoted[len++] = c >= 0x20 && c <= 0x7e ? (char)c : '?';
    }
    return sp_buf_append(out, sp_span_of(quoted, len));
}

static bool is_sf_token(struct sp_span text)
{
    static const char more[] = "!#$%&'*+-.^_`|~:/";

    for (size_t i = 0; i < text.len; i++) {
        char c = text.base[i];
        bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (!alpha && (i == 0 || c < '0' || c > '9') && (i == 0 || strchr(more, c) == NULL))
            return false;
        if (c == '\0')
            return false;
    }
    return text.len > 0;
}

static enum sp_err append_name(struct sp_buf *out, struct sp_span via)
{
    enum sp_err err;

    if (via.len == 0)
        via = SP_SPAN_LIT("sallyport");
    if (is_sf_token(via))
        return sp_buf_append(out, via);
    err = sp_buf_append(out, SP_SPAN_LIT("\""));
    if (err == SP_OK)
        err = append_sf_text(out, via, SP_HTTP_DETAILS_MAX);
    return err == SP_OK ? sp_buf_append(out, SP_SPAN_LIT("\"")) : err;
}

/* Proxy-Status: sallyport; error=dns_error; details="dns; no such name"; id="..." */
static enum sp_err append_proxy_status(struct sp_buf *out, const struct sp_http_reply *reply)
{
    const char *reason = reply->reason != NULL ? reply->reason : "error";
    enum sp_err err = sp_buf_append(out, SP_SPAN_LIT("Proxy-Status: "));

    if (err == SP_OK)
        err = append_name(out, reply->via);
    if (err == SP_OK)
        err = sp_buf_printf(out, "; error=%s; details=\"%s", error_type(reply), reason);
    if (err == SP_OK && reply->details.len > 0)
        err = sp_buf_append(out, SP_SPAN_LIT("; "));
    if (err == SP_OK)
        err = append_sf_text(out, reply->details, SP_HTTP_DETAILS_MAX);
    if (err == SP_OK)
        err = sp_buf_append(out, SP_SPAN_LIT("\""));
    if (err != SP_OK || reply->id.len == 0)
        return err == SP_OK ? sp_buf_append(out, SP_SPAN_LIT("\r\n")) : err;
    err = sp_buf_append(out, SP_SPAN_LIT("; id=\""));
    if (err == SP_OK)
        err = append_sf_text(out, reply->id, SP_HTTP_ID_MAX);
    return err == SP_OK ? sp_buf_append(out, SP_SPAN_LIT("\"\r\n")) : err;
}

/* ---- the other fields ---- */

static enum sp_err append_date(struct sp_buf *out)
{
    char date[SP_HTTP_DATE_LEN];
    size_t len = sp_http_date(time(NULL), date);

    if (len == 0)
        return SP_OK; /* without a clock there is no Date (RFC 9110 6.6.1) */
    return sp_buf_printf(out, "Date: %.*s\r\n", (int)len, date);
}

static enum sp_err append_authenticate(struct sp_buf *out, struct sp_span value)
{
    enum sp_err err = sp_buf_append(out, SP_SPAN_LIT("Proxy-Authenticate: "));

    if (err == SP_OK)
        err = sp_buf_append(out, value);
    return err == SP_OK ? sp_buf_append(out, SP_SPAN_LIT("\r\n")) : err;
}

/* One challenge a line, in order: some clients take the first alone, some split at every comma. */
static enum sp_err append_challenges(struct sp_buf *out, const struct sp_http_reply *reply)
{
    enum sp_err err = SP_OK;

    for (size_t i = 0; err == SP_OK && i < reply->challenges_len; i++)
        err = append_authenticate(out, reply->challenges[i]);
    if (err == SP_OK && reply->final_token.len > 0 && reply->status != 407)
        err = append_authenticate(out, reply->final_token);
    return err;
}

static enum sp_err append_connection(struct sp_buf *out, const struct sp_http_reply *reply)
{
    if (reply->close)
        return sp_buf_append(out, SP_SPAN_LIT("Connection: close\r\n"));
    if (reply->keep_alive)
        return sp_buf_append(out, SP_SPAN_LIT("Connection: keep-alive\r\n"));
    return SP_OK;
}

static enum sp_err append_page(struct sp_buf *out, const struct sp_http_reply *reply)
{
    char page[SP_HTTP_PAGE_MAX];
    size_t len = sp_http_page(reply, page);
    enum sp_err err = sp_buf_printf(
        out, "Content-Type: text/%s; charset=utf-8\r\nContent-Length: %zu\r\n\r\n",
        reply->html ? "html" : "plain", len);

    if (err != SP_OK || reply->head_only)
        return err;
    return sp_buf_append(out, sp_span_of(page, len));
}

enum sp_err sp_http_write_reply(struct sp_buf *out, const struct sp_http_reply *reply)
{
    size_t before = out->len;
    enum sp_err err = sp_buf_printf(out, "HTTP/1.1 %03d %s\r\n", reply->status,
                                    sp_http_status_text(reply->status));

    if (err == SP_OK)
        err = append_date(out);
    if (err == SP_OK)
        err = append_challenges(out, reply);
    if (err == SP_OK && reply->retry_after_s > 0)
        err = sp_buf_printf(out, "Retry-After: %u\r\n", reply->retry_after_s);
    if (err == SP_OK)
        err = append_proxy_status(out, reply);
    if (err == SP_OK)
        err = sp_buf_append(out, SP_SPAN_LIT("Cache-Control: no-store\r\n"));
    if (err == SP_OK)
        err = append_connection(out, reply);
    if (err == SP_OK)
        err = append_page(out, reply);
    if (err != SP_OK)
        out->len = before; /* all or nothing */
    return err;
}

enum sp_err sp_http_write_established(struct sp_buf *out, struct sp_span final_token)
{
    size_t before = out->len;
    enum sp_err err = sp_buf_append(out, SP_SPAN_LIT("HTTP/1.1 200 Connection established\r\n"));

    if (err == SP_OK && final_token.len > 0)
        err = append_authenticate(out, final_token);
    if (err == SP_OK)
        err = sp_buf_append(out, SP_SPAN_LIT("\r\n"));
    if (err != SP_OK)
        out->len = before;
    return err;
}
