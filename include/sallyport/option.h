/* Options described by a table. The table is parsed by the core, checked by `sallyport check`, and
 * printed into the manual page: name, type, default, bounds and one line of help stand in one
 * place.
 *
 * A room or a plugin declares a plain struct for its options and a table whose rows name the
 * fields. The core fills the struct (every field, from the default where the file is silent), keeps
 * it while the configuration snapshot lives, and frees it. Whoever is handed the struct only reads
 * it. */
#ifndef SALLYPORT_OPTION_H
#define SALLYPORT_OPTION_H

#include "sallyport/base.h"

#include <stdbool.h>

/* Bytes read from a secret's file, one trailing line end removed. Wiped when the snapshot is freed.
 */
struct sp_secret_text {
    char *text; /* NUL-terminated; NULL when no file is named */
    size_t len;
};

enum sp_option_type {
    SP_OPTION_STRING, /* char *            never NULL: "" when not set */
    SP_OPTION_PATH, /* char *            made absolute against the folder of the file that names it;
                       "" stays "", and "-" (a standard stream) stays "-" */
    SP_OPTION_BOOL, /* bool              true false */
    SP_OPTION_INT,  /* int64_t           within min..max */
    SP_OPTION_MILLIS, /* uint64_t, ms      500ms 30s 5m 1h 1d; a bare 0 is 0; within min..max */
    SP_OPTION_SIZE,   /* uint64_t, bytes   512 64k 1m 1g; within min..max */
    SP_OPTION_LIST,   /* struct sp_strings {"a", "b"}; the default is written "a, b" */
    SP_OPTION_CHOICE, /* int               index into choices */
    SP_OPTION_SECRET, /* struct sp_secret_text; the value names a file, which the core reads */
    SP_OPTION_PATHS,  /* struct sp_strings of PATHs: {"a.pem", "b.pem"}, or one alone: "a.pem" */
};

enum sp_option_flag {
    SP_OPTION_REQUIRED = 1, /* the file must set it */
    SP_OPTION_WATCHED = 2,  /* PATH: the core calls the plugin's refresh when that file changes */
    SP_OPTION_RESTART = 4,  /* a new value needs a restart; a reload says so */
    SP_OPTION_MAY_MISS = 8, /* PATH: the file need not exist (it is created, or is a socket) */
    SP_OPTION_TUNES = 16,   /* how fast or how much, never whom: what a backend said of people under
                               another value goes on serving after a reload */
};

struct sp_option {
    const char *name; /* NULL ends the table */
    enum sp_option_type type;
    size_t offset;        /* of the field within the options struct */
    const char *fallback; /* the default, written as in the file; NULL: "" , 0, false, empty */
    int64_t min, max;     /* INT, MILLIS, SIZE; both 0: the type's whole range */
    const char *const *choices; /* CHOICE: NULL-terminated words; the value is the index */
    unsigned flags;             /* enum sp_option_flag */
    const char *help;           /* one sentence for the manual page */
};

/* clang-format off */
#define SP_OPT_STRING(st, field, def, help)  {#field, SP_OPTION_STRING, offsetof(st, field), def, 0, 0, NULL, 0, help}
#define SP_OPT_PATH(st, field, def, flags, help) {#field, SP_OPTION_PATH, offsetof(st, field), def, 0, 0, NULL, flags, help}
#define SP_OPT_BOOL(st, field, def, help)    {#field, SP_OPTION_BOOL, offsetof(st, field), def, 0, 0, NULL, 0, help}
#define SP_OPT_INT(st, field, def, lo, hi, help) {#field, SP_OPTION_INT, offsetof(st, field), def, lo, hi, NULL, 0, help}
#define SP_OPT_MILLIS(st, field, name, def, lo, hi, help) {name, SP_OPTION_MILLIS, offsetof(st, field), def, lo, hi, NULL, 0, help}
#define SP_OPT_SIZE(st, field, def, lo, hi, help) {#field, SP_OPTION_SIZE, offsetof(st, field), def, lo, hi, NULL, 0, help}
#define SP_OPT_LIST(st, field, def, help)    {#field, SP_OPTION_LIST, offsetof(st, field), def, 0, 0, NULL, 0, help}
#define SP_OPT_PATHS(st, field, help)        {#field, SP_OPTION_PATHS, offsetof(st, field), NULL, 0, 0, NULL, 0, help}
#define SP_OPT_CHOICE(st, field, def, words, help) {#field, SP_OPTION_CHOICE, offsetof(st, field), def, 0, 0, words, 0, help}
#define SP_OPT_SECRET(st, field, help)       {#field, SP_OPTION_SECRET, offsetof(st, field), NULL, 0, 0, NULL, 0, help}
#define SP_OPT_END                           {NULL, SP_OPTION_STRING, 0, NULL, 0, 0, NULL, 0, NULL}
/* clang-format on */

#endif
