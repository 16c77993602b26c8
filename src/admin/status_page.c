/* The status page at /: for whoever is on call. One page that needs nothing else; what it shows
 * comes from the server (overview.h) and from stats. */
#include "admin/admin_priv.h"

#include "admin/status_priv.h"

#include <stdlib.h>
#include <unistd.h>

static void write_page(struct sp_html *h, const struct sp_overview *o, const char *nonce, bool well,
                       struct sp_span verdict)
{
    char host[256] = "";

    sp_status_head(h, nonce, well ? "All is well" : "Look at this");
    sp_html_raw(h, "<header><b>sallyport");
    if (gethostname(host, sizeof(host) - 1) == 0) {
        sp_html_raw(h, " on ");
        sp_html_text(h, host);
    }
    sp_html_raw(h, "</b><span id=\"at\">at ");
    sp_html_time(h, o->now_wall_ms, o->now_wall_ms);
    sp_html_raw(h, "</span></header>\n<main>\n");
    if (h->err == SP_OK)
        h->err = sp_buf_append(h->out, verdict);
    sp_status_graphs(h, o);
    sp_status_tables(h, o);
    sp_html_raw(h, "</main>\n");
    sp_status_foot(h, nonce);
}

enum sp_err sp_admin_status_page(struct sp_admin *admin, struct sp_buf *page, const char *nonce)
{
    struct sp_overview *overview = malloc(sizeof(*overview));
    struct sp_html html = {.out = page};
    struct sp_html first = {0}; /* the verdict, which the title needs before */
    struct sp_buf verdict;
    bool well;

    if (overview == NULL)
        return SP_ERR_NOMEM;
    sp_buf_init(&verdict, SP_ADMIN_ANSWER_MAX);
    first.out = &verdict;
    admin->events.overview(admin->events.owner, overview);
    well = sp_status_verdict(&first, overview);
    html.err = first.err;
    write_page(&html, overview, nonce, well, sp_buf_span(&verdict));
    sp_buf_fini(&verdict);
    free(overview);
    return html.err;
}
