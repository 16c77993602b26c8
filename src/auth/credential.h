/* What a Proxy-Authorization value says, strictly read (RFC 9110 11.4, RFC 7617, RFC 4559). Pure;
 * any thread. */
#ifndef SP_AUTH_CREDENTIAL_H
#define SP_AUTH_CREDENTIAL_H

#include "sallyport/base.h"

#include <stdbool.h>

#define SP_BASIC_USER_MAX     256u
#define SP_BASIC_PASSWORD_MAX 1024u
#define SP_BASIC_BYTES_MAX    (SP_BASIC_USER_MAX + 1 + SP_BASIC_PASSWORD_MAX)
#define SP_TOKEN_MAX          65536u /* decoded: a ticket with the largest PAC that Windows makes */

enum sp_credential_kind {
    SP_CREDENTIAL_NONE, /* nothing was sent */
    SP_CREDENTIAL_BASIC,
    SP_CREDENTIAL_NEGOTIATE,
    SP_CREDENTIAL_OTHER, /* a scheme that we do not speak, or no scheme at all */
};

struct sp_credential {
    enum sp_credential_kind kind;
    struct sp_span scheme; /* as sent */
    struct sp_span token;  /* token68, trimmed; not checked */
};
void sp_credential_parse(struct sp_span value, struct sp_credential *credential_out);

/* A user and a password in the clear: on the stack, and wiped by fini whatever happened. */
struct sp_basic {
    struct sp_span user;
    struct sp_span password;
    size_t raw_len, utf8_len; /* bytes to be wiped */
    char raw[SP_BASIC_BYTES_MAX + 3];
    char utf8[2 * SP_BASIC_BYTES_MAX];
};
/* False: not a credential that any backend shall see; *why_out has words. */
bool sp_basic_decode(struct sp_basic *basic, struct sp_span token, const char **why_out);
void sp_basic_fini(struct sp_basic *basic);

#endif
