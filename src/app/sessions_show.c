/* A line of `ctl sessions`, as the server wrote it, shown to people: the counters, then a row for
 * each session. */
#include "app/sessions.h"

#include "util/span.h"

#include <jansson.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text != NULL && text[0] != '\0' ? text : "-";
}

static unsigned long long number_of(const json_t *object, const char *name)
{
    return (unsigned long long)json_integer_value(json_object_get(object, name));
}

static void show_counts(struct sp_app_printer *p, const json_t *o)
{
    sp_app_print_heading(p, SP_APP_PLAIN, "%-36s %12llu", "client connections",
                         number_of(o, "connections"));
    sp_app_print_heading(p, SP_APP_PLAIN, "%-36s %12llu", "of these: tunnels",
                         number_of(o, "tunnels"));
    sp_app_print_heading(p, SP_APP_PLAIN, "%-36s %12llu", "handshakes in progress",
                         number_of(o, "handshakes"));
    if (number_of(o, "connections") > 0)
        sp_app_print_heading(p, SP_APP_STRONG, "%-15s %-20s %-12s %-10s %-22s %10s %10s  %s",
                             "client", "listener", "user", "scheme", "state", "age s", "idle s",
                             "target");
}

static void show_session(struct sp_app_printer *p, const json_t *o)
{
    const char *exchange = text_of(o, "exchange");
    char state[48];
    char bytes[96] = "";

    (void)snprintf(state, sizeof(state), "%s%s%s", text_of(o, "state"),
                   strcmp(exchange, "-") != 0 ? " " : "",
                   strcmp(exchange, "-") != 0 ? exchange : "");
    if (json_object_get(o, "bytes_in") != NULL)
        (void)snprintf(bytes, sizeof(bytes), "  %llu in, %llu out", number_of(o, "bytes_in"),
                       number_of(o, "bytes_out"));
    sp_app_print_heading(p, SP_APP_PLAIN, "%-15s %-20s %-12s %-10s %-22s %10.1f %10.1f  %s%s",
                         text_of(o, "client"), text_of(o, "listener"), text_of(o, "user"),
                         text_of(o, "scheme"), state, (double)number_of(o, "age_ms") / 1000,
                         (double)number_of(o, "idle_ms") / 1000, text_of(o, "target"), bytes);
}

static void show(struct sp_app_printer *p, const json_t *o)
{
    if (json_object_get(o, "connections") != NULL)
        show_counts(p, o);
    else if (json_object_get(o, "left_out") != NULL)
        sp_app_print_heading(p, SP_APP_BAD, "%llu more of worker %llu are not shown",
                             number_of(o, "left_out"), number_of(o, "worker"));
    else if (json_object_get(o, "silent") != NULL)
        sp_app_print_heading(p, SP_APP_BAD,
                             "worker %llu did not answer in time: its sessions are not known",
                             number_of(o, "silent"));
    else
        show_session(p, o);
}

bool sp_app_sessions_show(struct sp_app_printer *printer, struct sp_span line)
{
    return sp_app_print_shown(printer, line, show);
}
