/* Counts the allocations of a program that it is preloaded into (tests/scenario/test_cost.py), in
 * eight bytes of the file that ALLOCATIONS names. Any thread. Where a sanitizer has the allocator,
 * the sanitizer's library is preloaded before this one, and tells it by a hook. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* glibc's own names for what is taken over here. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static atomic_uint_least64_t nowhere; /* until the file is there */
static atomic_uint_least64_t *counter = &nowhere;

static void count(void)
{
    (void)atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

void *malloc(size_t size)
{
    count();
    return __libc_malloc(size);
}

void *calloc(size_t len, size_t size)
{
    count();
    return __libc_calloc(len, size);
}

void *realloc(void *old, size_t size)
{
    count();
    return __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    count();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    count();
    *out = __libc_memalign(alignment, size);
    return *out != NULL ? 0 : ENOMEM;
}

/* ---- a sanitizer's allocator ---- */

static void on_malloc(const volatile void *block, size_t size)
{
    (void)block;
    (void)size;
    count();
}

static void on_free(const volatile void *block)
{
    (void)block;
}

typedef int (*install_fn)(void (*)(const volatile void *, size_t), void (*)(const volatile void *));

static __attribute__((constructor)) void begin(void)
{
    const char *path = getenv("ALLOCATIONS");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *shared = fd >= 0 ? mmap(NULL, sizeof(*counter), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                           : MAP_FAILED;
    install_fn install;

    if (shared == MAP_FAILED) {
        perror("ALLOCATIONS");
        exit(2);
    }
    close(fd);
    counter = shared;
    *(void **)&install = dlsym(RTLD_DEFAULT, "__sanitizer_install_malloc_and_free_hooks");
    if (install != NULL && install(on_malloc, on_free) == 0) {
        fputs("ALLOCATIONS: the sanitizer takes no hook\n", stderr);
        exit(2);
    }
}
