/* Which Kerberos authenticators have been used: the proxy's own replay protection.
 *
 * MIT's file cache takes an exclusive lock and writes a file for every ticket; this table keeps the
 * same promise in memory, for all workers of the process. What is remembered is a keyed hash of the
 * authenticator's ciphertext, which no client makes twice (it holds a time stamp and is encrypted
 * under a fresh confounder, RFC 4120 5.5.1), for at least twice the clock skew: a token whose clock
 * ran ahead by one skew stays acceptable until its clock fell behind by one.
 *
 * Only what the library accepted is entered, so that garbage cannot fill the table. When it is full
 * of live entries the answer is SP_ERR_FULL: to forget the oldest would let anybody who has a
 * ticket wash out the entries of others.
 *
 * Thread-safe: sharded, each shard with a short lock. */
#ifndef SP_GSSAPI_REPLAY_H
#define SP_GSSAPI_REPLAY_H

#include "sallyport/base.h"

/* Entries that may be alive at once in the whole table: 7,000 handshakes a second for ten minutes.
 * At most 96 MiB, taken as needed. */
#define SP_GSS_REPLAY_MAX (1u << 22)

struct sp_gss_replay;

/* `window_s`: entries live at least so long. NULL: out of memory. */
struct sp_gss_replay *sp_gss_replay_new(uint64_t window_s, size_t entries_max) SP_MUST_CHECK;
void sp_gss_replay_free(struct sp_gss_replay **table);

/* Looks for the authenticator and enters it, in one step: of two that come at once, one passes.
 * SP_OK: new. SP_ERR_DENIED: a replay. SP_ERR_FULL, SP_ERR_NOMEM: could not be remembered, so it
 * must not pass. `now_s` never goes back by more than a slice's length. */
enum sp_err sp_gss_replay_enter(struct sp_gss_replay *table, struct sp_span authenticator,
                                uint64_t now_s) SP_MUST_CHECK;
/* From now on entries live at least so long, those that are held too; never shorter than before.
 * SP_ERR_NOMEM: some still live as long as they did. */
enum sp_err sp_gss_replay_widen(struct sp_gss_replay *table, uint64_t window_s) SP_MUST_CHECK;
/* Entries held, for tests and metrics. */
size_t sp_gss_replay_count(struct sp_gss_replay *table);

/* The process's one table, made at the first call and kept over reloads, so that a reload forgets
 * nothing. Each successful call is matched by one unshare. NULL: out of memory. The widest window
 * that anybody asked for counts. */
struct sp_gss_replay *sp_gss_replay_share(uint64_t window_s) SP_MUST_CHECK;
void sp_gss_replay_unshare(void);

#endif
