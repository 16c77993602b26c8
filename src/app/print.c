/* The two forms of what the explaining commands tell: lines for people, objects for programs. */
#include "app/print.h"

#include "util/span.h"
#include "util/text.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_LEN 1024
#define WHAT_WIDTH   13u /* of a step's first word */

void sp_app_printer_init(struct sp_app_printer *printer, FILE *out, bool json)
{
    const char *no_color = getenv("NO_COLOR");

    *printer = (struct sp_app_printer){.out = out, .json = json};
    printer->colored = !json && (no_color == NULL || no_color[0] == '\0') &&
                       isatty(fileno(out)) == 1;
}

void sp_app_printer_fini(struct sp_app_printer *printer)
{
    json_decref(printer->object);
    printer->object = NULL;
}

/* ---- for people ---- */

static const char *color_of(enum sp_app_tone tone)
{
    switch (tone) {
    case SP_APP_PLAIN: break;
    case SP_APP_GOOD: return "\x1b[32m";
    case SP_APP_BAD: return "\x1b[31m";
    case SP_APP_FAINT: return "\x1b[2m";
    case SP_APP_STRONG: return "\x1b[1m";
    }
    return "";
}

/* A terminal obeys what it is shown: control characters, C1 ones too, and what is no UTF-8 become
 * \xNN. */
static void put_text(struct sp_app_printer *p, const char *text)
{
    struct sp_span rest = sp_span_cstr(text);

    while (rest.len > 0) {
        uint32_t letter = 0;
        size_t len = sp_text_decode(rest, &letter);
        bool shown = len > 0 && letter >= 0x20 && (letter < 0x7f || letter > 0x9f);

        if (len == 0)
            len = 1;
        if (shown)
            (void)fwrite(rest.base, 1, len, p->out);
        else
            for (size_t i = 0; i < len; i++)
                (void)fprintf(p->out, "\\x%02x", (unsigned char)rest.base[i]);
        rest.base += len;
        rest.len -= len;
    }
}

static void put_toned(struct sp_app_printer *p, enum sp_app_tone tone, const char *text)
{
    bool colored = p->colored && tone != SP_APP_PLAIN;

    if (colored)
        (void)fputs(color_of(tone), p->out);
    put_text(p, text);
    if (colored)
        (void)fputs("\x1b[0m", p->out);
}

static void put_newline(struct sp_app_printer *p)
{
    (void)fputc('\n', p->out);
}

static void show_field(struct sp_app_printer *p, enum sp_app_tone tone, const char *name,
                       const char *value)
{
    if (value[0] == '\0')
        return;
    (void)fprintf(p->out, "  %-12s ", name);
    put_toned(p, tone, value);
    put_newline(p);
}

static void show_step(struct sp_app_printer *p, const struct sp_auth_step *step)
{
    const char *what = step->what != NULL ? step->what : "";
    size_t what_len = strlen(what);

    (void)fprintf(p->out, "  %9.1f ms  ", (double)step->micros / 1000);
    put_text(p, what);
    (void)fprintf(p->out, "%*s", what_len < WHAT_WIDTH ? (int)(WHAT_WIDTH - what_len) : 0, "");
    if (step->server != NULL && step->server[0] != '\0') {
        (void)fputc(' ', p->out);
        put_text(p, step->server);
        (void)fputc(':', p->out);
    }
    (void)fputc(' ', p->out);
    put_text(p, step->outcome != NULL ? step->outcome : "");
    put_newline(p);
    if (step->detail == NULL || step->detail[0] == '\0')
        return;
    (void)fprintf(p->out, "%29s", "");
    put_toned(p, SP_APP_FAINT, step->detail);
    put_newline(p);
}

static void show_finding(struct sp_app_printer *p, const struct sp_auth_finding *finding)
{
    (void)fputs("  ", p->out);
    put_toned(p, finding->well ? SP_APP_GOOD : SP_APP_BAD, finding->well ? "ok   " : "FAULT");
    (void)fputs("  ", p->out);
    put_text(p, finding->what);
    (void)fputs(": ", p->out);
    put_text(p, finding->state);
    put_newline(p);
    if (finding->remedy == NULL || finding->well)
        return;
    (void)fputs("         -> ", p->out);
    put_toned(p, SP_APP_STRONG, finding->remedy);
    put_newline(p);
}

/* ---- for programs ---- */

static json_t *object_of(struct sp_app_printer *p)
{
    if (p->object == NULL)
        p->object = json_object();
    return p->object;
}

/* What is no UTF-8 cannot stand in JSON: it is escaped first. */
static json_t *text_of(const char *text)
{
    struct sp_span span = sp_span_cstr(text);
    char safe[LINE_MAX_LEN];

    return json_string(sp_text_is_utf8(span) ? (text != NULL ? text : "")
                                             : sp_text_safe(span, safe, sizeof(safe)));
}

/* Takes `value`; no memory is a failure that the end tells. */
static void set(struct sp_app_printer *p, json_t *object, const char *name, json_t *value)
{
    if (json_object_set_new(object, name, value) != 0)
        p->failed = true;
}

/* The list of that name, made when it is not there yet. */
static json_t *list_of(struct sp_app_printer *p, const char *name)
{
    json_t *object = object_of(p);

    if (json_object_get(object, name) == NULL)
        set(p, object, name, json_array());
    return json_object_get(object, name);
}

/* Takes `item`. */
static void append(struct sp_app_printer *p, const char *list, json_t *item)
{
    if (json_array_append_new(list_of(p, list), item) != 0)
        p->failed = true;
}

static void gather_step(struct sp_app_printer *p, const struct sp_auth_step *step)
{
    json_t *item = json_object();

    set(p, item, "what", text_of(step->what));
    set(p, item, "server", text_of(step->server));
    set(p, item, "detail", text_of(step->detail));
    set(p, item, "outcome", text_of(step->outcome));
    set(p, item, "ms", json_real((double)step->micros / 1000));
    append(p, "steps", item);
}

static void gather_finding(struct sp_app_printer *p, const struct sp_auth_finding *finding)
{
    json_t *item = json_object();

    set(p, item, "well", json_boolean(finding->well));
    set(p, item, "what", text_of(finding->what));
    set(p, item, "state", text_of(finding->state));
    set(p, item, "remedy", text_of(finding->well ? NULL : finding->remedy));
    append(p, "findings", item);
}

/* ---- either ---- */

void sp_app_print_heading(struct sp_app_printer *printer, enum sp_app_tone tone, const char *fmt,
                          ...)
{
    char line[LINE_MAX_LEN];
    va_list args;

    if (printer->json)
        return;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    put_toned(printer, tone, line);
    put_newline(printer);
}

void sp_app_print_field(struct sp_app_printer *printer, enum sp_app_tone tone, const char *name,
                        const char *value)
{
    if (printer->json)
        set(printer, object_of(printer), name, text_of(value));
    else if (value != NULL)
        show_field(printer, tone, name, value);
}

void sp_app_print_number(struct sp_app_printer *printer, const char *name, uint64_t value,
                         const char *unit)
{
    char text[64];

    if (printer->json) {
        set(printer, object_of(printer), name, json_integer((json_int_t)value));
        return;
    }
    (void)snprintf(text, sizeof(text), "%llu%s%s", (unsigned long long)value,
                   unit[0] != '\0' ? " " : "", unit);
    show_field(printer, SP_APP_PLAIN, name, text);
}

void sp_app_print_flag(struct sp_app_printer *printer, const char *name, bool value)
{
    if (printer->json)
        set(printer, object_of(printer), name, json_boolean(value));
    else
        show_field(printer, SP_APP_PLAIN, name, value ? "yes" : "no");
}

static void show_list(struct sp_app_printer *p, const char *name, const struct sp_span *items,
                      size_t len)
{
    char line[LINE_MAX_LEN];
    size_t used = 0;

    for (size_t i = 0; i < len; i++) {
        int more = snprintf(line + used, sizeof(line) - used, "%s%.*s", i > 0 ? ", " : "",
                            SP_SPAN_ARG(items[i]));

        if (more < 0 || (size_t)more >= sizeof(line) - used) {
            (void)snprintf(line + used, sizeof(line) - used, "...");
            break;
        }
        used += (size_t)more;
    }
    if (len > 0)
        show_field(p, SP_APP_PLAIN, name, line);
}

void sp_app_print_list(struct sp_app_printer *printer, const char *name,
                       const struct sp_span *items, size_t len)
{
    json_t *array;

    if (!printer->json) {
        show_list(printer, name, items, len);
        return;
    }
    array = json_array();
    for (size_t i = 0; i < len; i++) {
        char safe[LINE_MAX_LEN];
        bool plain = items[i].len == 0 || memchr(items[i].base, '\0', items[i].len) == NULL;
        json_t *item = plain ? json_stringn(items[i].base, items[i].len) : NULL;

        if (item == NULL) /* no UTF-8, or a NUL, which whoever reads the line would not take */
            item = json_string(sp_text_safe(items[i], safe, sizeof(safe)));
        if (json_array_append_new(array, item) != 0)
            printer->failed = true;
    }
    set(printer, object_of(printer), name, array);
}

void sp_app_print_step(struct sp_app_printer *printer, const struct sp_auth_step *step)
{
    if (printer->json)
        gather_step(printer, step);
    else
        show_step(printer, step);
}

void sp_app_print_no_steps(struct sp_app_printer *printer)
{
    if (printer->json)
        (void)list_of(printer, "steps");
}

void sp_app_print_finding(struct sp_app_printer *printer, const struct sp_auth_finding *finding)
{
    if (printer->json)
        gather_finding(printer, finding);
    else
        show_finding(printer, finding);
}

bool sp_app_print_line(struct sp_app_printer *printer, struct sp_span line)
{
    if (fwrite(line.base, 1, line.len, printer->out) != line.len ||
        fputc('\n', printer->out) == EOF || fflush(printer->out) != 0)
        printer->failed = true;
    return !printer->failed;
}

bool sp_app_print_shown(struct sp_app_printer *printer, struct sp_span line,
                        void (*show)(struct sp_app_printer *printer, const json_t *object))
{
    json_t *object;

    if (printer->json)
        return sp_app_print_line(printer, line);
    object = json_loadb(line.base, line.len, 0, NULL);
    if (!json_is_object(object)) {
        json_decref(object);
        return false;
    }
    show(printer, object);
    json_decref(object);
    return sp_app_print_end(printer);
}

bool sp_app_print_end(struct sp_app_printer *printer)
{
    if (printer->json) {
        if (json_dumpf(object_of(printer), printer->out, JSON_COMPACT | JSON_REAL_PRECISION(6)) !=
            0)
            printer->failed = true;
        put_newline(printer);
        sp_app_printer_fini(printer);
    }
    if (fflush(printer->out) != 0 || ferror(printer->out))
        printer->failed = true;
    return !printer->failed;
}
