/* The groups in a ticket's PAC: KERB_VALIDATION_INFO ([MS-PAC] 2.5) as SIDs in text.
 *
 * Pure: no allocation, no library, any thread. It reads bytes that the Kerberos library has
 * verified, and yet trusts none of their lengths. */
#ifndef SP_GSSAPI_PAC_H
#define SP_GSSAPI_PAC_H

#include "sallyport/base.h"

#define SP_GSS_SID_MAX 208u /* "S-1-281474976710655", fifteen numbers of ten digits, NUL */

/* One SID: "S-1-5-21-1-2-3-513". Borrowed for the call; NUL-terminated. */
typedef void (*sp_gss_sid_fn)(void *owner, struct sp_span sid);

/* Each group that the person is in: those of the logon domain (GroupIds, and the primary group
 * where it is not among them), ExtraSids, and those of the resource domain. A membership that is
 * not enabled is left out. SP_ERR_INVALID: the bytes are no such structure, and what was told
 * before that was found is worth nothing. */
enum sp_err sp_gss_pac_groups(struct sp_span logon_info, sp_gss_sid_fn each,
                              void *owner) SP_MUST_CHECK;

#endif
