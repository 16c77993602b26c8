/* Any bytes as a GSSAPI token: the X-ray reads within them, its words stay within their room, and
 * what it calls whole points into the token. */
#include "backends/gssapi/xray.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct sp_span part, struct sp_span whole)
{
    if (part.base != NULL && (part.base < whole.base || part.len > whole.len ||
                              part.base + part.len > whole.base + whole.len))
        abort();
}

static void check_words(const struct sp_gss_xray *xray)
{
    char wide[600], narrow[24];

    if (strlen(sp_gss_xray_words(xray, wide, sizeof wide)) >= sizeof wide ||
        strlen(sp_gss_xray_words(xray, narrow, sizeof narrow)) >= sizeof narrow)
        abort();
    for (const char *c = wide; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            abort(); /* a token must not write lines into the log */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct sp_span token = {(const char *)data, size};
    struct sp_gss_xray xray;

    sp_gss_xray_read(&xray, token);
    check_words(&xray);
    check_inside(xray.ticket.whole, token);
    check_inside(xray.ticket.realm, token);
    check_inside(xray.ticket.authenticator, token);
    for (unsigned i = 0; i < xray.ticket.parts_len; i++)
        check_inside(xray.ticket.parts[i], token);
    if (xray.whole && xray.inner == SP_GSS_INNER_AP_REQ && xray.ticket.authenticator.len == 0)
        abort(); /* an AP-REQ that the replay table could not tell from another */
    return 0;
}
