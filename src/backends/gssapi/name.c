/* From the name that a mechanism displays to the name that rules and logs use. Pure; pool threads.
 */
#include "backends/gssapi/gssapi_priv.h"

#include "util/span.h"
#include "util/text.h"

/* The last '@' that no backslash protects: MIT's library writes alice\@corp.test@CORP.TEST for a
 * principal whose name holds one (krb5_unparse_name). */
struct sp_gss_name sp_gss_name_of_krb5(struct sp_span displayed)
{
    size_t at = displayed.len;

    for (size_t i = 0; i < displayed.len; i++) {
        if (displayed.base[i] == '\\')
            i++;
        else if (displayed.base[i] == '@')
            at = i;
    }
    return (struct sp_gss_name){sp_span_of(displayed.base, at),
                                at < displayed.len
                                    ? sp_span_of(displayed.base + at + 1, displayed.len - at - 1)
                                    : SP_SPAN_LIT("")};
}

/* gss-ntlmssp displays DOMAIN\user, and counts the closing NUL as a part of it. */
struct sp_gss_name sp_gss_name_of_ntlm(struct sp_span displayed)
{
    const char *slash;

    while (displayed.len > 0 && displayed.base[displayed.len - 1] == '\0')
        displayed.len--;
    slash = memchr(displayed.base, '\\', displayed.len);
    if (slash == NULL)
        return (struct sp_gss_name){displayed, SP_SPAN_LIT("")};
    return (struct sp_gss_name){
        sp_span_of(slash + 1, displayed.len - (size_t)(slash + 1 - displayed.base)),
        sp_span_of(displayed.base, (size_t)(slash - displayed.base))};
}

bool sp_gss_realm_listed(const struct sp_strings *realms, struct sp_span realm, bool ntlm)
{
    if (realms->len == 0)
        return true;
    for (size_t i = 0; i < realms->len; i++) {
        struct sp_span item = sp_span_cstr(realms->items[i]);

        if (ntlm ? sp_span_eq_nocase(item, realm) : sp_span_eq(item, realm))
            return true;
    }
    return false;
}

/* Is alice of this realm our alice? Yes where the administrator said so, by listing the realm or by
 * making it the machine's own. An unlisted realm may come in with realms = {}, but its people keep
 * their realm, or they could take the name of somebody here. */
static bool realm_is_ours(const struct sp_auth_config *config, const struct sp_gss_name *name)
{
    if (config->options->realms.len > 0)
        return true;
    return config->default_realm != NULL &&
           sp_span_eq(sp_span_cstr(config->default_realm), name->realm);
}

static bool keeps_realm(const struct sp_auth_config *config, const struct sp_gss_name *name,
                        bool ntlm)
{
    if (name->realm.len == 0)
        return false;
    return config->options->username == SP_GSS_USERNAME_PRINCIPAL ||
           (!ntlm && !realm_is_ours(config, name));
}

enum sp_err sp_gss_name_user(const struct sp_auth_config *config, const struct sp_gss_name *name,
                             struct sp_span mapped, bool ntlm, char *out, size_t cap)
{
    bool local = config->options->username == SP_GSS_USERNAME_LOCAL;
    bool use_mapped = local && mapped.base != NULL;
    struct sp_span from = use_mapped ? mapped : name->local;
    size_t len;

    if (from.len == 0 || sp_text_has_control(from) || sp_text_has_control(name->realm))
        return SP_ERR_INVALID;
    if (sp_text_lower(from, out, cap - 1, &len) != SP_OK)
        return SP_ERR_INVALID;
    if (!use_mapped && keeps_realm(config, name, ntlm)) {
        if (len + 1 + name->realm.len >= cap)
            return SP_ERR_TOO_LARGE;
        out[len++] = '@';
        memcpy(out + len, name->realm.base, name->realm.len);
        len += name->realm.len;
    }
    out[len] = '\0';
    return SP_OK;
}
