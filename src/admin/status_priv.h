/* Between the files of the status page. */
#ifndef SP_ADMIN_STATUS_PRIV_H
#define SP_ADMIN_STATUS_PRIV_H

#include "admin/html.h"
#include "admin/overview.h"

/* The verdict in words; true: all is well. (status_verdict.c) */
bool sp_status_verdict(struct sp_html *html, const struct sp_overview *overview);
/* The last hour in small graphs, and how things stand now. (status_graphs.c) */
void sp_status_graphs(struct sp_html *html, const struct sp_overview *overview);
/* Servers, times, blocks, the busiest, refusals, the process. (status_tables.c) */
void sp_status_tables(struct sp_html *html, const struct sp_overview *overview);
/* Everything before <main>, and after it. (status_frame.c) */
void sp_status_head(struct sp_html *html, const char *nonce, const char *title);
void sp_status_foot(struct sp_html *html, const char *nonce);

#endif
