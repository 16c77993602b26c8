/* Helpers for the tests of src/http: heads as C strings, and every head read twice, at once and
 * byte by byte with the bytes moving about, since a socket may do either. */
#ifndef SP_TESTS_UNIT_HTTP_HEADS_H
#define SP_TESTS_UNIT_HTTP_HEADS_H

#include "http/http.h"
#include "util/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct sp_http_limits usual_limits = {
    .head_size = 8192, .fields = 32, .target_size = 2048};

static inline struct sp_http_parser *new_parser(void)
{
    struct sp_http_parser *parser = sp_http_parser_new(&usual_limits);

    assert_non_null(parser);
    return parser;
}

/* The bytes in a block of memory of exactly their size, so that a sanitizer sees a look past them.
 */
static inline struct sp_span exactly(struct sp_span bytes)
{
    char *copy = malloc(bytes.len > 0 ? bytes.len : 1);

    assert_non_null(copy);
    memcpy(copy, bytes.base, bytes.len);
    return sp_span_of(copy, bytes.len);
}

static inline void release(struct sp_span bytes)
{
    free((void *)(uintptr_t)bytes.base);
}

#define assert_span(span, text)                                          \
    do {                                                                 \
        struct sp_span got_ = (span);                                    \
        struct sp_span want_ = sp_span_cstr(text);                       \
        if (!sp_span_eq(got_, want_))                                    \
            fail_msg("\"%.*s\" is not \"%s\"", SP_SPAN_ARG(got_), text); \
    } while (0)

/* Feeds one byte more at a time, each time from a fresh place. */
static inline enum sp_err read_request_slowly(struct sp_http_parser *parser, struct sp_span bytes,
                                              struct sp_http_fault *fault)
{
    struct sp_http_request request;
    enum sp_err err = SP_ERR_AGAIN;

    sp_http_parser_reset(parser);
    for (size_t len = 0; len <= bytes.len && err == SP_ERR_AGAIN; len++) {
        struct sp_span some = exactly(sp_span_of(bytes.base, len));

        err = sp_http_parse_request(parser, some, &request, fault);
        release(some);
    }
    return err;
}

/* The status with which the head is refused; 0: accepted; -1: more is wanted. Both ways of feeding
 * must agree. */
static inline int request_fault(struct sp_span bytes, const char **why_out)
{
    struct sp_http_parser *parser = new_parser();
    struct sp_span exact = exactly(bytes);
    struct sp_http_request request;
    struct sp_http_fault fault = {0, NULL};
    struct sp_http_fault slow_fault = {0, NULL};
    enum sp_err err = sp_http_parse_request(parser, exact, &request, &fault);
    enum sp_err slow = read_request_slowly(parser, bytes, &slow_fault);

    release(exact);
    sp_http_parser_free(&parser);
    assert_int_equal(err, slow);
    assert_int_equal(fault.status, slow_fault.status);
    if (why_out != NULL)
        *why_out = fault.why;
    if (err == SP_ERR_INVALID)
        return fault.status;
    return err == SP_OK ? 0 : -1;
}

/* One head of a table, with what is to come of it. */
struct head_case {
    struct sp_span bytes;
    int status;
    const char *why; /* words that the fault must hold; NULL: any */
};

#define HEAD(text, status, why)        \
    {                                  \
        SP_SPAN_LIT(text), status, why \
    }

static inline void check_requests(const struct head_case *cases, size_t cases_len)
{
    for (size_t i = 0; i < cases_len; i++) {
        const char *why = NULL;
        int status = request_fault(cases[i].bytes, &why);

        if (status != cases[i].status ||
            (cases[i].why != NULL && (why == NULL || strstr(why, cases[i].why) == NULL)))
            fail_msg("case %zu: %d (%s), not %d (%s):\n%.*s", i, status, why != NULL ? why : "-",
                     cases[i].status, cases[i].why != NULL ? cases[i].why : "-",
                     SP_SPAN_ARG(cases[i].bytes));
    }
}

#define CHECK_REQUESTS(cases) check_requests((cases), sizeof(cases) / sizeof *(cases))

#endif
