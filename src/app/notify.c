/* Words to the service manager. The protocol is a datagram to the socket that NOTIFY_SOCKET names,
 * and is promised to stay so (sd_notify(3)). It is spoken here and not by libsystemd, whose send
 * waits when the manager does not read: the main thread would hear no signal meanwhile. What does
 * not go at once is not said. */
#include "app/process.h"

#include <stddef.h>
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

void sp_process_tell(const char *state)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address;
    socklen_t len = name != NULL ? address_of(name, &address) : 0;
    ssize_t sent;
    int fd;

    if (len == 0)
        return;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address, len);
    (void)sent; /* nobody to tell about it */
    (void)close(fd);
}
