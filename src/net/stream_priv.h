/* The inside of a stream, for the files of net/ (and its tests) alone.
 *
 * The flags can_read and can_write are what edge-triggered epoll demands of us: set by an event,
 * cleared only when the socket has said (by EAGAIN, or by a short answer that proves as much) that
 * nothing more is to be had, so that an edge is bound to follow. */
#ifndef SP_NET_STREAM_PRIV_H
#define SP_NET_STREAM_PRIV_H

#include "net/loop_priv.h"
#include "net/stream.h"

#define SP_STREAM_MAGIC 0x53747265u

struct sp_tls_link; /* tls_stream.c */

/* Owned by whoever made it; its memory goes back at the end of the turn in which it is closed. */
struct sp_stream {
    uint32_t magic;
    int fd; /* -1: closed */
    struct sp_watch watch;
    struct sp_loop *loop;
    struct sp_tls_link *tls; /* NULL: plain */
    sp_stream_ready_cb ready;
    void *owner;
    struct sp_soon soon; /* something wanted is already possible */
    struct sp_doomed doomed;
    struct sp_addr peer;
    uint8_t want; /* enum sp_stream_event */
    bool can_read : 1;
    bool can_write : 1;
    bool no_short : 1;    /* FIN, urgent data or an error is about: a short read proves nothing */
    bool gone : 1;        /* both directions are dead */
    bool gone_told : 1;   /* and the owner knows */
    bool ended : 1;       /* the peer's end has been read */
    bool reset : 1;       /* the end was not a clean one */
    bool shut : 1;        /* our direction has been ended */
    bool out_watched : 1; /* edges for writing are asked for */
    bool handshake : 1;   /* TLS is not there yet: the owner hears nothing */
    bool client : 1;      /* it was accepted: its events wait behind others */
};

/* A stream on a descriptor whose connect(2) is under way (connecting), or that is connected. `peer`
 * spares a getpeername(2). The descriptor is closed on failure too. */
struct sp_stream *sp_stream_adopt(struct sp_loop *loop, int fd, const struct sp_addr *peer,
                                  bool connecting) SP_MUST_CHECK;
/* Keep-alive on any TCP socket; a listening one hands it down. False: the kernel refuses. */
bool sp_socket_keep_alive(int fd);
/* What a failed call on the socket says. Marks the stream where the failure is final. */
enum sp_err sp_stream_fault(struct sp_stream *stream, int error);
/* The peer's direction has ended, cleanly unless it was reset before. */
enum sp_err sp_stream_ended(struct sp_stream *stream);
/* The socket has no room: SP_ERR_AGAIN, and an edge will come when it has. A socket that was
 * accepted asks for such edges only from here on: most never need one, and each would wake the loop
 * once in vain when it is new. SP_ERR_IO: the kernel refuses. */
enum sp_err sp_stream_no_room(struct sp_stream *stream);
/* Tells the owner soon, if something it wants is possible. */
void sp_stream_nudge(struct sp_stream *stream);

/* ---- tls_stream.c ---- */

enum sp_err sp_tls_read(struct sp_stream *stream, void *into, size_t room, size_t *len_out);
enum sp_err sp_tls_write(struct sp_stream *stream, const struct iovec *parts, int parts_len,
                         size_t *len_out);
enum sp_err sp_tls_shutdown(struct sp_stream *stream);
void sp_tls_close(struct sp_stream *stream, bool reset);
/* Has the kernel the keys of this direction, and the library nothing in hand that comes first? Then
 * bytes go past the library, which keeps the address of what it could not write. */
bool sp_tls_kernel_receives(const struct sp_stream *stream);
bool sp_tls_kernel_sends(const struct sp_stream *stream);
/* Events of the socket, before the owner hears of them. */
void sp_tls_on_events(struct sp_stream *stream, uint32_t events);
/* A record that is not data stopped a splice: let the library have it. */
enum sp_err sp_tls_read_record(struct sp_stream *stream, void *into, size_t room, size_t *len_out);

#endif
