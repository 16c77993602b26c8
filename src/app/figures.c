/* The metrics of what is the server's own, asked for when somebody reads /metrics. Main thread. */
#include "app/server_priv.h"

static int64_t read_waiting(void *owner)
{
    const struct sp_server *server = owner;

    return sp_work_pool_waiting(server->pool);
}

static int64_t read_ready(void *owner)
{
    return sp_server_is_ready(owner, NULL) ? 1 : 0;
}

static int64_t read_workers(void *owner)
{
    const struct sp_server *server = owner;

    return (int64_t)server->workers_len - (int64_t)server->workers_ended;
}

static int64_t read_loaded(void *owner)
{
    const struct sp_server *server = owner;

    return (int64_t)(server->loaded_wall_ms / 1000);
}

static int64_t read_ok(void *owner)
{
    return (int64_t)((const struct sp_server *)owner)->reloads[SP_SERVER_RELOAD_OK];
}

static int64_t read_refused(void *owner)
{
    return (int64_t)((const struct sp_server *)owner)->reloads[SP_SERVER_RELOAD_REFUSED];
}

static int64_t read_incomplete(void *owner)
{
    return (int64_t)((const struct sp_server *)owner)->reloads[SP_SERVER_RELOAD_INCOMPLETE];
}

static int64_t read_last(void *owner)
{
    return ((const struct sp_server *)owner)->last_reload == SP_SERVER_RELOAD_OK ? 1 : 0;
}

static const struct {
    enum sp_metric_kind kind;
    const char *name, *labels, *help;
    int64_t (*read)(void *owner);
} figures[] = {
    {SP_METRIC_GAUGE, "sallyport_ready", "", "1 while /readyz says ready.", read_ready},
    {SP_METRIC_GAUGE, "sallyport_workers", "", "Workers that run.", read_workers},
    {SP_METRIC_GAUGE, "sallyport_work_queue", "", "Jobs that wait for a thread of the work pool.",
     read_waiting},
    {SP_METRIC_GAUGE, "sallyport_config_loaded_timestamp_seconds", "",
     "When the configuration that serves was read, in seconds since 1970.", read_loaded},
    {SP_METRIC_GAUGE, "sallyport_config_last_reload_successful", "",
     "0 while the last reload was refused or incomplete.", read_last},
    {SP_METRIC_COUNTER, "sallyport_reloads_total", "result=\"ok\"", "Reloads by what they came to.",
     read_ok},
    {SP_METRIC_COUNTER, "sallyport_reloads_total", "result=\"refused\"",
     "Reloads by what they came to.", read_refused},
    {SP_METRIC_COUNTER, "sallyport_reloads_total", "result=\"incomplete\"",
     "Reloads by what they came to.", read_incomplete},
};

enum sp_err sp_server_figures_register(struct sp_server *server)
{
    enum sp_err err = SP_OK;

    for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]) && err == SP_OK; i++) {
        const char *name = figures[i].name, *labels = figures[i].labels;

        if (figures[i].kind == SP_METRIC_GAUGE)
            err = sp_stats_gauge(name, labels, figures[i].help, figures[i].read, server);
        else
            err = sp_stats_counter(name, labels, figures[i].help, figures[i].read, server);
    }
    return err == SP_OK ? sp_server_upkeep_register(server) : err;
}
