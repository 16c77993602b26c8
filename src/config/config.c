/* The snapshot: read as a whole or not at all, then immutable, counted, and gone with the last
 * reference; its secrets with the last that is for them too. */
#include "config/config_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct sp_config *config_new(void)
{
    struct sp_config *config = calloc(1, sizeof(*config));

    if (config == NULL)
        return NULL;
    atomic_init(&config->refs, 1);
    atomic_init(&config->words_refs, 1); /* of all that count in `refs` */
    sp_arena_init(&config->arena, SP_CONFIG_ARENA_MAX);
    return config;
}

struct sp_config *sp_config_ref(struct sp_config *config)
{
    atomic_fetch_add_explicit(&config->refs, 1, memory_order_relaxed);
    return config;
}

static void wipe_secrets(struct sp_config *config)
{
    for (struct sp_config_kept_secret *kept = config->secrets; kept != NULL; kept = kept->next)
        sp_secret_fini(&kept->secret);
}

void sp_config_unref(struct sp_config **config)
{
    struct sp_config *c = *config;

    *config = NULL;
    if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
        return;
    wipe_secrets(c);
    sp_config_words_unref(&c);
}

struct sp_config *sp_config_words_ref(struct sp_config *config)
{
    atomic_fetch_add_explicit(&config->words_refs, 1, memory_order_relaxed);
    return config;
}

void sp_config_words_unref(struct sp_config **config)
{
    struct sp_config *c = *config;

    *config = NULL;
    if (c == NULL || atomic_fetch_sub_explicit(&c->words_refs, 1, memory_order_acq_rel) > 1)
        return;
    sp_arena_fini(&c->arena);
    free(c);
}

/* ---- reading ---- */

static void reader_init(struct sp_config_reader *reader, const struct sp_config_section *sections,
                        struct sp_config_faults *faults)
{
    *reader = (struct sp_config_reader){
        .config = config_new(), .sections = sections, .faults = faults};
    reader->drafts_end = &reader->drafts;
    reader->top.notes_end = &reader->top.notes;
}

/* The snapshot, when nothing was wrong; or, for those who go on, when all of it could be read. */
static struct sp_config *reader_finish(struct sp_config_reader *reader, const char *path,
                                       bool goes_on)
{
    if (reader->no_memory)
        sp_config_fault_at(reader->faults, path, 1, "out of memory while reading");
    if (reader->no_memory || (reader->faults->count > 0 && !goes_on))
        sp_config_unref(&reader->config);
    return reader->config;
}

/* NULL: no memory (told). */
static const struct sp_config_file *reader_begin(struct sp_config_reader *reader, const char *path)
{
    const struct sp_config_file *file = NULL;

    if (reader->config != NULL)
        file = sp_config_file_new(reader, path, NULL);
    if (file == NULL)
        reader->no_memory = true;
    return file;
}

/* A file that is missing makes no other line of the rest wrong, a brace that is missing does. */
static struct sp_config *read_all(const char *path, const struct sp_config_section *sections,
                                  bool may_go_on, struct sp_config_faults *faults)
{
    struct sp_config_reader reader;
    const struct sp_config_file *file;
    bool whole = false;

    reader_init(&reader, sections, faults);
    file = reader_begin(&reader, path);
    if (file != NULL) {
        whole = sp_config_parse_file(&reader, path, NULL, 1);
        if (whole || faults->count == reader.unread)
            sp_config_check(&reader, file);
    }
    return reader_finish(&reader, path, may_go_on && whole);
}

struct sp_config *sp_config_read(const char *path, const struct sp_config_section *sections,
                                 struct sp_config_faults *faults)
{
    return read_all(path, sections, false, faults);
}

struct sp_config *sp_config_read_on(const char *path, const struct sp_config_section *sections,
                                    struct sp_config_faults *faults)
{
    return read_all(path, sections, true, faults);
}

struct sp_config *sp_config_read_part(const char *path, const struct sp_config_section *sections,
                                      const char *name, struct sp_config_faults *faults)
{
    struct sp_config_reader reader;
    const struct sp_config_file *file;

    reader_init(&reader, sections, faults);
    reader.partial = true;
    file = reader_begin(&reader, path);
    if (file != NULL) {
        (void)sp_config_parse_file(&reader, path, NULL, 1); /* what it came to is enough */
        sp_config_check_part(&reader, file, name);
    }
    if (reader.no_memory)
        sp_config_unref(&reader.config);
    return reader.config;
}

struct sp_config *sp_config_read_text(const char *path, const char *text, size_t len,
                                      const struct sp_config_section *sections,
                                      struct sp_config_faults *faults)
{
    struct sp_config_reader reader;
    const struct sp_config_file *file;
    char *copy = malloc(len + 1);

    reader_init(&reader, sections, faults);
    file = reader_begin(&reader, path);
    if (copy == NULL) {
        reader.no_memory = true;
    } else if (file != NULL) {
        memcpy(copy, text, len);
        copy[len] = '\0';
        if (sp_config_parse(&reader, file, copy, len))
            sp_config_check(&reader, file);
    }
    free(copy);
    return reader_finish(&reader, path, false);
}

void sp_config_note_named(struct sp_config_reader *reader, const struct sp_option *option,
                          const char *path, const char *file, unsigned line)
{
    struct sp_config_named *named = sp_arena_alloc(&reader->config->arena, sizeof(*named));
    struct stat st;

    if (named == NULL) {
        reader->no_memory = true;
        return;
    }
    *named = (struct sp_config_named){.next = reader->config->named,
                                      .option = option,
                                      .path = path,
                                      .file = file,
                                      .line = line,
                                      .size = -1};
    if (stat(path, &st) == 0) {
        named->mtime = st.st_mtim;
        named->size = st.st_size;
        named->inode = st.st_ino;
    }
    reader->config->named = named;
}

/* ---- looking ---- */

const struct sp_config_named *sp_config_named(const struct sp_config *config)
{
    return config->named;
}

static const struct sp_config_group *find_group(const struct sp_config *config, const char *name)
{
    for (size_t i = 0; i < config->groups_len; i++) {
        const char *has = config->groups[i].section->name;

        if (name == NULL ? has == NULL : has != NULL && strcmp(has, name) == 0)
            return &config->groups[i];
    }
    return NULL;
}

const struct sp_config_block *sp_config_one(const struct sp_config *config, const char *name)
{
    const struct sp_config_group *group = find_group(config, name);

    assert(group == NULL || !group->section->titled);
    return group != NULL && group->blocks_len > 0 ? &group->blocks[0] : NULL;
}

const struct sp_config_block *sp_config_all(const struct sp_config *config, const char *name,
                                            size_t *len_out)
{
    const struct sp_config_group *group = find_group(config, name);

    *len_out = group != NULL ? group->blocks_len : 0;
    return group != NULL ? group->blocks : NULL;
}
