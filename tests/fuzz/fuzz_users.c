/* Any bytes as a user file: taken whole or refused with words, and every user taken is found. */
#include "backends/file/table.h"
#include "util/hash.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_file_table *table;
    char *bytes = malloc(size + 1);
    char why[128] = "";

    if (bytes == NULL || sp_hash_setup() != SP_OK)
        abort();
    if (size > 0)
        memcpy(bytes, data, size);
    table = sp_file_table_parse(bytes, size, "users", why, sizeof why);
    if (table == NULL) {
        if (why[0] == '\0' || strlen(why) >= sizeof why)
            abort();
        return 0;
    }
    (void)sp_file_table_find(table, (struct sp_span){(const char *)data, size < 8 ? size : 8});
    sp_file_table_unref(&table);
    return 0;
}
