/* Field names: which of them somebody here looks at, which belong to one hop, and which may never
 * be taken out of a message or stand in a trailer. Names are compared without case. Pure. */
#include "http/http_priv.h"

#include <string.h>

struct known_field {
    struct sp_span name;
    enum sp_http_field_id id;
};

#define KNOWN(text, field_id)       \
    {                               \
        SP_SPAN_LIT(text), field_id \
    }

/* By length, so that most names are told apart by one look and at most a few comparisons. */
static const struct known_field known_2[] = {KNOWN("te", SP_FIELD_TE)};
static const struct known_field known_3[] = {KNOWN("via", SP_FIELD_VIA)};
static const struct known_field known_4[] = {KNOWN("host", SP_FIELD_HOST),
                                             KNOWN("date", SP_FIELD_DATE)};
static const struct known_field known_6[] = {KNOWN("accept", SP_FIELD_ACCEPT),
                                             KNOWN("expect", SP_FIELD_EXPECT)};
static const struct known_field known_7[] = {KNOWN("upgrade", SP_FIELD_UPGRADE),
                                             KNOWN("referer", SP_FIELD_REFERER),
                                             KNOWN("trailer", SP_FIELD_TRAILER)};
static const struct known_field known_10[] = {KNOWN("connection", SP_FIELD_CONNECTION),
                                              KNOWN("user-agent", SP_FIELD_USER_AGENT),
                                              KNOWN("keep-alive", SP_FIELD_KEEP_ALIVE)};
static const struct known_field known_12[] = {KNOWN("content-type", SP_FIELD_CONTENT_TYPE),
                                              KNOWN("max-forwards", SP_FIELD_MAX_FORWARDS)};
static const struct known_field known_14[] = {KNOWN("content-length", SP_FIELD_CONTENT_LENGTH)};
static const struct known_field known_15[] = {KNOWN("x-forwarded-for", SP_FIELD_X_FORWARDED_FOR)};
static const struct known_field known_16[] = {KNOWN("proxy-connection", SP_FIELD_PROXY_CONNECTION),
                                              KNOWN("www-authenticate", SP_FIELD_WWW_AUTHENTICATE)};
static const struct known_field known_17[] = {
    KNOWN("transfer-encoding", SP_FIELD_TRANSFER_ENCODING)};
static const struct known_field known_18[] = {
    KNOWN("proxy-authenticate", SP_FIELD_PROXY_AUTHENTICATE)};
static const struct known_field known_19[] = {
    KNOWN("proxy-authorization", SP_FIELD_PROXY_AUTHORIZATION)};
static const struct known_field known_25[] = {
    KNOWN("proxy-authentication-info", SP_FIELD_PROXY_AUTHENTICATION_INFO)};

/* The same bytes but for case. `lower` has no bytes that differ from another token byte in bit 5
 * alone, other than letters: '-' (0x2d) has 0x0d beside it, which no token holds. */
static inline bool same_letters(const char *name, const char *lower, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((name[i] | 0x20) != lower[i])
            return false;
    }
    return true;
}

static inline bool same_word(const char *name, const char *lower)
{
    uint64_t a;
    uint64_t b;

    memcpy(&a, name, sizeof a);
    memcpy(&b, lower, sizeof b);
    return (a | UINT64_C(0x2020202020202020)) == b;
}

/* Of one length. Eight bytes at a time; the last eight may overlap the ones before. */
static inline bool same_name(struct sp_span name, struct sp_span lower)
{
    const size_t step = sizeof(uint64_t);

    if (lower.len < step)
        return same_letters(name.base, lower.base, lower.len);
    for (size_t i = 0; i + step < lower.len; i += step) {
        if (!same_word(name.base + i, lower.base + i))
            return false;
    }
    return same_word(name.base + lower.len - step, lower.base + lower.len - step);
}

static inline enum sp_http_field_id among(const struct known_field *known, size_t known_len,
                                          struct sp_span name)
{
    for (size_t i = 0; i < known_len; i++) {
        if (same_name(name, known[i].name))
            return known[i].id;
    }
    return SP_FIELD_OTHER;
}

#define AMONG(table) among(table, sizeof(table) / sizeof *(table), name)

enum sp_http_field_id sp_http_field_id(struct sp_span name)
{
    switch (name.len) {
    case 2: return AMONG(known_2);
    case 3: return AMONG(known_3);
    case 4: return AMONG(known_4);
    case 6: return AMONG(known_6);
    case 7: return AMONG(known_7);
    case 10: return AMONG(known_10);
    case 12: return AMONG(known_12);
    case 14: return AMONG(known_14);
    case 15: return AMONG(known_15);
    case 16: return AMONG(known_16);
    case 17: return AMONG(known_17);
    case 18: return AMONG(known_18);
    case 19: return AMONG(known_19);
    case 25: return AMONG(known_25);
    default: return SP_FIELD_OTHER; /* a length, not a state: most have no known name */
    }
}

static bool is_in(const struct sp_span *names, size_t names_len, struct sp_span name)
{
    for (size_t i = 0; i < names_len; i++) {
        if (sp_span_eq_nocase(names[i], name))
            return true;
    }
    return false;
}

bool sp_http_field_is_essential(struct sp_span name)
{
    static const struct sp_span essential[] = {
        SP_SPAN_LIT("host"),
        SP_SPAN_LIT("content-length"),
        SP_SPAN_LIT("transfer-encoding"),
        SP_SPAN_LIT("content-type"),
        SP_SPAN_LIT("content-encoding"),
        SP_SPAN_LIT("content-range"),
        SP_SPAN_LIT("authorization"),
        SP_SPAN_LIT("proxy-authorization"),
        SP_SPAN_LIT("www-authenticate"),
        SP_SPAN_LIT("proxy-authenticate"),
        SP_SPAN_LIT("cookie"),
        SP_SPAN_LIT("set-cookie"),
        SP_SPAN_LIT("connection"),
        SP_SPAN_LIT("cache-control"),
        SP_SPAN_LIT("expect"),
        SP_SPAN_LIT("location"),
        SP_SPAN_LIT("max-forwards"),
        SP_SPAN_LIT("range"),
        SP_SPAN_LIT("vary"),
        SP_SPAN_LIT("via"),
        SP_SPAN_LIT("forwarded"),
        SP_SPAN_LIT("x-forwarded-for"),
        SP_SPAN_LIT("x-forwarded-host"),
        SP_SPAN_LIT("x-forwarded-proto"),
        SP_SPAN_LIT("x-real-ip"),
    };

    return is_in(essential, sizeof essential / sizeof *essential, name);
}

/* The same letters, with an underscore where the name has its hyphen. */
static bool is_with_underscores(struct sp_span name, struct sp_span hyphened)
{
    if (name.len != hyphened.len)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.base[i] == '_' ? '-' : (char)(name.base[i] | 0x20);

        if (c != hyphened.base[i])
            return false;
    }
    return true;
}

bool sp_http_field_mimics_framing(struct sp_span name)
{
    return is_with_underscores(name, SP_SPAN_LIT("content-length")) ||
           is_with_underscores(name, SP_SPAN_LIT("transfer-encoding"));
}

bool sp_http_field_is_barred_from_trailer(struct sp_span name)
{
    static const struct sp_span barred[] = {
        SP_SPAN_LIT("age"),
        SP_SPAN_LIT("date"),
        SP_SPAN_LIT("keep-alive"),
        SP_SPAN_LIT("te"),
        SP_SPAN_LIT("retry-after"),
        SP_SPAN_LIT("trailer"),
        SP_SPAN_LIT("upgrade"),
        SP_SPAN_LIT("if-match"),
        SP_SPAN_LIT("if-none-match"),
        SP_SPAN_LIT("if-range"),
        SP_SPAN_LIT("if-modified-since"),
        SP_SPAN_LIT("if-unmodified-since"),
    };

    return sp_http_field_is_essential(name) || sp_http_field_mimics_framing(name) ||
           sp_span_starts_nocase(name, SP_SPAN_LIT("proxy-")) ||
           is_in(barred, sizeof barred / sizeof *barred, name);
}

const struct sp_http_field *sp_http_find(const struct sp_http_head *head, enum sp_http_field_id id)
{
    for (size_t i = 0; i < head->fields_len; i++) {
        if (head->fields[i].id == id)
            return &head->fields[i];
    }
    return NULL;
}

/* One element of Via: received-protocol RWS received-by [ RWS comment ] (RFC 9110 7.6.3). */
static bool via_element_is(struct sp_span element, struct sp_span pseudonym)
{
    const char *end = element.base + element.len;
    const char *at = element.base;
    const char *by;

    while (at < end && *at != ' ' && *at != '\t')
        at++;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    by = at;
    while (at < end && *at != ' ' && *at != '\t')
        at++;
    return sp_span_eq_nocase(sp_span_of(by, (size_t)(at - by)), pseudonym);
}

/* Split at every comma, not as a list with quoted strings: Via has none, and a quote that somebody
 * left open would hide the elements behind it, ours among them. */
static bool via_line_has(struct sp_span line, struct sp_span pseudonym)
{
    while (line.base != NULL) {
        const char *comma = line.len > 0 ? memchr(line.base, ',', line.len) : NULL;
        size_t len = comma != NULL ? (size_t)(comma - line.base) : line.len;

        if (via_element_is(sp_span_trim(sp_span_of(line.base, len)), pseudonym))
            return true;
        line = comma != NULL ? sp_span_of(comma + 1, line.len - len - 1) : SP_SPAN_NONE;
    }
    return false;
}

bool sp_http_via_has(const struct sp_http_head *head, struct sp_span pseudonym)
{
    for (size_t i = 0; i < head->fields_len; i++) {
        if (head->fields[i].id == SP_FIELD_VIA && via_line_has(head->fields[i].value, pseudonym))
            return true;
    }
    return false;
}

bool sp_http_is_pseudonym(struct sp_span s)
{
    const char *colon = s.len > 0 ? memchr(s.base, ':', s.len) : NULL;
    size_t name = colon != NULL ? (size_t)(colon - s.base) : s.len;

    return sp_http_is_token(sp_span_of(s.base, name)) &&
           (colon == NULL || sp_http_all(sp_span_of(colon + 1, s.len - name - 1), SP_CHAR_DIGIT));
}

bool sp_http_max_forwards(const struct sp_http_request *request, uint64_t *left_out)
{
    const struct sp_http_field *field = sp_http_find(&request->head, SP_FIELD_MAX_FORWARDS);

    if (request->method != SP_HTTP_OPTIONS && request->method != SP_HTTP_TRACE)
        return false; /* RFC 9110 7.6.2: ignored with any other method */
    return field != NULL && sp_span_to_u64(field->value, left_out) == SP_OK;
}
