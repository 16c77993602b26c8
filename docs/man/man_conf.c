/* Writes sallyport.conf(5): a template, and in place of its line @KEYS@ the option tables of the
 * core and of every plugin in a folder. Run by the build; usage: TEMPLATE PLUGIN_DIR OUTPUT. */
#include "app/settings.h"
#include "util/span.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLUGINS_MAX 32

static int is_plugin(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return len > 3 && strcmp(entry->d_name + len - 3, ".so") == 0;
}

/* One section for each plugin, so that its table is described like any other. */
static size_t plugin_sections(struct sp_app_plugins *plugins, const char *dir,
                              struct sp_config_section *out)
{
    static char help[PLUGINS_MAX][512];
    struct dirent **entries;
    char why[256];
    size_t len = 0;
    int n = scandir(dir, &entries, is_plugin, alphasort);

    for (int i = 0; i < n; i++) {
        const struct sp_auth_backend_ops *ops;

        entries[i]->d_name[strlen(entries[i]->d_name) - 3] = '\0';
        ops = len < PLUGINS_MAX ? sp_app_plugins_load(plugins, entries[i]->d_name, dir, why) : NULL;
        if (ops != NULL) {
            snprintf(help[len], sizeof(help[len]), "With plugin = \"%s\": %s", ops->name,
                     ops->summary);
            out[len] = (struct sp_config_section){.name = "backend",
                                                  .titled = true,
                                                  .options = ops->options,
                                                  .options_size = ops->options_size,
                                                  .help = help[len]};
            len++;
        } else {
            fprintf(stderr, "%s: %s\n", entries[i]->d_name, why);
        }
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    out[len] = (struct sp_config_section){.name = NULL};
    return len;
}

static enum sp_err describe_all(const char *plugin_dir, struct sp_buf *out)
{
    static struct sp_app_plugins plugins;
    struct sp_config_section core[SP_APP_SECTIONS_MAX];
    struct sp_config_section backends[PLUGINS_MAX + 1];
    size_t n = 0;
    enum sp_err err;

    sp_app_sections(&plugins, core);
    while (core[n].options != NULL)
        n++;
    core[n] = (struct sp_config_section){.name = NULL}; /* `backend` comes by plugin instead */
    err = sp_config_describe(core, true, out);
    if (err != SP_OK)
        return err;
    if (plugin_sections(&plugins, plugin_dir, backends) == 0)
        return SP_ERR_NOT_FOUND;
    return sp_config_describe(backends, true, out);
}

static int write_page(FILE *template, const struct sp_buf *keys, FILE *out)
{
    char line[1024];

    while (fgets(line, sizeof(line), template) != NULL) {
        if (strcmp(line, "@KEYS@\n") == 0)
            fprintf(out, "%.*s", SP_SPAN_ARG(sp_buf_span(keys)));
        else
            fputs(line, out);
    }
    return ferror(template) || fflush(out) != 0 || ferror(out);
}

int main(int argc, char **argv)
{
    struct sp_buf keys;
    FILE *template, *out;
    int status = 1;

    if (argc != 4) {
        fprintf(stderr, "usage: %s TEMPLATE PLUGIN_DIR OUTPUT\n", argv[0]);
        return 2;
    }
    sp_buf_init(&keys, 1u << 20);
    template = fopen(argv[1], "r");
    out = fopen(argv[3], "w");
    if (template == NULL || out == NULL)
        perror(template == NULL ? argv[1] : argv[3]);
    else if (describe_all(argv[2], &keys) != SP_OK)
        fprintf(stderr, "no plugin in %s could be described\n", argv[2]);
    else
        status = write_page(template, &keys, out);
    if (template != NULL)
        (void)fclose(template);
    if (out != NULL && fclose(out) != 0)
        status = 1;
    sp_buf_fini(&keys);
    return status;
}
