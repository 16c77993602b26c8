/* A password from whoever is there: typed at the terminal without being shown, or the first line of
 * standard input. Main thread, before any other. */
#ifndef SP_APP_PASSWORD_H
#define SP_APP_PASSWORD_H

#include "util/secret.h"

#define SP_APP_PASSWORD_MAX 4096u

/* `prompt` goes to standard error where `fd` is a terminal. The terminal shows what is typed again
 * however this ends; a signal that would end the process still does, afterwards. SP_ERR_NOT_FOUND:
 * nothing was given; SP_ERR_TOO_LARGE; SP_ERR_IO: errno; SP_ERR_NOMEM. The secret is the caller's
 * to wipe. */
enum sp_err sp_app_password_read(int fd, const char *prompt,
                                 struct sp_secret *password_out) SP_MUST_CHECK;

#endif
