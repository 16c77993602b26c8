/* See html.h. */
#include "admin/html.h"

#include "util/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

void sp_html_raw(struct sp_html *h, const char *markup)
{
    if (h->err == SP_OK)
        h->err = sp_buf_append(h->out, sp_span_cstr(markup));
}

void sp_html_printf(struct sp_html *h, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    int len;

    va_start(args, fmt);
    len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (h->err == SP_OK)
        h->err = len < 0 || (size_t)len >= sizeof(text)
                     ? SP_ERR_TOO_LARGE
                     : sp_buf_append(h->out, sp_span_of(text, (size_t)len));
}

static const char *entity(uint32_t letter)
{
    switch (letter) {
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '&': return "&amp;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    default: return NULL;
    }
}

/* Letters that turn the text around or cannot be seen: a name made of them would lie. */
static bool is_odd(uint32_t letter)
{
    return letter < 0x20 || (letter >= 0x7f && letter < 0xa0) || letter == 0xad ||
           letter == 0x061c || (letter >= 0x200b && letter <= 0x200f) ||
           (letter >= 0x2028 && letter <= 0x202e) || (letter >= 0x2060 && letter <= 0x206f) ||
           letter == 0xfeff || (letter & 0xfffe) == 0xfffe ||
           (letter >= 0xfdd0 && letter <= 0xfdef);
}

static void put_text(struct sp_html *h, struct sp_span rest)
{
    while (rest.len > 0 && h->err == SP_OK) {
        uint32_t letter = 0;
        size_t len = sp_text_decode(rest, &letter);

        if (len > 0 && !is_odd(letter)) {
            if (entity(letter) != NULL)
                sp_html_raw(h, entity(letter));
            else
                h->err = sp_buf_append(h->out, sp_span_of(rest.base, len));
        } else {
            len = len > 0 ? len : 1;
            for (size_t i = 0; i < len; i++)
                sp_html_printf(h, "\\x%02x", (unsigned char)rest.base[i]);
        }
        rest = sp_span_of(rest.base + len, rest.len - len);
    }
}

void sp_html_text(struct sp_html *h, const char *text)
{
    put_text(h, sp_span_cstr(text));
}

void sp_html_lines(struct sp_html *h, const char *text)
{
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");

        put_text(h, sp_span_of(text, len));
        text += len;
        text += *text == '\n';
        sp_html_raw(h, *text != '\0' ? "<br>" : "");
    }
}

/* ---- for people ---- */

void sp_html_number(struct sp_html *h, double number)
{
    if (number >= 99950)
        sp_html_printf(h, "%.0fk", number / 1000);
    else if (number >= 9950)
        sp_html_printf(h, "%.1fk", number / 1000);
    else if (number >= 9.95 || number == 0)
        sp_html_printf(h, "%.0f", number);
    else if (number >= 0.95)
        sp_html_printf(h, "%.1f", number);
    else
        sp_html_printf(h, "%.2f", number);
}

void sp_html_micros(struct sp_html *h, uint64_t micros)
{
    double ms = (double)micros / 1000;

    if (ms >= 9950)
        sp_html_printf(h, "%.0f s", ms / 1000);
    else if (ms >= 995)
        sp_html_printf(h, "%.1f s", ms / 1000);
    else if (ms >= 9.95)
        sp_html_printf(h, "%.0f ms", ms);
    else if (ms >= 0.95)
        sp_html_printf(h, "%.1f ms", ms);
    else
        sp_html_printf(h, "%.2f ms", ms);
}

void sp_html_bytes(struct sp_html *h, double bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    size_t unit = 0;

    while (bytes >= 999.5 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        bytes /= 1000;
        unit++;
    }
    sp_html_printf(h, unit > 0 && bytes < 9.95 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

void sp_html_time(struct sp_html *h, uint64_t wall_ms, uint64_t now_wall_ms)
{
    time_t then = (time_t)(wall_ms / 1000), now = (time_t)(now_wall_ms / 1000);
    struct tm tm = {0}, today = {0};
    char machine[40], people[40];
    bool same_day;

    (void)gmtime_r(&then, &tm);
    if (strftime(machine, sizeof(machine), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        machine[0] = '\0';
    (void)localtime_r(&then, &tm);
    (void)localtime_r(&now, &today);
    same_day = tm.tm_year == today.tm_year && tm.tm_yday == today.tm_yday;
    if (strftime(people, sizeof(people), same_day ? "%H:%M" : "%d %b %H:%M", &tm) == 0)
        people[0] = '\0';
    sp_html_printf(h, "<time datetime=\"%s\">%s</time>", machine, people);
}

void sp_html_span(struct sp_html *h, uint64_t ms)
{
    unsigned long long s = ms / 1000;

    if (s >= 86400)
        sp_html_printf(h, "%llu d %llu h", s / 86400, s / 3600 % 24);
    else if (s >= 3600)
        sp_html_printf(h, "%llu h %llu min", s / 3600, s / 60 % 60);
    else if (s >= 60)
        sp_html_printf(h, "%llu min", s / 60);
    else
        sp_html_printf(h, "%llu s", s);
}
