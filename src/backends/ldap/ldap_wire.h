/* One connection to a directory: a socket, TLS on it (OpenSSL), and libldap's handle on top.
 *
 * libldap is given a connected, non-blocking socket and reads and writes through this room's own
 * layer, for three reasons. It would otherwise connect, resolve and shake hands on its own, which
 * blocks. Its TLS (GnuTLS on Debian) takes its settings from ldap.conf and from the environment,
 * and checks a certificate for "localhost" against the machine's own name. And a layer that reads
 * ahead makes an answer cost one read(2), with no poll(2) of libldap's around it.
 *
 * A wire belongs to one thread at a time: to a pool thread while it is dialled, then to its loop.
 */
#ifndef SP_LDAP_WIRE_H
#define SP_LDAP_WIRE_H

#include "sallyport/base.h"

#include <ldap.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdbool.h>

struct sp_ldap_wire;
struct sp_ldap_uri;

/* Takes `fd` (connected, non-blocking), also on failure. `timeout_ms` bounds what libldap does
 * synchronously (a SASL bind, on a pool thread). NULL: out of memory. */
struct sp_ldap_wire *sp_ldap_wire_new(int fd, const struct sp_ldap_uri *uri,
                                      uint64_t timeout_ms) SP_MUST_CHECK;
/* Says goodbye without waiting, closes the socket, frees. Sets *wire to NULL. */
void sp_ldap_wire_free(struct sp_ldap_wire **wire);

LDAP *sp_ldap_wire_handle(struct sp_ldap_wire *wire);
int sp_ldap_wire_fd(const struct sp_ldap_wire *wire);
/* NULL on a clear wire. */
SSL *sp_ldap_wire_tls(struct sp_ldap_wire *wire);

/* Lay TLS on the wire; the handshake is the caller's, by SSL_connect on the result. NULL: no
 * memory. Nothing may have been read ahead: a server that speaks before the handshake is refused
 * with NULL too, since those bytes would be taken for protected ones. */
SSL *sp_ldap_wire_start_tls(struct sp_ldap_wire *wire, SSL_CTX *context) SP_MUST_CHECK;
/* libldap has laid a SASL security layer on top: what is ready can no longer be told from here. */
void sp_ldap_wire_set_layered(struct sp_ldap_wire *wire);

/* From now on what is written waits for flush, so that many requests go out in one piece; only what
 * is too much to hold goes at once. */
void sp_ldap_wire_hold(struct sp_ldap_wire *wire);
/* Bytes wait for flush. */
bool sp_ldap_wire_holds(const struct sp_ldap_wire *wire);
/* Bytes that the socket did not take yet: watch for writable and call flush. */
bool sp_ldap_wire_wants_write(const struct sp_ldap_wire *wire);
/* SP_ERR_CLOSED: the connection is gone. */
enum sp_err sp_ldap_wire_flush(struct sp_ldap_wire *wire) SP_MUST_CHECK;

/* A simple bind goes out, and asks for the password policy's view with its answer
 * (draft-behera-ldap-password-policy); not critical: a server that does not know it leaves it out.
 * An LDAP result code. */
int sp_ldap_wire_bind(struct sp_ldap_wire *wire, const char *dn, struct sp_span password,
                      int *msgid_out) SP_MUST_CHECK;

/* So many answers are waited for, and may come mixed: as many times as much is taken before one of
 * them is whole. What is no longer waited for may still come. */
void sp_ldap_wire_expect(struct sp_ldap_wire *wire, unsigned answers);
/* The next whole answer, without waiting; free it with ldap_msgfree. SP_ERR_AGAIN: none yet.
 * SP_ERR_CLOSED: the server is gone. SP_ERR_INVALID: it does not speak LDAP. SP_ERR_TOO_LARGE: an
 * answer goes on and on; the wire is of no more use. */
enum sp_err sp_ldap_wire_next(struct sp_ldap_wire *wire, LDAPMessage **message_out) SP_MUST_CHECK;
/* The answer to msgid, waited for until uv_hrtime reaches `deadline_ns` or *stop is set (NULL:
 * never set). For pool threads. SP_ERR_TIMEOUT, SP_ERR_CLOSED, SP_ERR_TOO_LARGE. */
enum sp_err sp_ldap_wire_await(struct sp_ldap_wire *wire, int msgid, uint64_t deadline_ns,
                               const atomic_bool *stop, LDAPMessage **message_out) SP_MUST_CHECK;
/* Waits for `events` (poll(2)) on a descriptor, in the same way. */
enum sp_err sp_ldap_wait_fd(int fd, short events, uint64_t deadline_ns,
                            const atomic_bool *stop) SP_MUST_CHECK;

#endif
