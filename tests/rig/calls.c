/* For scenarios, preloaded: system calls that fail as the kernel may let them fail on a bad day.
 * The file that SALLYPORT_TEST_CALLS names is shared with whoever runs it
 * (tests/scenario/test_fault_calls.py), and says how many of the calls that the program and its
 * plugins make succeed between two that do not, and which call it is about. Calls of libraries are
 * left alone: what they do about a failure is theirs. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RANGES_MAX 16u
#define ERRORS_MAX 8u

/* test_fault_calls.py has the names in this order. */
enum call {
    CALL_ACCEPT,
    CALL_CONNECT,
    CALL_EPOLL_CTL,
    CALL_EPOLL_WAIT,
    CALL_FCNTL,
    CALL_FOPEN,
    CALL_FSTAT,
    CALL_GETPEERNAME,
    CALL_GETSOCKNAME,
    CALL_GETSOCKOPT,
    CALL_IOCTL,
    CALL_OPEN,
    CALL_PIPE,
    CALL_POLL,
    CALL_READ,
    CALL_RECV,
    CALL_SEND,
    CALL_SENDMSG,
    CALL_SETSOCKOPT,
    CALL_SHUTDOWN,
    CALL_SOCKET,
    CALL_SPLICE,
    CALL_STAT,
    CALL_THREAD,
    CALL_WRITE,
    CALLS
};

/* In turn. What a kernel gives where nothing is wrong with the call itself. */
static const int errors[CALLS][ERRORS_MAX] = {
    [CALL_ACCEPT] = {EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, EPERM, EINTR},
    [CALL_CONNECT] = {ENOBUFS, EADDRNOTAVAIL, ECONNREFUSED, ENETUNREACH, EACCES, EPERM, ENOMEM},
    [CALL_EPOLL_CTL] = {ENOMEM, ENOSPC},
    [CALL_EPOLL_WAIT] = {EINTR},
    [CALL_FCNTL] = {EPERM, ENOMEM, EBUSY},
    [CALL_FOPEN] = {EMFILE, ENOMEM, EIO},
    [CALL_FSTAT] = {EIO, ENOMEM},
    [CALL_GETPEERNAME] = {ENOBUFS, ENOTCONN},
    [CALL_GETSOCKNAME] = {ENOBUFS},
    [CALL_GETSOCKOPT] = {ENOBUFS, ENOMEM},
    [CALL_IOCTL] = {ENOMEM, EIO},
    [CALL_OPEN] = {EMFILE, ENFILE, ENOMEM, EIO, EINTR},
    [CALL_PIPE] = {EMFILE, ENFILE, ENOMEM},
    [CALL_POLL] = {EINTR, ENOMEM},
    [CALL_READ] = {EINTR, EIO, ENOMEM},
    [CALL_RECV] = {EINTR, ECONNRESET, ENOMEM, ENOBUFS, ETIMEDOUT, EHOSTUNREACH},
    [CALL_SEND] = {EINTR, EPIPE, ENOMEM, ENOBUFS, ECONNRESET, EHOSTUNREACH},
    [CALL_SENDMSG] = {EINTR, EPIPE, ENOMEM, ENOBUFS, ECONNRESET, EHOSTUNREACH},
    [CALL_SETSOCKOPT] = {ENOMEM, ENOPROTOOPT, EINVAL},
    [CALL_SHUTDOWN] = {ENOTCONN, ENOBUFS},
    [CALL_SOCKET] = {EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES},
    [CALL_SPLICE] = {EINTR, ENOMEM, ECONNRESET, EPIPE},
    [CALL_STAT] = {EIO, ENOMEM, EACCES},
    [CALL_THREAD] = {EAGAIN},
    [CALL_WRITE] = {EINTR, ENOSPC, EIO, ENOMEM},
};

struct words {
    _Atomic uint32_t every; /* one of so many fails; 0: none */
    _Atomic uint32_t only;  /* the call that it is about, counted from 1; 0: all */
    _Atomic uint32_t asked;
    _Atomic uint32_t failed;
    _Atomic uint32_t failed_of[CALLS];
};

static struct words *words;
static struct {
    uintptr_t begin, end;
} ranges[RANGES_MAX];
static _Atomic unsigned ranges_len;

/* The program has no name here, plugins lie in a folder `plugins`. They are not unloaded. */
static int on_object(struct dl_phdr_info *info, size_t size, void *owner)
{
    (void)size;
    (void)owner;
    if (info->dlpi_name[0] != '\0' && strstr(info->dlpi_name, "/plugins/") == NULL)
        return 0;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        unsigned at = atomic_load(&ranges_len);

        if (part->p_type != PT_LOAD || (part->p_flags & PF_X) == 0 || at == RANGES_MAX)
            continue;
        ranges[at].begin = info->dlpi_addr + part->p_vaddr;
        ranges[at].end = ranges[at].begin + part->p_memsz;
        atomic_store(&ranges_len, at + 1);
    }
    return 0;
}

static bool is_ours(const void *caller)
{
    static atomic_flag looked = ATOMIC_FLAG_INIT;

    if (!atomic_flag_test_and_set(&looked))
        (void)dl_iterate_phdr(on_object, NULL);
    for (unsigned i = 0; i < atomic_load(&ranges_len); i++)
        if ((uintptr_t)caller >= ranges[i].begin && (uintptr_t)caller < ranges[i].end)
            return true;
    return false;
}

/* A loop's bell: the kernel has no reason ever to refuse eight bytes there. */
static bool is_eventfd(int fd)
{
    char link[64], name[64];
    ssize_t len;

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    len = (ssize_t)syscall(SYS_readlinkat, AT_FDCWD, link, name, sizeof(name));
    return len > 0 && memmem(name, (size_t)len, "eventfd", 7) != NULL;
}

/* The error that it is to fail with; 0: none. Which ones fail is drawn from their number, so that
 * no rhythm of the program's own meets a rhythm of the failures. */
static int refusal(enum call call, const void *caller)
{
    uint32_t every = words != NULL ? atomic_load(&words->every) : 0;
    uint32_t only = every != 0 ? atomic_load(&words->only) : 0;
    uint64_t number;
    uint32_t turn;
    unsigned len = 0;

    if (every == 0 || (only != 0 && only != (uint32_t)call + 1) || !is_ours(caller))
        return 0;
    number = atomic_fetch_add(&words->asked, 1);
    number = (number + 1) * 0x9e3779b97f4a7c15u; /* Fibonacci hashing */
    if ((number >> 40) % every != 0)
        return 0;
    (void)atomic_fetch_add(&words->failed, 1);
    turn = atomic_fetch_add(&words->failed_of[call], 1);
    while (len < ERRORS_MAX && errors[call][len] != 0)
        len++;
    return errors[call][turn % len];
}

#define REFUSE(call, value)                                      \
    do {                                                         \
        int error_ = refusal(call, __builtin_return_address(0)); \
        if (error_ != 0) {                                       \
            errno = error_;                                      \
            return value;                                        \
        }                                                        \
    } while (0)

/* The next one of that name, looked up once. */
#define REAL(name)                                                    \
    static _Atomic(__typeof__(&name)) real_;                          \
    __typeof__(&name) real = atomic_load(&real_);                     \
    if (real == NULL) {                                               \
        real = (__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name); \
        atomic_store(&real_, real);                                   \
    }

int accept4(int fd, struct sockaddr *restrict addr, socklen_t *restrict len, int flags)
{
    REAL(accept4)
    REFUSE(CALL_ACCEPT, -1);
    return real(fd, addr, len, flags);
}

int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    REAL(connect)
    REFUSE(CALL_CONNECT, -1);
    return real(fd, addr, len);
}

int epoll_ctl(int set, int op, int fd, struct epoll_event *event)
{
    REAL(epoll_ctl)
    if (op != EPOLL_CTL_DEL)
        REFUSE(CALL_EPOLL_CTL, -1);
    return real(set, op, fd, event);
}

int epoll_wait(int set, struct epoll_event *events, int max, int timeout)
{
    REAL(epoll_wait)
    REFUSE(CALL_EPOLL_WAIT, -1);
    return real(set, events, max, timeout);
}

int fcntl(int fd, int command, ...)
{
    REAL(fcntl)
    va_list args;
    long argument;

    REFUSE(CALL_FCNTL, -1);
    va_start(args, command);
    argument = va_arg(args, long);
    va_end(args);
    return real(fd, command, argument);
}

FILE *fopen(const char *restrict path, const char *restrict mode)
{
    REAL(fopen)
    REFUSE(CALL_FOPEN, NULL);
    return real(path, mode);
}

int fstat(int fd, struct stat *st)
{
    REAL(fstat)
    REFUSE(CALL_FSTAT, -1);
    return real(fd, st);
}

int getpeername(int fd, struct sockaddr *restrict addr, socklen_t *restrict len)
{
    REAL(getpeername)
    REFUSE(CALL_GETPEERNAME, -1);
    return real(fd, addr, len);
}

int getsockname(int fd, struct sockaddr *restrict addr, socklen_t *restrict len)
{
    REAL(getsockname)
    REFUSE(CALL_GETSOCKNAME, -1);
    return real(fd, addr, len);
}

int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict len)
{
    REAL(getsockopt)
    REFUSE(CALL_GETSOCKOPT, -1);
    return real(fd, level, name, value, len);
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    void *argument;

    REFUSE(CALL_IOCTL, -1);
    va_start(args, request);
    argument = va_arg(args, void *);
    va_end(args);
    return (int)syscall(SYS_ioctl, fd, request, argument);
}

int open(const char *path, int flags, ...)
{
    REAL(open)
    va_list args;
    unsigned mode = 0;

    REFUSE(CALL_OPEN, -1);
    va_start(args, flags);
    if ((flags & (O_CREAT | O_TMPFILE)) != 0)
        mode = va_arg(args, unsigned);
    va_end(args);
    return real(path, flags, mode);
}

int pipe2(int fds[2], int flags)
{
    REAL(pipe2)
    REFUSE(CALL_PIPE, -1);
    return real(fds, flags);
}

int poll(struct pollfd *fds, nfds_t len, int timeout)
{
    REAL(poll)
    REFUSE(CALL_POLL, -1);
    return real(fds, len, timeout);
}

ssize_t read(int fd, void *into, size_t len)
{
    REAL(read)
    if (!is_eventfd(fd))
        REFUSE(CALL_READ, -1);
    return real(fd, into, len);
}

ssize_t recv(int fd, void *into, size_t len, int flags)
{
    REAL(recv)
    REFUSE(CALL_RECV, -1);
    return real(fd, into, len, flags);
}

/* What recv is called where the compiler checks its length (-D_FORTIFY_SOURCE). */
ssize_t __recv_chk(int fd, void *into, size_t len, size_t size, int flags);
ssize_t __recv_chk(int fd, void *into, size_t len, size_t size, int flags)
{
    REFUSE(CALL_RECV, -1);
    if (len > size)
        abort();
    return (ssize_t)syscall(SYS_recvfrom, fd, into, len, flags, NULL, NULL);
}

ssize_t send(int fd, const void *from, size_t len, int flags)
{
    REAL(send)
    REFUSE(CALL_SEND, -1);
    return real(fd, from, len, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL(sendmsg)
    REFUSE(CALL_SENDMSG, -1);
    return real(fd, message, flags);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    REAL(setsockopt)
    REFUSE(CALL_SETSOCKOPT, -1);
    return real(fd, level, name, value, len);
}

int shutdown(int fd, int how)
{
    REAL(shutdown)
    REFUSE(CALL_SHUTDOWN, -1);
    return real(fd, how);
}

int socket(int family, int type, int protocol)
{
    REAL(socket)
    REFUSE(CALL_SOCKET, -1);
    return real(family, type, protocol);
}

ssize_t splice(int from, off64_t *from_at, int to, off64_t *to_at, size_t len, unsigned flags)
{
    REAL(splice)
    REFUSE(CALL_SPLICE, -1);
    return real(from, from_at, to, to_at, len, flags);
}

int stat(const char *restrict path, struct stat *restrict st)
{
    REAL(stat)
    REFUSE(CALL_STAT, -1);
    return real(path, st);
}

int pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attributes,
                   void *(*run)(void *), void *restrict argument)
{
    REAL(pthread_create)
    int error = refusal(CALL_THREAD, __builtin_return_address(0));

    return error != 0 ? error : real(thread, attributes, run, argument);
}

ssize_t write(int fd, const void *from, size_t len)
{
    REAL(write)
    if (!is_eventfd(fd))
        REFUSE(CALL_WRITE, -1);
    return real(fd, from, len);
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("SALLYPORT_TEST_CALLS");
    int fd = path != NULL ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
    void *at = MAP_FAILED;

    if (fd >= 0)
        at = mmap(NULL, sizeof(*words), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        (void)close(fd);
    if (at != MAP_FAILED)
        words = at;
}
