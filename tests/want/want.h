/* Want of memory, made on purpose. A program that is linked with this has a malloc of its own (and
 * calloc, realloc, strdup and their kin) in front of the real one, for all of the process: rooms,
 * plugins, libc and every library. It gives memory like any other until a test takes it away.
 *
 * want_each() runs an operation again and again: first the 1st allocation within it fails, then the
 * 2nd, and so on, until a run has met no failure; once with that one failing alone (what comes
 * after it succeeds, and must not go on as if nothing had happened), and once with all that follow
 * failing as well (clearing up must not need memory). Leaks, and what is used after it was freed,
 * are AddressSanitizer's to find. */
#ifndef SP_TEST_WANT_H
#define SP_TEST_WANT_H

#include <stdbool.h>

enum want_whose {
    WANT_OURS, /* allocations that code of the program itself asks for */
    WANT_ALL,  /* those of the libraries too */
};

typedef void (*want_operation)(void *state);

/* The operation calls want_begin and want_end, once each. `stride`: every how manieth allocation is
 * tried (1: each). Says on standard output how many there were. */
void want_each(const char *what, enum want_whose whose, unsigned stride, want_operation operation,
               void *state);

/* From here on allocations count, and fail when it is their turn. */
void want_begin(void);
/* And no more. True: one has failed. */
bool want_end(void);

/* Around a call into a library that has no answer to want but to crash: it has its memory. In
 * WANT_ALL; with WANT_OURS libraries have theirs anyway, and what they call back has not. */
void want_spare(bool spare);

#endif
