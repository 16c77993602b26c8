/* Writing HTML: text is escaped, the first failure is remembered, so that each line need not be
 * asked. */
#ifndef SP_ADMIN_HTML_H
#define SP_ADMIN_HTML_H

#include "util/buf.h"
#include "util/span.h"

struct sp_html {
    struct sp_buf *out;
    enum sp_err err;
};

/* As it stands: markup of our own. */
void sp_html_raw(struct sp_html *html, const char *markup);
/* Markup of our own with numbers and our own words in it, never with text from outside. */
void sp_html_printf(struct sp_html *html, const char *fmt, ...) SP_PRINTF(2, 3);
/* Anybody's text: fit for content and for an attribute's value in double quotes. What is no UTF-8,
 * and control characters, come as \xNN. */
void sp_html_text(struct sp_html *html, const char *text);
/* The same, with each line end a <br>. */
void sp_html_lines(struct sp_html *html, const char *text);

/* ---- for people ---- */

/* 0.42, 4.2, 42, 4.2k */
void sp_html_number(struct sp_html *html, double number);
/* 12 ms, 1.2 s */
void sp_html_micros(struct sp_html *html, uint64_t micros);
/* 1.2 MB */
void sp_html_bytes(struct sp_html *html, double bytes);
/* 08:52, or with its day where that is not today; a <time>. */
void sp_html_time(struct sp_html *html, uint64_t wall_ms, uint64_t now_wall_ms);
/* 3 d 4 h, 12 min, 40 s */
void sp_html_span(struct sp_html *html, uint64_t ms);

#endif
