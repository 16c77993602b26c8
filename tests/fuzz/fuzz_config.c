/* Any bytes as a configuration: read or refused, never a crash, a leak or a wait. Run twice, since
 * the scanner of libconfuse is global and a refused file must leave nothing behind for the next. No
 * file is opened beyond what an include names, and the sections here have no paths. */
#include "config/config_priv.h"

#include <assert.h>
#include <string.h>

struct options {
    int64_t number;
    uint64_t pause_ms;
    uint64_t size;
    bool flag;
    int choice;
    char *text;
    struct sp_strings list;
};

static const char *const words[] = {"one", "two", NULL};
static const struct sp_option table[] = {
    SP_OPT_INT(struct options, number, "1", -10, 10, "A number."),
    SP_OPT_MILLIS(struct options, pause_ms, "pause", "1s", 0, 0, "A duration."),
    SP_OPT_SIZE(struct options, size, "1k", 0, 0, "A size."),
    SP_OPT_BOOL(struct options, flag, "false", "A flag."),
    SP_OPT_CHOICE(struct options, choice, "one", words, "A choice."),
    SP_OPT_STRING(struct options, text, "", "A text."),
    SP_OPT_LIST(struct options, list, "a, b", "A list."),
    SP_OPT_END};

static const struct sp_option *resolve(void *owner, const char *plugin, const char *plugin_dir,
                                       size_t *options_size_out, char *why)
{
    (void)owner;
    (void)plugin_dir;
    strcpy(why, "no such plugin");
    *options_size_out = sizeof(struct options);
    return strcmp(plugin, "p") == 0 ? table : NULL;
}

static const struct sp_config_section sections[] = {
    {.name = NULL, .options = table, .options_size = sizeof(struct options)},
    {.name = "one", .options = table, .options_size = sizeof(struct options)},
    {.name = "many", .titled = true, .options = table, .options_size = sizeof(struct options)},
    {.name = "plug", .titled = true, .resolve = resolve},
    {.name = NULL}};

static void read_once(const char *text, size_t len)
{
    struct sp_config_faults faults;
    struct sp_config *config;

    sp_config_faults_init(&faults);
    config = sp_config_read_text("/nonexistent/f.conf", text, len, sections, &faults);
    assert((config != NULL) == (faults.count == 0));
    sp_config_unref(&config);
    sp_config_faults_fini(&faults);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char good[] = "number = 3 many \"x\" { list = {\"a\"} }";

    if (size > 16384 || memmem(data, size, "include", 7) != NULL)
        return 0;
    read_once((const char *)data, size);
    {
        struct sp_config_faults faults;
        struct sp_config *config;

        sp_config_faults_init(&faults);
        config = sp_config_read_text("g.conf", good, sizeof(good) - 1, sections, &faults);
        assert(config != NULL);
        sp_config_unref(&config);
        sp_config_faults_fini(&faults);
    }
    return 0;
}
