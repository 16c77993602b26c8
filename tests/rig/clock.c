/* For scenarios, preloaded: a wall clock that jumps. What the process reads of CLOCK_REALTIME, by
 * clock_gettime, gettimeofday or time, is the kernel's and as many seconds more as the file says
 * that SALLYPORT_TEST_CLOCK names: eight bytes, read at each call. CLOCK_MONOTONIC stays the
 * kernel's, as it does when somebody sets a real clock. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset; /* NULL: none, the clock is right */

__attribute__((constructor)) static void map_offset(void)
{
    const char *path = getenv("SALLYPORT_TEST_CLOCK");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page;

    if (fd < 0)
        return;
    page = mmap(NULL, sizeof(*offset), PROT_READ, MAP_SHARED, fd, 0);
    if (page != MAP_FAILED)
        offset = page;
    (void)close(fd);
}

static int read_clock(clockid_t id, struct timespec *now)
{
    int err = (int)syscall(SYS_clock_gettime, id, now);

    if (err == 0 && offset != NULL && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        now->tv_sec += *offset;
    return err;
}

int clock_gettime(clockid_t id, struct timespec *now)
{
    return read_clock(id, now);
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise;
    int err = read_clock(CLOCK_REALTIME, &precise);

    (void)zone;
    if (err == 0)
        *now = (struct timeval){.tv_sec = precise.tv_sec, .tv_usec = precise.tv_nsec / 1000};
    return err;
}

time_t time(time_t *now)
{
    struct timespec precise = {0, 0};

    (void)read_clock(CLOCK_REALTIME, &precise);
    if (now != NULL)
        *now = precise.tv_sec;
    return precise.tv_sec;
}
