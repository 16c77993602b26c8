/* A question that could not be answered at once: what it keeps, and how it ends. Loop thread. */
#include "auth/auth_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ASK_MAGIC 0xa5ca5ca5u

/* As much as fits; it is for the log. */
static struct sp_span keep(struct sp_auth_ask *ask, size_t *used, struct sp_span bytes, size_t max)
{
    char *to = ask->text + *used;
    size_t len = bytes.len < max ? bytes.len : max;

    if (len > sizeof(ask->text) - *used - 1)
        len = sizeof(ask->text) - *used - 1;
    if (len > 0)
        memcpy(to, bytes.base, len);
    to[len] = '\0';
    *used += len + 1;
    return sp_span_of(to, len);
}

struct sp_auth_ask *sp_ask_new(struct sp_auth_engine *engine, struct sp_auth_conn **conn,
                               const struct sp_auth_question *q, sp_auth_answered_cb done,
                               void *owner, enum sp_ask_state state)
{
    struct sp_auth_ask *ask = calloc(1, sizeof(*ask));
    size_t used = 0;

    if (ask == NULL)
        return NULL;
    ask->magic = ASK_MAGIC;
    ask->state = state;
    ask->engine = engine;
    ask->conn = conn;
    ask->done = done;
    ask->owner = owner;
    ask->listen_index = q->listen_index;
    ask->client = *q->client;
    ask->tracer = q->tracer;
    ask->id = keep(ask, &used, q->id, 64);
    ask->user_agent = keep(ask, &used, q->user_agent, 256);
    ask->waiter.loop = engine->loop;
    sp_list_init(&ask->waiter.link);
    sp_engine_hold(engine);
    return ask;
}

void sp_ask_free(struct sp_auth_ask **ask_in)
{
    struct sp_auth_ask *ask = *ask_in;
    struct sp_auth_engine *engine = ask->engine;

    *ask_in = NULL;
    assert(ask->magic == ASK_MAGIC);
    ask->magic = 0;
    sp_login_unhear(&ask->relay);
    sp_secret_fini(&ask->secret);
    sp_identity_unref(&ask->proven);
    sp_outcome_fini(&ask->waiter.outcome);
    free(ask);
    sp_engine_release(engine);
}

void sp_ask_answer(struct sp_auth_ask *ask, const struct sp_auth_answer *answer)
{
    struct sp_auth_engine *engine = ask->engine;
    sp_auth_answered_cb done = ask->done;
    void *owner = ask->owner;

    sp_engine_hold(engine); /* the owner may close it in `done` */
    if (answer->reason == SP_REASON_LOOP)
        sp_answer_tell_loop(engine, ask->id, &ask->client, ask->user_agent, answer);
    sp_ask_free(&ask);
    done(owner, answer);
    sp_engine_release(engine);
}

void sp_auth_ask_cancel(struct sp_auth_ask **ask_in)
{
    struct sp_auth_ask *ask = *ask_in;

    *ask_in = NULL;
    if (ask == NULL)
        return;
    assert(ask->magic == ASK_MAGIC);
    sp_login_unhear(&ask->relay);
    ask->tracer = NULL;
    switch (ask->state) {
    case SP_ASK_BASIC:
    case SP_ASK_GROUPS:
        if (sp_flights_leave(ask->engine->shared->flights, &ask->waiter))
            sp_ask_free(&ask);
        else
            ask->state = SP_ASK_LEFT; /* freed when the letter arrives */
        break;
    case SP_ASK_LEG:
        if (ask->handshake != NULL)
            sp_handshake_end(&(*ask->conn)->handshake);
        sp_ask_free(&ask);
        break;
    case SP_ASK_LEFT:
        assert(ask->state != SP_ASK_LEFT); /* cancelled twice */
        break;
    }
}
