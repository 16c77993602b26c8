/* A body from one connection to another, with back-pressure by its very shape: nothing is read
 * while something read before has not been written, so at most one slab waits per direction.
 *
 * Payload is written from where it was read; what is not payload (heads, chunk sizes) goes through
 * a small buffer before it, and both leave in one writev. A long body of known length, or one that
 * lasts until the close, does not pass through this process at all where both ends can splice(2).
 */
#include "proxy/proxy_priv.h"

#include <sys/uio.h>

void sp_relay_init(struct sp_relay *relay, struct sp_proxy *proxy, struct sp_stream *from,
                   struct sp_buf *in, struct sp_stream *to, struct sp_buf *out,
                   struct sp_http_framing framing, bool chunked)
{
    *relay = (struct sp_relay){
        .proxy = proxy, .from = from, .to = to, .in = in, .out = out, .chunked = chunked};
    sp_http_body_init(&relay->body, framing);
}

void sp_relay_fini(struct sp_relay *relay)
{
    if (relay->proxy == NULL)
        return;
    if (relay->pipe != NULL)
        sp_pipe_give(relay->proxy->loop, &relay->pipe);
    sp_http_body_fini(&relay->body);
    relay->proxy = NULL;
}

bool sp_relay_holds(const struct sp_relay *relay)
{
    return relay->pipe != NULL || relay->data.len > 0 || relay->out->len > 0;
}

static enum sp_err append(struct sp_relay *relay, struct sp_span bytes)
{
    if (relay->out->base == NULL && sp_slab_lend(relay->proxy, relay->out, SLAB_SIZE) != SP_OK)
        return SP_ERR_NOMEM;
    return sp_buf_append(relay->out, bytes);
}

/* The size line before a chunk's payload; the CRLF after a chunk goes before the next one's. */
static enum sp_err begin_chunk(struct sp_relay *relay)
{
    char head[20];
    size_t len = sp_http_chunk_head(relay->data.len, head);

    if (relay->begun && append(relay, SP_SPAN_LIT("\r\n")) != SP_OK)
        return SP_ERR_NOMEM;
    relay->begun = true;
    return append(relay, sp_span_of(head, len));
}

static enum sp_err end_chunks(struct sp_relay *relay)
{
    if (relay->begun && append(relay, SP_SPAN_LIT("\r\n")) != SP_OK)
        return SP_ERR_NOMEM;
    if (append(relay, SP_SPAN_LIT("0\r\n")) != SP_OK)
        return SP_ERR_NOMEM;
    if (relay->body.trailer.len > 0 && append(relay, sp_buf_span(&relay->body.trailer)) != SP_OK)
        return SP_ERR_NOMEM;
    return append(relay, SP_SPAN_LIT("\r\n"));
}

/* Reads more of the source into `in`, which is empty. */
static enum sp_relay_result refill(struct sp_relay *relay)
{
    size_t read = 0;
    char *room;
    enum sp_err err;

    if (relay->in->base == NULL && sp_slab_lend(relay->proxy, relay->in, SLAB_SIZE) != SP_OK)
        return SP_RELAY_NO_MEMORY;
    if (sp_buf_reserve(relay->in, SLAB_SIZE, &room) != SP_OK)
        return SP_RELAY_NO_MEMORY;
    err = sp_stream_read(relay->from, room, SLAB_SIZE, &read);
    if (err == SP_ERR_AGAIN) {
        sp_slab_return(relay->proxy, relay->in);
        return SP_RELAY_WAIT_SOURCE;
    }
    if (err != SP_OK)
        return SP_RELAY_SOURCE_FAILED;
    sp_buf_commit(relay->in, read);
    if (read == 0) {
        size_t used;

        if (sp_http_body_feed(&relay->body, SP_SPAN_NONE, &used, &relay->data, &relay->why) !=
            SP_OK)
            return SP_RELAY_SOURCE_FAILED;
    }
    return SP_RELAY_DONE;
}

/* Takes the next piece of payload out of `in`. Afterwards data is there, or the body is done, or
 * `in` is used up. */
static enum sp_relay_result unwrap(struct sp_relay *relay)
{
    while (relay->data.len == 0 && !relay->body.done && relay->in->len > 0) {
        size_t used = 0;
        enum sp_err err = sp_http_body_feed(&relay->body, sp_buf_span(relay->in), &used,
                                            &relay->data, &relay->why);

        if (err != SP_OK)
            return err == SP_ERR_NOMEM ? SP_RELAY_NO_MEMORY : SP_RELAY_MALFORMED;
        relay->taken += used;
        if (relay->data.len == 0) {
            sp_buf_consume(relay->in, used);
            if (used == 0)
                break;
            continue;
        }
        relay->held = used;
        if (relay->chunked && begin_chunk(relay) != SP_OK)
            return SP_RELAY_NO_MEMORY;
    }
    return SP_RELAY_DONE;
}

static void written_data(struct sp_relay *relay, size_t len)
{
    relay->data.base += len;
    relay->data.len -= len;
    if (relay->data.len > 0)
        return;
    relay->data = SP_SPAN_NONE;
    sp_buf_consume(relay->in, relay->held);
    relay->held = 0;
}

/* Writes `out`, then data, in one call. */
static enum sp_relay_result drain(struct sp_relay *relay)
{
    struct sp_span head = sp_buf_span(relay->out);
    struct iovec parts[2];
    int parts_len = 0;
    size_t len = 0;
    size_t of_head;
    enum sp_err err;

    if (head.len > 0)
        parts[parts_len++] = (struct iovec){(void *)(uintptr_t)head.base, head.len};
    if (relay->data.len > 0)
        parts[parts_len++] = (struct iovec){(void *)(uintptr_t)relay->data.base, relay->data.len};
    if (parts_len == 0)
        return SP_RELAY_DONE;
    err = sp_stream_write(relay->to, parts, parts_len, &len);
    if (err == SP_ERR_AGAIN)
        return SP_RELAY_WAIT_SINK;
    if (err != SP_OK)
        return SP_RELAY_SINK_FAILED;
    relay->written += len;
    of_head = len < head.len ? len : head.len;
    if (of_head > 0) {
        sp_buf_consume(relay->out, of_head);
        if (relay->out->len == 0)
            sp_slab_return(relay->proxy, relay->out);
    }
    if (len > of_head)
        written_data(relay, len - of_head);
    return SP_RELAY_DONE;
}

/* Will what has not been read of the body go by the kernel? */
static bool rest_is_spliced(const struct sp_relay *relay)
{
    uint64_t read = relay->in->len;

    if (relay->chunked)
        return false;
    if (relay->body.kind != SP_BODY_UNTIL_CLOSE &&
        (relay->body.kind != SP_BODY_LENGTH || relay->body.left < read + SPLICE_FROM))
        return false;
    return sp_stream_can_splice(relay->from, relay->to);
}

static bool may_splice(const struct sp_relay *relay)
{
    return relay->in->len == 0 && relay->out->len == 0 && !relay->body.done &&
           rest_is_spliced(relay);
}

bool sp_relay_reads_on(const struct sp_relay *relay)
{
    if (relay->body.done || rest_is_spliced(relay))
        return false;
    return relay->body.kind != SP_BODY_LENGTH || relay->body.left > relay->in->len;
}

static enum sp_relay_result splice_out(struct sp_relay *relay)
{
    size_t len = 0;
    enum sp_err err = sp_stream_splice_out(relay->to, relay->pipe, &len);

    if (err == SP_ERR_AGAIN)
        return SP_RELAY_WAIT_SINK;
    if (err != SP_OK)
        return SP_RELAY_SINK_FAILED;
    relay->written += len;
    if (relay->pipe->filled == 0)
        sp_pipe_give(relay->proxy->loop, &relay->pipe);
    return SP_RELAY_DONE;
}

/* From the source into a pipe, which is held only while bytes are in it. */
static enum sp_relay_result splice_in(struct sp_relay *relay)
{
    struct sp_pipe *pipe = sp_pipe_take(relay->proxy->loop);
    uint64_t left = relay->body.kind == SP_BODY_LENGTH ? relay->body.left : UINT64_MAX;
    size_t len = 0;
    size_t used;
    enum sp_err err;

    if (pipe == NULL)
        return refill(relay); /* no descriptors left: through memory, then */
    err = sp_stream_splice_in(relay->from, pipe,
                              left < pipe->capacity ? (size_t)left : pipe->capacity, &len);
    if (err == SP_OK && len > 0) {
        relay->pipe = pipe;
        relay->taken += len;
        if (relay->body.kind == SP_BODY_LENGTH) {
            relay->body.left -= len;
            relay->body.done = relay->body.left == 0;
        }
        return SP_RELAY_DONE;
    }
    sp_pipe_give(relay->proxy->loop, &pipe);
    if (err == SP_ERR_AGAIN)
        return SP_RELAY_WAIT_SOURCE;
    if (err != SP_OK ||
        sp_http_body_feed(&relay->body, SP_SPAN_NONE, &used, &relay->data, &relay->why) != SP_OK)
        return SP_RELAY_SOURCE_FAILED;
    return SP_RELAY_DONE;
}

/* One move: write what waits, else take payload out of what was read, else read. */
static enum sp_relay_result move(struct sp_relay *relay, bool *finished)
{
    enum sp_relay_result result;

    if (relay->pipe != NULL)
        return splice_out(relay);
    result = unwrap(relay);
    if (result != SP_RELAY_DONE)
        return result;
    if (relay->body.done && relay->data.len == 0 && !relay->ended) {
        relay->ended = true;
        if (relay->chunked && end_chunks(relay) != SP_OK)
            return SP_RELAY_NO_MEMORY;
    }
    if (relay->out->len > 0 || relay->data.len > 0)
        return drain(relay);
    if (relay->ended) {
        *finished = true;
        return SP_RELAY_DONE;
    }
    return may_splice(relay) ? splice_in(relay) : refill(relay);
}

enum sp_relay_result sp_relay_run(struct sp_relay *relay)
{
    bool finished = false;

    for (int moves = 0; moves < RELAY_BUDGET; moves++) {
        enum sp_relay_result result = move(relay, &finished);

        if (result != SP_RELAY_DONE)
            return result;
        if (finished) {
            if (relay->in->len == 0)
                sp_slab_return(relay->proxy, relay->in);
            return SP_RELAY_DONE;
        }
    }
    return SP_RELAY_YIELD;
}
