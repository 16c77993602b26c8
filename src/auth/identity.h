/* Who somebody is: proven, immutable, shared between workers by reference count. Any thread. */
#ifndef SP_AUTH_IDENTITY_H
#define SP_AUTH_IDENTITY_H

#include "log/access.h"

struct sp_identity; /* one block of memory; freed with its last reference */

/* Copies everything. `groups` may have duplicates. NULL: out of memory. */
struct sp_identity *sp_identity_new(struct sp_span user, struct sp_span principal,
                                    struct sp_span backend, enum sp_scheme scheme,
                                    struct sp_span mech, const struct sp_span *groups,
                                    size_t groups_len) SP_MUST_CHECK;
struct sp_identity *sp_identity_ref(const struct sp_identity *identity);
/* `identity` with the groups of `other` added to its own. NULL: out of memory. */
struct sp_identity *sp_identity_join(const struct sp_identity *identity,
                                     const struct sp_identity *other) SP_MUST_CHECK;
void sp_identity_unref(const struct sp_identity **identity);

struct sp_span sp_identity_user(const struct sp_identity *identity);
struct sp_span sp_identity_principal(const struct sp_identity *identity);
struct sp_span sp_identity_backend(const struct sp_identity *identity);
struct sp_span sp_identity_mech(const struct sp_identity *identity);
enum sp_scheme sp_identity_scheme(const struct sp_identity *identity);
const struct sp_span *sp_identity_groups(const struct sp_identity *identity, size_t *len_out);
/* The first of them, one a line, as far as SP_IDENTITY_GROUPS_TEXT bytes go; whole names. */
#define SP_IDENTITY_GROUPS_TEXT 512u
struct sp_span sp_identity_groups_text(const struct sp_identity *identity);

#endif
