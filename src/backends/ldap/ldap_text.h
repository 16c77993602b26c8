/* The ldap backend's dealings with text: what people typed, templates, filters, and the words that
 * Active Directory hides in its answers. Pure functions; any thread. Everything here meets bytes
 * from outside, so it is what tests/fuzz/fuzz_ldap_text.c feeds. */
#ifndef SP_LDAP_TEXT_H
#define SP_LDAP_TEXT_H

#include "sallyport/option.h"
#include "util/buf.h"

#include <stdbool.h>

enum sp_ldap_place { SP_LDAP_IN_FILTER, SP_LDAP_IN_DN };

/* A value as it may stand in a filter (RFC 4515 3) or as an attribute value in a DN (RFC 4514 2.4).
 */
enum sp_err sp_ldap_escape(struct sp_buf *out, enum sp_ldap_place place,
                           struct sp_span value) SP_MUST_CHECK;

/* Is every % in the template followed by one of `letters` or another %? On SP_ERR_INVALID
 * *offender_out is the sequence at fault ("%x", or "%" at the end). */
enum sp_err sp_ldap_template_check(const char *tmpl, const char *letters,
                                   struct sp_span *offender_out) SP_MUST_CHECK;
bool sp_ldap_template_has(const char *tmpl, char letter);
/* `tmpl` with %u and %d filled in, escaped for `place`, appended to out. */
enum sp_err sp_ldap_template_fill(struct sp_buf *out, enum sp_ldap_place place, const char *tmpl,
                                  struct sp_span user, struct sp_span dn) SP_MUST_CHECK;

/* Is this one whole filter by the grammar of RFC 4515 3, nested no deeper than 32? */
bool sp_ldap_filter_sound(struct sp_span filter);

/* What the backend calls the person who typed `typed` (see ops->name_of). */
enum sp_err sp_ldap_name_of(const struct sp_strings *domains, struct sp_span typed, char *out,
                            size_t cap, size_t *len_out) SP_MUST_CHECK;

/* The code in "... AcceptSecurityContext error, data 52e, v2580", as Active Directory (and Samba)
 * write it into the diagnostic message of a refused bind; 0 when there is none. */
unsigned sp_ldap_ad_code(const char *diagnostic);

#endif
