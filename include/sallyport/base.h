/* The few plain types that every part of sallyport, and every backend plugin, speaks in.
 * Header only: a plugin links against nothing of sallyport's. */
#ifndef SALLYPORT_BASE_H
#define SALLYPORT_BASE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define SP_MUST_CHECK        __attribute__((warn_unused_result))
#define SP_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define SP_EXPORT            __attribute__((visibility("default")))
#else
#define SP_MUST_CHECK
#define SP_PRINTF(fmt, args)
#define SP_EXPORT
#endif

/* Back from a member to the struct that embeds it. */
#define sp_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* A view into bytes owned by someone else; never NUL-terminated, never freed.
 * base == NULL means "absent"; base != NULL with len == 0 means "there, and empty". */
struct sp_span {
    const char *base;
    size_t len;
};

/* A list of NUL-terminated strings, owned by whoever owns the struct around it. */
struct sp_strings {
    char **items;
    size_t len;
};

/* What a caller can act on. Returned by functions that can fail; 0 is success. */
enum sp_err {
    SP_OK = 0,
    SP_ERR_NOMEM,     /* out of memory */
    SP_ERR_FULL,      /* a bounded queue, pool or table has no room: answer, never wait */
    SP_ERR_INVALID,   /* the input is not well-formed */
    SP_ERR_TOO_LARGE, /* the input is over its limit */
    SP_ERR_NOT_FOUND, /* there is no such thing */
    SP_ERR_IO,        /* the operating system said no; errno or the words beside tell more */
    SP_ERR_TIMEOUT,   /* a deadline passed */
    SP_ERR_DENIED,    /* policy forbids it */
    SP_ERR_CLOSED,    /* the other side is gone, or we are shutting down */
    SP_ERR_AGAIN,     /* nothing now; it will be announced when there is */
};

enum sp_log_level { SP_LOG_DEBUG, SP_LOG_INFO, SP_LOG_WARNING, SP_LOG_ERROR };

#endif
