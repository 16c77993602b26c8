/* Drafts are held against the sections' tables: each block gets its struct, filled from the file
 * and from defaults, and each key that no table knows is a fault. */
#include "config/config_priv.h"

#include "util/span.h"

#include <stdio.h>
#include <string.h>

#define PLUGIN_KEY "plugin"

static void *zeroed(struct sp_config_reader *reader, size_t size)
{
    void *memory = sp_arena_alloc(&reader->config->arena, size > 0 ? size : 1);

    if (memory == NULL)
        reader->no_memory = true;
    else
        memset(memory, 0, size);
    return memory;
}

static struct sp_config_note *find_note(const struct sp_config_draft *draft, const char *name)
{
    for (struct sp_config_note *note = draft->notes; note != NULL; note = note->next)
        if (strcmp(note->name, name) == 0)
            return note;
    return NULL;
}

/* "in the block `limits`", for a fault. */
static const char *where_of(const struct sp_config_draft *draft, const char *plugin, char *out,
                            size_t cap)
{
    if (draft->section == NULL)
        snprintf(out, cap, "at the top level");
    else if (plugin != NULL)
        snprintf(out, cap, "in a `%s` of plugin \"%s\"", draft->section, sp_config_show(plugin));
    else
        snprintf(out, cap, "in the block `%s`", draft->section);
    return out;
}

static void check_keys(struct sp_config_reader *reader, const struct sp_config_draft *draft,
                       const struct sp_option *table, const char *plugin)
{
    char where[160];

    where_of(draft, plugin, where, sizeof(where));
    for (const struct sp_config_note *note = draft->notes; note != NULL; note = note->next) {
        if (plugin != NULL && strcmp(note->name, PLUGIN_KEY) == 0)
            continue;
        if (sp_config_find_option(table, note->name) == NULL)
            sp_config_fault_unknown_key(reader, note, where, table);
    }
}

static void fill_options(struct sp_config_reader *reader, const struct sp_config_draft *draft,
                         const struct sp_option *table, void *options)
{
    for (const struct sp_option *option = table; option->name != NULL; option++) {
        struct sp_config_note *note = find_note(draft, option->name);

        if (note == NULL && (option->flags & SP_OPTION_REQUIRED) != 0)
            sp_config_fault_at(reader->faults, draft->file->name, draft->line,
                               "`%s` must be set in %s%s%s%s: %s", option->name,
                               draft->section != NULL ? draft->section : "the top level",
                               draft->title != NULL ? " \"" : "",
                               draft->title != NULL ? sp_config_show(draft->title) : "",
                               draft->title != NULL ? "\"" : "", option->help);
        else
            sp_config_value_fill(reader, option, note, draft->file, options);
    }
}

/* The block's struct. NULL: no memory. */
static const void *make_options(struct sp_config_reader *reader,
                                const struct sp_config_draft *draft, const struct sp_option *table,
                                size_t size, const char *plugin)
{
    void *options = zeroed(reader, size);

    if (options == NULL)
        return NULL;
    check_keys(reader, draft, table, plugin);
    fill_options(reader, draft, table, options);
    return options;
}

/* ---- blocks whose table depends on their plugin ---- */

static const char *plugin_of(struct sp_config_reader *reader, const struct sp_config_draft *draft)
{
    const struct sp_config_note *note = find_note(draft, PLUGIN_KEY);

    if (note == NULL)
        sp_config_fault_at(reader->faults, draft->file->name, draft->line,
                           "`" PLUGIN_KEY "` must be set in %s \"%s\": it says what kind it is",
                           draft->section, sp_config_show(draft->title));
    else if (note->values_len != 1 || note->append || note->values[0][0] == '\0')
        sp_config_fault_at(reader->faults, note->file->name, note->line,
                           "`" PLUGIN_KEY "` takes one name, such as \"ldap\"");
    else
        return note->values[0];
    return NULL;
}

/* The top level's value, which is filled first. */
static const char *plugin_dir_of(const struct sp_config_reader *reader)
{
    for (size_t i = 0; i < reader->config->groups_len; i++) {
        const struct sp_config_group *group = &reader->config->groups[i];
        const struct sp_option *option;

        if (group->section->name != NULL || group->blocks_len == 0)
            continue;
        option = sp_config_find_option(group->section->options, "plugin_dir");
        if (option != NULL && group->blocks[0].options != NULL)
            return *(char *const *)(const void *)((const char *)group->blocks[0].options +
                                                  option->offset);
    }
    return "";
}

static void fill_plugin_block(struct sp_config_reader *reader,
                              const struct sp_config_section *section,
                              const struct sp_config_draft *draft, struct sp_config_block *block)
{
    char why[256] = "it cannot be loaded";
    const struct sp_option *table;
    size_t size = 0;

    block->plugin = plugin_of(reader, draft);
    if (block->plugin == NULL)
        return;
    table = section->resolve(section->owner, block->plugin, plugin_dir_of(reader), &size, why);
    if (table == NULL)
        sp_config_fault(reader->faults, block, PLUGIN_KEY, "plugin \"%s\": %s",
                        sp_config_show(block->plugin), why);
    else
        block->options = make_options(reader, draft, table, size, block->plugin);
}

/* ---- sections ---- */

static void fill_block(struct sp_config_reader *reader, const struct sp_config_section *section,
                       struct sp_config_draft *draft, struct sp_config_block *block)
{
    unsigned before = reader->faults->count;

    *block = (struct sp_config_block){.title = draft->title != NULL ? draft->title : "",
                                      .file = draft->file->name,
                                      .line = draft->line,
                                      .draft = draft};
    if (section->resolve != NULL)
        fill_plugin_block(reader, section, draft, block);
    else
        block->options = make_options(reader, draft, section->options, section->options_size, NULL);
    draft->faulty = reader->faults->count > before;
}

static bool is_of(const struct sp_config_draft *draft, const struct sp_config_section *section)
{
    return section->name != NULL && strcmp(draft->section, section->name) == 0;
}

/* Twice the same title, or a second block of a kind that there is only once. */
static bool is_new(struct sp_config_reader *reader, const struct sp_config_section *section,
                   const struct sp_config_draft *draft)
{
    const struct sp_config_draft *first = draft->first;

    if (first == NULL)
        return true;
    sp_config_fault_at(
        reader->faults, draft->file->name, draft->line,
        "a second %s%s%s%s; the first begins at %s:%u%s", section->name,
        section->titled ? " \"" : "", section->titled ? sp_config_show(draft->title) : "",
        section->titled ? "\"" : "", first->file->name, first->line,
        first->line == draft->line && strcmp(first->file->name, draft->file->name) == 0
            ? ": that file is included twice"
            : "");
    return false;
}

static bool has_title(struct sp_config_reader *reader, const struct sp_config_section *section,
                      const struct sp_config_draft *draft)
{
    struct sp_span title = sp_span_cstr(draft->title);

    if (!section->titled)
        return true;
    if (title.len == 0)
        sp_config_fault_at(reader->faults, draft->file->name, draft->line,
                           "a %s needs a name that is not empty", section->name);
    return title.len > 0;
}

static void fill_titled(struct sp_config_reader *reader, struct sp_config_group *group)
{
    size_t room = 0;

    for (const struct sp_config_draft *d = reader->drafts; d != NULL; d = d->next)
        room += is_of(d, group->section);
    group->blocks = zeroed(reader, room * sizeof(*group->blocks));
    if (group->blocks == NULL)
        return;
    for (struct sp_config_draft *d = reader->drafts; d != NULL; d = d->next)
        if (is_of(d, group->section) && has_title(reader, group->section, d) &&
            is_new(reader, group->section, d))
            fill_block(reader, group->section, d, &group->blocks[group->blocks_len++]);
}

/* The one draft of an untitled section; an empty one where the file has none. */
static struct sp_config_draft *only_draft(struct sp_config_reader *reader,
                                          const struct sp_config_section *section,
                                          const struct sp_config_file *main_file)
{
    struct sp_config_draft *only = NULL;
    struct sp_config_draft *empty;

    for (struct sp_config_draft *d = reader->drafts; d != NULL; d = d->next)
        if (is_of(d, section) && is_new(reader, section, d))
            only = d;
    if (only != NULL)
        return only;
    empty = zeroed(reader, sizeof(*empty));
    if (empty != NULL)
        *empty = (struct sp_config_draft){
            .section = section->name, .file = main_file, .line = 1, .notes_end = NULL};
    return empty;
}

static void fill_untitled(struct sp_config_reader *reader, struct sp_config_group *group,
                          const struct sp_config_file *main_file)
{
    struct sp_config_draft *draft;

    group->blocks = zeroed(reader, sizeof(*group->blocks));
    if (group->section->name != NULL) {
        draft = only_draft(reader, group->section, main_file);
    } else {
        draft = zeroed(reader, sizeof(*draft));
        if (draft != NULL)
            *draft = reader->top;
    }
    if (group->blocks == NULL || draft == NULL)
        return;
    fill_block(reader, group->section, draft, &group->blocks[0]);
    group->blocks_len = 1;
}

void sp_config_check(struct sp_config_reader *reader, const struct sp_config_file *main_file)
{
    struct sp_config *config = reader->config;
    size_t n = 0;

    reader->top.file = main_file;
    reader->top.line = 1;
    for (const struct sp_config_section *s = reader->sections;
         s->options != NULL || s->resolve != NULL; s++)
        n++;
    config->groups = zeroed(reader, n * sizeof(*config->groups));
    if (config->groups == NULL)
        return;
    sp_config_repeats_find(reader);
    for (size_t i = 0; i < n; i++) {
        struct sp_config_group *group = &config->groups[config->groups_len++];

        group->section = &reader->sections[i];
        if (group->section->titled)
            fill_titled(reader, group);
        else
            fill_untitled(reader, group, main_file);
    }
}

void sp_config_check_part(struct sp_config_reader *reader, const struct sp_config_file *main_file,
                          const char *name)
{
    struct sp_config *config = reader->config;
    const struct sp_config_section *section = reader->sections;

    while (section->name == NULL || strcmp(section->name, name) != 0)
        section++;
    reader->top.file = main_file;
    config->groups = zeroed(reader, sizeof(*config->groups));
    if (config->groups == NULL)
        return;
    sp_config_repeats_find(reader);
    config->groups[0].section = section;
    config->groups_len = 1;
    fill_untitled(reader, &config->groups[0], main_file);
}
