/* Numbers as people write them in the file: 30s, 64k, -1. Pure. Overflow is an answer of its own,
 * so that "too large" and "no number" can be told apart. */
#include "config/config_priv.h"

#include "util/span.h"

#include <string.h>

struct unit {
    const char *suffix;
    uint64_t factor;
};

static const struct unit millis_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 3600 * 1000}, {"d", 86400 * 1000ull}, {NULL, 0},
};
static const struct unit size_units[] = {
    {"", 1}, {"k", 1ull << 10}, {"m", 1ull << 20}, {"g", 1ull << 30}, {NULL, 0},
};

/* Digits and then one of the units. */
static enum sp_err parse_with_unit(const char *text, const struct unit *units, uint64_t *out)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t count;
    enum sp_err err;

    if (digits == 0)
        return SP_ERR_INVALID;
    for (const struct unit *unit = units; unit->suffix != NULL; unit++) {
        if (strcmp(text + digits, unit->suffix) != 0)
            continue;
        err = sp_span_to_u64(sp_span_of(text, digits), &count);
        if (err != SP_OK)
            return err;
        if (__builtin_mul_overflow(count, unit->factor, out))
            return SP_ERR_TOO_LARGE;
        return SP_OK;
    }
    return SP_ERR_INVALID;
}

enum sp_err sp_config_parse_millis(const char *text, uint64_t *out)
{
    if (strcmp(text, "0") == 0) { /* nothing is nothing in every unit; 5 of what is not known */
        *out = 0;
        return SP_OK;
    }
    return parse_with_unit(text, millis_units, out);
}

enum sp_err sp_config_parse_size(const char *text, uint64_t *out)
{
    return parse_with_unit(text, size_units, out);
}

enum sp_err sp_config_parse_int(const char *text, int64_t *out)
{
    bool minus = text[0] == '-';
    uint64_t magnitude;
    enum sp_err err = sp_span_to_u64(sp_span_cstr(text + minus), &magnitude);

    if (err != SP_OK)
        return err;
    if (magnitude > (uint64_t)INT64_MAX)
        return SP_ERR_TOO_LARGE;
    *out = minus ? -(int64_t)magnitude : (int64_t)magnitude;
    return SP_OK;
}
