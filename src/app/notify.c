/* Words to the service manager. The protocol is a datagram to the socket that NOTIFY_SOCKET names,
 * and is promised to stay so (sd_notify(3)). It is spoken here and not by libsystemd, whose send
 * waits when the manager does not read: the main thread would hear no signal meanwhile. What does
 * not go at once is not said. */
#include "app/process.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A path, or with '@' for its first byte an abstract name (unix(7)). 0: neither. */
static socklen_t address_of(const char *name, struct sockaddr_un *address)
{
    size_t len = strlen(name);

    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    if ((name[0] != '/' && name[0] != '@') || name[1] == '\0' || len >= sizeof(address->sun_path))
        return 0;
    memcpy(address->sun_path, name, len);
    if (name[0] == '@')
        address->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

/* Where there is no manager, all is well. */
static enum sp_err send_message(struct msghdr *message)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address;
    ssize_t sent;
    int fd, error;

    message->msg_name = &address;
    message->msg_namelen = name != NULL ? address_of(name, &address) : 0;
    if (message->msg_namelen == 0)
        return SP_OK;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return SP_ERR_IO;
    sent = sendmsg(fd, message, MSG_NOSIGNAL);
    error = errno;
    (void)close(fd);
    errno = error;
    return sent >= 0 ? SP_OK : SP_ERR_IO;
}

void sp_process_tell(const char *state)
{
    struct iovec text = {(char *)(uintptr_t)state, strlen(state)};
    struct msghdr message = {.msg_iov = &text, .msg_iovlen = 1};
    enum sp_err err = send_message(&message);

    (void)err; /* nobody to tell about it */
}

enum sp_err sp_process_hand_over(const char *state, const int *fds, size_t len)
{
    union {
        struct cmsghdr head; /* for its alignment */
        char bytes[CMSG_SPACE(SP_PROCESS_FDS_MAX * sizeof(int))];
    } control = {0};
    struct iovec text = {(char *)(uintptr_t)state, strlen(state)};
    struct msghdr message = {.msg_iov = &text,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = CMSG_SPACE(len * sizeof(int))};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);

    if (len == 0 || len > SP_PROCESS_FDS_MAX) {
        errno = EINVAL;
        return SP_ERR_IO;
    }
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(len * sizeof(int));
    memcpy(CMSG_DATA(head), fds, len * sizeof(int));
    return send_message(&message);
}
