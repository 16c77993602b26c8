/* What a configuration names on the disk: folders that relative names start from, and files that
 * hold secrets. */
#include "config/config_priv.h"

#include "util/span.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The folder part of `name`, absolute. NULL: no memory, or the process has no working folder. */
static const char *folder_of(struct sp_arena *arena, const char *name)
{
    const char *slash = strrchr(name, '/');
    char here[4096];

    if (slash != NULL && name[0] == '/')
        return sp_arena_dup(arena, sp_span_of(name, slash == name ? 1 : (size_t)(slash - name)))
            .base;
    if (getcwd(here, sizeof(here)) == NULL)
        return NULL;
    if (slash == NULL)
        return sp_arena_dup(arena, sp_span_cstr(here)).base;
    return sp_arena_printf(arena, "%s/%.*s", here, (int)(slash - name), name);
}

const struct sp_config_file *sp_config_file_new(struct sp_config_reader *reader, const char *name,
                                                const struct sp_config_file *from)
{
    struct sp_arena *arena = &reader->config->arena;
    struct sp_config_file *file = sp_arena_alloc(arena, sizeof(*file));

    if (file == NULL)
        return NULL;
    file->from = from;
    file->name = sp_arena_dup(arena, sp_span_cstr(name)).base;
    file->dir = folder_of(arena, name);
    return file->name != NULL && file->dir != NULL ? file : NULL;
}

char *sp_config_path_resolve(struct sp_config_reader *reader, const struct sp_config_file *file,
                             const char *path)
{
    struct sp_arena *arena = &reader->config->arena;

    if (path[0] == '/' || path[0] == '\0' || strcmp(path, "-") == 0)
        return sp_arena_printf(arena, "%s", path);
    return sp_arena_printf(arena, "%s/%s", strcmp(file->dir, "/") == 0 ? "" : file->dir, path);
}

/* Reads up to the bound and one byte more, so that "too long" shows. -1 with errno. */
static ssize_t read_bounded(int fd, char *out, size_t cap)
{
    size_t len = 0;

    while (len < cap) {
        ssize_t n = read(fd, out + len, cap - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

static struct sp_secret *keep_secret(struct sp_config *config, struct sp_span bytes)
{
    struct sp_config_kept_secret *kept = sp_arena_alloc(&config->arena, sizeof(*kept));

    if (kept == NULL)
        return NULL;
    memset(kept, 0, sizeof(*kept));
    if (sp_secret_set(&kept->secret, bytes) != SP_OK)
        return NULL;
    kept->next = config->secrets;
    config->secrets = kept;
    return &kept->secret;
}

static void take_secret(struct sp_config_reader *reader, const struct sp_config_note *note,
                        const char *path, struct sp_span bytes, struct sp_secret_text *out)
{
    struct sp_secret *secret;

    if (bytes.len > 0 && bytes.base[bytes.len - 1] == '\n')
        bytes.len--;
    if (bytes.len > 0 && bytes.base[bytes.len - 1] == '\r')
        bytes.len--;
    if (bytes.len > SP_CONFIG_SECRET_MAX) {
        sp_config_fault_at(reader->faults, note->file->name, note->line,
                           "`%s`: %s is longer than 64k", note->name, sp_config_show(path));
    } else if (bytes.len == 0) {
        sp_config_fault_at(reader->faults, note->file->name, note->line, "`%s`: %s is empty",
                           note->name, sp_config_show(path));
    } else if (bytes.len >= 3 && memcmp(bytes.base, "\xef\xbb\xbf", 3) == 0) {
        sp_config_fault_at(reader->faults, note->file->name, note->line,
                           "`%s`: %s begins with a byte order mark, which is no part of a secret; "
                           "save it without",
                           note->name, sp_config_show(path));
    } else if (memchr(bytes.base, '\0', bytes.len) != NULL) {
        sp_config_fault_at(reader->faults, note->file->name, note->line,
                           "`%s`: %s holds a NUL byte; it should be one line of text", note->name,
                           sp_config_show(path));
    } else {
        secret = keep_secret(reader->config, bytes);
        if (secret == NULL)
            reader->no_memory = true;
        else
            *out = (struct sp_secret_text){secret->base, secret->len};
    }
}

static void read_open_secret(struct sp_config_reader *reader, const struct sp_config_note *note,
                             const char *path, int fd, struct sp_secret_text *out)
{
    char bytes[SP_CONFIG_SECRET_MAX + 3];
    struct stat st;
    ssize_t len;

    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & (S_IROTH | S_IWOTH)) != 0)
        sp_config_warn_at(reader->faults, note->file->name, note->line,
                          "`%s`: everybody may read or write %s; chmod o-rw it, and change the "
                          "secret",
                          note->name, sp_config_show(path));
    len = read_bounded(fd, bytes, sizeof(bytes));
    if (len < 0)
        sp_config_fault_at(reader->faults, note->file->name, note->line,
                           "`%s`: %s cannot be read: %s", note->name, sp_config_show(path),
                           strerror(errno));
    else
        take_secret(reader, note, path, sp_span_of(bytes, (size_t)len), out);
    sp_wipe(bytes, sizeof(bytes));
}

void sp_config_secret_read(struct sp_config_reader *reader, const struct sp_config_note *note,
                           const char *path, struct sp_secret_text *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0) {
        sp_config_fault_at(reader->faults, note->file->name, note->line,
                           "`%s`: %s cannot be read: %s", note->name, sp_config_show(path),
                           strerror(errno));
        return;
    }
    read_open_secret(reader, note, path, fd, out);
    (void)close(fd);
}
