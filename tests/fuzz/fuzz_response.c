/* Response heads, for a request of each kind. Reading at once and cut in two anywhere agree, and
 * what is written on is read back as the same answer. */
#include "http/http.h"
#include "util/span.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const struct sp_http_limits limits = {.head_size = 4096, .fields = 16, .target_size = 1024};

static void must(bool holds)
{
    if (!holds)
        abort();
}

static enum sp_err read_in_two(struct sp_http_parser *parser, struct sp_span bytes, size_t cut,
                               enum sp_http_method method, struct sp_http_response *response)
{
    struct sp_http_fault fault;
    char *first = malloc(cut > 0 ? cut : 1);
    enum sp_err err;

    must(first != NULL);
    memcpy(first, bytes.base, cut);
    sp_http_parser_reset(parser);
    err = sp_http_parse_response(parser, sp_span_of(first, cut), method, response, &fault);
    free(first);
    return err == SP_ERR_AGAIN ? sp_http_parse_response(parser, bytes, method, response, &fault)
                               : err;
}

static void must_read_back(const struct sp_http_response *response, enum sp_http_method method)
{
    const struct sp_http_forward forward = {
        .via = SP_SPAN_LIT("fuzz"),
        .upgrade = true,
        .chunked = response->head.body.kind == SP_BODY_CHUNKED,
        .minor = 1,
    };
    struct sp_http_limits roomy = {.head_size = 16384, .fields = 32, .target_size = 4096};
    struct sp_http_parser *second = sp_http_parser_new(&roomy);
    struct sp_http_response again;
    struct sp_http_fault fault;
    struct sp_buf out;

    must(second != NULL);
    sp_buf_init(&out, 16384);
    must(sp_http_write_response(&out, response, &forward) == SP_OK);
    must(sp_http_parse_response(second, sp_buf_span(&out), method, &again, &fault) == SP_OK);
    must(again.head.size == out.len);
    must(again.status == response->status);
    must(again.head.body.kind == response->head.body.kind);
    must(again.head.body.length == response->head.body.length);
    must(again.connection_auth == response->connection_auth);
    sp_buf_fini(&out);
    sp_http_parser_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum sp_http_method methods[] = {SP_HTTP_GET, SP_HTTP_HEAD};
    struct sp_http_parser *parser = sp_http_parser_new(&limits);
    struct sp_span bytes = sp_span_of((const char *)data, size);
    struct sp_http_response response;
    struct sp_http_fault fault;

    must(parser != NULL);
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        enum sp_err err;

        sp_http_parser_reset(parser);
        err = sp_http_parse_response(parser, bytes, methods[i], &response, &fault);
        /* every cut of a short head, some of a long one */
        for (size_t cut = 0; cut < size; cut += size / 64 + 1)
            must(read_in_two(parser, bytes, cut, methods[i], &response) == err);
        sp_http_parser_reset(parser);
        must(sp_http_parse_response(parser, bytes, methods[i], &response, &fault) == err);
        must(err != SP_ERR_AGAIN || size < limits.head_size);
        if (err == SP_OK)
            must_read_back(&response, methods[i]);
    }
    sp_http_parser_free(&parser);
    return 0;
}
