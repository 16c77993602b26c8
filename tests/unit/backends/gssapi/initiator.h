/* The client's side of a handshake, for tests: any mechanism, flags and bindings. Header only. */
#ifndef SP_TESTS_INITIATOR_H
#define SP_TESTS_INITIATOR_H

#include "sallyport/base.h"

#include <gssapi/gssapi_ext.h>
#include <gssapi/gssapi_krb5.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((unused)) static gss_OID_desc mech_krb5 = {
    9, (void *)"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02"};
__attribute__((unused)) static gss_OID_desc mech_spnego = {6, (void *)"\x2b\x06\x01\x05\x05\x02"};
__attribute__((unused)) static gss_OID_desc mech_ntlmssp = {
    10, (void *)"\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a"};

struct initiator {
    gss_ctx_id_t context;
    gss_name_t target;
    gss_OID mech;
    gss_cred_id_t cred;
    OM_uint32 flags;
    const char *bindings;  /* NULL: none */
    gss_buffer_desc token; /* what it wants to send */
    bool complete;
    bool failed;
};

static inline void initiator_report(const char *what, OM_uint32 major, OM_uint32 minor)
{
    gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
    OM_uint32 more = 0, ignored;

    (void)gss_display_status(&ignored, minor, GSS_C_MECH_CODE, GSS_C_NO_OID, &more, &text);
    (void)fprintf(stderr, "initiator: %s: major %#x minor %u %.*s\n", what, major, minor,
                  (int)text.length, (const char *)text.value);
    (void)gss_release_buffer(&ignored, &text);
}

static inline gss_name_t initiator_name(const char *text, gss_OID type)
{
    gss_buffer_desc buffer = {strlen(text), (void *)(uintptr_t)text};
    gss_name_t name = GSS_C_NO_NAME;
    OM_uint32 minor;

    if (GSS_ERROR(gss_import_name(&minor, &buffer, type, &name)))
        abort();
    return name;
}

/* `service` as HTTP@host. */
static inline struct initiator initiator_of(const char *service, gss_OID mech, OM_uint32 flags)
{
    return (struct initiator){.context = GSS_C_NO_CONTEXT,
                              .target = initiator_name(service, GSS_C_NT_HOSTBASED_SERVICE),
                              .mech = mech,
                              .cred = GSS_C_NO_CREDENTIAL,
                              .flags = flags};
}

/* NTLM by password, raw or within SPNEGO. */
static inline void initiator_ntlm(struct initiator *in, const char *user, const char *password)
{
    gss_name_t name = initiator_name(user, GSS_C_NT_USER_NAME);
    gss_buffer_desc secret = {strlen(password), (void *)(uintptr_t)password};
    gss_OID_desc mechs[2] = {mech_ntlmssp, mech_spnego};
    gss_OID_set_desc set = {2, mechs};
    gss_OID_set_desc only = {1, mechs};
    OM_uint32 major, minor;

    major = gss_acquire_cred_with_password(&minor, name, &secret, GSS_C_INDEFINITE, &set,
                                           GSS_C_INITIATE, &in->cred, NULL, NULL);
    if (!GSS_ERROR(major))
        major = gss_set_neg_mechs(&minor, in->cred, &only);
    if (GSS_ERROR(major)) {
        initiator_report("acquire", major, minor);
        abort();
    }
    (void)gss_release_name(&minor, &name);
}

/* Takes the acceptor's token (absent at first); what is to be sent next is in->token. */
static inline void initiator_step(struct initiator *in, struct sp_span from_acceptor)
{
    gss_buffer_desc input = {from_acceptor.len, (void *)(uintptr_t)from_acceptor.base};
    struct gss_channel_bindings_struct bindings = {0};
    OM_uint32 major, minor;

    if (in->bindings != NULL)
        bindings.application_data = (gss_buffer_desc){strlen(in->bindings),
                                                      (void *)(uintptr_t)in->bindings};
    (void)gss_release_buffer(&minor, &in->token);
    major = gss_init_sec_context(&minor, in->cred, &in->context, in->target, in->mech, in->flags, 0,
                                 in->bindings != NULL ? &bindings : GSS_C_NO_CHANNEL_BINDINGS,
                                 &input, NULL, &in->token, NULL, NULL);
    in->complete = major == GSS_S_COMPLETE;
    in->failed = GSS_ERROR(major) != 0;
    if (in->failed)
        initiator_report("init", major, minor);
}

static inline struct sp_span initiator_token(const struct initiator *in)
{
    return (struct sp_span){in->token.value, in->token.length};
}

static inline void initiator_fini(struct initiator *in)
{
    OM_uint32 minor;

    (void)gss_delete_sec_context(&minor, &in->context, GSS_C_NO_BUFFER);
    (void)gss_release_name(&minor, &in->target);
    (void)gss_release_cred(&minor, &in->cred);
    (void)gss_release_buffer(&minor, &in->token);
}

#endif
