/* Decisions remembered: what each exchange came to and why, for `why` and `ctl trace`.
 *
 * A worker puts a decision into its own two rings when an exchange ends: *plain* ones (passed
 * without anybody being asked, or nothing was sent that could be judged) and *telling* ones (a
 * backend was asked, or we refused). They are bounded apart, so that no flood of the first pushes
 * out the second. A row of equal refusals of one client is one entry with a count. The main thread
 * reads. Nothing is formatted here, and nothing here has ever seen a password or a token. */
#ifndef SP_TRACE_TRACE_H
#define SP_TRACE_TRACE_H

#include "log/access.h"
#include "sallyport/auth_backend.h"
#include "util/addr.h"

/* Memory of one worker: what its two rings take, whatever happens. */
#define SP_TRACE_PLAIN_SIZE   ((size_t)1024 * 1024)
#define SP_TRACE_TELLING_SIZE ((size_t)2 * 1024 * 1024)

#define SP_TRACE_ID_MAX    16u /* longer ids are cut */
#define SP_TRACE_STEPS_MAX 4096u
#define SP_TRACE_WORD_MAX  512u
#define SP_TRACE_CHAIN_MAX 16u /* legs, the last one included; a longer chain counts as two */
#define SP_TRACE_FOLLOWS   8u  /* `ctl trace` at once */

enum sp_decision_text {
    SP_DECISION_ID,
    SP_DECISION_USER, /* the identity's, or who they say they are */
    SP_DECISION_MECH,
    SP_DECISION_BACKEND,
    SP_DECISION_GROUPS, /* one a line */
    SP_DECISION_METHOD,
    SP_DECISION_TARGET, /* no userinfo */
    SP_DECISION_LISTENER,
    SP_DECISION_WHY,
    SP_DECISION_RULE,
    SP_DECISION_STEPS, /* as struct sp_trace_steps has them */
    SP_DECISION_TEXTS
};

/* All spans borrowed. Texts that are too long are cut, with "..." at their end. */
struct sp_decision {
    struct sp_span text[SP_DECISION_TEXTS];
    uint64_t conn;    /* sp_trace_connection */
    uint32_t ordinal; /* of the exchange on its connection */
    uint32_t first;   /* the ordinal of the first leg of its 407 chain; its own when it is alone */
    uint64_t wall_ms; /* of the head's last byte */
    struct sp_addr client;
    enum sp_scheme scheme;
    enum sp_auth_how how;
    enum sp_reason reason;
    int status;
    bool has_age;
    uint64_t age_ms; /* of what the cache, or the connection, knew */
    uint64_t ms, auth_ms, connect_ms;
    /* when it is read: a row of `count` equal ones, of which this is the last */
    uint32_t count;
    uint64_t first_wall_ms;
};

/* Is it a leg of a chain that goes on: nothing was sent, or a handshake is under way? */
static inline bool sp_decision_is_leg(enum sp_reason reason)
{
    return reason == SP_REASON_NO_CREDENTIALS || reason == SP_REASON_HANDSHAKE;
}

/* ---- steps: gathered while an exchange runs ---- */

/* Embedded in the exchange; zeroed memory is ready but for the tracer's function. Memory is taken
 * with the first step. */
struct sp_trace_steps {
    struct sp_auth_tracer tracer;
    char *text;
    size_t len;
    bool cut; /* there was no room for all */
};
void sp_trace_steps_init(struct sp_trace_steps *steps);
void sp_trace_steps_fini(struct sp_trace_steps *steps);
struct sp_span sp_trace_steps_text(const struct sp_trace_steps *steps);
/* The next step of such a text; `rest` is moved on. False: no more. */
bool sp_trace_next_step(struct sp_span *rest, struct sp_auth_step *step_out);

/* ---- writing ---- */

struct sp_trace_book; /* all workers' */
struct sp_trace;      /* one worker's; the book's */

/* `wake` is called on a worker's thread when a follower has something to read. NULL: no memory. */
struct sp_trace_book *sp_trace_book_new(unsigned workers, void (*wake)(void *owner),
                                        void *owner) SP_MUST_CHECK;
void sp_trace_book_free(struct sp_trace_book **book); /* nobody follows */
struct sp_trace *sp_trace_of(struct sp_trace_book *book, unsigned worker);

/* That worker's thread. A number that no other connection of this process has. */
uint64_t sp_trace_connection(struct sp_trace *trace);
/* That worker's thread. Copies. */
void sp_trace_add(struct sp_trace *trace, const struct sp_decision *decision);

/* ---- reading: the main thread ---- */

typedef void (*sp_decision_cb)(void *owner, const struct sp_decision *decision);

/* The last `max` chains in which `word` is an id, or, when there is none, a user, or a client's
 * address, oldest first, each chain whole. Users are compared without case; one named without a
 * domain is meant with any. SP_ERR_NOT_FOUND: nothing is known of it. SP_ERR_NOMEM: not all was
 * told. */
enum sp_err sp_trace_find(struct sp_trace_book *book, struct sp_span word, size_t max,
                          sp_decision_cb each, void *owner) SP_MUST_CHECK;

/* The last `max` refusals, the newest first; rows of equal ones as one. Fewer for want of memory.
 */
void sp_trace_refusals(struct sp_trace_book *book, size_t max, sp_decision_cb each, void *owner);

struct sp_trace_news; /* how far one reader has read */
/* NULL: no memory. */
struct sp_trace_news *sp_trace_news_new(struct sp_trace_book *book) SP_MUST_CHECK;
void sp_trace_news_free(struct sp_trace_news **news);
/* Every decision that has come since the last call; of a row of equal refusals, some may be left
 * out. False: others were pushed out before they could be read. */
bool sp_trace_news_read(struct sp_trace_news *news, sp_decision_cb each, void *owner);

struct sp_trace_follow;
/* From now on, decisions about that user, or client's address, are kept for this follower.
 * NULL: SP_TRACE_FOLLOWS follow already, or no memory. */
struct sp_trace_follow *sp_trace_follow_new(struct sp_trace_book *book,
                                            struct sp_span word) SP_MUST_CHECK;
void sp_trace_follow_free(struct sp_trace_follow **follow);
/* How many went by before the next one because they were not read fast enough. Told once. */
uint64_t sp_trace_follow_lost(struct sp_trace_follow *follow) SP_MUST_CHECK;
/* The next one, after the earlier legs of its chain where those named no user. False: none (yet).
 */
bool sp_trace_follow_next(struct sp_trace_follow *follow, sp_decision_cb each, void *owner);

#endif
