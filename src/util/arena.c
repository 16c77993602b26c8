/* An arena of malloc'ed chunks. Each exchange has one for its parsed head and its strings; it is
 * freed as a whole. One thread. Not for secrets: nothing is wiped. */
#include "util/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE 4096u /* what malloc is asked for, unless one allocation needs more */

struct sp_arena_chunk {
    struct sp_arena_chunk *next;
    size_t used;
    size_t cap;
    alignas(max_align_t) char bytes[];
};

void sp_arena_init(struct sp_arena *arena, size_t limit)
{
    *arena = (struct sp_arena){.limit = limit};
}

void sp_arena_fini(struct sp_arena *arena)
{
    while (arena->chunks != NULL) {
        struct sp_arena_chunk *chunk = arena->chunks;

        arena->chunks = chunk->next;
        free(chunk);
    }
    arena->used = 0;
}

/* A chunk with room for size bytes. One made for a large allocation alone goes behind the current
 * one, whose room stays in use. */
static struct sp_arena_chunk *add_chunk(struct sp_arena *arena, size_t size)
{
    size_t cap = CHUNK_SIZE - sizeof(struct sp_arena_chunk);
    struct sp_arena_chunk *chunk;

    if (cap < size)
        cap = size;
    chunk = malloc(sizeof(*chunk) + cap);
    if (chunk == NULL)
        return NULL;
    chunk->used = 0;
    chunk->cap = cap;
    if (arena->chunks != NULL && cap == size) {
        chunk->next = arena->chunks->next;
        arena->chunks->next = chunk;
    } else {
        chunk->next = arena->chunks;
        arena->chunks = chunk;
    }
    return chunk;
}

void *sp_arena_alloc(struct sp_arena *arena, size_t size)
{
    size_t align = alignof(max_align_t);
    struct sp_arena_chunk *chunk = arena->chunks;
    void *block;

    if (size > arena->limit) /* first, so that rounding up cannot wrap */
        return NULL;
    size = size > 0 ? (size + align - 1) / align * align : align;
    if (size > arena->limit || arena->used > arena->limit - size)
        return NULL;
    if (chunk == NULL || chunk->cap - chunk->used < size)
        chunk = add_chunk(arena, size);
    if (chunk == NULL)
        return NULL;
    block = chunk->bytes + chunk->used;
    chunk->used += size;
    arena->used += size;
    return block;
}

struct sp_span sp_arena_dup(struct sp_arena *arena, struct sp_span bytes)
{
    char *copy = bytes.len < SIZE_MAX ? sp_arena_alloc(arena, bytes.len + 1) : NULL;

    if (copy == NULL)
        return (struct sp_span){NULL, 0};
    if (bytes.len > 0)
        memcpy(copy, bytes.base, bytes.len);
    copy[bytes.len] = '\0';
    return (struct sp_span){copy, bytes.len};
}

char *sp_arena_printf(struct sp_arena *arena, const char *fmt, ...)
{
    va_list args;
    char *text = NULL;
    int len;

    va_start(args, fmt);
    len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len >= 0)
        text = sp_arena_alloc(arena, (size_t)len + 1);
    if (text == NULL)
        return NULL;
    va_start(args, fmt);
    (void)vsnprintf(text, (size_t)len + 1, fmt, args);
    va_end(args);
    return text;
}
