/* Any bytes in a record of the access log: whatever a client calls itself or asks for, its line is
 * one line, of the length that was reserved, and the JSON one is an object with those values and
 * no others. */
#include "log/log_priv.h"
#include "util/span.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void must_be_json(struct sp_span line)
{
    static const char *const texts[] = {"user", "target", "method", "rule", "listener", "id"};
    json_t *object = json_loadb(line.base, line.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);

    must(object != NULL && json_is_object(object) && json_object_size(object) == 19);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        must(json_is_string(json_object_get(object, texts[i])));
    must(json_integer_value(json_object_get(object, "status")) == 407);
    json_decref(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct sp_span text = {size > 0 ? (const char *)data : "", size};
    const struct sp_span half = {text.base + size / 2, size - size / 2};
    const struct sp_access_record record = {.ts_ms = 1763985600123u,
                                            .id = SP_SPAN_LIT("abc"),
                                            .listener = SP_SPAN_LIT("127.0.0.1:3128"),
                                            .user = text,
                                            .method = half,
                                            .target = text,
                                            .rule = half,
                                            .minor = 1,
                                            .status = 407,
                                            .reason = SP_REASON_BAD_CREDENTIALS,
                                            .referer = half,
                                            .user_agent = text,
                                            .type = half};

    if (size > 2048)
        return 0;
    for (enum sp_log_format format = SP_LOG_JSON; format <= SP_LOG_COMBINED; format++) {
        struct sp_stamp stamp = {.valid = false};
        size_t room = sp_access_bound(&record);
        char *out = malloc(room);
        size_t len;

        must(out != NULL);
        len = sp_access_format(format, &stamp, &record, out);
        must(len > 0 && len <= room && memchr(out, '\n', len) == out + len - 1);
        for (size_t i = 0; i + 1 < len; i++)
            must((unsigned char)out[i] >= 0x20 && out[i] != 0x7f);
        if (format == SP_LOG_JSON)
            must_be_json(sp_span_of(out, len));
        free(out);
    }
    return 0;
}
