/* The user file: one `name:hash` a line, blank lines and lines that begin with # passed over. A
 * whole file is good or refused; half a user list is worse than yesterday's. Runs at start, on
 * reload and on a pool thread when the file changed. The bytes read are kept and pointed into, and
 * wiped when the table goes: the hashes are worth stealing. */
#include "backends/file/table.h"

#include "util/hash.h"
#include "util/secret.h"
#include "util/span.h"
#include "util/text.h"

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct user {
    struct sp_span name; /* lower case */
    const char *hash;    /* NUL-terminated */
    unsigned line;
};

struct sp_file_table {
    atomic_uint refs;
    char *bytes; /* what users point into */
    size_t bytes_len;
    struct user *slots; /* open addressing; name.base NULL: free */
    size_t slots_len;   /* power of two */
    size_t len;
};

/* Where a fault is written down. */
struct reader {
    const char *file;
    unsigned line;
    char *why;
    size_t why_cap;
};

static SP_PRINTF(2, 3) bool refuse(struct reader *reader, const char *fmt, ...)
{
    va_list args;
    size_t used;

    if (reader->line > 0)
        (void)snprintf(reader->why, reader->why_cap, "%s:%u: ", reader->file, reader->line);
    else
        (void)snprintf(reader->why, reader->why_cap, "%s: ", reader->file);
    used = strlen(reader->why);
    va_start(args, fmt);
    (void)vsnprintf(reader->why + used, reader->why_cap - used, fmt, args);
    va_end(args);
    return false;
}

/* ---- hashes ---- */

struct method {
    const char *prefix;
    const char *name;
    size_t digest_len; /* what stands after the last '$' */
};

/* crypt(5). bcrypt writes its salt and its digest without a '$' between them. */
static const struct method methods[] = {
    {"$y$", "yescrypt", 43}, {"$2b$", "bcrypt", 53}, {"$2y$", "bcrypt", 53},
    {"$2a$", "bcrypt", 53},  {"$6$", "SHA-512", 86}, {"$5$", "SHA-256", 43},
};

/* What htpasswd and older systems write, each with the reason why not. */
static const struct {
    const char *prefix;
    const char *words;
} refused[] = {
    {"{SHA}", "{SHA} is an unsalted SHA-1"},
    {"{SSHA}", "{SSHA} is a single round of SHA-1"},
    {"$apr1$", "$apr1$ is MD5"},
    {"$1$", "$1$ is MD5"},
    {"{PLAIN}", "a password in clear does not belong in a file"},
};

#define HOW_TO_HASH "write the user anew with htpasswd -B, or mkpasswd -m yescrypt"

static const struct method *method_of(const char *hash)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (strncmp(hash, methods[i].prefix, strlen(methods[i].prefix)) == 0)
            return &methods[i];
    }
    return NULL;
}

static bool refuse_method(struct reader *reader, const char *hash)
{
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (strncmp(hash, refused[i].prefix, strlen(refused[i].prefix)) == 0)
            return refuse(reader, "%s: %s", refused[i].words, HOW_TO_HASH);
    }
    return refuse(reader,
                  "not a hash that is accepted (yescrypt $y$, bcrypt $2b$, SHA-512 $6$, SHA-256 "
                  "$5$): %s",
                  HOW_TO_HASH);
}

/* The words never quote the hash, which would go to the log. */
static bool hash_is_good(struct reader *reader, const char *hash)
{
    static const char letters[] =
        "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz$=,";
    const struct method *method = method_of(hash);
    size_t len = strlen(hash);

    if (method == NULL)
        return refuse_method(reader, hash);
    if (hash[strspn(hash, letters)] != '\0')
        return refuse(reader, "a letter in the hash belongs to no hash: one line is name:hash, and "
                              "nothing more");
    if (strlen(strrchr(hash, '$') + 1) != method->digest_len || len >= CRYPT_OUTPUT_SIZE)
        return refuse(reader, "the %s hash is cut off or too long", method->name);
    if (crypt_checksalt(hash) == CRYPT_SALT_INVALID ||
        crypt_checksalt(hash) == CRYPT_SALT_METHOD_DISABLED)
        return refuse(reader, "this machine's libcrypt does not take that %s hash", method->name);
    return true;
}

/* ---- lines ---- */

/* Lower case in place: it takes no more room for any letter whose lower form is as long, and a name
 * that would grow is refused. */
static bool name_is_good(struct reader *reader, char *line, size_t len, struct sp_span *name_out)
{
    char lower[SP_FILE_NAME_MAX];
    struct sp_span name = {line, len};
    size_t lower_len;

    if (len == 0)
        return refuse(reader, "no name stands before the colon");
    if (len > SP_FILE_NAME_MAX)
        return refuse(reader, "the name is longer than %u bytes", SP_FILE_NAME_MAX);
    if (!sp_text_is_utf8(name) || sp_text_has_control(name))
        return refuse(reader, "the name is not UTF-8, or holds a control character");
    if (sp_text_lower(name, lower, sizeof lower, &lower_len) != SP_OK || lower_len > len)
        return refuse(reader, "the name cannot be written in lower case");
    memcpy(line, lower, lower_len);
    *name_out = sp_span_of(line, lower_len);
    return true;
}

static struct user *slot_for(const struct sp_file_table *table, struct sp_span name)
{
    size_t i = (size_t)sp_hash64(name) & (table->slots_len - 1);

    while (table->slots[i].name.base != NULL && !sp_span_eq(table->slots[i].name, name))
        i = (i + 1) & (table->slots_len - 1);
    return &table->slots[i];
}

static bool add_user(struct sp_file_table *table, struct reader *reader, struct sp_span name,
                     const char *hash)
{
    struct user *slot = slot_for(table, name);
    char safe[300];

    if (slot->name.base != NULL)
        return refuse(reader,
                      "the user \"%s\" stands in line %u already (names are compared "
                      "without case)",
                      sp_text_safe(name, safe, sizeof safe), slot->line);
    if (table->len == SP_FILE_USERS_MAX)
        return refuse(reader, "more than %u users: this is a directory's work", SP_FILE_USERS_MAX);
    *slot = (struct user){name, hash, reader->line};
    table->len++;
    return true;
}

/* One line, its end replaced by a NUL. */
static bool read_line(struct sp_file_table *table, struct reader *reader, char *line, size_t len)
{
    struct sp_span name = {NULL, 0};
    char *colon;

    if (memchr(line, '\0', len) != NULL)
        return refuse(reader, "a NUL byte: this is no text file");
    while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == ' ' || line[len - 1] == '\t'))
        line[--len] = '\0';
    if (len == 0 || line[0] == '#')
        return true;
    colon = memchr(line, ':', len);
    if (colon == NULL)
        return refuse(reader, "no colon: a line is name:hash");
    return name_is_good(reader, line, (size_t)(colon - line), &name) &&
           hash_is_good(reader, colon + 1) && add_user(table, reader, name, colon + 1);
}

static bool read_lines(struct sp_file_table *table, struct reader *reader)
{
    char *at = table->bytes;
    size_t left = table->bytes_len;

    if (left >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0) { /* a mark that Windows writes */
        at += 3;
        left -= 3;
    }
    while (left > 0) {
        char *end = memchr(at, '\n', left);
        size_t len = end != NULL ? (size_t)(end - at) : left;

        at[len] = '\0'; /* there is room for one behind the last byte */
        reader->line++;
        if (!read_line(table, reader, at, len))
            return false;
        at += len;
        left -= len;
        if (end != NULL) {
            at++;
            left--;
        }
    }
    return true;
}

/* ---- the table ---- */

static void bytes_free(char *bytes, size_t len)
{
    sp_wipe(bytes, len);
    free(bytes);
}

static void table_free(struct sp_file_table *table)
{
    bytes_free(table->bytes, table->bytes_len);
    free(table->slots);
    free(table);
}

/* At most half full: as many slots as twice the lines. */
static size_t slots_for(const char *bytes, size_t len)
{
    size_t lines = 1;
    size_t slots = 16;

    for (size_t i = 0; i < len; i++)
        lines += bytes[i] == '\n';
    if (lines > SP_FILE_USERS_MAX)
        lines = SP_FILE_USERS_MAX; /* more are comments, or refused */
    while (slots < lines * 2)
        slots *= 2;
    return slots;
}

struct sp_file_table *sp_file_table_parse(char *bytes, size_t len, const char *name, char *why,
                                          size_t why_cap)
{
    struct reader reader = {name, 0, why, why_cap};
    struct sp_file_table *table = calloc(1, sizeof *table);

    if (table == NULL) {
        bytes_free(bytes, len);
        (void)refuse(&reader, "out of memory");
        return NULL;
    }
    atomic_init(&table->refs, 1);
    table->bytes = bytes;
    table->bytes_len = len;
    table->slots_len = slots_for(bytes, len);
    table->slots = calloc(table->slots_len, sizeof *table->slots);
    if (table->slots == NULL)
        (void)refuse(&reader, "out of memory");
    else if (read_lines(table, &reader))
        return table;
    table_free(table);
    return NULL;
}

static bool read_whole(int fd, char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t got = read(fd, bytes, len);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        bytes += got;
        len -= (size_t)got;
    }
    return true;
}

struct sp_file_table *sp_file_table_load(const char *path, char *why, size_t why_cap)
{
    struct reader reader = {path, 0, why, why_cap};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not stop the start */
    struct sp_file_table *table = NULL;
    char *bytes = NULL;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0) {
        (void)refuse(&reader, "%s", strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        (void)refuse(&reader, "not a file");
    } else if (st.st_size > (off_t)SP_FILE_SIZE_MAX) {
        (void)refuse(&reader, "larger than %u MiB", SP_FILE_SIZE_MAX >> 20);
    } else if ((bytes = malloc((size_t)st.st_size + 1)) == NULL) {
        (void)refuse(&reader, "out of memory");
    } else if (!read_whole(fd, bytes, (size_t)st.st_size)) {
        (void)refuse(&reader, "it was cut off or changed while it was read");
        bytes_free(bytes, (size_t)st.st_size);
    } else {
        table = sp_file_table_parse(bytes, (size_t)st.st_size, path, why, why_cap);
    }
    if (fd >= 0)
        (void)close(fd);
    return table;
}

struct sp_file_table *sp_file_table_ref(struct sp_file_table *table)
{
    atomic_fetch_add_explicit(&table->refs, 1, memory_order_relaxed);
    return table;
}

void sp_file_table_unref(struct sp_file_table **table)
{
    struct sp_file_table *gone = *table;

    *table = NULL;
    if (gone != NULL && atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) == 1)
        table_free(gone);
}

size_t sp_file_table_len(const struct sp_file_table *table)
{
    return table->len;
}

const char *sp_file_table_find(const struct sp_file_table *table, struct sp_span name)
{
    const struct user *slot = slot_for(table, name);

    return slot->name.base != NULL ? slot->hash : NULL;
}
