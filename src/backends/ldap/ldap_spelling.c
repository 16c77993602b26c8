/* Compares a name with what the entry found by it says. Called by configure (the filter) and by the
 * login machine (the entry). */
#include "backends/ldap/ldap_spelling.h"

#include "backends/ldap/ldap_text.h"
#include "util/span.h"

#include <string.h>

#define SPELLING_MAX 1024

/* The attribute before "=%u)": from the parenthesis that opens the item, a plain name. */
static bool attribute_before(const char *filter, const char *mark, struct sp_span *name_out)
{
    const char *start = mark;

    while (start > filter && strchr("(&|!<>~:;", start[-1]) == NULL)
        start--;
    *name_out = sp_span_of(start, (size_t)(mark - start));
    return start > filter && start[-1] == '(' && name_out->len > 0 && name_out->len < 64;
}

void sp_ldap_spellings_of(struct sp_ldap_spellings *spellings, const char *filter)
{
    static const char whole[] = "=%u)";
    size_t len = 0;

    memset(spellings, 0, sizeof(*spellings));
    for (const char *mark = strstr(filter, whole); mark != NULL && len < SP_LDAP_SPELLINGS_MAX;
         mark = strstr(mark + 1, whole)) {
        struct sp_span name;

        if (!attribute_before(filter, mark, &name))
            continue;
        memcpy(spellings->names[len], name.base, name.len);
        spellings->list[len] = spellings->names[len];
        len++;
    }
}

static bool same_name(const struct berval *value, struct sp_span user)
{
    static const struct sp_strings no_domains = {NULL, 0};
    char lower[SPELLING_MAX];
    size_t len;

    return sp_ldap_name_of(&no_domains, sp_span_of(value->bv_val, value->bv_len), lower,
                           sizeof(lower), &len) == SP_OK &&
           sp_span_eq(sp_span_of(lower, len), user);
}

/* Blocks of Unicode whose characters are folded into others by NFKC or mapped to nothing (RFC 4518
 * 2.2, 2.3). Whole blocks: what is refused in excess is not found in account names. Letters of
 * India, Thailand and Laos that NFKC takes apart are left out: people type them. */
static bool folds(uint32_t c)
{
    static const struct {
        uint32_t first, last;
    } blocks[] = {
        {0x0080, 0x00a0},   {0x00a8, 0x00a8},   {0x00aa, 0x00aa},   {0x00ad, 0x00ad},
        {0x00af, 0x00af},   {0x00b2, 0x00b5},   {0x00b8, 0x00ba},   {0x00bc, 0x00be},
        {0x0132, 0x0133},   {0x013f, 0x0140},   {0x0149, 0x0149},   {0x017f, 0x017f},
        {0x01c4, 0x01cc},   {0x01f1, 0x01f3},   {0x02b0, 0x0385},   {0x0387, 0x0387},
        {0x03d0, 0x03d6},   {0x03f0, 0x03f9},   {0x0587, 0x0587},   {0x0675, 0x0678},
        {0x06dd, 0x06dd},   {0x070f, 0x070f},   {0x0f0c, 0x0f0c},   {0x0f73, 0x0f81},
        {0x10fc, 0x10fc},   {0x1680, 0x1680},   {0x1806, 0x180e},   {0x1d00, 0x1dff},
        {0x1e9a, 0x1e9b},   {0x1f00, 0x218f},   {0x222c, 0x2230},   {0x2329, 0x232a},
        {0x2460, 0x24ff},   {0x2a0c, 0x2adc},   {0x2c7c, 0x2c7d},   {0x2d6f, 0x2d6f},
        {0x2e80, 0x2fdf},   {0x3000, 0x3000},   {0x3036, 0x303a},   {0x309b, 0x309c},
        {0x309f, 0x309f},   {0x30ff, 0x30ff},   {0x3131, 0x319f},   {0x3200, 0x33ff},
        {0xa69c, 0xa69d},   {0xa770, 0xa770},   {0xa7f2, 0xa7f9},   {0xab5c, 0xab69},
        {0xf900, 0xffff},   {0x10780, 0x107bf}, {0x1d100, 0x1d1ff}, {0x1d400, 0x1d7ff},
        {0x1ee00, 0x1eeff}, {0x1f100, 0x1f2ff}, {0x1fbf0, 0x1fbf9}, {0x2f800, 0x2fa1f},
        {0xe0000, 0xe0fff},
    };

    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        if (c >= blocks[i].first && c <= blocks[i].last)
            return true;
    }
    return false;
}

bool sp_ldap_ambiguous(struct sp_span user)
{
    size_t i = 0;

    while (i < user.len) {
        uint32_t c = (unsigned char)user.base[i++];

        if (c >= 0xc0) /* a lead byte: its own bits, then six of each that continues it */
            c &= c >= 0xf0 ? 0x07 : c >= 0xe0 ? 0x0f : 0x1f;
        while (i < user.len && ((unsigned char)user.base[i] & 0xc0) == 0x80)
            c = c << 6 | ((unsigned char)user.base[i++] & 0x3f);
        if (folds(c))
            return true;
    }
    return false;
}

bool sp_ldap_spelled(const struct sp_ldap_spellings *spellings, LDAP *ld, LDAPMessage *entry,
                     struct sp_span user)
{
    bool shown = false;
    bool same = false;

    for (size_t i = 0; spellings->list[i] != NULL && !same; i++) {
        struct berval **values = ldap_get_values_len(ld, entry, spellings->list[i]);

        for (size_t v = 0; values != NULL && values[v] != NULL && !same; v++) {
            shown = true;
            same = same_name(values[v], user);
        }
        ldap_value_free_len(values);
    }
    return same || (!shown && !sp_ldap_ambiguous(user));
}
