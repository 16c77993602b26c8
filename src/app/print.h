/* What `login`, `doctor`, `why`, `ctl trace` and `ctl sessions` show: fields, steps and findings,
 * aligned for people (in colours only on a terminal, and not where NO_COLOR is set), or as one JSON
 * object a line for programs. What comes from outside is escaped here. */
#ifndef SP_APP_PRINT_H
#define SP_APP_PRINT_H

#include "sallyport/auth_backend.h"

#include <stdbool.h>
#include <stdio.h>

enum sp_app_tone { SP_APP_PLAIN, SP_APP_GOOD, SP_APP_BAD, SP_APP_FAINT, SP_APP_STRONG };

/* For people each call prints at once. For programs the calls gather one object, and
 * sp_app_print_end prints it: fields by their names, steps in the list "steps", findings in
 * "findings". One thread. */
struct sp_app_printer {
    FILE *out;
    bool json;
    bool colored;
    bool failed;  /* something could not be printed */
    void *object; /* json: what was gathered; NULL: nothing */
};

void sp_app_printer_init(struct sp_app_printer *printer, FILE *out, bool json);
/* Drops what was gathered and not printed. */
void sp_app_printer_fini(struct sp_app_printer *printer);

/* A line that introduces what follows; for programs nothing. */
void sp_app_print_heading(struct sp_app_printer *printer, enum sp_app_tone tone, const char *fmt,
                          ...) SP_PRINTF(3, 4);
/* `value` NULL or "": for people nothing; for programs "". */
void sp_app_print_field(struct sp_app_printer *printer, enum sp_app_tone tone, const char *name,
                        const char *value);
/* `unit` ("ms") is for people alone. */
void sp_app_print_number(struct sp_app_printer *printer, const char *name, uint64_t value,
                         const char *unit);
void sp_app_print_flag(struct sp_app_printer *printer, const char *name, bool value);
void sp_app_print_list(struct sp_app_printer *printer, const char *name,
                       const struct sp_span *items, size_t len);
void sp_app_print_step(struct sp_app_printer *printer, const struct sp_auth_step *step);
/* For programs: the list "steps" is there even if none follows. */
void sp_app_print_no_steps(struct sp_app_printer *printer);
void sp_app_print_finding(struct sp_app_printer *printer, const struct sp_auth_finding *finding);
/* A line that is in its form already. False: as below. */
bool sp_app_print_line(struct sp_app_printer *printer, struct sp_span line) SP_MUST_CHECK;
/* A line that a server wrote for programs: passed on as it is, or shown to people by `show`, which
 * is given the line's JSON object (jansson's), borrowed. False: it is no such line, or could not be
 * printed. */
struct json_t;
bool sp_app_print_shown(struct sp_app_printer *printer, struct sp_span line,
                        void (*show)(struct sp_app_printer *printer,
                                     const struct json_t *object)) SP_MUST_CHECK;
/* One thing has been told whole. False: it, or one before it, could not be printed. */
bool sp_app_print_end(struct sp_app_printer *printer) SP_MUST_CHECK;

#endif
