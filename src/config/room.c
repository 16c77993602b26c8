/* Memory for libconfuse, which does not ask whether there was any: its scanner ends the process
 * where it finds none (flex), its strings assert, its lists crash. A reload in hard times must not
 * take every connection with it. So what a file may need is taken before it is read, where "no" can
 * be said, and given back at once: behind a lid that stays, so that the allocator keeps it at hand
 * and does not return it to the system. */
#include "config/config_priv.h"

#include <stdlib.h>

#define PIECE_SIZE   (64u * 1024) /* below what an allocator would take from the system by itself */
#define PIECES_LEAST 4u           /* the scanner's buffers, the names of a block */
#define FOR_EACH     8u /* bytes, for each of the file: a value is a list's item and a copy */

struct sp_config_room {
    struct sp_config_room *next;
    char rest[PIECE_SIZE - sizeof(struct sp_config_room *)];
};

static void drop(struct sp_config_room *pieces)
{
    while (pieces != NULL) {
        struct sp_config_room *next = pieces->next;

        free(pieces);
        pieces = next;
    }
}

struct sp_config_room *sp_config_room_make(size_t file_len)
{
    size_t pieces = PIECES_LEAST + file_len * FOR_EACH / PIECE_SIZE;
    struct sp_config_room *lid = NULL;

    for (size_t i = 0; i <= pieces; i++) {
        struct sp_config_room *piece = malloc(sizeof(*piece));

        if (piece == NULL) {
            drop(lid);
            return NULL;
        }
        piece->next = lid;
        lid = piece;
    }
    drop(lid->next);
    lid->next = NULL;
    return lid;
}

void sp_config_room_leave(struct sp_config_room **lid)
{
    free(*lid);
    *lid = NULL;
}
