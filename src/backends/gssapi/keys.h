/* One generation of the proxy's Kerberos keys: what a keytab held when it was read, and credentials
 * made of it. Immutable once made; reference-counted, so that a handshake keeps the generation that
 * it began with while a new one is taken up. Any thread. */
#ifndef SP_GSSAPI_KEYS_H
#define SP_GSSAPI_KEYS_H

#include "sallyport/base.h"

#include <gssapi/gssapi_ext.h>
#include <krb5.h>
#include <stdbool.h>

/* What the generation is made from. Borrowed for the call of sp_gss_keys_new. */
struct sp_gss_keys_source {
    const char *keytab;  /* path; used when krb5 is on */
    const char *service; /* "" any key; HTTP@host; or a whole principal */
    bool krb5;
    bool ntlmssp;
};

/* One key, without the key. */
struct sp_gss_key {
    char *principal; /* HTTP/proxy.corp.test@CORP.TEST */
    uint32_t kvno;
    int32_t etype;
};

struct sp_gss_keys;

/* Reads the keytab into memory and acquires credentials from the copy, so that no accept opens a
 * file. NULL: `why` says what is wrong and what to do, `*about_out` names the option at fault.
 * Blocks. */
struct sp_gss_keys *sp_gss_keys_new(const struct sp_gss_keys_source *source, const char **about_out,
                                    char *why, size_t why_cap) SP_MUST_CHECK;
struct sp_gss_keys *sp_gss_keys_ref(struct sp_gss_keys *keys);
void sp_gss_keys_unref(struct sp_gss_keys **keys);

/* The calling thread's credential for Kerberos or for NTLM, each for SPNEGO too; it must have been
 * asked for in the source. MIT's library holds a credential's lock for the whole of an accept, so
 * threads that shared one would take turns. */
gss_cred_id_t sp_gss_keys_cred(const struct sp_gss_keys *keys, bool ntlm);

/* What krb5.conf's auth_to_local makes of a principal; false where it makes nothing of it. The
 * library's own gss_localname opens a context for each call and, for a name that came through
 * SPNEGO, costs as much as the whole accept. */
bool sp_gss_keys_localname(const struct sp_gss_keys *keys, const char *principal, char *out,
                           size_t cap);

/* The keytab's copy, by the name that the library resolves while the generation lives. */
const char *sp_gss_keys_memory(const struct sp_gss_keys *keys);

const struct sp_gss_key *sp_gss_keys_list(const struct sp_gss_keys *keys, size_t *len_out);
/* "HTTP/p@R kvno 3 (aes256-cts-hmac-sha1-96, aes128-cts-hmac-sha1-96); HTTP/p@R kvno 2 (...)", cut
 * to what fits. Returns `out`. */
const char *sp_gss_keys_words(const struct sp_gss_keys *keys, char *out, size_t cap);

#endif
