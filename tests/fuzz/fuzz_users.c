/* Any bytes as a user file: taken whole or refused with words; every user that was taken is found
 * with the hash that stood there, and nobody else. A file that replaces it, as a watched one is
 * taken up, changes nothing for a login that began with the old one. */
#include "backends/file/table.h"
#include "util/hash.h"
#include "util/span.h"
#include "util/text.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static struct sp_file_table *parse(const char *data, size_t size)
{
    char *bytes = malloc(size + 1);
    char why[128] = "";
    struct sp_file_table *table;

    must(bytes != NULL);
    if (size > 0)
        memcpy(bytes, data, size);
    table = sp_file_table_parse(bytes, size, "users", why, sizeof why);
    must(table != NULL || (why[0] != '\0' && strlen(why) < sizeof why));
    return table;
}

/* 1 where the line names a user, and that user is there; else 0. */
static size_t must_find(const struct sp_file_table *table, struct sp_span line)
{
    char lower[SP_FILE_NAME_MAX];
    const char *colon, *hash;
    size_t len;

    while (line.len > 0 && memchr("\r \t", line.base[line.len - 1], 3) != NULL)
        line.len--;
    if (line.len == 0 || line.base[0] == '#')
        return 0;
    colon = memchr(line.base, ':', line.len);
    must(colon != NULL);
    must(sp_text_lower(sp_span_of(line.base, (size_t)(colon - line.base)), lower, sizeof lower,
                       &len) == SP_OK);
    hash = sp_file_table_find(table, sp_span_of(lower, len));
    must(hash != NULL &&
         sp_span_eq(sp_span_cstr(hash),
                    sp_span_of(colon + 1, (size_t)(line.base + line.len - colon) - 1)));
    return 1;
}

static void must_have_all(const struct sp_file_table *table, const char *data, size_t size)
{
    size_t users = 0;

    if (size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0) {
        data += 3;
        size -= 3;
    }
    while (size > 0) {
        const char *lf = memchr(data, '\n', size);
        size_t len = lf != NULL ? (size_t)(lf - data) : size;

        users += must_find(table, sp_span_of(data, len));
        len += lf != NULL ? 1 : 0;
        data += len;
        size -= len;
    }
    must(users == sp_file_table_len(table));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *)data;
    struct sp_file_table *table, *login, *next;

    must(sp_hash_setup() == SP_OK);
    table = parse(bytes, size);
    if (table == NULL)
        return 0;
    must_have_all(table, bytes, size);
    login = sp_file_table_ref(table);
    next = parse(bytes, size / 2);
    sp_file_table_unref(&table);
    must_have_all(login, bytes, size);
    sp_file_table_unref(&login);
    if (next != NULL) {
        must_have_all(next, bytes, size / 2);
        sp_file_table_unref(&next);
    }
    return 0;
}
