/* A fake authentication backend: the same table of functions as a real plugin, scripted by the
 * test. One fake_world for each backend block, found by its title; all counters may be read while
 * loops run on other threads.
 *
 * Tokens are scripts themselves: "legs=3 user=alice principal=alice@CORP.TEST final=bye", see
 * fake_backend.c. Answers come from a uv timer, in a later turn, after delay_ms. */
#ifndef SP_TEST_FAKE_BACKEND_H
#define SP_TEST_FAKE_BACKEND_H

#include "sallyport/auth_backend.h"

#include <stdatomic.h>

struct fake_user {
    const char *name;
    const char *password;
    const char *account; /* a reason why the account is unusable; NULL: usable */
    const char *group;   /* its only group; NULL: none */
};

struct fake_world {
    char backend[64];
    const struct fake_user *users; /* ends with a NULL name */
    const char *domain;            /* DOMAIN\user is taken for user; other domains are unknown */
    _Atomic(const char *) changed_password; /* in place of every user's own; NULL: not changed */
    atomic_uint delay_ms;
    atomic_bool hold;     /* nothing is answered until this is false */
    atomic_bool down;     /* everything is answered UNAVAILABLE */
    atomic_int start_err; /* enum sp_err that start() returns */
    atomic_uint started;  /* start() that returned SP_OK, and so on */
    atomic_uint stepped;
    atomic_uint cancelled;
    atomic_uint live_ops;        /* not yet freed */
    atomic_uint open;            /* backends open now */
    atomic_uint refreshed;       /* calls of refresh */
    const char *refresh_refused; /* why it refuses; NULL: it does not */
    atomic_int asked_max;        /* most ops alive at once */
    atomic_bool ill;             /* what a look sees */
    atomic_bool look_hold;       /* no look ends until this is false, or it is told to */
    atomic_uint looks;           /* begun */
    char last_user[128];
};

struct fake_options {
    char *path;
    char *groups_from;
    int persist;  /* 0 connection, 1 request */
    bool broken;  /* configure refuses */
    int64_t pace; /* says nothing of people */
};

extern const struct sp_auth_backend_ops fake_password_ops; /* PASSWORD and GROUPS */
extern const struct sp_auth_backend_ops fake_token_ops;    /* TOKEN */
extern const struct sp_auth_backend_ops fake_both_ops;     /* PASSWORD and TOKEN */

/* For sp_auth_plan_new: "fake", "faketoken" and "fakeboth". */
const struct sp_auth_backend_ops *fake_find(void *owner, const char *plugin);
/* The world of a backend block; made at the first call. */
struct fake_world *fake_world(const char *backend);
void fake_worlds_reset(void);

#endif
