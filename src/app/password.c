/* Reading a password. At a terminal, echo goes off and comes back on every way out: the line's end,
 * a failure, or a signal, which is caught, kept until the terminal is as it was, and raised again.
 */
#include "app/password.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU};
#define CAUGHT_LEN (sizeof(caught) / sizeof(caught[0]))

static volatile sig_atomic_t last_signal;

static void on_signal(int number)
{
    last_signal = number;
}

/* Signals come through here alone, so that none is lost between a look at it and the wait. */
static bool wait_for(int fd, const sigset_t *let_in)
{
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    int ready;

    if (let_in == NULL)
        return true;
    do
        ready = ppoll(&wanted, 1, NULL, let_in);
    while (ready < 0 && errno == EINTR && last_signal == 0); /* stopped and continued by others */
    return ready == 1;
}

/* Up to the line's end, byte by byte: what follows is not ours. `let_in` NULL: no signal is kept
 * out. */
static enum sp_err read_line(int fd, const sigset_t *let_in, char *line, size_t cap,
                             size_t *len_out)
{
    size_t len = 0;
    char c;

    for (;;) {
        ssize_t got = wait_for(fd, let_in) ? read(fd, &c, 1) : -1;

        if (got < 0)
            return SP_ERR_IO; /* EINTR too: a signal ends it */
        if (got == 0 && len == 0)
            return SP_ERR_NOT_FOUND;
        if (got == 0 || c == '\n')
            break;
        if (len == cap)
            return SP_ERR_TOO_LARGE;
        line[len++] = c;
    }
    if (len > 0 && line[len - 1] == '\r')
        len--;
    *len_out = len;
    return SP_OK;
}

static enum sp_err read_secret(int fd, const sigset_t *let_in, struct sp_secret *password_out)
{
    char line[SP_APP_PASSWORD_MAX];
    size_t len = 0;
    enum sp_err err = read_line(fd, let_in, line, sizeof(line), &len);
    int saved = errno;

    if (err == SP_OK)
        err = sp_secret_set(password_out, (struct sp_span){line, len});
    sp_wipe(line, sizeof(line));
    errno = saved;
    return err;
}

/* Standard error: standard output may go to a program. */
static bool say(const char *text)
{
    size_t len = strlen(text);

    return write(STDERR_FILENO, text, len) == (ssize_t)len;
}

static enum sp_err read_unseen(int fd, const struct termios *shown, const sigset_t *let_in,
                               const char *prompt, struct sp_secret *password_out)
{
    struct termios unseen = *shown;
    enum sp_err err = SP_ERR_IO;
    int saved;

    unseen.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
    if (tcsetattr(fd, TCSAFLUSH, &unseen) != 0)
        return err;
    if (say(prompt))
        err = read_secret(fd, let_in, password_out);
    saved = errno;
    (void)say("\n");
    while (tcsetattr(fd, TCSAFLUSH, shown) != 0 && errno == EINTR)
        ;
    errno = saved;
    return err;
}

static enum sp_err ask_once(int fd, const struct termios *shown, const char *prompt,
                            struct sp_secret *password_out)
{
    struct sigaction ours = {.sa_handler = on_signal}, before[CAUGHT_LEN];
    sigset_t kept_out, let_in;
    enum sp_err err;
    int saved;

    last_signal = 0;
    (void)sigemptyset(&ours.sa_mask);
    (void)sigemptyset(&kept_out);
    for (size_t i = 0; i < CAUGHT_LEN; i++)
        (void)sigaddset(&kept_out, caught[i]);
    (void)sigprocmask(SIG_BLOCK, &kept_out, &let_in);
    for (size_t i = 0; i < CAUGHT_LEN; i++)
        (void)sigaction(caught[i], &ours, &before[i]);
    err = read_unseen(fd, shown, &let_in, prompt, password_out);
    saved = errno;
    for (size_t i = 0; i < CAUGHT_LEN; i++)
        (void)sigaction(caught[i], &before[i], NULL);
    if (last_signal != 0)
        (void)raise(last_signal); /* kept out until the next line */
    (void)sigprocmask(SIG_SETMASK, &let_in, NULL);
    errno = saved;
    return err;
}

/* Stopped and continued (^Z, fg): asked again. */
static bool was_stop(int number)
{
    return number == SIGTSTP || number == SIGTTIN || number == SIGTTOU;
}

static enum sp_err ask_terminal(int fd, const struct termios *shown, const char *prompt,
                                struct sp_secret *password_out)
{
    enum sp_err err;

    do
        err = ask_once(fd, shown, prompt, password_out);
    while (err == SP_ERR_IO && was_stop(last_signal));
    return err;
}

enum sp_err sp_app_password_read(int fd, const char *prompt, struct sp_secret *password_out)
{
    struct termios shown;

    *password_out = (struct sp_secret){0};
    if (tcgetattr(fd, &shown) != 0)
        return read_secret(fd, NULL, password_out);
    return ask_terminal(fd, &shown, prompt, password_out);
}
