/* What the rules would say: who may go where, decided as the proxy would, without going there. The
 * name is resolved, and each address decided on its own. Loop thread. */
#ifndef SP_APP_PREVIEW_H
#define SP_APP_PREVIEW_H

#include "http/http.h"
#include "net/loop.h"
#include "policy/policy.h"

/* HOST:PORT as a request would name it: CONNECT for port 443, GET for any other. */
struct sp_app_target {
    struct sp_http_parser *parser; /* owns what `request` points to */
    char text[1200];
    struct sp_http_request request;
};
/* False: *why_out says what is wrong with it (static). */
bool sp_app_target_parse(struct sp_app_target *target, const char *text, const char **why_out);
void sp_app_target_fini(struct sp_app_target *target);

struct sp_app_preview_question {
    const struct sp_policy *policy;
    const struct sp_app_target *target;
    const struct sp_policy_who *who; /* who has been verified; NULL: nobody */
    const struct sp_addr *client;
};

struct sp_app_preview_events {
    /* `open`: decided before anybody is asked who they are. */
    void (*decided)(void *owner, const struct sp_addr *addr,
                    const struct sp_policy_decision *decision, bool open);
    void (*unresolved)(void *owner, const char *why);
    /* Once, in a later turn, last. */
    void (*done)(void *owner);
};

/* What `question` points to is borrowed until `done`. SP_ERR_NOMEM: not begun. */
enum sp_err sp_app_preview_start(struct sp_loop *loop,
                                 const struct sp_app_preview_question *question,
                                 const struct sp_app_preview_events *events,
                                 void *owner) SP_MUST_CHECK;

#endif
