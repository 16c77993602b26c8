/* Memory is wiped when it is freed, by whomever. Part of the program and of nothing else; in front
 * of the C library's functions of these names, for all libraries and plugins of the process.
 *
 * What is ours is wiped where it is done with (util/secret.h). But libkrb5, gss-ntlmssp, libldap
 * and OpenSSL free decoded tokens and requests as they are, and such bytes would lie in the heap
 * until the same block happens to be needed again. Requests that need no login free next to
 * nothing, so that this costs them nothing. Sanitizers have an allocator of their own: this is not
 * in them. */
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* The C library's own functions, which it exports for this. */
void __libc_free(void *block);
void *__libc_realloc(void *block, size_t size);

__attribute__((visibility("default"))) void free(void *block)
{
    if (block != NULL)
        explicit_bzero(block, malloc_usable_size(block));
    __libc_free(block);
}

/* A block that grows moves, and one that shrinks stays; neither leaves anything behind, nor does
 * one that shrinks to nothing, which the C library frees. */
__attribute__((visibility("default"))) void *realloc(void *block, size_t size)
{
    size_t have = block != NULL ? malloc_usable_size(block) : 0;
    void *moved;

    if (size < have)
        explicit_bzero((char *)block + size, have - size);
    if (size <= have || have == 0)
        return __libc_realloc(block, size);
    moved = malloc(size);
    if (moved == NULL)
        return NULL;
    memcpy(moved, block, have);
    free(block);
    return moved;
}
