/* Reaching a server: name, connect, StartTLS or ldaps, certificate, service identity. All of it
 * may block, so it runs on a pool thread (or where blocking is allowed: `doctor`), bounded by
 * connect_timeout for the way to a protected connection and by timeout for each operation on it. */
#ifndef SP_LDAP_DIAL_H
#define SP_LDAP_DIAL_H

#include "backends/ldap/ldap_wire.h"

struct sp_auth_config;

/* Why a server could not be reached, or stopped answering. The order is how telling it is: when
 * several servers fail, the greatest is reported. */
enum sp_ldap_fault {
    SP_LDAP_FAULT_NONE,
    SP_LDAP_FAULT_STOPPED,  /* we are closing */
    SP_LDAP_FAULT_FULL,     /* no room of our own: memory, descriptors, the work pool */
    SP_LDAP_FAULT_LOST,     /* the connection broke */
    SP_LDAP_FAULT_CONNECT,  /* name or connect failed */
    SP_LDAP_FAULT_TIMEOUT,  /* no answer in time */
    SP_LDAP_FAULT_ANSWER,   /* it answers that it cannot: busy, unavailable ... */
    SP_LDAP_FAULT_GARBLED,  /* what it answers is not LDAP */
    SP_LDAP_FAULT_TLS,      /* no protected connection: handshake, certificate */
    SP_LDAP_FAULT_KDC,      /* no KDC answers, and without a ticket there is no service identity */
    SP_LDAP_FAULT_UNPROVEN, /* the service bind failed here, before the directory judged it */
    SP_LDAP_FAULT_SERVICE,  /* it refuses the service identity */
};

enum sp_ldap_dial_depth {
    SP_LDAP_DIAL_CONNECT, /* a connection and no more */
    SP_LDAP_DIAL_PROVE,   /* and one answer, of whatever kind, from the server */
    SP_LDAP_DIAL_SERVICE, /* and the service identity bound */
    SP_LDAP_DIAL_JUDGE,   /* the same for `doctor`, who asks each server whatever another said */
};

#define SP_LDAP_STEP_BIND "service_bind"
#define SP_LDAP_STEP_WAIT "service_wait" /* for another's bind, and no bind came of it */

struct sp_ldap_dial_step {
    const char *what; /* "resolve", "connect", "tls", and these */
    bool well;
    char detail[320];
    char outcome[320];
    uint64_t micros;
};

#define SP_LDAP_DIAL_STEPS 5

struct sp_ldap_dial_report {
    struct sp_ldap_wire *wire; /* the caller's to free; NULL: it failed */
    enum sp_ldap_fault fault;
    char words[320];         /* the fault, for the log; no secrets */
    bool service_news;       /* SERVICE: the identity's standing has changed */
    uint64_t renew_after_ms; /* SERVICE by Kerberos: when another should be fetched; 0: never */
    uint64_t ends_after_ms;  /* SERVICE by Kerberos: the ticket's life; 0: for ever */
    size_t steps_len;
    struct sp_ldap_dial_step steps[SP_LDAP_DIAL_STEPS];
};

/* `stop` makes it end early (NULL: never). */
void sp_ldap_dial(const struct sp_auth_config *config, const struct sp_ldap_uri *uri,
                  enum sp_ldap_dial_depth depth, const atomic_bool *stop,
                  struct sp_ldap_dial_report *report);

/* The same, and all of it done by `latest_ns` (uv_hrtime). */
void sp_ldap_dial_until(const struct sp_auth_config *config, const struct sp_ldap_uri *uri,
                        enum sp_ldap_dial_depth depth, uint64_t latest_ns, const atomic_bool *stop,
                        struct sp_ldap_dial_report *report);

/* The fault in two or three words, static. */
const char *sp_ldap_fault_text(enum sp_ldap_fault fault);

#endif
