/* Any bytes as a PAC's logon info: nothing is read outside them, every SID that is told has the
 * form of one, and what was read once is read the same again. */
#include "backends/gssapi/pac.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct told {
    size_t len;
    size_t bytes;
};

static void on_sid(void *owner, struct sp_span sid)
{
    struct told *told = owner;

    if (sid.len >= SP_GSS_SID_MAX || sid.len < 5 || strlen(sid.base) != sid.len ||
        memcmp(sid.base, "S-1-", 4) != 0 || strspn(sid.base, "S-0123456789xABCDEF") != sid.len)
        abort();
    told->len++;
    told->bytes += sid.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct sp_span bytes = {(const char *)data, size};
    struct told first = {0, 0}, second = {0, 0};
    enum sp_err err = sp_gss_pac_groups(bytes, on_sid, &first);

    if (sp_gss_pac_groups(bytes, on_sid, &second) != err || first.len != second.len ||
        first.bytes != second.bytes)
        abort();
    return 0;
}
