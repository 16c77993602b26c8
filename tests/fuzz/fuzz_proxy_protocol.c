/* PROXY protocol headers. Whatever the bytes: what follows a whole header does not change it, each
 * beginning of it asks for more, and what was refused is refused however it goes on. */
#include "net/proxy_protocol.h"

#include "util/span.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void must_be_whole(struct sp_span bytes, const struct sp_proxy_header *header)
{
    struct sp_proxy_header again;

    must(header->len > 0 && header->len <= bytes.len && header->len <= SP_PROXY_HEADER_MAX);
    must(sp_proxy_header_parse(sp_span_of(bytes.base, header->len), &again) == SP_OK);
    must(memcmp(header, &again, sizeof(again)) == 0);
    for (size_t len = header->len; len-- > 0;)
        must(sp_proxy_header_parse(sp_span_of(bytes.base, len), &again) == SP_ERR_AGAIN);
}

/* Somewhere a beginning of it was refused first; from there on everything is. */
static void must_stay_refused(struct sp_span bytes)
{
    struct sp_proxy_header header;
    bool refused = false;

    for (size_t len = 1; len <= bytes.len; len++) {
        enum sp_err err = sp_proxy_header_parse(sp_span_of(bytes.base, len), &header);

        must(err != SP_OK);
        must(!refused || err != SP_ERR_AGAIN);
        refused = refused || err != SP_ERR_AGAIN;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_proxy_header header;
    struct sp_span bytes = sp_span_of((const char *)data, size);
    enum sp_err err;

    if (size > SP_PROXY_HEADER_MAX + 64)
        return 0;
    err = sp_proxy_header_parse(bytes, &header);
    if (err == SP_OK)
        must_be_whole(bytes, &header);
    else if (err != SP_ERR_AGAIN)
        must_stay_refused(bytes);
    else
        must(size <= SP_PROXY_HEADER_MAX);
    return 0;
}
