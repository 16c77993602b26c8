/* A loop from its beginning to its end, and the mailbox, the one door for other threads. Its turn
 * is in turn.c. sp_loop_run returns when it was asked to stop and its owners have closed
 * everything. */
#include "net/loop_priv.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* One descriptor in so many is kept for serving. */
#define KEPT_SHARE 16

/* ---- letters ---- */

static struct sp_mail *take_mail(struct sp_loop *loop)
{
    struct sp_mail *first;

    pthread_mutex_lock(&loop->lock);
    first = loop->mail_first;
    loop->mail_first = NULL;
    loop->mail_last = NULL;
    loop->stopping = loop->stop_asked;
    pthread_mutex_unlock(&loop->lock);
    return first;
}

static void on_bell(struct sp_watch *watch, uint32_t events)
{
    struct sp_loop *loop = sp_container_of(watch, struct sp_loop, bell_watch);
    struct sp_mail *mail;
    uint64_t rings;

    (void)events;
    /* Silenced before the letters are taken: one that is posted afterwards rings anew. */
    while (read(loop->bell_fd, &rings, sizeof(rings)) < 0 && errno == EINTR) {
    }
    mail = take_mail(loop);
    while (mail != NULL) {
        struct sp_mail *next = mail->next; /* the letter may be gone after its delivery */

        mail->deliver(mail);
        mail = next;
    }
}

/* Any thread. An eventfd takes this many rings and more; full, it is ringing already. */
static void ring(struct sp_loop *loop)
{
    static const uint64_t once = 1;

    while (write(loop->bell_fd, &once, sizeof(once)) < 0 && errno == EINTR) {
    }
}

/* The bell is rung under the lock: once it is let go, the loop may deliver this letter, end and be
 * freed, and then there is no bell any more. */
enum sp_err sp_loop_post(struct sp_loop *loop, struct sp_mail *mail)
{
    enum sp_err err = SP_OK;

    mail->next = NULL;
    pthread_mutex_lock(&loop->lock);
    if (loop->ended) {
        err = SP_ERR_CLOSED;
    } else if (loop->mail_last != NULL) {
        loop->mail_last->next = mail; /* whoever posted the first has rung */
        loop->mail_last = mail;
    } else {
        loop->mail_first = mail;
        loop->mail_last = mail;
        ring(loop);
    }
    pthread_mutex_unlock(&loop->lock);
    return err;
}

void sp_loop_stop(struct sp_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    loop->stop_asked = true;
    if (!loop->ended)
        ring(loop);
    pthread_mutex_unlock(&loop->lock);
}

/* ---- the small doors ---- */

uv_loop_t *sp_loop_uv(struct sp_loop *loop)
{
    return &loop->uv;
}

uint64_t sp_loop_now_ms(const struct sp_loop *loop)
{
    return uv_now(&loop->uv);
}

uint64_t sp_loop_now_us(const struct sp_loop *loop)
{
    struct timespec now;

    (void)loop;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
        return uv_hrtime() / 1000; /* cannot be: the clock is always there on Linux */
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

const struct sp_clock *sp_loop_clock(const struct sp_loop *loop)
{
    return &loop->clock;
}

/* ---- what keeps it going ---- */

void sp_loop_hold(struct sp_loop *loop)
{
    loop->held++;
}

void sp_loop_let_go(struct sp_loop *loop)
{
    assert(loop->held > 0);
    loop->held--;
}

/* ---- from beginning to end ---- */

static uint64_t clock_mono_ms(const struct sp_clock *clock)
{
    return uv_now(&sp_container_of(clock, const struct sp_loop, clock)->uv);
}

static uint64_t clock_wall_ms(const struct sp_clock *clock)
{
    (void)clock;
    return sp_clock_wall_ms(&sp_clock_system);
}

static void on_anchor(uv_prepare_t *anchor)
{
    (void)anchor; /* being active is all it does */
}

static void on_uv_ready(struct sp_watch *watch, uint32_t events)
{
    (void)events;
    sp_container_of(watch, struct sp_loop, uv_watch)->uv_ready = true;
}

/* While the loop lives, libuv always has one active handle: without any, it would have us neither
 * sleep nor wait for handles that are not referenced. */
static bool begin_uv(struct sp_loop *loop)
{
    if (uv_loop_init(&loop->uv) != 0)
        return false;
    uv_prepare_init(&loop->uv, &loop->anchor);
    uv_prepare_start(&loop->anchor, on_anchor);
    loop->uv_watch.on_events = on_uv_ready;
    return true;
}

/* Has libuv any handle or request that keeps a loop going, besides the anchor? */
static bool uv_is_needed(struct sp_loop *loop)
{
    bool needed;

    uv_unref((uv_handle_t *)&loop->anchor);
    needed = uv_loop_alive(&loop->uv) != 0;
    uv_ref((uv_handle_t *)&loop->anchor);
    return needed;
}

static void end_uv(struct sp_loop *loop)
{
    uv_close((uv_handle_t *)&loop->anchor, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

/* The two descriptors that wake the loop besides its sockets. */
static bool watch_own(struct sp_loop *loop)
{
    loop->bell_watch.on_events = on_bell;
    return sp_loop_watch(loop, loop->bell_fd, EPOLLIN, &loop->bell_watch) == SP_OK &&
           sp_loop_watch(loop, uv_backend_fd(&loop->uv), EPOLLIN, &loop->uv_watch) == SP_OK;
}

/* All but libuv's part. */
static void loop_destroy(struct sp_loop *loop)
{
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    if (loop->bell_fd >= 0)
        close(loop->bell_fd);
    pthread_mutex_destroy(&loop->lock);
    sp_event_queue_fini(&loop->behind);
    free(loop);
}

/* Were all descriptors taken by clients and by what is idle, none would be left to serve anybody
 * with: some are kept for origins, directories and name servers. */
static int first_kept_fd(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur > INT_MAX)
        return INT_MAX;
    return (int)(files.rlim_cur - files.rlim_cur / KEPT_SHARE);
}

struct sp_loop *sp_loop_new(struct sp_work_pool *pool)
{
    struct sp_loop *loop = calloc(1, sizeof(*loop));

    if (loop == NULL)
        return NULL;
    if (pthread_mutex_init(&loop->lock, NULL) != 0) {
        free(loop);
        return NULL;
    }
    loop->pool = pool;
    loop->clock = (struct sp_clock){clock_mono_ms, clock_wall_ms};
    loop->fd_high = first_kept_fd();
    loop->wake_ms = UINT64_MAX;
    sp_list_init(&loop->soon);
    sp_list_init(&loop->later);
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->epoll_fd < 0 || loop->bell_fd < 0 || sp_event_queue_init(&loop->behind) != SP_OK ||
        !begin_uv(loop)) {
        loop_destroy(loop);
        return NULL;
    }
    sp_wheel_init(&loop->wheel, sp_loop_now_ms(loop));
    if (!watch_own(loop)) {
        end_uv(loop);
        (void)uv_loop_close(&loop->uv);
        loop_destroy(loop);
        return NULL;
    }
    return loop;
}

/* Writing to a socket that the peer has reset raises SIGPIPE: send(2) can be told not to, splice(2)
 * and OpenSSL cannot. Blocked, it stays a return value. */
static void block_sigpipe(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* Does anything go on here, or wait to? */
static bool is_needed(struct sp_loop *loop)
{
    return loop->held > 0 || !sp_list_empty(&loop->soon) ||
           sp_wheel_next_ms(&loop->wheel) != UINT64_MAX || uv_is_needed(loop);
}

/* From here on letters are refused; false when one came in just before. */
static bool shut_mailbox(struct sp_loop *loop)
{
    bool shut;

    pthread_mutex_lock(&loop->lock);
    shut = loop->mail_first == NULL;
    loop->ended = shut;
    pthread_mutex_unlock(&loop->lock);
    return shut;
}

void sp_loop_run(struct sp_loop *loop)
{
    block_sigpipe();
    do
        sp_loop_turn(loop, true);
    while (!loop->stopping || is_needed(loop) || !shut_mailbox(loop));
    end_uv(loop);
    sp_loop_release_rest(loop);
}

void sp_loop_free(struct sp_loop **loop_ptr)
{
    struct sp_loop *loop = *loop_ptr;
    int rc;

    *loop_ptr = NULL;
    if (loop == NULL)
        return;
    assert(loop->held == 0);
    if (!loop->ended)
        end_uv(loop); /* it never ran */
    sp_loop_release_rest(loop);
    sp_loop_close_pipes(loop);
    rc = uv_loop_close(&loop->uv);
    assert(rc == 0); /* an owner has left a handle open */
    if (rc == 0)
        loop_destroy(loop); /* else a leak is the lesser evil */
}
