/* What the parts of dialling share: ldap_dial.c (connect), ldap_tls.c, ldap_service.c. */
#ifndef SP_LDAP_DIAL_PRIV_H
#define SP_LDAP_DIAL_PRIV_H

#include "backends/ldap/ldap_dial.h"

struct sp_ldap_dialling {
    const struct sp_auth_config *config;
    const struct sp_ldap_uri *uri;
    const atomic_bool *stop;
    uint64_t deadline_ns; /* of reaching the server */
    uint64_t latest_ns;   /* of everything */
    struct sp_ldap_dial_report *report;
};

/* Begin a step; what follows is timed and filled into it. */
struct sp_ldap_dial_step *sp_ldap_dial_step(struct sp_ldap_dialling *d, const char *what);
/* It went well, or it ended everything: both in words. */
void sp_ldap_dial_well(struct sp_ldap_dialling *d, const char *fmt, ...) SP_PRINTF(2, 3);
enum sp_err sp_ldap_dial_fail(struct sp_ldap_dialling *d, enum sp_ldap_fault fault, const char *fmt,
                              ...) SP_PRINTF(3, 4) SP_MUST_CHECK;
/* A wait that ended badly, in words. */
enum sp_err sp_ldap_dial_wait_failed(struct sp_ldap_dialling *d, enum sp_err err) SP_MUST_CHECK;

/* ldap_tls.c: StartTLS where asked, the handshake, the certificate. */
enum sp_err sp_ldap_dial_tls(struct sp_ldap_dialling *d) SP_MUST_CHECK;
/* ldap_service.c */
/* When an operation that begins now must have ended. */
uint64_t sp_ldap_dial_due_ns(const struct sp_ldap_dialling *d);
enum sp_err sp_ldap_dial_service(struct sp_ldap_dialling *d) SP_MUST_CHECK;
enum sp_err sp_ldap_dial_unbraked(struct sp_ldap_dialling *d) SP_MUST_CHECK; /* ldap_brake.h */
enum sp_err sp_ldap_dial_prove(struct sp_ldap_dialling *d) SP_MUST_CHECK;
/* ldap_sasl.c: the service identity by Kerberos. */
enum sp_err sp_ldap_dial_sasl(struct sp_ldap_dialling *d) SP_MUST_CHECK;
/* What the service bind came to, by its result code: 0 is well. */
enum sp_err sp_ldap_dial_bound(struct sp_ldap_dialling *d, int result,
                               const char *diagnostic) SP_MUST_CHECK;

#endif
