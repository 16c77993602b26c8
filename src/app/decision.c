/* Decisions written as JSON. The names of the fields are the access log's, where it has them. */
#include "app/decision.h"

#include "util/span.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TEXT_MAX (SP_TRACE_WORD_MAX + 1)

/* ---- values ---- */

static void put_text(struct sp_app_printer *p, const char *name, struct sp_span value)
{
    char text[TEXT_MAX];
    size_t len = value.len < sizeof(text) ? value.len : sizeof(text) - 1;

    if (len > 0)
        memcpy(text, value.base, len);
    text[len] = '\0';
    sp_app_print_field(p, SP_APP_PLAIN, name, text);
}

static void put_time(struct sp_app_printer *p, const char *name, uint64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm = {0};
    char text[64];
    size_t len;

    (void)gmtime_r(&seconds, &tm);
    len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(text + len, sizeof(text) - len, ".%03uZ", (unsigned)(wall_ms % 1000));
    sp_app_print_field(p, SP_APP_PLAIN, name, text);
}

/* What the client showed to be let in, as far as it may be told. */
static void put_sent(struct sp_app_printer *p, const struct sp_decision *d)
{
    struct sp_span mech = d->text[SP_DECISION_MECH];
    bool unread = d->text[SP_DECISION_WHY].len > 0 &&
                  (d->reason == SP_REASON_NO_CREDENTIALS || d->reason == SP_REASON_BAD_CREDENTIALS);
    char sent[TEXT_MAX] = "no credentials";

    if (d->how == SP_HOW_CONNECTION)
        (void)snprintf(sent, sizeof(sent), "nothing: the connection was proven before");
    else if (d->scheme == SP_SCHEME_BASIC)
        (void)snprintf(sent, sizeof(sent), "Basic, user %.*s",
                       SP_SPAN_ARG(d->text[SP_DECISION_USER]));
    else if (d->scheme == SP_SCHEME_NEGOTIATE)
        (void)snprintf(sent, sizeof(sent), "Negotiate%s%.*s", mech.len > 0 ? ", " : "",
                       SP_SPAN_ARG(mech));
    else if (unread)
        (void)snprintf(sent, sizeof(sent), "credentials of a scheme that is not taken here");
    sp_app_print_field(p, SP_APP_PLAIN, "sent", sent);
}

static void put_groups(struct sp_app_printer *p, struct sp_span text)
{
    struct sp_span groups[SP_TRACE_WORD_MAX];
    size_t len = 0;

    while (text.len > 0 && len < sizeof(groups) / sizeof(*groups)) {
        const char *lf = memchr(text.base, '\n', text.len);
        size_t one = lf != NULL ? (size_t)(lf - text.base) : text.len;

        groups[len++] = sp_span_of(text.base, one);
        text.base += one + (lf != NULL ? 1 : 0);
        text.len -= one + (lf != NULL ? 1 : 0);
    }
    sp_app_print_list(p, "groups", groups, len);
}

static void put_counts(struct sp_app_printer *p, const struct sp_decision *d)
{
    if (d->has_age)
        sp_app_print_number(p, "age_s", d->age_ms / 1000, "s");
    sp_app_print_number(p, "ms", d->ms, "ms");
    sp_app_print_number(p, "auth_ms", d->auth_ms, "ms");
    sp_app_print_number(p, "connect_ms", d->connect_ms, "ms");
    sp_app_print_number(p, "connection", d->conn, "");
    sp_app_print_number(p, "request", d->ordinal, "");
    sp_app_print_number(p, "count", d->count, "");
    if (d->count > 1)
        put_time(p, "first_ts", d->first_wall_ms);
}

static void put_decision(struct sp_app_printer *p, const struct sp_decision *d)
{
    char client[SP_ADDR_TEXT_MAX];
    struct sp_span steps = d->text[SP_DECISION_STEPS];
    struct sp_auth_step step;

    put_time(p, "ts", d->wall_ms);
    put_text(p, "id", d->text[SP_DECISION_ID]);
    sp_app_print_field(p, SP_APP_PLAIN, "client", sp_addr_ip_text(&d->client, client));
    put_text(p, "listener", d->text[SP_DECISION_LISTENER]);
    put_text(p, "user", d->text[SP_DECISION_USER]);
    sp_app_print_field(p, SP_APP_PLAIN, "scheme", sp_scheme_text(d->scheme));
    put_text(p, "mech", d->text[SP_DECISION_MECH]);
    put_text(p, "backend", d->text[SP_DECISION_BACKEND]);
    sp_app_print_field(p, SP_APP_PLAIN, "auth", sp_auth_how_text(d->how));
    put_sent(p, d);
    put_groups(p, d->text[SP_DECISION_GROUPS]);
    put_text(p, "method", d->text[SP_DECISION_METHOD]);
    put_text(p, "target", d->text[SP_DECISION_TARGET]);
    sp_app_print_number(p, "status", (uint64_t)d->status, "");
    sp_app_print_field(p, SP_APP_PLAIN, "reason", sp_reason_text(d->reason));
    put_text(p, "why", d->text[SP_DECISION_WHY]);
    put_text(p, "rule", d->text[SP_DECISION_RULE]);
    put_counts(p, d);
    sp_app_print_no_steps(p);
    while (sp_trace_next_step(&steps, &step))
        sp_app_print_step(p, &step);
}

/* ---- lines ---- */

static enum sp_err write_line(struct sp_buf *lines, const struct sp_decision *decision,
                              uint64_t lost)
{
    struct sp_app_printer printer;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    enum sp_err err = SP_ERR_NOMEM;
    bool well;

    if (out == NULL)
        return SP_ERR_NOMEM;
    sp_app_printer_init(&printer, out, true);
    if (decision != NULL)
        put_decision(&printer, decision);
    else
        sp_app_print_number(&printer, "lost", lost, "");
    well = sp_app_print_end(&printer);
    if (fclose(out) == 0 && well)
        err = sp_buf_append(lines, sp_span_of(text, len));
    free(text);
    return err;
}

enum sp_err sp_app_decision_write(struct sp_buf *lines, const struct sp_decision *decision)
{
    return write_line(lines, decision, 0);
}

enum sp_err sp_app_decision_write_lost(struct sp_buf *lines, uint64_t lost)
{
    return write_line(lines, NULL, lost);
}
