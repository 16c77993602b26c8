/* Signals: TERM and INT drain and, the second time, cut; HUP reloads; USR1 opens log files anew. */
#include "app/server_priv.h"

#include <signal.h>

static void on_signal(uv_signal_t *handle, int number)
{
    struct sp_server *server = handle->data;

    sp_log_info(&server->log, "event=signal number=%d", number);
    if (number == SIGHUP)
        sp_server_reload(server);
    else if (number == SIGUSR1)
        sp_log_reopen();
    else
        sp_server_drain(server);
}

static const int numbers[SP_SERVER_SIGNALS] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};

/* All other threads block every signal, so what this one blocks waits. */
static void mask(int how)
{
    sigset_t set;

    sigemptyset(&set);
    for (unsigned i = 0; i < SP_SERVER_SIGNALS; i++)
        sigaddset(&set, numbers[i]);
    (void)pthread_sigmask(how, &set, NULL);
}

void sp_server_signals_hold(void)
{
    mask(SIG_BLOCK);
}

enum sp_err sp_server_signals_open(struct sp_server *server)
{
    for (unsigned i = 0; i < SP_SERVER_SIGNALS; i++) {
        if (uv_signal_init(sp_loop_uv(server->loop), &server->signals[i]) != 0)
            return SP_ERR_IO;
        server->signals[i].data = server;
        server->signals_open = i + 1;
        if (uv_signal_start(&server->signals[i], on_signal, numbers[i]) != 0)
            return SP_ERR_IO;
    }
    mask(SIG_UNBLOCK);
    return SP_OK;
}

void sp_server_signals_close(struct sp_server *server)
{
    mask(SIG_BLOCK); /* without its handle, libuv gives a signal back its power to kill */
    while (server->signals_open > 0)
        uv_close((uv_handle_t *)&server->signals[--server->signals_open], NULL);
}
