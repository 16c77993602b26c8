/* Proxy-Authorization values of any bytes: whatever is taken for a Basic credential keeps every
 * promise that backends rely on. */
#include "auth/credential.h"
#include "util/span.h"
#include "util/text.h"

#include <stdlib.h>

static void must(bool true_always)
{
    if (!true_always)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_credential credential;
    struct sp_basic basic;
    const char *why = NULL;

    sp_credential_parse(sp_span_of((const char *)data, size), &credential);
    must(credential.token.len <= size);
    if (credential.kind != SP_CREDENTIAL_BASIC)
        return 0;
    if (sp_basic_decode(&basic, credential.token, &why)) {
        must(basic.user.len > 0 && basic.user.len <= SP_BASIC_USER_MAX);
        must(basic.password.len > 0 && basic.password.len <= SP_BASIC_PASSWORD_MAX);
        must(sp_text_is_utf8(basic.user) && sp_text_is_utf8(basic.password));
        must(!sp_text_has_control(basic.user) && !sp_text_has_control(basic.password));
        must(memchr(basic.user.base, ':', basic.user.len) == NULL);
    } else {
        must(why != NULL);
    }
    sp_basic_fini(&basic);
    return 0;
}
