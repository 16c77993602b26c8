/* Text for and from the directory: escaping, templates, names and Active Directory's sub-codes.
 * Called by the login machine on a loop thread, by configure, and by name_of on any thread. */
#include "backends/ldap/ldap_text.h"

#include "util/span.h"
#include "util/text.h"

static enum sp_err append_hex(struct sp_buf *out, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";
    const char text[3] = {'\\', digits[byte >> 4], digits[byte & 15]};

    return sp_buf_append(out, sp_span_of(text, sizeof(text)));
}

/* RFC 4515 3: NUL, parentheses, asterisk and backslash become \xx; all else stands for itself. */
static bool filter_special(unsigned char byte)
{
    return byte == '\0' || byte == '(' || byte == ')' || byte == '*' || byte == '\\';
}

/* RFC 4514 2.4: always these, and a space or # at the start, or a space at the end. \xx is allowed
 * for any byte, so one form serves all, and it cannot be misread whatever stands next to it. */
static bool dn_special(struct sp_span value, size_t i)
{
    unsigned char byte = (unsigned char)value.base[i];

    if (byte < 0x20 || byte == 0x7f || strchr("\"+,;<>\\=", byte) != NULL)
        return true;
    if (byte == ' ')
        return i == 0 || i == value.len - 1;
    return byte == '#' && i == 0;
}

enum sp_err sp_ldap_escape(struct sp_buf *out, enum sp_ldap_place place, struct sp_span value)
{
    enum sp_err err = SP_OK;

    for (size_t i = 0; i < value.len && err == SP_OK; i++) {
        unsigned char byte = (unsigned char)value.base[i];
        bool special = place == SP_LDAP_IN_FILTER ? filter_special(byte) : dn_special(value, i);

        err = special ? append_hex(out, byte) : sp_buf_append(out, sp_span_of(&value.base[i], 1));
    }
    return err;
}

enum sp_err sp_ldap_template_check(const char *tmpl, const char *letters,
                                   struct sp_span *offender_out)
{
    for (const char *p = strchr(tmpl, '%'); p != NULL; p = strchr(p + 2, '%')) {
        if (p[1] == '\0' || (p[1] != '%' && strchr(letters, p[1]) == NULL)) {
            *offender_out = sp_span_of(p, p[1] == '\0' ? 1 : 2);
            return SP_ERR_INVALID;
        }
    }
    return SP_OK;
}

bool sp_ldap_template_has(const char *tmpl, char letter)
{
    for (const char *p = strchr(tmpl, '%'); p != NULL && p[1] != '\0'; p = strchr(p + 2, '%')) {
        if (p[1] == letter)
            return true;
    }
    return false;
}

static enum sp_err fill_one(struct sp_buf *out, enum sp_ldap_place place, char letter,
                            struct sp_span user, struct sp_span dn)
{
    switch (letter) {
    case 'u': return sp_ldap_escape(out, place, user);
    case 'd': return sp_ldap_escape(out, place, dn);
    case '%': return sp_buf_append(out, SP_SPAN_LIT("%"));
    default: return SP_ERR_INVALID; /* the template was checked when it was read */
    }
}

enum sp_err sp_ldap_template_fill(struct sp_buf *out, enum sp_ldap_place place, const char *tmpl,
                                  struct sp_span user, struct sp_span dn)
{
    enum sp_err err = SP_OK;

    while (err == SP_OK && *tmpl != '\0') {
        size_t plain = strcspn(tmpl, "%");

        if (plain > 0) {
            err = sp_buf_append(out, sp_span_of(tmpl, plain));
            tmpl += plain;
        } else {
            err = fill_one(out, place, tmpl[1], user, dn);
            tmpl += tmpl[1] != '\0' ? 2 : 1;
        }
    }
    return err;
}

/* ---- filters ---- */

#define FILTER_DEPTH_MAX 32

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* attr=value, attr>=value, attr:rule:=value ...: an attribute, an equals sign, and a value whose
 * special bytes are escaped. */
static bool item_sound(struct sp_span *rest)
{
    size_t i = 0;

    while (i < rest->len && rest->base[i] != '=') {
        if (strchr("()\\*&|!", rest->base[i]) != NULL)
            return false;
        i++;
    }
    if (i == 0 || i == rest->len || (i == 1 && strchr("<>~:", rest->base[0]) != NULL))
        return false;
    for (i++; i < rest->len && rest->base[i] != ')'; i++) {
        if (rest->base[i] == '(' || rest->base[i] == '\0')
            return false;
        if (rest->base[i] == '\\' &&
            (rest->len - i < 3 || !is_hex(rest->base[i + 1]) || !is_hex(rest->base[i + 2])))
            return false;
    }
    *rest = sp_span_of(rest->base + i, rest->len - i);
    return true;
}

static bool take_byte(struct sp_span *rest, char byte)
{
    if (rest->len == 0 || rest->base[0] != byte)
        return false;
    *rest = sp_span_of(rest->base + 1, rest->len - 1);
    return true;
}

static bool part_sound(struct sp_span *rest, unsigned depth)
{
    if (depth > FILTER_DEPTH_MAX || !take_byte(rest, '('))
        return false;
    if (take_byte(rest, '&') || take_byte(rest, '|')) {
        while (rest->len > 0 && rest->base[0] == '(') {
            if (!part_sound(rest, depth + 1))
                return false;
        }
    } else if (take_byte(rest, '!')) {
        if (!part_sound(rest, depth + 1))
            return false;
    } else if (!item_sound(rest)) {
        return false;
    }
    return take_byte(rest, ')');
}

bool sp_ldap_filter_sound(struct sp_span filter)
{
    return part_sound(&filter, 0) && filter.len == 0;
}

/* ---- names ---- */

static bool listed(const struct sp_strings *domains, struct sp_span domain)
{
    for (size_t i = 0; i < domains->len; i++) {
        if (sp_span_eq_nocase(sp_span_cstr(domains->items[i]), domain))
            return true;
    }
    return false;
}

/* CORP\alice or alice@corp.test, where that domain is listed, to alice. A name with a domain that
 * is not listed belongs to somebody else. */
static enum sp_err without_domain(const struct sp_strings *domains, struct sp_span *name)
{
    const char *mark = memchr(name->base, '\\', name->len);
    struct sp_span domain;

    if (domains->len == 0)
        return SP_OK;
    if (mark != NULL) {
        domain = sp_span_of(name->base, (size_t)(mark - name->base));
        *name = sp_span_of(mark + 1, name->len - domain.len - 1);
    } else if ((mark = memrchr(name->base, '@', name->len)) != NULL) {
        size_t user_len = (size_t)(mark - name->base);

        domain = sp_span_of(mark + 1, name->len - user_len - 1);
        *name = sp_span_of(name->base, user_len);
    } else {
        return SP_OK;
    }
    return listed(domains, domain) ? SP_OK : SP_ERR_NOT_FOUND;
}

/* A directory does not see spaces at the ends of a name, nor how many stand together (RFC 4518
 * 2.6.1), so "alice " finds alice. Two spellings of one person would have two entries in the guard
 * and pass by a rule that names her: they are made one here. */
static size_t squeeze_spaces(char *text, size_t len)
{
    size_t kept = 0;

    for (size_t i = 0; i < len; i++) {
        if (text[i] == ' ' && (kept == 0 || text[kept - 1] == ' '))
            continue;
        text[kept++] = text[i];
    }
    return kept > 0 && text[kept - 1] == ' ' ? kept - 1 : kept;
}

enum sp_err sp_ldap_name_of(const struct sp_strings *domains, struct sp_span typed, char *out,
                            size_t cap, size_t *len_out)
{
    enum sp_err err;

    *len_out = 0;
    if (typed.len == 0 || sp_text_has_control(typed))
        return SP_ERR_INVALID;
    err = without_domain(domains, &typed);
    if (err != SP_OK)
        return err;
    err = sp_text_lower(typed, out, cap, len_out);
    if (err != SP_OK)
        return err;
    *len_out = squeeze_spaces(out, *len_out);
    return *len_out > 0 ? SP_OK : SP_ERR_INVALID;
}

/* ---- Active Directory ---- */

static unsigned hex_value(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a') + 10;
}

unsigned sp_ldap_ad_code(const char *diagnostic)
{
    static const char mark[] = "AcceptSecurityContext error, data ";
    const char *p = diagnostic != NULL ? strstr(diagnostic, mark) : NULL;
    unsigned code = 0;
    size_t digits = 0;

    if (p == NULL)
        return 0;
    for (p += sizeof(mark) - 1; is_hex(*p) && digits < 8; p++, digits++)
        code = code << 4 | hex_value(*p);
    return digits > 0 && (*p == ',' || *p == '\0') ? code : 0;
}
