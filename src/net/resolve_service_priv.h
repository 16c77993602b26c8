/* Is name service heard? Judged by what becomes of the questions that a resolver asks anyway. Of
 * the resolver, on the loop's thread. */
#ifndef SP_NET_RESOLVE_SERVICE_PRIV_H
#define SP_NET_RESOLVE_SERVICE_PRIV_H

#include "net/resolve.h"

struct sp_resolve_service {
    sp_resolver_heard_cb changed; /* NULL: nobody wants to know */
    void *owner;
    unsigned unheard; /* questions in a row, each about another name than the one before */
    uint64_t name;    /* the last of these */
    bool silent;      /* has been told */
};

/* One question has ended at the servers: SP_OK and SP_ERR_NOT_FOUND are answers. */
void sp_resolve_service_took(struct sp_resolve_service *service, struct sp_span name,
                             enum sp_err err, const char *why);

#endif
