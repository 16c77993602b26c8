/* The running proxy: workers, signals, the watch over files, reloads and the end. Everything here
 * belongs to the main thread and its loop. */
#ifndef SP_APP_SERVER_H
#define SP_APP_SERVER_H

#include "app/bind.h"
#include "app/load.h"

struct sp_server;

/* Serves until it is told to end (TERM, INT), then drains. Takes the snapshot, and the
 * descriptors out of `sockets`.
 * Logging and statistics are open; privileges are dropped. Returns whether all was well. */
bool sp_server_run(struct sp_app_loader *loader, struct sp_proxy_snapshot **snapshot,
                   struct sp_app_sockets *sockets);

/* Signals that it will hear wait until then: HUP and USR1 would end a process that has no handler
 * for them yet. Before threads are there. */
void sp_server_signals_hold(void);

/* As many workers as the configuration asks for. */
unsigned sp_server_workers(const struct sp_app_options *options);

#endif
