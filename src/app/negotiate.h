/* `sallyport login --negotiate`: the caller's own ticket through a listener of the running proxy,
 * leg by leg. Main thread; blocks. */
#ifndef SP_APP_NEGOTIATE_H
#define SP_APP_NEGOTIATE_H

#include "app/command.h"
#include "app/preview.h"
#include "app/print.h"
#include "proxy/proxy.h"

struct sp_app_negotiate {
    struct sp_app_printer *printer;
    const struct sp_proxy_snapshot *snapshot;
    const char *listen; /* the listener's title; NULL: the first */
    const char *host;   /* the proxy's name in HTTP@host; NULL: this machine's own */
    const char *to;     /* HOST:PORT */
    const struct sp_app_target *target; /* the same, read */
};

/* WELL: the proxy took the ticket. USAGE: there is no such listener. */
enum sp_exit sp_app_negotiate_run(const struct sp_app_negotiate *question);

#endif
