/* The options of a `plugin = "gssapi"` block, and the one that has a syntax of its own. */
#include "backends/gssapi/gssapi_priv.h"

#include <stdio.h>
#include <string.h>

static const char *const username_words[] = {"local", "principal", NULL};
static const char *const persist_words[] = {"connection", "request", NULL};
static const char *const bindings_words[] = {"off", "allow", "require", NULL};

#define OPTIONS struct sp_gssapi_options

/* clang-format off */
const struct sp_option sp_gssapi_option_table[] = {
    SP_OPT_PATH(OPTIONS, keytab, NULL, SP_OPTION_REQUIRED | SP_OPTION_WATCHED,
                "The keytab with the proxy's keys. A bad new one changes nothing."),
    SP_OPT_STRING(OPTIONS, service, "",
                  "The service that tickets must be for: HTTP@host or a whole principal; empty: any key of the keytab."),
    SP_OPT_LIST(OPTIONS, mechanisms, "krb5",
                "The mechanisms that are accepted, raw and within SPNEGO: krb5, ntlmssp (which needs gss-ntlmssp)."),
    SP_OPT_LIST(OPTIONS, realms, NULL,
                "The realms (for NTLM, the NetBIOS domains) whose people may come in; empty: any."),
    SP_OPT_CHOICE(OPTIONS, username, "local", username_words,
                  "What a person is called in rules and logs: local (alice), or principal (alice@CORP.TEST)."),
    SP_OPT_STRING(OPTIONS, groups_from, "",
                  "Whence groups come: an ldap backend's name, pac (the SIDs in the ticket's PAC, as S-1-5-21-...), or both as pac+NAME; empty: none."),
    SP_OPT_CHOICE(OPTIONS, persist, "connection", persist_words,
                  "Whether a handshake counts for its connection, or every request needs a token."),
    SP_OPT_CHOICE(OPTIONS, channel_bindings, "allow", bindings_words,
                  "Channel bindings (RFC 5929 tls-server-end-point) on TLS listeners: off, allow (checked where the client sends them), require."),
    SP_OPT_END,
};
/* clang-format on */

enum sp_err sp_gss_options_groups(struct sp_auth_config *config, struct sp_auth_fault *fault)
{
    static const char pac[] = "pac";
    const char *from = config->options->groups_from;
    const char *rest = from + sizeof pac - 1;

    config->groups_from = from;
    if (strncmp(from, pac, sizeof pac - 1) != 0 || (rest[0] != '\0' && rest[0] != '+'))
        return SP_OK;
    config->pac = true;
    config->groups_from = rest[0] == '+' ? rest + 1 : rest;
    fault->option = "groups_from";
    if (rest[0] == '+' && rest[1] == '\0') {
        (void)snprintf(fault->text, sizeof fault->text, "a backend's name is missing after pac+");
        return SP_ERR_INVALID;
    }
    if (!config->krb5) {
        (void)snprintf(fault->text, sizeof fault->text,
                       "NTLM brings no PAC: it needs krb5 in mechanisms");
        return SP_ERR_INVALID;
    }
    fault->option = NULL;
    return SP_OK;
}
