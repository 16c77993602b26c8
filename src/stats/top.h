/* Which names come most often, in the last hour, in bounded memory: twelve panes of five minutes,
 * each a space-saving sketch (Metwally and others, 2005). A pane counts 128 names; where more come,
 * the rarest gives its place and its count to the new one, so a count may be too great, never too
 * small, and is told with by how much at most. One thread. */
#ifndef SP_STATS_TOP_H
#define SP_STATS_TOP_H

#include "sallyport/base.h"

#define SP_TOP_NAME_MAX 96u /* longer names are cut */
#define SP_TOP_PANE_MS  300000u
#define SP_TOP_PANES    12u
#define SP_TOP_NAMES    128u

struct sp_top_item {
    char name[SP_TOP_NAME_MAX + 1];
    uint64_t count;
    uint64_t excess; /* of the count, at most */
};

struct sp_top;

/* About 180 KiB. NULL: no memory. */
struct sp_top *sp_top_new(void) SP_MUST_CHECK;
void sp_top_free(struct sp_top **top);
void sp_top_add(struct sp_top *top, struct sp_span name, uint64_t mono_ms);
/* The most frequent first, `max` of them at most. Returns how many; 0 also for want of memory. */
size_t sp_top_list(struct sp_top *top, uint64_t mono_ms, struct sp_top_item *items, size_t max);

#endif
