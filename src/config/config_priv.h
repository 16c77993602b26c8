/* Inside the config room. A file is read in three steps, each with its own faults:
 *
 *   scan.c   the bytes: strings and comments end, escapes and ${NAME} are sound; comments blanked
 *   parse.c  libconfuse reads the grammar; what it finds is noted as drafts, with file and line
 *   check.c  drafts are held against the option tables and become filled structs (value.c)
 *
 * Drafts, strings and structs of one snapshot live in its arena and go with it; secrets do not. */
#ifndef SP_CONFIG_CONFIG_PRIV_H
#define SP_CONFIG_CONFIG_PRIV_H

#include "config/config.h"
#include "util/arena.h"
#include "util/secret.h"

#include <stdatomic.h>
#include <stdbool.h>

#define SP_CONFIG_FILE_MAX      (4u << 20)   /* bytes in one file */
#define SP_CONFIG_ARENA_MAX     (256u << 20) /* for all of a snapshot */
#define SP_CONFIG_FAULTS_MAX    (256u << 10) /* bytes of faults that are kept */
#define SP_CONFIG_DEPTH_MAX     16           /* files that include files */
#define SP_CONFIG_FILES_MAX     1024
#define SP_CONFIG_KEYS_MAX      512         /* different names in one file */
#define SP_CONFIG_SECRET_MAX    (64u << 10) /* bytes in a secret's file */
#define SP_CONFIG_NAME_SHOW_MAX 80          /* of a name or a value, in a fault */

/* One file of the configuration. */
struct sp_config_file {
    const struct sp_config_file *from; /* which includes it; NULL: the command line names it */
    const char *name;                  /* as faults show it */
    const char *dir;                   /* absolute: what relative names in it start from */
};

/* `key = value` as it stands in a file. */
struct sp_config_note {
    struct sp_config_note *next;
    const char *name;
    const struct sp_config_file *file;
    unsigned line;
    char **values;
    size_t values_len;
    size_t values_cap;
    bool append; /* += without an = before: the default comes first */
    bool faulty; /* told: its default stands in its place */
};

/* A block as it stands in a file (or the top level, which all files share). */
struct sp_config_draft {
    struct sp_config_draft *next;
    const char *section; /* NULL: the top level */
    const char *title;   /* NULL: none */
    const struct sp_config_file *file;
    unsigned line;
    size_t order;                        /* among all blocks, as read */
    const struct sp_config_draft *first; /* which this one repeats; NULL: none (repeats.c) */
    bool faulty;                         /* something of it was told */
    struct sp_config_note *notes;        /* in the file's order */
    struct sp_config_note **notes_end;
};

/* All blocks of one section, ready for use. */
struct sp_config_group {
    const struct sp_config_section *section;
    struct sp_config_block *blocks;
    size_t blocks_len;
};

struct sp_config_kept_secret {
    struct sp_config_kept_secret *next;
    struct sp_secret secret;
};

struct sp_config {
    atomic_uint refs;
    atomic_uint words_refs; /* one more while `refs` is not 0 */
    struct sp_arena arena;
    struct sp_config_group *groups;
    size_t groups_len;
    struct sp_config_kept_secret *secrets;
    struct sp_config_named *named;
};

/* Reading, while it goes on. */
struct sp_config_reader {
    struct sp_config *config;
    const struct sp_config_section *sections;
    struct sp_config_faults *faults;
    struct sp_config_draft top;
    struct sp_config_draft *drafts; /* in the order read */
    struct sp_config_draft **drafts_end;
    size_t drafts_len;
    unsigned files;
    unsigned unread; /* included files that could not be: each is one fault, and no other follows */
    bool partial;    /* a variable that is not set is a fault, but no reason to stop */
    bool no_memory;  /* said once, at the end */
};

/* ---- faults.c ---- */
void sp_config_fault_at(struct sp_config_faults *faults, const char *file, unsigned line,
                        const char *fmt, ...) SP_PRINTF(4, 5);
void sp_config_warn_at(struct sp_config_faults *faults, const char *file, unsigned line,
                       const char *fmt, ...) SP_PRINTF(4, 5);
/* A name or value as a fault may show it: safe, and not longer than a line. A ring of four. */
const char *sp_config_show(const char *text);

/* ---- names.c ---- */
/* The one among `names` that `typed` was probably meant to be; NULL: none is near. */
const char *sp_config_nearest(const char *typed, const char *const *names, size_t names_len);
const struct sp_option *sp_config_find_option(const struct sp_option *options, const char *name);
/* Why there is no such key here, and which was probably meant. `table` may be NULL. */
void sp_config_fault_unknown_key(struct sp_config_reader *reader, const struct sp_config_note *note,
                                 const char *where, const struct sp_option *table);
void sp_config_fault_unknown_block(struct sp_config_reader *reader,
                                   const struct sp_config_file *file, unsigned line,
                                   const char *name);

/* ---- scan.c ---- */
/* A name before "=" or "+=", in the file's order. */
struct sp_config_key {
    const char *name;
    unsigned line;
    unsigned block; /* which block of the file, from 1; 0: none */
    bool append;
    bool used; /* the parser's: a note was made for it */
};
struct sp_config_keys {
    struct sp_config_key *all;
    size_t len;
    size_t cap;
    const char **names; /* each once */
    size_t names_len;
};
/* Checks the bytes, blanks comments in place, lists the keys. False: faults were added. */
bool sp_config_scan(struct sp_config_reader *reader, const struct sp_config_file *file, char *text,
                    size_t len, struct sp_config_keys *keys);
void sp_config_keys_fini(struct sp_config_keys *keys);

/* ---- parse.c ---- */
/* Notes what `text` (changed in place) says, and what the files say that it includes. False: a
 * fault of form, what was noted is not the whole. One at a time: libconfuse's scanner is global. */
bool sp_config_parse(struct sp_config_reader *reader, const struct sp_config_file *file, char *text,
                     size_t len);

/* ---- files.c ---- */
/* Reads and parses a file by name. `from`: who names it; NULL: the command line. */
bool sp_config_parse_file(struct sp_config_reader *reader, const char *path,
                          const struct sp_config_file *from, unsigned from_line);

/* ---- value.c ---- */
/* Fills the option's field. `note` NULL: from the default. `file` is where relative names of the
 * default start. Faults are added at the note (or at file and line). */
void sp_config_value_fill(struct sp_config_reader *reader, const struct sp_option *option,
                          struct sp_config_note *note, const struct sp_config_file *file,
                          void *options);
/* What a number of that type looks like when a person writes it: 30s, 64k. `out` has 32 bytes. */
const char *sp_config_value_text(enum sp_option_type type, int64_t value, char *out);
/* The field's size, and the words for its type in the manual: "duration", "list". */
const char *sp_config_type_text(enum sp_option_type type);

/* ---- number.c: pure ---- */
enum sp_err sp_config_parse_millis(const char *text, uint64_t *out) SP_MUST_CHECK;
enum sp_err sp_config_parse_size(const char *text, uint64_t *out) SP_MUST_CHECK;
enum sp_err sp_config_parse_int(const char *text, int64_t *out) SP_MUST_CHECK;

/* ---- config.c ---- */
/* One more file that is about to be read. `path` and `file` live as long as the snapshot. */
void sp_config_note_named(struct sp_config_reader *reader, const struct sp_option *option,
                          const char *path, const char *file, unsigned line);

/* ---- paths.c ---- */
/* `path` made absolute against the file's folder; NULL: no memory. "" and "-" (standard output)
 * stay as they are. */
char *sp_config_path_resolve(struct sp_config_reader *reader, const struct sp_config_file *file,
                             const char *path);
/* A file's name and folder, kept by the snapshot. NULL: no memory. */
const struct sp_config_file *sp_config_file_new(struct sp_config_reader *reader, const char *name,
                                                const struct sp_config_file *from);
void sp_config_secret_read(struct sp_config_reader *reader, const struct sp_config_note *note,
                           const char *path, struct sp_secret_text *out);

/* ---- room.c ---- */
struct sp_config_room;
/* Makes sure that libconfuse finds memory for a file of that length. NULL: there is none. */
struct sp_config_room *sp_config_room_make(size_t file_len) SP_MUST_CHECK;
/* Its work is done. Sets *lid to NULL. */
void sp_config_room_leave(struct sp_config_room **lid);

/* ---- repeats.c ---- */
/* Fills `first` of every draft. */
void sp_config_repeats_find(struct sp_config_reader *reader);

/* ---- check.c ---- */
void sp_config_check(struct sp_config_reader *reader, const struct sp_config_file *main_file);
/* One untitled section alone: the keys that it has, and defaults for the rest. */
void sp_config_check_part(struct sp_config_reader *reader, const struct sp_config_file *main_file,
                          const char *name);

/* ---- config.c ---- */
/* sp_config_read for a text in memory, as if it were the file `path`: for tests and the fuzzer. */
struct sp_config *sp_config_read_text(const char *path, const char *text, size_t len,
                                      const struct sp_config_section *sections,
                                      struct sp_config_faults *faults) SP_MUST_CHECK;

#endif
