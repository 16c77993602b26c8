/* The TLS side of a listener (OpenSSL; 1.2 and 1.3). A context is made once per listener and
 * configuration snapshot, is immutable and shared by all workers. */
#ifndef SP_NET_TLS_H
#define SP_NET_TLS_H

#include "net/stream.h"

struct sp_tls_server;

/* Reads both files. On failure `why_out` (256 bytes) has words: which file, what is wrong. May
 * block: main thread. */
struct sp_tls_server *sp_tls_server_new(const char *certificate, const char *key,
                                        char *why_out) SP_MUST_CHECK;
struct sp_tls_server *sp_tls_server_ref(struct sp_tls_server *server);
void sp_tls_server_unref(struct sp_tls_server **server);
/* "tls-server-end-point:" + hash of the certificate (RFC 5929 4.1), as GSSAPI's application data.
 * Lives as long as the context. */
struct sp_span sp_tls_server_end_point(const struct sp_tls_server *server);

/* What the certificate says of itself. */
struct sp_tls_certificate {
    int64_t days_left; /* until it expires; negative: it has */
    bool begun;        /* its time has come */
    char names[512];   /* the hosts and addresses that it is for, as many as fit */
    char until[sizeof("2026-11-21")];
};
void sp_tls_server_certificate(const struct sp_tls_server *server,
                               struct sp_tls_certificate *certificate_out);

/* Turn an accepted stream into a TLS stream. The handshake goes on inside; the owner sees nothing
 * but the cipher-free bytes after it. `done` is called once, on the loop, when it is finished
 * (SP_OK) or has failed (the stream is then to be closed by the owner). The owner sets the
 * deadline. SP_ERR_NOMEM: not begun. */
typedef void (*sp_tls_done_cb)(void *owner, enum sp_err err, const char *why);
enum sp_err sp_stream_start_tls(struct sp_stream *stream, struct sp_tls_server *server,
                                sp_tls_done_cb done, void *owner) SP_MUST_CHECK;
/* Whose certificate the client saw, whatever a reload has made of the listener since; borrowed from
 * the stream. NULL: in clear. */
struct sp_tls_server *sp_stream_tls_server(const struct sp_stream *stream);

#endif
