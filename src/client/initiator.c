/* The initiator of a Negotiate handshake: SPNEGO for HTTP@host with the credentials that the caller
 * has (KRB5CCNAME, or what gss-ntlmssp finds). */
#include "client/client.h"

#include "util/span.h"

#include <gssapi/gssapi_ext.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gss_OID_desc mech_spnego = {6, (void *)"\x2b\x06\x01\x05\x05\x02"};
static gss_OID_desc mech_krb5 = {9, (void *)"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02"};
static gss_OID_desc mech_ntlmssp = {10, (void *)"\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a"};

/* Owned by the caller. */
struct sp_initiator {
    gss_ctx_id_t context;
    gss_name_t target;
    struct sp_span bindings;
    gss_buffer_desc token;
    bool complete;
};

/* The library's words for a status, behind what is there. */
static void add_status(OM_uint32 code, int kind, gss_OID mech, char *why)
{
    gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
    OM_uint32 more = 0, ignored;
    size_t used = strlen(why);

    if (gss_display_status(&ignored, code, kind, mech, &more, &text) != GSS_S_COMPLETE)
        return;
    (void)snprintf(why + used, SP_CLIENT_WHY_MAX - used, "%s%.*s", used > 0 ? ": " : "",
                   (int)text.length, (const char *)text.value);
    (void)gss_release_buffer(&ignored, &text);
}

static void explain(OM_uint32 major, OM_uint32 minor, char *why)
{
    why[0] = '\0';
    add_status(major, GSS_C_GSS_CODE, GSS_C_NO_OID, why);
    if (minor != 0)
        add_status(minor, GSS_C_MECH_CODE, &mech_spnego, why);
}

struct sp_initiator *sp_initiator_new(const char *host, struct sp_span bindings, char *why)
{
    struct sp_initiator *initiator = calloc(1, sizeof(*initiator));
    char service[300];
    gss_buffer_desc name = {0, service};
    OM_uint32 major, minor;

    (void)snprintf(why, SP_CLIENT_WHY_MAX, "out of memory");
    if (initiator == NULL)
        return NULL;
    initiator->context = GSS_C_NO_CONTEXT;
    initiator->bindings = bindings;
    name.length = (size_t)snprintf(service, sizeof(service), "HTTP@%.256s", host);
    major = gss_import_name(&minor, &name, GSS_C_NT_HOSTBASED_SERVICE, &initiator->target);
    if (!GSS_ERROR(major))
        return initiator;
    explain(major, minor, why);
    free(initiator);
    return NULL;
}

void sp_initiator_free(struct sp_initiator **initiator_ptr)
{
    struct sp_initiator *initiator = *initiator_ptr;
    OM_uint32 minor;

    *initiator_ptr = NULL;
    if (initiator == NULL)
        return;
    if (initiator->context != GSS_C_NO_CONTEXT)
        (void)gss_delete_sec_context(&minor, &initiator->context, GSS_C_NO_BUFFER);
    (void)gss_release_name(&minor, &initiator->target);
    (void)gss_release_buffer(&minor, &initiator->token);
    free(initiator);
}

enum sp_err sp_initiator_step(struct sp_initiator *initiator, struct sp_span from_proxy,
                              struct sp_span *token_out, char *why)
{
    gss_buffer_desc input = {from_proxy.len, (void *)(uintptr_t)from_proxy.base};
    struct gss_channel_bindings_struct bindings = {0};
    bool bound = initiator->bindings.base != NULL;
    OM_uint32 major, minor;

    bindings.application_data = (gss_buffer_desc){initiator->bindings.len,
                                                  (void *)(uintptr_t)initiator->bindings.base};
    *token_out = SP_SPAN_NONE;
    (void)gss_release_buffer(&minor, &initiator->token);
    major = gss_init_sec_context(&minor, GSS_C_NO_CREDENTIAL, &initiator->context,
                                 initiator->target, &mech_spnego, GSS_C_MUTUAL_FLAG, 0,
                                 bound ? &bindings : GSS_C_NO_CHANNEL_BINDINGS, &input, NULL,
                                 &initiator->token, NULL, NULL);
    if (GSS_ERROR(major)) {
        explain(major, minor, why);
        return SP_ERR_DENIED;
    }
    initiator->complete = major == GSS_S_COMPLETE;
    *token_out = sp_span_of(initiator->token.value, initiator->token.length);
    return SP_OK;
}

bool sp_initiator_complete(const struct sp_initiator *initiator)
{
    return initiator->complete;
}

static bool is_mech(gss_OID a, const gss_OID_desc *b)
{
    return a != GSS_C_NO_OID && a->length == b->length &&
           memcmp(a->elements, b->elements, b->length) == 0;
}

const char *sp_initiator_words(struct sp_initiator *initiator, char *out, size_t cap)
{
    gss_OID mech = GSS_C_NO_OID;
    OM_uint32 flags = 0, minor;
    OM_uint32 major = gss_inquire_context(&minor, initiator->context, NULL, NULL, NULL, &mech,
                                          &flags, NULL, NULL);

    if (GSS_ERROR(major))
        mech = GSS_C_NO_OID;
    (void)snprintf(out, cap, "%s, the proxy has %sproven itself",
                   is_mech(mech, &mech_krb5)      ? "krb5"
                   : is_mech(mech, &mech_ntlmssp) ? "ntlmssp"
                                                  : "mechanism not known",
                   (flags & GSS_C_MUTUAL_FLAG) != 0 ? "" : "not ");
    return out;
}
