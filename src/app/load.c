/* Reading a configuration as a whole, and telling its faults to a person or to the log. */
#include "app/load.h"

#include "admin/admin_options.h"
#include "util/addr.h"
#include "util/span.h"
#include "util/text.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

void sp_app_loader_init(struct sp_app_loader *loader, const char *path)
{
    *loader = (struct sp_app_loader){.path = path};
    sp_app_sections(&loader->plugins, loader->sections);
}

struct sp_config *sp_app_loader_read(struct sp_app_loader *loader, struct sp_config_faults *faults)
{
    return sp_config_read_on(loader->path, loader->sections, faults);
}

/* NULL: nowhere, or it is no address, which is a fault. */
static const struct sp_addr *admin_addr(const struct sp_config *config, struct sp_addr *out)
{
    const struct sp_admin_options *options = sp_config_one(config, "admin")->options;

    return sp_addr_parse(out, sp_span_cstr(options->http)) == SP_OK ? out : NULL;
}

/* Not found and not knowable are different: of the latter the start tells. */
static void check_user(const struct sp_config *config, struct sp_config_faults *faults)
{
    const char *user = sp_app_options_of(config)->user;

    errno = 0;
    if (user[0] != '\0' && getpwnam(user) == NULL && (errno == 0 || errno == ENOENT))
        sp_config_fault(faults, sp_config_one(config, NULL), "user",
                        "there is no user \"%.80s\": create it, or leave `user` unset", user);
}

struct sp_proxy_snapshot *sp_app_loader_compile(struct sp_app_loader *loader,
                                                struct sp_config *config,
                                                const struct sp_config *started,
                                                const struct sp_log *log,
                                                struct sp_config_faults *faults)
{
    struct sp_addr admin;
    struct sp_proxy_snapshot *snapshot = sp_proxy_snapshot_new(
        config, admin_addr(started != NULL ? started : config, &admin), sp_app_plugins_find,
        &loader->plugins, log, faults);

    if (snapshot == NULL && faults->count == 0)
        sp_config_fault(faults, sp_config_one(config, NULL), NULL, "out of memory");
    sp_app_check_admin(config, snapshot, faults);
    if (started == NULL) /* else the process has become it */
        check_user(config, faults);
    if (faults->count > 0 && snapshot != NULL)
        sp_proxy_snapshot_unref(&snapshot);
    return snapshot;
}

const struct sp_app_options *sp_app_options_of(const struct sp_config *config)
{
    return sp_config_one(config, NULL)->options;
}

void sp_app_faults_print(const struct sp_config_faults *faults)
{
    struct sp_span rest = sp_buf_span(&faults->warnings);

    while (rest.len > 0) {
        const char *end = memchr(rest.base, '\n', rest.len);
        size_t len = end != NULL ? (size_t)(end - rest.base) + 1 : rest.len;

        fprintf(stderr, "warning: %.*s", (int)len, rest.base);
        rest = sp_span_of(rest.base + len, rest.len - len);
    }
    fprintf(stderr, "%.*s", SP_SPAN_ARG(sp_buf_span(&faults->text)));
}

static void log_lines(struct sp_span rest, const struct sp_log *log, enum sp_log_level level,
                      const char *event)
{
    char text[1100];

    while (rest.len > 0) {
        const char *end = memchr(rest.base, '\n', rest.len);
        size_t len = end != NULL ? (size_t)(end - rest.base) : rest.len;

        sp_log_line(log, level, "event=%s detail=\"%s\"", event,
                    sp_text_safe(sp_span_of(rest.base, len), text, sizeof(text)));
        len += len < rest.len; /* the line end */
        rest = sp_span_of(rest.base + len, rest.len - len);
    }
}

void sp_app_faults_log(const struct sp_config_faults *faults, const struct sp_log *log)
{
    log_lines(sp_buf_span(&faults->warnings), log, SP_LOG_WARNING, "config_warning");
    log_lines(sp_buf_span(&faults->text), log, SP_LOG_ERROR, "config_fault");
}
