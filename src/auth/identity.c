/* Identities: one block of memory each, the bytes behind the spans, counted by reference.
 * Made by the engine when a backend has said ALLOW; shared from then on by the cache, connections
 * and exchanges of all workers. Knows nothing of how an identity was proven beyond the words. */
#include "auth/identity.h"

#include "util/span.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define IDENTITY_MAGIC 0x1de47171u

/* Immutable but for its count. Whoever holds a reference owns it together with the others. */
struct sp_identity {
    uint32_t magic;
    atomic_uint refs;
    enum sp_scheme scheme;
    struct sp_span user;
    struct sp_span principal;
    struct sp_span backend;
    struct sp_span mech;
    struct sp_span groups_text;
    size_t groups_len;
    struct sp_span groups[]; /* the bytes of all spans follow */
};

/* Copies bytes to *at and moves it on; absent stays absent. */
static struct sp_span copy_into(char **at, struct sp_span bytes)
{
    char *to = *at;

    if (bytes.base == NULL)
        return SP_SPAN_NONE;
    if (bytes.len > 0)
        memcpy(to, bytes.base, bytes.len);
    to[bytes.len] = '\0';
    *at = to + bytes.len + 1;
    return sp_span_of(to, bytes.len);
}

/* How many of the groups' names, each on its line, and how many bytes that is. */
static size_t groups_text_len(const struct sp_span *groups, size_t groups_len, size_t *names_out)
{
    size_t len = 0, names = 0;

    while (names < groups_len && len + groups[names].len + 1 <= SP_IDENTITY_GROUPS_TEXT)
        len += groups[names++].len + 1;
    *names_out = names;
    return len;
}

static struct sp_span write_groups_text(char *at, const struct sp_span *groups, size_t names)
{
    char *end = at;

    for (size_t i = 0; i < names; i++) {
        if (i > 0)
            *end++ = '\n';
        (void)copy_into(&end, groups[i]);
        end -= groups[i].base != NULL ? 1 : 0; /* its NUL gives way to the next line */
    }
    return sp_span_of(at, (size_t)(end - at));
}

struct sp_identity *sp_identity_new(struct sp_span user, struct sp_span principal,
                                    struct sp_span backend, enum sp_scheme scheme,
                                    struct sp_span mech, const struct sp_span *groups,
                                    size_t groups_len)
{
    size_t size = sizeof(struct sp_identity) + groups_len * sizeof(struct sp_span);
    struct sp_identity *identity;
    size_t names;
    char *at;

    size += groups_text_len(groups, groups_len, &names);
    size += user.len + principal.len + backend.len + mech.len + 4;
    for (size_t i = 0; i < groups_len; i++)
        size += groups[i].len + 1;
    identity = malloc(size);
    if (identity == NULL)
        return NULL;
    identity->magic = IDENTITY_MAGIC;
    atomic_init(&identity->refs, 1);
    identity->scheme = scheme;
    identity->groups_len = groups_len;
    at = (char *)&identity->groups[groups_len];
    identity->user = copy_into(&at, user);
    identity->principal = copy_into(&at, principal);
    identity->backend = copy_into(&at, backend);
    identity->mech = copy_into(&at, mech);
    for (size_t i = 0; i < groups_len; i++)
        identity->groups[i] = copy_into(&at, groups[i]);
    identity->groups_text = write_groups_text(at, groups, names);
    return identity;
}

struct sp_identity *sp_identity_join(const struct sp_identity *identity,
                                     const struct sp_identity *other)
{
    size_t len = identity->groups_len + other->groups_len;
    struct sp_span *groups = calloc(len + 1, sizeof(*groups));
    struct sp_identity *joined;

    if (groups == NULL)
        return NULL;
    for (size_t i = 0; i < identity->groups_len; i++)
        groups[i] = identity->groups[i];
    for (size_t i = 0; i < other->groups_len; i++)
        groups[identity->groups_len + i] = other->groups[i];
    joined = sp_identity_new(identity->user, identity->principal, identity->backend,
                             identity->scheme, identity->mech, groups, len);
    free(groups);
    return joined;
}

struct sp_identity *sp_identity_ref(const struct sp_identity *identity)
{
    struct sp_identity *counted = (struct sp_identity *)(uintptr_t)identity;

    assert(identity->magic == IDENTITY_MAGIC);
    atomic_fetch_add_explicit(&counted->refs, 1, memory_order_relaxed);
    return counted;
}

void sp_identity_unref(const struct sp_identity **identity)
{
    struct sp_identity *counted = (struct sp_identity *)(uintptr_t)*identity;

    *identity = NULL;
    if (counted == NULL)
        return;
    assert(counted->magic == IDENTITY_MAGIC);
    if (atomic_fetch_sub_explicit(&counted->refs, 1, memory_order_acq_rel) > 1)
        return;
    counted->magic = 0;
    free(counted);
}

struct sp_span sp_identity_user(const struct sp_identity *identity)
{
    return identity->user;
}

struct sp_span sp_identity_principal(const struct sp_identity *identity)
{
    return identity->principal;
}

struct sp_span sp_identity_backend(const struct sp_identity *identity)
{
    return identity->backend;
}

struct sp_span sp_identity_mech(const struct sp_identity *identity)
{
    return identity->mech;
}

enum sp_scheme sp_identity_scheme(const struct sp_identity *identity)
{
    return identity->scheme;
}

struct sp_span sp_identity_groups_text(const struct sp_identity *identity)
{
    return identity->groups_text;
}

const struct sp_span *sp_identity_groups(const struct sp_identity *identity, size_t *len_out)
{
    *len_out = identity->groups_len;
    return identity->groups;
}
