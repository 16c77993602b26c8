/* The table of options of the ldap backend: names, defaults, bounds, one sentence each. */
#include "backends/ldap/ldap_options.h"

#define OPTIONS struct sp_ldap_options

static const char *const sasl_words[] = {"", "gssapi", NULL};

/* clang-format off */
const struct sp_option sp_ldap_options[] = {
    {"uris", SP_OPTION_LIST, offsetof(OPTIONS, uris), NULL, 0, 0, NULL, SP_OPTION_REQUIRED,
     "Directory servers in order of preference: ldaps://host, ldap://host, ldapi://%2Fpath%2Fto%2Fsocket."},
    SP_OPT_BOOL(OPTIONS, start_tls, "false", "Begin TLS on ldap:// connections before anything else is said."),
    SP_OPT_BOOL(OPTIONS, allow_clear, "false", "Let passwords cross a network in clear: ldap:// without start_tls to a host that is not this one."),
    SP_OPT_PATH(OPTIONS, tls_ca, "", 0, "PEM file of the authorities that may sign a server's certificate; empty: the system's store."),
    SP_OPT_STRING(OPTIONS, bind_dn, "", "The service identity that looks people up; empty: anonymous."),
    SP_OPT_SECRET(OPTIONS, bind_password_file, "File with the service identity's password."),
    SP_OPT_CHOICE(OPTIONS, sasl, "", sasl_words, "\"gssapi\": the service identity by Kerberos, with client_keytab and bind_principal in place of bind_dn. The directory is then asked for as ldap/NAME: the host in uris, made canonical by DNS as krb5.conf says (dns_canonicalize_hostname, rdns)."),
    SP_OPT_PATH(OPTIONS, client_keytab, "", 0, "Keytab with the key of bind_principal."),
    SP_OPT_STRING(OPTIONS, bind_principal, "", "Kerberos principal of the service identity, such as proxy@CORP.TEST."),
    SP_OPT_STRING(OPTIONS, base, "", "Where people are searched, with all that lies below."),
    SP_OPT_STRING(OPTIONS, filter, "(&(objectClass=inetOrgPerson)(uid=%u))", "How a person is found; %u is the name, escaped."),
    SP_OPT_STRING(OPTIONS, user_dn, "", "A person's DN as a template with %u, such as uid=%u,ou=people,dc=corp,dc=test: no search before the bind."),
    SP_OPT_LIST(OPTIONS, domains, "", "Domains taken off a typed name (CORP\\\\alice, alice@corp.test); other domains are unknown; empty: a name is asked as typed."),
    SP_OPT_STRING(OPTIONS, group_base, "", "Where groups are searched; empty: no groups."),
    SP_OPT_STRING(OPTIONS, group_filter, "(member=%d)", "How a person's groups are found; %d is the person's DN, %u the name, escaped."),
    SP_OPT_STRING(OPTIONS, group_name, "cn", "The attribute that names a group."),
    SP_OPT_INT(OPTIONS, group_depth, "0", 0, 32, "How many levels of groups within groups to walk up."),
    SP_OPT_BOOL(OPTIONS, follow_referrals, "false", "Follow referrals to servers that are not in uris, three in a row at most, by the same rules: certificates are verified, and nothing goes out in clear that allow_clear does not let."),
    {"connections", SP_OPTION_INT, offsetof(OPTIONS, connections), "16", 1, 1024, NULL, SP_OPTION_TUNES,
     "Connections for binds, at most, per worker and server; opened as needed."},
    {"connect_timeout", SP_OPTION_MILLIS, offsetof(OPTIONS, connect_timeout_ms), "3s", 50, 60000, NULL, SP_OPTION_TUNES,
     "Limit for reaching a server: name, connect and TLS."},
    {"timeout", SP_OPTION_MILLIS, offsetof(OPTIONS, timeout_ms), "5s", 50, 300000, NULL, SP_OPTION_TUNES,
     "Limit for one operation, and for waiting for a connection to do it on."},
    {"idle_timeout", SP_OPTION_MILLIS, offsetof(OPTIONS, idle_timeout_ms), "10m", 1000, 86400000, NULL, SP_OPTION_TUNES,
     "A connection that was not used for so long is closed."},
    SP_OPT_END,
};
/* clang-format on */
