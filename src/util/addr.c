/* Network addresses and networks: parsing, printing, containing. Pure values; any thread. IPv4 is
 * kept as ::ffff:a.b.c.d (RFC 4291 2.5.5.2). NAT64 and 6to4 addresses are left as the IPv6
 * addresses they are, for whether they lead to an IPv4 host is the network's business; who has to
 * keep people from one asks for what is embedded too. */
#include "util/addr.h"

#include "util/span.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool sp_addr_is_v4(const struct sp_addr *addr)
{
    return memcmp(addr->ip, v4_prefix, sizeof(v4_prefix)) == 0;
}

/* A scope that is not known (0) is no difference: fe80::1 in a rule is fe80::1 on every link. */
bool sp_addr_same_ip(const struct sp_addr *a, const struct sp_addr *b)
{
    return memcmp(a->ip, b->ip, sizeof(a->ip)) == 0 &&
           (a->scope == b->scope || a->scope == 0 || b->scope == 0);
}

static void set_v4(struct sp_addr *addr, const void *four)
{
    memcpy(addr->ip, v4_prefix, sizeof(v4_prefix));
    memcpy(addr->ip + sizeof(v4_prefix), four, 4);
}

bool sp_addr_same_socket(const struct sp_addr *a, const struct sp_addr *b)
{
    return a->port == b->port && a->scope == b->scope && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

bool sp_addr_is_loopback(const struct sp_addr *addr)
{
    static const uint8_t six[16] = {[15] = 1};

    return sp_addr_is_v4(addr) ? addr->ip[12] == 127 : memcmp(addr->ip, six, sizeof(six)) == 0;
}

bool sp_addr_is_unspecified(const struct sp_addr *addr)
{
    static const uint8_t zeros[16];
    size_t prefix = sp_addr_is_v4(addr) ? sizeof(v4_prefix) : 0;

    return memcmp(addr->ip + prefix, zeros, sizeof(zeros) - prefix) == 0;
}

/* Within 64:ff9b:1::/48 the network chooses the prefix (RFC 8215); nearly all choose 96 bits, after
 * which the address stands at the end (RFC 6052 2.2). 2002:a.b.c.d::/48 is RFC 3056. */
bool sp_addr_embedded(const struct sp_addr *addr, struct sp_addr *v4_out)
{
    static const uint8_t compatible[12];
    static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b};
    static const uint8_t local_nat64[6] = {0, 0x64, 0xff, 0x9b, 0, 1};
    bool is_compatible = memcmp(addr->ip, compatible, sizeof(compatible)) == 0 &&
                         (addr->ip[12] | addr->ip[13]) != 0; /* :: and ::1 are themselves */
    const uint8_t *four = NULL;

    if (is_compatible || memcmp(addr->ip, nat64, sizeof(nat64)) == 0 ||
        memcmp(addr->ip, local_nat64, sizeof(local_nat64)) == 0)
        four = addr->ip + 12;
    else if (addr->ip[0] == 0x20 && addr->ip[1] == 0x02)
        four = addr->ip + 2;
    if (four == NULL)
        return false;
    *v4_out = (struct sp_addr){.port = addr->port};
    set_v4(v4_out, four);
    return true;
}

enum sp_err sp_addr_from_sockaddr(struct sp_addr *addr, const struct sockaddr *sa)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;

    *addr = (struct sp_addr){.port = 0};
    switch (sa->sa_family) {
    case AF_INET:
        memcpy(&in, sa, sizeof(in));
        set_v4(addr, &in.sin_addr);
        addr->port = ntohs(in.sin_port);
        return SP_OK;
    case AF_INET6:
        memcpy(&in6, sa, sizeof(in6));
        memcpy(addr->ip, &in6.sin6_addr, sizeof(addr->ip));
        addr->scope = in6.sin6_scope_id;
        addr->port = ntohs(in6.sin6_port);
        return SP_OK;
    default: return SP_ERR_INVALID; /* a family of the system's, not one of our states */
    }
}

socklen_t sp_addr_to_sockaddr(const struct sp_addr *addr, struct sockaddr_storage *ss_out)
{
    memset(ss_out, 0, sizeof(*ss_out));
    if (sp_addr_is_v4(addr)) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(addr->port)};

        memcpy(&in.sin_addr, addr->ip + sizeof(v4_prefix), 4);
        memcpy(ss_out, &in, sizeof(in));
        return (socklen_t)sizeof(in);
    } else {
        struct sockaddr_in6 in6 = {
            .sin6_family = AF_INET6, .sin6_port = htons(addr->port), .sin6_scope_id = addr->scope};

        memcpy(&in6.sin6_addr, addr->ip, sizeof(addr->ip));
        memcpy(ss_out, &in6, sizeof(in6));
        return (socklen_t)sizeof(in6);
    }
}

/* What stands behind "%": an interface's number or name (RFC 4007 11). Only link-local addresses
 * have one. */
static enum sp_err parse_scope(struct sp_addr *addr, struct sp_span text)
{
    char name[IF_NAMESIZE];
    uint64_t number;

    if (addr->ip[0] != 0xfe || (addr->ip[1] & 0xc0) != 0x80)
        return SP_ERR_INVALID;
    if (sp_span_to_u64(text, &number) == SP_OK && number > 0 && number <= UINT32_MAX) {
        addr->scope = (uint32_t)number;
        return SP_OK;
    }
    if (text.len == 0 || text.len >= sizeof(name))
        return SP_ERR_INVALID;
    memcpy(name, text.base, text.len);
    name[text.len] = '\0';
    addr->scope = if_nametoindex(name);
    return addr->scope != 0 ? SP_OK : SP_ERR_INVALID;
}

static enum sp_err parse_v6(struct sp_addr *addr, struct sp_span text)
{
    const char *percent = memchr(text.base, '%', text.len);
    size_t len = percent != NULL ? (size_t)(percent - text.base) : text.len;
    char copy[INET6_ADDRSTRLEN];

    if (len >= sizeof(copy))
        return SP_ERR_INVALID;
    memcpy(copy, text.base, len);
    copy[len] = '\0';
    if (strlen(copy) != len || inet_pton(AF_INET6, copy, addr->ip) != 1)
        return SP_ERR_INVALID;
    if (percent != NULL)
        return parse_scope(addr, sp_span_of(percent + 1, text.len - len - 1));
    return SP_OK;
}

/* Four decimal numbers and nothing else: inet_pton takes no octal, hex or short forms, which other
 * parsers read as other addresses. */
static enum sp_err parse_v4(struct sp_addr *addr, struct sp_span text)
{
    char copy[INET_ADDRSTRLEN];
    struct in_addr in;

    if (text.len >= sizeof(copy))
        return SP_ERR_INVALID;
    memcpy(copy, text.base, text.len);
    copy[text.len] = '\0';
    if (strlen(copy) != text.len || inet_pton(AF_INET, copy, &in) != 1)
        return SP_ERR_INVALID;
    set_v4(addr, &in);
    return SP_OK;
}

enum sp_err sp_addr_parse_ip(struct sp_addr *addr, struct sp_span text)
{
    *addr = (struct sp_addr){.port = 0};
    if (text.len == 0)
        return SP_ERR_INVALID;
    if (text.base[0] == '[') {
        if (text.len < 4 || text.base[text.len - 1] != ']')
            return SP_ERR_INVALID;
        return parse_v6(addr, sp_span_of(text.base + 1, text.len - 2));
    }
    if (memchr(text.base, ':', text.len) != NULL)
        return parse_v6(addr, text);
    return parse_v4(addr, text);
}

enum sp_err sp_addr_parse(struct sp_addr *addr, struct sp_span text)
{
    const char *colon = text.len > 0 ? memrchr(text.base, ':', text.len) : NULL;
    struct sp_span host;
    uint64_t port;
    enum sp_err err;

    if (colon == NULL)
        return SP_ERR_INVALID;
    host = sp_span_of(text.base, (size_t)(colon - text.base));
    if (host.len > 0 && host.base[0] != '[' && memchr(host.base, ':', host.len) != NULL)
        return SP_ERR_INVALID; /* ::1:3128 could mean two things */
    err = sp_span_to_u64(sp_span_of(colon + 1, text.len - host.len - 1), &port);
    if (err != SP_OK || port > UINT16_MAX)
        return SP_ERR_INVALID;
    err = sp_addr_parse_ip(addr, host);
    addr->port = (uint16_t)port;
    return err;
}

static char *put_octet(char *at, unsigned octet)
{
    if (octet >= 100)
        *at++ = (char)('0' + octet / 100);
    if (octet >= 10)
        *at++ = (char)('0' + octet / 10 % 10);
    *at++ = (char)('0' + octet % 10);
    return at;
}

/* By hand: inet_ntop goes through printf, and two addresses are written for each access line. */
static void write_v4(const uint8_t *four, char *at)
{
    for (size_t i = 0; i < 4; i++) {
        at = put_octet(at, four[i]);
        *at++ = i < 3 ? '.' : '\0';
    }
}

const char *sp_addr_ip_text(const struct sp_addr *addr, char *text)
{
    size_t len;

    if (sp_addr_is_v4(addr)) {
        write_v4(addr->ip + sizeof(v4_prefix), text);
        return text;
    }
    (void)inet_ntop(AF_INET6, addr->ip, text, SP_ADDR_TEXT_MAX);
    if (addr->scope != 0) {
        len = strlen(text);
        (void)snprintf(text + len, SP_ADDR_TEXT_MAX - len, "%%%u", addr->scope);
    }
    return text;
}

const char *sp_addr_text(const struct sp_addr *addr, char *text)
{
    char ip[SP_ADDR_TEXT_MAX - 9]; /* room for "[", "]", ":65535" and the NUL */

    (void)snprintf(ip, sizeof(ip), "%s", sp_addr_ip_text(addr, text));
    if (sp_addr_is_v4(addr))
        (void)snprintf(text, SP_ADDR_TEXT_MAX, "%s:%u", ip, (unsigned)addr->port);
    else
        (void)snprintf(text, SP_ADDR_TEXT_MAX, "[%s]:%u", ip, (unsigned)addr->port);
    return text;
}

/* Are all bits of ip past the first `bits` zero? */
static bool host_bits_clear(const uint8_t *ip, unsigned bits)
{
    for (unsigned i = bits; i < 128; i++) {
        if ((ip[i / 8] & (0x80u >> (i % 8))) != 0)
            return false;
    }
    return true;
}

enum sp_err sp_cidr_parse(struct sp_cidr *cidr, struct sp_span text)
{
    const char *slash = text.len > 0 ? memchr(text.base, '/', text.len) : NULL;
    size_t ip_len = slash != NULL ? (size_t)(slash - text.base) : text.len;
    struct sp_addr addr;
    uint64_t bits;
    unsigned width;

    if (sp_addr_parse_ip(&addr, sp_span_of(text.base, ip_len)) != SP_OK || addr.scope != 0)
        return SP_ERR_INVALID;
    /* the width follows the notation: ::ffff:10.0.0.0/104 is counted in 128 */
    width = memchr(text.base, ':', ip_len) != NULL ? 128 : 32;
    bits = width;
    if (slash != NULL &&
        sp_span_to_u64(sp_span_of(slash + 1, text.len - ip_len - 1), &bits) != SP_OK)
        return SP_ERR_INVALID;
    if (bits > width)
        return SP_ERR_INVALID;
    memcpy(cidr->ip, addr.ip, sizeof(cidr->ip));
    cidr->bits = (uint8_t)(bits + (128 - width));
    return host_bits_clear(cidr->ip, cidr->bits) ? SP_OK : SP_ERR_INVALID;
}

/* A network of fewer than 96 bits names IPv6 addresses alone: "::/0" is all of IPv6 to whoever
 * writes it, and must not let IPv4 in through the mapped form. */
bool sp_cidr_has(const struct sp_cidr *cidr, const struct sp_addr *addr)
{
    unsigned whole = cidr->bits / 8;
    unsigned rest = cidr->bits % 8;

    if (cidr->bits < 96 && sp_addr_is_v4(addr))
        return false;
    if (memcmp(cidr->ip, addr->ip, whole) != 0)
        return false;
    return rest == 0 || ((cidr->ip[whole] ^ addr->ip[whole]) >> (8 - rest)) == 0;
}
