/* The inside of the resolver, for the files of net/ (and its tests) alone.
 *
 * An answer is one entry, found by its name: under way (waiters wait for it) or known until it
 * expires. The entries that are known form a list by age; the oldest makes room for the newest. */
#ifndef SP_NET_RESOLVE_PRIV_H
#define SP_NET_RESOLVE_PRIV_H

#include "net/loop_priv.h"
#include "net/resolve.h"

#define SP_RESOLVE_KNOWN_MAX 4096
#define SP_RESOLVE_ASKED_MAX 1024 /* questions under way */
#define SP_RESOLVE_NAME_MAX  253  /* RFC 1035 2.3.4, without the root's dot */
#define SP_RESOLVE_ADDRS_MAX 32   /* of one answer: what is more is not looked at */

enum sp_resolve_state {
    SP_RESOLVE_ASKED, /* c-ares is at it; in the table */
    SP_RESOLVE_STALE, /* c-ares is at it for too long: in the table, but found by nobody any more */
    SP_RESOLVE_KNOWN, /* in the table until it expires */
    SP_RESOLVE_LOST,  /* c-ares is still at it, but nobody waits any more; in no table */
};

struct sp_resolve_entry {
    struct sp_list chain; /* of its bucket; to itself when in no table */
    struct sp_list aged;  /* KNOWN: of the list by age */
    struct sp_list waiters;
    struct sp_resolver *resolver;
    enum sp_resolve_state state;
    struct sp_soon answered; /* tells the waiters */
    struct sp_timer deadline;
    struct sp_doomed doomed;
    uint64_t asked_ms;
    unsigned again; /* questions put anew */
    uint64_t expires_ms;
    enum sp_err err;
    const char *why; /* static */
    struct sp_addr *addrs;
    size_t addrs_len;
    size_t name_len;
    char name[];
};

/* A table of entries by name. */
struct sp_resolve_table {
    struct sp_list *buckets;
    size_t mask;
    struct sp_list aged;
    unsigned known;
};

enum sp_err sp_resolve_table_init(struct sp_resolve_table *table) SP_MUST_CHECK;
void sp_resolve_table_fini(struct sp_resolve_table *table); /* must be empty */
/* The entry that an asker may have: not one that is stale. */
struct sp_resolve_entry *sp_resolve_table_find(struct sp_resolve_table *table, struct sp_span name);
void sp_resolve_table_add(struct sp_resolve_table *table, struct sp_resolve_entry *entry);
/* An answer has come: from now on it counts and ages. Returns the entry that has to go for it, or
 * NULL; it is out of the table already. */
struct sp_resolve_entry *sp_resolve_table_keep(struct sp_resolve_table *table,
                                               struct sp_resolve_entry *entry) SP_MUST_CHECK;
void sp_resolve_table_remove(struct sp_resolve_table *table, struct sp_resolve_entry *entry);
/* Any entry at all, for the end; NULL when empty. */
struct sp_resolve_entry *sp_resolve_table_any(struct sp_resolve_table *table);

/* Ask these servers ("127.0.0.1:5353") and not those of /etc/resolv.conf. For tests. */
enum sp_err sp_resolver_use_servers(struct sp_resolver *resolver,
                                    const char *servers) SP_MUST_CHECK;

#endif
