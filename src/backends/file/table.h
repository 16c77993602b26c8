/* A user file in memory: names and crypt(3) hashes. Immutable once made; reference-counted, so that
 * a login keeps the table that it began with while a new one is taken up. Any thread. */
#ifndef SP_FILE_TABLE_H
#define SP_FILE_TABLE_H

#include "sallyport/base.h"

#define SP_FILE_SIZE_MAX  (16u * 1024 * 1024)
#define SP_FILE_USERS_MAX 1000000u
#define SP_FILE_NAME_MAX  255u

struct sp_file_table;

/* Reads the file. NULL: `why` says what is wrong, with the line: "users.htpasswd:3: ...". Blocks.
 */
struct sp_file_table *sp_file_table_load(const char *path, char *why, size_t why_cap) SP_MUST_CHECK;
/* The same from bytes, which it takes, with room for one behind them: they are wiped and freed with
 * the table, or at once when the answer is NULL. `name` stands before the line number in `why`. */
struct sp_file_table *sp_file_table_parse(char *bytes, size_t len, const char *name, char *why,
                                          size_t why_cap) SP_MUST_CHECK;
struct sp_file_table *sp_file_table_ref(struct sp_file_table *table);
void sp_file_table_unref(struct sp_file_table **table);

size_t sp_file_table_len(const struct sp_file_table *table);
/* The hash of a user, `name` in lower case; NULL: no such user. NUL-terminated, borrowed. */
const char *sp_file_table_find(const struct sp_file_table *table, struct sp_span name);

#endif
