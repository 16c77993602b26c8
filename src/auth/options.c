/* The keys of the blocks "auth", "cache" and "guard": tables only. */
#include "auth/auth.h"

#define DAY_MS ((int64_t)24 * 60 * 60 * 1000)

/* clang-format off */
const struct sp_option sp_auth_option_table[] = {
    SP_OPT_STRING(struct sp_auth_options, realm, "Corporate Proxy",
                  "The realm that people see when their browser asks for a password."),
    SP_OPT_LIST(struct sp_auth_options, negotiate, NULL,
                "Backends that verify Negotiate (Kerberos) tokens, in the order tried; with none the scheme is not offered."),
    SP_OPT_LIST(struct sp_auth_options, basic, NULL,
                "Backends that verify a user and password, in the order tried; with none Basic is not offered."),
    SP_OPT_MILLIS(struct sp_auth_options, handshake_timeout_ms, "handshake_timeout", "30s", 1000, DAY_MS,
                  "How long all legs of one Negotiate handshake may take together."),
    SP_OPT_INT(struct sp_auth_options, max_challenges, "6", 1, 1000,
               "How many 407s in a row may refuse credentials on one connection; the next refusal is 403 and the connection closes."),
    SP_OPT_END
};

const struct sp_option sp_cache_option_table[] = {
    SP_OPT_MILLIS(struct sp_cache_options, ttl_ms, "ttl", "5m", 0, DAY_MS,
                  "How long a good verdict, or the groups of a Negotiate user, is kept, counted from the answer of the backend."),
    SP_OPT_INT(struct sp_cache_options, refresh, "50", 0, 99,
               "Percent of ttl after which a good verdict that is used is renewed in the background; 0 turns that off."),
    SP_OPT_MILLIS(struct sp_cache_options, negative_ttl_ms, "negative_ttl", "5m", 0, DAY_MS,
                  "How long a refusal of one credential is kept, so that a repeated wrong password costs the directory one bind in that time."),
    SP_OPT_MILLIS(struct sp_cache_options, grace_ms, "grace", "0", 0, 30 * DAY_MS,
                  "How long past ttl a good verdict may still serve while no directory answers; 0 is not at all."),
    SP_OPT_INT(struct sp_cache_options, max_entries, "100000", 1, 10000000,
               "How many verdicts are kept at most; the oldest go first."),
    SP_OPT_END
};

const struct sp_option sp_guard_option_table[] = {
    SP_OPT_INT(struct sp_guard_options, user_failures, "3", 0, 100,
               "Distinct wrong passwords of one user within the window after which the user's Basic logins are answered 429; 0 turns that off."),
    SP_OPT_INT(struct sp_guard_options, client_failures, "100", 0, 1000000,
               "Wrong logins from one client address (IPv6: its /64) within the window after which its Basic logins are answered 429; 0 turns that off."),
    SP_OPT_MILLIS(struct sp_guard_options, window_ms, "window", "30m", 1000, 7 * DAY_MS,
                  "The sliding window in which wrong logins are counted; keep it at least as long as the directory's own."),
    SP_OPT_MILLIS(struct sp_guard_options, block_ms, "block", "5m", 1000, 7 * DAY_MS,
                  "How long a block lasts."),
    SP_OPT_END
};
/* clang-format on */
