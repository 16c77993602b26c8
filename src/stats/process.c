/* What the kernel counts of this process, read from /proc when somebody asks. Any thread. */
#include "stats/stats_priv.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define START_FIELD 22 /* proc(5), /proc/pid/stat */

static bool read_file(const char *path, char *text, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len;

    if (fd < 0)
        return false;
    len = read(fd, text, cap - 1);
    (void)close(fd);
    text[len > 0 ? len : 0] = '\0';
    return len > 0;
}

/* A field of /proc/self/stat, -1 where it is not there; the second one is a name in brackets that
 * may hold anything. */
static long long stat_field(const char *stat, unsigned field)
{
    const char *at = strrchr(stat, ')');

    for (unsigned i = 2; at != NULL && i < field; i++)
        at = strchr(at + 1, ' ');
    return at != NULL ? strtoll(at, NULL, 10) : -1;
}

/* Ticks since the machine came up, to seconds since 1970. */
static double started(const char *stat)
{
    struct timespec wall = {0}, up = {0};
    long ticks = sysconf(_SC_CLK_TCK);
    long long since = stat_field(stat, START_FIELD);

    if (ticks <= 0 || since < 0 || clock_gettime(CLOCK_REALTIME, &wall) != 0 ||
        clock_gettime(CLOCK_BOOTTIME, &up) != 0)
        return -1;
    return (double)(wall.tv_sec - up.tv_sec) + (double)(wall.tv_nsec - up.tv_nsec) / 1e9 +
           (double)since / (double)ticks;
}

static int64_t count_fds(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int64_t count = -1; /* the folder's own is not counted */

    if (folder == NULL)
        return -1;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.' ? 1 : 0;
    (void)closedir(folder);
    return count;
}

static double seconds(const struct timeval *t)
{
    return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

void sp_process_figures_read(struct sp_process_figures *f)
{
    struct rusage usage;
    struct rlimit limit;
    char text[1024];

    *f = (struct sp_process_figures){-1, -1, -1, -1, -1, -1};
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        f->cpu_seconds = seconds(&usage.ru_utime) + seconds(&usage.ru_stime);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        f->max_fds = (int64_t)limit.rlim_cur;
    if (read_file("/proc/self/stat", text, sizeof(text))) {
        f->started = started(text);
        f->threads = stat_field(text, 20);
        f->resident_bytes = stat_field(text, 24);
        if (f->resident_bytes > 0)
            f->resident_bytes *= sysconf(_SC_PAGESIZE);
    }
    f->open_fds = count_fds();
}
