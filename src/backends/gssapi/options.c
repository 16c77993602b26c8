/* The options of a `plugin = "gssapi"` block. */
#include "backends/gssapi/gssapi_priv.h"

static const char *const username_words[] = {"local", "principal", NULL};
static const char *const persist_words[] = {"connection", "request", NULL};
static const char *const bindings_words[] = {"off", "allow", "require", NULL};

#define OPTIONS struct sp_gssapi_options

/* clang-format off */
const struct sp_option sp_gssapi_option_table[] = {
    SP_OPT_PATH(OPTIONS, keytab, NULL, SP_OPTION_REQUIRED | SP_OPTION_WATCHED,
                "The keytab with the proxy's keys. Watched: a new one is taken up without a reload, a bad one changes nothing."),
    SP_OPT_STRING(OPTIONS, service, "",
                  "The service that tickets must be for: HTTP@host or a whole principal; empty: any key of the keytab."),
    SP_OPT_LIST(OPTIONS, mechanisms, "krb5",
                "The mechanisms that are accepted, raw and within SPNEGO: krb5, ntlmssp (which needs gss-ntlmssp)."),
    SP_OPT_LIST(OPTIONS, realms, NULL,
                "The realms (for NTLM, the NetBIOS domains) whose people may come in; empty: any."),
    SP_OPT_CHOICE(OPTIONS, username, "local", username_words,
                  "What a person is called in rules and logs: local (alice), or principal (alice@CORP.TEST)."),
    SP_OPT_STRING(OPTIONS, groups_from, "",
                  "An ldap backend that is asked for the groups of whoever comes in; empty: no groups."),
    SP_OPT_CHOICE(OPTIONS, persist, "connection", persist_words,
                  "Whether a handshake counts for its connection, or every request needs a token."),
    SP_OPT_CHOICE(OPTIONS, channel_bindings, "allow", bindings_words,
                  "Channel bindings (RFC 5929 tls-server-end-point) on TLS listeners: off, allow (checked where the client sends them), require."),
    SP_OPT_END,
};
/* clang-format on */
