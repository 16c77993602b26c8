/* One access record as one line: JSON, Squid's native format, or Apache's combined format. Pure,
 * apart from the time zone; called once for each exchange, so values are appended by hand and a
 * second's text is made once. The caller has reserved sp_access_bound bytes. */
#include "log/log_priv.h"

#include "util/addr.h"
#include "util/span.h"
#include "util/text.h"

#include <stdlib.h>
#include <time.h>

#define DIGITS_MAX 20 /* of a uint64_t */

/* ---- appenders: each returns where the next byte goes ---- */

static char *put(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

#define PUT_LIT(at, text) put((at), (text), sizeof(text) - 1)

static char *put_word(char *at, const char *word)
{
    return put(at, word, strlen(word));
}

/* Exactly `width` digits, zeros in front. */
static char *put_padded(char *at, uint64_t value, size_t width)
{
    for (size_t i = width; i > 0; i--) {
        at[i - 1] = (char)('0' + value % 10);
        value /= 10;
    }
    return at + width;
}

/* No address has a byte that would have to be escaped anywhere. */
static char *put_addr(char *at, const struct sp_addr *addr)
{
    return addr != NULL ? at + strlen(sp_addr_ip_text(addr, at)) : at;
}

static char *put_u64(char *at, uint64_t value)
{
    size_t width = 1;

    for (uint64_t limit = 10; width < DIGITS_MAX && value >= limit; limit *= 10)
        width++;
    return put_padded(at, value, width);
}

static char hex_digit(unsigned nibble)
{
    return "0123456789abcdef"[nibble & 0x0f];
}

/* ---- what may stand as it is, in JSON and in quotes: printable ASCII without " and \ ---- */

static bool is_plain(char letter)
{
    unsigned char c = (unsigned char)letter;

    return c >= 0x20 && c <= 0x7e && c != '"' && c != '\\';
}

/* Is each of the eight bytes plain? The top bit of one stays clear through all four terms only if
 * it is: itself (ASCII), plus one (DEL), '"' swapped with the space and less 0x21 (controls and
 * '"', one range now), zero where it was '\\' and less one. A carry or a borrow from one byte into
 * the next begins at one that is not plain, so it can only confirm what is known. */
static bool all_plain(uint64_t word)
{
    const uint64_t each = 0x0101010101010101u;
    uint64_t bad = word | (word + each) | ((word ^ 0x02 * each) - 0x21 * each) |
                   ((word ^ '\\' * each) - each);

    return (bad & 0x80 * each) == 0;
}

/* Eight bytes, if all are plain. */
static bool copy_eight(char *at, const char *from)
{
    uint64_t word;

    memcpy(&word, from, sizeof(word));
    if (!all_plain(word))
        return false;
    memcpy(at, &word, sizeof(word));
    return true;
}

/* Four to eight bytes, if all are plain: their first and their last four, which may overlap. */
static bool copy_up_to_eight(char *at, const char *from, size_t len)
{
    uint32_t first;
    uint32_t last;

    memcpy(&first, from, sizeof(first));
    memcpy(&last, from + len - sizeof(last), sizeof(last));
    if (!all_plain((uint64_t)first << 32 | last))
        return false;
    memcpy(at, &first, sizeof(first));
    memcpy(at + len - sizeof(last), &last, sizeof(last));
    return true;
}

/* Copies what is plain at the front of s, and returns how much that was. Eight bytes at a time, the
 * last eight overlapping those before them: a line has some 120 bytes that came from outside. */
static size_t copy_plain(char *at, struct sp_span s)
{
    bool whole = false;
    size_t i = 0;

    while (s.len - i >= 8 && copy_eight(at + i, s.base + i))
        i += 8;
    if (s.len >= 8 && s.len - i < 8)
        whole = copy_eight(at + s.len - 8, s.base + s.len - 8);
    else if (s.len >= 4 && s.len < 8)
        whole = copy_up_to_eight(at, s.base, s.len);
    if (whole)
        return s.len;
    while (i < s.len && is_plain(s.base[i])) {
        at[i] = s.base[i];
        i++;
    }
    return i;
}

/* ---- JSON (RFC 8259) ---- */

static char *put_unicode(char *at, unsigned unit)
{
    at = PUT_LIT(at, "\\u");
    for (int shift = 12; shift >= 0; shift -= 4)
        *at++ = hex_digit(unit >> shift);
    return at;
}

/* The letter at the front of `rest`, which does not stand as it is; how many bytes it has in
 * *len_out. What is no UTF-8 becomes U+FFFD, so that the line is JSON whatever a client sent. */
static char *put_json_letter(char *at, struct sp_span rest, size_t *len_out)
{
    uint32_t letter = 0;
    size_t len = sp_text_decode(rest, &letter);

    *len_out = len > 0 ? len : 1;
    if (len == 0)
        return put_unicode(at, 0xfffd);
    if (letter < 0x20 || (letter >= 0x7f && letter <= 0x9f))
        return put_unicode(at, letter);
    if (letter == '"' || letter == '\\')
        *at++ = '\\';
    return put(at, rest.base, len);
}

/* A value whose first byte does not stand as it is. */
static char *put_json_rest(char *at, struct sp_span rest)
{
    size_t len;

    while (rest.len > 0) {
        at = put_json_letter(at, rest, &len);
        rest = sp_span_of(rest.base + len, rest.len - len);
        len = copy_plain(at, rest);
        at += len;
        rest = sp_span_of(rest.base + len, rest.len - len);
    }
    return at;
}

static inline char *put_json(char *at, struct sp_span value)
{
    size_t plain = copy_plain(at, value);

    if (plain == value.len)
        return at + plain;
    return put_json_rest(at + plain, sp_span_of(value.base + plain, value.len - plain));
}

static void stamp_utc(struct sp_stamp *stamp, uint64_t second)
{
    time_t when = (time_t)second;
    struct tm tm = {0};
    char *at = stamp->text;

    (void)gmtime_r(&when, &tm);
    at = put_padded(at, (unsigned)(tm.tm_year + 1900), 4);
    *at++ = '-';
    at = put_padded(at, (unsigned)(tm.tm_mon + 1), 2);
    *at++ = '-';
    at = put_padded(at, (unsigned)tm.tm_mday, 2);
    *at++ = 'T';
    at = put_padded(at, (unsigned)tm.tm_hour, 2);
    *at++ = ':';
    at = put_padded(at, (unsigned)tm.tm_min, 2);
    *at++ = ':';
    at = put_padded(at, (unsigned)tm.tm_sec, 2);
    stamp->len = (size_t)(at - stamp->text);
}

/* "21/Nov/2026:09:00:00 +0100", as Apache writes %t */
static void stamp_local(struct sp_stamp *stamp, uint64_t second)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t when = (time_t)second;
    struct tm tm = {0};
    long offset;
    char *at = stamp->text;

    (void)localtime_r(&when, &tm);
    offset = tm.tm_gmtoff / 60;
    at = put_padded(at, (unsigned)tm.tm_mday, 2);
    *at++ = '/';
    at = put(at, months + 3 * tm.tm_mon, 3);
    *at++ = '/';
    at = put_padded(at, (unsigned)(tm.tm_year + 1900), 4);
    *at++ = ':';
    at = put_padded(at, (unsigned)tm.tm_hour, 2);
    *at++ = ':';
    at = put_padded(at, (unsigned)tm.tm_min, 2);
    *at++ = ':';
    at = put_padded(at, (unsigned)tm.tm_sec, 2);
    *at++ = ' ';
    *at++ = offset < 0 ? '-' : '+';
    at = put_padded(at, (unsigned)(labs(offset) / 60), 2);
    at = put_padded(at, (unsigned)(labs(offset) % 60), 2);
    stamp->len = (size_t)(at - stamp->text);
}

static char *put_stamp(char *at, struct sp_stamp *stamp, uint64_t second,
                       void (*make)(struct sp_stamp *stamp, uint64_t second))
{
    if (!stamp->valid || stamp->second != second) {
        make(stamp, second);
        stamp->second = second;
        stamp->valid = true;
    }
    memcpy(at, stamp->text, sizeof(stamp->text)); /* all of it, whose size the compiler knows */
    return at + stamp->len;
}

#define JSON_TEXT(at, name, value) \
    ((at) = PUT_LIT(at, ",\"" name "\":\""), (at) = put_json(at, value), *(at)++ = '"')
#define JSON_WORD(at, name, word) JSON_TEXT(at, name, sp_span_cstr(word))
#define JSON_NUMBER(at, name, value) \
    ((at) = PUT_LIT(at, ",\"" name "\":"), (at) = put_u64(at, value))

static unsigned status_of(const struct sp_access_record *r)
{
    return r->status > 0 && r->status <= 999 ? (unsigned)r->status : 0;
}

static char *format_json(char *at, struct sp_stamp *stamp, const struct sp_access_record *r)
{
    at = PUT_LIT(at, "{\"ts\":\"");
    at = put_stamp(at, stamp, r->ts_ms / 1000, stamp_utc);
    *at++ = '.';
    at = put_padded(at, (unsigned)(r->ts_ms % 1000), 3);
    at = PUT_LIT(at, "Z\"");
    JSON_TEXT(at, "id", r->id);
    at = PUT_LIT(at, ",\"client\":\"");
    at = put_addr(at, r->client);
    *at++ = '"';
    JSON_TEXT(at, "listener", r->listener);
    JSON_TEXT(at, "user", r->user);
    JSON_WORD(at, "scheme", sp_scheme_text(r->scheme));
    JSON_TEXT(at, "mech", r->mech);
    JSON_TEXT(at, "backend", r->backend);
    JSON_WORD(at, "auth", sp_auth_how_text(r->auth));
    JSON_TEXT(at, "method", r->method);
    JSON_TEXT(at, "target", r->target);
    JSON_NUMBER(at, "status", status_of(r));
    JSON_WORD(at, "reason", sp_reason_text(r->reason));
    JSON_TEXT(at, "rule", r->rule);
    JSON_NUMBER(at, "bytes_in", r->bytes_in);
    JSON_NUMBER(at, "bytes_out", r->bytes_out);
    JSON_NUMBER(at, "ms", r->ms);
    JSON_NUMBER(at, "auth_ms", r->auth_ms);
    JSON_NUMBER(at, "connect_ms", r->connect_ms);
    return PUT_LIT(at, "}\n");
}

/* ---- Squid's native format: fields parted by spaces, so spaces and controls are %XX ---- */

static char *put_squid(char *at, struct sp_span value)
{
    if (value.len == 0)
        return PUT_LIT(at, "-");
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.base[i];

        if (c > 0x20 && c < 0x7f) {
            *at++ = (char)c;
        } else {
            *at++ = '%';
            *at++ = hex_digit(c >> 4);
            *at++ = hex_digit(c);
        }
    }
    return at;
}

/* Squid's word for how the request went, as its log analysers know them. */
static const char *squid_code(const struct sp_access_record *r)
{
    switch (r->reason) {
    case SP_REASON_OK:
        return sp_span_eq(r->method, SP_SPAN_LIT("CONNECT")) ? "TCP_TUNNEL" : "TCP_MISS";
    case SP_REASON_NO_CREDENTIALS:
    case SP_REASON_BAD_CREDENTIALS:
    case SP_REASON_HANDSHAKE:
    case SP_REASON_BLOCKED:
    case SP_REASON_ACCOUNT:
    case SP_REASON_LOOP:
    case SP_REASON_DENIED: return "TCP_DENIED";
    case SP_REASON_DIRECTORY_UNAVAILABLE:
    case SP_REASON_OVERLOADED:
    case SP_REASON_MALFORMED: return "NONE";
    case SP_REASON_DNS:
    case SP_REASON_CONNECT_FAILED:
    case SP_REASON_TIMEOUT:
    case SP_REASON_UPSTREAM: return "TCP_MISS";
    case SP_REASON_CLIENT_GONE: return "TCP_MISS_ABORTED";
    case SP_REASON_COUNT: break;
    }
    return "NONE";
}

static char *put_addr_or_dash(char *at, const struct sp_addr *addr)
{
    return addr != NULL ? put_addr(at, addr) : PUT_LIT(at, "-");
}

static char *put_right(char *at, uint64_t value, size_t width)
{
    char digits[DIGITS_MAX];
    size_t len = (size_t)(put_u64(digits, value) - digits);

    for (size_t i = len; i < width; i++)
        *at++ = ' ';
    return put(at, digits, len);
}

/* time elapsed remotehost code/status bytes method URL rfc931 peerstatus/peerhost type
 * The time is that of the end, as Squid's is: what reads it takes the beginning for time less
 * elapsed. */
static char *format_squid(char *at, const struct sp_access_record *r)
{
    uint64_t end_ms = r->ts_ms + r->ms;

    at = put_right(at, end_ms / 1000, 9);
    *at++ = '.';
    at = put_padded(at, (unsigned)(end_ms % 1000), 3);
    *at++ = ' ';
    at = put_right(at, r->ms, 6);
    *at++ = ' ';
    at = put_addr_or_dash(at, r->client);
    *at++ = ' ';
    at = put_word(at, squid_code(r));
    *at++ = '/';
    at = put_padded(at, status_of(r), 3);
    *at++ = ' ';
    at = put_u64(at, r->bytes_out);
    *at++ = ' ';
    at = put_squid(at, r->method);
    *at++ = ' ';
    at = put_squid(at, r->target);
    *at++ = ' ';
    at = put_squid(at, r->user);
    at = r->peer != NULL ? PUT_LIT(at, " HIER_DIRECT/") : PUT_LIT(at, " HIER_NONE/");
    at = put_addr_or_dash(at, r->peer);
    *at++ = ' ';
    at = put_squid(at, r->type);
    *at++ = '\n';
    return at;
}

/* ---- Apache's combined format: quoted values, escaped as mod_log_config does ---- */

static char *put_quoted_letter(char *at, char letter)
{
    if (letter == '"' || letter == '\\') {
        *at++ = '\\';
        *at++ = letter;
        return at;
    }
    at = PUT_LIT(at, "\\x");
    *at++ = hex_digit((unsigned char)letter >> 4);
    *at++ = hex_digit((unsigned char)letter);
    return at;
}

static char *put_quoted(char *at, struct sp_span value)
{
    for (;;) {
        size_t plain = copy_plain(at, value);

        at += plain;
        if (plain == value.len)
            return at;
        at = put_quoted_letter(at, value.base[plain]);
        value = sp_span_of(value.base + plain + 1, value.len - plain - 1);
    }
}

static char *put_quoted_or_dash(char *at, struct sp_span value)
{
    return value.len > 0 ? put_quoted(at, value) : PUT_LIT(at, "-");
}

static char *put_request_line(char *at, const struct sp_access_record *r)
{
    if (r->method.len == 0)
        return PUT_LIT(at, "-");
    at = put_quoted(at, r->method);
    *at++ = ' ';
    at = put_quoted_or_dash(at, r->target);
    at = PUT_LIT(at, " HTTP/1.");
    return put_u64(at, r->minor);
}

/* The user's name stands unquoted there, so its spaces are escaped too. */
static char *format_combined(char *at, struct sp_stamp *stamp, const struct sp_access_record *r)
{
    at = put_addr_or_dash(at, r->client);
    at = PUT_LIT(at, " - ");
    at = put_squid(at, r->user);
    at = PUT_LIT(at, " [");
    at = put_stamp(at, stamp, r->ts_ms / 1000, stamp_local);
    at = PUT_LIT(at, "] \"");
    at = put_request_line(at, r);
    at = PUT_LIT(at, "\" ");
    at = put_padded(at, status_of(r), 3);
    *at++ = ' ';
    at = put_u64(at, r->bytes_out);
    at = PUT_LIT(at, " \"");
    at = put_quoted_or_dash(at, r->referer);
    at = PUT_LIT(at, "\" \"");
    at = put_quoted_or_dash(at, r->user_agent);
    return PUT_LIT(at, "\"\n");
}

/* Six bytes for one is the worst an escape does (\u001f); the names, numbers, addresses and fixed
 * words of the longest format come to less than a kilobyte. */
size_t sp_access_bound(const struct sp_access_record *r)
{
    size_t text = r->id.len + r->listener.len + r->user.len + r->mech.len + r->backend.len +
                  r->method.len + r->target.len + r->rule.len + r->referer.len + r->user_agent.len +
                  r->type.len;

    return 6 * text + 1024;
}

size_t sp_access_format(enum sp_log_format format, struct sp_stamp *stamp,
                        const struct sp_access_record *record, char *out)
{
    char *end = out;

    switch (format) {
    case SP_LOG_JSON: end = format_json(out, stamp, record); break;
    case SP_LOG_SQUID: end = format_squid(out, record); break;
    case SP_LOG_COMBINED: end = format_combined(out, stamp, record); break;
    }
    return (size_t)(end - out);
}
