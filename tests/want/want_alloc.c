/* The allocator in front of the real one (see want.h). Standing in the executable, these functions
 * are found before those of libc and of the sanitizers' run-time, by every library; what is really
 * allocated is the real one's, so its free() and its checks stay as they are. */
#include "want/want_priv.h"

#include "sallyport/base.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef WANT_SANITIZED
#define REAL(name) __interceptor_##name
#else
#define REAL(name) __libc_##name
#endif

void *REAL(malloc)(size_t size);
void *REAL(calloc)(size_t count, size_t size);
void *REAL(realloc)(void *old, size_t size);
void *REAL(memalign)(size_t alignment, size_t size);

/* The names that the rest of the process calls. */
SP_EXPORT void *malloc(size_t size);
SP_EXPORT void *calloc(size_t count, size_t size);
SP_EXPORT void *realloc(void *old, size_t size);
SP_EXPORT void *reallocarray(void *old, size_t count, size_t size);
SP_EXPORT void *memalign(size_t alignment, size_t size);
SP_EXPORT void *aligned_alloc(size_t alignment, size_t size);
SP_EXPORT int posix_memalign(void **out, size_t alignment, size_t size);
SP_EXPORT char *strdup(const char *text);
SP_EXPORT char *strndup(const char *text, size_t max);
SP_EXPORT char *__strdup(const char *text);
SP_EXPORT char *__strndup(const char *text, size_t max);

_Atomic(want_judge) want_refuses;

static bool refused(const void *caller)
{
    want_judge judge = atomic_load_explicit(&want_refuses, memory_order_acquire);

    if (judge == NULL || !judge(caller))
        return false;
    errno = ENOMEM;
    return true;
}

#define CALLER __builtin_return_address(0)

void *malloc(size_t size)
{
    return refused(CALLER) ? NULL : REAL(malloc)(size);
}

void *calloc(size_t count, size_t size)
{
    return refused(CALLER) ? NULL : REAL(calloc)(count, size);
}

void *realloc(void *old, size_t size)
{
    return refused(CALLER) ? NULL : REAL(realloc)(old, size);
}

void *reallocarray(void *old, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return refused(CALLER) ? NULL : REAL(realloc)(old, bytes);
}

void *memalign(size_t alignment, size_t size)
{
    return refused(CALLER) ? NULL : REAL(memalign)(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return refused(CALLER) ? NULL : REAL(memalign)(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    void *memory = refused(CALLER) ? NULL : REAL(memalign)(alignment, size);

    if (memory == NULL)
        return ENOMEM;
    *out = memory;
    return 0;
}

static char *copy(const void *caller, const char *text, size_t len)
{
    char *memory = refused(caller) ? NULL : REAL(malloc)(len + 1);

    if (memory == NULL)
        return NULL;
    memcpy(memory, text, len);
    memory[len] = '\0';
    return memory;
}

char *strdup(const char *text)
{
    return copy(CALLER, text, strlen(text));
}

char *strndup(const char *text, size_t max)
{
    return copy(CALLER, text, strnlen(text, max));
}

char *__strdup(const char *text)
{
    return copy(CALLER, text, strlen(text));
}

char *__strndup(const char *text, size_t max)
{
    return copy(CALLER, text, strnlen(text, max));
}
