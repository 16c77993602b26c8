/* A keytab's file: can it be read, what keys are in it, and are they those of the service? Called
 * where a generation of keys is made (keys.c). */
#include "backends/gssapi/keys_priv.h"

#include "util/err.h"
#include "util/span.h"

#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEYS_MAX 4096u /* a keytab with more is a mistake */

void sp_gss_complain(struct sp_gss_complaint *complaint, const char *about, const char *fmt, ...)
{
    va_list args;

    complaint->about = about;
    va_start(args, fmt);
    (void)vsnprintf(complaint->text, complaint->cap, fmt, args);
    va_end(args);
}

/* Said plainly before the library is asked, whose words for it are "Key table file not found". */
enum sp_err sp_gss_keytab_readable(const char *path, struct sp_gss_complaint *complaint)
{
    struct passwd self, *found = NULL;
    char names[1024]; /* a longer record's name is left unsaid */
    const char *who = "the proxy's user";

    if (access(path, R_OK) == 0)
        return SP_OK;
    if (errno == EACCES) {
        if (getpwuid_r(geteuid(), &self, names, sizeof names, &found) == 0 && found != NULL)
            who = found->pw_name;
        sp_gss_complain(complaint, "keytab",
                        "%s: permission denied for %s; make it readable: chown %s and chmod 400, "
                        "and every folder above it must let %s through",
                        path, who, who, who);
    } else {
        sp_gss_complain(complaint, "keytab", "%s: %s", path, strerror(errno));
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

enum sp_err sp_gss_keytab_read(struct sp_gss_keys *keys, krb5_context krb5, const char *path,
                               krb5_keytab memory, struct sp_gss_complaint *complaint)
{
    char name[4096 + 8];
    krb5_keytab file = NULL;
    krb5_error_code code;
    enum sp_err err = SP_OK;

    if ((size_t)snprintf(name, sizeof name, "FILE:%s", path) >= sizeof name) {
        sp_gss_complain(complaint, "keytab", "the path is too long");
        return SP_ERR_TOO_LARGE;
    }
    code = krb5_kt_resolve(krb5, name, &file);
    if (code == 0)
        code = copy_keys(keys, krb5, file, memory, &err);
    if (code != 0) {
        const char *words = krb5_get_error_message(krb5, code);

        sp_gss_complain(complaint, "keytab", "%s is not a keytab that can be read: %s", path,
                        words);
        krb5_free_error_message(krb5, words);
        err = SP_ERR_INVALID;
    } else if (err != SP_OK) {
        sp_gss_complain(complaint, "keytab", "%s: %s", path, sp_err_text(err));
    } else if (keys->len == 0) {
        sp_gss_complain(complaint, "keytab",
                        "%s holds no key; make one for HTTP/<the proxy's full name> "
                        "(kadmin: ktadd -k FILE HTTP/proxy.example.com; AD: ktpass or msktutil)",
                        path);
        err = SP_ERR_INVALID;
    }
    if (file != NULL)
        (void)krb5_kt_close(krb5, file);
    return err;
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
enum sp_err sp_gss_keytab_serves(const struct sp_gss_keys *keys, krb5_context krb5,
                                 const struct sp_gss_keys_source *source,
                                 struct sp_gss_complaint *complaint)
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
    sp_gss_complain(complaint, "service", "%s has no key for %s; it has %s", source->keytab,
                    source->service, sp_gss_keys_words(keys, words, sizeof words));
    return SP_ERR_NOT_FOUND;
}
