/* Reading a PROXY protocol header (haproxy's proxy-protocol.txt, versions 1 and 2). Called by the
 * listener with what a peer in proxy_protocol_from has sent so far. Knows no sockets. */
#include "net/proxy_protocol.h"

#include "util/span.h"

#include <arpa/inet.h>
#include <string.h>

#define V1_MAX       107 /* section 2.1, CRLF included */
#define V2_FIXED_LEN 16

static const struct sp_span v1_start = {"PROXY ", 6};
static const struct sp_span v2_start = {"\r\n\r\n\0\r\nQUIT\n", 12};

static uint16_t u16_at(const char *at)
{
    return (uint16_t)(((unsigned)(uint8_t)at[0] << 8) | (uint8_t)at[1]);
}

/* Is one of them the beginning of the other? */
static bool agrees(struct sp_span bytes, struct sp_span start)
{
    size_t len = bytes.len < start.len ? bytes.len : start.len;

    return memcmp(bytes.base, start.base, len) == 0;
}

/* ---- version 1 ---- */

/* Up to the next space, which is taken too; the last field goes to the end. Absent when there is no
 * such field. */
static struct sp_span next_field(struct sp_span *rest, bool last)
{
    const char *space = memchr(rest->base, ' ', rest->len);
    struct sp_span field = *rest;

    if ((space == NULL) != last)
        return SP_SPAN_NONE;
    if (space != NULL)
        field.len = (size_t)(space - rest->base);
    rest->base += field.len + (space != NULL ? 1 : 0);
    rest->len -= field.len + (space != NULL ? 1 : 0);
    return field;
}

/* As inet_pton reads it and nothing else: no brackets, no scope, no leading zeroes. */
static bool read_ip(struct sp_span text, int family, struct sp_addr *addr)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    char copy[INET6_ADDRSTRLEN];

    if (text.len == 0 || text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.base, text.len);
    copy[text.len] = '\0';
    memset(addr, 0, sizeof(*addr));
    if (family == AF_INET)
        memcpy(addr->ip, mapped, sizeof(mapped));
    return strlen(copy) == text.len &&
           inet_pton(family, copy, family == AF_INET ? addr->ip + 12 : addr->ip) == 1;
}

static bool read_port(struct sp_span text, uint16_t *port)
{
    uint64_t value;

    if (text.len == 0 || text.len > 5 || (text.len > 1 && text.base[0] == '0') ||
        sp_span_to_u64(text, &value) != SP_OK || value > 65535)
        return false;
    *port = (uint16_t)value;
    return true;
}

static enum sp_err read_v1_line(struct sp_span line, struct sp_proxy_header *header)
{
    struct sp_span rest = {line.base + v1_start.len, line.len - v1_start.len};
    struct sp_span source, destination, source_port, destination_port;
    struct sp_span word = SP_SPAN_LIT("UNKNOWN");
    int family;

    /* What follows UNKNOWN is to be ignored, whatever it is (2.1). */
    if (agrees(rest, word) && rest.len >= word.len && (rest.len == word.len || rest.base[7] == ' '))
        return SP_OK;
    word = next_field(&rest, false);
    if (sp_span_eq(word, SP_SPAN_LIT("TCP4")))
        family = AF_INET;
    else if (sp_span_eq(word, SP_SPAN_LIT("TCP6")))
        family = AF_INET6;
    else
        return SP_ERR_INVALID;
    source = next_field(&rest, false);
    destination = next_field(&rest, false);
    source_port = next_field(&rest, false);
    destination_port = next_field(&rest, true);
    if (!read_ip(source, family, &header->source) ||
        !read_ip(destination, family, &header->destination) ||
        !read_port(source_port, &header->source.port) ||
        !read_port(destination_port, &header->destination.port))
        return SP_ERR_INVALID;
    header->addressed = true;
    return SP_OK;
}

static enum sp_err parse_v1(struct sp_span bytes, struct sp_proxy_header *header)
{
    size_t look = bytes.len < V1_MAX ? bytes.len : V1_MAX;
    const char *lf = memchr(bytes.base, '\n', look);

    if (lf == NULL)
        return look < V1_MAX ? SP_ERR_AGAIN : SP_ERR_TOO_LARGE;
    header->len = (size_t)(lf - bytes.base) + 1;
    if (header->len < v1_start.len + 2 || lf[-1] != '\r' ||
        memchr(bytes.base, '\r', header->len - 2) != NULL)
        return SP_ERR_INVALID;
    return read_v1_line(sp_span_of(bytes.base, header->len - 2), header);
}

/* ---- version 2 ---- */

/* Type, length, value, up to the very end (2.2). What they say is not looked at. */
static bool tlvs_are_whole(struct sp_span rest)
{
    while (rest.len > 0) {
        size_t len;

        if (rest.len < 3)
            return false;
        len = 3u + u16_at(rest.base + 1);
        if (len > rest.len)
            return false;
        rest.base += len;
        rest.len -= len;
    }
    return true;
}

static enum sp_err read_v2_addresses(struct sp_span rest, int family,
                                     struct sp_proxy_header *header)
{
    size_t ip_len = family == AF_INET ? 4 : 16;
    size_t skip = 16 - ip_len;
    size_t len = 2 * ip_len + 4;

    if (rest.len < len || !tlvs_are_whole(sp_span_of(rest.base + len, rest.len - len)))
        return SP_ERR_INVALID;
    memset(&header->source, 0, sizeof(header->source));
    if (family == AF_INET)
        memset(header->source.ip + 10, 0xff, 2);
    header->destination = header->source;
    memcpy(header->source.ip + skip, rest.base, ip_len);
    memcpy(header->destination.ip + skip, rest.base + ip_len, ip_len);
    header->source.port = u16_at(rest.base + 2 * ip_len);
    header->destination.port = u16_at(rest.base + 2 * ip_len + 2);
    header->addressed = true;
    return SP_OK;
}

static enum sp_err parse_v2(struct sp_span bytes, struct sp_proxy_header *header)
{
    struct sp_span rest;
    uint8_t version_command, family;

    if (bytes.len < V2_FIXED_LEN)
        return SP_ERR_AGAIN;
    version_command = (uint8_t)bytes.base[12];
    family = (uint8_t)bytes.base[13];
    header->len = V2_FIXED_LEN + (size_t)u16_at(bytes.base + 14);
    if (version_command != 0x20 && version_command != 0x21)
        return SP_ERR_INVALID;
    if (header->len > SP_PROXY_HEADER_MAX)
        return SP_ERR_TOO_LARGE;
    if (bytes.len < header->len)
        return SP_ERR_AGAIN;
    if (version_command == 0x20)
        return SP_OK; /* LOCAL: the balancer's own check; the rest is to be skipped */
    rest = sp_span_of(bytes.base + V2_FIXED_LEN, header->len - V2_FIXED_LEN);
    switch (family) {
    case 0x11: return read_v2_addresses(rest, AF_INET, header);
    case 0x21: return read_v2_addresses(rest, AF_INET6, header);
    case 0x00:                      /* unspecified: the sender does not know */
    case 0x31: return SP_OK;        /* a UNIX stream socket: no address that means anything here */
    default: return SP_ERR_INVALID; /* datagrams carry no HTTP */
    }
}

enum sp_err sp_proxy_header_parse(struct sp_span bytes, struct sp_proxy_header *header_out)
{
    memset(header_out, 0, sizeof(*header_out));
    if (bytes.len == 0)
        return SP_ERR_AGAIN;
    if (agrees(bytes, v1_start))
        return parse_v1(bytes, header_out);
    if (agrees(bytes, v2_start))
        return parse_v2(bytes, header_out);
    return SP_ERR_INVALID;
}
