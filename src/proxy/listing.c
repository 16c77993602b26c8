/* What the sessions of a proxy are, copied for somebody on another thread: some each turn, so that
 * thousands of them hold nobody up. In between, a listing stands on the session that comes next,
 * and moves on when that one closes. Those that come after it began are not in it. Loop thread. */
#include "proxy/proxy_priv.h"

#include <stdlib.h>
#include <string.h>

#define LISTED_A_TURN 256

static const char *const state_text[] = {
    [SP_SESSION_WAITING] = "waiting",     [SP_SESSION_SERVING] = "serving",
    [SP_SESSION_DRAINING] = "draining",   [SP_SESSION_TUNNEL] = "tunnel",
    [SP_SESSION_LINGERING] = "lingering",
};

/* ---- one session ---- */

void sp_listing_text(char *to, size_t size, struct sp_span text)
{
    static const char more[] = "...";
    size_t len = text.len;

    if (len >= size) {
        len = size - sizeof(more);
        while (len > 0 && ((unsigned char)text.base[len] & 0xc0) == 0x80)
            len--; /* in the middle of a letter */
        memcpy(to + len, more, sizeof(more));
    } else {
        to[len] = '\0';
    }
    if (len > 0)
        memcpy(to, text.base, len);
}

static void list_exchange(const struct sp_exchange *x, struct sp_session_facts *facts)
{
    facts->exchange = sp_exchange_state_text(x->state);
    facts->idle_ms = sp_loop_now_ms(x->session->proxy->loop) - x->entered_ms;
    sp_listing_text(facts->id, sizeof(facts->id), sp_span_of(x->id, ID_LEN));
    if (!x->has_head)
        return;
    sp_listing_text(facts->method, sizeof(facts->method), x->request.method_text);
    sp_listing_text(facts->target, sizeof(facts->target), x->request.target.text);
}

/* An exchange that is asking has let nobody in, whoever its connection's last one did. */
static void list_user(const struct sp_session *s, struct sp_session_facts *facts)
{
    const struct sp_identity *pinned = s->auth != NULL ? sp_auth_conn_pinned(s->auth) : NULL;
    const struct sp_identity *who = s->exchange != NULL ? s->exchange->identity : s->known;

    if (who == NULL)
        who = pinned;
    facts->pinned = pinned != NULL;
    facts->scheme = SP_SCHEME_NONE;
    if (who == NULL)
        return;
    facts->scheme = sp_identity_scheme(who);
    sp_listing_text(facts->user, sizeof(facts->user), sp_identity_user(who));
}

static void list(const struct sp_session *s, struct sp_session_facts *facts)
{
    uint64_t now = sp_loop_now_ms(s->proxy->loop);

    *facts = (struct sp_session_facts){
        .connection = s->number,
        .client = s->client_addr,
        .state = state_text[s->state],
        .age_ms = now - s->began_ms,
        .idle_ms = now - s->entered_ms,
    };
    sp_listing_text(facts->listener, sizeof(facts->listener), sp_span_cstr(s->listen->title));
    list_user(s, facts);
    if (s->exchange != NULL)
        list_exchange(s->exchange, facts);
    if (s->tunnel != NULL)
        sp_tunnel_list(s->tunnel, facts);
}

/* ---- all of them ---- */

static struct sp_session *session_of(struct sp_list *link)
{
    return sp_container_of(link, struct sp_session, link);
}

static void listing_done(struct sp_session_listing *listing)
{
    sp_list_remove(&listing->link);
    sp_soon_cancel(&listing->next);
    listing->done(listing);
}

/* Sessions stand in the order of their numbers. */
static void on_next(struct sp_soon *soon)
{
    struct sp_session_listing *listing = sp_container_of(soon, struct sp_session_listing, next);
    struct sp_proxy *proxy = listing->proxy;

    for (unsigned i = 0; i < LISTED_A_TURN; i++) {
        if (listing->at == &proxy->sessions || session_of(listing->at)->number > listing->newest) {
            listing_done(listing);
            return;
        }
        if (listing->len < listing->room)
            list(session_of(listing->at), &listing->items[listing->len++]);
        else
            listing->left_out++;
        listing->at = listing->at->next;
    }
    sp_loop_soon(proxy->loop, &listing->next);
}

void sp_proxy_list_sessions(struct sp_proxy *proxy, struct sp_session_listing *listing)
{
    size_t room = proxy->sessions_len < listing->max ? proxy->sessions_len : listing->max;

    listing->proxy = proxy;
    listing->items = room > 0 ? malloc(room * sizeof(*listing->items)) : NULL;
    listing->room = listing->items != NULL ? room : 0; /* without memory all are left out */
    listing->len = 0;
    listing->left_out = 0;
    listing->at = proxy->sessions.next;
    listing->newest = sp_list_empty(&proxy->sessions) ? 0
                                                      : session_of(proxy->sessions.prev)->number;
    sp_list_push(&proxy->listings, &listing->link);
    sp_soon_init(&listing->next, on_next);
    sp_loop_soon(proxy->loop, &listing->next);
}

void sp_listings_pass(struct sp_session *session)
{
    struct sp_list *node;

    SP_LIST_EACH (node, &session->proxy->listings) {
        struct sp_session_listing *listing = sp_container_of(node, struct sp_session_listing, link);

        if (listing->at == &session->link)
            listing->at = session->link.next;
    }
}

void sp_listings_end(struct sp_proxy *proxy)
{
    while (!sp_list_empty(&proxy->listings))
        listing_done(sp_container_of(proxy->listings.next, struct sp_session_listing, link));
}
