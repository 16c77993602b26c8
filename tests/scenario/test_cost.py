"""What must cost nothing: bytes of a tunnel stay in the kernel, what is idle holds no pipe and no buffer, and a log that
nobody takes holds up nobody."""

import os
import re
import socket
import subprocess
import sys
import threading
import time

from common import ALICE, ECHO, passed
from sp_rig import space
from sp_rig.procs import wait_until
from test_connect import tunnel

TUNNELS = 300


class Origin:
    """Answers one byte with one byte, in this thread; its connections stay."""

    def __init__(self):
        self._listener = socket.create_server((space.ADDRESSES["other"], 443), backlog=64)
        self.target = "%s:443" % space.ADDRESSES["other"]
        self._peers = []

    def tunnel(self, w):
        """A tunnel that has carried a byte each way, and waits."""
        c = tunnel(w, target=self.target)
        peer, _ = self._listener.accept()
        peer.settimeout(20.0 * w.patience)
        self._peers.append(peer)
        c.send(b"x")
        assert peer.recv(1) == b"x"
        peer.sendall(b"y")
        assert c.read(1) == b"y"
        return c

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in self._peers + [self._listener]:
            each.close()


def allocated(p):
    """Bytes of user memory."""
    with open("/proc/%d/smaps_rollup" % p.proc.pid) as f:
        return 1024 * int(re.search(r"^Anonymous:\s+(\d+)", f.read(), re.M)[1])


class Calls:
    """The system calls by which a running sallyport moves bytes, as strace saw them."""
    NAMES = ("read", "readv", "recvfrom", "recvmsg", "write", "writev", "sendto", "sendmsg", "splice")

    def __init__(self, w, p):
        self._out = os.path.join(p.folder, "strace")
        self._said = os.path.join(p.folder, "strace.said")
        with open(self._said, "wb") as said:
            self._proc = subprocess.Popen(["strace", "-f", "-e", "trace=" + ",".join(self.NAMES), "-e", "signal=none", "-s", "0", "-o", self._out,
                                           "-p", str(p.proc.pid)], stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        threads = len(os.listdir("/proc/%d/task" % p.proc.pid))
        wait_until("strace watches all threads", lambda: self._watched() >= threads, 10 * w.patience)

    def _watched(self):
        with open(self._said) as f:
            text = f.read()
        assert self._proc.poll() is None, "strace did not start: %s" % text
        return max([text.count("attached"), *map(int, re.findall(r"attached with (\d+) threads", text))])

    def end(self):
        """Bytes by name of the call."""
        self._proc.terminate()
        self._proc.wait(20)
        moved = dict.fromkeys(self.NAMES, 0)
        with open(self._out, errors="replace") as f:
            for line in f:
                match = re.match(r"\d+ +(?:<\.\.\. )?(\w+)[( ].*\) += (\d+)$", line)
                if match:
                    moved[match[1]] += int(match[2])
        return moved


def test_bytes_of_a_tunnel_do_not_pass_through_user_space(w):
    p = w.start()
    size, part = 16 << 20, os.urandom(1 << 20)
    with tunnel(w) as c:
        c.send(b"hello")
        assert c.read(5) == b"hello"
        calls = Calls(w, p)
        sender = threading.Thread(target=lambda: [c.socket.sendall(part) for _ in range(size >> 20)], daemon=True)
        sender.start()
        for _ in range(size >> 20):
            assert c.read(1 << 20) == part
        sender.join()
        moved = calls.end()
    spliced = moved.pop("splice")
    assert spliced >= 4 * size, "both ways, into a pipe and out of it: %d of %d" % (spliced, 4 * size)
    assert sum(moved.values()) < 65536, "through user space: %r" % moved


def test_idle_tunnels_hold_no_pipe_and_no_buffer(w):
    p = w.start()
    with Origin() as origin:
        held = [origin.tunnel(w) for _ in range(20)]           # what is taken once, is taken
        before, memory = p.descriptors("pipe"), allocated(p)
        held += [origin.tunnel(w) for _ in range(TUNNELS)]
        after, each = p.descriptors("pipe"), (allocated(p) - memory) / TUNNELS
        for c in held:
            c.close()
    assert after == before, "%d tunnels more, and %d pipes in place of %d" % (TUNNELS, after, before)
    # 10,000 of them are to cost less than 48 MiB. The sanitizers keep more beside each allocation, but less than a buffer.
    limit = 48 * 2 ** 20 / 10000 if w.patience == 1 else 28 * 1024
    assert each < limit, "%.0f bytes of user memory for an idle tunnel" % each


def test_idle_clients_hold_no_buffer(w):
    p = w.start()
    held = []

    def more(count):
        for _ in range(count):
            held.append(w.wire())
            passed(held[-1].ask("GET", "http://origin.corp.test/", auth=ALICE))

    more(20)
    memory = allocated(p)
    more(TUNNELS)
    each = (allocated(p) - memory) / TUNNELS
    for c in held:
        c.close()
    limit = 2048 if w.patience == 1 else 28 * 1024
    assert each < limit, "%.0f bytes of user memory for an idle client" % each


class Allocations:
    """Counts what a sallyport allocates: a library that it is started with (tests/rig/allocations.c) keeps the number in a file."""

    def __init__(self, w):
        self._path = os.path.join(w.folder, "allocations")
        with open(self._path, "wb") as f:
            f.write(bytes(8))
        build = os.path.dirname(w.binary)
        linked = subprocess.run(["ldd", w.binary], stdout=subprocess.PIPE, check=True).stdout.decode()
        sanitizer = re.findall(r"=> (\S+/lib[at]san\S+)", linked)         # wants to be the first
        self.variables = {"ALLOCATIONS": self._path, "LD_PRELOAD": " ".join(sanitizer + [os.path.join(build, "tests", "allocations.so")])}

    def count(self):
        with open(self._path, "rb") as f:
            return int.from_bytes(f.read(), sys.byteorder)


def allocations_of_hits(w, count, log):
    """How many there are while so many cached requests go over one kept connection, and over those of the origin that stand;
    and how long that took."""
    allocations, config = Allocations(w), w.config()
    config.log["level"] = "warning"
    if not log:
        config.log["access"] = ""
    w.start(config, env=allocations.variables)
    begun = allocations.count()
    assert begun > 1000, "it cannot have started with %d allocations: nothing is counted" % begun
    with w.wire() as c:
        ask = lambda: passed(c.ask("GET", "http://origin.corp.test/", auth=ALICE))
        for _ in range(100):                   # what is taken once, is taken
            ask()
        before, clock = allocations.count(), time.monotonic()
        for _ in range(count):
            ask()
        return allocations.count() - before, time.monotonic() - clock


def test_a_cached_request_on_a_kept_connection_allocates_nothing(w):
    taken, _ = allocations_of_hits(w, 1000, log=False)
    assert taken == 0, "%d allocations for 1,000 requests" % taken


def test_access_lines_are_allocated_by_the_batch(w):
    """A batch holds 32 KiB, which is some 80 lines, or those of a fifth of a second."""
    taken, seconds = allocations_of_hits(w, 1000, log=True)
    assert 0 < taken <= 20 + 5 * seconds, "%d allocations for 1,000 requests and their lines in %.1f s" % (taken, seconds)


class Reader:
    """Of a named pipe; reads nothing until it is told to, and then all to the end."""

    def __init__(self, path):
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.lines = 0

    def _read(self):
        os.set_blocking(self._fd, True)
        while data := os.read(self._fd, 1 << 20):
            self.lines += data.count(b"\n")
        os.close(self._fd)

    def begin(self):
        self._thread.start()

    def end(self):
        self._thread.join()


def test_a_log_that_nobody_takes_holds_up_nobody_and_every_lost_line_is_counted(w):
    """Its queue has a bound (8 MiB): beyond it lines are dropped, and told of once the log is taken again."""
    config = w.config()
    path = config.log["access"]
    config.log["level"] = "info"
    reader = Reader(path)
    p = w.start(config)
    os.unlink(path)                        # sallyport has it open; nobody else is to open it
    count, long = 500, ECHO + "?" + "x" * 30000
    with w.wire() as c:
        for _ in range(count):
            passed(c.ask("GET", long, auth=ALICE))
    lost = lambda: sum(int(n) for n in re.findall(r"event=log_lines_lost log=access lines=(\d+)", p.errors()))
    reader.begin()
    told = wait_until("the error log tells of lines that were lost", lost, 10 * w.patience)
    assert p.stop() == 0
    reader.end()
    assert lost() == told and told + reader.lines == count, (lost(), told, reader.lines)
