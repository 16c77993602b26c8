/* One option: the words in the file (or the default in its table) become the field of a struct.
 * A fault says what stands there, what may stand there, and the bounds. */
#include "config/config_priv.h"

#include "util/span.h"
#include "util/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The option that is being filled. */
struct filling {
    struct sp_config_reader *reader;
    const struct sp_option *option;
    const struct sp_config_note *note; /* the default has a made-up one */
    bool is_default;
    void *field;
};

#define FAULT(f, fmt, ...)                                                                        \
    sp_config_fault_at((f)->reader->faults, (f)->note->file->name, (f)->note->line, "`%s`: " fmt, \
                       (f)->option->name, __VA_ARGS__)

const char *sp_config_type_text(enum sp_option_type type)
{
    switch (type) {
    case SP_OPTION_STRING: return "string";
    case SP_OPTION_PATH: return "file name";
    case SP_OPTION_BOOL: return "true or false";
    case SP_OPTION_INT: return "number";
    case SP_OPTION_MILLIS: return "duration";
    case SP_OPTION_SIZE: return "size";
    case SP_OPTION_LIST: return "list";
    case SP_OPTION_CHOICE: return "choice";
    case SP_OPTION_SECRET: return "name of a file that holds a secret";
    case SP_OPTION_PATHS: return "file name, or list of them";
    }
    return "";
}

const char *sp_config_value_text(enum sp_option_type type, int64_t value, char *out)
{
    static const struct {
        int64_t factor;
        const char *suffix;
    } millis[] = {{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}},
      sizes[] = {{1 << 30, "g"}, {1 << 20, "m"}, {1 << 10, "k"}, {1, ""}};
    size_t i = 0;

    if (type == SP_OPTION_MILLIS && value != 0) {
        while (value % millis[i].factor != 0)
            i++;
        snprintf(out, 32, "%" PRId64 "%s", value / millis[i].factor, millis[i].suffix);
    } else if (type == SP_OPTION_SIZE && value != 0) {
        while (value % sizes[i].factor != 0)
            i++;
        snprintf(out, 32, "%" PRId64 "%s", value / sizes[i].factor, sizes[i].suffix);
    } else {
        snprintf(out, 32, "%" PRId64, value);
    }
    return out;
}

static const char *example_of(enum sp_option_type type)
{
    if (type == SP_OPTION_MILLIS)
        return "a duration such as 500ms, 30s, 5m, 1h or 1d";
    if (type == SP_OPTION_SIZE)
        return "a size such as 512, 64k, 1m or 1g";
    return "a whole number";
}

static void fault_bounds(const struct filling *f, const char *text)
{
    char low[32], high[32];

    FAULT(f, "%s is out of bounds: %s to %s", sp_config_show(text),
          sp_config_value_text(f->option->type, f->option->min, low),
          sp_config_value_text(f->option->type, f->option->max, high));
}

/* INT, MILLIS and SIZE. False: a fault was added. */
static bool parse_number(const struct filling *f, const char *text, int64_t *out)
{
    const struct sp_option *option = f->option;
    bool bounded = option->min != 0 || option->max != 0;
    uint64_t wide = 0;
    enum sp_err err;

    if (option->type == SP_OPTION_INT)
        err = sp_config_parse_int(text, out);
    else
        err = option->type == SP_OPTION_SIZE ? sp_config_parse_size(text, &wide)
                                             : sp_config_parse_millis(text, &wide);
    if (err == SP_OK && option->type != SP_OPTION_INT) {
        if (wide > (uint64_t)INT64_MAX)
            err = SP_ERR_TOO_LARGE;
        else
            *out = (int64_t)wide;
    }
    if (err == SP_ERR_TOO_LARGE && !bounded)
        FAULT(f, "%s is too large", sp_config_show(text));
    else if (err == SP_OK && bounded && (*out < option->min || *out > option->max))
        err = SP_ERR_TOO_LARGE;
    else if (err == SP_ERR_INVALID)
        FAULT(f, "\"%s\" is not %s", sp_config_show(text), example_of(option->type));
    if (err == SP_ERR_TOO_LARGE && bounded)
        fault_bounds(f, text);
    return err == SP_OK;
}

static void fill_number(const struct filling *f, const char *text)
{
    int64_t value;

    if (!parse_number(f, text, &value))
        return;
    if (f->option->type == SP_OPTION_INT)
        *(int64_t *)f->field = value;
    else
        *(uint64_t *)f->field = (uint64_t)value;
}

static void fill_bool(const struct filling *f, const char *text)
{
    if (strcmp(text, "true") == 0)
        *(bool *)f->field = true;
    else if (strcmp(text, "false") == 0 || text[0] == '\0')
        *(bool *)f->field = false;
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0 && !f->is_default)
        FAULT(f, "\"%s\" is neither true nor false", sp_config_show(text));
}

/* "a, b or c", as far as it fits. */
static void list_choices(const char *const *choices, char *out, size_t cap)
{
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; choices[i] != NULL && len < cap; i++) {
        const char *between = i == 0 ? "" : (choices[i + 1] == NULL ? " or " : ", ");
        int n = snprintf(out + len, cap - len, "%s\"%s\"", between, choices[i]);

        if (n < 0)
            return;
        len += (size_t)n;
    }
}

static void fill_choice(const struct filling *f, const char *text)
{
    char words[256];

    for (int i = 0; f->option->choices[i] != NULL; i++) {
        if (strcmp(f->option->choices[i], text) == 0) {
            *(int *)f->field = i;
            return;
        }
    }
    if (f->is_default && text[0] == '\0')
        return;
    list_choices(f->option->choices, words, sizeof(words));
    FAULT(f, "\"%s\" is not one of %s", sp_config_show(text), words);
}

static char *keep(const struct filling *f, const char *text)
{
    struct sp_span copy = sp_arena_dup(&f->reader->config->arena, sp_span_cstr(text));

    if (copy.base == NULL)
        f->reader->no_memory = true;
    return (char *)(uintptr_t)copy.base; /* the arena's own bytes */
}

static char *resolve(const struct filling *f, const char *text)
{
    char *path = sp_config_path_resolve(f->reader, f->note->file, text);

    if (path == NULL)
        f->reader->no_memory = true;
    return path;
}

static char *read_path(const struct filling *f, const char *text)
{
    char *path = resolve(f, text);
    struct stat st;

    if (path == NULL || path[0] == '\0' || (f->option->flags & SP_OPTION_MAY_MISS) != 0)
        return path;
    sp_config_note_named(f->reader, f->option, path, f->note->file->name, f->note->line);
    if (faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) != 0) {
        FAULT(f, "%s cannot be read: %s", sp_config_show(path), strerror(errno));
    } else if (stat(path, &st) == 0 && S_ISFIFO(st.st_mode)) { /* whoever opens it would wait */
        FAULT(f, "%s is a pipe; write it to a file", sp_config_show(path));
        path = keep(f, "/dev/null");
    } else if (f->option->type == SP_OPTION_PATHS && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        FAULT(f, "%s is a folder; name the file in it", sp_config_show(path));
    }
    return path;
}

static void fill_path(const struct filling *f, const char *text)
{
    char *path = read_path(f, text);

    if (path != NULL)
        *(char **)f->field = path;
}

/* "" stands for no file, as with a single one. */
static void fill_paths(const struct filling *f)
{
    struct sp_strings *list = f->field;

    if (f->note->values_len == 0 || (f->note->values_len == 1 && f->note->values[0][0] == '\0'))
        return;
    list->items = sp_arena_alloc(&f->reader->config->arena,
                                 f->note->values_len * sizeof(*list->items));
    if (list->items == NULL) {
        f->reader->no_memory = true;
        return;
    }
    for (size_t i = 0; i < f->note->values_len; i++) {
        char *path = read_path(f, f->note->values[i]);

        if (path != NULL)
            list->items[list->len++] = path;
    }
}

static void fill_secret(const struct filling *f, const char *text)
{
    char *path;

    if (text[0] == '\0')
        return;
    path = resolve(f, text);
    if (path == NULL)
        return;
    sp_config_note_named(f->reader, f->option, path, f->note->file->name, f->note->line);
    sp_config_secret_read(f->reader, f->note, path, f->field);
}

/* One more item; the array has room. */
static void add_item(const struct filling *f, struct sp_strings *list, struct sp_span item)
{
    struct sp_span copy = sp_arena_dup(&f->reader->config->arena, item);

    if (copy.base == NULL)
        f->reader->no_memory = true;
    else
        list->items[list->len++] = (char *)(uintptr_t)copy.base;
}

/* The default, "a, b", and then the values of the file. */
static void fill_list(const struct filling *f)
{
    struct sp_span rest = sp_span_cstr(f->option->fallback);
    bool with_default = (f->is_default || f->note->append) && rest.len > 0;
    size_t room = f->note->values_len;
    struct sp_strings *list = f->field;
    struct sp_span item;

    if (with_default)
        for (size_t i = 0; i <= rest.len; i++)
            room += i == rest.len || rest.base[i] == ',';
    if (room == 0)
        return;
    list->items = sp_arena_alloc(&f->reader->config->arena, room * sizeof(*list->items));
    if (list->items == NULL) {
        f->reader->no_memory = true;
        return;
    }
    while (with_default && sp_span_next_element(&rest, &item))
        add_item(f, list, item);
    if (!f->is_default)
        for (size_t i = 0; i < f->note->values_len; i++)
            add_item(f, list, sp_span_cstr(f->note->values[i]));
}

static void fill_one(const struct filling *f, const char *text)
{
    switch (f->option->type) {
    case SP_OPTION_STRING: *(char **)f->field = keep(f, text); break;
    case SP_OPTION_PATH: fill_path(f, text); break;
    case SP_OPTION_BOOL: fill_bool(f, text); break;
    case SP_OPTION_INT:
    case SP_OPTION_MILLIS:
    case SP_OPTION_SIZE: fill_number(f, text); break;
    case SP_OPTION_CHOICE: fill_choice(f, text); break;
    case SP_OPTION_SECRET: fill_secret(f, text); break;
    case SP_OPTION_LIST:
    case SP_OPTION_PATHS: break; /* of any number: fill_list, fill_paths */
    }
}

/* Control characters (a "\n" in quotes) would break log lines, headers and directory filters. */
static bool values_are_text(const struct filling *f)
{
    for (size_t i = 0; i < f->note->values_len; i++) {
        struct sp_span value = sp_span_cstr(f->note->values[i]);

        if (sp_text_has_control(value) || !sp_text_is_utf8(value)) {
            FAULT(f, "\"%s\" holds a control character or bytes that are not UTF-8",
                  sp_config_show(f->note->values[i]));
            return false;
        }
    }
    return true;
}

static void fill_from_note(const struct filling *f)
{
    if (!values_are_text(f))
        return;
    if (f->option->type == SP_OPTION_LIST)
        fill_list(f);
    else if (f->option->type == SP_OPTION_PATHS)
        fill_paths(f);
    else if (f->note->append)
        FAULT(f, "takes one value, so it is set with %s", "\"=\"");
    else if (f->note->values_len != 1)
        FAULT(f, "takes one value (a %s), not a list of %zu", sp_config_type_text(f->option->type),
              f->note->values_len);
    else
        fill_one(f, f->note->values[0]);
}

static void fill_from_default(const struct filling *f)
{
    const char *text = f->option->fallback != NULL ? f->option->fallback : "";
    bool numeric = f->option->type == SP_OPTION_INT || f->option->type == SP_OPTION_MILLIS ||
                   f->option->type == SP_OPTION_SIZE;

    if (f->option->type == SP_OPTION_LIST)
        fill_list(f);
    else if (!numeric || text[0] != '\0')
        fill_one(f, text);
}

/* What is at fault has the value that it would have if it were not written: whoever looks for
 * further faults finds no other one of its making. A file that cannot be read keeps its name. */
static void fill_in_place_of(const struct filling *faulty, const struct sp_config_note *made_up)
{
    struct filling f = *faulty;

    f.note = made_up;
    f.is_default = true;
    if (f.option->type == SP_OPTION_LIST)
        *(struct sp_strings *)f.field = (struct sp_strings){0};
    if (f.option->type != SP_OPTION_PATH && f.option->type != SP_OPTION_PATHS)
        fill_from_default(&f);
}

void sp_config_value_fill(struct sp_config_reader *reader, const struct sp_option *option,
                          struct sp_config_note *note, const struct sp_config_file *file,
                          void *options)
{
    static char nothing[] = "";
    struct sp_config_note made_up = {.name = option->name, .file = file, .line = 1};
    struct filling f = {.reader = reader,
                        .option = option,
                        .note = note != NULL ? note : &made_up,
                        .is_default = note == NULL,
                        .field = (char *)options + option->offset};

    unsigned before = reader->faults->count;

    if (option->type == SP_OPTION_STRING || option->type == SP_OPTION_PATH)
        *(char **)f.field = nothing; /* never NULL, also where a fault follows */
    if (note != NULL)
        fill_from_note(&f);
    else
        fill_from_default(&f);
    if (note != NULL && reader->faults->count > before) {
        note->faulty = true;
        fill_in_place_of(&f, &made_up);
    }
}
