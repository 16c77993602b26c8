/* What reply.c and page.c share. */
#ifndef SP_HTTP_REPLY_PRIV_H
#define SP_HTTP_REPLY_PRIV_H

#include "http/reply.h"

/* Enough for the longest page with everything in it escaped; page.c holds itself to it. */
#define SP_HTTP_PAGE_MAX    8192
#define SP_HTTP_DETAILS_MAX 512 /* of words that come from elsewhere; cut behind that */
#define SP_HTTP_ID_MAX      64

/* The body of an answer into `page`; returns its length. */
size_t sp_http_page(const struct sp_http_reply *reply, char page[SP_HTTP_PAGE_MAX]);

#endif
