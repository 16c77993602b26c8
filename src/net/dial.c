/* Dialling: resolve, ask the owner about each address, race the connects (RFC 8305), give the
 * winner away or the most telling failure. Called by the exchange on the loop's thread. What is
 * told is told from a "soon" callback, so never inside sp_dial_start. */
#include "net/dial.h"

#include "net/stream_priv.h"
#include "util/span.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ATTEMPTS_MAX     8   /* addresses tried at most; who has more does not answer anyway */
#define ATTEMPT_DELAY_MS 250 /* RFC 8305 8, Connection Attempt Delay */
#define WHY_MAX          320 /* a name, an address, words */

enum dial_state {
    DIAL_RESOLVING,
    DIAL_CONNECTING,
    DIAL_FINISHED, /* `told` is queued */
};

/* How far one got: of several failures the farthest is told. */
enum dial_rank { RANK_NONE, RANK_DENIED, RANK_DNS, RANK_REFUSED, RANK_TIMEOUT, RANK_OURS };

struct attempt {
    struct sp_dial *dial;
    struct sp_stream *stream; /* NULL: not begun, or failed */
    struct sp_addr addr;
};

/* Owned by itself from start until `done` or cancel. */
struct sp_dial {
    enum dial_state state;
    struct sp_loop *loop;
    struct sp_resolve *resolve;
    sp_dialed_cb done;
    void *owner;
    bool (*allow)(void *owner, const struct sp_addr *addr);
    struct sp_timer deadline;
    struct sp_timer delay; /* until the next attempt */
    struct sp_soon told;
    struct sp_doomed doomed;
    uint64_t timeout_ms;
    uint16_t port;
    unsigned attempts_len;
    unsigned next; /* attempt to begin */
    unsigned live; /* attempts under way */
    enum dial_rank rank;
    struct sp_dialed result;
    struct attempt attempts[ATTEMPTS_MAX];
    char why[WHY_MAX];
    char name[]; /* for words */
};

static void dial_enter(struct sp_dial *dial, enum dial_state next)
{
    assert(next > dial->state); /* only ever forward */
    dial->state = next;
}

/* ---- the outcome ---- */

static void SP_PRINTF(5, 6) note_failure(struct sp_dial *dial, enum dial_rank rank, enum sp_err err,
                                         const struct sp_addr *addr, const char *fmt, ...)
{
    va_list args;

    if (addr != NULL)
        dial->result.addr = *addr;
    if (rank < dial->rank)
        return;
    dial->rank = rank;
    dial->result.err = err;
    va_start(args, fmt);
    vsnprintf(dial->why, sizeof(dial->why), fmt, args);
    va_end(args);
}

static void drop_attempts(struct sp_dial *dial)
{
    for (unsigned i = 0; i < dial->attempts_len; i++)
        sp_stream_close(&dial->attempts[i].stream, true);
    dial->live = 0;
}

static void dial_finish(struct sp_dial *dial)
{
    dial_enter(dial, DIAL_FINISHED);
    sp_timer_stop(&dial->deadline);
    sp_timer_stop(&dial->delay);
    sp_resolve_cancel(&dial->resolve);
    drop_attempts(dial);
    sp_loop_soon(dial->loop, &dial->told);
}

static void on_doomed(struct sp_doomed *doomed)
{
    free(sp_container_of(doomed, struct sp_dial, doomed));
}

static void dial_drop(struct sp_dial *dial)
{
    sp_loop_let_go(dial->loop);
    sp_loop_doom(dial->loop, &dial->doomed);
}

static void on_told(struct sp_soon *soon)
{
    struct sp_dial *dial = sp_container_of(soon, struct sp_dial, told);

    dial->result.why = dial->why;
    dial_drop(dial); /* readable until the turn ends */
    dial->done(dial->owner, &dial->result);
}

/* ---- one attempt ---- */

static enum sp_err fault_of(int error, enum dial_rank *rank_out)
{
    *rank_out = RANK_REFUSED;
    switch (error) {
    case ETIMEDOUT: *rank_out = RANK_TIMEOUT; return SP_ERR_TIMEOUT;
    case EMFILE:
    case ENFILE: *rank_out = RANK_OURS; return SP_ERR_FULL;
    case ENOMEM:
    case ENOBUFS: *rank_out = RANK_OURS; return SP_ERR_NOMEM;
    default: return SP_ERR_IO;
    }
}

static void attempt_failed(struct attempt *attempt, int error)
{
    char text[SP_ADDR_TEXT_MAX];
    enum dial_rank rank;
    enum sp_err err = fault_of(error, &rank);

    note_failure(attempt->dial, rank, err, &attempt->addr, "%s: %s",
                 sp_addr_text(&attempt->addr, text), strerror(error));
}

static void begin_attempts(struct sp_dial *dial);

static void on_ready(void *owner, unsigned events)
{
    struct attempt *attempt = owner;
    struct sp_dial *dial = attempt->dial;
    int error = 0;
    socklen_t len = sizeof(error);

    if ((events & SP_STREAM_GONE) != 0 &&
        getsockopt(attempt->stream->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error != 0) {
        sp_stream_close(&attempt->stream, true);
        dial->live--;
        attempt_failed(attempt, error);
        begin_attempts(dial);
        return;
    }
    sp_stream_own(attempt->stream, NULL, NULL);
    dial->result.err = SP_OK;
    dial->result.addr = attempt->addr;
    dial->result.stream = attempt->stream;
    dial->why[0] = '\0';
    attempt->stream = NULL;
    dial_finish(dial);
}

/* 0: under way; else errno. */
static int attempt_begin(struct attempt *attempt)
{
    struct sockaddr_storage ss;
    socklen_t len = sp_addr_to_sockaddr(&attempt->addr, &ss);
    int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    static const int on = 1;

    if (fd < 0)
        return errno;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, (struct sockaddr *)&ss, len) != 0 && errno != EINPROGRESS) {
        int error = errno;

        close(fd);
        return error;
    }
    attempt->stream = sp_stream_adopt(attempt->dial->loop, fd, &attempt->addr, true);
    if (attempt->stream == NULL)
        return ENOMEM;
    sp_stream_own(attempt->stream, on_ready, attempt);
    sp_stream_want(attempt->stream, SP_STREAM_WRITE | SP_STREAM_GONE);
    return 0;
}

/* The next attempt that can be begun, with the delay for the one after it. */
static void begin_attempts(struct sp_dial *dial)
{
    sp_timer_stop(&dial->delay);
    while (dial->next < dial->attempts_len) {
        struct attempt *attempt = &dial->attempts[dial->next++];
        int error = attempt_begin(attempt);

        if (error == 0) {
            dial->live++;
            if (dial->next < dial->attempts_len)
                sp_timer_start(dial->loop, &dial->delay, ATTEMPT_DELAY_MS);
            return;
        }
        attempt_failed(attempt, error);
    }
    if (dial->live == 0)
        dial_finish(dial);
}

static void on_delay(struct sp_timer *timer)
{
    begin_attempts(sp_container_of(timer, struct sp_dial, delay));
}

/* ---- which addresses ---- */

static void take_addr(struct sp_dial *dial, const struct sp_addr *addr)
{
    struct attempt *attempt = &dial->attempts[dial->attempts_len];
    char text[SP_ADDR_TEXT_MAX];

    if (dial->attempts_len == ATTEMPTS_MAX)
        return;
    attempt->addr = *addr;
    attempt->addr.port = dial->port;
    if (dial->allow != NULL && !dial->allow(dial->owner, &attempt->addr)) {
        note_failure(dial, RANK_DENIED, SP_ERR_DENIED, &attempt->addr, "%s: not allowed",
                     sp_addr_text(&attempt->addr, text));
        return;
    }
    attempt->dial = dial;
    dial->attempts_len++;
}

/* From `i` on, the next address of that family; addrs_len when there is none. */
static size_t next_of(const struct sp_addr *addrs, size_t addrs_len, size_t i, bool v4)
{
    while (i < addrs_len && sp_addr_is_v4(&addrs[i]) != v4)
        i++;
    return i;
}

/* RFC 8305 4: the resolver's order, families in turn, beginning with the first one's. */
static void take_addrs(struct sp_dial *dial, const struct sp_addr *addrs, size_t addrs_len)
{
    bool v4 = sp_addr_is_v4(&addrs[0]);
    size_t at[2] = {next_of(addrs, addrs_len, 0, v4), next_of(addrs, addrs_len, 0, !v4)};

    while (at[0] < addrs_len || at[1] < addrs_len) {
        for (unsigned turn = 0; turn < 2; turn++) {
            if (at[turn] == addrs_len)
                continue;
            take_addr(dial, &addrs[at[turn]]);
            at[turn] = next_of(addrs, addrs_len, at[turn] + 1, turn == 0 ? v4 : !v4);
        }
    }
}

static void connect_to(struct sp_dial *dial, const struct sp_addr *addrs, size_t addrs_len)
{
    dial_enter(dial, DIAL_CONNECTING);
    take_addrs(dial, addrs, addrs_len);
    begin_attempts(dial);
}

static void resolve_failed(struct sp_dial *dial, enum sp_err err, const char *why)
{
    bool ours = err == SP_ERR_NOMEM || err == SP_ERR_FULL;

    note_failure(dial, ours ? RANK_OURS : RANK_DNS, ours ? err : SP_ERR_NOT_FOUND, NULL, "%s: %s",
                 dial->name, why);
    dial_finish(dial);
}

static void on_resolved(void *owner, const struct sp_resolved *resolved)
{
    struct sp_dial *dial = owner;

    dial->resolve = NULL;
    if (resolved->err != SP_OK)
        resolve_failed(dial, resolved->err, resolved->why);
    else
        connect_to(dial, resolved->addrs, resolved->addrs_len);
}

static void on_deadline(struct sp_timer *timer)
{
    struct sp_dial *dial = sp_container_of(timer, struct sp_dial, deadline);
    char text[SP_ADDR_TEXT_MAX];

    if (dial->state == DIAL_RESOLVING) {
        note_failure(dial, RANK_TIMEOUT, SP_ERR_TIMEOUT, NULL, "%s: no DNS answer within %llu ms",
                     dial->name, (unsigned long long)dial->timeout_ms);
    } else {
        const struct sp_addr *last = &dial->attempts[dial->next - 1].addr;

        note_failure(dial, RANK_TIMEOUT, SP_ERR_TIMEOUT, last, "%s: no answer within %llu ms",
                     sp_addr_text(last, text), (unsigned long long)dial->timeout_ms);
    }
    dial_finish(dial);
}

/* ---- the door ---- */

static struct sp_dial *dial_new(struct sp_loop *loop, const struct sp_dial_target *target,
                                sp_dialed_cb done, void *owner)
{
    struct sp_dial *dial = calloc(1, sizeof(*dial) + target->host.len + 1);

    if (dial == NULL)
        return NULL;
    dial->state = DIAL_RESOLVING;
    dial->loop = loop;
    dial->done = done;
    dial->owner = owner;
    dial->allow = target->allow;
    dial->timeout_ms = target->timeout_ms;
    dial->port = target->port;
    memcpy(dial->name, target->host.base, target->host.len);
    sp_timer_init(&dial->deadline, on_deadline);
    sp_timer_init(&dial->delay, on_delay);
    sp_soon_init(&dial->told, on_told);
    dial->doomed.release = on_doomed;
    sp_loop_hold(loop);
    return dial;
}

enum sp_err sp_dial_start(struct sp_loop *loop, struct sp_resolver *resolver,
                          const struct sp_dial_target *target, sp_dialed_cb done, void *owner,
                          struct sp_dial **dial_out)
{
    struct sp_dial *dial = dial_new(loop, target, done, owner);
    const struct sp_addr *addrs;
    struct sp_addr literal;
    size_t addrs_len;
    enum sp_err err;

    *dial_out = dial;
    if (dial == NULL)
        return SP_ERR_NOMEM;
    sp_timer_start(loop, &dial->deadline, target->timeout_ms);
    if (sp_addr_parse_ip(&literal, target->host) == SP_OK) {
        connect_to(dial, &literal, 1);
        return SP_OK;
    }
    err = sp_resolve_start(resolver, target->host, on_resolved, dial, &addrs, &addrs_len,
                           &dial->resolve);
    if (err == SP_OK)
        connect_to(dial, addrs, addrs_len);
    else if (err == SP_ERR_NOT_FOUND)
        resolve_failed(dial, err, "the name does not exist or has no address");
    else if (err == SP_ERR_FULL)
        resolve_failed(dial, err, "too many names are being resolved");
    else if (err != SP_ERR_AGAIN)
        resolve_failed(dial, err, "out of memory");
    return SP_OK;
}

void sp_dial_cancel(struct sp_dial **dial_ptr)
{
    struct sp_dial *dial = *dial_ptr;

    *dial_ptr = NULL;
    if (dial == NULL)
        return;
    if (dial->state != DIAL_FINISHED)
        dial_finish(dial);
    sp_soon_cancel(&dial->told);
    sp_stream_close(&dial->result.stream, true);
    dial_drop(dial);
}
