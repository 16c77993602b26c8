/* See ldap_brake.h. Called by loops (may a dial be begun?) and by the dials on pool threads. */
#include "backends/ldap/ldap_brake.h"

#include <assert.h>
#include <stdlib.h>
#include <uv.h>

#define PAUSE_FIRST_MS 10000 /* doubling */
#define PAUSE_MAX_MS   300000
#define LOOK_NS        20000000u /* between looks at `stop` */

struct sp_ldap_brake {
    uv_mutex_t lock;
    uv_cond_t heard;        /* a bind has ended */
    uint64_t pause_ms;      /* 0: the identity was not refused */
    uint64_t not_before_ns; /* uv_hrtime */
    bool trial;             /* one may bind although it was refused */
    bool asking[SP_LDAP_BRAKE_PLACES];
};

struct sp_ldap_brake *sp_ldap_brake_new(void)
{
    struct sp_ldap_brake *brake = calloc(1, sizeof(*brake));

    if (brake == NULL)
        return NULL;
    if (uv_mutex_init(&brake->lock) != 0) {
        free(brake);
        return NULL;
    }
    if (uv_cond_init(&brake->heard) != 0) {
        uv_mutex_destroy(&brake->lock);
        free(brake);
        return NULL;
    }
    return brake;
}

void sp_ldap_brake_free(struct sp_ldap_brake **brake_ref)
{
    struct sp_ldap_brake *brake = *brake_ref;

    *brake_ref = NULL;
    if (brake == NULL)
        return;
    uv_cond_destroy(&brake->heard);
    uv_mutex_destroy(&brake->lock);
    free(brake);
}

bool sp_ldap_brake_is_on(struct sp_ldap_brake *brake)
{
    bool on;

    uv_mutex_lock(&brake->lock);
    on = brake->pause_ms != 0;
    uv_mutex_unlock(&brake->lock);
    return on;
}

bool sp_ldap_brake_may_try(struct sp_ldap_brake *brake, uint64_t now_ns)
{
    bool may;

    uv_mutex_lock(&brake->lock);
    may = brake->pause_ms == 0 || now_ns >= brake->not_before_ns;
    if (may && brake->pause_ms != 0) { /* this caller tries; the others wait for its news */
        brake->not_before_ns = now_ns + brake->pause_ms * 1000000;
        brake->trial = true;
    }
    uv_mutex_unlock(&brake->lock);
    return may;
}

static bool is_stopped(const atomic_bool *stop)
{
    return stop != NULL && atomic_load(stop);
}

/* Under the lock. */
static enum sp_err wait_for_place(struct sp_ldap_brake *brake, unsigned place, uint64_t due_ns,
                                  const atomic_bool *stop)
{
    while (brake->asking[place]) {
        uint64_t now = uv_hrtime();

        if (is_stopped(stop))
            return SP_ERR_CLOSED;
        if (now >= due_ns)
            return SP_ERR_TIMEOUT;
        (void)uv_cond_timedwait(&brake->heard, &brake->lock,
                                due_ns - now < LOOK_NS ? due_ns - now : LOOK_NS);
    }
    return SP_OK;
}

enum sp_err sp_ldap_brake_enter(struct sp_ldap_brake *brake, unsigned place, uint64_t due_ns,
                                const atomic_bool *stop)
{
    enum sp_err err;

    assert(place < SP_LDAP_BRAKE_PLACES);
    uv_mutex_lock(&brake->lock);
    err = wait_for_place(brake, place, due_ns, stop);
    if (err == SP_OK && brake->pause_ms != 0 && !brake->trial)
        err = SP_ERR_DENIED;
    if (err == SP_OK) {
        brake->trial = false;
        brake->asking[place] = true;
    }
    uv_mutex_unlock(&brake->lock);
    return err;
}

static void put_on(struct sp_ldap_brake *brake, uint64_t now_ns)
{
    brake->pause_ms = brake->pause_ms == 0 ? PAUSE_FIRST_MS : brake->pause_ms * 2;
    if (brake->pause_ms > PAUSE_MAX_MS)
        brake->pause_ms = PAUSE_MAX_MS;
    brake->not_before_ns = now_ns + brake->pause_ms * 1000000;
}

bool sp_ldap_brake_leave(struct sp_ldap_brake *brake, unsigned place,
                         enum sp_ldap_service_verdict verdict, uint64_t now_ns)
{
    bool was_on, is_on;

    uv_mutex_lock(&brake->lock);
    was_on = brake->pause_ms != 0;
    if (verdict == SP_LDAP_SERVICE_REFUSED)
        put_on(brake, now_ns);
    if (verdict == SP_LDAP_SERVICE_TAKEN)
        brake->pause_ms = 0;
    is_on = brake->pause_ms != 0;
    brake->asking[place] = false;
    uv_cond_broadcast(&brake->heard);
    uv_mutex_unlock(&brake->lock);
    return was_on != is_on;
}
