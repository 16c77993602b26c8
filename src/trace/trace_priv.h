/* Inside the trace room: records (record.c), rings of them (ring.c), and the book that has both
 * rings of each worker (trace.c, find.c, follow.c). */
#ifndef SP_TRACE_TRACE_PRIV_H
#define SP_TRACE_TRACE_PRIV_H

#include "trace/trace.h"
#include "util/list.h"

#include <pthread.h>
#include <stdatomic.h>

#define SP_TRACE_SLICE  ((size_t)64 * 1024)  /* what is read under one hold of a lock */
#define SP_TRACE_FOLDED 16u                  /* equal refusals in one entry */
#define SP_TRACE_RECENT 256u                 /* a power of two */
#define SP_TRACE_QUEUE  ((size_t)256 * 1024) /* bytes that wait for one follower */

/* ---- record.c: a decision in one piece of memory ---- */

/* Texts follow, then the ids of the row's other decisions in slots of SP_TRACE_ID_MAX. */
struct sp_trace_record {
    uint32_t size;  /* whole; a multiple of 8 */
    uint32_t count; /* 0: filler, of which only `size` counts */
    uint64_t fold;  /* equal for equal refusals; 0: stands alone */
    uint64_t seq;   /* of its worker */
    uint64_t conn;
    uint32_t ordinal, first;
    uint64_t wall_ms, first_wall_ms;
    uint64_t age_ms;
    struct sp_addr client;
    uint32_t ms, auth_ms, connect_ms;
    uint16_t status;
    uint8_t scheme, how, reason;
    bool has_age;
    uint16_t len[SP_DECISION_TEXTS];
};

#define SP_TRACE_RECORD_MAX ((size_t)8 * 1024) /* more than any record takes */

/* `at` has SP_TRACE_RECORD_MAX bytes and is aligned. Returns how many of them were taken. `fold` as
 * below, 0 for one that stands alone. */
size_t sp_trace_record_write(struct sp_trace_record *at, const struct sp_decision *decision,
                             uint64_t fold) SP_MUST_CHECK;
/* The decision is one more of the record's row; its id and time become the record's. */
void sp_trace_record_fold(struct sp_trace_record *at, const struct sp_decision *decision);
/* Spans point into the record. */
void sp_trace_record_read(const struct sp_trace_record *at, struct sp_decision *decision_out);
bool sp_trace_record_has_id(const struct sp_trace_record *at, struct sp_span id);
/* Equal for refusals that say the same of the same client; 0: no refusal. */
uint64_t sp_trace_fold_of(const struct sp_decision *decision);

/* ---- ring.c: records of any size in a fixed piece of memory, oldest out ---- */

struct sp_trace_recent {
    uint64_t fold;
    uint64_t at;
};

/* Positions only grow; position modulo size is the place. */
struct sp_trace_ring {
    pthread_mutex_t lock;
    char *base;
    size_t size;
    uint64_t head, tail;
    struct sp_trace_recent recent[SP_TRACE_RECENT]; /* the last entry of each row */
};

enum sp_err sp_trace_ring_init(struct sp_trace_ring *ring, size_t size) SP_MUST_CHECK;
void sp_trace_ring_fini(struct sp_trace_ring *ring);
/* `fold`: of its row, 0 when it is of none. */
void sp_trace_ring_add(struct sp_trace_ring *ring, const struct sp_decision *decision,
                       uint64_t fold, uint64_t seq);
/* Whole records from *at on, as many as go into `slice` (of SP_TRACE_SLICE bytes); *at is moved on.
 * Returns the bytes; 0: that was all. */
size_t sp_trace_ring_read(struct sp_trace_ring *ring, uint64_t *at, char *slice);

/* ---- trace.c ---- */

struct sp_trace {
    struct sp_trace_book *book;
    struct sp_trace_ring plain, telling;
    unsigned index;
    uint64_t conns; /* the worker's own */
    uint64_t seq;   /* likewise */
};

struct sp_trace_book {
    void (*wake)(void *owner);
    void *owner;
    _Atomic unsigned follows_len;
    pthread_mutex_t lock; /* of follows and all in them */
    struct sp_list follows;
    char *slice; /* main thread: for reading */
    unsigned workers_len;
    struct sp_trace workers[];
};

/* Main thread: every record of every ring. It lives until `each` returns. */
typedef void (*sp_trace_record_cb)(void *owner, const struct sp_trace_record *record,
                                   unsigned worker);
void sp_trace_book_scan(struct sp_trace_book *book, sp_trace_record_cb each, void *owner);
/* The same of the one worker that has that connection. */
void sp_trace_book_scan_conn(struct sp_trace_book *book, uint64_t conn, sp_trace_record_cb each,
                             void *owner);

/* ---- word.c: what people ask about ---- */

enum sp_trace_class { SP_TRACE_BY_ID, SP_TRACE_BY_USER, SP_TRACE_BY_CLIENT, SP_TRACE_CLASSES };

struct sp_trace_word {
    struct sp_span text;  /* into raw */
    struct sp_span lower; /* into folded; absent: it can be no user */
    struct sp_addr addr;
    bool is_addr;
    char raw[SP_TRACE_WORD_MAX];
    char folded[SP_TRACE_WORD_MAX];
};
/* SP_ERR_INVALID: empty or too long. */
enum sp_err sp_trace_word_init(struct sp_trace_word *word, struct sp_span text) SP_MUST_CHECK;
bool sp_trace_word_is_user(const struct sp_trace_word *word, struct sp_span user);
bool sp_trace_word_is_client(const struct sp_trace_word *word, const struct sp_addr *client);

/* ---- find.c ---- */
/* The legs of that chain before `ordinal`, in order. */
void sp_trace_find_legs(struct sp_trace_book *book, uint64_t conn, uint32_t first, uint32_t ordinal,
                        sp_decision_cb each, void *owner);

/* ---- follow.c ---- */
/* Any worker's thread: hand it to those who follow. */
void sp_trace_publish(struct sp_trace_book *book, const struct sp_decision *decision);

#endif
