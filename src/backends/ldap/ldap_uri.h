/* One server's address as the configuration names it. A plain value; any thread. */
#ifndef SP_LDAP_URI_H
#define SP_LDAP_URI_H

#include "sallyport/base.h"

#include <stdbool.h>

enum sp_ldap_scheme { SP_LDAP_PLAIN, SP_LDAP_TLS, SP_LDAP_IPC };

struct sp_ldap_uri {
    char text[512]; /* as configured, for logs, metrics and traces */
    enum sp_ldap_scheme scheme;
    char host[256]; /* without brackets; empty for ldapi */
    char port[8];
    char path[108]; /* of the socket, ldapi only; as long as sun_path */
    bool literal;   /* the host is an IP address */
    bool loopback;  /* bytes never leave this machine */
};

/* SP_ERR_INVALID: `why_out` (static text) says what is wrong with it. */
enum sp_err sp_ldap_uri_parse(struct sp_ldap_uri *uri, const char *text,
                              const char **why_out) SP_MUST_CHECK;

#endif
