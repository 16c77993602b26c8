/* The PROXY protocol, versions 1 and 2, as a load balancer sends it before the first byte of a
 * connection. A pure function over bytes; strict: what is not well-formed is refused. */
#ifndef SP_NET_PROXY_PROTOCOL_H
#define SP_NET_PROXY_PROTOCOL_H

#include "util/addr.h"

/* The longest header taken: version 1 has 107 bytes at most; 2 carries addresses and, from some
 * balancers, a kilobyte or two of TLVs. */
#define SP_PROXY_HEADER_MAX 4096

struct sp_proxy_header {
    size_t len;     /* bytes of the header */
    bool addressed; /* false: LOCAL, UNKNOWN, UNIX: the socket's own addresses count */
    struct sp_addr source;
    struct sp_addr destination;
};

/* SP_OK: whole. SP_ERR_AGAIN: a beginning; give more of it. SP_ERR_INVALID; SP_ERR_TOO_LARGE. */
enum sp_err sp_proxy_header_parse(struct sp_span bytes,
                                  struct sp_proxy_header *header_out) SP_MUST_CHECK;

#endif
