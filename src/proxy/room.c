/* Room for one more client where there are as many as may be (max_connections): the connection of
 * a stranger, who has proven nothing and has waited for a while, gives way. Otherwise whoever can
 * reach the listener could take all places with connections that ask for nothing, and hold them.
 *
 * Called by the listeners' accept. It looks at a few sessions each time and goes on from there the
 * next time, so a flood costs little for each of its connections. */
#include "proxy/proxy_priv.h"

#define LOOKS   64     /* at sessions, for one newcomer */
#define PATIENT 1000   /* ms: who has just come is about to ask */
#define TELL_MS 10000u /* at most one line for so long */

/* Nobody is known on it, and nothing of it is under way but a head that does not come, or what is
 * left of a refused request. */
static bool is_stranger(const struct sp_session *session)
{
    if (session->known != NULL)
        return false;
    switch (session->state) {
    case SP_SESSION_WAITING:
    case SP_SESSION_DRAINING:
    case SP_SESSION_LINGERING: return true;
    case SP_SESSION_SERVING: return session->exchange->state == SP_EXCHANGE_READING;
    case SP_SESSION_TUNNEL:
    case SP_SESSION_CLOSED: break;
    }
    return false;
}

static bool may_give_way(const struct sp_session *session)
{
    uint64_t now = sp_loop_now_ms(session->proxy->loop);

    return is_stranger(session) && now - session->began_ms >= PATIENT &&
           now - session->entered_ms >= PATIENT;
}

static void tell(struct sp_proxy *proxy, const struct sp_session *session)
{
    uint64_t now = sp_loop_now_ms(proxy->loop);
    char client[SP_ADDR_TEXT_MAX];

    proxy->room_made++;
    if (proxy->room_told_ms != 0 && now - proxy->room_told_ms < TELL_MS)
        return;
    sp_log_warning(proxy->log, "event=made_room connections=%u client=%s", proxy->room_made,
                   sp_addr_ip_text(&session->client_addr, client));
    proxy->room_told_ms = now;
    proxy->room_made = 0;
}

static struct sp_list *next_of(struct sp_proxy *proxy, struct sp_list *node)
{
    return node->next != &proxy->sessions ? node->next : proxy->sessions.next;
}

bool sp_proxy_make_room(struct sp_proxy *proxy)
{
    struct sp_list *node = proxy->sweep != NULL ? proxy->sweep : proxy->sessions.next;

    for (unsigned looks = 0; looks < LOOKS && node != &proxy->sessions; looks++) {
        struct sp_session *session = sp_container_of(node, struct sp_session, link);

        node = next_of(proxy, node);
        proxy->sweep = node;
        if (!may_give_way(session))
            continue;
        tell(proxy, session);
        sp_session_close(session);
        return true;
    }
    return false;
}

void sp_proxy_pass_sweep(struct sp_proxy *proxy, const struct sp_session *session)
{
    if (proxy->sweep != &session->link)
        return;
    proxy->sweep = next_of(proxy, proxy->sweep);
    if (proxy->sweep == &session->link) /* the only one */
        proxy->sweep = NULL;
}
