/* What an administrator may write in a block with plugin = "ldap". The table is the documentation;
 * what the values mean together is checked in ldap_config.c. */
#ifndef SP_LDAP_OPTIONS_H
#define SP_LDAP_OPTIONS_H

#include "sallyport/option.h"

enum sp_ldap_sasl { SP_LDAP_SASL_NONE, SP_LDAP_SASL_GSSAPI };

struct sp_ldap_options {
    struct sp_strings uris;
    bool start_tls;
    bool allow_clear;
    char *tls_ca;
    char *bind_dn;
    struct sp_secret_text bind_password_file;
    int sasl; /* enum sp_ldap_sasl */
    char *client_keytab;
    char *bind_principal;
    char *base;
    char *filter;
    char *user_dn;
    struct sp_strings domains;
    char *group_base;
    char *group_filter;
    char *group_name;
    int64_t group_depth;
    bool follow_referrals;
    int64_t connections;
    uint64_t connect_timeout_ms;
    uint64_t timeout_ms;
    uint64_t idle_timeout_ms;
};

extern const struct sp_option sp_ldap_options[];

#endif
