/* Request heads. Besides not crashing: reading at once and cut in two anywhere agree; and what is
 * written on is read back as the same request (parse, write, parse), when it has left the parser.
 */
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

/* The first `cut` bytes, then all of them from another place. */
static enum sp_err read_in_two(struct sp_http_parser *parser, struct sp_span bytes, size_t cut,
                               struct sp_http_request *request, struct sp_http_fault *fault)
{
    char *first = malloc(cut > 0 ? cut : 1);
    enum sp_err err;

    must(first != NULL);
    memcpy(first, bytes.base, cut);
    sp_http_parser_reset(parser);
    err = sp_http_parse_request(parser, sp_span_of(first, cut), request, fault);
    free(first);
    return err == SP_ERR_AGAIN ? sp_http_parse_request(parser, bytes, request, fault) : err;
}

/* Into room of no byte more than it takes. */
static char *settle(const struct sp_http_parser *parser, struct sp_http_request *request)
{
    size_t size = request->head.fields_len * sizeof(struct sp_http_field);

    for (;; size++) {
        char *room = malloc(size > 0 ? size : 1);

        must(room != NULL);
        if (sp_http_request_settle(parser, request, room, size))
            return room;
        free(room);
    }
}

static void must_read_back(const struct sp_http_request *request)
{
    const struct sp_http_forward forward = {
        .via = SP_SPAN_LIT("fuzz"),
        .upgrade = true,
        .chunked = request->head.body.kind == SP_BODY_CHUNKED,
        .minor = 1,
    };
    struct sp_http_framing body = request->head.body;
    struct sp_http_limits roomy = {.head_size = 16384, .fields = 32, .target_size = 4096};
    struct sp_http_parser *second = sp_http_parser_new(&roomy);
    struct sp_http_request again;
    struct sp_http_fault fault;
    struct sp_buf out;

    must(second != NULL);
    sp_buf_init(&out, 16384);
    must(sp_http_write_request(&out, request, &forward) == SP_OK);
    must(sp_http_parse_request(second, sp_buf_span(&out), &again, &fault) == SP_OK);
    must(again.head.size == out.len);
    must(again.head.minor == 1);
    must(sp_span_eq(again.method_text, request->method_text));
    must(sp_span_eq(again.target.path, request->target.path));
    must(again.head.body.kind == body.kind && again.head.body.length == body.length);
    must(again.authorization.base == NULL);
    must(sp_http_find(&again.head, SP_FIELD_HOST) == &again.head.fields[0]);
    must(sp_http_via_has(&again.head, SP_SPAN_LIT("fuzz")));
    sp_buf_fini(&out);
    sp_http_parser_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_http_parser *parser = sp_http_parser_new(&limits);
    struct sp_span bytes = sp_span_of((const char *)data, size);
    struct sp_http_request request;
    struct sp_http_fault fault = {0, NULL};
    struct sp_http_fault other = {0, NULL};
    char *room = NULL;
    enum sp_err err;

    must(parser != NULL);
    err = sp_http_parse_request(parser, bytes, &request, &fault);
    /* every cut of a short head, some of a long one */
    for (size_t cut = 0; cut < size; cut += size / 64 + 1) {
        must(read_in_two(parser, bytes, cut, &request, &other) == err);
        /* a field that is one too many and odd as well is refused for what was seen first */
        must(err != SP_ERR_INVALID || fault.status == other.status || fault.status == 431 ||
             other.status == 431);
    }
    sp_http_parser_reset(parser);
    must(sp_http_parse_request(parser, bytes, &request, &fault) == err);
    must(err != SP_ERR_INVALID || fault.why != NULL);
    must(err != SP_ERR_AGAIN || size < limits.head_size);
    if (err == SP_OK)
        room = settle(parser, &request);
    sp_http_parser_free(&parser);
    if (err == SP_OK && request.target.form == SP_TARGET_ABSOLUTE)
        must_read_back(&request);
    free(room);
    return 0;
}
