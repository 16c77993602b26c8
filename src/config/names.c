/* Names that nobody knows: keys and blocks. A fault says which name was probably meant, or where a
 * key that stands in the wrong block belongs. */
#include "config/config_priv.h"

#include <string.h>

#define NAMES_MAX 256

static size_t least(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;

    return ab < c ? ab : c;
}

/* Levenshtein's distance, for names of up to 63 bytes; longer ones are near to nothing. */
static size_t distance(const char *a, const char *b)
{
    size_t a_len = strlen(a), b_len = strlen(b);
    size_t row[64];

    if (a_len >= 64 || b_len >= 64)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t above = row[j];

            row[j] = least(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[b_len];
}

const char *sp_config_nearest(const char *typed, const char *const *names, size_t names_len)
{
    size_t bound = strlen(typed) / 3 + 1; /* one slip in three letters */
    const char *best = NULL;

    for (size_t i = 0; i < names_len; i++) {
        size_t d = distance(typed, names[i]);

        if (d <= bound && d < strlen(names[i])) {
            best = names[i];
            bound = d - (d > 0);
            if (d == 0)
                break;
        }
    }
    return best;
}

const struct sp_option *sp_config_find_option(const struct sp_option *options, const char *name)
{
    for (const struct sp_option *option = options; option != NULL && option->name != NULL; option++)
        if (strcmp(option->name, name) == 0)
            return option;
    return NULL;
}

/* The section in whose table such a key stands; NULL: in none. */
static const struct sp_config_section *home_of_key(const struct sp_config_reader *reader,
                                                   const char *name)
{
    for (const struct sp_config_section *s = reader->sections;
         s->options != NULL || s->resolve != NULL; s++)
        if (sp_config_find_option(s->options, name) != NULL)
            return s;
    return NULL;
}

static const char *nearest_option(const struct sp_option *table, const char *typed)
{
    const char *names[NAMES_MAX];
    size_t len = 0;

    for (const struct sp_option *o = table; o != NULL && o->name != NULL && len < NAMES_MAX; o++)
        names[len++] = o->name;
    return sp_config_nearest(typed, names, len);
}

void sp_config_fault_unknown_key(struct sp_config_reader *reader, const struct sp_config_note *note,
                                 const char *where, const struct sp_option *table)
{
    const char *shown = sp_config_show(note->name);
    const char *near = nearest_option(table, note->name);
    const struct sp_config_section *home = home_of_key(reader, note->name);

    if (near != NULL)
        sp_config_fault_at(reader->faults, note->file->name, note->line,
                           "unknown key `%s` %s; did you mean `%s`?", shown, where, near);
    else if (home != NULL)
        sp_config_fault_at(reader->faults, note->file->name, note->line,
                           "unknown key `%s` %s; it belongs %s%s%s", shown, where,
                           home->name == NULL ? "at the top level, outside every block"
                                              : "in a block `",
                           home->name == NULL ? "" : home->name, home->name == NULL ? "" : "`");
    else
        sp_config_fault_at(reader->faults, note->file->name, note->line,
                           "unknown key `%s` %s; sallyport.conf(5) lists them all", shown, where);
}

static bool is_ascii(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text >= 0x80)
            return false;
    return true;
}

void sp_config_fault_unknown_block(struct sp_config_reader *reader,
                                   const struct sp_config_file *file, unsigned line,
                                   const char *name)
{
    const char *names[NAMES_MAX];
    const char *near;
    size_t len = 0;

    for (const struct sp_config_section *s = reader->sections;
         (s->options != NULL || s->resolve != NULL) && len < NAMES_MAX - 1; s++)
        if (s->name != NULL)
            names[len++] = s->name;
    names[len++] = "include";
    near = sp_config_nearest(name, names, len);
    if (!is_ascii(name))
        sp_config_fault_at(reader->faults, file->name, line,
                           "unknown block or key `%s`: there is a character in it that is not "
                           "ASCII, such as a no-break space or a curly quote",
                           sp_config_show(name));
    else if (near != NULL)
        sp_config_fault_at(reader->faults, file->name, line,
                           "unknown block or key `%s`; did you mean `%s`?", sp_config_show(name),
                           near);
    else
        sp_config_fault_at(reader->faults, file->name, line,
                           "unknown block, or a key without \"=\": `%s`", sp_config_show(name));
}
