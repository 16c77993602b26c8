/* The configuration file: read with libconfuse, checked against option tables, kept as an immutable
 * snapshot.
 *
 * This room knows no room's options: each room describes its own in a table (sallyport/option.h),
 * app lists the sections, and what comes back are filled structs. Every fault is FILE:LINE:
 * message, and all faults are collected, not just the first. Main thread only, except ref/unref. */
#ifndef SP_CONFIG_CONFIG_H
#define SP_CONFIG_CONFIG_H

#include "sallyport/option.h"
#include "util/buf.h"

#include <sys/types.h>
#include <time.h>

/* One kind of block, or the keys at the top level (name == NULL). */
struct sp_config_section {
    const char *name; /* "limits"; NULL: top level */
    bool titled; /* listen "…" {}: any number, each with its own title; else exactly one, defaults
                    if absent */
    const struct sp_option *options;
    size_t options_size;
    const char *help; /* for the manual page */
    /* In place of `options`: a titled section whose table depends on its `plugin` key. Returns the
     * plugin's table and size, or NULL with words in why (256 bytes). Called once per block.
     * `plugin_dir` is the top level's value. */
    const struct sp_option *(*resolve)(void *owner, const char *plugin, const char *plugin_dir,
                                       size_t *options_size_out, char *why);
    void *owner;
};

struct sp_config_draft; /* private */

/* One block as it stands in the file, its struct filled. */
struct sp_config_block {
    const char *title;  /* "" for untitled ones */
    const char *plugin; /* sections with `resolve`; else NULL */
    const char *file;   /* where it begins, for faults */
    unsigned line;
    const void *options;                 /* the section's struct */
    const struct sp_config_draft *draft; /* private: where each key stands; NULL: not known */
};

struct sp_config; /* reference-counted, immutable */

/* Faults, one a line, "FILE:LINE: message\n"; and, in the same form, what deserves a word but is no
 * fault (a secret that everybody may read). */
struct sp_config_faults {
    struct sp_buf text;
    unsigned count;
    struct sp_buf warnings;
};
void sp_config_faults_init(struct sp_config_faults *faults);
void sp_config_faults_fini(struct sp_config_faults *faults);

/* Reads the file and everything it includes and names. NULL when anything is wrong: `faults` says
 * all of it. `sections` ends with an entry whose options and resolve are NULL; it and what it names
 * outlive the snapshot. */
struct sp_config *sp_config_read(const char *path, const struct sp_config_section *sections,
                                 struct sp_config_faults *faults) SP_MUST_CHECK;
/* The same for those who look for the faults that only the owners of options can tell, and want
 * these also where there are others: what is at fault has its default's value, and a plugin's block
 * without a table has no options. Never to be served by when `faults` has any. NULL: what is
 * written could not be read as a whole. */
struct sp_config *sp_config_read_on(const char *path, const struct sp_config_section *sections,
                                    struct sp_config_faults *faults) SP_MUST_CHECK;
/* As much of one untitled section as can be made out, whatever else is wrong, which is told in
 * `faults` as far as it is met: for those who need one key of a file that may be at fault. Nothing
 * else is in the snapshot. NULL: no memory. */
struct sp_config *sp_config_read_part(const char *path, const struct sp_config_section *sections,
                                      const char *name,
                                      struct sp_config_faults *faults) SP_MUST_CHECK;
struct sp_config *sp_config_ref(struct sp_config *config);
void sp_config_unref(struct sp_config **config);
/* A reference to all but the secrets: these are wiped with the last whole reference, whoever still
 * reads the rest. */
struct sp_config *sp_config_words_ref(struct sp_config *config);
void sp_config_words_unref(struct sp_config **config);

/* The one block of an untitled section (name NULL: the top level), never NULL for a section that
 * was listed. */
const struct sp_config_block *sp_config_one(const struct sp_config *config, const char *name);
/* All blocks of a titled section, in the file's order. */
const struct sp_config_block *sp_config_all(const struct sp_config *config, const char *name,
                                            size_t *len_out);
/* Adds a fault at the place where `option` is set in the block (or where the block begins, when it
 * is not set or option is NULL). For checks that only the owner of the options can make. Where
 * there is a fault already, it is counted and not told. */
void sp_config_fault(struct sp_config_faults *faults, const struct sp_config_block *block,
                     const char *option, const char *fmt, ...) SP_PRINTF(4, 5);
/* The same for what deserves a word and is no fault. */
void sp_config_warn(struct sp_config_faults *faults, const struct sp_config_block *block,
                    const char *option, const char *fmt, ...) SP_PRINTF(4, 5);
/* Was this option written in the file, or is it the default? */
bool sp_config_is_set(const struct sp_config_block *block, const char *option);

/* A file that the configuration was read from, or that it names and that had to be there. */
struct sp_config_named {
    const struct sp_config_named *next;
    const struct sp_option *option; /* which names it; NULL: it is part of the configuration */
    const char *path;
    const char *file; /* where it is named; the configuration's own first file: itself */
    unsigned line;
    struct timespec mtime; /* as it was before it was read; size -1: not known */
    off_t size;
    ino_t inode;
};
/* In no order; as long as the snapshot. */
const struct sp_config_named *sp_config_named(const struct sp_config *config);

/* The manual page's list of keys, from the tables: troff for `sallyport.conf(5)`, or plain text. */
enum sp_err sp_config_describe(const struct sp_config_section *sections, bool troff,
                               struct sp_buf *out) SP_MUST_CHECK;

#endif
