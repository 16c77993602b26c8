/* PAC samples for tests: KERB_VALIDATION_INFO ([MS-PAC] 2.5) written as a domain controller writes
 * it, and the handles to write it wrong. Header only; a sample's memory is its own. */
#ifndef SP_TESTS_PAC_SAMPLE_H
#define SP_TESTS_PAC_SAMPLE_H

#include "sallyport/base.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLE_LIST_MAX   2048
#define SAMPLE_ATTRIBUTES 7u /* mandatory, enabled by default, enabled */

/* What it says. SIDs as text; NULL: a null pointer. */
struct pac_sample {
    const char *user; /* EffectiveName; NULL: a null pointer, as for all other names */
    const char *domain;
    uint32_t primary;
    uint32_t rids[SAMPLE_LIST_MAX];
    size_t rids_len;
    const char *extra[SAMPLE_LIST_MAX];
    size_t extra_len;
    const char *resource_domain;
    uint32_t resource[SAMPLE_LIST_MAX];
    size_t resource_len;
    uint32_t attributes; /* of each membership; 0: SAMPLE_ATTRIBUTES */
};

struct pac_bytes {
    uint8_t bytes[256 * 1024];
    size_t len;
};

static inline void pac_put(struct pac_bytes *out, const void *bytes, size_t len)
{
    if (len > sizeof out->bytes - out->len)
        abort();
    memcpy(out->bytes + out->len, bytes, len);
    out->len += len;
}

static inline void pac_zeros(struct pac_bytes *out, size_t len)
{
    if (len > sizeof out->bytes - out->len)
        abort();
    memset(out->bytes + out->len, 0, len);
    out->len += len;
}

static inline void pac_u16(struct pac_bytes *out, uint32_t value)
{
    const uint8_t bytes[2] = {(uint8_t)value, (uint8_t)(value >> 8)};

    pac_put(out, bytes, sizeof bytes);
}

static inline void pac_u32(struct pac_bytes *out, uint32_t value)
{
    pac_u16(out, value & 0xffff);
    pac_u16(out, value >> 16);
}

static inline void pac_pointer(struct pac_bytes *out, bool there)
{
    pac_u32(out, there ? 0x00020000u + (uint32_t)out->len : 0);
}

static inline void pac_align(struct pac_bytes *out, size_t to)
{
    pac_zeros(out, (to - out->len % to) % to);
}

/* "S-1-5-21-1-2-3" in its binary form, with the conformance of its array before it. */
static inline void pac_sid(struct pac_bytes *out, const char *text)
{
    uint32_t numbers[16];
    unsigned long long authority;
    size_t len = 0;
    char *end;

    if (strncmp(text, "S-1-", 4) != 0)
        abort();
    authority = strtoull(text + 4, &end, 0);
    while (*end == '-' && len < 16)
        numbers[len++] = (uint32_t)strtoul(end + 1, &end, 10);
    if (*end != '\0')
        abort();
    pac_u32(out, (uint32_t)len);
    pac_put(out, (const uint8_t[]){1, (uint8_t)len}, 2);
    for (int shift = 40; shift >= 0; shift -= 8)
        pac_put(out, (const uint8_t[]){(uint8_t)(authority >> shift)}, 1);
    for (size_t i = 0; i < len; i++)
        pac_u32(out, numbers[i]);
}

static inline void pac_memberships(struct pac_bytes *out, const struct pac_sample *sample,
                                   const uint32_t *rids, size_t len)
{
    if (len == 0)
        return;
    pac_u32(out, (uint32_t)len);
    for (size_t i = 0; i < len; i++) {
        pac_u32(out, rids[i]);
        pac_u32(out, sample->attributes != 0 ? sample->attributes : SAMPLE_ATTRIBUTES);
    }
}

static inline void pac_fixed(struct pac_bytes *out, const struct pac_sample *sample)
{
    size_t user = sample->user != NULL ? strlen(sample->user) : 0;

    pac_zeros(out, 48); /* times */
    pac_u16(out, (uint32_t)user * 2);
    pac_u16(out, (uint32_t)user * 2);
    pac_pointer(out, sample->user != NULL);
    pac_zeros(out, (size_t)5 * 8 + 4); /* other names, logon counts */
    pac_u32(out, 1104);                /* UserId */
    pac_u32(out, sample->primary);
    pac_u32(out, (uint32_t)sample->rids_len);
    pac_pointer(out, sample->rids_len > 0);
    pac_u32(out, (sample->extra_len > 0 ? 0x20u : 0) | (sample->resource_len > 0 ? 0x200u : 0));
    pac_zeros(out, 16 + (size_t)2 * 8); /* session key, LogonServer, LogonDomainName */
    pac_pointer(out, sample->domain != NULL);
    pac_zeros(out, 40);
    pac_u32(out, (uint32_t)sample->extra_len);
    pac_pointer(out, sample->extra_len > 0);
    pac_pointer(out, sample->resource_domain != NULL);
    pac_u32(out, (uint32_t)sample->resource_len);
    pac_pointer(out, sample->resource_len > 0);
}

static inline void pac_pointees(struct pac_bytes *out, const struct pac_sample *sample)
{
    size_t user = sample->user != NULL ? strlen(sample->user) : 0;

    if (sample->user != NULL) {
        pac_u32(out, (uint32_t)user);
        pac_u32(out, 0);
        pac_u32(out, (uint32_t)user);
        for (size_t i = 0; i < user; i++)
            pac_u16(out, (uint8_t)sample->user[i]);
        pac_align(out, 4);
    }
    pac_memberships(out, sample, sample->rids, sample->rids_len);
    if (sample->domain != NULL)
        pac_sid(out, sample->domain);
    if (sample->extra_len > 0)
        pac_u32(out, (uint32_t)sample->extra_len);
    for (size_t i = 0; i < sample->extra_len; i++) {
        pac_pointer(out, true);
        pac_u32(out, sample->attributes != 0 ? sample->attributes : SAMPLE_ATTRIBUTES);
    }
    for (size_t i = 0; i < sample->extra_len; i++)
        pac_sid(out, sample->extra[i]);
    if (sample->resource_domain != NULL)
        pac_sid(out, sample->resource_domain);
    pac_memberships(out, sample, sample->resource, sample->resource_len);
}

static inline struct sp_span pac_write(struct pac_bytes *out, const struct pac_sample *sample)
{
    uint32_t body;

    out->len = 0;
    pac_put(out, "\x01\x10\x08\x00\xcc\xcc\xcc\xcc", 8);
    pac_zeros(out, 8); /* the length of what follows, below */
    pac_u32(out, 0x00020000);
    pac_fixed(out, sample);
    pac_pointees(out, sample);
    pac_align(out, 8);
    body = (uint32_t)out->len - 16;
    for (int i = 0; i < 4; i++)
        out->bytes[8 + i] = (uint8_t)(body >> 8 * i);
    return (struct sp_span){(const char *)out->bytes, out->len};
}

#endif
