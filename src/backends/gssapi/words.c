/* What the X-ray saw, as words for a log line. Pure; any thread. Names inside a token are untrusted
 * and made safe here. */
#include "backends/gssapi/xray.h"

#include "util/span.h"
#include "util/text.h"

#include <stdio.h>

struct etype_name {
    int32_t etype;
    const char *name;
};

/* RFC 3961 8.3, RFC 3962, RFC 4757, RFC 6803, RFC 8009 */
static const struct etype_name etype_names[] = {
    {1, "des-cbc-crc"},
    {3, "des-cbc-md5"},
    {16, "des3-cbc-sha1"},
    {17, "aes128-cts-hmac-sha1-96"},
    {18, "aes256-cts-hmac-sha1-96"},
    {19, "aes128-cts-hmac-sha256-128"},
    {20, "aes256-cts-hmac-sha384-192"},
    {23, "arcfour-hmac"},
    {24, "arcfour-hmac-exp"},
    {25, "camellia128-cts-cmac"},
    {26, "camellia256-cts-cmac"},
};

const char *sp_gss_etype_name(int32_t etype, char scratch[24])
{
    for (size_t i = 0; i < sizeof etype_names / sizeof etype_names[0]; i++) {
        if (etype_names[i].etype == etype)
            return etype_names[i].name;
    }
    (void)snprintf(scratch, 24, "etype %d", (int)etype);
    return scratch;
}

const char *sp_gss_xray_service(const struct sp_gss_ticket *ticket, char *out, size_t cap)
{
    char part[128];
    size_t used = 0;

    out[0] = '\0';
    for (unsigned i = 0; i <= ticket->parts_len; i++) {
        bool realm = i == ticket->parts_len;
        const char *before = realm ? "@" : i > 0 ? "/" : "";
        int len;

        (void)sp_text_safe(realm ? ticket->realm : ticket->parts[i], part, sizeof part);
        len = snprintf(out + used, cap - used, "%s%s", before, part);
        if (len < 0 || (size_t)len >= cap - used)
            break;
        used += (size_t)len;
    }
    return out;
}

static void ticket_words(const struct sp_gss_ticket *ticket, char *out, size_t cap)
{
    char service[256], scratch[24], kvno[24] = "";

    if (ticket->parts_len == 0) {
        (void)snprintf(out, cap, "a Kerberos ticket that cannot be read");
        return;
    }
    if (ticket->has_kvno)
        (void)snprintf(kvno, sizeof kvno, " kvno %u", ticket->kvno);
    (void)snprintf(out, cap, "a ticket for %s%s %s",
                   sp_gss_xray_service(ticket, service, sizeof service), kvno,
                   sp_gss_etype_name(ticket->etype, scratch));
}

/* "NTLM type 3 (domain CORP, user alice, workstation PC7)" */
static void ntlm_words(const struct sp_gss_ntlm *ntlm, char *out, size_t cap)
{
    const struct {
        const char *name;
        const char *value;
    } fields[] = {
        {"domain", ntlm->domain}, {"user", ntlm->user}, {"workstation", ntlm->workstation}};
    char safe[160];
    size_t used;
    bool open = false;

    used = (size_t)snprintf(out, cap, "NTLM type %u", ntlm->type);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0] && used < cap; i++) {
        if (fields[i].value[0] == '\0')
            continue;
        (void)sp_text_safe(sp_span_cstr(fields[i].value), safe, sizeof safe);
        used += (size_t)snprintf(out + used, cap - used, "%s%s %s", open ? ", " : " (",
                                 fields[i].name, safe);
        open = true;
    }
    if (open && used < cap)
        (void)snprintf(out + used, cap - used, ")");
}

static void inner_words(const struct sp_gss_xray *xray, char *out, size_t cap)
{
    switch (xray->inner) {
    case SP_GSS_INNER_NONE: (void)snprintf(out, cap, "no mechanism's token"); break;
    case SP_GSS_INNER_AP_REQ: ticket_words(&xray->ticket, out, cap); break;
    case SP_GSS_INNER_AP_REP: (void)snprintf(out, cap, "a Kerberos AP-REP"); break;
    case SP_GSS_INNER_NTLMSSP: ntlm_words(&xray->ntlm, out, cap); break;
    case SP_GSS_INNER_OTHER: (void)snprintf(out, cap, "another mechanism's token"); break;
    }
}

const char *sp_gss_xray_words(const struct sp_gss_xray *xray, char *out, size_t cap)
{
    char inner[400];

    inner_words(xray, inner, sizeof inner);
    if (!xray->spnego && xray->inner == SP_GSS_INNER_NONE)
        (void)snprintf(out, cap, "bytes that are no GSSAPI token");
    else if (!xray->spnego)
        (void)snprintf(out, cap, "%s", inner);
    else if (xray->mechs[0] == '\0')
        (void)snprintf(out, cap, "SPNEGO with %s", inner);
    else
        (void)snprintf(out, cap, "SPNEGO (%s) with %s", xray->mechs, inner);
    return out;
}
