/* Two of the three readers that run.py compares: ours and llhttp alone.
 *
 * Standard input holds messages: a byte for what it is ('Q' request, 'R' answer to GET, 'H' answer
 * to HEAD, 'C' chunked body), four bytes of length (little-endian), the bytes. For each, two lines
 * go to standard output, ours first: tab-separated "ok" and facts, "bad" and why, or "more". Bytes
 * are in hexadecimal. Behind the facts of a head that is accepted stands the head as we pass it on.
 */
#include "http/http.h"
#include "util/span.h"

#include <inttypes.h>
#include <llhttp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX ((size_t)64 * 1024)

static const struct sp_http_limits limits = {.head_size = 16384, .fields = 64, .target_size = 8192};

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    (void)fprintf(stderr, "readers: %s\n", what);
    exit(2);
}

static void put_hex(struct sp_span bytes)
{
    (void)putchar('\t');
    for (size_t i = 0; i < bytes.len; i++)
        (void)printf("%02x", (unsigned)(uint8_t)bytes.base[i]);
}

static void put_fields(const struct sp_http_head *head)
{
    (void)putchar('\t');
    for (size_t i = 0; i < head->fields_len; i++) {
        const struct sp_http_field *field = &head->fields[i];

        (void)printf("%s", i > 0 ? ";" : "");
        for (size_t at = 0; at < field->name.len; at++)
            (void)printf("%02x", (unsigned)(uint8_t)field->name.base[at]);
        (void)putchar('=');
        for (size_t at = 0; at < field->value.len; at++)
            (void)printf("%02x", (unsigned)(uint8_t)field->value.base[at]);
    }
}

static void put_head(const struct sp_http_head *head)
{
    static const char *const kinds[] = {"none", "length", "chunked", "close"};

    (void)printf("ok\t%zu\t%u\t%s\t%" PRIu64 "\t%d", head->size, head->minor,
                 kinds[head->body.kind], head->body.length, head->keep_alive);
    put_fields(head);
}

static void put_refusal(enum sp_err err, const struct sp_http_fault *fault)
{
    must(err == SP_ERR_AGAIN || err == SP_ERR_INVALID, "neither accepted nor refused");
    if (err == SP_ERR_AGAIN)
        (void)printf("more\n");
    else
        (void)printf("bad\t%d\t%s\n", fault->status, fault->why);
}

/* ---- ours ---- */

static void our_request(struct sp_http_parser *parser, struct sp_span bytes)
{
    struct sp_http_request request;
    struct sp_http_fault fault = {0, NULL};
    enum sp_err err = sp_http_parse_request(parser, bytes, &request, &fault);
    struct sp_http_forward forward = {.via = SP_SPAN_LIT("us"), .upgrade = true, .minor = 1};
    struct sp_buf out;

    if (err != SP_OK) {
        put_refusal(err, &fault);
        return;
    }
    put_head(&request.head);
    put_hex(request.method_text);
    put_hex(request.target.host);
    (void)printf("\t%u", (unsigned)request.target.port);
    put_hex(request.target.path);
    (void)printf("\t%d", request.expect_continue);
    sp_buf_init(&out, 2 * MESSAGE_MAX);
    if (request.target.form == SP_TARGET_ABSOLUTE) {
        forward.chunked = request.head.body.kind == SP_BODY_CHUNKED;
        must(sp_http_write_request(&out, &request, &forward) == SP_OK, "not written");
    }
    put_hex(sp_buf_span(&out));
    sp_buf_fini(&out);
    (void)putchar('\n');
}

static void our_response(struct sp_http_parser *parser, struct sp_span bytes,
                         enum sp_http_method method)
{
    struct sp_http_response response;
    struct sp_http_fault fault = {0, NULL};
    enum sp_err err = sp_http_parse_response(parser, bytes, method, &response, &fault);
    struct sp_http_forward forward = {.via = SP_SPAN_LIT("us"), .upgrade = true, .minor = 1};
    struct sp_buf out;

    if (err != SP_OK) {
        put_refusal(err, &fault);
        return;
    }
    put_head(&response.head);
    (void)printf("\t%d", response.status);
    put_hex(response.reason);
    forward.chunked = response.head.body.kind == SP_BODY_CHUNKED;
    sp_buf_init(&out, 2 * MESSAGE_MAX);
    must(sp_http_write_response(&out, &response, &forward) == SP_OK, "not written");
    put_hex(sp_buf_span(&out));
    sp_buf_fini(&out);
    (void)putchar('\n');
}

static void our_body(struct sp_span bytes)
{
    static char payload[MESSAGE_MAX];
    struct sp_http_body body;
    struct sp_span data;
    size_t payload_len = 0;
    size_t at = 0;
    size_t used = 1;
    const char *why = NULL;
    enum sp_err err = SP_OK;

    sp_http_body_init(&body, (struct sp_http_framing){SP_BODY_CHUNKED, 0});
    while (err == SP_OK && used > 0 && !body.done) {
        err = sp_http_body_feed(&body, sp_span_of(bytes.base + at, bytes.len - at), &used, &data,
                                &why);
        if (err == SP_OK && data.len > 0)
            memcpy(payload + payload_len, data.base, data.len);
        payload_len += err == SP_OK ? data.len : 0;
        at += used;
    }
    if (err != SP_OK) {
        (void)printf("bad\t400\t%s\n", why);
    } else if (!body.done) {
        (void)printf("more\n");
    } else {
        (void)printf("ok\t%zu", at);
        put_hex(sp_span_of(payload, payload_len));
        put_hex(sp_buf_span(&body.trailer));
        (void)putchar('\n');
    }
    sp_http_body_fini(&body);
}

/* ---- llhttp alone ---- */

static char llhttp_payload[MESSAGE_MAX];
static size_t llhttp_payload_len;

static int stop(llhttp_t *llhttp)
{
    (void)llhttp;
    return HPE_PAUSED;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t len)
{
    (void)llhttp;
    must(len <= MESSAGE_MAX - llhttp_payload_len, "a body longer than its message");
    memcpy(llhttp_payload + llhttp_payload_len, at, len);
    llhttp_payload_len += len;
    return HPE_OK;
}

static void put_llhttp_refusal(llhttp_errno_t err)
{
    if (err == HPE_OK)
        (void)printf("more\n");
    else
        (void)printf("bad\t400\t%s\n", llhttp_errno_name(err));
}

static void llhttp_head(struct sp_span bytes, llhttp_type_t type)
{
    static const llhttp_settings_t settings = {.on_headers_complete = stop};
    llhttp_errno_t err;
    const char *kind = "none";
    llhttp_t llhttp;

    llhttp_init(&llhttp, type, &settings);
    err = llhttp_execute(&llhttp, bytes.base, bytes.len);
    if (err != HPE_PAUSED) {
        put_llhttp_refusal(err);
        return;
    }
    if ((llhttp.flags & F_CHUNKED) != 0)
        kind = "chunked";
    else if ((llhttp.flags & F_CONTENT_LENGTH) != 0)
        kind = "length";
    (void)printf("ok\t%zu\t%s\t%" PRIu64 "\n", (size_t)(llhttp_get_error_pos(&llhttp) - bytes.base),
                 kind, (llhttp.flags & F_CONTENT_LENGTH) != 0 ? llhttp.content_length : 0);
}

static void llhttp_body(struct sp_span bytes)
{
    static const llhttp_settings_t settings = {.on_body = on_body, .on_message_complete = stop};
    static const char head[] = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    llhttp_errno_t err;
    llhttp_t llhttp;

    llhttp_payload_len = 0;
    llhttp_init(&llhttp, HTTP_REQUEST, &settings);
    must(llhttp_execute(&llhttp, head, sizeof head - 1) == HPE_OK, "llhttp has no head");
    err = llhttp_execute(&llhttp, bytes.base, bytes.len);
    if (err != HPE_PAUSED) {
        put_llhttp_refusal(err);
        return;
    }
    (void)printf("ok\t%zu", (size_t)(llhttp_get_error_pos(&llhttp) - bytes.base));
    put_hex(sp_span_of(llhttp_payload, llhttp_payload_len));
    (void)putchar('\n');
}

/* ---- messages ---- */

static void read_one(struct sp_http_parser *parser, int kind, struct sp_span bytes)
{
    sp_http_parser_reset(parser);
    switch (kind) {
    case 'Q':
        our_request(parser, bytes);
        llhttp_head(bytes, HTTP_REQUEST);
        break;
    case 'R':
    case 'H':
        our_response(parser, bytes, kind == 'H' ? SP_HTTP_HEAD : SP_HTTP_GET);
        llhttp_head(bytes, HTTP_RESPONSE);
        break;
    case 'C':
        our_body(bytes);
        llhttp_body(bytes);
        break;
    default: must(false, "a message of no kind");
    }
}

int main(void)
{
    struct sp_http_parser *parser = sp_http_parser_new(&limits);
    uint8_t length[4];
    int kind;

    must(parser != NULL, "out of memory");
    while ((kind = getchar()) != EOF) {
        size_t len;
        char *bytes;

        must(fread(length, 1, sizeof length, stdin) == sizeof length, "a message cut short");
        len = (size_t)length[0] | (size_t)length[1] << 8 | (size_t)length[2] << 16 |
              (size_t)length[3] << 24;
        must(len <= MESSAGE_MAX, "a message too long");
        bytes = malloc(len > 0 ? len : 1); /* exactly so long: a sanitizer sees a look past it */
        must(bytes != NULL && fread(bytes, 1, len, stdin) == len, "a message cut short");
        read_one(parser, kind, sp_span_of(bytes, len));
        free(bytes);
    }
    sp_http_parser_free(&parser);
    return 0;
}
