/* Makes credentials of a keytab that keytab.c has read: at start, on reload, in `check`, and on a
 * pool thread when the file changed. No environment variable is touched: keytab and replay cache
 * are named through the credential store. */
#include "backends/gssapi/keys_priv.h"

#include "backends/gssapi/gssapi_priv.h"
#include "util/span.h"

#include <limits.h>
#include <gssapi/gssapi_krb5.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CREDS_MIN 4u
#define CREDS_MAX 64u

/* ---- credentials ---- */

static gss_OID_desc oid_krb5 = {9, (void *)"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02"};
static gss_OID_desc oid_spnego = {6, (void *)"\x2b\x06\x01\x05\x05\x02"};
static gss_OID_desc oid_ntlmssp = {10, (void *)"\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a"};

/* "HTTP@host" names a host's service, anything with a slash is a whole principal. */
static enum sp_err import_service(const char *service, gss_name_t *name_out,
                                  struct sp_gss_complaint *complaint)
{
    gss_buffer_desc text = {strlen(service), (void *)(uintptr_t)service};
    gss_OID type = strchr(service, '/') != NULL ? (gss_OID)(uintptr_t)GSS_KRB5_NT_PRINCIPAL_NAME
                                                : GSS_C_NT_HOSTBASED_SERVICE;
    OM_uint32 major, minor;
    char words[200];

    *name_out = GSS_C_NO_NAME;
    if (service[0] == '\0')
        return SP_OK;
    major = gss_import_name(&minor, &text, type, name_out);
    if (!GSS_ERROR(major))
        return SP_OK;
    (void)sp_gss_status_words(major, minor, words, sizeof words);
    sp_gss_complain(
        complaint, "service",
        "\"%s\" is no service name: write HTTP@proxy.example.com, a whole principal, or \"\" "
        "for any key of the keytab (%s)",
        service, words);
    return SP_ERR_INVALID;
}

/* One credential, for SPNEGO with the one mechanism inside and for that mechanism raw. The two
 * mechanisms have credentials of their own, because gss-ntlmssp takes a credential store as a place
 * to look for a client's password, and then has no acceptor's credential. */
static OM_uint32 acquire(gss_OID mech, gss_name_t name, const char *memory, gss_cred_id_t *cred_out,
                         OM_uint32 *minor_out)
{
    /* rcache "none:": the replay table of our own does that work */
    gss_key_value_element_desc elements[] = {{"keytab", memory}, {"rcache", "none:"}};
    gss_key_value_set_desc store = {2, elements};
    gss_OID_desc mechs[2] = {*mech, oid_spnego};
    gss_OID_set_desc inner = {1, mechs};
    gss_OID_set_desc both = {2, mechs};
    OM_uint32 major = gss_acquire_cred_from(minor_out, name, GSS_C_INDEFINITE, &both, GSS_C_ACCEPT,
                                            memory != NULL ? &store : GSS_C_NO_CRED_STORE, cred_out,
                                            NULL, NULL);

    return GSS_ERROR(major) ? major : gss_set_neg_mechs(minor_out, *cred_out, &inner);
}

/* gss_acquire_cred is content when one of several mechanisms has a credential: SPNEGO alone is not
 * enough. */
static bool cred_has(gss_cred_id_t cred, gss_OID mech)
{
    gss_OID_set have = GSS_C_NO_OID_SET;
    OM_uint32 minor;
    int present = 0;

    if (GSS_ERROR(gss_inquire_cred(&minor, cred, NULL, NULL, NULL, &have)))
        return false;
    (void)gss_test_oid_set_member(&minor, mech, have, &present);
    (void)gss_release_oid_set(&minor, &have);
    return present != 0;
}

static enum sp_err acquire_krb5(const struct sp_gss_keys_source *source, const char *memory,
                                gss_name_t name, gss_cred_id_t *cred_out,
                                struct sp_gss_complaint *complaint)
{
    OM_uint32 minor = 0;
    OM_uint32 major = acquire(&oid_krb5, name, memory, cred_out, &minor);
    char words[240];

    if (!GSS_ERROR(major) && cred_has(*cred_out, &oid_krb5))
        return SP_OK;
    (void)sp_gss_status_words(major, minor, words, sizeof words);
    if (source->service[0] != '\0')
        sp_gss_complain(complaint, "service", "%s has no key for %s (%s)", source->keytab,
                        source->service, words);
    else
        sp_gss_complain(complaint, "keytab", "no credential can be made from %s (%s)",
                        source->keytab, words);
    return SP_ERR_INVALID;
}

/* A configuration that says ntlmssp and silently lacks it would show as users who cannot log in. */
static enum sp_err acquire_ntlm(gss_cred_id_t *cred_out, struct sp_gss_complaint *complaint)
{
    OM_uint32 minor = 0;
    OM_uint32 major = acquire(&oid_ntlmssp, GSS_C_NO_NAME, NULL, cred_out, &minor);

    if (!GSS_ERROR(major) && cred_has(*cred_out, &oid_ntlmssp))
        return SP_OK;
    sp_gss_complain(
        complaint, "mechanisms",
        "\"ntlmssp\" is not available: install gss-ntlmssp, and give it winbind or a user "
        "file (NTLM_USER_FILE in the service's environment)");
    return SP_ERR_NOT_FOUND;
}

static size_t creds_wanted(void)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    size_t wanted = cpus > 0 ? (size_t)cpus * 2 : CREDS_MIN;

    return wanted < CREDS_MIN ? CREDS_MIN : wanted > CREDS_MAX ? CREDS_MAX : wanted;
}

static enum sp_err mapper_init(struct sp_gss_mapper *mapper, struct sp_gss_complaint *complaint)
{
    if (pthread_mutex_init(&mapper->lock, NULL) == 0) {
        if (krb5_init_context(&mapper->krb5) == 0)
            return SP_OK;
        (void)pthread_mutex_destroy(&mapper->lock);
        mapper->krb5 = NULL;
    }
    sp_gss_complain(complaint, NULL, "out of memory");
    return SP_ERR_NOMEM;
}

static void mapper_fini(struct sp_gss_mapper *mapper)
{
    if (mapper->krb5 == NULL)
        return;
    krb5_free_context(mapper->krb5);
    (void)pthread_mutex_destroy(&mapper->lock);
}

static enum sp_err acquire_all(struct sp_gss_keys *keys, const struct sp_gss_keys_source *source,
                               const char *memory, struct sp_gss_complaint *complaint)
{
    gss_name_t name = GSS_C_NO_NAME;
    OM_uint32 minor;
    enum sp_err err;

    keys->creds_len = creds_wanted();
    keys->krb5_creds = calloc(keys->creds_len, sizeof *keys->krb5_creds);
    keys->ntlm_creds = calloc(keys->creds_len, sizeof *keys->ntlm_creds);
    keys->mappers = calloc(keys->creds_len, sizeof *keys->mappers);
    if (keys->krb5_creds == NULL || keys->ntlm_creds == NULL || keys->mappers == NULL) {
        sp_gss_complain(complaint, NULL, "out of memory");
        return SP_ERR_NOMEM;
    }
    err = import_service(source->service, &name, complaint);
    for (size_t i = 0; i < keys->creds_len && err == SP_OK; i++) {
        if (source->krb5)
            err = mapper_init(&keys->mappers[i], complaint);
        if (source->krb5 && err == SP_OK)
            err = acquire_krb5(source, memory, name, &keys->krb5_creds[i], complaint);
        if (source->ntlmssp && err == SP_OK)
            err = acquire_ntlm(&keys->ntlm_creds[i], complaint);
    }
    if (name != GSS_C_NO_NAME)
        (void)gss_release_name(&minor, &name);
    return err;
}

/* ---- a generation ---- */

static void keys_free(struct sp_gss_keys *keys)
{
    OM_uint32 minor;

    for (size_t i = 0; i < keys->creds_len; i++) {
        if (keys->krb5_creds != NULL)
            (void)gss_release_cred(&minor, &keys->krb5_creds[i]);
        if (keys->ntlm_creds != NULL)
            (void)gss_release_cred(&minor, &keys->ntlm_creds[i]);
        if (keys->mappers != NULL)
            mapper_fini(&keys->mappers[i]);
    }
    for (size_t i = 0; i < keys->len; i++)
        free(keys->list[i].principal);
    free(keys->krb5_creds);
    free(keys->ntlm_creds);
    free(keys->mappers);
    free(keys->list);
    free(keys);
}

/* The copy in memory lives as long as a handle to it is open: ours until the credentials have
 * theirs. */
static enum sp_err keys_fill(struct sp_gss_keys *keys, krb5_context krb5,
                             const struct sp_gss_keys_source *source,
                             struct sp_gss_complaint *complaint)
{
    static atomic_uint generation;
    krb5_keytab memory = NULL;
    const char *name = keys->memory;
    enum sp_err err = SP_OK;

    (void)snprintf(keys->memory, sizeof keys->memory, "MEMORY:sallyport-%u",
                   atomic_fetch_add(&generation, 1));
    if (!source->krb5)
        return acquire_all(keys, source, name, complaint);
    if (krb5_kt_resolve(krb5, name, &memory) != 0) {
        sp_gss_complain(complaint, NULL, "out of memory");
        return SP_ERR_NOMEM;
    }
    err = sp_gss_keytab_readable(source->keytab, complaint);
    if (err == SP_OK)
        err = sp_gss_keytab_read(keys, krb5, source->keytab, memory, complaint);
    if (err == SP_OK && source->service[0] != '\0')
        err = sp_gss_keytab_serves(keys, krb5, source, complaint);
    if (err == SP_OK)
        err = acquire_all(keys, source, name, complaint);
    (void)krb5_kt_close(krb5, memory);
    return err;
}

struct sp_gss_keys *sp_gss_keys_new(const struct sp_gss_keys_source *source, const char **about_out,
                                    char *why, size_t why_cap)
{
    struct sp_gss_complaint complaint = {NULL, why, why_cap};
    struct sp_gss_keys *keys = calloc(1, sizeof *keys);
    krb5_context krb5 = NULL;
    enum sp_err err = SP_ERR_NOMEM;

    if (keys == NULL) {
        sp_gss_complain(&complaint, NULL, "out of memory");
    } else if (krb5_init_context(&krb5) != 0) {
        sp_gss_complain(
            &complaint, NULL,
            "the Kerberos library does not start: is krb5.conf (or the file that KRB5_CONFIG "
            "names) there, readable and well-formed?");
    } else {
        atomic_init(&keys->refs, 1);
        err = keys_fill(keys, krb5, source, &complaint);
    }
    if (krb5 != NULL)
        krb5_free_context(krb5);
    if (err != SP_OK && keys != NULL) {
        keys_free(keys);
        keys = NULL;
    }
    *about_out = complaint.about;
    return keys;
}

struct sp_gss_keys *sp_gss_keys_ref(struct sp_gss_keys *keys)
{
    atomic_fetch_add_explicit(&keys->refs, 1, memory_order_relaxed);
    return keys;
}

void sp_gss_keys_unref(struct sp_gss_keys **keys)
{
    struct sp_gss_keys *gone = *keys;

    *keys = NULL;
    if (gone != NULL && atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) == 1)
        keys_free(gone);
}

/* Threads are numbered as they come, for NTLM apart: a pool's few that compute do not meet. */
static size_t own_slot(const struct sp_gss_keys *keys, bool ntlm)
{
    static atomic_uint threads[2];
    static _Thread_local unsigned self[2]; /* 0: not numbered yet */

    if (self[ntlm] == 0)
        self[ntlm] = atomic_fetch_add_explicit(&threads[ntlm], 1, memory_order_relaxed) + 1;
    return self[ntlm] % keys->creds_len;
}

gss_cred_id_t sp_gss_keys_cred(const struct sp_gss_keys *keys, bool ntlm)
{
    return (ntlm ? keys->ntlm_creds : keys->krb5_creds)[own_slot(keys, ntlm)];
}

bool sp_gss_keys_localname(const struct sp_gss_keys *keys, const char *principal, char *out,
                           size_t cap)
{
    struct sp_gss_mapper *mapper = &keys->mappers[own_slot(keys, false)];
    krb5_principal parsed = NULL;
    krb5_error_code code;

    if (mapper->krb5 == NULL || cap > INT_MAX)
        return false;
    (void)pthread_mutex_lock(&mapper->lock);
    code = krb5_parse_name(mapper->krb5, principal, &parsed);
    if (code == 0)
        code = krb5_aname_to_localname(mapper->krb5, parsed, (int)cap, out);
    krb5_free_principal(mapper->krb5, parsed);
    (void)pthread_mutex_unlock(&mapper->lock);
    return code == 0 && out[0] != '\0';
}

const char *sp_gss_keys_memory(const struct sp_gss_keys *keys)
{
    return keys->memory;
}

const struct sp_gss_key *sp_gss_keys_list(const struct sp_gss_keys *keys, size_t *len_out)
{
    *len_out = keys->len;
    return keys->list;
}

/* Keys of one principal and version stand together in a keytab, so one pass groups them. */
const char *sp_gss_keys_words(const struct sp_gss_keys *keys, char *out, size_t cap)
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < keys->len && used < cap; i++) {
        const struct sp_gss_key *key = &keys->list[i];
        bool same = i > 0 && key[-1].kvno == key->kvno &&
                    strcmp(key[-1].principal, key->principal) == 0;
        bool last = i + 1 == keys->len || key[1].kvno != key->kvno ||
                    strcmp(key[1].principal, key->principal) != 0;
        char scratch[24];
        const char *etype = sp_gss_etype_name(key->etype, scratch);
        int len;

        if (same)
            len = snprintf(out + used, cap - used, ", %s%s", etype, last ? ")" : "");
        else
            len = snprintf(out + used, cap - used, "%s%s kvno %u (%s%s", i > 0 ? "; " : "",
                           key->principal, key->kvno, etype, last ? ")" : "");
        used += len > 0 ? (size_t)len : 0;
    }
    return out;
}
