/* Hosts and ports as they are written in targets and Host fields. Pure; any thread.
 *
 * Rules compare hosts, so one host must not have two spellings: letters are lowered,
 * percent-encoding is undone, the trailing dot goes. Spellings of IPv4 addresses that only
 * inet_aton(3) understands (127.1, 0x7f.0.0.1, 2130706433, 0177.0.0.1) are refused, since a
 * resolver might turn them into addresses that no rule saw. */
#include "http/http_priv.h"

#include <arpa/inet.h>
#include <string.h>

#define LABEL_MAX 63

/* ---- authority ---- */

bool sp_http_split_authority(struct sp_span text, struct sp_span *host_out,
                             struct sp_span *port_out)
{
    const char *end = text.base + text.len;
    const char *after;

    if (text.len == 0)
        return false;
    after = memchr(text.base, text.base[0] == '[' ? ']' : ':', text.len);
    if (text.base[0] == '[') {
        if (after == NULL)
            return false;
        after++;
    } else if (after == NULL) {
        after = end;
    }
    *host_out = sp_span_of(text.base, (size_t)(after - text.base));
    *port_out = SP_SPAN_NONE;
    if (after == end)
        return true;
    if (*after != ':')
        return false;
    *port_out = sp_span_of(after + 1, (size_t)(end - after) - 1);
    return true;
}

bool sp_http_port_parse(struct sp_span text, uint16_t *port_out)
{
    unsigned port = 0;

    if (text.len == 0 || text.len > 5)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (!sp_http_char_is(text.base[i], SP_CHAR_DIGIT))
            return false;
        port = port * 10 + (unsigned)(text.base[i] - '0');
    }
    if (port == 0 || port > UINT16_MAX)
        return false;
    *port_out = (uint16_t)port;
    return true;
}

/* ---- host ---- */

/* Lower case and percent-decoded into host->text. False: does not fit, or a broken escape. */
static bool decode(struct sp_span text, struct sp_http_host *host)
{
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.base[i];

        if (len == SP_HTTP_HOST_MAX + 1)
            return false;
        if (c == '%') {
            if (i + 2 >= text.len || !sp_http_char_is(text.base[i + 1], SP_CHAR_HEX) ||
                !sp_http_char_is(text.base[i + 2], SP_CHAR_HEX))
                return false;
            c = (char)(sp_http_hex(text.base[i + 1]) << 4 | sp_http_hex(text.base[i + 2]));
            i += 2;
        }
        if (sp_http_char_is(c, SP_CHAR_UPPER))
            c = (char)(c | 0x20);
        host->text[len++] = c;
    }
    host->len = len;
    return true;
}

/* Labels of 1 to 63 bytes. *last_out is where the last one begins. */
static bool labels_are_sound(const struct sp_http_host *host, size_t *last_out)
{
    size_t begin = 0;

    for (size_t i = 0; i <= host->len; i++) {
        if (i < host->len && host->text[i] != '.')
            continue;
        if (i == begin || i - begin > LABEL_MAX)
            return false;
        *last_out = begin;
        begin = i + 1;
    }
    return true;
}

/* Digits, or "0x" and hexadecimal digits (perhaps none): what inet_aton(3) would take for a part of
 * an address, and the WHATWG URL standard calls "ends in a number". */
static bool is_number(struct sp_span label)
{
    if (sp_http_all(label, SP_CHAR_DIGIT))
        return true;
    return label.len >= 2 && label.base[0] == '0' && label.base[1] == 'x' &&
           sp_http_all(sp_span_of(label.base + 2, label.len - 2), SP_CHAR_HEX);
}

/* An IPv6 address has many spellings: it is written anew in the one of RFC 5952. */
static const char *parse_ipv6(struct sp_span inside, struct sp_http_host *host)
{
    if (memchr(inside.base, '%', inside.len) != NULL)
        return "an IPv6 address with a zone";
    if (inside.len >= INET6_ADDRSTRLEN)
        return "not an IPv6 address between the brackets";
    memcpy(host->text, inside.base, inside.len);
    host->text[inside.len] = '\0'; /* a NUL within ends it early: then the length differs */
    host->addr = (struct sp_addr){.port = 0};
    if (strlen(host->text) != inside.len || inet_pton(AF_INET6, host->text, host->addr.ip) != 1 ||
        inet_ntop(AF_INET6, host->addr.ip, host->text, sizeof host->text) == NULL)
        return "not an IPv6 address between the brackets";
    host->len = strlen(host->text);
    host->is_ip = true;
    host->ipv6 = true;
    return NULL;
}

const char *sp_http_host_parse(struct sp_span text, struct sp_http_host *host)
{
    size_t last = 0;

    host->is_ip = false;
    host->ipv6 = false;
    if (text.len == 0)
        return "an empty host";
    if (text.base[0] == '[')
        return text.len < 3 || text.base[text.len - 1] != ']'
                   ? "a bracket that is not closed"
                   : parse_ipv6(sp_span_of(text.base + 1, text.len - 2), host);
    if (!decode(text, host))
        return "a host that is too long, or has a broken percent-encoding";
    if (!sp_http_all(sp_span_of(host->text, host->len), SP_CHAR_HOST))
        return "a character that no host name has";
    if (host->text[host->len - 1] == '.')
        host->len--;
    if (host->len > SP_HTTP_HOST_MAX || !labels_are_sound(host, &last))
        return "a host with an empty or overlong label";
    if (is_number(sp_span_of(host->text + last, host->len - last))) {
        host->is_ip = sp_addr_parse_ip(&host->addr, sp_span_of(host->text, host->len)) == SP_OK;
        if (!host->is_ip)
            return "an odd spelling of an IPv4 address";
    }
    return NULL;
}
