/* A decision's line, as the server wrote it, shown to people: a heading, what was found in the
 * words that matter, then step by step. */
#include "app/decision.h"

#include "util/span.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text != NULL ? text : "";
}

static unsigned long long number_of(const json_t *object, const char *name)
{
    return (unsigned long long)json_integer_value(json_object_get(object, name));
}

/* ---- the parts of it ---- */

static void show_heading(struct sp_app_printer *p, const json_t *d)
{
    bool well = strcmp(text_of(d, "reason"), "ok") == 0;
    bool leg = strcmp(text_of(d, "reason"), "no_credentials") == 0 ||
               strcmp(text_of(d, "reason"), "handshake") == 0;
    const char *user = text_of(d, "user");

    sp_app_print_heading(p,
                         well  ? SP_APP_GOOD
                         : leg ? SP_APP_STRONG
                               : SP_APP_BAD,
                         "%s  %s  %s  %s %s -> %llu %s", text_of(d, "ts"), text_of(d, "client"),
                         user[0] != '\0' ? user : "-", text_of(d, "method"), text_of(d, "target"),
                         number_of(d, "status"), text_of(d, "reason"));
}

static void show_row(struct sp_app_printer *p, const json_t *d)
{
    char row[192];

    if (number_of(d, "count") < 2)
        return;
    (void)snprintf(
        row, sizeof(row),
        "%llu of this kind since %s; id, times and connection are the last one's, target "
        "and steps the first's",
        number_of(d, "count"), text_of(d, "first_ts"));
    sp_app_print_field(p, SP_APP_STRONG, "row", row);
}

static void show_auth(struct sp_app_printer *p, const json_t *d)
{
    const json_t *age = json_object_get(d, "age_s");
    char known[256];

    sp_app_print_field(p, SP_APP_PLAIN, "sent", text_of(d, "sent"));
    if (strcmp(text_of(d, "auth"), "none") == 0)
        return;
    (void)snprintf(known, sizeof(known), "%s", text_of(d, "backend"));
    if (age != NULL)
        (void)snprintf(known, sizeof(known), "%s, from the %s: %llu s old", text_of(d, "backend"),
                       text_of(d, "auth"), number_of(d, "age_s"));
    sp_app_print_field(p, SP_APP_PLAIN, "decided by", known);
}

static void show_groups(struct sp_app_printer *p, const json_t *d)
{
    const json_t *list = json_object_get(d, "groups");
    struct sp_span groups[64];
    size_t len = json_array_size(list);

    if (len > sizeof(groups) / sizeof(*groups))
        len = sizeof(groups) / sizeof(*groups);
    for (size_t i = 0; i < len; i++) {
        const json_t *item = json_array_get(list, i);

        groups[i] = sp_span_of(json_string_value(item), json_string_length(item));
    }
    sp_app_print_list(p, "groups", groups, len);
}

static void show_steps(struct sp_app_printer *p, const json_t *d)
{
    const json_t *list = json_object_get(d, "steps");

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        const struct sp_auth_step step = {
            .what = text_of(item, "what"),
            .server = text_of(item, "server"),
            .detail = text_of(item, "detail"),
            .outcome = text_of(item, "outcome"),
            .micros = (uint64_t)(json_number_value(json_object_get(item, "ms")) * 1000),
        };

        sp_app_print_step(p, &step);
    }
}

static void show_times(struct sp_app_printer *p, const json_t *d)
{
    char text[160];

    (void)snprintf(text, sizeof(text), "%llu ms (login %llu ms, connecting %llu ms)",
                   number_of(d, "ms"), number_of(d, "auth_ms"), number_of(d, "connect_ms"));
    sp_app_print_field(p, SP_APP_PLAIN, "time", text);
    (void)snprintf(text, sizeof(text), "%llu, request %llu, listener %.60s",
                   number_of(d, "connection"), number_of(d, "request"), text_of(d, "listener"));
    sp_app_print_field(p, SP_APP_PLAIN, "connection", text);
}

static void show(struct sp_app_printer *p, const json_t *d)
{
    show_heading(p, d);
    sp_app_print_field(p, SP_APP_PLAIN, "id", text_of(d, "id"));
    show_row(p, d);
    show_auth(p, d);
    show_groups(p, d);
    sp_app_print_field(p, SP_APP_STRONG, "why", text_of(d, "why"));
    sp_app_print_field(p, SP_APP_PLAIN, "rule", text_of(d, "rule"));
    show_times(p, d);
    show_steps(p, d);
}

/* ---- a line ---- */

static void show_line(struct sp_app_printer *p, const json_t *object)
{
    if (json_object_get(object, "lost") != NULL)
        sp_app_print_heading(p, SP_APP_BAD, "%llu more went by faster than they were read",
                             number_of(object, "lost"));
    else
        show(p, object);
}

bool sp_app_decision_show(struct sp_app_printer *printer, struct sp_span line)
{
    return sp_app_print_shown(printer, line, show_line);
}
