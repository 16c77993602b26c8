/* libconfuse reads the grammar; what it finds is noted as drafts, each key with its file and line.
 *
 * libconfuse is used as a reader only: it is given the names that the scan found, every one as a
 * list of strings and in every block, and reports through callbacks. Whether a key is known, how
 * many values it takes and what they mean is decided afterwards by the option tables (check.c), so
 * that all faults can be told and a backend's keys can depend on its plugin.
 *
 * libconfuse's scanner keeps global state and its callbacks carry no pointer of ours, hence
 * `current`: reading happens on one thread at a time (config.h). */
#include "config/config_priv.h"

#include <confuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One file while it is read. On the stack; `outer` is the file that includes it. */
struct parser {
    struct parser *outer;
    struct sp_config_reader *reader;
    const struct sp_config_file *file;
    struct sp_config_keys *keys;
    size_t cursor;                 /* the first of keys->all in the open block, or before it */
    unsigned block;                /* how many blocks were begun */
    struct sp_config_draft *draft; /* the block that is open; NULL: none */
    cfg_t *section;                /* libconfuse's idea of it */
    cfg_opt_t *options;            /* names found, for each block; ends with CFG_END */
    unsigned faults;
};

static struct parser *current;

/* cfg_free of any file's root takes the scanner down for all of them, so the roots of included
 * files are kept until the outermost file has been read. */
struct spent {
    struct spent *next;
    cfg_t *cfg;
};
static struct spent *spent;

/* The option whose default is read when a block is opened: the way to hear of it with its line.
 * The scanner never gives a bare word with a blank in it. */
#define BEGIN_MARK " begin"

static void no_memory(struct parser *p)
{
    p->reader->no_memory = true;
    p->faults++;
}

static void *keep(struct parser *p, size_t size)
{
    void *memory = sp_arena_alloc(&p->reader->config->arena, size);

    if (memory == NULL)
        no_memory(p);
    else
        memset(memory, 0, size);
    return memory;
}

static char *keep_text(struct parser *p, const char *text)
{
    size_t len = strlen(text) + 1;
    char *copy = keep(p, len);

    if (copy != NULL)
        memcpy(copy, text, len);
    return copy;
}

/* ---- drafts and notes ---- */

static void begin_block(struct parser *p, cfg_t *section)
{
    struct sp_config_draft *draft = keep(p, sizeof(*draft));

    if (draft == NULL)
        return;
    draft->section = keep_text(p, section->name);
    draft->title = section->title != NULL ? keep_text(p, section->title) : NULL;
    if (draft->section == NULL || (section->title != NULL && draft->title == NULL))
        return;
    draft->file = p->file;
    draft->line = (unsigned)section->line;
    draft->order = p->reader->drafts_len++;
    draft->notes_end = &draft->notes;
    *p->reader->drafts_end = draft;
    p->reader->drafts_end = &draft->next;
    p->draft = draft;
    p->section = section;
    p->block++;
    while (p->cursor < p->keys->len && p->keys->all[p->cursor].block < p->block)
        p->cursor++;
}

static struct sp_config_note *find_note(const struct sp_config_draft *draft, const char *name)
{
    for (struct sp_config_note *note = draft->notes; note != NULL; note = note->next)
        if (strcmp(note->name, name) == 0)
            return note;
    return NULL;
}

/* Where this assignment stands, as the scan found it. A key that has a note already can only come
 * again by "=": values of a "+=" simply follow the earlier ones. */
static const struct sp_config_key *find_key(struct parser *p, const char *name, bool again)
{
    unsigned block = p->section != NULL ? p->block : 0;

    for (size_t i = block > 0 ? p->cursor : 0; i < p->keys->len; i++) {
        struct sp_config_key *key = &p->keys->all[i];

        if (block > 0 && key->block > block)
            break;
        if (key->block != block || key->used || (again && key->append) ||
            strcmp(key->name, name) != 0)
            continue;
        key->used = true;
        return key;
    }
    return NULL;
}

static void fault_twice(struct parser *p, const struct sp_config_note *note, unsigned line)
{
    sp_config_fault_at(p->reader->faults, p->file->name, line,
                       "`%s` is given twice, first at %s:%u", sp_config_show(note->name),
                       note->file->name, note->line);
    p->faults++;
}

/* NULL: given twice, or no memory. */
static struct sp_config_note *add_note(struct parser *p, struct sp_config_draft *draft,
                                       const char *name, int cfg_line)
{
    struct sp_config_note *note = find_note(draft, name);
    const struct sp_config_key *key = find_key(p, name, note != NULL);
    unsigned line = key != NULL ? key->line : (unsigned)cfg_line;

    if (note != NULL) {
        fault_twice(p, note, line);
        return NULL;
    }
    note = keep(p, sizeof(*note));
    if (note == NULL)
        return NULL;
    note->name = keep_text(p, name);
    if (note->name == NULL)
        return NULL;
    note->file = p->file;
    note->line = line;
    note->append = key != NULL && key->append;
    *draft->notes_end = note;
    draft->notes_end = &note->next;
    return note;
}

static void add_value(struct parser *p, struct sp_config_note *note, const char *value)
{
    char **values = note->values;

    if (note->values_len == note->values_cap) {
        size_t cap = note->values_cap > 0 ? note->values_cap * 2 : 4;

        values = keep(p, cap * sizeof(*values));
        if (values == NULL)
            return;
        if (note->values_len > 0)
            memcpy(values, note->values, note->values_len * sizeof(*values));
        note->values = values;
        note->values_cap = cap;
    }
    values[note->values_len] = keep_text(p, value);
    if (values[note->values_len] != NULL)
        note->values_len++;
}

/* ---- what libconfuse calls ---- */

static struct sp_config_draft *draft_of(struct parser *p, const cfg_t *cfg)
{
    return cfg == p->section ? p->draft : &p->reader->top;
}

static int on_begin(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    (void)opt;
    *(const char **)result = value;
    begin_block(current, cfg);
    return 0;
}

/* One value. That it is the first after "=" shows in libconfuse's own list, which then has but it
 * (or the first after a "+=" to nothing). */
static int on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    struct parser *p = current;
    struct sp_config_draft *draft = draft_of(p, cfg);
    struct sp_config_note *note = opt->nvalues == 1 ? add_note(p, draft, opt->name, cfg->line)
                                                    : find_note(draft, opt->name);

    *(const char **)result = value;
    if (note != NULL)
        add_value(p, note, value);
    return 0;
}

/* Lists that were set and have no value: libconfuse tells nobody of `key = {}`. */
static void note_empty_lists(struct parser *p, struct sp_config_draft *draft, cfg_t *cfg)
{
    for (cfg_opt_t *opt = cfg->opts; opt->name != NULL; opt++) {
        bool set = opt->type == CFGT_STR && (opt->flags & CFGF_MODIFIED) != 0;

        if (set && opt->nvalues == 0)
            (void)add_note(p, draft, opt->name, cfg->line);
    }
}

/* What the block said is noted, so libconfuse's own copy goes at once: it would compare each title
 * with those of all blocks before, and hold every name of the file for each of them. */
static int on_block_end(cfg_t *cfg, cfg_opt_t *opt)
{
    struct parser *p = current;

    (void)cfg;
    if (p->section != NULL && p->draft != NULL)
        note_empty_lists(p, p->draft, p->section);
    p->section = NULL;
    p->draft = NULL;
    (void)cfg_free_value(opt);
    return 0;
}

static int on_include(cfg_t *cfg, cfg_opt_t *opt, int argc, const char **argv)
{
    struct parser *p = current;

    (void)opt;
    if (argc != 1) {
        sp_config_fault_at(p->reader->faults, p->file->name, (unsigned)cfg->line,
                           "include takes one name: include(\"backends/local.conf\")");
        p->faults++;
    } else if (!sp_config_parse_file(p->reader, argv[0], p->file, (unsigned)cfg->line)) {
        p->faults++; /* told where it is; go on with the rest of this file */
    }
    return 0;
}

/* libconfuse's words for a fault of form, with a hint where they need one. */
static void on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
    struct parser *p = current;
    unsigned line = cfg->line > 0 ? (unsigned)cfg->line : 1;
    char text[256];
    char name[128];

    if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
        return;
    p->faults++;
    if (sscanf(text, "no such option '%127[^']'", name) == 1)
        sp_config_fault_unknown_block(p->reader, p->file, line, name);
    else if (sscanf(text, "missing title for section '%127[^']'", name) == 1)
        sp_config_fault_at(p->reader->faults, p->file->name, line,
                           "a %s needs a name in quotes: %s \"...\" { }", name, name);
    else if (sscanf(text, "missing opening brace for section '%127[^']'", name) == 1)
        sp_config_fault_at(p->reader->faults, p->file->name, line,
                           "after %s comes \"{\", or its name in quotes and \"{\", if it has one",
                           name);
    else if (strcmp(text, "premature end of file") == 0)
        sp_config_fault_at(p->reader->faults, p->file->name, line,
                           "the file ends where a value or a \"}\" should stand");
    else if (strcmp(text, "missing parenthesis for function 'include'") == 0)
        sp_config_fault_at(p->reader->faults, p->file->name, line,
                           "include is written with parentheses: include(\"backends/local.conf\")");
    else
        sp_config_fault_at(p->reader->faults, p->file->name, line, "%s", sp_config_show(text));
}

/* ---- one file ---- */

static size_t count_sections(const struct sp_config_section *sections)
{
    size_t n = 0;

    for (; sections->options != NULL || sections->resolve != NULL; sections++)
        n++;
    return n;
}

static bool is_section(const struct sp_config_section *sections, const char *name)
{
    for (; sections->options != NULL || sections->resolve != NULL; sections++)
        if (sections->name != NULL && strcmp(sections->name, name) == 0)
            return true;
    return false;
}

static cfg_opt_t key_option(const char *name)
{
    return (cfg_opt_t){.name = (char *)(uintptr_t)name,
                       .type = CFGT_STR,
                       .flags = CFGF_LIST | CFGF_NODEFAULT,
                       .parsecb = on_value};
}

/* What may stand in a block: the mark, and every name of the file. NULL: no memory. */
static cfg_opt_t *make_block_options(const struct sp_config_keys *keys)
{
    cfg_opt_t *options = calloc(keys->names_len + 2, sizeof(*options));
    size_t n = 0;

    if (options == NULL)
        return NULL;
    options[n++] = (cfg_opt_t){.name = (char *)(uintptr_t)BEGIN_MARK,
                               .type = CFGT_STR,
                               .def.parsed = (char *)(uintptr_t) "begin",
                               .parsecb = on_begin};
    for (size_t i = 0; i < keys->names_len; i++)
        options[n++] = key_option(keys->names[i]);
    return options;
}

static cfg_opt_t *make_top_options(struct parser *p)
{
    const struct sp_config_section *sections = p->reader->sections;
    size_t room = count_sections(sections) + p->keys->names_len + 2;
    cfg_opt_t *options = calloc(room, sizeof(*options));
    size_t n = 0;

    if (options == NULL)
        return NULL;
    for (const struct sp_config_section *s = sections; s->options != NULL || s->resolve != NULL;
         s++) {
        if (s->name == NULL)
            continue;
        options[n++] = (cfg_opt_t){.name = (char *)(uintptr_t)s->name,
                                   .type = CFGT_SEC,
                                   .flags = CFGF_MULTI | (s->titled ? CFGF_TITLE : 0),
                                   .subopts = p->options,
                                   .validcb = on_block_end};
    }
    options[n++] = (cfg_opt_t){
        .name = (char *)(uintptr_t) "include", .type = CFGT_FUNC, .func = on_include};
    for (size_t i = 0; i < p->keys->names_len; i++)
        if (!is_section(sections, p->keys->names[i]) && strcmp(p->keys->names[i], "include") != 0)
            options[n++] = key_option(p->keys->names[i]);
    return options;
}

/* `cfg` is ready; `text` has been scanned. */
static void run_libconfuse(struct parser *p, cfg_t *cfg, char *text, size_t len)
{
    FILE *fp = fmemopen(text, len, "r");
    unsigned faults = p->faults;

    if (fp == NULL) {
        no_memory(p);
        return;
    }
    cfg_set_error_function(cfg, on_error);
    if (cfg_parse_fp(cfg, fp) != CFG_SUCCESS && p->faults == faults) {
        sp_config_fault_at(p->reader->faults, p->file->name,
                           cfg->line > 0 ? (unsigned)cfg->line : 1, "this is not understood");
        p->faults++;
    }
    p->section = NULL;
    note_empty_lists(p, &p->reader->top, cfg);
    (void)fclose(fp);
}

static void free_spent(void)
{
    for (; spent != NULL; spent = spent->next) /* the links are the arena's */
        cfg_free(spent->cfg);
}

static void parse_scanned(struct parser *p, char *text, size_t len)
{
    struct spent *link = keep(p, sizeof(*link));
    struct sp_config_room *room = NULL;
    cfg_opt_t *top = NULL;

    if (link == NULL)
        return;
    p->options = make_block_options(p->keys);
    if (p->options != NULL)
        top = make_top_options(p);
    if (top != NULL)
        room = sp_config_room_make(len);
    if (room != NULL)
        link->cfg = cfg_init(top, CFGF_NONE);
    if (link->cfg != NULL) {
        link->next = spent;
        spent = link;
        run_libconfuse(p, link->cfg, text, len);
    } else {
        no_memory(p);
    }
    if (p->outer == NULL)
        free_spent();
    sp_config_room_leave(&room);
    free(top);
    free(p->options);
    p->options = NULL;
}

bool sp_config_parse(struct sp_config_reader *reader, const struct sp_config_file *file, char *text,
                     size_t len)
{
    struct sp_config_keys keys = {0};
    struct parser parser = {.outer = current, .reader = reader, .file = file, .keys = &keys};

    if (!sp_config_scan(reader, file, text, len, &keys)) {
        parser.faults++;
    } else if (len > 0) {
        current = &parser;
        parse_scanned(&parser, text, len);
        current = parser.outer;
    }
    sp_config_keys_fini(&keys);
    return parser.faults == 0;
}
