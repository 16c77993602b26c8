/* The configuration's files: which one a name means, read from the disk as a whole, and the bounds
 * of including. What they say is parse.c's. */
#include "config/config_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The whole of a regular file. NULL with words in why. */
static char *read_whole(const char *path, size_t *len_out, const char **why)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *text = NULL;
    size_t len = 0;
    ssize_t n = -1;

    *why = NULL;
    if (fd < 0 || fstat(fd, &st) != 0)
        *why = strerror(errno);
    else if (S_ISDIR(st.st_mode))
        *why = "it is a folder; name the files in it, one by one";
    else if (!S_ISREG(st.st_mode))
        *why = "not a regular file";
    else if (st.st_size > SP_CONFIG_FILE_MAX)
        *why = "larger than a configuration may be (4 MiB)";
    else if ((text = malloc((size_t)st.st_size + 1)) == NULL)
        *why = strerror(ENOMEM);
    while (*why == NULL && len < (size_t)st.st_size &&
           (n = read(fd, text + len, (size_t)st.st_size - len)) > 0)
        len += (size_t)n;
    if (*why == NULL && len < (size_t)st.st_size && n < 0)
        *why = strerror(errno);
    if (fd >= 0)
        (void)close(fd);
    if (*why != NULL) {
        free(text);
        return NULL;
    }
    text[len] = '\0';
    *len_out = len;
    return text;
}

static bool read_and_parse(struct sp_config_reader *reader, const struct sp_config_file *file,
                           const char *from_name, unsigned from_line)
{
    const char *why;
    char *text;
    size_t len;
    bool well;

    sp_config_note_named(reader, NULL, file->name, from_name, from_line);
    text = read_whole(file->name, &len, &why);
    if (text == NULL) {
        reader->unread += file->from != NULL;
        sp_config_fault_at(
            reader->faults, from_name, from_line, "%s cannot be read: %s%s",
            file->from == NULL ? "the configuration" : sp_config_show(file->name), why,
            file->from == NULL                ? " (-c FILE names another)"
            : strchr(file->name, '*') != NULL ? " (a * stands for nothing: each file "
                                                "is named on its own)"
                                              : "");
        return false;
    }
    well = sp_config_parse(reader, file, text, len);
    free(text);
    return well;
}

/* Beside the file that includes it: in the same words, so that a fault's file can be opened from
 * where sallyport was started. */
static const struct sp_config_file *included_file(struct sp_config_reader *reader, const char *path,
                                                  const struct sp_config_file *from)
{
    const char *slash = from != NULL ? strrchr(from->name, '/') : NULL;
    const char *name;

    if (path[0] == '/' || slash == NULL)
        return sp_config_file_new(reader, path, from);
    name = sp_arena_printf(&reader->config->arena, "%.*s%s", (int)(slash + 1 - from->name),
                           from->name, path);
    return name != NULL ? sp_config_file_new(reader, name, from) : NULL;
}

/* Is it `file`, or one of those by way of which that was included? */
static bool is_among(const struct sp_config_file *file, const char *name)
{
    for (; file != NULL; file = file->from)
        if (strcmp(file->name, name) == 0)
            return true;
    return false;
}

static unsigned depth_of(const struct sp_config_file *file)
{
    unsigned depth = 0;

    for (; file->from != NULL; file = file->from)
        depth++;
    return depth;
}

bool sp_config_parse_file(struct sp_config_reader *reader, const char *path,
                          const struct sp_config_file *from, unsigned from_line)
{
    const struct sp_config_file *file = included_file(reader, path, from);
    const char *from_name = from != NULL ? from->name : path;

    if (file == NULL) {
        reader->no_memory = true;
        return false;
    }
    if (path[0] == '\0')
        sp_config_fault_at(reader->faults, from_name, from_line,
                           from != NULL ? "include of an empty name"
                                        : "the name of the configuration is empty");
    else if (is_among(from, file->name))
        sp_config_fault_at(reader->faults, from_name, from_line,
                           "%s includes itself, here or by way of other files",
                           sp_config_show(file->name));
    else if (depth_of(file) >= SP_CONFIG_DEPTH_MAX)
        sp_config_fault_at(reader->faults, from_name, from_line,
                           "files include files more than %d deep", SP_CONFIG_DEPTH_MAX);
    else if (reader->files++ >= SP_CONFIG_FILES_MAX)
        sp_config_fault_at(reader->faults, from_name, from_line, "more than %d files are included",
                           SP_CONFIG_FILES_MAX);
    else
        return read_and_parse(reader, file, from_name, from_line);
    return false;
}
