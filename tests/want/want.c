/* Counts allocations and lets the right one fail. One operation at a time in a program; its
 * allocations may come from several threads. */
#include "want/want.h"

#include "want/want_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ENOUGH 1000000u /* an operation that asks for more never ends */

extern const char __executable_start[], etext[]; /* the linker's: where the program's code lies */

static enum want_whose whose_fails;
static _Thread_local int spared; /* a library that crashes is at work */
static bool all_after;           /* not only the nth */
static unsigned nth;             /* that fails */
static atomic_uint asked;        /* since want_begin */
static atomic_bool failed;       /* one has */
static unsigned begun_runs;      /* so that an operation which forgets want_begin is noticed */

static bool refuses(const void *caller)
{
    unsigned number;

    if (whose_fails == WANT_OURS &&
        ((const char *)caller < __executable_start || (const char *)caller >= etext))
        return false;
    if (whose_fails == WANT_ALL && spared > 0)
        return false;
    number = atomic_fetch_add(&asked, 1) + 1;
    if (number < nth || (number > nth && !all_after))
        return false;
    atomic_store(&failed, true);
    return true;
}

void want_spare(bool spare)
{
    spared += spare ? 1 : -1;
}

void want_begin(void)
{
    begun_runs++;
    atomic_store(&asked, 0);
    atomic_store(&failed, false);
    atomic_store(&want_refuses, refuses);
}

bool want_end(void)
{
    atomic_store(&want_refuses, NULL);
    return atomic_load(&failed);
}

/* True: that run has met a failure, and the next is due. */
static bool run_once(want_operation operation, void *state)
{
    unsigned runs = begun_runs;

    operation(state);
    assert_int_equal(begun_runs, runs + 1);
    assert_null(atomic_load(&want_refuses));
    return atomic_load(&failed);
}

static unsigned run_all(const char *what, unsigned stride, want_operation operation, void *state)
{
    const char *only = getenv("SP_WANT_ONLY"); /* a number: that run alone, for the debugger */
    const char *show = getenv("SP_WANT_SHOW");

    for (nth = only != NULL ? (unsigned)atoi(only) : 1; nth < ENOUGH; nth += stride) {
        if (show != NULL)
            fprintf(stderr, "want: %s, allocation %u%s\n", what, nth, all_after ? " and on" : "");
        if (!run_once(operation, state) || only != NULL)
            return nth;
    }
    fail_msg("%s: %u allocations and no end", what, ENOUGH);
    return 0;
}

void want_each(const char *what, enum want_whose whose, unsigned stride, want_operation operation,
               void *state)
{
    whose_fails = whose;
    for (int i = 0; i < 2; i++) {
        unsigned last;

        all_after = i == 1;
        last = run_all(what, stride, operation, state);
        if (i == 0)
            printf("%s: enough with %u allocations%s\n", what, last - 1,
                   whose == WANT_ALL ? ", the libraries' among them" : "");
    }
}
