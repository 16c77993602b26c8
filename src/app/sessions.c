/* Sessions written as JSON. The names of the fields are the access log's, where it has them. */
#include "app/sessions.h"

#include "util/span.h"

#include <stdlib.h>

static void put_text(struct sp_app_printer *p, const char *name, const char *value)
{
    sp_app_print_field(p, SP_APP_PLAIN, name, value);
}

/* A gauge is summed while workers change it: below nothing there is nothing. */
static void put_gauge(struct sp_app_printer *p, const char *name, enum sp_stat stat)
{
    int64_t sum = sp_stats_sum(stat);

    sp_app_print_number(p, name, sum > 0 ? (uint64_t)sum : 0, "");
}

static enum sp_err end_line(struct sp_app_printer *p)
{
    return sp_app_print_end(p) ? SP_OK : SP_ERR_NOMEM;
}

enum sp_err sp_app_sessions_begin(struct sp_app_sessions *out)
{
    FILE *stream;

    out->text = NULL;
    out->len = 0;
    stream = open_memstream(&out->text, &out->len);
    if (stream == NULL)
        return SP_ERR_NOMEM;
    sp_app_printer_init(&out->printer, stream, true);
    return SP_OK;
}

enum sp_err sp_app_sessions_write_counts(struct sp_app_sessions *out)
{
    put_gauge(&out->printer, "connections", SP_STAT_CONNECTIONS);
    put_gauge(&out->printer, "tunnels", SP_STAT_TUNNELS);
    put_gauge(&out->printer, "handshakes", SP_STAT_HANDSHAKES);
    return end_line(&out->printer);
}

enum sp_err sp_app_sessions_write(struct sp_app_sessions *out, const struct sp_session_facts *facts,
                                  unsigned worker)
{
    struct sp_app_printer *p = &out->printer;
    char client[SP_ADDR_TEXT_MAX];

    sp_app_print_number(p, "connection", facts->connection, "");
    sp_app_print_number(p, "worker", worker, "");
    put_text(p, "client", sp_addr_ip_text(&facts->client, client));
    sp_app_print_number(p, "client_port", facts->client.port, "");
    put_text(p, "listener", facts->listener);
    put_text(p, "user", facts->user);
    put_text(p, "scheme", sp_scheme_text(facts->scheme));
    sp_app_print_flag(p, "pinned", facts->pinned);
    put_text(p, "state", facts->state);
    put_text(p, "exchange", facts->exchange);
    sp_app_print_number(p, "age_ms", facts->age_ms, "ms");
    sp_app_print_number(p, "idle_ms", facts->idle_ms, "ms");
    put_text(p, "id", facts->id);
    put_text(p, "method", facts->method);
    put_text(p, "target", facts->target);
    if (facts->tunnel) {
        sp_app_print_number(p, "bytes_in", facts->bytes_in, "");
        sp_app_print_number(p, "bytes_out", facts->bytes_out, "");
    }
    return end_line(p);
}

enum sp_err sp_app_sessions_write_cut(struct sp_app_sessions *out, uint64_t left_out,
                                      unsigned worker)
{
    sp_app_print_number(&out->printer, "left_out", left_out, "");
    sp_app_print_number(&out->printer, "worker", worker, "");
    return end_line(&out->printer);
}

enum sp_err sp_app_sessions_write_silent(struct sp_app_sessions *out, unsigned worker)
{
    sp_app_print_number(&out->printer, "silent", worker, "");
    return end_line(&out->printer);
}

enum sp_err sp_app_sessions_end(struct sp_app_sessions *out, struct sp_buf *lines)
{
    enum sp_err err = SP_ERR_NOMEM;

    sp_app_printer_fini(&out->printer);
    if (fclose(out->printer.out) == 0 && !out->printer.failed)
        err = sp_buf_append(lines, sp_span_of(out->text, out->len));
    free(out->text);
    return err;
}
