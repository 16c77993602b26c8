/* What the files of this plugin share. Nobody outside includes it but its tests. */
#ifndef SP_GSSAPI_PRIV_H
#define SP_GSSAPI_PRIV_H

#include "backends/gssapi/keys.h"
#include "backends/gssapi/replay.h"
#include "backends/gssapi/xray.h"
#include "sallyport/auth_backend.h"

#include <gssapi/gssapi_ext.h>
#include <pthread.h>
#include <stdatomic.h>

#define SP_GSS_TOKEN_MAX  (64u * 1024) /* a ticket with the largest PAC that Windows sends */
#define SP_GSS_NAME_MAX   512u
#define SP_GSS_CLIENT_MAX 64u /* an address in text */

enum sp_gss_username { SP_GSS_USERNAME_LOCAL, SP_GSS_USERNAME_PRINCIPAL };
enum sp_gss_persist { SP_GSS_PERSIST_CONNECTION, SP_GSS_PERSIST_REQUEST };
enum sp_gss_bindings { SP_GSS_BINDINGS_OFF, SP_GSS_BINDINGS_ALLOW, SP_GSS_BINDINGS_REQUIRE };

struct sp_gssapi_options {
    char *keytab;
    char *service;
    struct sp_strings mechanisms;
    struct sp_strings realms;
    int username; /* enum sp_gss_username */
    char *groups_from;
    int persist;          /* enum sp_gss_persist */
    int channel_bindings; /* enum sp_gss_bindings */
};

extern const struct sp_option sp_gssapi_option_table[];
/* Takes groups_from apart: "pac", "pac+NAME", or NAME, into the config's `pac` and `groups_from`.
 * Whether there is such a backend the core knows. */
enum sp_err sp_gss_options_groups(struct sp_auth_config *config,
                                  struct sp_auth_fault *fault) SP_MUST_CHECK;

/* Handshakes on TLS listeners whose client sent no channel bindings, since the last line about
 * them.
 */
struct sp_gss_unbound {
    unsigned long long handshakes;
    uint64_t quiet_until_s;         /* on the monotonic clock */
    char client[SP_GSS_CLIENT_MAX]; /* the last of them */
};

/* One backend block of one configuration snapshot. Shared by all workers: everything but `keys` is
 * written in configure() alone, but for what is under `lock` or atomic. */
struct sp_auth_config {
    const struct sp_gssapi_options *options;
    const struct sp_auth_host *host;
    bool krb5;
    bool ntlmssp;
    bool pac;                     /* groups_from names the ticket's PAC */
    const char *groups_from;      /* the ldap backend in it; "": none */
    char *default_realm;          /* krb5.conf's; NULL: none */
    _Atomic uint64_t clockskew_s; /* as krb5.conf had it when it was last looked at */
    uint64_t skew_due_s;          /* under `lock`: when that is, on the monotonic clock */
    struct sp_gss_replay *replay; /* the process's, shared */
    /* Held open so that the library keeps krb5.conf parsed; never used for work, since a context
     * serves one thread. */
    krb5_context anchor;
    pthread_mutex_t lock;
    struct sp_gss_keys *keys;      /* under `lock`: the generation in use */
    struct sp_gss_unbound unbound; /* under `lock` */
};

/* The generation in use; the reference is the caller's. Any thread. */
struct sp_gss_keys *sp_gss_config_keys(struct sp_auth_config *config);

enum sp_err sp_gss_config_new(const void *options, const struct sp_auth_host *host,
                              struct sp_auth_config **config_out, struct sp_auth_fault *fault);
void sp_gss_config_free(struct sp_auth_config **config);
/* The library reads krb5.conf anew when it has changed, and from then on takes tickets whose clock
 * is off by more: the replay table must remember them for as long. Looks every few seconds, at each
 * other time it costs a lock. Pool threads. */
void sp_gss_config_follow_clockskew(struct sp_auth_config *config);
void sp_gss_config_traits(const struct sp_auth_config *config, struct sp_auth_traits *traits);
enum sp_err sp_gss_config_refresh(struct sp_auth_config *config,
                                  struct sp_auth_fault *fault) SP_MUST_CHECK;
unsigned sp_gss_config_diagnose(struct sp_auth_config *config, struct sp_auth_findings *findings);

/* ---- one leg of a handshake (accept.c) ---- */

/* Owned by an operation; used by its job on a pool thread, then by the loop, never by both. */
struct sp_gss_leg {
    /* what goes in */
    const struct sp_auth_config *config;
    const struct sp_gss_keys *keys;
    struct sp_span token;    /* borrowed */
    bool too_long;           /* the token was over SP_GSS_TOKEN_MAX and is not here */
    struct sp_span bindings; /* absent: a clear listener */

    /* what lasts over the legs */
    gss_ctx_id_t context;
    bool begun;   /* the first token has been seen, and `ntlm` chosen by it */
    bool ntlm;    /* which mechanism's credential the handshake runs on */
    bool vouched; /* the replay table has entered this handshake's authenticator */

    /* what comes out */
    enum sp_verdict verdict;
    const char *reason; /* static */
    const char *mech;   /* static; NULL: not known */
    bool denied_principal;
    bool unbound;           /* channel bindings could have come and did not */
    struct sp_span *groups; /* the ticket's, in one block; NULL: none */
    size_t groups_len;
    gss_buffer_desc reply;
    char user[SP_GSS_NAME_MAX];
    char principal[SP_GSS_NAME_MAX];
    char sent[512];    /* the token in words */
    char detail[1536]; /* why, for the log */
    uint64_t micros;
};

/* Which mechanism the handshake runs on; before each run. Pure; outside the job, whose place
 * depends on it. */
void sp_gss_leg_choose(struct sp_gss_leg *leg);
void sp_gss_leg_run(struct sp_gss_leg *leg);
/* Releases the context, the groups and the reply; the leg itself is its owner's. */
void sp_gss_leg_fini(struct sp_gss_leg *leg);

/* ---- clients without channel bindings (unbound.c) ---- */

/* One more, and a line in the log at most once a minute. Any thread. */
void sp_gss_unbound_note(struct sp_auth_config *config, const char *client, uint64_t now_s);
/* What was counted and not yet told is told now: a worker's backend closes. Any thread. */
void sp_gss_unbound_end(struct sp_auth_config *config);

/* ---- who the initiator is (name.c) ---- */

/* A name as the mechanism displays it, taken apart. Spans point into it. */
struct sp_gss_name {
    struct sp_span local; /* alice, alice/admin */
    struct sp_span realm; /* CORP.TEST; for NTLM the NetBIOS domain; empty: none */
};

struct sp_gss_name sp_gss_name_of_krb5(struct sp_span displayed);
struct sp_gss_name sp_gss_name_of_ntlm(struct sp_span displayed);
/* May principals of this realm come in? Kerberos realms are compared as they are, NetBIOS domains
 * without case. */
bool sp_gss_realm_listed(const struct sp_strings *realms, struct sp_span realm, bool ntlm);
/* The name for rules and logs. `mapped` is what auth_to_local made of it, or absent. */
enum sp_err sp_gss_name_user(const struct sp_auth_config *config, const struct sp_gss_name *name,
                             struct sp_span mapped, bool ntlm, char *out, size_t cap) SP_MUST_CHECK;

/* ---- what groups the ticket brings (groups.c) ---- */

/* Fills leg->groups from the PAC of a ticket that the library has accepted. Groups that are there
 * and cannot be read turn the verdict to UNAVAILABLE. */
void sp_gss_groups_read(struct sp_gss_leg *leg, gss_name_t initiator);

/* ---- why not, in words (explain.c) ---- */

/* A gss_accept_sec_context that failed: sets verdict, reason and detail. */
void sp_gss_explain(struct sp_gss_leg *leg, const struct sp_gss_xray *xray, OM_uint32 major,
                    OM_uint32 minor);
/* How many seconds the client's clock is ahead of ours (clock.c), by the authenticator that was
 * sent with a ticket for one of these keys. False: it cannot be told. */
bool sp_gss_clock_ahead(const struct sp_gss_keys *keys, const struct sp_gss_ticket *ticket,
                        int64_t *seconds_out);
/* "7 min behind the proxy's". Returns `out`. */
const char *sp_gss_clock_words(int64_t ahead_s, char *out, size_t cap);
/* The library's words for a status, the minor's included. Returns `out`. */
const char *sp_gss_status_words(OM_uint32 major, OM_uint32 minor, char *out, size_t cap);

#endif
