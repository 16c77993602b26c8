/* The metrics' text taken apart again, for those who read it with their eyes. */
#include "admin/admin_priv.h"

#include "util/span.h"

#include <string.h>

static bool is_histogram_part(struct sp_span name)
{
    return sp_span_ends_nocase(name, SP_SPAN_LIT("_bucket"));
}

/* name{labels} value */
static bool split(struct sp_span line, struct sp_admin_sample *sample)
{
    size_t name = 0;
    size_t end = line.len;

    if (line.len == 0 || line.base[0] == '#')
        return false;
    while (name < line.len && line.base[name] != '{' && line.base[name] != ' ')
        name++;
    while (end > name && line.base[end - 1] != ' ')
        end--;
    if (end <= name)
        return false;
    sample->name = sp_span_of(line.base, name);
    sample->value = sp_span_of(line.base + end, line.len - end);
    sample->labels = sp_span_trim(sp_span_of(line.base + name, end - name));
    if (sample->labels.len >= 2) /* the braces */
        sample->labels = sp_span_of(sample->labels.base + 1, sample->labels.len - 2);
    return !is_histogram_part(sample->name);
}

bool sp_admin_next_sample(struct sp_span *rest, struct sp_admin_sample *sample)
{
    while (rest->len > 0) {
        const char *lf = memchr(rest->base, '\n', rest->len);
        size_t len = lf != NULL ? (size_t)(lf - rest->base) : rest->len;
        struct sp_span line = sp_span_of(rest->base, len);

        *rest = sp_span_of(rest->base + len + (lf != NULL), rest->len - len - (lf != NULL));
        if (split(line, sample))
            return true;
    }
    return false;
}
