/* What a backend's answers rest on, as one number: another one when its block says something else
 * of people than before, when a file that it names is another, or when the watched file of one that
 * verifies passwords has been taken up anew. Verdicts kept and connections' identities carry it, so
 * that a reload ends those of backends that changed, and no others: a storm of logins after each
 * reload would be worse than none. Keys of its block that say how fast or how much do not count
 * (SP_OPTION_TUNES). It is a keyed hash: no secret can be read from it. */
#include "auth/auth_priv.h"

#include "util/secret.h"
#include "util/span.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define FILE_READS_MAX 1024u /* of 16 KiB: what follows tells no two files apart */

static struct sp_span bytes_of(const void *base, size_t len)
{
    return sp_span_of(base, len);
}

static enum sp_err fold(struct sp_digest *digest, const char *name, struct sp_span value)
{
    const struct sp_digest before = *digest;
    const struct sp_span parts[] = {bytes_of(before.bytes, sizeof(before.bytes)),
                                    sp_span_cstr(name), value};

    return sp_digest_make(digest, parts, sizeof(parts) / sizeof(parts[0]));
}

static enum sp_err fold_list(struct sp_digest *digest, const char *name,
                             const struct sp_strings *list)
{
    enum sp_err err = fold(digest, name, bytes_of(&list->len, sizeof(list->len)));

    for (size_t i = 0; i < list->len && err == SP_OK; i++)
        err = fold(digest, name, sp_span_cstr(list->items[i]));
    return err;
}

/* Its bytes, so that a file put in its place that says the same is the same. One that cannot be
 * read here is told apart by why: whether that matters is the plugin's to say. */
static enum sp_err fold_file(struct sp_digest *digest, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    enum sp_err err = SP_OK;
    char bytes[16384];
    ssize_t len = fd >= 0 ? read(fd, bytes, sizeof(bytes)) : -1;
    int why = errno;

    for (unsigned i = 0; len > 0 && i < FILE_READS_MAX && err == SP_OK; i++) {
        err = fold(digest, "bytes", sp_span_of(bytes, (size_t)len));
        len = read(fd, bytes, sizeof(bytes));
        why = errno;
    }
    if (err == SP_OK && len < 0)
        err = fold(digest, "errno", bytes_of(&why, sizeof(why)));
    sp_wipe(bytes, sizeof(bytes));
    if (fd >= 0)
        (void)close(fd);
    return err;
}

static enum sp_err fold_value(struct sp_digest *digest, const struct sp_option *o,
                              const void *field)
{
    const struct sp_secret_text *secret = field;

    switch (o->type) {
    case SP_OPTION_STRING:
    case SP_OPTION_PATH: return fold(digest, o->name, sp_span_cstr(*(char *const *)field));
    case SP_OPTION_BOOL: return fold(digest, o->name, bytes_of(field, sizeof(bool)));
    case SP_OPTION_INT: return fold(digest, o->name, bytes_of(field, sizeof(int64_t)));
    case SP_OPTION_MILLIS:
    case SP_OPTION_SIZE: return fold(digest, o->name, bytes_of(field, sizeof(uint64_t)));
    case SP_OPTION_CHOICE: return fold(digest, o->name, bytes_of(field, sizeof(int)));
    case SP_OPTION_LIST:
    case SP_OPTION_PATHS: return fold_list(digest, o->name, field);
    case SP_OPTION_SECRET: return fold(digest, o->name, bytes_of(secret->text, secret->len));
    }
    return SP_OK;
}

static enum sp_err fold_files(struct sp_digest *digest, const struct sp_option *o,
                              const void *field)
{
    const struct sp_strings *list = field;
    enum sp_err err = SP_OK;

    if (o->type == SP_OPTION_PATHS)
        for (size_t i = 0; i < list->len && err == SP_OK; i++)
            err = fold_file(digest, list->items[i]);
    else if (o->type == SP_OPTION_PATH && (*(char *const *)field)[0] != '\0')
        err = fold_file(digest, *(char *const *)field);
    return err;
}

uint64_t sp_plan_basis_now(const struct sp_plan_backend *b)
{
    struct sp_digest digest = b->configured;
    enum sp_err err = SP_OK;
    uint64_t basis;

    for (size_t i = 0; (b->ops->abilities & SP_AUTH_PASSWORD) != 0 && i < b->watches_len; i++)
        if (err == SP_OK)
            err = fold_file(&digest, b->watches[i].path);
    memcpy(&basis, digest.bytes, sizeof(basis));
    return err == SP_OK ? basis : sp_plan_basis(b) + 1; /* to ask again is the safe side */
}

void sp_plan_basis_set(struct sp_plan_backend *b, uint64_t basis)
{
    atomic_store_explicit(&b->basis, basis, memory_order_release);
}

enum sp_err sp_plan_basis_make(struct sp_plan_backend *b)
{
    const char *options = b->block->options;
    enum sp_err err;

    memset(&b->configured, 0, sizeof(b->configured));
    err = fold(&b->configured, "plugin", sp_span_cstr(b->ops->name));
    for (const struct sp_option *o = b->ops->options; o->name != NULL && err == SP_OK; o++) {
        if ((o->flags & SP_OPTION_TUNES) != 0)
            continue;
        err = fold_value(&b->configured, o, options + o->offset);
        if (err == SP_OK && (o->flags & SP_OPTION_WATCHED) == 0)
            err = fold_files(&b->configured, o, options + o->offset);
    }
    sp_plan_basis_set(b, sp_plan_basis_now(b));
    return err;
}

uint64_t sp_plan_basis(const struct sp_plan_backend *b)
{
    return atomic_load_explicit(&b->basis, memory_order_acquire);
}

void sp_auth_plan_tell_changes(const struct sp_auth_plan *before, const struct sp_auth_plan *now,
                               const struct sp_log *log)
{
    for (size_t i = 0; i < before->backends_len; i++) {
        const struct sp_plan_backend *was = &before->backends[i], *is = NULL;

        for (size_t j = 0; j < now->backends_len; j++)
            if (strcmp(now->backends[j].name, was->name) == 0)
                is = &now->backends[j];
        if (is == NULL || sp_plan_basis(is) != sp_plan_basis(was))
            sp_log_info(log,
                        "event=verdicts_ended backend=\"%s\" detail=\"%s: what it said before "
                        "serves nobody any more\"",
                        was->name, is == NULL ? "it has gone" : "it is configured otherwise");
    }
}
