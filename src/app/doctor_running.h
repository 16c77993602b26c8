/* `sallyport doctor`: what the running proxy knows to be wrong with itself, of what can be seen
 * nowhere else: a log that cannot be written, a reload that was refused, a file that is not taken
 * up. */
#ifndef SP_APP_DOCTOR_RUNNING_H
#define SP_APP_DOCTOR_RUNNING_H

#include <stdbool.h>

struct sp_app_doctor_running {
    const char *socket; /* admin.socket, at which somebody listens */
    void (*tell)(void *owner, bool well, const char *what, const char *state, const char *remedy);
    void *owner;
};

/* Tells faults alone: that it does not answer, or what it answers. Blocks. */
void sp_app_doctor_running(const struct sp_app_doctor_running *question);

#endif
