/* One question to the running proxy, through the control socket that the configuration names; for
 * the commands that ask it. Blocks. */
#ifndef SP_APP_ASK_H
#define SP_APP_ASK_H

#include "app/command.h"

struct sp_app_question {
    const char *command; /* who asks, for what is told on standard error */
    const char *config;
    const char *socket; /* NULL: the configuration says where it is */
    const char *name;   /* the first word */
    const char *word;   /* the second; NULL: none */
    bool endless;       /* the answer has no end but ours, or the proxy's */
    /* Each line of a good answer, without its end. False: enough. A bad answer's lines go to
     * standard error. */
    bool (*said)(void *owner, struct sp_span line);
    void *owner;
};

/* WELL: the answer was good, and taken whole. USAGE: the words cannot be asked. What went wrong has
 * been told on standard error. An endless one ends the process as WELL when it is interrupted
 * (SIGINT, SIGTERM). */
enum sp_exit sp_app_ask(const struct sp_app_question *question);

#endif
