/* What a client connection carries for the engine. Owned by the session, made by the engine the
 * first time there is something to carry. Loop thread. */
#include "auth/auth_priv.h"

#include <stdlib.h>
#include <string.h>

struct sp_auth_conn *sp_auth_conn_get(struct sp_auth_conn **slot)
{
    if (*slot == NULL)
        *slot = calloc(1, sizeof(**slot));
    return *slot;
}

void sp_auth_conn_unpin(struct sp_auth_conn *conn)
{
    sp_identity_unref(&conn->pinned);
    sp_identity_unref(&conn->proven);
}

enum sp_err sp_auth_conn_keep_token(struct sp_auth_conn *conn, struct sp_span token)
{
    char *text = sp_challenge_negotiate(token);

    if (text == NULL)
        return SP_ERR_NOMEM;
    free(conn->token);
    conn->token = text;
    conn->token_len = strlen(text);
    return SP_OK;
}

void sp_auth_conn_free(struct sp_auth_conn **slot)
{
    struct sp_auth_conn *conn = *slot;

    *slot = NULL;
    if (conn == NULL)
        return;
    sp_handshake_end(&conn->handshake);
    sp_auth_conn_unpin(conn);
    sp_identity_unref(&conn->held);
    free(conn->said);
    free(conn->token);
    free(conn);
}

uint64_t sp_auth_conn_deadline_ms(const struct sp_auth_conn *conn)
{
    return conn->handshake != NULL ? sp_handshake_deadline_ms(conn->handshake) : 0;
}

const struct sp_identity *sp_auth_conn_pinned(const struct sp_auth_conn *conn)
{
    return conn->pinned;
}
