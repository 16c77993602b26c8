/* One leg: a token goes to gss_accept_sec_context, and a verdict comes out. Runs on a pool thread;
 * knows no loop and no operation, so that it can be tested with a KDC alone.
 *
 * The order matters. The library judges the token first; only what it accepted is entered in the
 * replay table; only then is anything told to the client. */
#include "backends/gssapi/gssapi_priv.h"

#include "util/span.h"
#include "util/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const gss_OID_desc oid_ntlmssp = {10, (void *)"\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a"};

/* What the library tells of a leg that it took. */
struct accepted {
    gss_name_t initiator;
    gss_OID mech; /* static, the library's */
    OM_uint32 flags;
    bool complete;
};

static void deny(struct sp_gss_leg *leg, const char *reason, const char *words)
{
    leg->verdict = SP_VERDICT_DENY;
    leg->reason = reason;
    (void)snprintf(leg->detail, sizeof leg->detail, "client sent %s; %s", leg->sent, words);
}

/* ---- the replay table ---- */

static uint64_t now_s(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail with this clock */
    return (uint64_t)now.tv_sec;
}

static bool enter_authenticator(struct sp_gss_leg *leg, struct sp_span authenticator)
{
    enum sp_err err = sp_gss_replay_enter(leg->config->replay, authenticator, now_s());

    if (err == SP_OK) {
        leg->vouched = true;
        return true;
    }
    if (err == SP_ERR_DENIED) {
        deny(leg, "replayed ticket",
             "the same token was used before: a client that repeats itself, or somebody who "
             "listened");
        return false;
    }
    leg->verdict = SP_VERDICT_UNAVAILABLE;
    leg->reason = "the replay table is full";
    (void)snprintf(leg->detail, sizeof leg->detail,
                   "%s: a token that cannot be remembered is not let in; more than %u tickets were "
                   "used within ten minutes",
                   err == SP_ERR_FULL ? "full of live entries" : "out of memory",
                   SP_GSS_REPLAY_MAX);
    return false;
}

/* A leg that the library took must have been understood here to the last byte, or its authenticator
 * could be hidden from the table. NTLM needs no table: its answer is to our own random challenge.
 */
static bool not_replayed(struct sp_gss_leg *leg, const struct sp_gss_xray *xray)
{
    if (!xray->whole) {
        deny(leg, "malformed token",
             "it is encoded in a form that the replay protection cannot vouch for (not DER)");
        return false;
    }
    if (xray->inner != SP_GSS_INNER_AP_REQ || leg->ntlm)
        return true;
    return enter_authenticator(leg, xray->ticket.authenticator);
}

/* ---- who it is ---- */

static void deny_realm(struct sp_gss_leg *leg, const struct sp_gss_name *name, bool ntlm)
{
    char local[160], realm[160];

    leg->verdict = SP_VERDICT_DENY;
    leg->denied_principal = true;
    leg->reason = ntlm ? "domain not allowed" : "realm not allowed";
    (void)snprintf(leg->detail, sizeof leg->detail,
                   "%s of %s %s has proven who they are, but realms does not list it",
                   sp_text_safe(name->local, local, sizeof local), ntlm ? "domain" : "realm",
                   sp_text_safe(name->realm, realm, sizeof realm));
}

static void name_initiator(struct sp_gss_leg *leg, struct sp_span displayed)
{
    bool ntlm = leg->mech != NULL && leg->mech[0] == 'n';
    struct sp_gss_name name = ntlm ? sp_gss_name_of_ntlm(displayed)
                                   : sp_gss_name_of_krb5(displayed);
    char mapped[SP_GSS_NAME_MAX];
    bool has_mapped = false;
    enum sp_err err;

    if (displayed.len >= sizeof leg->principal) {
        deny(leg, "name too long", "the principal's name is longer than any rule could hold");
        return;
    }
    if (!ntlm) {
        memcpy(leg->principal, displayed.base, displayed.len);
        has_mapped = leg->config->options->username == SP_GSS_USERNAME_LOCAL &&
                     sp_gss_keys_localname(leg->keys, leg->principal, mapped, sizeof mapped);
    }
    err = sp_gss_name_user(leg->config, &name, has_mapped ? sp_span_cstr(mapped) : SP_SPAN_NONE,
                           ntlm, leg->user, sizeof leg->user);
    if (err != SP_OK)
        deny(leg, "name not usable", "the principal's name is empty, too long or not UTF-8 text");
    else if (!sp_gss_realm_listed(&leg->config->options->realms, name.realm, ntlm))
        deny_realm(leg, &name, ntlm);
    else
        leg->verdict = SP_VERDICT_ALLOW;
}

/* ---- a handshake that is complete ---- */

static bool bindings_suffice(struct sp_gss_leg *leg, const struct accepted *accepted)
{
    if (leg->bindings.base == NULL ||
        leg->config->options->channel_bindings == SP_GSS_BINDINGS_OFF ||
        (accepted->flags & GSS_C_CHANNEL_BOUND_FLAG) != 0)
        return true;
    leg->unbound = true;
    if (leg->config->options->channel_bindings == SP_GSS_BINDINGS_ALLOW)
        return true;
    deny(leg, "channel bindings missing",
         "channel_bindings requires them, and the client sent none: update or configure it "
         "(Extended Protection), or set allow");
    return false;
}

static void completed(struct sp_gss_leg *leg, const struct accepted *accepted)
{
    gss_buffer_desc displayed = GSS_C_EMPTY_BUFFER;
    OM_uint32 major, minor;

    if (accepted->mech != NULL)
        leg->mech = accepted->mech->length == oid_ntlmssp.length &&
                            memcmp(accepted->mech->elements, oid_ntlmssp.elements,
                                   oid_ntlmssp.length) == 0
                        ? "ntlmssp"
                        : "krb5";
    if (leg->mech != NULL && leg->mech[0] == 'k' && !leg->vouched) {
        deny(leg, "malformed token", "no authenticator was found in it");
        return;
    }
    if ((accepted->flags & GSS_C_ANON_FLAG) != 0 || accepted->initiator == GSS_C_NO_NAME) {
        deny(leg, "anonymous", "an anonymous ticket names nobody");
        return;
    }
    if (!bindings_suffice(leg, accepted))
        return;
    major = gss_display_name(&minor, accepted->initiator, &displayed, NULL);
    if (GSS_ERROR(major) || displayed.length == 0)
        deny(leg, "name not usable", "the library cannot display the initiator's name");
    else
        name_initiator(leg, sp_span_of(displayed.value, displayed.length));
    (void)gss_release_buffer(&minor, &displayed);
    if (leg->verdict == SP_VERDICT_ALLOW && leg->config->pac && !leg->ntlm)
        sp_gss_groups_read(leg, accepted->initiator);
}

/* ---- the call ---- */

static OM_uint32 accept_token(struct sp_gss_leg *leg, struct accepted *accepted,
                              OM_uint32 *minor_out)
{
    gss_buffer_desc token = {leg->token.len, (void *)(uintptr_t)leg->token.base};
    struct gss_channel_bindings_struct bindings = {
        .application_data = {leg->bindings.len, (void *)(uintptr_t)leg->bindings.base}};
    bool bound = leg->bindings.base != NULL &&
                 leg->config->options->channel_bindings != SP_GSS_BINDINGS_OFF;
    OM_uint32 major;

    major = gss_accept_sec_context(minor_out, &leg->context, sp_gss_keys_cred(leg->keys, leg->ntlm),
                                   &token, bound ? &bindings : GSS_C_NO_CHANNEL_BINDINGS,
                                   &accepted->initiator, &accepted->mech, &leg->reply,
                                   &accepted->flags, NULL, NULL);
    accepted->complete = major == GSS_S_COMPLETE;
    return major;
}

static void leg_accept(struct sp_gss_leg *leg)
{
    struct accepted accepted = {GSS_C_NO_NAME, NULL, 0, false};
    struct sp_gss_xray xray;
    OM_uint32 major, minor = 0, ignored;

    sp_gss_xray_read(&xray, leg->token);
    (void)sp_gss_xray_words(&xray, leg->sent, sizeof leg->sent);
    if (xray.inner == SP_GSS_INNER_NTLMSSP)
        leg->mech = "ntlmssp";
    else if (xray.inner == SP_GSS_INNER_AP_REQ)
        leg->mech = "krb5";
    major = accept_token(leg, &accepted, &minor);
    if (GSS_ERROR(major))
        sp_gss_explain(leg, &xray, major, minor);
    else if (!not_replayed(leg, &xray))
        ; /* said there */
    else if (accepted.complete)
        completed(leg, &accepted);
    else if (leg->reply.length > 0)
        leg->verdict = SP_VERDICT_MORE;
    else
        deny(leg, "handshake stuck", "another leg is needed, but there is nothing to send for it");
    (void)gss_release_name(&ignored, &accepted.initiator);
}

static void leg_release(struct sp_gss_leg *leg)
{
    OM_uint32 minor;

    (void)gss_release_buffer(&minor, &leg->reply);
    free(leg->groups);
    leg->groups = NULL;
    leg->groups_len = 0;
}

static void leg_clear(struct sp_gss_leg *leg)
{
    leg_release(leg);
    leg->verdict = SP_VERDICT_UNAVAILABLE;
    leg->reason = NULL;
    leg->denied_principal = false;
    leg->unbound = false;
    leg->user[0] = '\0';
    memset(leg->principal, 0, sizeof leg->principal);
    leg->detail[0] = '\0';
}

/* By the first token: the mechanism that the client prefers among those that are configured. A
 * token for neither goes to the one that there is, to be refused in the library's words. */
void sp_gss_leg_choose(struct sp_gss_leg *leg)
{
    struct sp_gss_xray xray;

    if (!leg->begun && leg->config->ntlmssp) {
        sp_gss_xray_read(&xray, leg->token);
        leg->ntlm = xray.inner == SP_GSS_INNER_NTLMSSP || xray.ntlm_first || !leg->config->krb5;
    }
    leg->begun = true;
}

void sp_gss_leg_run(struct sp_gss_leg *leg)
{
    struct timespec begun, ended;
    OM_uint32 minor;

    (void)clock_gettime(CLOCK_MONOTONIC, &begun);
    leg_clear(leg);
    if (leg->too_long) {
        (void)snprintf(leg->sent, sizeof leg->sent, "a token of more than %u bytes",
                       SP_GSS_TOKEN_MAX);
        deny(leg, "token too long", "no ticket is that large");
    } else {
        leg_accept(leg);
    }
    if (leg->verdict != SP_VERDICT_MORE)
        (void)gss_delete_sec_context(&minor, &leg->context, GSS_C_NO_BUFFER);
    if (leg->verdict != SP_VERDICT_MORE && leg->verdict != SP_VERDICT_ALLOW)
        (void)gss_release_buffer(&minor, &leg->reply);
    (void)clock_gettime(CLOCK_MONOTONIC, &ended);
    leg->micros = (uint64_t)(ended.tv_sec - begun.tv_sec) * 1000000u +
                  (uint64_t)(ended.tv_nsec / 1000) - (uint64_t)(begun.tv_nsec / 1000);
}

void sp_gss_leg_fini(struct sp_gss_leg *leg)
{
    OM_uint32 minor;

    (void)gss_delete_sec_context(&minor, &leg->context, GSS_C_NO_BUFFER);
    leg_release(leg);
}
