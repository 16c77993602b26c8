/* Bodies as they go by: how much of what has arrived is payload, and where the body ends.
 *
 * The chunked coding is read by a small machine of this room's own and not by llhttp: that one
 * keeps its own idea of the message around it, takes chunk extensions of any length, and hands
 * payload to callbacks, where a relay wants a span of the very bytes it is about to write. The
 * grammar is RFC 9112 7.1, without the white space that old recipients were asked to tolerate. */
#include "http/http_priv.h"

#include <string.h>

#define SIZE_DIGITS_MAX 16           /* more would not fit in 64 bits */
#define SIZE_LINE_MAX   1024         /* a chunk's size with its extensions */
#define TRAILER_MAX     (16u * 1024) /* the whole trailer section */

enum chunk_state {
    CHUNK_SIZE_FIRST, /* at least one digit */
    CHUNK_SIZE,
    CHUNK_EXT_NAME_FIRST, /* behind ';' */
    CHUNK_EXT_NAME,
    CHUNK_EXT_VALUE_FIRST, /* behind '=' */
    CHUNK_EXT_VALUE,
    CHUNK_EXT_QUOTED,
    CHUNK_EXT_ESCAPED,    /* behind '\\' within quotes */
    CHUNK_EXT_QUOTED_END, /* behind the closing quote */
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER, /* `left` counts the section's bytes from here on */
};

void sp_http_body_init(struct sp_http_body *body, struct sp_http_framing framing)
{
    body->kind = framing.kind;
    body->left = framing.kind == SP_BODY_LENGTH ? framing.length : 0;
    body->state = CHUNK_SIZE_FIRST;
    body->line_len = 0;
    body->done = framing.kind == SP_BODY_NONE ||
                 (framing.kind == SP_BODY_LENGTH && framing.length == 0);
    sp_buf_init(&body->trailer, TRAILER_MAX);
}

void sp_http_body_fini(struct sp_http_body *body)
{
    sp_buf_fini(&body->trailer);
}

/* ---- a chunk's size line ---- */

static const char *read_digit(struct sp_http_body *body, char c)
{
    if (body->line_len > SIZE_DIGITS_MAX)
        return "a chunk size of too many digits";
    body->left = body->left << 4 | sp_http_hex(c);
    if (body->left > INT64_MAX)
        return "a chunk size larger than any chunk";
    return NULL;
}

/* What may follow a complete size, extension name or extension value. */
static const char *read_line_rest(struct sp_http_body *body, char c, const char *why)
{
    if (c == '\r')
        body->state = CHUNK_SIZE_LF;
    else if (c == ';')
        body->state = CHUNK_EXT_NAME_FIRST;
    else
        return why;
    return NULL;
}

static const char *read_extension(struct sp_http_body *body, char c)
{
    static const char why[] = "a chunk extension that is not well-formed";
    bool token = sp_http_char_is(c, SP_CHAR_TOKEN);

    switch ((enum chunk_state)body->state) {
    case CHUNK_EXT_NAME_FIRST: body->state = CHUNK_EXT_NAME; return token ? NULL : why;
    case CHUNK_EXT_NAME:
        if (c == '=')
            body->state = CHUNK_EXT_VALUE_FIRST;
        return token || c == '=' ? NULL : read_line_rest(body, c, why);
    case CHUNK_EXT_VALUE_FIRST:
        body->state = c == '"' ? CHUNK_EXT_QUOTED : CHUNK_EXT_VALUE;
        return token || c == '"' ? NULL : why;
    case CHUNK_EXT_VALUE: return token ? NULL : read_line_rest(body, c, why);
    case CHUNK_EXT_QUOTED:
        if (c == '"')
            body->state = CHUNK_EXT_QUOTED_END;
        else if (c == '\\')
            body->state = CHUNK_EXT_ESCAPED;
        return sp_http_char_is(c, SP_CHAR_VALUE) ? NULL : why;
    case CHUNK_EXT_ESCAPED:
        body->state = CHUNK_EXT_QUOTED;
        return sp_http_char_is(c, SP_CHAR_VALUE) ? NULL : why;
    case CHUNK_EXT_QUOTED_END: return read_line_rest(body, c, why);
    case CHUNK_SIZE_FIRST:
    case CHUNK_SIZE:
    case CHUNK_SIZE_LF:
    case CHUNK_DATA:
    case CHUNK_DATA_CR:
    case CHUNK_DATA_LF:
    case CHUNK_TRAILER: break;
    }
    return why;
}

/* One byte of the framing around chunks. */
static const char *read_framing(struct sp_http_body *body, char c)
{
    switch ((enum chunk_state)body->state) {
    case CHUNK_SIZE_FIRST:
        body->state = CHUNK_SIZE;
        body->left = 0;
        return sp_http_char_is(c, SP_CHAR_HEX) ? read_digit(body, c)
                                               : "a chunk without a hexadecimal size";
    case CHUNK_SIZE:
        return sp_http_char_is(c, SP_CHAR_HEX)
                   ? read_digit(body, c)
                   : read_line_rest(body, c, "a chunk size that is not a hexadecimal number");
    case CHUNK_SIZE_LF:
        body->state = body->left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
        body->line_len = 0;
        return c == '\n' ? NULL : "a chunk size line with a bare CR";
    case CHUNK_DATA_CR:
        body->state = CHUNK_DATA_LF;
        return c == '\r' ? NULL : "a chunk longer than its size";
    case CHUNK_DATA_LF:
        body->state = CHUNK_SIZE_FIRST;
        body->line_len = 0;
        return c == '\n' ? NULL : "a chunk that ends in a bare CR";
    case CHUNK_EXT_NAME_FIRST:
    case CHUNK_EXT_NAME:
    case CHUNK_EXT_VALUE_FIRST:
    case CHUNK_EXT_VALUE:
    case CHUNK_EXT_QUOTED:
    case CHUNK_EXT_ESCAPED:
    case CHUNK_EXT_QUOTED_END: return read_extension(body, c);
    case CHUNK_DATA:
    case CHUNK_TRAILER: break;
    }
    return "a chunk that is not well-formed";
}

/* ---- trailers ---- */

/* A whole trailer line, CRLF included: keep it, or take it out again. */
static const char *judge_trailer(struct sp_http_body *body, struct sp_span line)
{
    const char *colon = memchr(line.base, ':', line.len);
    struct sp_span name;

    if (line.len < 2 || line.base[line.len - 2] != '\r')
        return "a trailer line that ends in a bare LF";
    if (colon == NULL)
        return "a trailer line without a colon";
    name = sp_span_of(line.base, (size_t)(colon - line.base));
    if (!sp_http_is_token(name))
        return "a trailer field's name is not a token";
    if (!sp_http_is_value(sp_span_of(colon + 1, line.len - name.len - 3)))
        return "a control character in a trailer field";
    if (sp_http_field_is_barred_from_trailer(name))
        body->trailer.len -= line.len;
    return NULL;
}

/* Takes up to and including the next LF. */
static enum sp_err read_trailer(struct sp_http_body *body, struct sp_span in, size_t *used_out,
                                const char **why_out)
{
    const char *lf = memchr(in.base, '\n', in.len);
    size_t len = lf != NULL ? (size_t)(lf - in.base) + 1 : in.len;
    struct sp_span kept;
    enum sp_err err;

    *why_out = "a trailer section that is too large";
    if (len > TRAILER_MAX - body->left)
        return SP_ERR_INVALID;
    err = sp_buf_append(&body->trailer, sp_span_of(in.base, len));
    if (err != SP_OK)
        return err == SP_ERR_NOMEM ? SP_ERR_NOMEM : SP_ERR_INVALID;
    body->left += len;
    body->line_len += (unsigned)len;
    *used_out += len;
    if (lf == NULL)
        return SP_OK;
    kept = sp_buf_span(&body->trailer);
    kept = sp_span_of(kept.base + kept.len - body->line_len, body->line_len);
    body->line_len = 0;
    if (kept.len == 2 && kept.base[0] == '\r') { /* the empty line */
        body->trailer.len -= 2;
        body->done = true;
        return SP_OK;
    }
    *why_out = judge_trailer(body, kept);
    return *why_out == NULL ? SP_OK : SP_ERR_INVALID;
}

/* ---- feeding ---- */

static enum sp_err feed_chunked(struct sp_http_body *body, struct sp_span in, size_t *used_out,
                                struct sp_span *data_out, const char **why_out)
{
    while (*used_out < in.len && !body->done) {
        struct sp_span rest = sp_span_of(in.base + *used_out, in.len - *used_out);

        if (body->state == CHUNK_DATA) {
            size_t take = rest.len < body->left ? rest.len : (size_t)body->left;

            *data_out = sp_span_of(rest.base, take);
            *used_out += take;
            body->left -= take;
            if (body->left == 0)
                body->state = CHUNK_DATA_CR;
            return SP_OK; /* one span of payload a call */
        }
        if (body->state == CHUNK_TRAILER) {
            enum sp_err err = read_trailer(body, rest, used_out, why_out);

            if (err != SP_OK)
                return err;
            continue;
        }
        *why_out = "a chunk size line that is too long";
        if (++body->line_len > SIZE_LINE_MAX)
            return SP_ERR_INVALID;
        *why_out = read_framing(body, rest.base[0]);
        if (*why_out != NULL)
            return SP_ERR_INVALID;
        ++*used_out;
    }
    return SP_OK;
}

enum sp_err sp_http_body_feed(struct sp_http_body *body, struct sp_span in, size_t *used_out,
                              struct sp_span *data_out, const char **why_out)
{
    *used_out = 0;
    *data_out = sp_span_of(in.base, 0);
    *why_out = NULL;
    if (in.base == NULL) {
        if (body->kind == SP_BODY_UNTIL_CLOSE)
            body->done = true;
        return body->done ? SP_OK : SP_ERR_CLOSED;
    }
    switch (body->kind) {
    case SP_BODY_NONE: return SP_OK;
    case SP_BODY_CHUNKED: return feed_chunked(body, in, used_out, data_out, why_out);
    case SP_BODY_LENGTH:
        *used_out = in.len < body->left ? in.len : (size_t)body->left;
        body->left -= *used_out;
        body->done = body->left == 0;
        break;
    case SP_BODY_UNTIL_CLOSE: *used_out = in.len; break;
    }
    *data_out = sp_span_of(in.base, *used_out);
    return SP_OK;
}

size_t sp_http_chunk_head(uint64_t len, char out[20])
{
    static const char digits[] = "0123456789abcdef";
    unsigned shift = 60;
    size_t at = 0;

    while (shift > 0 && len >> shift == 0)
        shift -= 4;
    for (;; shift -= 4) {
        out[at++] = digits[len >> shift & 15];
        if (shift == 0)
            break;
    }
    out[at++] = '\r';
    out[at++] = '\n';
    return at;
}
