/* Puts a directory some milliseconds away: a TCP relay that hands every piece on only after it has
 * waited. The delay is the same for all, so one queue in the order of arrival is enough. Connecting
 * is not delayed. Ends on SIGTERM.
 *
 *     relay LISTEN:PORT TARGET:PORT DELAY_US       the delay of one way; a round trip has two
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PIECE 16384

/* One end of a relayed connection. Freed when both ends are closed and no piece names either. */
struct side {
    int fd;
    bool closed;
    unsigned pieces; /* in the queue, on their way to this side */
    struct side *peer;
};

struct piece {
    struct piece *next;
    struct side *to;
    uint64_t due_ns;
    size_t len; /* 0: the end of the stream */
    char bytes[];
};

static struct piece *first, **last = &first;
static uint64_t delay_ns;
static int loop = -1;
static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static uint64_t now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool parse(const char *text, struct sockaddr_in *out)
{
    char host[64];
    const char *colon = strrchr(text, ':');

    if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    out->sin_family = AF_INET;
    out->sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    return inet_pton(AF_INET, host, &out->sin_addr) == 1;
}

static void free_pair(struct side *side)
{
    struct side *peer = side->peer;

    if (!side->closed || !peer->closed || side->pieces + peer->pieces > 0)
        return;
    (void)close(side->fd);
    (void)close(peer->fd);
    free(peer);
    free(side);
}

static struct side *new_side(int fd)
{
    struct side *side = calloc(1, sizeof(*side));
    int on = 1;

    if (side == NULL)
        abort();
    side->fd = fd;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return side;
}

static void watch(int fd, void *what)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};

    if (epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event) != 0)
        abort();
}

static void accept_one(int listener, const struct sockaddr_in *target)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    int out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct side *a, *b;

    if (fd < 0 || out < 0 || connect(out, (const struct sockaddr *)target, sizeof(*target)) != 0) {
        if (fd >= 0)
            (void)close(fd);
        if (out >= 0)
            (void)close(out);
        return;
    }
    a = new_side(fd);
    b = new_side(out);
    a->peer = b;
    b->peer = a;
    watch(fd, a);
    watch(out, b);
}

static void take(struct side *from)
{
    static char buffer[PIECE];
    ssize_t n = recv(from->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    size_t len = n > 0 ? (size_t)n : 0;
    struct piece *piece;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    piece = malloc(sizeof(*piece) + len);
    if (piece == NULL)
        abort();
    *piece = (struct piece){.to = from->peer, .due_ns = now_ns() + delay_ns, .len = len};
    memcpy(piece->bytes, buffer, len);
    *last = piece;
    last = &piece->next;
    from->peer->pieces++;
    if (len == 0) {
        (void)epoll_ctl(loop, EPOLL_CTL_DEL, from->fd, NULL);
        from->closed = true;
    }
}

/* Hands on what has waited long enough. The sockets block here, which a directory's small answers
 * never come to. */
static void hand_on(void)
{
    while (first != NULL && first->due_ns <= now_ns()) {
        struct piece *piece = first;

        first = piece->next;
        if (first == NULL)
            last = &first;
        if (piece->len == 0)
            (void)shutdown(piece->to->fd, SHUT_WR);
        else
            (void)send(piece->to->fd, piece->bytes, piece->len, MSG_NOSIGNAL);
        piece->to->pieces--;
        free_pair(piece->to);
        free(piece);
    }
}

static void run(int listener, const struct sockaddr_in *target)
{
    struct epoll_event events[64];

    while (!stop) {
        uint64_t now = now_ns(), wait = first == NULL         ? 200000000u
                                        : first->due_ns > now ? first->due_ns - now
                                                              : 0;
        struct timespec timeout = {.tv_nsec = (long)wait};
        int n = epoll_pwait2(loop, events, 64, &timeout, NULL);

        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL)
                accept_one(listener, target);
            else
                take(events[i].data.ptr);
        }
        hand_on();
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in at = {0}, target = {0};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    if (argc != 4 || !parse(argv[1], &at) || !parse(argv[2], &target)) {
        (void)fputs("relay LISTEN:PORT TARGET:PORT DELAY_US\n", stderr);
        return 2;
    }
    delay_ns = strtoull(argv[3], NULL, 10) * 1000u;
    if (delay_ns >= 1000000000u) {
        (void)fputs("relay: the delay of one way is less than a second\n", stderr);
        return 2;
    }
    (void)signal(SIGTERM, on_signal);
    (void)prctl(PR_SET_TIMERSLACK, 1); /* else each wait is 50 us longer than it says */
    loop = epoll_create1(EPOLL_CLOEXEC);
    if (loop < 0 || listener < 0 ||
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(listener, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(listener, 4096) != 0) {
        perror("relay");
        return 1;
    }
    watch(listener, NULL);
    run(listener, &target);
    return 0;
}
