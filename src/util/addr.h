/* Network addresses and networks. Pure values; any thread. IPv4 is kept as an IPv4-mapped IPv6
 * address, so that 127.0.0.1 and ::ffff:127.0.0.1 are the same address wherever they are compared
 * (rules, protect, guard). */
#ifndef SP_UTIL_ADDR_H
#define SP_UTIL_ADDR_H

#include "sallyport/base.h"

#include <stdbool.h>
#include <sys/socket.h>

#define SP_ADDR_TEXT_MAX 64 /* "[" + 45 + "%scope" + "]:65535" and a NUL */

struct sp_addr {
    uint8_t ip[16]; /* network order; IPv4 as ::ffff:a.b.c.d */
    uint32_t scope; /* IPv6 link-local scope id, else 0 */
    uint16_t port;  /* host order */
};

struct sp_cidr {
    uint8_t ip[16];
    uint8_t bits; /* 0..128, counted in the mapped form: 10.0.0.0/8 has 104 */
};

bool sp_addr_is_v4(const struct sp_addr *addr);
bool sp_addr_same_ip(const struct sp_addr *a, const struct sp_addr *b);
/* Address, scope and port: what two listeners cannot both have. */
bool sp_addr_same_socket(const struct sp_addr *a, const struct sp_addr *b);
/* All of 127.0.0.0/8, and ::1. */
bool sp_addr_is_loopback(const struct sp_addr *addr);
/* 0.0.0.0 or ::, which for a listener is every address of the machine. */
bool sp_addr_is_unspecified(const struct sp_addr *addr);
/* The IPv4 address that an IPv6 one leads to where the network has a translator or a tunnel:
 * IPv4-compatible (::/96), 6to4 (2002::/16) and NAT64 (64:ff9b::/96, 64:ff9b:1::/48). False: it
 * carries none, or is IPv4. */
bool sp_addr_embedded(const struct sp_addr *addr, struct sp_addr *v4_out);
enum sp_err sp_addr_from_sockaddr(struct sp_addr *addr, const struct sockaddr *sa) SP_MUST_CHECK;
/* Returns the length to give to bind(2) or connect(2). */
socklen_t sp_addr_to_sockaddr(const struct sp_addr *addr, struct sockaddr_storage *ss_out);
/* An address literal, with or without brackets around IPv6; no port, no name. SP_ERR_INVALID
 * otherwise. */
enum sp_err sp_addr_parse_ip(struct sp_addr *addr, struct sp_span text) SP_MUST_CHECK;
/* "10.0.0.1:3128" or "[::1]:3128". */
enum sp_err sp_addr_parse(struct sp_addr *addr, struct sp_span text) SP_MUST_CHECK;
/* The address without, and with, its port. `text` has SP_ADDR_TEXT_MAX bytes; returns it. */
const char *sp_addr_ip_text(const struct sp_addr *addr, char *text);
const char *sp_addr_text(const struct sp_addr *addr, char *text);
/* "10.0.0.0/8", "::1/128", or a bare address (all its bits). Bits set past the prefix are
 * SP_ERR_INVALID. */
enum sp_err sp_cidr_parse(struct sp_cidr *cidr, struct sp_span text) SP_MUST_CHECK;
bool sp_cidr_has(const struct sp_cidr *cidr, const struct sp_addr *addr);

#endif
