/* The bytes of a file, before libconfuse sees them. libconfuse's scanner lets several slips pass in
 * silence (an unset ${NAME} is empty, a stray character is dropped, a string without its end
 * swallows the lines after it, a comment between slash and star counts a line too many, a block may
 * lack its brace), and after some faults its global state is not fit for another file. So the words
 * are checked here, and comments are blanked; the grammar is libconfuse's.
 *
 * It also lists the names that stand before "=", so that the parser can make each of them known to
 * libconfuse, which would otherwise stop at the first key that it was not told of. */
#include "config/config_priv.h"

#include "util/span.h"
#include "util/text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct scanner {
    struct sp_config_reader *reader;
    const struct sp_config_file *file;
    struct sp_config_keys *keys;
    char *text;
    size_t len;
    size_t at;
    unsigned line;
    struct sp_span word; /* the last word or string: a key, if "=" follows */
    unsigned word_line;
    unsigned blocks; /* begun so far */
    unsigned block;  /* the one that is open; 0: none */
    unsigned block_line;
    bool value_next; /* "=" was the last mark: a "{" begins a list, not a block */
    bool in_list;
    bool well;
};

#define FAULT(s, ...)                                                                     \
    do {                                                                                  \
        sp_config_fault_at((s)->reader->faults, (s)->file->name, (s)->line, __VA_ARGS__); \
        (s)->well = false;                                                                \
    } while (0)

static int peek(const struct scanner *s, size_t ahead)
{
    return s->at + ahead < s->len ? (unsigned char)s->text[s->at + ahead] : -1;
}

/* Blank up to `end`, keeping line ends. */
static void blank(struct scanner *s, size_t end)
{
    for (; s->at < end; s->at++) {
        if (s->text[s->at] == '\n')
            s->line++;
        else
            s->text[s->at] = ' ';
    }
}

static void line_comment(struct scanner *s)
{
    const char *end = memchr(s->text + s->at, '\n', s->len - s->at);

    blank(s, end != NULL ? (size_t)(end - s->text) : s->len);
}

static void block_comment(struct scanner *s)
{
    const char *end = memmem(s->text + s->at + 2, s->len - s->at - 2, "*/", 2);

    if (end == NULL)
        FAULT(s, "the comment that begins here has no end: \"*/\" is missing");
    blank(s, end != NULL ? (size_t)(end - s->text) + 2 : s->len);
}

/* At "${": the name of a variable and an optional ":-default" up to "}". Moves past it. */
static void variable(struct scanner *s)
{
    char *name = s->text + s->at + 2;
    size_t len = 0;
    char copy[128];

    while (s->at + 2 + len < s->len && strchr("}\"'\n", name[len]) == NULL)
        len++;
    if (s->at + 2 + len >= s->len || name[len] != '}') {
        FAULT(s, "\"${\" without \"}\": an environment variable is written \"${NAME}\"");
        s->at += 2;
        return;
    }
    s->at += 2 + len + 1;
    if (memmem(name, len, ":-", 2) != NULL)
        return;
    if (len == 0 || len >= sizeof(copy)) {
        FAULT(s, "\"${...}\" needs the name of an environment variable, of up to 127 bytes");
        return;
    }
    memcpy(copy, name, len);
    copy[len] = '\0';
    if (getenv(copy) != NULL)
        return;
    sp_config_fault_at(s->reader->faults, s->file->name, s->line,
                       "the environment variable %s is not set; set it, or write "
                       "\"${%s:-default}\"",
                       sp_config_show(copy), sp_config_show(copy));
    s->well = s->well && s->reader->partial;
}

/* Behind "\x": what libconfuse makes of one or two digits; 0 also where there is none. */
static unsigned long hex_byte(const struct scanner *s)
{
    char digits[3] = "";

    for (size_t i = 0; i < 2 && isxdigit(peek(s, 2 + i)); i++)
        digits[i] = s->text[s->at + 2 + i];
    return strtoul(digits, NULL, 16);
}

/* At a backslash in a string of double quotes. Only escapes that libconfuse understands, and none
 * that makes a NUL byte, at which it would cut the string. */
static void escape(struct scanner *s)
{
    int c = peek(s, 1);

    if (c == '\n') {
        s->line++;
    } else if (c >= '0' && c <= '9') {
        size_t digits = strspn(s->text + s->at + 1, "0123456789");
        long value = strtol(s->text + s->at + 1, NULL, 8);

        if (digits > 3 || value == 0 || value > 0xff ||
            strspn(s->text + s->at + 1, "01234567") < digits)
            FAULT(s, "\"\\%.*s\" is not an octal escape of a byte; a backslash itself is \"\\\\\"",
                  (int)(digits < 8 ? digits : 8), s->text + s->at + 1);
    } else if (c == 'x' && hex_byte(s) == 0) {
        FAULT(s, "\"\\x\" needs a byte in hexadecimal, and not zero; a backslash is \"\\\\\"");
    } else if (c < 0) {
        s->at++;
        return;
    }
    s->at += 2;
}

static void quoted(struct scanner *s, char quote)
{
    unsigned line = s->line;
    size_t begin = ++s->at;

    while (s->at < s->len && s->text[s->at] != quote && s->text[s->at] != '\n') {
        if (s->text[s->at] == '\\' && quote == '"')
            escape(s);
        else if (s->text[s->at] == '\\' && (peek(s, 1) == '\'' || peek(s, 1) == '\\'))
            s->at += 2;
        else if (quote == '"' && s->text[s->at] == '$' && peek(s, 1) == '{')
            variable(s);
        else
            s->at++;
    }
    s->word = sp_span_of(s->text + begin, s->at - begin);
    s->word_line = line;
    s->value_next = false;
    if (s->at >= s->len || s->text[s->at] != quote)
        FAULT(s, "a string ends on its own line: %c is missing", quote);
    else
        s->at++;
}

static bool is_word(int c)
{
    return c > ' ' && strchr("#\"'={}()+,*", c) == NULL;
}

static void bare_word(struct scanner *s)
{
    size_t begin = s->at;

    if (peek(s, 0) == '$' && peek(s, 1) == '{') {
        variable(s);
    } else {
        while (is_word(peek(s, 0)))
            s->at++;
    }
    s->word = sp_span_of(s->text + begin, s->at - begin);
    s->word_line = s->line;
    s->value_next = false;
}

static bool is_known(const struct sp_config_keys *keys, const char *name)
{
    for (size_t i = 0; i < keys->names_len; i++)
        if (strcmp(keys->names[i], name) == 0)
            return true;
    return false;
}

static bool grow_keys(struct sp_config_keys *keys)
{
    size_t cap = keys->cap > 0 ? keys->cap * 2 : 64;
    struct sp_config_key *all = reallocarray(keys->all, cap, sizeof(*all));

    if (all == NULL)
        return false;
    keys->all = all;
    keys->cap = cap;
    return true;
}

static void keep_key(struct scanner *s, const char *name, bool append)
{
    struct sp_config_keys *keys = s->keys;

    if (keys->len == keys->cap && !grow_keys(keys)) {
        s->reader->no_memory = true;
        s->well = false;
        return;
    }
    keys->all[keys->len++] = (struct sp_config_key){
        .name = name, .line = s->word_line, .block = s->block, .append = append};
    if (is_known(keys, name))
        return;
    if (keys->names_len < SP_CONFIG_KEYS_MAX)
        keys->names[keys->names_len++] = name;
    else
        FAULT(s, "more than %d different keys in one file", SP_CONFIG_KEYS_MAX);
}

/* "=" or "+=": what stood before it is a key. */
static void assignment(struct scanner *s, bool append)
{
    struct sp_span word = s->word;

    s->at += append ? 2 : 1;
    s->word = SP_SPAN_NONE;
    s->value_next = true;
    if (word.len == 0)
        return; /* libconfuse says what is wrong */
    word = sp_arena_dup(&s->reader->config->arena, word);
    if (word.base == NULL) {
        s->reader->no_memory = true;
        s->well = false;
        return;
    }
    keep_key(s, word.base, append);
}

static void brace(struct scanner *s, int c)
{
    if (c == '{' && s->value_next) {
        s->in_list = true;
    } else if (c == '{') {
        if (s->block != 0)
            FAULT(s,
                  "a \"{\" within the block that begins at line %u: the \"}\" of that block is "
                  "missing, or \"=\" before this one",
                  s->block_line);
        s->block = ++s->blocks;
        s->block_line = s->line;
    } else if (s->in_list) {
        s->in_list = false;
    } else if (s->block != 0) {
        s->block = 0;
    } else {
        FAULT(s, "a \"}\" too many: no block is open here");
    }
}

static void mark(struct scanner *s, int c)
{
    s->at++;
    s->word = SP_SPAN_NONE;
    if (c == '{' || c == '}')
        brace(s, c);
    if (c != '\r')
        s->value_next = false;
    if (c == '*' || c == '+')
        FAULT(s, "'%c' outside a string; write it in quotes", c);
    else if (c == 0x7f || (c < ' ' && c != '\t' && c != '\r'))
        FAULT(s, "a control character (0x%02x); this is a text file", (unsigned)c);
    else if (c == '\r')
        s->text[s->at - 1] = ' ';
}

static void step(struct scanner *s)
{
    int c = peek(s, 0);

    if (c == '\n') {
        s->line++;
        s->at++;
    } else if (c == ' ' || c == '\t') {
        s->at++;
    } else if (c == '#' || (c == '/' && peek(s, 1) == '/')) {
        line_comment(s);
    } else if (c == '/' && peek(s, 1) == '*') {
        block_comment(s);
    } else if (c == '"' || c == '\'') {
        quoted(s, (char)c);
    } else if (c == '=' || (c == '+' && peek(s, 1) == '=')) {
        assignment(s, c == '+');
    } else if (is_word(c) && c != 0x7f) {
        bare_word(s);
    } else {
        mark(s, c);
    }
}

/* libconfuse would cut a string at a NUL byte, and take what stands before it. */
static bool has_nul(struct scanner *s)
{
    const char *nul = memchr(s->text, '\0', s->len);

    if (nul == NULL)
        return false;
    for (const char *c = s->text; c < nul; c++)
        s->line += *c == '\n' ? 1 : 0;
    FAULT(s, "a control character (0x00); this is a text file");
    return true;
}

/* UTF-8 throughout, so that names of people can be compared and logged; the first line at fault. */
static bool is_text(struct scanner *s)
{
    size_t at = 0;

    if (has_nul(s))
        return false;
    if (sp_text_is_utf8(sp_span_of(s->text, s->len)))
        return true;
    while (at < s->len) {
        const char *end = memchr(s->text + at, '\n', s->len - at);
        size_t len = end != NULL ? (size_t)(end - s->text) - at : s->len - at;

        if (!sp_text_is_utf8(sp_span_of(s->text + at, len)))
            break;
        at += len + 1;
        s->line++;
    }
    FAULT(s, "a byte that is not UTF-8; save the file as UTF-8");
    return false;
}

bool sp_config_scan(struct sp_config_reader *reader, const struct sp_config_file *file, char *text,
                    size_t len, struct sp_config_keys *keys)
{
    struct scanner s = {.reader = reader,
                        .file = file,
                        .keys = keys,
                        .text = text,
                        .len = len,
                        .line = 1,
                        .well = true};

    keys->names = calloc(SP_CONFIG_KEYS_MAX, sizeof(*keys->names));
    if (keys->names == NULL) {
        reader->no_memory = true;
        return false;
    }
    if (!is_text(&s))
        return false;
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) /* a byte order mark, as Windows writes */
        memset(text, ' ', 3);
    while (s.at < s.len && reader->faults->count < 100)
        step(&s);
    if (s.well && s.block != 0) /* libconfuse takes the end of the file for a brace */
        FAULT(&s, "the file ends within the block that begins at line %u: \"}\" is missing",
              s.block_line);
    return s.well;
}

void sp_config_keys_fini(struct sp_config_keys *keys)
{
    free(keys->all);
    free(keys->names);
    *keys = (struct sp_config_keys){0};
}
