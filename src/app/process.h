/* What a daemon asks of its operating system: descriptors, CPUs, another user, a pid file, and
 * words to the service manager. Main thread, before any other thread is there (but for notify). */
#ifndef SP_APP_PROCESS_H
#define SP_APP_PROCESS_H

#include "log/log.h"

#include <sys/types.h>

/* As many descriptors as the hard limit allows; SIGPIPE ignored; files made are not for everybody;
 * no core dumps. */
void sp_process_prepare(void);
/* CPUs that this process may run on; at least 1. */
unsigned sp_process_cpus(void);
/* How many of so many descriptors could be opened now, besides those that are. */
unsigned sp_process_files_left(unsigned wanted);
/* Become `user` with its groups; "" stays. Whoever is then not root has no capability left. Either
 * way no program started from here can gain privileges. SP_ERR_NOT_FOUND, SP_ERR_IO: told on
 * standard error. */
enum sp_err sp_process_become(const char *user) SP_MUST_CHECK;
/* seccomp.c: from here on this process, all its threads and plugins make only the system calls that
 * serving needs. Cannot be undone. SP_ERR_IO: errno, and nothing has changed; SP_ERR_NOMEM. */
enum sp_err sp_process_confine(void) SP_MUST_CHECK;
/* "" does nothing. SP_ERR_IO: errno. */
enum sp_err sp_process_write_pid(const char *path) SP_MUST_CHECK;
/* Only if it is still this process's. */
void sp_process_remove_pid(const char *path);

/* notify.c: to systemd, where it is listening; else nothing. Never waits. */
void sp_process_tell(const char *state);
/* The same words along with copies of descriptors, at most SP_PROCESS_FDS_MAX. SP_ERR_IO: errno. */
#define SP_PROCESS_FDS_MAX 128
enum sp_err sp_process_hand_over(const char *state, const int *fds, size_t len) SP_MUST_CHECK;

#endif
