/* c-ares' channel as a part of its loop, for resolve.c alone. */
#ifndef SP_NET_RESOLVE_CHANNEL_PRIV_H
#define SP_NET_RESOLVE_CHANNEL_PRIV_H

#include "net/loop.h"
#include "util/list.h"

#include <ares.h>

/* What c-ares does: each server is asked for 2.5 s, then all once more for 5 s. */
#define SP_RESOLVE_TRY_MS 2500
#define SP_RESOLVE_TRIES  2

/* Lives in its resolver. */
struct sp_resolve_channel {
    ares_channel ares;
    struct sp_loop *loop;
    struct sp_list sockets;
    struct sp_timer retry; /* c-ares' own deadlines */
    bool blind;            /* a socket of c-ares is not watched, for want of memory */
};

enum sp_err sp_resolve_channel_open(struct sp_resolve_channel *channel,
                                    struct sp_loop *loop) SP_MUST_CHECK;
/* At c-ares' next deadline, which each question and each answer may move. */
void sp_resolve_channel_wake(struct sp_resolve_channel *channel);
/* Every question under way is called back with ARES_EDESTRUCTION inside this call. */
void sp_resolve_channel_close(struct sp_resolve_channel *channel);

#endif
