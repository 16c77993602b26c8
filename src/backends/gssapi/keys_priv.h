/* What the two files of a generation of keys share: keys.c (credentials, and its life) and keytab.c
 * (the file). */
#ifndef SP_GSSAPI_KEYS_PRIV_H
#define SP_GSSAPI_KEYS_PRIV_H

#include "backends/gssapi/keys.h"

#include <pthread.h>
#include <stdatomic.h>

/* A library context for mapping names. It serves one thread at a time. */
struct sp_gss_mapper {
    pthread_mutex_t lock;
    krb5_context krb5; /* NULL: not made */
};

struct sp_gss_keys {
    atomic_uint refs;
    struct sp_gss_key *list;
    size_t len;
    gss_cred_id_t *krb5_creds; /* creds_len of each kind that was asked for */
    gss_cred_id_t *ntlm_creds;
    struct sp_gss_mapper *mappers; /* creds_len too */
    size_t creds_len;
    char memory[64]; /* the name of the copy, which the credentials hold open */
};

/* Where what went wrong is written. */
struct sp_gss_complaint {
    const char *about; /* the option */
    char *text;
    size_t cap;
};

/* In words; what was said before is gone. */
void sp_gss_complain(struct sp_gss_complaint *complaint, const char *about, const char *fmt, ...)
    SP_PRINTF(3, 4);

/* ---- keytab.c; SP_OK, or the complaint is made ---- */

enum sp_err sp_gss_keytab_readable(const char *path,
                                   struct sp_gss_complaint *complaint) SP_MUST_CHECK;
/* Every key of the file into `memory`, and into the list. */
enum sp_err sp_gss_keytab_read(struct sp_gss_keys *keys, krb5_context krb5, const char *path,
                               krb5_keytab memory,
                               struct sp_gss_complaint *complaint) SP_MUST_CHECK;
/* Is one of them a key of the service? */
enum sp_err sp_gss_keytab_serves(const struct sp_gss_keys *keys, krb5_context krb5,
                                 const struct sp_gss_keys_source *source,
                                 struct sp_gss_complaint *complaint) SP_MUST_CHECK;

#endif
