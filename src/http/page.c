/* The page that a person sees when the proxy answers itself: what happened, what to do about it,
 * the reason's word and the id to give to whoever runs the proxy. Self-contained, no script, dark
 * and light, or the same in plain text. Pure; any thread. */
#include "http/reply_priv.h"

#include "util/span.h"
#include "util/text.h"

#include <string.h>

struct words {
    const char *reason;
    int status; /* 0: any */
    const char *title;
    const char *happened;
    const char *advice;
};

/* The first row that fits, so a row with a status stands before the general one. */
static const struct words words_for[] = {
    {"no_credentials", 0, "Please sign in to the proxy",
     "This network's web proxy lets people out once it knows who they are, and your program has "
     "not said yet.",
     "Sign in when you are asked. If you were not asked, the program needs the proxy's user name "
     "and password, or a Kerberos ticket, in its settings."},
    {"bad_credentials", 0, "The proxy did not accept this sign-in",
     "The user name and password, or the ticket, could not be verified.",
     "Check the spelling and try again. If your password changed lately, programs that remember "
     "the old one must be told the new one."},
    {"handshake", 0, "Signing in to the proxy goes on",
     "The sign-in takes another step, which your program has to take.",
     "If you see this page, the program gave up half-way. Try again, or tell the administrator "
     "which program it is."},
    {"blocked", 0, "Too many wrong sign-ins",
     "There were so many wrong passwords that the proxy has stopped asking for a while, so that "
     "the account is not locked.",
     "Find the device or program that still has an old password. Then wait a few minutes, or ask "
     "the administrator to lift the block."},
    {"account", 0, "Your account cannot be used",
     "The sign-in was right, but the account is disabled, expired or locked, or its password must "
     "be changed.",
     "Signing in again does not help. Ask your administrator or help desk about the account."},
    {"loop", 0, "The program keeps trying a sign-in that fails",
     "The same connection has been refused again and again, so the proxy has ended it.",
     "Close the program, check the user name and password in it, and start it again."},
    {"directory_unavailable", 0, "The proxy cannot check sign-ins right now",
     "The directory that knows the people here does not answer. Your password is not at fault.",
     "Try again in a moment. If this lasts, tell the administrator."},
    {"overloaded", 0, "The proxy is very busy",
     "There is more to do at this moment than the proxy has room for.",
     "Try again in a moment. If this lasts, tell the administrator."},
    {"denied", 0, "This is not allowed here",
     "The rules of this network do not allow this request.",
     "Signing in again does not help. If you need this site for your work, ask the administrator "
     "and give the id below."},
    {"malformed", 414, "The address is too long",
     "The address that was asked for is longer than the proxy accepts.",
     "Use a shorter address, or send the data in the body of the request."},
    {"malformed", 431, "The request's header is too large",
     "The header of the request is larger than the proxy accepts.",
     "Often too many or too large cookies are the cause: remove this site's cookies and try "
     "again."},
    {"malformed", 501, "The proxy does not know this transfer coding",
     "The request's body is encoded in a way that the proxy does not support.",
     "The program that sent it must use the chunked coding or a Content-Length."},
    {"malformed", 505, "The proxy does not speak this version of HTTP",
     "The request came in a version of HTTP that is not spoken here.",
     "Set the program to use HTTP/1.1 for the proxy."},
    {"malformed", 0, "The proxy does not understand this request",
     "The request is not well-formed, or could be read in more than one way.",
     "If you typed an address, check it. If not, the program that sent it is at fault."},
    {"dns", 0, "The site's name was not found", "The name in the address could not be resolved.",
     "Check the spelling of the address. If it is right, try again in a few minutes."},
    {"connect_failed", 0, "The site could not be reached",
     "The proxy could not connect to the site.",
     "The site may be down, or the port may be wrong. Try again later."},
    {"timeout", 408, "The request took too long",
     "The program did not send the whole request in time.",
     "Try again. If this happens often, the connection to the proxy may be bad."},
    {"timeout", 0, "The site took too long", "The site did not answer in time.",
     "The site may be down or busy. Try again later."},
    {"upstream", 0, "The site's answer could not be used",
     "The site closed the connection early, or answered in a way that is not safe to pass on.",
     "Try again. If this lasts, tell those who run the site."},
};

static const struct words words_otherwise = {"", 0, "The proxy could not do this",
                                             "The request could not be answered.",
                                             "Try again. If this lasts, tell the administrator."};

static const struct words *find_words(const struct sp_http_reply *reply)
{
    for (size_t i = 0; i < sizeof words_for / sizeof *words_for; i++) {
        const struct words *words = &words_for[i];

        if (reply->reason != NULL && strcmp(words->reason, reply->reason) == 0 &&
            (words->status == 0 || words->status == reply->status))
            return words;
    }
    return &words_otherwise;
}

/* ---- writing within the page's room ---- */

struct page {
    char *base;
    size_t len;
};

static void add(struct page *page, struct sp_span text)
{
    size_t room = SP_HTTP_PAGE_MAX - page->len;

    if (text.len > room)
        text.len = room;
    if (text.len > 0)
        memcpy(page->base + page->len, text.base, text.len);
    page->len += text.len;
}

#define ADD(page, text) add((page), SP_SPAN_LIT(text))

/* What may stand for a byte in HTML text; control characters become spaces. */
static void add_escaped(struct page *page, struct sp_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.base[i];

        if (c == '&')
            ADD(page, "&amp;");
        else if (c == '<')
            ADD(page, "&lt;");
        else if (c == '>')
            ADD(page, "&gt;");
        else if (c == '"')
            ADD(page, "&quot;");
        else if (c < 0x20 || c == 0x7f)
            ADD(page, " ");
        else
            add(page, sp_span_of(text.base + i, 1));
    }
}

static void add_text(struct page *page, bool html, struct sp_span text)
{
    if (html) {
        add_escaped(page, text);
        return;
    }
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.base[i] < 0x20 || text.base[i] == 0x7f)
            ADD(page, " ");
        else
            add(page, sp_span_of(text.base + i, 1));
    }
}

/* At most so much, and no letter in part at its end: here or before, words are cut by bytes. */
static struct sp_span cut(struct sp_span s, size_t max)
{
    size_t last;
    uint32_t letter;

    if (s.len > max)
        s.len = max;
    last = s.len; /* where its last letter begins */
    while (last > 0 && ((unsigned char)s.base[last - 1] & 0xc0) == 0x80)
        last--;
    if (last > 0 && (unsigned char)s.base[last - 1] >= 0xc0)
        last--;
    if (last < s.len && sp_text_decode(sp_span_of(s.base + last, s.len - last), &letter) == 0)
        s.len = last;
    return s;
}

static void add_status(struct page *page, int status)
{
    char digits[3] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10),
                      (char)('0' + status % 10)};

    add(page, sp_span_of(digits, sizeof digits));
}

/* ---- the two forms ---- */

static void add_html(struct page *page, const struct sp_http_reply *reply,
                     const struct words *words, struct sp_span details, struct sp_span id)
{
    ADD(page, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
              "<meta name=\"viewport\" content=\"width=device-width\"><title>");
    add_escaped(page, sp_span_cstr(words->title));
    ADD(page, "</title><style>:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,"
              "sans-serif;max-width:38rem;margin:12vh auto;padding:0 1.5rem}h1{font-size:1.5rem;"
              "line-height:1.25}small{opacity:.7}code{font-size:.95em}</style></head>\n<body><h1>");
    add_escaped(page, sp_span_cstr(words->title));
    ADD(page, "</h1>\n<p>");
    add_escaped(page, sp_span_cstr(words->happened));
    if (details.len > 0) {
        ADD(page, "</p>\n<p><code>");
        add_escaped(page, details);
        ADD(page, "</code>");
    }
    ADD(page, "</p>\n<p>");
    add_escaped(page, sp_span_cstr(words->advice));
    ADD(page, "</p>\n<p><small>");
    add_status(page, reply->status);
    ADD(page, " ");
    add_escaped(page, sp_span_cstr(sp_http_status_text(reply->status)));
    ADD(page, " &middot; reason <code>");
    add_escaped(page, sp_span_cstr(reply->reason));
    if (id.len > 0) {
        ADD(page, "</code> &middot; id <code>");
        add_escaped(page, id);
    }
    ADD(page, "</code> &middot; ");
    add_escaped(page, reply->via.len > 0 ? reply->via : SP_SPAN_LIT("sallyport"));
    ADD(page, "</small></p></body></html>\n");
}

static void add_plain(struct page *page, const struct sp_http_reply *reply,
                      const struct words *words, struct sp_span details, struct sp_span id)
{
    add_status(page, reply->status);
    ADD(page, " ");
    add(page, sp_span_cstr(words->title));
    ADD(page, "\n\n");
    add(page, sp_span_cstr(words->happened));
    if (details.len > 0) {
        ADD(page, "\n");
        add_text(page, false, details);
    }
    ADD(page, "\n");
    add(page, sp_span_cstr(words->advice));
    ADD(page, "\n\nreason ");
    add(page, sp_span_cstr(reply->reason));
    if (id.len > 0) {
        ADD(page, ", id ");
        add_text(page, false, id);
    }
    ADD(page, "\n");
}

size_t sp_http_page(const struct sp_http_reply *reply, char page[SP_HTTP_PAGE_MAX])
{
    const struct words *words = find_words(reply);
    struct sp_span details = cut(reply->details, SP_HTTP_DETAILS_MAX);
    struct sp_span id = cut(reply->id, SP_HTTP_ID_MAX);
    struct page writing = {page, 0};

    if (reply->html)
        add_html(&writing, reply, words, details, id);
    else
        add_plain(&writing, reply, words, details, id);
    return writing.len;
}
