/* The tables, printed: the list of keys in sallyport.conf(5), and the same as plain text. What the
 * reader checks and what the manual says cannot drift apart, since both come from the rows. */
#include "config/config_priv.h"

#include "util/span.h"

#include <string.h>

/* Output that stops at the first failure, which is reported once, at the end. */
struct printer {
    struct sp_buf *out;
    bool troff;
    enum sp_err err;
};

static void put(struct printer *p, const char *bytes, size_t len)
{
    if (p->err == SP_OK)
        p->err = sp_buf_append(p->out, sp_span_of(bytes, len));
}

static void puts_raw(struct printer *p, const char *text)
{
    put(p, text, strlen(text));
}

/* Text of ours as troff takes it: backslashes and minus signs escaped, and no line that begins with
 * a dot or an apostrophe, which would be a request. */
static void puts_text(struct printer *p, const char *text)
{
    if (!p->troff) {
        puts_raw(p, text);
        return;
    }
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '\\')
            puts_raw(p, "\\e");
        else if (*c == '-')
            puts_raw(p, "\\-");
        else if (*c == '"') /* a request's arguments would lose it */
            puts_raw(p, "\\(dq");
        else if (c == text && (*c == '.' || *c == '\''))
            puts_raw(p, "\\&"), put(p, c, 1);
        else
            put(p, c, 1);
    }
}

static bool is_number(enum sp_option_type type)
{
    return type == SP_OPTION_INT || type == SP_OPTION_MILLIS || type == SP_OPTION_SIZE;
}

static void print_list(struct printer *p, const char *fallback)
{
    struct sp_span rest = sp_span_cstr(fallback);
    struct sp_span item;
    bool first = true;

    puts_raw(p, "{");
    while (sp_span_next_element(&rest, &item)) {
        puts_text(p, first ? "\"" : ", \"");
        put(p, item.base, item.len);
        puts_text(p, "\"");
        first = false;
    }
    puts_raw(p, "}");
}

/* The default as one would write it. */
static void print_default(struct printer *p, const struct sp_option *option)
{
    const char *text = option->fallback != NULL ? option->fallback : "";

    if (option->type == SP_OPTION_LIST || option->type == SP_OPTION_PATHS) {
        print_list(p, text);
    } else if (is_number(option->type)) {
        puts_text(p, text[0] != '\0' ? text : "0");
    } else if (option->type == SP_OPTION_BOOL) {
        puts_text(p, text[0] != '\0' ? text : "false");
    } else if (option->type == SP_OPTION_CHOICE && text[0] == '\0') {
        puts_text(p, "\"");
        puts_text(p, option->choices[0]);
        puts_text(p, "\"");
    } else {
        puts_text(p, "\"");
        puts_text(p, text);
        puts_text(p, "\"");
    }
}

static void print_range(struct printer *p, const struct sp_option *option)
{
    char text[32];

    if (is_number(option->type) && (option->min != 0 || option->max != 0)) {
        puts_raw(p, ", ");
        puts_text(p, sp_config_value_text(option->type, option->min, text));
        puts_raw(p, " to ");
        puts_text(p, sp_config_value_text(option->type, option->max, text));
    }
    for (size_t i = 0; option->type == SP_OPTION_CHOICE && option->choices[i] != NULL; i++) {
        puts_text(p, i == 0 ? ": \"" : ", \"");
        puts_text(p, option->choices[i]);
        puts_text(p, "\"");
    }
}

static void print_flags(struct printer *p, unsigned flags)
{
    if ((flags & SP_OPTION_WATCHED) != 0)
        puts_text(p, " The file is watched: a new one is taken up without a reload.");
    if ((flags & SP_OPTION_RESTART) != 0)
        puts_text(p, " A new value needs a restart.");
}

static void print_option(struct printer *p, const struct sp_option *option)
{
    puts_raw(p, p->troff ? ".TP\n.B " : "    ");
    puts_text(p, option->name);
    if ((option->flags & SP_OPTION_REQUIRED) != 0) {
        puts_raw(p, p->troff ? " \\fR(" : " (");
    } else {
        puts_raw(p, p->troff ? " \\fR= " : " = ");
        print_default(p, option);
        puts_raw(p, " (");
    }
    puts_text(p, sp_config_type_text(option->type));
    print_range(p, option);
    if ((option->flags & SP_OPTION_REQUIRED) != 0)
        puts_raw(p, "; must be set");
    puts_raw(p, p->troff ? ")\n" : ")\n        ");
    puts_text(p, option->help != NULL ? option->help : "");
    print_flags(p, option->flags);
    puts_raw(p, "\n");
}

static void print_section(struct printer *p, const struct sp_config_section *section)
{
    puts_raw(p, p->troff ? ".SS " : "");
    if (section->name == NULL) {
        puts_text(p, "At the top level");
    } else {
        puts_text(p, section->name);
        puts_text(p, section->titled ? " \"NAME\" { }" : " { }");
    }
    puts_raw(p, "\n");
    if (section->help != NULL) {
        puts_text(p, section->help);
        puts_raw(p, "\n");
    }
    for (const struct sp_option *o = section->options; o != NULL && o->name != NULL; o++)
        print_option(p, o);
    if (!p->troff)
        puts_raw(p, "\n");
}

enum sp_err sp_config_describe(const struct sp_config_section *sections, bool troff,
                               struct sp_buf *out)
{
    struct printer p = {.out = out, .troff = troff, .err = SP_OK};

    for (; sections->options != NULL || sections->resolve != NULL; sections++)
        print_section(&p, sections);
    return p.err;
}
