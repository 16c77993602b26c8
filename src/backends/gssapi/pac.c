/* Reads KERB_VALIDATION_INFO ([MS-PAC] 2.5) in its NDR encoding: the type serialization of
 * [MS-RPCE] 2.2.6, then the structure with its pointers as words, then what they point to, in the
 * order of the pointers (C706 14.3.12). Called by the accept job on a pool thread, and by the
 * fuzzer. */
#include "backends/gssapi/pac.h"

#include "util/span.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define HEADER_LEN        8u /* the common type header; the private one is as long */
#define TIMES_LEN         48u
#define SESSION_KEY_LEN   16u
#define SID_FIXED_LEN     8u
#define SID_NUMBERS_MAX   15u
#define MEMBERSHIP_LEN    8u /* a RID, or a pointer to a SID; then attributes */
#define SE_GROUP_ENABLED  0x4u
#define NAMES_BEFORE      6u  /* EffectiveName to HomeDirectoryDrive */
#define NAMES_AFTER       2u  /* LogonServer, LogonDomainName */
#define BEFORE_EXTRA_SIDS 40u /* Reserved1 to Reserved3 */

/* What is left to read. Everything in the structure is aligned to four bytes, counted from `base`.
 */
struct ndr {
    const uint8_t *base;
    size_t at;
    size_t len;
};

/* An array that a pointer led to: `count` elements of MEMBERSHIP_LEN bytes. */
struct memberships {
    const uint8_t *at;
    uint32_t count;
    bool there;
};

struct sid {
    const uint8_t *at; /* NULL: none */
    unsigned numbers;
};

struct validation_info {
    bool names_before[NAMES_BEFORE];
    bool names_after[NAMES_AFTER];
    uint32_t primary_group;
    struct memberships groups;
    struct sid domain;
    bool has_domain;
    struct memberships extra;
    struct sid resource_domain;
    bool has_resource_domain;
    struct memberships resource;
};

static uint32_t le32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* `n` bytes at *bytes_out, on the next boundary of four. False moves nothing. */
static bool take(struct ndr *in, size_t n, const uint8_t **bytes_out)
{
    size_t at = (in->at + 3) & ~(size_t)3;

    if (at > in->len || n > in->len - at)
        return false;
    *bytes_out = in->base + at;
    in->at = at + n;
    return true;
}

static bool skip(struct ndr *in, size_t n)
{
    const uint8_t *passed;

    return take(in, n, &passed);
}

/* `count` elements. Looked at before it is multiplied: a size_t of 32 bits would wrap. */
static bool take_array(struct ndr *in, uint32_t count, size_t element, const uint8_t **bytes_out)
{
    return count <= in->len / element && take(in, count * element, bytes_out);
}

static bool take_u32(struct ndr *in, uint32_t *value_out)
{
    const uint8_t *bytes;

    if (!take(in, 4, &bytes))
        return false;
    *value_out = le32(bytes);
    return true;
}

static bool take_pointer(struct ndr *in, bool *there_out)
{
    uint32_t referent;

    if (!take_u32(in, &referent))
        return false;
    *there_out = referent != 0;
    return true;
}

/* ---- the structure itself ---- */

/* RPC_UNICODE_STRINGs: two lengths, which the text itself says again, and a pointer. */
static bool take_names(struct ndr *in, bool *there, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!skip(in, 4) || !take_pointer(in, &there[i]))
            return false;
    }
    return true;
}

static bool take_memberships(struct ndr *in, struct memberships *out)
{
    return take_u32(in, &out->count) && take_pointer(in, &out->there);
}

static bool read_fixed(struct ndr *in, struct validation_info *info)
{
    uint32_t counts, user, flags;

    return skip(in, TIMES_LEN) && take_names(in, info->names_before, NAMES_BEFORE) &&
           take_u32(in, &counts) && take_u32(in, &user) && take_u32(in, &info->primary_group) &&
           take_memberships(in, &info->groups) && take_u32(in, &flags) &&
           skip(in, SESSION_KEY_LEN) && take_names(in, info->names_after, NAMES_AFTER) &&
           take_pointer(in, &info->has_domain) && skip(in, BEFORE_EXTRA_SIDS) &&
           take_memberships(in, &info->extra) && take_pointer(in, &info->has_resource_domain) &&
           take_memberships(in, &info->resource);
}

/* ---- what its pointers lead to ---- */

/* A conformant and varying array of UTF-16 units, passed over. */
static bool skip_names(struct ndr *in, const bool *there, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t room, offset, units;
        const uint8_t *passed;

        if (!there[i])
            continue;
        if (!take_u32(in, &room) || !take_u32(in, &offset) || !take_u32(in, &units) ||
            offset != 0 || units > room || !take_array(in, units, 2, &passed))
            return false;
    }
    return true;
}

static bool find_memberships(struct ndr *in, struct memberships *out)
{
    uint32_t count;

    if (!out->there)
        return out->count == 0;
    return take_u32(in, &count) && count == out->count &&
           take_array(in, count, MEMBERSHIP_LEN, &out->at);
}

static bool find_sid(struct ndr *in, bool there, struct sid *out)
{
    const uint8_t *passed;
    uint32_t numbers;

    *out = (struct sid){NULL, 0};
    if (!there)
        return true;
    if (!take_u32(in, &numbers) || numbers > SID_NUMBERS_MAX || !take(in, SID_FIXED_LEN, &out->at))
        return false;
    out->numbers = numbers;
    return out->at[0] == 1 && out->at[1] == numbers && take(in, (size_t)numbers * 4, &passed);
}

/* ---- SIDs in text ([MS-DTYP] 2.4.2.1) ---- */

/* `rid`: one number more, or NULL. False: it would have more than a SID may. */
static bool sid_tell(const struct sid *sid, const uint32_t *rid, sp_gss_sid_fn each, void *owner)
{
    char text[SP_GSS_SID_MAX];
    uint64_t authority = 0;
    int len;

    if (sid->numbers + (rid != NULL ? 1 : 0) > SID_NUMBERS_MAX)
        return false;
    for (int i = 2; i < 8; i++)
        authority = authority << 8 | sid->at[i];
    len = snprintf(text, sizeof text, authority > UINT32_MAX ? "S-1-0x%012" PRIX64 : "S-1-%" PRIu64,
                   authority);
    for (unsigned i = 0; i < sid->numbers; i++)
        len += snprintf(text + len, sizeof text - (size_t)len, "-%" PRIu32,
                        le32(sid->at + SID_FIXED_LEN + (size_t)i * 4));
    if (rid != NULL)
        len += snprintf(text + len, sizeof text - (size_t)len, "-%" PRIu32, *rid);
    each(owner, sp_span_of(text, (size_t)len));
    return true;
}

static bool tell_rids(const struct memberships *list, const struct sid *domain, sp_gss_sid_fn each,
                      void *owner)
{
    if (list->count > 0 && domain->at == NULL)
        return false;
    for (uint32_t i = 0; i < list->count; i++) {
        const uint8_t *one = list->at + (size_t)i * MEMBERSHIP_LEN;
        uint32_t rid = le32(one);

        if ((le32(one + 4) & SE_GROUP_ENABLED) != 0 && !sid_tell(domain, &rid, each, owner))
            return false;
    }
    return true;
}

static bool holds_rid(const struct memberships *list, uint32_t rid)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (le32(list->at + (size_t)i * MEMBERSHIP_LEN) == rid)
            return true;
    }
    return false;
}

/* Zero is nobody's: a KDC without a primary group writes it. */
static bool tell_primary(const struct validation_info *info, sp_gss_sid_fn each, void *owner)
{
    if (info->primary_group == 0 || info->domain.at == NULL ||
        holds_rid(&info->groups, info->primary_group))
        return true;
    return sid_tell(&info->domain, &info->primary_group, each, owner);
}

/* The SIDs follow the array of pointers to them, one after the other. */
static bool tell_extra(struct ndr *in, const struct memberships *list, sp_gss_sid_fn each,
                       void *owner)
{
    for (uint32_t i = 0; i < list->count; i++) {
        const uint8_t *one = list->at + (size_t)i * MEMBERSHIP_LEN;
        struct sid sid;

        if (le32(one) == 0 || !find_sid(in, true, &sid))
            return false;
        if ((le32(one + 4) & SE_GROUP_ENABLED) != 0 && !sid_tell(&sid, NULL, each, owner))
            return false;
    }
    return true;
}

/* ---- the door ---- */

/* Version 1, little-endian; then the length of what follows the two headers. */
static bool open_stream(struct sp_span bytes, struct ndr *in)
{
    const uint8_t *at = (const uint8_t *)bytes.base;
    bool there;

    if (bytes.len < (size_t)2 * HEADER_LEN || at[0] != 1 || at[1] != 0x10 || at[2] != HEADER_LEN ||
        at[3] != 0)
        return false;
    *in = (struct ndr){at + (size_t)2 * HEADER_LEN, 0, le32(at + HEADER_LEN)};
    if (in->len > bytes.len - (size_t)2 * HEADER_LEN)
        return false;
    return take_pointer(in, &there) && there;
}

static bool tell_all(struct ndr *in, struct validation_info *info, sp_gss_sid_fn each, void *owner)
{
    return read_fixed(in, info) && skip_names(in, info->names_before, NAMES_BEFORE) &&
           find_memberships(in, &info->groups) && skip_names(in, info->names_after, NAMES_AFTER) &&
           find_sid(in, info->has_domain, &info->domain) &&
           tell_rids(&info->groups, &info->domain, each, owner) &&
           tell_primary(info, each, owner) && find_memberships(in, &info->extra) &&
           tell_extra(in, &info->extra, each, owner) &&
           find_sid(in, info->has_resource_domain, &info->resource_domain) &&
           find_memberships(in, &info->resource) &&
           tell_rids(&info->resource, &info->resource_domain, each, owner);
}

enum sp_err sp_gss_pac_groups(struct sp_span logon_info, sp_gss_sid_fn each, void *owner)
{
    struct validation_info info;
    struct ndr in;

    memset(&info, 0, sizeof info);
    if (!open_stream(logon_info, &in) || !tell_all(&in, &info, each, owner))
        return SP_ERR_INVALID;
    return SP_OK;
}
