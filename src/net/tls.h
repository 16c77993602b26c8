/* The TLS side of a listener (OpenSSL; 1.2 and 1.3). A context is made once per listener and
 * configuration snapshot, is immutable once its certificates are added, and shared by all workers.
 */
#ifndef SP_NET_TLS_H
#define SP_NET_TLS_H

#include "net/stream.h"

struct sp_tls_server;

/* What is wrong with a pair of files. */
struct sp_tls_fault {
    const char *option; /* the file of which key: "tls_certificate" or "tls_key"; NULL: neither */
    char why[256];
};

/* Without certificates yet. Main thread. */
struct sp_tls_server *sp_tls_server_new(struct sp_tls_fault *fault_out) SP_MUST_CHECK;
/* One more certificate, read from both files; the first is for clients that name no host, or one
 * that no certificate has. SP_ERR_INVALID: `fault_out` says why, and it is not added. May block:
 * main thread. */
enum sp_err sp_tls_server_add(struct sp_tls_server *server, const char *certificate,
                              const char *key, struct sp_tls_fault *fault_out) SP_MUST_CHECK;
struct sp_tls_server *sp_tls_server_ref(struct sp_tls_server *server);
void sp_tls_server_unref(struct sp_tls_server **server);

/* ---- its certificates, in the order added ---- */

size_t sp_tls_server_certificates(const struct sp_tls_server *server);
/* "tls-server-end-point:" + hash of the certificate (RFC 5929 4.1), as GSSAPI's application data.
 * Lives as long as the context. Absent where the signature has no hash of its own. */
struct sp_span sp_tls_server_end_point(const struct sp_tls_server *server, size_t index);

#define SP_TLS_ENDS_SOON_DAYS 14 /* an administrator wants to know */

/* What a certificate says of itself. */
struct sp_tls_certificate {
    int64_t days_left; /* until it expires; negative: it has */
    bool begun;        /* its time has come */
    char names[512];   /* the hosts and addresses that it is for, as many as fit */
    char key[16];      /* the kind of its key: "RSA", "EC" */
    char until[sizeof("2026-11-21")];
    int64_t until_s; /* the same in seconds since 1970 */
};
void sp_tls_server_certificate(const struct sp_tls_server *server, size_t index,
                               struct sp_tls_certificate *certificate_out);

/* ---- on a stream ---- */

/* Turn an accepted stream into a TLS stream. The handshake goes on inside; the owner sees nothing
 * but the cipher-free bytes after it. `done` is called once, on the loop, when it is finished
 * (SP_OK) or has failed (the stream is then to be closed by the owner). The owner sets the
 * deadline. SP_ERR_NOMEM: not begun. */
typedef void (*sp_tls_done_cb)(void *owner, enum sp_err err, const char *why);
enum sp_err sp_stream_start_tls(struct sp_stream *stream, struct sp_tls_server *server,
                                sp_tls_done_cb done, void *owner) SP_MUST_CHECK;
/* The context that it began with, whatever a reload has made of the listener since; borrowed from
 * the stream. NULL: in clear. */
struct sp_tls_server *sp_stream_tls_server(const struct sp_stream *stream);
/* The end point of the certificate that the client saw (in a resumed session: that it saw when the
 * session began). After the handshake; lives as long as the context. */
struct sp_span sp_stream_tls_end_point(const struct sp_stream *stream);

#endif
