/* A client of a running proxy, for `sallyport login --negotiate`: one connection, on which requests
 * follow each other, and the initiator's side of a Negotiate handshake with the caller's own
 * credentials. Blocks, each wait bounded; for commands, never for a worker. One thread. */
#ifndef SP_CLIENT_CLIENT_H
#define SP_CLIENT_CLIENT_H

#include "util/addr.h"
#include "util/secret.h"

#include <stdbool.h>

#define SP_CLIENT_WHY_MAX 400

/* ---- the connection ---- */

struct sp_client;

struct sp_client_answer {
    int status;
    char phrase[80];
    char offered[160]; /* the schemes of its challenges: "Negotiate, Basic" */
    struct sp_secret
        token; /* of "Proxy-Authenticate: Negotiate <token>", decoded; base NULL: none */
    char proxy_status[600]; /* the field's value; "": none, so the origin answered, or a tunnel */
    bool keep_alive;
};
void sp_client_answer_fini(struct sp_client_answer *answer);

/* Connects. With `certificates` (PEM files; none: in clear) by TLS, to a server that shows one of
 * them: nothing is sent to any other. `host` is the name that is asked for in the handshake. NULL:
 * `why` (SP_CLIENT_WHY_MAX) has words. */
struct sp_client *sp_client_open(const struct sp_addr *addr, const char *host,
                                 const struct sp_strings *certificates, char *why) SP_MUST_CHECK;
void sp_client_close(struct sp_client **client);
/* "TLSv1.3", or "in clear". */
const char *sp_client_protection(const struct sp_client *client);
/* Which of the certificates the server showed. */
size_t sp_client_certificate(const struct sp_client *client);

struct sp_client_request {
    bool connect;          /* CONNECT, else GET */
    struct sp_span target; /* as it stands in the request line */
    struct sp_span host;   /* as in Host */
    struct sp_span token;  /* the Negotiate credential; base NULL: none */
};
/* Sends a request without a body and reads the answer's head, and the whole body of a 407, behind
 * which another request may follow. */
enum sp_err sp_client_ask(struct sp_client *client, const struct sp_client_request *request,
                          struct sp_client_answer *answer_out, char *why) SP_MUST_CHECK;

/* ---- the handshake ---- */

struct sp_initiator;

/* `host`: the proxy's name, for HTTP@host. `bindings`: RFC 5929's, borrowed for its life; absent:
 * none. NULL: `why`. */
struct sp_initiator *sp_initiator_new(const char *host, struct sp_span bindings,
                                      char *why) SP_MUST_CHECK;
void sp_initiator_free(struct sp_initiator **initiator);
/* Takes the proxy's token (absent at first); *token_out is the next one to send, borrowed until the
 * next call; empty: none. SP_ERR_DENIED: the library says no, `why` says why. */
enum sp_err sp_initiator_step(struct sp_initiator *initiator, struct sp_span from_proxy,
                              struct sp_span *token_out, char *why) SP_MUST_CHECK;
bool sp_initiator_complete(const struct sp_initiator *initiator);
/* The mechanism that came of it, and whether the proxy has proven itself ("krb5, mutual"). */
const char *sp_initiator_words(struct sp_initiator *initiator, char *out, size_t cap);

#endif
