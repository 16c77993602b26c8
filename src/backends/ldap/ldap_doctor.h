/* `sallyport doctor` on an ldap backend. May block; runs outside any worker. */
#ifndef SP_LDAP_DOCTOR_H
#define SP_LDAP_DOCTOR_H

#include "sallyport/auth_backend.h"

/* Each server: reachable, TLS, service identity, search base. Returns how many were not well. */
unsigned sp_ldap_diagnose(struct sp_auth_config *config, struct sp_auth_findings *findings);

#endif
