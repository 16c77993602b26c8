/* `sallyport doctor` on an ldap backend, and the small look at its servers while it serves. May
 * block; runs outside any worker. */
#ifndef SP_LDAP_DOCTOR_H
#define SP_LDAP_DOCTOR_H

#include "sallyport/auth_backend.h"

/* Each server: reachable, TLS, service identity, search base. Returns how many were not well. */
unsigned sp_ldap_diagnose(struct sp_auth_config *config, struct sp_auth_findings *findings);
/* Each server: reachable, TLS, one answer. Where the service identity was refused, that again, as
 * often as the brake allows. (ldap_look.c) */
void sp_ldap_look(struct sp_auth_config *config, struct sp_auth_looking *looking);

#endif
