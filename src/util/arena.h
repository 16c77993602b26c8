/* An arena: many small allocations, one free. One per exchange; never for secrets.
 * Embedded in its owner; one thread. Chunks come from malloc, the first with the first allocation.
 */
#ifndef SP_UTIL_ARENA_H
#define SP_UTIL_ARENA_H

#include "sallyport/base.h"

struct sp_arena_chunk;

struct sp_arena {
    struct sp_arena_chunk *chunks;
    size_t used;  /* bytes handed out so far */
    size_t limit; /* never more than this in all */
};

void sp_arena_init(struct sp_arena *arena, size_t limit);
void sp_arena_fini(struct sp_arena *arena);
/* Aligned for any type, not zeroed. NULL: out of memory or over the limit. */
void *sp_arena_alloc(struct sp_arena *arena, size_t size) SP_MUST_CHECK;
/* A NUL-terminated copy; its span has the length without the NUL. base NULL: no room. */
struct sp_span sp_arena_dup(struct sp_arena *arena, struct sp_span bytes) SP_MUST_CHECK;
/* Formatted text, NUL-terminated; NULL: no room. */
char *sp_arena_printf(struct sp_arena *arena, const char *fmt, ...) SP_PRINTF(2, 3) SP_MUST_CHECK;

#endif
