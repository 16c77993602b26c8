/* Faults: what is wrong with a configuration, each at its file and line. All of them are collected,
 * so that an administrator mends a file once and not once for each fault. Bounded: a hostile file
 * makes a long list, not a large process. */
#include "config/config_priv.h"

#include "util/span.h"
#include "util/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void sp_config_faults_init(struct sp_config_faults *faults)
{
    sp_buf_init(&faults->text, SP_CONFIG_FAULTS_MAX);
    sp_buf_init(&faults->warnings, SP_CONFIG_FAULTS_MAX);
    faults->count = 0;
}

void sp_config_faults_fini(struct sp_config_faults *faults)
{
    sp_buf_fini(&faults->text);
    sp_buf_fini(&faults->warnings);
    faults->count = 0;
}

/* One line. What no longer fits is only counted: the first faults are those that get mended. */
static void add_line(struct sp_buf *to, const char *file, unsigned line, const char *fmt,
                     va_list ap)
{
    char message[1024];
    enum sp_err err;

    if (vsnprintf(message, sizeof(message), fmt, ap) < 0)
        return;
    for (char *c = message; *c != '\0'; c++)
        if (*c == '\n')
            *c = ' ';
    err = sp_buf_printf(to, "%s:%u: %s\n", file, line, message);
    (void)err;
}

void sp_config_fault_at(struct sp_config_faults *faults, const char *file, unsigned line,
                        const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add_line(&faults->text, file, line, fmt, ap);
    va_end(ap);
    faults->count++;
}

void sp_config_warn_at(struct sp_config_faults *faults, const char *file, unsigned line,
                       const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add_line(&faults->warnings, file, line, fmt, ap);
    va_end(ap);
}

static const struct sp_config_note *find_note(const struct sp_config_block *block,
                                              const char *option)
{
    if (block->draft == NULL || option == NULL)
        return NULL;
    for (const struct sp_config_note *note = block->draft->notes; note != NULL; note = note->next)
        if (strcmp(note->name, option) == 0)
            return note;
    return NULL;
}

/* Of what is at fault already, nothing more is told. */
static bool is_told(const struct sp_config_block *block, const char *option)
{
    const struct sp_config_note *note = find_note(block, option);

    if (note != NULL)
        return note->faulty;
    return block->draft != NULL && block->draft->faulty;
}

/* At the option's place, or the block's where it is not set. */
static void add_line_at(struct sp_buf *to, const struct sp_config_block *block, const char *option,
                        const char *fmt, va_list ap)
{
    const struct sp_config_note *note = find_note(block, option);

    if (note != NULL)
        add_line(to, note->file->name, note->line, fmt, ap);
    else
        add_line(to, block->file, block->line, fmt, ap);
}

void sp_config_fault(struct sp_config_faults *faults, const struct sp_config_block *block,
                     const char *option, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (!is_told(block, option))
        add_line_at(&faults->text, block, option, fmt, ap);
    va_end(ap);
    faults->count++;
}

void sp_config_warn(struct sp_config_faults *faults, const struct sp_config_block *block,
                    const char *option, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add_line_at(&faults->warnings, block, option, fmt, ap);
    va_end(ap);
}

bool sp_config_is_set(const struct sp_config_block *block, const char *option)
{
    return find_note(block, option) != NULL;
}

const char *sp_config_show(const char *text)
{
    static _Thread_local char ring[4][SP_CONFIG_NAME_SHOW_MAX];
    static _Thread_local unsigned next;
    char *out = ring[next++ % 4];

    return sp_text_safe(sp_span_cstr(text), out, SP_CONFIG_NAME_SHOW_MAX);
}
