"""The part of systemd that matters to listening sockets: it keeps descriptors that a service hands it (FDSTORE, sd_pid_notify_with_fds(3)),
and starts the next process of that service with them (LISTEN_FDS, sd_listen_fds(3)). FDSTORE tells
the process that there is such a store (systemd 254 says so itself, the unit for older ones)."""

import array
import os
import socket
import sys

# Moves the descriptors to 3, 4, ... and becomes the service, whose process id is then its own.
_BECOME = """
import os, sys
count = int(sys.argv[1])
fds = [int(fd) for fd in sys.argv[2:2 + count]]
high = [os.dup(fd) for fd in fds]
while any(fd < 3 + count for fd in high):
    high = [os.dup(fd) for fd in high]
for n, fd in enumerate(high):
    os.dup2(fd, 3 + n)
os.closerange(3 + count, max(high + fds, default=2) + 1)
names, claim = sys.argv[2 + count:4 + count]
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=claim or str(count), LISTEN_FDNAMES=names, FDSTORE="1024")
os.execv(sys.argv[4 + count], sys.argv[4 + count:])
"""


class Store:
    def __init__(self):
        self._kept = []
        self.claim = ""                    # what LISTEN_FDS says in place of the count

    def add(self, sockets, name="socket-unit"):
        """Those of a socket unit."""
        self._kept += [(name, os.dup(s.fileno())) for s in sockets]

    @property
    def fds(self):
        return [fd for _, fd in self._kept]

    @property
    def names(self):
        return sorted(name for name, _ in self._kept)

    def start(self, argv):
        """The command that starts argv with what is kept; its descriptors are to be passed on."""
        return [sys.executable, "-c", _BECOME, str(len(self._kept))] + [str(fd) for fd in self.fds] + [
            ":".join(name for name, _ in self._kept), self.claim] + list(argv)

    def hear(self, notify):
        """One message of the service's; its text."""
        text, control, _, _ = notify.recvmsg(4096, socket.CMSG_SPACE(253 * 4))
        fds = array.array("i")
        for level, kind, data in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(data[:len(data) - len(data) % 4])
        words = dict(line.split("=", 1) for line in text.decode().split("\n") if "=" in line)
        if words.get("FDSTORE") == "1":
            self._keep(words.get("FDNAME", "stored"), fds)
        elif words.get("FDSTOREREMOVE") == "1":
            for entry in [e for e in self._kept if e[0] == words["FDNAME"]]:
                os.close(entry[1])
                self._kept.remove(entry)
        return text

    def _keep(self, name, fds):
        assert name and ":" not in name and name.isprintable(), "systemd takes no such name: %r" % name
        for fd in fds:
            if os.fstat(fd).st_ino in [os.fstat(kept).st_ino for kept in self.fds]:
                os.close(fd)               # it knows that one
            else:
                self._kept.append((name, fd))

    def hear_all(self, notify):
        while True:
            try:
                self.hear(notify)
            except (socket.timeout, BlockingIOError):
                return

    def close(self):
        for fd in self.fds:
            os.close(fd)
        self._kept = []
