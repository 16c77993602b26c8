/* The ticket X-ray: what can be read of a GSSAPI token without a key.
 *
 * It serves two ends. Log lines in words: which service, key version and cipher a client asked for.
 * And the replay table: where the authenticator's ciphertext stands. It never decides who somebody
 * is; that is the library's work alone.
 *
 * Pure: no allocation, no library, any thread. Every byte is bounds-checked, and DER is read
 * strictly (X.690 10.1: definite, shortest lengths), because a token that we read in one way and
 * the library in another could slip past the replay table. */
#ifndef SP_GSSAPI_XRAY_H
#define SP_GSSAPI_XRAY_H

#include "sallyport/base.h"

#include <stdbool.h>

/* What the innermost bytes are. */
enum sp_gss_inner {
    SP_GSS_INNER_NONE,    /* nothing: a mechanism list alone, or a bare mechListMIC */
    SP_GSS_INNER_AP_REQ,  /* Kerberos 5: a ticket and an authenticator */
    SP_GSS_INNER_AP_REP,  /* Kerberos 5: the third leg of DCE style */
    SP_GSS_INNER_NTLMSSP, /* NTLM */
    SP_GSS_INNER_OTHER,   /* bytes for a mechanism that we do not read */
};

/* The clear parts of an AP-REQ (RFC 4120 5.5.1). Spans point into the token. */
struct sp_gss_ticket {
    struct sp_span whole; /* the ticket itself, with what is sealed in it */
    struct sp_span realm;
    struct sp_span parts[4]; /* of the service's name: HTTP, proxy.corp.test */
    unsigned parts_len;
    bool has_kvno;
    uint32_t kvno;
    int32_t etype;                /* of the ticket: the key that the keytab must have */
    int32_t session_etype;        /* of the authenticator */
    struct sp_span authenticator; /* its ciphertext: differs in every request a client makes */
};

/* The clear parts of an NTLMSSP message ([MS-NLMP] 2.2.1), as UTF-8, cut where too long. */
struct sp_gss_ntlm {
    unsigned type; /* 1 negotiate, 3 authenticate */
    char domain[64];
    char workstation[64];
    char user[128];
};

struct sp_gss_xray {
    bool whole;     /* every byte was understood: only then has the library seen the same */
    bool spnego;    /* wrapped in SPNEGO (RFC 4178) */
    char mechs[96]; /* SPNEGO's mechanism list, in words: "krb5, ntlmssp" */
    bool lists_krb5;
    bool lists_ntlm;
    bool ntlm_first; /* before krb5, or alone */
    enum sp_gss_inner inner;
    struct sp_gss_ticket ticket; /* SP_GSS_INNER_AP_REQ */
    struct sp_gss_ntlm ntlm;     /* SP_GSS_INNER_NTLMSSP */
};

/* Fills all of *xray; what was not there is zero. */
void sp_gss_xray_read(struct sp_gss_xray *xray, struct sp_span token);

/* "HTTP/proxy.corp.test@CORP.TEST", fit for a log. Returns `out`. */
const char *sp_gss_xray_service(const struct sp_gss_ticket *ticket, char *out, size_t cap);

/* The token in words: "SPNEGO (krb5, ntlmssp) with a ticket for HTTP/p@R kvno 3 aes256". Returns
 * `out`. */
const char *sp_gss_xray_words(const struct sp_gss_xray *xray, char *out, size_t cap);

/* "aes256-cts-hmac-sha1-96"; "etype N" for one not known. Static or in `scratch`. */
const char *sp_gss_etype_name(int32_t etype, char scratch[24]);

#endif
