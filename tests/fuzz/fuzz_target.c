/* Request targets. What is accepted has one spelling: written out again, it is understood as the
 * same place. The first byte of the input picks the method. */
#include "http/http_priv.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void must_be_one_spelling(const struct sp_http_target *target)
{
    struct sp_http_host again;
    struct sp_addr addr;
    char text[512];
    int len = snprintf(text, sizeof text, "%s%.*s%s", target->ipv6 ? "[" : "",
                       SP_SPAN_ARG(target->host), target->ipv6 ? "]" : "");

    must(len > 0 && (size_t)len < sizeof text);
    must(target->host.len > 0 && target->host.len <= SP_HTTP_HOST_MAX);
    must(target->port > 0);
    must(sp_http_host_parse(sp_span_of(text, (size_t)len), &again) == NULL);
    must(sp_span_eq(sp_span_of(again.text, again.len), target->host));
    must(again.is_ip == target->host_is_ip && again.ipv6 == target->ipv6);
    must(target->host_is_ip == (sp_addr_parse_ip(&addr, target->host) == SP_OK));
    must(!target->host_is_ip || sp_addr_same_ip(&addr, &target->addr));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum sp_http_method methods[] = {SP_HTTP_GET, SP_HTTP_CONNECT, SP_HTTP_OPTIONS};
    static const struct sp_http_limits limits = {
        .head_size = 4096, .fields = 4, .target_size = 1024};
    struct sp_http_parser *parser;
    struct sp_http_target target;
    struct sp_span text;

    if (size < 2)
        return 0;
    parser = sp_http_parser_new(&limits);
    must(parser != NULL);
    text = sp_span_of((const char *)data + 1, size - 1);
    if (sp_http_target_parse(parser, methods[data[0] % 3], text, &target) == SP_OK) {
        must(target.path.base != NULL || target.form == SP_TARGET_AUTHORITY);
        if (target.host.base != NULL)
            must_be_one_spelling(&target);
    } else {
        struct sp_span shown = sp_http_target_for_log(parser, text);

        must(shown.len <= text.len);
    }
    sp_http_parser_free(&parser);
    return 0;
}
