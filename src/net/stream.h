/* One connected socket, plain or TLS, behind one shape. Lives and dies on one loop.
 *
 * The owner pulls: sp_stream_read and sp_stream_write do what can be done now and say SP_ERR_AGAIN
 * when nothing can. sp_stream_want names what the owner waits for; `ready` is then called, from the
 * loop and never from inside a call to this door, each time that may have become possible. Spurious
 * calls happen; the answer is to try and see SP_ERR_AGAIN. What is not wanted is remembered, not
 * delivered, and costs no system call.
 *
 * Close is immediate and idempotent; no callback comes after it. */
#ifndef SP_NET_STREAM_H
#define SP_NET_STREAM_H

#include "net/loop.h"
#include "util/addr.h"

#include <sys/uio.h>

struct sp_stream;
struct sp_tls_server; /* net/tls.h */

enum sp_stream_event {
    SP_STREAM_READ = 1,  /* bytes, or the end, can be read */
    SP_STREAM_WRITE = 2, /* bytes can be written */
    SP_STREAM_GONE = 4,  /* both directions are dead (reset, or closed by both); wanted or not, told
                            once if any is */
};

/* `events`: those of the wanted ones that may now be possible. */
typedef void (*sp_stream_ready_cb)(void *owner, unsigned events);

/* Takes over a connected, non-blocking descriptor (closed on failure too). NULL: out of memory or
 * out of epoll. */
struct sp_stream *sp_stream_new(struct sp_loop *loop, int fd) SP_MUST_CHECK;
/* May be called again when another owner takes the stream over. want starts at 0. */
void sp_stream_own(struct sp_stream *stream, sp_stream_ready_cb ready, void *owner);
/* The whole set of events that are wanted from now on. What is already possible is delivered soon.
 */
void sp_stream_want(struct sp_stream *stream, unsigned events);

/* SP_OK with *len_out > 0: bytes. SP_OK with 0: the peer has ended its direction. SP_ERR_AGAIN;
 * SP_ERR_CLOSED: reset; SP_ERR_IO: anything else. */
enum sp_err sp_stream_read(struct sp_stream *stream, void *into, size_t room,
                           size_t *len_out) SP_MUST_CHECK;
/* Writes as much as goes now. SP_OK with *len_out > 0 (perhaps less than all), SP_ERR_AGAIN,
 * SP_ERR_CLOSED, SP_ERR_IO. With TLS the bytes of a short write must be offered again unchanged. */
enum sp_err sp_stream_write(struct sp_stream *stream, const struct iovec *parts, int parts_len,
                            size_t *len_out) SP_MUST_CHECK;
/* Ends our direction (FIN; close_notify first with TLS). The other goes on. */
enum sp_err sp_stream_shutdown(struct sp_stream *stream) SP_MUST_CHECK;
/* Gone at once; sets *stream to NULL; closing NULL is normal. `reset`: with RST instead of FIN. */
void sp_stream_close(struct sp_stream **stream, bool reset);

/* Has the kernel look after the peer (60 s of silence, then four probes 15 s apart), as it does for
 * every accepted connection: for one that may wait without a deadline of ours finding out. */
void sp_stream_keep_alive(struct sp_stream *stream);

bool sp_stream_is_tls(const struct sp_stream *stream);
/* The peer has ended its direction and everything from it has been read? */
bool sp_stream_at_end(const struct sp_stream *stream);
/* An idle connection about to be reused: nothing to read, no end, no error seen so far? No system
 * call. */
bool sp_stream_is_quiet(const struct sp_stream *stream);
/* Is its descriptor one of the last there are (a sixteenth of the limit)? It may serve; kept idle,
 * it would be missing elsewhere. No system call. */
bool sp_stream_is_scarce(const struct sp_stream *stream);
const struct sp_addr *sp_stream_peer(const struct sp_stream *stream);

/* Kernel pipes, so that the bytes of a tunnel need not pass through this process. Taken only while
 * bytes wait. */
struct sp_pipe {
    struct sp_pipe *next;
    int rd, wr;
    size_t filled;   /* bytes in it now */
    size_t capacity; /* bytes it takes at most */
};
/* From this loop's small stock, or a new one; NULL: no descriptors left (copy instead). */
struct sp_pipe *sp_pipe_take(struct sp_loop *loop) SP_MUST_CHECK;
/* Back to the stock when empty, else closed. Sets *pipe to NULL. */
void sp_pipe_give(struct sp_loop *loop, struct sp_pipe **pipe);
/* Can bytes go from one to the other without us? Out of and into a plain socket they can; with TLS,
 * as far as the kernel has the keys of that direction. */
bool sp_stream_can_splice(const struct sp_stream *from, const struct sp_stream *to);
/* From the socket into the pipe, as much as goes; results as sp_stream_read. */
enum sp_err sp_stream_splice_in(struct sp_stream *stream, struct sp_pipe *pipe, size_t max,
                                size_t *len_out) SP_MUST_CHECK;
/* From the pipe into the socket; results as sp_stream_write. */
enum sp_err sp_stream_splice_out(struct sp_stream *stream, struct sp_pipe *pipe,
                                 size_t *len_out) SP_MUST_CHECK;

#endif
