/* Between the allocator that can fail and those who say when: want.c in tests of rooms, and
 * want_file.c in a whole sallyport. */
#ifndef SP_TEST_WANT_PRIV_H
#define SP_TEST_WANT_PRIV_H

#include <stdatomic.h>
#include <stdbool.h>

/* Asked before each allocation, on any thread; `caller` is the address that it returns to. Memory
 * is there until this is set. Must not allocate. */
typedef bool (*want_judge)(const void *caller);
extern _Atomic(want_judge) want_refuses;

#endif
