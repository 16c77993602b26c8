/* Want of memory in a whole sallyport (build/sallyport_want, for tests/scenario/test_want.py): the
 * file that SALLYPORT_WANT names is shared with whoever runs it, and says how often an allocation
 * of the program or of its plugins fails. Which ones do is drawn from their number, so that no
 * rhythm of the program's own meets a rhythm of the failures. */
#include "want/want_priv.h"

#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RANGES_MAX 16u

/* tests/scenario/test_want.py writes and reads this. */
struct words {
    _Atomic uint32_t every; /* one of so many fails; 0: none */
    _Atomic uint32_t asked;
    _Atomic uint32_t failed;
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

static bool refuses(const void *caller)
{
    uint32_t every = atomic_load_explicit(&words->every, memory_order_relaxed);
    uint64_t number;

    if (every == 0 || !is_ours(caller))
        return false;
    number = atomic_fetch_add_explicit(&words->asked, 1, memory_order_relaxed);
    number = (number + 1) * 0x9e3779b97f4a7c15u; /* Fibonacci hashing */
    if ((number >> 40) % every != 0)
        return false;
    atomic_fetch_add_explicit(&words->failed, 1, memory_order_relaxed);
    return true;
}

static void __attribute__((constructor)) begin(void)
{
    const char *path = getenv("SALLYPORT_WANT");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *at = MAP_FAILED;

    if (fd >= 0)
        at = mmap(NULL, sizeof(*words), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        static const char said[] = "SALLYPORT_WANT names no file that can be shared\n";

        (void)!write(2, said, sizeof(said) - 1);
        _exit(2);
    }
    (void)close(fd);
    words = at;
    atomic_store(&want_refuses, refuses);
}
