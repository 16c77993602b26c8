/* Reads a keytab and makes credentials of it: at start, on reload, in `check`, and on a pool thread
 * when the file changed. No environment variable is touched: keytab and replay cache are named
 * through the credential store. */
#include "backends/gssapi/keys.h"

#include "backends/gssapi/gssapi_priv.h"
#include "util/err.h"
#include "util/span.h"
#include "util/text.h"

#include <errno.h>
#include <limits.h>
#include <gssapi/gssapi_krb5.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CREDS_MIN 4u
#define CREDS_MAX 64u
#define KEYS_MAX  4096u /* a keytab with more is a mistake */

/* A library context for mapping names. It serves one thread at a time. */
struct mapper {
    pthread_mutex_t lock;
    krb5_context krb5; /* NULL: not made */
};

struct sp_gss_keys {
    atomic_uint refs;
    struct sp_gss_key *list;
    size_t len;
    gss_cred_id_t *krb5_creds; /* creds_len of each kind that was asked for */
    gss_cred_id_t *ntlm_creds;
    struct mapper *mappers; /* creds_len too */
    size_t creds_len;
    char memory[64]; /* the name of the copy, which the credentials hold open */
};

/* Where what went wrong is written. */
struct complaint {
    const char *about; /* the option */
    char *text;
    size_t cap;
};

static SP_PRINTF(3, 4) void complain(struct complaint *complaint, const char *about,
                                     const char *fmt, ...)
{
    va_list args;

    complaint->about = about;
    va_start(args, fmt);
    (void)vsnprintf(complaint->text, complaint->cap, fmt, args);
    va_end(args);
}

/* ---- the keytab ---- */

/* Said plainly before the library is asked, whose words for it are "Key table file not found". */
static enum sp_err file_readable(const char *path, struct complaint *complaint)
{
    struct passwd self, *found = NULL;
    char names[1024]; /* a longer record's name is left unsaid */
    const char *who = "the proxy's user";

    if (access(path, R_OK) == 0)
        return SP_OK;
    if (errno == EACCES) {
        if (getpwuid_r(geteuid(), &self, names, sizeof names, &found) == 0 && found != NULL)
            who = found->pw_name;
        complain(complaint, "keytab",
                 "%s: permission denied for %s; make it readable: chown %s and chmod 400, "
                 "and every folder above it must let %s through",
                 path, who, who, who);
    } else {
        complain(complaint, "keytab", "%s: %s", path, strerror(errno));
    }
    return SP_ERR_IO;
}

static enum sp_err keep_key(struct sp_gss_keys *keys, krb5_context krb5,
                            const krb5_keytab_entry *entry)
{
    struct sp_gss_key *grown;
    char *principal = NULL;

    if (keys->len >= KEYS_MAX)
        return SP_ERR_TOO_LARGE;
    grown = realloc(keys->list, (keys->len + 1) * sizeof *grown);
    if (grown == NULL)
        return SP_ERR_NOMEM;
    keys->list = grown;
    if (krb5_unparse_name(krb5, entry->principal, &principal) != 0)
        return SP_ERR_NOMEM;
    grown[keys->len] = (struct sp_gss_key){sp_span_dup(sp_span_cstr(principal)), entry->vno,
                                           entry->key.enctype};
    krb5_free_unparsed_name(krb5, principal);
    if (grown[keys->len].principal == NULL)
        return SP_ERR_NOMEM;
    keys->len++;
    return SP_OK;
}

/* Every key of `from` into `to`, and into the list. krb5_error_code, or an sp_err through err_out.
 */
static krb5_error_code copy_keys(struct sp_gss_keys *keys, krb5_context krb5, krb5_keytab from,
                                 krb5_keytab to, enum sp_err *err_out)
{
    krb5_keytab_entry entry;
    krb5_kt_cursor cursor;
    krb5_error_code code = krb5_kt_start_seq_get(krb5, from, &cursor);

    *err_out = SP_OK;
    if (code != 0)
        return code;
    while (*err_out == SP_OK && (code = krb5_kt_next_entry(krb5, from, &entry, &cursor)) == 0) {
        code = krb5_kt_add_entry(krb5, to, &entry);
        if (code == 0)
            *err_out = keep_key(keys, krb5, &entry);
        (void)krb5_free_keytab_entry_contents(krb5, &entry);
        if (code != 0)
            break;
    }
    (void)krb5_kt_end_seq_get(krb5, from, &cursor);
    return code == KRB5_KT_END ? 0 : code;
}

static enum sp_err read_keytab(struct sp_gss_keys *keys, krb5_context krb5, const char *path,
                               krb5_keytab memory, struct complaint *complaint)
{
    char name[4096 + 8];
    krb5_keytab file = NULL;
    krb5_error_code code;
    enum sp_err err = SP_OK;

    if ((size_t)snprintf(name, sizeof name, "FILE:%s", path) >= sizeof name) {
        complain(complaint, "keytab", "the path is too long");
        return SP_ERR_TOO_LARGE;
    }
    code = krb5_kt_resolve(krb5, name, &file);
    if (code == 0)
        code = copy_keys(keys, krb5, file, memory, &err);
    if (code != 0) {
        const char *words = krb5_get_error_message(krb5, code);

        complain(complaint, "keytab", "%s is not a keytab that can be read: %s", path, words);
        krb5_free_error_message(krb5, words);
        err = SP_ERR_INVALID;
    } else if (err != SP_OK) {
        complain(complaint, "keytab", "%s: %s", path, sp_err_text(err));
    } else if (keys->len == 0) {
        complain(complaint, "keytab",
                 "%s holds no key; make one for HTTP/<the proxy's full name> "
                 "(kadmin: ktadd -k FILE HTTP/proxy.example.com; AD: ktpass or msktutil)",
                 path);
        err = SP_ERR_INVALID;
    }
    if (file != NULL)
        (void)krb5_kt_close(krb5, file);
    return err;
}

/* ---- credentials ---- */

static gss_OID_desc oid_krb5 = {9, (void *)"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02"};
static gss_OID_desc oid_spnego = {6, (void *)"\x2b\x06\x01\x05\x05\x02"};
static gss_OID_desc oid_ntlmssp = {10, (void *)"\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a"};

/* "HTTP@host" names a host's service, anything with a slash is a whole principal. */
static enum sp_err import_service(const char *service, gss_name_t *name_out,
                                  struct complaint *complaint)
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
    complain(complaint, "service",
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

/* Does one of the keys match what a ticket for the named service would be for? NULL: not to be
 * known here, the library shall say. */
static krb5_principal service_principal(krb5_context krb5, const char *service)
{
    const char *at = strrchr(service, '@');
    krb5_principal wanted = NULL;
    krb5_error_code code;
    char *name;

    if (strchr(service, '/') != NULL)
        return krb5_parse_name(krb5, service, &wanted) == 0 ? wanted : NULL;
    if (at == NULL)
        return NULL; /* any host's */
    name = sp_span_dup(sp_span_of(service, (size_t)(at - service)));
    if (name == NULL)
        return NULL;
    code = krb5_sname_to_principal(krb5, at + 1, name, KRB5_NT_SRV_HST, &wanted);
    free(name);
    return code == 0 ? wanted : NULL;
}

/* Asked before the library is, which leaks (in 1.20) when the answer is no, and does not say what
 * there is instead. */
static enum sp_err check_service(const struct sp_gss_keys *keys, krb5_context krb5,
                                 const struct sp_gss_keys_source *source,
                                 struct complaint *complaint)
{
    krb5_principal wanted = service_principal(krb5, source->service);
    bool found = wanted == NULL;
    char words[300];

    for (size_t i = 0; i < keys->len && !found; i++) {
        krb5_principal have = NULL;

        if (krb5_parse_name(krb5, keys->list[i].principal, &have) == 0)
            found = krb5_sname_match(krb5, wanted, have) != 0;
        krb5_free_principal(krb5, have);
    }
    krb5_free_principal(krb5, wanted);
    if (found)
        return SP_OK;
    complain(complaint, "service", "%s has no key for %s; it has %s", source->keytab,
             source->service, sp_gss_keys_words(keys, words, sizeof words));
    return SP_ERR_NOT_FOUND;
}

static enum sp_err acquire_krb5(const struct sp_gss_keys_source *source, const char *memory,
                                gss_name_t name, gss_cred_id_t *cred_out,
                                struct complaint *complaint)
{
    OM_uint32 minor = 0;
    OM_uint32 major = acquire(&oid_krb5, name, memory, cred_out, &minor);
    char words[240];

    if (!GSS_ERROR(major) && cred_has(*cred_out, &oid_krb5))
        return SP_OK;
    (void)sp_gss_status_words(major, minor, words, sizeof words);
    if (source->service[0] != '\0')
        complain(complaint, "service", "%s has no key for %s (%s)", source->keytab, source->service,
                 words);
    else
        complain(complaint, "keytab", "no credential can be made from %s (%s)", source->keytab,
                 words);
    return SP_ERR_INVALID;
}

/* A configuration that says ntlmssp and silently lacks it would show as users who cannot log in. */
static enum sp_err acquire_ntlm(gss_cred_id_t *cred_out, struct complaint *complaint)
{
    OM_uint32 minor = 0;
    OM_uint32 major = acquire(&oid_ntlmssp, GSS_C_NO_NAME, NULL, cred_out, &minor);

    if (!GSS_ERROR(major) && cred_has(*cred_out, &oid_ntlmssp))
        return SP_OK;
    complain(complaint, "mechanisms",
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

static enum sp_err mapper_init(struct mapper *mapper, struct complaint *complaint)
{
    if (pthread_mutex_init(&mapper->lock, NULL) == 0) {
        if (krb5_init_context(&mapper->krb5) == 0)
            return SP_OK;
        (void)pthread_mutex_destroy(&mapper->lock);
        mapper->krb5 = NULL;
    }
    complain(complaint, NULL, "out of memory");
    return SP_ERR_NOMEM;
}

static void mapper_fini(struct mapper *mapper)
{
    if (mapper->krb5 == NULL)
        return;
    krb5_free_context(mapper->krb5);
    (void)pthread_mutex_destroy(&mapper->lock);
}

static enum sp_err acquire_all(struct sp_gss_keys *keys, const struct sp_gss_keys_source *source,
                               const char *memory, struct complaint *complaint)
{
    gss_name_t name = GSS_C_NO_NAME;
    OM_uint32 minor;
    enum sp_err err;

    keys->creds_len = creds_wanted();
    keys->krb5_creds = calloc(keys->creds_len, sizeof *keys->krb5_creds);
    keys->ntlm_creds = calloc(keys->creds_len, sizeof *keys->ntlm_creds);
    keys->mappers = calloc(keys->creds_len, sizeof *keys->mappers);
    if (keys->krb5_creds == NULL || keys->ntlm_creds == NULL || keys->mappers == NULL) {
        complain(complaint, NULL, "out of memory");
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
                             const struct sp_gss_keys_source *source, struct complaint *complaint)
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
        complain(complaint, NULL, "out of memory");
        return SP_ERR_NOMEM;
    }
    err = file_readable(source->keytab, complaint);
    if (err == SP_OK)
        err = read_keytab(keys, krb5, source->keytab, memory, complaint);
    if (err == SP_OK && source->service[0] != '\0')
        err = check_service(keys, krb5, source, complaint);
    if (err == SP_OK)
        err = acquire_all(keys, source, name, complaint);
    (void)krb5_kt_close(krb5, memory);
    return err;
}

struct sp_gss_keys *sp_gss_keys_new(const struct sp_gss_keys_source *source, const char **about_out,
                                    char *why, size_t why_cap)
{
    struct complaint complaint = {NULL, why, why_cap};
    struct sp_gss_keys *keys = calloc(1, sizeof *keys);
    krb5_context krb5 = NULL;
    enum sp_err err = SP_ERR_NOMEM;

    if (keys == NULL) {
        complain(&complaint, NULL, "out of memory");
    } else if (krb5_init_context(&krb5) != 0) {
        complain(&complaint, NULL,
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
    struct mapper *mapper = &keys->mappers[own_slot(keys, false)];
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
