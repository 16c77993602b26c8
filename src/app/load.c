/* Reading a configuration as a whole, and telling its faults to a person or to the log. */
#include "app/load.h"

#include "admin/admin_options.h"
#include "util/span.h"
#include "util/text.h"

#include <stdio.h>
#include <string.h>

void sp_app_loader_init(struct sp_app_loader *loader, const char *path)
{
    *loader = (struct sp_app_loader){.path = path};
    sp_app_sections(&loader->plugins, loader->sections);
}

struct sp_config *sp_app_loader_read(struct sp_app_loader *loader, struct sp_config_faults *faults)
{
    return sp_config_read(loader->path, loader->sections, faults);
}

static bool is_any(const struct sp_addr *addr)
{
    static const uint8_t any4[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const uint8_t any6[16] = {0};

    return memcmp(addr->ip, any4, 16) == 0 || memcmp(addr->ip, any6, 16) == 0;
}

/* The page for machines must not take (or hide behind) a port that people use as their proxy. */
static void check_admin(const struct sp_config *config, const struct sp_proxy_snapshot *snapshot,
                        struct sp_config_faults *faults)
{
    const struct sp_config_block *block = sp_config_one(config, "admin");
    const struct sp_admin_options *options = block->options;
    const struct sp_listen *listens;
    struct sp_addr addr;
    size_t len;

    if (options->http[0] == '\0')
        return;
    if (sp_addr_parse(&addr, sp_span_cstr(options->http)) != SP_OK) {
        sp_config_fault(faults, block, "http",
                        "\"%.80s\" is not an address and port: write \"127.0.0.1:3180\"",
                        options->http);
        return;
    }
    listens = sp_proxy_snapshot_listens(snapshot, &len);
    for (size_t i = 0; i < len; i++)
        if (listens[i].addr.port == addr.port &&
            (sp_addr_same_ip(&listens[i].addr, &addr) || is_any(&listens[i].addr) || is_any(&addr)))
            sp_config_fault(faults, block, "http", "the port of \"%s\" is taken by listen \"%s\"",
                            options->http, listens[i].title);
}

struct sp_proxy_snapshot *sp_app_loader_compile(struct sp_app_loader *loader,
                                                struct sp_config *config, const struct sp_log *log,
                                                struct sp_config_faults *faults)
{
    unsigned before = faults->count;
    struct sp_proxy_snapshot *snapshot = sp_proxy_snapshot_new(config, sp_app_plugins_find,
                                                               &loader->plugins, log, faults);

    if (snapshot == NULL && faults->count == before)
        sp_config_fault(faults, sp_config_one(config, NULL), NULL, "out of memory");
    if (snapshot != NULL)
        check_admin(config, snapshot, faults);
    if (faults->count != before && snapshot != NULL)
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
