/* Chunked bodies. Fed at once and in small pieces, the payload, the trailers and the end are the
 * same, and memory stays bounded. */
#include "http/http.h"
#include "util/span.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void must(bool holds)
{
    if (!holds)
        abort();
}

struct outcome {
    enum sp_err err;
    bool done;
    size_t used;
    size_t payload_len;
    uint64_t payload_sum;
    size_t trailer_len;
};

static void feed_piece(struct sp_http_body *body, struct sp_span piece, struct outcome *out)
{
    struct sp_span data;
    const char *why;
    size_t used = 1;

    while (out->err == SP_OK && used > 0 && !body->done) {
        out->err = sp_http_body_feed(body, piece, &used, &data, &why);
        if (out->err != SP_OK) {
            must(out->err == SP_ERR_INVALID && why != NULL);
            return;
        }
        must(used <= piece.len && data.len <= used);
        for (size_t i = 0; i < data.len; i++)
            out->payload_sum = out->payload_sum * 31 + (uint8_t)data.base[i];
        out->payload_len += data.len;
        out->used += used;
        piece = sp_span_of(piece.base + used, piece.len - used);
    }
}

static struct outcome feed(struct sp_span bytes, size_t step)
{
    struct outcome out = {SP_OK, false, 0, 0, 0, 0};
    struct sp_http_body body;

    sp_http_body_init(&body, (struct sp_http_framing){SP_BODY_CHUNKED, 0});
    for (size_t at = 0; at < bytes.len && out.err == SP_OK && !body.done; at += step)
        feed_piece(&body,
                   sp_span_of(bytes.base + at, bytes.len - at < step ? bytes.len - at : step),
                   &out);
    out.done = body.done;
    out.trailer_len = body.trailer.len;
    must(body.trailer.cap <= 64 * 1024);
    sp_http_body_fini(&body);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_span bytes = sp_span_of((const char *)data, size);
    struct outcome whole;
    struct outcome bit;

    if (size == 0)
        return 0;
    whole = feed(bytes, size);
    bit = feed(bytes, 1);
    must(whole.err == bit.err && whole.done == bit.done);
    must(whole.payload_len == bit.payload_len && whole.payload_sum == bit.payload_sum);
    must(whole.err != SP_OK || (whole.used == bit.used && whole.trailer_len == bit.trailer_len));
    return 0;
}
